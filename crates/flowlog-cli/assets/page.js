'use strict';
// The page: one filter, the sums that it leaves, and the charts and tables of them. Text from the data reaches the page by
// `textContent` and the canvas only, never as markup.
const page = JSON.parse(document.getElementById('data').textContent);
// `exact`: the address was picked, not typed, and is meant as it stands.
const chosen = { vpc: '', subnet: '', interface: '', address: '', exact: '' };
const $ = id => document.getElementById(id);
const SHOWN = 12, STRIP = 40;
const PROTOCOLS = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };
const MAP_STATES = { traffic: 'traffic', refused: 'more refused than accepted', silent: 'silent', gap: 'records missing' };
const STATES = { traffic: 'traffic', silent: 'silent (NODATA only)', gap: 'AWS skipped records' };

const format = (() => {
  const whole = new Intl.NumberFormat('en');
  const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const bytes = n => {
    let unit = 0, value = n;
    while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
    return (Number.isInteger(value) ? whole.format(value) : value.toFixed(value < 10 ? 2 : 1)) + ' ' + units[unit];
  };
  const iso = s => new Date(s * 1000).toISOString();
  return { from: page.from * 1000, to: page.to * 1000, step: page.step * 1000, count: n => whole.format(n), short: n => compact.format(n), bytes, time: s => iso(s).slice(0, 16).replace('T', ' '),
    clock: s => page.column < 86400 ? iso(s).slice(11, 16) : iso(s).slice(5, 10) };
})();

const sum = (list, of) => list.reduce((total, item) => total + of(item), 0);
const protocol = p => PROTOCOLS[p.protocol] ?? 'protocol ' + p.protocol;
const service = p => `${protocol(p)} ${p.port}`;
const matches = i => (!chosen.vpc || i.vpc === chosen.vpc) && (!chosen.subnet || i.subnet === chosen.subnet)
  && (!chosen.interface || i.id === chosen.interface);
const ofAddress = a => !chosen.address || (chosen.exact ? a === chosen.address : a.includes(chosen.address));
const exactly = address => ({ address, exact: 'yes' });

/** Fills a table; a cell is text, a number, or { text, choose } for a button that filters. */
function table(id, head, rows) {
  const element = $(id);
  const row = (cells, tag) => {
    const tr = document.createElement('tr');
    cells.forEach((cell, n) => {
      const td = document.createElement(tag);
      const number = typeof cell === 'number' || (tag === 'th' && rows.length > 0 && typeof rows[0][n] === 'number');
      if (number) td.className = 'n';
      if (tag === 'th') td.scope = 'col';
      if (cell && cell.choose) {
        const button = document.createElement('button');
        button.type = 'button';
        button.textContent = cell.text;
        button.addEventListener('click', () => choose(cell.choose));
        td.append(button);
      } else {
        td.textContent = typeof cell === 'number' ? format.count(cell) : cell;
      }
      tr.append(td);
    });
    return tr;
  };
  const thead = document.createElement('thead');
  thead.append(row(head, 'th'));
  const tbody = document.createElement('tbody');
  tbody.append(...rows.map(cells => row(cells, 'td')));
  element.replaceChildren(thead, tbody);
}

/** The same for a list that may be empty, which is then said in its place. */
function listed(id, head, rows) {
  table(`${id}-table`, head, rows);
  ($(`${id}-table`).closest('details') ?? $(`${id}-table`).parentElement).hidden = rows.length === 0;
  $(`${id}-none`).hidden = rows.length > 0;
}

/** What the filter leaves. */
function select() {
  const indices = new Set();
  page.interfaces.forEach((i, n) => { if (matches(i)) indices.add(n); });
  const only = by => by.filter(entry => indices.has(entry[0]));
  const interfaces = page.interfaces.filter(matches);
  const points = new Map();
  for (const i of interfaces) {
    for (const [at, bytes, accepted, rejected, other, nodata, skipdata] of i.series) {
      const p = points.get(at) ?? { at: (page.from + at * page.step) * 1000, bytes: 0, accepted: 0, rejected: 0, other: 0, nodata: 0, skipdata: 0 };
      p.bytes += bytes; p.accepted += accepted; p.rejected += rejected; p.other += other; p.nodata += nodata; p.skipdata += skipdata;
      points.set(at, p);
    }
  }
  const talkers = page.talkers.filter(t => ofAddress(t.address)).map(t => {
    const by = only(t.by);
    return { name: t.address, public: t.public, records: sum(by, b => b[1]), to: sum(by, b => b[2]), from: sum(by, b => b[3]), peers: by.length };
  }).filter(t => t.peers > 0).sort((a, b) => b.to + b.from - a.to - a.from);
  const sources = page.sources.filter(s => ofAddress(s.address)).map(s => {
    const by = only(s.by);
    return { name: s.address, public: s.public, records: sum(by, b => b[1]), pairs: sum(by, b => b[2]), peers: by.length, first: s.first, last: s.last };
  }).filter(s => s.records > 0).sort((a, b) => b.records - a.records);
  const ports = page.ports.map(p => {
    const by = only(p.by);
    return { name: service(p), records: sum(by, b => b[2]), by };
  }).filter(p => p.records > 0).sort((a, b) => b.records - a.records);
  const refused = page.refused.filter(r => ofAddress(r.client) || ofAddress(r.server))
    .flatMap(r => only(r.by).map(([at, records]) => ({ ...r, interface: page.interfaces[at].id, records })))
    .sort((a, b) => b.records - a.records);
  const names = new Set(interfaces.map(i => i.id));
  // An alert may be of a whole VPC or account.
  const whole = interfaces.length === page.interfaces.length;
  const alerts = page.alerts.filter(a => (whole || names.has(a.interface) || a.interface === chosen.vpc) && ofAddress(a.source));
  return { interfaces, points: [...points.entries()].sort((a, b) => a[0] - b[0]).map(e => e[1]), talkers, sources, ports, refused, alerts };
}

function cards({ interfaces, alerts }) {
  const total = of => sum(interfaces, of);
  const facts = [
    ['accepted', format.bytes(total(i => i.totals.accepted.bytes)), 'accepted bytes', total(i => i.totals.accepted.bytes)],
    ['accepted', format.count(total(i => i.totals.accepted.records)), 'accepted records', total(i => i.totals.accepted.records)],
    ['rejected', format.count(total(i => i.totals.rejected.records)), 'refused records', total(i => i.totals.rejected.records)],
    ['other', format.count(total(i => i.totals.other.records)), 'records without a verdict', total(i => i.totals.other.records)],
    ['silent', format.count(interfaces.length), 'interfaces', interfaces.length],
    ['gap', format.count(total(i => i.totals.skipdata)), 'SKIPDATA: gaps', total(i => i.totals.skipdata)],
    ['alert', format.count(alerts.length), 'alerts', alerts.length],
  ].filter(([tone, , , n]) => tone !== 'other' || n > 0);
  $('cards').replaceChildren(...facts.map(([tone, value, name, exact]) => {
    const card = document.createElement('div');
    const [b, span] = [document.createElement('b'), document.createElement('span')];
    card.className = 'card';
    card.style.setProperty('--tone', `var(--${tone})`);
    card.dataset.exact = exact;
    card.dataset.name = name;
    b.textContent = value;
    span.textContent = name;
    card.append(b, span);
    return card;
  }));
}

/** Marks where alerts were, named by their rules; those that are too near each other to be read share a name. */
function marks(alerts) {
  const near = (page.to - page.from) / ($('time-chart').clientWidth < 480 ? 20 : 50);
  const marks = [...new Set(alerts.map(a => a.at))].sort((a, b) => a - b).map(at => ({ at }));
  for (let first = 0, next; first < marks.length; first = next) {
    for (next = first + 1; next < marks.length && marks[next].at - marks[first].at < near;) next++;
    const last = marks[next - 1].at;
    const rules = alerts.filter(a => a.at >= marks[first].at && a.at <= last).map(a => a.rule);
    const names = [...new Set(rules)];
    marks[first].name = names.length > 1 ? `${names[0]} and ${names.length - 1} more` : names[0];
  }
  return marks.map(({ at, name }) => ({ at: at * 1000, name }));
}

function time({ points, alerts }) {
  charts.time('time-chart', points, marks(alerts), format);
  table('time-table', ['from (UTC)', 'accepted bytes', 'accepted records', 'refused records', 'without a verdict', 'NODATA', 'SKIPDATA'],
    points.map(p => [format.time(p.at / 1000), p.bytes, p.accepted, p.rejected, p.other, p.nodata, p.skipdata]));
  listed('alerts', ['at (UTC)', 'rule', 'severity', 'state', 'interface', 'source', 'what showed it', 'key'],
    alerts.map(a => [format.time(a.at), a.rule, a.severity, a.open ? 'open' : 'over', { text: a.interface, choose: { interface: a.interface } },
      a.source ? { text: a.source, choose: exactly(a.source) } : '', a.evidence, a.key]));
}

/** Between private addresses: who was to reach whom, and the question that says why not. */
function refused({ refused }) {
  const at = r => r.port === 0 ? r.server : `${r.server.includes(':') ? `[${r.server}]` : r.server}:${r.port}`;
  listed('refused', ['source', 'host', 'port', 'protocol', 'refused records', 'interface', 'to ask why'],
    refused.map(r => [{ text: r.client, choose: exactly(r.client) }, { text: r.server, choose: exactly(r.server) }, String(r.port), protocol(r), r.records,
      { text: r.interface, choose: { interface: r.interface } }, `flowlog why ${r.client} ${at(r)}`]));
}

function lists({ talkers, sources }) {
  const pick = rows => event => choose(exactly(rows[event.dataIndex].name));
  const top = talkers.slice(0, SHOWN), refused = sources.slice(0, SHOWN);
  charts.bars('talkers-chart', top, [{ name: 'sent to it', key: 'to', tone: 'accepted', bytes: true }, { name: 'received from it', key: 'from', tone: 'gap', bytes: true }], format.bytes, pick(top));
  charts.bars('sources-chart', refused, [{ name: 'refused records', key: 'records', tone: 'rejected' }], format.short, pick(refused));
  const name = row => ({ text: row.name, choose: exactly(row.name) });
  table('talkers-table', ['address', 'kind', 'records', 'bytes to it', 'bytes from it', 'interfaces'],
    talkers.map(t => [name(t), t.public ? 'public' : 'private', t.records, t.to, t.from, t.peers]));
  table('sources-table', ['source', 'kind', 'records', 'hosts and ports', 'interfaces', 'first (UTC)', 'last (UTC)'],
    sources.map(s => [name(s), s.public ? 'public' : 'private', s.records, s.pairs, s.peers, format.time(s.first), format.time(s.last)]));
}

/** Bytes came from somewhere into a VPC and its subnet, and left by a path: four columns. */
function flows({ interfaces }) {
  const links = new Map();
  const depth = new Map();
  const link = (source, from, target, to, value) => {
    depth.set(source, from);
    depth.set(target, to);
    const id = `${source}\n${target}`;
    links.set(id, { source, target, value: (links.get(id)?.value ?? 0) + value });
  };
  for (const i of interfaces) {
    const vpc = i.vpc || 'VPC not recorded', subnet = i.subnet || (i.vpc ? `${i.vpc}, subnet not recorded` : i.id);
    for (const [path, bytes] of Object.entries(i.paths).filter(([, bytes]) => bytes > 0)) {
      if (path.startsWith('from')) {
        link(path, 0, vpc, 1, bytes);
        link(vpc, 1, subnet, 2, bytes);
      } else {
        link(subnet, 2, path, 3, bytes);
      }
    }
  }
  const list = [...links.values()].sort((a, b) => b.value - a.value);
  const nodes = [...depth].map(([name, column]) => ({ name, depth: column }));
  charts.sankey('flows-chart', nodes, list, format.bytes, event => {
    if (event.dataType !== 'node') return;
    if (interfaces.some(i => i.subnet === event.name)) choose({ subnet: event.name });
    if (interfaces.some(i => i.vpc === event.name)) choose({ vpc: event.name });
  });
  table('flows-table', ['from', 'to', 'bytes'], list.map(l => [l.source, l.target, l.value]));
}

function ports({ ports }) {
  const first = Math.floor(page.from / page.column) * page.column;
  const columns = [];
  for (let at = first; at < page.to; at += page.column) columns.push(format.clock(at));
  const rows = ports.slice(0, 24);
  const cells = rows.flatMap((p, y) => {
    const counts = new Map();
    p.by.forEach(([, column, n]) => counts.set(column, (counts.get(column) ?? 0) + n));
    return [...counts].map(([x, n]) => [x, y, n]);
  });
  charts.heat('ports-chart', columns, rows.map(p => p.name), cells, Math.max(0, ...cells.map(c => c[2])), format.count);
  table('ports-table', ['port', 'refused records'], ports.map(p => [p.name, p.records]));
}

function coverage({ interfaces }) {
  const names = ['traffic', 'refusals too', 'silence', 'skipped by AWS'];
  const rows = [...interfaces].sort((a, b) => b.totals.skipdata - a.totals.skipdata).slice(0, STRIP);
  const count = Math.ceil((page.to - page.from) / page.step);
  const columns = Array.from({ length: count }, (_, n) => format.time(page.from + n * page.step));
  const kind = ([, , accepted, rejected, other, , skipdata]) => skipdata > 0 ? 3 : rejected > 0 ? 1 : accepted + other > 0 ? 0 : 2;
  const runs = rows.flatMap((i, y) => {
    const of = [];
    for (const point of i.series) {
      const last = of.at(-1);
      if (last && last[1] === point[0] - 1 && last[3] === kind(point)) last[1] = point[0];
      else of.push([point[0], point[0], y, kind(point)]);
    }
    return of;
  });
  // The id first: names repeat, and what is too long is cut at its end.
  const labels = rows.map(i => ({ name: [charts.short(i.id), decode(i.name)].filter(Boolean).join(' '), text: named(i) }));
  charts.strip('coverage-chart', columns, labels, runs, names, event => choose({ interface: rows[event.value[2]].id }));
  const marks = [['flowing', ''], ['refusing', ''], ['soft', 'silence'], ['alert', 'skipped']];
  legend('coverage-legend', names.map((text, n) => ({ text, tone: marks[n][0], form: marks[n][1] })));
  table('coverage-table', ['interface', 'name', 'points with records', 'points without', 'NODATA', 'SKIPDATA'],
    interfaces.map(i => [{ text: i.id, choose: { interface: i.id } }, decode(i.name), i.series.length, count - i.series.length, i.totals.nodata, i.totals.skipdata]));
}

/** VPCs, subnets in them, interfaces in those. An area is the square root of bytes: a quiet interface is not too small to see. */
function map({ interfaces }) {
  const states = ['traffic', 'refused', 'silent', 'gap'];
  const state = i => i.state === 'traffic' && i.totals.rejected.records > i.totals.accepted.records ? 'refused' : i.state;
  const tree = new Map();
  for (const i of interfaces) {
    const vpc = i.vpc || 'VPC not recorded', subnet = i.subnet || 'subnet not recorded';
    if (!tree.has(vpc)) tree.set(vpc, new Map());
    const subnets = tree.get(vpc);
    if (!subnets.has(subnet)) subnets.set(subnet, []);
    const { accepted, rejected } = i.totals;
    subnets.get(subnet).push({ name: decode(i.name) || i.id, id: i.id, state: state(i), value: Math.max(1, Math.sqrt(accepted.bytes + rejected.bytes)),
      word: state(i) === 'traffic' ? '' : MAP_STATES[state(i)], text: `${named(i)}: ${MAP_STATES[state(i)]}. ${format.bytes(accepted.bytes)} accepted, ${format.count(rejected.records)} refused records` });
  }
  const total = interfaces.reduce((all, i) => all + Math.max(1, Math.sqrt(i.totals.accepted.bytes + i.totals.rejected.bytes)), 0);
  const least = total / 60;
  const nodes = [...tree].map(([name, subnets]) => ({ name, children: [...subnets].map(([name, children]) => ({
    name, children: children.map(c => ({ ...c, value: Math.max(c.value, least) })) })) }));
  const counts = new Map(states.map(s => [s, interfaces.filter(i => state(i) === s).length]));
  const tones = { traffic: 'calm', refused: 'rejected', silent: 'line', gap: 'alert' };
  legend('interfaces-legend', states.filter(s => counts.get(s) > 0).map(s => ({ text: `${MAP_STATES[s]} (${counts.get(s)})`, tone: tones[s], form: '' })));
  charts.map('interfaces-chart', nodes, tones, event => { if (event.data && event.data.id) choose({ interface: event.data.id }); });
  table('interfaces-table', ['interface', 'name', 'state', 'account', 'VPC', 'subnet', 'instance', 'accepted bytes', 'accepted records', 'refused records', 'last (UTC)'],
    interfaces.map(i => [{ text: i.id, choose: { interface: i.id } }, decode(i.name), STATES[i.state], i.account, i.vpc, i.subnet, i.instance,
      i.totals.accepted.bytes, i.totals.accepted.records, i.totals.rejected.records, format.time(i.last)]));
}

/** Tags are percent-encoded in flow logs. */
function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** An interface by its tag and, since tags repeat, its id. */
function named(i) {
  return decode(i.name) ? `${decode(i.name)}, ${i.id}` : i.id;
}

/** What a chart's colours and forms mean. */
function legend(id, entries) {
  $(id).replaceChildren(...entries.map(({ text, tone, form }) => {
    const [span, mark] = [document.createElement('span'), document.createElement('span')];
    mark.className = `mark ${form}`;
    mark.style.setProperty('--tone', `var(--${tone})`);
    span.append(mark, text);
    return span;
  }));
}

function options(id, values) {
  const element = $(id);
  element.replaceChildren(...['', ...values].map(value => {
    const option = document.createElement('option');
    option.value = value;
    option.textContent = value || 'all';
    return option;
  }));
  element.value = chosen[id];
}

/** What is chosen stands in the address, so that it can be shared, survives a reload, and the way back works. */
function choose(change) {
  const wanted = Object.entries({ ...chosen, ...change }).filter(([, value]) => value);
  const hash = new URLSearchParams(wanted).toString();
  if (hash !== location.hash.slice(1)) history.pushState(null, '', '#' + hash);
  follow();
}

function follow() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(chosen)) chosen[key] = wanted.get(key) ?? '';
  render();
}

function render() {
  const held = document.activeElement?.closest('td button'), byKey = held?.matches(':focus-visible');
  const of = key => [...new Set(page.interfaces.map(i => i[key]).filter(Boolean))].sort();
  options('vpc', of('vpc'));
  options('subnet', of('subnet'));
  options('interface', page.interfaces.map(i => i.id).sort());
  $('address').value = chosen.address;
  const left = select();
  $('chosen').textContent = says(left);
  cards(left);
  time(left);
  lists(left);
  refused(left);
  flows(left);
  ports(left);
  coverage(left);
  map(left);
  // The tables are new: what had the focus in them is gone, and what changed is said here. Who points sees it where they are.
  if (held && !held.isConnected) $('chosen').focus({ preventScroll: !byKey });
}

/** What the filter shows, in words. Sums are kept by interface, not by address: an address filters lists only. */
function says({ interfaces }) {
  const places = ['vpc', 'subnet', 'interface'].filter(key => chosen[key]).map(key => `${key} ${chosen[key]}`);
  const said = places.length ? [`Showing ${places.join(', ')}: ${interfaces.length} of ${page.interfaces.length} interfaces.`] : [];
  if (chosen.address) {
    said.push(`Talkers, sources, refused connections and alerts are those of ${chosen.exact ? 'the address' : 'addresses that contain'} ${chosen.address};`
      + ` all other numbers are of all traffic${places.length ? ' there' : ''}.`);
  }
  return said.join(' ');
}

function introduce() {
  const { deliveries: d, complete, incomplete, notes } = page.rests_on;
  $('period').textContent = `${format.time(page.from)} to ${format.time(page.to)} UTC`;
  $('rests').textContent = `Rests on ${format.count(d.done)} deliveries that are done, ${format.count(d.in_progress)} in progress, `
    + `${format.count(d.quarantined)} quarantined, ${format.count(d.ledger_expired)} known by summaries only; ${complete ? 'complete' : 'not complete'}. `
    + `Lists are cut at the heaviest: a talker may have up to ${format.bytes(page.talkers_error)} more than it says, `
    + `a source ${format.count(page.sources_error)} records, a port ${format.count(page.ports_error)}, a refused connection ${format.count(page.refused_error)}. ${notes.join(' ')}`;
  $('incomplete').replaceChildren(...incomplete.map(why => {
    const item = document.createElement('li');
    item.textContent = `Incomplete: ${why}`;
    return item;
  }));
  $('incomplete').hidden = incomplete.length === 0;
  $('made').textContent = `Made ${format.time(page.made)} UTC by flowlog ${page.version} from ${page.store}.`;
}

for (const id of ['vpc', 'subnet', 'interface']) $(id).addEventListener('change', event => choose({ [id]: event.target.value }));
$('address').addEventListener('input', event => choose({ address: event.target.value.trim(), exact: '' }));
$('clear').addEventListener('click', () => choose(Object.fromEntries(Object.keys(chosen).map(key => [key, '']))));
$('filters').addEventListener('submit', event => event.preventDefault());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', render);
addEventListener('popstate', follow);
introduce();
follow();
document.documentElement.dataset.ready = 'yes';

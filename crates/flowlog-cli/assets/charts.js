'use strict';
// What the page draws with: one chart per section, redrawn when the filter or the theme changes. No numbers are made
// here; `page.js` sums them, and the tables under the charts show the same ones.
const charts = (() => {
  const drawn = new Map();
  const css = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

  /** The colours of the theme that is on. */
  const tones = () => Object.fromEntries(
    ['ink', 'soft', 'paper', 'line', 'card', 'accepted', 'rejected', 'other', 'gap', 'silent', 'alert', 'calm', 'flowing', 'refusing'].map(n => [n, css(n)]));

  /** Ids are told apart by their first and last characters. */
  const short = text => /^[a-z]+-[0-9a-f]{12,}$/.test(text) ? text.slice(0, text.indexOf('-') + 4) + '…' + text.slice(-4) : text;

  /** Draws an option into a section's chart, or says that there is nothing. */
  function draw(id, option, onClick) {
    const element = document.getElementById(id);
    let chart = drawn.get(id);
    if (!chart) {
      chart = echarts.init(element, null, { renderer: 'canvas' });
      drawn.set(id, chart);
      // It is told once at the beginning, too, when nothing has changed: drawing again costs as much as drawing.
      new ResizeObserver(() => {
        if (element.clientWidth !== chart.getWidth() || element.clientHeight !== chart.getHeight()) chart.resize();
      }).observe(element);
    }
    const t = tones();
    const axis = { axisLine: { lineStyle: { color: t.line } }, axisLabel: { color: t.soft },
      splitLine: { lineStyle: { color: t.line, opacity: .5 } }, nameTextStyle: { color: t.soft } };
    const themed = {
      animation: false, useUTC: true, textStyle: { color: t.ink, fontFamily: 'system-ui, sans-serif' },
      ...option,
      tooltip: { confine: true, renderMode: 'richText', backgroundColor: t.card, borderColor: t.line,
        textStyle: { color: t.ink }, ...option.tooltip },
    };
    for (const key of ['xAxis', 'yAxis']) {
      if (option[key]) themed[key] = [].concat(option[key]).map(a => ({ ...axis, ...a }));
    }
    chart.off('click');
    chart.setOption(themed, true);
    if (onClick) chart.on('click', onClick);
  }

  /** The distance of marks on an axis of bytes, so that there are a few, at round numbers: 64, 128, 256 KiB. */
  const step = (most, marks) => 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(1, most) / marks)));

  /** Each value from the beginning of its point to the end, and nothing where nothing is on record. */
  const steps = (points, key, long) => points.flatMap((p, n) => {
    const end = p.at + long;
    return points[n + 1]?.at === end ? [[p.at, p[key]]] : [[p.at, p[key]], [end - 1, p[key]], [end, null]];
  });

  /** Time series: accepted bytes above, refusals below, with lines where alerts were. */
  function time(id, points, marks, format) {
    const t = tones();
    const line = { symbol: ['none', 'none'], silent: true, lineStyle: { color: t.alert, type: 'solid', width: 1.5 }, label: { show: false } };
    const mark = marks.length ? { ...line, data: marks.map(m => ({ xAxis: m.at })) } : undefined;
    // Along their lines, in the upper chart only.
    const named = { show: true, position: 'insideEndTop', color: t.alert, fontSize: 10, textBorderColor: t.card, textBorderWidth: 2 };
    const marked = mark && { ...mark, data: marks.map(m => ({ xAxis: m.at, label: m.name ? { ...named, formatter: m.name } : line.label })) };
    const x = { type: 'time', min: format.from, max: format.to, axisLabel: { color: t.soft, hideOverlap: true } };
    draw(id, {
      color: [t.accepted, t.rejected],
      legend: { textStyle: { color: t.ink }, top: 0, left: 'center', data: [{ name: 'accepted bytes', icon: 'rect' }, { name: 'refused records', icon: 'rect' }] },
      // The same width for both, whatever stands below the second one.
      grid: [{ top: 34, height: '42%' }, { top: '64%', bottom: 54 }].map(grid => ({ ...grid, left: 72, right: 28, outerBoundsMode: 'none' })),
      axisPointer: { link: [{ xAxisIndex: 'all' }] },
      tooltip: { trigger: 'axis' },
      dataZoom: [{ type: 'inside', xAxisIndex: [0, 1], zoomOnMouseWheel: 'ctrl' },
        { type: 'slider', xAxisIndex: [0, 1], height: 18, bottom: 6, borderColor: t.line, textStyle: { color: t.soft }, showDataShadow: false }],
      xAxis: [{ ...x, gridIndex: 0, axisLabel: { show: false } }, { ...x, gridIndex: 1 }],
      yAxis: [
        { type: 'value', gridIndex: 0, axisLabel: { formatter: format.bytes, color: t.soft }, interval: step(Math.max(0, ...points.map(p => p.bytes)), 4) },
        { type: 'value', gridIndex: 1, axisLabel: { formatter: format.short, color: t.soft }, splitNumber: 2, minInterval: 1 },
      ],
      series: [
        { name: 'accepted bytes', type: 'line', showSymbol: false, step: 'end', areaStyle: { opacity: .2 }, data: steps(points, 'bytes', format.step),
          tooltip: { valueFormatter: format.bytes }, markLine: marked },
        // No bars: they stand beside their points' beginnings, and widen their axis.
        { name: 'refused records', type: 'line', showSymbol: false, step: 'end', xAxisIndex: 1, yAxisIndex: 1, lineStyle: { width: 1 }, areaStyle: { opacity: .8 },
          data: steps(points, 'rejected', format.step),
          tooltip: { valueFormatter: format.count }, markLine: mark },
      ],
    });
  }

  /** Horizontal bars, the heaviest on top. */
  function bars(id, rows, series, formatter, onClick) {
    const t = tones();
    const most = Math.max(0, ...rows.map(row => series.reduce((sum, s) => sum + row[s.key], 0)));
    const interval = series.some(s => s.bytes) ? step(most, 5) : undefined;
    draw(id, {
      legend: series.length > 1 ? { textStyle: { color: t.ink }, top: 0 } : { show: false },
      grid: { left: 132, right: 24, top: series.length > 1 ? 32 : 8, bottom: 28 },
      tooltip: { trigger: 'axis', axisPointer: { type: 'shadow' } },
      xAxis: { type: 'value', axisLabel: { formatter, color: t.soft, hideOverlap: true }, interval },
      yAxis: { type: 'category', inverse: true, data: rows.map(r => r.name), axisLabel: { color: t.ink, width: 120, overflow: 'truncate' } },
      series: series.map(s => ({ name: s.name, type: 'bar', stack: 'all', barMaxWidth: 18, itemStyle: { color: t[s.tone] },
        data: rows.map(r => r[s.key]), tooltip: { valueFormatter: formatter } })),
    }, onClick);
  }

  /** Bytes from left to right; a name may stand in one column only. */
  function sankey(id, nodes, links, formatter, onClick) {
    const t = tones();
    const wide = document.getElementById(id).clientWidth, narrow = wide < 480;
    // Words have the space up to the next column, and as many lines as they take; ids are short.
    const room = Math.floor((wide - (narrow ? 16 : 176) - 14) / 3) - 14 - 8;
    draw(id, {
      tooltip: { trigger: 'item', valueFormatter: formatter },
      color: [t.accepted, t.gap, t.other, t.rejected, t.silent],
      series: [{ type: 'sankey', left: 8, right: narrow ? 8 : 168, top: 8, bottom: 8, nodeWidth: 14, nodeGap: narrow ? 18 : 14, data: nodes, links, labelLayout: { hideOverlap: true },
        emphasis: { focus: 'adjacency' }, lineStyle: { color: 'gradient', opacity: .35 },
        label: { color: t.ink, fontSize: narrow ? 9 : 11, formatter: p => short(p.name), textBorderColor: t.card, textBorderWidth: 2 },
        levels: [0, 1, 2, 3].map(depth => ({ depth, label: { position: narrow && depth === 3 ? 'left' : 'right', lineHeight: narrow ? 11 : 13,
          ...([0, 3].includes(depth) ? { width: narrow || depth === 0 ? room : 146, overflow: 'break' } : {}) } })) }],
    }, onClick);
  }

  /** A grid of counts. */
  function heat(id, columns, rows, cells, most, formatter, onClick) {
    const t = tones();
    draw(id, {
      grid: { left: 84, right: 12, top: 8, bottom: 60 },
      tooltip: { formatter: p => `${rows[p.value[1]]}, ${columns[p.value[0]]}: ${formatter(p.value[2])}` },
      xAxis: { type: 'category', data: columns, splitArea: { show: false }, axisLabel: { color: t.soft, hideOverlap: true } },
      yAxis: { type: 'category', inverse: true, data: rows, axisLabel: { color: t.ink, fontSize: 11 } },
      visualMap: { min: 0, max: Math.max(1, most), calculable: true, orient: 'horizontal', left: 'center', bottom: -4, itemHeight: 90, itemWidth: 12,
        textStyle: { color: t.soft }, inRange: { color: [t.card, t.rejected] }, formatter: v => formatter(Math.round(v)) },
      series: [{ type: 'heatmap', data: cells, itemStyle: { borderColor: t.card, borderWidth: 1 }, emphasis: { itemStyle: { borderColor: t.ink } } }],
    }, onClick);
  }

  /** What fills which parts of a row's height, from the top. Colour alone tells nobody silence from traffic, or a gap from refusals: these
   *  differ by form, and the two that are alike, traffic and refusals, by a contrast of 3 to 1. */
  const FORMS = [{ tone: 'flowing', parts: [[.1, .8]] }, { tone: 'refusing', parts: [[.1, .8]] },
    { tone: 'soft', parts: [[.42, .16]] }, { tone: 'alert', parts: [[.1, .26], [.64, .26]] }];

  /** What is known of each interface at each moment; a run is its first and last column, its row and its kind. */
  function strip(id, columns, rows, runs, names, onClick) {
    const t = tones();
    const room = document.getElementById(id).clientWidth < 640 ? 96 : 190;
    const when = ([first, last]) => first === last ? columns[first] : `${columns[first]} to ${columns[last]}`;
    const form = (params, api) => {
      const [first, last, row, kind] = [0, 1, 2, 3].map(n => api.value(n));
      const [left, middle] = api.coord([first, row]), [right] = api.coord([last, row]), [wide, high] = api.size([1, 1]);
      return { type: 'group', children: FORMS[kind].parts.map(([top, part]) => ({ type: 'rect', style: { fill: t[FORMS[kind].tone] },
        shape: { x: left - wide / 2, y: middle + (top - .5) * high, width: right - left + wide, height: part * high } })) };
    };
    draw(id, {
      grid: { left: room + 12, right: 12, top: 8, bottom: 28 },
      tooltip: { formatter: p => `${rows[p.value[2]].text}, ${when(p.value)}: ${names[p.value[3]]}` },
      xAxis: { type: 'category', data: columns, axisLabel: { color: t.soft, hideOverlap: true }, splitLine: { show: false } },
      yAxis: { type: 'category', inverse: true, data: rows.map(row => row.name), axisLabel: { color: t.ink, fontSize: 11, width: room, overflow: 'truncate' } },
      series: [{ type: 'custom', renderItem: form, encode: { x: [0, 1], y: 2 }, data: runs, clip: true }],
    }, onClick);
  }

  /** Boxes in boxes, coloured by state. */
  function map(id, nodes, colors, onClick) {
    const t = tones();
    const strong = ['rejected', 'alert'];
    const coloured = node => node.children ? { ...node, children: node.children.map(coloured) }
      : { ...node, itemStyle: { color: t[colors[node.state]] }, label: { color: strong.includes(colors[node.state]) ? t.card : t.ink } };
    const title = { show: true, height: 20, color: t.ink, fontSize: 11, formatter: p => short(p.name) };
    draw(id, {
      tooltip: { formatter: p => p.data.text ?? p.name },
      series: [{ type: 'treemap', left: 0, right: 0, top: 0, bottom: 0, roam: false, nodeClick: false, breadcrumb: { show: false },
        data: nodes.map(coloured), label: { fontSize: 11, lineHeight: 14, overflow: 'truncate', formatter: p => p.data.word ? `${short(p.name)}\n${p.data.word}` : short(p.name) }, upperLabel: title,
        itemStyle: { borderColor: t.card, borderWidth: 1, gapWidth: 2 },
        levels: [{ itemStyle: { borderColor: t.card, gapWidth: 8 }, upperLabel: { show: false } },
          { itemStyle: { color: t.paper, borderColor: t.line, borderWidth: 2, gapWidth: 4 }, upperLabel: title },
          { itemStyle: { borderColor: t.line, borderWidth: 2, gapWidth: 2 }, upperLabel: { ...title, color: t.soft } }, {}] }],
    }, onClick);
  }

  return { short, time, bars, sankey, heat, strip, map };
})();

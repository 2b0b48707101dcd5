//! Records in, chunks of roll-ups out, within a budget of memory.

use foldhash::{fast, quality};
use hashbrown::HashMap;

pub use self::cut::{Chunk, ChunkSink};
use self::quick::Batch;
use super::connections::service_of;
use super::described::Described;
use super::flow::{CONTACT_COST, Flow, family, note_contact};
use super::known::Known;
use super::lists::{
    Charged, Dropped, Listed, Map, Source, Tuples, prune, prune_listed, prune_tuples,
};
use super::own::{MAX_HELD, Own};
use super::samples::Samples;
use super::sums::Blocks;
use super::table::{Key, Table, Wide};
use super::talkers::{TALKER_COST, Talkers};
use super::{
    Contact, Distinct, Evidence, Lacking, Mapping, PortKey, Service, Sums, TalkerKey, Tally, Tuple,
    Verdicts, Weigh as _, scope_of,
};
use crate::decode::{QuickRow, RecordSink, Verdict};
use crate::format::Format;
use crate::record::{Action, Address, Direction, Field, LogStatus, Record, Window};

mod cut;
mod quick;

/// How much state may be held. Part of the mapping version: it decides where chunks are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Approximate bytes of state per chunk.
    pub state_bytes: usize,
    /// Of these, what a talker of IPv4 is charged, 96 at most; one of another family, or that has exchanged 4 GiB or as
    /// many packets, is charged 96.
    pub talker_bytes: usize,
    /// The same of a record whose direction is not known yet. It may become a source with a sample, a contact, a port
    /// and a tuple when the chunk ends: [`Budget::HELD_WHOLE`].
    pub held_bytes: usize,
    /// How many entries of each list one interface and window keeps when state is pruned.
    pub pruned_entries: usize,
    /// A chunk ends with the interface-window that is one more than so many. Of many small ones more is held
    /// beside the state than of a few that are large.
    pub interface_windows: usize,
    /// A chunk whose state pruning could not halve ends at once, with all of its lists whole. Otherwise it is
    /// pruned first, and ends all the same.
    pub ends_whole: bool,
}

impl Budget {
    /// All that one record can add to the state of its interface and window.
    pub const HELD_WHOLE: usize = SOURCE_COST + SAMPLE_COST + CONTACT_COST + PORT_COST + TUPLE_COST;
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            state_bytes: 24 << 20,
            talker_bytes: TALKER_COST,
            held_bytes: HELD_COST,
            pruned_entries: 128,
            interface_windows: usize::MAX,
            ends_whole: false,
        }
    }
}

/// Approximate bytes of one cell, rejected source, port, and so on.
const CELL_COST: usize = 512;
const SOURCE_COST: usize = 144;
const PORT_COST: usize = 32;
const TUPLE_COST: usize = 112;
const SERVICE_COST: usize = 80;
const HELD_COST: usize = 176;
const SAMPLE_COST: usize = 104;

/// Rolls records up and gives chunks to `C` as they are full. See [`crate::rollup`] for what is promised.
#[derive(Debug)]
pub struct Accumulator<C = Vec<Chunk>> {
    mapping: Mapping,
    budget: Budget,
    horizon: Option<i64>,
    lacking: Lacking,
    /// Whether the format says each record's direction, and some of the numbers that are counted by value.
    directed: bool,
    numbered: bool,
    /// The address at the interface's side of the last record, if it said its direction.
    side: Option<Address>,
    interfaces: Map<String, u32>,
    state: Vec<Interface>,
    cell_of: Map<(u32, Window), u32>,
    cells: Vec<Cell>,
    /// What becomes the cells' breakdowns.
    sums: Blocks,
    /// The cell of the last record: most records follow one of the same interface and window.
    last: Option<(u32, Window, u32)>,
    /// What is known of the heads of quick rows.
    known: Known,
    /// What was foreseen of the quick rows at hand.
    batch: Option<Box<Batch>>,
    talkers: Talkers,
    sources: Table<Wide<Source>>,
    /// The first records of each source.
    samples: Samples,
    services: Table<Wide<Service>>,
    ports: Map<(u32, PortKey), Tally>,
    tuples: Tuples,
    used: usize,
    /// Whether there is still somebody who wants chunks.
    is_wanted: bool,
    chunks: C,
}

#[derive(Debug)]
struct Interface {
    id: String,
    own: [Own; 3],
    held: Vec<(u32, Flow)>,
}

/// One interface and window.
#[derive(Debug)]
struct Cell {
    interface: u32,
    window: Window,
    described: Described,
    /// What pruning dropped: the values to count, and the heaviest weights.
    dropped: Option<Box<Dropped>>,
}

impl Accumulator {
    /// An accumulator that has seen nothing and keeps its chunks. Records whose window begins before
    /// `horizon` (epoch seconds) are late.
    pub fn new(budget: Budget, horizon: Option<i64>) -> Self {
        Self::of(Mapping::CURRENT, budget, horizon, Vec::new())
    }

    /// The chunks that are full. Taking them is what keeps memory bounded.
    pub fn take_ready(&mut self) -> Vec<Chunk> {
        std::mem::take(&mut self.chunks)
    }
}

impl<C: ChunkSink> Accumulator<C> {
    /// An accumulator of a mapping version that a delivery is pinned to.
    pub fn of(mapping: Mapping, budget: Budget, horizon: Option<i64>, chunks: C) -> Self {
        let hasher = quality::RandomState::default();
        let by_address = fast::RandomState::default();
        Self {
            mapping,
            budget,
            horizon,
            lacking: Lacking::default(),
            directed: false,
            numbered: false,
            side: None,
            interfaces: HashMap::with_hasher(hasher.clone()),
            state: Vec::new(),
            cell_of: HashMap::with_hasher(hasher.clone()),
            cells: Vec::new(),
            sums: Blocks::default(),
            last: None,
            known: Known::default(),
            batch: None,
            talkers: Talkers::new(budget.state_bytes, budget.talker_bytes, &by_address),
            samples: Samples::with_room(budget.state_bytes / SAMPLE_COST + 1),
            sources: Table::new(budget.state_bytes / SOURCE_COST + 1, by_address.clone()),
            services: Table::new(budget.state_bytes / SERVICE_COST + 1, by_address.clone()),
            ports: HashMap::with_hasher(hasher.clone()),
            tuples: Tuples::with_hasher(hasher),
            used: 0,
            is_wanted: true,
            chunks,
        }
    }

    /// Who takes the chunks.
    pub fn chunks_mut(&mut self) -> &mut C {
        &mut self.chunks
    }

    /// Ends the last chunk, if there was a record with a window since the one before.
    pub fn finish(mut self) -> C {
        self.cut(true);
        self.chunks
    }

    /// As [`Accumulator::finish`]; then it is as one that has seen nothing, with other chunks. Its tables keep
    /// their memory, which an allocator asked for it anew may put where it can never be given back.
    pub fn renew(&mut self, chunks: C) -> C {
        self.cut(true);
        self.lacking = Lacking::default();
        (self.directed, self.numbered, self.side) = (false, false, None);
        self.is_wanted = true;
        std::mem::replace(&mut self.chunks, chunks)
    }

    fn interface(&mut self, id: &str) -> u32 {
        if let Some(at) = self.interfaces.get(id) {
            return *at;
        }
        let at = u32::try_from(self.state.len()).unwrap_or(u32::MAX);
        self.state.push(Interface { id: id.to_owned(), own: [Own::Nothing; 3], held: Vec::new() });
        self.interfaces.insert(id.to_owned(), at);
        self.used += CELL_COST;
        at
    }

    fn cell(&mut self, record: &Record<'_>, window: Window) -> u32 {
        let id = record.subject();
        if let Some((interface, last, cell)) = self.last
            && last == window
            && self.state[interface as usize].id == id
        {
            return cell;
        }
        let interface = self.interface(id);
        let next = u32::try_from(self.cells.len()).unwrap_or(u32::MAX);
        let cell = *self.cell_of.entry((interface, window)).or_insert(next);
        if cell == next {
            self.cells.push(Cell {
                interface,
                window,
                described: Described::default(),
                dropped: None,
            });
            self.sums.push_cell();
            self.used += CELL_COST;
        }
        self.last = Some((interface, window, cell));
        cell
    }

    fn roll_up(&mut self, record: &Record<'_>, window: Window) {
        let cell = self.cell(record, window);
        let introduces = self.mapping.has_connections();
        self.cells[cell as usize].described.add(record, self.lacking, introduces);
        if record.log_status == LogStatus::Ok {
            self.orient(cell, record);
        }
        if self.cells.len() > self.budget.interface_windows {
            self.cut(false);
        } else if self.used > self.budget.state_bytes {
            self.relieve();
        }
    }

    /// Finds a record's direction, now or once the interface's own address is known.
    fn orient(&mut self, cell: u32, record: &Record<'_>) {
        let flow = Flow::of(record);
        if let Some(direction) = record.flow_direction {
            // A transit gateway's ingress comes from the attachment's own side.
            let towards_attachment = record.tgw_attachment_id.is_some();
            let direction = match direction {
                Direction::Ingress if towards_attachment => Direction::Egress,
                Direction::Egress if towards_attachment => Direction::Ingress,
                direction => direction,
            };
            self.side =
                if direction == Direction::Egress { record.srcaddr } else { record.dstaddr };
            return self.apply(cell, direction, &flow);
        }
        let (Some(src), Some(dst)) = (record.srcaddr, record.dstaddr) else {
            return self.apply(cell, Direction::Unknown, &flow);
        };
        let at = self.cells[cell as usize].interface as usize;
        let interface = &mut self.state[at];
        let own = &mut interface.own[family(src)];
        own.learn(src, dst);
        if own.direction(src, dst).is_none() && interface.held.len() == MAX_HELD {
            own.settle();
        }
        match own.direction(src, dst) {
            None => {
                // Of most interfaces the next record decides.
                interface.held.reserve_exact(usize::from(interface.held.is_empty()));
                interface.held.push((cell, flow));
                self.used += self.budget.held_bytes;
            }
            Some(direction) => {
                self.release(at);
                self.apply(cell, direction, &flow);
            }
        }
    }

    /// Applies the held records of an interface whose direction can be told by now.
    fn release(&mut self, interface: usize) {
        if self.state[interface].held.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.state[interface].held);
        for (cell, flow) in held {
            let (Some(src), Some(dst)) = (flow.evidence.srcaddr, flow.evidence.dstaddr) else {
                continue;
            };
            match self.state[interface].own[family(src)].direction(src, dst) {
                Some(direction) => {
                    self.used -= self.budget.held_bytes.min(self.used);
                    self.apply(cell, direction, &flow);
                }
                None => self.state[interface].held.push((cell, flow)),
            }
        }
    }

    fn apply(&mut self, cell: u32, direction: Direction, flow: &Flow) {
        let row = &flow.evidence;
        let sums = Sums { records: 1, packets: row.packets, bytes: row.bytes };
        let remote = flow.remote(direction);
        let key = (row.action, direction, scope_of(remote));
        self.sums.add(cell, key, &sums);
        if row.action == Action::Reject {
            self.reject(cell, direction, flow);
        } else if let Some(remote) = remote {
            self.talk(cell, direction, remote, row);
            if self.mapping.has_connections()
                && let Some((key, service)) = service_of(flow, direction)
            {
                let known = self.services.entry(Key::of(cell, &key), |key| {
                    self.used += SERVICE_COST;
                    Wide::new(key, Service::default())
                });
                known.value.absorb(&service);
            }
        }
    }

    fn talk(&mut self, cell: u32, direction: Direction, remote: Address, row: &Evidence) {
        let port = row.srcport.min(row.dstport);
        let key = TalkerKey { remote, port, protocol: row.protocol };
        self.used += self.talkers.add(cell, &key, direction, (row.packets, row.bytes));
    }

    fn reject(&mut self, cell: u32, direction: Direction, flow: &Flow) {
        let row = &flow.evidence;
        self.tally_port(cell, PortKey { protocol: row.protocol, port: row.dstport });
        self.note_tuple(cell, flow);
        let Some(src) = flow.src else { return };
        let source = self.sources.entry(Key::source(cell, src), |key| {
            self.used += SOURCE_COST;
            Wide::new(key, Source::first(row.start, row.end, direction))
        });
        let source = &mut source.value;
        source.add(direction, row.packets, row.bytes, (row.start, row.end));
        if !source.samples.is_full() {
            self.samples.add(&mut source.samples, row);
            self.used += SAMPLE_COST;
        }
        let totals = &mut source.totals;
        if flow.is_reply(self.mapping) {
            totals.replies += 1;
            return;
        }
        let Some(host) = flow.dst else { return };
        self.used +=
            note_contact(totals, Contact { host, port: row.dstport, protocol: row.protocol });
    }

    fn tally_port(&mut self, cell: u32, port: PortKey) {
        let tally = self.ports.entry((cell, port)).or_insert_with(|| {
            self.used += PORT_COST;
            Tally(0)
        });
        tally.0 += 1;
    }

    fn note_tuple(&mut self, cell: u32, flow: &Flow) {
        if !self.mapping.has_connections() {
            return;
        }
        let Some((tuple, forward)) = Tuple::of(flow) else { return };
        let row = &flow.evidence;
        let verdicts = self.tuples.entry((cell, tuple)).or_insert_with(|| {
            self.used += TUPLE_COST;
            Verdicts { first: row.start, last: row.end, ..Verdicts::default() }
        });
        let rejected = Verdicts { first: row.start, last: row.end, ..Verdicts::default() };
        verdicts.absorb(&if forward {
            Verdicts { rejected_forward: 1, ..rejected }
        } else {
            Verdicts { rejected_back: 1, ..rejected }
        });
    }

    /// The budget is spent: drop light entries; if that does not halve the state, cut a chunk.
    fn relieve(&mut self) {
        let half = self.budget.state_bytes / 2;
        if self.budget.ends_whole && self.used.saturating_sub(self.prunable()) > half {
            return self.cut(false);
        }
        self.prune();
        if self.used > half {
            self.cut(false);
        }
    }

    /// At least as much state as pruning would free.
    fn prunable(&self) -> usize {
        let keep = self.budget.pruned_entries;
        let of = |cells: &mut dyn Iterator<Item = u32>, cost: usize| {
            let mut counts = vec![0_usize; self.cells.len()];
            cells.for_each(|cell| counts[cell as usize] += 1);
            counts.into_iter().map(|count| count.saturating_sub(keep) * cost).sum::<usize>()
        };
        self.crowded(&self.talkers)
            + self.crowded(&self.sources)
            + self.crowded(&self.services)
            + of(&mut self.ports.keys().map(|(cell, _)| *cell), PORT_COST)
            + of(&mut self.tuples.keys().map(|(cell, _)| *cell), TUPLE_COST)
    }

    /// What the entries of a list cost in the cells that have more of them than pruning keeps, less what it keeps at
    /// the least.
    fn crowded(&self, list: &impl Listed) -> usize {
        let keep = self.budget.pruned_entries;
        let mut costs = vec![(0, 0, usize::MAX); self.cells.len()];
        for (place, cell) in (0..).zip(list.cells()) {
            let (count, sum, least) = &mut costs[cell as usize];
            let cost = list.cost(place);
            *count += 1;
            *sum += cost;
            *least = cost.min(*least);
        }
        let crowded = costs.into_iter().filter(|(count, ..)| *count > keep);
        crowded.map(|(_, sum, least)| sum - keep * least).sum()
    }

    fn prune(&mut self) {
        let keep = self.budget.pruned_entries;
        let address = |address: &Address| Some(Distinct::address(address));
        let talkers = prune_listed(&mut self.talkers, keep, address);
        let sources = prune_listed(&mut self.sources, keep, address);
        if !sources.is_empty() {
            self.samples.retain(&mut self.sources);
        }
        let ports = prune(&mut self.ports, keep, |_| PORT_COST, |k| Some(Distinct::port(*k)));
        // Of these nobody is told how many there were.
        let tuples = prune_tuples(&mut self.tuples, keep, TUPLE_COST);
        let services = prune_listed(&mut self.services, keep, |_| None);
        let lists = [talkers, sources, ports, tuples, services];
        for (list, losses) in lists.into_iter().enumerate() {
            for (cell, loss) in losses {
                let dropped = self.cells[cell as usize].dropped.get_or_insert_default();
                let lost = match list {
                    0 => &mut dropped.talkers,
                    1 => &mut dropped.sources,
                    2 => &mut dropped.ports,
                    3 => &mut dropped.tuples,
                    _ => &mut dropped.services,
                };
                lost.add(&loss);
                self.used -= loss.freed.min(self.used);
            }
        }
    }
}

impl Charged for Source {
    fn cost(&self) -> usize {
        let contacts = self.totals.contacts.len() * CONTACT_COST;
        SOURCE_COST + contacts + self.samples.len() * SAMPLE_COST
    }
}

impl Charged for Service {
    fn cost(&self) -> usize {
        SERVICE_COST
    }
}

impl<C: ChunkSink> RecordSink for Accumulator<C> {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        self.side = None;
        // NODATA and SKIPDATA of a format without times cannot be placed; they are still counted.
        let Some(window) = record.window() else {
            self.last = None;
            return Verdict::Counted;
        };
        if self.horizon.is_some_and(|horizon| window.start() < horizon) {
            self.last = None;
            return Verdict::Late;
        }
        if self.is_wanted {
            self.roll_up(record, window);
        }
        Verdict::Counted
    }

    fn format(&mut self, format: &Format) {
        self.lacking = Lacking::of(format);
        self.directed = format.has(Field::FlowDirection);
        self.numbered = [Field::TcpFlags, Field::TrafficPath, Field::EncryptionStatus]
            .into_iter()
            .any(|field| format.has(field));
        self.known.clear();
    }

    const QUICK: bool = true;

    fn quick(&mut self, rows: &[QuickRow]) -> usize {
        // Late ones among them are not told apart any more: nobody asks for the counts of what is not wanted.
        if self.is_wanted { self.quick_batch(rows) } else { rows.len() }
    }

    /// The record just given, if it was counted, has shown interface, window and perhaps the
    /// interface's own address: rows of this head in this window need no more.
    fn head(&mut self, head: u32) {
        let Some((interface, window, cell)) = self.last else { return };
        let own = if self.directed {
            let side = |family_of: usize| self.side.filter(|side| family(*side) == family_of);
            [side(0), side(1)]
        } else {
            let [v4, v6, _] = &self.state[interface as usize].own;
            [v4.known(), v6.known()]
        };
        self.known.learn(head, window, cell, own);
    }
}

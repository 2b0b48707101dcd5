//! Quick rows, rolled up: what [`Accumulator::apply`] does, in fewer steps.
//!
//! What rows belong to is looked up for a whole batch before the first of them is added, each step for
//! all of them before the next: the processor then waits for memory once, not once a row. The batch is
//! sorted by what its rows are (accepted, over IPv4 or not, of a watched service, refused), since nobody can foretell a
//! branch on that; sums do not depend on the order, and rows of one kind keep theirs.
//!
//! ```text
//! rows ─► aim: cell, direction, address, key ─► hash ─► slots of all ─► entries of all ─► accepted ─► services ─► refused
//!          └ an unknown head, or what is no address, ends the batch
//! ```

use std::hint::select_unpredictable;

use super::{Accumulator, Budget, ChunkSink, SAMPLE_COST, SERVICE_COST, SOURCE_COST, TALKER_COST};
use crate::decode::{QuickRow, Spelled};
use crate::prefetch::prefetch;
use crate::record::{Action, Address, Direction, Scope};
use crate::rollup::connections::served;
use crate::rollup::flow::{Flow, note_contact};
use crate::rollup::known::Aim;
use crate::rollup::lists::Source;
use crate::rollup::table::{Key, NarrowKey, Probe, Wide};
use crate::rollup::{Contact, PortKey, Service, Sums, Talker, Weigh as _, is_watched};

/// The most state that one row can add.
const MOST: usize = Budget::HELD_WHOLE;
const _: () = assert!(TALKER_COST + SERVICE_COST <= MOST);

/// The most rows that are looked up together.
const ROWS: usize = 64;

/// What was foreseen of the rows at hand.
#[derive(Debug, Default)]
pub(super) struct Batch {
    ahead: Vec<Ahead>,
    /// Accepted rows whose other side is of IPv4, and their look-ups.
    v4: Kind,
    talkers: Vec<Probe<NarrowKey>>,
    /// The other accepted rows.
    others: Kind,
    other_talkers: Vec<Probe<Key>>,
    /// Of the accepted rows those that use a watched service of the interface's own.
    serving: Kind,
    services: Vec<Probe<Key>>,
    refused: Kind,
    sources: Vec<Probe<Key>>,
    /// Where the refused rows were going.
    hosts: Vec<Address>,
}

/// The places of some rows of a batch, in order.
#[derive(Debug, Clone, Copy)]
struct Kind {
    places: [u8; ROWS],
    count: usize,
}

impl Default for Kind {
    fn default() -> Self {
        Self { places: [0; ROWS], count: 0 }
    }
}

impl Kind {
    /// Adds the row at a place, if it belongs here, without a branch: nobody can foretell it.
    #[inline]
    fn add_if(&mut self, at: u8, belongs: bool) {
        self.places[self.count % ROWS] = at;
        self.count += usize::from(belongs);
    }

    /// Keeps the places before `end`.
    fn truncate(&mut self, end: usize) {
        self.count = self.iter().take_while(|at| *at < end).count();
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = usize> {
        let places = self.places.get(..self.count).unwrap_or_default();
        places.iter().map(|at| usize::from(*at))
    }
}

/// What one row belongs to.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    /// Of a refused row its source, of any other its talker.
    key: Key,
    direction: Direction,
}

impl<C: ChunkSink> Accumulator<C> {
    /// Rolls up the first of these rows, as many as it knows what to do with; returns how many.
    pub(super) fn quick_batch(&mut self, rows: &[QuickRow]) -> usize {
        let most = rows.len().min(ROWS);
        // Near the end of the budget one by one, since it decides where chunks are cut.
        let near = self.used + most * MOST > self.budget.state_bytes;
        let rows = &rows[..if near { most.min(1) } else { most }];
        let mut batch = self.batch.take().unwrap_or_default();
        self.aim(rows, &mut batch);
        self.probe(rows, &mut batch);
        self.foresee(&mut batch);
        self.quick_talks(rows, &mut batch);
        self.foresee_contacts(&batch);
        for (at, probe) in batch.serving.iter().zip(&batch.services) {
            self.quick_serve(&rows[at], batch.ahead[at].direction, *probe);
        }
        for (at, (probe, host)) in batch.refused.iter().zip(batch.sources.iter().zip(&batch.hosts))
        {
            self.quick_reject(&rows[at], batch.ahead[at].direction, *probe, *host);
        }
        if self.numbered {
            for (row, Ahead { key, .. }) in rows.iter().zip(&batch.ahead) {
                let path = row.traffic_path.map(|path| (path, row.bytes));
                let described = &mut self.cells[key.cell() as usize].described;
                described.tally_numbers(row.tcp_flags, path, row.encryption_status);
            }
        }
        let taken = batch.ahead.len();
        self.batch = Some(batch);
        if self.used > self.budget.state_bytes {
            self.relieve();
        }
        taken
    }

    /// Finds out where rows belong, up to the first of which that is not known, or which names something as an
    /// address that is none. The interface's own is one.
    #[expect(clippy::needless_bitwise_bool, reason = "a branch on a row's kind is foretold badly")]
    fn aim(&self, rows: &[QuickRow], batch: &mut Batch) {
        let Batch { ahead, v4, others, serving, refused, hosts, .. } = batch;
        ahead.clear();
        hosts.clear();
        for kind in [&mut *v4, others, serving, refused] {
            kind.count = 0;
        }
        let watches = self.mapping.has_connections();
        for (at, row) in (0..).zip(rows) {
            let Some(Aim { cell, direction, remote }) = self.known.aim(row) else { break };
            let is_refused = row.action == Action::Reject;
            let bits = select_unpredictable(is_refused, row.src.bits, remote.bits);
            let Some(number) = (Spelled { bits, ..remote }).number() else { break };
            let (port, protocol) = select_unpredictable(
                is_refused,
                (0, 0),
                (row.srcport.min(row.dstport), row.protocol),
            );
            ahead.push(Ahead {
                key: Key::new(cell, number, remote.family, port, protocol),
                direction,
            });
            let is_v4 = remote.family == Spelled::V4;
            v4.add_if(at, !is_refused & is_v4);
            others.add_if(at, !is_refused & !is_v4);
            refused.add_if(at, is_refused);
            let is_watched = is_watched(own_port(row, direction));
            serving.add_if(at, watches & !is_refused & is_watched);
        }
        let mut unusable = None;
        for at in refused.iter() {
            let Some(host) = self.known.host(&rows[at], ahead[at].direction) else {
                unusable = Some(at);
                break;
            };
            hosts.push(host);
        }
        if let Some(end) = unusable {
            ahead.truncate(end);
            for kind in [v4, others, serving, refused] {
                kind.truncate(end);
            }
        }
    }

    /// Prepares what is looked up of each row, and asks memory for the slots of all.
    fn probe(&self, rows: &[QuickRow], batch: &mut Batch) {
        let Batch { ahead, v4, talkers, others, other_talkers, serving, services, .. } = batch;
        talkers.clear();
        talkers.extend(v4.iter().map(|at| self.talkers.v4.probe(ahead[at].key.narrow())));
        other_talkers.clear();
        other_talkers.extend(others.iter().map(|at| self.talkers.others.probe(ahead[at].key)));
        services.clear();
        services.extend(serving.iter().map(|at| {
            let Ahead { key, direction } = &ahead[at];
            self.services.probe(key.of_port(own_port(&rows[at], *direction)))
        }));
        let Batch { ahead, refused, sources, .. } = batch;
        sources.clear();
        sources.extend(refused.iter().map(|at| self.sources.probe(ahead[at].key)));
    }

    /// Asks memory for what the rows of a batch will be added to, one kind of thing after the other. The less
    /// a loop does, the more of what it asks for is under way at once.
    fn foresee(&self, batch: &mut Batch) {
        let Batch { ahead, v4, talkers, others, other_talkers, services, sources, .. } = batch;
        self.talkers.v4.foresee(talkers);
        self.talkers.others.foresee(other_talkers);
        self.sources.foresee(sources);
        self.services.foresee(services);
        for at in v4.iter().chain(others.iter()) {
            let Ahead { key, direction } = &ahead[at];
            self.sums.touch(key.cell(), *direction);
        }
    }

    /// Asks memory for what else of the refused sources is needed, once they are at hand.
    fn foresee_contacts(&self, batch: &Batch) {
        for probe in &batch.sources {
            let Some(source) = self.sources.foreseen(probe) else { continue };
            // A source takes three cache lines, of which the first is there.
            prefetch(&source.value.samples, |samples| samples.len() as u64);
            if let Some(contact) = source.value.totals.contacts.first() {
                prefetch(contact, |contact| contact.port.into());
            }
        }
    }

    /// Adds the accepted rows to their talkers and to the sums.
    fn quick_talks(&mut self, rows: &[QuickRow], batch: &mut Batch) {
        for (at, probe) in batch.v4.iter().zip(&mut batch.talkers) {
            if !self.talkers.v4.locate(probe) {
                self.used += self.talkers.meet(probe);
            }
            let (row, Ahead { key, direction }) = (&rows[at], &batch.ahead[at]);
            let numbers = (row.packets, row.bytes);
            if let Some((scope, cost)) = self.talkers.add_located(probe, *direction, numbers) {
                self.used += cost;
                self.quick_sum(row, key.cell(), *direction, scope);
            }
        }
        for (at, probe) in batch.others.iter().zip(&mut batch.other_talkers) {
            let (row, direction) = (&rows[at], batch.ahead[at].direction);
            let talker = self.talkers.others.locate_or_insert(probe, |key| {
                self.used += TALKER_COST;
                Wide::new(key, Talker::default())
            });
            talker.value.add(direction, row.packets, row.bytes);
            self.quick_sum(row, probe.key.cell(), direction, probe.key.remote().scope());
        }
    }

    /// Adds a row to the sums.
    #[inline]
    fn quick_sum(&mut self, row: &QuickRow, cell: u32, direction: Direction, scope: Scope) {
        let sums = Sums { records: 1, packets: row.packets, bytes: row.bytes };
        self.sums.add(cell, (row.action, direction, scope), &sums);
    }

    /// Adds an accepted row to its service.
    fn quick_serve(&mut self, row: &QuickRow, direction: Direction, mut probe: Probe<Key>) {
        let service = self.services.locate_or_insert(&mut probe, |key| {
            self.used += SERVICE_COST;
            Wide::new(key, Service::default())
        });
        service.value.absorb(&served(direction, row.packets, row.bytes));
    }

    /// Adds a refused row to its source, its port, its tuple and the sums.
    fn quick_reject(
        &mut self,
        row: &QuickRow,
        direction: Direction,
        mut probe: Probe<Key>,
        host: Address,
    ) {
        let (cell, src) = (probe.key.cell(), probe.key.remote());
        let source = self.sources.locate_or_insert(&mut probe, |key| {
            self.used += SOURCE_COST;
            Wide::new(key, Source::first(row.start, row.end, direction))
        });
        let source = &mut source.value;
        let scope = src.scope();
        let inside = scope == Scope::Private && host.scope() == Scope::Private;
        let flow = Flow::of_quick(row, src, host);
        source.add(direction, row.packets, row.bytes, (row.start, row.end));
        if !source.samples.is_full() {
            self.samples.add(&mut source.samples, &flow.evidence);
            self.used += SAMPLE_COST;
        }
        if flow.is_reply(self.mapping) {
            source.totals.replies += 1;
        } else {
            let contact = Contact { host, port: row.dstport, protocol: row.protocol };
            self.used += note_contact(&mut source.totals, contact);
        }
        self.tally_port(cell, PortKey { protocol: row.protocol, port: row.dstport });
        if inside {
            self.note_tuple(cell, &flow);
        }
        let scope = if direction == Direction::Ingress { scope } else { host.scope() };
        self.quick_sum(row, cell, direction, scope);
    }
}

/// The interface's own port.
#[inline]
fn own_port(row: &QuickRow, direction: Direction) -> u16 {
    if direction == Direction::Egress { row.srcport } else { row.dstport }
}

//! Quick rows, rolled up: what [`Accumulator::apply`] does, in fewer steps.
//!
//! What rows belong to is looked up for a whole batch before the first of them is added, each step for
//! all of them before the next: the processor then waits for memory once, not once a row. The batch is
//! sorted by what its rows are (accepted, of a watched service, refused), since nobody can foretell a
//! branch on that; sums do not depend on the order, and rows of one kind keep theirs.
//!
//! ```text
//! rows ─► aim: cell, direction, key, hash ─► slots of all ─► entries of all ─► accepted ─► services ─► refused
//!          └ an unknown head ends the batch      └ one that has no entry must be an address, or ends it
//! ```

use std::hint::{black_box, select_unpredictable};

use super::{Accumulator, CONTACT_COST, ChunkSink, PORT_COST, SAMPLE_COST};
use super::{SERVICE_COST, SOURCE_COST, TALKER_COST, TUPLE_COST};
use crate::decode::QuickRow;
use crate::record::{Action, Direction, Scope};
use crate::rollup::connections::served;
use crate::rollup::flow::{Flow, is_late_reply, note_contact};
use crate::rollup::known::Aim;
use crate::rollup::lists::Source;
use crate::rollup::table::{Key, Probe};
use crate::rollup::{Contact, PortKey, Service, Sums, Talker, Weigh as _, is_watched};

/// The most state that one row can add.
const MOST: usize = SOURCE_COST + SAMPLE_COST + CONTACT_COST + PORT_COST + TUPLE_COST;
const _: () = assert!(TALKER_COST + SERVICE_COST <= MOST);

/// The most rows that are looked up together.
const ROWS: usize = 64;

/// What was foreseen of the rows at hand.
#[derive(Debug, Default)]
pub(super) struct Batch {
    ahead: Vec<Ahead>,
    accepted: Kind,
    /// Of these, rows that use a watched service of the interface's own, and their look-ups.
    serving: Kind,
    services: Vec<Probe>,
    refused: Kind,
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

/// What was foreseen of one row.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    /// Of a refused row its source, of any other its talker.
    probe: Probe,
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
        self.foresee(&mut batch);
        let taken = self.quick_talks(rows, &mut batch);
        batch.serving.truncate(taken);
        batch.refused.truncate(taken);
        for (at, probe) in batch.serving.iter().zip(&batch.services) {
            self.quick_serve(&rows[at], batch.ahead[at].direction, *probe);
        }
        for at in batch.refused.iter() {
            self.quick_reject(&rows[at], &batch.ahead[at]);
        }
        if self.numbered {
            for (row, Ahead { probe, .. }) in rows.iter().zip(&batch.ahead[..taken]) {
                let path = row.traffic_path.map(|path| (path, row.bytes));
                let described = &mut self.cells[probe.key.cell() as usize].described;
                described.tally_numbers(row.tcp_flags, path, row.encryption_status);
            }
        }
        self.batch = Some(batch);
        if self.used > self.budget.state_bytes {
            self.relieve();
        }
        taken
    }

    /// Finds out where rows belong, up to the first of which that is not known.
    #[expect(clippy::needless_bitwise_bool, reason = "a branch on a row's kind is foretold badly")]
    fn aim(&self, rows: &[QuickRow], batch: &mut Batch) {
        let Batch { ahead, accepted, serving, services, refused } = batch;
        ahead.clear();
        services.clear();
        for kind in [&mut *accepted, serving, refused] {
            kind.count = 0;
        }
        let watches = self.mapping.has_connections();
        for (at, row) in (0..).zip(rows) {
            let Some(Aim { cell, direction, remote }) = self.known.aim(row) else { break };
            let is_refused = row.action == Action::Reject;
            let key = select_unpredictable(
                is_refused,
                Key::source(cell, row.src),
                Key::new(cell, remote, row.srcport.min(row.dstport), row.protocol),
            );
            ahead.push(Ahead { probe: Probe::new(key, &self.hasher), direction });
            refused.add_if(at, is_refused);
            accepted.add_if(at, !is_refused);
            let is_watched = is_watched(own_port(row, direction));
            serving.add_if(at, watches & !is_refused & is_watched);
        }
        for at in serving.iter() {
            let (row, Ahead { probe, direction }) = (&rows[at], &ahead[at]);
            let port = own_port(row, *direction);
            services.push(if port <= row.srcport.min(row.dstport) {
                *probe
            } else {
                Probe::new(probe.key.of_port(port), &self.hasher)
            });
        }
    }

    /// Asks memory for what the rows of a batch will be added to, one kind of thing after the other. The less
    /// a loop does, the more of what it asks for is under way at once.
    fn foresee(&self, batch: &mut Batch) {
        let Batch { ahead, accepted, services, refused, .. } = batch;
        let mut seen = 0;
        for at in accepted.iter() {
            seen ^= self.talkers.touch_slots(&ahead[at].probe);
        }
        for at in refused.iter() {
            seen ^= self.sources.touch_slots(&ahead[at].probe);
        }
        for probe in &*services {
            seen ^= self.services.touch_slots(probe);
        }
        for at in accepted.iter() {
            self.talkers.foresee(&mut ahead[at].probe);
        }
        for at in refused.iter() {
            self.sources.foresee(&mut ahead[at].probe);
        }
        for probe in &mut *services {
            self.services.foresee(probe);
        }
        for at in accepted.iter() {
            seen ^= self.talkers.touch(&ahead[at].probe);
        }
        for at in refused.iter() {
            seen ^= self.sources.touch(&ahead[at].probe);
        }
        for probe in &*services {
            seen ^= self.services.touch(probe);
        }
        for at in accepted.iter() {
            let Ahead { probe, direction } = &ahead[at];
            seen ^= self.sums.touch(probe.key.cell(), *direction);
        }
        for at in refused.iter() {
            let contacts = self.sources.foreseen(&ahead[at].probe).map(|s| &s.totals.contacts);
            seen ^= contacts.and_then(|c| c.first()).map_or(0, |contact| contact.port.into());
        }
        black_box(seen);
    }

    /// Adds the accepted rows to their talkers and to the sums, up to the first row that names something as
    /// an address that is none; returns its place. What an entry is kept under is an address, and so is
    /// the interface's own.
    fn quick_talks(&mut self, rows: &[QuickRow], batch: &mut Batch) -> usize {
        let Batch { ahead, accepted, refused, .. } = batch;
        let unusable = refused.iter().find(|at| {
            let Ahead { probe, direction } = &ahead[*at];
            let known = self.sources.is_foreseen(probe);
            !known && probe.key.address().is_none()
                || self.known.host(&rows[*at], *direction).is_none()
        });
        let end = unusable.unwrap_or(ahead.len());
        for at in accepted.iter().take_while(|at| *at < end) {
            let Ahead { probe, direction } = &mut ahead[at];
            if !self.talkers.is_foreseen(probe) && !self.meet(probe) {
                return at;
            }
            self.quick_talk(&rows[at], probe, *direction);
        }
        end
    }

    /// Finds the talker of a look-up, or makes it; whether it is one.
    #[cold]
    fn meet(&mut self, probe: &mut Probe) -> bool {
        let talker = self.talkers.locate_or_insert(probe, || {
            self.used += TALKER_COST;
            Talker::default()
        });
        talker.is_some()
    }

    /// Adds an accepted row to its talker, which is there, and to the sums.
    #[inline]
    fn quick_talk(&mut self, row: &QuickRow, probe: &Probe, direction: Direction) {
        let Some(talker) = self.talkers.located(probe) else { return };
        let scope = talker.scope();
        talker.value.add(direction, row.packets, row.bytes);
        let sums = Sums { records: 1, packets: row.packets, bytes: row.bytes };
        self.sums.add(probe.key.cell(), (row.action, direction, scope), &sums);
    }

    /// Adds an accepted row to its service.
    fn quick_serve(&mut self, row: &QuickRow, direction: Direction, mut probe: Probe) {
        let service = self.services.locate_or_insert(&mut probe, || {
            self.used += SERVICE_COST;
            Service::default()
        });
        if let Some(known) = service {
            known.value.absorb(&served(direction, row.packets, row.bytes));
        }
    }

    /// Adds a refused row to its source, its port, its tuple and the sums.
    fn quick_reject(&mut self, row: &QuickRow, Ahead { probe, direction }: &Ahead) {
        let cell = probe.key.cell();
        let Some(host) = self.known.host(row, *direction) else { return };
        let mut probe = *probe;
        let located = self.sources.locate_or_insert(&mut probe, || {
            self.used += SOURCE_COST;
            Source::first(row.start, row.end, *direction)
        });
        let Some(located) = located else { return };
        let scope = located.scope();
        let sampled = !located.value.samples.is_full();
        let inside = scope == Scope::Private && host.scope() == Scope::Private;
        // Only what is kept whole needs to know who it was.
        let src = (sampled || inside).then(|| located.address()).flatten();
        let source = located.value;
        source.add(*direction, row.packets, row.bytes, (row.start, row.end));
        let flow = src.map(|src| Flow::of_quick(row, src, host));
        if let Some(flow) = flow.filter(|_| sampled) {
            self.samples.add(&mut source.samples, &flow.evidence);
            self.used += SAMPLE_COST;
        }
        if is_late_reply(row.srcport, row.dstport, row.tcp_flags) {
            source.totals.replies += 1;
        } else {
            let contact = Contact { host, port: row.dstport, protocol: row.protocol };
            self.used += note_contact(&mut source.totals, contact);
        }
        self.tally_port(cell, PortKey { protocol: row.protocol, port: row.dstport });
        if let Some(flow) = flow.filter(|_| inside) {
            self.note_tuple(cell, &flow);
        }
        let scope = if *direction == Direction::Ingress { scope } else { host.scope() };
        let sums = Sums { records: 1, packets: row.packets, bytes: row.bytes };
        self.sums.add(cell, (row.action, *direction, scope), &sums);
    }
}

/// The interface's own port.
#[inline]
fn own_port(row: &QuickRow, direction: Direction) -> u16 {
    if direction == Direction::Egress { row.srcport } else { row.dstport }
}

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

use super::{Accumulator, CONTACT_COST, ChunkSink, PORT_COST, SAMPLE_COST, SAMPLES};
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

/// What was foreseen of the rows at hand.
#[derive(Debug, Default)]
pub(super) struct Batch {
    ahead: Vec<Ahead>,
    /// Places of the rows that were accepted, that use a watched service of the interface's own, that
    /// were refused; in order.
    accepted: Vec<usize>,
    services: Vec<(usize, Probe)>,
    refused: Vec<usize>,
}

/// What was foreseen of one row.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    /// Of a refused row its source, of any other its talker.
    probe: Probe,
    cell: u32,
    direction: Direction,
}

impl<C: ChunkSink> Accumulator<C> {
    /// Rolls up the first of these rows, as many as it knows what to do with; returns how many.
    pub(super) fn quick_batch(&mut self, rows: &[QuickRow]) -> usize {
        // Near the end of the budget one by one, since it decides where chunks are cut.
        let near = self.used + rows.len() * MOST > self.budget.state_bytes;
        let rows = if near { &rows[..rows.len().min(1)] } else { rows };
        let mut batch = std::mem::take(&mut self.batch);
        self.aim(rows, &mut batch);
        self.foresee(&mut batch);
        let taken = self.admit(rows, &mut batch);
        if taken < batch.ahead.len() {
            batch.accepted.retain(|at| *at < taken);
            batch.services.retain(|(at, _)| *at < taken);
            batch.refused.retain(|at| *at < taken);
        }
        for at in &batch.accepted {
            self.quick_talk(&rows[*at], &batch.ahead[*at]);
        }
        for (at, probe) in &batch.services {
            self.quick_serve(&rows[*at], batch.ahead[*at].direction, *probe);
        }
        for at in &batch.refused {
            self.quick_reject(&rows[*at], &batch.ahead[*at]);
        }
        if self.numbered {
            for (row, Ahead { cell, .. }) in rows.iter().zip(&batch.ahead[..taken]) {
                let path = row.traffic_path.map(|path| (path, row.bytes));
                let described = &mut self.cells[*cell as usize].described;
                described.tally_numbers(row.tcp_flags, path, row.encryption_status);
            }
        }
        self.batch = batch;
        if self.used > self.budget.state_bytes {
            self.relieve();
        }
        taken
    }

    /// Finds out where rows belong, up to the first of which that is not known.
    fn aim(&self, rows: &[QuickRow], batch: &mut Batch) {
        batch.ahead.clear();
        batch.accepted.clear();
        batch.services.clear();
        batch.refused.clear();
        let watches = self.mapping.has_connections();
        for (at, row) in rows.iter().enumerate() {
            let Some(Aim { cell, direction, remote }) = self.known.aim(row) else { break };
            let refused = row.action == Action::Reject;
            // Chosen, not branched to.
            let key = if refused {
                Key::source(cell, row.src)
            } else {
                Key::new(cell, remote, row.srcport.min(row.dstport), row.protocol)
            };
            let own_port = if direction == Direction::Egress { row.srcport } else { row.dstport };
            let probe = Probe::new(key, &self.hasher);
            batch.ahead.push(Ahead { probe, cell, direction });
            if refused {
                batch.refused.push(at);
                continue;
            }
            batch.accepted.push(at);
            if watches && is_watched(own_port) {
                let key = Key::new(cell, remote, own_port, row.protocol);
                let shared = own_port <= row.srcport.min(row.dstport);
                let probe = if shared { probe } else { Probe::new(key, &self.hasher) };
                batch.services.push((at, probe));
            }
        }
    }

    /// Asks memory for what the rows of a batch will be added to.
    fn foresee(&self, batch: &mut Batch) {
        let Batch { ahead, accepted, services, refused } = batch;
        for at in &*accepted {
            self.talkers.foresee(&mut ahead[*at].probe);
        }
        for at in &*refused {
            self.sources.foresee(&mut ahead[*at].probe);
        }
        for (_, probe) in &mut *services {
            self.services.foresee(probe);
        }
        let mut seen = 0;
        for at in &*accepted {
            let Ahead { probe, cell, direction } = &ahead[*at];
            let places = &self.cells[*cell as usize].sums;
            seen ^= self.talkers.touch(probe) ^ self.sums.touch(places, *direction);
        }
        for at in &*refused {
            seen ^= self.sources.touch(&ahead[*at].probe);
        }
        for (_, probe) in &*services {
            seen ^= self.services.touch(probe);
        }
        for at in &*refused {
            let contacts = self.sources.foreseen(&ahead[*at].probe).map(|s| &s.totals.contacts);
            seen ^= contacts.and_then(|c| c.first()).map_or(0, |contact| contact.port.into());
        }
        std::hint::black_box(seen);
    }

    /// Finds out for certain where accepted rows belong and makes entries of new talkers, up to the first
    /// row that names something as an address that is none; returns its place. What an entry is kept
    /// under is an address, and so is the interface's own.
    fn admit(&mut self, rows: &[QuickRow], batch: &mut Batch) -> usize {
        let Batch { ahead, accepted, refused, .. } = batch;
        let mut unusable = refused.iter().copied().find(|at| {
            let Ahead { probe, .. } = &ahead[*at];
            let known = self.sources.is_foreseen(probe);
            !known && probe.key.address().is_none() || rows[*at].dst.address().is_none()
        });
        let end = unusable.unwrap_or(ahead.len());
        for at in accepted.iter().copied().take_while(|at| *at < end) {
            let Ahead { probe, .. } = &mut ahead[at];
            if self.talkers.locate(probe) {
                continue;
            }
            let Some(address) = probe.key.address() else {
                unusable = Some(at);
                break;
            };
            probe.put(self.talkers.insert(probe.key, address, Talker::default()));
            self.used += TALKER_COST;
        }
        unusable.unwrap_or(ahead.len())
    }

    /// Adds an accepted row to its talker, which is there, and to the sums.
    #[inline]
    fn quick_talk(&mut self, row: &QuickRow, Ahead { probe, cell, direction }: &Ahead) {
        let Some((scope, talker)) = self.talkers.located(probe) else { return };
        talker.add(*direction, row.packets, row.bytes);
        let sums = Sums { records: 1, packets: row.packets, bytes: row.bytes };
        let places = &mut self.cells[*cell as usize].sums;
        self.sums.add(places, (row.action, *direction, scope), &sums);
    }

    /// Adds an accepted row to its service.
    fn quick_serve(&mut self, row: &QuickRow, direction: Direction, mut probe: Probe) {
        if !self.services.locate(&mut probe) {
            let Some(address) = probe.key.address() else { return };
            probe.put(self.services.insert(probe.key, address, Service::default()));
            self.used += SERVICE_COST;
        }
        if let Some((_, known)) = self.services.located(&probe) {
            known.absorb(&served(direction, row.packets, row.bytes));
        }
    }

    /// Adds a refused row to its source, its port, its tuple and the sums.
    fn quick_reject(&mut self, row: &QuickRow, Ahead { probe, cell, direction }: &Ahead) {
        let Some(host) = self.known.host(row, *direction) else { return };
        let mut probe = *probe;
        if !self.sources.locate(&mut probe) {
            let Some(address) = probe.key.address() else { return };
            let source = Source::first(row.start, row.end, *direction);
            probe.put(self.sources.insert(probe.key, address, source));
            self.used += SOURCE_COST;
        }
        let Some((scope, source)) = self.sources.located(&probe) else { return };
        source.add(*direction, row.packets, row.bytes, (row.start, row.end));
        let sampled = source.samples.len() < SAMPLES;
        let inside = scope == Scope::Private && host.scope() == Scope::Private;
        // Only what is kept whole needs to know who it was.
        let src = (sampled || inside).then(|| probe.key.address()).flatten();
        let flow = src.map(|src| Flow::of_quick(row, src, host));
        if let Some(flow) = flow.filter(|_| sampled) {
            source.samples.add(flow.evidence, &mut self.samples);
            self.used += SAMPLE_COST;
        }
        if is_late_reply(row.srcport, row.dstport, row.tcp_flags) {
            source.totals.replies += 1;
        } else {
            let contact = Contact { host, port: row.dstport, protocol: row.protocol };
            self.used += note_contact(&mut source.totals, contact);
        }
        self.tally_port(*cell, PortKey { protocol: row.protocol, port: row.dstport });
        if let Some(flow) = flow.filter(|_| inside) {
            self.note_tuple(*cell, &flow);
        }
        let scope = if *direction == Direction::Ingress { scope } else { host.scope() };
        let sums = Sums { records: 1, packets: row.packets, bytes: row.bytes };
        let places = &mut self.cells[*cell as usize].sums;
        self.sums.add(places, (row.action, *direction, scope), &sums);
    }
}

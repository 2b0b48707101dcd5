//! Quick rows, rolled up: what [`Accumulator::apply`] does, in fewer steps.
//!
//! What rows belong to is looked up for a whole batch before the first of them is added, each step for
//! all of them before the next: the processor then waits for memory once, not once a row.

use super::{Accumulator, SAMPLE_COST, SAMPLES, SERVICE_COST, SOURCE_COST, TALKER_COST};
use crate::decode::QuickRow;
use crate::record::{Action, Direction, Scope};
use crate::rollup::connections::served;
use crate::rollup::flow::{Flow, is_late_reply, note_contact};
use crate::rollup::known::Aim;
use crate::rollup::lists::Source;
use crate::rollup::table::{Key, Probe};
use crate::rollup::{Contact, PortKey, Service, Sums, Talker, Weigh as _, is_watched};

/// What was foreseen of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    aim: Aim,
    kind: Kind,
    /// Of a refused row its source, of any other its talker.
    probe: Probe,
    /// Of [`Kind::Serve`] its service.
    service: Probe,
}

/// What a row is, as far as it decides where it is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Accepted.
    Talk,
    /// Accepted, and of a watched service of the interface's own.
    Serve,
    /// Refused.
    Refuse,
}

impl Accumulator {
    /// Finds out where quick rows belong, and asks memory for it.
    pub(super) fn foresee(&mut self, rows: &[QuickRow]) {
        self.ahead.clear();
        for row in rows {
            let Some(aim) = self.known.aim(row) else { break };
            self.ahead.push(self.ahead_of(row, aim));
        }
        for Ahead { kind, probe, service, .. } in &mut self.ahead {
            match kind {
                Kind::Talk => self.talkers.foresee(probe),
                Kind::Serve => {
                    self.talkers.foresee(probe);
                    self.services.foresee(service);
                }
                Kind::Refuse => self.sources.foresee(probe),
            }
        }
        let touched = self.ahead.iter().map(|Ahead { kind, probe, service, .. }| match kind {
            Kind::Talk => self.talkers.touch(probe),
            Kind::Serve => self.talkers.touch(probe) ^ self.services.touch(service),
            Kind::Refuse => self.sources.touch(probe),
        });
        std::hint::black_box(touched.fold(0, |all, word| all ^ word));
    }

    #[inline]
    fn ahead_of(&self, row: &QuickRow, aim: Aim) -> Ahead {
        let own_port = match aim.direction {
            Direction::Egress => row.srcport,
            Direction::Ingress | Direction::Unknown => row.dstport,
        };
        let port = row.srcport.min(row.dstport);
        if row.action == Action::Reject {
            let probe = Probe::new(Key::source(aim.cell, row.src), &self.hasher);
            Ahead { aim, kind: Kind::Refuse, probe, service: probe }
        } else {
            let key = Key::new(aim.cell, aim.remote, port, row.protocol);
            let probe = Probe::new(key, &self.hasher);
            if self.mapping.has_connections() && is_watched(own_port) {
                let service = if own_port == port {
                    probe
                } else {
                    let key = Key::new(aim.cell, aim.remote, own_port, row.protocol);
                    Probe::new(key, &self.hasher)
                };
                Ahead { aim, kind: Kind::Serve, probe, service }
            } else {
                Ahead { aim, kind: Kind::Talk, probe, service: probe }
            }
        }
    }

    /// Rolls up one quick row, of which `place` tells what was foreseen.
    #[inline]
    pub(super) fn quick_row(&mut self, row: &QuickRow, place: usize) -> Option<()> {
        let ahead = *self.ahead.get(place)?;
        let scope = match ahead.kind {
            Kind::Talk => self.quick_talk(row, &ahead)?,
            Kind::Serve => {
                let scope = self.quick_talk(row, &ahead)?;
                self.quick_serve(row, &ahead, scope);
                scope
            }
            Kind::Refuse => self.quick_reject(row, &ahead)?,
        };
        let sums = Sums { records: 1, packets: row.packets, bytes: row.bytes };
        let key = (row.action, ahead.aim.direction, scope);
        self.cells[ahead.aim.cell as usize].sums.add(key, &sums);
        if self.used > self.budget.state_bytes {
            self.relieve();
            self.ahead.clear();
        }
        Some(())
    }

    /// Adds an accepted row to its talker; returns the scope of its address. `None`, and nothing is
    /// changed, if that is none.
    #[inline]
    fn quick_talk(&mut self, row: &QuickRow, Ahead { aim, probe, .. }: &Ahead) -> Option<Scope> {
        if let Some((scope, talker)) = self.talkers.get_mut(probe) {
            talker.add(aim.direction, row.packets, row.bytes);
            return Some(scope);
        }
        let scope = aim.remote.address()?.scope();
        let talker = self.talkers.insert(probe.key.scoped(scope), Talker::default());
        talker.add(aim.direction, row.packets, row.bytes);
        self.used += TALKER_COST;
        Some(scope)
    }

    /// Adds an accepted row to its service.
    #[inline]
    fn quick_serve(&mut self, row: &QuickRow, Ahead { aim, service, .. }: &Ahead, scope: Scope) {
        let use_of_it = served(aim.direction, row.packets, row.bytes);
        if let Some((_, known)) = self.services.get_mut(service) {
            known.absorb(&use_of_it);
            return;
        }
        let known = self.services.insert(service.key.scoped(scope), Service::default());
        known.absorb(&use_of_it);
        self.used += SERVICE_COST;
    }

    /// Adds a refused row to its source; returns the scope of the other side's address. `None`, and
    /// nothing is changed, if one of the addresses is none.
    fn quick_reject(&mut self, row: &QuickRow, Ahead { aim, probe, .. }: &Ahead) -> Option<Scope> {
        let host = row.dst.address()?;
        let (scope, source) = if let Some(found) = self.sources.get_mut(probe) {
            found
        } else {
            let scope = row.src.address()?.scope();
            let source = Source::first(row.start, row.end, aim.direction);
            self.used += SOURCE_COST;
            (scope, self.sources.insert(probe.key.scoped(scope), source))
        };
        source.add(aim.direction, row.packets, row.bytes, (row.start, row.end));
        if source.samples.len() < SAMPLES
            && let Some(flow) = Flow::of_quick(row)
        {
            source.samples.push(flow.evidence);
            self.used += SAMPLE_COST;
        }
        if is_late_reply(row.srcport, row.dstport, None) {
            source.totals.replies += 1;
        } else {
            let contact = Contact { host, port: row.dstport, protocol: row.protocol };
            self.used += note_contact(&mut source.totals, contact);
        }
        self.tally_port(aim.cell, PortKey { protocol: row.protocol, port: row.dstport });
        if scope == Scope::Private
            && host.scope() == Scope::Private
            && let Some(flow) = Flow::of_quick(row)
        {
            self.note_tuple(aim.cell, &flow);
        }
        Some(if aim.direction == Direction::Ingress { scope } else { host.scope() })
    }
}

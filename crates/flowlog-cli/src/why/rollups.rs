//! What a store's roll-ups say of a path: less than the records, which are not kept.
//!
//! A roll-up names an interface and whom it talked with, not its own address. That shows where the
//! interface refused something: the contacts of a refused source are its own address. Refused
//! connections between private addresses are kept with what was accepted each way, so refusals are
//! told well, and losses between two interfaces only where both are known.

use std::collections::BTreeSet;

use flowlog_core::record::{Address, Direction};
use flowlog_core::rollup::{Rollup, Talker, Verdicts};
use flowlog_core::why::{
    Basis, End, Evidence, Heard, Leg, Legs, Path, Place, SERVICES, Seen, Service,
};

use crate::ask::Material;

/// What the roll-ups of every interface say.
pub fn from_rollups(material: &Material, path: Path) -> Evidence {
    let mut evidence = Evidence::nothing(path, Basis::RollUps);
    let windows = || material.answers.iter().flat_map(|(_, answer)| answer.windows.keys().copied());
    let all = windows().min().zip(windows().max());
    for (id, answer) in &material.answers {
        let folded = answer.fold();
        let own = own_address(&folded, path);
        let side = match own {
            Some(own) if own == path.src => Side::Source,
            Some(own) if own == path.dst => Side::Destination,
            _ => continue,
        };
        let ends = answer.windows.keys().next().zip(answer.windows.keys().next_back());
        let span = ends.map(|(first, last)| (first.start(), last.end() - 1));
        let gaps = answer.windows.iter().filter(|(_, totals)| totals.skipdata > 0);
        let gaps: Vec<_> = gaps.map(|(window, _)| (window.start(), window.end() - 1)).collect();
        let mut heard = Heard::default();
        for window in answer.windows.keys() {
            heard.add(window.start(), window.end() - 1);
        }
        let silent = all.map(|(from, to)| heard.silences(from, to)).unwrap_or_default();
        let place =
            Place { vpc_id: folded.vpc_id.clone(), subnet_id: folded.about.subnet_id.clone() };
        let end = match side {
            Side::Source => &mut evidence.src,
            Side::Destination => &mut evidence.dst,
        };
        end.silent.extend(silent);
        join(end, id.clone(), place, gaps, span);
        legs(&folded, side, span.unwrap_or_default(), &mut evidence);
    }
    evidence
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

fn join(end: &mut End, id: String, place: Place, gaps: Vec<(i64, i64)>, span: Option<(i64, i64)>) {
    end.interfaces.insert(id, place);
    end.gaps.extend(gaps);
    end.span = match (end.span, span) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    };
}

/// Which end of the path an interface is, as far as its roll-up tells.
fn own_address(rollup: &Rollup, path: Path) -> Option<Address> {
    let ends = [path.src, path.dst];
    let talked: BTreeSet<Address> = rollup.talkers.iter().map(|(key, _)| key.remote).collect();
    let mut shown: BTreeSet<Address> = BTreeSet::new();
    for (source, refused) in rollup.rejected_sources.iter() {
        match refused.direction {
            Direction::Ingress => shown.extend(refused.contacts.iter().map(|c| c.host)),
            Direction::Egress => _ = shown.insert(*source),
            Direction::Unknown => {}
        }
    }
    if let Some(own) = ends.into_iter().find(|end| shown.contains(end)) {
        return Some(own);
    }
    // Of a refused connection's two ends, the one that it talked with is not its own.
    rollup.rejected_tuples.iter().find_map(|(tuple, _)| {
        let ours = |own: Address, other: Address| {
            (ends.contains(&own) && talked.contains(&other) && !talked.contains(&own))
                .then_some(own)
        };
        ours(tuple.client, tuple.server).or_else(|| ours(tuple.server, tuple.client))
    })
}

/// Adds what one end's roll-up says of the path.
fn legs(rollup: &Rollup, side: Side, span: (i64, i64), evidence: &mut Evidence) {
    let Path { src, dst, port, protocol } = evidence.path;
    let asked = |service: Service| {
        port.is_none_or(|asked| asked == service.port)
            && protocol.is_none_or(|asked| asked == service.protocol)
    };
    let mut told: BTreeSet<Service> = BTreeSet::new();
    for (tuple, verdicts) in rollup.rejected_tuples.iter() {
        let service = Service { protocol: tuple.protocol, port: tuple.port };
        if (tuple.client, tuple.server) == (src, dst) && asked(service) {
            told.insert(service);
            add(evidence, service, side, refused(verdicts, span));
        }
    }
    let other = if side == Side::Source { dst } else { src };
    for (key, talker) in rollup.talkers.iter().filter(|(key, _)| key.remote == other) {
        let service = Service { protocol: key.protocol, port: key.port };
        if asked(service) && !told.contains(&service) {
            add(evidence, service, side, accepted(talker, side, span));
        }
    }
    // Refused strangers are in no tuple, but their contacts are listed.
    if side == Side::Destination
        && let Some(source) = rollup.rejected_sources.get(&src)
    {
        for contact in source.contacts.iter().filter(|contact| contact.host == dst) {
            let service = Service { protocol: contact.protocol, port: contact.port };
            if asked(service) && !told.contains(&service) {
                let seen = seen(1, (source.first, source.last));
                add(
                    evidence,
                    service,
                    side,
                    [Leg { refused: seen, ..Leg::default() }, Leg::default()],
                );
            }
        }
    }
}

fn add(evidence: &mut Evidence, service: Service, side: Side, [there, back]: [Leg; 2]) {
    let full = evidence.services.len() >= SERVICES;
    if full && !evidence.services.contains_key(&service) {
        evidence.more_services += 1;
        return;
    }
    let Legs { sent, arrived, answered, returned } = evidence.services.entry(service).or_default();
    let (forward, backward) = match side {
        Side::Source => (sent, returned),
        Side::Destination => (arrived, answered),
    };
    forward.merge(&there);
    backward.merge(&back);
}

fn seen(records: u64, (first, last): (i64, i64)) -> Seen {
    Seen { records, first, last, ..Seen::default() }
}

/// Refused records, and accepted packets: those of records are not kept apart.
fn refused(verdicts: &Verdicts, span: (i64, i64)) -> [Leg; 2] {
    let refused = (verdicts.first, verdicts.last);
    [
        (verdicts.rejected_forward, verdicts.accepted_forward),
        (verdicts.rejected_back, verdicts.accepted_back),
    ]
    .map(|(rejected, packets)| Leg {
        accepted: Seen { packets, ..seen(packets, span) },
        refused: seen(rejected, refused),
    })
}

fn accepted(talker: &Talker, side: Side, span: (i64, i64)) -> [Leg; 2] {
    let (there, back) = match side {
        Side::Source => (talker.packets_out, talker.packets_in),
        Side::Destination => (talker.packets_in, talker.packets_out),
    };
    [there, back].map(|packets| Leg {
        accepted: Seen { packets, ..seen(packets, span) },
        refused: Seen::default(),
    })
}

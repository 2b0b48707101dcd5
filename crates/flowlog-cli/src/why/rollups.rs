//! What a store's roll-ups say of a path: less than the records, which are not kept.
//!
//! A roll-up names an interface and whom it talked with, not its own address. That shows where the
//! interface refused something: the contacts of a refused source are its own address. Refused
//! connections between private addresses are kept with what was accepted each way, so refusals are
//! told well, and losses between two interfaces only where both are known. Of an interface whose own address
//! does not show it is said what it exchanged with either end: it may be the other one.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::{Address, Direction, Scope};
use flowlog_core::rollup::{Rollup, Talker, Verdicts};
use flowlog_core::why::{
    Basis, End, Evidence, Heard, Leg, Legs, Passed, Path, Place, SERVICES, Seen, Service, Shows,
};

use crate::ask::Material;

/// What the roll-ups of every interface say.
pub fn from_rollups(material: &Material, path: Path) -> Evidence {
    let mut evidence = Evidence::nothing(path, Basis::RollUps);
    let windows = || material.answers.iter().flat_map(|(_, answer)| answer.windows.keys().copied());
    let all = windows().min().zip(windows().max());
    let mut shows: BTreeMap<String, Shows> = BTreeMap::new();
    let mut ends_vpcs = Vec::new();
    for (id, answer) in &material.answers {
        let folded = answer.fold();
        shows.entry(folded.vpc_id.clone()).or_default().add(shown(&folded));
        let own = own_addresses(&folded);
        let side = if own.contains(&path.src) {
            Side::Source
        } else if own.contains(&path.dst) {
            Side::Destination
        } else {
            if !own.iter().any(|own| is_v4(*own) == is_v4(path.src)) {
                evidence.hidden += 1;
                evidence.passed.extend(passed(id, &folded, path));
            }
            continue;
        };
        ends_vpcs.push((side, folded.vpc_id.clone()));
        let ends = answer.windows.keys().next().zip(answer.windows.keys().next_back());
        let span = ends.map(|(first, last)| (first.start(), last.end() - 1));
        let gaps = answer.windows.iter().filter(|(_, totals)| totals.skipdata > 0);
        let gaps: Vec<_> = gaps.map(|(window, _)| (window.start(), window.end() - 1)).collect();
        let mut heard = Heard::default();
        for window in answer.windows.keys() {
            heard.add(window.start(), window.end() - 1);
        }
        let silent =
            all.map(|(from, to)| heard.silences(from.start(), to.end() - 1)).unwrap_or_default();
        let place =
            Place { vpc_id: folded.vpc_id.clone(), subnet_id: folded.about.subnet_id.clone() };
        let end = match side {
            Side::Source => &mut evidence.src,
            Side::Destination => &mut evidence.dst,
        };
        end.silent.extend(silent);
        end.cut |= is_cut(&folded, path);
        join(end, id.clone(), place, gaps, span);
        legs(&folded, side, span.unwrap_or_default(), &mut evidence);
    }
    for (side, vpc) in ends_vpcs {
        let end = match side {
            Side::Source => &mut evidence.src,
            Side::Destination => &mut evidence.dst,
        };
        end.shows.add(shows.get(&vpc).copied().unwrap_or_default());
    }
    // Of an end that is known, no other interface is.
    let (src, dst) = (evidence.src.is_covered(), evidence.dst.is_covered());
    evidence.passed.retain(|passed| if passed.with_dst { !src } else { !dst });
    evidence.passed.sort_unstable();
    for service in worth_asking(&evidence) {
        evidence.services.entry(service).or_default();
    }
    evidence
}

/// Of which verdicts there are records.
fn shown(rollup: &Rollup) -> Shows {
    let totals = rollup.totals();
    let any = |records: u64| records > 0 || totals.other.records > 0;
    Shows { accepted: any(totals.accept.records), refused: any(totals.reject.records) }
}

/// Whether what was accepted, or refused, on a path may be missing in the lists.
fn is_cut(rollup: &Rollup, Path { src, dst, .. }: Path) -> bool {
    let inside = [src, dst].iter().all(|address| address.scope() == Scope::Private);
    let refused =
        if inside { rollup.rejected_tuples.error() } else { rollup.rejected_sources.error() };
    rollup.talkers.error() + refused > 0
}

fn is_asked(service: Service, Path { port, protocol, .. }: Path) -> bool {
    port.is_none_or(|asked| asked == service.port)
        && protocol.is_none_or(|asked| asked == service.protocol)
}

/// What an interface whose own address does not show exchanged with one of the ends. With both: it is neither.
fn passed(id: &str, rollup: &Rollup, path: Path) -> Vec<Passed> {
    let with = |end: Address| rollup.talkers.iter().filter(move |(key, _)| key.remote == end);
    if with(path.src).next().is_some() && with(path.dst).next().is_some() {
        return Vec::new();
    }
    with(path.src)
        .chain(with(path.dst))
        .map(|(key, talker)| Passed {
            with_dst: key.remote == path.dst,
            interface: id.to_owned(),
            service: Service { protocol: key.protocol, port: key.port },
            packets_in: talker.packets_in,
            packets_out: talker.packets_out,
        })
        .filter(|passed| is_asked(passed.service, path))
        .collect()
}

/// Services that may have been used on the path: a port that is asked about, otherwise what passed near both ends.
fn worth_asking(evidence: &Evidence) -> BTreeSet<Service> {
    let near = |dst: bool| {
        let near = evidence.passed.iter().filter(move |passed| passed.with_dst == dst);
        near.map(|passed| passed.service).collect::<BTreeSet<Service>>()
    };
    let [src, dst] = [near(false), near(true)];
    let mut found: BTreeSet<Service> = match evidence.path.port {
        Some(_) => src.union(&dst).copied().collect(),
        None => src.intersection(&dst).copied().collect(),
    };
    found.retain(|service| !evidence.services.contains_key(service));
    found.into_iter().take(SERVICES.saturating_sub(evidence.services.len())).collect()
}

fn is_v4(address: Address) -> bool {
    matches!(address, Address::V4(_))
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

/// The addresses that an interface has itself, as far as its roll-up tells: only where it refused something.
fn own_addresses(rollup: &Rollup) -> BTreeSet<Address> {
    let talked: BTreeSet<Address> = rollup.talkers.iter().map(|(key, _)| key.remote).collect();
    let mut shown: BTreeSet<Address> = BTreeSet::new();
    for (source, refused) in rollup.rejected_sources.iter() {
        match refused.direction {
            Direction::Ingress => shown.extend(refused.contacts.iter().map(|c| c.host)),
            Direction::Egress => _ = shown.insert(*source),
            Direction::Unknown => {}
        }
    }
    // Of a refused connection's two ends, the one that it talked with is not its own.
    for (tuple, _) in rollup.rejected_tuples.iter() {
        match [tuple.client, tuple.server].map(|end| talked.contains(&end)) {
            [false, true] => _ = shown.insert(tuple.client),
            [true, false] => _ = shown.insert(tuple.server),
            _ => {}
        }
    }
    shown
}

/// Adds what one end's roll-up says of the path.
fn legs(rollup: &Rollup, side: Side, span: (i64, i64), evidence: &mut Evidence) {
    let path = evidence.path;
    let Path { src, dst, .. } = path;
    let asked = |service: Service| is_asked(service, path);
    let mut told: BTreeSet<Service> = BTreeSet::new();
    for (tuple, _) in rollup.rejected_tuples.iter() {
        let service = Service { protocol: tuple.protocol, port: tuple.port };
        if (tuple.client, tuple.server) == (src, dst)
            && asked(service)
            && let Some(verdicts) = rollup.verdicts(tuple)
        {
            told.insert(service);
            add(evidence, service, side, refused(&verdicts, span));
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

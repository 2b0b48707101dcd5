//! What a store's roll-ups say of a path: less than the records, which are not kept.
//!
//! A roll-up names an interface and whom it talked with, not its own address. That shows where the
//! interface refused something: the contacts of a refused source are its own address. Refused
//! connections between private addresses are kept with what was accepted each way, so refusals are
//! told well, and losses between two interfaces only where both are known. Of an interface whose own address
//! does not show it is said what it exchanged with either end: it may be the other one.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_core::record::{Address, Direction, Scope, WINDOWS_PER_HOUR, Window};
use flowlog_core::rollup::{Rollup, Talker, Verdicts};
use flowlog_core::store::reader::Answer;
use flowlog_core::why::{
    Basis, End, Evidence, Heard, Leg, Legs, Passed, Path, Place, SERVICES, Seen, Service, Shows,
};

use crate::ask::Material;

/// What the roll-ups of every interface say.
pub fn from_rollups(material: &Material, path: Path) -> Evidence {
    let mut all = FromRollups::new(path);
    for (id, answer) in &material.answers {
        all.add(id, answer);
    }
    all.finish()
}

/// So many hours are read window by window, the latest ones; the others are told apart by hours.
const UNCLEAR: usize = 48;

/// Takes in what a store has of one interface after the other. Memory depends on their number, and on how many
/// pieces of time the path was used in.
#[derive(Debug)]
pub struct FromRollups {
    evidence: Evidence,
    /// By VPC.
    shows: BTreeMap<String, Shows>,
    ends: BTreeMap<String, Known>,
    /// The first and the last window of all interfaces.
    all: Option<(Window, Window)>,
}

/// An interface whose own address is one of the two.
#[derive(Debug)]
struct Known {
    side: Side,
    place: Place,
    heard: Heard,
    gaps: Vec<(i64, i64)>,
    span: Option<(i64, i64)>,
    cut: bool,
    /// What became of each service, there and back, by the first window of each roll-up.
    pieces: BTreeMap<Window, BTreeMap<Service, [Leg; 2]>>,
}

impl FromRollups {
    /// Nothing known yet.
    pub fn new(path: Path) -> Self {
        let evidence = Evidence::nothing(path, Basis::RollUps);
        Self { evidence, shows: BTreeMap::new(), ends: BTreeMap::new(), all: None }
    }

    /// Adds what is known of an interface, in roll-ups of windows or of hours.
    pub fn add(&mut self, id: &str, answer: &Answer) {
        let path = self.evidence.path;
        let ends = answer.windows.keys().next().zip(answer.windows.keys().next_back());
        if let Some((first, last)) = ends {
            let (from, to) = self.all.unwrap_or((*first, *last));
            self.all = Some((from.min(*first), to.max(*last)));
        }
        // A transit gateway's attachment has no address of its own, and no verdicts.
        if id.starts_with("tgw-attach-") {
            return;
        }
        let folded = answer.fold();
        self.shows.entry(folded.vpc_id.clone()).or_default().add(shown(&folded));
        let own = own_addresses(&folded);
        let side = if own.contains(&path.src) {
            Side::Source
        } else if own.contains(&path.dst) {
            Side::Destination
        } else {
            if !own.iter().any(|own| is_v4(*own) == is_v4(path.src)) {
                self.evidence.hidden += 1;
                self.evidence.passed.extend(passed(id, &folded, path));
            }
            return;
        };
        let mut heard = Heard::default();
        for window in answer.windows.keys() {
            heard.add(window.start(), window.end() - 1);
        }
        let gaps = answer.windows.iter().filter(|(_, totals)| totals.skipdata > 0);
        let known = Known {
            side,
            place: Place {
                vpc_id: folded.vpc_id.clone(),
                subnet_id: folded.about.subnet_id.clone(),
            },
            heard,
            gaps: gaps.map(|(window, _)| (window.start(), window.end() - 1)).collect(),
            span: ends.map(|(first, last)| (first.start(), last.end() - 1)),
            cut: is_cut(&folded, path),
            pieces: pieces(answer, side, path),
        };
        self.ends.insert(id.to_owned(), known);
    }

    /// The interfaces that are known to be an end.
    pub fn known(&self) -> impl Iterator<Item = &str> {
        self.ends.keys().map(String::as_str)
    }

    /// The hours in which a service was both accepted and refused: which was first, only [windows](Self::refine) tell.
    pub fn unclear(&self) -> Vec<Window> {
        let mut met: BTreeMap<(Window, Service), (bool, bool)> = BTreeMap::new();
        for (window, services) in self.ends.values().flat_map(|known| &known.pieces) {
            for (service, legs) in services {
                let (accepted, refused) = met.entry((window.hour(), *service)).or_default();
                *accepted |= legs.iter().any(|leg| !leg.accepted.is_empty());
                *refused |= legs.iter().any(|leg| !leg.refused.is_empty());
            }
        }
        let both = met.into_iter().filter(|(_, met)| *met == (true, true));
        let mut hours: Vec<Window> = both.map(|((hour, _), _)| hour).collect();
        hours.dedup();
        hours.split_off(hours.len().saturating_sub(UNCLEAR))
    }

    /// Replaces what is known of an interface in an hour by what its windows say.
    pub fn refine(&mut self, id: &str, hour: Window, answer: &Answer) {
        let path = self.evidence.path;
        if let Some(known) = self.ends.get_mut(id) {
            known.pieces.retain(|window, _| window.hour() != hour);
            known.pieces.extend(pieces(answer, known.side, path));
        }
    }

    /// What all of it amounts to.
    pub fn finish(self) -> Evidence {
        let Self { mut evidence, shows, mut ends, all } = self;
        // VPCs may have the same addresses: those that have nothing of the pair are other hosts, if others have.
        for side in [Side::Source, Side::Destination] {
            let used = ends.values().filter(|known| known.side == side && !known.pieces.is_empty());
            let vpcs: BTreeSet<String> = used.map(|known| known.place.vpc_id.clone()).collect();
            ends.retain(|_, known| known.side != side || !known.place.is_beside(&vpcs));
        }
        for (id, known) in ends {
            let Known { side, place, heard, gaps, span, cut, pieces } = known;
            let silent = all.map(|(from, to)| heard.silences(from.start(), to.end() - 1));
            let end = match side {
                Side::Source => &mut evidence.src,
                Side::Destination => &mut evidence.dst,
            };
            end.silent.extend(silent.unwrap_or_default());
            end.cut |= cut;
            end.shows.add(shows.get(&place.vpc_id).copied().unwrap_or_default());
            join(end, id, place, gaps, span);
            for (service, legs) in pieces.into_values().flatten() {
                add(&mut evidence, service, side, legs);
            }
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
}

/// What an end's roll-ups say of the path, one by one.
fn pieces(
    answer: &Answer,
    side: Side,
    path: Path,
) -> BTreeMap<Window, BTreeMap<Service, [Leg; 2]>> {
    let windows = answer.detailed.iter().map(|(window, rollup)| (*window, *window, rollup));
    let hours = answer.hours.iter();
    let hours = hours.map(|(hour, rollup)| (*hour, hour.forward(WINDOWS_PER_HOUR - 1), rollup));
    let legs = windows.chain(hours).map(|(first, last, rollup)| {
        // What was accepted has no times, but in these windows there was something.
        let busy = answer.windows.range(first..=last).filter(|(_, t)| t.totals.accept.records > 0);
        let busy: Vec<Window> = busy.map(|(window, _)| *window).collect();
        let from = busy.first().copied().unwrap_or(first).start();
        let to = busy.last().copied().unwrap_or(last).end() - 1;
        (first, legs(rollup, side, path, At { window: first, span: (from, to) }))
    });
    legs.filter(|(_, services)| !services.is_empty()).collect()
}

/// When something was accepted, as far as its roll-up tells.
#[derive(Debug, Clone, Copy)]
struct At {
    /// The roll-up's first window.
    window: Window,
    /// First and last second.
    span: (i64, i64),
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What one roll-up of an end says of the path: of each service, there and back.
fn legs(rollup: &Rollup, side: Side, path: Path, at: At) -> BTreeMap<Service, [Leg; 2]> {
    let Path { src, dst, .. } = path;
    let mut found: BTreeMap<Service, [Leg; 2]> = BTreeMap::new();
    for (tuple, _) in rollup.rejected_tuples.iter() {
        let service = Service { protocol: tuple.protocol, port: tuple.port };
        if (tuple.client, tuple.server) == (src, dst)
            && is_asked(service, path)
            && let Some(verdicts) = rollup.verdicts(tuple)
        {
            found.insert(service, refused(&verdicts, at));
        }
    }
    let other = if side == Side::Source { dst } else { src };
    let mut more: Vec<(Service, [Leg; 2])> = Vec::new();
    for (key, talker) in rollup.talkers.iter().filter(|(key, _)| key.remote == other) {
        let service = Service { protocol: key.protocol, port: key.port };
        if is_asked(service, path) && !found.contains_key(&service) {
            more.push((service, accepted(talker, side, at)));
        }
    }
    // Refused strangers are in no tuple, but their contacts are listed.
    if side == Side::Destination
        && let Some(source) = rollup.rejected_sources.get(&src)
    {
        for contact in source.contacts.iter().filter(|contact| contact.host == dst) {
            let service = Service { protocol: contact.protocol, port: contact.port };
            if is_asked(service, path) && !found.contains_key(&service) {
                let seen = seen(1, 0, (source.first, source.last), at.window);
                let there = Leg { refused: seen, ..Leg::default() };
                more.push((service, [there, Leg::default()]));
            }
        }
    }
    for (service, legs) in more {
        let mine = found.entry(service).or_default();
        mine.iter_mut().zip(&legs).for_each(|(mine, leg)| mine.merge(leg));
    }
    found
}

/// Adds what one roll-up of an end says of a service.
fn add(evidence: &mut Evidence, service: Service, side: Side, [there, back]: [Leg; 2]) {
    let full = evidence.services.len() >= SERVICES;
    if full && !evidence.services.contains_key(&service) {
        evidence.more_services += 1;
        return;
    }
    let Legs { sent, arrived, answered, returned, .. } =
        evidence.services.entry(service).or_default();
    let (forward, backward) = match side {
        Side::Source => (sent, returned),
        Side::Destination => (arrived, answered),
    };
    forward.merge(&there);
    backward.merge(&back);
}

fn seen(records: u64, packets: u64, (first, last): (i64, i64), window: Window) -> Seen {
    if records + packets == 0 {
        return Seen::default();
    }
    Seen { records, packets, first, last, windows: [window].into(), ..Seen::default() }
}

/// Refused records, and accepted packets: those of records are not kept apart.
fn refused(verdicts: &Verdicts, at: At) -> [Leg; 2] {
    let refused = (verdicts.first, verdicts.last);
    [
        (verdicts.rejected_forward, verdicts.accepted_forward),
        (verdicts.rejected_back, verdicts.accepted_back),
    ]
    .map(|(rejected, packets)| Leg {
        accepted: seen(0, packets, at.span, at.window),
        refused: seen(rejected, 0, refused, at.window),
    })
}

fn accepted(talker: &Talker, side: Side, at: At) -> [Leg; 2] {
    let (there, back) = match side {
        Side::Source => (talker.packets_out, talker.packets_in),
        Side::Destination => (talker.packets_in, talker.packets_out),
    };
    [there, back].map(|packets| Leg {
        accepted: seen(0, packets, at.span, at.window),
        refused: Seen::default(),
    })
}

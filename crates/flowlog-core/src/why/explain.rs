//! The verdict: a pure function from what both ends recorded.

use super::words::{self, Words};
use super::{
    Basis, End, Evidence, Leg, Legs, Seen, Service, Shows, TOGETHER, Unread, is_bare, is_carried,
    is_stranger,
};
use crate::record::{Address, WINDOW_SECONDS};

/// What became of the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There and back again.
    Accepted,
    /// Accepted and refused in turns.
    Mixed,
    /// It arrived, and what came back was a reset: nothing listens there.
    Reset,
    /// It arrived, as far as our interfaces see, and nothing was answered.
    Unanswered,
    /// Refused on its way, at one end: where it was sent (`true`) or where it arrived.
    RefusedForward {
        /// Refused as it left A, not as it reached B.
        leaving: bool,
    },
    /// Accepted on its way and the answer refused, at one end.
    RefusedBack {
        /// Refused as it left B, not as it reached A.
        leaving: bool,
    },
    /// A transit gateway dropped it on its way, or the answer.
    Dropped {
        /// The answer.
        back: bool,
    },
    /// Sent and never received, as far as that is on record.
    NeverArrived,
    /// Received and answered, and the answer never received.
    AnswerLost,
    /// Records are missing where the answer would be.
    Gap,
    /// Nothing was sent.
    NoTraffic,
    /// What is missing could not show where it is missed.
    Undetermined,
}

impl Outcome {
    /// A stable name in snake case.
    pub fn code(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Mixed => "mixed",
            Self::Reset => "reset",
            Self::Unanswered => "unanswered",
            Self::RefusedForward { .. } => "forward_refused",
            Self::RefusedBack { .. } => "answer_refused",
            Self::Dropped { back: false } => "dropped_by_gateway",
            Self::Dropped { back: true } => "answer_dropped_by_gateway",
            Self::NeverArrived => "sent_never_received",
            Self::AnswerLost => "answer_lost",
            Self::Gap => "data_gap",
            Self::NoTraffic => "no_traffic",
            Self::Undetermined => "undetermined",
        }
    }
}

/// How far the records bear the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sureness {
    /// Something that matters is not recorded.
    Possible,
    /// One end is not recorded, or records are missing near it.
    Likely,
    /// Records at the places that matter say so.
    Certain,
}

impl Sureness {
    /// `certain`, `likely` or `possible`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Possible => "possible",
        }
    }
}

/// The answer for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which; `None` if no record names one and none was asked for.
    pub service: Option<Service>,
    /// What became of the packets.
    pub outcome: Outcome,
    /// How sure that is.
    pub sureness: Sureness,
    /// The verdict in a sentence.
    pub verdict: String,
    /// What may be the cause, the likeliest first.
    pub causes: Vec<String>,
    /// What to look at or to change.
    pub advice: Vec<String>,
    /// What else there is to know: what was before, what limits the answer.
    pub notes: Vec<String>,
    /// What the records say, leg by leg.
    pub legs: Legs,
}

/// A verdict and what limits it.
pub(super) struct Ruling {
    pub(super) outcome: Outcome,
    pub(super) sureness: Sureness,
    pub(super) notes: Vec<String>,
    /// Why nothing follows from what is missing.
    pub(super) doubts: Vec<Doubt>,
}

/// Why a record that is missing may be missing for another reason than that there was nothing to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nothing refused is on record at this end: its flow log may be of accepted traffic only.
    NoRefusals(Address),
    /// Nothing accepted is on record at this end: its flow log may be of refused traffic only.
    NothingAccepted(Address),
    /// Its roll-ups list the heaviest only.
    Cut(Address),
    /// Roll-ups do not tell which interface it is.
    Hidden,
}

/// See [`Evidence::explain`].
pub(super) fn explain(evidence: &Evidence) -> Vec<Explanation> {
    let asked = evidence.path.port.map(|port| Service {
        port,
        protocol: evidence.path.protocol.unwrap_or(if port == 0 { 1 } else { 6 }),
    });
    let services = evidence.services.iter().map(|(service, legs)| (Some(*service), legs.clone()));
    let mut all: Vec<_> = services.collect();
    if all.is_empty() {
        all.push((asked, Legs::default()));
    }
    all.sort_by_key(|(service, legs)| (std::cmp::Reverse(weight(legs)), *service));
    all.into_iter().map(|(service, legs)| one(evidence, service, legs)).collect()
}

fn weight(legs: &Legs) -> u64 {
    let legs = [
        &legs.sent,
        &legs.arrived,
        &legs.answered,
        &legs.returned,
        &legs.carried,
        &legs.carried_back,
    ];
    legs.into_iter().map(|leg| leg.weight()).fold(0, u64::saturating_add)
}

fn one(evidence: &Evidence, service: Option<Service>, legs: Legs) -> Explanation {
    let mut ruling = rule(evidence, &legs);
    ruling.doubts = doubts(evidence, &legs, ruling.outcome);
    if !ruling.doubts.is_empty() {
        // What was noted belongs to a conclusion that is not drawn.
        ruling.notes.clear();
        (ruling.outcome, ruling.sureness) = (Outcome::Undetermined, Sureness::Possible);
        ruling.notes.extend(words::passed(evidence, service));
    }
    limits(evidence, &legs, &mut ruling);
    let Words { verdict, causes, advice } = words::words(evidence, service, &legs, &ruling);
    let Ruling { outcome, sureness, notes, doubts: _ } = ruling;
    Explanation { service, outcome, sureness, verdict, causes, advice, notes, legs }
}

impl Ruling {
    fn new(outcome: Outcome, sureness: Sureness) -> Self {
        Self { outcome, sureness, notes: Vec::new(), doubts: Vec::new() }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Takes refusals and successes apart by time, since what was refused yesterday may be open today.
fn rule(evidence: &Evidence, legs: &Legs) -> Ruling {
    let success = success(evidence, legs);
    let Some((refusal, refused)) = refusal(legs) else {
        if success.is_empty() {
            return unanswered(evidence, legs);
        }
        return match since(evidence, legs, success) {
            Some(ruling) => ruling,
            None => back_home(evidence, accepted(legs)),
        };
    };
    if success.is_empty() {
        return Ruling::new(refusal, Sureness::Certain);
    }
    let n = refused.records;
    let of = passed(evidence.basis, success);
    let dropped = matches!(refusal, Outcome::Dropped { .. });
    match order(evidence.basis, success, refused) {
        Order::Late | Order::MaybeLate | Order::Turns if dropped => accepted(legs).note(format!(
            "A transit gateway dropped packets in {n} records beside {of} that passed: {}.",
            words::reasons(refused)
        )),
        Order::Opened => accepted(legs)
            .note(format!("Before, {n} records were {}; since then, none.", if dropped { "dropped" } else { "refused" })),
        Order::Closed => Ruling::new(refusal, Sureness::Certain)
            .note(format!("Before, {of} were accepted there and back.")),
        Order::Late => accepted(legs).note(format!(
            "{n} records beside {of} were refused: packets that come after their connection was closed look like that."
        )),
        Order::MaybeLate => Ruling::new(Outcome::Mixed, Sureness::Possible).note(format!(
            "{n} records refused and {of} accepted, in turns: packets that come after their connection was closed look like that, and so do new connections that are refused beside an old one that goes on; --data tells them apart."
        )),
        Order::Turns => Ruling::new(Outcome::Mixed, Sureness::Certain)
            .note(format!("{n} records refused and {of} accepted, in turns.")),
    }
}

/// How successes and refusals follow each other.
enum Order {
    /// Refused first, and accepted since.
    Opened,
    /// Accepted first, and refused since.
    Closed,
    /// A few refused beside many: a packet that comes after its connection was closed is refused, however open the
    /// port.
    Late,
    /// Maybe so: few beside so many packets, which may all be one connection's.
    MaybeLate,
    /// Now this, now that.
    Turns,
}

/// How much of it passed, as far as that is known.
fn passed(basis: Basis, success: &Seen) -> String {
    match basis {
        Basis::Records => format!("{} records", success.records),
        Basis::RollUps => format!("{} packets", success.packets),
    }
}

/// How far what was sent after the last success came, if something was: not there and back any more.
fn since(evidence: &Evidence, legs: &Legs, success: &Seen) -> Option<Ruling> {
    let Evidence { src, dst, path, basis, .. } = evidence;
    let later = |leg: &Leg| match basis {
        Basis::Records => leg.accepted.last > success.last + TOGETHER,
        Basis::RollUps => {
            let ends = success.windows.last().zip(leg.accepted.windows.last());
            ends.is_some_and(|(success, last)| *last > success.forward(TOGETHER / WINDOW_SECONDS))
        }
    };
    let stranger = is_stranger(path.dst, dst);
    // What became of it, the last of it, and the end where the next record is missing.
    let (outcome, leg, end) = if later(&legs.answered) && src.is_covered() && !later(&legs.returned)
    {
        (Outcome::AnswerLost, &legs.answered, src)
    } else if later(&legs.answered) {
        return resets(legs, success);
    } else if later(&legs.arrived) {
        (Outcome::Unanswered, &legs.arrived, dst)
    } else if !later(&legs.sent) {
        return resets(legs, success);
    } else if stranger {
        (Outcome::Unanswered, &legs.sent, src)
    } else {
        (Outcome::NeverArrived, &legs.sent, if dst.is_covered() { dst } else { src })
    };
    let before = format!(
        "Before, {} were accepted there and back; then others followed that were not.",
        passed(*basis, success)
    );
    let (from, to) = (success.last + 1, leg.accepted.last);
    if end.is_lost(from, to) {
        let ruling = Ruling::new(Outcome::Gap, Sureness::Likely).note(before);
        return Some(ruling.note("Since then nothing is on record where it would show."));
    }
    let mut skipped = end.gaps.iter();
    let ruling = if skipped.any(|(first, last)| *last >= from && *first <= to) {
        Ruling::new(outcome, Sureness::Possible)
            .note("Since then AWS skipped records where it would show.")
    } else {
        Ruling::new(outcome, Sureness::Likely)
    };
    Some(ruling.note(before))
}

/// Nothing but resets since the last answer that is more, though connections were opened: the end of an idle one is a
/// reset, too.
fn resets(legs: &Legs, success: &Seen) -> Option<Ruling> {
    let alive = success.alive.filter(|alive| success.last > alive + TOGETHER)?;
    let there = legs.sent.accepted.opened.max(legs.arrived.accepted.opened);
    there.filter(|opened| *opened > alive)?;
    let minutes = (success.last - alive) / 60;
    Some(Ruling::new(Outcome::Reset, Sureness::Likely).note(format!(
        "In the last {minutes} minutes connections were opened and answered with resets only; before, it was answered."
    )))
}

fn order(basis: Basis, success: &Seen, refused: &Seen) -> Order {
    const FEW: u64 = 20;
    let few = refused.records.saturating_mul(FEW);
    match basis {
        Basis::Records if success.first > refused.last => Order::Opened,
        Basis::Records if refused.first > success.last => Order::Closed,
        Basis::Records if few <= success.records => Order::Late,
        Basis::Records => Order::Turns,
        // What was accepted has no times but those of its windows. Of one that has both, the windows around it tell
        // which came first.
        Basis::RollUps => {
            let (open, shut) = (&success.windows, &refused.windows);
            if open.first() >= shut.last() && open.last() > shut.last() {
                Order::Opened
            } else if shut.first() >= open.last() && shut.last() > open.last() {
                Order::Closed
            // There are no more records than packets: more refusals than this are no few. Of packets one connection may
            // have any number, while others are refused all the time.
            } else if shut.is_subset(open) && few <= success.packets {
                let seldom = 4 * shut.len() <= open.len();
                if seldom { Order::Late } else { Order::MaybeLate }
            } else {
                Order::Turns
            }
        }
    }
}

/// What shows that it went there and back, at the last place where that can show.
fn success<'a>(evidence: &Evidence, legs: &'a Legs) -> &'a Seen {
    if evidence.src.is_covered() { &legs.returned.accepted } else { &legs.answered.accepted }
}

/// Where packets were refused, and the records of it.
fn refusal(legs: &Legs) -> Option<(Outcome, &Seen)> {
    [
        (Outcome::RefusedForward { leaving: true }, &legs.sent.refused),
        (Outcome::RefusedForward { leaving: false }, &legs.arrived.refused),
        (Outcome::RefusedBack { leaving: true }, &legs.answered.refused),
        (Outcome::RefusedBack { leaving: false }, &legs.returned.refused),
        (Outcome::Dropped { back: false }, &legs.carried.refused),
        (Outcome::Dropped { back: true }, &legs.carried_back.refused),
    ]
    .into_iter()
    .filter(|(_, seen)| !seen.is_empty())
    .max_by_key(|(outcome, seen)| {
        let forward = Outcome::Dropped { back: false };
        let forward = matches!(outcome, Outcome::RefusedForward { .. }) || *outcome == forward;
        (seen.records, forward)
    })
}

fn accepted(legs: &Legs) -> Ruling {
    const RST: u8 = 4;
    let back = [&legs.answered.accepted, &legs.returned.accepted];
    if back.iter().any(|seen| !seen.is_empty() && seen.flags == Some(RST)) {
        return Ruling::new(Outcome::Reset, Sureness::Certain);
    }
    if back.into_iter().any(may_be_resets) {
        return Ruling::new(Outcome::Accepted, Sureness::Likely).note(
            "The records have no tcp-flags, and the answers have nothing in them: a closed port answers with resets, which look like that.",
        );
    }
    Ruling::new(Outcome::Accepted, Sureness::Certain)
}

/// Whether records of TCP without flags, as far as rows show, are of no more than headers.
fn may_be_resets(seen: &Seen) -> bool {
    seen.flags.is_none() && !seen.rows.is_empty() && seen.rows.iter().all(is_bare)
}

/// Whether the answer arrived does not show where the one who asked is not recorded. Strangers never are.
fn back_home(Evidence { src, path, .. }: &Evidence, mut ruling: Ruling) -> Ruling {
    if src.is_covered() || is_stranger(path.src, src) {
        return ruling;
    }
    ruling.sureness = ruling.sureness.min(Sureness::Likely);
    ruling.note(format!(
        "That the answer left {} is on record; whether it arrived at {} is not.",
        path.dst, path.src
    ))
}

/// What follows from nothing being on record, where the records could not show it.
fn doubts(evidence: &Evidence, legs: &Legs, outcome: Outcome) -> Vec<Doubt> {
    let Evidence { src, dst, path, hidden, .. } = evidence;
    let (at_src, at_dst) = ((src, path.src), (dst, path.dst));
    let (end, address) = match outcome {
        Outcome::NeverArrived => at_dst,
        Outcome::Unanswered if dst.is_covered() => at_dst,
        Outcome::NoTraffic if !src.is_covered() => at_dst,
        Outcome::AnswerLost | Outcome::Unanswered | Outcome::NoTraffic => at_src,
        _ => return Vec::new(),
    };
    let mut doubts = Vec::new();
    let who_asks = outcome == Outcome::NoTraffic && !src.is_covered();
    if *hidden > 0 && (!end.is_covered() || who_asks && !is_stranger(path.src, src)) {
        doubts.push(Doubt::Hidden);
    }
    if end.is_covered() {
        doubts.extend(unseen(end, address));
        let [there, back] = if address == path.src {
            [&legs.sent, &legs.returned]
        } else {
            [&legs.arrived, &legs.answered]
        };
        if end.cut && there.is_empty() && back.is_empty() {
            doubts.push(Doubt::Cut(address));
        }
    }
    doubts
}

/// The verdicts that the flow logs of an end have no record of.
fn unseen(end: &End, address: Address) -> Vec<Doubt> {
    let Shows { accepted, refused } = end.shows;
    let refusals = (!refused).then_some(Doubt::NoRefusals(address));
    refusals.into_iter().chain((!accepted).then_some(Doubt::NothingAccepted(address))).collect()
}

/// No success, no refusal: how far did it come?
fn unanswered(evidence: &Evidence, legs: &Legs) -> Ruling {
    let Evidence { src, dst, path, .. } = evidence;
    let Legs { sent, arrived, answered, .. } = legs;
    if !answered.accepted.is_empty() {
        let seen = &answered.accepted;
        return if src.is_lost(seen.first, seen.last) {
            Ruling::new(Outcome::Gap, Sureness::Likely)
                .note("AWS skipped records where the answer would have arrived.")
        } else {
            Ruling::new(Outcome::AnswerLost, Sureness::Certain)
        };
    }
    if !arrived.accepted.is_empty() {
        let seen = &arrived.accepted;
        return if dst.is_lost(seen.first, seen.last) {
            Ruling::new(Outcome::Gap, Sureness::Likely)
                .note("AWS skipped records where the answer would have left.")
        } else {
            Ruling::new(Outcome::Unanswered, Sureness::Certain)
        };
    }
    if !sent.accepted.is_empty() {
        let seen = &sent.accepted;
        return if dst.is_lost(seen.first, seen.last) {
            Ruling::new(Outcome::Gap, Sureness::Likely)
                .note("AWS skipped records where it would have arrived.")
        } else if is_stranger(path.dst, dst) {
            Ruling::new(Outcome::Unanswered, Sureness::Likely)
                .note("The other end is not ours: whether it arrived, our flow logs cannot tell.")
        } else if dst.is_covered() {
            Ruling::new(Outcome::NeverArrived, Sureness::Certain)
        } else {
            Ruling::new(Outcome::NeverArrived, Sureness::Likely).note(format!(
                "No interface with the address {} is in the data: it is in another VPC, in none, or not logged.",
                path.dst
            ))
        };
    }
    silence(evidence)
}

/// Nothing at all: was nothing sent, or was it not recorded?
fn silence(evidence: &Evidence) -> Ruling {
    let Evidence { src, dst, path, .. } = evidence;
    if src.is_covered() {
        return if src.gaps.is_empty() && src.silent.is_empty() {
            Ruling::new(Outcome::NoTraffic, Sureness::Certain)
        } else {
            missing(Ruling::new(Outcome::Gap, Sureness::Likely), path.src, src)
        };
    }
    if dst.is_covered() {
        return if dst.gaps.is_empty() && dst.silent.is_empty() {
            Ruling::new(Outcome::NoTraffic, Sureness::Likely).note(format!(
                "No interface with the address {} is in the data; nothing of it reached {}.",
                path.src, path.dst
            ))
        } else {
            missing(Ruling::new(Outcome::Gap, Sureness::Likely), path.dst, dst)
        };
    }
    if evidence.hidden > 0 {
        return Ruling::new(Outcome::NoTraffic, Sureness::Possible);
    }
    Ruling::new(Outcome::Gap, Sureness::Possible)
        .note("Neither address is one of an interface in the data: no flow log covers them then.")
}

/// With a note of what is missing of an end.
fn missing(mut ruling: Ruling, address: Address, end: &End) -> Ruling {
    if !end.gaps.is_empty() {
        let n = end.gaps.len();
        ruling = ruling.note(format!("AWS skipped records of {address} in {n} capture windows."));
    }
    match &end.silent[..] {
        [] => ruling,
        [(from, to)] => {
            let minutes = (to + 1 - from) / 60;
            ruling.note(format!("Nothing was delivered of {address} for {minutes} minutes."))
        }
        more => {
            let minutes: i64 = more.iter().map(|(from, to)| (to + 1 - from) / 60).sum();
            let n = more.len();
            ruling.note(format!(
                "{n} times nothing was delivered of {address}, {minutes} minutes in all."
            ))
        }
    }
}

/// What is in files that could not be read: maybe the very records that are missed.
fn unread(Unread { of, files, lines }: Unread, ruling: &mut Ruling) {
    if files > 0 {
        let rests_on_absence = matches!(
            ruling.outcome,
            Outcome::NeverArrived
                | Outcome::AnswerLost
                | Outcome::Unanswered
                | Outcome::NoTraffic
                | Outcome::Undetermined
        );
        let most = if rests_on_absence { Sureness::Possible } else { Sureness::Likely };
        ruling.sureness = ruling.sureness.min(most);
        ruling.notes.push(format!(
            "{files} of {of} files could not be read: what they hold is missing here."
        ));
    }
    if lines > 0 {
        ruling.sureness = ruling.sureness.min(Sureness::Likely);
        ruling.notes.push(format!("{lines} lines could not be read."));
    }
}

/// What nobody recorded, of the time that was asked about, may hold what is missed, and what came later.
fn unheard(unheard: &[(i64, i64)], ruling: &mut Ruling) {
    if unheard.is_empty() || ruling.outcome == Outcome::Gap {
        return;
    }
    let most =
        if ruling.outcome == Outcome::NoTraffic { Sureness::Possible } else { Sureness::Likely };
    ruling.sureness = ruling.sureness.min(most);
    let seconds: i64 = unheard.iter().map(|(from, to)| to - from).fold(0, i64::saturating_add);
    let hours = seconds.saturating_add(1_800) / 3_600;
    ruling.notes.push(format!(
        "Nothing of any interface is on record of {hours} hour(s) of the time asked about: this says nothing about them."
    ));
}

/// What takes away from the verdict, whatever it is.
fn limits(evidence: &Evidence, legs: &Legs, ruling: &mut Ruling) {
    let Evidence { src, dst, basis, path, .. } = evidence;
    unread(evidence.unread, ruling);
    unheard(&evidence.unheard, ruling);
    let ends = [(src, path.src), (dst, path.dst)].into_iter().filter(|(end, _)| end.is_covered());
    let unseen = ends.flat_map(|(end, address)| unseen(end, address));
    // A refusal shows, whatever does not; but what was let through before or since is missing then.
    let more =
        unseen.filter(|d| matches!(d, Doubt::NothingAccepted(_)) && !ruling.doubts.contains(d));
    ruling.notes.extend(ruling.doubts.iter().copied().chain(more).map(words::doubt));
    if *basis == Basis::RollUps {
        ruling.sureness = ruling.sureness.min(Sureness::Likely);
        ruling.notes.push(
            "From roll-ups: lists are cut at the heaviest, flags and single rows are not kept; --data reads the records."
                .to_owned(),
        );
    }
    // Roll-ups do not tell a secondary address from the primary one.
    let unsent = legs.sent.is_empty() && !(legs.arrived.is_empty() && legs.answered.is_empty());
    if *basis == Basis::RollUps && src.is_covered() && !src.cut && unsent {
        ruling.sureness = Sureness::Possible;
        ruling.notes.push(format!(
            "Nothing shows that {} sent it: it may be of another address of one of the interfaces, which roll-ups do not tell apart.",
            path.src
        ));
    }
    for (end, address) in [(src, path.src), (dst, path.dst)] {
        let vpcs = end.vpcs();
        if vpcs.len() > 1 {
            ruling.sureness = Sureness::Possible;
            ruling.notes.push(words::several(address, vpcs.len()));
        }
    }
    if ruling.outcome != Outcome::Gap && src.silent.len() + dst.silent.len() > 0 {
        ruling.sureness = ruling.sureness.min(Sureness::Likely);
        ruling.notes.push(
            "For some of the time nothing was delivered of one of the ends, not even NODATA."
                .to_owned(),
        );
    }
    let gaps = src.gaps.len() + dst.gaps.len();
    if gaps > 0 && ruling.outcome != Outcome::Gap {
        ruling.sureness = ruling.sureness.min(Sureness::Likely);
        ruling.notes.push(format!("AWS skipped records in {gaps} capture windows of either end."));
    }
    if evidence.unplaced > 0 {
        ruling.sureness = ruling.sureness.min(Sureness::Likely);
        ruling.notes.push(format!(
            "{} records of the pair are at an interface whose own address does not show.",
            evidence.unplaced
        ));
    }
    for id in &evidence.secondary {
        ruling.notes.push(format!("{id} shows one of the addresses as a secondary one."));
    }
    if !evidence.between.is_empty() {
        let ids: Vec<&str> = evidence.between.keys().take(4).map(String::as_str).collect();
        ruling.notes.push(format!("On the way it passed {}.", ids.join(", ")));
        let carried = is_carried(&legs.sent, &legs.carried);
        if ruling.outcome == Outcome::NeverArrived && carried {
            ruling.notes.push(
                "The transit gateway carried it and dropped nothing: it was lost behind the gateway, or is not logged there."
                    .to_owned(),
            );
        }
    }
    if evidence.beside > 0 {
        ruling.notes.push(format!(
            "{} records between the two interfaces do not count: their packets are of other addresses, such as secondary ones (pods) or hosts behind a NAT gateway. Ask about those.",
            evidence.beside
        ));
    }
    if evidence.more_services > 0 {
        ruling.notes.push(format!(
            "{} records are of further ports, which are not told apart.",
            evidence.more_services
        ));
    }
}

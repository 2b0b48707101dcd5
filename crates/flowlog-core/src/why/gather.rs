//! From records to evidence.

use std::collections::{BTreeMap, BTreeSet};

use super::heard::Heard;
use super::{
    Basis, End, Evidence, GAPS, INTERFACES, Leg, Legs, Path, Place, SERVICES, Service, Shows,
    UNHEARD,
};
use crate::decode::{RecordSink, Verdict};
use crate::record::{Action, Address, Direction, LogStatus, Record, Scope};
use crate::rollup::{Evidence as Row, Own, opened_by_source};

/// Keeps what records say about one path. Memory depends on the number of interfaces, up to
/// [`INTERFACES`], and on nothing that a stranger chooses beyond [`SERVICES`] ports.
#[derive(Debug, Clone)]
pub struct Gatherer {
    path: Path,
    /// Only records that touch this time (epoch seconds).
    from: i64,
    to: i64,
    interfaces: BTreeMap<String, Interface>,
    /// Of all of them together.
    heard: Heard,
    reverse: u64,
    beside: u64,
    more_services: u64,
}

/// One interface.
#[derive(Debug, Clone, Default)]
struct Interface {
    place: Place,
    /// Own address by family: IPv4, IPv6.
    own: [Own; 2],
    gaps: Vec<(i64, i64)>,
    heard: Heard,
    silent: Vec<(i64, i64)>,
    span: Option<(i64, i64)>,
    shows: Shows,
    /// Of each service: from A to B, and back.
    pair: BTreeMap<Service, [Leg; 2]>,
    /// It is an attachment of a transit gateway: on the way, and no end.
    gateway: bool,
}

impl Gatherer {
    /// Takes in records that touch the time from `from` to `to` (epoch seconds, both included). Where nobody asked for a
    /// beginning or an end, these are the first and the last second that there are, and the data's own count.
    pub fn new(path: Path, from: i64, to: i64) -> Self {
        let (interfaces, heard) = (BTreeMap::new(), Heard::of_all());
        Self { path, from, to, interfaces, heard, reverse: 0, beside: 0, more_services: 0 }
    }

    /// Adds what another gathered for the same path.
    pub fn merge(&mut self, other: Self) {
        self.heard.merge(&other.heard);
        self.reverse = self.reverse.saturating_add(other.reverse);
        self.beside = self.beside.saturating_add(other.beside);
        self.more_services = self.more_services.saturating_add(other.more_services);
        for (id, theirs) in other.interfaces {
            let Some(mine) = self.interface(&id) else { continue };
            let Interface { place, own, gaps, heard, span, pair, shows, gateway, silent: _ } =
                theirs;
            mine.gateway |= gateway;
            mine.heard.merge(&heard);
            mine.shows.add(shows);
            mine.learn(&place.vpc_id, &place.subnet_id);
            for (mine, theirs) in mine.own.iter_mut().zip(own) {
                mine.merge(theirs);
            }
            for gap in gaps {
                mine.gap(gap);
            }
            if let Some((first, last)) = span {
                mine.lasts(first, last);
            }
            let mut more = 0;
            for (service, legs) in pair {
                match room(&mut mine.pair, service) {
                    Some(mine) => mine.iter_mut().zip(&legs).for_each(|(m, l)| m.merge(l)),
                    None => more += 1,
                }
            }
            self.more_services = self.more_services.saturating_add(more);
        }
    }

    fn interface(&mut self, id: &str) -> Option<&mut Interface> {
        if !self.interfaces.contains_key(id) {
            if self.interfaces.len() >= INTERFACES {
                return None;
            }
            self.interfaces.insert(id.to_owned(), Interface::default());
        }
        self.interfaces.get_mut(id)
    }

    /// Whether a record is of the path: from A to B, and of which service. `None` for anything else. The packet's
    /// addresses count, where the record has them: the interface's is its primary one, whichever of its addresses, or
    /// whoever behind it, is meant.
    fn matches(&mut self, record: &Record<'_>) -> Option<(Service, bool)> {
        let Path { src: a, dst: b, port, protocol } = self.path;
        let a_to_b = |from: Option<Address>, to: Option<Address>| match (from?, to?) {
            ends if ends == (a, b) => Some(true),
            ends if ends == (b, a) => Some(false),
            _ => None,
        };
        let (src, dst) = (record.srcaddr, record.dstaddr);
        let meant = a_to_b(record.pkt_srcaddr.or(src), record.pkt_dstaddr.or(dst));
        let a_to_b = meant.or_else(|| a_to_b(src, dst))?;
        let spoken = record.protocol.unwrap_or(u8::MAX);
        if protocol.is_some_and(|asked| asked != spoken) {
            return None;
        }
        let (srcport, dstport) = (record.srcport.unwrap_or(0), record.dstport.unwrap_or(0));
        let server_port = if a_to_b { dstport } else { srcport };
        if meant.is_none() {
            let is_asked = port.is_none_or(|asked| asked == server_port);
            self.beside = self.beside.saturating_add(is_asked.into());
            return None;
        }
        if let Some(asked) = port {
            return (server_port == asked)
                .then_some((Service { protocol: spoken, port: asked }, a_to_b));
        }
        let opened = opened_by_source(record.tcp_flags, srcport, dstport);
        if opened == a_to_b || srcport == dstport {
            Some((Service { protocol: spoken, port: server_port }, a_to_b))
        } else {
            self.reverse = self.reverse.saturating_add(1);
            None
        }
    }

    /// What all of it amounts to.
    pub fn finish(mut self) -> Evidence {
        self.listen();
        self.share_what_shows();
        self.leave_out_namesakes();
        let mut evidence = Evidence::nothing(self.path, Basis::Records);
        evidence.reverse = self.reverse;
        evidence.beside = self.beside;
        evidence.more_services = self.more_services;
        evidence.unheard = self.unheard();
        let Path { src: a, dst: b, .. } = self.path;
        let mut elsewhere = Vec::new();
        for (id, interface) in self.interfaces {
            if interface.gateway {
                interface.carry(id, &mut evidence);
            } else if interface.has(a) {
                interface.join(id, &mut evidence, true);
            } else if interface.has(b) {
                interface.join(id, &mut evidence, false);
            } else if !interface.pair.is_empty() {
                elsewhere.push((id, interface));
            }
        }
        // One end is found and this interface's own address never showed: it is the other end's.
        elsewhere.retain(|(id, interface)| {
            let mine = (evidence.src.is_covered(), evidence.dst.is_covered());
            match (interface.is_unknown(a), mine) {
                (true, (true, false)) => interface.clone().join(id.clone(), &mut evidence, false),
                (true, (false, true)) => interface.clone().join(id.clone(), &mut evidence, true),
                _ => return true,
            }
            false
        });
        for (id, interface) in elsewhere {
            let records = interface.records();
            // A secondary address shows in the packet only, at an interface with another primary one.
            let is_missing = |address: Address, end: &End| {
                !end.is_covered() && address.scope() == Scope::Private
            };
            match interface.stands_for_source() {
                None => evidence.unplaced = evidence.unplaced.saturating_add(records),
                Some(true) if is_missing(a, &evidence.src) => {
                    evidence.secondary.insert(id.clone());
                    interface.join(id, &mut evidence, true);
                }
                Some(false) if is_missing(b, &evidence.dst) => {
                    evidence.secondary.insert(id.clone());
                    interface.join(id, &mut evidence, false);
                }
                Some(_) => {
                    evidence.between.insert(id, records);
                }
            }
        }
        evidence
    }
}

impl Gatherer {
    /// Finds the silences of each interface, as long as anything was heard of any.
    fn listen(&mut self) {
        let ends = || self.interfaces.values().filter_map(|interface| interface.heard.ends());
        let (Some(from), Some(to)) = (ends().map(|e| e.0).min(), ends().map(|e| e.1).max()) else {
            return;
        };
        for interface in self.interfaces.values_mut() {
            // Not beyond what is asked about: a record may reach out of it.
            interface.silent = interface.heard.silences(from.max(self.from), to.min(self.to));
        }
    }

    /// See [`Evidence::unheard`].
    fn unheard(&self) -> Vec<(i64, i64)> {
        let heard = &self.heard;
        let from = Some(self.from).filter(|from| *from > i64::MIN).or(heard.ends().map(|e| e.0));
        let to = Some(self.to).filter(|to| *to < i64::MAX).or(heard.ends().map(|e| e.1));
        let Some((from, to)) = from.zip(to) else { return Vec::new() };
        let silences = heard.silences(from, to).into_iter();
        silences
            .map(|(from, to)| (from, to + 1))
            .filter(|(from, to)| to - from >= UNHEARD)
            .collect()
    }

    /// VPCs may have the same addresses: where one that has it recorded something of the pair, those of other VPCs that
    /// recorded nothing of it are other hosts.
    fn leave_out_namesakes(&mut self) {
        for address in [self.path.src, self.path.dst] {
            let has = |interface: &Interface| !interface.gateway && interface.has(address);
            let used = self.interfaces.values().filter(|i| has(i) && !i.pair.is_empty());
            let vpcs: BTreeSet<String> = used.map(|i| i.place.vpc_id.clone()).collect();
            self.interfaces.retain(|_, i| !has(i) || !i.place.is_beside(&vpcs));
        }
    }

    /// What a flow log records shows in the whole VPC: most interfaces have no refusal of their own.
    /// Where the format does not name the VPC, in all of the data.
    fn share_what_shows(&mut self) {
        let mut vpcs: BTreeMap<String, Shows> = BTreeMap::new();
        // A transit gateway's is of another kind, and has no verdicts.
        for interface in self.interfaces.values().filter(|interface| !interface.gateway) {
            vpcs.entry(interface.place.vpc_id.clone()).or_default().add(interface.shows);
        }
        for interface in self.interfaces.values_mut() {
            interface.shows = vpcs.get(&interface.place.vpc_id).copied().unwrap_or_default();
        }
    }
}

impl RecordSink for Gatherer {
    fn record(&mut self, record: &Record<'_>) -> Verdict {
        let start = record.start.or(record.end).unwrap_or(0);
        let end = record.end.unwrap_or(start);
        if end < self.from || start > self.to {
            return Verdict::Counted;
        }
        self.heard.add(start, end);
        let matched = match record.log_status {
            LogStatus::Ok => self.matches(record),
            LogStatus::NoData | LogStatus::SkipData => None,
        };
        let Some(interface) = self.interface(record.subject()) else {
            return Verdict::Counted;
        };
        let gateway = record.interface_id.is_none() && record.tgw_attachment_id.is_some();
        interface.gateway |= gateway;
        interface.learn(record.vpc_id.unwrap_or_default(), record.subnet_id.unwrap_or_default());
        interface.lasts(start, end);
        interface.heard.add(start, end);
        if record.log_status == LogStatus::Ok {
            interface.shows.add(Shows::of(record.action));
        }
        if record.log_status == LogStatus::SkipData {
            interface.gap((start, end));
        }
        interface.address(record);
        let Some((service, a_to_b)) = matched else { return Verdict::Counted };
        match room(&mut interface.pair, service) {
            Some([there, back]) => (if a_to_b { there } else { back }).add(record, start, end),
            None => self.more_services = self.more_services.saturating_add(1),
        }
        Verdict::Counted
    }
}

/// The legs of a service, if there is room for one more.
fn room(pair: &mut BTreeMap<Service, [Leg; 2]>, service: Service) -> Option<&mut [Leg; 2]> {
    if pair.len() >= SERVICES && !pair.contains_key(&service) {
        return None;
    }
    Some(pair.entry(service).or_default())
}

impl Leg {
    fn add(&mut self, record: &Record<'_>, start: i64, end: i64) {
        let lost = record.packets_lost != [0; 4];
        let seen = match record.action {
            Action::Reject => &mut self.refused,
            // A transit gateway has no verdict: what it did not lose, it carried.
            Action::Other if lost => &mut self.refused,
            Action::Accept | Action::Other => &mut self.accepted,
        };
        seen.add(Row { start, end, ..Row::of(record) }, record.tcp_flags);
        seen.paths.extend(record.traffic_path);
        if let Some(reason) = record.reject_reason
            && seen.reasons.len() < GAPS
        {
            seen.reasons.insert(reason.to_owned());
        }
        let lost = LOST.iter().zip(record.packets_lost).filter(|(_, packets)| *packets > 0);
        seen.reasons.extend(lost.map(|(why, _)| (*why).to_owned()));
    }
}

/// Why a transit gateway loses packets, in the order of [`Record::packets_lost`].
const LOST: [&str; 4] = ["no route", "blackhole", "MTU exceeded", "TTL expired"];

impl Interface {
    fn learn(&mut self, vpc: &str, subnet: &str) {
        let Place { vpc_id, subnet_id } = &mut self.place;
        for (mine, theirs) in [(vpc_id, vpc), (subnet_id, subnet)] {
            if mine.is_empty() {
                theirs.clone_into(mine);
            }
        }
    }

    fn lasts(&mut self, from: i64, to: i64) {
        let (first, last) = self.span.unwrap_or((from, to));
        self.span = Some((first.min(from), last.max(to)));
    }

    fn gap(&mut self, (start, end): (i64, i64)) {
        let full = self.gaps.len() >= GAPS;
        match self.gaps.last_mut() {
            Some(last) if full => *last = (last.0.min(start), last.1.max(end)),
            _ => self.gaps.push((start, end)),
        }
    }

    /// Learns which address is the interface's own.
    fn address(&mut self, record: &Record<'_>) {
        let (Some(src), Some(dst)) = (record.srcaddr, record.dstaddr) else { return };
        let Some(own) = self.own.get_mut(slot(src)) else { return };
        match record.flow_direction {
            Some(Direction::Egress) => *own = Own::Known(src),
            Some(Direction::Ingress) => *own = Own::Known(dst),
            _ => own.learn(src, dst),
        }
    }

    fn has(&self, address: Address) -> bool {
        self.own.get(slot(address)).and_then(Own::known) == Some(address)
    }

    fn is_unknown(&self, like: Address) -> bool {
        self.own.get(slot(like)).and_then(Own::known).is_none()
    }

    /// Whether the interface's own address stands where A's would, or else B's; `None` if that does
    /// not show.
    fn stands_for_source(&self) -> Option<bool> {
        let mut rows = self.pair.values().flat_map(|[there, back]| {
            let rows = |leg: &Leg| [leg.accepted.rows.clone(), leg.refused.rows.clone()].concat();
            let there = rows(there).into_iter().map(|row| (row.srcaddr, row.dstaddr));
            let back = rows(back).into_iter().map(|row| (row.dstaddr, row.srcaddr));
            there.chain(back).collect::<Vec<_>>()
        });
        rows.find_map(|(a, b)| match (a, b) {
            (Some(a), _) if self.has(a) => Some(true),
            (_, Some(b)) if self.has(b) => Some(false),
            _ => None,
        })
    }

    fn records(&self) -> u64 {
        let legs = self.pair.values().flatten();
        legs.map(Leg::weight).fold(0, u64::saturating_add)
    }

    /// Becomes a part of what is between the ends.
    fn carry(self, id: String, evidence: &mut Evidence) {
        if self.pair.is_empty() {
            return;
        }
        let records = self.records();
        for (service, [there, back]) in &self.pair {
            let legs = evidence.services.entry(*service).or_default();
            legs.carried.merge(there);
            legs.carried_back.merge(back);
        }
        if self.pair.values().flatten().any(|leg| !leg.refused.is_empty()) {
            evidence.dropped_by.insert(id.clone());
        }
        evidence.between.insert(id, records);
    }

    /// Becomes a part of one end of the path.
    fn join(self, id: String, evidence: &mut Evidence, is_src: bool) {
        for (service, [there, back]) in &self.pair {
            let Legs { sent, arrived, answered, returned, .. } =
                evidence.services.entry(*service).or_default();
            let (forward, backward) = if is_src { (sent, returned) } else { (arrived, answered) };
            forward.merge(there);
            backward.merge(back);
        }
        let End { interfaces, gaps, silent, span, shows, cut: _ } =
            if is_src { &mut evidence.src } else { &mut evidence.dst };
        interfaces.insert(id, self.place);
        gaps.extend(self.gaps);
        silent.extend(self.silent);
        shows.add(self.shows);
        *span = match (*span, self.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

fn slot(address: Address) -> usize {
    match address {
        Address::V4(_) => 0,
        Address::V6(_) => 1,
        // No path leads to a MAC address.
        Address::Mac(_) => usize::MAX,
    }
}

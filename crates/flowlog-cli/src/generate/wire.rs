//! Who sees which record of a flow.
//!
//! A flow between two interfaces of ours is recorded at both, once per direction: four rows. One with the Internet is
//! recorded at our end: two. One through a NAT gateway: six, and the gateway shows its own address in `dstaddr` or
//! `srcaddr` where the packet names another, as AWS documents. A refused packet left its sender: it is ACCEPT there, on
//! the way out, and REJECT at the interface that refused it.

use super::delivery::Delivery;
use super::network::{Addr, Eni, NAT_A, NAT_B, Network};
use super::plan::GenerateError;
use super::row::{Row, Verdict, Volume};

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP_V6: u8 = 58;

/// A connection that began and ended in the window: SYN and FIN out, SYN-ACK and FIN back.
pub(super) const WHOLE: (u8, u8) = (3, 19);
/// The middle of a long connection, or no TCP: no flags.
pub(super) const MIDDLE: (u8, u8) = (0, 0);
/// SYN and an answer that does not arrive.
pub(super) const HALF_OPEN: (u8, u8) = (2, 18);
/// Unanswered SYN.
pub(super) const SYN: (u8, u8) = (2, 0);

/// The Internet gateway, reached from a public subnet.
const PATH_INTERNET: u8 = 8;
/// A gateway endpoint.
const PATH_ENDPOINT: u8 = 7;
/// Another resource in the same VPC.
const PATH_LOCAL: u8 = 1;
/// The peering connection.
const PATH_PEERING: u8 = 4;

/// One exchange inside one capture window, told from the side that began it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub(super) sport: u16,
    pub(super) dport: u16,
    pub(super) protocol: u8,
    pub(super) start: i64,
    pub(super) end: i64,
    /// From the side that began.
    pub(super) there: Volume,
    /// The answer.
    pub(super) back: Volume,
    /// TCP flags of both directions.
    pub(super) flags: (u8, u8),
}

impl Flow {
    /// The same ports seen from the other side.
    fn answer(&self) -> Self {
        let flags = (self.flags.1, self.flags.0);
        Self {
            sport: self.dport,
            dport: self.sport,
            there: self.back,
            back: self.there,
            flags,
            ..*self
        }
    }
}

/// Turns flows into the rows of everyone who sees them.
pub(super) struct Wire<'a> {
    network: &'a Network,
    /// Where the rows go.
    pub(super) delivery: Delivery<'a>,
}

impl<'a> Wire<'a> {
    /// On top of a delivery.
    pub(super) fn new(network: &'a Network, delivery: Delivery<'a>) -> Self {
        Self { network, delivery }
    }

    /// A public peer reaches an interface of ours, which answers: 2 rows.
    pub(super) fn inbound(
        &mut self,
        from: Addr,
        to: Eni,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        let host = self.network.address(to, from);
        self.delivery.row(&row(to, from, host, flow, 0))?;
        self.delivery.row(&row(to, host, from, &flow.answer(), PATH_INTERNET))
    }

    /// The same without an answer: 1 row.
    pub(super) fn inbound_only(
        &mut self,
        from: Addr,
        to: Eni,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        self.delivery.row(&row(to, from, self.network.address(to, from), flow, 0))
    }

    /// An interface in a public subnet reaches the Internet and is answered: 2 rows.
    pub(super) fn outbound(
        &mut self,
        from: Eni,
        to: Addr,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        self.outbound_only(from, to, flow)?;
        self.delivery.row(&row(from, to, self.network.address(from, to), &flow.answer(), 0))
    }

    /// The same without an answer: 1 row.
    pub(super) fn outbound_only(
        &mut self,
        from: Eni,
        to: Addr,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        self.delivery.row(&row(from, self.network.address(from, to), to, flow, PATH_INTERNET))
    }

    /// Through the gateway endpoint of a service, whose public address the rows show: 2 rows.
    pub(super) fn endpoint(
        &mut self,
        from: Eni,
        to: Addr,
        service: &'static str,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        let host = self.network.interfaces[from].v4;
        self.delivery
            .row(&Row { dst_service: service, ..row(from, host, to, flow, PATH_ENDPOINT) })?;
        self.delivery.row(&Row { src_service: service, ..row(from, to, host, &flow.answer(), 0) })
    }

    /// From one interface of ours to another and back: 4 rows.
    pub(super) fn inside(&mut self, from: Eni, to: Eni, flow: &Flow) -> Result<(), GenerateError> {
        self.one_way(from, to, flow, Verdict::Accept)?;
        self.one_way(to, from, &flow.answer(), Verdict::Accept)
    }

    /// From a private subnet to the Internet through the VPC's NAT gateway, and back: 6 rows.
    pub(super) fn through_nat(
        &mut self,
        from: Eni,
        to: Addr,
        nat_port: u16,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        let host = &self.network.interfaces[from];
        let gateway = if host.vpc == 0 { NAT_A } else { NAT_B };
        let (private, own) = (host.v4, self.network.interfaces[gateway].v4);
        let beyond = Flow { sport: nat_port, ..*flow };
        self.delivery.row(&row(from, private, to, flow, PATH_LOCAL))?;
        self.delivery.row(&Row { pkt_dst: to, ..row(gateway, private, own, flow, 0) })?;
        self.delivery.row(&row(gateway, own, to, &beyond, PATH_INTERNET))?;
        self.delivery.row(&row(gateway, to, own, &beyond.answer(), 0))?;
        let returned = row(gateway, own, private, &flow.answer(), PATH_LOCAL);
        self.delivery.row(&Row { pkt_src: to, ..returned })?;
        self.delivery.row(&row(from, to, private, &flow.answer(), 0))
    }

    /// A packet from outside is refused: 1 row.
    pub(super) fn refused(
        &mut self,
        from: Addr,
        to: Eni,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        let refused = row(to, from, self.network.address(to, from), flow, 0);
        self.delivery.row(&Row { verdict: Verdict::Reject, ..refused })
    }

    /// A packet of one interface is refused at another: 2 rows.
    pub(super) fn refused_inside(
        &mut self,
        from: Eni,
        to: Eni,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        self.one_way(from, to, flow, Verdict::Reject)
    }

    /// A flow is let through, its answer is refused when it comes back: 4 rows.
    pub(super) fn refused_answer(
        &mut self,
        from: Eni,
        to: Eni,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        self.one_way(from, to, flow, Verdict::Accept)?;
        self.one_way(to, from, &flow.answer(), Verdict::Reject)
    }

    /// A packet is refused as it leaves: 1 row.
    pub(super) fn refused_leaving(
        &mut self,
        from: Eni,
        to: Eni,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        let row = self.departure(from, to, flow);
        self.delivery.row(&Row { verdict: Verdict::Reject, ..row })
    }

    /// A flow is let through, its answer is refused as it leaves: 3 rows.
    pub(super) fn answer_refused_leaving(
        &mut self,
        from: Eni,
        to: Eni,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        self.one_way(from, to, flow, Verdict::Accept)?;
        self.refused_leaving(to, from, &flow.answer())
    }

    /// A packet leaves and arrives nowhere: 1 row.
    pub(super) fn lost(&mut self, from: Eni, to: Eni, flow: &Flow) -> Result<(), GenerateError> {
        let row = self.departure(from, to, flow);
        self.delivery.row(&row)
    }

    /// A packet leaves for an address across the peering that is nobody's there: 1 row.
    pub(super) fn lost_beyond(
        &mut self,
        from: Eni,
        to: Addr,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        let own = self.network.interfaces[from].v4;
        self.delivery.row(&row(from, own, to, flow, PATH_PEERING))
    }

    /// A flow arrives, its answer leaves and arrives nowhere: 3 rows.
    pub(super) fn answer_lost(
        &mut self,
        from: Eni,
        to: Eni,
        flow: &Flow,
    ) -> Result<(), GenerateError> {
        self.one_way(from, to, flow, Verdict::Accept)?;
        self.lost(to, from, &flow.answer())
    }

    /// The record at the sender.
    fn departure(&self, from: Eni, to: Eni, flow: &Flow) -> Row {
        let (sender, receiver) = (&self.network.interfaces[from], &self.network.interfaces[to]);
        let path = if sender.vpc == receiver.vpc { PATH_LOCAL } else { PATH_PEERING };
        row(from, sender.v4, receiver.v4, flow, path)
    }

    fn one_way(
        &mut self,
        from: Eni,
        to: Eni,
        flow: &Flow,
        verdict: Verdict,
    ) -> Result<(), GenerateError> {
        let departure = self.departure(from, to, flow);
        self.delivery.row(&departure)?;
        self.delivery.row(&Row { verdict, ..row(to, departure.src, departure.dst, flow, 0) })
    }
}

/// The record of a flow's own direction, accepted; a path makes it egress.
fn row(eni: Eni, src: Addr, dst: Addr, flow: &Flow, traffic_path: u8) -> Row {
    Row {
        eni,
        src,
        dst,
        pkt_src: src,
        pkt_dst: dst,
        srcport: flow.sport,
        dstport: flow.dport,
        protocol: flow.protocol,
        volume: flow.there,
        start: flow.start,
        end: flow.end,
        verdict: Verdict::Accept,
        tcp_flags: flow.flags.0,
        egress: traffic_path != 0,
        traffic_path,
        src_service: "-",
        dst_service: "-",
        reason: "-",
    }
}

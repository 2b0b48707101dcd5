//! Ordinary traffic, up to the row budget of each capture window.
//!
//! Clients reach the web servers, which ask the applications, which ask the databases across the peering; servers
//! resolve names, keep time, fetch from S3 and from partners through NAT. Sizes are heavy-tailed. What a rule watches
//! is here as well, done rightly: sessions to SSH and database ports are inside only, and long.

use super::clock::CaptureWindow;
use super::draw::{Draw, hash};
use super::network::{
    APP_1, APP_2, Addr, BASTION, BATCH_1, CACHE_1, DB_1, DB_2, EDGE_1, Eni, GUARDED, WEB_1, WEB_2,
};
use super::noise::{Noise, client, client_v6, low_byte};
use super::plan::{GenerateError, Plan};
use super::row::Gap;
use super::shape::{datagram, download, ping, session};
use super::wire::{Flow, ICMP, ICMP_V6, Wire};
use flowlog_core::record::HOUR_SECONDS;

/// One kind of exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Web,
    WebV6,
    Edge,
    WebToApp,
    EdgeToApp,
    AppToDb,
    AppToCache,
    BatchToDb,
    Replication,
    PartnerByNat,
    NamesByNat,
    Names,
    Time,
    Storage,
    Ping,
    PublicPing,
    Sessions,
    Ssh,
    Syslog,
}

/// How often each kind is drawn, and how many rows it takes. Web clients over IPv6 make up about 3 % of the rows.
const MIX: [(Kind, u64, u64); 19] = [
    (Kind::Web, 400, 2),
    (Kind::WebV6, 48, 2),
    (Kind::Edge, 80, 2),
    (Kind::WebToApp, 120, 4),
    (Kind::EdgeToApp, 30, 4),
    (Kind::AppToDb, 100, 4),
    (Kind::AppToCache, 50, 4),
    (Kind::BatchToDb, 30, 4),
    (Kind::Replication, 20, 4),
    (Kind::PartnerByNat, 30, 6),
    (Kind::NamesByNat, 12, 6),
    (Kind::Names, 25, 2),
    (Kind::Time, 10, 2),
    (Kind::Storage, 40, 2),
    (Kind::Ping, 10, 4),
    (Kind::PublicPing, 8, 2),
    (Kind::Sessions, 8, 2),
    (Kind::Ssh, 8, 4),
    (Kind::Syslog, 20, 1),
];

/// Capture windows between two SKIPDATA rows, on average: about one a day.
const SKIP_EVERY: u64 = 1_440;

/// Public resolvers, time servers and the address ranges of partners and of AWS services.
const RESOLVERS: [[u8; 4]; 4] = [[8, 8, 8, 8], [8, 8, 4, 4], [1, 1, 1, 1], [9, 9, 9, 9]];
const TIME_SERVERS: [[u8; 4]; 3] = [[162, 159, 200, 1], [162, 159, 200, 123], [129, 6, 15, 28]];
const PARTNERS: [[u8; 3]; 5] =
    [[104, 18, 22], [151, 101, 66], [13, 107, 42], [140, 82, 112], [34, 117, 59]];
const SYSLOG: [u8; 4] = [198, 51, 100, 250];

/// The ordinary traffic of one recording.
#[derive(Debug)]
pub(super) struct Benign {
    draw: Draw,
    noise: Noise,
    /// Rows still to be written; what one window leaves over goes to the next.
    budget: u64,
    /// Connections of the pools used in this capture window, so that a tuple comes back in the next window,
    /// not twice in the same.
    pooled: u16,
}

impl Benign {
    /// The traffic of this plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let draw = Draw::new(plan.seed, "benign", 0);
        Self { draw, noise: Noise::new(plan.seed, plan.rate), budget: 0, pooled: 0 }
    }

    /// Plays one capture window, leaving room for the NODATA rows of those who stay idle.
    pub(super) fn play(
        &mut self,
        window: &CaptureWindow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        self.budget += window.share;
        self.pooled = 0;
        let before = wire.delivery.rows();
        if self.draw.below(SKIP_EVERY) == 0 && self.budget > 0 {
            let eni = self.draw.pick(&GUARDED);
            wire.delivery.gap(eni, Gap::SkipData, window.from, window.to)?;
        }
        let room = self.room(before, wire);
        self.noise.play(window, room, wire)?;
        loop {
            let room = self.room(before, wire);
            if room == 0 {
                break;
            }
            self.exchange(window, room, wire)?;
        }
        self.budget = self.budget.saturating_sub(wire.delivery.rows() - before);
        Ok(())
    }

    /// What is left of the budget once everyone idle so far has said so.
    fn room(&self, before: u64, wire: &Wire<'_>) -> u64 {
        let used = wire.delivery.rows() - before + wire.delivery.idle_count();
        self.budget.saturating_sub(used)
    }

    /// NODATA rows for those without traffic. Who was idle but for an attack is paid for all the same: an attack must
    /// not change the benign rows after it.
    pub(super) fn report_silence(
        &mut self,
        window: &CaptureWindow,
        idle: &[Eni],
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let still = wire.delivery.idle();
        for eni in idle.iter().take(usize::try_from(self.budget).unwrap_or(usize::MAX)) {
            self.budget -= 1;
            if still.contains(eni) {
                wire.delivery.gap(*eni, Gap::NoData, window.from, window.to)?;
            }
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        window: &CaptureWindow,
        room: u64,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let mut drawn = self.draw.below(MIX.iter().map(|(_, weight, _)| weight).sum());
        let mut kind = Kind::Web;
        for (candidate, weight, rows) in MIX {
            if drawn < weight {
                // What does not fit is replaced by the largest exchange that does.
                kind = match (rows <= room, room) {
                    (true, _) => candidate,
                    (false, 1) => Kind::Syslog,
                    (false, _) => Kind::Web,
                };
                break;
            }
            drawn -= weight;
        }
        match kind {
            Kind::Web | Kind::WebV6 | Kind::Edge | Kind::PublicPing => {
                self.clients_call(kind, window, wire)
            }
            Kind::WebToApp | Kind::EdgeToApp | Kind::Ping | Kind::Ssh => {
                self.hosts_talk(kind, window, wire)
            }
            Kind::AppToDb | Kind::AppToCache | Kind::BatchToDb | Kind::Replication => {
                self.pooled_session(kind, window, wire)
            }
            _ => self.call_out(kind, window, wire),
        }
    }

    fn clients_call(
        &mut self,
        kind: Kind,
        window: &CaptureWindow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let draw = &mut self.draw;
        let web = draw.pick(&[WEB_1, WEB_2]);
        match kind {
            Kind::PublicPing => {
                let v6 = draw.chance(100);
                let from = if v6 { client_v6(draw) } else { client(draw) };
                let flow = ping(draw, window, if v6 { ICMP_V6 } else { ICMP });
                wire.inbound(from, web, &flow)
            }
            Kind::Edge => {
                let from = client(draw);
                let flow = download(draw, window, 443, 900);
                wire.inbound(from, EDGE_1, &flow)
            }
            _ => {
                let from = if kind == Kind::WebV6 { client_v6(draw) } else { client(draw) };
                let port = if draw.chance(120) { 80 } else { 443 };
                let flow = download(draw, window, port, 2_500);
                wire.inbound(from, web, &flow)
            }
        }
    }

    fn hosts_talk(
        &mut self,
        kind: Kind,
        window: &CaptureWindow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let draw = &mut self.draw;
        let app = draw.pick(&[APP_1, APP_2]);
        match kind {
            Kind::WebToApp => {
                let from = draw.pick(&[WEB_1, WEB_2]);
                let flow = download(draw, window, 8080, 1_200);
                wire.inside(from, app, &flow)
            }
            Kind::EdgeToApp => {
                let flow = download(draw, window, 8443, 700);
                wire.inside(EDGE_1, app, &flow)
            }
            Kind::Ping => {
                let to =
                    draw.pick(&[WEB_1, WEB_2, APP_1, APP_2, CACHE_1, EDGE_1, BATCH_1, DB_1, DB_2]);
                let flow = ping(draw, window, ICMP);
                wire.inside(BASTION, to, &flow)
            }
            _ => {
                let to = draw.pick(&[WEB_1, WEB_2, APP_1, APP_2, BATCH_1]);
                let base = draw.heavy(6_000);
                let flow = session(draw, window, 22, base);
                wire.inside(BASTION, to, &Flow { sport: draw.ephemeral(), ..flow })
            }
        }
    }

    /// Connections that stay open: the same tuples in every window of an hour, without flags.
    fn pooled_session(
        &mut self,
        kind: Kind,
        window: &CaptureWindow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let draw = &mut self.draw;
        let (from, to, port, base) = match kind {
            Kind::AppToDb => {
                (draw.pick(&[APP_1, APP_2]), draw.pick(&[DB_1, DB_1, DB_2]), 5_432, 9_000)
            }
            Kind::AppToCache => (draw.pick(&[APP_1, APP_2]), CACHE_1, 6_379, 5_000),
            Kind::BatchToDb => (BATCH_1, draw.pick(&[DB_1, DB_2]), 5_432, 40_000),
            _ => (DB_1, DB_2, 5_432, 60_000),
        };
        let bytes = draw.heavy(base);
        let hour = hash(&(window.from / HOUR_SECONDS).to_le_bytes());
        let first = 32_768 + (hour % 4_096) as u16;
        let sport = first + self.pooled % 24_000;
        self.pooled = self.pooled.wrapping_add(1);
        wire.inside(from, to, &Flow { sport, ..session(draw, window, port, bytes) })
    }

    fn call_out(
        &mut self,
        kind: Kind,
        window: &CaptureWindow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let draw = &mut self.draw;
        let public = draw.pick(&[WEB_1, WEB_2, BASTION, EDGE_1]);
        match kind {
            Kind::PartnerByNat | Kind::NamesByNat => self.call_by_nat(kind, window, wire),
            Kind::Storage => self.store(window, wire),
            Kind::Names => {
                let to = Addr::v4(draw.pick(&RESOLVERS));
                wire.outbound(public, to, &datagram(draw, window, 53, 62, 180))
            }
            Kind::Time => {
                let to = Addr::v4(draw.pick(&TIME_SERVERS));
                wire.outbound(public, to, &datagram(draw, window, 123, 76, 76))
            }
            Kind::Sessions => {
                let to = host_in([52, 46, 128 + low_byte(draw.below(8))], draw);
                let flow = session(draw, window, 443, 4_000);
                let sport = draw.ephemeral();
                wire.outbound(BASTION, to, &Flow { sport, ..flow })
            }
            _ => {
                let flow = datagram(draw, window, 6_514, 300, 0);
                wire.outbound_only(public, Addr::v4(SYSLOG), &flow)
            }
        }
    }

    /// Private subnets reach partners and resolvers through their VPC's NAT gateway.
    fn call_by_nat(
        &mut self,
        kind: Kind,
        window: &CaptureWindow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let draw = &mut self.draw;
        let private = draw.pick(&[APP_1, APP_2, APP_1, APP_2, BATCH_1, CACHE_1, DB_1]);
        let (to, flow) = if kind == Kind::PartnerByNat {
            let net = draw.pick(&PARTNERS);
            let to = host_in(net, draw);
            (to, download(draw, window, 443, 1_500))
        } else {
            let to = Addr::v4(draw.pick(&RESOLVERS));
            (to, datagram(draw, window, 53, 62, 180))
        };
        wire.through_nat(private, to, draw.port(1_024, 65_535), &flow)
    }

    /// S3, through its gateway endpoint; backups go the other way.
    fn store(&mut self, window: &CaptureWindow, wire: &mut Wire<'_>) -> Result<(), GenerateError> {
        let draw = &mut self.draw;
        let from = draw.pick(&[APP_1, APP_2, BATCH_1, DB_1]);
        let to = host_in([52, 216, low_byte(draw.below(32))], draw);
        let mut flow = download(draw, window, 443, 8_000);
        if draw.chance(400) {
            std::mem::swap(&mut flow.there, &mut flow.back);
        }
        wire.endpoint(from, to, "S3", &flow)
    }
}

/// Some host of a /24 network.
fn host_in([a, b, c]: [u8; 3], draw: &mut Draw) -> Addr {
    Addr::v4([a, b, c, low_byte(draw.between(1, 254))])
}

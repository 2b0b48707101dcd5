//! Strangers: addresses of the Internet, and the background noise they send.
//!
//! Every public interface is probed all day. The noise stays far below what any rule should report: a source tries at
//! most three (host, port) pairs, and an interface refuses at most [`LIMIT`] of it in five minutes, whatever the rate.

use super::clock::{CaptureWindow, window_of};
use super::draw::Draw;
use super::network::{Addr, COUNT, EXPOSED, Eni, NAT_A, NAT_B, WEB_1, WEB_2};
use super::plan::GenerateError;
use super::shape::attempt;
use super::wire::{Flow, ICMP, TCP, UDP, Wire};

/// Refused noise per interface and five minutes, at most.
const LIMIT: u32 = 58;
/// Refused noise in thousandths of the rate …
const SHARE: u64 = 65;
/// … but no more than this many thousandths of a record per minute, since noise does not grow with business.
const CEILING: u64 = 36_000;

/// What the Internet tries first.
const PORTS: [(u16, u8); 20] = [
    (23, TCP),
    (22, TCP),
    (3389, TCP),
    (445, TCP),
    (8080, TCP),
    (5060, UDP),
    (2323, TCP),
    (8443, TCP),
    (6379, TCP),
    (1433, TCP),
    (3306, TCP),
    (5555, TCP),
    (81, TCP),
    (123, UDP),
    (161, UDP),
    (1900, UDP),
    (11_211, UDP),
    (9200, TCP),
    (2375, TCP),
    (25, TCP),
];

/// /16 networks of access providers, where clients live.
const CLIENT_NETS: [[u8; 2]; 16] = [
    [24, 16],
    [47, 144],
    [67, 180],
    [71, 202],
    [73, 93],
    [76, 14],
    [81, 2],
    [86, 140],
    [92, 28],
    [98, 207],
    [109, 157],
    [151, 38],
    [173, 66],
    [174, 61],
    [188, 23],
    [217, 82],
];
/// /16 networks of hosting providers, where probes come from; none of them is also a client's.
const PROBER_NETS: [[u8; 2]; 16] = [
    [45, 148],
    [61, 177],
    [64, 62],
    [80, 82],
    [89, 248],
    [94, 102],
    [103, 145],
    [118, 193],
    [141, 98],
    [162, 142],
    [167, 94],
    [176, 111],
    [179, 43],
    [193, 32],
    [194, 26],
    [218, 92],
];
/// The documentation networks, used for clients.
const EXAMPLE_NETS: [[u8; 3]; 3] = [[198, 51, 100], [203, 0, 113], [192, 0, 2]];

/// The client of a website: a third from the documentation networks, most of them seen again and again.
pub(super) fn client(draw: &mut Draw) -> Addr {
    if draw.chance(330) {
        let [a, b, c] = draw.pick(&EXAMPLE_NETS);
        return Addr::v4([a, b, c, low_byte(draw.between(1, 254))]);
    }
    let net = draw.pick(&CLIENT_NETS);
    let host = draw.skewed(65_536);
    in_net(net, host)
}

/// A client that came over IPv6.
pub(super) fn client_v6(draw: &mut Draw) -> Addr {
    let prefix = 0x2001_0db8_c000_0000_u128 + u128::from(draw.skewed(4_096));
    Addr::V6(prefix << 64 | u128::from(draw.between(1, 0xffff_ffff)))
}

/// Someone who tries doors over IPv6; a prefix of its own each time, as rented hosts have.
fn prober_v6(draw: &mut Draw) -> Addr {
    let prefix = 0x2001_0db8_e000_0000_u128 + u128::from(draw.below(1 << 24));
    Addr::V6(prefix << 64 | u128::from(draw.between(1, 0xffff)))
}

/// Someone who tries doors.
pub(super) fn prober(draw: &mut Draw) -> Addr {
    let net = draw.pick(&PROBER_NETS);
    let host = draw.below(65_536);
    in_net(net, host)
}

fn in_net([a, b]: [u8; 2], host: u64) -> Addr {
    Addr::v4([a, b, low_byte(host >> 8), low_byte(host)])
}

/// The last eight bits of a number.
pub(super) fn low_byte(number: u64) -> u8 {
    (number & 0xff) as u8
}

/// The noise of one recording.
#[derive(Debug)]
pub(super) struct Noise {
    draw: Draw,
    /// Thousandths of a record per minute.
    level: u64,
    /// Per interface: two windows and what was refused in them; a capture window touches no more.
    refused: [[(i64, u32); 2]; COUNT],
}

impl Noise {
    /// Noise for a network of this rate.
    pub(super) fn new(seed: u64, rate: u32) -> Self {
        let level = (u64::from(rate) * SHARE).min(CEILING);
        Self { draw: Draw::new(seed, "noise", 0), level, refused: [[(-1, 0); 2]; COUNT] }
    }

    /// Sends one capture window's noise, at most `room` rows of it.
    pub(super) fn play(
        &mut self,
        window: &CaptureWindow,
        room: u64,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let mean = self.level * window.seconds().unsigned_abs() / 60;
        let drawn = self.draw.between(mean * 6 / 10, mean * 14 / 10) + self.draw.below(1_000);
        let until = wire.delivery.rows() + (drawn / 1_000).min(room);
        // A full interface refuses the noise silently: tries are bounded, too.
        for _ in 0..drawn / 1_000 {
            if wire.delivery.rows() >= until {
                break;
            }
            match self.draw.below(20) {
                0..3 => self.latecomer(window, wire)?,
                3 => self.stray(window, wire)?,
                _ => self.campaign(window, until, wire)?,
            }
        }
        Ok(())
    }

    /// One source tries one port on up to three hosts, or up to three ports of one host.
    fn campaign(
        &mut self,
        window: &CaptureWindow,
        until: u64,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let v6 = self.draw.chance(20);
        let source = if v6 { prober_v6(&mut self.draw) } else { prober(&mut self.draw) };
        let hosts: &[Eni] = if v6 { &EXPOSED[1..] } else { &EXPOSED };
        let sweeping = self.draw.chance(500);
        let (mut host, mut door) = (self.draw.index(hosts.len()), self.draw.index(PORTS.len()));
        for _ in 0..self.draw.between(1, 3) {
            // The first ports of the list are the most wanted.
            let (port, protocol) = PORTS[door];
            if wire.delivery.rows() < until {
                let flow = attempt(&mut self.draw, window, port, protocol);
                self.refuse(source, hosts[host], &flow, wire)?;
            }
            if sweeping {
                host = (host + 1) % hosts.len();
            } else {
                door = (door + 1) % PORTS.len();
            }
        }
        Ok(())
    }

    /// Packets that arrive after their connection was closed are refused, at a port that is open to all.
    fn latecomer(
        &mut self,
        window: &CaptureWindow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let source = client(&mut self.draw);
        let host = self.draw.pick(&[WEB_1, WEB_2]);
        let late = attempt(&mut self.draw, window, 443, TCP);
        self.refuse(source, host, &Flow { flags: (1, 0), ..late }, wire)
    }

    /// A NAT gateway has no security group: what nobody asked for is logged as ACCEPT, and dropped without an answer.
    fn stray(&mut self, window: &CaptureWindow, wire: &mut Wire<'_>) -> Result<(), GenerateError> {
        let source = prober(&mut self.draw);
        let gateway = self.draw.pick(&[NAT_A, NAT_B]);
        let (port, protocol) =
            if self.draw.chance(200) { (0, ICMP) } else { self.draw.pick(&PORTS) };
        let mut flow = attempt(&mut self.draw, window, port, protocol);
        if protocol == ICMP {
            flow.sport = 0;
        }
        wire.inbound_only(source, gateway, &flow)
    }

    fn refuse(
        &mut self,
        source: Addr,
        host: Eni,
        flow: &Flow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let window = window_of(flow.start);
        let counts = &mut self.refused[host];
        let nth = usize::from(counts[0].0 != window);
        if counts[nth].0 != window {
            // Neither is it: the older of the two has passed.
            let older = usize::from(counts[1].0 < counts[0].0);
            counts[older] = (window, 0);
            return self.refuse(source, host, flow, wire);
        }
        if counts[nth].1 >= LIMIT {
            return Ok(());
        }
        counts[nth].1 += 1;
        wire.refused(source, host, flow)
    }
}

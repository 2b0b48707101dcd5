//! Who plays in an attack, and when: everything about it that is drawn once.

use super::attack::Attack;
use super::clock::{WINDOW, window_of};
use super::draw::Draw;
use super::network::{
    APP_1, APP_2, Addr, BASTION, BATCH_1, CACHE_1, DB_1, DB_2, EDGE_1, EXPOSED, Eni, GUARDED,
    NAT_A, NAT_B, STANDBY_B, WEB_1, WEB_2,
};
use super::noise::low_byte;
use super::plan::Plan;

/// Where an attack comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// One of our own interfaces.
    Inside(Eni),
    /// One address of the Internet.
    Outside(Addr),
    /// That many addresses of the Internet.
    Crowd(u64),
    /// Nobody: AWS itself.
    Nobody,
}

/// The cast and the timetable of one attack.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) source: Source,
    /// The interfaces it is aimed at.
    pub(super) victims: Vec<Eni>,
    /// The ports it tries, in order.
    pub(super) ports: Vec<u16>,
    /// The number of attempts.
    pub(super) steps: u64,
    /// The seconds from the first attempt to just after the last.
    pub(super) lasts: i64,
    /// The first attempt.
    pub(super) from: i64,
}

/// What an administrator would use, and an intruder tries.
const ADMIN_PORTS: [u16; 4] = [22, 445, 3_389, 5_985];
/// Services that scanners ask for first.
const SERVICES: [u16; 16] =
    [21, 22, 23, 25, 53, 79, 110, 135, 139, 143, 445, 993, 1_433, 3_306, 3_389, 5_900];
/// What is open somewhere, so that a refusal there would contradict the rest of the traffic.
const OPEN: [u16; 7] = [80, 443, 2_222, 5_432, 6_379, 8_080, 8_443];
/// Seconds of traffic before and after a silence.
const HEARD: i64 = 3_900;
/// The interfaces of VPC B.
const VPC_B: [Eni; 6] = [NAT_B, EDGE_1, BATCH_1, DB_1, DB_2, STANDBY_B];
/// The attackers' own network: no client and no noise comes from there.
const ATTACKERS: [u8; 2] = [185, 220];

impl Cast {
    /// Draws cast and moment.
    pub(super) fn new(attack: Attack, plan: &Plan, draw: &mut Draw) -> Self {
        let mut cast = Self::people(attack, plan, draw);
        let unit = match attack {
            Attack::RejectBurst | Attack::SourceFlood { .. } | Attack::DataGap => WINDOW,
            // So that one hour's sums show it, where the recording is long enough to choose.
            Attack::EgressVolume => 3_600,
            _ => i64::from(plan.minutes) * 60 + plan.start,
        };
        cast.from = moment(plan, cast.lasts, unit, draw);
        if matches!(attack, Attack::Silence | Attack::SilentVpc) {
            // Who has been heard for an hour can fall silent, and somebody must be heard afterwards.
            let latest = plan.end() - cast.lasts - HEARD;
            cast.from = cast.from.min(latest).max(plan.start + HEARD);
        }
        cast
    }

    fn people(attack: Attack, plan: &Plan, draw: &mut Draw) -> Self {
        match attack {
            Attack::PortScan => {
                let victim = draw.pick(&[APP_1, APP_2, WEB_1, WEB_2, CACHE_1]);
                let ports = distinct_ports(plan.scaled(draw.between(60, 120)), draw);
                Self::of(Source::Inside(BATCH_1), &[victim], &ports, 285)
            }
            Attack::HostSweep => Self::tour(&[draw.pick(&ADMIN_PORTS)], 2, 540, plan, draw),
            Attack::LateralMovement => Self::tour(&ADMIN_PORTS, 4, 900, plan, draw),
            Attack::Misconfiguration => {
                Self::of(Source::Inside(EDGE_1), &[CACHE_1], &[6_379], 2_400).times(plan.scaled(80))
            }
            Attack::EgressRefused => {
                Self::of(Source::Inside(APP_1), &[CACHE_1], &[6_380], 2_400).times(plan.scaled(80))
            }
            Attack::AnswerRefused => {
                Self::of(Source::Inside(APP_2), &[BATCH_1], &[9_443], 2_400).times(plan.scaled(80))
            }
            Attack::MissingRoute => {
                Self::of(Source::Inside(BATCH_1), &[APP_1], &[8_444], 2_400).times(plan.scaled(80))
            }
            Attack::MissingReturnRoute => {
                Self::of(Source::Inside(WEB_1), &[BATCH_1], &[8_445], 2_400).times(plan.scaled(80))
            }
            Attack::TransitivePeering => {
                Self::of(Source::Inside(BATCH_1), &[BATCH_1], &[5_433], 2_400)
                    .times(plan.scaled(80))
            }
            Attack::AsymmetricPath => {
                Self::of(Source::Inside(WEB_2), &[WEB_2], &[8_443], 240).times(plan.scaled(24))
            }
            Attack::EgressVolume => {
                Self::of(Source::Inside(BASTION), &[BASTION], &[443], 1_200).times(plan.scaled(240))
            }
            Attack::DataGap => Self::of(Source::Nobody, &[DB_1], &[], 180).times(plan.scaled(3)),
            Attack::Silence => {
                let speaking = [NAT_A, BASTION, WEB_1, WEB_2, APP_1, APP_2, CACHE_1, EDGE_1, DB_1];
                Self::of(Source::Nobody, &[draw.pick(&speaking)], &[], silence(plan))
            }
            Attack::SilentVpc => Self::of(Source::Nobody, &VPC_B, &[], silence(plan)),
            Attack::BlockPublicAccess => {
                let crowd = Source::Crowd(draw.between(150, 250));
                Self::of(crowd, &EXPOSED, &[443], 3_540).times(plan.scaled(draw.between(600, 900)))
            }
            Attack::RejectBurst => {
                let crowd = Source::Crowd(draw.between(150, 250));
                Self::of(crowd, &[draw.pick(&EXPOSED)], &SERVICES, 240)
                    .times(plan.scaled(draw.between(600, 900)))
            }
            Attack::SourceFlood { sources } => {
                let crowd = Source::Crowd(sources.into());
                Self::of(crowd, &[draw.pick(&EXPOSED)], &SERVICES, 240).times(sources.into())
            }
            Attack::BruteForce
            | Attack::SlowScan
            | Attack::RejectedThenAccepted
            | Attack::SensitivePortExposed => Self::stranger(attack, plan, draw),
        }
    }

    /// One address of the Internet.
    fn stranger(attack: Attack, plan: &Plan, draw: &mut Draw) -> Self {
        let source = Source::Outside(attacker(draw));
        match attack {
            Attack::BruteForce => {
                let lasts = draw.seconds(600, 1_200);
                Self::of(source, &[BASTION], &[22], lasts).times(plan.scaled(draw.between(60, 150)))
            }
            Attack::SlowScan => {
                let lasts = i64::from(plan.minutes.min(24 * 60)) * 60 - 300;
                // One every 200 s is well below what a window of 15 minutes notices.
                let most = lasts.unsigned_abs() / 200;
                let ports = distinct_ports(plan.scaled(draw.between(24, 48)).min(most), draw);
                Self::of(source, &EXPOSED, &ports, lasts)
            }
            // The last six steps are let in.
            Attack::RejectedThenAccepted => {
                let ports = distinct_ports(plan.scaled(40), draw);
                Self::of(source, &[BASTION], &ports, 540).times(ports.len() as u64 + 6)
            }
            _ => Self::of(source, &[EDGE_1], &[3_389], 600).times(plan.scaled(12)),
        }
    }

    /// An internal host visits every other one, in rounds.
    fn tour(ports: &[u16], rounds: u64, lasts: i64, plan: &Plan, draw: &mut Draw) -> Self {
        let host = draw.pick(&[BATCH_1, APP_1]);
        let mut others: Vec<Eni> = GUARDED.into_iter().filter(|eni| *eni != host).collect();
        let steps = plan.scaled(others.len() as u64 * rounds);
        others.truncate(usize::try_from(steps).unwrap_or(usize::MAX));
        Self::of(Source::Inside(host), &others, ports, lasts).times(steps)
    }

    /// A cast that takes each port once; its moment is still to be drawn.
    fn of(source: Source, victims: &[Eni], ports: &[u16], lasts: i64) -> Self {
        let steps = ports.len() as u64;
        Self { source, victims: victims.to_vec(), ports: ports.to_vec(), steps, lasts, from: 0 }
    }

    /// The same with another number of attempts.
    fn times(self, steps: u64) -> Self {
        Self { steps, ..self }
    }

    /// The source of one step.
    pub(super) fn source_of(&self, step: u64) -> Option<Addr> {
        match self.source {
            Source::Outside(addr) => Some(addr),
            Source::Crowd(size) => Some(spoofed(step % size.max(1))),
            Source::Inside(_) | Source::Nobody => None,
        }
    }
}

/// How long a silence lasts; an hour is heard before and after it.
fn silence(plan: &Plan) -> i64 {
    let seconds = i64::try_from(plan.scaled(7_200)).unwrap_or(i64::MAX);
    seconds.min(plan.end() - plan.start - 2 * HEARD)
}

/// A moment such that the whole attack lies in the recording and, where that is possible, inside one `unit`.
fn moment(plan: &Plan, lasts: i64, unit: i64, draw: &mut Draw) -> i64 {
    let latest = plan.end() - lasts;
    let from = draw.seconds(plan.start, latest.max(plan.start));
    let boundary = from - from.rem_euclid(unit) + unit;
    if from + lasts <= boundary {
        from
    } else if boundary <= latest {
        boundary
    } else if boundary - lasts >= plan.start {
        boundary - lasts
    } else {
        from
    }
}

/// Well-known services first, as scanners go, then others; no port twice.
fn distinct_ports(count: u64, draw: &mut Draw) -> Vec<u16> {
    let mut ports = SERVICES.to_vec();
    while (ports.len() as u64) < count {
        let port = draw.port(1, 49_151);
        if !OPEN.contains(&port) && !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    ports
}

/// An address of the attackers' network.
pub(super) fn attacker(draw: &mut Draw) -> Addr {
    let [a, b] = ATTACKERS;
    Addr::v4([a, b, low_byte(draw.between(1, 254)), low_byte(draw.between(1, 254))])
}

/// The nth address of a crowd: all different, and in no order. An odd factor permutes the 2²⁸ numbers, whose upper bits
/// choose one of sixteen networks.
fn spoofed(nth: u64) -> Addr {
    const NETS: [u8; 16] = [2, 5, 14, 27, 31, 36, 37, 42, 58, 77, 87, 95, 111, 125, 177, 186];
    let mixed = nth.wrapping_mul(0x09e3_779b) & 0x0fff_ffff;
    let net = NETS[(mixed >> 24) as usize];
    Addr::v4([net, low_byte(mixed >> 16), low_byte(mixed >> 8), low_byte(mixed)])
}

/// The windows from the first to the last second of an attack.
pub(super) fn windows_between(first: i64, last: i64) -> Vec<i64> {
    let mut windows = Vec::new();
    let mut window = window_of(first);
    while window <= last {
        windows.push(window);
        window += WINDOW;
    }
    windows
}

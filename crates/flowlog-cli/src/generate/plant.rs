//! Plays an attack, step by step, into the capture windows it falls into.
//!
//! Step n happens at `from + n · lasts / steps`, so that nothing but a counter has to be remembered between windows,
//! whatever the attack's size.

use super::attack::Attack;
use super::cast::{Cast, Source, attacker, windows_between};
use super::clock::CaptureWindow;
use super::delivery::{Spell, SpellKind};
use super::draw::Draw;
use super::network::{Addr, EDGE_1, Eni, Network, THIRD_VPC};
use super::plan::{GenerateError, Plan};
use super::row::{Gap, Volume, text};
use super::shape::attempt_at;
use super::truth::AttackTruth;
use super::wire::{Flow, HALF_OPEN, TCP, WHOLE, Wire};

/// An attack with its cast, and how far it has come.
#[derive(Debug)]
pub(super) struct Planted {
    attack: Attack,
    cast: Cast,
    draw: Draw,
    next: u64,
    rows: u64,
    /// The first and the last record's start.
    seen: Option<(i64, i64)>,
    /// Where stolen data goes.
    drops: [Addr; 3],
}

/// One attempt.
struct Step<'a> {
    nth: u64,
    at: i64,
    end: i64,
    window: &'a CaptureWindow,
}

impl Planted {
    /// Chooses moment and cast.
    pub(super) fn new(attack: Attack, plan: &Plan, mut draw: Draw) -> Self {
        let cast = Cast::new(attack, plan, &mut draw);
        let drops = [attacker(&mut draw), attacker(&mut draw), attacker(&mut draw)];
        Self { attack, cast, draw, next: 0, rows: 0, seen: None, drops }
    }

    /// What befalls the rows of everybody else.
    pub(super) fn spells(&self) -> Vec<Spell> {
        let kind = match self.attack {
            Attack::Silence | Attack::SilentVpc => SpellKind::Silent,
            Attack::BlockPublicAccess => SpellKind::Blocked,
            _ => return Vec::new(),
        };
        let (from, to) = (self.cast.from, self.cast.from + self.cast.lasts);
        let victims = self.cast.victims.iter();
        victims.map(|eni| Spell { eni: *eni, from, to, kind }).collect()
    }

    /// Plays the steps that fall into this window.
    pub(super) fn play(
        &mut self,
        window: &CaptureWindow,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let before = wire.delivery.rows();
        while self.next < self.cast.steps {
            let at = self.moment(self.next);
            if at > window.to {
                break;
            }
            let end = (at + self.draw.seconds(0, 3)).min(window.to);
            self.step(&Step { nth: self.next, at, end, window }, wire)?;
            self.seen = Some((self.seen.map_or(at, |(first, _)| first), at));
            self.next += 1;
        }
        self.rows += wire.delivery.rows() - before;
        Ok(())
    }

    /// When a step happens.
    fn moment(&self, step: u64) -> i64 {
        let into = u128::from(step) * u128::from(self.cast.lasts.unsigned_abs())
            / u128::from(self.cast.steps.max(1));
        self.cast.from + i64::try_from(into).unwrap_or(0)
    }

    fn step(&mut self, step: &Step<'_>, wire: &mut Wire<'_>) -> Result<(), GenerateError> {
        let victim = nth(&self.cast.victims, step.nth);
        match (self.attack, self.cast.source, self.cast.source_of(step.nth)) {
            (Attack::DataGap, ..) => {
                wire.delivery.gap(victim, Gap::SkipData, step.at, step.window.to)
            }
            (Attack::EgressVolume, Source::Inside(host), _) => {
                let flow = self.upload(step);
                wire.outbound(host, nth(&self.drops, step.nth), &flow)
            }
            (Attack::AsymmetricPath, Source::Inside(host), _) => {
                let flow = self.half_open(step);
                wire.refused_answer(host, EDGE_1, &flow)
            }
            (
                Attack::EgressRefused
                | Attack::AnswerRefused
                | Attack::MissingRoute
                | Attack::MissingReturnRoute
                | Attack::TransitivePeering,
                Source::Inside(host),
                _,
            ) => self.stray(host, victim, step, wire),
            (_, Source::Inside(host), _) => {
                // Each round over the victims takes the next port; a scan of one victim so takes one port a step.
                let round = step.nth / self.cast.victims.len().max(1) as u64;
                let port = nth(&self.cast.ports, round);
                let flow = attempt_at(&mut self.draw, step.at, step.end, port, TCP);
                wire.refused_inside(host, victim, &flow)
            }
            (_, _, Some(source)) => self.intrude(source, victim, step, wire),
            (_, _, None) => Ok(()),
        }
    }

    /// A step of a misconfiguration: a connection that is refused or lost at one of its four legs.
    fn stray(
        &mut self,
        host: Eni,
        victim: Eni,
        step: &Step<'_>,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let port = nth(&self.cast.ports, 0);
        let asked = attempt_at(&mut self.draw, step.at, step.end, port, TCP);
        match self.attack {
            Attack::EgressRefused => wire.refused_leaving(host, victim, &asked),
            Attack::AnswerRefused => {
                wire.answer_refused_leaving(host, victim, &self.half_open(step))
            }
            Attack::MissingRoute => wire.lost(host, victim, &asked),
            Attack::MissingReturnRoute => wire.answer_lost(host, victim, &self.half_open(step)),
            _ => wire.lost_beyond(host, THIRD_VPC, &asked),
        }
    }

    /// A step that comes from the Internet.
    fn intrude(
        &mut self,
        source: Addr,
        victim: Eni,
        step: &Step<'_>,
        wire: &mut Wire<'_>,
    ) -> Result<(), GenerateError> {
        let port = match self.cast.source {
            // Everyone in the crowd takes the next port each time round, so that nobody scans.
            Source::Crowd(size) => nth(&self.cast.ports, step.nth % size + step.nth / size),
            _ => nth(&self.cast.ports, step.nth),
        };
        match self.attack {
            Attack::BruteForce => wire.inbound(source, victim, &self.guess(step, port)),
            Attack::SensitivePortExposed => {
                wire.inbound(source, victim, &self.remote_session(step, port))
            }
            Attack::RejectedThenAccepted if step.nth >= self.cast.ports.len() as u64 => {
                wire.inbound(source, victim, &self.remote_session(step, 2_222))
            }
            _ => {
                let flow = attempt_at(&mut self.draw, step.at, step.end, port, TCP);
                wire.refused(source, victim, &flow)
            }
        }
    }

    /// A password guess: a whole connection of few packets.
    fn guess(&mut self, step: &Step<'_>, dport: u16) -> Flow {
        let (out, back) = (self.draw.between(11, 22), self.draw.between(10, 20));
        let there = Volume { packets: out, bytes: out * 90 + self.draw.below(400) };
        let back = Volume { packets: back, bytes: back * 120 + self.draw.below(600) };
        let sport = self.draw.ephemeral();
        Flow {
            sport,
            dport,
            protocol: TCP,
            start: step.at,
            end: step.end,
            there,
            back,
            flags: WHOLE,
        }
    }

    /// Someone working on a screen or in a shell.
    fn remote_session(&mut self, step: &Step<'_>, dport: u16) -> Flow {
        let packets = self.draw.between(200, 900);
        let there = Volume { packets, bytes: packets * 96 };
        let back = Volume { packets: packets + packets / 2, bytes: packets * 640 };
        let (start, end) = (step.at, (step.at + 40).min(step.window.to));
        Flow {
            sport: self.draw.ephemeral(),
            dport,
            protocol: TCP,
            start,
            end,
            there,
            back,
            flags: WHOLE,
        }
    }

    /// A part of the stolen data: 20 to 30 MB.
    fn upload(&mut self, step: &Step<'_>) -> Flow {
        let bytes = self.draw.between(21_000_000, 29_000_000);
        let there = Volume { packets: bytes.div_ceil(1_400), bytes };
        let acks = there.packets / 2;
        let back = Volume { packets: acks, bytes: acks * 52 };
        let (start, end) = (step.at, (step.at + 4).min(step.window.to));
        Flow {
            sport: self.draw.ephemeral(),
            dport: 443,
            protocol: TCP,
            start,
            end,
            there,
            back,
            flags: WHOLE,
        }
    }

    /// SYNs go out, SYN-ACKs come back and are refused.
    fn half_open(&mut self, step: &Step<'_>) -> Flow {
        let volume = Volume { packets: 2, bytes: 120 };
        let (sport, dport) = (self.draw.ephemeral(), nth(&self.cast.ports, 0));
        let (start, end) = (step.at, step.end);
        Flow {
            sport,
            dport,
            protocol: TCP,
            start,
            end,
            there: volume,
            back: volume,
            flags: HALF_OPEN,
        }
    }

    /// What was done, once it is over.
    pub(super) fn truth(self, network: &Network) -> AttackTruth {
        let mut interface_ids: Vec<String> =
            self.cast.victims.iter().map(|eni| network.id(*eni)).collect();
        interface_ids.sort();
        let source = match self.cast.source {
            Source::Inside(eni) => Some(text(network.interfaces[eni].v4)),
            Source::Outside(addr) => Some(text(addr)),
            Source::Crowd(_) | Source::Nobody => None,
        };
        let sources = match self.cast.source {
            Source::Crowd(size) => size,
            Source::Nobody => 0,
            Source::Inside(_) | Source::Outside(_) => 1,
        };
        // A silence has no records; it lasts all the same.
        let (start, end) = self.seen.unwrap_or((self.cast.from, self.cast.from + self.cast.lasts));
        let only = <[String; 1]>::try_from(interface_ids.clone()).ok();
        AttackTruth {
            kind: self.attack.name(),
            expected: self.attack.expected(),
            also: self.attack.also(),
            interface_id: only.map(|[id]| id),
            interface_ids,
            source,
            sources,
            start,
            end,
            windows: windows_between(start, end),
            rows: self.rows,
        }
    }
}

/// The nth of a list that starts over at its end. Every cast gives the lists its attack reads at least one entry.
fn nth<T: Copy>(list: &[T], n: u64) -> T {
    list[usize::try_from(n % list.len().max(1) as u64).unwrap_or(0)]
}

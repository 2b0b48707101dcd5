//! The shapes of exchanges: how long, how much, which ports and flags.
//!
//! A shape is a [`Flow`] inside one capture window, drawn; who exchanges it is decided elsewhere.

use super::clock::CaptureWindow;
use super::draw::Draw;
use super::row::Volume;
use super::wire::{Flow, MIDDLE, SYN, TCP, UDP, WHOLE};

/// Everything inside that answers on a watched port moves more packets than a password guess in every window.
const SESSION_PACKETS: u64 = 40;

/// A request and its heavy-tailed answer.
pub(super) fn download(draw: &mut Draw, window: &CaptureWindow, port: u16, base: u64) -> Flow {
    let (start, end) = draw.span(window, 12);
    let answer = draw.heavy(base);
    let back = Volume { packets: answer.div_ceil(1_340) + 3, bytes: answer + 180 };
    let packets = back.packets / 2 + 4;
    let there = Volume { packets, bytes: packets * 52 + draw.between(380, 1_400) };
    Flow {
        sport: draw.ephemeral(),
        dport: port,
        protocol: TCP,
        start,
        end,
        there,
        back,
        flags: WHOLE,
    }
}

/// The middle of a long session over the whole window. The caller chooses the client's port.
pub(super) fn session(draw: &mut Draw, window: &CaptureWindow, port: u16, bytes: u64) -> Flow {
    let (start, end) =
        ((window.from + draw.seconds(0, 3)).min(window.to), (window.to - draw.seconds(0, 3)));
    let back = Volume {
        packets: bytes.div_ceil(1_200) + SESSION_PACKETS,
        bytes: bytes + SESSION_PACKETS * 60,
    };
    let packets = back.packets * 3 / 4 + SESSION_PACKETS;
    let there = Volume { packets, bytes: packets * 90 + draw.below(2_000) };
    Flow {
        sport: 0,
        dport: port,
        protocol: TCP,
        start,
        end: end.max(start),
        there,
        back,
        flags: MIDDLE,
    }
}

/// One or two questions over UDP, and as many answers.
pub(super) fn datagram(
    draw: &mut Draw,
    window: &CaptureWindow,
    port: u16,
    question: u64,
    answer: u64,
) -> Flow {
    let (start, end) = draw.span(window, 2);
    let packets = draw.between(1, 2);
    let there = Volume { packets, bytes: packets * (question + draw.below(30)) };
    let back = Volume { packets, bytes: packets * (answer + draw.below(60)) };
    Flow {
        sport: draw.ephemeral(),
        dport: port,
        protocol: UDP,
        start,
        end,
        there,
        back,
        flags: MIDDLE,
    }
}

/// Echo requests and replies; ICMP has no ports.
pub(super) fn ping(draw: &mut Draw, window: &CaptureWindow, protocol: u8) -> Flow {
    let (start, end) = draw.span(window, 5);
    let packets = (end - start).unsigned_abs() + 1;
    let volume = Volume { packets, bytes: packets * 84 };
    Flow { sport: 0, dport: 0, protocol, start, end, there: volume, back: volume, flags: MIDDLE }
}

/// A refused attempt at this port, as one record.
pub(super) fn attempt(draw: &mut Draw, window: &CaptureWindow, dport: u16, protocol: u8) -> Flow {
    let (start, end) = draw.span(window, 4);
    attempt_at(draw, start, end, dport, protocol)
}

/// The same at a given time.
pub(super) fn attempt_at(draw: &mut Draw, start: i64, end: i64, dport: u16, protocol: u8) -> Flow {
    let packets = if end == start { 1 } else { draw.between(2, 3) };
    let size = match protocol {
        TCP => draw.pick(&[40, 44, 52, 60]),
        _ => draw.between(60, 440),
    };
    Flow {
        sport: draw.port(1_025, 65_535),
        dport,
        protocol,
        start,
        end,
        there: Volume { packets, bytes: packets * size },
        back: Volume { packets: 0, bytes: 0 },
        flags: if protocol == TCP { SYN } else { MIDDLE },
    }
}

//! What can go wrong at a call, and when it does.

use crate::random::Random;

/// What becomes of one call. "Applied" means that the other side did what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Not sent, or throttled: an error, not applied.
    Refused,
    /// Applied, and the response is lost: an error.
    Lost,
    /// Applied, the response is lost, and the client's own retry applies it again.
    Repeated,
    /// The process dies before the request is sent.
    DiesBefore,
    /// The process dies when it has been applied.
    DiesAfter,
    /// No response before the function's deadline, which ends the process; applied later.
    Delayed,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 6] = [
        Self::Refused,
        Self::Lost,
        Self::Repeated,
        Self::DiesBefore,
        Self::DiesAfter,
        Self::Delayed,
    ];
}

/// When faults happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Never.
    None,
    /// Once: at this call, counted from 0 over all processes.
    Once {
        /// Which call.
        call: u64,
        /// What becomes of it.
        fault: Fault,
    },
    /// At random, so many in a thousand calls, until so many have happened.
    Random {
        /// How often.
        per_mille: usize,
        /// How many are left.
        left: u32,
    },
}

impl Plan {
    /// What becomes of call number `call`.
    pub fn draw(&mut self, call: u64, random: &mut Random) -> Option<Fault> {
        match self {
            Self::Once { call: at, fault } => (*at == call).then_some(*fault),
            Self::None | Self::Random { left: 0, .. } => None,
            Self::Random { per_mille, left } => random.chance(*per_mille).then(|| {
                *left -= 1;
                *random.pick(&Fault::ALL)
            }),
        }
    }
}

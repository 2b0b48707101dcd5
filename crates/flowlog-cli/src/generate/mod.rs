//! Deterministic flow log objects for two peered VPCs, with the truth about them.
//!
//! [`write()`] turns a [`Plan`] into the objects AWS would have delivered — real S3 keys, gzip, one header line, one
//! object per flow log and five minutes — and into a [`Truth`]: exact sums per interface and window, row counts per
//! object, and where every attack was planted. The same plan gives the same bytes on every machine: the only source
//! of variety is a seeded `ChaCha8` stream, all arithmetic is on integers, and neither a clock nor a hash map is asked.
//!
//! ```text
//! Clock ── capture windows of 60 s, each with its share of the row budget
//!   │ for each window
//!   ├─► Benign   clients, services, noise ─┐
//!   ├─► Planted  attacks, on top           ├─► Wire ── who sees which record ──► Delivery ──► objects, Tally
//!   └─► NODATA for whoever stayed silent ──┘
//! ```
//!
//! It is not a network simulator: no packet is routed, and a flow that outlives its capture window is a new draw in the
//! next one. It knows nothing of the code that reads its output; the truth comes from sums of its own.

mod attack;
mod benign;
mod cast;
mod clock;
mod columns;
mod delivery;
mod draw;
mod network;
mod noise;
mod plan;
mod plant;
mod row;
mod shape;
#[cfg(test)]
mod tests;
mod truth;
mod wire;

use std::fs;
use std::path::Path;

pub use attack::{Attack, UnknownName};
pub use plan::{FileFormat, GenerateError, Layout, Plan, USUAL};
pub use truth::{AttackTruth, InterfaceName, InterfaceWindow, ObjectTruth, Sums, Totals, Truth};

use benign::Benign;
use clock::Clock;
use delivery::Delivery;
use network::Network;
use plant::Planted;
use wire::Wire;

/// Writes the plan's objects and `truth.json` below `out`, and returns that truth.
///
/// A folder that holds objects of another plan is refused, because its truth would no longer describe it; the same
/// plan may be written again, also after a run that was interrupted.
pub fn write(plan: &Plan, out: &Path) -> Result<Truth, GenerateError> {
    plan.check()?;
    let mut planted = plan.plant()?;
    fs::create_dir_all(out).map_err(|source| GenerateError::io(out, source))?;
    truth::claim(plan, out)?;

    let network = Network::new();
    let spells = planted.iter().flat_map(Planted::spells).collect();
    let mut wire = Wire::new(&network, Delivery::new(plan, &network, out, spells));
    let mut benign = Benign::new(plan);
    for window in Clock::new(plan) {
        wire.delivery.begin_window();
        benign.play(&window, &mut wire)?;
        let idle = wire.delivery.idle();
        for attack in &mut planted {
            attack.play(&window, &mut wire)?;
        }
        benign.report_silence(&window, &idle, &mut wire)?;
        wire.delivery.close_before(window.to + 1)?;
    }

    let (objects, tally) = wire.delivery.finish()?;
    let attacks = planted.into_iter().map(|attack| attack.truth(&network)).collect();
    let truth = Truth::new(plan, &network, &tally, attacks, objects);
    truth.save(out)?;
    Ok(truth)
}

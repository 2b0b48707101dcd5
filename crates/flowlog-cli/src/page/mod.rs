//! `flowlog report`: what a store has, as one page that needs nothing else.
//!
//! The page is a template, a style sheet, the charts' library and two scripts of ours, all compiled in,
//! around the numbers as JSON. Its content security policy allows exactly those scripts, by their hashes,
//! and no connection: what strangers wrote into the records can neither run nor call home.

mod html;
mod lists;
mod model;
mod paths;

pub use html::render;
pub(crate) use model::is_by_the_hour;
pub use model::{INTERFACES, Interface, Mark, Page, Port, Refused, Source, Talker, Totals};

/// Adds to a sum as roll-ups do: what a record says may be any number.
fn add(sum: &mut u64, value: u64) {
    *sum = sum.saturating_add(value);
}

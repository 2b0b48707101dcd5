//! Colours, for people at a terminal.
//!
//! Whether there are any is decided once, by [`decide`]: `--color`, else `NO_COLOR`, `CLICOLOR_FORCE`,
//! `CLICOLOR`, `TERM`, and whether standard output is a terminal. Until then, and in tests, there are none. What is
//! coloured is a word of ours, never a text from a record: an escape sequence in an answer is always our own.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{AutoStream, ColorChoice};
use comfy_table::{Attribute, Cell, Color};
use crossterm::style::{Stylize as _, force_color_output, style};

static ON: AtomicBool = AtomicBool::new(false);

/// Decides, before anything is printed.
pub fn decide(choice: clap::ColorChoice) {
    let choice = match choice {
        clap::ColorChoice::Auto => ColorChoice::Auto,
        clap::ColorChoice::Always => ColorChoice::Always,
        clap::ColorChoice::Never => ColorChoice::Never,
    };
    choice.write_global();
    let on = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    // The library asks `NO_COLOR` by itself, which does not count where --color was given.
    force_color_output(on);
    ON.store(on, Ordering::Relaxed);
}

/// Whether there are colours.
pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// The colour of a word that says how something stands.
fn tone(word: &str) -> Option<Color> {
    Some(match word {
        "high" | "PROBLEM" | "REJECT" | "rejected" | "refused" | "quarantined" | "Incomplete" => {
            Color::Red
        }
        "notify" | "warning" | "unknown" | "open" | "new" | "in progress" => Color::Yellow,
        "digest" => Color::Cyan,
        "ok" | "ACCEPT" | "accepted" => Color::Green,
        "recorded" | "over" => Color::DarkGrey,
        _ => return None,
    })
}

/// A word of ours, in the colour that it has.
pub(crate) fn word(text: &str) -> String {
    match tone(text.trim_end()) {
        Some(color) if is_on() => style(text).with(color).to_string(),
        _ => text.to_owned(),
    }
}

/// A title.
pub fn title(text: &str) -> String {
    if is_on() { style(text).bold().to_string() } else { text.to_owned() }
}

/// A cell of a table: coloured if it says one of those words and nothing else.
pub(crate) fn cell(text: String) -> Cell {
    let color = tone(&text);
    let cell = Cell::new(text);
    match color {
        Some(color) if is_on() => cell.fg(color),
        _ => cell,
    }
}

/// A cell of a table's header.
pub(crate) fn header(text: &str) -> Cell {
    let cell = Cell::new(text);
    if is_on() { cell.add_attribute(Attribute::Bold) } else { cell }
}

//! The report as text for a terminal.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_NO_BORDERS;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use flowlog_core::decode::Counts;
use flowlog_core::detect::Finding;
use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;

use super::Report;
use crate::colour;

/// How many rows of each list are shown.
const SHOWN: usize = 10;
/// How many times without records are shown.
const GAPS: usize = 5;
/// How many findings are shown.
const MOST: usize = 40;

/// Renders the report. Everything in it that strangers chose is an address, a number or an id of
/// letters, digits and hyphens; paths are shown without control characters.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    totals(report, &mut out);
    files(report, &mut out);
    talkers(report, &mut out);
    sources(report, &mut out);
    ports(report, &mut out);
    findings(&report.findings, &mut out);
    coverage(report, &mut out);
    for note in &report.notes {
        let _ = writeln!(out, "note: {}", printable(note));
    }
    out
}

/// Control characters would let a file name drive the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Fewer characters than these for each column, and nobody can read the table.
const NARROWEST: usize = 6;
/// What stands between two columns.
const BETWEEN: usize = 3;

/// A table with a header; `right` names the columns of numbers. Where the terminal has no room for its
/// columns, each row is a list of them.
pub(crate) fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    within(Table::new(), header, right, rows)
}

fn within(mut table: Table, header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    if let Some(width) = table.width() {
        let longest = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count());
            cells.max().unwrap_or(0).max(header[column].chars().count())
        };
        let all: usize = (0..header.len()).map(|column| longest(column) + BETWEEN).sum();
        let width = usize::from(width);
        if all > width && width < header.len() * (NARROWEST + BETWEEN) {
            return listed(header, &rows);
        }
    }
    table
        .load_style(UTF8_NO_BORDERS.row_separator(comfy_table::LineStyle::none()))
        .set_content_arrangement(ContentArrangement::Dynamic);
    if colour::is_on() {
        table.enforce_styling();
    }
    table.set_header(header.iter().map(|text| colour::header(text)));
    for row in rows {
        table.add_row(row.into_iter().map(colour::cell));
    }
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}

/// Each row as lines of its own, after an empty one.
fn listed(header: &[&str], rows: &[Vec<String>]) -> String {
    let longest = header.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        out.push('\n');
        for (name, cell) in header.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
            let _ = writeln!(out, "{name:<longest$}  {cell}");
        }
    }
    out
}

fn section(out: &mut String, title: &str, body: &str) {
    let _ = write!(out, "\n{}\n{body}", colour::title(title));
}

fn totals(report: &Report, out: &mut String) {
    let traffic = report.traffic();
    let _ = writeln!(out, "{}", balance(&report.totals));
    let rows =
        [("accepted", traffic.accept), ("rejected", traffic.reject), ("no action", traffic.other)]
            .into_iter()
            .filter(|(name, sums)| *name != "no action" || !sums.is_zero())
            .map(|(name, sums)| {
                vec![
                    name.to_owned(),
                    HumanCount(sums.records).to_string(),
                    HumanCount(sums.packets).to_string(),
                    HumanCount(sums.bytes).to_string(),
                ]
            })
            .collect();
    section(out, "Traffic", &table(&["", "records", "packets", "bytes"], &[1, 2, 3], rows));
}

/// The conservation law in one line.
fn balance(counts: &Counts) -> String {
    let mut line = format!(
        "{} read = {} parsed + {} NODATA + {} SKIPDATA + {} unreadable + {} late",
        HumanCount(counts.read),
        HumanCount(counts.parsed),
        HumanCount(counts.nodata),
        HumanCount(counts.skipdata),
        HumanCount(counts.rejected_total()),
        HumanCount(counts.late)
    );
    for (reason, n) in &counts.rejected {
        let _ = write!(
            line,
            "\n  unreadable, {}: {} ({})",
            reason.code(),
            HumanCount(*n),
            reason.explanation()
        );
    }
    line
}

fn files(report: &Report, out: &mut String) {
    let bad: Vec<_> = report.files.iter().filter(|f| f.error.is_some()).collect();
    let _ = writeln!(out, "{} file(s), {} could not be read", report.files.len(), bad.len());
    for file in bad {
        let error = file.error.as_deref().unwrap_or_default();
        let _ = writeln!(out, "  {}: {}", printable(&file.path), printable(error));
    }
}

fn talkers(report: &Report, out: &mut String) {
    let rows = report
        .top_talkers
        .iter()
        .take(SHOWN)
        .map(|t| {
            vec![
                t.address.to_string(),
                HumanCount(t.records).to_string(),
                HumanBytes(t.bytes_in).to_string(),
                HumanBytes(t.bytes_out).to_string(),
            ]
        })
        .collect();
    section(
        out,
        "Top talkers",
        &table(&["address", "records", "to us", "from us"], &[1, 2, 3], rows),
    );
}

fn sources(report: &Report, out: &mut String) {
    let rows = report
        .rejected_sources
        .iter()
        .take(SHOWN)
        .map(|s| {
            vec![
                s.address.to_string(),
                HumanCount(s.records).to_string(),
                s.contacts.to_string(),
                time(s.first),
                time(s.last),
            ]
        })
        .collect();
    let header = ["source", "records", "contacts", "first", "last"];
    section(out, "Rejected sources", &table(&header, &[1, 2], rows));
}

fn ports(report: &Report, out: &mut String) {
    let rows = report
        .rejected_ports
        .iter()
        .take(SHOWN)
        .map(|p| {
            vec![
                protocol(p.key.protocol),
                p.key.port.to_string(),
                HumanCount(p.records).to_string(),
            ]
        })
        .collect();
    section(out, "Rejected ports", &table(&["protocol", "port", "records"], &[1, 2], rows));
}

fn findings(findings: &[Finding], out: &mut String) {
    let _ = writeln!(out, "\n{}: {}", colour::title("Findings"), findings.len());
    if findings.is_empty() {
        return;
    }
    let rows = findings
        .iter()
        .take(MOST)
        .map(|f| {
            vec![
                f.severity.name().to_owned(),
                f.rule.name().to_owned(),
                f.window.to_string(),
                f.interface_id.clone(),
                f.source.map_or_else(|| "many".to_owned(), |s| s.to_string()),
                format!("{} ≥ {}", f.evidence.value, f.evidence.threshold),
            ]
        })
        .collect();
    let header = ["severity", "type", "window (UTC)", "interface", "source", "value"];
    out.push_str(&table(&header, &[], rows));
    if findings.len() > MOST {
        let _ = writeln!(out, "… and {} more; --format json lists all", findings.len() - MOST);
    }
}

fn coverage(report: &Report, out: &mut String) {
    let c = &report.coverage;
    let complete = c.interface_windows - c.with_skipdata;
    let _ = writeln!(
        out,
        "\n{}: {} of {} interface-windows{} complete, {} with SKIPDATA, {} silent (NODATA only)",
        colour::title("Coverage"),
        complete,
        c.interface_windows,
        if c.gaps.is_empty() { "" } else { " that are on record" },
        c.with_skipdata,
        c.only_nodata
    );
    if let (Some(from), Some(to)) = (c.from, c.to) {
        let _ = writeln!(out, "  from {from} to {} UTC", time(to.end()));
    }
    let shown = c.gaps.listed.iter().take(GAPS);
    for gap in shown.clone() {
        let _ = writeln!(
            out,
            "  not complete: nothing is on record from {} to {} UTC, not even NODATA, of {} interface(s) that were there before and after",
            time(gap.from),
            time(gap.to),
            HumanCount(gap.interfaces)
        );
    }
    let all: u64 = c.gaps.listed.iter().map(|gap| gap.interfaces).sum();
    let more = all - shown.map(|gap| gap.interfaces).sum::<u64>() + c.gaps.more;
    if more > 0 {
        let _ = writeln!(
            out,
            "  … and {} more of these times, each counted for each interface",
            HumanCount(more)
        );
    }
    if !c.lacking.is_empty() {
        let _ = writeln!(out, "  some records have no {}", c.lacking.join(", "));
    }
    let _ = writeln!(
        out,
        "  lists may miss, understate or misplace up to {} of traffic, {} rejected records (sources), {} (ports)",
        HumanBytes(c.talkers_error),
        HumanCount(c.sources_error),
        HumanCount(c.ports_error)
    );
}

/// A protocol by its usual name, else by its number.
pub(crate) fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        255 => "-".to_owned(),
        other => other.to_string(),
    }
}

/// Epoch seconds as UTC: `2026-11-01 00:05`.
pub(crate) fn time(epoch: i64) -> String {
    Timestamp::from_second(epoch)
        .map_or_else(|_| epoch.to_string(), |t| t.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_has_no_room_is_a_list() {
        let shown = |width: Option<u16>| {
            let mut table = Table::new();
            table.force_no_tty();
            if let Some(width) = width {
                table.set_width(width);
            }
            let rows = vec![
                vec!["slow-scan#eni-1".to_owned(), "notify".to_owned(), "2026-11-01".to_owned()],
                vec!["data-gap#eni-2".to_owned(), String::new(), "2026-11-02".to_owned()],
            ];
            within(table, &["alert", "severity", "last"], &[], rows)
        };
        let list = "\nalert     slow-scan#eni-1\nseverity  notify\nlast      2026-11-01\n\nalert     data-gap#eni-2\nlast      2026-11-02\n";
        assert_eq!(shown(Some(26)), list);
        for width in [None, Some(27), Some(200)] {
            let table = shown(width);
            assert!(table.contains('═') && table.lines().count() >= 4, "{table}");
        }
        assert!(
            shown(None).contains("slow-scan#eni-1 ┆ notify"),
            "as wide as it is without a terminal"
        );
    }
}

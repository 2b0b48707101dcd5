//! The reference pages that are made from the code and the template: settings, metrics, items. `make
//! reference` writes them anew.

use std::fmt::Write as _;

use flowlog_aws::telemetry::{Metric, NAMESPACE};

use crate::support::project;

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a page with what it should be, or writes it where `UPDATE_REFERENCE` is set.
fn is_current(page: &str, expected: &str) {
    let path = project(&format!("docs/reference/{page}"));
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is not current: make reference", path.display());
}

/// The rows of a table in doc comments, without its head.
fn rows<'a>(source: &'a str, prefix: &str) -> Vec<&'a str> {
    let rows = source.lines().filter_map(|line| line.trim_start().strip_prefix(prefix));
    rows.filter(|row| row.starts_with("| `")).collect()
}

#[test]
fn the_page_of_settings_is_current() {
    let mut page =
        "# Settings\n\nMade from the code and `template.yaml` by `make reference`.\n".to_owned();
    page += "\n## Parameters of the stack\n\n| parameter | default | values | meaning |\n|---|---|---|---|\n";
    let template = read("template.yaml");
    let parameters = template.split("\nParameters:\n").nth(1).unwrap();
    let mut name = String::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut count = 0;
    for line in parameters.lines().chain(["end:"]) {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if text.starts_with('#') || text.is_empty() {
            continue;
        }
        if indent <= 2 {
            if !name.is_empty() {
                count += 1;
                page += &parameter(&name, &fields);
            }
            if indent == 0 {
                break;
            }
            (name, fields) = (text.trim_end_matches(':').to_owned(), Vec::new());
        } else if indent == 4 {
            let (key, value) = text.split_once(':').unwrap();
            fields.push((key.to_owned(), value.trim().trim_start_matches(">-").to_owned()));
        } else if let Some((_, value)) = fields.last_mut() {
            let _ = write!(value, "{}{text}", if value.is_empty() { "" } else { " " });
        }
    }
    assert!(count > 20, "{count} parameters");
    for function in ["flowlog-s3-parser", "flowlog-cwl-subscriber", "flowlog-anomaly-alerter"] {
        let config = read(&format!("crates/{function}/src/config.rs"));
        let _ = write!(
            page,
            "\n## Variables of `{function}`\n\n| variable | default | meaning |\n|---|---|---|\n"
        );
        for row in rows(&config, "//! ") {
            let _ = writeln!(page, "{row}");
        }
    }
    page += "\nEach also takes `RUST_LOG` (`info`).\n\nThe command takes no settings but its options, `AGGREGATES_TABLE` and `CONTROL_TABLE`\n(or `--stack`), and AWS's variables: `AWS_REGION`, `AWS_ACCESS_KEY_ID` …, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB`.\n";
    is_current("settings.md", &page);
}

fn parameter(name: &str, fields: &[(String, String)]) -> String {
    let get = |key: &str| {
        let found = fields.iter().find(|(field, _)| field == key).map(|(_, value)| value.as_str());
        found.unwrap_or_default().trim_matches('"').replace('|', "\\|")
    };
    let values = match (get("AllowedValues"), get("MinValue"), get("MaxValue")) {
        (list, ..) if !list.is_empty() => list
            .replace('"', "")
            .trim_matches(['[', ']'])
            .trim_start_matches("- ")
            .replace(" - ", ", "),
        (_, low, high) if !low.is_empty() && !high.is_empty() => format!("{low} to {high}"),
        (_, low, _) if !low.is_empty() => format!("from {low} on"),
        _ => get("ConstraintDescription"),
    };
    let default = match get("Default").as_str() {
        "" => "–".to_owned(),
        text => format!("`{text}`"),
    };
    format!("| `{name}` | {default} | {values} | {} |\n", get("Description"))
}

#[test]
fn the_page_of_metrics_is_current() {
    let mut page = format!(
        "# Metrics\n\nMade from the code by `make reference`. Namespace `{NAMESPACE}`, in CloudWatch's embedded format; the only dimension is\n`function`. What rings for which is in the [runbook](../runbook.md).\n\n| metric | unit | what it counts |\n|---|---|---|\n"
    );
    let source = read("crates/flowlog-aws/src/telemetry.rs");
    for metric in Metric::ALL {
        let head = format!("    {} {} \"", metric.name(), metric.unit());
        let line = source.lines().find_map(|line| line.strip_prefix(&head)).unwrap();
        let what = line.trim_end_matches("\",").trim_end_matches('.');
        let _ = writeln!(page, "| `{}` | {} | {what} |", metric.name(), metric.unit());
    }
    is_current("metrics.md", &page);
}

#[test]
fn the_page_of_items_is_current() {
    let mut page = "# Items\n\nMade from the code by `make reference`. Two tables, each with the keys `pk` and `sk` and the time to live `ttl`: *FlowAggregates*\nholds partials, summaries and the directory, *FlowControl* the ledger and the alerter's state.\n".to_owned();
    for (table, file, item) in [
        ("FlowAggregates", "item", "PartialItem"),
        ("FlowAggregates", "summary", "SummaryItem"),
        ("FlowControl", "item", "LedgerEntry"),
        ("FlowControl", "item", "StateItem"),
    ] {
        let source = read(&format!("crates/flowlog-core/src/store/{file}.rs"));
        let (before, _) = source.split_once(&format!("pub struct {item} ")).unwrap();
        let mut lines: Vec<&str> = Vec::new();
        for line in before.lines().rev().skip_while(|line| !line.starts_with("///")) {
            let Some(doc) = line.strip_prefix("///") else { break };
            lines.push(doc.strip_prefix(' ').unwrap_or(doc));
        }
        lines.reverse();
        let text = lines.join("\n");
        assert!(text.contains("| attribute |"), "{item}: {text}");
        let _ = write!(page, "\n## {table}: `{item}`\n\n{text}\n");
    }
    let source = read("crates/flowlog-core/src/store/item.rs");
    page += "\n## FlowAggregates: the directory\n\nKeys only, so that readers find what there is without a scan:\n\n";
    let (_, entry) = source.split_once("pub enum DirectoryEntry {").unwrap();
    for line in entry.lines().take_while(|line| *line != "}") {
        if let Some(doc) =
            line.strip_prefix("    /// ").filter(|doc| doc.starts_with('`') || !doc.is_empty())
        {
            let _ = writeln!(page, "{}{doc}", if doc.starts_with('`') { "- " } else { "  " });
        }
    }
    page += "\n## FlowControl: other keys\n\n- `Q` / `<batch-id>`: quarantined deliveries, a finding aid\n- `A#BUDGET` / `<epoch hour>`: notifications sent in an hour\n";
    is_current("items.md", &page);
}

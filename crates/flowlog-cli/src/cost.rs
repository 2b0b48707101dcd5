//! `flowlog cost`: what flowlog adds to the bill, beside what AWS charges to deliver the same logs.
//!
//! A model, not a bill: every assumption is a constant with its origin (`added`), every price stands in one dated
//! table (`prices`). Prices are list prices of us-east-1 in US dollars without free tiers or discounts. Two of
//! them (CloudWatch Logs and DynamoDB) were seen in secondary sources; the rest are from memory. None
//! was checked against AWS's own pages or an account: check what matters to you.

mod added;
mod prices;

use std::fmt::Write as _;

use serde::Serialize;

use added::added;
pub use prices::PRICES_OF;
use prices::{ATHENA_TB, DELIVERY_TIERS, LOGS_TIERS, PARQUET_GB, S3_GB_MONTH, SIEM_GB};
pub(crate) use prices::{INTERFACE_ENDPOINT_GB, INTERFACE_ENDPOINT_HOUR, NAT_GB, ZONE_GB};

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Gigabytes (10^9 bytes) of log text a day, as AWS counts it: before compression.
    pub gb_per_day: f64,
    /// Network interfaces with traffic.
    pub interfaces: u64,
    /// Flow logs that deliver to S3; each writes an object every five minutes.
    pub flow_logs: u64,
    /// Sources that are refused each day, beyond what ordinary noise brings.
    pub attackers: u64,
    /// How many of a hundred records are of refused traffic, which goes to CloudWatch Logs, too; 0 for
    /// no flow log there.
    pub refused_percent: f64,
}

/// One line of the bill, in dollars for 30 days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What is charged.
    pub what: &'static str,
    /// Dollars for 30 days.
    pub dollars: f64,
    /// How it comes about.
    pub how: String,
}

/// The whole estimate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Date and region of the price table.
    pub prices_of: &'static str,
    /// What flowlog adds.
    pub flowlog: Vec<Line>,
    /// What AWS charges to deliver and keep the logs, with or without flowlog.
    pub delivery: Vec<Line>,
    /// What others charge for the same logs; each stands for itself.
    pub instead: Vec<Line>,
    /// Dollars for 30 days: the sum of `flowlog`.
    pub added: f64,
    /// Dollars for 30 days: AWS's charge to deliver to S3, the first line of `delivery`.
    pub delivered: f64,
    /// `added` in per cent of `delivered`.
    pub added_percent: f64,
}

const DAYS: f64 = 30.0;
/// Compressed bytes a byte of text: the generator's rows shrink nine times, dated reports say five.
const COMPRESSED: f64 = 1.0 / 5.0;
/// How often somebody asks Athena about everything of a day.
const SCANS_A_DAY: f64 = 4.0;

/// Estimates the cost of a load.
pub fn estimate(load: &Load) -> Estimate {
    let flowlog = added(load);
    let delivery = delivery(load);
    let sum: f64 = flowlog.iter().map(|line| line.dollars).sum();
    let delivered = delivery.first().map_or(0.0, |line| line.dollars);
    let added_percent = if delivered > 0.0 { sum / delivered * 100.0 } else { 0.0 };
    Estimate {
        prices_of: PRICES_OF,
        flowlog,
        delivery,
        instead: instead(load),
        added: sum,
        delivered,
        added_percent,
    }
}

fn delivery(load: &Load) -> Vec<Line> {
    let month = load.gb_per_day * DAYS;
    let kept = month * COMPRESSED;
    vec![
        Line {
            what: "Delivery to S3",
            dollars: tiered(month, &DELIVERY_TIERS),
            how: format!("{month:.0} GB of text a month"),
        },
        Line {
            what: "As Parquet, on top",
            dollars: month * PARQUET_GB,
            how: "only if the flow logs are set to it".to_owned(),
        },
        Line {
            what: "S3 storage",
            dollars: kept * S3_GB_MONTH,
            how: format!("{kept:.0} GB compressed, kept for a month"),
        },
    ]
}

fn instead(load: &Load) -> Vec<Line> {
    let month = load.gb_per_day * DAYS;
    vec![
        Line {
            what: "Athena, whole days",
            dollars: month * COMPRESSED * SCANS_A_DAY / 1000.0 * ATHENA_TB,
            how: format!("every row scanned {SCANS_A_DAY:.0} times, compressed text"),
        },
        Line {
            what: "CloudWatch Logs",
            dollars: tiered(month, &LOGS_TIERS),
            how: "delivery there, before any query".to_owned(),
        },
        Line {
            what: "A vended SIEM",
            dollars: month * SIEM_GB,
            how: format!("${SIEM_GB:.2} a GB, list price"),
        },
    ]
}

/// The price of an amount, each tier's part at its own price.
fn tiered(mut amount: f64, tiers: &[(f64, f64)]) -> f64 {
    let mut dollars = 0.0;
    for (size, price) in tiers {
        let part = amount.min(*size);
        dollars += part * price;
        amount -= part;
    }
    dollars
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn as_f64(n: u64) -> f64 {
    n as f64
}

/// The estimate as a table for people.
pub fn to_text(estimate: &Estimate) -> String {
    let mut text = String::new();
    let mut section = |title: &str, lines: &[Line]| {
        let _ = writeln!(text, "{title}");
        for line in lines {
            let _ = writeln!(text, "  {:<22} {:>12.2}  {}", line.what, line.dollars, line.how);
        }
    };
    section("flowlog adds, $ for 30 days", &estimate.flowlog);
    section("AWS charges anyway", &estimate.delivery);
    section("others, for the same logs", &estimate.instead);
    let _ = writeln!(
        text,
        "Added: ${:.2}, {:.1} % of the ${:.2} that AWS charges to deliver to S3.\n\
         Prices of {}, without free tiers and discounts: a model, not a bill.",
        estimate.added, estimate.added_percent, estimate.delivered, estimate.prices_of
    );
    text
}

#[cfg(test)]
mod tests {
    use super::added::{ALARMS, METRICS, traces};
    use super::prices::{ALARM_MONTH, DASHBOARD_MONTH, METRIC_MONTH, WRITE_MILLION};
    use super::*;

    fn of(gb_per_day: f64, interfaces: u64, flow_logs: u64, attackers: u64) -> Estimate {
        let refused_percent = 5.0;
        estimate(&Load { gb_per_day, interfaces, flow_logs, attackers, refused_percent })
    }

    fn file(name: &str) -> String {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        std::fs::read_to_string(root.join(name)).unwrap()
    }

    #[test]
    fn tiers_are_charged_part_by_part() {
        assert!((tiered(10_000.0, &DELIVERY_TIERS) - 2_500.0).abs() < 1e-9);
        assert!((tiered(31_000.0, &DELIVERY_TIERS) - (2_500.0 + 3_000.0 + 75.0)).abs() < 1e-9);
        assert!(tiered(0.0, &DELIVERY_TIERS).abs() < 1e-9);
    }

    #[test]
    fn the_template_has_so_many_alarms_and_a_dashboard() {
        let template = file("infra/observability.yaml");
        let alarms = template.matches("Type: AWS::CloudWatch::Alarm\n").count();
        assert!((as_f64(alarms as u64) - ALARMS).abs() < 0.5, "{alarms}");
        assert_eq!(template.matches("Type: AWS::CloudWatch::Dashboard\n").count(), 1);
        // An account in which nothing happens pays for them all the same, and for the schedules' traces.
        let idle = of(0.0, 0, 0, 0);
        let dollars = |what| idle.flowlog.iter().find(|line| line.what == what).unwrap().dollars;
        let fixed = ALARMS * ALARM_MONTH + METRICS * METRIC_MONTH + 3.0;
        assert!((dollars("CloudWatch") - fixed).abs() < 0.02, "{:?}", idle.flowlog);
        let polled = 30.0 * 5.0 * 4_320.0 * 0.40 / 1e6;
        assert!((dollars("S3 and SQS requests") - polled).abs() < 0.03, "{:?}", idle.flowlog);
        // What the documents say of it.
        let total = format!("{:.2} USD", of(0.0, 0, 1, 0).added);
        for document in ["README.md", "docs/operating.md", "docs/cost.md"] {
            assert!(file(document).contains(&total), "{document} does not say {total}");
        }
        let most = format!("{:.2} to {fixed:.2} USD", ALARMS * ALARM_MONTH + DASHBOARD_MONTH);
        assert!(file("template.yaml").contains(&most), "template.yaml does not say {most}");
        assert!((dollars("X-Ray") - 30.0 * 336.0 * 5e-6).abs() < 1e-9, "{:?}", idle.flowlog);
    }

    #[test]
    fn what_the_template_deploys_is_on_the_bill() {
        let main = file("template.yaml");
        assert!(main.contains("\n    Tracing: Active\n"), "functions are traced");
        for (schedule, times) in [("rate(5 minutes)", 1), ("rate(1 hour)", 1), ("cron(40 * ", 1)] {
            assert_eq!(main.matches(&format!("Schedule: {schedule}")).count(), times, "{schedule}");
        }
        assert!(file("infra/flow-logs.yaml").contains("LogDestinationType: cloud-watch-logs"));

        let load = |refused_percent| Load {
            gb_per_day: 100.0,
            interfaces: 1_000,
            flow_logs: 10,
            attackers: 0,
            refused_percent,
        };
        let lines = |percent| {
            let found = estimate(&load(percent)).flowlog;
            let refused = found.iter().filter(|line| line.what.starts_with("Refused"));
            refused.map(|line| line.dollars).collect::<Vec<_>>()
        };
        assert!(lines(0.0).iter().all(|dollars| dollars.abs() < 1e-9));
        let (few, many) = (lines(5.0), lines(50.0));
        // 100 GB of rows, a twentieth of them refused, of 112 bytes in place of 243: 69 GB a month.
        assert!((few[0] - 69.136 * (0.50 + 0.15 * 0.03)).abs() < 0.01, "{few:?}");
        assert!((many[0] - few[0] * 10.0).abs() < 1e-6, "{many:?}");
        // Of a payload for each interface and window: partials, ledger and reads.
        assert!(few[1] > DAYS * 288_000.0 * 4.0 / 1e6 * WRITE_MILLION, "{few:?}");
        assert!(many[1] < few[1] * 1.1, "payloads do not grow with their rows: {many:?}");
        assert!((traces(86_400.0 * 3.0) - 86_400.0 * 1.1).abs() < 1e-6);
    }

    #[test]
    fn the_table_of_the_documentation_is_what_is_printed() {
        let added = |loads: &[(f64, u64, u64, u64)]| {
            let dollars = loads.iter().map(|&(gb, interfaces, logs, attackers)| {
                format!("{:.2}", of(gb, interfaces, logs, attackers).added)
            });
            format!("| {} |\n", dollars.collect::<Vec<_>>().join(" · "))
        };
        let refused = [0.0, 1.0, 5.0, 20.0].map(|refused_percent| {
            let load = Load {
                gb_per_day: 100.0,
                interfaces: 1_000,
                flow_logs: 1,
                attackers: 0,
                refused_percent,
            };
            format!("{:.2}", estimate(&load).added)
        });
        let text = file("docs/scale.md");
        for row in [
            added(&[100, 1_000, 10_000].map(|n| (100.0, n, 1, 0))),
            added(&[1, 10, 100, 1_000].map(|n| (100.0, 1_000, n, 0))),
            added(&[0, 10_000, 1_000_000, 100_000_000].map(|n| (100.0, 1_000, 1, n))),
            added(&[10.0, 100.0, 1_000.0].map(|gb| (gb, 1_000, 1, 0))),
            format!("| {} |\n", refused.join(" · ")),
        ] {
            assert!(text.contains(&row), "docs/scale.md should have {row}");
        }
    }

    #[test]
    fn sums_are_those_of_the_lines() {
        let e = of(100.0, 1_000, 10, 0);
        let sum: f64 = e.flowlog.iter().map(|l| l.dollars).sum();
        assert!((e.added - sum).abs() < 1e-9);
        assert!((e.delivered - 100.0 * 30.0 * 0.25).abs() < 1e-9);
        assert!((e.added_percent - e.added / e.delivered * 100.0).abs() < 1e-9);
        for line in e.flowlog.iter().chain(&e.delivery).chain(&e.instead) {
            assert!(line.dollars.is_finite() && line.dollars >= 0.0, "{line:?}");
        }
    }

    #[test]
    fn grows_with_what_it_depends_on_and_attackers_are_bounded() {
        let base = of(100.0, 1_000, 10, 0).added;
        assert!(of(200.0, 1_000, 10, 0).added > base);
        assert!(of(100.0, 2_000, 10, 0).added > base);
        assert!(of(100.0, 1_000, 1_000, 0).added > base);
        let attacked = of(100.0, 1_000, 10, 10_000_000).added;
        let flooded = of(100.0, 1_000, 10, 1_000_000_000_000).added;
        assert!(attacked > base);
        // The lists are full: a flood of any size costs the same.
        assert!((of(100.0, 1_000, 10, u64::MAX).added - flooded).abs() < 1e-6);
        assert!(flooded < base * 5.0, "{flooded} against {base}");
    }

    #[test]
    fn nothing_is_no_division_by_zero() {
        let e = of(0.0, 0, 0, 5);
        assert!(e.added.is_finite() && e.added_percent.abs() < 1e-9);
        assert!(to_text(&e).contains("Added: $"));
    }
}

//! What a pipeline of Vector's does with each line: `parse_aws_vpc_flow_log`, compiled once, then the
//! plain program's sums. A line that it cannot read ends the run, so nothing is skipped unseen.

use std::io::{BufRead, BufReader};

use flowlog_bench::tally::{Row, Tally};
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{Context, TargetValue, TimeZone};
use vrl::value;
use vrl::value::{Secrets, Value};

const SOURCE: &str = "parse_aws_vpc_flow_log!(.message)";

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let functions: Vec<Box<dyn vrl::compiler::Function>> =
        vec![Box::new(vrl::stdlib::ParseAwsVpcFlowLog)];
    let program = vrl::compiler::compile(SOURCE, &functions)
        .map_err(|errors| format!("{SOURCE}: {errors:?}"))?
        .program;
    let mut tally = Tally::default();
    let (mut state, timezone) = (RuntimeState::default(), TimeZone::default());
    for path in std::env::args_os().skip(1) {
        let file = BufReader::new(std::fs::File::open(path)?);
        for line in BufReader::new(flate2::bufread::MultiGzDecoder::new(file)).lines().skip(1) {
            let mut target = TargetValue {
                value: value!({ message: (line?) }),
                metadata: value!({}),
                secrets: Secrets::default(),
            };
            let row = program.resolve(&mut Context::new(&mut target, &mut state, &timezone))?;
            if text(&row, "log_status") == "OK" {
                tally.add(&Row {
                    interface_id: text(&row, "interface_id"),
                    srcaddr: text(&row, "srcaddr"),
                    dstaddr: text(&row, "dstaddr"),
                    srcport: number(&row, "srcport").try_into()?,
                    dstport: number(&row, "dstport").try_into()?,
                    protocol: number(&row, "protocol").try_into()?,
                    packets: number(&row, "packets"),
                    bytes: number(&row, "bytes"),
                    start: number(&row, "start"),
                    action: text(&row, "action"),
                });
            }
        }
    }
    println!("{tally}");
    Ok(())
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    let field = row.as_object().and_then(|fields| fields.get(name)?.as_bytes());
    field.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

fn number(row: &Value, name: &str) -> u64 {
    let field = row.as_object().and_then(|fields| fields.get(name)?.as_integer());
    field.and_then(|number| number.try_into().ok()).unwrap_or_default()
}

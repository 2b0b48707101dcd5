//! The command `flowlog`.

mod cli;
#[cfg(test)]
mod documents;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use flowlog_cli::ask::{self, Question, ServeArgs};
use flowlog_cli::backfill::{self, BackfillArgs};
use flowlog_cli::cost::{self, Load};
use flowlog_cli::doctor::{self, DoctorArgs};
use flowlog_cli::embedded::Location;
use flowlog_cli::generate::{self, Plan};
use flowlog_cli::output::{OutputFormat, Said, print, print_json};
use flowlog_cli::report::{self, Report};
use flowlog_cli::usage::is_usage;
use flowlog_cli::{alerting, analyze, colour, local, nat_cost, requeue, shell};
use flowlog_core::decode::Limits;

use self::cli::{AnalyzeArgs, Cli, Command, CostArgs, GenerateArgs, LocalArgs};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { color, command } = Cli::parse();
    colour::decide(color);
    let result = match command {
        Command::Analyze(args) => run_analyze(&args),
        Command::Local(args) => run_local(args).await,
        Command::Top(args) => say(ask::ask(Question::Top(args), &mut complain).await),
        Command::Rejected(args) => say(ask::ask(Question::Rejected(args), &mut complain).await),
        Command::Who(args) => say(ask::ask(Question::Who(args), &mut complain).await),
        Command::Coverage(args) => say(ask::ask(Question::Coverage(args), &mut complain).await),
        Command::Diff(args) => say(ask::ask(Question::Diff(args), &mut complain).await),
        Command::Compliance(args) => say(ask::ask(Question::Compliance(args), &mut complain).await),
        Command::Serve(args) => run_serve(args).await,
        Command::Alerts(args) => done(ask::alerts(args).await),
        Command::Silence(args) => done(ask::silence(args).await),
        Command::Resolve(args) => done(ask::resolve(args).await),
        Command::Report(args) => done(ask::report(args).await),
        Command::Why(args) => say(ask::ask(Question::Why(args), &mut complain).await),
        Command::Backfill(args) => run_backfill(args).await,
        Command::Doctor(args) => run_doctor(&args),
        Command::Requeue(args) => ends(Box::pin(requeue::run(args)).await),
        Command::Replay(args) => say(alerting::replay(&args, &mut complain).await),
        Command::Rules(command) => say(alerting::rules(command).await),
        Command::TestAlert(args) => say(alerting::test_alert(&args).await),
        Command::Generate(args) => run_generate(args),
        Command::Cost(args) => run_cost(&args),
        Command::NatCost(args) => say(nat_cost::run(&args, &mut complain)),
        Command::Completions { shell } => done(shell::completions(Cli::command(), shell)),
        Command::Man { output } => done(shell::manual(Cli::command(), &output)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(format!("error: {error}"));
            if is_usage(error.as_ref()) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

type Fallible = Result<ExitCode, Box<dyn std::error::Error>>;

/// Prints what a command has to say.
fn say<E: Into<Box<dyn std::error::Error>>>(said: Result<Said, E>) -> Fallible {
    let said = said.map_err(Into::into)?;
    print(&said.text)?;
    Ok(if said.well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_analyze(args: &AnalyzeArgs) -> Fallible {
    let fallback = args.log_format.clone().unwrap_or_default();
    let report = analyze::analyze(&args.paths, Limits::default(), &fallback, &mut complain)?;
    match args.output.format {
        OutputFormat::Table => print(&report::to_text(&report))?,
        OutputFormat::Json => print_json(&report::Json { report: &report, alerts: None })?,
    }
    Ok(status(&report))
}

async fn run_local(args: LocalArgs) -> Fallible {
    let location = args.store.map_or(Location::Temporary, Location::File);
    let run = Box::pin(local::run(&args.paths, location, Limits::default(), &mut complain)).await?;
    match args.output.format {
        OutputFormat::Table => {
            let mut text = format!(
                "{} object(s) ingested, {} ingested before\n",
                run.ingested, run.duplicates
            );
            text.push_str(&report::to_text(&run.report));
            let _ = writeln!(text, "\nAlerts sent: {}", run.alerts.len());
            for alert in &run.alerts {
                let _ = write!(text, "\n── {}\n{}", colour::title(&alert.subject), alert.text);
            }
            print(&text)?;
        }
        OutputFormat::Json => {
            let alerts: Result<Vec<serde_json::Value>, _> =
                run.alerts.iter().map(|alert| serde_json::from_str(&alert.json)).collect();
            print_json(&report::Json { report: &run.report, alerts: Some(alerts?) })?;
        }
    }
    Ok(status(&run.report))
}

/// Prints what a command has to say.
fn done<E: std::error::Error + 'static>(said: Result<String, E>) -> Fallible {
    print(&said?)?;
    Ok(ExitCode::SUCCESS)
}

/// A command that prints as it goes on, and says whether all went well.
fn ends(well: Result<bool, Box<dyn std::error::Error>>) -> Fallible {
    Ok(if well? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_serve(args: ServeArgs) -> Fallible {
    ask::serve(args, |address| complain(format!("http://{address} until Ctrl-C"))).await?;
    Ok(ExitCode::SUCCESS)
}

async fn run_backfill(args: BackfillArgs) -> Fallible {
    let (text, complete) = Box::pin(backfill::run(args)).await?;
    print(&text)?;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// 2 where AWS could not be asked: a script can tell that from a stack that does not work.
fn run_doctor(args: &DoctorArgs) -> Fallible {
    let diagnosis = match doctor::run(args) {
        Ok(diagnosis) => diagnosis,
        Err(error) => {
            complain(format!("error: {error}"));
            return Ok(ExitCode::from(2));
        }
    };
    match args.output.format {
        OutputFormat::Table => print(&doctor::to_text(&diagnosis))?,
        OutputFormat::Json => print(&format!("{}\n", serde_json::to_string(&diagnosis)?))?,
    }
    Ok(ExitCode::from(diagnosis.status()))
}

fn run_generate(args: GenerateArgs) -> Fallible {
    let plan = Plan {
        seed: args.seed,
        start: args.start,
        minutes: args.minutes,
        rate: args.rate,
        format: args.format,
        file_format: args.file_format,
        attacks: args.attack,
        intensity: args.intensity,
    };
    let truth = generate::write(&plan, &args.output)?;
    print(&format!(
        "{} objects, {} records, {} attack(s) planted in {}; the truth is in truth.json\n",
        truth.objects.len(),
        truth.totals.read,
        truth.attacks.len(),
        args.output.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn run_cost(args: &CostArgs) -> Fallible {
    let estimate = cost::estimate(&Load {
        gb_per_day: args.gb_per_day,
        interfaces: args.interfaces,
        flow_logs: args.flow_logs,
        attackers: args.attackers,
        refused_percent: args.refused_percent,
    });
    match args.output.format {
        OutputFormat::Table => print(&cost::to_text(&estimate))?,
        OutputFormat::Json => print(&format!("{}\n", serde_json::to_string(&estimate)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// 0 if everything could be read, 1 if a file or a line could not.
fn status(report: &Report) -> ExitCode {
    let unread = report.files.iter().any(|file| file.error.is_some());
    if unread || report.totals.rejected_total() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Complaints are for whoever runs the command. If nobody reads them, the answer is not lost for that.
fn complain(line: String) {
    let _ = writeln!(io::stderr(), "flowlog: {}", report::printable(&line));
}

//! Exit statuses: 2 for what is wrong on the command line, and what each command says of its own.

use std::path::Path;
use std::process::Command;

use super::{flowlog, good, text};

/// What clap refuses is the command line, and so is what it cannot know by itself.
#[test]
fn what_is_wrong_on_the_command_line_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        &["analyze", "x.log", "--log-format", "a b"][..],
        &["nat-cost", "x.log", "--log-format", "a b"],
        &["replay", "x.log", "--log-format", "a b"],
        &["cost", "--gb-per-day", "1", "--interfaces", "1", "--refused-percent", "101"],
        &["top", "--store", "s.db", "--since", "yesterday"],
        &["diff", "--store", "s.db", "--against", "yesterday"],
        &["backfill", "x.log", "--store", "s.db", "--until", "yesterday"],
    ] {
        let output = flowlog(folder.path(), wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", text(&output.stderr));
    }
    std::fs::write(folder.path().join("good.log"), good()).unwrap();
    let local = flowlog(folder.path(), &["local", "good.log", "--store", "s.db"]);
    assert!(local.status.success(), "{}", text(&local.stderr));
    for (wrong, said) in [
        (&["requeue", "nope"][..], "no id of a delivery"),
        (&["requeue", "--all", "--store", "s.db"], "--objects PATH says where"),
        (&["generate", "--minutes", "0", "-o", "g"], "0 minutes is not between 1"),
        (&["generate", "--start", "1793491201", "-o", "g"], "not a multiple of 300"),
        (&["generate", "--intensity", "0", "-o", "g"], "an intensity of 0 %"),
        (
            &["generate", "--minutes", "5", "--attack", "slow-scan", "-o", "g"],
            "needs a recording of at least",
        ),
        (&["report", "--store", "s.db"], "report needs -o FILE.html"),
        (&["top"], "--store FILE, --stack NAME"),
        (&["replay"], "--store FILE, --stack NAME"),
        (&["backfill", "good.log"], "--store FILE, --stack NAME"),
        (&["requeue"], "--store FILE, --stack NAME"),
        (
            &["top", "--store", "s.db", "--since", "2014-12-14", "--until", "2014-12-13"],
            "--since must be before --until",
        ),
        (&["alerts", "--store", "s.db", "--since", "1h", "--until", "2h"], "must be before"),
        (
            &["why", "10.0.0.1", "10.0.0.2", "--data", "good.log", "--since", "30m"],
            "counts back from the time in a flow log file's name",
        ),
        (
            &["top", "--store", "s.db", "--since", "2014-12-13T08:00"],
            "no time zone: add Z or +02:00",
        ),
        (
            &["why", "10.0.0.1", "10.0.0.2:8445", "--protocol", "icmp", "--store", "s.db"],
            "ICMP has no ports: leave :8445 away",
        ),
        (&["why", "10.0.0.1", "10.0.0.1:443", "--data", "good.log"], "are the same address"),
        (&["why", "10.0.0.1", "2001:db8::1:443", "--store", "s.db"], "[2001:db8::1]:443"),
        (&["who", "10.1.16.0/24", "--store", "s.db"], "this is a range"),
        (&["who", "eni-1", "--store", "s.db"], "flowlog top --interface eni-1"),
        (&["who", "[2001:db8::7]", "--store", "s.db"], "without the brackets: 2001:db8::7"),
        (&["who", "::ffff:10.1.16.21", "--store", "s.db"], "records write as 10.1.16.21"),
        (&["rules", "put", "rules.toml"], "--stack <NAME>"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowlog"));
        let output = command.current_dir(folder.path()).args(wrong);
        let output = output.env_remove("AGGREGATES_TABLE").env_remove("CONTROL_TABLE").output();
        let output = output.unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {error}");
        assert!(error.contains(said), "{wrong:?}: {error}");
    }
    assert!(!folder.path().join("g").exists());
}

#[test]
fn every_command_says_what_its_exit_status_means() {
    let help = |args: &[&str]| text(&flowlog(Path::new("."), args).stdout);
    let list = help(&["--help"]);
    let commands = list.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let mut told = 0;
    for line in commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        let of = match name {
            "help" => continue,
            "rules" => vec!["rules check", "rules put", "rules defaults"],
            name => vec![name],
        };
        for name in of {
            let args: Vec<&str> = name.split(' ').chain(["--help"]).collect();
            assert!(help(&args).to_lowercase().contains("exit status"), "{name}");
            told += 1;
        }
    }
    assert!(told > 25, "{told}");
}

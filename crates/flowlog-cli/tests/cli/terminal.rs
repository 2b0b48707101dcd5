//! Colours, names from strangers, and complaints that nobody reads.

use std::process::Command;

use super::{HEADER, ROW, flowlog, good, text};

/// What is printed without our own colours: whatever else begins with an escape is left.
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let ours = part
            .split_once('m')
            .filter(|(code, _)| code.chars().all(|c| c.is_ascii_digit() || c == ';'));
        if let Some((_, rest)) = ours {
            out.push_str(rest);
        } else {
            out.push_str("\u{1b}[");
            out.push_str(part);
        }
    }
    out
}

#[test]
fn colours_are_for_terminals_and_never_from_the_data() {
    let folder = tempfile::tempdir().unwrap();
    // A name that would clear the screen, and one refused record.
    let name = "day\u{1b}[2J.log";
    let rows = format!("{HEADER}\n{ROW}\n{}\n", ROW.replace("ACCEPT", "REJECT"));
    std::fs::write(folder.path().join(name), format!("{rows}no record\n")).unwrap();
    std::fs::write(folder.path().join("b\u{1b}]0;x.log"), b"Dear Sir,\n").unwrap();
    let run = |color: &[&str], env: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowlog"));
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"] {
            command.env_remove(variable);
        }
        command.current_dir(folder.path()).args(["analyze", "."]).args(color);
        let output = command.envs(env.iter().copied()).output().unwrap();
        assert!(!text(&output.stderr).contains('\u{1b}'), "{:?}", text(&output.stderr));
        text(&output.stdout)
    };
    let without = run(&[], &[]);
    assert!(
        without.contains("rejected") && !without.contains('\u{1b}'),
        "no terminal: {without:?}"
    );
    let red = "\u{1b}[38;5;9m";
    for (color, env, coloured) in [
        (&["--color", "always"][..], &[][..], true),
        (&[], &[("CLICOLOR_FORCE", "1"), ("TERM", "xterm")], true),
        (&["--color", "never"], &[("CLICOLOR_FORCE", "1")], false),
        (&[], &[("NO_COLOR", "1")], false),
        // Who says so on the command line means it.
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
        (&["--color", "auto"], &[], false),
    ] {
        let said = run(color, env);
        assert_eq!(said.contains(red), coloured, "{color:?} {env:?}: {said:?}");
        assert_eq!(plain(&said), without, "{color:?} {env:?}");
    }
    // For scripts there are none, whatever is asked.
    assert!(!run(&["--color", "always", "--format", "json"], &[]).contains('\u{1b}'));
}

#[test]
fn hostile_names_do_not_drive_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let output = flowlog(folder.path(), &["analyze", "\u{1b}[2Jx\nflowlog: all is well"]);
    assert!(!text(&output.stderr).contains('\u{1b}'));
    assert_eq!(text(&output.stderr).lines().count(), 1);
}

/// Whoever reads no complaints still gets the answer.
#[cfg(target_os = "linux")]
#[test]
fn an_answer_is_not_lost_for_complaints_that_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.log"), good()).unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flowlog"))
        .args(["analyze", "good.log", "/nowhere"])
        .current_dir(folder.path())
        .stderr(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.is_empty());
}

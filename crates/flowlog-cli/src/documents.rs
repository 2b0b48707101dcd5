//! The documents, held against the command: every command line in them is one, every block says what it
//! is, and the reference is what the command itself says of its options.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _, Parser as _};
use sha2::{Digest as _, Sha256};

use super::Cli;

/// What the blocks of documents may be. `docs/README.md` lists them with what they mean.
const TAGS: [&str; 8] = ["sh", "console", "bash", "text", "toml", "json", "sql", "mermaid"];
/// Columns of the reference.
const WIDTH: usize = 110;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Every document, by its path from the project's root.
fn documents() -> Vec<(String, String)> {
    let mut paths: Vec<String> = vec!["README.md".to_owned(), "crates/README.md".to_owned()];
    for entry in walkdir::WalkDir::new(project("docs")).sort_by_file_name() {
        let path = entry.expect("docs can be read").into_path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.strip_prefix(project("")).expect("within the project");
            paths.push(name.to_string_lossy().into_owned());
        }
    }
    let text = |path: &str| std::fs::read_to_string(project(path)).expect("a document");
    paths.into_iter().map(|path| (path.clone(), text(&path))).collect()
}

/// The README's pictures are those that are recorded, made from what they would be made from now.
#[test]
fn pictures_are_not_old() {
    let sha = |paths: &[&str]| {
        let mut hash = Sha256::new();
        for path in paths {
            hash.update(std::fs::read(project(path)).expect(path));
        }
        hex::encode(hash.finalize())
    };
    let page = [
        "tests/page/pictures.py",
        "crates/flowlog-cli/assets/page.html",
        "crates/flowlog-cli/assets/page.css",
        "crates/flowlog-cli/assets/page.js",
        "crates/flowlog-cli/assets/charts.js",
        "crates/flowlog-cli/assets/echarts/echarts.min.js",
    ];
    let mail = [
        "tests/page/pictures.py",
        "crates/flowlog-core/src/alert/snapshots/flowlog_core__alert__snapshots__the_email_about_a_misconfiguration.snap",
    ];
    let text = std::fs::read_to_string(project("docs/pictures.json")).expect("the record");
    let kept: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (picture, from) in [("report-page.webp", &page[..]), ("alert-email.webp", &mail)] {
        let is = sha(&[&format!("docs/{picture}")]);
        let found = serde_json::json!({ "is": is, "from": sha(from) });
        assert_eq!(found, kept[picture], "docs/{picture} is old: make pictures");
        assert!(documents()[0].1.contains(picture), "the README shows {picture}");
    }
}

/// The lines of a document's blocks, each with its block's tag; continued lines are joined.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut tag: Option<String> = None;
    let mut found: Vec<(String, String)> = Vec::new();
    let mut goes_on = false;
    for line in document.lines() {
        match (line.strip_prefix("```"), &tag) {
            (Some(_), Some(_)) => tag = None,
            (Some(opened), None) => tag = Some(opened.to_owned()),
            (None, Some(tag)) => {
                let text = line.trim_end_matches('\\');
                match found.last_mut().filter(|_| goes_on) {
                    Some((_, last)) => last.push_str(text),
                    None => found.push((tag.clone(), text.to_owned())),
                }
                goes_on = line.ends_with('\\');
            }
            (None, None) => {}
        }
    }
    found
}

/// The command of a line, without what a shell does with it.
fn words(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches("$ ");
    let end = [" > ", " >> ", " | ", " #", " && "].iter().filter_map(|cut| line.find(cut)).min();
    shlex::split(&line[..end.unwrap_or(line.len())]).expect("quotes are closed")
}

#[test]
fn every_block_has_a_tag_that_is_listed() {
    let listed = std::fs::read_to_string(project("docs/README.md")).expect("the index");
    for tag in TAGS {
        assert!(listed.contains(&format!("| `{tag}` |")), "docs/README.md does not list {tag}");
    }
    for (path, text) in documents() {
        for (tag, line) in blocks(&text) {
            assert!(TAGS.contains(&tag.as_str()), "{path}: a block is tagged {tag:?}: {line}");
            let is_run = tag == "sh" && !line.trim().is_empty();
            assert!(
                !is_run || line.starts_with("flowlog ") || line.starts_with('#'),
                "{path}: `sh` is run by a test, in an empty folder; this is `console` or `bash`: {line}"
            );
        }
    }
}

#[test]
fn every_command_line_of_the_documents_is_one() {
    let makefile = std::fs::read_to_string(project("Makefile")).expect("the Makefile");
    let (mut commands, mut targets) = (0, 0);
    for (path, text) in documents() {
        for (tag, line) in blocks(&text) {
            if !["sh", "console", "bash"].contains(&tag.as_str()) || line.contains('…') {
                continue;
            }
            match words(&line).iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["flowlog", ..] => {
                    let parsed = Cli::try_parse_from(words(&line));
                    let help = |error: &clap::Error| !error.use_stderr();
                    if let Some(error) = parsed.err().filter(|error| !help(error)) {
                        panic!("{path}: {line}\n{error}");
                    }
                    commands += 1;
                }
                ["make", target, ..] if !target.contains('=') => {
                    let rule = format!("\n{target}:");
                    assert!(makefile.contains(&rule), "{path}: no such target: {line}");
                    targets += 1;
                }
                _ => {}
            }
        }
    }
    assert!(commands > 40 && targets >= 8, "{commands} commands, {targets} targets");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (path, text) in documents() {
        let folder = Path::new(&path).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(project("").join(&folder).join(target).exists(), "{path}: {link}");
        }
    }
}

#[test]
fn every_example_of_the_help_is_a_command_line() {
    let mut examples = 0;
    for line in reference().lines().map(str::trim).filter(|line| line.starts_with("flowlog ")) {
        if let Err(error) = Cli::try_parse_from(words(line)) {
            assert!(!error.use_stderr(), "{line}\n{error}");
        }
        examples += 1;
    }
    assert!(examples > 25, "{examples}");
}

/// What the command says of itself, as one page.
fn reference() -> String {
    let mut cli = Cli::command().term_width(WIDTH);
    cli.build();
    let mut page = "# The command\n\nMade from the command itself by `make reference`; `flowlog man -o DIR` writes the same as manual pages.\n".to_owned();
    for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        describe(command, &mut page);
    }
    page
}

fn describe(command: &mut Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for command in command.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        describe(command, page);
    }
}

#[test]
fn the_reference_of_the_command_is_current() {
    let path = project("docs/reference/cli.md");
    let expected = reference();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &expected).expect("the reference can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/reference/cli.md is not current: make reference");
    for name in ["top", "rejected", "who", "why", "diff", "cost", "nat-cost", "alerts", "silence"] {
        assert!(found.contains(&format!("\n## flowlog {name}\n")), "{name}");
    }
}

//! What the documents say can be followed, and shells and manuals know every command.

use std::path::Path;

use super::{command, day, printed};

#[test]
fn shells_and_manuals_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let script = printed(&mut command(folder.path(), &["completions", "bash"]));
    printed(&mut command(folder.path(), &["man", "-o", "man"]));
    for name in
        ["top", "rejected", "who", "coverage", "diff", "compliance", "why", "report", "serve"]
    {
        assert!(script.contains(&format!("flowlog__subcmd__{name}")), "{name} in {script}");
        let page = folder.path().join("man").join(format!("flowlog-{name}.1"));
        assert!(std::fs::read_to_string(&page).unwrap().contains(".SH OPTIONS"), "{page:?}");
    }
    let csv = day();
    let text =
        printed(&mut command(csv.path(), &["rejected", "--store", "s.db", "--format", "csv"]));
    let lists: Vec<&str> = text.lines().filter_map(|line| line.split(',').next()).collect();
    assert!(
        ["list", "subjects", "sources", "ports", "deliveries", "complete", "error_bounds"]
            .iter()
            .all(|list| lists.contains(list)),
        "{text}"
    );
}

/// What a document has between fences of this kind, line by line; each line with its kind.
fn fenced(document: &str) -> Vec<(String, String)> {
    let mut kind: Option<&str> = None;
    let mut lines = Vec::new();
    for line in document.lines() {
        match (line.strip_prefix("```"), kind) {
            (Some(_), Some(_)) => kind = None,
            (Some(opened), None) => kind = Some(opened),
            (None, Some(kind)) => lines.push((kind.to_owned(), line.to_owned())),
            (None, None) => {}
        }
    }
    lines
}

/// Runs what the document says (`sh`), after what it takes for granted, and looks in what was printed for
/// what it quotes (`text`, up to where it breaks off with an ellipsis). Rules files (`toml`) are `rules.toml` for
/// what comes after them, and are checked.
fn follow(document: &Path, before: &[&str]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let name = document.display();
    let run = |line: &str| {
        let line = line.split(" #").next().unwrap_or_default();
        let (words, file) = line.split_once(" > ").unwrap_or((line, ""));
        let args: Vec<&str> = words.split_whitespace().skip(1).collect();
        let said = printed(&mut command(folder.path(), &args));
        if !file.is_empty() {
            std::fs::write(folder.path().join(file.trim()), &said).unwrap();
        }
        said
    };
    for line in before {
        run(line);
    }
    let (mut said, mut commands, mut rules) = (String::new(), 0, String::new());
    for (kind, line) in fenced(&std::fs::read_to_string(document).unwrap()) {
        if kind == "sh" && line.starts_with("flowlog ") {
            said.push_str(&run(&line));
            commands += 1;
        } else if kind == "text" && commands > 0 {
            let quoted = line.split('…').next().unwrap_or_default();
            assert!(said.contains(quoted), "{name} quotes {line:?}, which was not said:\n{said}");
        } else if kind == "toml" {
            rules.push_str(&line);
            rules.push('\n');
            std::fs::write(folder.path().join("rules.toml"), &rules).unwrap();
        }
    }
    if !rules.is_empty() {
        std::fs::write(folder.path().join("quoted.toml"), rules).unwrap();
        run("flowlog rules check quoted.toml");
    }
    commands
}

#[test]
fn the_documents_can_be_followed() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A shorter day than `make run` makes.
    let run = [
        "flowlog generate --minutes 180 --attack port-scan --attack reject-burst -o .run/sample",
        "flowlog local .run/sample --store .run/flowlog.db",
    ];
    let mut commands = follow(&project.join("README.md"), &run);
    let mut run = 0;
    for entry in walkdir(&project.join("docs")) {
        let of_document = follow(&entry, &[]);
        run += usize::from(of_document > 0);
        commands += of_document;
    }
    assert!(commands > 30 && run >= 5, "{commands} commands of {run} documents");
}

/// Every document below a folder.
fn walkdir(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walkdir(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

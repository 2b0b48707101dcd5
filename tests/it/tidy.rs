//! What is written twice must agree: code, template, documentation.

use std::collections::BTreeSet;

use crate::support::project;

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The upper-case names that a function's configuration documents in its table.
fn documented(config: &str) -> BTreeSet<String> {
    config
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_variable_of_the_template_is_one_that_a_function_reads() {
    let template = read("template.yaml");
    let functions = ["flowlog-s3-parser", "flowlog-cwl-subscriber", "flowlog-anomaly-alerter"];
    for function in functions {
        let config = read(&format!("crates/{function}/src/config.rs"));
        let names = documented(&config);
        assert!(names.contains("AGGREGATES_TABLE"), "{function}: {names:?}");
        for name in &names {
            assert!(
                config.contains(&format!("\"{name}\"")),
                "{function} documents {name} and does not read it"
            );
        }
        // The function's own block of the template, up to the next resource.
        let code_uri = format!("target/lambda/{function}");
        let block = template.split("\n  ").collect::<Vec<_>>().join("\n");
        assert!(block.contains(&code_uri), "the template does not deploy {function}");
    }
    let all: BTreeSet<String> = functions
        .iter()
        .flat_map(|f| documented(&read(&format!("crates/{f}/src/config.rs"))))
        .chain(["RUST_LOG".to_owned()])
        .collect();
    let mut in_variables = false;
    let mut seen = 0;
    for line in template.lines() {
        if line.trim() == "Variables:" {
            in_variables = true;
            continue;
        }
        let name = line.trim().split(':').next().unwrap_or_default();
        let is_variable = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if in_variables && is_variable {
            seen += 1;
            assert!(all.contains(name), "the template sets {name}, which no function documents");
        } else if !name.is_empty() && !line.trim_start().starts_with('#') {
            in_variables = false;
        }
    }
    assert!(seen >= 9, "only {seen} variables found in the template");
}

#[test]
fn every_function_has_the_same_files() {
    for function in ["flowlog-s3-parser", "flowlog-cwl-subscriber", "flowlog-anomaly-alerter"] {
        for file in ["main", "lib", "config", "handler", "error"] {
            let path = project(&format!("crates/{function}/src/{file}.rs"));
            assert!(path.exists(), "{} is missing", path.display());
        }
    }
}

#[test]
fn the_core_names_no_sdk_no_clock_and_no_environment() {
    let manifest = read("crates/flowlog-core/Cargo.toml");
    let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
    for banned in ["aws-", "tokio", "reqwest", "hyper", "lambda"] {
        assert!(!dependencies.contains(banned), "flowlog-core depends on {banned}");
    }
}

#[test]
fn only_one_crate_names_an_sdk() {
    for member in [
        "flowlog-core",
        "flowlog-s3-parser",
        "flowlog-cwl-subscriber",
        "flowlog-anomaly-alerter",
        "flowlog-cli",
    ] {
        let manifest = read(&format!("crates/{member}/Cargo.toml"));
        assert!(!manifest.contains("aws-sdk-"), "{member} names an SDK");
    }
}

#[test]
fn inflating_is_zlib_rs_with_the_processors_own_checksums() {
    // Features unify: any crate of the workspace could bring in another backend, at half the speed.
    let lock = read("Cargo.lock");
    let package = lock.split("[[package]]").find(|p| p.contains("\nname = \"flate2\"\n")).unwrap();
    assert!(package.contains("\"zlib-rs\""), "{package}");
    for backend in ["miniz_oxide", "libz-sys", "libz-ng-sys"] {
        assert!(
            !package.contains(&format!("\"{backend}\"")),
            "{backend} would take over: {package}"
        );
    }
    // Without it zlib-rs sums with tables, which takes as long as half of the inflating.
    let manifest = read("Cargo.toml");
    let flate2 = manifest.lines().find(|line| line.starts_with("flate2 = ")).unwrap();
    assert!(flate2.contains("\"runtime_detection\""), "{flate2}");
}

#[test]
fn the_sample_alert_is_one_that_is_sent() {
    let snapshots = "crates/flowlog-core/src/alert/snapshots";
    let name = "flowlog_core__alert__snapshots__the_email_about_a_misconfiguration.snap";
    let snapshot = read(&format!("{snapshots}/{name}"));
    let sent = snapshot.splitn(3, "---\n").nth(2).unwrap();
    assert!(read("docs/detection.md").contains(&format!("```text\n{}\n```", sent.trim_end())));
}

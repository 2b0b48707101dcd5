//! The same questions of a file, of tables over HTTP, of a stack and of several flow logs.

use flowlog_cli::embedded::{EmbeddedDb, Location};
use serde_json::Value;

use super::{QUESTIONS, answer, ask, command, day, printed};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_tables_over_http_give_the_same_answers() {
    let folder = day();
    let of_file = QUESTIONS.map(|question| {
        let args = ask(question, &["--store", "s.db"]);
        answer(&printed(&mut command(folder.path(), &args)))
    });
    let location = Location::File(folder.path().join("s.db"));
    let database = EmbeddedDb::open(location).await.unwrap();
    let server = database.serve(0).unwrap();
    for (question, expected) in QUESTIONS.iter().zip(of_file) {
        let mut over_http = command(folder.path(), &ask(question, &[]));
        over_http
            .env("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint())
            .env("AGGREGATES_TABLE", &database.tables().aggregates)
            .env("CONTROL_TABLE", &database.tables().control)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local");
        let found = tokio::task::block_in_place(|| printed(&mut over_http));
        assert_eq!(answer(&found), expected, "{question:?}");
    }
}

/// One account, two VPCs, a flow log of each.
#[test]
fn an_account_is_all_of_its_flow_logs() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| printed(&mut command(folder.path(), args));
    let (account, start) = ("111111111111", 1_793_491_200);
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id\n";
    let row = |of: &str, (src, sport): (&str, u16), (dst, dport): (&str, u16), action: &str| {
        let (id, vpc, end) = (format!("eni-{of}"), format!("vpc-{of}"), start + 5);
        format!(
            "2 {account} {id} {src} {dst} {sport} {dport} 6 9 9000 {start} {end} {action} OK {vpc}\n"
        )
    };
    let mut of_b = String::new();
    for n in 1..=30 {
        let (client, server) = (format!("8.8.8.{n}"), ("10.9.1.5", 22));
        of_b += &row("0b", (&client, 50_000), server, "ACCEPT");
        of_b += &row("0b", server, (&client, 50_000), "ACCEPT");
        of_b += &row("0b", (&client, 50_001), ("10.9.1.5", 23), "REJECT");
    }
    let of_a = row("0a", ("10.0.1.5", 40_000), ("10.0.2.9", 443), "ACCEPT");
    let of_other = row("0c", ("10.0.1.5", 40_000), ("10.0.2.9", 443), "REJECT");
    for (account, flow_log, rows) in [
        (account, "fl-01", of_a),
        (account, "fl-02", of_b),
        ("222222222222", "fl-03", of_other.replace(account, "222222222222")),
    ] {
        let at = format!("day/AWSLogs/{account}/vpcflowlogs/us-east-1/2026/11/01");
        let at = folder.path().join(at);
        std::fs::create_dir_all(&at).unwrap();
        let name = format!("{account}_vpcflowlogs_us-east-1_{flow_log}_20261101T0005Z_a.log");
        std::fs::write(at.join(name), format!("{header}{rows}")).unwrap();
    }
    run(&["backfill", "day/AWSLogs", "--store", "s.db"]);
    let json = |args: &[&str]| answer(&run(&ask(args, &["--store", "s.db"])));
    for scope in [["--account", account], ["--vpc", "vpc-0b"]] {
        let value = json(&[&["compliance"][..], &scope].concat());
        let [exposed] = &value["answer"]["exposed"].as_array().unwrap()[..] else {
            panic!("{value}")
        };
        assert_eq!([&exposed["interface"], &exposed["vpc"]], ["eni-0b", "vpc-0b"]);
        assert_eq!(exposed["by"].as_array().unwrap().len(), 30, "{scope:?}");
        assert_eq!(json(&[&["rejected"][..], &scope].concat())["answer"]["total"]["records"], 30);
    }
    let windows = |scope: &[&str]| {
        let value = json(&[&["coverage"], scope].concat());
        value["answer"]["hours"][0]["interface_windows"].as_u64().unwrap()
    };
    assert_eq!([windows(&["--account", account]), windows(&[])], [2, 3]);
    let peers = json(&["top", "--by", "peers", "--account", account]);
    assert_eq!(peers["answer"]["talkers"].as_array().unwrap().len(), 20);
    let who = json(&["who", "8.8.8.7", "--account", account]);
    assert_eq!(who["answer"]["seen"][0]["subject"], "eni-0b");
    assert_eq!(who["answer"]["seen"][0]["first_window"], start);
}

#[test]
fn a_backfill_run_twice_counts_once() {
    let folder = day();
    let backfill = |since: &str| {
        let args =
            ["backfill", "day/AWSLogs", "--since", since, "--store", "b.db", "--format", "json"];
        let done = printed(&mut command(folder.path(), &args));
        serde_json::from_str::<Value>(&done).unwrap()
    };
    let late = backfill("2026-11-01T01:00Z");
    assert!(late["ingested"].as_u64() > Some(0) && late["outside"].as_u64() > Some(0), "{late}");
    let rest = backfill("2026-11-01");
    assert_eq!((&rest["known"], &rest["outside"]), (&late["ingested"], &Value::from(0)));
    assert_eq!(rest["ingested"], late["outside"]);
    let again = backfill("2026-11-01");
    assert_eq!(again["ingested"], 0);
    // The same as what the whole pipeline makes of the day.
    let top = |store| {
        let args = ["top", "-n", "1000", "--store", store, "--format", "json"];
        answer(&printed(&mut command(folder.path(), &args)))
    };
    assert_eq!(top("b.db"), top("s.db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_known_by_its_tables() {
    use flowlog_aws::{DynamoDbStore, Tables, schema};
    use flowlog_core::store::AlertStore as _;
    let folder = day();
    let location = Location::File(folder.path().join("s.db"));
    let database = EmbeddedDb::open(location).await.unwrap();
    let name = |table: &str| format!("flowlog-{table}-1A2B3C");
    let tables = Tables { aggregates: name("FlowAggregates"), control: name("FlowControl") };
    let store = DynamoDbStore::new(database.config(), tables.clone());
    schema::create_tables(&store).await.unwrap();
    let found = schema::tables_of_stack(database.config(), "flowlog").await.unwrap();
    assert_eq!(found, Ok(tables));
    assert_eq!(schema::tables_of_stack(database.config(), "flow").await.unwrap(), Err(vec![]));

    // Whatever works on the tables finds them so.
    std::fs::write(folder.path().join("rules.toml"), "[rules.port-scan]\ncontacts = 40\n").unwrap();
    let server = database.serve(0).unwrap();
    let endpoint = server.endpoint();
    let deployed = |args: &'static [&'static str]| {
        let mut command = command(folder.path(), args);
        command.env("AWS_REGION", "eu-central-1").env("AWS_ENDPOINT_URL", &endpoint);
        command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
        command
    };
    let run = |args: &'static [&'static str]| {
        let mut command = deployed(args);
        tokio::task::spawn_blocking(move || printed(&mut command))
    };
    let said = run(&["backfill", "day", "--stack", "flowlog"]).await.unwrap();
    assert!(said.contains(" ingested"), "{said}");
    let said = run(&["requeue", "--stack", "flowlog"]).await.unwrap();
    assert!(said.contains("nothing is quarantined"), "{said}");
    run(&["rules", "put", "rules.toml", "--stack", "flowlog"]).await.unwrap();
    assert!(store.state("rules", "current").await.unwrap().is_some());

    // Beside the tables that a stack of this name left.
    let name = |table: &str| format!("flowlog-{table}-OLD");
    let kept = Tables { aggregates: name("FlowAggregates"), control: name("FlowControl") };
    schema::create_tables(&DynamoDbStore::new(database.config(), kept.clone())).await.unwrap();
    let mut top = deployed(&["top", "--stack", "flowlog"]);
    let said = tokio::task::spawn_blocking(move || top.output()).await.unwrap().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    let named = [kept.aggregates.as_str(), "flowlog-FlowControl-1A2B3C", "CONTROL_TABLE"];
    assert!(named.iter().all(|name| said.contains(name)), "{said}");
}

//! The alerter over stored windows: schedule, baselines, rules files.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

use flowlog_anomaly_alerter::{
    App, Bell, Clock, handle, put_rules, ring, starved as starved_rules,
};
use flowlog_cli::generate::Attack;
use flowlog_cli::local::Inbox;
use flowlog_core::alert::{Directory, LookUp, Notification, Policy, Subject};
use flowlog_core::detect::{Identity, Known, Rule, RuleSet};
use flowlog_core::record::{Source, Window};
use flowlog_core::store::memory::MemoryStore;
use flowlog_core::store::{
    AggregateReader as _, AggregateWriter as _, AlertStore as _, DirectoryEntry, Series, StateItem,
    View,
};

use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;

use crate::support::{
    START, delivered, event, generate, ingested, log_events, no_metrics, subscriber,
};

pub(crate) fn alerter<S>(store: S) -> App<S, Inbox> {
    App {
        store,
        notifier: Inbox::default(),
        directory: None,
        rules: RefCell::new(RuleSet::default()),
        rules_read: Cell::default(),
        rules_text: None,
        policy: Policy { stale_after: None, ..Policy::default() },
        clock: Clock::Event(Cell::new(0)),
        metrics: no_metrics,
    }
}

/// Every interface and window, in time order, as the stream would ring.
pub(crate) async fn bells(store: &MemoryStore) -> Vec<Bell> {
    let mut bells = Vec::new();
    for (day, source) in store.sources("00000000", "99999999").await.unwrap() {
        for interface_id in store.subjects(&source, View::Interface, &day).await.unwrap() {
            let start = Window::of(Window::day_start(&day).unwrap()).unwrap();
            let series = Series::interface(source.clone(), &interface_id);
            let partials = store.partials(&series, start, start.forward(287)).await.unwrap();
            bells.extend(partials.into_iter().map(|partial| Bell {
                source: Source::clone(&source),
                interface_id: interface_id.clone(),
                window: partial.window,
            }));
        }
    }
    bells.sort_by(|a, b| (a.window, &a.interface_id).cmp(&(b.window, &b.interface_id)));
    bells.dedup();
    bells
}

#[tokio::test]
async fn what_is_usual_is_learned_once_however_often_the_stream_rings() {
    let day = generate(31, 120, 60, &[]);
    let once = alerter(ingested(&day).await);
    for bell in bells(&once.store).await {
        ring(&once, &[bell]).await.unwrap();
    }
    let twice = alerter(ingested(&day).await);
    let all = bells(&twice.store).await;
    for (n, bell) in all.iter().enumerate() {
        ring(&twice, std::slice::from_ref(bell)).await.unwrap();
        ring(&twice, std::slice::from_ref(bell)).await.unwrap();
        // And something old.
        ring(&twice, &all[n / 2..=n / 2]).await.unwrap();
    }
    let baselines = async |app: &App<MemoryStore, Inbox>| -> Vec<Known> {
        let items = app.store.states("baseline").await.unwrap();
        items.iter().map(|item| serde_json::from_str(&item.body).unwrap()).collect()
    };
    let learned = baselines(&once).await;
    assert_eq!(baselines(&twice).await, learned);
    assert!(learned.len() >= 14, "{}", learned.len());
    assert!(learned.iter().all(|known| known.baseline.rejects.n >= 15), "{learned:?}");
}

/// Knows one interface; nobody who has not been asked for.
#[derive(Debug, Default)]
struct Names(Rc<RefCell<BTreeSet<Subject>>>);

impl Directory for Names {
    fn look_up<'a>(&'a self, subjects: &'a [Subject]) -> LookUp<'a> {
        self.0.borrow_mut().extend(subjects.iter().cloned());
        let named = subjects.iter().filter(|s| matches!(s, Subject::Address(_))).map(|subject| {
            let name = "the batch host".to_owned();
            (subject.clone(), vec![Identity { name, ..Identity::default() }])
        });
        let named = named.collect();
        Box::pin(async move { named })
    }
}

/// Names change what people read, and nothing else: not which messages there are, nor their ids. Who
/// need not be told of is not asked about.
#[tokio::test]
async fn alerts_are_the_same_with_names() {
    let day = generate(31, 120, 60, &[Attack::PortScan, Attack::RejectBurst]);
    let asked = Names::default();
    let mut sent = Vec::new();
    for directory in [None, Some(Box::new(Names(Rc::clone(&asked.0))) as Box<dyn Directory>)] {
        let app = App { directory, ..alerter(ingested(&day).await) };
        for bell in bells(&app.store).await {
            ring(&app, &[bell]).await.unwrap();
        }
        sent.push(app.notifier.sent().clone());
    }
    let [without, with] = &sent[..] else { panic!() };
    let ids = |sent: &[Notification]| -> Vec<(String, String)> {
        sent.iter().map(|n| (n.dedupe_id.clone(), n.subject.clone())).collect()
    };
    assert_eq!(ids(with), ids(without));
    let scan = |sent: &[Notification]| {
        sent.iter().find(|n| n.subject.contains("port-scan")).unwrap().text.clone()
    };
    assert!(scan(with).contains("Who        10.1.16.21 (inside) (\"the batch host\")\n"));
    assert!(!scan(without).contains("batch host"));
    let asked = asked.0.borrow();
    assert!(!asked.is_empty() && asked.len() < 8, "{asked:?}");
}

/// Bells of one interface are answered together: what is judged and learned is what each by itself
/// would have made of the same history.
#[tokio::test]
async fn a_batch_says_what_its_bells_say_one_by_one() {
    let day = generate(31, 120, 60, &[Attack::PortScan, Attack::RejectBurst]);
    let findings = async |batches: bool| {
        let app = alerter(ingested(&day).await);
        let mut found = BTreeSet::new();
        let mut all = bells(&app.store).await;
        all.sort();
        let chunks: Vec<&[Bell]> = if batches {
            all.chunk_by(|a, b| a.interface_id == b.interface_id).collect()
        } else {
            all.chunks(1).collect()
        };
        for bells in chunks {
            for sent in ring(&app, bells).await.unwrap() {
                let rule = sent.finding.rule.name();
                found.insert((rule, sent.finding.interface_id, sent.finding.window));
            }
        }
        let items = app.store.states("baseline").await.unwrap();
        let learned = items.iter().map(|item| serde_json::from_str(&item.body).unwrap());
        (found, learned.collect::<Vec<Value>>())
    };
    let (together, one_by_one) = (findings(true).await, findings(false).await);
    assert!(together.0.len() > 2 && together.1.len() >= 14, "{together:?}");
    assert_eq!(together.0, one_by_one.0);
    for (a, b) in together.1.iter().zip(&one_by_one.1) {
        assert!(alike(a, b), "{a} and {b}");
    }
    assert_eq!(together.1.len(), one_by_one.1.len());
}

/// The same, but for the last digits of what was written down and read again in between.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|b| alike(v, b)))
        }
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
            _ => a == b,
        },
    }
}

#[tokio::test]
async fn the_schedule_finds_what_no_window_shows() {
    let day = generate(32, 60, 60, &[Attack::HostSweep]);
    let app = alerter(ingested(&day).await);
    let swept = day.truth.attacks[0].clone();
    for bell in bells(&app.store).await {
        if bell.window.start() <= swept.end {
            ring(&app, &[bell]).await.unwrap();
        }
    }
    let expected = format!("flowlog NOTIFY: {} on", Rule::HostSweep);
    let told = |app: &App<MemoryStore, Inbox>| {
        let inbox = app.notifier.sent();
        inbox.iter().filter(|n| n.subject.starts_with(&expected)).count()
    };
    assert_eq!(told(&app), 0, "no interface shows it by itself");
    app.clock.at(swept.end + 301);
    for _ in 0..2 {
        handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap();
    }
    assert_eq!(told(&app), 1);
}

/// What cannot be read costs what needs it, and nothing else.
#[tokio::test]
async fn the_schedule_goes_on_without_what_cannot_be_read_and_fails_at_its_end() {
    let day = generate(32, 60, 60, &[Attack::HostSweep]);
    let app = alerter(ingested(&day).await);
    let broken = async |kind: &str, subject: &str| {
        let (kind, subject, body) = (kind.to_owned(), subject.to_owned(), "no JSON".to_owned());
        let item = StateItem { kind, subject, version: 1, body, ttl: START + 86_400 };
        assert!(app.store.swap_state(&item, None).await.unwrap());
    };
    let sweeps = async || -> Vec<Value> {
        let items = app.store.states(Rule::HostSweep.name()).await.unwrap();
        items.iter().map(|item| serde_json::from_str(&item.body).unwrap()).collect()
    };
    // What is usual at an interface: the sweep over many hosts is found all the same.
    broken("baseline", "eni-0").await;
    let swept = app.clock.at(day.truth.attacks[0].end + 301);
    let error = handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap_err();
    assert!(error.to_string().contains("A#baseline/eni-0"), "{error}");
    let found = sweeps().await;
    assert!(found.len() == 1 && found[0]["open"] == true, "{found:?}");
    // The rules: nothing is judged without them, and what is over is over.
    broken("rules", "current").await;
    app.clock.at(swept + 7200);
    let error = handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap_err();
    assert!(error.to_string().contains("A#rules/current"), "{error}");
    assert_eq!(sweeps().await[0]["open"], false);
}

/// A flow log that has been replaced today is in today's directory for the rest of the day.
#[tokio::test]
async fn the_schedule_follows_the_flow_log_that_replaces_another() {
    let day = generate(32, 60, 60, &[Attack::HostSweep]);
    let swept = day.truth.attacks[0].clone();
    for other in ["fl-0", "fl-z"] {
        let store = ingested(&day).await;
        // It saw every interface, an hour and more ago.
        let other = Source::parse(other).unwrap();
        let (today, source) = store.sources("00000000", "99999999").await.unwrap()[0].clone();
        let of_source = DirectoryEntry::Source { day: today.clone(), source: other.clone() };
        store.put_directory(&[of_source]).await.unwrap();
        for interface_id in store.subjects(&source, View::Interface, &today).await.unwrap() {
            let series = Series::interface(other.clone(), &interface_id);
            let entry = DirectoryEntry::Series { day: today.clone(), series };
            store.put_directory(&[entry]).await.unwrap();
        }
        let app = alerter(store);
        app.clock.at(swept.end + 301);
        handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap();
        let expected = format!("flowlog NOTIFY: {} on", Rule::HostSweep);
        let told = app.notifier.sent().iter().filter(|n| n.subject.starts_with(&expected)).count();
        assert_eq!(told, 1, "{other} is older");
    }
}

/// AWS delivers after ten minutes, so the last windows of an hour are not there yet when the hour is over; and an
/// interface that has sent what it was to send may fall silent.
#[tokio::test]
async fn an_hour_is_judged_when_it_has_arrived() {
    let mut text = "account-id vpc-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action \
                    log-status flow-direction\n"
        .to_owned();
    let mut row = |n: i64, to: &str, bytes: u64| {
        let start = START + n * 300;
        writeln!(
            text,
            "123456789012 vpc-1 eni-1 10.0.0.5 {to} 50000 443 6 9 {bytes} {start} {} ACCEPT OK egress",
            start + 59
        )
        .unwrap();
    };
    for n in 0..=95 {
        row(n, "198.51.100.1", 1_000_000);
    }
    for n in 90..=95 {
        row(n, "203.0.113.7", 200_000_000);
    }
    let mut app = alerter(delivered(&[text]).await);
    // As it is deployed: what is an hour and a half old wakes nobody.
    app.policy = Policy::default();
    for n in 99..=123 {
        app.clock.at(START + n * 300 + 5);
        handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap();
    }
    let sent = app.notifier.sent();
    let of_egress =
        |n: &&Notification| n.attributes.contains(&("rule", "egress-volume".to_owned()));
    let found: Vec<&Notification> = sent.iter().filter(of_egress).collect();
    assert_eq!(found.len(), 1, "{sent:?}");
    assert!(found[0].attributes.contains(&("vpc", "vpc-1".to_owned())), "{found:?}");
}

/// Alerts are seen to, whatever there is no time for.
#[tokio::test]
async fn a_schedule_that_is_short_of_time_leaves_days_and_says_so() {
    let app = alerter(ingested(&generate(32, 60, 60, &[])).await);
    let mut left = 0;
    for run in 0..12 {
        let now = app.clock.at(START + 3600 + run * 300);
        for (seconds, all) in [(600, true), (50, false)] {
            let mut event = event("anomaly-alerter/sweep.json");
            event.context.deadline = u64::try_from(now + seconds).unwrap() * 1000;
            let answer = handle(&app, event).await.unwrap();
            assert!(answer["digested"].is_number(), "{answer}");
            let days_left = answer["days_left"].as_u64().unwrap();
            assert!(!all || days_left == 0, "{answer}");
            left += days_left;
        }
    }
    assert!(left >= 14, "{left} in an hour");
}

#[tokio::test]
async fn rules_that_a_flow_log_cannot_feed_are_said_once() {
    let day = generate(31, 120, 60, &[]);
    let mut app = alerter(ingested(&day).await);
    let starved = |app: &App<MemoryStore, Inbox>| -> Vec<Notification> {
        let sent = app.notifier.take().into_iter();
        sent.filter(|n| n.attributes.contains(&("rule", "starved".to_owned()))).collect()
    };
    let tick = async |app: &App<MemoryStore, Inbox>, at| {
        app.clock.at(START + at);
        handle(app, event("anomaly-alerter/sweep.json")).await.unwrap()
    };
    // The hour's budget is spent: it waits.
    app.policy.budget_per_hour = 0;
    tick(&app, 3_600).await;
    assert_eq!(starved(&app), []);
    app.policy.budget_per_hour = 20;
    let mut told = Vec::new();
    for at in [3_900, 4_200, 7_200] {
        tick(&app, at).await;
        told.extend(starved(&app));
    }
    assert_eq!(told.len(), 1, "once, not every five minutes");
    let Notification { subject, text, dedupe_id, .. } = &told[0];
    assert_eq!(subject, "flowlog: 1 rule(s) lack what they need of a flow log");
    assert!(
        text.contains("block-public-access: the flow log's format lacks reject-reason"),
        "{text}"
    );
    assert!(text.contains("fl-") && dedupe_id == "starved#1", "{text}");
    let known = starved_rules(&app.store).await.unwrap();
    assert!(known.values().all(|rules| rules.iter().eq([&Rule::BlockPublicAccess])), "{known:?}");
    assert_eq!(known.len(), 2, "a flow log of each VPC");
    // Another rule, as soon as it is switched on.
    put_rules(&app.store, "[rules.unencrypted]\nenabled = true\n").await.unwrap();
    for at in [7_500, 7_800] {
        tick(&app, at).await;
    }
    let told = starved(&app);
    assert_eq!(told.len(), 1);
    assert!(told[0].text.contains("unencrypted: the flow log's format lacks encryption-status"));
    assert!(!told[0].text.contains("block-public-access: "), "{}", told[0].text);
    // A crash before it was remembered: the same again, with the same id.
    let again = app.store.state("feeds", "sources").await.unwrap().unwrap();
    let forgotten = StateItem {
        version: again.version + 1,
        body: again.body.replace("\"unencrypted\"", "").replace(",]", "]").replace("[,", "["),
        ..again.clone()
    };
    let forgotten =
        StateItem { body: forgotten.body.replace("\"number\":2", "\"number\":1"), ..forgotten };
    assert_ne!(forgotten.body, again.body);
    assert!(app.store.swap_state(&forgotten, Some(again.version)).await.unwrap());
    tick(&app, 8_100).await;
    let copies = starved(&app);
    assert_eq!((copies.len(), &copies[0].dedupe_id), (1, &told[0].dedupe_id));
}

#[tokio::test]
async fn a_wrong_rules_file_leaves_the_last_good_one_in_force_and_says_so_once() {
    let app = alerter(MemoryStore::default());
    app.clock.at(START);
    let contacts = || app.rules.borrow().rules_at("vpc-1", "eni-1").port_scan.contacts;
    let tick = async || handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap();
    tick().await;
    assert_eq!(contacts(), 25, "no file, the defaults");
    put_rules(&app.store, "[rules.port-scan]\ncontacts = 40\n").await.unwrap();
    tick().await;
    assert_eq!(contacts(), 40);
    put_rules(&app.store, "[rules.port-scan]\ncontcats = 7\n").await.unwrap();
    for _ in 0..3 {
        tick().await;
    }
    assert_eq!(contacts(), 40);
    let told = app.notifier.take();
    assert_eq!(told.len(), 1, "once, not every five minutes");
    assert!(
        told[0].text.contains("line 2, column 1: unknown field `contcats`"),
        "{}",
        told[0].text
    );
    // A cold start finds the last good one as well.
    let cold = alerter(app.store);
    cold.load_rules().await.unwrap();
    assert_eq!(cold.rules.borrow().rules_at("", "").port_scan.contacts, 40);
    assert_eq!(cold.notifier.sent().len(), 0, "told before");
    put_rules(&cold.store, "[rules.port-scan]\ncontacts = 50\n").await.unwrap();
    cold.load_rules().await.unwrap();
    assert_eq!(cold.rules.borrow().rules_at("", "").port_scan.contacts, 50);
    // The same mistake once more is news.
    put_rules(&cold.store, "[rules.port-scan]\ncontcats = 7\n").await.unwrap();
    cold.load_rules().await.unwrap();
    assert_eq!(cold.notifier.sent().len(), 1);
}

/// An update that refuses a number which an older version accepted must not take the allow-list away.
#[tokio::test]
async fn rules_that_an_update_refuses_in_part_stay_in_force_and_it_is_said() {
    let old =
        "[rules.port-scan]\ncontacts = 100\nrecorded = 12\n[[allow]]\nsource = [\"10.0.9.0/24\"]\n";
    let store = MemoryStore::default();
    for subject in ["current", "last-good"] {
        let item = StateItem {
            kind: "rules".to_owned(),
            subject: subject.to_owned(),
            version: 1,
            body: serde_json::json!({"text": old}).to_string(),
            ttl: 9_999_999_999,
        };
        assert!(store.swap_state(&item, None).await.unwrap());
    }
    let app = alerter(store);
    app.clock.at(START);
    let permitted = RuleSet::parse(&old.replace("100", "64")).unwrap();
    for _ in 0..3 {
        app.load_rules().await.unwrap();
        assert_eq!(*app.rules.borrow(), permitted);
    }
    let told = app.notifier.take();
    assert_eq!(told.len(), 1, "once, not every five minutes");
    let expected = "rules.port-scan.contacts = 100: must be between 0 and 64; 64 is used";
    assert_eq!(told[0].subject, "flowlog: not all of the rules file is used");
    assert!(told[0].text.contains(expected), "{}", told[0].text);
    // A file that is wrong from the beginning is not used at all, and what was in force stays.
    put_rules(&app.store, "[rules.port-scan]\ncontacts = 7\nports = 65\n").await.unwrap();
    let cold = alerter(app.store);
    assert!(cold.load_rules().await.unwrap().is_some());
    assert_eq!(*cold.rules.borrow(), permitted);
    let told = cold.notifier.take();
    assert_eq!(told[0].subject, "flowlog: the rules file is wrong and not used");
    assert!(told[0].text.contains("line 3, column 9") && told[0].text.contains(expected));
}

/// Whoever is asked for what is usual at the interface.
async fn known(app: &App<MemoryStore, Inbox>) -> Vec<Known> {
    let items = app.store.states("baseline").await.unwrap();
    items.iter().map(|item| serde_json::from_str(&item.body).unwrap()).collect()
}

/// Records of `windows`: a service that a client uses all the time, and a stray packet of that client in each window.
fn used_service(windows: std::ops::Range<i64>) -> Vec<String> {
    let row = |at: i64, (src, sport): (&str, u16), (dst, dport): (&str, u16), action: &str| {
        format!(
            "2 123456789012 eni-1 {src} {dst} {sport} {dport} 6 9 9000 {at} {} {action} OK",
            at + 50
        )
    };
    let (server, client) = (("10.0.0.5", 5432), "10.1.0.9");
    windows
        .flat_map(|window| {
            let at = START + window * 300;
            let mut rows: Vec<String> = (0..40)
                .flat_map(|n| {
                    let client = (client, 50_000 + n);
                    let outside = ("198.51.100.9", 443);
                    [
                        row(at, client, server, "ACCEPT"),
                        row(at, server, client, "ACCEPT"),
                        row(at, ("10.0.0.5", 40_000 + n), outside, "ACCEPT"),
                    ]
                })
                .collect();
            rows.push(row(at, (client, 49_000), server, "REJECT"));
            rows
        })
        .collect()
}

fn refused(records: &[String]) -> Vec<String> {
    records.iter().filter(|record| record.contains("REJECT")).cloned().collect()
}

/// The log group, which has refused traffic only, rings before the flow log in S3 does: it teaches nothing of what is
/// usual, hides no silence, and says of nobody that all of their attempts were refused.
#[tokio::test]
async fn a_preview_of_refused_traffic_stands_for_nothing_else() {
    let (told, to) = (used_service(0..24), 30);
    let alone = alerter(delivered(&[told.join("\n") + "\n"]).await);
    let both = subscriber(delivered(&[told.join("\n") + "\n"]).await);
    flowlog_cwl_subscriber::handle(&both, log_events(&refused(&used_service(0..to))))
        .await
        .unwrap();
    let both = alerter(both.store);
    let all = bells(&both.store).await;
    assert_eq!(all.len(), 24 + 30, "of both, the log group first in each window");
    assert!(all[0].source.is_log_group() && !all[1].source.is_log_group());
    for app in [&alone, &both] {
        for bell in bells(&app.store).await {
            ring(app, &[bell]).await.unwrap();
        }
    }
    let subjects = |app: &App<MemoryStore, Inbox>| -> Vec<String> {
        app.notifier.sent().iter().map(|n| n.subject.clone()).collect()
    };
    assert_eq!(subjects(&alone), [""; 0]);
    assert_eq!(subjects(&both), [""; 0]);
    let (learned, control) = (known(&both).await, known(&alone).await);
    assert_eq!(learned, control);
    let usual = learned[0].baseline;
    let last = Window::of(START + 300 * 23).unwrap();
    assert!(usual.last < Some(last) && usual.egress.n > 0 && usual.egress.mean > 10.0, "{usual:?}");
}

/// A log group that nobody else speaks beside is judged by all that it is heard to have.
#[tokio::test]
async fn a_log_group_alone_teaches_what_is_usual() {
    for accepts in [true, false] {
        let records = used_service(0..24);
        let records = if accepts { records } else { refused(&records) };
        let subscriber = subscriber(MemoryStore::default());
        flowlog_cwl_subscriber::handle(&subscriber, log_events(&records)).await.unwrap();
        let app = alerter(subscriber.store);
        for bell in bells(&app.store).await {
            ring(&app, &[bell]).await.unwrap();
        }
        assert!(known(&app).await[0].baseline.last.is_some());
        // Of refused traffic alone nothing follows about what is let through.
        assert_eq!(app.notifier.sent().len(), 0, "{accepts}");
    }
}

/// Invocations go on in a process that has been there for hours.
#[tokio::test]
async fn stored_rules_are_in_force_in_five_minutes_wherever_the_stream_rings() {
    let app = alerter(MemoryStore::default());
    let stream = async || {
        let nothing = LambdaEvent::new(serde_json::json!({ "Records": [] }), Context::default());
        handle(&app, nothing).await.unwrap();
        app.rules.borrow().rules_at("", "").port_scan.contacts
    };
    app.clock.at(START);
    assert_eq!(stream().await, 25);
    put_rules(&app.store, "[rules.port-scan]\ncontacts = 40\n").await.unwrap();
    app.clock.at(START + 299);
    assert_eq!(stream().await, 25, "not read for every batch");
    app.clock.at(START + 300);
    assert_eq!(stream().await, 40);
}

/// Just after midnight nothing has been summed up of the new day: the account is still the one that is looked at.
#[tokio::test]
async fn a_sweep_just_after_midnight_looks_at_the_account() {
    let at = START - 300;
    let row = |n: u32| {
        format!("2 123456789012 eni-{n} 10.9.9.9 10.0.0.{n} 50000 445 6 1 40 {at} {at} REJECT OK\n")
    };
    let app = alerter(delivered(&[(1..9).map(row).collect()]).await);
    app.clock.at(START + 300);
    handle(&app, event("anomaly-alerter/sweep.json")).await.unwrap();
    let subjects: Vec<String> = app.notifier.sent().iter().map(|n| n.subject.clone()).collect();
    assert!(subjects.iter().any(|s| s.contains("host-sweep on 123456789012")), "{subjects:?}");
    assert!(!subjects.iter().any(|s| s.contains(" on fl-")), "{subjects:?}");
}

//! The alerter under the same faults: no alert is lost, a second copy carries the same dedupe id, and
//! the hour's budget holds.
//!
//! Partials of a few port scans are written first; their stream records then ring, in batches that
//! come again from the first record that failed, or as a whole when the process died. Then the schedule
//! comes, in every process at once: the digest says how many the budget held back, once.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;

use flowlog_anomaly_alerter::{App, Clock, handle, tidy};
use flowlog_core::alert::{Alert, Notification, Policy};
use flowlog_core::detect::{Rule, RuleSet};
use flowlog_core::object::ObjectRef;
use flowlog_core::store::AlertStore as _;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::json;

use crate::executor::{Task, alone, poll};
use crate::fault::Plan;
use crate::mutant::AlertMutant;
use crate::pool::BEGIN;
use crate::process::{Code, Process, Shape, Topic};
use crate::random::Random;
use crate::service::{Message, Service, What};
use crate::world::{Stored, World, now, set_now};

/// Seconds for which an alert is not repeated.
const COOLDOWN: i64 = 1200;
/// Polls after which everything must be over.
const PATIENCE: u64 = 100_000;

/// What is to be run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The seed.
    pub seed: u64,
    /// The faults; drawn from the seed where it is not given.
    pub plan: Option<Plan>,
    /// What is wrong with the protocol.
    pub mutant: Option<AlertMutant>,
    /// Whether to write down what happens.
    pub traced: bool,
}

type Alerter = App<Process, Topic>;

/// Records of one shard, by their place in the stream.
type Batch = Vec<usize>;

/// What a process is at, and then the place of the first record that must come again.
type Busy = (Batch, Task<'static, Option<usize>>);

struct Run {
    world: Rc<World>,
    random: Random,
    settings: Settings,
    policy: Policy,
    bells: Vec<(String, String)>,
    queue: Vec<Batch>,
    workers: Vec<(Rc<Alerter>, Option<Busy>)>,
}

/// How many port scans there are.
const SCANS: u32 = 4;

/// Runs a schedule and says what is wrong with its end, with the trace.
pub fn run(settings: Settings) -> Result<u64, String> {
    set_now(BEGIN + 300);
    let mut random = Random::new(settings.seed);
    let plan = settings.plan.unwrap_or_else(|| {
        let per_mille = *random.pick(&[0, 30, 100, 300]);
        Plan::Random { per_mille, left: 12 }
    });
    let tight = random.chance(300);
    let budget_per_hour = if tight { 2 } else { 2 * SCANS };
    let policy =
        Policy { cooldown: COOLDOWN, budget_per_hour, reserved_for_high: 0, stale_after: None };
    // Every window's findings once, by one process that nothing happens to.
    let mut told: Vec<BTreeSet<String>> = Vec::new();
    for plan in [Plan::None, plan] {
        let clean = told.is_empty();
        let traced = settings.traced && !clean;
        let world = scanned(settings.seed, traced);
        let mutant = settings.mutant.filter(|_| !clean);
        let settings = Settings { mutant, ..settings };
        let random = Random::new(settings.seed ^ 0x616c_6572);
        let bells = world.stream.take();
        let mut run =
            Run { world, random, settings, policy, bells, queue: Vec::new(), workers: Vec::new() };
        run.world.plan(plan);
        let result = run
            .rounds(clean, tight)
            .and_then(|()| run.sweeps())
            .and_then(|()| run.check(tight, told.first()));
        if let Err(what) = result {
            let trace = run.world.trace.as_ref().map(|t| t.borrow().join("\n  "));
            let trace = trace.unwrap_or_default();
            return Err(format!("  {trace}\nalerts, seed {}: {what}", settings.seed));
        }
        let inbox = run.world.inbox.borrow();
        told.push(inbox.iter().map(|(_, n)| n.dedupe_id.clone()).collect());
        if !clean {
            return Ok(run.world.calls());
        }
    }
    Ok(0)
}

/// A world in which some sources of the inside have scanned some interfaces.
fn scanned(seed: u64, traced: bool) -> Rc<World> {
    let world = Rc::new(World::new(seed, Shape::default(), Plan::None, traced));
    let service = Service::start(&world, Code::OLD, None);
    for scan in 0..SCANS {
        let (interface, source) = (scan / 2, scan % 2);
        let mut text = String::from(
            "version interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status flow-direction\n",
        );
        for port in 0..30 {
            let start = BEGIN + port;
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "5 eni-{interface} 10.9.0.{source} 10.0.0.5 50000 {} 6 1 40 {start} {} REJECT OK ingress",
                1000 + port,
                start + 1
            );
        }
        let at = ObjectRef { bucket: "scans".to_owned(), key: format!("{scan}.log") };
        let stored = Stored { etag: "1".to_owned(), bytes: text.into() };
        world.objects.borrow_mut().insert(at.clone(), stored);
        let what = What::Object { at, etag: None, time: None };
        let failed = alone(service.deliver(vec![Message { delivery: 0, what, received: 0 }]));
        assert_eq!(failed, [false]);
    }
    world
}

impl Run {
    /// Two rounds of the same news, the second after the cooldown: a window that was seen before is
    /// no news then.
    fn rounds(&mut self, clean: bool, tight: bool) -> Result<(), String> {
        for round in 0..2 {
            let processes = if clean { 1 } else { self.random.between(1, 4) };
            self.workers = (0..processes).map(|_| (self.cold(), None)).collect();
            let copies = if clean { 1 } else { self.random.between(1, 3) };
            for _ in 0..copies {
                // One batch a shard: a partition is in one of them, and there in its order.
                let mut shards: BTreeMap<&str, Batch> = BTreeMap::new();
                for (at, (pk, _)) in self.bells.iter().enumerate() {
                    shards.entry(pk).or_default().push(at);
                }
                self.queue.extend(shards.into_values());
            }
            self.drain()?;
            if tight || round == 1 {
                break;
            }
            set_now(now() + COOLDOWN + 60);
        }
        Ok(())
    }

    fn cold(&self) -> Rc<Alerter> {
        let mut store = Process::start(&self.world, Code::OLD, None);
        store.alert_mutant = self.settings.mutant;
        let notifier = Topic { world: Rc::clone(&self.world), mutant: self.settings.mutant };
        Rc::new(App {
            store,
            notifier,
            directory: None,
            rules: RefCell::new(RuleSet::default()),
            rules_read: Cell::default(),
            rules_text: None,
            policy: self.policy,
            clock: Clock::Wall(now),
            metrics: |_, _| {},
        })
    }

    fn drain(&mut self) -> Result<(), String> {
        for _ in 0..PATIENCE {
            if self.queue.is_empty() && self.workers.iter().all(|(_, busy)| busy.is_none()) {
                self.world.arrive_all();
                return Ok(());
            }
            if self.random.chance(20) {
                set_now(now() + 1);
            }
            if self.world.on_the_way() > 0 && self.random.chance(20) {
                self.world.arrive();
            }
            let at = self.random.below(self.workers.len());
            if self.workers[at].1.is_some() {
                self.go_on(at);
            } else if !self.queue.is_empty() {
                let next = self.random.below(self.queue.len());
                let batch = self.queue.swap_remove(next);
                let task = invoke(&self.workers[at].0, &self.bells, &batch);
                self.workers[at].1 = Some((batch, task));
            }
        }
        Err("no end: a batch comes again and again".to_owned())
    }

    fn go_on(&mut self, at: usize) {
        let Some((batch, task)) = &mut self.workers[at].1 else { return };
        let answer = poll(task);
        let from = if self.world.died() {
            Some(0)
        } else if let Some(answer) = answer {
            answer.and_then(|record| batch.iter().position(|at| *at == record))
        } else {
            return;
        };
        let left = from.map(|from| batch[from..].to_vec());
        self.workers[at].1 = None;
        if answer.is_none() {
            self.workers[at].0 = self.cold();
        }
        self.queue.extend(left);
    }

    /// The part of the schedule that sees to alerts, twice: what died in the first run is repaired in the
    /// second. The same an hour later: what is held back while it is repaired waits for the next digest. A
    /// process that dies or fails begins again.
    fn sweeps(&mut self) -> Result<(), String> {
        let repair = Policy::REPAIR_AFTER + 1;
        for seconds in [62, repair, Policy::DIGEST_EVERY + 62, repair] {
            set_now(now() + seconds);
            let mut busy: Vec<Option<Task<'static, bool>>> =
                self.workers.iter().map(|(app, _)| Some(swept(app))).collect();
            for _ in 0..PATIENCE {
                let left: Vec<usize> = (0..busy.len()).filter(|at| busy[*at].is_some()).collect();
                if left.is_empty() {
                    break;
                }
                if self.world.on_the_way() > 0 && self.random.chance(20) {
                    self.world.arrive();
                }
                let at = *self.random.pick(&left);
                let Some(done) = busy[at].as_mut().map(poll) else { continue };
                if self.world.died() || done == Some(false) {
                    self.workers[at].0 = self.cold();
                    busy[at] = Some(swept(&self.workers[at].0));
                } else if done == Some(true) {
                    busy[at] = None;
                }
            }
            if busy.iter().any(Option::is_some) {
                return Err("no end: the schedule comes again and again".to_owned());
            }
            self.world.arrive_all();
        }
        Ok(())
    }

    fn check(&self, tight: bool, clean: Option<&BTreeSet<String>>) -> Result<(), String> {
        let inbox = self.world.inbox.borrow();
        let told: BTreeSet<String> = inbox.iter().map(|(_, n)| n.dedupe_id.clone()).collect();
        let states = alone(self.world.tables.states(Rule::PortScan.name()));
        for item in states.map_err(|error| error.to_string())? {
            let alert: Alert = serde_json::from_str(&item.body).map_err(|e| e.to_string())?;
            if alert.published < alert.seq || alert.claimed_at.is_some() {
                let (seq, published) = (alert.seq, alert.published);
                return Err(format!(
                    "{} is claimed {seq} times and told {published}",
                    item.subject
                ));
            }
        }
        let mut hours: BTreeMap<i64, BTreeSet<&str>> = BTreeMap::new();
        let is_digest = |n: &Notification| n.dedupe_id.starts_with("digest#");
        let digests: BTreeMap<&str, &str> = inbox
            .iter()
            .filter(|(_, n)| is_digest(n))
            .map(|(_, n)| (n.dedupe_id.as_str(), n.subject.as_str()))
            .collect();
        let copies: BTreeSet<&str> =
            inbox.iter().filter(|(_, n)| is_digest(n)).map(|(_, n)| n.subject.as_str()).collect();
        // Each that is held back is in one of them, and nothing else is.
        let noted = |subject: &&str| -> Option<u32> {
            let (noted, held) =
                subject.strip_prefix("flowlog digest: ")?.split_once(" alerts noted, ")?;
            (held == format!("{noted} held back")).then(|| noted.parse().ok())?
        };
        let said: Option<u32> = digests.values().map(noted).sum();
        let held = if tight { SCANS.saturating_sub(self.policy.budget_per_hour) } else { 0 };
        if said != Some(held) || copies.len() > digests.len() {
            return Err(format!("digests {digests:?} do not say that {held} were held back, once"));
        }
        for (at, notification) in inbox.iter().filter(|(_, n)| !is_digest(n)) {
            hours.entry(at.div_euclid(3600)).or_default().insert(&notification.dedupe_id);
        }
        let most = self.policy.budget_per_hour as usize;
        if let Some((hour, told)) = hours.iter().find(|(_, told)| told.len() > most) {
            return Err(format!("{} of {most} notifications in hour {hour}", told.len()));
        }
        let Some(clean) = clean else {
            let expected = if tight { most + 1 } else { SCANS as usize };
            return if told.len() == expected {
                Ok(())
            } else {
                Err(format!("a clean pass tells {told:?}"))
            };
        };
        if tight {
            // Which of them are told depends on who comes first; how many does not.
            let alerts =
                |ids: &BTreeSet<String>| ids.iter().filter(|id| !id.starts_with("digest#")).count();
            return if alerts(&told) == alerts(clean) {
                Ok(())
            } else {
                Err(format!("{told:?} of {clean:?}"))
            };
        }
        if told != *clean {
            return Err(format!("told {told:?}, not {clean:?}"));
        }
        Ok(())
    }
}

/// The part of the schedule that sees to alerts: whether it came to its end.
fn swept(app: &Rc<Alerter>) -> Task<'static, bool> {
    let app = Rc::clone(app);
    Box::pin(async move { tidy(&app, now()).await.is_ok() })
}

/// One invocation: the place of the first record that must come again.
fn invoke(
    app: &Rc<Alerter>,
    bells: &[(String, String)],
    batch: &[usize],
) -> Task<'static, Option<usize>> {
    let records: Vec<_> = batch
        .iter()
        .map(|at| {
            let (pk, sk) = &bells[*at];
            json!({
                "eventID": at.to_string(), "eventName": "INSERT", "eventVersion": "1.1",
                "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/FlowAggregates/stream/1",
                "dynamodb": {
                    "ApproximateCreationDateTime": BEGIN,
                    "Keys": { "pk": { "S": pk }, "sk": { "S": sk } },
                    "NewImage": { "pk": { "S": pk }, "sk": { "S": sk }, "t": { "S": "P" } },
                    "SequenceNumber": at.to_string(), "SizeBytes": 142,
                    "StreamViewType": "NEW_IMAGE",
                },
            })
        })
        .collect();
    let event = LambdaEvent::new(json!({ "Records": records }), Context::default());
    let (app, first) = (Rc::clone(app), batch.first().copied());
    Box::pin(async move {
        match handle(&app, event).await {
            Ok(answer) => answer["batchItemFailures"][0]["itemIdentifier"].as_str()?.parse().ok(),
            Err(_) => first,
        }
    })
}

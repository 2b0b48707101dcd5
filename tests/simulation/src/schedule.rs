//! One seed: deliveries, duplicates, processes, faults, a change of the code, compaction, readers, and
//! days that pass.

use std::collections::BTreeSet;
use std::rc::Rc;

use flowlog_core::compact::compact_hour;
use flowlog_core::record::{BatchId, Window};
use flowlog_core::store::reader::{Deliveries, answer};
use flowlog_core::store::{LedgerState, Series};

use crate::check::{self, Key};
use crate::executor::{Task, poll};
use crate::fault::Plan;
use crate::job::{Job, Output, Worker};
use crate::pool::{BEGIN, DAY, Pool};
use crate::process::{Code, Process, Shape};
use crate::random::Random;
use crate::service::{Message, Service, What};
use crate::settings::timeline;
pub use crate::settings::{Change, Failure, Settings, Stats};
use crate::world::{World, now, set_now};

/// Days after the first delivery at which things come again.
const LATER: [i64; 7] = [1, 14, 29, 31, 36, 41, 401];
/// Days after which, at the latest, what has arrived is folded into summaries: the oldest rows of a
/// delivery are as old as the horizon.
const SETTLED: [i64; 2] = [2, 32];
/// Receives after which a message that comes too late goes to the dead-letter queue for good.
const RECEIVES: u32 = 60;
/// Polls after which a schedule that has no faults left must be over.
const PATIENCE: u64 = 200_000;

/// Runs a schedule to its end and checks it.
pub fn run(pool: &Pool, settings: Settings) -> Result<Stats, Box<Failure>> {
    let mut run = Run::new(pool, settings);
    let result = run.finish();
    let trace = run.world.trace.as_ref().map(|t| t.borrow().clone()).unwrap_or_default();
    match result {
        Ok(()) => Ok(Stats { trace, ..run.stats }),
        Err(what) => Err(Box::new(Failure { settings, what, trace })),
    }
}

/// A schedule under way.
pub(crate) struct Run<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) world: Rc<World>,
    pub(crate) settings: Settings,
    random: Random,
    /// Deliveries of this schedule.
    pub(crate) chosen: Vec<usize>,
    /// Those whose object is deleted or replaced at some time.
    pub(crate) disturbed: BTreeSet<usize>,
    /// Batches that were done at some rest.
    pub(crate) done: BTreeSet<BatchId>,
    /// Items that compaction must have kept.
    pub(crate) folded: BTreeSet<Key>,
    queue: Vec<Message>,
    parked: Vec<Message>,
    /// Deliveries of messages that came too late for anything.
    dead: BTreeSet<usize>,
    /// Whether the bucket must be held against the ledger before the next rest.
    reconciles: bool,
    /// Hours that must be compacted before the next rest.
    hours: Vec<(Series, Window)>,
    /// Whether it is about readers and compaction.
    history: bool,
    /// How many more times somebody asks or compacts although there is nothing to deliver.
    curious: u32,
    /// Which hour and series most of them are about.
    hot: usize,
    workers: Vec<Worker>,
    /// From which step on which code is deployed.
    deployed: Vec<(u64, Code)>,
    crash: usize,
    step: u64,
    stats: Stats,
}

impl<'a> Run<'a> {
    fn new(pool: &'a Pool, settings: Settings) -> Self {
        set_now(BEGIN);
        let mut random = Random::new(settings.seed);
        let plan = settings.plan.unwrap_or_else(|| match random.below(4) {
            0 => Plan::None,
            n => Plan::Random { per_mille: [0, 20, 80, 250][n], left: 14 },
        });
        let change = settings
            .change
            .unwrap_or_else(|| if random.chance(500) { Change::Upgrade } else { Change::Rollback });
        // By the seed itself, since it came later: what the others' schedules found, they still find.
        let holds = settings.seed % 4 == 1;
        let shape = Shape { shifted: random.chance(500), crowded: random.chance(500), holds };
        let world = World::new(settings.seed ^ 0x0077_6f72_6c64, shape, plan, settings.traced);
        let mut chosen: Vec<usize> = (0..pool.deliveries.len()).collect();
        random.shuffle(&mut chosen);
        // Some schedules are about readers and compaction: one hour, nothing settled in time.
        let history = random.chance(100);
        chosen.truncate(if history { 2 } else { random.between(1, 5) });
        let crash = if settings.plan.is_some() { 0 } else { *random.pick(&[0, 0, 3, 15, 60]) };
        let deployed = timeline(change, &mut random);
        let mut run = Self {
            pool,
            world: Rc::new(world),
            settings,
            chosen,
            disturbed: BTreeSet::new(),
            done: BTreeSet::new(),
            folded: BTreeSet::new(),
            queue: Vec::new(),
            parked: Vec::new(),
            dead: BTreeSet::new(),
            reconciles: false,
            hours: Vec::new(),
            history,
            curious: if history { 30 } else { 4 },
            hot: 0,
            workers: Vec::new(),
            deployed,
            crash,
            step: 0,
            stats: Stats::default(),
            random,
        };
        for _ in 0..run.random.between(1, 8) {
            let worker = run.cold();
            run.workers.push(worker);
        }
        run
    }

    fn finish(&mut self) -> Result<(), String> {
        for at in 0..self.chosen.len() {
            self.arrival(self.chosen[at]);
        }
        self.drain(false)?;
        self.check()?;
        let mut days: Vec<i64> = LATER.to_vec();
        self.random.shuffle(&mut days);
        days.truncate(self.random.below(4));
        days.sort_unstable();
        if self.history {
            days = vec![36];
        }
        let settles = !self.history && self.random.chance(700);
        let mut settled = SETTLED.into_iter().peekable();
        for (n, day) in days.iter().enumerate() {
            while let Some(at) = settled.next_if(|at| at < day) {
                if settles {
                    self.settle(at)?;
                }
            }
            set_now(BEGIN + day * DAY + self.random.seconds(3600));
            self.stats.days.insert(*day);
            self.world.note(|| format!("day {day}"));
            self.world.expire();
            self.curious = if self.history { 30 } else { 4 };
            for at in 0..self.chosen.len() {
                if self.random.chance(600) {
                    self.again(self.chosen[at]);
                }
            }
            let last = n + 1 == days.len();
            if last || self.random.chance(500) {
                self.queue.append(&mut self.parked);
            }
            self.drain(last)?;
            self.check()?;
        }
        if !self.parked.is_empty() {
            self.queue.append(&mut self.parked);
            self.drain(true)?;
            self.check()?;
        }
        self.stats.calls = self.world.calls();
        self.stats.faults.clone_from(&self.world.happened.borrow());
        for (_, entry) in self.world.tables.ledger() {
            match entry.state {
                LedgerState::Done => self.stats.ended[0] += 1,
                LedgerState::Quarantined => self.stats.ended[1] += 1,
                LedgerState::Claimed => {}
            }
        }
        self.stats.summaries = self.world.tables.all_summaries().len() as u64;
        Ok(())
    }

    /// The scheduled compaction that comes before anything expires.
    fn settle(&mut self, day: i64) -> Result<(), String> {
        set_now(BEGIN + day * DAY);
        self.world.note(|| format!("day {day}: everything is compacted"));
        self.hours = self.written();
        self.drain(false)?;
        self.check()?;
        self.folded.extend(check::settled(self)?);
        Ok(())
    }

    /// An object is there, a payload is sent: one to five messages about it.
    fn arrival(&mut self, n: usize) {
        let delivery = &self.pool.deliveries[n];
        let first = &delivery.versions[0].stored;
        let lost = delivery.at.is_some() && self.random.chance(100);
        let time = BEGIN + self.random.seconds(1500);
        if let Some(at) = &delivery.at {
            self.world.objects.borrow_mut().insert(at.clone(), first.clone());
        }
        if lost {
            // No notification at all: the schedule has to find it.
            self.reconciles = true;
            return;
        }
        for _ in 0..self.random.between(1, 5) {
            let what = match &delivery.at {
                None => What::Logs(first.bytes.clone()),
                Some(at) => {
                    let etag = self.random.chance(900).then(|| first.etag.clone());
                    let time = self.random.chance(700).then_some(time);
                    What::Object { at: at.clone(), etag, time }
                }
            };
            self.queue.push(Message { delivery: n, what, received: 0 });
        }
        if delivery.at.is_some() && self.random.chance(200) {
            self.disturbed.insert(n);
        }
    }

    /// The same delivery, days later: from an archive with its old time, or listed anew without.
    fn again(&mut self, n: usize) {
        let delivery = &self.pool.deliveries[n];
        let first = &delivery.versions[0].stored;
        for _ in 0..self.random.between(1, 2) {
            let what = match &delivery.at {
                None => What::Logs(first.bytes.clone()),
                Some(at) => {
                    let etag = self.random.chance(900).then(|| first.etag.clone());
                    let time = self.random.chance(300).then_some(BEGIN + 60);
                    What::Object { at: at.clone(), etag, time }
                }
            };
            self.queue.push(Message { delivery: n, what, received: 0 });
        }
    }

    /// Works until no message is left; `last`: until none is parked, either.
    fn drain(&mut self, last: bool) -> Result<(), String> {
        let begun = self.step;
        loop {
            self.step += 1;
            let busy = self.workers.iter().filter(|w| w.busy.is_some()).count();
            let idle = self.queue.is_empty() && self.hours.is_empty() && !self.reconciles;
            if busy == 0 && idle && self.curious == 0 {
                break;
            }
            if self.step - begun > PATIENCE {
                return Err("no end: something is delivered again and again".to_owned());
            }
            if self.step - begun > PATIENCE / 2 {
                self.world.plan(Plan::None);
                self.crash = 0;
            }
            if self.random.chance(20) {
                set_now(now() + self.random.seconds(20));
                self.disturb();
            }
            // The oldest rows were thirty days old, so nothing expires before the fifth day.
            if now() > BEGIN + 4 * DAY && self.random.chance(10) {
                self.world.expire();
            }
            if self.world.on_the_way() > 0 && self.random.chance(15) {
                self.world.arrive();
            }
            let at = self.random.below(self.workers.len());
            if self.workers[at].busy.is_some() {
                self.go_on(at, last)?;
            } else {
                self.take(at);
            }
        }
        self.world.arrive_all();
        Ok(())
    }

    /// The hours of series that have partials, sorted.
    fn written(&self) -> Vec<(Series, Window)> {
        let there = self.world.tables.all_partials();
        let hours: BTreeSet<(Series, Window)> =
            there.into_iter().map(|p| (p.series, p.window.hour())).collect();
        hours.into_iter().collect()
    }

    /// An idle process takes something up.
    fn take(&mut self, at: usize) {
        // A new version reaches each process at its own time.
        if self.workers[at].code != self.current() && self.random.chance(300) {
            self.workers[at] = self.cold();
        }
        let job = if !self.hours.is_empty() {
            let next = self.random.below(self.hours.len());
            let (series, hour) = self.hours.swap_remove(next);
            Job::Compact(series, hour, true)
        } else if self.random.chance(60) || (self.queue.is_empty() && self.curious > 0) {
            // Compaction may run at any time, and somebody may ask.
            self.curious = self.curious.saturating_sub(1);
            let written = self.written();
            if written.is_empty() {
                return;
            }
            if !self.history && self.random.chance(300) {
                self.hot = self.random.below(written.len());
            }
            let (series, hour) = written[self.hot % written.len()].clone();
            if self.random.chance(250) && now() < BEGIN + 2 * DAY {
                // The schedule looks back a day.
                Job::Reconcile
            } else if self.random.chance(500) {
                Job::Compact(series, hour, false)
            } else {
                Job::Read(series, self.done.clone(), check::visible(&self.world))
            }
        } else if self.reconciles && self.random.chance(100) {
            self.reconciles = false;
            Job::Reconcile
        } else if self.queue.is_empty() {
            return;
        } else {
            let mut messages = Vec::new();
            for _ in 0..self.random.between(1, 2).min(self.queue.len()) {
                let next = self.random.below(self.queue.len());
                messages.push(self.queue.swap_remove(next));
            }
            Job::Deliver(messages)
        };
        self.world.note(|| match &job {
            Job::Read(series, ..) => format!("process {at} reads {series:?}"),
            job => format!("process {at}: {job:?}"),
        });
        self.stats.attempts += 1;
        let task = self.begin(at, &job);
        self.workers[at].busy = Some((job, task));
    }

    fn begin(&self, at: usize, job: &Job) -> Task<'static, Output> {
        let process = || Process::start(&self.world, self.workers[at].code, self.settings.mutant);
        match job.clone() {
            Job::Deliver(messages) => {
                let service = Rc::clone(&self.workers[at].service);
                Box::pin(async move { Output::Delivered(service.deliver(messages).await) })
            }
            Job::Reconcile => {
                let service = Rc::clone(&self.workers[at].service);
                Box::pin(async move { Output::Reconciled(service.reconcile().await) })
            }
            Job::Compact(series, hour, _) => {
                let mut process = process();
                process.compacts = true;
                Box::pin(
                    async move { Output::Compacted(compact_hour(&process, &series, hour).await) },
                )
            }
            Job::Read(series, ..) => {
                let (process, (from, to)) = (process(), check::windows());
                Box::pin(async move {
                    Output::Read(
                        answer(&process, &mut Deliveries::default(), &series, from, to).await,
                    )
                })
            }
        }
    }

    /// A busy process goes on to its next call, or dies there.
    fn go_on(&mut self, at: usize, last: bool) -> Result<(), String> {
        let Some((_, task)) = &mut self.workers[at].busy else { return Ok(()) };
        let output = if self.random.chance(self.crash) { None } else { Some(poll(task)) };
        let died = output.is_none() || self.world.died();
        let output = output.flatten();
        if output.is_none() && !died {
            return Ok(());
        }
        let Some((job, _)) = self.workers[at].busy.take() else { return Ok(()) };
        if died {
            self.stats.deaths += 1;
            self.world.note(|| format!("process {at} dies"));
            self.workers[at] = self.cold();
        }
        match (job, output) {
            (Job::Deliver(messages), output) => {
                let failed = match output {
                    Some(Output::Delivered(failed)) => failed,
                    _ => Vec::new(),
                };
                for (n, message) in messages.into_iter().enumerate() {
                    if failed.get(n).copied().unwrap_or(true) {
                        self.failed(message, last);
                    }
                }
            }
            (Job::Compact(series, hour, true), output) => {
                let over = matches!(output, Some(Output::Compacted(Ok(c))) if c.raced == 0);
                if !over {
                    self.hours.push((series, hour));
                }
            }
            (Job::Reconcile, output) => {
                self.reconciles |= !matches!(output, Some(Output::Reconciled(true)));
            }
            (Job::Read(series, done, visible), Some(Output::Read(Ok(read)))) => {
                self.stats.answers += 1;
                check::while_working(self, &series, &read, &done, &visible)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A message comes again, now or when somebody has looked into the dead-letter queue.
    fn failed(&mut self, message: Message, last: bool) {
        // Code that does not know the pinned mapping leaves it to code that does, however long that takes.
        let known = u32::from(self.current() != Code::OLD);
        let message = Message { received: message.received + known, ..message };
        if message.received > RECEIVES && now() > BEGIN + 3 * DAY {
            self.stats.dead += 1;
            self.dead.insert(message.delivery);
        } else if !last && self.random.chance(100) {
            // Whoever brings it back sends it anew.
            self.parked.push(Message { received: 0, ..message });
        } else {
            self.queue.push(message);
        }
    }

    /// Somebody deletes or replaces an object.
    fn disturb(&mut self) {
        let Some(n) = self.disturbed.iter().copied().nth(self.random.below(self.disturbed.len()))
        else {
            return;
        };
        let delivery = &self.pool.deliveries[n];
        let Some(at) = &delivery.at else { return };
        let mut objects = self.world.objects.borrow_mut();
        if self.random.chance(500) {
            self.world.note(|| format!("{at} is deleted"));
            objects.remove(at);
        } else if let Some(second) = delivery.versions.get(1) {
            self.world.note(|| format!("{at} is replaced"));
            objects.insert(at.clone(), second.stored.clone());
            let etag = Some(second.stored.etag.clone());
            let what = What::Object { at: at.clone(), etag, time: Some(now()) };
            if self.random.chance(300) {
                self.queue.push(Message { delivery: n, what, received: 0 });
            }
        }
    }

    fn current(&self) -> Code {
        let deployed = self.deployed.iter().rev().find(|(from, _)| *from <= self.step);
        deployed.map_or(Code::NEW, |(_, code)| *code)
    }

    fn cold(&self) -> Worker {
        let code = self.current();
        let service = Service::start(&self.world, code, self.settings.mutant);
        Worker { code, service: Rc::new(service), busy: None }
    }

    fn check(&mut self) -> Result<(), String> {
        let mut open: BTreeSet<usize> = self.parked.iter().map(|m| m.delivery).collect();
        open.extend(self.queue.iter().map(|m| m.delivery));
        for n in &self.dead {
            // Too late for the first time is bad luck; nothing that was done may come to that.
            if self.done.contains(&self.pool.deliveries[*n].batch) {
                return Err(format!("delivery {n} was done, and comes again until it is given up"));
            }
            open.insert(*n);
        }
        check::at_rest(self, &open)
    }
}

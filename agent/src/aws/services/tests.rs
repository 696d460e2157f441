//! What is asked of a cluster, how often, what a bound cuts, and what a refusal costs.

use std::cell::Cell;
use std::sync::Mutex;

use collector::snapshot::{Launch, Task, TaskState};
use collector::sources::{Tasks, ToldTask};
use proptest::prelude::*;

use super::*;

/// What was asked, in short: `list services`, `10 services`.
type Asked = Arc<Mutex<Vec<String>>>;

/// A cluster of so many services and tasks that answers by the book, or refuses.
#[derive(Clone)]
struct Fake {
    asked: Asked,
    has: Arc<Mutex<[usize; 2]>>,
    refuses: Arc<Mutex<Option<(What, Refusal)>>>,
}

impl Fake {
    fn of(services: usize, tasks: usize) -> Fake {
        Fake { asked: Asked::default(), has: Arc::new(Mutex::new([services, tasks])), refuses: Arc::default() }
    }

    fn refuse(&self, refusal: Option<(What, Refusal)>) {
        *self.refuses.lock().unwrap() = refusal;
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn hears(&self, what: What, words: String) -> Result<(), Refusal> {
        self.asked.lock().unwrap().push(words);
        match &*self.refuses.lock().unwrap() {
            Some((of, refusal)) if *of == what => Err(refusal.clone()),
            _ => Ok(()),
        }
    }
}

impl Ask for Fake {
    fn list(&mut self, place: &Place, what: What, after: Option<String>) -> BoxFuture<'_, Result<Page, Refusal>> {
        assert_eq!((&*place.region, &*place.cluster), ("eu-west-1", "shop"));
        let from: usize = after.as_ref().map_or(0, |after| after.parse().unwrap());
        let said = self.hears(what, format!("list {}", what.word())).map(|()| {
            let all = self.has.lock().unwrap()[usize::from(what == What::Tasks)];
            let to = all.min(from + 100);
            Page { names: (from..to).map(|number| number.to_string()).collect(), next: (to < all).then(|| to.to_string()) }
        });
        std::future::ready(said).boxed()
    }

    fn services_in(&mut self, _: &Place, names: Vec<String>) -> BoxFuture<'_, Result<Vec<Service>, Refusal>> {
        assert!((1..=10).contains(&names.len()), "AWS takes 1 to 10 services");
        let said = self.hears(What::Services, format!("{} services", names.len()));
        let service = |name: String| Service { name: format!("s{name}").into(), desired: Some(2), ..Service::default() };
        std::future::ready(said.map(|()| names.into_iter().map(service).collect())).boxed()
    }

    fn tasks_in(&mut self, _: &Place, names: Vec<String>) -> BoxFuture<'_, Result<Vec<OneTask>, Refusal>> {
        assert!((1..=100).contains(&names.len()), "AWS takes 1 to 100 tasks");
        let said = self.hears(What::Tasks, format!("{} tasks", names.len()));
        std::future::ready(said.map(|()| names.iter().map(|name| task(name.parse().unwrap())).collect())).boxed()
    }
}

fn arn(number: usize) -> TaskArn {
    TaskArn::parse(&format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{number:032x}")).unwrap()
}

/// Every tenth is a Tare, every other of those has an address; the rest is of the service `web`.
fn task(number: usize) -> OneTask {
    let is_tare = number.is_multiple_of(10);
    let service = if is_tare { "tare" } else { "web" };
    let kind = TaskKind { service: Some(service.into()), launch: Some(Launch::Fargate), provider: None, status: RUNNING.into() };
    let address = (is_tare && number.is_multiple_of(20)).then(|| IpAddr::from([10, 0, (number / 256) as u8, (number % 256) as u8]));
    OneTask { kind, arn: arn(number), family: Some("f".into()), zone: None, address }
}

fn settings() -> Settings {
    Settings { cluster: Some("shop".into()), every: Duration::from_secs(60), tares: vec!["tare".into()], port: 9464 }
}

/// A source that has a turn every 5 s, and its own clock.
struct Stage {
    api: ClusterApi,
    fake: Fake,
    now: Cell<Instant>,
}

impl Stage {
    fn new(fake: Fake) -> Stage {
        let api = ClusterApi::new(Box::new(fake.clone()), Clock::Real, Some("eu-west-1".into()), settings());
        Stage { api, fake, now: Cell::new(Instant::now()) }
    }

    /// Turns for so many seconds. Gives the last reading.
    fn pass(&mut self, seconds: u64) -> Reading {
        let mut last = None;
        for _ in 0..seconds / 5 {
            let now = &self.now;
            // The calls answer at once: real time does not matter.
            let by = now.get().max(Instant::now()) + Duration::from_secs(3600);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            last = Some(runtime.block_on(self.api.turn(by, || now.get())));
            self.now.set(now.get() + EVERY);
        }
        last.unwrap()
    }
}

fn told(reading: &Reading) -> Option<&ClusterTold> {
    reading.told.as_ref().map(|told| if let Told::Cluster(told) = told { told } else { panic!("{told:?}") })
}

/// How many services and tasks are known.
fn known(reading: &Reading) -> (Option<usize>, Option<u64>) {
    let Some(told) = told(reading) else { return (None, None) };
    let tasks = told.cluster.tasks.as_ref().map(|tasks| tasks.is.counts.iter().map(|count| count.tasks).sum());
    (told.cluster.services.as_ref().map(|services| services.is.len()), tasks)
}

#[test]
fn a_cluster_is_walked_through_once_a_minute() {
    let mut stage = Stage::new(Fake::of(25, 130));
    let reading = stage.pass(5);
    assert_eq!((known(&reading), reading.gaps.len()), ((Some(25), Some(130)), 0));
    let mut calls = stage.fake.calls();
    calls.sort();
    assert_eq!(calls, ["10 services", "10 services", "100 tasks", "30 tasks", "5 services", "list services", "list tasks", "list tasks"]);
    assert_eq!(known(&stage.pass(45)), (Some(25), Some(130)));
    assert_eq!(stage.fake.calls(), [""; 0], "what is known stands until the next round");
    stage.pass(15);
    assert_eq!(stage.fake.calls().len(), 8);
}

#[test]
fn tasks_are_counted_by_kind_and_tares_found_with_and_without_an_address() {
    let reading = Stage::new(Fake::of(0, 100)).pass(5);
    let told = told(&reading).unwrap();
    let tasks = &told.cluster.tasks.as_ref().unwrap().is;
    let counts: Vec<_> = tasks.counts.iter().map(|count| (count.kind.service.as_deref().unwrap(), count.tasks)).collect();
    assert_eq!(counts, [("tare", 10), ("web", 90)]);
    assert_eq!((tasks.tares.len(), tasks.tares.iter().filter(|tare| tare.address.is_none()).count()), (10, 5));
    assert_eq!(tasks.tares[2].address.unwrap().to_string(), "10.0.0.20:9464");
    assert_eq!(known(&reading).0, Some(0), "no service is a measured zero");
}

#[test]
fn a_large_cluster_takes_many_turns_and_what_a_bound_cuts_is_counted() {
    let mut stage = Stage::new(Fake::of(5_001, 20_100));
    let reading = stage.pass(5);
    assert_eq!((known(&reading), stage.fake.calls().len()), ((None, None), CALLS), "half a walk is no count");
    let reading = stage.pass(400);
    assert_eq!(known(&reading), (Some(SERVICES), Some(TASKS as u64)));
    let cut = told(&reading).unwrap().cut;
    assert_eq!((cut.services > 0, cut.tasks > 0, reading.gaps.len()), (true, true, 2), "{:?}", reading.gaps);
    assert!(reading.gaps[0].why.contains("more than 5000"), "{:?}", reading.gaps);
    let exact = Stage::new(Fake::of(5_000, 20_000)).pass(400);
    assert_eq!((known(&exact), exact.gaps.len()), ((Some(SERVICES), Some(TASKS as u64)), 0), "the bound itself cuts nothing");
}

#[test]
fn a_missing_right_costs_only_its_own_half_and_is_tried_again_after_ten_minutes() {
    let fake = Fake::of(3, 5);
    fake.refuse(Some((What::Services, Refusal::Denied("no ecs:ListServices".into()))));
    let mut stage = Stage::new(fake);
    let reading = stage.pass(5);
    assert_eq!((known(&reading), &*reading.gaps[0].what, reading.gaps.len()), ((None, Some(5)), "services", 1));
    stage.pass(590);
    let count = |calls: Vec<String>| calls.iter().filter(|call| *call == "list services").count();
    assert_eq!(count(stage.fake.calls()), 1);
    stage.fake.refuse(None);
    assert_eq!(known(&stage.pass(15)), (Some(3), Some(5)));
}

#[test]
fn who_is_throttled_asks_ever_more_rarely_goes_on_where_it_was_and_forgets_what_is_old() {
    let fake = Fake::of(3, 5);
    let mut stage = Stage::new(fake);
    stage.pass(5);
    stage.fake.calls();
    stage.fake.refuse(Some((What::Tasks, Refusal::Later("Rate exceeded".into()))));
    let reading = stage.pass(120);
    assert_eq!((known(&reading), reading.gaps.len()), ((Some(3), Some(5)), 1), "for a while what was known is believed");
    assert_eq!(known(&stage.pass(3600)), (Some(3), None), "not for ever");
    let calls = stage.fake.calls();
    let tasks = calls.iter().filter(|call| call.contains("tasks")).count();
    assert!((8..=14).contains(&tasks), "{tasks} calls in an hour");
    stage.fake.refuse(None);
    let reading = stage.pass(600);
    assert_eq!((known(&reading), reading.gaps.len()), ((Some(3), Some(5)), 0));
}

#[test]
fn a_cluster_that_is_not_there_says_what_to_look_at() {
    let fake = Fake::of(1, 1);
    fake.refuse(Some((What::Tasks, Refusal::Invalid("ecs:ListTasks: Cluster not found.".into()))));
    let reading = Stage::new(fake).pass(5);
    assert_eq!(reading.gaps[0].why.matches("shop").count(), 1, "{:?}", reading.gaps);
    assert!(reading.gaps[0].why.contains("fix: is shop a cluster of this account in eu-west-1"), "{:?}", reading.gaps);
}

#[test]
fn a_short_turn_makes_one_call() {
    let fake = Fake::of(3, 5);
    let mut api = ClusterApi::new(Box::new(fake.clone()), Clock::Real, Some("eu-west-1".into()), settings());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let now = Instant::now();
    runtime.block_on(api.turn(now + LEAST / 2, || now));
    assert_eq!(fake.calls().len(), 1);
}

#[test]
fn the_task_that_asks_says_which_cluster_is_meant() {
    let fake = Fake::of(1, 1);
    let mut api = ClusterApi::new(Box::new(fake.clone()), Clock::Real, None, Settings { cluster: None, ..settings() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let by = Instant::now() + Duration::from_secs(60);
    let reading = runtime.block_on(api.turn(by, Instant::now));
    assert!(reading.told.is_none() && reading.gaps[0].why.ends_with("fix: set cluster and host.region"), "{:?}", reading.gaps);
    let about = Task { arn: Some(arn(1)), cluster: Some("shop".into()), ..Task::default() };
    let own = ToldTask { id: arn(1).id(), about: Arc::new(about), state: Arc::new(TaskState::default()), containers: Vec::new() };
    let said = Told::Tasks(Tasks { tasks: vec![Arc::new(own)], ..Tasks::default() });
    api.learn_of(&[Arc::new(Reading { from: SourceName::EcsTask, at: Stamp::default(), told: Some(said), gaps: Vec::new() })]);
    assert_eq!(known(&runtime.block_on(api.turn(by, Instant::now))), (Some(1), Some(1)));
    // What is known stays the same allocation, so that nothing is made anew at a look.
    let (first, second) = (runtime.block_on(api.turn(by, Instant::now)), runtime.block_on(api.turn(by, Instant::now)));
    assert!(Arc::ptr_eq(&told(&first).unwrap().cluster, &told(&second).unwrap().cluster));
}

proptest! {
    /// Whatever comes twice is counted once, and every task stands in one count.
    #[test]
    fn counts_add_up_to_the_tasks(numbers in prop::collection::vec(0_usize..50, 0..80)) {
        let counted = counted(numbers.iter().map(|number| task(*number)).collect(), &["tare".into()], 1);
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        prop_assert_eq!(counted.counts.iter().map(|count| count.tasks).sum::<u64>(), distinct.len() as u64);
        prop_assert_eq!(counted.tares.len(), distinct.iter().filter(|number| number.is_multiple_of(10)).count());
    }
}

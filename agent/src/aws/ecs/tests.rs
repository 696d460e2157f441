//! What the ECS API is asked, how often, and what a refusal costs.

use std::cell::Cell;
use std::sync::Mutex;

use collector::identity::ContainerId;
use collector::snapshot::{CgroupVersion, Market, Task, TaskState, Usage};
use collector::sources::{Group, Tree};

use super::*;

type Act = fn(&Question) -> Result<Vec<ToldTask>, Refusal>;
type Acts = (Act, fn(&Question) -> Result<Vec<ToldInstance>, Refusal>, fn(&Question) -> Result<Vec<Instance>, Refusal>);

/// Writes down what it is asked and answers by the book.
struct Fake {
    asked: Arc<Mutex<Vec<(&'static str, Question)>>>,
    acts: Acts,
}

impl Fake {
    fn ask<'a, T: Send + 'a>(
        &mut self,
        what: &'static str,
        question: Question,
        act: fn(&Question) -> Result<Vec<T>, Refusal>,
    ) -> BoxFuture<'a, Result<Vec<T>, Refusal>> {
        assert!((1..=BATCH).contains(&question.names.len()), "AWS takes 1 to 100");
        let answer = act(&question);
        self.asked.lock().unwrap().push((what, question));
        std::future::ready(answer).boxed()
    }
}

impl Ask for Fake {
    fn tasks(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<ToldTask>, Refusal>> {
        self.ask("tasks", question, self.acts.0)
    }

    fn instances(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<ToldInstance>, Refusal>> {
        self.ask("instances", question, self.acts.1)
    }

    fn machines(&mut self, question: Question) -> BoxFuture<'_, Result<Vec<Instance>, Refusal>> {
        self.ask("machines", question, self.acts.2)
    }
}

fn arn(cluster: &str, region: &str, number: usize) -> TaskArn {
    TaskArn::parse(&format!("arn:aws:ecs:{region}:111122223333:task/{cluster}/{number:032x}")).unwrap()
}

fn told(arn: &TaskArn) -> ToldTask {
    told_on(arn, None)
}

fn told_on(arn: &TaskArn, instance: Option<&str>) -> ToldTask {
    let about =
        Task { arn: Some(arn.clone()), cluster: arn.cluster().map(Into::into), spot: Some(true), instance: instance.map(Into::into), ..Task::default() };
    ToldTask { id: arn.id(), about: Arc::new(about), state: Arc::new(TaskState::default()), containers: Vec::new() }
}

fn heard(arns: &[TaskArn]) -> Vec<Arc<Reading>> {
    let tasks = Tasks { tasks: arns.iter().map(told).map(Arc::new).collect(), ..Tasks::default() };
    vec![Arc::new(Reading { from: SourceName::EcsAgent, at: Clock::Real.now(), told: Some(Told::Tasks(tasks)), gaps: Vec::new() })]
}

fn all(question: &Question) -> Result<Vec<ToldTask>, Refusal> {
    Ok(question.names.iter().filter_map(|name| TaskArn::parse(name)).map(|arn| told(&arn)).collect())
}

/// A source that hears of the same tasks every 5 s, and its own clock.
struct Stage {
    api: EcsApi,
    asked: Arc<Mutex<Vec<(&'static str, Question)>>>,
    now: Cell<Instant>,
}

impl Stage {
    fn new(act: Act) -> Stage {
        Stage::of((act, |_| Ok(Vec::new()), |_| Ok(Vec::new())), Some("eu-west-1"), None)
    }

    fn of(acts: Acts, region: Option<&str>, cluster: Option<&str>) -> Stage {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let fake = Fake { asked: asked.clone(), acts };
        let api = EcsApi::new(Box::new(fake), Clock::Real, region.map(Into::into), cluster, Duration::ZERO);
        Stage { api, asked, now: Cell::new(Instant::now()) }
    }

    fn pass(&mut self, seconds: u64, arns: &[TaskArn]) -> Reading {
        self.hear(seconds, heard(arns))
    }

    /// Turns for so many seconds. Gives the last reading.
    fn hear(&mut self, seconds: u64, said: Vec<Arc<Reading>>) -> Reading {
        let mut last = None;
        for _ in 0..seconds / 5 {
            self.api.learn_of(&said, self.now.get());
            let by = Instant::now() + Duration::from_secs(60);
            let now = &self.now;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            last = Some(runtime.block_on(self.api.turn(by.max(now.get() + PATIENCE), || now.get())));
            self.now.set(self.now.get() + EVERY);
        }
        last.unwrap()
    }

    fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// How often each was asked since the last time.
    fn counts(&self) -> [usize; 3] {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        ["tasks", "instances", "machines"].map(|what| asked.iter().filter(|(of, _)| *of == what).count())
    }
}

fn spots(reading: &Reading) -> usize {
    let Some(Told::Tasks(tasks)) = &reading.told else { return 0 };
    tasks.tasks.iter().filter(|task| task.about.spot == Some(true)).count()
}

#[test]
fn a_thousand_new_tasks_are_ten_calls_and_ten_more_an_hour_later() {
    let arns: Vec<_> = (0..1000).map(|number| arn("shop", "eu-west-1", number)).collect();
    let mut stage = Stage::new(all);
    stage.pass(15, &arns);
    assert_eq!(stage.calls(), 0, "they are gathered first");
    assert_eq!(spots(&stage.pass(5, &arns)), 1000);
    assert_eq!(stage.calls(), 10);
    stage.pass(3500, &arns);
    assert_eq!(stage.calls(), 10);
    stage.pass(200, &arns);
    assert_eq!(stage.calls(), 20);
}

#[test]
fn the_first_call_waits_for_its_jitter_and_no_later_one_does() {
    let mut stage = Stage::new(all);
    stage.api.jitter = Duration::from_secs(40);
    stage.pass(55, &[arn("shop", "eu-west-1", 1)]);
    assert_eq!(stage.calls(), 0);
    stage.pass(5, &[arn("shop", "eu-west-1", 1)]);
    assert_eq!(stage.calls(), 1);
    stage.pass(20, &[arn("shop", "eu-west-1", 1), arn("shop", "eu-west-1", 2)]);
    assert_eq!(stage.calls(), 2);
}

#[test]
fn a_missing_right_is_one_gap_and_is_tried_again_after_ten_minutes() {
    let arns = [arn("shop", "eu-west-1", 1)];
    let mut stage = Stage::new(|_| Err(Refusal::Denied("no ecs:DescribeTasks".into())));
    let reading = stage.pass(600, &arns);
    assert_eq!((stage.calls(), spots(&reading), reading.gaps.len()), (1, 0, 1));
    stage.pass(60, &arns);
    assert_eq!(stage.calls(), 2);
}

#[test]
fn a_place_that_fails_costs_no_other_its_answer() {
    // Anybody can set a label, and this one comes first in every order.
    let arns = [arn("aaa", "eu-west-1", 1), arn("shop", "eu-west-1", 2)];
    fn is_there(question: &Question) -> bool {
        question.cluster.as_deref() == Some("aaa")
    }
    let mut stage = Stage::new(|question| if is_there(question) { Err(Refusal::Denied("not there".into())) } else { all(question) });
    let reading = stage.pass(60, &arns);
    assert_eq!((stage.calls(), spots(&reading), reading.gaps.len()), (2, 1, 1), "what is not allowed is said all the same");
    stage.pass(600, &arns);
    assert_eq!(stage.calls(), 3, "and is tried again");
    let mut stage = Stage::new(|question| if is_there(question) { Err(Refusal::Later("slow down".into())) } else { all(question) });
    assert_eq!(spots(&stage.pass(60, &arns)), 1);
}

#[test]
fn a_label_from_elsewhere_is_not_believed_once_the_machine_says_where_it_is() {
    let mut stage = Stage::of((all, registered, on_spot), None, None);
    let labels = heard(&[arn("shop", "af-south-1", 1), arn("shop", "eu-west-1", 2)]);
    stage.hear(5, labels.clone());
    let here = Instance { region: Some("eu-west-1".into()), ..Instance::default() };
    let imds = Reading { from: SourceName::Imds, at: Default::default(), told: Some(Told::Instance(here)), gaps: Vec::new() };
    let reading = stage.hear(60, labels.into_iter().chain([Arc::new(imds)]).collect());
    assert_eq!(spots(&reading), 1);
    assert!(stage.asked.lock().unwrap().iter().all(|(_, question)| question.region == "eu-west-1"));
}

#[test]
fn who_is_throttled_asks_ever_more_rarely() {
    let mut stage = Stage::new(|_| Err(Refusal::Later("slow down".into())));
    stage.pass(3600, &[arn("shop", "eu-west-1", 1)]);
    assert!((8..=13).contains(&stage.calls()), "{} calls in an hour", stage.calls());
}

#[test]
fn a_label_that_lies_costs_only_itself() {
    let mut arns: Vec<_> = (0..20).map(|number| arn("shop", "eu-west-1", number)).collect();
    arns.push(arn("shop", "eu-west-1", 666));
    arns.push(arn("shop", "xx-evil-1", 7));
    let mut stage = Stage::new(|question| {
        let bad = question.names.iter().any(|one| *one == arn("shop", "eu-west-1", 666).as_str());
        if bad { Err(Refusal::Invalid("no such".into())) } else { all(question) }
    });
    let reading = stage.pass(60, &arns);
    assert_eq!(spots(&reading), 20);
    assert!(stage.asked.lock().unwrap().iter().all(|(_, question)| question.region == "eu-west-1"), "nobody is sent elsewhere by a label");
    let calls = stage.calls();
    stage.pass(600, &arns);
    assert_eq!(stage.calls(), calls, "the refused one is not asked about at every turn");
}

#[test]
fn a_call_names_tasks_of_one_cluster_and_what_is_gone_is_forgotten() {
    let arns = [arn("shop", "eu-west-1", 1), arn("bank", "eu-west-1", 2)];
    let mut stage = Stage::new(all);
    assert_eq!(spots(&stage.pass(20, &arns)), 2);
    let clusters: Vec<_> = stage.asked.lock().unwrap().iter().map(|(_, question)| question.cluster.clone()).collect();
    assert_eq!(clusters, [Some("bank".to_owned()), Some("shop".to_owned())]);
    assert_eq!(spots(&stage.pass(5, &arns[1..])), 1);
    stage.pass(5, &[]);
    assert!(stage.api.tasks.is_empty());
}

#[test]
fn a_task_that_aws_does_not_know_stays_unknown_and_is_not_asked_about_again() {
    let mut stage = Stage::new(|_| Ok(Vec::new()));
    let reading = stage.pass(600, &[arn("shop", "eu-west-1", 1)]);
    assert_eq!((stage.calls(), reading.told.is_none(), reading.gaps.len()), (1, true, 0));
}

const SPOT: &str = "i-0123456789abcdef0";

fn instance(id: &str, machine: &str) -> ToldInstance {
    let machine = Instance { id: Some(machine.into()), kind: Some("m7i.large".into()), ..Instance::default() };
    ToldInstance { id: id.into(), provider: Some("blue".into()), agent: Some("1.105.1".into()), machine }
}

/// Tasks with even numbers run on one instance, the others on a machine of ECS Anywhere.
fn placed(question: &Question) -> Result<Vec<ToldTask>, Refusal> {
    let arns = question.names.iter().filter_map(|name| TaskArn::parse(name));
    Ok(arns.map(|arn| told_on(&arn, Some(if arn.id().as_str().ends_with('0') { "aaaa" } else { "bbbb" }))).collect())
}

fn registered(question: &Question) -> Result<Vec<ToldInstance>, Refusal> {
    let of = |name: &String| instance(name, if name == "aaaa" { SPOT } else { "mi-0123456789abcdef0" });
    Ok(question.names.iter().map(of).collect())
}

fn on_spot(question: &Question) -> Result<Vec<Instance>, Refusal> {
    Ok(question.names.iter().map(|id| Instance { id: Some((**id).into()), market: Some(Market::Spot), ..Instance::default() }).collect())
}

fn instances(reading: &Reading) -> Vec<(&str, Option<&str>, Option<Market>)> {
    let Some(Told::Tasks(tasks)) = &reading.told else { return Vec::new() };
    tasks.instances.iter().map(|told| (&*told.id, told.machine.id.as_deref(), told.machine.market)).collect()
}

#[test]
fn each_machine_is_asked_about_once_and_its_agent_once_an_hour() {
    let arns = [arn("shop", "eu-west-1", 0x10), arn("shop", "eu-west-1", 0x20), arn("shop", "eu-west-1", 1)];
    let mut stage = Stage::of((placed, registered, on_spot), Some("eu-west-1"), None);
    let reading = stage.pass(20, &arns);
    assert_eq!(instances(&reading), [("aaaa", Some(SPOT), Some(Market::Spot)), ("bbbb", Some("mi-0123456789abcdef0"), None)]);
    {
        let asked = stage.asked.lock().unwrap();
        let names: Vec<_> = asked.iter().skip(1).map(|(_, question)| (question.cluster.as_deref(), question.names.join(" "))).collect();
        assert_eq!(names, [(Some("shop"), "aaaa bbbb".to_owned()), (None, SPOT.to_owned())], "EC2 knows nothing of ECS Anywhere");
    }
    assert_eq!(stage.counts(), [1, 1, 1]);
    stage.pass(3500, &arns);
    assert_eq!(stage.counts(), [0, 0, 0]);
    let later = stage.pass(200, &arns);
    assert_eq!(stage.counts(), [1, 1, 0], "how an instance is bought never changes");
    assert_eq!(instances(&later), instances(&reading), "and what EC2 said outlives ECS's next answer");
    stage.pass(5, &arns[2..]);
    assert_eq!(instances(&stage.pass(5, &arns[2..])).len(), 1, "one that no task names is forgotten");
}

#[test]
fn ec2_is_left_alone_where_the_metadata_service_tells_how_the_instance_is_bought() {
    for (id, market, asked) in [
        (Some(SPOT), Some(Market::OnDemand), 0),
        (None, Some(Market::OnDemand), 0),
        (Some(SPOT), None, 1),
        (Some("i-0f0f0f0f0f0f0f0f0"), Some(Market::Spot), 1),
    ] {
        let mut said = heard(&[arn("shop", "eu-west-1", 0x10)]);
        let told = Told::Instance(Instance { id: id.map(Into::into), market, ..Instance::default() });
        said.push(Arc::new(Reading { from: SourceName::Imds, at: Clock::Real.now(), told: Some(told), gaps: Vec::new() }));
        let mut stage = Stage::of((placed, registered, on_spot), Some("eu-west-1"), None);
        stage.hear(60, said);
        assert_eq!(stage.counts(), [1, 1, asked], "{id:?} {market:?}");
    }
}

#[test]
fn a_right_that_is_missing_costs_only_what_it_gives() {
    let arns = [arn("shop", "eu-west-1", 0x10)];
    let mut stage = Stage::of((placed, |_| Err(Refusal::Denied("no ecs:DescribeContainerInstances".into())), on_spot), Some("eu-west-1"), None);
    let reading = stage.pass(600, &arns);
    assert_eq!((spots(&reading), reading.gaps.len(), stage.counts()), (1, 1, [1, 1, 0]));
    assert!(reading.gaps[0].why.contains("ecs:DescribeContainerInstances"));
    stage.pass(60, &arns);
    assert_eq!(stage.counts(), [0, 1, 0], "tried again after ten minutes");
    assert_eq!(stage.pass(5, &[]).gaps, [], "who is gone is not missed");

    let mut stage = Stage::of((placed, registered, |_| Err(Refusal::Denied("no ec2:DescribeInstances".into()))), Some("eu-west-1"), None);
    let reading = stage.pass(60, &arns);
    assert_eq!((instances(&reading), reading.gaps.len(), stage.counts()), (vec![("aaaa", Some(SPOT), None)], 1, [1, 1, 1]));
    // The metadata service comes up: nothing is missing any more.
    let mut said = heard(&arns);
    let told = Told::Instance(Instance { market: Some(Market::Spot), ..Instance::default() });
    said.push(Arc::new(Reading { from: SourceName::Imds, at: Clock::Real.now(), told: Some(told), gaps: Vec::new() }));
    assert_eq!((stage.hear(700, said).gaps, stage.counts()), (vec![], [0, 0, 0]));
}

#[test]
fn an_instance_that_ec2_does_not_know_is_asked_about_again_in_an_hour() {
    let mut stage = Stage::of((placed, registered, |_| Ok(Vec::new())), Some("eu-west-1"), None);
    stage.pass(3500, &[arn("shop", "eu-west-1", 0x10)]);
    assert_eq!(stage.counts(), [1, 1, 1]);
    stage.pass(200, &[arn("shop", "eu-west-1", 0x10)]);
    assert_eq!(stage.counts(), [1, 1, 1]);
}

/// A tree with a container in a task: nobody reads a label.
fn seen(id: &str, agent: Option<&str>) -> Vec<Arc<Reading>> {
    let owner = Owner::Container(ContainerId::from("c0ffee"), Within::Task(TaskId::from(id)));
    let empty = Owner::Task(TaskId::from("ffffffffffffffffffffffffffffffff"));
    let group = |owner| Group {
        path: "/ecs/x".into(),
        owner,
        start: 1,
        own: Default::default(),
        limits: Default::default(),
        weights: Default::default(),
        usage: Usage::default(),
    };
    let tree = Tree { version: CgroupVersion::V2, root: Usage::default(), groups: vec![group(empty), group(owner)], ended: Vec::new(), cut: 0 };
    let agent = agent.map(|cluster| Told::Tasks(Tasks { cluster: Some(cluster.into()), ..Tasks::default() }));
    let reading = |from, told| Arc::new(Reading { from, at: Clock::Real.now(), told: Some(told), gaps: Vec::new() });
    [Some(reading(SourceName::Cgroup, Told::Tree(Box::new(tree)))), agent.map(|told| reading(SourceName::EcsAgent, told))].into_iter().flatten().collect()
}

const ID: &str = "0f9de17a6465404e8b1b2356dc13c2f8";

#[test]
fn a_task_known_by_its_cgroup_alone_is_asked_about_by_its_id_in_the_cluster_that_is_known() {
    for (setting, agent, cluster) in
        [(Some("shop"), None, "shop"), (None, Some("bank"), "bank"), (Some("a nice name"), Some("bank"), "bank"), (Some("shop"), Some("bank"), "bank")]
    {
        let answers: Act = |question| {
            Ok(vec![told(&TaskArn::parse(&format!("arn:aws:ecs:eu-west-1:111122223333:task/{}/{ID}", question.cluster.as_ref().unwrap())).unwrap())])
        };
        let mut stage = Stage::of((answers, registered, on_spot), Some("eu-west-1"), setting);
        let reading = stage.hear(60, seen(ID, agent));
        assert_eq!((spots(&reading), reading.gaps.len()), (1, 0));
        let asked = stage.asked.lock().unwrap();
        assert_eq!(*asked, [("tasks", Question { region: "eu-west-1".into(), cluster: Some(cluster.into()), names: vec![ID.into()] })]);
    }
}

#[test]
fn what_is_missing_to_ask_about_a_bare_id_is_said() {
    for (region, cluster, words) in
        [(Some("eu-west-1"), None, "set cluster"), (Some("eu-west-1"), Some("a nice name"), "set cluster"), (None, Some("shop"), "set host.region")]
    {
        let mut stage = Stage::of((all, registered, on_spot), region, cluster);
        assert_eq!(stage.hear(15, seen(ID, None)).gaps, [], "the agent may come up a moment later");
        let reading = stage.hear(10, seen(ID, None));
        assert!(reading.gaps.len() == 1 && reading.gaps[0].why.contains(words) && reading.gaps[0].why.starts_with("of 1 ECS tasks"), "{:?}", reading.gaps);
        assert_eq!(stage.calls(), 0);
        assert_eq!(stage.hear(5, Vec::new()).gaps, []);
    }
}

#[test]
fn a_cluster_that_is_none_of_ours_costs_one_call_an_hour() {
    let arns: Vec<_> = (0..250).map(|number| arn("shop", "eu-west-1", number)).collect();
    let mut stage = Stage::new(|_| Err(Refusal::Nowhere("Cluster not found.".into())));
    let reading = stage.pass(600, &arns);
    assert_eq!((stage.calls(), reading.gaps.len()), (3, 1), "a call for a hundred tasks");
}

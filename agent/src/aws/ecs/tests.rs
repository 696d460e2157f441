//! What the ECS API is asked, how often, and what a refusal costs.

use std::cell::Cell;
use std::sync::Mutex;

use collector::snapshot::{Task, TaskState};

use super::*;

type Act = fn(&Question) -> Result<Answer, Refusal>;

/// Writes down what it is asked and answers by the book.
struct Fake {
    asked: Arc<Mutex<Vec<Question>>>,
    act: Act,
}

impl Ask for Fake {
    fn describe(&mut self, question: Question) -> BoxFuture<'_, Result<Answer, Refusal>> {
        assert!((1..=BATCH).contains(&question.tasks.len()), "AWS takes 1 to 100 tasks");
        let answer = (self.act)(&question);
        self.asked.lock().unwrap().push(question);
        std::future::ready(answer).boxed()
    }
}

fn arn(cluster: &str, region: &str, number: usize) -> TaskArn {
    TaskArn::parse(&format!("arn:aws:ecs:{region}:111122223333:task/{cluster}/{number:032x}")).unwrap()
}

fn told(arn: &TaskArn) -> Arc<ToldTask> {
    let about = Task { arn: Some(arn.clone()), spot: Some(true), ..Task::default() };
    Arc::new(ToldTask { id: arn.id(), about: Arc::new(about), state: Arc::new(TaskState::default()), containers: Vec::new() })
}

fn heard(arns: &[TaskArn]) -> Vec<Arc<Reading>> {
    let tasks = Tasks { tasks: arns.iter().map(told).collect(), ..Tasks::default() };
    vec![Arc::new(Reading { from: SourceName::EcsAgent, at: Clock::Real.now(), told: Some(Told::Tasks(tasks)), gaps: Vec::new() })]
}

fn all(question: &Question) -> Result<Answer, Refusal> {
    Ok(question.tasks.iter().map(told).collect())
}

/// A source that hears of the same tasks every 5 s, and its own clock.
struct Stage {
    api: EcsApi,
    asked: Arc<Mutex<Vec<Question>>>,
    now: Cell<Instant>,
}

impl Stage {
    fn new(act: Act) -> Stage {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let fake = Fake { asked: asked.clone(), act };
        Stage { api: EcsApi::new(Box::new(fake), Clock::Real, Some("eu-west-1".into()), Duration::ZERO), asked, now: Cell::new(Instant::now()) }
    }

    /// Turns for so many seconds. Gives the last reading.
    fn pass(&mut self, seconds: u64, arns: &[TaskArn]) -> Reading {
        let said = heard(arns);
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
        let bad = question.tasks.iter().any(|one| *one == arn("shop", "eu-west-1", 666));
        if bad { Err(Refusal::Invalid("no such".into())) } else { all(question) }
    });
    let reading = stage.pass(60, &arns);
    assert_eq!(spots(&reading), 20);
    assert!(stage.asked.lock().unwrap().iter().all(|question| question.region == "eu-west-1"), "nobody is sent elsewhere by a label");
    let calls = stage.calls();
    stage.pass(600, &arns);
    assert_eq!(stage.calls(), calls, "the refused one is not asked about at every turn");
}

#[test]
fn a_call_names_tasks_of_one_cluster_and_what_is_gone_is_forgotten() {
    let arns = [arn("shop", "eu-west-1", 1), arn("bank", "eu-west-1", 2)];
    let mut stage = Stage::new(all);
    assert_eq!(spots(&stage.pass(20, &arns)), 2);
    let clusters: Vec<_> = stage.asked.lock().unwrap().iter().map(|question| question.cluster.clone()).collect();
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

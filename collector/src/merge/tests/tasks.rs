//! ECS tasks: who says that a container is part of one, and what stands in where nothing of the machine is seen.

use super::*;
use crate::identity::TaskArn;
use crate::snapshot::{Instance, Launch, Market, Scope, TaskState};
use crate::sources::{ContainerStats, Tasks, ToldInstance, ToldTask};

const TASK: &str = "0f9de17a6465404e8b1b2356dc13c2f8";

fn arn() -> TaskArn {
    TaskArn::parse(&format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{TASK}")).unwrap()
}

/// A container whose labels name the task.
fn labelled(id: &str, name: &str) -> RuntimeContainer {
    let task = Task { arn: Some(arn()), cluster: Some("shop".into()), family: Some("checkout".into()), ..Task::default() };
    RuntimeContainer { task: Some(Arc::new(task)), ..named(id, name) }
}

fn slice(ms: u64) -> Group {
    group(&format!("/ecs/{TASK}"), Owner::Task(TASK.into()), ms)
}

fn in_task(id: &str, ms: u64) -> Group {
    group(&format!("/ecs/{TASK}/{id}"), Owner::Container(id.into(), Within::Task(TASK.into())), ms)
}

fn told(about: Task, containers: Vec<RuntimeContainer>) -> ToldTask {
    let size = Asked { cores: Some(Cores(0.5)), memory: Some(Bytes(GIB)) };
    let state = TaskState { size, known: Some("RUNNING".into()), ..TaskState::default() };
    ToldTask { id: TASK.into(), about: Arc::new(about), state: Arc::new(state), containers: containers.into_iter().map(Arc::new).collect() }
}

fn tasks(from: SourceName, tasks: Tasks) -> Arc<Reading> {
    reading(from, Told::Tasks(tasks))
}

fn stats(id: &str, second: f64, received: u64) -> ContainerStats {
    let net = Seen { at: at(second), from: SourceName::EcsTask, is: [interface("eth1", received)].into_iter().collect() };
    ContainerStats { id: id.into(), usage: Usage { cpu: cpu(100), net: Some(net), ..Usage::default() }, limits: Limits::default() }
}

#[test]
fn labels_alone_make_a_task_where_it_has_no_cgroup() {
    let readings =
        [tree(90, vec![loose("a", 20), loose("b", 30), loose("c", 5)]), docker(vec![labelled("a", "app"), labelled("b", "proxy"), named("c", "db")])];
    let snapshot = merge(&readings, None);
    let task = row(&snapshot, "checkout");
    assert_eq!(task.about.key, Key::Task(TASK.into()));
    assert_eq!(task.usage.cpu.unwrap().is.time, Duration::from_millis(50));
    assert_eq!((task.containers.len(), snapshot.host.cluster.as_deref()), (2, Some("shop")));
    assert_eq!(row(&snapshot, "db").about.task, None);
    let again = merge(&readings, Some(&snapshot));
    assert!(Arc::ptr_eq(&row(&again, "checkout").about, &task.about), "a steady tick makes no identity");
}

#[test]
fn a_forged_label_moves_nothing_into_a_task_that_has_its_own_cgroup() {
    let forged = labelled("z", "evil");
    let readings = [tree(90, vec![slice(40), in_task("a", 40), loose("z", 50)]), docker(vec![labelled("a", "app"), forged])];
    let snapshot = merge(&readings, None);
    let task = row(&snapshot, "checkout");
    assert_eq!((task.containers.len(), task.usage.cpu.unwrap().is.time), (1, Duration::from_millis(40)));
    assert_eq!(row(&snapshot, "evil").about.key, Key::Loose("z".into()));
}

#[test]
fn what_the_agent_the_api_and_the_labels_know_is_one_task() {
    let about = |service: Option<&str>, launch, spot| Task { service: service.map(Into::into), launch, spot, ..Task::default() };
    let api = Tasks { tasks: vec![Arc::new(told(about(Some("checkout-svc"), Some(Launch::Ec2), Some(true)), vec![]))], ..Tasks::default() };
    let agent = Tasks { cluster: Some("other".into()), instance: Some("1f73".into()), ..Tasks::default() };
    let mut readings =
        vec![tree(90, vec![slice(40), in_task("a", 40)]), docker(vec![labelled("a", "app")]), tasks(SourceName::EcsAgent, agent), tasks(SourceName::Ecs, api)];
    let snapshot = merge(&readings, None);
    let task = row(&snapshot, "checkout-svc");
    let known = task.about.task.as_ref().unwrap();
    assert_eq!((known.family.as_deref(), known.cluster.as_deref(), known.instance.as_deref()), (Some("checkout"), Some("shop"), Some("1f73")));
    assert_eq!((known.launch, known.spot, task.asked.cores), (Some(Launch::Ec2), Some(true), Some(Cores(0.5))));
    // The API is away: what a task is does not change.
    readings.pop();
    let later = merge(&readings, Some(&snapshot));
    assert!(Arc::ptr_eq(&row(&later, "checkout-svc").about, &task.about));
    assert_eq!(row(&later, "checkout-svc").asked, task.asked);
}

/// On Fargate nothing but the endpoint is seen: its sizes are the limits, its counters of the one network count once, and nothing is left for a system row.
#[test]
fn a_sidecar_sees_its_own_task() {
    let joined = RuntimeContainer { network: Network::Of("a".into()), ..named("b", "proxy") };
    let own = Tasks {
        own: Some(TASK.into()),
        tasks: vec![Arc::new(told(Task { arn: Some(arn()), launch: Some(Launch::Fargate), ..Task::default() }, vec![named("a", "app"), joined]))],
        stats: vec![stats("a", 10.0, 700), stats("b", 10.5, 720)],
        ..Tasks::default()
    };
    let gap = Gap { from: SourceName::Docker, what: "containers".into(), why: "there is no socket".into() };
    let no_docker = Arc::new(Reading { from: SourceName::Docker, at: Stamp::default(), told: None, gaps: vec![gap] });
    let snapshot = merge(&[host(Usage { cpu: cpu(9_000), ..Usage::default() }), tree(300, vec![]), no_docker, tasks(SourceName::EcsTask, own)], None);
    assert_eq!((snapshot.scope, snapshot.workloads.len(), snapshot.gaps.len()), (Scope::Task, 1, 0));
    let task = &snapshot.workloads[0];
    assert_eq!((task.limits.cores, task.limits.memory), (Limit::Of(Cores(0.5)), Limit::Of(Bytes(GIB))));
    assert_eq!((received(&task.usage.net), task.usage.cpu.unwrap().is.time), (Some(720), Duration::from_millis(200)));
    let app = one(&snapshot, "a");
    assert_eq!((app.limits.memory, &app.net, &app.usage.net), (Limit::Of(Bytes(GIB)), &NetOwner::Workload, &None));
}

#[test]
fn in_bridge_mode_every_container_has_a_network_and_the_task_their_sum() {
    let own = Tasks {
        own: Some(TASK.into()),
        tasks: vec![Arc::new(told(Task::default(), vec![named("a", "app"), named("b", "proxy")]))],
        stats: vec![stats("a", 10.0, 700), stats("b", 10.5, 720)],
        ..Tasks::default()
    };
    let snapshot = merge(&[tasks(SourceName::EcsTask, own)], None);
    assert_eq!(received(&snapshot.workloads[0].usage.net), Some(1_420));
}

fn machine(id: &str, ec2: &str, market: Option<Market>) -> Arc<ToldInstance> {
    let machine = Instance { id: Some(ec2.into()), kind: Some("m7i.large".into()), market, ..Instance::default() };
    Arc::new(ToldInstance { id: id.into(), provider: Some("blue".into()), agent: Some("1.105.1".into()), machine })
}

fn placed(instance: &str, launch: Launch) -> Task {
    Task { arn: Some(arn()), launch: Some(launch), instance: Some(instance.into()), ..Task::default() }
}

fn by_api(task: Task, instances: Vec<Arc<ToldInstance>>) -> Arc<Reading> {
    tasks(SourceName::Ecs, Tasks { tasks: vec![Arc::new(told(task, vec![]))], instances, ..Tasks::default() })
}

fn imds(id: Option<&str>, market: Option<Market>) -> Arc<Reading> {
    reading(SourceName::Imds, Told::Instance(Instance { id: id.map(Into::into), market, ..Instance::default() }))
}

/// The metadata service is shut: what AWS says of the machine gives its price and its market, and each task on it is on Spot.
#[test]
fn what_aws_says_of_the_machine_stands_in_for_the_metadata_service() {
    let here = || tree(90, vec![slice(40), in_task("a", 40)]);
    let api = by_api(placed("1f73", Launch::Ec2), vec![machine("1f73", "i-1", Some(Market::Spot))]);
    let snapshot = merge(&[here(), api.clone()], None);
    let instance = &snapshot.host.instance;
    assert_eq!((instance.id.as_deref(), instance.kind.as_deref(), instance.market), (Some("i-1"), Some("m7i.large"), Some(Market::Spot)));
    let ecs = snapshot.host.ecs.as_ref().unwrap();
    assert_eq!((ecs.id.as_deref(), ecs.provider.as_deref(), ecs.agent.as_deref()), (Some("1f73"), Some("blue"), Some("1.105.1")));
    assert_eq!(snapshot.workloads[0].about.task.as_ref().unwrap().spot, Some(true));
    let again = merge(&[here(), api], Some(&snapshot));
    assert!(Arc::ptr_eq(&again.workloads[0].about, &snapshot.workloads[0].about), "a steady tick makes no identity");
}

#[test]
fn where_the_metadata_service_and_ec2_differ_the_first_is_believed() {
    for (imds, market, kind, spot) in [
        (imds(Some("i-1"), Some(Market::OnDemand)), Some(Market::OnDemand), Some("m7i.large"), Some(false)),
        (imds(None, Some(Market::CapacityBlock)), Some(Market::CapacityBlock), Some("m7i.large"), Some(false)),
        (imds(Some("i-1"), None), Some(Market::Spot), Some("m7i.large"), Some(true)),
        // Another instance altogether: nothing of what is said of that one holds here.
        (imds(Some("i-2"), None), None, None, None),
    ] {
        let api = by_api(placed("1f73", Launch::Ec2), vec![machine("1f73", "i-1", Some(Market::Spot))]);
        let snapshot = merge(&[tree(90, vec![slice(40), in_task("a", 40)]), api, imds], None);
        assert_eq!((snapshot.host.instance.market, snapshot.host.instance.kind.as_deref()), (market, kind));
        assert_eq!(snapshot.workloads[0].about.task.as_ref().unwrap().spot, spot);
    }
}

#[test]
fn a_label_that_names_a_task_of_elsewhere_moves_this_machine_nowhere() {
    let forged = || docker(vec![labelled("a", "app")]);
    let elsewhere = || by_api(placed("far", Launch::Ec2), vec![machine("far", "i-9", Some(Market::Spot))]);
    // Without a cgroup of its own a task proves nothing of the machine.
    let snapshot = merge(&[tree(90, vec![loose("a", 20)]), forged(), elsewhere()], None);
    assert_eq!((&snapshot.host.instance.id, &snapshot.host.ecs), (&None, &None));
    // The agent says who we are: that task's machine is another one, and its market is that one's.
    let agent = tasks(SourceName::EcsAgent, Tasks { instance: Some("1f73".into()), ..Tasks::default() });
    let on_demand = imds(Some("i-1"), Some(Market::OnDemand));
    let snapshot = merge(&[tree(90, vec![loose("a", 20)]), forged(), elsewhere(), agent, on_demand], None);
    assert_eq!((snapshot.host.instance.id.as_deref(), snapshot.host.instance.market), (Some("i-1"), Some(Market::OnDemand)));
    assert_eq!(row(&snapshot, "checkout").about.task.as_ref().unwrap().spot, Some(true));
}

#[test]
fn the_machine_s_market_says_nothing_of_a_task_on_fargate_or_on_one_s_own_machine() {
    for (launch, spot) in [(Launch::Fargate, None), (Launch::External, None), (Launch::ManagedInstances, Some(true)), (Launch::Ec2, Some(true))] {
        let api = by_api(placed("1f73", launch), vec![]);
        let snapshot = merge(&[tree(90, vec![slice(40), in_task("a", 40)]), api, imds(None, Some(Market::Spot))], None);
        assert_eq!(snapshot.workloads[0].about.task.as_ref().unwrap().spot, spot, "{launch:?}");
    }
}

//! The introspection API of the machine's ECS agent: which task a container is of, where Docker's labels cannot be read; the cluster and the container instance.
//!
//! It listens on port 51678 of the host and answers only who comes over `lo` or the Docker bridge. AWS: "Amazon ECS container introspection".

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::docker::answers::is_id;
use super::lenient::{Object, Rows, Text};
use super::probe::Probe;
use super::{Owner, Reading, RuntimeContainer, Source, Tasks, Told, ToldTask};
use crate::error::Error;
use crate::http::Client;
use crate::identity::{ContainerId, TaskArn, is_name, short_name};
use crate::roots::{Address, Clock};
use crate::snapshot::{ContainerAbout, Gap, Role, SourceName, State, Task, TaskState};
use crate::units::Stamp;

/// Where the agent listens.
pub const PORT: u16 = 51_678;

/// The agent at the first of some addresses that answers.
#[derive(Debug)]
pub struct EcsAgent {
    clients: Vec<Client>,
    clock: Clock,
    /// What the others said shows an ECS instance.
    is_ecs: bool,
    /// Its containers have no labels that say whose they are.
    is_needed: bool,
    known: Tasks,
    /// When the agent said who it is, and when it named its tasks.
    greeted: Option<Instant>,
    named: Option<Instant>,
    gaps: Vec<Gap>,
    probe: Probe,
    /// When it last answered.
    at: Stamp,
}

/// How long one answer may take. It comes from the machine itself.
const PATIENCE: Duration = Duration::from_secs(1);
const GREET_EVERY: Duration = Duration::from_secs(3600);
const NAME_EVERY: Duration = Duration::from_secs(30);
/// A container is 0.5 KiB; stopped tasks stay for three hours.
const ANSWER_LIMIT: usize = 4 << 20;

impl EcsAgent {
    /// A source; nothing is asked before the others show an ECS instance. `addresses` are tried in order.
    pub fn new(addresses: &[Address], clock: Clock) -> EcsAgent {
        let clients = addresses.iter().cloned().map(Client::new).collect();
        EcsAgent {
            clients,
            clock,
            is_ecs: false,
            is_needed: false,
            known: Tasks::default(),
            greeted: None,
            named: None,
            gaps: Vec::new(),
            probe: Probe::default(),
            at: Stamp::default(),
        }
    }

    async fn look(&mut self, by: Instant) -> Reading {
        let now = Instant::now();
        let is_due = |last: Option<Instant>, every: Duration| last.is_none_or(|last| now.saturating_duration_since(last) >= every.mul_f64(0.9));
        let (greets, names) = (is_due(self.greeted, GREET_EVERY), self.is_needed && is_due(self.named, NAME_EVERY));
        if !self.is_needed {
            self.known.tasks.clear();
            self.gaps.clear();
        }
        if (greets || names) && self.probe.asks(now) {
            let answer = self.ask(greets, names, by).await;
            self.gaps.clear();
            match answer {
                Ok(()) => {
                    self.probe.answered(Instant::now());
                    self.at = self.clock.now();
                }
                // Without labels the agent is all there is to name the tasks; else nobody misses it.
                Err(why) if self.is_needed => self.gaps.push(Gap { from: SourceName::EcsAgent, what: "tasks".into(), why: why.into() }),
                Err(_) => {}
            }
        }
        // Which machine it is of stays true; for its tasks an agent that has long been silent does not speak. What was known of them before stays with them.
        let is_believed = !(self.is_needed && self.probe.is_silent());
        let told = (is_believed && self.known != Tasks::default()).then(|| Told::Tasks(self.known.clone()));
        // What is told again because no new word came is as old as it is.
        let at = if told.is_some() && !self.gaps.is_empty() { self.at } else { self.clock.now() };
        Reading { from: SourceName::EcsAgent, at, told, gaps: self.gaps.clone() }
    }

    /// Errors: words for a person.
    async fn ask(&mut self, greets: bool, names: bool, by: Instant) -> Result<(), String> {
        if greets {
            let body = self.get("/v1/metadata", by).await.map_err(|error| silence(&error))?;
            self.greet(&body)?;
        }
        if names {
            let body = self.get("/v1/tasks", by).await.map_err(|error| silence(&error))?;
            self.name(&body)?;
        }
        Ok(())
    }

    /// The first that answers is the one from then on.
    async fn get(&mut self, path: &str, by: Instant) -> Result<Bytes, Error> {
        let mut failed = None;
        for at in 0..self.clients.len() {
            let own = Instant::now().checked_add(PATIENCE).map_or(by, |own| own.min(by));
            match self.clients[at].get(path, &[], own, ANSWER_LIMIT).await {
                Ok(body) => {
                    self.clients.swap(0, at);
                    return Ok(body);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or(Error::Endpoint { address: "the ECS agent".into(), problem: "no address is known".into() }))
    }

    fn greet(&mut self, body: &[u8]) -> Result<(), String> {
        let Ok(Object(Some(said))) = serde_json::from_slice::<Object<Metadata>>(body) else { return Err(ODD.into()) };
        self.known.cluster = short_name(said.cluster.as_str()).map(Arc::from);
        self.known.instance = short_name(said.container_instance_arn.as_str()).map(Arc::from);
        self.known.agent = version(said.version.as_str()).map(Arc::from);
        // One that has not registered yet is asked again at the next turn.
        self.greeted = self.known.instance.is_some().then(Instant::now);
        Ok(())
    }

    fn name(&mut self, body: &[u8]) -> Result<(), String> {
        let Ok(Object(Some(said))) = serde_json::from_slice::<Object<TasksAnswer>>(body) else { return Err(ODD.into()) };
        self.named = Some(Instant::now());
        let mut tasks: Vec<ToldTask> = said.tasks.0.iter().flatten().filter_map(TaskAnswer::told).collect();
        tasks.sort_by(|a, b| a.id.cmp(&b.id));
        tasks.dedup_by(|later, first| later.id == first.id);
        self.known.tasks =
            tasks.into_iter().map(|task| self.known.tasks.iter().find(|before| ***before == task).cloned().unwrap_or_else(|| Arc::new(task))).collect();
        Ok(())
    }
}

const ODD: &str = "what answers on port 51678 is no ECS agent; fix: set ecs.agent to \"\", or to its address";

fn silence(error: &Error) -> String {
    format!(
        "{error}: the tasks here have no names; fix: mount Docker's socket, or let Tare reach the ECS agent: network mode host, or bridge on an agent that takes it"
    )
}

impl Source for EcsAgent {
    fn name(&self) -> SourceName {
        SourceName::EcsAgent
    }

    fn every(&self) -> Duration {
        NAME_EVERY
    }

    fn deadline(&self) -> Duration {
        PATIENCE.saturating_mul(4)
    }

    fn stands_in(&self) -> bool {
        true
    }

    fn hear(&mut self, said: &[Arc<Reading>]) {
        let (mut in_tree, mut labelled) = (false, false);
        for told in said.iter().filter_map(|reading| reading.told.as_ref()) {
            match told {
                Told::Tree(tree) => in_tree |= tree.groups.iter().any(|group| matches!(group.owner, Owner::Task(_))),
                Told::Docker(docker) => labelled |= docker.containers.iter().any(|one| one.task.is_some()),
                _ => {}
            }
        }
        self.is_ecs |= in_tree || labelled;
        let was_needed = std::mem::replace(&mut self.is_needed, in_tree && !labelled);
        if self.is_needed && !was_needed {
            // Nobody waited for it so far.
            self.probe.is_expected();
        }
    }

    fn read(&mut self, by: Instant) -> BoxFuture<'_, Reading> {
        if self.clients.is_empty() || !self.is_ecs {
            let nothing = Reading { from: SourceName::EcsAgent, at: self.clock.now(), told: None, gaps: Vec::new() };
            return Box::pin(async move { nothing });
        }
        Box::pin(self.look(by))
    }
}

/// The gateway of the default route in `/proc/net/route`: from a container on a bridge, the host. Addresses stand there in the machine's own byte order.
pub fn gateway(routes: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, destination, gateway, ..] = fields[..] else { return None };
        let address = u32::from_str_radix(gateway, 16).ok().filter(|address| destination == "00000000" && *address != 0)?;
        Some(Ipv4Addr::from(address.to_ne_bytes()))
    })
}

/// `Amazon ECS Agent - v1.105.1 (8dfceca6)` says `1.105.1`.
fn version(words: &str) -> Option<&str> {
    let version = words.rsplit_once(" - v")?.1.split(' ').next()?;
    (!version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.')).then_some(version)
}

/// amazon-ecs-agent: `ecs-agent/introspection/v1/responses.go`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Metadata {
    cluster: Text,
    container_instance_arn: Text,
    version: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TasksAnswer {
    tasks: Rows<TaskAnswer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskAnswer {
    arn: Text,
    desired_status: Text,
    known_status: Text,
    family: Text,
    version: Text,
    containers: Rows<ContainerAnswer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ContainerAnswer {
    docker_id: Text,
    name: Text,
    image: Text,
    #[serde(rename = "ImageID")]
    image_id: Text,
}

impl TaskAnswer {
    /// `None` for one that has stopped, and for what is no task.
    fn told(&self) -> Option<ToldTask> {
        let arn = TaskArn::parse(self.arn.as_str()).filter(|_| self.known_status.as_str() != "STOPPED")?;
        let about = Task {
            cluster: arn.cluster().map(Arc::from),
            family: self.family.0.clone().filter(|family| is_name(family)),
            revision: self.version.0.clone(),
            arn: Some(arn.clone()),
            ..Task::default()
        };
        let state = TaskState { desired: self.desired_status.0.clone(), known: self.known_status.0.clone(), ..TaskState::default() };
        let mut containers: Vec<_> = self.containers.0.iter().flatten().filter_map(ContainerAnswer::container).collect();
        containers.sort_by(|a, b| a.about.id.cmp(&b.about.id));
        containers.dedup_by(|later, first| later.about.id == first.about.id);
        Some(ToldTask { id: arn.id(), about: Arc::new(about), state: Arc::new(state), containers })
    }
}

impl ContainerAnswer {
    /// It says neither whether it runs nor what it may use: the tree does.
    fn container(&self) -> Option<Arc<RuntimeContainer>> {
        let id = self.docker_id.0.as_deref().filter(|id| is_id(id)).map(ContainerId::from)?;
        let name = self.name.0.clone();
        let role = name.as_deref().map_or(Role::Unknown, Role::of_ecs_name);
        let about = Arc::new(ContainerAbout { id, name, image: self.image.0.clone(), digest: self.image_id.0.clone(), compose: None, role });
        Some(Arc::new(RuntimeContainer::new(about, State::Running)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::STALE;
    use crate::snapshot::{CgroupVersion, Limits, Usage, Weights};
    use crate::sources::metadata::{Answer, Service};
    use crate::sources::{Containers, Group, Tree};

    const TASK: &str = "0f9de17a6465404e8b1b2356dc13c2f8";

    fn arn(id: &str) -> String {
        format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{id}")
    }

    fn answer() -> Value {
        let container = json!({"DockerId": "a1", "DockerName": "ecs-checkout-41-app-cc", "Name": "app", "Image": "shop:7"});
        json!({"Tasks": [
            {"Arn": arn(TASK), "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Family": "checkout", "Version": "41", "Containers": [container, {"DockerId": ""}]},
            {"Arn": arn(&TASK.replace("0f", "1f")), "KnownStatus": "STOPPED", "Family": "migrate", "Version": "3"},
            {"Arn": "arn:aws:ecs", "KnownStatus": "RUNNING"},
            7
        ]})
    }

    fn tree(task: Option<&str>) -> Arc<Reading> {
        let group = |id: &str| Group {
            path: format!("/ecs/{id}").as_str().into(),
            owner: Owner::Task(id.into()),
            start: 1,
            own: Limits::default(),
            limits: Limits::default(),
            weights: Weights::default(),
            usage: Usage::default(),
        };
        let groups = task.into_iter().map(group).collect();
        let told = Told::Tree(Box::new(Tree { version: CgroupVersion::V2, root: Usage::default(), groups, ended: vec![], cut: 0 }));
        Arc::new(Reading { from: SourceName::Cgroup, at: Default::default(), told: Some(told), gaps: vec![] })
    }

    /// Docker with a container whose labels name the task.
    fn docker() -> Arc<Reading> {
        let id: ContainerAnswer = serde_json::from_value(json!({"DockerId": "a1"})).unwrap();
        let task = Some(Arc::new(Task { arn: TaskArn::parse(&arn(TASK)), ..Task::default() }));
        let one = Arc::new(RuntimeContainer { task, ..(*id.container().unwrap()).clone() });
        let told = Told::Docker(Containers { docker: None, containers: vec![one], cut: 0 });
        Arc::new(Reading { from: SourceName::Docker, at: Default::default(), told: Some(told), gaps: vec![] })
    }

    async fn read(agent: &mut EcsAgent, said: &[Arc<Reading>]) -> Reading {
        agent.hear(said);
        agent.read(Instant::now() + Duration::from_secs(60)).await
    }

    fn told(reading: &Reading) -> &Tasks {
        match &reading.told {
            Some(Told::Tasks(tasks)) => tasks,
            other => panic!("{other:?} {:?}", reading.gaps),
        }
    }

    async fn service() -> Service {
        let service = Service::start().await;
        let instance = "arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/1f73d099b914411ca9ff81633b7741dd";
        let metadata = json!({"Cluster": "shop", "ContainerInstanceArn": instance, "Version": "Amazon ECS Agent - v1.105.1 (8dfceca6)"});
        service.says("/v1/metadata", Answer::Text(metadata.to_string()));
        service.says("/v1/tasks", Answer::Text(answer().to_string()));
        service
    }

    #[tokio::test]
    async fn it_is_asked_for_names_only_where_the_labels_are_dark() {
        let service = service().await;
        let nobody = Address::Http("http://127.0.0.1:1".into());
        let mut agent = EcsAgent::new(&[nobody, Address::Http(service.url())], Clock::Fixed(Default::default()));
        let quiet = read(&mut agent, &[tree(None)]).await;
        assert!(quiet.told.is_none() && quiet.gaps.is_empty() && service.asked().is_empty(), "no ECS here: nobody is asked");

        let reading = read(&mut agent, &[tree(Some(TASK))]).await;
        assert_eq!((service.asked(), &reading.gaps), (vec!["GET /v1/metadata".to_owned(), "GET /v1/tasks".to_owned()], &vec![]));
        let tasks = told(&reading);
        assert_eq!((tasks.cluster.as_deref(), tasks.agent.as_deref()), (Some("shop"), Some("1.105.1")));
        assert_eq!(tasks.instance.as_deref(), Some("1f73d099b914411ca9ff81633b7741dd"));
        let [task] = tasks.tasks.as_slice() else { panic!("{:?}", tasks.tasks) };
        assert_eq!((task.about.family.as_deref(), task.containers.len()), (Some("checkout"), 1));
        assert_eq!((task.containers[0].about.name.as_deref(), task.containers[0].about.role), (Some("app"), Role::App));

        let reading = read(&mut agent, &[tree(Some(TASK)), docker()]).await;
        assert_eq!((told(&reading).tasks.len(), service.asked().len()), (0, 0), "the labels say it all");
    }

    #[tokio::test]
    async fn without_it_and_without_labels_the_tasks_have_no_names_and_it_is_said() {
        let mut agent = EcsAgent::new(&[Address::Http("http://127.0.0.1:1".into())], Clock::Fixed(Default::default()));
        let reading = read(&mut agent, &[tree(Some(TASK))]).await;
        assert!(reading.gaps[0].why.contains("network mode host"), "{:?}", reading.gaps);
        assert_eq!(read(&mut agent, &[tree(Some(TASK)), docker()]).await.gaps, [], "with labels it is not missed");
        assert!(!agent.probe.asks(Instant::now()), "and not asked at every turn");
    }

    #[tokio::test]
    async fn one_that_comes_up_later_is_found_and_one_that_falls_silent_is_believed_for_five_minutes() {
        let service = service().await;
        let mut agent = EcsAgent::new(&[Address::Http(service.url())], Clock::Real);
        let said = [tree(Some(TASK))];
        let answers = [Answer::Status(500), Answer::Status(429), Answer::Text("{\"Tasks\": [".into()), Answer::Text("\u{1}".into())];
        for answer in &answers {
            service.says("/v1/metadata", answer.clone());
            agent.probe.is_expected();
            let reading = read(&mut agent, &said).await;
            assert!(reading.told.is_none() && reading.gaps[0].why.contains("; fix: "), "{answer:?}: {:?}", reading.gaps);
            service.asked();
            assert_eq!((read(&mut agent, &said).await.gaps, service.asked().len()), (reading.gaps, 0), "{answer:?}: the reason stays, nobody is asked");
        }
        let metadata = json!({"Cluster": "shop", "ContainerInstanceArn": null, "Version": null});
        service.says("/v1/metadata", Answer::Text(metadata.to_string()));
        agent.probe.wait(Duration::from_secs(30));
        let good = read(&mut agent, &said).await;
        let heard = agent.at;
        assert_eq!((told(&good).tasks.len(), good.gaps.len()), (1, 0));
        for answer in answers {
            service.says("/v1/metadata", answer.clone());
            let reading = read(&mut agent, &said).await;
            assert_eq!((&told(&reading).tasks, reading.gaps.len(), reading.at), (&told(&good).tasks, 1, heard), "{answer:?}: as it was, and of then");
        }
        agent.probe.wait(STALE);
        let reading = read(&mut agent, &said).await;
        assert!(reading.told.is_none() && reading.gaps.len() == 1, "{reading:?}");
    }

    #[tokio::test]
    async fn what_is_no_agent_is_said() {
        let service = service().await;
        service.says("/v1/tasks", Answer::Text("<html>".into()));
        let reading = read(&mut EcsAgent::new(&[Address::Http(service.url())], Clock::Fixed(Default::default())), &[tree(Some(TASK))]).await;
        assert!(reading.gaps[0].why.contains("no ECS agent"), "{:?}", reading.gaps);
    }

    #[test]
    fn the_way_out_is_the_host() {
        let routes = "Iface\tDestination\tGateway \tFlags\nlo\t0000007F\t00000000\t0001\neth0\t00000000\t010011AC\t0003\n";
        assert_eq!(gateway(routes), Some(Ipv4Addr::from(0x0100_11AC_u32.to_ne_bytes())));
        assert_eq!([gateway(""), gateway("Iface\nx"), gateway("I\neth0\t00000000\tzz\t1")], [None; 3]);
        for (words, is) in [("Amazon ECS Agent - v1.105.1 (8dfceca6)", Some("1.105.1")), ("Amazon ECS Agent - v (x)", None), ("v1", None), ("a - vé (x)", None)]
        {
            assert_eq!(version(words), is, "{words}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_answer_names_a_task_or_nothing(at in 0_usize..900, with in "[0-9\"{}\\[\\],:a-z]{0,4}") {
            let text = answer().to_string();
            let at = text.floor_char_boundary(at.min(text.len()));
            let damaged = format!("{}{with}{}", &text[..at], &text[at..]);
            if let Ok(Object(Some(said))) = serde_json::from_str::<Object<TasksAnswer>>(&damaged) {
                for task in said.tasks.0.iter().flatten().filter_map(TaskAnswer::told) {
                    proptest::prop_assert!(task.about.arn.is_some());
                }
            }
        }
    }
}

//! The clock: on every tick collect, report, publish. Starts and stops every task.

mod push;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use collector::Collector;
use collector::roots::{Address, Endpoint, Roots};
use collector::snapshot::{Cut, Gap};
use collector::sources::cgroup::Cgroups;
use collector::sources::docker::sizes::DockerSizes;
use collector::sources::docker::stats::DockerStats;
use collector::sources::docker::{self, DockerSource};
use collector::sources::ecs_agent::{self, EcsAgent};
use collector::sources::ecs_task::EcsTask;
use collector::sources::given::Given;
use collector::sources::host::{self, HostFiles};
use collector::sources::imds::Imds;
use collector::sources::net::NetSpaces;
use collector::sources::{Look, Source};

use crate::config::{Agent as AgentAt, Settings};
use crate::cost::Reckoning;
use crate::cost::book::Book;
use crate::metrics::agent::Agent;
use crate::platform::{Found, Hints};
use crate::report::{Report, Reporter, SourceRow};
use crate::web::{self, Guard, Published, Site};
use push::Push;

/// One look may take this share of the interval before it counts as late.
const SHARE: f64 = 0.8;
/// The time one look gets where no tick presses: a command, a replay.
pub const ONCE: Duration = Duration::from_secs(10);

/// Looks and reports, one after the other.
pub struct Engine {
    collector: Collector,
    reporter: Reporter,
    /// What bounds left out of the last look.
    cut: Cut,
}

impl Engine {
    /// An engine over these roots, without a past.
    pub fn new(roots: &Roots, settings: &Settings) -> Engine {
        let (looks, sources) = sources(roots, settings);
        let region = if roots.recorded.is_some() { None } else { region(|name| std::env::var(name).ok()) };
        let reckoning = Reckoning::new(Book::built_in(), settings.cost.clone(), region.as_deref().map(Into::into));
        let hints = if roots.recorded.is_some() { Hints::default() } else { hints(|name| std::env::var(name).ok(), Path::new(SERVICE_ACCOUNT).exists()) };
        let reporter = Reporter::new(settings.cluster.clone(), settings.linger, reckoning).hinted(hints);
        Engine { collector: Collector::new(looks, sources, roots.clock), reporter, cut: Cut::default() }
    }

    /// One look, reported.
    pub async fn look(&mut self, by: Instant) -> Arc<Report> {
        let snapshot = self.collector.collect(by).await;
        self.cut = snapshot.cut;
        let sources = self.collector.sources().into_iter().map(SourceRow::from).collect();
        self.reporter.report(&snapshot, sources)
    }

    /// What bounds left out, each with the word of `tare_agent_cut_total`: of the last look; rows of what has ended, since the start.
    fn cut(&self) -> [(&'static str, u64); 5] {
        let Cut { cgroups, containers, services, tasks } = self.cut;
        [("cgroups", cgroups), ("containers", containers), ("services", services), ("tasks", tasks), ("ended", self.reporter.forgotten())]
    }
}

/// The region that AWS's own tools would use; an empty variable is none.
fn region(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().filter_map(variable).find(|region| !region.trim().is_empty())
}

/// Where Kubernetes mounts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// What the environment says of the platform; an empty variable says nothing.
fn hints(variable: impl Fn(&str) -> Option<String>, service_account: bool) -> Hints {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    Hints {
        execution: variable("AWS_EXECUTION_ENV"),
        metadata: variable("ECS_CONTAINER_METADATA_URI_V4").is_some(),
        service_host: variable("KUBERNETES_SERVICE_HOST").is_some(),
        service_account,
    }
}

/// Where this machine is looked at, with what the settings say of it.
pub fn live(settings: &Settings) -> Roots {
    let mut roots = Roots::live();
    roots.docker = settings.docker.socket.clone().map_or(Address::Nowhere, Address::Unix);
    roots.imds = if settings.imds.enabled { Address::Http(settings.imds.endpoint.clone()) } else { Address::Nowhere };
    roots.ecs_agent = match &settings.ecs.agent {
        AgentAt::Auto => ecs_agent(),
        AgentAt::At(url) => vec![Address::Http(url.clone())],
        AgentAt::Off => Vec::new(),
    };
    roots.ecs_task = settings.ecs.metadata.then(task_metadata).flatten().unwrap_or(Endpoint::NOWHERE);
    roots
}

/// Where the machine's ECS agent may listen: with the host's network on loopback, from a bridge at the gateway.
fn ecs_agent() -> Vec<Address> {
    let gateway = std::fs::read_to_string("/proc/net/route").ok().and_then(|routes| ecs_agent::gateway(&routes));
    let hosts = [Some(std::net::Ipv4Addr::LOCALHOST), gateway];
    hosts.into_iter().flatten().map(|host| Address::Http(format!("http://{host}:{}", ecs_agent::PORT))).collect()
}

/// The metadata endpoint of our own task, where ECS names one.
fn task_metadata() -> Option<Endpoint> {
    let url = std::env::var(TASK_METADATA).ok().filter(|url| !url.is_empty())?;
    let endpoint = Endpoint::parse(&url);
    if endpoint.is_none() {
        tracing::warn!("{TASK_METADATA} is {url:?}, no URL that can be asked: the task metadata endpoint is not asked; fix: leave it as ECS sets it");
    }
    endpoint
}

/// Set by the ECS agent and by Fargate in every container of a task.
const TASK_METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// A report of each look at a recorded host. Errors: the folder cannot be read.
pub async fn replay(settings: &Settings, dir: &Path) -> Result<Vec<Arc<Report>>> {
    let looks = Roots::replay(dir).with_context(|| format!("cannot replay {}", dir.display()))?;
    let mut reports = Vec::with_capacity(looks.len());
    let mut engine: Option<Engine> = None;
    for roots in &looks {
        let engine = match &mut engine {
            None => engine.insert(Engine::new(roots, settings)),
            Some(engine) => {
                let (looks, sources) = sources(roots, settings);
                engine.collector.replace(looks, sources, roots.clock);
                engine
            }
        };
        reports.push(engine.look(Instant::now() + ONCE).await);
    }
    Ok(reports)
}

/// What reads files on a thread of its own, and what asks over the network.
type Sources = (Vec<Box<dyn Look>>, Vec<Box<dyn Source>>);

fn sources(roots: &Roots, settings: &Settings) -> Sources {
    #[cfg(feature = "aws")]
    if let Some(whole) = settings.aws.cluster.as_ref().filter(|_| roots.recorded.is_none()) {
        return of_cluster(roots, settings, whole);
    }
    let disks = host::Settings { state: settings.host.state.clone(), disk_deadline: settings.host.disk_deadline };
    let daemon = docker::Settings { max_containers: settings.docker.max_containers, relist: settings.docker.relist, linger: settings.linger };
    let looks: Vec<Box<dyn Look>> = vec![
        Box::new(Cgroups::new(roots.clone(), settings.cgroup)),
        Box::new(NetSpaces::new(roots.clone(), settings.network)),
        Box::new(HostFiles::new(roots.clone(), disks)),
    ];
    let mut sources: Vec<Box<dyn Source>> =
        vec![Box::new(DockerSource::new(roots.docker.clone(), roots.clock, daemon)), Box::new(Imds::new(roots.imds.clone(), roots.clock, settings.imds.pace))];
    sources.push(Box::new(EcsAgent::new(&roots.ecs_agent, roots.clock)));
    if roots.ecs_task != Endpoint::NOWHERE {
        sources.push(Box::new(EcsTask::new(roots.ecs_task.clone(), roots.clock, settings.ecs.task.clone())));
    }
    sources.push(Box::new(DockerStats::new(roots.docker.clone(), roots.clock, settings.docker.stats)));
    if let Some(every) = settings.docker.sizes {
        sources.push(Box::new(DockerSizes::new(roots.docker.clone(), roots.clock, every)));
    }
    if let Some(given) = Given::new(roots, settings.host.instance_type.as_deref(), settings.host.region.as_deref()) {
        sources.push(Box::new(given));
    }
    #[cfg(feature = "aws")]
    if roots.recorded.is_none() && settings.aws.asks_ecs(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        let region = settings.host.region.clone().or_else(|| region(|name| std::env::var(name).ok()).map(Into::into));
        let api = crate::aws::sdk::Api::new(settings.aws.tags.clone(), None);
        sources.push(Box::new(crate::aws::ecs::EcsApi::new(Box::new(api), roots.clock, region, settings.cluster.as_deref(), jitter())));
    }
    (looks, sources)
}

/// Of a whole cluster the ECS API is asked and nothing of the machine; our own task, where the settings do not say which cluster is meant.
#[cfg(feature = "aws")]
fn of_cluster(roots: &Roots, settings: &Settings, whole: &crate::aws::services::Settings) -> Sources {
    let region = settings.host.region.clone().or_else(|| region(|name| std::env::var(name).ok()).map(Into::into));
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    if roots.ecs_task != Endpoint::NOWHERE && (whole.cluster.is_none() || region.is_none()) {
        let seldom = collector::sources::ecs_task::Settings { every: Duration::from_secs(60), tags: Vec::new() };
        sources.push(Box::new(EcsTask::new(roots.ecs_task.clone(), roots.clock, seldom)));
    }
    let api = crate::aws::sdk::Api::new(Vec::new(), None);
    sources.push(Box::new(crate::aws::services::ClusterApi::new(Box::new(api), roots.clock, region, whole.clone())));
    (Vec::new(), sources)
}

/// Up to a minute, another one in every process.
#[cfg(feature = "aws")]
fn jitter() -> Duration {
    use std::hash::{BuildHasher, RandomState};
    Duration::from_millis(RandomState::new().hash_one(()) % 60_000)
}

/// Looks on every tick and serves the last report until `stop` ends. `first` is told of the first report.
pub async fn run(settings: &Settings, door: Door, agent: Arc<Agent>, first: impl FnOnce(&Report), stop: impl Future<Output = ()>) -> Result<()> {
    let (publish, reports) = watch::channel(None);
    let server = start_server(settings, door, reports, Arc::clone(&agent), Some(settings.interval * 3))?;
    let mut push = Push::start(settings, &agent)?;
    let mut engine = Engine::new(&live(settings), settings);
    let mut ticks = tokio::time::interval(settings.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut first, mut gaps, mut cut, mut due) = (Some(first), Vec::new(), [0; 5], None::<Instant>);
    let mut place = None;
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            tick = ticks.tick() => {
                let tick = tick.into_std();
                let missed = due.map_or(0, |due| (tick.saturating_duration_since(due).as_secs_f64() / settings.interval.as_secs_f64()).round() as u64);
                due = Some(tick + settings.interval);
                agent.missed_ticks.inc_by(missed);
            }
            () = &mut stop => break,
        }
        let started = Instant::now();
        let look = engine.look(started + settings.interval.mul_f64(SHARE));
        let report = tokio::select! {
            report = look => report,
            () = &mut stop => break,
        };
        agent.ticks.inc();
        agent.tick_duration.observe(started.elapsed().as_secs_f64());
        for ((reason, now), before) in engine.cut().into_iter().zip(&mut cut) {
            // What is left out again at every look counts once.
            agent.count_cut(reason, now.saturating_sub(*before));
            *before = now;
        }
        if let Some(first) = first.take() {
            first(&report);
        }
        speak(&agent, &mut gaps, &report.gaps);
        tell_platform(&mut place, report.host.platform.as_ref());
        if let Some(push) = &mut push {
            push.give(&report);
        }
        publish.send_replace(Some(Published { report, at: started }));
    }
    if let Some(push) = push {
        push.finish().await;
    }
    server.stop().await;
    Ok(())
}

/// Plays all looks of a recorded host, then serves the last until `stop` ends.
pub async fn run_replay(
    settings: &Settings,
    dir: &Path,
    door: Door,
    agent: Arc<Agent>,
    first: impl FnOnce(&Report),
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let mut stop = std::pin::pin!(stop);
    let reports = tokio::select! {
        biased;
        () = &mut stop => return Ok(()),
        reports = replay(settings, dir) => reports?,
    };
    let mut gaps = Vec::new();
    for report in &reports {
        agent.ticks.inc();
        speak(&agent, &mut gaps, &report.gaps);
    }
    let last = reports.into_iter().next_back().context("the recorded host holds no look")?;
    first(&last);
    let (_publish, reports) = watch::channel(Some(Published { report: last, at: Instant::now() }));
    let server = start_server(settings, door, reports, agent, None)?;
    stop.await;
    server.stop().await;
    Ok(())
}

/// Where the server listens, and who stands there.
pub struct Door {
    /// Open already.
    pub listener: TcpListener,
    /// Knows who may come in.
    pub guard: Guard,
}

/// The web server as a task.
struct Server {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn start_server(
    settings: &Settings,
    Door { listener, guard }: Door,
    reports: watch::Receiver<Option<Published>>,
    agent: Arc<Agent>,
    stale: Option<Duration>,
) -> Result<Server> {
    let site = Arc::new(Site::new(reports, agent, settings.web.clone(), guard, stale).choosing(&settings.metrics));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(web::serve(listener, site, async move { drop(stopped.await) }));
    Ok(Server { stop, task })
}

impl Server {
    async fn stop(self) {
        let _ = self.stop.send(());
        if let Err(problem) = self.task.await {
            tracing::error!("the web server broke: {problem}");
        }
    }
}

/// The platform is spoken of at the start and when it changes.
fn tell_platform(before: &mut Option<Arc<Found>>, now: Option<&Arc<Found>>) {
    let word = |found: &Arc<Found>| (found.platform, found.role);
    if before.as_ref().map(word) != now.map(word) {
        if let Some(now) = now {
            tracing::info!("platform: {now} ({})", now.probes);
        }
        *before = now.cloned();
    }
}

/// A gap is spoken of when it opens, when its reason changes and when it closes; a number in the reason that goes up and down is no change.
fn speak(agent: &Agent, before: &mut Vec<Gap>, now: &[Gap]) {
    let words = |gap: &Gap| gap.why.split(|letter: char| letter.is_ascii_digit()).collect::<String>();
    let same = |a: &Gap, b: &Gap| a == b || (a.from, &a.what) == (b.from, &b.what) && words(a) == words(b);
    for gap in now.iter().filter(|gap| !before.iter().any(|before| same(before, gap))) {
        agent.count_gap(gap.from);
        tracing::warn!(source = gap.from.as_str(), "{} not seen: {}", gap.what, gap.why);
    }
    for gap in before.iter().filter(|gap| !now.iter().any(|now| now.from == gap.from && now.what == gap.what)) {
        tracing::info!(source = gap.from.as_str(), "{} seen again", gap.what);
    }
    if before != now {
        *before = now.to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_names_no_region() {
        let of = |aws: Option<&str>, default: Option<&str>| region(|name| if name == "AWS_REGION" { aws } else { default }.map(str::to_owned));
        assert_eq!(of(Some("eu-west-1"), Some("us-west-2")).as_deref(), Some("eu-west-1"));
        assert_eq!(of(Some(""), Some("us-west-2")).as_deref(), Some("us-west-2"));
        assert_eq!(of(Some(" "), None), None);
    }

    #[test]
    fn an_empty_variable_hints_at_nothing() {
        let all = hints(|name| Some(format!("the {name}")), true);
        let execution = Some("the AWS_EXECUTION_ENV".to_owned());
        assert_eq!(all, Hints { execution, metadata: true, service_host: true, service_account: true });
        assert_eq!(hints(|_| Some(" ".into()), false), Hints::default());
    }

    /// Gaps are spoken of when they open or change; what is still missing is not counted again.
    #[test]
    fn a_gap_is_counted_once_while_it_lasts() {
        let gap = |what: &str, why: &str| Gap { from: collector::snapshot::SourceName::Docker, what: what.into(), why: why.into() };
        let (agent, mut before) = (Agent::new(), Vec::new());
        for now in [
            vec![gap("containers", "2 are down")],
            vec![gap("containers", "2 are down")],
            vec![gap("containers", "17 are down")],
            vec![gap("containers", "denied")],
            vec![],
            vec![gap("containers", "2 are down")],
        ] {
            speak(&agent, &mut before, &now);
        }
        let gaps = agent.families().into_iter().find(|family| family.name() == "tare_agent_gaps_total").unwrap();
        assert_eq!(gaps.get_metric()[0].get_counter().get_value(), 3.0);
    }

    #[tokio::test]
    async fn a_folder_that_is_no_recorded_host_is_refused() {
        let settings = crate::config::load(None, [], &[]).unwrap().settings;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("notes.txt"), "nothing of a host").unwrap();
        let said = format!("{:#}", replay(&settings, folder.path()).await.unwrap_err()).replace(&*folder.path().to_string_lossy(), "DIR");
        assert_eq!(said, "cannot replay DIR: DIR: no recorded host: sys, proc, docker and imds are all missing");
    }

    #[tokio::test]
    async fn a_replay_that_is_told_to_stop_stops_before_it_has_played() {
        let settings = crate::config::load(None, [], &[]).unwrap().settings;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sys")).unwrap();
        let done = run_replay(
            &settings,
            folder.path(),
            Door { listener, guard: Guard::new(None).unwrap() },
            Arc::new(Agent::new()),
            |_| panic!("it should not play"),
            std::future::ready(()),
        );
        done.await.unwrap();
    }
}

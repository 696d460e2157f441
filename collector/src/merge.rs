//! Joins what the sources said into one snapshot: who is believed about what. Pure.
//!
//! The tree is believed about usage, limits and who lies in which task, Docker's and ECS's stats about containers that it does not show, Docker and ECS about names
//! and states, the name spaces about who shares a network, the settings about the instance.

mod cluster;
mod draft;
mod growth;
mod network;
mod system;
mod tasks;
mod total;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::identity::{ContainerId, Key, TaskId};
use crate::snapshot::{
    About, Container, ContainerAbout, Cut, Gap, Host, Instance, Launch, Limits, Role, Scope, Seen, Snapshot, SourceName, State, Task, Usage, Workload,
};
use crate::sources::{ContainerStats, Containers, Ended, Group, Owner, Reading, RuntimeContainer, Sizes, Spaces, Stats, Told, Tree, Within};
use crate::units::{Limit, Stamp};

use draft::Draft;
use network::Networks;
use tasks::KnownTasks;

/// One snapshot out of the newest reading of each source. The order of `readings` does not matter.
/// `before` lends its identities, so that a steady tick makes no string, and the system row its counter, so that it never jumps.
pub fn merge(readings: &[Arc<Reading>], before: Option<&Snapshot>) -> Snapshot {
    if let Some(cluster) = cluster::snapshot(readings) {
        return cluster;
    }
    let said = Said::sort_out(readings);
    let past = Past::of(before);
    let seen = seen_containers(&said, &past);
    let networks = network::share(&seen, said.spaces);

    let mut drafts: BTreeMap<Key, Draft<'_>> = BTreeMap::new();
    for group in said.groups() {
        if let Some(key) = own_row(group) {
            drafts.entry(key).or_default().group = Some(group);
        }
    }
    for (index, one) in seen.iter().enumerate() {
        let draft = drafts.entry(one.key()).or_default();
        draft.seen(one.group.map(|group| (&group.usage, growth::of_container(group, one.before))));
        draft.labels = draft.labels.or(one.docker.and_then(|docker| docker.task.as_ref()));
        if draft.containers.is_empty() {
            // Most have one, and a row is large: room for the four that a list begins with would be three in vain.
            draft.containers.reserve_exact(1);
        }
        draft.containers.push(container(one, &said, &networks, index));
    }
    for ended in said.ended() {
        let key = container_of(&ended.group.owner).and_then(|(_, within)| within);
        if let Some(draft) = key.and_then(|key| drafts.get_mut(&key)) {
            draft.seen(Some((&ended.group.usage, growth::of_ended(ended, &past))));
        }
    }
    // One more: the system's.
    let mut workloads: Vec<Workload> = Vec::with_capacity(drafts.len() + 1);
    workloads.extend(drafts.into_iter().map(|(key, draft)| workload(key, draft, &said, &networks, &past)));
    let scope = said.scope();

    let mut host = said.host.cloned().unwrap_or_default();
    host.cgroups = said.tree.map(|tree| tree.version);
    host.docker = said.docker.and_then(|docker| docker.docker.clone());
    host.volumes = said.sizes.and_then(|sizes| sizes.volumes.clone());
    host.instance = said.instance();
    host.ecs = said.tasks.here();
    // A machine is in one cluster, and so are all its tasks.
    let of_task = || workloads.iter().find_map(|workload| workload.about.task.as_ref()?.cluster.clone());
    host.cluster = said.tasks.cluster().or_else(of_task);
    place(&mut host.instance, &workloads);
    if let Some(stats) = said.stats {
        host.cores = host.cores.or(stats.online);
    }
    if scope == Scope::Node && (said.tree.is_some() || said.stats.is_some()) {
        let rest = system::rest(&said, &seen, &host, &past);
        host.attributed = Some(rest.attributed);
        // `Key::System` is the greatest key: the row stands at the end.
        workloads.push(system_row(rest.usage, &past));
    }
    let cut = Cut { cgroups: said.tree.map_or(0, |tree| tree.cut), containers: said.docker.map_or(0, |docker| docker.cut), ..Cut::default() };
    let mut gaps = gaps(readings, &said, workloads.is_empty());
    if scope == Scope::Task {
        // Beside its own task a sidecar sees nothing, and is not meant to.
        gaps.retain(|gap| !matches!(gap.from, SourceName::Cgroup | SourceName::Net | SourceName::Docker | SourceName::DockerStats | SourceName::DockerSizes));
        // Fargate has no metadata service of an instance, and a Managed Instance keeps its own shut.
        let closed = |task: &Workload| matches!(task.about.task.as_ref().and_then(|task| task.launch), Some(Launch::Fargate | Launch::ManagedInstances));
        gaps.retain(|gap| gap.from != SourceName::Imds || !workloads.iter().any(closed));
    }
    if said.stats.is_some() && networks.are_told(&seen) {
        // That no process could be looked at misses nothing where Docker's stats have told the same.
        gaps.retain(|gap| gap.from != SourceName::Net);
    }
    Snapshot { at: said.at, scope, host, workloads, ecs: None, gaps, cut }
}

/// Where a task runs its machine is: its ARN and its zone say what the metadata service may not.
fn place(instance: &mut Instance, workloads: &[Workload]) {
    for task in workloads.iter().filter_map(|workload| workload.about.task.as_ref()) {
        let arn = task.arn.as_ref();
        instance.region = instance.region.take().or_else(|| arn.map(|arn| arn.region().into()));
        instance.account = instance.account.take().or_else(|| arn.map(|arn| arn.account().into()));
        instance.zone = instance.zone.take().or_else(|| task.zone.clone());
        if instance.region.is_some() && instance.account.is_some() && instance.zone.is_some() {
            return;
        }
    }
}

/// What was said, by subject.
#[derive(Default)]
struct Said<'a> {
    at: Stamp,
    tree: Option<&'a Tree>,
    spaces: Option<&'a Spaces>,
    host: Option<&'a Host>,
    docker: Option<&'a Containers>,
    stats: Option<&'a Stats>,
    sizes: Option<&'a Sizes>,
    tasks: KnownTasks<'a>,
    instances: BTreeMap<SourceName, &'a Instance>,
}

impl<'a> Said<'a> {
    fn sort_out(readings: &'a [Arc<Reading>]) -> Said<'a> {
        let (mut said, mut tasks) = (Said::default(), Vec::new());
        for reading in readings {
            said.at = said.at.latest(reading.at);
            match &reading.told {
                Some(Told::Tree(tree)) => said.tree = Some(tree),
                Some(Told::Spaces(spaces)) => said.spaces = Some(spaces),
                Some(Told::Host(host)) => said.host = Some(host),
                Some(Told::Docker(containers)) => said.docker = Some(containers),
                Some(Told::Stats(stats)) => said.stats = Some(stats),
                Some(Told::Sizes(sizes)) => said.sizes = Some(sizes),
                Some(Told::Tasks(told)) => tasks.push((reading.from, told)),
                Some(Told::Instance(instance)) => drop(said.instances.insert(reading.from, instance)),
                Some(Told::Cluster(_)) | None => {}
            }
        }
        said.tasks = KnownTasks::new(&tasks, said.tree);
        said.tasks.market = said.instance().market;
        said
    }

    fn groups(&self) -> &'a [Group] {
        self.tree.map_or(&[], |tree| &tree.groups)
    }

    fn ended(&self) -> &'a [Ended] {
        self.tree.map_or(&[], |tree| &tree.ended)
    }

    /// A sidecar that sees neither the machine's tree nor its runtime is there for its own task.
    fn scope(&self) -> Scope {
        let alone = self.groups().is_empty() && self.docker.is_none();
        if alone && self.tasks.own().is_some() { Scope::Task } else { Scope::Node }
    }

    /// A task's size as a limit: what stands in where its cgroup is not seen.
    fn size(&self, key: Option<&Key>) -> Option<Limits> {
        let Some(Key::Task(id)) = key else { return None };
        let size = self.tasks.state(id, None)?.size;
        let limits = Limits { cores: size.cores.map_or(Limit::Unknown, Limit::Of), memory: size.memory.map_or(Limit::Unknown, Limit::Of), ..Limits::default() };
        (limits != Limits::default()).then_some(limits)
    }

    /// Field by field: the settings first, then the metadata service, then what AWS says of the machine that this is.
    fn instance(&self) -> Instance {
        // `SourceName::Settings` sorts after `Imds`.
        let near = self.instances.values().rev().fold(Instance::default(), |best, one| best.or(one));
        let machine = self.tasks.machine().map(|machine| &machine.machine);
        match machine.filter(|machine| near.id.is_none() || machine.id.is_none() || near.id == machine.id) {
            Some(machine) => near.or(machine),
            None => near,
        }
    }
}

/// The snapshot before, for finding things in it.
#[derive(Default)]
struct Past<'a> {
    snapshot: Option<&'a Snapshot>,
    workloads: HashMap<&'a Key, &'a Workload>,
    containers: HashMap<&'a ContainerId, (&'a Workload, &'a Container)>,
}

impl<'a> Past<'a> {
    fn of(before: Option<&'a Snapshot>) -> Past<'a> {
        let Some(snapshot) = before else { return Past::default() };
        let workloads = snapshot.workloads.iter().map(|workload| (&workload.about.key, workload)).collect();
        let containers = snapshot.workloads.iter().flat_map(|workload| workload.containers.iter().map(move |one| (&one.about.id, (workload, one)))).collect();
        Past { snapshot: Some(snapshot), workloads, containers }
    }

    /// See `Host::attributed`.
    fn attributed(&self) -> Option<Duration> {
        self.snapshot?.host.attributed
    }

    /// The container that owns a cgroup.
    fn container(&self, owner: &Owner) -> Option<&'a Container> {
        let (id, _) = container_of(owner)?;
        self.containers.get(id).map(|(_, one)| *one)
    }

    /// The identity of before where it is the same, else the new one.
    fn about(&self, key: &Key, name: &str, project: Option<&Arc<str>>, task: Option<Arc<Task>>) -> Arc<About> {
        let same = |about: &&Arc<About>| *about.name == *name && about.project.as_ref() == project && about.task == task;
        let before = self.workloads.get(key).map(|workload| &workload.about).filter(same);
        before.cloned().unwrap_or_else(|| Arc::new(About { key: key.clone(), name: name.into(), project: project.cloned(), task: task.clone() }))
    }
}

/// One container, by the tree, by Docker or by both.
struct SeenContainer<'a> {
    id: &'a ContainerId,
    group: Option<&'a Group>,
    /// Its end, where it is not there any more and somebody saw it go.
    ended: Option<&'a Ended>,
    docker: Option<&'a RuntimeContainer>,
    /// What ECS says of it.
    ecs: Option<&'a RuntimeContainer>,
    /// Where the tree does not show it and it runs.
    stats: Option<&'a ContainerStats>,
    before: Option<&'a Container>,
    about: Arc<ContainerAbout>,
    /// The task or pod it lies in.
    within: Option<Key>,
    /// The whole tree was read.
    tree: bool,
}

impl<'a> SeenContainer<'a> {
    fn key(&self) -> Key {
        self.within.clone().unwrap_or_else(|| Key::Loose(self.id.clone()))
    }

    /// As Docker says, but for one that Docker still calls running while the cgroup it was seen in is gone: the tree knows first, and Docker may be away.
    fn state(&self) -> State {
        let said = self.runtime().map_or(State::Running, |runtime| runtime.state);
        let seen_before = || self.before.is_some_and(|before| before.cgroup.is_some() || before.state == State::Ended);
        let left = self.ended.is_some() || self.group.is_none() && self.tree && seen_before();
        if left && matches!(said, State::Running | State::Paused) { State::Ended } else { said }
    }

    /// What was last read: of one that has ended the newest of its closing record and the look before, figure by figure.
    fn usage(&self) -> Usage {
        let Some(ended) = self.ended else { return self.group.map(|group| &group.usage).or(self.stats.map(|stats| &stats.usage)).cloned().unwrap_or_default() };
        let last = ended.group.usage.clone();
        match self.before.filter(|before| ended.group.start == 0 || before.start == ended.group.start).map(|before| Usage::clone(&before.usage)) {
            None => last,
            Some(before) => Usage { cpu: newest(last.cpu, before.cpu), memory: newest(last.memory, before.memory), io: newest(last.io, before.io), ..before },
        }
    }

    /// Docker's word, else ECS's.
    fn runtime(&self) -> Option<&'a RuntimeContainer> {
        self.docker.or(self.ecs)
    }

    /// Names one start of it where only stats count: the moment it started.
    fn run(&self) -> Option<u64> {
        self.stats?;
        u64::try_from(self.runtime()?.started?.as_nanosecond()).ok()
    }

    fn lives(&self) -> bool {
        self.group.is_some() || matches!(self.state(), State::Running | State::Paused)
    }
}

fn newest<T>(last: Option<Seen<T>>, before: Option<Seen<T>>) -> Option<Seen<T>> {
    match (last, before) {
        (Some(last), Some(before)) => Some(if before.at.since(&last.at).is_some() { before } else { last }),
        (last, before) => last.or(before),
    }
}

/// All containers, sorted by id, each once.
fn seen_containers<'a>(said: &Said<'a>, past: &Past<'a>) -> Vec<SeenContainer<'a>> {
    let mut groups: Vec<(&ContainerId, &Group, Option<Key>)> =
        said.groups().iter().filter_map(|group| Some((group, container_of(&group.owner)?))).map(|(group, (id, within))| (id, group, within)).collect();
    // Two cgroups of one container cannot be; should it happen, the smaller path counts.
    groups.sort_unstable_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
    groups.dedup_by(|later, first| later.0 == first.0);
    let mut named: Vec<&RuntimeContainer> = said.docker.map(|docker| docker.containers.iter().map(|one| &**one).collect()).unwrap_or_default();
    // Of one that both know Docker's word stands first, and stays.
    named.extend(said.tasks.containers());
    named.sort_by(|a, b| a.about.id.cmp(&b.about.id));
    named.dedup_by(|later, first| later.about.id == first.about.id);
    let slices = said.groups().iter().filter_map(|group| if let Owner::Task(task) = &group.owner { Some(task) } else { None }).collect();
    // Of several runs the last one counts.
    let mut ended: HashMap<&ContainerId, &Ended> = said.ended().iter().filter_map(|ended| Some((container_of(&ended.group.owner)?.0, ended))).collect();

    let mut seen = Vec::with_capacity(groups.len().max(named.len()));
    let (mut groups, mut named) = (groups.into_iter().peekable(), named.into_iter().peekable());
    loop {
        let (group, runtime) = match (groups.peek(), named.peek()) {
            (Some((id, ..)), Some(runtime)) => match (*id).cmp(&runtime.about.id) {
                std::cmp::Ordering::Less => (groups.next(), None),
                std::cmp::Ordering::Equal => (groups.next(), named.next()),
                std::cmp::Ordering::Greater => (None, named.next()),
            },
            (Some(_), None) => (groups.next(), None),
            (None, Some(_)) => (None, named.next()),
            (None, None) => break,
        };
        let Some(id) = group.as_ref().map(|(id, ..)| *id).or(runtime.map(|runtime| &runtime.about.id)) else { break };
        let told = said.tasks.container(id);
        let docker = runtime.filter(|one| !told.is_some_and(|(_, ecs)| std::ptr::eq(*one, ecs)));
        let end = ended.remove(id).filter(|_| group.is_none());
        let earlier = past.containers.get(id).copied();
        let before = earlier.map(|(_, one)| one);
        let by_path = match &group {
            Some((.., within)) => within.clone(),
            None if end.is_some() => end.and_then(|end| container_of(&end.group.owner)?.1),
            // Its cgroup is gone; it still belongs where it was seen to run.
            None => earlier.map(|(workload, _)| &workload.about.key).filter(|key| matches!(key, Key::Task(_) | Key::Pod(_))).cloned(),
        };
        let within = by_path.or_else(|| task_by_word(told, docker, group.is_some(), &slices));
        let runs = runtime.is_some_and(|runtime| matches!(runtime.state, State::Running | State::Paused));
        let is_measured = group.is_none() && end.is_none() && runs;
        let stats = said.stats.map_or(&[][..], |stats| &stats.containers);
        let stats = stats.binary_search_by(|one| one.id.cmp(id)).ok().map(|at| &stats[at]).or_else(|| said.tasks.stats(id)).filter(|_| is_measured);
        seen.push(SeenContainer {
            id,
            stats,
            group: group.map(|(_, group, _)| group),
            ended: end,
            docker,
            ecs: told.map(|(_, ecs)| ecs),
            before,
            about: identity(id, runtime, before),
            within,
            // Of a tree that was cut nobody can say what is not in it.
            tree: said.tree.is_some_and(|tree| tree.cut == 0),
        });
    }
    // Known by its end alone. Of one that was neither followed nor seen before there is nothing to say.
    for (id, end) in ended {
        let before = past.containers.get(id).map(|(_, one)| *one);
        if before.is_some() || end.made.is_some() {
            let within = container_of(&end.group.owner).and_then(|(_, within)| within);
            seen.push(SeenContainer {
                id,
                group: None,
                ended: Some(end),
                docker: None,
                ecs: None,
                stats: None,
                before,
                about: identity(id, None, before),
                within,
                tree: true,
            });
        }
    }
    seen.sort_by(|a, b| a.id.cmp(b.id));
    seen
}

/// The task that a container belongs to where its path names none. ECS knows; its labels may be anybody's, so that of a task with a cgroup of its own only what lies
/// in there is part.
fn task_by_word(told: Option<(&TaskId, &RuntimeContainer)>, docker: Option<&RuntimeContainer>, is_elsewhere: bool, slices: &HashSet<&TaskId>) -> Option<Key> {
    let by_label = || docker?.task.as_ref()?.arn.as_ref().map(|arn| arn.id()).filter(|task| !(is_elsewhere && slices.contains(task)));
    told.map(|(task, _)| task.clone()).or_else(by_label).map(Key::Task)
}

fn container_of(owner: &Owner) -> Option<(&ContainerId, Option<Key>)> {
    let Owner::Container(id, within) = owner else { return None };
    let within = match within {
        Within::Nothing => None,
        Within::Task(task) => Some(Key::Task(task.clone())),
        Within::Pod(pod) => Some(Key::Pod(pod.clone())),
    };
    Some((id, within))
}

/// A name once learnt for an id stays: Docker may be away for a while, the id is the same container.
fn identity(id: &ContainerId, runtime: Option<&RuntimeContainer>, before: Option<&Container>) -> Arc<ContainerAbout> {
    match (runtime.map(|runtime| &runtime.about), before.map(|before| &before.about)) {
        (Some(now), Some(then)) if Arc::ptr_eq(now, then) || now == then => then.clone(),
        (Some(now), _) => now.clone(),
        (None, Some(then)) => then.clone(),
        (None, None) => Arc::new(ContainerAbout { id: id.clone(), name: None, image: None, digest: None, compose: None, role: Role::Unknown }),
    }
}

/// The row of a cgroup that is a workload by itself.
fn own_row(group: &Group) -> Option<Key> {
    match &group.owner {
        Owner::Container(..) => None,
        Owner::Task(task) => Some(Key::Task(task.clone())),
        Owner::Pod(pod) => Some(Key::Pod(pod.clone())),
        Owner::Unit(_) => Some(Key::Unit(group.path.clone())),
    }
}

fn container(one: &SeenContainer<'_>, said: &Said<'_>, networks: &Networks<'_>, index: usize) -> Container {
    let (group, runtime, ecs, ended) = (one.group, one.runtime(), one.ecs, one.ended);
    let state = one.state();
    let mut stand_in = runtime.map(|runtime| runtime.limits).unwrap_or_default();
    if let Some(stats) = one.stats {
        stand_in.memory = stand_in.memory.tightest(stats.limits.memory);
        stand_in.pids = stand_in.pids.tightest(stats.limits.pids);
    }
    // Nobody reads the limits of one that is going; those of the look before were its.
    let last = one.before.filter(|_| ended.is_some());
    let (own, limits) = match (group, last) {
        (Some(group), _) => (group.own, group.limits),
        (None, Some(last)) => (last.own, last.limits),
        (None, None) => (stand_in, said.size(one.within.as_ref()).map_or(stand_in, |size| stand_in.tightest(size))),
    };
    let start = group.or(ended.map(|ended| &ended.group)).map(|group| group.start).filter(|start| group.is_some() || *start > 0);
    Container {
        about: one.about.clone(),
        start: start.or(one.run()).or(one.before.map(|before| before.start)).unwrap_or_default(),
        cgroup: group.or(ended.map(|ended| &ended.group)).map(|group| group.path.clone()),
        state,
        health: runtime.and_then(|runtime| runtime.health),
        // Where a task has a restart policy it is the ECS agent that starts a container again, and Docker counts none of it.
        restarts: ecs.and_then(|ecs| ecs.restarts).or(runtime.and_then(|runtime| runtime.restarts)),
        exit: runtime.and_then(|runtime| runtime.exit),
        oom: runtime.and_then(|runtime| runtime.oom),
        started: runtime.and_then(|runtime| runtime.started).or_else(|| ended?.made?.wall),
        ended: runtime.and_then(|runtime| runtime.ended).or_else(|| ended?.gone.wall.filter(|_| state >= State::Exited)),
        asked: runtime.map(|runtime| runtime.asked).unwrap_or_default(),
        own,
        limits,
        weights: group.map(|group| group.weights).or(last.map(|last| last.weights)).unwrap_or_default(),
        net: networks.owner(index),
        usage: Arc::new(Usage { net: networks.of_container(index), sockets: networks.sockets_of_container(index), ..one.usage() }),
        disk: said.sizes.and_then(|sizes| sizes.layer(one.id)).or(one.before.and_then(|before| before.disk)),
    }
}

fn workload(key: Key, draft: Draft<'_>, said: &Said<'_>, networks: &Networks<'_>, past: &Past<'_>) -> Workload {
    let before = past.workloads.get(&key).copied();
    let last = draft.last(before);
    let remainder = draft.remainder(before).or(last.as_ref().map(|(_, remainder)| *remainder));
    let Draft { group, containers, labels, .. } = draft;
    let state = if let Key::Task(id) = &key { said.tasks.state(id, before.and_then(|before| before.task.as_ref())) } else { None };
    let about = match (&key, group.map(|group| &group.owner), containers.as_slice()) {
        (Key::Loose(_), _, [one]) => {
            let compose = one.about.compose.as_ref();
            past.about(&key, compose.map_or(one.about.label(), |compose| &compose.service), compose.map(|compose| &compose.project), None)
        }
        (_, Some(Owner::Unit(word)), _) => past.about(&key, word, None, None),
        (Key::Task(id), ..) => {
            let task = said.tasks.about(id, labels, before.and_then(|before| before.about.task.as_ref()));
            let name = task.name().cloned();
            past.about(&key, name.as_deref().unwrap_or(id.as_str()), None, Some(task))
        }
        (Key::Pod(pod), ..) => past.about(&key, pod.as_str(), None, None),
        (Key::Loose(id), ..) => past.about(&key, id.short(), None, None),
        (Key::Unit(path), ..) => past.about(&key, path.as_str(), None, None),
        (Key::System, ..) => past.about(&key, SYSTEM, None, None),
    };
    let runs = containers.iter().map(|one| one.state).min().unwrap_or(State::Running);
    let over = runs >= State::Exited;
    let (own, limits, usage) = match (group, containers.as_slice()) {
        (None, [one]) if matches!(key, Key::Loose(_)) => (one.own, one.limits, one.usage.clone()),
        (group, all) => {
            let (own, limits, mut usage) = match (group, said.size(Some(&key))) {
                (Some(group), _) => (group.own, group.limits, group.usage.clone()),
                (None, Some(size)) => (size, size, total::usage(all)),
                (None, None) => (total::limits(all, |one| one.own), total::limits(all, |one| one.limits), total::usage(all)),
            };
            (usage.net, usage.sockets) = (networks.of_workload(&key), networks.sockets_of_workload(&key));
            // The processes of a task or pod live in its containers' cgroups.
            if usage.processes.is_none() && !all.is_empty() {
                (usage.processes, usage.files) = total::processes(all);
            }
            if let Some((last, _)) = last {
                usage = Usage { net: usage.net, sockets: usage.sockets, ..last };
            }
            (own, limits, Arc::new(usage))
        }
    };
    // A loose container is its own cgroup.
    let (cgroup, start) = match (group, containers.as_slice()) {
        (Some(group), _) => (Some(group.path.clone()), group.start),
        (None, [one]) if matches!(about.key, Key::Loose(_)) => (one.cgroup.clone(), one.start),
        _ => (None, 0),
    };
    Workload {
        about,
        cgroup,
        start,
        state: runs,
        started: containers.iter().filter_map(|one| one.started).min(),
        ended: if over { containers.iter().filter_map(|one| one.ended).max() } else { None },
        asked: state.as_ref().map_or_else(|| total::asked(&containers), |state| state.size.or(total::asked(&containers))),
        task: state,
        own,
        limits,
        usage,
        remainder,
        containers,
    }
}

/// The name of the system row.
const SYSTEM: &str = "system";

fn system_row(usage: Usage, past: &Past<'_>) -> Workload {
    Workload { usage: Arc::new(usage), ..workload(Key::System, Draft::default(), &Said::default(), &Networks::default(), past) }
}

/// All gaps once, sorted, and what only the whole can tell: that bounds cut something, that there is nothing at all.
fn gaps(readings: &[Arc<Reading>], said: &Said<'_>, empty: bool) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = readings.iter().flat_map(|reading| &reading.gaps).cloned().collect();
    let mut say = |from, why: String| gaps.push(Gap { from, what: "containers".into(), why: why.into() });
    if let Some(cut) = said.tree.map(|tree| tree.cut).filter(|cut| *cut > 0) {
        say(SourceName::Cgroup, format!("{cut} cgroups left out: there are more than the settings allow"));
    }
    if let Some(cut) = said.docker.map(|docker| docker.cut).filter(|cut| *cut > 0) {
        say(SourceName::Docker, format!("{cut} containers left out: there are more than the settings allow"));
    }
    if said.tree.is_none() && empty {
        say(SourceName::Cgroup, "no cgroup tree was read and no runtime named a container".into());
    }
    gaps.sort_unstable();
    gaps.dedup();
    gaps
}

#[cfg(test)]
mod tests;

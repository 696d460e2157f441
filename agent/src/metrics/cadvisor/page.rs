//! A report as cAdvisor would tell it: a row for the root, each unit, task, pod and container, and what lies below.
//!
//! **Labels.** `id` is the cgroup's path, as in cAdvisor; a container has its `name` (Docker's; in a pod its id, as the kubelet has it), `image` and `container`, so
//! that both `name=~".+"` and `container!=""` find it and nothing else. `pod` is the task's id or the pod's uid until it is named; a container of its own is a pod of
//! its own in the name space of its compose project. `node` and `cluster` are added by Tare, as no scrape of the kubelet is there to do it.
//!
//! **Sums.** A task's or pod's row stands beside those of its containers and has no `container`, no `image` and no `name`. The network stands where its name space
//! does: at the task or pod, else at the container. What has ended is gone, as its cgroup is.
//!
//! **Left out.** cAdvisor tells its process metrics only when it is asked to (`--disable_metrics` names them by default), the kubelet always does: so they are told
//! where there are pods, and where the user's choice names what it wants. They are a tenth of a container's text.

use std::fmt::Write;
use std::sync::Arc;

use collector::identity::{CgroupPath, Key};
use collector::snapshot::{About as Who, CgroupVersion, Container, ContainerAbout, Device, Limits, Seen, State, Usage};

use super::{BLKIO, DEVICES, DISKS, FAILURES, GROUP, Group, HUGE, INTERFACES, MACHINE, POD_INFO, Process, ROOM, VERSION};
use crate::metrics::block::{Block, Part, RowKey};
use crate::metrics::choice::Choice;
use crate::metrics::families::has_ended;
use crate::metrics::labels::LabelSet;
use crate::metrics::page::Page;
use crate::report::{ContainerRow, HostRow, Report, WorkloadRow};

/// The page.
pub struct Cgroups {
    place: Place,
    groups: Block,
    failures: Block,
    huge: Block,
    devices: Block,
    blkio: Block,
    interfaces: Block,
    disks: Block,
    room: Block,
    machine: Block,
    version: Block,
    pods: Block,
}

/// What stands in the labels of a whole page.
#[derive(Default)]
struct Place {
    cluster: Option<Arc<str>>,
    node: Option<Arc<str>>,
    boot_id: Option<Arc<str>>,
    choice: Arc<Choice>,
}

/// One cgroup that is told.
enum Subject<'a> {
    Root(&'a HostRow),
    Parent(&'a WorkloadRow),
    Container(&'a WorkloadRow, &'a ContainerRow),
}

impl Cgroups {
    /// A page without rows that tells what is wanted.
    pub fn of(choice: &Arc<Choice>) -> Cgroups {
        Cgroups {
            place: Place { choice: Arc::clone(choice), ..Place::default() },
            groups: Block::of(&GROUP).chosen(choice),
            failures: Block::of(&FAILURES).chosen(choice),
            huge: Block::of(&HUGE).chosen(choice),
            devices: Block::of(&DEVICES).chosen(choice),
            blkio: Block::of(&BLKIO).chosen(choice),
            interfaces: Block::of(&INTERFACES).chosen(choice),
            disks: Block::of(&DISKS).chosen(choice),
            room: Block::of(&ROOM).chosen(choice),
            machine: Block::of(&MACHINE).chosen(choice),
            version: Block::info(&VERSION).chosen(choice),
            pods: Block::of(&POD_INFO).chosen(choice),
        }
    }

    fn blocks_mut(&mut self) -> [&mut Block; 11] {
        let Cgroups { groups, failures, huge, devices, blkio, interfaces, disks, room, machine, version, pods, .. } = self;
        [groups, failures, huge, devices, blkio, interfaces, disks, room, machine, version, pods]
    }

    fn start(&mut self, report: &Report) {
        let host = &report.host.seen;
        let moved = (&self.place.cluster, &self.place.node, &self.place.boot_id) != (&report.cluster, &host.name, &host.boot_id);
        if moved {
            (self.place.cluster, self.place.node, self.place.boot_id) = (report.cluster.clone(), host.name.clone(), host.boot_id.clone());
        }
        for block in self.blocks_mut() {
            block.start(moved);
        }
    }

    /// Labels before values: two rows that nothing tells apart are found before either has one.
    fn name_rows(&mut self, report: &Report) {
        let Cgroups { place, groups, pods, .. } = self;
        let before = [groups.version().0, pods.version().0];
        for subject in subjects(report) {
            groups.row(subject.key(), |labels| place.push_group(&subject, labels));
        }
        for workload in report.workloads.iter().filter(|row| is_like_a_pod(row)) {
            pods.row(pod_key(workload), |labels| place.push_pod_info(workload, labels));
        }
        for (block, before) in [groups, pods].into_iter().zip(before) {
            if block.version() != (before, 0) {
                block.silence_twins();
            }
        }
    }

    fn fill_group(&mut self, at: usize, subject: &Subject<'_>, report: &Report, v2: bool, processes: bool) {
        let usage = subject.usage();
        let mut group = subject.group(report, v2);
        group.process = group.process.filter(|_| processes);
        self.groups.put(0, &GROUP, at, &group, false);
        let Some(above) = self.groups.above(at) else { return };
        if let Some(memory) = &group.memory {
            let first = self.failures.used();
            for scope in ["container", "hierarchy"] {
                let row = self.failures.row_below(above, first, "scope", Part::Word(scope));
                self.failures.put(0, &FAILURES, row, memory, false);
            }
        }
        let first = self.huge.used();
        for pages in usage.huge.iter().flat_map(|huge| &huge.is) {
            let row = self.huge.row_below(above, first, "pagesize", Part::PageSize(pages.size));
            self.huge.put(0, &HUGE, row, pages, false);
        }
        let (first, first_blkio) = (self.devices.used(), self.blkio.used());
        for device in usage.io.iter().flat_map(|io| &io.is) {
            let name = device_name(report, device.device);
            let row = self.devices.row_below(above, first, "device", Part::Disk(device.device, name.cloned(), false));
            self.devices.put(0, &DEVICES, row, device, false);
            let row = self.blkio.row_below(above, first_blkio, "device", Part::Disk(device.device, name.cloned(), true));
            self.blkio.put(0, &BLKIO, row, device, false);
        }
        let first = self.interfaces.used();
        for interface in usage.net.iter().flat_map(|net| &net.is) {
            let row = self.interfaces.row_below(above, first, "interface", Part::Name(interface.name.clone()));
            self.interfaces.put(0, &INTERFACES, row, interface, false);
        }
        if let Subject::Root(HostRow { seen: host, .. }) = subject
            && let Some(machine) = &host.machine
        {
            for disk in machine.disks.iter().flat_map(|disks| &disks.is) {
                let row = self.disks.row_below(above, 0, "device", Part::Disk(disk.device, Some(disk.name.clone()), false));
                self.disks.put(0, &DISKS, row, disk, false);
            }
            for system in machine.filesystems.iter().filter(|system| system.room.is_some()) {
                let row = self.room.row_below(above, 0, "device", Part::Name(system.source.clone()));
                self.room.put(0, &ROOM, row, system, false);
            }
        }
    }

    fn fill_machine(&mut self, host: &HostRow) {
        let Cgroups { place, machine, version, .. } = self;
        let row = machine.row(RowKey::Host, |labels| {
            place.push(labels);
            if !place.choice.drops("boot_id") {
                labels.push("boot_id", place.boot_id.as_deref().unwrap_or_default());
            }
        });
        machine.put(0, &MACHINE, row, host, false);
        if let Some(above) = machine.above(row) {
            version.tell(above, "", &VERSION, host, None);
        }
    }
}

impl Page for Cgroups {
    fn fill(&mut self, report: &Report) {
        self.start(report);
        self.name_rows(report);
        let v2 = report.host.seen.cgroups == Some(CgroupVersion::V2);
        let processes = self.place.choice.names() || report.workloads.iter().any(|row| matches!(row.seen.about.key, Key::Pod(_)));
        for (at, subject) in subjects(report).enumerate() {
            self.fill_group(at, &subject, report, v2, processes);
        }
        for at in 0..self.pods.used() {
            self.pods.put(0, &POD_INFO, at, &(), false);
        }
        self.fill_machine(&report.host);
    }

    fn empty(&mut self) {
        self.blocks_mut().into_iter().for_each(Block::empty);
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        let Cgroups { groups, failures, huge, devices, blkio, interfaces, disks, room, machine, version, pods, .. } = self;
        [groups, failures, huge, devices, blkio, interfaces, disks, room, machine, version, pods].into_iter()
    }

    fn cut(&self) -> usize {
        self.groups.cut() + self.pods.cut()
    }

    fn external(&self) -> &str {
        self.place.choice.external()
    }
}

/// In the order of the report; what has ended, and what is left of the host, has no cgroup.
fn subjects(report: &Report) -> impl Iterator<Item = Subject<'_>> {
    let rows = report.workloads.iter().filter(|row| !has_ended(row.seen.state)).flat_map(|row| {
        let is_parent = match row.seen.about.key {
            Key::Task(_) | Key::Pod(_) | Key::Unit(_) => true,
            // It is its container.
            Key::Loose(_) => false,
            Key::System => false,
        };
        let containers = row.containers.iter().filter(|one| is_there(&one.seen));
        is_parent.then_some(Subject::Parent(row)).into_iter().chain(containers.map(move |one| Subject::Container(row, one)))
    });
    std::iter::once(Subject::Root(&report.host)).chain(rows)
}

/// Made and not yet started, or between two runs, it has neither a cgroup nor figures.
fn is_there(container: &Container) -> bool {
    let known = container.cgroup.is_some() || container.usage.cpu.is_some() || container.usage.memory.is_some();
    known && !has_ended(container.state) && container.state != State::Created
}

/// What the mixin's rules find no pod for.
fn is_like_a_pod(row: &WorkloadRow) -> bool {
    matches!(row.seen.about.key, Key::Task(_) | Key::Loose(_)) && row.containers.iter().any(|one| is_there(&one.seen))
}

fn pod_key(row: &WorkloadRow) -> RowKey {
    RowKey::Group(None, row.seen.about.clone(), row.containers.first().map(|one| one.seen.about.clone()))
}

/// Its name, where the machine told it.
fn device_name(report: &Report, device: Device) -> Option<&Arc<str>> {
    let disks = report.host.seen.machine.as_ref()?.disks.as_ref()?;
    disks.is.iter().find(|disk| disk.device == device).map(|disk| &disk.name)
}

impl Subject<'_> {
    fn key(&self) -> RowKey {
        match self {
            Subject::Root(_) => RowKey::Host,
            Subject::Parent(row) => RowKey::Group(row.seen.cgroup.clone(), row.seen.about.clone(), None),
            Subject::Container(row, one) => RowKey::Group(one.seen.cgroup.clone(), row.seen.about.clone(), Some(one.seen.about.clone())),
        }
    }

    fn usage(&self) -> &Usage {
        match self {
            Subject::Root(host) => &host.seen.usage,
            Subject::Parent(row) => &row.seen.usage,
            Subject::Container(_, one) => &one.seen.usage,
        }
    }

    fn group(&self, report: &Report, v2: bool) -> Group {
        let usage = self.usage();
        let (started, limits, leaf) = match self {
            Subject::Root(host) => (host.seen.booted, Limits::default(), false),
            Subject::Parent(row) => (row.seen.started, row.seen.own, matches!(row.seen.about.key, Key::Unit(_))),
            Subject::Container(_, one) => (one.seen.started, one.seen.own, true),
        };
        let (shares, health) = match self {
            Subject::Container(_, one) => (one.seen.weights.cpu_shares, one.seen.health),
            Subject::Root(_) | Subject::Parent(_) => (None, None),
        };
        fn is<T: Copy>(seen: Option<Seen<T>>) -> Option<T> {
            seen.map(|seen| seen.is)
        }
        Group {
            seen: report.at.wall,
            started,
            limits,
            shares,
            health,
            v2,
            leaf,
            cpu: is(usage.cpu),
            memory: is(usage.memory),
            pressure: is(usage.pressure),
            process: Some(Process { threads: is(usage.pids), most_threads: limits.pids, processes: is(usage.processes), files: is(usage.files) }),
        }
    }
}

impl Place {
    fn push_unless_dropped(&self, name: &'static str, value: &str, labels: &mut LabelSet) {
        if !self.choice.drops(name) {
            labels.push(name, value);
        }
    }

    fn push(&self, labels: &mut LabelSet) {
        self.push_unless_dropped("cluster", self.cluster.as_deref().unwrap_or_default(), labels);
        self.push_unless_dropped("node", self.node.as_deref().unwrap_or_default(), labels);
    }

    fn push_group(&self, subject: &Subject<'_>, labels: &mut LabelSet) {
        self.push(labels);
        match subject {
            Subject::Root(_) => labels.push("id", "/"),
            Subject::Parent(row) => {
                self.push_pod(&row.seen.about, None, labels);
                push_path(row.seen.cgroup.as_ref(), labels);
            }
            Subject::Container(row, one) => {
                let (who, about) = (&row.seen.about, &one.seen.about);
                self.push_pod(who, Some(about), labels);
                labels.push("container", about.label());
                push_path(one.seen.cgroup.as_ref(), labels);
                self.push_unless_dropped("image", about.image.as_deref().unwrap_or_default(), labels);
                let name = if matches!(who.key, Key::Pod(_)) { about.id.as_str() } else { about.label() };
                self.push_unless_dropped("name", name, labels);
                if let Some(compose) = &about.compose {
                    self.push_unless_dropped("container_label_com_docker_compose_project", &compose.project, labels);
                    self.push_unless_dropped("container_label_com_docker_compose_service", &compose.service, labels);
                }
            }
        }
    }

    /// Which pod it is or stands for.
    fn push_pod(&self, who: &Who, container: Option<&Arc<ContainerAbout>>, labels: &mut LabelSet) {
        match &who.key {
            Key::Task(id) => labels.push("pod", id.as_str()),
            Key::Pod(uid) => labels.push("pod", uid.as_str()),
            Key::Loose(id) => {
                let project = container.and_then(|container| container.compose.as_ref()).map_or("", |compose| &compose.project);
                self.push_unless_dropped("namespace", project, labels);
                labels.push("pod", container.map_or(id.short(), |container| container.label()));
            }
            Key::Unit(_) | Key::System => {}
        }
    }

    fn push_pod_info(&self, row: &WorkloadRow, labels: &mut LabelSet) {
        self.push(labels);
        self.push_pod(&row.seen.about, row.containers.first().map(|one| &one.seen.about), labels);
    }
}

fn push_path(path: Option<&CgroupPath>, labels: &mut LabelSet) {
    labels.push("id", path.map_or("", |path| path.as_str()));
}

/// `/dev/nvme0n1`; without a name the path that udev gives its number. Boards look for `/dev/.+`.
pub(in crate::metrics) fn push_device(device: Device, name: Option<&str>, to: &mut String) {
    // Writing to a String does not fail.
    let _ = match name {
        Some(name) => write!(to, "/dev/{name}"),
        None => write!(to, "/dev/block/{device}"),
    };
}

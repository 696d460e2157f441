//! A report with names: metric families, their rows' labels and their values. Rebuilt in place each tick; while nobody comes or goes it allocates nothing.
//!
//! **Every series is unique.** What tells rows of one name apart is what they are: `task` for a task, `pod` for a pod, `container` for a container of its own,
//! also on its workload's series. So the replicas of a compose service share `workload` and keep series of their own: folding them would make counters jump
//! back whenever a replica goes, and `sum by (workload)` does it right. Names of containers and units are unique on one host alone, so their series carry
//! `host`; ids of tasks and pods are unique in the world. Where two still meet (a container made again under the name of one that has just ended, one unit
//! name in two slices) the one that lives, else the newest, keeps the name and the others are called by their id or path.

use std::sync::Arc;

use collector::identity::Key;
use collector::snapshot::{About, ContainerAbout, EcsCluster, Scope, Usage};

use super::block::{Block, Naming, Part, Rank, RowKey};
use super::choice::Choice;
use super::families::cluster::{CLUSTER, SERVICE, SERVICE_INFO, TASKS};
use super::families::machine::{BLOCK_DEVICE, LINK, MACHINE, MOUNT};
use super::families::{self, ELSEWHERE, FILE_SYSTEM, GAP, HOST_PRICE_INFO, OWN, SOURCE, VOLUME, has_ended, network};
use super::labels::LabelSet;
use super::page::Page;
use super::schema::Table;
use crate::cost::Elsewhere;
use crate::report::{ContainerRow, HostRow, Report, WorkloadRow};

/// The named report.
pub struct Frame {
    place: Place,
    container: Blocks<ContainerRow>,
    workload: Blocks<WorkloadRow>,
    elsewhere: Block,
    host: Blocks<HostRow>,
    price_info: Block,
    file_system: Block,
    volume: Block,
    block_device: Block,
    mount: Block,
    link: Block,
    service_info: Block,
    service: Block,
    tasks: Block,
    cluster: Block,
    source: Block,
    gap: Block,
}

/// What stands in the labels of a whole frame.
#[derive(Default)]
struct Place {
    cluster: Option<Arc<str>>,
    host: Option<Arc<str>>,
    choice: Arc<Choice>,
}

/// The blocks of one table.
struct Blocks<R: 'static> {
    table: &'static Table<R>,
    info: Block,
    rows: Block,
    devices: Block,
    interfaces: Block,
}

impl Default for Frame {
    fn default() -> Self {
        Frame::new()
    }
}

impl Frame {
    /// A frame without rows that tells everything.
    pub fn new() -> Frame {
        Frame::of(&Arc::default())
    }

    /// A frame without rows that tells what is wanted.
    pub fn of(choice: &Arc<Choice>) -> Frame {
        let mut host = Blocks::of(&families::HOST, choice);
        host.rows = host.rows.and(&OWN).and(&MACHINE).chosen(choice);
        Frame {
            place: Place { choice: Arc::clone(choice), ..Place::default() },
            container: Blocks::of(&families::CONTAINER, choice),
            workload: Blocks::of(&families::WORKLOAD, choice),
            elsewhere: Block::of(&ELSEWHERE).chosen(choice),
            host,
            price_info: Block::info(&HOST_PRICE_INFO).chosen(choice),
            file_system: Block::of(&FILE_SYSTEM).chosen(choice),
            volume: Block::of(&VOLUME).chosen(choice),
            block_device: Block::of(&BLOCK_DEVICE).chosen(choice),
            mount: Block::of(&MOUNT).chosen(choice),
            link: Block::of(&LINK).chosen(choice),
            service_info: Block::info(&SERVICE_INFO).chosen(choice),
            service: Block::of(&SERVICE).chosen(choice),
            tasks: Block::of(&TASKS).chosen(choice),
            cluster: Block::of(&CLUSTER).chosen(choice),
            source: Block::of(&SOURCE).chosen(choice),
            gap: Block::of(&GAP).chosen(choice),
        }
    }

    /// The blocks, in the order they are told.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        let rest = [&self.elsewhere, &self.price_info, &self.file_system, &self.volume, &self.block_device, &self.mount, &self.link];
        let rest = rest.into_iter().chain([&self.service_info, &self.service, &self.tasks, &self.cluster, &self.source, &self.gap]);
        self.container.blocks().into_iter().chain(self.workload.blocks()).chain(self.host.blocks()).chain(rest)
    }

    /// How many rows of the last report have no series, because nothing tells them from another row.
    pub fn cut(&self) -> usize {
        self.workload.rows.cut() + self.container.rows.cut()
    }

    /// Becomes the frame of this report.
    pub fn fill(&mut self, report: &Report) {
        self.start(report);
        self.fill_host(report);
        // All names before any value, because a name may be taken.
        self.name_rows(report);
        let mut containers = 0;
        for (at, workload) in report.workloads.iter().enumerate() {
            self.fill_workload(at, workload);
            for container in &workload.containers {
                let ended = has_ended(container.seen.state);
                self.container.fill(containers, &self.place, container, &container.seen.usage, Some(Part::Word(network(&container.seen.net))), ended);
                containers += 1;
            }
        }
    }

    fn start(&mut self, report: &Report) {
        let moved = self.place.cluster != report.cluster || self.place.host != report.host.seen.name;
        if moved {
            (self.place.cluster, self.place.host) = (report.cluster.clone(), report.host.seen.name.clone());
        }
        self.blocks_mut().for_each(|block| block.start(moved));
    }

    fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Block> {
        let rest = [
            &mut self.elsewhere,
            &mut self.price_info,
            &mut self.file_system,
            &mut self.volume,
            &mut self.block_device,
            &mut self.mount,
            &mut self.link,
            &mut self.service_info,
            &mut self.service,
            &mut self.tasks,
            &mut self.cluster,
            &mut self.source,
            &mut self.gap,
        ];
        self.container.blocks_mut().into_iter().chain(self.workload.blocks_mut()).chain(self.host.blocks_mut()).chain(rest)
    }

    fn fill_host(&mut self, report: &Report) {
        let host = &report.host;
        let row = self.host.rows.row(RowKey::Host, |labels| self.place.push(labels));
        if let Some(ecs) = &report.ecs {
            self.fill_cluster(row, ecs);
        }
        // What is told of the host may be learnt late, so it is rendered each time. Who looks at a whole cluster has none.
        let next = if report.scope == Scope::Cluster { 0 } else { self.host.fill(row, &self.place, host, &host.seen.usage, None, false) };
        if let Some(own) = &host.seen.own {
            self.host.rows.put(next, &OWN, row, own, false);
        }
        if let Some(machine) = &host.seen.machine {
            self.host.rows.put(next + OWN.metrics.len(), &MACHINE, row, machine, false);
        }
        let Some(above) = self.host.rows.above(row) else { return };
        if host.cost.price.is_some() {
            self.price_info.tell(above, self.place.host(), &HOST_PRICE_INFO, host, None);
        }
        for disk in &host.seen.disks {
            let row = self.file_system.row_below(above, 0, "filesystem", Part::Name(disk.what.clone()));
            self.file_system.put(0, &FILE_SYSTEM, row, disk, false);
        }
        for volume in host.seen.volumes.iter().flat_map(|volumes| &*volumes.is) {
            let row = self.volume.row_below(above, 0, "volume", Part::Name(volume.name.clone()));
            self.volume.put(0, &VOLUME, row, volume, false);
        }
        for device in host.seen.machine.iter().flat_map(|machine| &machine.disks).flat_map(|disks| &disks.is) {
            let row = self.block_device.row_below(above, 0, "device", Part::BlockDevice(device.device, device.name.clone()));
            self.block_device.put(0, &BLOCK_DEVICE, row, device, false);
        }
        for one in host.seen.machine.iter().flat_map(|machine| machine.filesystems.iter()) {
            let part = Part::Mount("source", one.mounted.clone(), one.source.clone(), one.kind.clone());
            let row = self.mount.row_below(above, 0, "mountpoint", part);
            self.mount.put(0, &MOUNT, row, one, false);
        }
        for link in host.seen.machine.iter().flat_map(|machine| machine.links.iter()) {
            let row = self.link.row_below(above, 0, "interface", Part::Name(link.name.clone()));
            self.link.put(0, &LINK, row, link, false);
        }
        for source in &report.sources {
            let row = self.source.row_below(above, 0, "source", Part::Source(source.source));
            self.source.put(0, &SOURCE, row, source, false);
        }
        for gap in &report.gaps {
            let row = self.gap.row_below(above, 0, "source", Part::Gap(gap.from, gap.what.clone()));
            self.gap.put(0, &GAP, row, gap, false);
        }
    }

    /// What stands below the row of the cluster's own label.
    fn fill_cluster(&mut self, row: usize, ecs: &EcsCluster) {
        let Some(above) = self.host.rows.above(row) else { return };
        let at = self.cluster.row_below(above, 0, "", Part::Word(""));
        self.cluster.put(0, &CLUSTER, at, ecs, false);
        for service in ecs.services.iter().flat_map(|services| services.is.iter()) {
            let at = self.service.row_below(above, 0, "service", Part::Name(service.name.clone()));
            self.service.put(0, &SERVICE, at, service, false);
            if let Some(above) = self.service.above(at) {
                self.service_info.tell(above, "", &SERVICE_INFO, service, None);
            }
        }
        for count in ecs.tasks.iter().flat_map(|tasks| &tasks.is.counts) {
            let at = self.tasks.row_below(above, 0, "service", Part::Tasks(count.kind.clone()));
            self.tasks.put(0, &TASKS, at, count, false);
        }
    }

    fn name_rows(&mut self, report: &Report) {
        let Frame { place, workload: Blocks { rows: workloads, .. }, container: Blocks { rows: containers, .. }, .. } = self;
        let (workloads_before, containers_before) = (workloads.version().0, containers.version().0);
        for row in &report.workloads {
            let about = &row.seen.about;
            let loose = row.containers.first().filter(|_| matches!(about.key, Key::Loose(_))).map(|container| &container.seen.about);
            workloads.row(RowKey::Workload(about.clone(), loose.cloned()), |labels| place.push_workload(about, loose, Naming::Name, labels));
            for container in &row.containers {
                let container = &container.seen.about;
                containers.row(RowKey::Container(about.clone(), container.clone()), |labels| place.push_container(about, container, Naming::Name, labels));
            }
        }
        if workloads.version() != (workloads_before, 0) {
            let ranks: Vec<Rank> = report.workloads.iter().map(|row| Rank { lives: !has_ended(row.seen.state), started: row.seen.started }).collect();
            workloads.tell_apart(&ranks, |key, naming, labels| {
                if let RowKey::Workload(about, loose) = key {
                    place.push_workload(about, loose.as_ref(), naming, labels);
                }
            });
        }
        if containers.version() != (containers_before, 0) {
            let rows = report.workloads.iter().flat_map(|row| &row.containers);
            let ranks: Vec<Rank> = rows.map(|row| Rank { lives: !has_ended(row.seen.state), started: row.seen.started }).collect();
            containers.tell_apart(&ranks, |key, naming, labels| {
                if let RowKey::Container(about, container) = key {
                    place.push_container(about, container, naming, labels);
                }
            });
        }
    }

    fn fill_workload(&mut self, at: usize, workload: &WorkloadRow) {
        let ended = has_ended(workload.seen.state);
        let stop_code = workload.seen.task.as_ref().and_then(|task| task.stop_code.clone()).map_or(Part::Word(""), Part::Name);
        self.workload.fill(at, &self.place, workload, &workload.seen.usage, Some(stop_code), ended);
        let Some(above) = self.workload.rows.above(at) else { return };
        let first = self.elsewhere.used();
        for otherwise in &workload.cost.otherwise {
            let Elsewhere::Fargate { arch, .. } = &otherwise.on;
            let row = self.elsewhere.row_below(above, first, "arch", Part::Name(arch.clone()));
            self.elsewhere.put(0, &ELSEWHERE, row, otherwise, ended);
        }
    }
}

impl Page for Frame {
    fn fill(&mut self, report: &Report) {
        Frame::fill(self, report);
    }

    fn empty(&mut self) {
        self.blocks_mut().for_each(Block::empty);
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        Frame::blocks(self)
    }

    fn cut(&self) -> usize {
        Frame::cut(self)
    }

    fn external(&self) -> &str {
        self.place.choice.external()
    }
}

impl<R> Blocks<R> {
    fn of(table: &'static Table<R>, choice: &Arc<Choice>) -> Blocks<R> {
        Blocks {
            table,
            info: Block::info(&table.info).chosen(choice),
            rows: Block::of(&table.own).and(&table.usage).chosen(choice),
            devices: Block::of(&table.device).chosen(choice),
            interfaces: Block::of(&table.interface).chosen(choice),
        }
    }

    fn blocks(&self) -> [&Block; 4] {
        [&self.info, &self.rows, &self.devices, &self.interfaces]
    }

    fn blocks_mut(&mut self) -> [&mut Block; 4] {
        [&mut self.info, &mut self.rows, &mut self.devices, &mut self.interfaces]
    }

    /// All figures of one row that has its labels. Returns the first column of `rows` that is not filled.
    fn fill(&mut self, at: usize, place: &Place, subject: &R, usage: &Usage, now: Option<Part>, ended: bool) -> usize {
        if let Some(above) = self.rows.above(at) {
            self.info.tell(above, place.host(), &self.table.info, subject, now);
            let first = self.devices.used();
            for device in usage.io.iter().flat_map(|io| &io.is) {
                let row = self.devices.row_below(above, first, "device", Part::Device(device.device));
                self.devices.put(0, &self.table.device, row, device, ended);
            }
            let first = self.interfaces.used();
            for interface in usage.net.iter().flat_map(|net| &net.is) {
                let row = self.interfaces.row_below(above, first, "interface", Part::Name(interface.name.clone()));
                self.interfaces.put(0, &self.table.interface, row, interface, ended);
            }
        }
        let next = self.rows.put(0, &self.table.own, at, subject, ended);
        self.rows.put(next, &self.table.usage, at, usage, ended)
    }
}

impl Place {
    fn host(&self) -> &str {
        self.host.as_deref().unwrap_or_default()
    }

    fn push(&self, labels: &mut LabelSet) {
        self.push_cluster(labels);
        if !self.choice.drops("host") {
            labels.push("host", self.host());
        }
    }

    fn push_cluster(&self, labels: &mut LabelSet) {
        if !self.choice.drops("cluster") {
            labels.push("cluster", self.cluster.as_deref().unwrap_or_default());
        }
    }

    fn push_workload(&self, about: &About, loose: Option<&Arc<ContainerAbout>>, naming: Naming, labels: &mut LabelSet) {
        self.push_shared(about, naming, labels);
        if let Key::Loose(id) = &about.key {
            match (naming, loose) {
                (Naming::Name, Some(container)) => labels.push("container", container.label()),
                (Naming::Name | Naming::Short, _) => labels.push("container", id.short()),
                (Naming::Full, _) => labels.push("container", id.as_str()),
            }
        }
    }

    fn push_container(&self, about: &About, container: &ContainerAbout, naming: Naming, labels: &mut LabelSet) {
        self.push_shared(about, naming, labels);
        match naming {
            Naming::Name => labels.push("container", container.label()),
            Naming::Short => labels.push("container", container.id.short()),
            Naming::Full => labels.push("container", container.id.as_str()),
        }
    }

    /// What the series of a workload and of its containers share.
    fn push_shared(&self, about: &About, naming: Naming, labels: &mut LabelSet) {
        match &about.key {
            Key::Task(_) | Key::Pod(_) => self.push_cluster(labels),
            Key::Loose(_) | Key::Unit(_) | Key::System => self.push(labels),
        }
        match &about.key {
            Key::Unit(path) if naming != Naming::Name => labels.push("workload", path.as_str()),
            _ => labels.push("workload", &about.name),
        }
        match &about.key {
            Key::Task(id) => labels.push("task", id.as_str()),
            Key::Pod(uid) => labels.push("pod", uid.as_str()),
            Key::Loose(_) | Key::Unit(_) | Key::System => {}
        }
    }
}

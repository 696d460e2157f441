//! What cAdvisor and the kubelet tell at `/metrics/cadvisor`, under their names, labels and types (google/cadvisor lib v0.60.5, lib/metrics/prometheus.go and
//! prometheus_machine.go), so that boards and rules made for them work. A name is one row here. What Tare does not see is absent, never 0.

pub mod page;

use jiff::Timestamp;

use collector::snapshot::{BlockDevice, Cpu, FileSystem, Health, HugePages, Interface, IoDevice, Limits, Memory, OpenFiles, Pressure, Stall, Throttling};
use collector::units::{Cores, Limit};

use super::families::{bytes, count, label, moment, time};
use super::schema::Kind::{Counter, Gauge};
use super::schema::Points::{Each, One};
use super::schema::Tier::Standard;
use super::schema::{About, By, Family, Info, Kind, Label, Metric, Points, Unit, Value};
use crate::report::HostRow;

/// What is told of one cgroup: the root, a systemd unit, a task, a pod or a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct Group {
    seen: Option<Timestamp>,
    started: Option<Timestamp>,
    limits: Limits,
    shares: Option<u64>,
    health: Option<Health>,
    /// The figures come from cgroup v2.
    v2: bool,
    /// A container or a unit: nothing that is told lies below it.
    leaf: bool,
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    pressure: Option<Pressure>,
    /// Unless it is to be left out: what cAdvisor calls the process metrics.
    process: Option<Process>,
}

/// Processes and what bounds them.
#[derive(Clone, Copy, Debug)]
struct Process {
    threads: Option<u64>,
    most_threads: Limit<u64>,
    processes: Option<u64>,
    files: Option<OpenFiles>,
}

const CLUSTER: Label = theirs("cluster");
const NODE: Label = theirs("node");
const NAMESPACE: Label = theirs("namespace");
const POD: Label = theirs("pod");
const DEVICE: Label = theirs("device");
const BOOT_ID: Label = theirs("boot_id");

/// On every series of a cgroup, as far as it has them. Families of what lies below a cgroup name only what comes to these.
pub(super) const ON_GROUP: &[Label] = &[
    CLUSTER,
    NODE,
    NAMESPACE,
    POD,
    theirs("container"),
    theirs("id"),
    theirs("image"),
    theirs("name"),
    theirs("container_label_com_docker_compose_project"),
    theirs("container_label_com_docker_compose_service"),
];

/// Labels that tell no two series apart: a cgroup's `id` and `container` do, and what stands behind them.
pub(super) const DESCRIBING: &[Label] = &[NODE, NAMESPACE, BOOT_ID, ON_GROUP[6], ON_GROUP[7], ON_GROUP[8], ON_GROUP[9]];

/// The figures of a cgroup.
pub(super) static GROUP: Family<Group> = Family {
    title: "Cgroups",
    labels: ON_GROUP,
    metrics: &[
        metric("container_last_seen", Unit::Seconds, Gauge, "When the last look saw it, since 1970.", One(|g| moment(g.seen))),
        metric(
            "container_start_time_seconds",
            Unit::Seconds,
            Gauge,
            "When it started, since 1970; of the root, when the kernel did.",
            One(|g| moment(g.started)),
        ),
        metric("container_health_state", Unit::Number, Gauge, "1 healthy, 0 not; without a health check there is none.", One(health)),
        metric(
            "container_cpu_usage_seconds_total",
            Unit::Seconds,
            Counter,
            "CPU time used.",
            Each(theirs("cpu"), &[("total", |g| time(cpu(g).map(|cpu| cpu.time)))]),
        ),
        metric("container_cpu_user_seconds_total", Unit::Seconds, Counter, "CPU time used in user mode.", One(|g| time(cpu(g)?.split.map(|split| split.user)))),
        metric(
            "container_cpu_system_seconds_total",
            Unit::Seconds,
            Counter,
            "CPU time used in the kernel.",
            One(|g| time(cpu(g)?.split.map(|split| split.system))),
        ),
        metric(
            "container_cpu_cfs_periods_total",
            Unit::Number,
            Counter,
            "Periods of its CPU quota that passed.",
            One(|g| count(quota(g).map(|(_, cfs)| cfs.periods))),
        ),
        metric(
            "container_cpu_cfs_throttled_periods_total",
            Unit::Number,
            Counter,
            "Periods that ran into its CPU quota.",
            One(|g| count(quota(g).map(|(_, cfs)| cfs.throttled))),
        ),
        metric(
            "container_cpu_cfs_throttled_seconds_total",
            Unit::Seconds,
            Counter,
            "Time waited for its CPU quota.",
            One(|g| time(quota(g).map(|(_, cfs)| cfs.time))),
        ),
        metric("container_memory_usage_bytes", Unit::Bytes, Gauge, "Memory in use, page cache included.", One(|g| bytes(memory(g)?.used))),
        metric("container_memory_working_set_bytes", Unit::Bytes, Gauge, "Memory in use less inactive file pages.", One(|g| bytes(memory(g)?.working_set))),
        metric("container_memory_rss", Unit::Bytes, Gauge, "Anonymous memory.", One(|g| bytes(memory(g)?.anon))),
        metric("container_memory_cache", Unit::Bytes, Gauge, "Page cache.", One(|g| bytes(memory(g)?.file))),
        metric("container_memory_swap", Unit::Bytes, Gauge, "Memory swapped out.", One(|g| bytes(memory(g)?.swap))),
        metric("container_memory_mapped_file", Unit::Bytes, Gauge, "Pages of files that are mapped.", One(|g| bytes(memory(g)?.mapped))),
        metric("container_memory_kernel_usage", Unit::Bytes, Gauge, "Kernel memory.", One(|g| bytes(memory(g)?.kernel))),
        metric("container_memory_max_usage_bytes", Unit::Bytes, Gauge, "The most memory in use so far.", One(|g| bytes(memory(g)?.peak))),
        metric("container_memory_total_active_file_bytes", Unit::Bytes, Gauge, "Pages of files used lately.", One(|g| bytes(memory(g)?.active_file))),
        metric("container_memory_total_inactive_file_bytes", Unit::Bytes, Gauge, "Pages of files not used lately.", One(|g| bytes(memory(g)?.inactive_file))),
        metric("container_memory_file_dirty_bytes", Unit::Bytes, Gauge, "Pages of files that wait to be written.", One(|g| bytes(memory(g)?.dirty))),
        metric("container_memory_file_writeback_bytes", Unit::Bytes, Gauge, "Pages of files that are being written.", One(|g| bytes(memory(g)?.writeback))),
        metric(
            "container_memory_failcnt",
            Unit::Number,
            Counter,
            "Ran into the memory limit (cgroup v1).",
            One(|g| count(memory(g).filter(|_| !g.v2)?.max_events)),
        ),
        metric(
            "container_memory_events_high_total",
            Unit::Number,
            Counter,
            "Throttled at memory.high (cgroup v2).",
            One(|g| count(memory(g).filter(|_| g.v2)?.high_events)),
        ),
        metric(
            "container_memory_events_max_total",
            Unit::Number,
            Counter,
            "Ran into the memory limit (cgroup v2).",
            One(|g| count(memory(g).filter(|_| g.v2)?.max_events)),
        ),
        metric(
            "container_oom_events_total",
            Unit::Number,
            Counter,
            "Processes killed for memory; at containers and units alone, so that a sum counts each once.",
            One(|g| count(memory(g).filter(|_| g.leaf)?.oom_kills)),
        ),
        metric(
            "container_pressure_cpu_waiting_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which some task waited for a CPU.",
            One(|g| some(pressure(g)?.cpu)),
        ),
        metric(
            "container_pressure_cpu_stalled_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which all tasks waited for a CPU.",
            One(|g| full(pressure(g)?.cpu)),
        ),
        metric(
            "container_pressure_memory_waiting_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which some task waited for memory.",
            One(|g| some(pressure(g)?.memory)),
        ),
        metric(
            "container_pressure_memory_stalled_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which all tasks waited for memory.",
            One(|g| full(pressure(g)?.memory)),
        ),
        metric(
            "container_pressure_io_waiting_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which some task waited for a block device.",
            One(|g| some(pressure(g)?.io)),
        ),
        metric(
            "container_pressure_io_stalled_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which all tasks waited for a block device.",
            One(|g| full(pressure(g)?.io)),
        ),
        metric("container_processes", Unit::Number, Gauge, "Processes.", One(|g| count(g.process?.processes))),
        metric("container_threads", Unit::Number, Gauge, "Processes and threads.", One(|g| count(g.process?.threads))),
        metric("container_threads_max", Unit::Number, Gauge, "How many there may be; 0 is no limit.", One(|g| count(none_is_zero(g.process?.most_threads)))),
        metric("container_file_descriptors", Unit::Number, Gauge, "Open files of its processes.", One(|g| count(g.process?.files?.open))),
        metric(
            "container_ulimits_soft",
            Unit::Number,
            Gauge,
            "What its first process may have; -1 is no limit.",
            Each(theirs("ulimit"), &[("max_open_files", open_files)]),
        ),
        metric(
            "container_spec_cpu_period",
            Unit::Number,
            Gauge,
            "100000 (microseconds), where it has a CPU quota.",
            One(|g| quota(g).map(|_| Value::Count(PERIOD_MICROS))),
        ),
        metric(
            "container_spec_cpu_quota",
            Unit::Number,
            Gauge,
            "Its CPU quota for that period, in microseconds, whatever period the kernel keeps.",
            One(quota_micros),
        ),
        metric("container_spec_cpu_shares", Unit::Number, Gauge, "Its CPU shares (cgroup v1).", One(|g| count(g.shares))),
        metric("container_spec_memory_limit_bytes", Unit::Bytes, Gauge, "Its memory limit; 0 is none.", One(|g| bytes(none_is_zero(g.limits.memory)))),
        metric(
            "container_spec_memory_swap_limit_bytes",
            Unit::Bytes,
            Gauge,
            "Its swap limit; 0 is none (cgroup v2).",
            One(|g| bytes(none_is_zero(g.limits.swap).filter(|_| g.v2))),
        ),
    ],
};

/// Page faults, under both scopes: the kernel counts those of nested cgroups too, and a container has none.
pub(super) static FAILURES: Family<Memory> = Family {
    title: "Cgroups: page faults",
    labels: &[theirs("scope")],
    metrics: &[metric(
        "container_memory_failures_total",
        Unit::Number,
        Counter,
        "Page faults of all kinds, and those that had to read from disk.",
        Each(theirs("failure_type"), &[("pgfault", |m| count(m.faults)), ("pgmajfault", |m| count(m.major_faults))]),
    )],
};

/// Huge pages.
pub(super) static HUGE: Family<HugePages> = Family {
    title: "Cgroups: huge pages",
    labels: &[theirs("pagesize")],
    metrics: &[metric("container_hugetlb_usage_bytes", Unit::Bytes, Gauge, "Huge pages of one size in use.", One(|h| bytes(Some(h.used))))],
};

/// Block devices of a cgroup.
pub(super) static DEVICES: Family<IoDevice> = Family {
    title: "Cgroups: block devices",
    labels: &[DEVICE],
    metrics: &[
        metric("container_fs_reads_bytes_total", Unit::Bytes, Counter, "Bytes read.", One(|d| bytes(Some(d.read)))),
        metric("container_fs_reads_total", Unit::Number, Counter, "Reads.", One(|d| count(d.reads))),
        metric("container_fs_writes_bytes_total", Unit::Bytes, Counter, "Bytes written.", One(|d| bytes(Some(d.written)))),
        metric("container_fs_writes_total", Unit::Number, Counter, "Writes.", One(|d| count(d.writes))),
    ],
};

/// The same under a name with the device's number.
pub(super) static BLKIO: Family<IoDevice> = Family {
    title: "Cgroups: block devices by number",
    labels: &[DEVICE, theirs("major"), theirs("minor")],
    metrics: &[metric(
        "container_blkio_device_usage_total",
        Unit::Bytes,
        Counter,
        "Bytes read and written.",
        Each(theirs("operation"), &[("Read", |d| bytes(Some(d.read))), ("Write", |d| bytes(Some(d.written)))]),
    )],
};

/// What the machine's own block devices did beyond that: at the root alone.
pub(super) static DISKS: Family<BlockDevice> = Family {
    title: "The root: block devices",
    labels: &[DEVICE],
    metrics: &[
        metric("container_fs_reads_merged_total", Unit::Number, Counter, "Reads put together with a neighbour.", One(|d| count(Some(d.read.merged)))),
        metric("container_fs_writes_merged_total", Unit::Number, Counter, "Writes put together with a neighbour.", One(|d| count(Some(d.written.merged)))),
        metric("container_fs_read_seconds_total", Unit::Seconds, Counter, "Time that reads took.", One(|d| time(Some(d.read.time)))),
        metric("container_fs_write_seconds_total", Unit::Seconds, Counter, "Time that writes took.", One(|d| time(Some(d.written.time)))),
        metric("container_fs_sector_reads_total", Unit::Number, Counter, "Sectors of 512 bytes read.", One(|d| count(Some(d.read.bytes.0 / 512)))),
        metric("container_fs_sector_writes_total", Unit::Number, Counter, "Sectors of 512 bytes written.", One(|d| count(Some(d.written.bytes.0 / 512)))),
        metric("container_fs_io_current", Unit::Number, Gauge, "Operations under way.", One(|d| count(Some(d.in_flight)))),
        metric("container_fs_io_time_seconds_total", Unit::Seconds, Counter, "Time with an operation under way.", One(|d| time(Some(d.busy)))),
        metric("container_fs_io_time_weighted_seconds_total", Unit::Seconds, Counter, "The time of all operations.", One(|d| time(Some(d.weighted)))),
    ],
};

/// How full the machine's file systems are: at the root alone.
pub(super) static ROOM: Family<FileSystem> = Family {
    title: "The root: file systems",
    labels: &[DEVICE],
    metrics: &[
        metric("container_fs_limit_bytes", Unit::Bytes, Gauge, "Size of the file system.", One(|f| bytes(Some(f.room?.size)))),
        metric("container_fs_usage_bytes", Unit::Bytes, Gauge, "Bytes in use.", One(|f| bytes(Some(f.room?.size.less(f.room?.free))))),
        metric("container_fs_inodes_total", Unit::Number, Gauge, "Inodes.", One(|f| count(f.room?.inodes))),
        metric("container_fs_inodes_free", Unit::Number, Gauge, "Inodes not used.", One(|f| count(f.room?.inodes_free))),
    ],
};

/// Network interfaces, where the name space stands: at the task, the pod, the container of its own, the root.
pub(super) static INTERFACES: Family<Interface> = Family {
    title: "Cgroups: network",
    labels: &[theirs("interface")],
    metrics: &[
        metric("container_network_receive_bytes_total", Unit::Bytes, Counter, "Bytes received.", One(|i| bytes(Some(i.received.bytes)))),
        metric("container_network_receive_packets_total", Unit::Number, Counter, "Packets received.", One(|i| count(Some(i.received.packets)))),
        metric("container_network_receive_packets_dropped_total", Unit::Number, Counter, "Received packets dropped.", One(|i| count(Some(i.received.dropped)))),
        metric("container_network_receive_errors_total", Unit::Number, Counter, "Bad packets received.", One(|i| count(Some(i.received.errors)))),
        metric("container_network_transmit_bytes_total", Unit::Bytes, Counter, "Bytes sent.", One(|i| bytes(Some(i.sent.bytes)))),
        metric("container_network_transmit_packets_total", Unit::Number, Counter, "Packets sent.", One(|i| count(Some(i.sent.packets)))),
        metric("container_network_transmit_packets_dropped_total", Unit::Number, Counter, "Packets to send dropped.", One(|i| count(Some(i.sent.dropped)))),
        metric("container_network_transmit_errors_total", Unit::Number, Counter, "Errors while sending.", One(|i| count(Some(i.sent.errors)))),
    ],
};

/// The machine.
pub(super) static MACHINE: Family<HostRow> = Family {
    title: "The machine",
    labels: &[CLUSTER, NODE, BOOT_ID],
    metrics: &[
        metric("machine_cpu_cores", Unit::Number, Gauge, "Online logical CPUs.", One(|h| count(h.seen.cores.map(u64::from)))),
        metric("machine_memory_bytes", Unit::Bytes, Gauge, "Memory the kernel manages.", One(|h| bytes(h.seen.memory))),
        metric("machine_swap_bytes", Unit::Bytes, Gauge, "Swap space.", One(|h| bytes(h.seen.machine.as_ref()?.memory.as_ref()?.is.swap_total))),
    ],
};

/// Who tells: Tare stands in for cAdvisor and has no version of it.
pub(super) static VERSION: Info<HostRow> = Info {
    about: about("cadvisor_version_info", Unit::Number, Kind::Info, "Versions of the kernel and of Docker."),
    labels: &[CLUSTER, NODE],
    tells: &[
        (theirs("kernelVersion"), |h, to| to.push_str(h.seen.kernel.as_deref().unwrap_or_default())),
        (theirs("dockerVersion"), |h, to| to.push_str(h.seen.docker.as_ref().map_or("", |docker| &docker.version))),
    ],
    tags: |_| &[],
};

/// What the rules of the kubernetes-mixin join to learn the node. For what is no pod: a real pod's is told by kube-state-metrics.
pub(super) static POD_INFO: Family<()> = Family {
    title: "Tasks and containers as pods",
    labels: &[CLUSTER, NAMESPACE, POD, NODE],
    metrics: &[metric(
        "kube_pod_info",
        Unit::Number,
        Kind::Info,
        "1 for each task and each container of its own; pods have theirs from kube-state-metrics.",
        One(|()| Some(Value::Count(1))),
    )],
};

/// The period that quotas are told for: the kernel's default. What boards take is quota over period, and that is right for any.
const PERIOD_MICROS: u64 = 100_000;

/// A label of theirs: it has no other name elsewhere.
const fn theirs(name: &'static str) -> Label {
    label(name, "")
}

const fn about(name: &'static str, unit: Unit, kind: Kind, help: &'static str) -> About {
    About { name, by: By::Others, unit, kind, tier: Standard, help }
}

const fn metric<R>(name: &'static str, unit: Unit, kind: Kind, help: &'static str, points: Points<R>) -> Metric<R> {
    Metric { about: about(name, unit, kind, help), points }
}

fn cpu(group: &Group) -> Option<&Cpu> {
    group.cpu.as_ref()
}

fn memory(group: &Group) -> Option<&Memory> {
    group.memory.as_ref()
}

fn pressure(group: &Group) -> Option<&Pressure> {
    group.pressure.as_ref()
}

/// Its CPU quota and what it did. A CPU set is a limit too, but no period of it ever passes.
fn quota(group: &Group) -> Option<(Cores, Throttling)> {
    let throttling = cpu(group)?.throttling.filter(|cfs| cfs.periods > 0)?;
    group.limits.cores.value().map(|cores| (cores, throttling))
}

fn quota_micros(group: &Group) -> Option<Value> {
    let (cores, _) = quota(group)?;
    Some(Value::Count((cores.0 * PERIOD_MICROS as f64).round() as u64))
}

fn health(group: &Group) -> Option<Value> {
    group.health.map(|health| Value::Count(u64::from(health == Health::Healthy)))
}

fn open_files(group: &Group) -> Option<Value> {
    match group.process?.files?.limit {
        Limit::Of(most) => Some(Value::Count(most)),
        Limit::Unlimited => Some(Value::Real(-1.0)),
        Limit::Unknown => None,
    }
}

/// cAdvisor's way to say it.
fn none_is_zero<T: Default>(limit: Limit<T>) -> Option<T> {
    match limit {
        Limit::Of(limit) => Some(limit),
        Limit::Unlimited => Some(T::default()),
        Limit::Unknown => None,
    }
}

fn some(stall: Option<Stall>) -> Option<Value> {
    time(stall.map(|stall| stall.some))
}

fn full(stall: Option<Stall>) -> Option<Value> {
    time(stall?.full)
}

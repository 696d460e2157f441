//! The table of every metric. A new metric is one row here; its names, its place in the manual and its series follow.
//!
//! Not here, on purpose: [`LEFT_OUT`].

pub mod backlog;
pub mod cluster;
pub mod machine;
#[macro_use]
mod usage;

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use collector::identity::{Key, TaskArn};
use collector::snapshot::{
    CgroupVersion, CpuSplit, Disk, Gap, Health, Launch, Market, Memory, NetOwner, Own, Pressure, Stall, State, Storage, Task, Tcp, Throttling, Udp, Usage,
    Volume,
};
use collector::units::{Bytes, Cores, Ratio};

use super::schema::Kind::{Counter, Gauge, Histogram, Level};
use super::schema::Points::{Each, Live, One};
use super::schema::Tier::{Detail, Essential, Standard};
use super::schema::{About, By, Family, Info, Kind, Label, Metric, Points, Table, Tier, Unit, Value, Word};
use crate::cost::{Origin, Otherwise, PriceBasis, UsdPerHour, What};
use crate::report::{ContainerRow, HostRow, SourceRow, WorkloadRow};

const CLUSTER: Label = label("cluster", "tare.cluster.name");
const HOST_NAME: Label = label("host", "host.name");
const WORKLOAD_NAME: Label = label("workload", "tare.workload.name");
const TASK: Label = label("task", "aws.ecs.task.id");
const POD: Label = label("pod", "k8s.pod.uid");
const CONTAINER_NAME: Label = label("container", "container.name");
const DEVICE: Label = label("device", "system.device");
const INTERFACE: Label = label("interface", "network.interface.name");
const IO_DIRECTION: Label = label("direction", "disk.io.direction");
const NET_DIRECTION: Label = label("direction", "network.io.direction");

const ON_HOST: &[Label] = &[CLUSTER, HOST_NAME];
const ON_WORKLOAD: &[Label] = &[CLUSTER, HOST_NAME, WORKLOAD_NAME, TASK, POD, CONTAINER_NAME];

/// The machine.
pub static HOST: Table<HostRow> = Table {
    info: Info {
        about: info("host.info", "What is known about the machine."),
        labels: ON_HOST,
        tells: &[
            (label("platform", "tare.platform"), |h, to| to.push_str(h.platform.as_ref().map_or("", |found| found.platform.as_str()))),
            (label("instance_id", "host.id"), |h, to| text(&h.seen.instance.id, to)),
            (label("instance_type", "host.type"), |h, to| text(&h.seen.instance.kind, to)),
            (label("market", "tare.market"), |h, to| {
                to.push_str(match h.seen.instance.market {
                    Some(Market::OnDemand) => "on-demand",
                    Some(Market::Spot) => "spot",
                    Some(Market::CapacityBlock) => "capacity-block",
                    None => "",
                });
            }),
            (label("region", "cloud.region"), |h, to| text(&h.seen.instance.region, to)),
            (label("zone", "cloud.availability_zone"), |h, to| text(&h.seen.instance.zone, to)),
            (label("account", "cloud.account.id"), |h, to| text(&h.seen.instance.account, to)),
            (label("arch", "host.arch"), |h, to| text(&h.seen.arch, to)),
            (label("os", "os.type"), |h, to| text(&h.seen.os, to)),
            (label("kernel", "os.version"), |h, to| text(&h.seen.kernel, to)),
            (label("boot_id", "tare.host.boot_id"), |h, to| text(&h.seen.boot_id, to)),
            (label("cgroup", "tare.cgroup.version"), |h, to| {
                to.push_str(match h.seen.cgroups {
                    Some(CgroupVersion::V1) => "v1",
                    Some(CgroupVersion::V2) => "v2",
                    Some(CgroupVersion::Hybrid) => "hybrid",
                    None => "",
                });
            }),
            (label("capacity_provider", "tare.ecs.capacity_provider"), |h, to| text(&h.seen.ecs.as_ref().and_then(|ecs| ecs.provider.clone()), to)),
            (label("ecs_agent", "tare.ecs.agent"), |h, to| text(&h.seen.ecs.as_ref().and_then(|ecs| ecs.agent.clone()), to)),
            (label("docker", "container.runtime.version"), |h, to| to.push_str(h.seen.docker.as_ref().map_or("", |docker| &docker.version))),
            (label("docker_api", "tare.docker.api"), |h, to| to.push_str(h.seen.docker.as_ref().map_or("", |docker| &docker.api))),
        ],
        tags: |_| &[],
    },
    own: Family {
        title: "Host",
        labels: ON_HOST,
        metrics: &[
            metric("host.cpu.capacity", Unit::Cores, Level, Essential, "Online logical CPUs.", One(|h| cores(h.seen.cores.map(|n| Cores(n.into()))))),
            metric("host.memory.capacity", Unit::Bytes, Level, Essential, "Memory the kernel manages.", One(|h| bytes(h.seen.memory))),
            metric(
                "host.load",
                Unit::Number,
                Gauge,
                Standard,
                "Mean length of the run queue.",
                Each(
                    label("window", "tare.window"),
                    &[
                        ("1m", |h| h.seen.load.map(|load| Value::Real(load[0]))),
                        ("5m", |h| h.seen.load.map(|load| Value::Real(load[1]))),
                        ("15m", |h| h.seen.load.map(|load| Value::Real(load[2]))),
                    ],
                ),
            ),
            metric("host.boot_time", Unit::Seconds, Gauge, Detail, "When the kernel started, since 1970.", One(|h| moment(h.seen.booted))),
            metric(
                "host.spot_interruption_time",
                Unit::Seconds,
                Gauge,
                Essential,
                "When EC2 will take the Spot instance back, since 1970. Only where it has said so, about two minutes ahead.",
                One(|h| moment(h.seen.instance.interruption.map(|notice| notice.at))),
            ),
            metric(
                "host.rebalance_recommendation_time",
                Unit::Seconds,
                Gauge,
                Standard,
                "When EC2 said that the Spot instance is at an elevated risk of being taken back, since 1970.",
                One(|h| moment(h.seen.instance.rebalance)),
            ),
            metric("host.uptime", Unit::Seconds, Gauge, Standard, "Time since the kernel started.", One(|h| time(h.rates.uptime))),
            metric("host.price", Unit::UsdPerHour, Level, Essential, "What the machine costs.", One(|h| usd(h.cost.price.as_ref().map(|price| price.usd)))),
            metric(
                "host.cost.idle",
                Unit::UsdPerHour,
                Level,
                Essential,
                "The part of the price that no workload asked for or used. With every workload's cost now it adds up to the price.",
                One(|h| usd(h.cost.idle)),
            ),
            metric(
                "host.cost.break_even",
                Unit::Ratio,
                Gauge,
                Standard,
                "Price over the Fargate price of the whole machine: the fill from which the machine is worth its price.",
                One(|h| ratio(h.cost.break_even)),
            ),
            metric(
                "host.cost.fargate_cover",
                Unit::Ratio,
                Gauge,
                Standard,
                "What its workloads would cost on Fargate, over the price of the machine.",
                One(|h| ratio(h.cost.fargate_cover)),
            ),
        ],
    },
    usage: Family { title: "Host: usage", labels: ON_HOST, metrics: usage!("host") },
    device: Family { title: "Host: block devices", labels: &[CLUSTER, HOST_NAME, DEVICE], metrics: device!("host") },
    interface: Family { title: "Host: network", labels: &[CLUSTER, HOST_NAME, INTERFACE], metrics: interface!("host") },
};

/// Where the price of the machine comes from: only where it has one.
pub static HOST_PRICE_INFO: Info<HostRow> = Info {
    about: info("host.price.info", "What is bought, and who says at what price."),
    labels: ON_HOST,
    tells: &[
        (label("sku", "tare.price.sku"), |h, to| to.push_str(h.cost.price.as_ref().map_or("", |price| &price.sku))),
        (label("region", "cloud.region"), |h, to| to.push_str(h.cost.price.as_ref().map_or("", |price| &price.region))),
        (label("since", "tare.price.since"), |h, to| {
            if let Some(price) = &h.cost.price {
                // Writing to a String does not fail.
                let _ = write!(to, "{}", price.since);
            }
        }),
        (label("origin", "tare.price.origin"), |h, to| {
            to.push_str(match h.cost.price.as_ref().map(|price| price.from) {
                Some(Origin::BuiltIn) => "built-in",
                Some(Origin::Settings) => "settings",
                None => "",
            });
        }),
        (label("basis", "tare.price.basis"), |h, to| {
            to.push_str(match h.cost.price.as_ref().map(|price| price.basis) {
                Some(PriceBasis::Listed) => "listed",
                Some(PriceBasis::Derived) => "derived",
                None => "",
            });
        }),
        (label("region_assumed", "tare.price.region_assumed"), |h, to| {
            to.push_str(h.cost.region.as_ref().map_or("", |region| if region.assumed { "true" } else { "false" }));
        }),
    ],
    tags: |_| &[],
};

/// File systems Tare depends on.
pub static FILE_SYSTEM: Family<Disk> = Family {
    title: "File systems",
    labels: &[CLUSTER, HOST_NAME, label("filesystem", "tare.filesystem")],
    metrics: &[
        metric("host.filesystem.capacity", Unit::Bytes, Gauge, Standard, "Size of the file system.", One(|d| bytes(Some(d.size)))),
        metric("host.filesystem.available", Unit::Bytes, Gauge, Essential, "What an unprivileged process may still write.", One(|d| bytes(Some(d.available)))),
    ],
};

/// A volume of Docker's.
pub static VOLUME: Family<Volume> = Family {
    title: "Volumes",
    labels: &[CLUSTER, HOST_NAME, label("volume", "tare.volume")],
    metrics: &[
        metric("host.volume.used", Unit::Bytes, Gauge, Standard, "Size of its files. Where `docker.sizes` asks for it.", One(|v| bytes(v.size))),
        metric(
            "host.volume.users",
            Unit::Of("container"),
            Gauge,
            Detail,
            "Containers that have it, those that do not run among them.",
            One(|v| count(v.users)),
        ),
    ],
};

/// What runs as one: an ECS task, a pod, a container of its own, a systemd unit, and `system`, the rest of the host.
pub static WORKLOAD: Table<WorkloadRow> = Table {
    info: Info {
        about: info("workload.info", "What is known about the workload, and its host."),
        labels: ON_WORKLOAD,
        tells: &[
            (label("kind", "tare.workload.kind"), |w, to| {
                to.push_str(match w.seen.about.key {
                    Key::Task(_) => "task",
                    Key::Pod(_) => "pod",
                    Key::Loose(_) => "container",
                    Key::Unit(_) => "unit",
                    Key::System => "system",
                });
            }),
            (label("project", "tare.compose.project"), |w, to| text(&w.seen.about.project, to)),
            (label("family", "aws.ecs.task.family"), |w, to| task(w, |task| &task.family, to)),
            (label("revision", "aws.ecs.task.revision"), |w, to| task(w, |task| &task.revision, to)),
            (label("service", "tare.ecs.service"), |w, to| task(w, |task| &task.service, to)),
            (label("group", "tare.ecs.group"), |w, to| task(w, |task| &task.group, to)),
            (label("launch_type", "aws.ecs.launchtype"), |w, to| to.push_str(facts(w).and_then(|task| task.launch).map_or("", Launch::as_str))),
            (label("capacity_provider", "tare.ecs.capacity_provider"), |w, to| task(w, |task| &task.provider, to)),
            (label("spot", "tare.ecs.spot"), |w, to| {
                to.push_str(match facts(w).and_then(|task| task.spot) {
                    Some(true) => "true",
                    Some(false) => "false",
                    None => "",
                });
            }),
            (label("platform_version", "tare.ecs.platform_version"), |w, to| task(w, |task| &task.platform, to)),
            (label("zone", "cloud.availability_zone"), |w, to| task(w, |task| &task.zone, to)),
            (label("zone_id", "tare.zone_id"), |w, to| task(w, |task| &task.zone_id, to)),
            (label("started_by", "tare.ecs.started_by"), |w, to| task(w, |task| &task.started_by, to)),
            (label("container_instance", "tare.ecs.container_instance"), |w, to| task(w, |task| &task.instance, to)),
            (label("task_arn", "aws.ecs.task.arn"), |w, to| {
                to.push_str(facts(w).and_then(|task| task.arn.as_ref()).map_or("", TaskArn::as_str));
            }),
            (label("stop_code", "tare.ecs.stop_code"), |w, to| {
                to.push_str(w.seen.task.as_ref().and_then(|task| task.stop_code.as_deref()).unwrap_or_default())
            }),
            (label("unit", "tare.cgroup.path"), |w, to| {
                if let Key::Unit(path) = &w.seen.about.key {
                    to.push_str(path.as_str());
                }
            }),
        ],
        tags: |w| facts(w).map_or(&[], |task| &task.tags),
    },
    own: Family {
        title: "Workloads",
        labels: ON_WORKLOAD,
        metrics: &[
            metric("workload.state", Unit::Number, Gauge, Standard, "1 for the best state of its containers.", Each(STATE, WORKLOAD_STATES)),
            metric("workload.start_time", Unit::Seconds, Gauge, Detail, "When it started, since 1970.", One(|w| moment(w.seen.started))),
            metric("workload.end_time", Unit::Seconds, Gauge, Detail, "When it ended, since 1970.", One(|w| moment(w.seen.ended))),
            metric("workload.uptime", Unit::Seconds, Gauge, Detail, "Time since it started.", One(|w| time(w.rates.uptime))),
            metric(
                "workload.status",
                Unit::Number,
                Gauge,
                Standard,
                "1 for how far the task is, as ECS says.",
                Each(
                    label("status", "tare.ecs.status"),
                    &[
                        ("provisioning", |w| is(is_at(w, "PROVISIONING"))),
                        ("pending", |w| is(is_at(w, "PENDING"))),
                        ("activating", |w| is(is_at(w, "ACTIVATING"))),
                        ("running", |w| is(is_at(w, "RUNNING"))),
                        ("deactivating", |w| is(is_at(w, "DEACTIVATING"))),
                        ("stopping", |w| is(is_at(w, "STOPPING"))),
                        ("deprovisioning", |w| is(is_at(w, "DEPROVISIONING"))),
                        ("stopped", |w| is(is_at(w, "STOPPED"))),
                    ],
                ),
            ),
            metric(
                "workload.pull.time",
                Unit::Seconds,
                Gauge,
                Standard,
                "Time its images took to be pulled; on Fargate it is billed.",
                One(|w| time(pull_time(w))),
            ),
            metric("workload.disk.used", Unit::Bytes, Gauge, Standard, "What is written of its ephemeral disk.", One(|w| bytes(disk(w)?.used))),
            metric("workload.disk.capacity", Unit::Bytes, Gauge, Standard, "Its ephemeral disk.", One(|w| bytes(disk(w)?.reserved))),
            metric(
                "workload.clock.error",
                Unit::Seconds,
                Gauge,
                Detail,
                "How wrong its clock may be.",
                One(|w| time(w.seen.task.as_ref()?.clock.and_then(|clock| clock.error_bound))),
            ),
            metric("workload.containers", Unit::Of("container"), Level, Standard, "Its containers that have not ended.", One(living_containers)),
            metric(
                "workload.cpu.remainder",
                Unit::Seconds,
                Counter,
                Standard,
                "CPU time used in its own cgroup and seen in none of its containers: by those that came and went between two looks, or before the first. With what its \
                 containers were seen to use it is the workload's CPU time.",
                One(|w| time(w.seen.remainder.map(|remainder| remainder.cpu))),
            ),
            metric("workload.cpu.asked", Unit::Cores, Level, Essential, "CPU it asked for.", One(|w| cores(w.seen.asked.cores))),
            metric("workload.memory.asked", Unit::Bytes, Level, Essential, "Memory it asked for.", One(|w| bytes(w.seen.asked.memory))),
            metric("workload.cpu.limit", Unit::Cores, Gauge, Standard, CPU_LIMIT, One(|w| cores(w.seen.limits.cores.value()))),
            metric("workload.memory.limit", Unit::Bytes, Gauge, Standard, MEMORY_LIMIT, One(|w| bytes(w.seen.limits.memory.value()))),
            metric("workload.swap.limit", Unit::Bytes, Gauge, Detail, SWAP_LIMIT, One(|w| bytes(w.seen.limits.swap.value()))),
            metric("workload.pids.limit", Unit::Of("process"), Gauge, Detail, PIDS_LIMIT, One(|w| count(w.seen.limits.pids.value()))),
            metric("workload.cpu.limit.utilization", Unit::Ratio, Gauge, Standard, CPU_OF_LIMIT, One(|w| ratio(w.rates.cpu_of_limit))),
            metric("workload.memory.limit.utilization", Unit::Ratio, Gauge, Standard, MEMORY_OF_LIMIT, One(|w| ratio(w.rates.memory_of_limit))),
            metric("workload.pids.limit.utilization", Unit::Ratio, Gauge, Detail, PIDS_OF_LIMIT, One(|w| ratio(w.rates.pids_of_limit))),
            metric(
                "workload.cost.now",
                Unit::UsdPerHour,
                Level,
                Essential,
                "Its split of the host's price: the larger of asked and used, at the host's own prices. Of a task on Fargate the price of its size.",
                One(|w| usd(w.cost.now)),
            ),
            metric(
                "workload.cost.part",
                Unit::UsdPerHour,
                Level,
                Detail,
                "What its cost now is made of.",
                Each(
                    label("part", "tare.cost.part"),
                    &[
                        ("cpu", |w| part(w, What::Cpu)),
                        ("memory", |w| part(w, What::Memory)),
                        ("disk", |w| part(w, What::Disk)),
                        ("licence", |w| part(w, What::Licence)),
                    ],
                ),
            ),
            metric(
                "workload.cost.idle_share",
                Unit::UsdPerHour,
                Level,
                Standard,
                "Its share of what nobody asked for or used.",
                One(|w| usd(w.cost.idle_share)),
            ),
            metric(
                "workload.cost.total",
                Unit::UsdPerHour,
                Level,
                Essential,
                "Cost now and the share of idle. Over all workloads it adds up to the host's price; a task on Fargate shares in no host.",
                One(|w| usd(w.cost.total)),
            ),
        ],
    },
    usage: Family { title: "Workloads: usage", labels: ON_WORKLOAD, metrics: usage!("workload") },
    device: Family {
        title: "Workloads: block devices",
        labels: &[CLUSTER, HOST_NAME, WORKLOAD_NAME, TASK, POD, CONTAINER_NAME, DEVICE],
        metrics: device!("workload"),
    },
    interface: Family {
        title: "Workloads: network",
        labels: &[CLUSTER, HOST_NAME, WORKLOAD_NAME, TASK, POD, CONTAINER_NAME, INTERFACE],
        metrics: interface!("workload"),
    },
};

/// The same workload somewhere else.
pub static ELSEWHERE: Family<Otherwise> = Family {
    title: "Workloads elsewhere",
    labels: &[CLUSTER, HOST_NAME, WORKLOAD_NAME, TASK, POD, CONTAINER_NAME, label("arch", "host.arch")],
    metrics: &[
        metric(
            "workload.cost.fargate",
            Unit::UsdPerHour,
            Level,
            Essential,
            "What it would cost as a Fargate task of this architecture. That of a compose project stands at its first workload.",
            One(|o| usd(o.rate)),
        ),
        metric("workload.fargate.cpu", Unit::Cores, Level, Detail, "The size of that task.", One(|o| cores(size(o).map(|size| size.cores)))),
        metric("workload.fargate.memory", Unit::Bytes, Level, Detail, "The size of that task.", One(|o| bytes(size(o).map(|size| size.memory)))),
    ],
};

/// One container. Its network is told with it, so that a missing figure has its reason.
pub static CONTAINER: Table<ContainerRow> = Table {
    info: Info {
        about: info("container.info", "What is known about the container. network: own, shared (counted elsewhere), or host (cannot be measured)."),
        labels: ON_WORKLOAD,
        tells: &[
            (label("id", "container.id"), |c, to| to.push_str(c.seen.about.id.as_str())),
            (label("image", "container.image.name"), |c, to| text(&c.seen.about.image, to)),
            (label("digest", "container.image.id"), |c, to| text(&c.seen.about.digest, to)),
            (label("project", "tare.compose.project"), |c, to| to.push_str(c.seen.about.compose.as_ref().map_or("", |compose| &compose.project))),
            (label("service", "tare.compose.service"), |c, to| to.push_str(c.seen.about.compose.as_ref().map_or("", |compose| &compose.service))),
            (label("role", "tare.container.role"), |c, to| to.push_str(c.seen.about.role.as_str())),
            (label("network", "tare.container.network"), |c, to| to.push_str(network(&c.seen.net))),
        ],
        tags: |_| &[],
    },
    own: Family {
        title: "Containers",
        labels: ON_WORKLOAD,
        metrics: &[
            metric("container.state", Unit::Number, Gauge, Essential, "1 for the state it is in.", Each(STATE, CONTAINER_STATES)),
            metric(
                "container.health",
                Unit::Number,
                Gauge,
                Essential,
                "1 for the verdict of its health check.",
                Each(
                    label("health", "tare.container.health"),
                    &[
                        ("starting", |c| is(c.seen.health == Some(Health::Starting))),
                        ("healthy", |c| is(c.seen.health == Some(Health::Healthy))),
                        ("unhealthy", |c| is(c.seen.health == Some(Health::Unhealthy))),
                    ],
                ),
            ),
            metric("container.restarts", Unit::Of("restart"), Counter, Essential, "How often the runtime started it again.", One(|c| count(c.seen.restarts))),
            metric("container.exit_code", Unit::Number, Gauge, Essential, "Its last exit code.", One(|c| c.seen.exit.map(|code| Value::Real(code as f64)))),
            metric(
                "container.oom_killed",
                Unit::Number,
                Gauge,
                Standard,
                "1 where the runtime says that the kernel killed it for memory.",
                One(|c| c.seen.oom.map(|killed| Value::Count(killed.into()))),
            ),
            metric(
                "container.disk.used",
                Unit::Bytes,
                Gauge,
                Standard,
                "What it has written to its own layer, volumes not included. Where `docker.sizes` asks for it; `tare_source_read_age_seconds` says how old it is.",
                One(|c| bytes(c.seen.disk?.is.written)),
            ),
            metric(
                "container.disk.image",
                Unit::Bytes,
                Gauge,
                Detail,
                "The image below its own layer, shared by all who use it. Where `docker.sizes` asks for it.",
                One(|c| bytes(c.seen.disk?.is.image)),
            ),
            metric("container.start_time", Unit::Seconds, Gauge, Standard, "When this run started, since 1970.", One(|c| moment(c.seen.started))),
            metric("container.end_time", Unit::Seconds, Gauge, Detail, "When it ended, since 1970.", One(|c| moment(c.seen.ended))),
            metric("container.uptime", Unit::Seconds, Gauge, Detail, "Time since this run started.", One(|c| time(c.rates.uptime))),
            metric(
                "container.run_time",
                Unit::Seconds,
                Gauge,
                Standard,
                "Time from its start to its end, once it has ended.",
                One(|c| time(c.closing.as_ref()?.run_time)),
            ),
            metric(
                "container.last_reading_age",
                Unit::Seconds,
                Gauge,
                Detail,
                "Time from its last reading to its end, once it has ended: what it used after that is in no figure of its own.",
                One(|c| time(c.closing.as_ref()?.last_reading_age)),
            ),
            metric("container.cpu.asked", Unit::Cores, Level, Standard, "CPU it asked for.", One(|c| cores(c.seen.asked.cores))),
            metric("container.memory.asked", Unit::Bytes, Level, Standard, "Memory it asked for.", One(|c| bytes(c.seen.asked.memory))),
            metric("container.cpu.limit", Unit::Cores, Gauge, Standard, CPU_LIMIT, One(|c| cores(c.seen.limits.cores.value()))),
            metric("container.memory.limit", Unit::Bytes, Gauge, Standard, MEMORY_LIMIT, One(|c| bytes(c.seen.limits.memory.value()))),
            metric("container.swap.limit", Unit::Bytes, Gauge, Detail, SWAP_LIMIT, One(|c| bytes(c.seen.limits.swap.value()))),
            metric("container.pids.limit", Unit::Of("process"), Gauge, Detail, PIDS_LIMIT, One(|c| count(c.seen.limits.pids.value()))),
            metric("container.cpu.limit.utilization", Unit::Ratio, Gauge, Essential, CPU_OF_LIMIT, One(|c| ratio(c.rates.cpu_of_limit))),
            metric("container.memory.limit.utilization", Unit::Ratio, Gauge, Essential, MEMORY_OF_LIMIT, One(|c| ratio(c.rates.memory_of_limit))),
            metric("container.pids.limit.utilization", Unit::Ratio, Gauge, Standard, PIDS_OF_LIMIT, One(|c| ratio(c.rates.pids_of_limit))),
            metric("container.cpu.shares", Unit::Number, Gauge, Detail, "Its cgroup v1 CPU shares.", One(|c| count(c.seen.weights.cpu_shares))),
            metric("container.cpu.weight", Unit::Number, Gauge, Detail, "Its cgroup v2 CPU weight.", One(|c| count(c.seen.weights.cpu_weight))),
            metric("container.io.weight", Unit::Number, Gauge, Detail, "Its weight at block devices.", One(|c| count(c.seen.weights.io_weight))),
        ],
    },
    usage: Family { title: "Containers: usage", labels: ON_WORKLOAD, metrics: usage!("container") },
    device: Family {
        title: "Containers: block devices",
        labels: &[CLUSTER, HOST_NAME, WORKLOAD_NAME, TASK, POD, CONTAINER_NAME, DEVICE],
        metrics: device!("container"),
    },
    interface: Family {
        title: "Containers: network",
        labels: &[CLUSTER, HOST_NAME, WORKLOAD_NAME, TASK, POD, CONTAINER_NAME, INTERFACE],
        metrics: interface!("container"),
    },
};

/// How each source does.
pub static SOURCE: Family<SourceRow> = Family {
    title: "Sources",
    labels: &[CLUSTER, HOST_NAME, SOURCE_NAME],
    metrics: &[
        metric("source.read.age", Unit::Seconds, Gauge, Essential, "How old its newest reading is.", One(|s| time(s.age))),
        metric("source.read.duration", Unit::Seconds, Gauge, Standard, "How long its last read took.", One(|s| time(s.took))),
        metric("source.read.failures", Unit::Of("read"), Counter, Essential, "Reads that failed since Tare started.", One(|s| count(Some(s.failures)))),
    ],
};

/// What cannot be seen now.
pub static GAP: Family<Gap> = Family {
    title: "Gaps",
    labels: &[CLUSTER, HOST_NAME, SOURCE_NAME, label("what", "tare.gap.what")],
    metrics: &[metric(
        "source.gaps",
        Unit::Of("gap"),
        Level,
        Essential,
        "What the source could not see at the last look; tare doctor says why.",
        One(|_| count(Some(1))),
    )],
};

/// What Tare itself uses, as its last look saw it.
pub static OWN: Family<Own> = Family {
    title: "Tare: usage",
    labels: ON_HOST,
    metrics: &[
        metric("agent.cpu.time", Unit::Seconds, Counter, Standard, "CPU time Tare used since it started.", One(|o| time(Some(o.cpu)))),
        metric("agent.memory.rss", Unit::Bytes, Level, Standard, "Memory Tare holds.", One(|o| bytes(Some(o.memory)))),
    ],
};

/// Tare's own counters, kept as it runs. [`super::agent::Agent`] holds them, in this order.
pub static AGENT: Family<()> = Family {
    title: "Tare",
    labels: &[],
    metrics: &[
        metric("agent.info", Unit::Number, Kind::Info, Standard, "1, with the version that runs.", Live(&[label("version", "service.version")])),
        metric("agent.ticks", Unit::Of("tick"), Counter, Essential, "Looks taken.", Live(&[])),
        metric("agent.ticks.missed", Unit::Of("tick"), Counter, Essential, "Looks that were due while another was still under way.", Live(&[])),
        metric("agent.tick.duration", Unit::Seconds, Histogram, Standard, "Time from look to report.", Live(&[])),
        metric(
            "agent.requests",
            Unit::Of("request"),
            Counter,
            Detail,
            "HTTP requests answered.",
            Live(&[label("path", "url.path"), label("code", "http.response.status_code")]),
        ),
        metric("agent.gaps", Unit::Of("gap"), Counter, Standard, "Gaps that opened, also those that closed again since.", Live(&[SOURCE_NAME])),
        metric(
            "agent.cut",
            Unit::Of("thing"),
            Counter,
            Essential,
            "Things left out, each time one more is: cgroups and containers above the settings' bounds (cgroups, containers), services and tasks of a cluster above 5,000 and 20,000 (services, tasks), rows of what has ended above 2,000, or above 200 in a workload that goes on (ended), rows whose labels are those of another row (same_labels).",
            Live(&[label("reason", "tare.reason")]),
        ),
        metric(
            "sink.requests",
            Unit::Of("request"),
            Counter,
            Standard,
            "Requests that a sink sent, by the HTTP status of the answer; none where there was no answer.",
            Live(&[SINK, label("code", "http.response.status_code")]),
        ),
        metric("sink.samples", Unit::Of("sample"), Counter, Essential, "Samples that the far end of a sink has taken.", Live(&[SINK])),
        metric(
            "sink.dropped",
            Unit::Of("sample"),
            Counter,
            Essential,
            "Samples that the far end of a sink refused for good, by reason; they are not sent again.",
            Live(&[SINK, label("reason", "tare.reason")]),
        ),
        metric("sink.retries", Unit::Of("request"), Counter, Standard, "Requests of a sink that had to be sent again.", Live(&[SINK])),
        metric("sink.error.time", Unit::Seconds, Gauge, Standard, "When a request of a sink last failed or was refused, since 1970.", Live(&[SINK])),
        metric(
            "sink.sent.time",
            Unit::Seconds,
            Gauge,
            Essential,
            "When the look was whose figures the far end of a sink was last sent, since 1970.",
            Live(&[SINK]),
        ),
    ],
};

/// Figures of the report that are no metric, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("CPU in use, bytes a second, shares of time waited", "`rate()` of the counters gives them, over any span."),
    ("Throttled share of periods", "`rate(tare_container_cpu_throttled_periods_total[5m]) / rate(tare_container_cpu_periods_total[5m])`."),
    ("Lists of pages, kernel stacks, page tables, zswap of a cgroup", "`/report.json` has them; so have the machine's own, below."),
    ("Own limits", "The tightest of a cgroup's own limit and its ancestors' is what acts, and is here."),
    ("No limit, nothing asked", "No series; `unless` and `absent()` find them."),
    ("When a source last answered", "`time() - tare_source_read_age_seconds`."),
    ("Oversubscription of the host", "`sum(tare_workload_cpu_asked_cores) > sum(tare_host_cpu_capacity_cores)`, or the report."),
    ("Warnings, reasons, basis and parts of an equivalent", "Sentences for people: `/report.json`, `tare doctor` and `tare cost --explain` have them."),
];

const SOURCE_NAME: Label = label("source", "tare.source");
const STATE: Label = label("state", "tare.state");
const SINK: Label = label("sink", "tare.sink");

const CPU_LIMIT: &str = "The tightest CPU limit on it, its own or an ancestor's.";
const MEMORY_LIMIT: &str = "The tightest memory limit on it, its own or an ancestor's.";
const SWAP_LIMIT: &str = "The tightest swap limit on it, its own or an ancestor's.";
const PIDS_LIMIT: &str = "The tightest limit of processes and threads on it, its own or an ancestor's.";
const CPU_OF_LIMIT: &str = "CPU in use since the last look, over the limit; more than 1 is a burst.";
const MEMORY_OF_LIMIT: &str = "Working set over the memory limit.";
const PIDS_OF_LIMIT: &str = "Processes and threads over their limit.";

/// Only the state that holds is printed: an eighth of the series, and `== 1` reads the same.
macro_rules! states {
    () => { states!("running" Running, "paused" Paused, "restarting" Restarting, "created" Created, "removing" Removing, "exited" Exited, "dead" Dead, "ended" Ended) };
    ($($word:literal $state:ident),*) => { &[$(($word, |row| is(row.seen.state == State::$state))),*] };
}

const WORKLOAD_STATES: &[Word<WorkloadRow>] = states!();
const CONTAINER_STATES: &[Word<ContainerRow>] = states!();

/// The word for whose network a container uses; empty where nobody could say.
pub fn network(net: &NetOwner) -> &'static str {
    match net {
        NetOwner::Unknown => "",
        NetOwner::Own => "own",
        NetOwner::Of(_) | NetOwner::Workload => "shared",
        NetOwner::Host => "host",
    }
}

/// Whether a thing in this state uses nothing any more.
pub fn has_ended(state: State) -> bool {
    matches!(state, State::Exited | State::Dead | State::Ended)
}

pub(super) const fn label(name: &'static str, otel: &'static str) -> Label {
    Label { name, otel }
}

const fn metric<R>(name: &'static str, unit: Unit, kind: Kind, tier: Tier, help: &'static str, points: Points<R>) -> Metric<R> {
    Metric { about: About { name, by: By::Us, unit, kind, tier, help }, points }
}

const fn info(name: &'static str, help: &'static str) -> About {
    About { name, by: By::Us, unit: Unit::Number, kind: Kind::Info, tier: Standard, help }
}

fn text(value: &Option<std::sync::Arc<str>>, to: &mut String) {
    to.push_str(value.as_deref().unwrap_or_default());
}

fn facts(workload: &WorkloadRow) -> Option<&Task> {
    workload.seen.about.task.as_deref()
}

fn task(workload: &WorkloadRow, of: fn(&Task) -> &Option<std::sync::Arc<str>>, to: &mut String) {
    if let Some(task) = facts(workload) {
        text(of(task), to);
    }
}

fn is_at(workload: &WorkloadRow, status: &str) -> bool {
    workload.seen.task.as_ref().and_then(|state| state.known.as_deref()) == Some(status)
}

fn pull_time(workload: &WorkloadRow) -> Option<Duration> {
    let state = workload.seen.task.as_ref()?;
    Duration::try_from(state.pull_stopped?.duration_since(state.pull_started?)).ok()
}

fn disk(workload: &WorkloadRow) -> Option<Storage> {
    workload.seen.task.as_ref()?.storage
}

pub(super) fn count(value: Option<u64>) -> Option<Value> {
    value.map(Value::Count)
}

pub(super) fn bytes(value: Option<Bytes>) -> Option<Value> {
    value.map(|bytes| Value::Count(bytes.0))
}

fn cores(value: Option<Cores>) -> Option<Value> {
    value.map(|cores| Value::Real(cores.0))
}

fn ratio(value: Option<Ratio>) -> Option<Value> {
    value.map(|ratio| Value::Real(ratio.0))
}

pub(super) fn time(value: Option<Duration>) -> Option<Value> {
    value.map(Value::Time)
}

fn usd(value: Option<UsdPerHour>) -> Option<Value> {
    value.map(Value::Usd)
}

/// Nothing we look at is older than 1970; what says so is not known.
pub(super) fn moment(value: Option<Timestamp>) -> Option<Value> {
    Duration::try_from(value?.as_duration()).ok().map(Value::Time)
}

fn is(so: bool) -> Option<Value> {
    so.then_some(Value::Count(1))
}

fn memory(usage: &Usage) -> Option<&Memory> {
    usage.memory.as_ref().map(|memory| &memory.is)
}

fn tcp(usage: &Usage) -> Option<&Tcp> {
    usage.sockets.as_ref().map(|sockets| &sockets.is.tcp)
}

fn udp(usage: &Usage) -> Option<&Udp> {
    usage.sockets.as_ref().map(|sockets| &sockets.is.udp)
}

fn huge(usage: &Usage, size: u64) -> Option<Value> {
    bytes(usage.huge.as_ref()?.is.iter().find(|pages| pages.size == Bytes(size)).map(|pages| pages.used))
}

fn split(usage: &Usage) -> Option<&CpuSplit> {
    usage.cpu.as_ref()?.is.split.as_ref()
}

fn throttling(usage: &Usage) -> Option<&Throttling> {
    usage.cpu.as_ref()?.is.throttling.as_ref()
}

fn pressure(usage: &Usage) -> Option<&Pressure> {
    usage.pressure.as_ref().map(|pressure| &pressure.is)
}

fn some(stall: Option<Stall>) -> Option<Value> {
    stall.map(|stall| Value::Time(stall.some))
}

fn full(stall: Option<Stall>) -> Option<Value> {
    time(stall?.full)
}

fn living_containers(workload: &WorkloadRow) -> Option<Value> {
    let has_containers = !matches!(workload.seen.about.key, Key::Unit(_) | Key::System);
    has_containers.then(|| Value::Count(workload.containers.iter().filter(|container| !has_ended(container.seen.state)).count() as u64))
}

fn part(workload: &WorkloadRow, what: What) -> Option<Value> {
    workload.cost.parts.iter().filter(|part| part.what == what).map(|part| Value::Usd(part.rate)).reduce(Value::plus)
}

fn size(otherwise: &Otherwise) -> Option<crate::cost::Size> {
    let crate::cost::Elsewhere::Fargate { size, .. } = &otherwise.on;
    *size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_one_word_everywhere() {
        let words: Vec<String> = [State::Running, State::Paused, State::Restarting, State::Created, State::Removing, State::Exited, State::Dead, State::Ended]
            .iter()
            .map(|state| serde_json::to_value(state).unwrap().as_str().unwrap().to_owned())
            .collect();
        assert_eq!(words, CONTAINER_STATES.iter().map(|(word, _)| *word).collect::<Vec<_>>());
        assert_eq!(words, WORKLOAD_STATES.iter().map(|(word, _)| *word).collect::<Vec<_>>());
    }
}

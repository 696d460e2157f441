//! Workloads: what is known of them, how they are, what they use, what they cost here and elsewhere.

use super::*;

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

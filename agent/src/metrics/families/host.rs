//! The machine: what is known of it, its size and use, its price, its file systems and volumes.

use super::*;

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

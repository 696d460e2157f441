//! From a figure's meaning (`memory.working_set_bytes`) to its place in the report.

use std::time::Duration;

use collector::identity::Key;
use collector::snapshot::{Asked, Cpu, Device, Interface, IoDevice, Limits, Memory, NetOwner, Pressure, Seen, Stall, State, Usage};
use collector::units::{Bytes, Cores, Limit};
use serde_json::{Value, json};
use tare::cost::{Cost, Elsewhere, NodeCost, Otherwise, UsdPerHour};
use tare::rates::Rates;
use tare::report::{ContainerRow, HostRow, Report, WorkloadRow};

use crate::case::About;

/// Why a figure has no answer at all.
#[derive(Debug)]
pub enum NoFigure {
    /// It belongs to a part of Tare that is not built: skipped, by name.
    NotYet(&'static str),
    /// Nobody taught it here: the expectation fails.
    Unmapped(String),
}

/// One row of a report.
#[derive(Clone, Copy)]
pub enum Row<'a> {
    /// The machine.
    Host(&'a HostRow),
    /// A task, pod, loose container or unit.
    Workload(&'a WorkloadRow),
    /// A container in its workload.
    Container(&'a ContainerRow, &'a WorkloadRow),
}

/// The part of a row that is meant.
#[derive(Default)]
pub struct Part {
    device: Option<String>,
    interface: Option<String>,
}

impl Part {
    /// As `about` names it.
    pub fn of(about: &About) -> Part {
        Part { device: about.member("device"), interface: about.member("interface") }
    }
}

/// Every figure of a group, for `cpu.*`.
const GROUPS: [(&str, &[&str]); 7] = [
    ("cpu", &["time_seconds", "user_seconds", "system_seconds", "periods", "throttled_periods", "throttled_seconds", "cores", "ratio", "throttled_ratio"]),
    (
        "memory",
        &[
            "usage_bytes",
            "working_set_bytes",
            "anon_bytes",
            "file_bytes",
            "shmem_bytes",
            "slab_bytes",
            "kernel_bytes",
            "sock_bytes",
            "peak_bytes",
            "swap_bytes",
            "ratio",
            "oom_kills",
            "oom_events",
            "high_events",
            "max_events",
            "major_faults",
        ],
    ),
    ("io", &["read_bytes", "write_bytes", "reads", "writes", "read_bytes_per_second", "write_bytes_per_second"]),
    ("net", &["rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_bytes_per_second", "tx_bytes_per_second"]),
    ("psi", &["cpu.some_seconds", "cpu.full_seconds", "memory.some_seconds", "memory.full_seconds", "io.some_seconds", "io.full_seconds"]),
    ("pids", &["current", "ratio"]),
    ("asked", &["cores", "memory_bytes"]),
];

type Figure = Result<Option<Value>, NoFigure>;

impl<'a> Row<'a> {
    /// How it is called in messages.
    pub fn name(self) -> String {
        match self {
            Row::Host(_) => "host".into(),
            Row::Workload(row) => format!("workload {}", row.seen.about.name),
            Row::Container(row, _) => format!("container {}", row.seen.about.label()),
        }
    }

    /// Whether it is the same thing as another look's row.
    pub fn same(self, other: Row<'_>) -> bool {
        match (self, other) {
            (Row::Host(_), Row::Host(_)) => true,
            (Row::Workload(a), Row::Workload(b)) => a.seen.about.key == b.seen.about.key,
            (Row::Container(a, _), Row::Container(b, _)) => a.seen.about.id == b.seen.about.id,
            _ => false,
        }
    }

    /// Whether it was made or started anew since `before`.
    pub fn started_again(self, before: Row<'_>) -> bool {
        match (self, before) {
            (Row::Workload(a), Row::Workload(b)) => (a.seen.start, &a.seen.cgroup) != (b.seen.start, &b.seen.cgroup),
            (Row::Container(a, _), Row::Container(b, _)) => (a.seen.start, &a.seen.cgroup) != (b.seen.start, &b.seen.cgroup),
            _ => false,
        }
    }

    /// What it uses.
    pub fn usage(self) -> &'a Usage {
        match self {
            Row::Host(row) => &row.seen.usage,
            Row::Workload(row) => &row.seen.usage,
            Row::Container(row, _) => &row.seen.usage,
        }
    }

    /// What is said of a figure in words: for money its marks, for all else what is wrong with the row.
    pub fn sentences(self, figure: &str) -> Vec<String> {
        let money = figure.starts_with("cost") || figure == "oversubscribed";
        let words = |words: &[std::sync::Arc<str>]| words.iter().map(|words| words.to_string()).collect::<Vec<_>>();
        match self {
            Row::Host(row) if money => {
                let assumed = row.cost.region.as_ref().filter(|region| region.assumed).map(|region| format!("region {} is assumed", region.name));
                [&row.cost.why_no_price, &row.cost.oversubscribed].into_iter().flatten().map(|words| words.to_string()).chain(assumed).collect()
            }
            Row::Host(_) => Vec::new(),
            Row::Workload(row) | Row::Container(_, row) if money => row.cost.otherwise.iter().flat_map(marks).collect(),
            Row::Workload(row) => words(&row.warnings),
            Row::Container(row, _) => words(&row.warnings),
        }
    }

    fn rates(self) -> &'a Rates {
        match self {
            Row::Host(row) => &row.rates,
            Row::Workload(row) => &row.rates,
            Row::Container(row, _) => &row.rates,
        }
    }

    fn limits(self) -> Limits {
        match self {
            Row::Host(row) => Limits {
                cores: row.seen.cores.map_or(Limit::Unknown, |cores| Limit::Of(Cores(f64::from(cores)))),
                memory: row.seen.memory.map_or(Limit::Unknown, Limit::Of),
                ..Limits::default()
            },
            Row::Workload(row) => row.seen.limits,
            Row::Container(row, _) => row.seen.limits,
        }
    }

    fn asked(self) -> Asked {
        match self {
            Row::Host(_) => Asked::default(),
            Row::Workload(row) => row.seen.asked,
            Row::Container(row, _) => row.seen.asked,
        }
    }

    /// A figure of it; `None` is not known.
    pub fn figure(self, name: &str, part: &Part) -> Figure {
        if let Some((group, figures)) = GROUPS.iter().find(|(group, _)| name.strip_suffix(".*") == Some(group)) {
            let all: Vec<Option<Value>> = figures.iter().map(|figure| self.figure(&format!("{group}.{figure}"), part)).collect::<Result<_, _>>()?;
            let known: Vec<Value> = all.into_iter().flatten().collect();
            return Ok((!known.is_empty()).then_some(Value::Array(known)));
        }
        let Some((group, figure)) = name.split_once('.') else { return self.word(name) };
        let usage = self.usage();
        match group {
            "cpu" => self.cpu(figure),
            "memory" => self.memory(figure),
            "io" => io(usage, self.rates(), figure, part.device.as_deref()),
            "net" => net(usage, self.rates(), figure, part.interface.as_deref()),
            "pids" => Ok(match figure {
                "current" => usage.pids.map(|pids| pids.is.into()),
                "limit" => self.limits().pids.value().map(Value::from),
                "ratio" => self.rates().pids_of_limit.and_then(|ratio| number(ratio.0)),
                _ => return unmapped(name),
            }),
            "psi" => psi(usage.pressure.map(|seen| seen.is).unwrap_or_default(), self.rates(), figure),
            "asked" => Ok(match figure {
                "cores" => self.asked().cores.and_then(|cores| number(cores.0)),
                "memory_bytes" => self.asked().memory.map(bytes),
                "gpus" => return Err(NoFigure::NotYet("GPUs are not looked at yet")),
                _ => return unmapped(name),
            }),
            "image" => self.image(figure),
            "cost" => self.cost(figure),
            _ => unmapped(name),
        }
    }

    fn cpu(self, figure: &str) -> Figure {
        let cpu: Option<Cpu> = self.usage().cpu.map(|seen| seen.is);
        let throttling = cpu.and_then(|cpu| cpu.throttling);
        let rates = self.rates();
        Ok(match figure {
            "time_seconds" => cpu.map(|cpu| seconds(cpu.time)),
            "user_seconds" => cpu.and_then(|cpu| Some(seconds(cpu.split?.user))),
            "system_seconds" => cpu.and_then(|cpu| Some(seconds(cpu.split?.system))),
            "periods" => throttling.map(|throttling| throttling.periods.into()),
            "throttled_periods" => throttling.map(|throttling| throttling.throttled.into()),
            "throttled_seconds" => throttling.map(|throttling| seconds(throttling.time)),
            "cores" | "time_seconds_per_second" => rates.cpu.and_then(|cores| number(cores.0)),
            "limit_cores" => self.limits().cores.value().and_then(|cores| number(cores.0)),
            "ratio" => rates.cpu_of_limit.and_then(|ratio| number(ratio.0)),
            "throttled_ratio" => rates.throttled.and_then(|ratio| number(ratio.0)),
            "shares" | "weight" => match self {
                Row::Container(row, _) => if figure == "shares" { row.seen.weights.cpu_shares } else { row.seen.weights.cpu_weight }.map(Value::from),
                _ => None,
            },
            _ => return unmapped(&format!("cpu.{figure}")),
        })
    }

    fn memory(self, figure: &str) -> Figure {
        let memory: Memory = self.usage().memory.map(|seen| seen.is).unwrap_or_default();
        let size = match figure {
            "usage_bytes" | "used_bytes" => memory.used,
            "working_set_bytes" => memory.working_set,
            "anon_bytes" | "rss_bytes" => memory.anon,
            "file_bytes" | "cache_bytes" => memory.file,
            "shmem_bytes" => memory.shmem,
            "slab_bytes" => memory.slab,
            "kernel_bytes" | "kmem_bytes" => memory.kernel,
            "sock_bytes" => memory.sock,
            "peak_bytes" | "max_usage_bytes" => memory.peak,
            "swap_bytes" => memory.swap,
            "limit_bytes" => self.limits().memory.value(),
            "swap_limit_bytes" => self.limits().swap.value(),
            _ => {
                return Ok(match figure {
                    "ratio" => self.rates().memory_of_limit.and_then(|ratio| number(ratio.0)),
                    "oom_kills" => memory.oom_kills.map(Value::from),
                    "oom_events" => memory.oom_events.map(Value::from),
                    "high_events" => memory.high_events.map(Value::from),
                    "max_events" | "failcnt" => memory.max_events.map(Value::from),
                    "major_faults" => memory.major_faults.map(Value::from),
                    _ => return unmapped(&format!("memory.{figure}")),
                });
            }
        };
        Ok(size.map(bytes))
    }

    /// Figures without a group: names, states, times.
    fn word(self, name: &str) -> Figure {
        Ok(match (name, self) {
            ("name", Row::Host(row)) => row.seen.name.as_deref().map(Value::from),
            ("name", Row::Workload(row)) => named(row),
            ("name", Row::Container(row, _)) => row.seen.about.name.as_deref().map(Value::from),
            ("uptime_seconds", row) => row.rates().uptime.map(seconds),
            ("limits", row) => serde_json::to_value(row.limits()).ok(),
            ("state", Row::Workload(row)) => serde_json::to_value(row.seen.state).ok(),
            ("started", Row::Workload(row)) => serde_json::to_value(row.seen.started).ok().filter(|value| !value.is_null()),
            ("ended" | "finished", Row::Workload(row)) => serde_json::to_value(row.seen.ended).ok().filter(|value| !value.is_null()),
            ("project", Row::Workload(row)) => row.seen.about.project.as_deref().map(Value::from),
            ("restarts" | "exit_code" | "oom_killed" | "oom" | "health", Row::Workload(row)) if row.containers.len() == 1 => {
                return Row::Container(&row.containers[0], row).word(name);
            }
            ("restarts", Row::Workload(row)) => row.containers.iter().map(|row| row.seen.restarts).sum::<Option<u64>>().map(Value::from),
            ("state", Row::Container(row, _)) => serde_json::to_value(row.seen.state).ok(),
            ("started", Row::Container(row, _)) => row.seen.started.and_then(|at| serde_json::to_value(at).ok()),
            ("ended" | "finished", Row::Container(row, _)) => row.seen.ended.and_then(|at| serde_json::to_value(at).ok()),
            ("restarts", Row::Container(row, _)) => row.seen.restarts.map(Value::from),
            ("exit_code", Row::Container(row, _)) => row.seen.exit.map(Value::from),
            ("oom_killed" | "oom", Row::Container(row, _)) => row.seen.oom.map(Value::from),
            ("health", Row::Container(row, _)) => row.seen.health.and_then(|health| serde_json::to_value(health).ok()),
            ("id", Row::Container(row, _)) => Some(row.seen.about.id.as_str().into()),
            ("project", Row::Container(row, _)) => row.seen.about.compose.as_ref().map(|compose| (*compose.project).into()),
            ("service", Row::Container(row, _)) => row.seen.about.compose.as_ref().map(|compose| (*compose.service).into()),
            ("network", Row::Container(row, _)) => serde_json::to_value(&row.seen.net).ok(),
            ("role", _) => return Err(NoFigure::NotYet("roles come with the runtimes that have them")),
            ("health" | "exit_code" | "oom_killed" | "oom" | "restarts" | "uptime" | "started" | "state" | "id" | "project" | "service", _) => None,
            ("arch", Row::Host(row)) => row.seen.arch.as_deref().map(Value::from),
            ("kernel", Row::Host(row)) => row.seen.kernel.as_deref().map(Value::from),
            ("cores", Row::Host(row)) => row.seen.cores.map(Value::from),
            ("booted", Row::Host(row)) => row.seen.booted.and_then(|at| serde_json::to_value(at).ok()),
            ("region", Row::Host(row)) => row.seen.instance.region.as_deref().map(Value::from),
            ("instance_type", Row::Host(row)) => row.seen.instance.kind.as_deref().map(Value::from),
            ("oversubscribed", Row::Host(row)) => Some(row.cost.oversubscribed.is_some().into()),
            _ => return unmapped(name),
        })
    }

    fn image(self, figure: &str) -> Figure {
        let about = match self {
            Row::Container(row, _) => &row.seen.about,
            Row::Workload(row) if row.containers.len() == 1 => &row.containers[0].seen.about,
            _ => return Ok(None),
        };
        let asked = about.image.as_deref();
        let (name, tag) = asked.map_or((None, None), |image| {
            let image = image.split_once('@').map_or(image, |(image, _)| image);
            // A colon before the last slash is a registry's port.
            match image.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (Some(name), Some(tag)),
                _ => (Some(image), None),
            }
        });
        Ok(match figure {
            "name" => name.map(Value::from),
            "tag" => tag.map(Value::from),
            "digest" => about.digest.as_deref().map(Value::from),
            _ => return unmapped(&format!("image.{figure}")),
        })
    }

    fn cost(self, figure: &str) -> Figure {
        match self {
            Row::Host(row) => node_cost(&row.cost, figure),
            Row::Workload(row) | Row::Container(_, row) => cost(&row.cost, figure),
        }
    }
}

/// A uid or an id is no name.
fn named(row: &WorkloadRow) -> Option<Value> {
    let id = match &row.seen.about.key {
        Key::Task(id) => id.as_str(),
        Key::Pod(uid) => uid.as_str(),
        _ => "",
    };
    (*row.seen.about.name != *id).then(|| Value::from(&*row.seen.about.name))
}

fn io(usage: &Usage, rates: &Rates, figure: &str, device: Option<&str>) -> Figure {
    let meant = |of: Device| device.is_none_or(|device| of.to_string() == device);
    let rows: Option<Vec<&IoDevice>> = usage.io.as_ref().map(|seen: &Seen<_>| seen.is.iter().filter(|row| meant(row.device)).collect());
    let rows = rows.filter(|rows| device.is_none() || !rows.is_empty());
    let sum = |of: fn(&IoDevice) -> Option<u64>| rows.as_ref().and_then(|rows| rows.iter().map(|row| of(row)).sum::<Option<u64>>()).map(Value::from);
    let moving: Vec<_> = rates.io.iter().filter(|rate| meant(rate.device)).collect();
    let speed = |of: fn(&tare::rates::IoRate) -> f64| if moving.is_empty() { None } else { number(moving.iter().map(|rate| of(rate)).sum()) };
    Ok(match figure {
        "read_bytes" => sum(|row| Some(row.read.0)),
        "write_bytes" | "written_bytes" => sum(|row| Some(row.written.0)),
        "reads" => sum(|row| row.reads),
        "writes" => sum(|row| row.writes),
        "read_bytes_per_second" => speed(|rate| rate.read),
        "write_bytes_per_second" | "written_bytes_per_second" => speed(|rate| rate.written),
        "devices" => rows.map(|rows| rows.len().into()),
        _ => return unmapped(&format!("io.{figure}")),
    })
}

fn net(usage: &Usage, rates: &Rates, figure: &str, interface: Option<&str>) -> Figure {
    let meant = |row: &&Interface| interface.is_none_or(|name| *row.name == *name);
    let rows: Option<Vec<&Interface>> = usage.net.as_ref().map(|seen| seen.is.iter().filter(meant).collect());
    // A name space without an interface has no series: there is nothing that could have been measured.
    let rows = rows.filter(|rows| !rows.is_empty());
    let sum = |of: fn(&Interface) -> u64| rows.as_ref().map(|rows| rows.iter().map(|row| of(row)).sum::<u64>().into());
    let speed = |all: Option<f64>| if interface.is_none() { all.and_then(number) } else { None };
    Ok(match figure {
        "rx_bytes" => sum(|row| row.received.bytes.0),
        "tx_bytes" => sum(|row| row.sent.bytes.0),
        "rx_packets" => sum(|row| row.received.packets),
        "tx_packets" => sum(|row| row.sent.packets),
        "rx_errors" => sum(|row| row.received.errors),
        "tx_errors" => sum(|row| row.sent.errors),
        "rx_dropped" => sum(|row| row.received.dropped),
        "tx_dropped" => sum(|row| row.sent.dropped),
        "rx_bytes_per_second" => speed(rates.received),
        "tx_bytes_per_second" => speed(rates.sent),
        "interfaces" => rows.map(|rows| rows.len().into()),
        _ => return unmapped(&format!("net.{figure}")),
    })
}

fn psi(pressure: Pressure, rates: &Rates, figure: &str) -> Figure {
    let Some((resource, figure)) = figure.split_once('.') else { return unmapped(&format!("psi.{figure}")) };
    let (stall, waited): (Option<Stall>, _) = match resource {
        "cpu" => (pressure.cpu, rates.waited.cpu),
        "memory" => (pressure.memory, rates.waited.memory),
        "io" => (pressure.io, rates.waited.io),
        _ => return unmapped(&format!("psi.{resource}")),
    };
    Ok(match figure {
        "some_seconds" => stall.map(|stall| seconds(stall.some)),
        "full_seconds" => stall.and_then(|stall| stall.full).map(seconds),
        "some_ratio" | "some_seconds_per_second" => waited.and_then(|ratio| number(ratio.0)),
        "*" => stall.map(|stall| seconds(stall.some)),
        _ => return unmapped(&format!("psi.{resource}.{figure}")),
    })
}

fn node_cost(cost: &NodeCost, figure: &str) -> Figure {
    let price = cost.price.as_ref();
    Ok(match figure {
        "price_usd" | "price_usd_per_hour" | "node_usd" | "node_usd_per_hour" => price.map(|price| usd(price.usd)),
        "idle_usd" | "idle_usd_per_hour" => cost.idle.map(usd),
        "region" => cost.region.as_ref().map(|region| Value::from(&*region.name)),
        "break_even" | "break_even_ratio" => cost.break_even.and_then(|ratio| number(ratio.0)),
        "fargate_cover" | "fargate_cover_ratio" => cost.fargate_cover.and_then(|ratio| number(ratio.0)),
        "*" => price.map(|price| usd(price.usd)).or(cost.idle.map(usd)),
        _ => return unmapped(&format!("cost.{figure}")),
    })
}

fn cost(cost: &Cost, figure: &str) -> Figure {
    let fargate = cost.otherwise.iter().find(|other| matches!(other.on, Elsewhere::Fargate { .. }));
    let size = fargate.and_then(|other| match &other.on {
        Elsewhere::Fargate { size, .. } => *size,
    });
    Ok(match figure.trim_end_matches("_per_hour") {
        "now_usd" | "split_usd" => cost.now.map(usd),
        "unused_usd" | "idle_share_usd" | "idle_usd" => cost.idle_share.map(usd),
        "total_usd" => cost.total.map(usd),
        "fargate_usd" => fargate.and_then(|other| other.rate).map(usd),
        "fargate_vcpu" | "fargate_cores" => size.and_then(|size| number(size.cores.0)),
        "fargate_memory_gib" | "fargate_gib" => size.and_then(|size| number(size.memory.gib())),
        "fargate_memory_bytes" => size.map(|size| bytes(size.memory)),
        "*" => cost.now.or(cost.total).map(usd),
        _ => return unmapped(&format!("cost.{figure}")),
    })
}

fn marks(other: &Otherwise) -> Vec<String> {
    let early = other.early.then(|| "early: seen for less than an hour".to_owned());
    let basis = other.basis.map(|basis| format!("sized by what was {basis:?}").to_lowercase());
    other.why_not.as_deref().map(str::to_owned).into_iter().chain(early).chain(basis).collect()
}

/// The rows that `about` means; none where nothing of that name was seen.
pub fn rows<'a>(report: &'a Report, about: &About) -> Result<Vec<Row<'a>>, NoFigure> {
    let workloads = || report.workloads.iter();
    let containers = || workloads().flat_map(|workload| workload.containers.iter().map(move |container| Row::Container(container, workload)));
    let members = match about {
        About::Word(word) => {
            return match word.as_str() {
                "host" | "node" => Ok(vec![Row::Host(&report.host)]),
                "*" => Ok([Row::Host(&report.host)].into_iter().chain(workloads().map(Row::Workload)).chain(containers()).collect()),
                "cluster" => Err(NoFigure::NotYet("one host is looked at, no cluster")),
                "emf" | "otlp" | "cloudwatch" | "remote_write" => Err(NoFigure::NotYet("sinks that push are not built yet")),
                word => Err(NoFigure::Unmapped(format!("about {word}"))),
            };
        }
        About::Of(members) => members,
    };
    if members.contains_key("node") || members.contains_key("host") {
        return Ok(vec![Row::Host(&report.host)]);
    }
    let inside = |row: &&WorkloadRow| members.iter().all(|(name, _)| is_workload(row, name, &about.member(name).unwrap_or_default()).unwrap_or(true));
    let meant = workloads().filter(inside);
    if let Some(id) = about.member("container") {
        let of = meant.flat_map(|workload| workload.containers.iter().map(move |container| (container, workload)));
        return Ok(of.filter(|(container, _)| is_container(container, &id)).map(|(container, workload)| Row::Container(container, workload)).collect());
    }
    match members.keys().find(|name| !["task", "pod", "workload", "unit", "device", "interface", "namespace", "only", "run"].contains(&name.as_str())) {
        Some(other) => Err(NoFigure::Unmapped(format!("about {other}"))),
        None => Ok(meant.map(Row::Workload).collect()),
    }
}

/// Whether a workload is the one that this member of `about` names; `None` where the member is not about workloads.
fn is_workload(row: &WorkloadRow, member: &str, value: &str) -> Option<bool> {
    let key = &row.seen.about.key;
    Some(match member {
        "task" => matches!(key, Key::Task(id) if value.rsplit('/').next() == Some(id.as_str())),
        "pod" => matches!(key, Key::Pod(uid) if plain(uid.as_str()) == plain(value)) || matches!(key, Key::Pod(_)) && *row.seen.about.name == *value,
        "unit" => matches!(key, Key::Unit(_)) && *row.seen.about.name == *value,
        "workload" => *row.seen.about.name == *value,
        _ => return None,
    })
}

/// systemd writes a uid with underscores, static pods have none.
fn plain(uid: &str) -> String {
    uid.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn is_container(row: &ContainerRow, value: &str) -> bool {
    let id = row.seen.about.id.as_str();
    id == value || value.len() >= 12 && id.starts_with(value) || row.seen.about.name.as_deref() == Some(value)
}

/// How many there are of a kind.
pub fn count(report: &Report, figure: &str) -> Option<Value> {
    let states = || report.workloads.iter().flat_map(|workload| &workload.containers).map(|container| container.seen.state);
    let keys = |of: fn(&Key) -> bool| report.workloads.iter().filter(|row| row.seen.state != State::Ended && of(&row.seen.about.key)).count();
    let count = match figure {
        // What has left the tree stays for some minutes with its last figures and is counted no more.
        "containers" => states().filter(|state| *state != State::Ended).count(),
        "containers_ended" => states().filter(|state| *state == State::Ended).count(),
        "tasks" => keys(|key| matches!(key, Key::Task(_))),
        "pods" => keys(|key| matches!(key, Key::Pod(_))),
        "units" => keys(|key| matches!(key, Key::Unit(_))),
        "workloads" => keys(|key| !matches!(key, Key::Unit(_) | Key::System)),
        "gaps" => report.gaps.len(),
        _ => {
            let word = figure.strip_prefix("containers_")?;
            let state: State = serde_json::from_value(word.into()).ok()?;
            states().filter(|seen| *seen == state).count()
        }
    };
    Some(count.into())
}

/// `sum_of_containers.net.rx_bytes`: over all rows of the kind that know the figure. `None`: no row does.
/// A network that stands on a workload is its containers' too. Tare adds up no limits anywhere, so a sum of limits is not known.
pub fn sum(report: &Report, name: &str) -> Figure {
    let Some((kind, figure)) = name.split_once('.') else { return unmapped(name) };
    let workloads = |of: fn(&Key) -> bool| report.workloads.iter().filter(move |row| of(&row.seen.about.key)).map(Row::Workload).collect::<Vec<_>>();
    let rows: Vec<Row<'_>> = match kind {
        "limits" => return Ok(None),
        "containers" if figure.starts_with("net.") => report.workloads.iter().flat_map(network).collect(),
        "containers" => report.workloads.iter().flat_map(|row| row.containers.iter().map(move |container| Row::Container(container, row))).collect(),
        "tasks" => workloads(|key| matches!(key, Key::Task(_))),
        "pods" => workloads(|key| matches!(key, Key::Pod(_))),
        "units" => workloads(|key| matches!(key, Key::Unit(_))),
        "workloads" | "rows" | "all" => workloads(|_| true),
        _ => return unmapped(&format!("sum_of_{name}")),
    };
    let name = if figure.contains('.') { figure.to_owned() } else { format!("cost.{figure}") };
    let known: Vec<Value> = rows.iter().map(|row| row.figure(&name, &Part::default())).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    if known.is_empty() {
        return Ok(None);
    }
    Ok(match known.iter().map(Value::as_u64).sum::<Option<u64>>() {
        Some(whole) => Some(whole.into()),
        None => number(known.iter().filter_map(Value::as_f64).sum()),
    })
}

/// The rows of a workload that hold its name spaces: its containers' own, else its own.
fn network(row: &WorkloadRow) -> Vec<Row<'_>> {
    let own: Vec<Row<'_>> =
        row.containers.iter().filter(|container| container.seen.net == NetOwner::Own).map(|container| Row::Container(container, row)).collect();
    if own.is_empty() { vec![Row::Workload(row)] } else { own }
}

fn unmapped<T>(name: &str) -> Result<T, NoFigure> {
    Err(NoFigure::Unmapped(name.into()))
}

fn bytes(bytes: Bytes) -> Value {
    bytes.0.into()
}

fn seconds(span: Duration) -> Value {
    json!(span.as_secs_f64())
}

/// JSON knows no infinity; one that we hand out is a text that no comparison takes for a number.
fn number(number: f64) -> Option<Value> {
    Some(if number.is_finite() { json!(number) } else { Value::from(number.to_string()) })
}

fn usd(rate: UsdPerHour) -> Value {
    serde_json::to_value(rate).expect("a rate is plain data")
}

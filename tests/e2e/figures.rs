//! From a figure's meaning (`memory.working_set_bytes`) to its place in the report.

use std::time::Duration;

use collector::identity::Key;
use collector::snapshot::{Asked, Cpu, Device, Interface, IoDevice, Limits, Memory, Pressure, Seen, Stall, Usage};
use collector::units::{Bytes, Cores, Limit};
use serde_json::{Value, json};
use tare::cost::{Cost, Elsewhere, NodeCost, Otherwise, UsdPerHour};
use tare::rates::Rates;
use tare::report::{ContainerRow, HostRow, WorkloadRow};

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

/// A value, nothing known, or no such figure.
pub type Figure = Result<Option<Value>, NoFigure>;

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

/// A figure that has no place.
pub fn unmapped<T>(name: &str) -> Result<T, NoFigure> {
    Err(NoFigure::Unmapped(name.into()))
}

fn bytes(bytes: Bytes) -> Value {
    bytes.0.into()
}

fn seconds(span: Duration) -> Value {
    json!(span.as_secs_f64())
}

/// JSON knows no infinity: one becomes the text that says so, which no comparison takes for finite.
pub fn number(number: f64) -> Option<Value> {
    Some(if number.is_finite() { json!(number) } else { Value::from(number.to_string()) })
}

fn usd(rate: UsdPerHour) -> Value {
    serde_json::to_value(rate).expect("a rate is plain data")
}

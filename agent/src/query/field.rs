//! Every word and figure of a row that can be asked for by name: what a filter compares, a table is sorted by, a column shows, a CSV file has.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use collector::identity::Key;
use collector::snapshot::{Container, Health, Launch, State, Task, Usage};
use collector::units::{Bytes, Cores, Limit, Ratio};

use crate::cost::{Cost, Elsewhere, Otherwise, UsdPerHour};
use crate::nearest::nearest;
use crate::report::{ContainerRow, Rates, Report, WorkloadRow};
use crate::verdict::verdict;

/// One line of a table: a workload, or one of its several containers.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The whole report.
    pub report: &'a Report,
    /// The workload.
    pub workload: &'a WorkloadRow,
    /// One of its containers; `None` is the workload itself.
    pub inner: Option<&'a ContainerRow>,
}

/// Every line of a report: one container alone is its workload, several follow theirs.
pub fn rows(report: &Report) -> impl Iterator<Item = Row<'_>> {
    report.workloads.iter().flat_map(|workload| {
        let row = Row { report, workload, inner: None };
        std::iter::once(row).chain(row.several().iter().map(move |inner| Row { inner: Some(inner), ..row }))
    })
}

impl<'a> Row<'a> {
    /// The container that this line is about: its own, or the only one of its workload.
    pub fn container(&self) -> Option<&'a Container> {
        match (self.inner, self.workload.containers.as_slice()) {
            (Some(inner), _) => Some(&inner.seen),
            (None, [only]) => Some(&only.seen),
            (None, _) => None,
        }
    }

    /// The containers that have lines of their own below this one.
    pub fn several(&self) -> &'a [ContainerRow] {
        if self.inner.is_none() && self.workload.containers.len() > 1 { &self.workload.containers } else { &[] }
    }

    /// How fast it moves.
    pub fn rates(&self) -> &'a Rates {
        self.inner.map_or(&self.workload.rates, |inner| &inner.rates)
    }

    /// What it uses.
    pub fn usage(&self) -> &'a Usage {
        self.inner.map_or(&self.workload.seen.usage, |inner| &inner.seen.usage)
    }

    fn state(&self) -> State {
        self.inner.map_or(self.workload.seen.state, |inner| inner.seen.state)
    }

    /// A bill is written to workloads.
    fn cost(&self) -> Option<&'a Cost> {
        self.inner.is_none().then_some(&self.workload.cost)
    }

    fn fargate(&self) -> Option<&'a Otherwise> {
        self.cost()?.otherwise.iter().find(|otherwise| matches!(otherwise.on, Elsewhere::Fargate { .. }))
    }

    /// What it has written to its own layer, or its containers to theirs, as far as each is known.
    fn layer(&self) -> Option<Bytes> {
        let written = |one: &ContainerRow| one.seen.disk?.is.written;
        match self.inner {
            Some(inner) => written(inner),
            None => self.workload.containers.iter().map(written).reduce(|sum, one| Some(Bytes(sum?.0.saturating_add(one?.0)))).flatten(),
        }
    }

    fn restarts(&self) -> Option<u64> {
        match self.inner {
            Some(inner) => inner.seen.restarts,
            None => self.workload.containers.iter().filter_map(|one| one.seen.restarts).reduce(u64::saturating_add),
        }
    }
}

/// What a field says of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nobody could say.
    Unknown,
    /// Words; empty where there are none.
    Text(Cow<'a, str>),
    /// A figure in the field's unit. Infinite: known to have no limit.
    Number(f64),
}

/// What a field's figures are counted in. Its word ends the name in files for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// No figure.
    Text,
    /// CPU cores.
    Cores,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// A share; 1 is all of it.
    Share,
    /// Dollars an hour.
    UsdPerHour,
    /// So many.
    Count,
    /// Seconds.
    Seconds,
}

impl Unit {
    fn suffix(self) -> &'static str {
        match self {
            Unit::Text | Unit::Count => "",
            Unit::Cores => "_cores",
            Unit::Bytes => "_bytes",
            Unit::BytesPerSecond => "_bytes_per_second",
            Unit::Share => "_ratio",
            Unit::UsdPerHour => "_usd_per_hour",
            Unit::Seconds => "_seconds",
        }
    }
}

/// One thing that can be asked for.
#[derive(Debug)]
pub struct Field {
    /// How people call it.
    pub name: &'static str,
    /// How they also call it.
    pub also: &'static [&'static str],
    /// What its figures are counted in.
    pub unit: Unit,
    /// Over its column.
    pub head: &'static str,
    /// The field that says how much of the limit this is, for `memory>50%`.
    pub share: Option<&'static str>,
    /// All it can say, where those are few.
    pub words: &'static [&'static str],
    of: for<'a> fn(&Row<'a>) -> Value<'a>,
}

impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        self.name == other.name
    }
}

impl Eq for Field {}

impl Field {
    /// What it says of a row.
    pub fn of<'a>(&self, row: &Row<'a>) -> Value<'a> {
        (self.of)(row)
    }

    /// Its name with its unit: `memory_bytes`.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.name, self.unit.suffix())
    }
}

/// The field of this name. Errors say which name was probably meant, else all.
pub fn find(name: &str) -> Result<&'static Field, String> {
    let lower = name.to_ascii_lowercase();
    let called = |field: &&Field| field.name == lower || field.also.contains(&&*lower) || field.full_name() == lower;
    FIELDS.iter().find(called).ok_or_else(|| {
        let names = FIELDS.iter().flat_map(|field| std::iter::once(field.name).chain(field.also.iter().copied()));
        let hint = match nearest(name, names) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("there are {}", names_of_all()),
        };
        format!("nothing is called {:?}; {hint}", name.chars().take(40).collect::<String>())
    })
}

/// All names, for errors and help.
pub fn names_of_all() -> String {
    FIELDS.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
}

/// All fields, in the order of a file's columns. A new one needs no other line.
pub const FIELDS: &[Field] = &[
    text("workload", &["name"], "WORKLOAD", |row| words(&row.workload.seen.about.name)),
    text("container", &[], "CONTAINER", |row| row.container().map_or(NONE, |one| words(one.about.label()))),
    Field { words: &["task", "pod", "container", "unit", "system"], ..text("kind", &[], "KIND", |row| words(kind(row))) },
    text("project", &[], "PROJECT", |row| optional(row.workload.seen.about.project.as_deref())),
    text("service", &[], "SERVICE", |row| {
        let ecs = task(row).and_then(|task| task.service.as_deref());
        optional(ecs.or_else(|| row.container().and_then(|one| Some(&*one.about.compose.as_ref()?.service))))
    }),
    text("family", &[], "FAMILY", |row| optional(task(row).and_then(|task| task.family.as_deref()))),
    text("revision", &[], "REVISION", |row| optional(task(row).and_then(|task| task.revision.as_deref()))),
    Field {
        words: &["ec2", "fargate", "external", "managed-instances"],
        ..text("launch", &["launch_type"], "LAUNCH", |row| optional(task(row).and_then(|task| task.launch).map(Launch::as_str)))
    },
    text("provider", &["capacity_provider"], "PROVIDER", |row| optional(task(row).and_then(|task| task.provider.as_deref()))),
    Field { words: &["app", "pause", "internal"], ..text("role", &[], "ROLE", |row| optional(row.container().map(|one| one.about.role.as_str()))) },
    text("image", &[], "IMAGE", |row| optional(row.container().and_then(|one| one.about.image.as_deref()))),
    text("id", &[], "ID", |row| words(id(row))),
    Field {
        words: &["running", "paused", "restarting", "created", "removing", "exited", "dead", "ended"],
        ..text("state", &["status"], "STATE", |row| words(state(row.state())))
    },
    Field {
        words: &["starting", "healthy", "unhealthy"],
        ..text("health", &[], "HEALTH", |row| optional(row.container().and_then(|one| one.health).map(health)))
    },
    figure("exit", &["exit_code"], Unit::Count, "EXIT", |row| number(row.container().and_then(|one| one.exit).map(|code| code as f64))),
    figure("restarts", &[], Unit::Count, "RESTARTS", |row| count(row.restarts())),
    figure("uptime", &["age"], Unit::Seconds, "UPTIME", |row| number(row.rates().uptime.map(|span| span.as_secs_f64()))),
    Field { share: Some("cpu_of_limit"), ..figure("cpu", &[], Unit::Cores, "CPU", |row| cores(row.rates().cpu)) },
    figure("cpu_of_limit", &[], Unit::Share, "CPU/LIMIT", |row| ratio(row.rates().cpu_of_limit)),
    figure("cpu_asked", &[], Unit::Cores, "CPU ASKED", |row| cores(row.inner.map_or(row.workload.seen.asked, |inner| inner.seen.asked).cores)),
    figure("cpu_limit", &[], Unit::Cores, "CPU LIMIT", |row| limit(limits(row).cores, |cores| cores.0)),
    figure("throttled", &[], Unit::Share, "THROTTLED", |row| ratio(row.rates().throttled)),
    Field {
        share: Some("memory_of_limit"),
        ..figure("memory", &["mem"], Unit::Bytes, "MEMORY", |row| bytes(row.usage().memory.and_then(|seen| seen.is.held())))
    },
    figure("memory_of_limit", &["mem_of_limit"], Unit::Share, "MEM/LIMIT", |row| ratio(row.rates().memory_of_limit)),
    figure("memory_asked", &["mem_asked"], Unit::Bytes, "MEM ASKED", |row| bytes(row.inner.map_or(row.workload.seen.asked, |inner| inner.seen.asked).memory)),
    figure("memory_limit", &["mem_limit"], Unit::Bytes, "MEM LIMIT", |row| limit(limits(row).memory, |bytes| bytes.0 as f64)),
    figure("swap", &[], Unit::Bytes, "SWAP", |row| bytes(row.usage().memory.and_then(|seen| seen.is.swap))),
    figure("net", &["network"], Unit::BytesPerSecond, "NET", |row| number(sum(row.rates().received, row.rates().sent))),
    figure("received", &["net_in"], Unit::BytesPerSecond, "NET IN", |row| number(row.rates().received)),
    figure("sent", &["net_out"], Unit::BytesPerSecond, "NET OUT", |row| number(row.rates().sent)),
    figure("io", &[], Unit::BytesPerSecond, "IO", |row| number(sum(io(row, |rate| rate.read), io(row, |rate| rate.written)))),
    figure("read", &[], Unit::BytesPerSecond, "READ", |row| number(io(row, |rate| rate.read))),
    figure("written", &[], Unit::BytesPerSecond, "WRITTEN", |row| number(io(row, |rate| rate.written))),
    figure("disk", &["layer"], Unit::Bytes, "DISK", |row| bytes(row.layer())),
    Field { share: Some("pids_of_limit"), ..figure("pids", &[], Unit::Count, "PIDS", |row| count(row.usage().pids.map(|seen| seen.is))) },
    figure("pids_of_limit", &[], Unit::Share, "PIDS/LIMIT", |row| ratio(row.rates().pids_of_limit)),
    figure("pids_limit", &[], Unit::Count, "PIDS LIMIT", |row| limit(limits(row).pids, |pids| pids as f64)),
    figure("files", &[], Unit::Count, "FILES", |row| count(row.usage().files.and_then(|seen| seen.is.open))),
    figure("cpu_waited", &["cpu_pressure"], Unit::Share, "CPU WAIT", |row| ratio(row.rates().waited.cpu)),
    figure("memory_waited", &["memory_pressure"], Unit::Share, "MEM WAIT", |row| ratio(row.rates().waited.memory)),
    figure("io_waited", &["io_pressure"], Unit::Share, "IO WAIT", |row| ratio(row.rates().waited.io)),
    figure("now", &["cost"], Unit::UsdPerHour, "NOW $/h", |row| usd(row.cost().and_then(|cost| cost.now))),
    figure("idle", &[], Unit::UsdPerHour, "IDLE $/h", |row| usd(row.cost().and_then(|cost| cost.idle_share))),
    figure("total", &["with_idle"], Unit::UsdPerHour, "WITH IDLE", |row| usd(row.cost().and_then(|cost| cost.total))),
    figure("fargate", &[], Unit::UsdPerHour, "FARGATE $/h", |row| usd(row.fargate().and_then(|otherwise| otherwise.rate))),
    text("says", &[], "SAYS", says),
    text("warnings", &[], "WARNINGS", |row| Value::Text(row.inner.map_or(&row.workload.warnings, |inner| &inner.warnings).join("; ").into())),
];

const fn text(name: &'static str, also: &'static [&'static str], head: &'static str, of: for<'a> fn(&Row<'a>) -> Value<'a>) -> Field {
    Field { name, also, unit: Unit::Text, head, share: None, words: &[], of }
}

const fn figure(name: &'static str, also: &'static [&'static str], unit: Unit, head: &'static str, of: for<'a> fn(&Row<'a>) -> Value<'a>) -> Field {
    Field { name, also, unit, head, share: None, words: &[], of }
}

const NONE: Value<'static> = Value::Text(Cow::Borrowed(""));

fn words(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn optional(text: Option<&str>) -> Value<'_> {
    text.map_or(NONE, words)
}

fn number(figure: Option<f64>) -> Value<'static> {
    figure.filter(|figure| !figure.is_nan()).map_or(Value::Unknown, Value::Number)
}

fn count(count: Option<u64>) -> Value<'static> {
    number(count.map(|count| count as f64))
}

fn cores(cores: Option<Cores>) -> Value<'static> {
    number(cores.map(|cores| cores.0))
}

fn bytes(bytes: Option<Bytes>) -> Value<'static> {
    count(bytes.map(|bytes| bytes.0))
}

fn ratio(ratio: Option<Ratio>) -> Value<'static> {
    number(ratio.map(|ratio| ratio.0))
}

fn usd(rate: Option<UsdPerHour>) -> Value<'static> {
    number(rate.map(UsdPerHour::usd))
}

fn limit<T>(limit: Limit<T>, figure: impl Fn(T) -> f64) -> Value<'static> {
    match limit {
        Limit::Unknown => Value::Unknown,
        Limit::Unlimited => Value::Number(f64::INFINITY),
        Limit::Of(value) => number(Some(figure(value))),
    }
}

fn limits(row: &Row<'_>) -> collector::snapshot::Limits {
    row.inner.map_or(row.workload.seen.limits, |inner| inner.seen.limits)
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? + b?)
}

/// Over all devices. No device at all is known to be nothing; devices without a rate have been seen once only.
fn io(row: &Row<'_>, part: impl Fn(&crate::report::IoRate) -> f64) -> Option<f64> {
    let rates = &row.rates().io;
    (!rates.is_empty() || row.usage().io.as_ref().is_some_and(|seen| seen.is.is_empty())).then(|| rates.iter().map(part).sum())
}

fn task<'a>(row: &Row<'a>) -> Option<&'a Task> {
    row.workload.seen.about.task.as_deref()
}

fn kind(row: &Row<'_>) -> &'static str {
    match (row.inner, &row.workload.seen.about.key) {
        (Some(_), _) | (None, Key::Loose(_)) => "container",
        (None, Key::Task(_)) => "task",
        (None, Key::Pod(_)) => "pod",
        (None, Key::Unit(_)) => "unit",
        (None, Key::System) => "system",
    }
}

fn id<'a>(row: &Row<'a>) -> &'a str {
    match (row.inner, &row.workload.seen.about.key) {
        (Some(inner), _) => inner.seen.about.id.as_str(),
        (None, Key::Loose(id)) => id.as_str(),
        (None, Key::Task(id)) => id.as_str(),
        (None, Key::Pod(id)) => id.as_str(),
        (None, Key::Unit(path)) => path.as_str(),
        (None, Key::System) => "",
    }
}

/// The word in JSON.
fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Paused => "paused",
        State::Restarting => "restarting",
        State::Created => "created",
        State::Removing => "removing",
        State::Exited => "exited",
        State::Dead => "dead",
        State::Ended => "ended",
    }
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

fn says<'a>(row: &Row<'a>) -> Value<'a> {
    let today = row.report.at.wall.map(|at| at.to_zoned(TimeZone::UTC).date());
    match row.inner {
        Some(_) => NONE,
        None => Value::Text(verdict(row.workload, &row.report.host, today).into()),
    }
}

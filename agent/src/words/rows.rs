//! Which workloads a table shows, and in which order: what runs before what ended, what works hard before what idles, the host's own things last.

use std::cmp::Reverse;

use collector::identity::Key;
use collector::snapshot::{Role, Scope, State, Usage};
use collector::units::Bytes;

use crate::report::{ContainerRow, Report, WorkloadRow};

/// The rows of a table.
pub(crate) struct Chosen<'a> {
    /// One row each.
    pub(crate) shown: Vec<&'a WorkloadRow>,
    /// Quiet units of the host, to be told in one row. Never just one of them.
    pub(crate) rest: Vec<&'a WorkloadRow>,
}

/// What is said where there is no row.
pub(crate) fn none(report: &Report) -> &'static str {
    match report.scope {
        Scope::Cluster => "a whole cluster has no row here: /metrics and /report.json tell its services, and each of its Tares what runs there",
        Scope::Node | Scope::Task => "nothing to show: no container and no unit was seen",
    }
}

/// On a host with containers its units are scenery: those stay that use 2 % of a core or of the memory, or that have something wrong.
/// Without containers they are what there is to see, and the busiest of them stay.
pub(crate) fn choose(report: &Report, all: bool) -> Chosen<'_> {
    let mut shown: Vec<&WorkloadRow> = report.workloads.iter().collect();
    shown.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.seen.about.name.cmp(&b.seen.about.name)).then_with(|| a.seen.about.key.cmp(&b.seen.about.key)));
    split(report, shown, all)
}

/// The same in the order in which the report has them.
pub(crate) fn choose_in_order(report: &Report, all: bool) -> Chosen<'_> {
    split(report, report.workloads.iter().collect(), all)
}

fn split<'a>(report: &Report, shown: Vec<&'a WorkloadRow>, all: bool) -> Chosen<'a> {
    if all {
        return Chosen { shown, rest: Vec::new() };
    }
    let containers = shown.iter().any(|row| kind(row) == 0);
    let memory = report.host.seen.memory.map_or(f64::INFINITY, |memory| memory.0 as f64);
    let busy = |row: &WorkloadRow| row.rates.cpu.is_some_and(|cpu| cpu.0 >= 0.02) || used(row).is_some_and(|used| used.0 as f64 >= 0.02 * memory);
    let mut units = 0;
    let (some, rest): (Vec<_>, Vec<_>) = shown.iter().copied().partition(|row| {
        let unit = matches!(row.seen.about.key, Key::Unit(_));
        units += usize::from(unit);
        !unit || !row.warnings.is_empty() || if containers { busy(row) } else { units <= BUSIEST }
    });
    match rest.as_slice() {
        [_] => Chosen { shown, rest: Vec::new() },
        _ => Chosen { shown: some, rest },
    }
}

/// As many as stand on one screen beside head and foot.
const BUSIEST: usize = 20;

/// Containers, then units, then the rest of the system.
pub(crate) fn kind(row: &WorkloadRow) -> u8 {
    match row.seen.about.key {
        Key::Task(_) | Key::Pod(_) | Key::Loose(_) => 0,
        Key::Unit(_) => 1,
        Key::System => 2,
    }
}

/// The first four characters of an id tell it from its neighbours.
pub(crate) fn short(id: &str) -> String {
    let start: String = id.chars().take(4).collect();
    format!("{start}…")
}

/// What tells a task or pod from the others of its name: `7f3a…`. Others have a name each.
pub(crate) fn which(row: &WorkloadRow) -> Option<String> {
    match &row.seen.about.key {
        Key::Task(id) => Some(short(id.as_str())),
        Key::Pod(uid) => Some(short(uid.as_str())),
        Key::Loose(_) | Key::Unit(_) | Key::System => None,
    }
}

/// A helper of the platform with which nothing is wrong. Its task's figures hold its own.
pub(crate) fn is_scenery(container: &ContainerRow) -> bool {
    matches!(container.seen.about.role, Role::Pause | Role::Internal) && container.warnings.is_empty()
}

/// The memory a table speaks of.
pub(crate) fn used(row: &WorkloadRow) -> Option<Bytes> {
    memory(&row.seen.usage)
}

/// The same of one container.
pub(crate) fn memory(usage: &Usage) -> Option<Bytes> {
    usage.memory?.is.held()
}

/// Whole hundredths of a core and whole MiB, as the table shows them: rows that look alike do not change places at every look.
fn rank(row: &WorkloadRow) -> (u8, State, Reverse<Option<i64>>, Reverse<Option<u64>>) {
    let cpu = row.rates.cpu.map(|cpu| (cpu.0 * 100.0).round() as i64);
    (kind(row), row.seen.state, Reverse(cpu), Reverse(used(row).map(|used| used.0 >> 20)))
}

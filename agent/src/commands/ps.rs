//! `tare ps`: what runs here and what it uses, as one table.

use collector::identity::{ContainerId, Key};
use collector::snapshot::{Container, NetOwner, Scope, State};
use collector::units::{Bytes, Cores, Ratio};

use crate::health;
use crate::report::{ContainerRow, Rates, Report, WorkloadRow};

use super::cells;
use super::shown::Shown;
use super::table::{Cell, Column, Look, Tone, draw, say};
use crate::query::{Field, Row, Unit, Value};
use crate::words::clean;
use crate::words::rows::{Chosen, short, used};
use crate::words::{self, figures, rows};

const COLUMNS: [Column; 9] = [
    Column { head: "WORKLOAD", least: Some(14), leaves: 0 },
    Column { head: "TASK/CONTAINER", least: Some(16), leaves: 5 },
    Column { head: "CPU", least: None, leaves: 0 },
    Column { head: "of limit", least: None, leaves: 4 },
    Column { head: "THROTTLED", least: None, leaves: 3 },
    Column { head: "MEMORY", least: None, leaves: 0 },
    Column { head: "of limit", least: None, leaves: 6 },
    Column { head: "NET in/out", least: None, leaves: 1 },
    Column { head: "RESTARTS", least: None, leaves: 2 },
];

/// From these shares on a figure is marked: look here, and near a limit. What is warned of in words carries the second mark.
const CPU_OF_LIMIT: [f64; 2] = [0.8, 0.95];
const MEMORY_OF_LIMIT: [f64; 2] = [0.8, health::NEAR];
const THROTTLED: [f64; 2] = [0.05, health::THROTTLED];

/// What `-o wide` adds to them.
const WIDE: &[&str] = &[
    "workload",
    "container",
    "image",
    "state",
    "health",
    "exit",
    "restarts",
    "uptime",
    "cpu",
    "cpu_of_limit",
    "cpu_asked",
    "cpu_limit",
    "throttled",
    "memory",
    "memory_of_limit",
    "memory_asked",
    "memory_limit",
    "swap",
    "received",
    "sent",
    "read",
    "written",
    "pids",
    "cpu_waited",
    "memory_waited",
    "io_waited",
    "id",
];

/// The table of one report.
pub fn table(report: &Report, shown: &Shown<'_>) -> String {
    let look = shown.look;
    let found = shown.query.of(report);
    let report = &*found;
    let Chosen { shown: chosen, rest } = shown.choose(report);
    let fields = shown.fields(WIDE);
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut rest = Some(rest).filter(|rest| !rest.is_empty());
    for workload in &chosen {
        // The remainder of the host stands last.
        if workload.seen.about.key == Key::System && shown.query.sort.is_none() {
            rows.extend(rest.take().map(|rest| together(&rest, fields.as_deref())));
        }
        let row = Row { report, workload, inner: None };
        rows.push(cells(&row, fields.as_deref()));
        // One container alone is its workload; two are told apart. A workload that is wanted itself brings them all.
        let all = shown.query.wants(&row);
        // The platform's helpers are scenery while nothing is wrong with them; the task's figures hold theirs.
        let inner = row
            .several()
            .iter()
            .filter(|one| shown.all || !rows::is_scenery(one))
            .map(|inner| Row { inner: Some(inner), ..row })
            .filter(|inner| all || shown.query.wants(inner));
        rows.extend(inner.map(|inner| cells(&inner, fields.as_deref())));
    }
    rows.extend(rest.map(|rest| together(&rest, fields.as_deref())));
    let columns = fields.as_deref().map_or_else(|| COLUMNS.to_vec(), cells::columns);
    let drawn = draw(&columns, &rows, look);
    let mut out = String::new();
    if !shown.headers {
        drawn.lines.iter().skip(1).filter(|_| !rows.is_empty()).for_each(|line| say(&mut out, line));
        return out;
    }
    let price = match &report.host.cost.price {
        Some(price) => Some(format!("{} $/h", figures::price(price.usd))),
        None if report.scope == Scope::Cluster => None,
        None => match report.sold() {
            Some(task) => task.cost.now.map(|now| format!("{now} $/h")),
            None => Some("price unknown".into()),
        },
    };
    shown.say_heading(&mut out, report, price, drawn.wide);
    if rows.is_empty() {
        say(&mut out, shown.nothing(rows::none(report)));
    } else {
        drawn.lines.iter().for_each(|line| say(&mut out, line));
    }
    cells::say_left_out(&mut out, &drawn, fields.as_deref(), look);
    wrong(&mut out, &chosen, look);
    unseen(&mut out, report, look, drawn.wide);
    out
}

/// One line: the usual columns, or those that are asked for.
fn cells(row: &Row<'_>, fields: Option<&[&Field]>) -> Vec<Cell> {
    let usual = || row.inner.map_or_else(|| workload(row.workload, row.report), |one| inner(one, row.workload, row.report));
    fields.map_or_else(usual, |fields| fields.iter().map(|field| cell(field, row)).collect())
}

/// A figure that is near a limit is marked here as in the usual columns.
fn cell(field: &Field, row: &Row<'_>) -> Cell {
    let marks = match field.name {
        "cpu_of_limit" => CPU_OF_LIMIT,
        "memory_of_limit" => MEMORY_OF_LIMIT,
        "throttled" => THROTTLED,
        "state" => {
            let one = row.inner.or(if let [only] = row.workload.containers.as_slice() { Some(only) } else { None });
            let (_, tone) = words::state(row.inner.map_or(row.workload.seen.state, |inner| inner.seen.state), one);
            return cells::cell(field, row).tone(tone);
        }
        "restarts" => {
            let some = matches!(field.of(row), Value::Number(restarts) if restarts > 0.0);
            return cells::cell(field, row).tone_if(some, Tone::Notice);
        }
        _ => return cells::cell(field, row),
    };
    let Value::Number(ratio) = field.of(row) else { return share(None, marks) };
    share(Some(Ratio(ratio)), marks)
}

fn workload(row: &WorkloadRow, report: &Report) -> Vec<Cell> {
    let seen = &row.seen;
    let only = if let [only] = row.containers.as_slice() { Some(only) } else { None };
    let (what, tone) = match &seen.about.key {
        Key::Unit(_) | Key::System => ("host".to_owned(), Tone::Quiet),
        Key::Task(id) => stated(&short(id.as_str()), seen.state, only),
        Key::Pod(uid) => stated(&short(uid.as_str()), seen.state, only),
        Key::Loose(id) => {
            let label = only.map(|only| only.seen.about.label()).filter(|label| *label != &*seen.about.name);
            stated(label.unwrap_or(&short(id.as_str())), seen.state, only)
        }
    };
    let over = row.seen.state > State::Restarting;
    let restarts = row.containers.iter().filter_map(|container| container.seen.restarts).reduce(|a, b| a.saturating_add(b));
    let name = Cell::new(&*seen.about.name).tone(if over { Tone::Quiet } else { Tone::Plain });
    let network = only.map_or_else(|| carried(&row.rates), |only| network(&only.seen, &row.rates, row, report));
    figures_of(vec![name, Cell::new(what).tone(tone)], &row.rates, used(row), network, restarts)
}

/// A container below its task or pod.
fn inner(container: &ContainerRow, row: &WorkloadRow, report: &Report) -> Vec<Cell> {
    let seen = &container.seen;
    let (word, tone) = words::state(seen.state, Some(container));
    let what = if seen.state == State::Running && tone == Tone::Plain { String::new() } else { format!("⋅ {word}") };
    let name = Cell::new(format!("  {}", seen.about.label())).tone(if seen.state > State::Restarting { Tone::Quiet } else { Tone::Plain });
    let memory = rows::memory(&seen.usage);
    figures_of(vec![name, Cell::new(what).tone(tone)], &container.rates, memory, network(seen, &container.rates, row, report), seen.restarts)
}

/// Units without a row of their own: what can be added up is.
fn together(rest: &[&WorkloadRow], fields: Option<&[&Field]>) -> Vec<Cell> {
    let cpu = rest.iter().filter_map(|row| row.rates.cpu).map(|cpu| cpu.0).reduce(|a, b| a + b);
    let memory = rest.iter().filter_map(|row| used(row)).reduce(|a, b| Bytes(a.0.saturating_add(b.0)));
    let rates = Rates { cpu: cpu.map(Cores), ..Rates::default() };
    let name = Cell::new(format!("{} more units", rest.len())).tone(Tone::Quiet);
    if let Some(fields) = fields {
        let sum = |field: &&Field| match field.name {
            "workload" => name.clone(),
            "kind" => Cell::new("unit").tone(Tone::Quiet),
            "cpu" => Cell::of(rates.cpu.map(figures::cores)),
            "memory" => Cell::of(memory.map(|memory| memory.to_string())),
            _ if field.unit == Unit::Text => Cell::new(""),
            _ => Cell::unknown(),
        };
        return fields.iter().map(sum).collect();
    }
    figures_of(vec![name, Cell::new("host").tone(Tone::Quiet)], &rates, memory, Cell::unknown(), None)
}

fn figures_of(mut cells: Vec<Cell>, rates: &Rates, memory: Option<Bytes>, network: Cell, restarts: Option<u64>) -> Vec<Cell> {
    cells.extend([
        Cell::of(rates.cpu.map(figures::cores)),
        share(rates.cpu_of_limit, CPU_OF_LIMIT),
        share(rates.throttled, THROTTLED),
        Cell::of(memory.map(|memory| memory.to_string())),
        share(rates.memory_of_limit, MEMORY_OF_LIMIT),
        network,
        Cell::of(restarts.map(|restarts| restarts.to_string())).tone_if(restarts > Some(0), Tone::Notice),
    ]);
    cells
}

/// A share, marked from two levels on. The last one shows without colour too; its place stays free elsewhere, so the digits stand below each other.
fn share(ratio: Option<Ratio>, [notice, alarm]: [f64; 2]) -> Cell {
    let Some(ratio) = ratio else { return Cell::new("– ").tone(Tone::Quiet) };
    let text = figures::percent(ratio);
    match ratio.0 {
        share if share >= alarm => Cell::new(format!("{text}!")).tone(Tone::Alarm),
        share if share >= notice => Cell::new(format!("{text} ")).tone(Tone::Notice),
        _ => Cell::new(format!("{text} ")),
    }
}

/// Where a container's traffic is counted: here, or at the one it shares with.
fn network(container: &Container, rates: &Rates, row: &WorkloadRow, report: &Report) -> Cell {
    match &container.net {
        NetOwner::Own => carried(rates),
        NetOwner::Workload => Cell::new(if matches!(row.seen.about.key, Key::Pod(_)) { "(pod's)" } else { "(task's)" }).tone(Tone::Quiet),
        NetOwner::Of(id) => Cell::new(format!("(of {})", neighbour(id, report))).tone(Tone::Quiet),
        NetOwner::Host => Cell::new("(host's)").tone(Tone::Quiet),
        NetOwner::Unknown => carried(rates),
    }
}

fn neighbour(id: &ContainerId, report: &Report) -> String {
    let known = report.workloads.iter().flat_map(|row| &row.containers).find(|container| container.seen.about.id == *id);
    known.map_or_else(|| id.short(), |container| container.seen.about.label()).chars().take(12).collect()
}

fn carried(rates: &Rates) -> Cell {
    Cell::of(rates.received.zip(rates.sent).map(|(received, sent)| figures::traffic(received, sent)))
}

fn stated(label: &str, state: State, only: Option<&ContainerRow>) -> (String, Tone) {
    let (word, tone) = words::state(state, only);
    (format!("{label} ⋅ {word}"), tone)
}

/// What is wrong, in words, below the table.
fn wrong(out: &mut String, shown: &[&WorkloadRow], look: Look) {
    const MOST: usize = 8;
    let mut words = Vec::new();
    for row in shown {
        // A workload carries the warnings of its containers; of several, the one it is about is named.
        let several = row.containers.len() > 1;
        let inside = || row.containers.iter().filter(|_| several).flat_map(|container| container.warnings.iter().map(move |warning| (container, warning)));
        let own = row.warnings.iter().filter(|warning| !inside().any(|(_, of_one)| of_one == *warning));
        words.extend(own.map(|warning| format!("{}: {warning}", row.seen.about.name)));
        words.extend(inside().map(|(container, warning)| format!("{}/{}: {warning}", row.seen.about.name, container.seen.about.label())));
    }
    for word in words.iter().take(MOST) {
        look.paragraph(word, 4).iter().for_each(|line| say(out, look.paint(line, Tone::Notice)));
    }
    if words.len() > MOST {
        say(out, look.paint(&format!("and {} more: tare ps -o json", words.len() - MOST), Tone::Notice));
    }
}

/// What could not be seen: one line, with the reason where there is one gap only.
fn unseen(out: &mut String, report: &Report, look: Look, wide: usize) {
    let what = match report.gaps.as_slice() {
        [] => return,
        [gap] => format!("{} ({})", gap.what, gap.why.split("; fix: ").next().unwrap_or_default()),
        gaps => {
            let mut words: Vec<&str> = gaps.iter().map(|gap| &*gap.what).collect();
            words.dedup();
            words.join(", ")
        }
    };
    say(out, look.paint(&look.ends(&format!("not seen: {}", clean(&what)), "tare doctor explains", wide), Tone::Quiet));
}

#[cfg(test)]
mod tests;

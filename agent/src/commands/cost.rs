//! `tare cost`: what each workload costs here and what it would cost on Fargate, as one table that adds up on the screen.

use std::collections::BTreeSet;

use jiff::Timestamp;

use collector::identity::Key;
use collector::snapshot::{Market, State};
use collector::units::Bytes;

use crate::cost::{Cost, Elsewhere, Origin, Otherwise, Price, PriceBasis, UsdPerHour, What};
use crate::explain;
use crate::report::{Report, WorkloadRow};

use super::table::{Cell, Column, Look, Tone, WHOLE, columns, draw, say};
use crate::words::heading::heading;
use crate::words::rows::{Chosen, choose, kind, used};
use crate::words::{clean, figures};

/// One sentence on one workload: where it would be cheaper, with its catch. `None`: nothing to say.
pub type Verdict<'a> = &'a dyn Fn(&WorkloadRow) -> Option<String>;

const SAYS: &str = "SAYS";
const NAME: Column = Column { head: "WORKLOAD", least: Some(12), leaves: 0 };
const ASKED: Column = Column { head: "ASKED", least: None, leaves: 2 };
const USED: Column = Column { head: "USED", least: None, leaves: 3 };
const NOW: Column = Column { head: "NOW $/h", least: None, leaves: 0 };
const WITH_IDLE: Column = Column { head: "WITH IDLE", least: None, leaves: 4 };
const FARGATE: Column = Column { head: "FARGATE $/h", least: None, leaves: 0 };
const VERDICT: Column = Column { head: SAYS, least: WHOLE, leaves: 1 };

/// With a price, and without.
const PRICED: [Column; 7] = [NAME, ASKED, USED, NOW, WITH_IDLE, FARGATE, VERDICT];
const UNPRICED: [Column; 5] = [NAME, ASKED, USED, FARGATE, VERDICT];

/// The table of one report. `all` gives every unit of the host a row of its own.
pub fn table(report: &Report, now: Timestamp, look: Look, all: bool, verdict: Verdict<'_>) -> String {
    let node = &report.host.cost;
    let items = items(report, all, verdict);
    let (cells, columns): (Vec<Vec<Cell>>, &[Column]) = match (&node.price, node.idle) {
        (Some(price), Some(idle)) => (priced(&items, price.usd, idle, report), &PRICED),
        _ => (items.iter().map(|item| [item.start(), item.end()].concat()).collect(), &UNPRICED),
    };
    let drawn = draw(columns, &cells, look);
    let mut out = String::new();
    head(&mut out, report, now, look, drawn.wide);
    if items.is_empty() {
        say(&mut out, "nothing to charge: no container and no unit was seen");
        return out;
    }
    for (at, line) in drawn.lines.iter().enumerate() {
        say(&mut out, line);
        // Without room beside the row its sentence stands below it.
        let below = at.checked_sub(1).and_then(|at| items.get(at)).filter(|item| drawn.left_out.contains(&SAYS) && !item.quiet);
        if let Some(words) = below.and_then(|item| item.says.as_deref()) {
            paragraph(&mut out, &format!("  {words}"), Tone::Quiet, look);
        }
    }
    foot(&mut out, report, &items, look, drawn.wide);
    out
}

/// How one workload's cost is reckoned, for each that goes by this name. Errors: nobody does.
pub fn explain(report: &Report, name: &str) -> anyhow::Result<String> {
    let by_name = |row: &&WorkloadRow| *row.seen.about.name == *name || row.containers.iter().any(|one| one.seen.about.label() == name);
    let rows: Vec<&WorkloadRow> = report.workloads.iter().filter(by_name).collect();
    if rows.is_empty() {
        let names: BTreeSet<&str> = report.workloads.iter().map(|row| &*row.seen.about.name).collect();
        let known = names.into_iter().take(20).collect::<Vec<_>>().join(", ");
        anyhow::bail!("no workload is called {name:?}; there are: {known}");
    }
    let explained = rows.into_iter().map(|row| explain::explain(row, &report.host, &report.at).iter().map(|line| clean(line) + "\n").collect::<String>());
    Ok(explained.collect::<Vec<_>>().join("\n"))
}

/// One row: a workload, or the quiet units of the host together.
struct Item<'a> {
    name: String,
    /// What can be explained by its name.
    row: Option<&'a WorkloadRow>,
    asked: Option<String>,
    used: Option<String>,
    now: Option<UsdPerHour>,
    total: Option<UsdPerHour>,
    fargate: Cell,
    says: Option<String>,
    quiet: bool,
}

impl Item<'_> {
    fn start(&self) -> Vec<Cell> {
        let tone = if self.quiet { Tone::Quiet } else { Tone::Plain };
        vec![Cell::new(&self.name).tone(tone), Cell::of(self.asked.clone()), Cell::of(self.used.clone())]
    }

    fn end(&self) -> Vec<Cell> {
        vec![self.fargate.clone(), Cell::new(self.says.as_deref().unwrap_or_default()).tone_if(self.quiet, Tone::Quiet)]
    }
}

fn items<'a>(report: &'a Report, all: bool, verdict: Verdict<'_>) -> Vec<Item<'a>> {
    let Chosen { mut shown, mut rest } = choose(report, all);
    // What ended costs nothing.
    let runs = |row: &&WorkloadRow| row.seen.state <= State::Restarting;
    shown.retain(runs);
    rest.retain(runs);
    let dear = |row: &WorkloadRow| row.cost.now.or_else(|| fargate(&row.cost)?.rate);
    shown.sort_by(|a, b| kind(a).cmp(&kind(b)).then_with(|| dear(b).cmp(&dear(a))));
    let mut items: Vec<Item<'_>> = shown.into_iter().map(|row| item(row, verdict)).collect();
    if !rest.is_empty() {
        let before = items.iter().position(|item| item.row.is_some_and(|row| row.seen.about.key == Key::System)).unwrap_or(items.len());
        items.insert(before, together(&rest));
    }
    items
}

fn item<'a>(row: &'a WorkloadRow, verdict: Verdict<'_>) -> Item<'a> {
    let part = |what| row.cost.parts.iter().find(|part| part.what == what);
    let (cpu, memory) = (part(What::Cpu), part(What::Memory));
    let asked = &row.seen.asked;
    Item {
        name: row.seen.about.name.to_string(),
        row: Some(row),
        asked: figures::cores_and_gib(
            cpu.and_then(|part| part.asked).or(asked.cores.map(|cores| cores.0)),
            memory.and_then(|part| part.asked).or(asked.memory.map(Bytes::gib)),
        ),
        used: figures::cores_and_gib(
            cpu.and_then(|part| part.used).or(row.rates.cpu.map(|cpu| cpu.0)),
            memory.and_then(|part| part.used).or(used(row).map(Bytes::gib)),
        ),
        now: row.cost.now,
        total: row.cost.total,
        fargate: elsewhere(&row.cost),
        says: verdict(row),
        quiet: kind(row) > 0,
    }
}

fn together<'a>(rest: &[&WorkloadRow]) -> Item<'a> {
    let add = |amounts: Vec<Option<f64>>| amounts.into_iter().flatten().reduce(|a, b| a + b);
    let money = |rates: Vec<Option<UsdPerHour>>| rates.into_iter().sum::<Option<UsdPerHour>>();
    Item {
        name: format!("{} more units", rest.len()),
        row: None,
        asked: None,
        used: figures::cores_and_gib(
            add(rest.iter().map(|row| row.rates.cpu.map(|cpu| cpu.0)).collect()),
            add(rest.iter().map(|row| used(row).map(Bytes::gib)).collect()),
        ),
        now: money(rest.iter().map(|row| row.cost.now).collect()),
        total: money(rest.iter().map(|row| row.cost.total).collect()),
        fargate: Cell::unknown(),
        says: Some("host processes".into()),
        quiet: true,
    }
}

/// The rows with their money, then idle and the total. What is shown of each part adds up to what is shown of the whole.
fn priced(items: &[Item<'_>], price: UsdPerHour, idle: UsdPerHour, report: &Report) -> Vec<Vec<Cell>> {
    let known = |rates: Vec<Option<UsdPerHour>>| rates.into_iter().map(|rate| rate.map_or(0, |rate| rate.0)).collect::<Vec<i64>>();
    let mut now = known(items.iter().map(|item| item.now).collect());
    now.push(idle.0);
    let adds_up = now.iter().map(|part| i128::from(*part)).sum::<i128>() == i128::from(price.0);
    let now = figures::rounded(&now, price.0, figures::SHOWN);
    let total = figures::rounded(&known(items.iter().map(|item| item.total).collect()), price.0, figures::SHOWN);
    let mut cells: Vec<Vec<Cell>> = items
        .iter()
        .zip(now.iter().zip(&total))
        .map(|(item, (now, total))| {
            let sums = vec![Cell::of(item.now.map(|_| figures::usd(*now))), Cell::of(item.total.map(|_| figures::usd(*total)))];
            [item.start(), sums, item.end()].concat()
        })
        .collect();
    let blank = || Cell::new("");
    let idle = now.last().copied().unwrap_or(0);
    cells.push(vec![Cell::new("idle"), Cell::of(free(report)), blank(), Cell::new(figures::usd(idle)), blank(), blank(), blank()]);
    let node = Cell::new(price.to_string());
    let says = Cell::new(if adds_up { "= the node" } else { "the node; not every workload could be charged" });
    cells.push(vec![Cell::new("total"), blank(), blank(), node.clone().tone(Tone::Head), node, blank(), says]);
    cells
}

/// What nobody asked for or used, of what is sold as this machine.
fn free(report: &Report) -> Option<String> {
    let size = report.host.cost.capacity?;
    let free = |what, size: f64| {
        let parts = || report.workloads.iter().flat_map(|row| &row.cost.parts).filter(|part| part.what == what);
        // Before the second look nobody's CPU is known, which is not to say that all of it is free.
        let known = parts().any(|part| part.asked.is_some() || part.used.is_some()) || report.workloads.is_empty();
        known.then(|| (size - parts().map(|part| part.amount).sum::<f64>()).max(0.0))
    };
    figures::cores_and_gib(free(What::Cpu, size.cores.0), free(What::Memory, size.memory.gib()))
}

fn fargate(cost: &Cost) -> Option<&Otherwise> {
    cost.otherwise.iter().find(|otherwise| matches!(otherwise.on, Elsewhere::Fargate { .. }))
}

fn elsewhere(cost: &Cost) -> Cell {
    let Some(otherwise) = fargate(cost) else { return Cell::unknown() };
    match (otherwise.rate, &otherwise.project) {
        // Seen for less than an hour: the size may still grow.
        (Some(rate), _) => Cell::new(format!("{}{rate}", if otherwise.early { "~" } else { "" })),
        (None, Some(project)) => Cell::new(format!("(in {})", project.chars().take(12).collect::<String>())).tone(Tone::Quiet),
        (None, None) => Cell::unknown(),
    }
}

fn head(out: &mut String, report: &Report, now: Timestamp, look: Look, wide: usize) {
    let node = &report.host.cost;
    let host = heading(report, None);
    match &node.price {
        Some(price) => {
            let guess = if price.basis == PriceBasis::Derived || report.host.seen.instance.market == Some(Market::Spot) { "~" } else { "" };
            let month = price.usd.over(UsdPerHour::MONTH);
            let right = format!("{guess}{} $/h  {guess}{month} $/month   {}", figures::price(price.usd), origin(price));
            if look.width.is_none_or(|width| columns(&host) + columns(&right) + 3 <= width.into()) {
                say(out, look.ends(&host, &right, wide));
            } else {
                say(out, look.line(&host));
                say(out, look.line(&right));
            }
        }
        None => {
            let age = report.at.wall.map(|at| figures::age(at, now)).unwrap_or_default();
            say(out, look.ends(&host, &age, wide));
            let why = node.why_no_price.as_deref().unwrap_or("not known yet");
            paragraph(out, &format!("price of this machine unknown: {why}"), Tone::Notice, look);
        }
    }
    if let Some(region) = node.region.as_ref().filter(|region| region.assumed) {
        paragraph(out, &format!("~ prices of {}: nobody said which region this is, set host.region", region.name), Tone::Notice, look);
    }
}

fn origin(price: &Price) -> String {
    let from = match price.from {
        Origin::BuiltIn => "built in",
        Origin::Settings => "from the settings",
    };
    let basis = match price.basis {
        PriceBasis::Listed => "list price",
        PriceBasis::Derived => "worked-out price",
    };
    format!("{basis} of {}, {from}", price.since)
}

fn foot(out: &mut String, report: &Report, items: &[Item<'_>], look: Look, wide: usize) {
    let node = &report.host.cost;
    if let Some(what) = &node.oversubscribed {
        paragraph(out, &format!("more is asked for or used than this machine has: {what}"), Tone::Notice, look);
    }
    let on_fargate = || items.iter().filter_map(|item| Some((item, fargate(&item.row?.cost)?)));
    if on_fargate().any(|(_, otherwise)| otherwise.early && otherwise.rate.is_some()) {
        paragraph(out, "~ seen for less than an hour: the Fargate size may still grow", Tone::Quiet, look);
    }
    let cover = node.fargate_cover.map(|cover| format!(" (its tasks would cost {} of it on Fargate)", figures::percent(cover))).unwrap_or_default();
    let words = node.break_even.map(|full| match figures::percent(full) {
        percent if full.0 <= 1.0 => format!("break-even: this node is worth its price from {percent} full{cover}"),
        percent => format!("break-even: even full, this node costs {percent} of Fargate{cover}"),
    });
    let ask = on_fargate().find(|(_, otherwise)| otherwise.rate.is_some()).map(|(item, _)| clean(&format!("tare cost --explain {}", item.name)));
    match (words, ask) {
        (Some(words), Some(ask)) if look.width.is_none_or(|width| columns(&words) + columns(&ask) + 3 <= width.into()) => {
            say(out, look.ends(&words, &ask, wide))
        }
        (None, Some(ask)) => paragraph(out, &format!("how it is reckoned: {ask}"), Tone::Plain, look),
        (words, ask) => words.into_iter().chain(ask).for_each(|line| paragraph(out, &line, Tone::Plain, look)),
    }
}

fn paragraph(out: &mut String, text: &str, tone: Tone, look: Look) {
    look.paragraph(text, 4).iter().for_each(|line| say(out, look.paint(line, tone)));
}

#[cfg(test)]
mod tests;

//! `tare cost`: what each workload costs here and what it would cost on Fargate, as one table that adds up on the screen.

pub mod by;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use collector::identity::Key;
use collector::snapshot::{Market, State};
use collector::units::Bytes;

use crate::cost::{Cost, Elsewhere, Origin, Otherwise, Price, PriceBasis, UsdPerHour, What};
use crate::explain;
use crate::query::{Field, Row, Unit};
use crate::report::{Report, WorkloadRow};

use super::cells;
use super::shown::Shown;
use super::table::{Cell, Column, Look, Tone, WHOLE, columns, draw, say};
use crate::words::heading::heading;
use crate::words::rows::{Chosen, kind, used, which};
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

/// With a price of the machine, and without.
const PRICED: [Column; 7] = [NAME, ASKED, USED, NOW, WITH_IDLE, FARGATE, VERDICT];
const UNPRICED: [Column; 5] = [NAME, ASKED, USED, FARGATE, VERDICT];
/// A task that is sold as such.
const SOLD: [Column; 5] = [NAME, ASKED, USED, NOW, VERDICT];

/// What `-o wide` shows.
const WIDE: &[&str] = &["workload", "kind", "project", "image", "cpu_asked", "cpu", "memory_asked", "memory", "now", "idle", "total", "fargate", "says"];

/// The table of one report. It adds up to the node, whichever rows are wanted: the others stand in a row of their own.
pub fn table(report: &Report, shown: &Shown<'_>, verdict: Verdict<'_>) -> String {
    let (node, look) = (&report.host.cost, shown.look);
    let found = shown.query.of(report);
    let mut items = items(&found, shown, verdict);
    let nothing = items.is_empty();
    items.extend(others(report, &found));
    let fields = shown.fields(WIDE);
    let sums = node.price.as_ref().zip(node.idle).map(|(price, idle)| Sums::new(&items, price.usd, idle, report));
    let (cells, columns): (Vec<Vec<Cell>>, Vec<Column>) = match (&fields, sums) {
        (Some(fields), sums) => (chosen(&items, sums.as_ref(), fields, report), cells::columns(fields)),
        (None, Some(sums)) => (priced(&items, &sums), PRICED.to_vec()),
        (None, None) if report.sold().is_some() => (items.iter().map(Item::sold).collect(), SOLD.to_vec()),
        (None, None) => (items.iter().map(|item| [item.start(), item.end()].concat()).collect(), UNPRICED.to_vec()),
    };
    let drawn = draw(&columns, &cells, look);
    let mut out = String::new();
    if !shown.headers {
        drawn.lines.iter().skip(1).filter(|_| !nothing).for_each(|line| say(&mut out, line));
        return out;
    }
    head(&mut out, report, shown, drawn.wide);
    if nothing {
        say(&mut out, shown.nothing("nothing to charge: no container and no unit was seen"));
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
    cells::say_left_out(&mut out, &drawn, fields.as_deref(), look);
    foot(&mut out, report, &items, look, drawn.wide);
    out
}

/// How one workload's cost is reckoned, for each that goes by this name. Errors: nobody does.
pub fn explain(report: &Report, name: &str) -> anyhow::Result<String> {
    let by_name = |row: &&WorkloadRow| *row.seen.about.name == *name || row.containers.iter().any(|one| one.seen.about.label() == name);
    let mut rows: Vec<&WorkloadRow> = report.workloads.iter().filter(by_name).collect();
    if rows.is_empty() {
        rows.extend(report.workloads.iter().filter(|row| by_id(row, name)));
    }
    if rows.is_empty() {
        let names: BTreeSet<&str> = report.workloads.iter().map(|row| &*row.seen.about.name).collect();
        let known = names.into_iter().take(20).collect::<Vec<_>>().join(", ");
        anyhow::bail!("no workload is called {name:?}; there are: {known}");
    }
    let explained = rows.into_iter().map(|row| explain::explain(row, &report.host, &report.at).iter().map(|line| clean(line) + "\n").collect::<String>());
    Ok(explained.collect::<Vec<_>>().join("\n"))
}

/// Its ARN, its id or the start of it: four characters are what the tables show.
fn by_id(row: &WorkloadRow, name: &str) -> bool {
    let start = name.trim_end_matches('…');
    let id = match &row.seen.about.key {
        Key::Task(id) => id.as_str(),
        Key::Pod(uid) => uid.as_str(),
        _ => return false,
    };
    let arn = row.seen.about.task.as_ref().and_then(|task| task.arn.as_ref());
    start.len() >= 4 && id.starts_with(start) || arn.is_some_and(|arn| arn.as_str() == name)
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
        vec![self.fargate.clone(), self.verdict()]
    }

    fn sold(&self) -> Vec<Cell> {
        [self.start(), vec![Cell::of(self.now.map(|now| now.to_string())), self.verdict()]].concat()
    }

    fn verdict(&self) -> Cell {
        Cell::new(self.says.as_deref().unwrap_or_default()).tone_if(self.quiet, Tone::Quiet)
    }
}

fn items<'a>(report: &'a Report, wanted: &Shown<'_>, verdict: Verdict<'_>) -> Vec<Item<'a>> {
    let Chosen { mut shown, mut rest } = wanted.choose(report);
    // What ended costs nothing.
    shown.retain(runs);
    rest.retain(runs);
    if wanted.query.sort.is_none() {
        let dear = |row: &WorkloadRow| row.cost.now.or_else(|| fargate(&row.cost)?.rate);
        shown.sort_by(|a, b| kind(a).cmp(&kind(b)).then_with(|| dear(b).cmp(&dear(a))));
    }
    // Several tasks of one service are told apart as in `tare ps`.
    let mut called: BTreeMap<&str, usize> = BTreeMap::new();
    shown.iter().for_each(|row| *called.entry(&row.seen.about.name).or_default() += 1);
    let name = |row: &WorkloadRow| which(row).filter(|_| called[&*row.seen.about.name] > 1).map(|which| format!("{} {which}", row.seen.about.name));
    let mut items: Vec<Item<'_>> =
        shown.iter().map(|row| Item { name: name(row).unwrap_or_else(|| row.seen.about.name.to_string()), ..item(row, verdict) }).collect();
    if !rest.is_empty() && wanted.query.sort.is_some() {
        items.push(together(&rest));
    } else if !rest.is_empty() {
        let before = items.iter().position(|item| item.row.is_some_and(|row| row.seen.about.key == Key::System)).unwrap_or(items.len());
        items.insert(before, together(&rest));
    }
    items
}

fn runs(row: &&WorkloadRow) -> bool {
    row.seen.state <= State::Restarting
}

/// Those that are not wanted cost their part all the same.
fn others<'a>(report: &'a Report, found: &Report) -> Option<Item<'a>> {
    let wanted: BTreeSet<&Key> = found.workloads.iter().map(|row| &row.seen.about.key).collect();
    let others: Vec<&WorkloadRow> = report.workloads.iter().filter(runs).filter(|row| !wanted.contains(&row.seen.about.key)).collect();
    (!others.is_empty()).then(|| Item {
        name: format!("{} {}", others.len(), if others.len() == 1 { "other" } else { "others" }),
        says: Some("not met by the filter".into()),
        ..together(&others)
    })
}

fn item<'a>(row: &'a WorkloadRow, verdict: Verdict<'_>) -> Item<'a> {
    let [asked, used] = amounts(row);
    Item {
        name: row.seen.about.name.to_string(),
        row: Some(row),
        asked: asked.shown(),
        used: used.shown(),
        now: row.cost.now,
        total: row.cost.total,
        fargate: elsewhere(&row.cost),
        says: verdict(row),
        quiet: kind(row) > 0,
    }
}

/// So much CPU and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Amount {
    /// CPU cores.
    pub cores: Option<f64>,
    /// Memory.
    pub gib: Option<f64>,
}

impl Amount {
    fn shown(self) -> Option<String> {
        figures::cores_and_gib(self.cores, self.gib)
    }
}

/// Of all of them; what is not known of one is not known of their sum.
impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> Amount {
        let none = Amount { cores: Some(0.0), gib: Some(0.0) };
        let add = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        amounts.fold(none, |sum, one| Amount { cores: add(sum.cores, one.cores), gib: add(sum.gib, one.gib) })
    }
}

/// What a workload asked for and what it used: as it was charged, else as it was seen.
fn amounts(row: &WorkloadRow) -> [Amount; 2] {
    let part = |what| row.cost.parts.iter().find(|part| part.what == what);
    let (cpu, memory) = (part(What::Cpu), part(What::Memory));
    let asked = &row.seen.asked;
    [
        Amount {
            cores: cpu.and_then(|part| part.asked).or(asked.cores.map(|cores| cores.0)),
            gib: memory.and_then(|part| part.asked).or(asked.memory.map(Bytes::gib)),
        },
        Amount {
            cores: cpu.and_then(|part| part.used).or(row.rates.cpu.map(|cpu| cpu.0)),
            gib: memory.and_then(|part| part.used).or(used(row).map(Bytes::gib)),
        },
    ]
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

/// The money of the rows, of idle and of the whole. What is shown of each part adds up to what is shown of the whole.
struct Sums {
    /// Now and with idle, beside the items.
    rows: Vec<[Option<String>; 2]>,
    idle: String,
    free: Option<String>,
    price: String,
    adds_up: bool,
}

impl Sums {
    fn new(items: &[Item<'_>], price: UsdPerHour, idle: UsdPerHour, report: &Report) -> Sums {
        let known = |rates: Vec<Option<UsdPerHour>>| rates.into_iter().map(|rate| rate.map_or(0, |rate| rate.0)).collect::<Vec<i64>>();
        let mut now = known(items.iter().map(|item| item.now).collect());
        now.push(idle.0);
        let adds_up = now.iter().map(|part| i128::from(*part)).sum::<i128>() == i128::from(price.0);
        let now = figures::rounded(&now, price.0, figures::SHOWN);
        let total = figures::rounded(&known(items.iter().map(|item| item.total).collect()), price.0, figures::SHOWN);
        let shown = |item: &Item<'_>, now: i64, total: i64| [item.now.map(|_| figures::usd(now)), item.total.map(|_| figures::usd(total))];
        Sums {
            rows: items.iter().zip(now.iter().zip(&total)).map(|(item, (now, total))| shown(item, *now, *total)).collect(),
            idle: figures::usd(now.last().copied().unwrap_or(0)),
            free: free(report),
            price: price.to_string(),
            adds_up,
        }
    }

    fn says(&self) -> &'static str {
        if self.adds_up { "= the node" } else { "the node; not every workload could be charged" }
    }
}

/// The rows with their money, then idle and the total.
fn priced(items: &[Item<'_>], sums: &Sums) -> Vec<Vec<Cell>> {
    let money = |[now, total]: &[Option<String>; 2]| vec![Cell::of(now.clone()), Cell::of(total.clone())];
    let mut cells: Vec<Vec<Cell>> = items.iter().zip(&sums.rows).map(|(item, sums)| [item.start(), money(sums), item.end()].concat()).collect();
    let blank = || Cell::new("");
    cells.push(vec![Cell::new("idle"), Cell::of(sums.free.clone()), blank(), Cell::new(&sums.idle), blank(), blank(), blank()]);
    let node = Cell::new(&sums.price);
    cells.push(vec![Cell::new("total"), blank(), blank(), node.clone().tone(Tone::Head), node, blank(), Cell::new(sums.says())]);
    cells
}

/// The same in the columns that are asked for.
fn chosen(items: &[Item<'_>], sums: Option<&Sums>, fields: &[&Field], report: &Report) -> Vec<Vec<Cell>> {
    let of = |item: &Item<'_>, at: usize, field: &Field| {
        let tone = if item.quiet { Tone::Quiet } else { Tone::Plain };
        match (field.name, sums.and_then(|sums| sums.rows.get(at)), item.row) {
            ("workload", ..) => Cell::new(&item.name).tone(tone),
            ("now", Some([now, _]), _) => Cell::of(now.clone()),
            ("total", Some([_, total]), _) => Cell::of(total.clone()),
            ("says", ..) => Cell::new(item.says.as_deref().unwrap_or_default()).tone(tone),
            ("fargate", ..) => item.fargate.clone(),
            (_, _, Some(workload)) => cells::cell(field, &Row { report, workload, inner: None }),
            (_, _, None) if field.unit == Unit::Text => Cell::new(""),
            (_, _, None) => Cell::unknown(),
        }
    };
    let mut cells: Vec<Vec<Cell>> = items.iter().enumerate().map(|(at, item)| fields.iter().map(|field| of(item, at, field)).collect()).collect();
    if let Some(sums) = sums {
        let row = |name: &str, now: &str, total: &str, says: &str| {
            let of = |field: &&Field| match field.name {
                "workload" => name.to_owned(),
                "now" => now.to_owned(),
                "total" => total.to_owned(),
                "says" => says.to_owned(),
                _ => String::new(),
            };
            fields.iter().map(|field| Cell::new(of(field))).collect::<Vec<_>>()
        };
        cells.push(row("idle", &sums.idle, "", ""));
        cells.push(row("total", &sums.price, &sums.price, sums.says()));
    }
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

fn head(out: &mut String, report: &Report, shown: &Shown<'_>, wide: usize) {
    let look = shown.look;
    let node = &report.host.cost;
    match &node.price {
        Some(price) => {
            let host = heading(report, None);
            let guess = if price.basis == PriceBasis::Derived || report.host.seen.instance.market == Some(Market::Spot) { "~" } else { "" };
            let month = price.usd.over(UsdPerHour::MONTH);
            let right = format!("{guess}{} $/h  {guess}{month} $/month   {}", figures::price(price.usd), origin(price));
            if look.width.is_none_or(|width| columns(&host) + columns(&right) + 3 <= width.into()) {
                say(out, look.ends(&host, &right, wide));
            } else {
                say(out, look.line(&host));
                say(out, look.line(&right));
            }
            shown.say_source(out);
        }
        None => {
            shown.say_heading(out, report, None, wide);
            if report.sold().is_some() {
                return;
            }
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
    let ask = on_fargate()
        .find(|(_, otherwise)| otherwise.rate.is_some())
        .map(|(item, _)| clean(&format!("tare cost --explain {}", item.row.map_or(&*item.name, |row| &row.seen.about.name))));
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

//! The page at `/`: what runs here, what it uses of what it may, what it costs, and what it would cost on Fargate.

use std::cmp::Ordering;
use std::collections::HashMap;

use jiff::civil::Date;
use maud::{Markup, html};

use collector::identity::Key;
use collector::snapshot::{NetOwner, Scope, State};
use collector::units::{Bytes, Limit};

use crate::cost::{Elsewhere, Otherwise, UsdPerHour};
use crate::report::{Report, WorkloadRow};
use crate::verdict::verdict;
use crate::words::figures::{self, SHOWN};
use crate::words::rows::{choose, kind, none, used, which};
use crate::words::{Tone, state};

use super::history::History;
use super::query::{self, Query, Sort};
use super::{chart, tone, unknown};

/// Workloads that have a colour of their own in the bar; what costs less shares one.
const COLOURS: usize = 8;

pub(super) fn main(report: &Report, query: &Query, history: &History, today: Option<Date>) -> Markup {
    let chosen = choose(report, query.all);
    let mut rows: Vec<&WorkloadRow> = chosen.shown;
    let colours = colours(report);
    order(&mut rows, query);
    let fits = |row: &&WorkloadRow| query.filter.is_empty() || words(row).contains(&query.filter.to_lowercase());
    let all = rows.len();
    let money = Money::of(report, &rows, &chosen.rest);
    // Of one task the price is known where that of its machine is not cut into parts.
    let alone = money.is_none() && report.scope == Scope::Task && rows.iter().any(|row| row.cost.now.is_some());
    rows.retain(fits);
    html! {
        @if money.is_some() { (node(report, &colours)) }
        form.filter role="search" action="/" {
            label for="q" { "Filter" }
            input #q type="search" name="q" value=(query.filter) placeholder="name, project, image, state" autocomplete="off" maxlength="200";
            @if let Some(sort) = query.sort { input type="hidden" name="sort" value={ (if query.back { "-" } else { "" }) (sort.word()) }; }
            @if query.all { input type="hidden" name="all" value="1"; }
            button { "Apply" }
        }
        @if let Some(word) = &query.unknown {
            p.note { "“" (word) "” in the address means nothing here: sort is one of " (Query::sorts()) ", with - before it the other way round; q filters, all=1 shows every unit" }
        }
        @if rows.is_empty() && all > 0 {
            p.note { "nothing here has “" (query.filter) "” in its name, project, image or state. " a href={ (Query { filter: String::new(), ..query.clone() }.address()) } { "show all" } }
        } @else if rows.is_empty() {
            p.note { (none(report)) }
        } @else {
            // A table wider than the window is moved by keys, too.
            div.table tabindex="0" role="region" aria-labelledby="table" {
                table {
                    caption #table { "What runs here" }
                    thead { tr {
                        (head(query, Sort::Name, "Workload", "name"))
                        (head(query, Sort::Cpu, "CPU", "num"))
                        th.num.mid scope="col" { "of limit" }
                        th.num.mid scope="col" { "throttled" }
                        (head(query, Sort::Memory, "Memory", "num"))
                        th.num.mid scope="col" { "of limit" }
                        th.num.wide scope="col" { "Asked" }
                        (head(query, Sort::Network, "Network in / out", "num wide"))
                        (head(query, Sort::Restarts, "Restarts", "num wide"))
                        @if money.is_some() || alone {
                            (head(query, Sort::Cost, "Now $/h", "num"))
                        }
                        @if money.is_some() {
                            th.num.wide scope="col" { "with idle" }
                        }
                        (head(query, Sort::Fargate, "Fargate $/h", "num mid"))
                    } }
                    @for row in &rows { (line(row, report, history, today, (money.as_ref(), alone), &colours)) }
                    @if let Some(money) = money.as_ref().filter(|_| query.filter.is_empty()) { (foot(money, chosen.rest.len())) }
                }
            }
        }
        @if !chosen.rest.is_empty() && query.filter.is_empty() {
            p.note { (chosen.rest.len()) " quiet units of the host are not shown. " a href={ (Query { all: true, ..query.clone() }.address()) } { "show all" } }
        }
    }
}

/// A column's head is a link that sorts by it.
fn head(query: &Query, sort: Sort, name: &str, class: &str) -> Markup {
    let sorted = (query.sort == Some(sort)).then(|| if descends(query, sort) { "descending" } else { "ascending" });
    html! {
        th scope="col" class=(class) aria-sort=[sorted] { a href=(query.sorted_by(sort)) { (name) } }
    }
}

/// Figures begin with the largest, names with A.
fn descends(query: &Query, sort: Sort) -> bool {
    (sort != Sort::Name) != query.back
}

fn order(rows: &mut [&WorkloadRow], query: &Query) {
    let Some(sort) = query.sort else { return };
    // What is not known stands last, whichever way round.
    let by = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) if query.back => a.total_cmp(&b),
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    let figure = |row: &WorkloadRow| match sort {
        Sort::Name => None,
        Sort::Cpu => row.rates.cpu.map(|cpu| cpu.0),
        Sort::Memory => used(row).map(|used| used.0 as f64),
        Sort::Network => row.rates.received.zip(row.rates.sent).map(|(received, sent)| received + sent),
        Sort::Restarts => restarts(row).map(|restarts| restarts as f64),
        Sort::Cost => row.cost.now.map(|now| now.0 as f64),
        Sort::Fargate => fargate(row).and_then(|otherwise| otherwise.rate).map(|rate| rate.0 as f64),
    };
    rows.sort_by(|a, b| {
        let names = a.seen.about.name.cmp(&b.seen.about.name);
        match sort {
            Sort::Name if query.back => names.reverse(),
            Sort::Name => names,
            _ => by(figure(a), figure(b)).then(names),
        }
        .then_with(|| if a.seen.about.key == b.seen.about.key { Ordering::Equal } else { a.seen.about.key.cmp(&b.seen.about.key) })
    });
}

/// What a filter looks through, in small letters.
fn words(row: &WorkloadRow) -> String {
    let mut words = vec![row.seen.about.name.to_string(), row.seen.about.project.as_deref().unwrap_or_default().to_owned(), said(row).0];
    words.extend(which(row));
    for container in &row.containers {
        words.push(container.seen.about.label().to_owned());
        words.extend(container.seen.about.image.as_deref().map(str::to_owned));
    }
    words.join(" ").to_lowercase()
}

/// The price of the machine, cut into what runs on it, to scale.
fn node(report: &Report, colours: &[&Key]) -> Markup {
    let node = &report.host.cost;
    let (Some(price), Some(idle)) = (&node.price, node.idle) else { return html! {} };
    let cost = |row: &WorkloadRow| row.cost.now.map_or(0.0, UsdPerHour::usd);
    let of = |key: &Key| report.workloads.iter().find(|row| row.seen.about.key == *key).map_or(0.0, cost);
    let mut parts: Vec<(String, f64)> = colours.iter().enumerate().map(|(at, key)| (format!("c{at}"), of(key))).collect();
    let own: f64 = parts.iter().map(|part| part.1).sum();
    let rest = report.workloads.iter().map(cost).sum::<f64>() - own;
    parts.push(("rest".into(), rest.max(0.0)));
    parts.push(("idle".into(), idle.usd().max(0.0)));
    let whole = parts.iter().map(|part| part.1).sum::<f64>().max(f64::MIN_POSITIVE);
    let share = idle.usd() / price.usd.usd().max(f64::MIN_POSITIVE) * 100.0;
    html! {
        section.node aria-label="The price of this machine" {
            (chart::bar(&parts, whole, &format!("{} dollars an hour, of which {share:.0} % are idle", figures::price(price.usd))))
            p {
                strong { (figures::price(price.usd)) " $/h" } "  " (price.usd.over(UsdPerHour::MONTH).to_string()) " $/month"
                span.muted { ", list price of " (price.since.to_string()) ", " (format!("{share:.0} %")) " idle" }
                @if let Some(full) = node.break_even.filter(|full| full.0 <= 1.0) { span.muted { ", worth its price from " (figures::percent(full)) " full" } }
            }
            @if let Some(what) = &node.oversubscribed { p.notice { "more is asked for or used than this machine has: " (what) } }
        }
    }
}

/// Who has a colour: the dearest, the dearest first.
fn colours(report: &Report) -> Vec<&Key> {
    let mut dear: Vec<_> = report.workloads.iter().filter(|row| row.cost.now.is_some_and(|now| now.0 > 0)).collect();
    dear.sort_by(|a, b| b.cost.now.cmp(&a.cost.now).then_with(|| a.seen.about.key.cmp(&b.seen.about.key)));
    dear.into_iter().take(COLOURS).map(|row| &row.seen.about.key).collect()
}

fn line(row: &WorkloadRow, report: &Report, history: &History, today: Option<Date>, (money, alone): (Option<&Money<'_>>, bool), colours: &[&Key]) -> Markup {
    let key = &row.seen.about.key;
    let colour = colours.iter().position(|coloured| *coloured == key);
    let (said, bad) = said(row);
    let says = if row.seen.state <= State::Restarting { verdict(row, &report.host, today) } else { String::new() };
    let quiet = kind(row) > 0 || row.seen.state > State::Restarting;
    // What the state says already is not said again.
    let warnings = row.warnings.iter().filter(|warning| ***warning != *said);
    let notes: Vec<(&str, &str)> = warnings.map(|warning| ("notice", &**warning)).chain((!says.is_empty()).then_some(("says", &*says))).collect();
    html! {
        tbody.quiet[quiet] data-words=(words(row)) { tr {
            th.name scope="row" {
                @if money.is_some() {
                    svg.swatch viewBox="0 0 10 10" aria-hidden="true" {
                        rect class={ @match colour { Some(at) => { "c" (at) }, None => "rest" } } width="10" height="10" rx="2" {}
                    }
                }
                a href=(query::workload(key)) { (row.seen.about.name) }
                @if let Some(which) = which(row) { " " span.muted { (which) } }
                " " span class=(tone(bad)) { (said) }
            }
            td.num { (chart::spark(history.of(key).map(|point| point.cpu), cores(row))) (figure(row.rates.cpu.map(figures::cores))) }
            td.num.mid { (share(row.rates.cpu_of_limit, 0.95)) }
            td.num.mid { (share(row.rates.throttled, crate::health::THROTTLED)) }
            td.num { (chart::spark(history.of(key).map(|point| point.memory), memory(row))) (figure(used(row).map(|used| used.to_string()))) }
            td.num.mid { (share(row.rates.memory_of_limit, crate::health::NEAR)) }
            td.num.wide { (figure(figures::cores_and_gib(row.seen.asked.cores.map(|cores| cores.0), row.seen.asked.memory.map(Bytes::gib)))) }
            td.num.wide { (network(row)) }
            td.num.wide { (figure(restarts(row).map(|restarts| restarts.to_string()))) }
            @if let Some(money) = money {
                td.num { (figure(row.cost.now.and_then(|_| money.now(key)))) }
                td.num.wide { (figure(row.cost.total.and_then(|_| money.total(key)))) }
            } @else if alone {
                td.num { (figure(row.cost.now.map(|now| now.to_string()))) }
            }
            td.num.mid { (elsewhere(row)) }
        }
        @if !notes.is_empty() {
            tr.notes { td colspan="12" { @for (class, note) in &notes { span class=(class) { (note) } " " } } }
        } }
    }
}

/// What the rows cost, rounded so that what is shown of the parts adds up to what is shown of the machine, as in `tare cost`.
struct Money<'a> {
    rows: HashMap<&'a Key, [i64; 2]>,
    /// The quiet units together.
    rest: [i64; 2],
    idle: i64,
    price: UsdPerHour,
    /// Every workload could be charged.
    whole: bool,
}

impl<'a> Money<'a> {
    /// `None`: the machine has no price.
    fn of(report: &Report, rows: &[&'a WorkloadRow], rest: &[&'a WorkloadRow]) -> Option<Money<'a>> {
        let node = &report.host.cost;
        let (price, idle) = (node.price.as_ref()?.usd, node.idle?);
        let known = |rate: Option<UsdPerHour>| rate.map_or(0, |rate| rate.0);
        let parts = |of: fn(&WorkloadRow) -> Option<UsdPerHour>, last: Option<i64>| {
            let rest = rest.iter().map(|row| known(of(row))).fold(0, i64::saturating_add);
            let parts: Vec<i64> = rows.iter().map(|row| known(of(row))).chain([rest]).chain(last).collect();
            figures::rounded(&parts, price.0, SHOWN)
        };
        let (now, total) = (parts(|row| row.cost.now, Some(idle.0)), parts(|row| row.cost.total, None));
        let both = |at: usize| [now[at], total[at]];
        let charged = rows.iter().chain(rest).map(|row| known(row.cost.now)).fold(idle.0, i64::saturating_add);
        let of_rows = rows.iter().enumerate().map(|(at, row)| (&row.seen.about.key, both(at))).collect();
        Some(Money { rows: of_rows, rest: both(rows.len()), idle: now[rows.len() + 1], price, whole: charged == price.0 })
    }

    fn now(&self, key: &Key) -> Option<String> {
        self.rows.get(key).map(|shown| figures::usd(shown[0]))
    }

    fn total(&self, key: &Key) -> Option<String> {
        self.rows.get(key).map(|shown| figures::usd(shown[1]))
    }
}

/// The quiet units, idle and the whole: with the rows above they add up.
fn foot(money: &Money<'_>, quiet: usize) -> Markup {
    let line = |name: Markup, now: String, total: Option<String>| {
        html! {
            tr {
                th.name scope="row" { (name) }
                td {} td.mid {} td.mid {} td {} td.mid {} td.wide {} td.wide {} td.wide {}
                td.num { (now) } td.num.wide { @if let Some(total) = total { (total) } } td.mid {}
            }
        }
    };
    let swatch = |class: &str| html! { svg.swatch viewBox="0 0 10 10" aria-hidden="true" { rect class=(class) width="10" height="10" rx="2" {} } };
    let price = figures::usd((money.price.0 + SHOWN / 2).div_euclid(SHOWN));
    html! {
        tfoot {
            @if quiet > 0 { (line(html! { (swatch("rest")) (quiet) " quiet units" }, figures::usd(money.rest[0]), Some(figures::usd(money.rest[1])))) }
            (line(html! { (swatch("idle")) "idle" }, figures::usd(money.idle), None))
            (line(html! { "this machine" @if !money.whole { span.state { " not every workload could be charged" } } }, price.clone(), Some(price)))
        }
    }
}

/// Which one it is and how it does.
fn said(row: &WorkloadRow) -> (String, Tone) {
    let only = if let [only] = row.containers.as_slice() { Some(only) } else { None };
    match &row.seen.about.key {
        Key::Unit(_) | Key::System => ("host".into(), Tone::Quiet),
        _ => state(row.seen.state, only),
    }
}

fn cores(row: &WorkloadRow) -> Option<f32> {
    if let Limit::Of(cores) = row.seen.limits.cores { Some(cores.0 as f32) } else { None }
}

fn memory(row: &WorkloadRow) -> Option<f32> {
    if let Limit::Of(bytes) = row.seen.limits.memory { Some(bytes.0 as f32) } else { None }
}

fn figure(text: Option<String>) -> Markup {
    text.map_or_else(unknown, |text| html! { (text) })
}

/// A share, marked from a level on; the mark shows without colour, too.
fn share(ratio: Option<collector::units::Ratio>, alarm: f64) -> Markup {
    match ratio {
        None => unknown(),
        Some(ratio) if ratio.0 >= alarm => html! { strong.alarm { (figures::percent(ratio)) "!" } },
        Some(ratio) => html! { (figures::percent(ratio)) },
    }
}

fn network(row: &WorkloadRow) -> Markup {
    let only = if let [only] = row.containers.as_slice() { Some(&only.seen.net) } else { None };
    match (row.rates.received.zip(row.rates.sent), only) {
        (Some((received, sent)), _) => html! { (figures::traffic(received, sent)) },
        (None, Some(NetOwner::Host)) => html! { span.muted { "host’s" } },
        (None, Some(NetOwner::Of(_))) => html! { span.muted { "shared" } },
        (None, _) => unknown(),
    }
}

fn restarts(row: &WorkloadRow) -> Option<u64> {
    row.containers.iter().filter_map(|container| container.seen.restarts).reduce(u64::saturating_add)
}

fn fargate(row: &WorkloadRow) -> Option<&Otherwise> {
    row.cost.otherwise.iter().find(|otherwise| matches!(otherwise.on, Elsewhere::Fargate { .. }))
}

fn elsewhere(row: &WorkloadRow) -> Markup {
    match fargate(row).map(|otherwise| (otherwise.rate, otherwise.early, &otherwise.project)) {
        Some((Some(rate), early, _)) => html! { @if early { abbr title="seen for less than an hour: the size may still grow" { "~" } } (rate.to_string()) },
        Some((None, _, Some(project))) => html! { span.muted { "in " (project) } },
        _ => unknown(),
    }
}

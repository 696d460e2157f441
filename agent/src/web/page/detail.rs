//! The page of one workload: what its figures are held against, how its cost is reckoned, what it is made of.

use maud::{Markup, html};

use collector::units::{Cores, Limit};

use crate::explain::explain;
use crate::report::{ContainerRow, Report, WorkloadRow};
use crate::words::figures;
use crate::words::rows::{is_scenery, memory, used, which};
use crate::words::state;

use super::history::History;
use super::{chart, tone, unknown};

pub(super) fn main(row: &WorkloadRow, report: &Report, history: &History) -> Markup {
    let seen = &row.seen;
    let only = if let [only] = row.containers.as_slice() { Some(only) } else { None };
    let (word, bad) = state(seen.state, only);
    let limit = |limit: Option<f64>| limit.map(|limit| ("limit", limit as f32));
    let cores = if let Limit::Of(cores) = seen.limits.cores { Some(cores.0) } else { None };
    let bytes = if let Limit::Of(bytes) = seen.limits.memory { Some(bytes.0 as f64) } else { None };
    let asked = |asked: Option<f64>| asked.map(|asked| ("asked", asked as f32));
    let key = &seen.about.key;
    let containers: Vec<&ContainerRow> = row.containers.iter().filter(|one| !is_scenery(one)).collect();
    let hidden = row.containers.len() - containers.len();
    let measured = row.containers.iter().any(|one| one.seen.disk.is_some());
    html! {
        p.back { a href="/" { "all that runs here" } }
        h2 { (seen.about.name) " " @if let Some(which) = which(row) { span.muted { (which) } " " } span class=(tone(bad)) { (word) } }
        @if let Some(project) = &seen.about.project { p.muted { "compose project " (project) } }
        @for warning in &row.warnings { p.notice { (warning) } }
        div.charts {
            figure {
                figcaption { "CPU, cores: " strong { (row.rates.cpu.map_or("–".into(), figures::cores)) } (held(seen.asked.cores.map(figures::cores), cores.map(Cores).map(figures::cores))) }
                (chart::chart(history.of(key).map(|point| point.cpu), &[limit(cores), asked(seen.asked.cores.map(|cores| cores.0))]))
            }
            figure {
                figcaption { "Memory: " strong { (used(row).map_or("–".into(), |used| used.to_string())) } (held(seen.asked.memory.map(|asked| asked.to_string()), if let Limit::Of(bytes) = seen.limits.memory { Some(bytes.to_string()) } else { None })) }
                (chart::chart(history.of(key).map(|point| point.memory), &[limit(bytes), asked(seen.asked.memory.map(|bytes| bytes.0 as f64))]))
            }
        }
        h3 { "How its cost is reckoned" }
        pre tabindex="0" role="region" aria-label="How its cost is reckoned" { (explain(row, &report.host, &report.at).join("\n")) }
        @if !containers.is_empty() {
            div.table tabindex="0" role="region" aria-labelledby="containers" {
                table {
                    caption #containers { "Its containers" @if hidden > 0 { ", without " (hidden) " of the platform’s own" } }
                    thead { tr {
                        th scope="col" { "Container" } th scope="col" { "Image" } th.num scope="col" { "CPU" } th.num scope="col" { "Memory" }
                        th.num.mid scope="col" { "of limit" } @if measured { th.num scope="col" { "Disk" } } th.num scope="col" { "Restarts" } th.num scope="col" { "Exit code" } th.num.mid scope="col" { "Started" }
                    } }
                    tbody { @for container in containers { (line(container, row.containers.len() > 1, measured)) } }
                }
            }
        }
    }
}

fn held(asked: Option<String>, limit: Option<String>) -> Markup {
    html! {
        @if let Some(asked) = asked { ", " span.asked { "asked " (asked) } }
        @if let Some(limit) = limit { ", " span.limit { "limit " (limit) } }
    }
}

/// `apart`: its warnings are not those of the workload alone. `measured`: what somebody here has written to disk is known.
fn line(row: &ContainerRow, apart: bool, measured: bool) -> Markup {
    let seen = &row.seen;
    let (word, bad) = state(seen.state, Some(row));
    let figure = |text: Option<String>| text.map_or_else(unknown, |text| html! { (text) });
    html! {
        tr {
            th.name scope="row" { (seen.about.label()) " " span class=(tone(bad)) { (word) } @if apart { @for warning in &row.warnings { p.notice { (warning) } } } }
            td.text { (figure(seen.about.image.as_deref().map(str::to_owned))) }
            td.num { (figure(row.rates.cpu.map(figures::cores))) }
            td.num { (figure(memory(&seen.usage).map(|used| used.to_string()))) }
            td.num.mid { (figure(row.rates.memory_of_limit.map(figures::percent))) }
            @if measured { td.num { (figure(seen.disk.and_then(|disk| disk.is.written).map(|written| written.to_string()))) } }
            td.num { (figure(seen.restarts.map(|restarts| restarts.to_string()))) }
            td.num { (figure(seen.exit.map(|exit| exit.to_string()))) }
            td.num.mid { (figure(seen.started.map(|started| started.strftime("%Y-%m-%d %H:%M UTC").to_string()))) }
        }
    }
}

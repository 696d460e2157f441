//! The page: the last report for people. It is whole without scripts; with them it follows the reports as they come. Nothing in it comes from elsewhere.

mod chart;
mod detail;
mod history;
mod overview;
mod query;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};

use crate::report::Report;
use crate::sinks::gzip::{Blocks, Gzip};
use crate::words::Tone;
use crate::words::heading::heading;

use super::Published;
use super::answer::{Pieces, typed};
use super::negotiate::Coding;
use history::History;
use query::Query;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");
const ICON: &str = include_str!("icon.svg");

/// Nothing but our own files may be loaded, nothing may be written into the page, nobody may frame it (w3.org/TR/CSP3).
const POLICY: &str =
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Views kept of one report.
const VIEWS: usize = 8;

/// The page's memory.
#[derive(Default)]
pub(super) struct Page(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    history: History,
    /// Views of one report by their address, the newest last: those who look at the same share one.
    of: Option<Instant>,
    views: Vec<View>,
}

/// One view of one report.
struct View {
    address: String,
    plain: Bytes,
    /// Made when someone takes it.
    packed: Option<[Bytes; 2]>,
}

impl View {
    fn answer(&mut self, coding: Coding) -> Response<Pieces> {
        let pieces = match coding {
            Coding::Identity => [self.plain.clone(), Bytes::new()],
            Coding::Gzip => self.packed.get_or_insert_with(|| packed(&self.plain)).clone(),
        };
        let mut answer = page(pieces);
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if coding == Coding::Gzip {
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer
    }
}

fn packed(plain: &[u8]) -> [Bytes; 2] {
    let mut gzip = Gzip::new();
    let mut blocks = Blocks::default();
    let mut writer = gzip.begin(&mut blocks);
    writer.write(plain);
    let beginning = writer.finish();
    let end = gzip.end(&beginning, &[]);
    [beginning.bytes, end]
}

impl Page {
    /// Takes a report's figures into the charts.
    pub(super) fn add(&self, published: &Published) {
        self.locked().history.add(published);
    }

    /// The view at `path` with what stands behind its question mark. `None`: there is no such workload.
    pub(super) fn view(&self, path: &str, asked: &str, coding: Coding, published: &Published) -> Option<Response<Pieces>> {
        let mut inner = self.locked();
        inner.history.add(published);
        if inner.of != Some(published.at) {
            inner.of = Some(published.at);
            inner.views.clear();
        }
        // The address as we would write it. What says that it passed something over is not kept.
        let workload = if path == "/" { None } else { Some(query::key(asked)?) };
        let query = Query::read(asked);
        let address = workload.as_ref().map_or_else(|| query.address(), query::workload);
        let is_kept = workload.is_some() || query.unknown.is_none();
        if let Some(view) = inner.views.iter_mut().find(|view| is_kept && view.address == address) {
            return Some(view.answer(coding));
        }
        let report = &published.report;
        let body = match &workload {
            None => {
                let today = report.at.wall.map(|wall| wall.to_zoned(TimeZone::UTC).date());
                overview::main(report, &query, &inner.history, today)
            }
            Some(key) => {
                let row = report.workloads.iter().find(|row| row.seen.about.key == *key)?;
                detail::main(row, report, &inner.history)
            }
        };
        let mut view = View { address, plain: Bytes::from(whole(report, body).into_string()), packed: None };
        let answer = view.answer(coding);
        if !is_kept {
            return Some(answer);
        }
        if inner.views.len() == VIEWS {
            inner.views.remove(0);
        }
        inner.views.push(view);
        Some(answer)
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page without a report: there is none yet, or none of this name.
pub(super) fn empty(status: StatusCode, words: &str) -> Response<Pieces> {
    let body = html! { p.note { (words) } p.back { a href="/" { "all that runs here" } } };
    let mut answer = page([Bytes::from(framed("tare", body).into_string()), Bytes::new()]);
    *answer.status_mut() = status;
    answer
}

/// The style sheet, the script, the icon. They say nothing of the host, and another text of theirs has another address.
pub(super) fn asset(path: &str) -> Option<Response<Pieces>> {
    let (kind, text) = match path {
        "/tare.css" => ("text/css; charset=utf-8", STYLE),
        "/tare.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/tare.svg" => ("image/svg+xml", ICON),
        _ => return None,
    };
    let mut answer = typed(StatusCode::OK, kind, Pieces([Bytes::from_static(text.as_bytes()), Bytes::new()]));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, immutable"));
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Some(answer)
}

/// What stands behind the assets' names, so that a browser that holds an older one asks anew.
fn edition() -> String {
    let mut hasher = DefaultHasher::new();
    (STYLE, SCRIPT, ICON).hash(&mut hasher);
    format!("?{:016x}", hasher.finish())
}

fn page(html: [Bytes; 2]) -> Response<Pieces> {
    let mut answer = typed(StatusCode::OK, "text/html; charset=utf-8", Pieces(html));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

fn whole(report: &Report, body: Markup) -> Markup {
    let at = report.at.wall;
    let title = heading(report, None);
    let body = html! {
        main #main {
            header {
                h1 { (title) }
                @if let Some(at) = at { p.muted { "looked at " time datetime=(at.to_string()) { (at.strftime("%H:%M:%S UTC").to_string()) } } }
                @if report.host.cost.price.is_none() && report.sold().is_none() {
                    p.notice { "price of this machine unknown: " (report.host.cost.why_no_price.as_deref().unwrap_or("not known yet")) }
                }
                @if let Some(region) = report.host.cost.region.as_ref().filter(|region| region.assumed) {
                    p.notice { "~ prices of " (region.name) ": nobody said which region this is, set host.region" }
                }
            }
            (body)
            footer { (unseen(report)) (sources(report)) }
        }
    };
    framed(&title, body)
}

fn framed(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · tare" }
                link rel="icon" href={ "/tare.svg" (edition()) };
                link rel="stylesheet" href={ "/tare.css" (edition()) };
                script src={ "/tare.js" (edition()) } defer {}
            }
            body { (body) }
        }
    }
}

/// What could not be seen, and why.
fn unseen(report: &Report) -> Markup {
    html! {
        @if !report.gaps.is_empty() {
            details #gaps {
                summary { "not seen: " (report.gaps.iter().map(|gap| &*gap.what).collect::<Vec<_>>().join(", ")) }
                ul { @for gap in &report.gaps { li { strong { (gap.what) } " (" (gap.from.as_str()) "): " (gap.why) } } }
            }
        }
    }
}

fn sources(report: &Report) -> Markup {
    html! {
        p.muted {
            "sources: "
            // One that never answered and never failed is not wanted here.
            @for (at, source) in report.sources.iter().filter(|source| source.age.is_some() || source.failures > 0).enumerate() {
                @if at > 0 { ", " }
                (source.source.as_str())
                @match source.age { Some(age) => { " " (format!("{:.0} s", age.as_secs_f64())) " old" }, None => " did not answer" }
            }
            ". " a href="/metrics" { "/metrics" } " · " a href="/report.json" { "/report.json" }
        }
    }
}

fn unknown() -> Markup {
    html! { span.muted { "–" } }
}

/// The class that a tone is.
fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "state",
        Tone::Quiet => "state muted",
        Tone::Notice => "state notice",
        Tone::Alarm => "state alarm",
        Tone::Head => "state head",
    }
}

#[cfg(test)]
mod tests;

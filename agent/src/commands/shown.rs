//! How a table is wanted: which rows and columns, for what kind of output, with or without words around it.

use jiff::Timestamp;

use crate::query::field;
use crate::query::{Columns, Field, Query};
use crate::report::Report;
use crate::words::figures;
use crate::words::heading::heading;
use crate::words::rows::{Chosen, choose, choose_in_order};

use super::table::{Look, Tone, columns, say};

/// What the user asked for, and what the output is.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// Now, for ages.
    pub now: Timestamp,
    /// What the output can show.
    pub look: Look,
    /// Every unit of the host has its row, however quiet.
    pub all: bool,
    /// Who made the report, where it was another program: `the Tare that runs here`.
    pub from: Option<&'a str>,
    /// Which rows, and their order.
    pub query: Query,
    /// These columns instead of the usual ones.
    pub columns: Option<&'a Columns>,
    /// More columns than the usual ones.
    pub wide: bool,
    /// Lines beside the rows.
    pub headers: bool,
}

impl Shown<'_> {
    /// The usual table.
    pub fn new(now: Timestamp, look: Look) -> Shown<'static> {
        Shown { now, look, all: false, from: None, query: Query::default(), columns: None, wide: false, headers: true }
    }

    /// The rows: who filters has chosen, who sorts has ordered.
    pub(super) fn choose<'r>(&self, report: &'r Report) -> Chosen<'r> {
        let all = self.all || self.query.filter.is_some();
        if self.query.sort.is_some() { choose_in_order(report, all) } else { choose(report, all) }
    }

    /// The columns by their fields; `None` is the usual ones.
    pub(super) fn fields(&self, wide: &[&str]) -> Option<Vec<&'static Field>> {
        match self.columns {
            Some(columns) => Some(columns.0.clone()),
            None => self.wide.then(|| wide.iter().filter_map(|name| field::find(name).ok()).collect()),
        }
    }

    /// The first line: the machine on the left; on the right how old the report is and who made it, which takes a line of its own where there is no room.
    pub(super) fn say_heading(&self, out: &mut String, report: &Report, more: Option<String>, wide: usize) {
        let left = heading(report, more);
        let age = report.at.wall.map(|at| figures::age(at, self.now)).unwrap_or_default();
        let whole = self.from.map(|from| format!("{age}, by {from}"));
        let fits = |right: &String| self.look.width.is_none_or(|width| columns(&left) + columns(right) + 3 <= width.into());
        match whole.filter(fits) {
            Some(right) => say(out, self.look.ends(&left, &right, wide)),
            None => {
                say(out, self.look.ends(&left, &age, wide));
                self.say_source(out);
            }
        }
    }

    /// Who made the report, in a line of its own.
    pub(super) fn say_source(&self, out: &mut String) {
        if let Some(from) = self.from {
            say(out, self.look.paint(&self.look.line(&format!("seen by {from}")), Tone::Quiet));
        }
    }

    /// What stands in place of rows.
    pub(super) fn nothing<'w>(&self, words: &'w str) -> &'w str {
        if self.query.filter.is_some() { "nothing meets the filter" } else { words }
    }
}

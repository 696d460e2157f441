//! What is asked of a report: which rows, in which order, by the names of their fields. Pure; the same for every form of output.

pub mod field;
mod filter;
mod sort;

use std::borrow::Cow;

use crate::report::{Report, WorkloadRow};

pub use field::{Field, Row, Unit, Value, rows};
pub use filter::Filter;
pub use sort::Sort;

/// Columns at most.
const MOST_COLUMNS: usize = 64;

/// Which rows of a report, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Rows that are wanted; `None` is all.
    pub filter: Option<Filter>,
    /// Their order; `None` is the report's own.
    pub sort: Option<Sort>,
}

impl Query {
    /// The report with the workloads that are wanted: those that meet the filter, or have a container that does. They stay whole, for their figures are.
    pub fn of<'a>(&self, report: &'a Report) -> Cow<'a, Report> {
        let mut found = match &self.filter {
            Some(filter) => Cow::Owned(kept(report, filter)),
            None => Cow::Borrowed(report),
        };
        if let Some(sort) = &self.sort {
            sort.apply(found.to_mut());
        }
        found
    }

    /// Whether a line is itself wanted.
    pub fn wants(&self, row: &Row<'_>) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.meets(row))
    }
}

fn kept(report: &Report, filter: &Filter) -> Report {
    let wanted = |workload: &&WorkloadRow| {
        let row = Row { report, workload, inner: None };
        filter.meets(&row) || row.several().iter().any(|one| filter.meets(&Row { inner: Some(one), ..row }))
    };
    Report {
        schema: report.schema.clone(),
        at: report.at,
        scope: report.scope,
        cluster: report.cluster.clone(),
        host: report.host.clone(),
        workloads: report.workloads.iter().filter(wanted).cloned().collect(),
        ecs: report.ecs.clone(),
        gaps: report.gaps.clone(),
        sources: report.sources.clone(),
    }
}

/// `--columns name,cpu,memory`: what a table shows, from left to right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(pub Vec<&'static Field>);

impl Columns {
    /// Reads names with commas between them. Errors: no such name, and which was probably meant or all there are.
    pub fn read(text: &str) -> Result<Columns, String> {
        let fields = text.split(',').map(|name| field::find(name.trim())).collect::<Result<Vec<_>, _>>()?;
        if fields.len() > MOST_COLUMNS { Err(format!("at most {MOST_COLUMNS} columns")) } else { Ok(Columns(fields)) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::sample;

    #[test]
    fn every_name_is_one_field_s_and_every_share_is_a_field() {
        let mut names = HashSet::new();
        for field in field::FIELDS {
            let all: HashSet<String> = [field.name.to_owned(), field.full_name()].into_iter().chain(field.also.iter().map(|name| (*name).to_owned())).collect();
            for name in all {
                assert_eq!(field::find(&name), Ok(field), "{name}");
                assert!(names.insert(name.clone()), "{name} stands twice");
            }
            if let Some(share) = field.share {
                assert_eq!(field::find(share).map(|share| share.unit), Ok(Unit::Share), "{share}");
            }
        }
    }

    #[test]
    fn a_field_says_what_kind_it_is() {
        let report = sample::report();
        for row in rows(&report) {
            for field in field::FIELDS {
                match field.of(&row) {
                    Value::Unknown => assert_ne!(field.unit, Unit::Text, "{}", field.name),
                    Value::Text(text) => {
                        assert_eq!(field.unit, Unit::Text, "{}", field.name);
                        assert!(field.words.is_empty() || text.is_empty() || field.words.contains(&&*text), "{text}");
                    }
                    Value::Number(figure) => assert!(field.unit != Unit::Text && !figure.is_nan(), "{}", field.name),
                }
            }
        }
    }

    #[test]
    fn a_container_that_is_wanted_brings_its_workload() {
        let report = sample::report();
        let query = |filter: &str| Query { filter: Some(Filter::read(filter).unwrap()), sort: None };
        let found = query("container=envoy").of(&report).into_owned();
        assert_eq!(found.workloads, report.workloads.iter().filter(|row| &*row.seen.about.name == "web").cloned().collect::<Vec<_>>());
        assert_eq!((&found.host, &found.schema), (&report.host, &report.schema));
        assert_eq!(rows(&found).filter(|row| query("container=envoy").wants(row)).count(), 1);
        assert!(matches!(Query::default().of(&report), Cow::Borrowed(_)));
    }

    #[test]
    fn columns_are_named() {
        let names = |text: &str| Columns::read(text).map(|columns| columns.0.iter().map(|field| field.name).collect::<Vec<_>>());
        assert_eq!(names("name, cpu,memory_bytes"), Ok(vec!["workload", "cpu", "memory"]));
        assert!(names("cpu,").unwrap_err().contains("there are workload, container"));
    }
}

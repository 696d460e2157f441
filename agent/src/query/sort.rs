//! `--sort memory,-name`: the order of rows.

use std::cmp::Ordering;

use crate::report::Report;

use super::field::{Field, Row, Unit, Value, find};

/// Names in an order.
const MOST: usize = 8;

/// What rows are ordered by, the most important first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort(Vec<(&'static Field, Way)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Sort {
    /// Reads names with commas between them. Figures come the largest first and words from a to z; `:asc`, `:desc` and a `-` before the name (as `:desc`)
    /// say it. Errors: no such name, and which was probably meant.
    pub fn read(text: &str) -> Result<Sort, String> {
        let keys = text.split(',').map(|key| {
            let (name, way) = match (key.trim().split_once(':'), key.trim().strip_prefix('-')) {
                (Some((name, "asc")), None) => (name, Some(Way::Up)),
                (Some((name, "desc")), None) => (name, Some(Way::Down)),
                (Some((_, word)), None) => return Err(format!("after : stands asc or desc, not {:?}", word.chars().take(40).collect::<String>())),
                (None, Some(name)) => (name, Some(Way::Down)),
                (None, None) => (key.trim(), None),
                (Some(_), Some(_)) => return Err("an order is told once: -NAME, NAME:asc or NAME:desc".into()),
            };
            let field = find(name)?;
            Ok((field, way.unwrap_or(if field.unit == Unit::Text { Way::Up } else { Way::Down })))
        });
        let keys = keys.collect::<Result<Vec<_>, String>>()?;
        if keys.len() > MOST { Err(format!("at most {MOST} names")) } else { Ok(Sort(keys)) }
    }

    /// Puts the workloads in order, and the containers of each.
    pub fn apply(&self, report: &mut Report) {
        // What orders a row is worked out once.
        let order = |rows: Vec<Row<'_>>| {
            let mut keyed: Vec<(Vec<Value<'_>>, usize)> =
                rows.iter().enumerate().map(|(at, row)| (self.0.iter().map(|(field, _)| field.of(row)).collect(), at)).collect();
            keyed.sort_by(|(a, _), (b, _)| self.compare(a, b));
            keyed.into_iter().map(|(_, at)| at).collect::<Vec<usize>>()
        };
        let report_now = &*report;
        let workloads = order(report_now.workloads.iter().map(|workload| Row { report: report_now, workload, inner: None }).collect());
        let inner: Vec<Vec<usize>> = report_now
            .workloads
            .iter()
            .map(|workload| order(workload.containers.iter().map(|one| Row { report: report_now, workload, inner: Some(one) }).collect()))
            .collect();
        for (row, order) in report.workloads.iter_mut().zip(inner) {
            arrange(&mut row.containers, order);
        }
        arrange(&mut report.workloads, workloads);
    }

    fn compare(&self, a: &[Value<'_>], b: &[Value<'_>]) -> Ordering {
        let orders = self.0.iter().zip(a.iter().zip(b)).map(|((_, way), (a, b))| match (a, b) {
            // What is not known stands last, whichever way.
            (Value::Number(a), Value::Number(b)) => turn(*way, a.total_cmp(b)),
            (Value::Text(a), Value::Text(b)) => a.is_empty().cmp(&b.is_empty()).then_with(|| turn(*way, a.cmp(b))),
            (a, b) => (*a == Value::Unknown).cmp(&(*b == Value::Unknown)),
        });
        orders.fold(Ordering::Equal, Ordering::then)
    }
}

fn turn(way: Way, order: Ordering) -> Ordering {
    if way == Way::Down { order.reverse() } else { order }
}

fn arrange<T>(rows: &mut Vec<T>, order: Vec<usize>) {
    let mut taken: Vec<Option<T>> = std::mem::take(rows).into_iter().map(Some).collect();
    rows.extend(order.into_iter().filter_map(|at| taken.get_mut(at).and_then(Option::take)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn sorted(by: &str) -> Vec<String> {
        let mut report = sample::report();
        Sort::read(by).unwrap().apply(&mut report);
        report.workloads.iter().map(|row| row.seen.about.name.to_string()).collect()
    }

    #[test]
    fn figures_come_large_first_words_from_a_and_the_unknown_last() {
        for (by, expected) in [
            ("cpu", ["api", "web", "system", "ecs-agent"]),
            ("cpu:asc", ["ecs-agent", "system", "web", "api"]),
            ("-cpu", ["api", "web", "system", "ecs-agent"]),
            ("name", ["api", "ecs-agent", "system", "web"]),
            ("-name", ["web", "system", "ecs-agent", "api"]),
            ("cost", ["api", "web", "system", "ecs-agent"]),
            ("fargate", ["web", "api", "ecs-agent", "system"]),
            ("fargate:asc,name:desc", ["api", "web", "system", "ecs-agent"]),
            ("restarts, name", ["api", "ecs-agent", "web", "system"]),
            ("restarts:asc,name", ["ecs-agent", "web", "api", "system"]),
            ("kind,memory:asc", ["ecs-agent", "system", "web", "api"]),
        ] {
            assert_eq!(sorted(by), expected, "{by}");
        }
    }

    #[test]
    fn containers_are_ordered_inside_their_workload() {
        let mut report = sample::report();
        Sort::read("memory:asc").unwrap().apply(&mut report);
        let web = report.workloads.iter().find(|row| &*row.seen.about.name == "web").unwrap();
        assert_eq!(web.containers.iter().map(|one| one.seen.about.label()).collect::<Vec<_>>(), ["envoy", "app"]);
        assert_eq!(report.workloads.iter().map(|row| row.containers.len()).sum::<usize>(), 4);
    }

    #[test]
    fn a_wrong_order_is_told_with_what_was_meant() {
        for (by, said) in [
            ("memry", "did you mean memory?"),
            ("", "there are workload"),
            ("cpu:up", "asc or desc"),
            ("-cpu:asc", "told once"),
            ("cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu", "at most 8"),
        ] {
            let problem = Sort::read(by).unwrap_err();
            assert!(problem.contains(said), "{by}: {problem}");
        }
    }
}

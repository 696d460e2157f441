//! Which rows of a report an expectation is about, how many there are of a kind, and their sums.

use collector::identity::Key;
use collector::snapshot::{NetOwner, State};
use serde_json::Value;
use tare::report::{ContainerRow, Report, WorkloadRow};

use crate::case::About;
use crate::figures::{Figure, NoFigure, Part, Row, number, unmapped};

/// The rows that `about` means; none where nothing of that name was seen.
pub fn rows<'a>(report: &'a Report, about: &About) -> Result<Vec<Row<'a>>, NoFigure> {
    let workloads = || report.workloads.iter();
    let containers = || workloads().flat_map(|workload| workload.containers.iter().map(move |container| Row::Container(container, workload)));
    let members = match about {
        About::Word(word) => {
            return match word.as_str() {
                "host" | "node" => Ok(vec![Row::Host(&report.host)]),
                "*" => Ok([Row::Host(&report.host)].into_iter().chain(workloads().map(Row::Workload)).chain(containers()).collect()),
                "cluster" => Err(NoFigure::NotYet("one host is looked at, no cluster")),
                "emf" | "otlp" | "cloudwatch" | "remote_write" => Err(NoFigure::NotYet("sinks that push are not built yet")),
                word => Err(NoFigure::Unmapped(format!("about {word}"))),
            };
        }
        About::Of(members) => members,
    };
    if members.contains_key("node") || members.contains_key("host") {
        return Ok(vec![Row::Host(&report.host)]);
    }
    let inside = |row: &&WorkloadRow| members.iter().all(|(name, _)| is_workload(row, name, &about.member(name).unwrap_or_default()).unwrap_or(true));
    let meant = workloads().filter(inside);
    if let Some(id) = about.member("container") {
        let of = meant.flat_map(|workload| workload.containers.iter().map(move |container| (container, workload)));
        return Ok(of.filter(|(container, _)| is_container(container, &id)).map(|(container, workload)| Row::Container(container, workload)).collect());
    }
    match members.keys().find(|name| !["task", "pod", "workload", "unit", "device", "interface", "namespace", "only", "run"].contains(&name.as_str())) {
        Some(other) => Err(NoFigure::Unmapped(format!("about {other}"))),
        None => Ok(meant.map(Row::Workload).collect()),
    }
}

/// Whether a workload is the one that this member of `about` names; `None` where the member is not about workloads.
fn is_workload(row: &WorkloadRow, member: &str, value: &str) -> Option<bool> {
    let key = &row.seen.about.key;
    Some(match member {
        "task" => matches!(key, Key::Task(id) if value.rsplit('/').next() == Some(id.as_str())),
        "pod" => matches!(key, Key::Pod(uid) if plain(uid.as_str()) == plain(value)) || matches!(key, Key::Pod(_)) && *row.seen.about.name == *value,
        "unit" => matches!(key, Key::Unit(_)) && *row.seen.about.name == *value,
        "workload" => *row.seen.about.name == *value,
        _ => return None,
    })
}

/// systemd writes a uid with underscores, static pods have none.
fn plain(uid: &str) -> String {
    uid.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn is_container(row: &ContainerRow, value: &str) -> bool {
    let id = row.seen.about.id.as_str();
    id == value || value.len() >= 12 && id.starts_with(value) || row.seen.about.name.as_deref() == Some(value)
}

/// How many there are of a kind.
pub fn count(report: &Report, figure: &str) -> Option<Value> {
    let states = || report.workloads.iter().flat_map(|workload| &workload.containers).map(|container| container.seen.state);
    let keys = |of: fn(&Key) -> bool| report.workloads.iter().filter(|row| row.seen.state != State::Ended && of(&row.seen.about.key)).count();
    let count = match figure {
        // What has left the tree stays for some minutes with its last figures and is counted no more.
        "containers" => states().filter(|state| *state != State::Ended).count(),
        "containers_ended" => states().filter(|state| *state == State::Ended).count(),
        "tasks" => keys(|key| matches!(key, Key::Task(_))),
        "pods" => keys(|key| matches!(key, Key::Pod(_))),
        "units" => keys(|key| matches!(key, Key::Unit(_))),
        "workloads" => keys(|key| !matches!(key, Key::Unit(_) | Key::System)),
        "gaps" => report.gaps.len(),
        _ => {
            let word = figure.strip_prefix("containers_")?;
            let state: State = serde_json::from_value(word.into()).ok()?;
            states().filter(|seen| *seen == state).count()
        }
    };
    Some(count.into())
}

/// `sum_of_containers.net.rx_bytes`: over all rows of the kind that know the figure. `None`: no row does.
/// A network that stands on a workload is its containers' too. Tare adds up no limits anywhere, so a sum of limits is not known.
pub fn sum(report: &Report, name: &str) -> Figure {
    let Some((kind, figure)) = name.split_once('.') else { return unmapped(name) };
    let workloads = |of: fn(&Key) -> bool| report.workloads.iter().filter(move |row| of(&row.seen.about.key)).map(Row::Workload).collect::<Vec<_>>();
    let rows: Vec<Row<'_>> = match kind {
        "limits" => return Ok(None),
        "containers" if figure.starts_with("net.") => report.workloads.iter().flat_map(network).collect(),
        "containers" => report.workloads.iter().flat_map(|row| row.containers.iter().map(move |container| Row::Container(container, row))).collect(),
        "tasks" => workloads(|key| matches!(key, Key::Task(_))),
        "pods" => workloads(|key| matches!(key, Key::Pod(_))),
        "units" => workloads(|key| matches!(key, Key::Unit(_))),
        "workloads" | "rows" | "all" => workloads(|_| true),
        _ => return unmapped(&format!("sum_of_{name}")),
    };
    let name = if figure.contains('.') { figure.to_owned() } else { format!("cost.{figure}") };
    let known: Vec<Value> = rows.iter().map(|row| row.figure(&name, &Part::default())).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    if known.is_empty() {
        return Ok(None);
    }
    Ok(match known.iter().map(Value::as_u64).sum::<Option<u64>>() {
        Some(whole) => Some(whole.into()),
        None => number(known.iter().filter_map(Value::as_f64).sum()),
    })
}

/// The rows of a workload that hold its name spaces: its containers' own, else its own.
fn network(row: &WorkloadRow) -> Vec<Row<'_>> {
    let own: Vec<Row<'_>> =
        row.containers.iter().filter(|container| container.seen.net == NetOwner::Own).map(|container| Row::Container(container, row)).collect();
    if own.is_empty() { vec![Row::Workload(row)] } else { own }
}

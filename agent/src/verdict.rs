//! What to make of a workload's cost, in a few words: the SAYS column of `tare cost`. A verdict never hides its catch.

use jiff::civil::Date;

use collector::snapshot::{Launch, Market};
use collector::units::Bytes;

use crate::cost::{Basis, Elsewhere, Otherwise, Price, PriceBasis, Size, UsdPerHour, What};
use crate::explain::shown;
use crate::report::{HostRow, WorkloadRow};

/// The words, most important first; empty where there is nothing to compare.
pub fn verdict(row: &WorkloadRow, host: &HostRow, today: Option<Date>) -> String {
    let note = row.cost.note.as_deref();
    // On Fargate it is already.
    if row.seen.about.task.as_ref().is_some_and(|task| task.launch == Some(Launch::Fargate)) {
        return note.unwrap_or_default().to_owned();
    }
    let compared = compared(row, host, today);
    note.into_iter().chain((!compared.is_empty()).then_some(&*compared)).collect::<Vec<_>>().join("; ")
}

fn compared(row: &WorkloadRow, host: &HostRow, today: Option<Date>) -> String {
    let Some(fargate) = row.cost.otherwise.first() else { return String::new() };
    let Elsewhere::Fargate { size, .. } = &fargate.on;
    let (Some(size), Some(rate)) = (size, fargate.rate) else { return fargate.why_not.as_deref().unwrap_or_default().to_owned() };
    let mut says = match &fargate.project {
        // The rate is that of the whole project; this row's use and share are not.
        Some(project) => vec![format!("all of compose project {project} as one Fargate task of {}", shown(size))],
        None => too_small(row, fargate, size),
    };
    if says.is_empty() {
        says.extend(cheaper(row, rate));
    }
    says.extend(catches(row, host, fargate, size, rate, today));
    says.join("; ")
}

/// It uses more than the size has, so the two do not compare.
fn too_small(row: &WorkloadRow, fargate: &Otherwise, size: &Size) -> Vec<String> {
    let used = |what, otherwise: Option<f64>| row.cost.parts.iter().find(|part| part.what == what).map_or(otherwise, |part| part.used);
    let working_set = row.seen.usage.memory.and_then(|memory| memory.is.working_set).map(Bytes::gib);
    let cores = used(What::Cpu, row.rates.cpu.map(|cores| cores.0)).filter(|used| *used > size.cores.0);
    let gib = used(What::Memory, working_set).filter(|used| *used > size.memory.gib());
    let than = if fargate.basis == Some(Basis::Asked) { "it asked for" } else { "that size has" };
    let cores = cores.map(|_| format!("uses more CPU than {than}: Fargate would throttle it at {}", size.cores.0));
    let gib = gib.map(|_| format!("uses more memory than {than}: Fargate would kill it at {} GB", size.memory.gib()));
    [cores, gib].into_iter().flatten().collect()
}

/// By the workload's own break-even: its split over its Fargate price is how full the machine has to be for both to cost the same.
///
/// That of the machine (`NodeCost::break_even`) is for its whole capacity; a task that Fargate rounds up has a lower one.
fn cheaper(row: &WorkloadRow, fargate: UsdPerHour) -> Option<String> {
    let (now, total) = (row.cost.now?, row.cost.total?);
    // Half a price compares with nothing.
    if row.cost.parts.iter().any(|part| part.asked.is_none() && part.used.is_none()) {
        return None;
    }
    let fill = now.usd() / fargate.usd() * 100.0;
    Some(if now >= fargate {
        "Fargate is cheaper even when this node is full".into()
    } else if total > fargate {
        format!("Fargate is cheaper while this node stays under {:.0} % full", fill.floor())
    } else {
        format!("cheaper here while this node stays over {:.0} % full", fill.ceil())
    })
}

fn catches(row: &WorkloadRow, host: &HostRow, fargate: &Otherwise, size: &Size, rate: UsdPerHour, today: Option<Date>) -> Vec<String> {
    let mut says = Vec::new();
    let asked = row.seen.asked.cores.zip(row.seen.asked.memory).filter(|_| fargate.basis == Some(Basis::Asked) && fargate.project.is_none());
    let price = |what| fargate.parts.iter().find(|part| part.what == what).map_or(0.0, |part| part.price.usd.usd());
    let unrounded = asked.map(|(cores, memory)| cores.0 * price(What::Cpu) + memory.gib() * price(What::Memory));
    if unrounded.is_some_and(|usd| usd < rate.usd() * 0.99) {
        says.push(format!("rounded up to {}", shown(size)));
    }
    match (fargate.basis, fargate.early) {
        (Some(Basis::Seen), true) => says.push("sized by less than an hour of use".into()),
        (Some(Basis::Seen), false) => says.push("sized by its use".into()),
        (Some(Basis::Limit), _) => says.push("sized by its limit".into()),
        _ => {}
    }
    if row.cost.now.is_some() {
        match host.seen.instance.market {
            Some(Market::Spot) => says.push("this node is Spot and costs less than the list price used here".into()),
            Some(Market::CapacityBlock) => says.push("this node is a capacity block: its list price is not what it costs".into()),
            Some(Market::OnDemand) | None => {}
        }
    }
    let prices = || fargate.parts.iter().map(|part| &*part.price).chain(host.cost.price.as_deref());
    if let Some(old) = prices().filter(|price| today.is_some_and(|today| price.is_old(today))).map(|price| price.since).min() {
        says.push(format!("by an old price, of {old}"));
    }
    if prices().any(|price: &Price| price.basis == PriceBasis::Derived) {
        says.push("by a price that was worked out, not listed".into());
    }
    if host.cost.region.as_ref().is_some_and(|region| region.assumed) {
        says.push("region assumed".into());
    }
    says
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use std::sync::Arc;

    use collector::identity::Key;
    use collector::snapshot::{About, Asked, Host, Instance, Limits, Scope};
    use collector::units::{Cores, Limit};

    use crate::cost::book::Book;
    use crate::cost::{Item, Reckoning, Settings, Weights};

    struct Case {
        kind: Option<&'static str>,
        market: Option<Market>,
        arch: &'static str,
        region: Option<&'static str>,
        project: Option<&'static str>,
        key: Key,
        asked: Option<(f64, f64)>,
        limit: Option<(f64, f64)>,
        used: Option<(f64, f64)>,
        neighbour: (f64, f64),
        today: &'static str,
    }

    /// A container that asks for 0.5 vCPU and 1 GiB on an otherwise empty m7i.large.
    fn case() -> Case {
        Case {
            kind: Some("m7i.large"),
            market: Some(Market::OnDemand),
            arch: "x86_64",
            region: Some("us-east-1"),
            project: None,
            key: Key::Loose("a".into()),
            asked: Some((0.5, 1.0)),
            limit: None,
            used: Some((0.21, 0.62)),
            neighbour: (0.0, 0.0),
            today: "2026-11-25",
        }
    }

    fn says(case: Case) -> String {
        let gib = |gib: f64| Bytes((gib * Bytes::GIB.0 as f64).round() as u64);
        let instance = Instance { kind: case.kind.map(Into::into), region: case.region.map(Into::into), market: case.market, ..Instance::default() };
        let host = Host { arch: Some(case.arch.into()), instance, ..Host::default() };
        let about = Arc::new(About { key: case.key, name: "web".into(), project: case.project.map(Into::into), task: None });
        let beside = About { key: Key::Loose("b".into()), name: "beside".into(), project: case.project.map(Into::into), task: None };
        let asked = Asked { cores: case.asked.map(|asked| Cores(asked.0)), memory: case.asked.map(|asked| gib(asked.1)) };
        let (cores, memory) = (case.used.map(|used| Cores(used.0)), case.used.map(|used| gib(used.1)));
        let own = case.limit.map(|own| Limits { cores: Limit::Of(Cores(own.0)), memory: Limit::Of(gib(own.1)), ..Limits::default() }).unwrap_or_default();
        let item = Item { about: &about, runs: true, asked, own, cores, memory, unfit: None, state: None };
        let taken = Asked { cores: Some(Cores(case.neighbour.0)), memory: Some(gib(case.neighbour.1)) };
        let items = [item, Item { about: &beside, asked: taken, ..item }];
        let mut reckoning = Reckoning::new(Book::built_in(), Settings { weights: Weights::SCAD }, None);
        reckoning.reckon(&Default::default(), None, &host, Scope::Node, &items);
        let mut bill = reckoning.reckon(&Default::default(), Some(std::time::Duration::from_secs(10)), &host, Scope::Node, &items);
        let mut row = sample::bare(Arc::clone(&about));
        (row.seen.asked, row.rates.cpu, row.cost) = (asked, cores, bill.costs.remove(0));
        let host = HostRow { seen: host, cost: bill.node, ..HostRow::default() };
        verdict(&row, &host, case.today.parse().ok())
    }

    #[test]
    fn a_verdict_says_which_is_cheaper_and_from_when() {
        assert_eq!(says(case()), "Fargate is cheaper while this node stays under 86 % full");
        assert_eq!(says(Case { neighbour: (1.4, 6.0), ..case() }), "cheaper here while this node stays over 87 % full");
        assert_eq!(says(Case { kind: Some("c7a.large"), ..case() }), "Fargate is cheaper even when this node is full");
        assert_eq!(says(Case { kind: None, ..case() }), "");
        assert_eq!(says(Case { key: Key::System, ..case() }), "host process");
        // As before the second look: of the CPU in use nothing is known.
        for used in [None, Some((f64::NAN, 0.62))] {
            assert_eq!(says(Case { asked: None, limit: Some((0.5, 1.0)), used, ..case() }), "sized by its limit");
        }
    }

    #[test]
    fn a_verdict_never_hides_its_catch() {
        let cases = [
            (Case { asked: Some((0.25, 2.0)), used: Some((0.4, 1.4)), ..case() }, "uses more CPU than it asked for: Fargate would throttle it at 0.25"),
            (
                Case { asked: Some((0.25, 0.5)), used: Some((0.4, 0.6)), ..case() },
                "uses more CPU than it asked for: Fargate would throttle it at 0.25; uses more memory than it asked for: Fargate would kill it at 0.5 GB",
            ),
            (
                Case { kind: None, asked: Some((0.25, 0.5)), used: Some((0.4, 0.1)), ..case() },
                "uses more CPU than it asked for: Fargate would throttle it at 0.25",
            ),
            (Case { asked: Some((0.3, 0.6)), ..case() }, "Fargate is cheaper while this node stays under 52 % full; rounded up to 0.5 vCPU, 1 GB"),
            (
                Case { asked: None, used: Some((0.5, 1.0)), ..case() },
                "Fargate is cheaper while this node stays under 86 % full; sized by less than an hour of use",
            ),
            (
                Case { market: Some(Market::Spot), ..case() },
                "Fargate is cheaper while this node stays under 86 % full; this node is Spot and costs less than the list price used here",
            ),
            (Case { today: "2027-02-01", ..case() }, "Fargate is cheaper while this node stays under 86 % full; by an old price, of 2026-07-20"),
            (Case { region: None, ..case() }, "Fargate is cheaper while this node stays under 86 % full; region assumed"),
            (Case { kind: None, arch: "aarch64", region: Some("us-west-2"), ..case() }, "by a price that was worked out, not listed"),
            (Case { project: Some("shop"), ..case() }, "all of compose project shop as one Fargate task of 0.5 vCPU, 1 GB"),
        ];
        for (case, wanted) in cases {
            assert_eq!(says(case), wanted);
        }
    }
}

//! The first line of every table: which cluster, which machine, what it is.

use collector::snapshot::{Instance, Interruption, Launch, Market, Scope};
use collector::units::Bytes;

use crate::report::Report;

use super::{clean, figures};

/// What one task that AWS sells as such costs: `a task on Fargate, 0.25 / 0.5 GiB: 0.01234 $/h`. `None`: a machine is paid for, not a task.
pub(crate) fn sold(report: &Report) -> Option<String> {
    let task = report.sold()?;
    let asked = task.seen.asked;
    let size = figures::cores_and_gib(asked.cores.map(|cores| cores.0), asked.memory.map(Bytes::gib)).unwrap_or_else(|| "of unknown size".into());
    let price = task.cost.now.map(|now| format!("{now} $/h")).or(task.cost.note.as_deref().map(str::to_owned)).unwrap_or_else(|| "price unknown".into());
    Some(format!("a task on Fargate, {size}: {price}"))
}

/// Where AWS runs a task, in words.
fn on(launch: Launch) -> &'static str {
    match launch {
        Launch::Ec2 => "EC2",
        Launch::Fargate => "Fargate",
        Launch::External => "a machine of one's own",
        Launch::ManagedInstances => "a Managed Instance",
    }
}

/// What is known of a cluster that is looked at as a whole: `cluster shop as a whole: 12 services, 40 tasks`. `None`: a machine or a task is looked at.
pub(crate) fn whole(report: &Report) -> Option<String> {
    (report.scope == Scope::Cluster).then_some(())?;
    let ecs = report.ecs.as_ref();
    let count = |count: Option<u64>, word: &str| match count {
        Some(1) => format!("1 {word}"),
        Some(count) => format!("{count} {word}s"),
        None => format!("{word}s not known"),
    };
    let services = ecs.and_then(|ecs| ecs.services.as_ref()).map(|services| services.is.len() as u64);
    let tasks = ecs.and_then(|ecs| ecs.tasks.as_ref()).map(|tasks| tasks.is.counts.iter().map(|count| count.tasks).sum());
    let name = report.cluster.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    Some(clean(&format!("cluster{name} as a whole: {}, {}", count(services, "service"), count(tasks, "task"))))
}

/// A sidecar's: `prod · one task on Fargate (x86_64, us-east-1a)`.
/// `prod · i-0a1b2c3d (m7i.large, us-east-1b, on demand, …)`; elsewhere `web-1 (x86_64, 2 cores, 8.00 GiB)`. `more` goes into the brackets.
pub(crate) fn heading(report: &Report, more: Option<String>) -> String {
    if let Some(words) = whole(report) {
        return words;
    }
    let host = &report.host.seen;
    let instance = &host.instance;
    let mut name = instance.id.as_deref().or(host.name.as_deref()).unwrap_or("this host").to_owned();
    let mut about: Vec<String> = Vec::new();
    let own = report.workloads.first().filter(|_| report.scope == Scope::Task);
    match &instance.kind {
        _ if let Some(task) = own => {
            let launch = task.seen.about.task.as_ref().and_then(|task| task.launch);
            name = format!("one task{}", launch.map(|launch| format!(" on {}", on(launch))).unwrap_or_default());
            about.extend(instance.kind.as_deref().map(str::to_owned));
            about.extend(host.arch.as_deref().map(str::to_owned));
            about.extend(instance.zone.as_deref().or(instance.region.as_deref()).map(str::to_owned));
        }
        Some(kind) => {
            about.push(kind.to_string());
            let guessed = report.host.cost.region.as_ref().map(|region| format!("{}{}", if region.assumed { "~" } else { "" }, region.name));
            about.extend(instance.zone.as_deref().or(instance.region.as_deref()).map(str::to_owned).or(guessed));
        }
        None => {
            about.extend(host.arch.as_deref().map(str::to_owned));
            about.extend(host.cores.map(|cores| format!("{cores} core{}", if cores == 1 { "" } else { "s" })));
            about.extend(host.memory.map(|memory| memory.to_string()));
        }
    }
    about.extend(market(instance));
    about.extend(more);
    let cluster = report.cluster.as_deref().map(|cluster| format!("{cluster} · ")).unwrap_or_default();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    clean(&format!("{cluster}{name}{about}"))
}

/// How it is bought, and what EC2 has announced: `on demand`, `Spot: will be stopped at 12:34 UTC`.
fn market(instance: &Instance) -> Option<String> {
    if let Some(notice) = instance.interruption {
        let what = match notice.what {
            Some(Interruption::Terminate) => "terminated",
            Some(Interruption::Stop) => "stopped",
            Some(Interruption::Hibernate) => "hibernated",
            None => "taken back",
        };
        return Some(format!("Spot: will be {what} at {}", notice.at.strftime("%H:%M UTC")));
    }
    if let Some(since) = instance.rebalance {
        return Some(format!("Spot: likely to be taken back, EC2 says since {}", since.strftime("%H:%M UTC")));
    }
    let word = match instance.market? {
        Market::OnDemand => "on demand",
        Market::Spot => "Spot",
        Market::CapacityBlock => "capacity block",
    };
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use collector::snapshot::Notice;

    use super::*;
    use crate::sample;

    #[test]
    fn a_spot_instance_says_when_it_goes() {
        let mut report = sample::report();
        let at = "2026-09-14T12:34:56Z".parse().unwrap();
        for (market, interruption, rebalance, says) in [
            (Some(Market::OnDemand), None, None, "on demand"),
            (Some(Market::Spot), None, None, "Spot"),
            (Some(Market::Spot), None, Some(at), "Spot: likely to be taken back, EC2 says since 12:34 UTC"),
            (Some(Market::Spot), Some(Notice { what: Some(Interruption::Stop), at }), Some(at), "Spot: will be stopped at 12:34 UTC"),
            (None, Some(Notice { what: None, at }), None, "Spot: will be taken back at 12:34 UTC"),
        ] {
            let instance = &mut report.host.seen.instance;
            (instance.market, instance.interruption, instance.rebalance) = (market, interruption, rebalance);
            assert_eq!(heading(&report, None), format!("prod · i-0a1b2c3d (m7i.large, us-east-1b, {says})"));
        }
    }
}

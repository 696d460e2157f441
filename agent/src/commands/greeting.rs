//! What `tare run` says first: what it found and what not, what this machine costs, where to look.

use collector::snapshot::{CgroupVersion, Scope};

use crate::platform::Platform;
use crate::report::Report;
use crate::sinks::post::Target;

use crate::words::clean;
use crate::words::figures;
use crate::words::heading::{sold, whole};

/// Three lines about the first look. `listen`: the address that is served, as it was opened, and whether over TLS. `pushes`: where to, if anywhere.
pub fn greeting(report: &Report, listen: std::net::SocketAddr, tls: bool, pushes: Option<&Target>) -> String {
    let host = &report.host.seen;
    let cores = host.cores.map(|cores| format!("{cores} core{}", if cores == 1 { "" } else { "s" }));
    let about: Vec<String> = [host.arch.as_deref().map(str::to_owned), cores, host.memory.map(|memory| memory.to_string())].into_iter().flatten().collect();
    let name = host.name.as_deref().unwrap_or("this host");
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    let tree = match host.cgroups {
        Some(CgroupVersion::V1) => "cgroup v1",
        Some(CgroupVersion::V2) => "cgroup v2",
        Some(CgroupVersion::Hybrid) => "cgroup v1 and v2",
        None => "cgroup: not seen",
    };
    let docker = host.docker.as_ref().map_or("Docker: no".into(), |docker| format!("Docker {}", docker.version));
    let platform = report.host.platform.as_ref().map(|found| found.platform);
    let ecs = match (platform, &host.cluster) {
        (Some(Platform::Ecs(_)), Some(cluster)) => &format!("yes (cluster {cluster})"),
        (Some(Platform::Ecs(_)), None) => "yes",
        _ => "no",
    };
    let kubernetes = if platform == Some(Platform::Kubernetes) { "yes" } else { "no" };
    let found = format!("tare {}  ·  {name}{about}  ·  {tree}  ·  {docker}  ·  ECS: {ecs}  ·  Kubernetes: {kubernetes}", env!("CARGO_PKG_VERSION"));
    let found = whole(report).map_or(found, |words| format!("tare {}  ·  {words}", env!("CARGO_PKG_VERSION")));
    let price = match &report.host.cost.price {
        _ if report.scope == Scope::Cluster => "no machine is looked at: what runs on each, and what it costs, the Tares there say".into(),
        Some(price) => format!("{} in {}: {} $/h, price of {}", price.sku, price.region, figures::price(price.usd), price.since),
        None if let Some(words) = sold(report) => words,
        None => format!("price of this machine unknown: {}; see: tare doctor", report.host.cost.why_no_price.as_deref().unwrap_or("not known yet")),
    };
    let scheme = if tls { "https" } else { "http" };
    let sent = pushes.map_or("nothing is sent anywhere".into(), |target| format!("metrics are pushed to {target}"));
    let serving = format!("serving {scheme}://{listen}  (page /, metrics /metrics)   {sent}");
    [found, price, serving].map(|line| clean(&line) + "\n").concat()
}

#[cfg(test)]
mod tests {
    use collector::snapshot::{Launch, Task};

    use super::*;
    use crate::cost::{Cost, UsdPerHour};
    use crate::platform::{Found, Role};
    use crate::sample;

    #[test]
    fn it_says_what_it_found_and_what_it_did_not() {
        let mut report = sample::report();
        let listen = "127.0.0.1:9464".parse().unwrap();
        report.host.seen.cgroups = Some(CgroupVersion::V2);
        report.host.seen.cluster = Some("shop".into());
        let on = |platform| Some(std::sync::Arc::new(Found { platform, role: Role::Daemon, probes: "".into() }));
        report.host.platform = on(Platform::Ecs(None));
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "\
tare {version}  ·  web-1 (x86_64, 2 cores, 8.00 GiB)  ·  cgroup v2  ·  Docker: no  ·  ECS: yes (cluster shop)  ·  Kubernetes: no
m7i.large in us-east-1: 0.1008 $/h, price of 2026-02-07
serving http://127.0.0.1:9464  (page /, metrics /metrics)   nothing is sent anywhere
"
        );
        assert_eq!(greeting(&report, listen, false, None), expected);
        report.host.platform = on(Platform::Kubernetes);
        assert!(greeting(&report, listen, false, None).contains("ECS: no  ·  Kubernetes: yes\n"));
        let target = Target::parse("https://mimir.example/api/v1/push?key=secret").unwrap();
        assert!(greeting(&report, listen, false, Some(&target)).ends_with("   metrics are pushed to https://mimir.example/api/v1/push\n"));
        report.host.cost = Default::default();
        report.host.cost.why_no_price = Some("not EC2: set host.instance_type".into());
        assert!(greeting(&report, listen, true, None).contains("\nprice of this machine unknown: not EC2: set host.instance_type; see: tare doctor\n"));
        // Where a task is sold nobody misses the price of the machine.
        report.scope = Scope::Task;
        let about = &mut std::sync::Arc::make_mut(&mut report.workloads[0].seen.about);
        about.task = Some(std::sync::Arc::new(Task { launch: Some(Launch::Fargate), ..Task::default() }));
        report.workloads[0].cost = Cost { now: Some(UsdPerHour(12_342_500)), ..Cost::default() };
        let said = greeting(&report, listen, false, None);
        assert!(said.contains("\na task on Fargate, ") && said.contains(": 0.01234 $/h\n"), "{said}");
    }
}

//! A host for the tables' tests: an m7i.large in us-east-1 with a task of two containers, a throttled one, an agent and the system.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::date;

use collector::identity::Key;
use collector::snapshot::{
    About, Asked, Container, ContainerAbout, Gap, Host, Instance, Limits, Market, Memory, NetOwner, Role, Scope, Seen, SourceName, State, Usage, Weights,
    Workload,
};
use collector::units::{Bytes, Cores, Ratio, Stamp};

use crate::cost::{Basis, Cost, Elsewhere, NodeCost, Origin, Otherwise, Part, Per, Price, PriceBasis, Region, Size, UsdPerHour, What};
use crate::report::{ContainerRow, HostRow, Rates, Report, SCHEMA, WorkloadRow};

pub(crate) const MIB: u64 = 1 << 20;

/// Twelve seconds after the look.
pub(crate) fn now() -> Timestamp {
    "2026-09-14T14:37:12Z".parse().unwrap()
}

pub(crate) fn report() -> Report {
    let mut web = workload(Key::Task("7f3ac0de00000000000000000000aaaa".into()), "web", [0.21, 0.5], 635, Some(1024));
    web.rates =
        Rates { cpu_of_limit: Some(Ratio(0.42)), throttled: Some(Ratio(0.003)), memory_of_limit: Some(Ratio(0.62)), ..carrying(web.rates, 1.2e6, 8.4e6) };
    web.containers = vec![container("app", 0.20, 588, NetOwner::Workload), container("envoy", 0.01, 47, NetOwner::Workload)];
    charge(&mut web, [0.5, 1.0], Some((0.5, 1, 24_685)));

    let mut api = workload(Key::Task("91bc2f00000000000000000000000000".into()), "api", [0.40, 0.25], 1434, Some(2048));
    api.rates = Rates { cpu_of_limit: Some(Ratio(1.6)), throttled: Some(Ratio(0.31)), memory_of_limit: Some(Ratio(0.70)), ..carrying(api.rates, 1e5, 1e5) };
    api.containers = vec![ContainerRow {
        seen: Container { restarts: Some(2), ..container("api", 0.4, 1434, NetOwner::Own).seen },
        ..container("api", 0.4, 1434, NetOwner::Own)
    }];
    api.warnings.push("throttled in 31 % of its periods".into());
    charge(&mut api, [0.4, 2.0], Some((0.25, 2, 19_010)));

    let mut agent = workload(Key::Loose("ec5a9e0000000000000000000000000000000000000000000000000000000000".into()), "ecs-agent", [0.01, 0.0], 51, None);
    agent.seen.asked = Asked::default();
    agent.containers = vec![container("ecs-agent", 0.01, 51, NetOwner::Host)];
    charge(&mut agent, [0.01, 51.0 / 1024.0], None);

    let mut system = workload(Key::System, "system", [0.03, 0.0], 410, None);
    system.seen.asked = Asked::default();
    charge(&mut system, [0.03, 410.0 / 1024.0], None);

    let mut workloads = vec![web, api, agent, system];
    let total: i64 = workloads.iter().filter_map(|row| row.cost.now).map(|now| now.0).sum();
    let idle = NODE - total;
    for row in &mut workloads {
        let now = row.cost.now.unwrap();
        row.cost.idle_share = (row.seen.about.key != Key::System).then(|| UsdPerHour((i128::from(idle) * i128::from(now.0) / i128::from(total)) as i64));
    }
    let given: i64 = workloads.iter().filter_map(|row| row.cost.idle_share).map(|share| share.0).sum();
    for row in &mut workloads {
        let share = *row.cost.idle_share.get_or_insert(UsdPerHour(idle - given));
        row.cost.total = row.cost.now.map(|now| now + share);
    }
    workloads.sort_by(|a, b| a.seen.about.key.cmp(&b.seen.about.key));
    Report {
        schema: SCHEMA.into(),
        at: Stamp { wall: Some("2026-09-14T14:37:00Z".parse().unwrap()), boot: None },
        scope: Scope::Node,
        cluster: Some("prod".into()),
        host: HostRow {
            seen: Host {
                name: Some("web-1".into()),
                arch: Some("x86_64".into()),
                cores: Some(2),
                memory: Some(Bytes(8192 * MIB)),
                instance: Instance {
                    id: Some("i-0a1b2c3d".into()),
                    kind: Some("m7i.large".into()),
                    region: Some("us-east-1".into()),
                    zone: Some("us-east-1b".into()),
                    account: None,
                    market: Some(Market::OnDemand),
                    ..Instance::default()
                },
                ..Host::default()
            },
            rates: Rates::default(),
            cost: NodeCost {
                capacity: Some(crate::cost::Size { cores: Cores(2.0), memory: Bytes(8 << 30) }),
                price: Some(price("m7i.large", NODE, Per::InstanceHour)),
                region: Some(Region { name: "us-east-1".into(), assumed: false }),
                idle: Some(UsdPerHour(idle)),
                break_even: Some(Ratio(0.87)),
                fargate_cover: Some(Ratio(0.43)),
                ..NodeCost::default()
            },
            platform: None,
        },
        workloads,
        ecs: None,
        gaps: vec![Gap { from: SourceName::Cgroup, what: "pressure".into(), why: "kernel has PSI off".into() }],
        sources: Vec::new(),
    }
}

const NODE: i64 = 100_800_000;
/// 9 x 0.1008 / (9 x 2 + 8) and a ninth of it.
const CORE: i64 = 34_892_308;
const GIB: i64 = 3_876_923;

pub(crate) fn workload(key: Key, name: &str, [cpu, asked]: [f64; 2], memory: u64, asked_mib: Option<u64>) -> WorkloadRow {
    let mut row = bare(Arc::new(About { key, name: name.into(), project: None, task: None }));
    row.seen.asked = Asked { cores: Some(Cores(asked)), memory: asked_mib.map(|mib| Bytes(mib * MIB)) };
    row.seen.usage = using(memory).into();
    row.rates.cpu = Some(Cores(cpu));
    row
}

/// One that runs, and of which nothing else is known.
pub(crate) fn bare(about: Arc<About>) -> WorkloadRow {
    WorkloadRow {
        seen: Workload {
            cgroup: None,
            start: 0,
            about,
            state: State::Running,
            started: None,
            ended: None,
            task: None,
            asked: Asked::default(),
            own: Limits::default(),
            limits: Limits::default(),
            usage: Arc::default(),
            remainder: None,
            containers: Vec::new(),
        },
        rates: Rates::default(),
        cost: Cost::default(),
        warnings: Default::default(),
        containers: Vec::new(),
    }
}

pub(crate) fn container(name: &str, cpu: f64, memory: u64, net: NetOwner) -> ContainerRow {
    ContainerRow {
        seen: Container {
            about: Arc::new(ContainerAbout {
                id: format!("{name}0000000000000000").as_str().into(),
                name: Some(name.into()),
                image: None,
                digest: None,
                compose: None,
                role: Role::App,
            }),
            start: 1,
            cgroup: None,
            state: State::Running,
            health: None,
            restarts: Some(0),
            exit: None,
            oom: None,
            started: None,
            ended: None,
            asked: Asked::default(),
            own: Limits::default(),
            limits: Limits::default(),
            weights: Weights::default(),
            net,
            usage: using(memory).into(),
            disk: None,
        },
        rates: Rates { cpu: Some(Cores(cpu)), ..Rates::default() },
        warnings: Default::default(),
        closing: None,
    }
}

fn using(mib: u64) -> Usage {
    let memory = Memory { working_set: Some(Bytes(mib * MIB)), ..Memory::default() };
    Usage { memory: Some(Seen { at: Stamp::default(), from: SourceName::Cgroup, is: memory }), ..Usage::default() }
}

fn carrying(rates: Rates, received: f64, sent: f64) -> Rates {
    Rates { received: Some(received), sent: Some(sent), ..rates }
}

fn price(sku: &str, nano: i64, per: Per) -> Arc<Price> {
    let since = date(2026, 2, 7);
    Arc::new(Price {
        sku: sku.into(),
        region: "us-east-1".into(),
        usd: UsdPerHour(nano),
        per,
        since,
        from: Origin::BuiltIn,
        source: "a list".into(),
        basis: PriceBasis::Listed,
    })
}

/// Charges amounts at the node's prices; the Fargate size is vCPU, GiB and the rate in millionths of a dollar.
fn charge(row: &mut WorkloadRow, [cores, gib]: [f64; 2], fargate: Option<(f64, u64, i64)>) {
    let asked = row.seen.asked;
    let part = |what, asked, used, amount: f64, price: Arc<Price>| Part {
        what,
        asked,
        used: Some(used),
        amount,
        rate: UsdPerHour((amount * price.usd.0 as f64).round() as i64),
        price,
    };
    let used = row.seen.usage.memory.map(|memory| memory.is.working_set.unwrap().gib()).unwrap();
    row.cost.parts = vec![
        part(What::Cpu, asked.cores.map(|cores| cores.0), row.rates.cpu.unwrap().0, cores, price("m7i.large vCPU", CORE, Per::CoreHour)),
        part(What::Memory, asked.memory.map(Bytes::gib), used, gib, price("m7i.large GiB", GIB, Per::GibHour)),
    ];
    row.cost.now = Some(row.cost.parts.iter().map(|part| part.rate).sum());
    let elsewhere = match fargate {
        Some((cores, gib, micro)) => Otherwise {
            on: Elsewhere::Fargate { arch: "x86_64".into(), size: Some(Size { cores: Cores(cores), memory: Bytes(gib << 30) }) },
            basis: Some(Basis::Asked),
            early: false,
            rate: Some(UsdPerHour(micro * 1000)),
            parts: Vec::new(),
            why_not: None,
            project: None,
        },
        None => Otherwise {
            on: Elsewhere::Fargate { arch: "x86_64".into(), size: None },
            basis: None,
            early: false,
            rate: None,
            parts: Vec::new(),
            why_not: Some("host process".into()),
            project: None,
        },
    };
    row.cost.otherwise = vec![elsewhere];
}

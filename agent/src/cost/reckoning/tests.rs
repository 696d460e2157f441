//! Bills of machines, projects and tasks, and the law that money adds up.

use super::*;
use collector::snapshot::{About, Asked, Instance as Ec2, Limits};
use collector::units::{Cores, Limit};
use proptest::prelude::*;

use crate::cost::Basis;

const TICK: Duration = Duration::from_secs(10);

fn reckoning() -> Reckoning {
    Reckoning::new(Book::built_in(), Settings { weights: Weights::SCAD }, None)
}

fn host(kind: Option<&str>) -> Host {
    let instance = Ec2 { kind: kind.map(Into::into), region: Some("us-east-1".into()), ..Ec2::default() };
    Host { arch: Some("x86_64".into()), instance, ..Host::default() }
}

fn about(name: &str, project: Option<&str>) -> About {
    About { key: Key::Loose(name.into()), name: name.into(), project: project.map(Into::into), task: None }
}

fn unit(name: &str) -> About {
    About { key: Key::Unit(format!("/system.slice/{name}").as_str().into()), name: name.into(), project: None, task: None }
}

fn item<'a>(about: &'a About, asked: Option<(f64, f64)>, used: Option<(f64, f64)>) -> Item<'a> {
    let gib = |gib: f64| Bytes((gib * Bytes::GIB.0 as f64) as u64);
    let asked = Asked { cores: asked.map(|asked| Cores(asked.0)), memory: asked.map(|asked| gib(asked.1)) };
    let (cores, memory) = (used.map(|used| Cores(used.0)), used.map(|used| gib(used.1)));
    Item { about, runs: true, asked, own: Limits::default(), cores, memory, unfit: None, state: None }
}

fn at(wall: &str) -> Stamp {
    Stamp { wall: Some(wall.parse().unwrap()), boot: None }
}

fn once(host: &Host, items: &[Item<'_>]) -> Bill {
    reckoning().reckon(&at("2026-11-25T14:00:00Z"), None, host, Scope::Node, items)
}

fn shown(rate: Option<UsdPerHour>) -> String {
    rate.map_or("-".into(), |rate| rate.to_string())
}

fn why(cost: &Cost) -> &str {
    cost.otherwise[0].why_not.as_deref().unwrap_or_default()
}

#[test]
fn the_bill_of_an_m7i_large() {
    let about = [about("api", None), about("web", None), unit("ecs-agent"), About { key: Key::System, name: "system".into(), project: None, task: None }];
    let items = [
        item(&about[0], Some((0.25, 2.0)), Some((0.40, 1.4))),
        item(&about[1], Some((0.5, 1.0)), Some((0.21, 0.62))),
        item(&about[2], None, Some((0.01, 51.0 / 1024.0))),
        item(&about[3], None, Some((0.03, 410.0 / 1024.0))),
    ];
    let bill = once(&host(Some("m7i.large")), &items);
    let rows: Vec<[String; 4]> =
        bill.costs.iter().map(|cost| [shown(cost.now), shown(cost.total), shown(cost.otherwise[0].rate), why(cost).to_owned()]).collect();
    let row = |cells: [&str; 4]| cells.map(str::to_owned);
    assert_eq!(
        rows,
        [
            row(["0.02171", "0.04767", "0.01901", ""]),
            row(["0.02132", "0.04611", "0.02469", ""]),
            row(["0.00054", "0.00119", "-", "host process"]),
            row(["0.00260", "0.00583", "-", "host process"])
        ]
    );
    assert_eq!((shown(bill.node.idle), shown(bill.node.price.map(|price| price.usd))), ("0.05463".into(), "0.10080".into()));
    let percent = |ratio: Option<Ratio>| ratio.map(|ratio| format!("{:.2}", ratio.0 * 100.0));
    assert_eq!((percent(bill.node.break_even), percent(bill.node.fargate_cover)), (Some("86.51".into()), Some("43.35".into())));
    let web = &bill.costs[1].parts;
    assert_eq!((web[0].asked, web[0].used, web[0].amount, &*web[0].price.sku), (Some(0.5), Some(0.21), 0.5, "m7i.large vCPU"));
    assert_eq!(
        (web[0].price.basis, format!("{:.6}", web[0].price.usd), format!("{:.6}", web[0].rate)),
        (PriceBasis::Derived, "0.034892".into(), "0.017446".into())
    );
    assert_eq!(bill.costs[3].parts[0].asked, None);
}

#[test]
fn without_a_price_there_is_still_fargate_and_a_reason() {
    let (web, big) = (about("web", None), about("big", None));
    let items = [item(&web, Some((0.5, 1.0)), None), item(&big, Some((17.0, 1.0)), None)];
    for (host, reason) in [
        (host(None), "not EC2, or its metadata service does not answer: set host.instance_type"),
        (host(Some("m9x.large")), "no price for m9x.large: the price book does not know this instance type"),
    ] {
        let bill = once(&host, &items);
        assert_eq!(bill.node.why_no_price.as_deref(), Some(reason));
        assert_eq!((bill.costs[0].now, bill.costs[0].total, bill.node.idle, bill.node.fargate_cover), (None, None, None, None));
        assert_eq!(shown(bill.costs[0].otherwise[0].rate), "0.02469");
        assert_eq!(why(&bill.costs[1]), "larger than the largest Fargate size (16 vCPU, 120 GB)");
    }
}

#[test]
fn the_region_is_the_hosts_else_the_environments_else_assumed() {
    let web = about("web", None);
    let items = [item(&web, Some((0.25, 0.5)), None)];
    let said = |region: Option<&str>, env: Option<&str>, arch: &str| {
        let instance = Ec2 { region: region.map(Into::into), ..Ec2::default() };
        let host = Host { arch: Some(arch.into()), instance, ..Host::default() };
        let mut reckoning = Reckoning::new(Book::built_in(), Settings { weights: Weights::SCAD }, env.map(Into::into));
        let bill = reckoning.reckon(&Stamp::default(), None, &host, Scope::Node, &items);
        let region = bill.node.region.unwrap();
        let rate = bill.costs[0].otherwise[0].rate;
        (region.name.to_string(), region.assumed, rate.map_or(why(&bill.costs[0]).to_owned(), |rate| format!("{rate:.6}")))
    };
    let is = |name: &str, assumed, rate: &str| (name.to_owned(), assumed, rate.to_owned());
    assert_eq!(said(Some("eu-central-1"), Some("us-west-2"), "x86_64"), is("eu-central-1", false, "0.014195"));
    assert_eq!(said(None, Some("ap-northeast-1"), "x86_64"), is("ap-northeast-1", false, "0.015405"));
    assert_eq!(said(None, None, "aarch64"), is("us-east-1", true, "0.009875"));
    assert_eq!(
        said(Some("me-central-1"), None, "x86_64"),
        is("me-central-1", false, "no price for Fargate x86_64 in me-central-1: the price book does not know this region")
    );
    assert_eq!(said(None, None, "riscv64"), is("us-east-1", true, "Fargate has no riscv64"));
}

#[test]
fn a_compose_project_is_one_task() {
    let about = [about("a", Some("shop")), about("b", Some("shop")), about("c", None), about("d", Some("alone"))];
    let mut items = [
        item(&about[0], Some((0.25, 0.5)), None),
        item(&about[1], Some((0.25, 1.0)), None),
        item(&about[2], Some((0.25, 0.5)), None),
        item(&about[3], Some((0.25, 0.5)), None),
    ];
    let bill = once(&host(None), &items);
    let first = &bill.costs[0].otherwise[0];
    assert_eq!((shown(first.rate), first.project.as_deref(), first.basis), ("0.02913".into(), Some("shop"), Some(Basis::Asked)));
    assert_eq!(why(&bill.costs[1]), "sized with compose project shop, see a");
    assert_eq!((shown(bill.costs[2].otherwise[0].rate), shown(bill.costs[3].otherwise[0].rate)), ("0.01234".into(), "0.01234".into()));
    assert_eq!(bill.costs[3].otherwise[0].project, None);
    let mut idle = items;
    (idle[0].asked.cores, idle[1].asked.cores, idle[1].cores) = (Some(Cores(1.0)), None, Some(Cores(0.0)));
    let mut reckoning = reckoning();
    reckoning.reckon(&at("2026-11-25T14:00:00Z"), None, &host(None), Scope::Node, &idle);
    let bill = reckoning.reckon(&at("2026-11-25T14:00:10Z"), Some(TICK), &host(None), Scope::Node, &idle);
    assert_eq!(bill.costs[0].otherwise[0].parts[0].amount, 1.0, "one that idles beside it does not make it two vCPU");
    items[1].unfit = Some("host network");
    assert_eq!(why(&once(&host(None), &items).costs[0]), "b of compose project shop: host network");
    items[0].runs = false;
    let bill = once(&host(None), &items);
    assert_eq!((why(&bill.costs[0]), why(&bill.costs[1])), ("not running", "host network"));
}

#[test]
fn the_cover_is_not_known_while_one_container_could_not_be_sized() {
    let (web, joined) = (about("a", None), about("b", None));
    let mut items = [item(&web, Some((0.5, 1.0)), None), item(&joined, Some((0.25, 0.5)), None)];
    let cover = |items: &[Item<'_>]| once(&host(Some("m7i.large")), items).node.fargate_cover.map(|cover| format!("{:.4}", cover.0));
    assert_eq!(cover(&items).as_deref(), Some("0.3673"));
    items[1].unfit = Some("host network");
    assert_eq!(cover(&items), None);
    items[1].runs = false;
    assert_eq!(cover(&items).as_deref(), Some("0.2449"));
}

#[test]
fn what_was_asked_for_is_held_to_the_last_bit() {
    let web = about("web", None);
    let asked = [item(&web, Some((0.2525, 0.5)), None)];
    assert_eq!(once(&host(None), &asked).costs[0].otherwise[0].parts[0].amount, 0.5);
}

#[test]
fn a_pod_has_the_kubelet_to_carry_and_no_arm() {
    let pod = About { key: Key::Pod("a".into()), ..about("web", None) };
    let items = [item(&pod, Some((0.25, 1.8)), None)];
    assert_eq!(shown(once(&host(None), &items).costs[0].otherwise[0].rate), "0.03358");
    let arm = Host { arch: Some("aarch64".into()), ..host(None) };
    assert_eq!(why(&once(&arm, &items).costs[0]), "EKS has no Fargate on ARM");
}

#[test]
fn nothing_asked_is_sized_by_its_limit_and_then_by_what_was_seen() {
    let web = about("web", None);
    let mut free = item(&web, None, Some((0.3, 0.7)));
    let mut reckoning = reckoning();
    let first = reckoning.reckon(&at("2026-11-25T14:00:00Z"), None, &host(None), Scope::Node, &[free]);
    assert_eq!(why(&first.costs[0]), "no CPU asked for, no CPU limit, and its CPU was not seen yet");
    for tick in 1..=360_i64 {
        let now = Stamp { wall: at("2026-11-25T14:00:00Z").wall.map(|wall| wall + jiff::SignedDuration::from_secs(10 * tick)), boot: None };
        let bill = reckoning.reckon(&now, Some(TICK), &host(None), Scope::Node, &[free]);
        let otherwise = &bill.costs[0].otherwise[0];
        assert_eq!((shown(otherwise.rate), otherwise.basis, otherwise.early), ("0.02469".into(), Some(Basis::Seen), tick < 360));
    }
    free.own = Limits { cores: Limit::Of(Cores(1.0)), memory: Limit::Of(Bytes(2 << 30)), ..Limits::default() };
    let bill = reckoning.reckon(&at("2026-11-25T15:00:10Z"), Some(TICK), &host(None), Scope::Node, &[free]);
    assert_eq!((shown(bill.costs[0].otherwise[0].rate), bill.costs[0].otherwise[0].basis), ("0.04937".into(), Some(Basis::Limit)));
}

#[test]
fn what_has_ended_costs_nothing_and_a_new_hour_starts_again() {
    let (web, api) = (about("web", None), about("api", None));
    let (mut first, second) = (item(&web, None, Some((1.0, 1.0))), item(&api, Some((0.5, 1.0)), Some((0.1, 0.5))));
    let m7i = host(Some("m7i.large"));
    let mut reckoning = reckoning();
    let sums_to_the_price =
        |bill: &Bill| bill.costs.iter().filter_map(|cost| cost.now).sum::<UsdPerHour>() + bill.node.idle.unwrap() == UsdPerHour(100_800_000);
    reckoning.reckon(&at("2026-11-25T14:59:30Z"), None, &m7i, Scope::Node, &[first, second]);
    let busy = reckoning.reckon(&at("2026-11-25T14:59:40Z"), Some(TICK), &m7i, Scope::Node, &[first, second]);
    assert_eq!((busy.costs[0].parts[0].amount, busy.costs[0].over), (1.0, TICK));
    first.cores = Some(Cores(0.0));
    let calm = reckoning.reckon(&at("2026-11-25T14:59:50Z"), Some(TICK), &m7i, Scope::Node, &[first, second]);
    assert_eq!(calm.costs[0].parts[0].amount, 0.5, "the mean of both looks");
    let next = reckoning.reckon(&at("2026-11-25T15:00:04Z"), Some(Duration::from_secs(14)), &m7i, Scope::Node, &[first, second]);
    assert_eq!((next.costs[0].parts[0].amount, next.costs[0].over), (0.0, Duration::from_secs(4)), "only what lies in the new hour");
    first.runs = false;
    let ended = reckoning.reckon(&at("2026-11-25T15:00:14Z"), Some(TICK), &m7i, Scope::Node, &[first, second]);
    assert_eq!((ended.costs[0].now, ended.costs[0].total, ended.costs[0].parts.len()), (Some(UsdPerHour(0)), Some(UsdPerHour(0)), 0));
    assert_eq!(ended.costs[1].total, Some(UsdPerHour(100_800_000)), "the one that is left pays for the machine");
    for bill in [&busy, &calm, &next, &ended] {
        assert!(sums_to_the_price(bill));
    }
    reckoning.reckon(&at("2026-11-25T15:00:24Z"), Some(TICK), &m7i, Scope::Node, &[]);
    assert!(reckoning.tabs.is_empty(), "nothing is remembered of what is gone");
}

#[test]
fn what_was_not_seen_is_not_said_to_cost_nothing() {
    let (web, api) = (about("web", None), about("api", None));
    let bill = once(&host(Some("m7i.large")), &[item(&web, None, None), item(&api, None, Some((1.0, 1.0)))]);
    assert_eq!(bill.costs[0], Cost { otherwise: bill.costs[0].otherwise.clone(), ..Cost::default() });
    assert_eq!(bill.costs[1].now.unwrap() + bill.node.idle.unwrap(), UsdPerHour(100_800_000));
    assert_eq!(bill.costs[1].total, Some(UsdPerHour(100_800_000)));
}

#[test]
fn a_crowded_machine_says_so() {
    let (web, api) = (about("web", None), about("api", None));
    let bill = once(&host(Some("m7i.xlarge")), &[item(&web, Some((4.0, 4.0)), None), item(&api, Some((2.0, 20.0)), None)]);
    assert_eq!(bill.node.oversubscribed.as_deref(), Some("CPU: 6.0 of 4 cores, memory: 24.0 of 16.0 GiB"));
    assert_eq!(bill.node.idle, Some(UsdPerHour(0)));
}

#[test]
fn settings_are_read_strictly() {
    assert_eq!(toml::from_str::<Settings>("weights = \"10.1:1\"").unwrap().weights.to_string(), "10.1:1");
    assert!(toml::from_str::<Settings>("").is_err());
    assert!(toml::from_str::<Settings>("weights = \"9:1\"\nweight = 1").is_err());
}

proptest! {
    /// Whatever is looked at, in whatever order things come, go and misreport: the parts are the cost, and the costs and idle are the price.
    #[test]
    fn money_adds_up(
        looks in prop::collection::vec(
            (0..9000_i64, prop::collection::vec((0..6_usize, any::<bool>(), prop::option::of(0.0..3.0_f64), prop::option::of(any::<f64>()), prop::option::of(any::<u64>())), 0..6)),
            1..12,
        )
    ) {
        let names = ["a", "b", "c", "d"].map(|name| about(name, (name < "c").then_some("shop")));
        let all = [&names[0], &names[1], &names[2], &names[3], &unit("u"), &About { key: Key::System, name: "system".into(), project: None, task: None }];
        let mut reckoning = reckoning();
        let mut wall = 1_764_000_000;
        for (at, (gap, look)) in looks.iter().enumerate() {
            wall += gap;
            let items: Vec<Item<'_>> = look.iter().map(|(who, runs, asked, cores, memory)| Item {
                runs: *runs, cores: cores.map(Cores), memory: memory.map(Bytes), ..item(all[*who], asked.map(|asked| (asked, asked)), None)
            }).collect();
            let stamp = Stamp { wall: jiff::Timestamp::from_second(wall).ok(), boot: None };
            let bill = reckoning.reckon(&stamp, (at > 0).then(|| Duration::from_secs(gap.unsigned_abs())), &host(Some("m7i.large")), Scope::Node, &items);
            let sum = |of: fn(&Cost) -> Option<UsdPerHour>| bill.costs.iter().filter_map(of).sum::<UsdPerHour>();
            let (price, idle) = (UsdPerHour(100_800_000), bill.node.idle.expect("the node has a price"));
            prop_assert_eq!(sum(|cost| cost.now) + idle, price);
            prop_assert!(sum(|cost| cost.total) == price || (idle == price && sum(|cost| cost.total) == UsdPerHour(0)));
            for (cost, item) in bill.costs.iter().zip(&items) {
                prop_assert!(cost.now.is_some() || item.runs, "what has ended costs nothing, for sure");
                prop_assert_eq!(cost.parts.iter().map(|part| part.rate).sum::<UsdPerHour>(), cost.now.unwrap_or_default());
                let fargate = &cost.otherwise[0];
                prop_assert_eq!(fargate.rate.is_some(), fargate.why_not.is_none());
                prop_assert_eq!(fargate.parts.iter().map(|part| part.rate).sum::<UsdPerHour>(), fargate.rate.unwrap_or_default());
            }
        }
    }
}

//! The bill of one look: splits the machine's price between its workloads and sizes each for Fargate.
//!
//! Pure but for what it remembers of each workload: its running hour and what was seen of it. Both go with the workload's row.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use collector::identity::Key;
use collector::snapshot::{Host, Launch, Scope};
use collector::units::{Bytes, Cores, Ratio, Stamp};

use super::book::{Book, Instance};
use super::equivalent::{Need, Seen, need};
use super::fargate::{self, Platform, Prices};
use super::split::{Amounts, Hour, Look, Mean, Node, Split, Weights};
use super::{Bill, Cost, Elsewhere, Item, NodeCost, Otherwise, Part, Per, Price, PriceBasis, Region, Size, UsdPerHour, What, ec2, pod, task};

/// The `[cost]` section of the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How a machine's price is split: what one vCPU weighs against one GiB.
    pub weights: Weights,
}

/// What is remembered from look to look.
pub struct Reckoning {
    book: &'static Book,
    settings: Settings,
    region_from_env: Option<Arc<str>>,
    place: Option<Place>,
    /// The running UTC hour, counted from 1970.
    hour: Option<i64>,
    tabs: Vec<Tab>,
    units: Option<[Arc<Price>; 2]>,
    oversubscribed: Option<Arc<str>>,
    words: Words,
    // Kept for their memory only.
    split: Split,
    taken: Vec<Amounts>,
    teams: HashMap<Arc<str>, Team>,
}

impl Reckoning {
    /// `region_from_env` is what `AWS_REGION` says: used where neither the settings nor the metadata service know better.
    pub fn new(book: &'static Book, settings: Settings, region_from_env: Option<Arc<str>>) -> Reckoning {
        Reckoning {
            book,
            settings,
            region_from_env,
            place: None,
            hour: None,
            tabs: Vec::new(),
            units: None,
            oversubscribed: None,
            words: Words::default(),
            split: Split::default(),
            taken: Vec::new(),
            teams: HashMap::new(),
        }
    }

    /// The bill of the look at `at`, `span` after the last one (`None`: there was none). Items come sorted by key; so do the odd nano-dollars.
    /// Where all that is seen of the machine is one task, what the others leave idle is not known.
    pub fn reckon(&mut self, at: &Stamp, span: Option<Duration>, host: &Host, scope: Scope, items: &[Item<'_>]) -> Bill {
        let place = match self.place.take() {
            Some(place) if place.is_of(host) => place,
            _ => {
                self.units = None;
                Place::find(self.book, host, self.region_from_env.as_ref())
            }
        };
        let in_this_hour = self.turn_hour(at, span.unwrap_or_default());
        self.align(items);
        self.taken.clear();
        for (tab, item) in self.tabs.iter_mut().zip(items) {
            let taken = tab.look(item, span.unwrap_or_default(), in_this_hour);
            self.taken.push(if is_share(item) { taken } else { Amounts::default() });
        }
        let mut node = place.cost(self.settings.weights);
        let mut costs = match &place.instance {
            Ok(instance) => self.divide(instance, items, &mut node),
            Err(_) => vec![Cost::default(); items.len()],
        };
        if scope == Scope::Task {
            node.idle = None;
            costs.iter_mut().for_each(|cost| (cost.idle_share, cost.total, cost.note) = (None, None, cost.now.map(|_| ALONE.into())));
        }
        for (cost, item) in costs.iter_mut().zip(items) {
            match task::cost(item, self.book, host.arch.as_deref(), &place.region.name) {
                Some(own) => *cost = own,
                None if cost.now.is_some() => cost.note = task::left_out(item.about.task.as_deref()).map(Arc::from).or(cost.note.take()),
                None => {}
            }
        }
        if scope == Scope::Task && items.iter().any(|item| !is_share(item)) {
            node.why_no_price = node.why_no_price.map(|_| "none of it is yours: AWS sells the task, not the machine".into());
        }
        // A sum that leaves out a container nobody could size is no sum; host processes do not move, and a project is sized at its first.
        let mut elsewhere: Option<Option<UsdPerHour>> = None;
        self.gather(items);
        for (at, (cost, item)) in costs.iter_mut().zip(items).enumerate() {
            let otherwise = self.otherwise(at, items, &place);
            let led = otherwise.project.as_ref().and_then(|project| self.teams.get(project)).is_some_and(|team| team.leader != at);
            if item.runs && !is_host_process(item) && !led {
                elsewhere = Some(elsewhere.unwrap_or(Some(UsdPerHour(0))).zip(otherwise.rate).map(|(sum, rate)| sum + rate));
            }
            cost.otherwise = vec![otherwise];
        }
        let price = node.price.as_ref().map(|price| price.usd).filter(|usd| usd.0 > 0);
        node.fargate_cover = price.zip(elsewhere.flatten()).map(|(usd, sum)| Ratio(sum.usd() / usd.usd()));
        self.place = Some(place);
        Bill { node, costs }
    }

    /// Starts all means again where a new UTC hour has begun, and returns the part of `span` that lies in the running one.
    fn turn_hour(&mut self, at: &Stamp, span: Duration) -> Duration {
        let now = at.wall.map(|wall| wall.as_second().div_euclid(3600));
        if now == self.hour {
            return span;
        }
        self.hour = now;
        self.tabs.iter_mut().for_each(|tab| tab.hour = Hour::default());
        let since = at.wall.map_or(0, |wall| wall.as_millisecond().rem_euclid(3_600_000));
        span.min(Duration::from_millis(since.unsigned_abs()))
    }

    /// Lays the tabs beside the items. Where the same workloads come again nothing moves.
    fn align(&mut self, items: &[Item<'_>]) {
        if self.tabs.len() == items.len() && self.tabs.iter().zip(items).all(|(tab, item)| tab.key == item.about.key) {
            return;
        }
        let mut old: HashMap<Key, Tab> = take(&mut self.tabs).into_iter().map(|tab| (tab.key.clone(), tab)).collect();
        self.tabs = items.iter().map(|item| old.remove(&item.about.key).unwrap_or_else(|| Tab::new(item.about.key.clone()))).collect();
    }

    fn divide(&mut self, instance: &Instance, items: &[Item<'_>], node: &mut NodeCost) -> Vec<Cost> {
        let capacity = Amounts { nanocores: u64::from(instance.vcpu) * 1_000_000_000, bytes: instance.memory.0 };
        self.split.divide(&Node { price: instance.price.usd, capacity, weights: self.settings.weights }, &self.taken);
        node.idle = Some(self.split.idle);
        node.oversubscribed = self.too_much(instance);
        let [core, gib] = self.unit_prices(&instance.price);
        let part = |what, mean: Mean, one: f64, price: &Arc<Price>, rate| Part {
            what,
            asked: mean.asked.map(|asked| asked as f64 / one),
            used: mean.used.map(|used| used as f64 / one),
            amount: mean.taken() as f64 / one,
            price: price.clone(),
            rate,
        };
        let bill = items.iter().zip(&self.tabs).zip(&self.split.shares).map(|((item, tab), share)| {
            let now = share.cpu + share.memory;
            let (cpu, memory) = tab.means;
            // What nobody has seen yet takes no money from the others, but that is not to say it costs nothing.
            if item.runs && !cpu.is_known() && !memory.is_known() {
                return Cost::default();
            }
            let parts = [part(What::Cpu, cpu, 1e9, &core, share.cpu), part(What::Memory, memory, Bytes::GIB.0 as f64, &gib, share.memory)];
            Cost {
                now: Some(now),
                idle_share: Some(share.idle),
                total: Some(now + share.idle),
                over: tab.hour.covers(),
                parts: if item.runs { parts.into() } else { Vec::new() },
                ..Cost::default()
            }
        });
        bill.collect()
    }

    /// The prices of one core and one GiB of this machine. New ones are made only where they have changed, as on a crowded machine at every look.
    fn unit_prices(&mut self, node: &Arc<Price>) -> [Arc<Price>; 2] {
        let wanted = [(Per::CoreHour, "vCPU", self.split.core), (Per::GibHour, "GiB", self.split.gib)];
        match &self.units {
            Some(units) if units.iter().zip(&wanted).all(|(unit, (_, _, usd))| unit.usd == *usd) => units.clone(),
            _ => {
                let units = wanted.map(|(per, word, usd)| {
                    Arc::new(Price { sku: format!("{} {word}", node.sku).into(), usd, per, basis: PriceBasis::Derived, ..Price::clone(node) })
                });
                self.units.insert(units).clone()
            }
        }
    }

    fn too_much(&mut self, instance: &Instance) -> Option<Arc<str>> {
        let taken = self.split.taken;
        let cores = (taken.nanocores > u128::from(instance.vcpu) * 1_000_000_000)
            .then(|| format!("CPU: {:.1} of {} cores", taken.nanocores as f64 / 1e9, instance.vcpu));
        let gib = |bytes: f64| bytes / Bytes::GIB.0 as f64;
        let memory = (taken.bytes > u128::from(instance.memory.0))
            .then(|| format!("memory: {:.1} of {:.1} GiB", gib(taken.bytes as f64), gib(instance.memory.0 as f64)));
        let words = [cores, memory].into_iter().flatten().collect::<Vec<_>>().join(", ");
        (!words.is_empty()).then(|| keep(&mut self.oversubscribed, &words))
    }

    /// Adds up the compose projects: each is sized as one task.
    fn gather(&mut self, items: &[Item<'_>]) {
        self.teams.clear();
        for (at, (item, tab)) in items.iter().zip(&self.tabs).enumerate() {
            let Some(project) = item.about.project.as_ref().filter(|_| item.runs && !is_host_process(item)) else { continue };
            let need = item.unfit.map_or_else(|| need(&item.asked, &item.own, &tab.seen), Err).map_err(|why| (at, why));
            match self.teams.get_mut(project) {
                None => drop(self.teams.insert(project.clone(), Team { leader: at, members: 1, need })),
                Some(team) => {
                    team.members += 1;
                    team.need = team.need.and_then(|sum| need.map(|need| sum.and(need)));
                }
            }
        }
    }

    fn otherwise(&mut self, at: usize, items: &[Item<'_>], place: &Place) -> Otherwise {
        let about = items[at].about;
        let team = about.project.as_ref().and_then(|project| self.teams.get(project)).copied().filter(|team| team.members > 1 && self.tabs[at].ran);
        let project = team.and(about.project.clone());
        let none = Otherwise { on: place.fargate(None), basis: None, early: false, rate: None, parts: Vec::new(), why_not: None, project };
        match self.sized(at, items, team, place) {
            Err(why) => Otherwise { why_not: Some(why), ..none },
            Ok((need, size, parts)) => {
                let rate = Some(fargate::rate(&parts));
                Otherwise { on: place.fargate(Some(size)), basis: Some(need.basis), early: need.early, rate, parts, ..none }
            }
        }
    }

    /// The Fargate size of one workload, or of its whole compose project where it is the first of it.
    fn sized(&mut self, at: usize, items: &[Item<'_>], team: Option<Team>, place: &Place) -> Result<(Need, Size, Vec<Part>), Arc<str>> {
        let (item, line) = (&items[at], &mut self.words.line);
        let Tab { seen, why: last, .. } = &mut self.tabs[at];
        line.clear();
        let mut no = |why: fmt::Arguments<'_>| {
            line.write_fmt(why).expect("a String takes all that is written");
            keep(last, line)
        };
        let project = item.about.project.as_deref().unwrap_or_default();
        let need = match team {
            _ if is_host_process(item) => return Err(self.words.host_process.clone()),
            _ if !item.runs => return Err(self.words.not_running.clone()),
            Some(team) if team.leader != at => return Err(no(format_args!("sized with compose project {project}, see {}", items[team.leader].about.name))),
            Some(team) => team.need.map_err(|(member, why)| no(format_args!("{} of compose project {project}: {why}", items[member].about.name)))?,
            None => item.unfit.map_or_else(|| need(&item.asked, &item.own, seen), Err).map_err(|why| no(format_args!("{why}")))?,
        };
        let (platform, prices) = place.fargate.as_ref().map_err(Arc::clone)?;
        let memory = match item.about.key {
            Key::Pod(_) if *platform == Platform::Arm => return Err(no(format_args!("EKS has no Fargate on ARM"))),
            Key::Pod(_) => Bytes(need.memory.0.saturating_add(pod::OVERHEAD.0)),
            _ => need.memory,
        };
        let size = fargate::cheapest(need.cores, memory, *platform, prices);
        let size = size.ok_or_else(|| no(format_args!("larger than the largest Fargate size (16 vCPU, 120 GB)")))?;
        Ok((need, size, fargate::parts(size, prices)))
    }
}

/// What one task's bill leaves out where no other is seen.
const ALONE: &str = "only this task is seen, so its share of what is idle is not known";

/// Whether it is paid for by a share of this machine.
fn is_share(item: &Item<'_>) -> bool {
    !matches!(item.about.task.as_ref().and_then(|task| task.launch), Some(Launch::Fargate | Launch::External))
}

/// Fargate runs containers.
fn is_host_process(item: &Item<'_>) -> bool {
    matches!(item.about.key, Key::Unit(_) | Key::System)
}

/// The words that most rows share.
struct Words {
    line: String,
    host_process: Arc<str>,
    not_running: Arc<str>,
}

impl Default for Words {
    fn default() -> Words {
        Words { line: String::new(), host_process: "host process".into(), not_running: "not running".into() }
    }
}

/// The text that was said last time, if it is the same.
fn keep(last: &mut Option<Arc<str>>, words: &str) -> Arc<str> {
    match last {
        Some(last) if **last == *words => last.clone(),
        _ => last.insert(words.into()).clone(),
    }
}

/// A compose project.
#[derive(Clone, Copy)]
struct Team {
    leader: usize,
    members: usize,
    need: Result<Need, (usize, &'static str)>,
}

/// One workload's memory.
struct Tab {
    key: Key,
    /// It ran at the last look, so the time since is its own.
    ran: bool,
    hour: Hour,
    means: (Mean, Mean),
    seen: Seen,
    why: Option<Arc<str>>,
}

impl Tab {
    fn new(key: Key) -> Tab {
        Tab { key, ran: false, hour: Hour::default(), means: Default::default(), seen: Seen::default(), why: None }
    }

    /// Adds a look and returns what is charged.
    fn look(&mut self, item: &Item<'_>, span: Duration, in_this_hour: Duration) -> Amounts {
        let ran = std::mem::replace(&mut self.ran, item.runs);
        if !item.runs {
            self.means = Default::default();
            return Amounts::default();
        }
        let host_process = is_host_process(item);
        let asked = if host_process { Default::default() } else { item.asked };
        let cores = item.cores.filter(|cores| cores.0.is_finite() && cores.0 >= 0.0);
        let look = Look { asked_cores: asked.cores, asked_memory: asked.memory, cores, memory: item.memory };
        if ran {
            self.hour.add(&look, in_this_hour);
        }
        if !host_process {
            self.seen.add(cores, item.memory, if ran { span } else { Duration::ZERO });
        }
        self.means = self.hour.means(&look);
        Amounts { nanocores: self.means.0.taken(), bytes: self.means.1.taken() }
    }
}

/// Where prices come from: looked up once for each instance type, region and architecture.
struct Place {
    kind: Option<Arc<str>>,
    said: Option<Arc<str>>,
    arch: Option<Arc<str>>,
    region: Region,
    instance: Result<Instance, Arc<str>>,
    fargate: Result<(Platform, Prices), Arc<str>>,
    /// The architecture in Fargate's words, else in the machine's.
    arch_there: Arc<str>,
    break_even: Option<Ratio>,
}

impl Place {
    fn is_of(&self, host: &Host) -> bool {
        self.kind == host.instance.kind && self.said == host.instance.region && self.arch == host.arch
    }

    fn find(book: &Book, host: &Host, region_from_env: Option<&Arc<str>>) -> Place {
        let said = host.instance.region.as_ref().or(region_from_env);
        let region = Region { name: said.cloned().unwrap_or_else(|| "us-east-1".into()), assumed: said.is_none() };
        let instance: Result<Instance, Arc<str>> = match &host.instance.kind {
            Some(kind) => book.instance(kind, &region.name).map_err(|why| why.to_string().into()),
            None => Err("not EC2, or its metadata service does not answer: set host.instance_type".into()),
        };
        let platform = match &host.arch {
            Some(arch) => Platform::named(arch).ok_or_else(|| format!("Fargate has no {arch}").into()),
            None => instance.as_ref().map(|instance| instance.platform).map_err(|_| Arc::from("the machine's architecture is not known")),
        };
        let arch_there =
            platform.as_ref().map_or_else(|_: &Arc<str>| host.arch.clone().unwrap_or_else(|| "unknown".into()), |platform| platform.as_str().into());
        let fargate = platform.and_then(|platform| Ok((platform, book.fargate(&region.name, platform).map_err(|why| Arc::from(why.to_string()))?)));
        // Fargate has no GPU: against an instance with one the comparison would say nothing.
        let break_even = instance.as_ref().ok().filter(|instance| instance.gpus == 0).and_then(|instance| {
            let prices = book.fargate(&region.name, instance.platform).ok()?;
            ec2::break_even(instance.price.usd, instance.vcpu, instance.memory, &prices)
        });
        Place {
            kind: host.instance.kind.clone(),
            said: host.instance.region.clone(),
            arch: host.arch.clone(),
            region,
            instance,
            fargate,
            arch_there,
            break_even,
        }
    }

    fn cost(&self, weights: Weights) -> NodeCost {
        let instance = self.instance.as_ref();
        NodeCost {
            price: instance.ok().map(|instance| instance.price.clone()),
            capacity: instance.ok().map(|instance| Size { cores: Cores(f64::from(instance.vcpu)), memory: instance.memory }),
            weights: Some(weights),
            why_no_price: instance.err().cloned(),
            region: Some(self.region.clone()),
            break_even: self.break_even,
            ..NodeCost::default()
        }
    }

    fn fargate(&self, size: Option<Size>) -> Elsewhere {
        Elsewhere::Fargate { arch: self.arch_there.clone(), size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collector::snapshot::{About, Asked, Instance as Ec2, Limits};
    use collector::units::Limit;
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
}

//! The bill of one look: splits the machine's price between its workloads and sizes each for Fargate.
//!
//! Pure but for what it remembers of each workload: its running hour and what was seen of it. Both go with the workload's row.

mod place;
mod tab;

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use collector::identity::Key;
use collector::snapshot::{Host, Launch, Scope};
use collector::units::{Bytes, Ratio, Stamp};

use self::place::Place;
use self::tab::Tab;
use super::book::{Book, Instance};
use super::equivalent::{Need, need};
use super::fargate::{self, Platform};
use super::split::{Amounts, Hour, Mean, Node, Split, Weights};
use super::{Bill, Cost, Item, NodeCost, Otherwise, Part, Per, Price, PriceBasis, Size, UsdPerHour, What, pod, task};

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

#[cfg(test)]
mod tests;

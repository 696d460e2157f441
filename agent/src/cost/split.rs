//! Who pays which part of a machine: AWS's split cost allocation, to the last nano-dollar.
//!
//! The rules are those of "Example of split cost allocation data" in the AWS CUR guide, so that a share can be checked against a bill. Each resource has its part of the
//! price (vCPU : GiB = 9 : 1). A workload takes the larger of what it asked for and what it used, both as means over the UTC hour; the larger taken at every look instead
//! would overcharge (asked 0.5, used 0 and 1 in turn: 0.75 instead of 0.5). What nobody takes is idle. Where more is taken than there is, all parts shrink alike.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use collector::units::{Bytes, Cores};

use super::money::UsdPerHour;

/// What one vCPU weighs against one GiB in an instance's price. Settings and JSON: `"9:1"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Weights {
    /// One vCPU, in millionths.
    core: u32,
    /// One GiB, in millionths.
    gib: u32,
}

impl Weights {
    /// AWS's own: 9 : 1.
    pub const SCAD: Weights = Weights { core: 9_000_000, gib: 1_000_000 };

    /// The weight of one vCPU.
    pub fn core(self) -> f64 {
        f64::from(self.core) / 1e6
    }

    /// The weight of one GiB.
    pub fn gib(self) -> f64 {
        f64::from(self.gib) / 1e6
    }
}

/// A setting that is no pair of weights.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no pair of weights like \"9:1\": two numbers above 0 and up to 1000, at most six decimals")]
pub struct BadWeights(String);

impl FromStr for Weights {
    type Err = BadWeights;

    fn from_str(text: &str) -> Result<Weights, BadWeights> {
        let weight = |text: &str| {
            let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
            let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            let millionths = (digits(whole, 4) && digits(part, 6)).then(|| format!("{whole}{part:0<6}"))?.parse::<u32>().ok()?;
            (1..=1_000_000_000).contains(&millionths).then_some(millionths)
        };
        let pair = text.split_once(':').and_then(|(core, gib)| Some(Weights { core: weight(core)?, gib: weight(gib)? }));
        pair.ok_or_else(|| BadWeights(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for Weights {
    type Error = BadWeights;

    fn try_from(text: String) -> Result<Weights, BadWeights> {
        text.parse()
    }
}

impl From<Weights> for String {
    fn from(weights: Weights) -> String {
        weights.to_string()
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.core(), self.gib())
    }
}

/// Amounts of both resources, whole so that they add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Billionths of a core.
    pub nanocores: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A machine to be split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// Its price.
    pub price: UsdPerHour,
    /// vCPU and memory it is sold with.
    pub capacity: Amounts,
    /// How the price is cut in two.
    pub weights: Weights,
}

/// One workload's part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// For the CPU it takes.
    pub cpu: UsdPerHour,
    /// For the memory it takes.
    pub memory: UsdPerHour,
    /// For its part of what nobody takes.
    pub idle: UsdPerHour,
}

/// A machine split between its workloads. Kept between looks for its memory.
#[derive(Debug, Default)]
pub struct Split {
    /// Beside what was taken.
    pub shares: Vec<Share>,
    /// What nobody takes.
    pub idle: UsdPerHour,
    /// What one core costs here: the CPU's part of the price over all there is, or over all that is taken where that is more.
    pub core: UsdPerHour,
    /// What one GiB costs here, likewise.
    pub gib: UsdPerHour,
    /// All that is taken.
    pub taken: Taken,
    remainders: Vec<(u128, Reverse<usize>)>,
}

/// Sums over workloads, which may pass what one workload could hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Billionths of a core.
    pub nanocores: u128,
    /// Bytes.
    pub bytes: u128,
}

impl Split {
    /// Splits `node` between workloads that take `taken`, in the order of their keys.
    ///
    /// Exactly: the sum of `cpu` and `memory` over all shares and `idle` is the price; so is the sum with each share's `idle` in its place, unless nobody takes anything.
    pub fn divide(&mut self, node: &Node, taken: &[Amounts]) {
        self.shares.clear();
        self.shares.resize(taken.len(), Share::default());
        let cpu = Pool::new(node.cpu_price(), node.capacity.nanocores, taken, |taken| taken.nanocores);
        let memory = Pool::new(node.price - cpu.price, node.capacity.bytes, taken, |taken| taken.bytes);
        let cpu_idle = self.hand_out(&cpu, cpu.price, cpu.parts(), |share| &mut share.cpu);
        let memory_idle = self.hand_out(&memory, memory.price, memory.parts(), |share| &mut share.memory);
        // What of one resource is idle goes to those who take some of it. Where nobody does, those who take the other one share the machine and so pay for it.
        let by = |own: &Pool<'_>, other: &Pool<'_>| if own.total > 0 { own.of } else { other.of };
        let cpu_by = Pool { of: by(&cpu, &memory), total: if cpu.total > 0 { cpu.total } else { memory.total }, ..cpu };
        let memory_by = Pool { of: by(&memory, &cpu), total: if memory.total > 0 { memory.total } else { cpu.total }, ..memory };
        self.hand_out(&cpu_by, cpu_idle, cpu_by.total, |share| &mut share.idle);
        self.hand_out(&memory_by, memory_idle, memory_by.total, |share| &mut share.idle);
        self.idle = cpu_idle + memory_idle;
        self.core = cpu.unit(1_000_000_000);
        self.gib = memory.unit(Bytes::GIB.0);
        self.taken = Taken { nanocores: cpu.total, bytes: memory.total };
    }

    /// Hands `money` to the workloads of `pool`, each its amount of `parts`, and returns what is left over.
    ///
    /// The left-over takes part as one that comes after all others. Shares are cut to whole nano-dollars; those that lost most by it get one more, the earlier first.
    fn hand_out(&mut self, pool: &Pool<'_>, money: UsdPerHour, parts: u128, to: impl Fn(&mut Share) -> &mut UsdPerHour) -> UsdPerHour {
        let money = money.0.max(0) as u128;
        if parts == 0 {
            return UsdPerHour(money as i64);
        }
        self.remainders.clear();
        let mut left = money;
        let mut cut = |at: usize, amount: u128| {
            let share = money * amount / parts;
            left -= share;
            self.remainders.push((money * amount % parts, Reverse(at)));
            share as i64
        };
        for (at, (share, taken)) in self.shares.iter_mut().zip(pool.taken).enumerate() {
            let to = to(share);
            to.0 += cut(at, u128::from((pool.of)(taken)));
        }
        let over = cut(pool.taken.len(), parts - pool.total);
        // Less than one nano-dollar was cut from each, so there are fewer to give back than there are shares.
        let back = left as usize;
        if back > 0 && back < self.remainders.len() {
            self.remainders.select_nth_unstable_by(back - 1, |a, b| b.cmp(a));
        }
        let mut over = UsdPerHour(over);
        for (_, Reverse(at)) in self.remainders.iter().take(back) {
            match self.shares.get_mut(*at) {
                Some(share) => to(share).0 += 1,
                None => over.0 += 1,
            }
        }
        over
    }
}

impl Node {
    /// The CPU's part of the price; the rest is the memory's.
    fn cpu_price(&self) -> UsdPerHour {
        let cpu = u128::from(self.weights.core) * u128::from(self.capacity.nanocores) / 1000 * u128::from(Bytes::GIB.0 >> 10);
        let memory = u128::from(self.weights.gib) * u128::from(self.capacity.bytes >> 10) * 1_000_000;
        let price = u128::from(self.price.0.max(0).unsigned_abs());
        let all = cpu + memory;
        // 128 bits hold any machine that exists: 10,000 vCPU and 100 TiB at 10,000 dollars an hour.
        let part = price.checked_mul(cpu).and_then(|part| (part + all / 2).checked_div(all));
        UsdPerHour(part.unwrap_or(0) as i64)
    }
}

/// One resource of the machine.
#[derive(Clone, Copy)]
struct Pool<'a> {
    price: UsdPerHour,
    capacity: u128,
    total: u128,
    taken: &'a [Amounts],
    of: fn(&Amounts) -> u64,
}

impl<'a> Pool<'a> {
    fn new(price: UsdPerHour, capacity: u64, taken: &'a [Amounts], of: fn(&Amounts) -> u64) -> Pool<'a> {
        Pool { price, capacity: u128::from(capacity), total: taken.iter().map(|taken| u128::from(of(taken))).sum(), taken, of }
    }

    /// All there is, or all that is taken where that is more.
    fn parts(&self) -> u128 {
        self.capacity.max(self.total)
    }

    fn unit(&self, one: u64) -> UsdPerHour {
        let parts = self.parts();
        let money = self.price.0.max(0) as u128 * u128::from(one);
        UsdPerHour((money + parts / 2).checked_div(parts).unwrap_or(0) as i64)
    }
}

/// One workload's running UTC hour: asked-seconds and used-seconds of both resources.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hour {
    millis: u64,
    cpu: Tally,
    memory: Tally,
}

/// What a workload asks for and uses at one look; `None` is nothing asked, use not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Look {
    /// Asked for.
    pub asked_cores: Option<Cores>,
    /// Asked for.
    pub asked_memory: Option<Bytes>,
    /// In use since the last look.
    pub cores: Option<Cores>,
    /// Working set.
    pub memory: Option<Bytes>,
}

/// Means of one resource, in the unit of [`Amounts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mean {
    /// `None`: nothing asked.
    pub asked: Option<u64>,
    /// `None`: not known.
    pub used: Option<u64>,
}

impl Mean {
    /// The larger of both: what is charged.
    pub fn taken(self) -> u64 {
        self.asked.max(self.used).unwrap_or(0)
    }

    /// Something was asked for, or its use was seen.
    pub fn is_known(self) -> bool {
        self.asked.is_some() || self.used.is_some()
    }
}

impl Hour {
    /// Adds a look at a workload that ran for `span` since the last one.
    pub fn add(&mut self, look: &Look, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(HOUR);
        self.millis += millis;
        self.cpu.add(look.cpu(), millis);
        self.memory.add(look.memory(), millis);
    }

    /// How long the workload was seen running in this hour.
    pub fn covers(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// The means of the hour so far; before any time has passed, the figures of `look` itself.
    ///
    /// They are means over the time the workload itself ran, not over the whole hour: what it costs an hour while it runs. One that began five minutes ago shows its full
    /// rate, and one that has ended shows none, so that a rate times the time it stood is what the bill adds up. At every look the shares of those that run and idle are
    /// the machine's price.
    pub fn means(&self, look: &Look) -> (Mean, Mean) {
        (self.cpu.mean(look.cpu(), self.millis), self.memory.mean(look.memory(), self.millis))
    }
}

const HOUR: u64 = 3_600_000;

impl Look {
    fn cpu(&self) -> Mean {
        Mean { asked: self.asked_cores.and_then(nanocores), used: self.cores.and_then(nanocores) }
    }

    fn memory(&self) -> Mean {
        let bytes = |bytes: Bytes| bytes.0.min(MOST);
        Mean { asked: self.asked_memory.map(bytes), used: self.memory.map(bytes) }
    }
}

/// No workload takes more: a million cores, a pebibyte. Larger figures are hostile, and sums of these fit 128 bits.
const MOST: u64 = 1_000_000_000_000_000;

fn nanocores(cores: Cores) -> Option<u64> {
    (cores.0 >= 0.0).then(|| ((cores.0 * 1e9).round() as u64).min(MOST))
}

/// Amount x milliseconds of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    asked: u128,
    used: u128,
    /// The time over which use was known: what was not seen is not taken for idle.
    known: u64,
}

impl Tally {
    fn add(&mut self, now: Mean, millis: u64) {
        self.asked += u128::from(now.asked.unwrap_or(0)) * u128::from(millis);
        if let Some(used) = now.used {
            self.used += u128::from(used) * u128::from(millis);
            self.known += millis;
        }
    }

    fn mean(&self, now: Mean, millis: u64) -> Mean {
        let over = |sum: u128, millis: u64| sum.checked_div(u128::from(millis)).map(|mean| mean as u64);
        Mean {
            asked: match over(self.asked, millis) {
                Some(0) => now.asked.map(|_| 0),
                Some(mean) => Some(mean),
                None => now.asked,
            },
            used: over(self.used, self.known).or(now.used),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amounts(cores: f64, gib: f64) -> Amounts {
        Amounts { nanocores: (cores * 1e9).round() as u64, bytes: (gib * Bytes::GIB.0 as f64).round() as u64 }
    }

    fn node(price: f64, cores: f64, gib: f64) -> Node {
        Node { price: UsdPerHour((price * 1e9).round() as i64), capacity: amounts(cores, gib), weights: Weights::SCAD }
    }

    /// asked and used CPU, asked and used memory in GiB
    fn charged(cpu: (f64, f64), memory: (f64, f64)) -> Amounts {
        amounts(cpu.0.max(cpu.1), memory.0.max(memory.1))
    }

    fn divided(node: &Node, taken: &[Amounts]) -> Split {
        let mut split = Split::default();
        split.divide(node, taken);
        split
    }

    fn lines(split: &Split) -> Vec<[String; 3]> {
        let line = |share: &Share| [share.cpu + share.memory, share.idle, share.cpu + share.memory + share.idle].map(|rate| format!("{rate:.8}"));
        split.shares.iter().map(line).collect()
    }

    #[test]
    fn the_example_of_the_aws_guide() {
        let pods = [charged((1.0, 0.1), (4.0, 3.0)), charged((1.0, 1.9), (4.0, 6.0)), charged((1.0, 0.5), (2.0, 2.0)), charged((1.0, 0.5), (2.0, 2.0))];
        let split = divided(&node(1.0, 4.0, 16.0), &pods);
        // Over-subscribed in CPU: one core costs less than 0.17307692. The unit prices proper are those of the machine when it is not.
        let full = divided(&node(1.0, 4.0, 16.0), &[]);
        assert_eq!((format!("{:.8}", full.core), format!("{:.8}", full.gib)), ("0.17307692".into(), "0.01923077".into()));
        assert_eq!(
            lines(&split),
            [
                ["0.21821036", "0.01098901", "0.22919937"],
                ["0.38383046", "0.01648352", "0.40031397"],
                ["0.17974882", "0.00549451", "0.18524333"],
                ["0.17974882", "0.00549451", "0.18524333"]
            ]
        );
    }

    #[test]
    fn a_quiet_m7i_xlarge() {
        let split = divided(&node(0.2016, 4.0, 16.0), &[charged((0.5, 0.2), (1.0, 0.6)), charged((1.0, 1.4), (2.0, 3.0))]);
        assert_eq!(lines(&split), [["0.02132308", "0.03091336", "0.05223644"], ["0.06048000", "0.08888356", "0.14936356"]]);
    }

    #[test]
    fn a_crowded_machine_costs_its_price_and_idle_is_never_below_zero() {
        let split = divided(&node(1.0, 4.0, 16.0), &[charged((3.0, 1.0), (4.0, 2.0)), charged((0.5, 3.0), (2.0, 8.0))]);
        assert_eq!(lines(&split), [["0.42307692", "0.02564103", "0.44871795"], ["0.50000000", "0.05128205", "0.55128205"]]);
        assert_eq!(format!("{:.8}", split.idle), "0.07692308");
    }

    #[test]
    fn nobody_there_or_nobody_takes_anything() {
        for taken in [vec![], vec![Amounts::default(); 3]] {
            let split = divided(&node(0.1008, 2.0, 8.0), &taken);
            assert_eq!(split.idle, UsdPerHour(100_800_000));
            assert!(split.shares.iter().all(|share| *share == Share::default()));
        }
        // Only memory is known: who takes it pays for the idle CPU too.
        let split = divided(&node(0.1008, 2.0, 8.0), &[amounts(0.0, 1.0), amounts(0.0, 3.0)]);
        assert_eq!(split.shares.iter().map(|share| share.memory + share.idle).sum::<UsdPerHour>(), UsdPerHour(100_800_000));
        let nothing = divided(&node(0.0, 0.0, 0.0), &[amounts(1.0, 1.0)]);
        assert_eq!((nothing.idle, nothing.shares[0]), (UsdPerHour(0), Share::default()));
    }

    #[test]
    fn the_odd_nano_dollar_goes_to_the_first() {
        let three = [amounts(1.0, 1.0); 3];
        let split = divided(&Node { price: UsdPerHour(100), ..node(0.0, 3.0, 3.0) }, &three);
        assert_eq!(split.shares.iter().map(|share| (share.cpu.0, share.memory.0)).collect::<Vec<_>>(), [(30, 4), (30, 3), (30, 3)]);
    }

    #[test]
    fn the_mean_of_the_hour_is_charged_and_not_the_larger_of_every_look() {
        let mut hour = Hour::default();
        let look = |cores: f64| Look { asked_cores: Some(Cores(0.5)), cores: Some(Cores(cores)), ..Look::default() };
        assert_eq!(hour.means(&look(1.0)).0.taken(), 1_000_000_000);
        for at in 0..360 {
            hour.add(&look(f64::from(at % 2)), Duration::from_secs(10));
        }
        assert_eq!(hour.covers(), Duration::from_secs(3600));
        let (cpu, memory) = hour.means(&look(1.0));
        assert_eq!((cpu, cpu.taken()), (Mean { asked: Some(500_000_000), used: Some(500_000_000) }, 500_000_000));
        assert_eq!((memory, memory.taken()), (Mean::default(), 0));
    }

    #[test]
    fn what_was_not_seen_is_not_idle() {
        let mut hour = Hour::default();
        hour.add(&Look::default(), Duration::from_secs(1800));
        assert_eq!(hour.means(&Look::default()).0, Mean::default());
        hour.add(&Look { cores: Some(Cores(2.0)), ..Look::default() }, Duration::from_secs(1800));
        assert_eq!(hour.means(&Look::default()).0, Mean { asked: None, used: Some(2_000_000_000) });
        let hostile = Look { cores: Some(Cores(f64::NAN)), asked_cores: Some(Cores(-1.0)), memory: Some(Bytes(u64::MAX)), ..Look::default() };
        assert_eq!(Hour::default().means(&hostile), (Mean::default(), Mean { asked: None, used: Some(MOST) }));
    }

    #[test]
    fn weights_are_two_plain_numbers() {
        for (text, shown) in [("9:1", Some("9:1")), ("10.1:1", Some("10.1:1")), ("0.031611:0.004237", Some("0.031611:0.004237")), ("1000:1", Some("1000:1"))] {
            assert_eq!(text.parse::<Weights>().ok().map(|weights| weights.to_string()).as_deref(), shown);
        }
        for text in ["", "9", "9:", ":1", "0:1", "9:0", "-9:1", "9:1:1", "1e3:1", "1001:1", "NaN:1", "9.1234567:1", " 9:1"] {
            assert_eq!(text.parse::<Weights>(), Err(BadWeights(text.into())));
        }
        assert_eq!("9:1".parse(), Ok(Weights::SCAD));
        assert_eq!(serde_json::from_str::<Weights>("\"9:1\"").unwrap(), Weights::SCAD);
        assert!(serde_json::from_str::<Weights>("\"nine\"").unwrap_err().to_string().starts_with("\"nine\" is no pair of weights"));
    }

    fn any_amounts() -> impl Strategy<Value = Amounts> {
        let edge = |most: u64| prop_oneof![Just(0), Just(1), 0..most, Just(MOST)];
        (edge(4_000_000_000), edge(64 << 30)).prop_map(|(nanocores, bytes)| Amounts { nanocores, bytes })
    }

    proptest! {
        #[test]
        fn the_parts_are_the_price(
            price in 0..10_000_000_000_000_i64, cores in 0..10_000_u64, gib in 0..100_000_u64, core in 1..1_000_000_000_u32, gib_weight in 1..1_000_000_000_u32,
            taken in prop::collection::vec(any_amounts(), 0..40),
        ) {
            let node = Node {
                price: UsdPerHour(price),
                capacity: Amounts { nanocores: cores * 1_000_000_000, bytes: gib << 30 },
                weights: Weights { core, gib: gib_weight },
            };
            let split = divided(&node, &taken);
            let sum = |of: fn(&Share) -> UsdPerHour| split.shares.iter().map(of).sum::<UsdPerHour>();
            prop_assert_eq!(sum(|share| share.cpu + share.memory) + split.idle, node.price);
            prop_assert!(split.idle >= UsdPerHour(0) && split.shares.iter().all(|share| share.cpu.0 >= 0 && share.memory.0 >= 0 && share.idle.0 >= 0));
            let anything = taken.iter().any(|taken| *taken != Amounts::default());
            prop_assert_eq!(sum(|share| share.idle), if anything { split.idle } else { UsdPerHour(0) });
            // Who takes more never pays less.
            for (a, one) in taken.iter().zip(&split.shares) {
                for (b, other) in taken.iter().zip(&split.shares) {
                    prop_assert!(a.nanocores <= b.nanocores || one.cpu >= other.cpu);
                    prop_assert!(a.bytes <= b.bytes || one.memory >= other.memory);
                }
            }
        }
    }
}

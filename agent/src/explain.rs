//! A workload's cost worked out on paper: `tare cost --explain NAME`.
//!
//! Every line can be redone with a pocket calculator: figures are shown with as many digits as it takes for what is printed to multiply and add up to what is printed.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use collector::identity::Key;
use collector::snapshot::Launch;
use collector::units::{Bytes, Stamp};

use crate::cost::fargate;
use crate::cost::money::decimal;
use crate::cost::{Basis, Elsewhere, NodeCost, Otherwise, Part, Price, PriceBasis, Size, UsdPerHour, What};
use crate::report::{HostRow, WorkloadRow};

/// The lines, without their line ends. `at` is the report's own moment.
pub fn explain(row: &WorkloadRow, host: &HostRow, at: &Stamp) -> Vec<String> {
    let today = at.wall.map(|wall| wall.to_zoned(TimeZone::UTC).date());
    let mut lines = vec![heading(row, host, at)];
    match (&row.cost.now, &*row.cost.parts) {
        (Some(now), parts) if is_on_fargate(row) => as_sold(&mut lines, row, *now, parts, at, today),
        (Some(now), [cpu, memory]) => here(&mut lines, row, *now, [cpu, memory], &host.cost, today),
        (Some(_), _) => lines.push("  now     0 $/h   it does not run".into()),
        (None, _) if row.cost.note.is_some() => lines.push(format!("  now     –   {}", row.cost.note.as_deref().unwrap_or_default())),
        (None, _) => {
            let why = if host.cost.price.is_some() { "nothing asked, and its use was not seen yet" } else { "the price of this machine is unknown" };
            lines.push(format!("  now     –   {}", host.cost.why_no_price.as_deref().unwrap_or(why)));
        }
    }
    row.cost
        .otherwise
        .iter()
        .filter(|_| !is_on_fargate(row) || row.cost.now.is_none())
        .for_each(|otherwise| elsewhere(&mut lines, otherwise, &row.seen.about.key, &host.cost, today));
    lines
}

fn is_on_fargate(row: &WorkloadRow) -> bool {
    row.seen.about.task.as_ref().is_some_and(|task| task.launch == Some(Launch::Fargate))
}

/// What a task on Fargate costs: its size, for as long as it is billed.
fn as_sold(lines: &mut Vec<String>, row: &WorkloadRow, now: UsdPerHour, parts: &[Part], at: &Stamp, today: Option<Date>) {
    let unit = |part: &Part| match part.what {
        What::Cpu => "vCPU",
        What::Memory => "GB",
        What::Disk => "GB of disk above 20",
        What::Licence => "vCPU of licence",
    };
    let terms: Vec<String> = parts.iter().map(|part| format!("{} {} x {}", part.amount, unit(part), plain(part.price.usd))).collect();
    lines.push(format!("  {} = {} $/h   {}", terms.join(" + "), at_least(now, 6), origin(parts.iter().map(|part| &*part.price), false, today)));
    let started = row.seen.task.as_ref().and_then(|state| state.pull_started);
    let ran = at.wall.zip(started).and_then(|(now, then)| Duration::try_from(now.duration_since(then)).ok());
    if let Some(ran) = ran {
        let billed = fargate::billed(ran, fargate::Platform::X86);
        let least = if billed > ran + Duration::from_secs(1) { ", the least that is billed" } else { "" };
        lines.push(format!("  so far {:.6} $: {} s since its image began to be pulled{least}", now.over(billed), billed.as_secs()));
    }
}

/// `web, container 3f9c1a2b4d5e, on i-0a1b2c3d, 14:00–15:00 UTC so far (37 min)`
fn heading(row: &WorkloadRow, host: &HostRow, at: &Stamp) -> String {
    let about = &row.seen.about;
    let who = match &about.key {
        Key::Task(id) => format!("task {id}"),
        Key::Pod(uid) => format!("pod {uid}"),
        Key::Loose(id) => format!("container {}", id.short()),
        Key::Unit(path) => format!("unit {path}"),
        Key::System => "all that is no container and no unit".into(),
    };
    let machine = match is_on_fargate(row) {
        true => "Fargate",
        false => host.seen.instance.id.as_deref().or(host.seen.name.as_deref()).unwrap_or("this machine"),
    };
    let hour = at.wall.map(|wall| wall.to_zoned(TimeZone::UTC).hour()).filter(|_| row.cost.over > Duration::ZERO);
    let when = hour.map(|hour| format!(", {hour:02}:00–{:02}:00 UTC so far ({})", i16::from(hour) + 1, span(row.cost.over)));
    format!("{}, {who}, on {machine}{}", about.name, when.unwrap_or_default())
}

fn span(span: Duration) -> String {
    if span.as_secs() < 60 { format!("{} s", span.as_secs()) } else { format!("{} min", span.as_secs() / 60) }
}

/// What it costs on this machine.
fn here(lines: &mut Vec<String>, row: &WorkloadRow, now: UsdPerHour, parts: [&Part; 2], node: &NodeCost, today: Option<Date>) {
    let cost = &row.cost;
    let [cpu, memory] = parts;
    let sums = Sums::of(cpu, memory, now);
    let both = |of: fn(&Part) -> Option<f64>| match (of(cpu), of(memory)) {
        (None, None) => "–".to_owned(),
        (cores, gib) => format!("{} vCPU, {} GiB", figure(cores, 2), figure(gib, 3)),
    };
    let used = if cost.over > Duration::ZERO { "mean of this hour; kernel counters" } else { "at this look; kernel counters" };
    let nothing = cpu.asked.is_none() && memory.asked.is_none();
    let said = if nothing { Some("nothing asked".into()) } else { definition(row) };
    lines.push(format!("  asked   {}{}", both(|part| part.asked), said.map(|said| format!("   ({said})")).unwrap_or_default()));
    lines.push(format!("  used    {}   ({used})", both(|part| part.used)));
    let charged = [sums.amount_digits[0], sums.amount_digits[1].max(3)];
    lines.push(format!("  charged {} vCPU, {} GiB   (the larger of each)", amount(cpu, charged[0]), amount(memory, charged[1])));
    let left = [0, 1].map(|at| {
        let (part, unit) = (parts[at], ["vCPU", "GiB "][at]);
        format!("{} {unit} x {:.*} $", amount(part, sums.amount_digits[at]), sums.price_digits[at], part.price.usd)
    });
    let width = left.iter().map(String::len).max().unwrap_or_default();
    let digits = sums.rate_digits;
    for (at, what) in [What::Cpu, What::Memory].into_iter().enumerate() {
        lines.push(format!("  {:width$} = {:.digits$} $/h{}", left[at], parts[at].rate, unit_price(what, parts[at], node)));
    }
    let about = if sums.exact { "" } else { "   (rounded)" };
    lines.push(format!("  {:width$}   {now:.digits$} $/h{about}", "now"));
    if let (Some(idle), Some(total)) = (cost.idle_share, cost.total) {
        let share = format!("its share of what nobody asked for or used: {}", at_least(idle, 6));
        lines.push(format!("  {:width$}   {} $/h   ({share})", "with idle", at_least(total, 6)));
    }
    if let Some(price) = node.price.as_ref() {
        let assumed = node.region.as_ref().is_some_and(|region| region.assumed);
        lines.push(format!("  {} = {} $/h, {}", price.sku, plain(price.usd), origin([&**price], assumed, today)));
    }
}

/// `task definition web:41`
fn definition(row: &WorkloadRow) -> Option<String> {
    let task = row.seen.about.task.as_ref()?;
    let revision = task.revision.as_ref().map(|revision| format!(":{revision}")).unwrap_or_default();
    Some(format!("task definition {}{revision}", task.family.as_ref()?))
}

/// `     one vCPU = 9 x 0.1008 / (9 x 2 + 8)`
fn unit_price(what: What, part: &Part, node: &NodeCost) -> String {
    let (Some(price), Some(Size { cores, memory }), Some(weights)) = (&node.price, node.capacity, node.weights) else { return String::new() };
    let gib = if weights.gib() == 1.0 { format!("{}", memory.gib()) } else { format!("{} x {}", weights.gib(), memory.gib()) };
    let (unit, weight, capacity) = if what == What::Cpu { ("vCPU", weights.core(), cores.0) } else { ("GiB ", weights.gib(), memory.gib()) };
    let alone = weight * price.usd.usd() / (weights.core() * cores.0 + weights.gib() * memory.gib());
    let charged = part.price.usd.usd();
    // On a crowded machine all that is taken shares the price, not all there is.
    let crowded = if alone - charged > 2e-9 { format!(" x {capacity} / {:.3}, as so much is taken", capacity * alone / charged) } else { String::new() };
    format!("     one {unit} = {weight} x {} / ({} x {} + {gib}){crowded}", plain(price.usd), weights.core(), cores.0)
}

/// What it would cost on Fargate.
fn elsewhere(lines: &mut Vec<String>, otherwise: &Otherwise, key: &Key, node: &NodeCost, today: Option<Date>) {
    let Elsewhere::Fargate { arch, size } = &otherwise.on;
    let with = otherwise.project.as_ref().filter(|_| size.is_some()).map(|project| format!(", all of compose project {project} as one task"));
    let (Some(size), Some(rate)) = (size, otherwise.rate) else {
        lines.push(format!("  on Fargate: –   {}", otherwise.why_not.as_deref().unwrap_or("no equivalent")));
        return;
    };
    let holds = match otherwise.basis {
        Some(Basis::Asked) => "what it asks for",
        Some(Basis::Limit) => "its own limits",
        Some(Basis::Seen) => "what was seen: the CPU enough for 95 % of the time, the most memory",
        None => "it",
    };
    let overhead = if matches!(key, Key::Pod(_)) { " and 256 MiB for the kubelet" } else { "" };
    lines.push(format!("  on Fargate{}: {} (cheapest size that holds {holds}{overhead}), {arch}", with.unwrap_or_default(), shown(size)));
    let terms: Vec<String> = otherwise.parts.iter().map(|part| format!("{} x {}", part.amount, plain(part.price.usd))).collect();
    let assumed = node.region.as_ref().is_some_and(|region| region.assumed);
    let from = origin(otherwise.parts.iter().map(|part| &*part.price), assumed, today);
    lines.push(format!("  {} = {} $/h   {from}", terms.join(" + "), at_least(rate, 6)));
    if otherwise.early {
        lines.push("  seen for less than an hour: the size may still grow".into());
    }
}

/// `list price us-east-1, 2026-09-11`: of the oldest price, and derived if one of them is.
fn origin<'a>(prices: impl IntoIterator<Item = &'a Price>, assumed: bool, today: Option<Date>) -> String {
    let prices: Vec<_> = prices.into_iter().collect();
    let Some(oldest) = prices.iter().min_by_key(|price| price.since) else { return String::new() };
    let derived = prices.iter().find(|price| price.basis == PriceBasis::Derived);
    let (basis, named) = (derived.map_or("list", |_| "derived"), derived.unwrap_or(oldest));
    let old = if today.is_some_and(|today| oldest.is_old(today)) { format!(", older than {} days", Price::OLD) } else { String::new() };
    let region = if assumed { format!("~{} (assumed)", oldest.region) } else { oldest.region.to_string() };
    format!("{basis} price {region}, {}{old} ({})", oldest.since, named.source)
}

/// `0.5 vCPU, 1 GB`, as AWS names it.
pub fn shown(size: &Size) -> String {
    format!("{} vCPU, {} GB", size.cores.0, size.memory.0 as f64 / Bytes::GIB.0 as f64)
}

/// Rounded as the sums round it, which binary floats do not always.
fn amount(part: &Part, digits: usize) -> String {
    decimal(nano(part.amount), 1_000_000_000, digits)
}

fn figure(figure: Option<f64>, digits: usize) -> String {
    figure.map_or("–".into(), |figure| format!("{figure:.digits$}"))
}

/// All its digits and no more: `0.1008`.
fn plain(rate: UsdPerHour) -> String {
    at_least(rate, 0)
}

/// All its digits, and at least so many decimals: `0.024685`, `0.0123425`.
fn at_least(rate: UsdPerHour, least: usize) -> String {
    let text = format!("{rate:.9}");
    let spare = text.bytes().rev().take_while(|byte| *byte == b'0').count();
    format!("{rate:.*}", (9 - spare.min(9)).max(least))
}

/// With how many decimals both lines and their sum are shown.
struct Sums {
    amount_digits: [usize; 2],
    price_digits: [usize; 2],
    rate_digits: usize,
    /// What is printed adds up as printed.
    exact: bool,
}

impl Sums {
    /// The fewest decimals, from those of a table up, with which amount x price gives the rate and the rates give their sum.
    fn of(cpu: &Part, memory: &Part, now: UsdPerHour) -> Sums {
        let found = (6..=9).find_map(|digits| {
            let [of_cpu, of_memory, sum] = [cpu.rate, memory.rate, now].map(|rate| round(i128::from(rate.0), NANO, digits));
            let ((a, p), (b, q)) = multiplies(cpu, digits).zip(multiplies(memory, digits)).filter(|_| of_cpu + of_memory == sum)?;
            Some(Sums { amount_digits: [a, b], price_digits: [p, q], rate_digits: digits, exact: true })
        });
        // The odd nano-dollar went to one of the lines: each still multiplies out, their sum may be off by one in its last digit.
        found.unwrap_or_else(|| {
            let [(a, p), (b, q)] = [cpu, memory].map(|part| multiplies(part, 6).unwrap_or((NANO, NANO)));
            Sums { amount_digits: [a, b], price_digits: [p, q], rate_digits: 6, exact: false }
        })
    }
}

/// Decimals of the amount and of the price with which their product is the rate at `digits` decimals: the fewest.
fn multiplies(part: &Part, digits: usize) -> Option<(usize, usize)> {
    let rate = round(i128::from(part.rate.0), NANO, digits);
    let all = (2..=NANO).flat_map(|amount| (6..=NANO).map(move |price| (amount, price)));
    let fits = all.filter(|(amount, price)| {
        let product = round(nano(part.amount), NANO, *amount) * round(i128::from(part.price.usd.0), NANO, *price);
        round(product, amount + price, digits) == rate
    });
    fits.min_by_key(|(amount, price)| (amount + price, *price))
}

/// Decimals of a billionth.
const NANO: usize = 9;

fn nano(amount: f64) -> i128 {
    (amount * 1e9).round().clamp(0.0, 1e18) as i128
}

/// A number with `decimals` decimals, rounded to `digits` of them, half up.
fn round(number: i128, decimals: usize, digits: usize) -> i128 {
    let (up, down) = (digits.saturating_sub(decimals), decimals.saturating_sub(digits));
    let cut = 10_i128.pow(down as u32);
    (number * 10_i128.pow(up as u32) + cut / 2).div_euclid(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use std::sync::Arc;

    use proptest::prelude::*;

    use collector::snapshot::{About, Asked, Host, Instance, Limits, Scope, Task};
    use collector::units::Cores;

    use crate::cost::book::Book;
    use crate::cost::{Cost, Item, Reckoning, Settings, Weights};

    fn host(kind: Option<&str>) -> Host {
        let instance = Instance { id: Some("i-0a1b2c3d".into()), kind: kind.map(Into::into), region: Some("us-east-1".into()), ..Instance::default() };
        Host { arch: Some("x86_64".into()), instance, ..Host::default() }
    }

    fn at(wall: &str) -> Stamp {
        Stamp { wall: Some(wall.parse().unwrap()), boot: None }
    }

    /// One workload on a machine, seen for 37 minutes.
    fn seen(host: &Host, key: Key, asked: Option<(f64, f64)>, used: Option<(f64, f64)>) -> (WorkloadRow, HostRow) {
        let gib = |gib: f64| Bytes((gib * Bytes::GIB.0 as f64).round() as u64);
        let about = Arc::new(About { key, name: "web".into(), project: None, task: None });
        let asked = Asked { cores: asked.map(|asked| Cores(asked.0)), memory: asked.map(|asked| gib(asked.1)) };
        let (cores, memory) = (used.map(|used| Cores(used.0)), used.map(|used| gib(used.1)));
        let items = [Item { about: &about, runs: true, asked, own: Limits::default(), cores, memory, unfit: None, state: None }];
        let mut reckoning = Reckoning::new(Book::built_in(), Settings { weights: Weights::SCAD }, None);
        reckoning.reckon(&at("2026-11-25T14:00:00Z"), None, host, Scope::Node, &items);
        let mut bill = reckoning.reckon(&at("2026-11-25T14:37:00Z"), Some(Duration::from_secs(37 * 60)), host, Scope::Node, &items);
        let mut row = sample::bare(Arc::clone(&about));
        (row.seen.asked, row.cost) = (asked, bill.costs.remove(0));
        (row, HostRow { seen: host.clone(), cost: bill.node, ..HostRow::default() })
    }

    fn explained(row: &WorkloadRow, host: &HostRow) -> String {
        explain(row, host, &at("2026-11-25T14:37:00Z")).join("\n")
    }

    #[test]
    fn web_on_an_m7i_large() {
        let (row, host) = seen(&host(Some("m7i.large")), Key::Loose("3f9c1a2b4d5e6f70".into()), Some((0.5, 1.0)), Some((0.21, 0.62)));
        let wanted = "\
web, container 3f9c1a2b4d5e, on i-0a1b2c3d, 14:00–15:00 UTC so far (37 min)
  asked   0.50 vCPU, 1.000 GiB
  used    0.21 vCPU, 0.620 GiB   (mean of this hour; kernel counters)
  charged 0.50 vCPU, 1.000 GiB   (the larger of each)
  0.50 vCPU x 0.034892 $ = 0.017446 $/h     one vCPU = 9 x 0.1008 / (9 x 2 + 8)
  1.00 GiB  x 0.003877 $ = 0.003877 $/h     one GiB  = 1 x 0.1008 / (9 x 2 + 8)
  now                      0.021323 $/h
  with idle                0.100800 $/h   (its share of what nobody asked for or used: 0.079476923)
  m7i.large = 0.1008 $/h, list price us-east-1, 2026-07-20 (AWS Price List as in github.com/aws/karpenter-provider-aws 6fc13b5)
  on Fargate: 0.5 vCPU, 1 GB (cheapest size that holds what it asks for), x86_64
  0.5 x 0.04048 + 1 x 0.004445 = 0.024685 $/h   list price us-east-1, 2026-09-11 (AmazonECS price list as checked by github.com/theuves/fgcalc)";
        assert_eq!(explained(&row, &host), wanted);
    }

    #[test]
    fn a_crowded_machine_a_host_process_and_an_unknown_price() {
        let (row, crowded) = seen(&host(Some("m7i.large")), Key::Task("7f3a".into()), Some((4.0, 1.0)), None);
        let text = explained(&row, &crowded);
        assert!(text.contains("  used    –   (mean of this hour; kernel counters)"), "{text}");
        assert!(text.contains("one vCPU = 9 x 0.1008 / (9 x 2 + 8) x 2 / 4.000, as so much is taken"), "{text}");
        let (row, system) = seen(&host(Some("m7i.large")), Key::System, None, Some((0.03, 0.4)));
        let text = explained(&row, &system);
        assert!(text.contains("  asked   –   (nothing asked)\n") && text.ends_with("  on Fargate: –   host process"), "{text}");
        let (row, nowhere) = seen(&host(None), Key::Loose("web".into()), None, Some((0.25, 0.5)));
        let text = explained(&row, &nowhere);
        let wanted = "\
web, container web, on i-0a1b2c3d
  now     –   not EC2, or its metadata service does not answer: set host.instance_type
  on Fargate: 0.25 vCPU, 0.5 GB (cheapest size that holds what was seen: the CPU enough for 95 % of the time, the most memory), x86_64
  0.25 x 0.04048 + 0.5 x 0.004445 = 0.0123425 $/h   list price us-east-1, 2026-09-11 (AmazonECS price list as checked by github.com/theuves/fgcalc)
  seen for less than an hour: the size may still grow";
        assert_eq!(text, wanted);
        let mut ended = row.clone();
        ended.cost = Cost { now: Some(UsdPerHour(0)), total: Some(UsdPerHour(0)), idle_share: Some(UsdPerHour(0)), ..Cost::default() };
        assert!(explained(&ended, &nowhere).contains("it does not run"));
    }

    #[test]
    fn what_a_task_asks_for_stands_in_its_definition() {
        let (mut row, host) = seen(&host(Some("m7i.large")), Key::Task("7f3a".into()), Some((0.5, 1.0)), Some((0.21, 0.62)));
        for (family, revision, said) in [
            (Some("web"), Some("41"), "0.50 vCPU, 1.000 GiB   (task definition web:41)"),
            (Some("web"), None, "0.50 vCPU, 1.000 GiB   (task definition web)"),
            (None, Some("41"), "0.50 vCPU, 1.000 GiB"),
        ] {
            let task = Task { family: family.map(Into::into), revision: revision.map(Into::into), ..Task::default() };
            row.seen.about = Arc::new(About { task: Some(Arc::new(task)), ..(*row.seen.about).clone() });
            assert_eq!(explain(&row, &host, &at("2026-11-25T14:37:00Z"))[1], format!("  asked   {said}"));
        }
    }

    #[test]
    fn an_old_or_assumed_price_is_marked() {
        let (row, mut host) = seen(&host(Some("m7i.large")), Key::Loose("web".into()), Some((0.5, 1.0)), None);
        if let Some(region) = &mut host.cost.region {
            region.assumed = true;
        }
        let text = explain(&row, &host, &at("2028-01-01T00:00:00Z")).join("\n");
        assert!(text.contains("list price ~us-east-1 (assumed), 2026-09-11, older than 180 days"), "{text}");
    }

    /// The numbers of a printed line, as they are printed: exact, in billions of billionths.
    fn printed(line: &str) -> Vec<(i128, usize)> {
        let words = line.split_whitespace().filter(|word| word.contains('.') && word.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit()));
        words.map(|word| (word.replace('.', "").parse().unwrap(), word.len() - word.find('.').unwrap() - 1)).collect()
    }

    #[test]
    fn the_odd_nano_dollar_does_not_lengthen_the_figures() {
        let (mut row, host) = seen(&host(Some("m7i.large")), Key::Loose("web".into()), Some((0.5, 0.5)), None);
        let rates = [17_446_154, 1_938_461];
        row.cost.parts.iter_mut().zip(rates).for_each(|(part, nano)| part.rate = UsdPerHour(nano));
        row.cost.now = Some(UsdPerHour(rates.iter().sum()));
        let lines = explain(&row, &host, &at("2026-11-25T14:37:00Z"));
        assert_eq!(lines[3], "  charged 0.50 vCPU, 0.500 GiB   (the larger of each)");
        assert!(lines[4].starts_with("  0.50 vCPU x 0.034892 $  = 0.017446 $/h") && lines[6].ends_with("0.019385 $/h   (rounded)"), "{lines:#?}");
    }

    proptest! {
        #[test]
        fn a_pocket_calculator_agrees(
            cores in 0.0..2.5_f64, gib in 0.0..9.0_f64, used in prop::option::of((0.0..3.0_f64, 0.0..9.0_f64)), kind in prop::sample::select(&["m7i.large", "m9g.48xlarge", "t3.nano", "x1e.32xlarge"][..]),
        ) {
            let (row, host) = seen(&host(Some(kind)), Key::Loose("web".into()), Some((cores, gib)), used);
            let lines = explain(&row, &host, &at("2026-11-25T14:37:00Z"));
            let now = printed(&lines[6])[0];
            let off = i128::from(lines[6].ends_with("(rounded)"));
            let mut sum = 0;
            for line in &lines[4..6] {
                let numbers = printed(line.split("one ").next().unwrap());
                let [(amount, amount_digits), (price, price_digits), (rate, digits)] = numbers[..] else { panic!("{line}") };
                prop_assert!((round(amount * price, amount_digits + price_digits, digits) - rate).abs() <= off, "{}", line);
                sum += rate;
            }
            prop_assert!((sum - now.0).abs() <= off, "{:?}", lines);
        }
    }
}

//! `tare doctor`: what Tare can and cannot see here, what that costs you, and the one thing to do. Pure: a report and a few facts in, findings out.

mod codes;
mod ecs;
mod facts;
mod sinks;

use jiff::civil::Date;
use serde::Serialize;

use collector::identity::Key;
use collector::snapshot::{CgroupVersion, Gap, Launch, Market, Scope, SourceName, State};

use crate::args::FailOn;
use crate::config::{Settings, span_text};
use crate::cost::{Price, PriceBasis};
use crate::platform::Platform;
use crate::report::{Report, WorkloadRow};

pub use sinks::Pushing;

use super::table::{Look, Tone, columns, say};
use crate::words::figures;
use crate::words::heading::{sold, whole};

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `TARE-001`; it keeps its meaning for good.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was tried, and what came of it.
    pub what: String,
    /// What it costs the user.
    pub costs: Option<String>,
    /// The one thing to do.
    pub fix: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Well, or as it was set.
    Ok,
    /// Something is not seen.
    Warning,
    /// Much is not seen, or Tare cannot run.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// What no report says; the caller asks the machine. `None`: it could not be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Today, to judge the age of prices.
    pub today: Option<Date>,
    /// What became of opening the port.
    pub port: Option<Port>,
    /// The hard limit on open files.
    pub open_files: Option<u64>,
    /// Tare is root.
    pub root: Option<bool>,
    /// Where the cgroup tree is read.
    pub tree: Option<String>,
    /// What came of trying what is pushed; `None`: nothing is.
    pub pushing: Option<Pushing>,
}

/// What became of opening the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// It is free.
    Free,
    /// A Tare answers there.
    Tare,
    /// Something else has it, or the kernel refuses; its words.
    Taken(String),
}

/// Everything found, in the order of the codes.
pub fn findings(report: &Report, settings: &Settings, facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if report.scope == Scope::Cluster {
        // Nothing of a machine is looked at, and nothing of it is missed.
        found.extend(whole(report).map(|words| codes::CLUSTER.found(words)));
    } else {
        tree(&mut found, report, facts);
        docker(&mut found, report, settings);
        instance(&mut found, report, settings);
        price(&mut found, report, facts);
    }
    found.extend(report.gaps.iter().map(|gap| of_gap(gap, report)));
    own(&mut found, settings, facts);
    platform(&mut found, report);
    found.extend(sinks::findings(settings, facts.pushing.as_ref()));
    found.sort_by(|a, b| a.code.cmp(b.code).then_with(|| a.what.cmp(&b.what)));
    found
}

/// Whether a finding is as bad as `from` says.
pub fn failed(findings: &[Finding], from: FailOn) -> bool {
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    match from {
        FailOn::Warning => worst >= Level::Warning,
        FailOn::Error => worst >= Level::Error,
        FailOn::Never => false,
    }
}

/// Findings for people, and what the exit code will be.
pub fn table(findings: &[Finding], from: FailOn, look: Look) -> String {
    const MARGIN: usize = 9;
    let mut out = String::new();
    let mut wide = 0;
    for finding in findings {
        let level = finding.level.word();
        let tone = match finding.level {
            Level::Ok => Tone::Plain,
            Level::Warning => Tone::Notice,
            Level::Error => Tone::Alarm,
        };
        let lines = look.paragraph(&format!("{level:MARGIN$}{}  {}", finding.code, finding.what), MARGIN);
        for (at, line) in lines.iter().enumerate() {
            wide = wide.max(columns(line));
            match line.strip_prefix(level).filter(|_| at == 0) {
                Some(rest) => say(&mut out, format!("{}{rest}", look.paint(level, tone))),
                None => say(&mut out, line),
            }
        }
        let fix = finding.fix.as_ref().map(|fix| format!("fix: {fix}"));
        for words in finding.costs.iter().chain(&fix) {
            for line in look.paragraph(&format!("{:MARGIN$}{words}", ""), MARGIN) {
                wide = wide.max(columns(&line));
                say(&mut out, line);
            }
        }
    }
    let [ok, warnings, errors] = counts(findings);
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let sums = format!("{ok} ok, {}, {}", many(warnings, "warning"), many(errors, "error"));
    let exit = format!("exit {} (see --fail-on)", u8::from(failed(findings, from)));
    say(&mut out, look.ends(&sums, &exit, wide));
    out
}

/// Findings for machines: `{"schema": "tare.doctor/1", "ok": 3, "warning": 1, "error": 0, "findings": [{code, level, what, costs, fix}]}`.
pub fn json(findings: &[Finding]) -> serde_json::Value {
    let [ok, warning, error] = counts(findings);
    serde_json::json!({ "schema": "tare.doctor/1", "ok": ok, "warning": warning, "error": error, "findings": findings })
}

fn counts(findings: &[Finding]) -> [usize; 3] {
    [Level::Ok, Level::Warning, Level::Error].map(|level| findings.iter().filter(|finding| finding.level == level).count())
}

fn containers(report: &Report) -> usize {
    report.workloads.iter().flat_map(|row| &row.containers).filter(|container| container.seen.state <= State::Restarting).count()
}

/// Containers that run and that Docker's stats measure.
fn by_stats(report: &Report) -> usize {
    let usages = report.workloads.iter().flat_map(|row| &row.containers).filter(|one| one.seen.state <= State::Paused).map(|one| &one.seen.usage);
    usages.filter(|usage| usage.cpu.map(|cpu| cpu.from).or(usage.memory.map(|memory| memory.from)) == Some(SourceName::DockerStats)).count()
}

fn tree(found: &mut Vec<Finding>, report: &Report, facts: &Facts) {
    let measured = by_stats(report);
    if measured > 0 {
        found.push(codes::STATS.found(format!("Docker's stats measure {measured} of {} containers: the cgroup tree does not show them", containers(report))));
    }
    let Some(version) = report.host.seen.cgroups else { return };
    let version = match version {
        CgroupVersion::V1 => "cgroup v1",
        CgroupVersion::V2 => "cgroup v2",
        CgroupVersion::Hybrid => "cgroup v1 (beside an empty v2 tree)",
    };
    let at = facts.tree.as_ref().map(|path| format!(" at {path}")).unwrap_or_default();
    let units = report.workloads.iter().filter(|row| matches!(row.seen.about.key, Key::Unit(_))).count();
    found.push(codes::TREE.found(format!("{version}{at}, {} containers, {units} units", containers(report))));
}

fn docker(found: &mut Vec<Finding>, report: &Report, settings: &Settings) {
    match (&report.host.seen.docker, &settings.docker.socket) {
        (Some(docker), Some(socket)) => found.push(codes::DOCKER.found(format!("Docker {} on {}", docker.version, socket.display()))),
        (Some(docker), None) => found.push(codes::DOCKER.found(format!("Docker {}", docker.version))),
        (None, None) => found.push(codes::DOCKER_OFF.found("Docker is not asked: docker.socket is empty".into())),
        (None, Some(_)) => {}
    }
    sizes(found, report, settings);
}

/// When layers were last measured; a look alone, as doctor's own, never waits for that.
fn sizes(found: &mut Vec<Finding>, report: &Report, settings: &Settings) {
    let Some(every) = settings.docker.sizes.filter(|_| report.host.seen.docker.is_some()) else { return };
    let every = span_text(every);
    let containers = report.workloads.iter().flat_map(|row| &row.containers).filter_map(|one| one.seen.disk).filter_map(|disk| disk.at.wall);
    let last = containers.chain(report.host.seen.volumes.as_ref().and_then(|volumes| volumes.at.wall)).max();
    let when = last.map_or("not yet at this look".to_owned(), |at| format!("last at {}", at.strftime("%Y-%m-%d %H:%M:%S UTC")));
    found.push(codes::SIZES.found(format!("layers and volumes are measured every {every}, {when}")));
}

fn instance(found: &mut Vec<Finding>, report: &Report, settings: &Settings) {
    let instance = &report.host.seen.instance;
    if let Some(kind) = &instance.kind {
        let words: Vec<&str> =
            [Some(kind), instance.id.as_ref(), instance.zone.as_ref().or(instance.region.as_ref())].into_iter().flatten().map(|word| &**word).collect();
        found.push(codes::INSTANCE.found(format!("instance {}", words.join(", "))));
    } else if !settings.imds.enabled {
        found.push(codes::IMDS_OFF.found("the metadata service is not asked: imds.enabled is false".into()));
    }
}

fn price(found: &mut Vec<Finding>, report: &Report, facts: &Facts) {
    let cost = &report.host.cost;
    match &cost.price {
        Some(price) => {
            let how = if price.basis == PriceBasis::Derived { "worked out from other prices" } else { "list price" };
            found.push(codes::PRICE.found(format!("{} in {}: {} $/h, {how} of {}", price.sku, price.region, figures::price(price.usd), price.since)));
            found.extend(age(price, facts.today));
            if report.host.seen.instance.market == Some(Market::Spot) {
                found.push(codes::SPOT.found("this is a Spot instance; what it costs is not known, the on-demand price is shown".into()));
            }
        }
        None if let Some(words) = sold(report) => found.push(codes::PRICE.found(words)),
        None if is_external(report) => {
            found.push(codes::EXTERNAL.found("ECS Anywhere: this machine is not AWS's, so it is not priced, on purpose".into()));
        }
        // That the metadata service does not answer is said once, there.
        None if report.host.seen.instance.kind.is_none() && report.gaps.iter().any(|gap| gap.from == SourceName::Imds) => {}
        None => {
            let why = cost.why_no_price.as_deref().unwrap_or("it is not known what machine this is");
            found.push(codes::NO_PRICE.found(format!("price of this machine unknown: {why}")));
        }
    }
    if let Some(region) = cost.region.as_ref().filter(|region| region.assumed) {
        found.push(codes::REGION.found(format!("nobody said which region this is: prices of {} are used, marked ~", region.name)));
    }
}

fn age(price: &Price, today: Option<Date>) -> Option<Finding> {
    let today = today.filter(|today| price.is_old(*today))?;
    Some(codes::OLD_PRICE.found(format!("the price of {} is {} days old", price.sku, price.days(today))))
}

/// A gap's reason is `what happened; fix: what to do` where the source knows better than the code's own words.
fn of_gap(gap: &Gap, report: &Report) -> Finding {
    let code = codes::of_gap(gap);
    let (why, fix) = gap.why.split_once("; fix: ").map_or((&*gap.why, None), |(why, fix)| (why, Some(fix)));
    let what = if matches!(gap.from, SourceName::Docker | SourceName::DockerStats | SourceName::DockerSizes | SourceName::Imds) {
        why.to_owned()
    } else {
        format!("{}: {why}", gap.what)
    };
    let mut finding = code.found(what);
    if let Some(fix) = fix {
        finding.fix = Some(fix.into());
    }
    // Docker's stats stand in for the tree, and what that costs is said there.
    if code.code == codes::NO_TREE.code && by_stats(report) > 0 {
        finding.level = Level::Warning;
        finding.costs = Some("systemd units, and what runs besides Docker, are not seen".into());
    }
    // What the machine is AWS has told in the service's stead; what it will do with it nobody else tells.
    let is_spot = report.host.seen.instance.market == Some(Market::Spot);
    if code.code == codes::HOP_LIMIT.code && report.host.cost.price.is_some() {
        finding.costs = Some(codes::NO_NOTICES.costs.into());
    }
    // No Docker where no container runs, and no metadata service where the price is known or never will be, is how it should be.
    let well = match code.code {
        code if code == codes::NO_SOCKET.code => containers(report) == 0,
        code if code == codes::NO_IMDS.code => report.host.cost.price.is_some() || is_external(report),
        code if code == codes::HOP_LIMIT.code => report.host.cost.price.is_some() && !is_spot,
        _ => false,
    };
    if well { Finding { level: Level::Ok, costs: None, fix: None, ..finding } } else { finding }
}

fn own(found: &mut Vec<Finding>, settings: &Settings, facts: &Facts) {
    let listen = settings.listen;
    match &facts.port {
        Some(Port::Free) => found.push(codes::PORT.found(format!("{listen} is free to serve on"))),
        Some(Port::Tare) => found.push(codes::PORT.found(format!("a Tare answers on {listen}"))),
        Some(Port::Taken(why)) => found.push(codes::PORT_TAKEN.found(format!("{listen} cannot be served on: {why}"))),
        None => {}
    }
    if !listen.ip().is_loopback() && settings.web.expose {
        found.push(codes::EXPOSED.found(format!("/report.json is open to whoever reaches {listen}")));
    }
    // Sockets, the log and the counters' own files come on top of the kept ones.
    const OTHERS: u64 = 256;
    let wanted = settings.cgroup.keep_open as u64 + settings.network.max_spaces as u64 + OTHERS;
    if let Some(limit) = facts.open_files.filter(|limit| *limit < wanted) {
        found.push(codes::OPEN_FILES.found(format!("at most {limit} files may be open; the settings may keep {wanted}")));
    }
    if facts.root == Some(true) {
        found.push(codes::ROOT.found("runs as root; it needs no more than to read /proc, /sys and Docker's socket".into()));
    }
}

fn is_external(report: &Report) -> bool {
    report.host.platform.as_ref().is_some_and(|found| found.platform == Platform::Ecs(Some(Launch::External)))
}

fn platform(found: &mut Vec<Finding>, report: &Report) {
    let Some(place) = &report.host.platform else { return };
    found.push(codes::PLATFORM.found(format!("{place}: {}", place.probes)));
    found.extend(ecs::agent(report));
    let Platform::Ecs(launch) = place.platform else { return };
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let lives = |row: &&WorkloadRow| row.seen.ended.is_none() && matches!(row.seen.about.key, Key::Task(_));
    let tasks = report.workloads.iter().filter(lives);
    let count = tasks.clone().count();
    if launch == Some(Launch::Ec2) && report.host.seen.instance.id.is_none() && count > 0 {
        found.push(codes::NO_INSTANCE.found(format!("{} on EC2, and nobody says on which instance", many(count, "ECS task"))));
    }
    let nameless: usize = tasks.filter(|row| row.seen.about.task.as_ref().is_none_or(|task| task.name().is_none())).map(|row| row.containers.len()).sum();
    if nameless > 0 {
        found.push(
            codes::NAMELESS
                .found(format!("{} of ECS tasks without a name: neither Docker's labels nor the ECS agent say whose they are", many(nameless, "container"))),
        );
    }
}

#[cfg(test)]
mod tests;

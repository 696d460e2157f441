//! The settings: `tare.toml` ← a file or `TARE_CONFIG_CONTENT` ← `TARE_*` variables ← flags. Every name, default and explanation lives in that file;
//! here stand the types and what is allowed. Each section's fields carry the names that the module it belongs to uses.

mod layers;
mod metrics;
mod remote_write;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use layers::{Layers, Origin};

use collector::identity::is_name;
use collector::snapshot::Scope;
use collector::sources::docker::stats;
use collector::sources::ecs_task;
use collector::sources::{cgroup, imds, net};

use collector::identity::short_name;

use crate::aws::services;
use crate::metrics::choice::{Choice, Glob};
use crate::sinks::backlog;
use crate::{aws, cost, sinks, web};

/// Every setting, its default and its explanation, as the user reads it.
pub const MANUAL: &str = include_str!("../tare.toml");

/// Everything that can be set. The explanations stand in [`MANUAL`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to serve.
    pub listen: SocketAddr,
    /// Time between two looks.
    pub interval: Duration,
    /// The cluster's name.
    pub cluster: Option<Arc<str>>,
    /// What is looked at: [`Scope::Node`] (or what of it can be seen), or [`Scope::Cluster`].
    pub scope: Scope,
    /// How long what ended is still shown.
    pub linger: Duration,
    /// `[log]`
    pub log: Log,
    /// `[web]`
    pub web: web::Settings,
    /// `[metrics]`
    pub metrics: Arc<Choice>,
    /// `[remote_write]`; `None`: nothing is pushed.
    pub remote_write: Option<sinks::remote_write::Settings>,
    /// `[host]`
    pub host: Host,
    /// `[cgroup]`
    pub cgroup: cgroup::Settings,
    /// `[network]`
    pub network: net::Settings,
    /// `[docker]`
    pub docker: Docker,
    /// `[ecs]`
    pub ecs: Ecs,
    /// `[imds]`
    pub imds: Imds,
    /// `ecs.api`: what AWS is asked.
    pub aws: aws::Settings,
    /// `[cost]`
    pub cost: cost::Settings,
    /// `[backlog]`
    pub backlog: backlog::Settings,
}

/// What is written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important line that is written.
    pub level: tracing::Level,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// EC2 type.
    pub instance_type: Option<Arc<str>>,
    /// Region of the prices.
    pub region: Option<Arc<str>>,
    /// A folder whose disk is watched.
    pub state: PathBuf,
    /// The longest wait for a disk.
    pub disk_deadline: Duration,
}

/// The Docker daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Docker {
    /// Its socket.
    pub socket: Option<PathBuf>,
    /// Containers kept.
    pub max_containers: usize,
    /// Time between two whole lists.
    pub relist: Duration,
    /// Its stats.
    pub stats: stats::Settings,
    /// Time between two rounds of measuring layers and volumes; `None`: never.
    pub sizes: Option<Duration>,
}

/// Amazon ECS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecs {
    /// The machine's ECS agent.
    pub agent: Agent,
    /// Ask the task metadata endpoint, where there is one.
    pub metadata: bool,
    /// How.
    pub task: ecs_task::Settings,
}

/// Where the ECS agent's introspection API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    /// Where it usually is.
    Auto,
    /// `http://host[:port]`, no path.
    At(String),
    /// Not to be asked.
    Off,
}

/// The instance metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imds {
    /// Ask it at all.
    pub enabled: bool,
    /// `http://host[:port]`, no path.
    pub endpoint: String,
    /// How patiently.
    pub pace: imds::Settings,
}

/// Settings in force, where each came from, and what was odd about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every value and its origin, for `tare config`.
    pub layers: Layers,
    /// Odd, but no reason to stop: unknown `TARE_` variables.
    pub warnings: Vec<Warning>,
}

/// Something odd in the settings, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Wrong settings: every problem found, one line each. The program ends with exit code 78 (`EX_CONFIG` of sysexits.h).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(pub Vec<String>);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Wrong {}

/// One value given by a flag: its key, its text, the flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// `interval`
    pub key: &'static str,
    /// `10s`
    pub value: String,
    /// `--interval`
    pub flag: &'static str,
}

/// The settings in force. `file` beats the variable `TARE_CONFIG_CONTENT`, which must be in `env` to count.
/// Errors: every unknown name and wrong value of every layer.
pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>, flags: &[Flag]) -> Result<Loaded, Wrong> {
    let mut values = Values { layers: Layers::defaults()?, wrong: Vec::new() };
    let mut warnings = Vec::new();
    let variables: Vec<_> = layers::ours(env);
    let content = variables.iter().find(|(name, _)| name == layers::CONTENT);
    match (file, content) {
        (Some(path), content) => {
            if content.is_some() {
                warnings.push(Warning(format!("--config is used and the variable {} is not", layers::CONTENT)));
            }
            values.layers.file(path, &mut values.wrong);
        }
        (None, Some((name, text))) => match text.to_str() {
            Some(text) => values.layers.text(text, name, &mut values.wrong),
            None => values.wrong.push(format!("the variable {name} is not UTF-8")),
        },
        (None, None) => {}
    }
    values.layers.env(&variables, &mut values.wrong, &mut warnings);
    for flag in flags {
        values.layers.flag(flag, &mut values.wrong);
    }
    let settings = values.settings();
    match (settings, values.wrong) {
        (Some(settings), wrong) if wrong.is_empty() => Ok(Loaded { settings, layers: values.layers, warnings }),
        (_, wrong) => Err(Wrong(wrong)),
    }
}

/// A span of time: a whole number and one of `ms`, `s`, `m`, `h`. Errors say what a span looks like.
pub fn span(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let amount = number.parse::<u64>().ok().filter(|_| milliseconds > 0).and_then(|number| number.checked_mul(milliseconds));
    amount.map(Duration::from_millis).ok_or_else(|| "a span of time is a whole number and a unit: \"250ms\", \"10s\", \"5m\", \"1h\"".into())
}

/// A span as [`span`] reads it, in the largest unit that holds it whole.
pub fn span_text(span: Duration) -> String {
    let milliseconds = span.as_millis();
    let (by, unit) = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(by, _)| milliseconds > 0 && milliseconds.is_multiple_of(*by))
        .unwrap_or((1, if milliseconds == 0 { "s" } else { "ms" }));
    format!("{}{unit}", milliseconds / by)
}

/// Bytes: a whole number and one of `KiB`, `MiB`, `GiB`.
fn size(text: &str) -> Option<u64> {
    let (number, by) = SIZES.iter().find_map(|(unit, by)| Some((text.strip_suffix(unit)?, by)))?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(*by)
}

const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn size_words(allowed: &RangeInclusive<u64>) -> String {
    let word =
        |bytes: u64| SIZES.iter().find(|(_, by)| bytes.is_multiple_of(*by)).map_or_else(|| bytes.to_string(), |(unit, by)| format!("{}{unit}", bytes / by));
    format!("allowed is \"{}\" to \"{}\", in KiB, MiB or GiB", word(*allowed.start()), word(*allowed.end()))
}

/// Turns values into settings and keeps what is wrong with them.
struct Values {
    layers: Layers,
    wrong: Vec<String>,
}

impl Values {
    fn settings(&mut self) -> Option<Settings> {
        let second = Duration::from_secs;
        // Every line is taken before any is given up, so that all problems are told at once.
        let listen = self.read("listen", address);
        let interval = self.span("interval", second(1)..=second(3600));
        let cluster = self.read("cluster", |text| optional(text, label));
        let scope = self.read("scope", |text| match choice(text, &["node", "cluster"])? {
            "cluster" if !cfg!(feature = "aws") => Err("this Tare was built without what asks AWS; allowed is \"node\"".into()),
            "cluster" => Ok(Scope::Cluster),
            _ => Ok(Scope::Node),
        });
        let linger = self.span("linger", second(0)..=second(3600));
        let level = self.read("log.level", |text| choice(text, &["error", "warn", "info", "debug", "trace"])?.parse().map_err(|_| String::new()));
        let format = self.read("log.format", |text| Ok(if choice(text, &["text", "json"])? == "json" { LogFormat::Json } else { LogFormat::Text }));
        let expose = self.flag("web.expose");
        let hosts = self.list("web.hosts", host_name);
        let config_file = self.read("web.config_file", |text| optional(text, path));
        let allow = self.list("metrics.allow", metrics::glob);
        let deny = self.list("metrics.deny", metrics::glob);
        let drop_labels = self.list("metrics.drop_labels", metrics::dropped_label);
        let external = self.list("metrics.external_labels", metrics::external_label);
        self.refuse_twice("metrics.external_labels", external.as_deref().unwrap_or_default());
        let remote_write = self.remote_write(external.as_deref());
        let instance_type = self.read("host.instance_type", |text| optional(text, instance_type));
        let region = self.read("host.region", |text| optional(text, region));
        let state = self.read("host.state", path);
        let disk_deadline = self.span("host.disk_deadline", Duration::from_millis(100)..=second(60));
        let keep_open = self.count("cgroup.keep_open", 0..=1_000_000);
        let max_groups = self.count("cgroup.max_groups", 1..=1_000_000);
        let max_spaces = self.count("network.max_spaces", 1..=100_000);
        let scan = self.flag("network.scan");
        let socket = self.read("docker.socket", |text| optional(text.strip_prefix("unix://").unwrap_or(text), path));
        let max_containers = self.count("docker.max_containers", 1..=100_000);
        let relist = self.span("docker.relist", second(5)..=second(3600));
        let stats = self.flag("docker.stats");
        let stats_every = self.span("docker.stats_every", second(1)..=second(3600));
        let agent = self.read("ecs.agent", |text| match text {
            "" => Ok(Agent::Off),
            "auto" => Ok(Agent::Auto),
            url => endpoint(url).map(Agent::At).map_err(|allowed| format!("{allowed}, or \"auto\"")),
        });
        let metadata = self.flag("ecs.metadata");
        let every = self.span("ecs.stats_every", second(1)..=second(3600));
        let tags = self.list("ecs.tags", tag);
        self.refuse_more("ecs.tags", tags.as_ref().map_or(0, Vec::len), TAGS);
        let sizes = self.read("docker.sizes", sizes_every);
        let enabled = self.flag("imds.enabled");
        let endpoint = self.read("imds.endpoint", endpoint);
        let deadline = self.span("imds.deadline", Duration::from_millis(100)..=second(30));
        let refresh = self.span("imds.refresh", second(60)..=second(24 * 3600));
        let api = self.read("ecs.api", |text| {
            Ok(match choice(text, &["auto", "on", "off"])? {
                "on" => aws::Wanted::On,
                "off" => aws::Wanted::Off,
                _ => aws::Wanted::Auto,
            })
        });
        if (scope, api) == (Some(Scope::Cluster), Some(aws::Wanted::Off)) {
            let origin = self.layers.take("ecs.api").origin;
            self.wrong.push(format!("{origin}: ecs.api is \"off\", and scope = \"cluster\" has nothing else to ask; allowed is \"auto\" or \"on\""));
        }
        let cluster_every = self.span("ecs.cluster_every", second(10)..=second(3600));
        let tares = self.list("ecs.discover", ecs_name);
        let tares_port = self.count("ecs.discover_port", 1..=usize::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
        let weights = self.read("cost.weights", |text| text.parse().map_err(|_| "allowed are two numbers from 0.000001 to 1000: \"9:1\"".into()));
        let state_folder = self.read("backlog.state", |text| optional(text, path));
        let spool = self
            .read("backlog.spool", |text| Ok(if choice(text, &["outage", "always"])? == "always" { backlog::Writes::Always } else { backlog::Writes::Outage }));
        let patience = self.span("backlog.patience", second(1)..=second(3600));
        let memory = self.size("backlog.memory", 1 << 20..=16 << 30);
        let disk = self.size("backlog.disk", 1 << 20..=1 << 40);
        let frames = self.count("backlog.frames", 10..=1_000_000);
        let age = self.span("backlog.age", second(60)..=second(30 * 24 * 3600));
        let whole = services::Settings {
            cluster: cluster.clone()?.map(|name| short_name(&name).map_or_else(|| name.clone(), Into::into)),
            every: cluster_every?,
            tares: tares?,
            port: tares_port?,
        };
        let remote_write = remote_write?;
        let prometheus = remote_write.as_ref().and_then(|wanted| match &wanted.auth {
            sinks::remote_write::Auth::Signed { region } => Some(region.clone()),
            _ => None,
        });
        Some(Settings {
            listen: listen?,
            interval: interval?,
            cluster: cluster?,
            scope: scope?,
            linger: linger?,
            log: Log { level: level?, format: format? },
            web: web::Settings { expose: expose?, hosts: hosts?, config_file: config_file? },
            metrics: Arc::new(Choice::new(globs(allow?), globs(deny?), drop_labels?, external.as_deref()?).tagged(tags.as_deref()?, external.as_deref()?)),
            remote_write,
            host: Host { instance_type: instance_type?, region: region?, state: state?, disk_deadline: disk_deadline? },
            cgroup: cgroup::Settings { keep_open: keep_open?, max_groups: max_groups? },
            network: net::Settings { max_spaces: max_spaces?, scan: scan? },
            docker: Docker {
                socket: socket?,
                max_containers: max_containers?,
                relist: relist?,
                stats: stats::Settings { enabled: stats?, every: stats_every? },
                sizes: sizes?,
            },
            ecs: Ecs { agent: agent?, metadata: metadata?, task: ecs_task::Settings { every: every?, tags: tags.clone()? } },
            imds: Imds { enabled: enabled?, endpoint: endpoint?, pace: imds::Settings { deadline: deadline?, refresh: refresh? } },
            aws: aws::Settings { ecs: api?, tags: tags?, cluster: (scope? == Scope::Cluster).then_some(whole), prometheus },
            cost: cost::Settings { weights: weights? },
            backlog: backlog::Settings { state: state_folder?, spool: spool?, patience: patience?, memory: memory?, disk: disk?, frames: frames?, age: age? },
        })
    }

    /// One text, read by `parse`; what it says is wrong becomes a problem with key, value and origin.
    fn read<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let entry = self.layers.take(key);
        let text = entry.value.as_str().unwrap_or_default();
        match parse(text) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.wrong.push(layers::problem(key, &entry.value, &allowed, &entry.origin));
                None
            }
        }
    }

    fn span(&mut self, key: &str, allowed: RangeInclusive<Duration>) -> Option<Duration> {
        self.read(key, |text| {
            let value = span(text)?;
            if allowed.contains(&value) {
                Ok(value)
            } else {
                Err(format!("allowed is \"{}\" to \"{}\"", span_text(*allowed.start()), span_text(*allowed.end())))
            }
        })
    }

    fn size(&mut self, key: &str, allowed: RangeInclusive<u64>) -> Option<u64> {
        self.read(key, |text| size(text).filter(|bytes| allowed.contains(bytes)).ok_or_else(|| size_words(&allowed)))
    }

    fn count(&mut self, key: &str, allowed: RangeInclusive<usize>) -> Option<usize> {
        let entry = self.layers.take(key);
        let value = entry.value.as_integer().and_then(|number| usize::try_from(number).ok()).filter(|number| allowed.contains(number));
        if value.is_none() {
            self.wrong.push(layers::problem(key, &entry.value, &format!("allowed is {} to {}", allowed.start(), allowed.end()), &entry.origin));
        }
        value
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        self.layers.take(key).value.as_bool()
    }

    /// A name that a list gives two values.
    fn refuse_twice(&mut self, key: &str, pairs: &[(String, String)]) {
        let twice = pairs.iter().enumerate().find(|(at, (name, _))| pairs[..*at].iter().any(|(before, _)| before == name));
        if let Some((_, (name, _))) = twice {
            let origin = self.layers.take(key).origin;
            self.wrong.push(format!("{origin}: {key} has {name} twice"));
        }
    }

    fn refuse_more(&mut self, key: &str, entries: usize, most: usize) {
        if entries > most {
            let origin = self.layers.take(key).origin;
            self.wrong.push(format!("{origin}: {key} has {entries} entries; allowed are {most}"));
        }
    }

    fn list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let entry = self.layers.take(key);
        let mut all = Vec::new();
        for value in entry.value.as_array().into_iter().flatten() {
            match parse(value.as_str().unwrap_or_default()) {
                Ok(value) => all.push(value),
                Err(allowed) => {
                    self.wrong.push(layers::problem(key, value, &allowed, &entry.origin));
                    return None;
                }
            }
        }
        Some(all)
    }
}

fn globs(names: Vec<String>) -> Vec<Glob> {
    names.into_iter().map(Glob).collect()
}

fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn choice<'a>(text: &'a str, allowed: &[&str]) -> Result<&'a str, String> {
    let words: Vec<String> = allowed.iter().map(|word| format!("\"{word}\"")).collect();
    if allowed.contains(&text) { Ok(text) } else { Err(format!("allowed is one of {}", words.join(", "))) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "allowed is an address and a port: \"127.0.0.1:9464\", \"0.0.0.0:9464\", \"[::1]:9464\"".into())
}

/// `off`, or how often.
fn sizes_every(text: &str) -> Result<Option<Duration>, String> {
    let minute = Duration::from_secs(60);
    let fits = |every: &Duration| (minute..=minute * 24 * 60).contains(every);
    let every = || span(text).ok().filter(fits).map(Some).ok_or_else(|| "allowed is \"off\", or \"1m\" to \"24h\"".into());
    if text == "off" { Ok(None) } else { every() }
}

/// A label value of every series: short and printable.
fn label(text: &str) -> Result<Arc<str>, String> {
    let fits = text.chars().count() <= 100 && !text.chars().any(char::is_control);
    if fits { Ok(text.into()) } else { Err("allowed are at most 100 characters, no control characters".into()) }
}

/// The name of a service or a family.
fn ecs_name(text: &str) -> Result<Arc<str>, String> {
    if is_name(text) { Ok(text.into()) } else { Err("allowed is the name of a service or of a task definition's family: letters, digits, - and _".into()) }
}

/// The most tags that a resource of AWS has (AWS: "Tagging your AWS resources").
const TAGS: usize = 50;

/// The key of a tag (AWS: "Tagging your AWS resources").
fn tag(text: &str) -> Result<Arc<str>, String> {
    let fits = (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits { Ok(text.into()) } else { Err("allowed are 1 to 128 characters, no control characters".into()) }
}

/// `m7i.large`, `u-6tb1.112xlarge`: a family, a dot, a size.
fn instance_type(text: &str) -> Result<Arc<str>, String> {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    match text.split_once('.') {
        Some((family, size)) if text.len() <= 40 && word(family) && word(size) => Ok(text.into()),
        _ => Err("allowed is an EC2 instance type: \"m7i.large\"".into()),
    }
}

/// `us-east-1`, `us-gov-west-1`.
fn region(text: &str) -> Result<Arc<str>, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let words = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    let numbered = parts.last().is_some_and(|part| part.parse::<u8>().is_ok());
    if parts.len() >= 3 && text.len() <= 30 && words && numbered { Ok(text.into()) } else { Err("allowed is an AWS region: \"eu-central-1\"".into()) }
}

fn path(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if path.is_absolute() && !text.contains('\0') { Ok(path.into()) } else { Err("allowed is a path that begins with /".into()) }
}

/// A name for the Host header, in lower case and without a port.
fn host_name(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_');
    if good { Ok(text.to_ascii_lowercase()) } else { Err("allowed is a host's name without port or path: \"tare.internal.example\"".into()) }
}

fn endpoint(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest)).unwrap_or_default();
    let good = !host.is_empty() && !host.contains(|c: char| c == '/' || c == '@' || c == '?' || c == '#' || c.is_whitespace() || c.is_control());
    if good { Ok(format!("http://{host}")) } else { Err("allowed is \"http://ADDRESS\" without a path".into()) }
}

#[cfg(test)]
mod tests;

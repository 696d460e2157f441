//! Real receivers are pushed to: what they hold is what a scrape holds, no outage leaves a hole, and what they refuse is counted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use tare::metrics::agent::Agent;
use tare::metrics::choice::Choice;
use tare::metrics::families::AGENT;
use tare::metrics::families::backlog::BACKLOG;
use tare::metrics::packed::{Labels, Named, Packed, PackedFamily, Point};
use tare::metrics::schema::{Kind, Tier, Value};
use tare::sinks::backlog::{self, Backlog};
use tare::sinks::post::Target;
use tare::sinks::remote_write::encode::Wanted;
use tare::sinks::remote_write::send::{Pace, Sender};
use tare::sinks::remote_write::{Auth, SINK, Settings};

use crate::program;

/// The receivers, and what makes each take its newest version only.
const PROGRAMS: [(&str, &[&str]); 2] =
    [("prometheus", &[]), ("prometheus3", &["--web.remote-write-receiver.accepted-protobuf-messages=io.prometheus.write.v2.Request"])];

/// A Prometheus that takes remote writes; gone when dropped, its data stays in the folder.
struct Receiver {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
    program: &'static str,
    flags: &'static [&'static str],
}

impl Receiver {
    /// Scrapes `target` every second, if there is one. `None` where it is not installed.
    fn start((program, flags): (&'static str, &'static [&'static str]), folder: &Path, target: Option<SocketAddr>) -> Option<Receiver> {
        // A port that was free a moment ago: Prometheus cannot be handed a socket.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Receiver::at(address, program, flags, folder, target)
    }

    fn at(address: SocketAddr, program: &'static str, flags: &'static [&'static str], folder: &Path, target: Option<SocketAddr>) -> Option<Receiver> {
        let scrape = target.map_or_else(String::new, |target| format!("scrape_configs:\n- job_name: tare\n  static_configs:\n  - targets: ['{target}']\n"));
        fs::write(folder.join("prometheus.yml"), format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n{scrape}")).unwrap();
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display())).arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--web.enable-remote-write-receiver").args(flags);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().ok()?;
        let receiver = Receiver { child, address, folder: folder.to_owned(), program, flags };
        let ready = program::until(|| program::get(address, "/-/ready").ok().filter(|answer| answer.status == 200));
        assert!(ready.is_some(), "{program} does not start: {}", receiver.log());
        Some(receiver)
    }

    /// Killed, and started again on what it had.
    fn again(self, between: impl FnOnce()) -> Receiver {
        let (address, program, flags, folder) = (self.address, self.program, self.flags, self.folder.clone());
        drop(self);
        between();
        Receiver::at(address, program, flags, &folder, None).expect("it was there a moment ago")
    }

    fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// The series of a query and their values at a time.
    fn query(&self, query: &str, at: Timestamp) -> BTreeMap<BTreeMap<String, String>, String> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = program::get(self.address, &format!("/api/v1/query?query={escaped}&time={}", at.as_millisecond() as f64 / 1000.0)).unwrap();
        let answer: Json = serde_json::from_slice(&answer.body).unwrap();
        let rows = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
        rows.iter().map(|row| (serde_json::from_value(row["metric"].clone()).unwrap(), row["value"][1].as_str().unwrap().to_owned())).collect()
    }

    /// The one number of a query.
    fn number(&self, query: &str, at: Timestamp) -> Option<f64> {
        self.query(query, at).into_values().next().map(|value| value.parse().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sender on a runtime of its own.
struct Pushing {
    runtime: tokio::runtime::Runtime,
    queue: Arc<Backlog>,
    agent: Agent,
}

impl Pushing {
    /// Pushes as this writer.
    fn start(url: &str, writer: &str) -> Pushing {
        let settings = Settings {
            target: Target::parse(url).unwrap(),
            version: None,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(20),
            auth: Auth::None,
            ca_file: None,
            headers: Vec::new(),
            wanted: Wanted { tier: Tier::Detail, choice: Choice::default() },
            external: vec![("writer".into(), writer.into())],
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let agent = Agent::new();
        let (patience, age) = (Duration::from_secs(30), Duration::from_secs(86_400));
        let waits = backlog::Settings { state: None, spool: backlog::Writes::Outage, patience, memory: 1 << 30, disk: 1 << 30, frames: 1000, age };
        let queue = Arc::new(Backlog::open(&waits, &[SINK], agent.backlog.clone()).unwrap());
        let pace = Pace { first: Duration::from_millis(10), most: Duration::from_millis(100) };
        let sender = Sender::new(settings, None, agent.sink(SINK), pace).unwrap();
        let frames = Arc::clone(&queue);
        runtime.spawn(async move { match sender.run(&frames).await {} });
        Pushing { runtime, queue, agent }
    }

    /// Until all was taken or refused.
    fn drained(&self) {
        program::until(|| (self.queue.behind(SINK).frames == 0).then_some(())).expect("all is sent in the end");
    }

    /// A counter of the sink, over those of its series that have this word.
    fn count(&self, name: &str, word: &str) -> f64 {
        let families = self.agent.families();
        let all = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
        all.filter(|metric| metric.get_label().iter().any(|label| label.value().starts_with(word))).map(|metric| metric.get_counter().get_value()).sum()
    }

    fn stop(self) {
        self.runtime.shutdown_background();
    }
}

/// A frame with the series `made_total` of each of these containers.
fn frame(at: Timestamp, containers: &[&str]) -> Packed {
    let about = Named {
        otel: "made".into(),
        prometheus: "made_total".into(),
        unit: String::new(),
        kind: Kind::Counter,
        tier: Tier::Essential,
        help: "Made for a test.".into(),
        split: None,
    };
    let rows = containers.iter().map(|name| Labels([("container".into(), (*name).into())].into())).collect();
    let points = (0..containers.len() as u32).map(|row| Point { row, word: 0, value: Value::Count(at.as_second() as u64) }).collect();
    Packed { at, rows, families: vec![PackedFamily { about: about.into(), points, peaks: Vec::new() }] }
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// Both read the one look that there is.
#[test]
fn what_is_pushed_is_what_is_scraped() {
    for program in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = program::command(["run", "--listen", "127.0.0.1:0", "--interval", "1h"]);
        command.env("TARE_REMOTE_WRITE_URL", format!("http://{address}/api/v1/write")).env("TARE_REMOTE_WRITE_EXTERNAL_LABELS", "job=push");
        command.env("TARE_REMOTE_WRITE_DENY", "tare_source_read_age_seconds").env("TARE_IMDS_ENABLED", "false");
        let served = program::serve_as(command).unwrap();
        let Some(receiver) = Receiver::at(address, program.0, program.1, folder.path(), Some(served.address)) else {
            println!("skipped: {}: not installed", program.0);
            continue;
        };
        let names: Vec<String> = AGENT.metrics.iter().chain(BACKLOG.metrics).map(|metric| metric.about.prometheus()).collect();
        let all = |job: &str| {
            let mut rows = receiver.query(&format!("{{job=\"{job}\",__name__=~\"tare_.+\"}}"), Timestamp::now());
            // Tare's own counters are not pushed, and one metric is denied.
            rows.retain(|labels, _| !names.iter().any(|name| labels["__name__"].starts_with(name)) && labels["__name__"] != "tare_source_read_age_seconds");
            let bare = |mut labels: BTreeMap<String, String>| {
                labels.retain(|name, _| name != "job" && name != "instance");
                labels
            };
            rows.into_iter().map(|(labels, value)| (bare(labels), value)).collect::<BTreeMap<_, _>>()
        };
        let (pushed, scraped) = program::until(|| Some((all("push"), all("tare"))).filter(|(pushed, scraped)| !pushed.is_empty() && !scraped.is_empty()))
            .unwrap_or_else(|| panic!("nothing came: {}", receiver.log()));
        assert!(pushed.len() > 50, "{} series", pushed.len());
        assert_eq!(pushed, scraped, "{}", program.0);
    }
}

#[test]
fn a_receiver_that_was_away_has_no_hole_at_the_end() {
    for program in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let Some(receiver) = Receiver::start(program, folder.path(), None) else {
            println!("skipped: {}: not installed", program.0);
            continue;
        };
        let pushing = Pushing::start(&receiver.url(), "ours");
        let start = Timestamp::now() - seconds(900);
        let at = |frame: i64| start + seconds(10 * frame);
        (0..20).for_each(|number| pushing.queue.push(frame(at(number), &["a", "b"])));
        pushing.drained();
        let receiver = receiver.again(|| {
            (20..40).for_each(|number| pushing.queue.push(frame(at(number), &["a", "b"])));
            program::until(|| (pushing.count("tare_sink_retries_total", SINK) > 2.0).then_some(())).expect("it tries again");
        });
        // One container ends.
        (40..60).for_each(|number| pushing.queue.push(frame(at(number), &["a"])));
        pushing.drained();
        let end = at(59);
        let log = receiver.log();
        assert_eq!(receiver.number("count_over_time(made_total{container=\"a\"}[1h])", end), Some(60.0), "{log}");
        assert_eq!(receiver.number("count_over_time(made_total{container=\"b\"}[1h])", end), Some(40.0), "{log}");
        assert_eq!(receiver.number("rate(made_total{container=\"a\"}[10m])", end), Some(1.0), "{log}");
        // It is gone when it ended, not five minutes later.
        let lives = |time: Timestamp| receiver.query("made_total{writer=\"ours\"}", time).len();
        assert_eq!((lives(at(40) - SignedDuration::from_millis(1)), lives(at(40))), (2, 1), "{log}");
        assert_eq!(pushing.count("tare_sink_dropped_total", SINK), 0.0, "{log}");
        pushing.stop();
    }
}

#[test]
fn where_only_our_path_was_down_what_is_too_old_is_counted_and_the_rest_is_taken() {
    for program in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let Some(receiver) = Receiver::start(program, folder.path(), None) else {
            println!("skipped: {}: not installed", program.0);
            continue;
        };
        let now = Timestamp::now();
        let other = Pushing::start(&receiver.url(), "other");
        other.queue.push(frame(now, &["a", "b"]));
        other.drained();
        let ours = Pushing::start(&receiver.url(), "ours");
        // Three hours, a look in ten minutes.
        (0..18).rev().for_each(|ago| ours.queue.push(frame(now - seconds(600 * ago), &["a", "b"])));
        ours.drained();
        let (taken, old) = (ours.count("tare_sink_samples_total", SINK), ours.count("tare_sink_dropped_total", "too_old"));
        assert_eq!((taken + old, ours.count("tare_sink_dropped_total", SINK)), (36.0, old), "{}", receiver.log());
        // Half a block of two hours, and the look that lies on its edge.
        assert!((12.0..=14.0).contains(&taken), "{taken} were taken: {}", receiver.log());
        assert_eq!(receiver.number("sum(count_over_time(made_total{writer=\"ours\"}[4h]))", now), Some(taken), "{}", receiver.log());
        ours.stop();
        other.stop();
    }
}

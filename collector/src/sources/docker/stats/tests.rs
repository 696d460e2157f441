//! The fall-back against answers of old and new daemons, against a daemon that breaks, and beside a tree that comes and goes.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Collector;
use crate::merge::merge;
use crate::snapshot::{Container, Device, NetOwner, Snapshot, Usage};
use crate::sources::docker::tests::fake::{Daemon, Fault};
use crate::sources::docker::{DockerSource, Settings as DaemonSettings};
use crate::sources::{Group, Look, Tree, Within};
use crate::units::Bytes;

const STARTED: &str = "2026-03-02T10:00:00Z";

fn answer(answer: Value) -> Sample {
    answer::parse(answer.to_string().as_bytes()).unwrap().unwrap()
}

fn v1() -> Value {
    json!({"read": "2026-03-02T10:00:20.5Z", "preread": "0001-01-01T00:00:00Z", "num_procs": 0, "id": "a1", "name": "/web", "storage_stats": {},
        "cpu_stats": {"cpu_usage": {"percpu_usage": [1, 2], "total_usage": 26183644699_u64, "usage_in_usermode": 19850000000_u64, "usage_in_kernelmode": 6330000000_u64},
            "system_cpu_usage": 331200000000_u64, "online_cpus": 2, "throttling_data": {"periods": 1043, "throttled_periods": 1032, "throttled_time": 71051294675_u64}},
        "memory_stats": {"usage": 5000000, "max_usage": 6819840, "limit": 9223372036854771712_u64,
            "stats": {"cache": 1, "inactive_file": 1, "rss": 2, "total_cache": 3000000, "total_rss": 110592, "total_inactive_file": 1000000, "total_active_file": 5,
                "total_mapped_file": 7, "total_pgfault": 4987, "total_pgmajfault": 3, "hierarchical_memory_limit": 9223372036854771712_u64}},
        "pids_stats": {"current": 2, "limit": 18446744073709551615_u64},
        "blkio_stats": {"io_service_bytes_recursive": [
                {"major": 254, "minor": 0, "op": "Read", "value": 4096}, {"major": 254, "minor": 0, "op": "Write", "value": 8192},
                {"major": 254, "minor": 0, "op": "Sync", "value": 12288}, {"major": 254, "minor": 0, "op": "Total", "value": 12288}, {"major": 7, "minor": 1, "op": "Write", "value": 1}],
            "io_serviced_recursive": [{"major": 254, "minor": 0, "op": "Read", "value": 1}, {"major": 254, "minor": 0, "op": "Write", "value": 2}], "io_time_recursive": []},
        "networks": {"eth1": {"rx_bytes": 1, "rx_packets": 1, "tx_bytes": 1, "tx_packets": 1},
            "eth0": {"rx_bytes": 796, "rx_packets": 10, "rx_errors": 1, "rx_dropped": 2, "tx_bytes": 5, "tx_packets": 4, "tx_errors": 0, "tx_dropped": 3}}})
}

fn v2() -> Value {
    json!({"read": "2026-03-02T10:00:20Z", "preread": "0001-01-01T00:00:00Z",
        "cpu_stats": {"cpu_usage": {"total_usage": 38063307000_u64, "usage_in_usermode": 27203573000_u64, "usage_in_kernelmode": 10859733000_u64}, "online_cpus": 2,
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}},
        "memory_stats": {"usage": 364544, "limit": 100663296, "stats": {"anon": 114688, "file": 8192, "active_file": 0, "inactive_file": 8192, "file_mapped": 0, "kernel_stack": 32768, "slab": 102000, "sock": 0, "pgfault": 5297, "pgmajfault": 0}},
        "pids_stats": {"current": 2, "limit": 1451},
        "blkio_stats": {"io_service_bytes_recursive": [{"major": 254, "minor": 0, "op": "read", "value": 8192}, {"major": 254, "minor": 0, "op": "write", "value": 4194304}], "io_serviced_recursive": null}})
}

/// What every daemon says of a container that does not run.
fn not_running() -> Value {
    json!({"read": "0001-01-01T00:00:00Z", "preread": "0001-01-01T00:00:00Z", "pids_stats": {}, "memory_stats": {}, "blkio_stats": {"io_service_bytes_recursive": null},
        "cpu_stats": {"cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}, "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}}})
}

#[test]
fn an_old_daemon_on_cgroup_v1_is_understood() {
    let sample = answer(v1());
    assert_eq!(sample.read.to_string(), "2026-03-02T10:00:20.5Z");
    let cpu = sample.usage.cpu.unwrap();
    assert_eq!((cpu.from, cpu.at), (SourceName::DockerStats, Stamp { wall: Some(sample.read), boot: None }));
    assert_eq!((cpu.is.time, cpu.is.split.unwrap().user), (Duration::from_nanos(26_183_644_699), Duration::from_millis(19_850)));
    let throttling = cpu.is.throttling.unwrap();
    assert_eq!((throttling.periods, throttling.throttled, throttling.time), (1043, 1032, Duration::from_nanos(71_051_294_675)));
    let memory = sample.usage.memory.unwrap().is;
    assert_eq!((memory.used, memory.working_set, memory.peak), (Some(Bytes(5_000_000)), Some(Bytes(4_000_000)), Some(Bytes(6_819_840))));
    assert_eq!((memory.anon, memory.file, memory.mapped), (Some(Bytes(110_592)), Some(Bytes(3_000_000)), Some(Bytes(7))));
    assert_eq!((memory.faults, memory.major_faults, memory.max_events), (Some(4987), Some(3), Some(0)), "a daemon leaves out a failcnt of zero");
    assert_eq!((sample.memory_limit, sample.pids_limit, sample.online), (Limit::Unlimited, Limit::Unlimited, Some(2)));
    let io = sample.usage.io.unwrap().is;
    let disk = io.iter().find(|one| one.device == Device { major: 254, minor: 0 }).unwrap();
    assert_eq!((io.len(), disk.read, disk.written, disk.reads, disk.writes), (2, Bytes(4096), Bytes(8192), Some(1), Some(2)));
    let net = sample.usage.net.unwrap().is;
    assert_eq!((&*net[0].name, net[0].received.bytes, net[0].received.dropped, net[0].sent.packets, &*net[1].name), ("eth0", Bytes(796), 2, 4, "eth1"));
    assert_eq!(sample.usage.pids.unwrap().is, 2);
}

#[test]
fn a_new_daemon_on_cgroup_v2_is_understood() {
    let sample = answer(v2());
    let memory = sample.usage.memory.unwrap().is;
    assert_eq!((memory.used, memory.working_set, memory.anon), (Some(Bytes(364_544)), Some(Bytes(356_352)), Some(Bytes(114_688))));
    assert_eq!((memory.peak, memory.max_events, memory.slab), (None, None, Some(Bytes(102_000))), "what v2 does not say is not known");
    assert_eq!((sample.memory_limit, sample.pids_limit), (Limit::Of(Bytes(100_663_296)), Limit::Of(1451)));
    let io = sample.usage.io.unwrap().is;
    assert_eq!((io[0].read, io[0].written, io[0].reads), (Bytes(8192), Bytes(4_194_304), None));
    assert_eq!(sample.usage.net, None);
}

#[test]
fn every_trap_costs_its_own_figure_only() {
    let with = |path: &str, value: Value| {
        let mut said = v2();
        *said.pointer_mut(path).unwrap() = value;
        answer::parse(said.to_string().as_bytes()).unwrap()
    };
    let memory = |path: &str, value: Value| with(path, value).unwrap().usage.memory.unwrap().is;
    assert_eq!(with("/read", json!("0001-01-01T00:00:00Z")), None, "the zero time is no reading");
    assert_eq!(with("/read", json!(null)), None);
    assert_eq!(answer::parse(not_running().to_string().as_bytes()).unwrap(), None);
    let no_inactive = memory("/memory_stats/stats", json!({"file": 8192, "active_file": 2000, "anon": 1}));
    assert_eq!(no_inactive.working_set, Some(Bytes(364_544 - 6192)), "the page cache less the active part stands in");
    let neither = memory("/memory_stats/stats", json!({"anon": 1}));
    assert_eq!((neither.working_set, neither.used, neither.anon), (None, Some(Bytes(364_544)), Some(Bytes(1))));
    assert_eq!(memory("/memory_stats/stats", Value::Null).working_set, None);
    assert_eq!(memory("/memory_stats/usage", json!(10)).working_set, Some(Bytes(0)), "never below zero");
    assert_eq!(with("/memory_stats", json!({})).unwrap().usage.memory, None);
    assert_eq!(with("/cpu_stats/cpu_usage/total_usage", json!(-5)).unwrap().usage.cpu, None);
    assert_eq!(with("/cpu_stats", json!("odd")).unwrap().usage.cpu, None);
    for (limit, expected) in
        [(json!(u64::MAX), Limit::Unlimited), (json!(i64::MAX), Limit::Unlimited), (json!(0), Limit::Unknown), (json!(null), Limit::Unknown)]
    {
        assert_eq!(with("/memory_stats/limit", limit).unwrap().memory_limit, expected);
    }
    let rows = |value| with("/blkio_stats/io_service_bytes_recursive", value).unwrap().usage.io.unwrap().is.len();
    assert_eq!((rows(json!(null)), rows(json!([])), rows(json!([{"major": 8, "minor": 0, "op": "Read"}, 7, null]))), (0, 0, 0));
    assert!(answer::parse(b"[]").is_err() && answer::parse(b"").is_err() && answer::parse(br#""no""#).is_err());
    let mut networks = v2();
    networks["networks"] = json!({"lo": {"rx_bytes": 1, "rx_packets": 1, "tx_bytes": 1, "tx_packets": 1}, "eth0": null, "": {}, "eth1": {"rx_bytes": 5}});
    assert_eq!(answer(networks).usage.net, None, "half a row is no row");
}

/// Any JSON in the place of every word that is read.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z0-9:.-]{0,12}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        "[a-z_]{1,8}",
        prop::sample::select(vec![
            "usage",
            "limit",
            "stats",
            "file",
            "inactive_file",
            "active_file",
            "total_rss",
            "cpu_usage",
            "total_usage",
            "op",
            "major",
            "minor",
            "value",
            "eth0",
            "rx_bytes"
        ])
        .prop_map(str::to_owned)
    ];
    leaf.prop_recursive(3, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|map| json!(map))
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_said_no_figure_is_a_lie(cpu in anything(), memory in anything(), pids in anything(), blkio in anything(), networks in anything()) {
        let said = json!({"read": "2026-03-02T10:00:20Z", "cpu_stats": cpu, "memory_stats": memory, "pids_stats": pids, "blkio_stats": blkio, "networks": networks});
        let sample = answer(said);
        if let Some(memory) = &sample.usage.memory {
            prop_assert!(memory.is.working_set.is_none_or(|set| Some(set) <= memory.is.used));
        }
        prop_assert!(sample.memory_limit.value().is_none_or(|limit| limit.0 < 1 << 62));
        let io = sample.usage.io.map(|io| io.is).unwrap_or_default();
        prop_assert_eq!(io.iter().map(|one| one.device).collect::<BTreeSet<_>>().len(), io.len());
    }
}

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Host {
        Host { folder: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    fn address(&self) -> Address {
        Address::Unix(self.socket())
    }
}

const EVERY: Settings = Settings { enabled: true, every: Duration::ZERO };

/// A source that has no rest between two rounds.
fn source(address: Address) -> DockerStats {
    let mut source = DockerStats::new(address, Clock::Real, EVERY);
    source.budget.rest = 0;
    source
}

fn put(daemon: &Daemon, id: &str, mode: &str) {
    let row = json!({"Id": id, "Names": [format!("/{id}-name")], "Image": "web:1", "State": "running", "Status": "Up", "HostConfig": {"NetworkMode": mode}});
    let inspect = json!({"Id": id, "Name": format!("/{id}-name"), "State": {"Status": "running", "Running": true, "Pid": 0, "StartedAt": STARTED},
        "HostConfig": {"NetworkMode": mode, "Memory": 0}});
    daemon.put(row, inspect);
}

/// The Docker source's own reading of this daemon.
async fn listed(address: Address) -> Arc<Reading> {
    let settings = DaemonSettings { max_containers: 5000, relist: Duration::from_secs(3600), linger: Duration::from_secs(300) };
    let mut docker = DockerSource::new(address, Clock::Real, settings);
    Arc::new(docker.read(soon()).await)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn told_by(from: SourceName, told: Option<Told>, what: &str) -> Arc<Reading> {
    let gaps = if told.is_none() { vec![Gap { from, what: what.into(), why: "no cgroup tree".into() }] } else { vec![] };
    Arc::new(Reading { from, at: Stamp::default(), told, gaps })
}

fn no_tree() -> Arc<Reading> {
    told_by(SourceName::Cgroup, None, "containers")
}

fn tree(ids: &[&str]) -> Arc<Reading> {
    let group = |id: &&str| Group {
        path: format!("/docker/{id}").as_str().into(),
        owner: Owner::Container((*id).into(), Within::Nothing),
        start: 7,
        own: Limits::default(),
        limits: Limits::default(),
        weights: Default::default(),
        usage: Usage::default(),
    };
    let tree = Tree { version: crate::snapshot::CgroupVersion::V2, root: Usage::default(), ended: vec![], groups: ids.iter().map(group).collect(), cut: 0 };
    told_by(SourceName::Cgroup, Some(Told::Tree(Box::new(tree))), "")
}

async fn measured(source: &mut DockerStats, said: &[Arc<Reading>]) -> (Vec<String>, Vec<String>) {
    let (reading, _) = read(source, said, soon()).await;
    (ids(&reading), reading.gaps.iter().map(|gap| gap.why.to_string()).collect())
}

async fn read(source: &mut DockerStats, said: &[Arc<Reading>], by: Instant) -> (Reading, bool) {
    source.hear(said);
    let reading = source.read(by).await;
    let told = reading.told.is_some();
    (reading, told)
}

fn ids(reading: &Reading) -> Vec<String> {
    match &reading.told {
        Some(Told::Stats(stats)) => stats.containers.iter().map(|one| one.id.to_string()).collect(),
        None => vec![],
        other => panic!("{other:?}"),
    }
}

fn asked(daemon: &Daemon) -> usize {
    daemon.asked().iter().filter(|path| path.contains("/stats")).count()
}

#[tokio::test]
async fn where_the_tree_shows_dockers_containers_nobody_is_ever_asked() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    for id in ["a1", "a2", "a3"] {
        put(&daemon, id, "bridge");
        daemon.stats(id, v2());
    }
    let docker = listed(host.address()).await;
    let mut source = source(host.address());
    // A look that found no tree yet, one that was cut, then the tree; afterwards it may go and containers may come.
    let unanswered = told_by(SourceName::Cgroup, None, crate::sources::UNANSWERED);
    let mut cut = tree(&["a1"]);
    if let Some(Told::Tree(tree)) = &mut Arc::make_mut(&mut cut).told {
        tree.cut = 5;
    }
    for of_tree in [unanswered, cut, tree(&["a1", "a2", "a3"]), tree(&["a1", "a2"]), no_tree(), tree(&["a1"])] {
        let (reading, told) = read(&mut source, &[docker.clone(), of_tree], soon()).await;
        assert!(!told && reading.gaps.is_empty());
    }
    // One that ends between the list and the tree is not asked for either.
    put(&daemon, "a4", "bridge");
    daemon.stats("a4", v2());
    let more = listed(host.address()).await;
    assert!(!read(&mut source, &[more, tree(&["a1", "a2", "a3"])], soon()).await.1);
    assert_eq!(asked(&daemon), 0);
    let mut off = DockerStats::new(host.address(), Clock::Real, Settings { enabled: false, ..EVERY });
    assert!(!read(&mut off, &[docker, no_tree()], soon()).await.1);
    assert_eq!(asked(&daemon), 0);
}

#[tokio::test]
async fn where_the_tree_does_not_show_them_they_are_measured_each_once_a_round() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    for id in ["a1", "a2", "a3"] {
        put(&daemon, id, "bridge");
        daemon.stats(id, v2());
    }
    let docker = listed(host.address()).await;
    for (of_tree, wanted) in [(no_tree(), vec!["a1", "a2", "a3"]), (tree(&[]), vec!["a1", "a2", "a3"]), (tree(&["a2"]), vec!["a1", "a3"])] {
        let mut source = source(host.address());
        daemon.asked();
        assert_eq!(measured(&mut source, &[docker.clone(), of_tree]).await, (wanted.iter().map(|id| (*id).to_owned()).collect(), vec![]));
        assert_eq!(asked(&daemon), wanted.len());
    }
    // At their own pace: the next look is told what the last round said.
    let mut source = DockerStats::new(host.address(), Clock::Real, Settings { every: Duration::from_secs(3600), ..EVERY });
    for _ in 0..3 {
        assert_eq!(measured(&mut source, &[docker.clone(), no_tree()]).await.0.len(), 3);
    }
    assert_eq!(asked(&daemon), 3);
}

#[tokio::test]
async fn a_counter_keeps_its_source() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    for id in ["a1", "a2"] {
        put(&daemon, id, "bridge");
        daemon.stats(id, v2());
    }
    let docker = listed(host.address()).await;
    let mut source = source(host.address());
    assert_eq!(measured(&mut source, &[docker.clone(), no_tree()]).await.0, ["a1", "a2"]);
    // The tree shows one of them for a moment: from then on it is the tree's.
    assert_eq!(measured(&mut source, &[docker.clone(), tree(&["a2"])]).await.0, ["a1"]);
    assert_eq!(measured(&mut source, &[docker.clone(), no_tree()]).await.0, ["a1"]);
}

#[tokio::test]
async fn one_that_ended_before_the_tree_was_read_settles_nothing() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    for id in ["a1", "a2", "a3"] {
        put(&daemon, id, "bridge");
    }
    let docker = listed(host.address()).await;
    // One vanished, one does not run, and what is known of the third is of its run before.
    daemon.stats("a2", not_running());
    let mut old = v2();
    old["read"] = json!("2026-03-02T09:59:59Z");
    daemon.stats("a3", old);
    let mut source = source(host.address());
    assert_eq!(measured(&mut source, &[docker.clone(), tree(&[])]).await, (vec![], vec![]));
    assert_eq!(source.measures, Measures::Unsettled);
    daemon.asked();
    assert_eq!(measured(&mut source, &[docker.clone(), tree(&["a1", "a3"])]).await, (vec![], vec![]));
    assert_eq!((asked(&daemon), source.measures), (0, Measures::Tree));
}

#[tokio::test]
async fn a_container_that_goes_wrong_costs_itself_only() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    for id in ["a1", "b2", "c3"] {
        put(&daemon, id, "bridge");
        daemon.stats(id, v2());
    }
    let docker = listed(host.address()).await;
    for (fault, said) in [
        (Fault::Status(500, "{\"message\":\"boom\"}".into()), "1 container could not be measured, first b2-name: "),
        (Fault::Body("[1, 2".into()), "1 container could not be measured, first b2-name: "),
        (Fault::Body("\"\"".into()), "1 container could not be measured, first b2-name: no object"),
        (Fault::Cut, "1 container could not be measured, first b2-name: "),
        (Fault::Close, "1 container could not be measured, first b2-name: "),
        (Fault::Huge(1 << 30), "1 container could not be measured, first b2-name: "),
        (Fault::Status(404, "{}".into()), ""),
        (Fault::Body(not_running().to_string()), ""),
        (Fault::Hang, "1 container did not answer within 0.5 s"),
        (Fault::HangMidAnswer, "1 container did not answer within 0.5 s"),
    ] {
        let mut source = source(host.address());
        source.budget.patience = Duration::from_millis(500);
        daemon.fault("/b2/stats", Some(fault.clone()));
        let (of, gaps) = measured(&mut source, &[docker.clone(), no_tree()]).await;
        assert_eq!(of, ["a1", "c3"], "{fault:?}");
        assert!(if said.is_empty() { gaps.is_empty() } else { gaps.len() == 1 && gaps[0].starts_with(said) }, "{fault:?} {gaps:?}");
        daemon.fault("/b2/stats", None);
        assert_eq!(measured(&mut source, &[docker.clone(), no_tree()]).await, (vec!["a1".into(), "b2".into(), "c3".into()], vec![]), "{fault:?} is over");
        // A sample is not lost to a bad round.
        daemon.fault("/b2/stats", Some(fault));
        assert_eq!(measured(&mut source, &[docker.clone(), no_tree()]).await.0.len(), 3);
        daemon.fault("/b2/stats", None);
    }
}

#[tokio::test]
async fn a_look_does_not_wait_for_a_daemon_that_hangs_and_what_comes_later_is_told_later() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    for id in ["a1", "b2"] {
        put(&daemon, id, "bridge");
        daemon.stats(id, v2());
    }
    let docker = listed(host.address()).await;
    daemon.fault("/b2/stats", Some(Fault::Hang));
    let mut source = source(host.address());
    let said = [docker, no_tree()];
    source.budget.patience = Duration::from_secs(60);
    for _ in 0..200 {
        let (reading, _) = read(&mut source, &said, Instant::now() + Duration::from_millis(20)).await;
        assert!(source.round.is_some(), "one round is under way");
        if ids(&reading) == ["a1"] {
            break;
        }
    }
    let (reading, _) = read(&mut source, &said, Instant::now() + Duration::from_millis(20)).await;
    assert_eq!((ids(&reading), reading.gaps.len(), asked(&daemon)), (vec!["a1".into()], 0, 2), "no second one beside it");
}

#[tokio::test]
async fn a_round_goes_on_between_two_looks() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    for id in ["a1", "b2", "c3"] {
        put(&daemon, id, "bridge");
        daemon.stats(id, v2());
    }
    let said = [listed(host.address()).await, no_tree()];
    daemon.asked();
    let mut source = source(host.address());
    source.budget.at_once = 1;
    let (reading, _) = read(&mut source, &said, Instant::now()).await;
    assert!(ids(&reading).len() < 3, "this look has no time");
    let mut seen = 0;
    let all = async {
        while seen < 3 {
            seen += asked(&daemon);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
}

#[tokio::test]
async fn the_budget_reaches_everyone_in_turn_and_says_who_waits() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    let names: Vec<String> = (0..7).map(|n| format!("c{n}")).collect();
    for id in &names {
        put(&daemon, id, "bridge");
        daemon.stats(id, v2());
    }
    let said = [listed(host.address()).await, no_tree()];
    let mut source = source(host.address());
    (source.budget.most, source.budget.at_once) = (3, 2);
    let waits = |left| vec![format!("{left} containers left for the next rounds: at most 3 are asked in one, the figures of the rest are older")];
    daemon.asked();
    assert_eq!(measured(&mut source, &said).await, (names[..3].to_vec(), waits(4)));
    assert_eq!(measured(&mut source, &said).await, (names[..6].to_vec(), waits(4)));
    assert_eq!(measured(&mut source, &said).await.0, names, "what was not asked keeps its last reading");
    assert_eq!(asked(&daemon), 9);
}

#[tokio::test]
async fn one_read_is_one_reading() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    put(&daemon, "a1", "bridge");
    let said = [listed(host.address()).await, no_tree()];
    let mut source = source(host.address());
    let mut cpu = Vec::new();
    for (read_at, nanos) in [("2026-03-02T10:00:20Z", 1), ("2026-03-02T10:00:20Z", 2), ("2026-03-02T10:00:21Z", 3)] {
        let mut stats = v2();
        (stats["read"], stats["cpu_stats"]["cpu_usage"]["total_usage"]) = (json!(read_at), json!(nanos));
        daemon.stats("a1", stats);
        let (reading, _) = read(&mut source, &said, soon()).await;
        let Some(Told::Stats(stats)) = reading.told else { panic!("{reading:?}") };
        cpu.push(stats.containers[0].usage.cpu.unwrap().is.time.as_nanos());
    }
    assert_eq!(cpu, [1, 1, 3]);
}

#[tokio::test]
async fn a_slow_daemon_is_asked_less_often() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    put(&daemon, "a1", "bridge");
    daemon.fault("/a1/stats", Some(Fault::Hang));
    let said = [listed(host.address()).await, no_tree()];
    let mut source = DockerStats::new(host.address(), Clock::Real, EVERY);
    (source.budget.patience, source.budget.rest) = (Duration::from_millis(50), 10_000);
    let (reading, told) = read(&mut source, &said, soon()).await;
    assert!(!told && reading.gaps.len() == 1, "nothing is known, and why");
    let rest = source.rest.unwrap().saturating_duration_since(Instant::now());
    assert!(rest >= Duration::from_secs(60), "it hung 50 ms, it rests ten thousand times as long: {rest:?}");
    daemon.asked();
    read(&mut source, &said, soon()).await;
    assert_eq!(asked(&daemon), 0);
}

#[tokio::test]
async fn ids_that_come_twice_are_asked_once() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    put(&daemon, "a1", "bridge");
    daemon.stats("a1", v2());
    let mut docker = Reading::clone(&*listed(host.address()).await);
    if let Some(Told::Docker(containers)) = &mut docker.told {
        let twin = containers.containers[0].clone();
        containers.containers.push(twin);
    }
    daemon.asked();
    assert_eq!(measured(&mut source(host.address()), &[Arc::new(docker), no_tree()]).await.0, ["a1"]);
    assert_eq!(asked(&daemon), 1);
}

/// A tree's look that says what it is told to.
struct Says(Arc<Reading>);

impl Look for Says {
    fn name(&self) -> SourceName {
        SourceName::Cgroup
    }

    fn look(&mut self, _: &[Arc<Reading>]) -> Reading {
        Reading::clone(&self.0)
    }
}

fn collector(address: Address, of_tree: Arc<Reading>) -> Collector {
    let settings = DaemonSettings { max_containers: 100, relist: Duration::from_secs(3600), linger: Duration::from_secs(300) };
    let docker = DockerSource::new(address.clone(), Clock::Real, settings);
    Collector::new(vec![Box::new(Says(of_tree))], vec![Box::new(source(address)), Box::new(docker)], Clock::Real)
}

fn container<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Container {
    snapshot.workloads.iter().flat_map(|workload| &workload.containers).find(|one| one.about.id.as_str() == id).unwrap()
}

#[tokio::test]
async fn the_very_first_look_shows_everything_and_the_network_once() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    for (id, mode) in [("a1", "bridge"), ("b2", "container:a1"), ("c3", "host")] {
        put(&daemon, id, mode);
        daemon.stats(id, v1());
    }
    let mut collector = collector(host.address(), no_tree());
    let snapshot = collector.collect(soon()).await;
    let [a, b, c] = ["a1", "b2", "c3"].map(|id| container(&snapshot, id));
    for one in [a, b, c] {
        assert_eq!(one.usage.cpu.unwrap().is.time, Duration::from_nanos(26_183_644_699));
        assert_eq!((one.limits.memory, one.usage.pressure), (Limit::Unlimited, None));
        assert_eq!(one.start, 1_772_445_600_000_000_000, "one start is one moment of starting");
    }
    assert_eq!((&a.net, &b.net, &c.net), (&NetOwner::Own, &NetOwner::Of("a1".into()), &NetOwner::Host));
    assert_eq!(a.usage.net.as_ref().map(|net| (net.from, net.is.len())), Some((SourceName::DockerStats, 2)));
    assert_eq!((&b.usage.net, &c.usage.net), (&None, &None), "one name space is counted once, the host's is nobody's");
    assert_eq!(snapshot.host.cores, Some(2));
    let states = collector.sources();
    let own = states.iter().find(|state| state.source == SourceName::DockerStats).unwrap();
    assert_eq!(own.failures, 0);
}

#[tokio::test]
async fn a_source_that_is_not_needed_is_not_spoken_of() {
    let host = Host::new();
    let daemon = Daemon::start(&host.socket());
    put(&daemon, "a1", "bridge");
    put(&daemon, "b2", "bridge");
    let mut collector = collector(host.address(), tree(&["a1", "b2"]));
    for _ in 0..3 {
        let snapshot = collector.collect(soon()).await;
        assert_eq!(snapshot.gaps, []);
    }
    assert!(collector.sources().iter().all(|state| state.source != SourceName::DockerStats));
    assert_eq!(asked(&daemon), 0);
}

#[test]
fn the_tree_is_believed_before_the_stats() {
    let sample = answer(v2());
    let stats = Stats { containers: vec![ContainerStats { id: "a1".into(), usage: sample.usage, limits: Limits::default() }], online: None };
    let stats = told_by(SourceName::DockerStats, Some(Told::Stats(stats)), "");
    let snapshot = merge(&[tree(&["a1"]), stats], None);
    assert_eq!((container(&snapshot, "a1").usage.cpu, container(&snapshot, "a1").start), (None, 7));
}

#[test]
fn what_nobody_has_a_row_of_is_not_zero() {
    let mut empty = v2();
    empty["blkio_stats"] = json!({"io_service_bytes_recursive": null});
    assert!(uncounted([answer(empty.clone())].iter()));
    assert!(!uncounted([answer(empty), answer(v2())].iter()));
}

/// Answers recorded of Docker 20.10, 26.1 and 28.5.
#[test]
fn recorded_answers_say_what_was_measured() {
    let Some(fixtures) = std::env::var_os("TARE_FIXTURES").map(PathBuf::from) else { return println!("skipped: TARE_FIXTURES is not set") };
    let read = |folder: &str, name: &str| {
        let bundle: Value = serde_json::from_slice(&std::fs::read(fixtures.join("lab").join(folder).join("t1.json")).unwrap()).unwrap();
        answer::parse(bundle[format!("stats-oneshot/{name}.json")].as_str().unwrap().as_bytes()).unwrap()
    };
    for (folder, nanos, used, working_set, anon, peak, periods) in [
        ("docker20-cgroup1-systemd252", 26_183_644_699_u64, 352_256, 352_256, 110_592, Some(6_819_840), 1043),
        ("docker20-cgroup2-systemd252", 38_063_307_000, 335_872, 335_872, 114_688, None, 1512),
        ("docker26-cgroup2-systemd257", 31_659_927_000, 364_544, 356_352, 114_688, None, 1269),
        ("docker28-cgroup2-systemd262", 12_672_927_000, 417_792, 413_696, 110_592, None, 502),
    ] {
        let app = read(folder, "api-app").unwrap();
        let (cpu, memory) = (app.usage.cpu.unwrap().is, app.usage.memory.unwrap().is);
        assert_eq!((cpu.time, cpu.throttling.unwrap().periods), (Duration::from_nanos(nanos), periods), "{folder}");
        assert_eq!((memory.used, memory.working_set, memory.anon), (Some(Bytes(used)), Some(Bytes(working_set)), Some(Bytes(anon))), "{folder}");
        assert_eq!((memory.peak, app.memory_limit), (peak.map(Bytes), Limit::Of(Bytes(100_663_296))), "{folder}");
        assert_eq!((app.usage.pids.unwrap().is, &*app.usage.net.unwrap().is[0].name), (2, "eth0"), "{folder}");
        assert_eq!(read(folder, "job-once"), None, "{folder}: it has ended");
        let host = read(folder, "hostnet-agent").unwrap();
        assert!(host.usage.net.is_none() && host.usage.cpu.is_some(), "{folder}: the host's network is nobody's");
    }
    for (file, nanos) in [("metrics/docker/single_container_cgroup_v1/stats.json", 43_620_018), ("metrics/docker/cgroups_v2/stats.json", 0)] {
        let body = std::fs::read(Path::new(&fixtures).join(file)).unwrap();
        let sample = answer::parse(&body).unwrap().unwrap();
        assert!(nanos == 0 || sample.usage.cpu.unwrap().is.time == Duration::from_nanos(nanos), "{file}");
        assert!(sample.usage.memory.unwrap().is.working_set.is_some(), "{file}");
    }
}

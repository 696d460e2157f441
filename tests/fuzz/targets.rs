//! One target a parser: bytes in, and what must hold whatever they are. The fuzzer calls these, and the tests call them with every kept seed.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use collector::roots::{Address, Clock, Endpoint, Roots};
use collector::sources::cgroup::{mounts, seldom, v1, v2};
use collector::sources::docker::{self, DockerSource, sizes, stats};
use collector::sources::ecs_agent::gateway;
use collector::sources::ecs_task::{self, EcsTask};
use collector::sources::host::{blocks, links, machine, mounted};
use collector::sources::imds::{self, Imds};
use collector::sources::net::{dev, processes, sockets};
use collector::sources::{Source, Told, psi, text};
use collector::units::{Limit, Stamp};

/// Panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every parser of what comes from outside, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("cgroup_v1", cgroup_v1),
    ("cgroup_v2", cgroup_v2),
    ("mountinfo", mountinfo),
    ("owner", owner),
    ("net_dev", net_dev),
    ("net_sockets", net_sockets),
    ("processes", process_files),
    ("diskstats", diskstats),
    ("mounted", file_systems),
    ("psi", pressure),
    ("proc", proc_files),
    ("docker_list", docker_list),
    ("docker_inspect", docker_inspect),
    ("docker_events", docker_events),
    ("docker_stats", docker_stats),
    ("docker_sizes", docker_sizes),
    ("answers", answers),
    ("imds", metadata),
    ("ecs_task", ecs_task),
    ("ecs_tasks", ecs_tasks),
    ("ecs_stats", ecs_stats),
    ("ec2", ec2),
    ("route", route),
    ("settings", settings),
    ("filter", filter),
    ("recorded", recorded),
    ("packed", packed),
    ("segment", segment),
    ("remote_write", remote_write),
];

/// No limit that a kernel writes as a huge number may look like a limit.
fn no_sentinel(limit: Option<u64>) {
    assert!(limit.is_none_or(|limit| limit < 1 << 62), "{limit:?} is a sentinel");
}

fn cgroup_v1(bytes: &[u8]) {
    let _ = (v1::cpuacct_stat(bytes), v1::cpu_stat(bytes), v1::memory_stat(bytes), v1::oom_control(bytes), v1::cfs_quota(bytes));
    no_sentinel(v1::bytes_limit(bytes).value().map(|bytes| bytes.0));
    no_sentinel(v1::memory_stat(bytes).hierarchical_limit.value().map(|bytes| bytes.0));
    let devices = v1::blkio(bytes).unwrap_or_default();
    let distinct: std::collections::BTreeSet<_> = devices.iter().map(|row| row.device).collect();
    assert_eq!(distinct.len(), devices.len(), "one row a device");
}

fn cgroup_v2(bytes: &[u8]) {
    let _ = (v2::cpu_stat(bytes), v2::memory_stat(bytes), v2::memory_events(bytes), v2::io_weight(bytes), v2::events(bytes), text::cpu_list(bytes));
    no_sentinel(v2::max(bytes).value());
    no_sentinel(v2::bytes_max(bytes).value().map(|bytes| bytes.0));
    if let Limit::Of(cores) = v2::cpu_max(bytes) {
        assert!(cores.0.is_finite() && cores.0 >= 0.0, "{cores:?}");
    }
    let devices = v2::io_stat(bytes).unwrap_or_default();
    let distinct: std::collections::BTreeSet<_> = devices.iter().map(|row| row.device).collect();
    assert_eq!(distinct.len(), devices.len(), "one row a device");
    assert_eq!(
        text::number(bytes),
        std::str::from_utf8(bytes)
            .ok()
            .map(str::trim_ascii)
            .filter(|text| text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 20)
            .and_then(|text| text.parse().ok())
    );
}

fn mountinfo(bytes: &[u8]) {
    if let Some(mounts) = mounts::find(&String::from_utf8_lossy(bytes), "/sys".as_ref()) {
        assert!(mounts.walked().len() <= 2);
        assert!(mounts.walked().iter().all(|path| path.is_relative()), "a mount lies below the root");
    }
}

fn owner(bytes: &[u8]) {
    use collector::identity::{Owner, owner};
    let text = String::from_utf8_lossy(bytes);
    if let Some(Owner::Container(id, _)) = owner(&text) {
        assert!(text.contains(id.as_str()), "an id stands in its path");
        assert!(id.as_str().len() >= 34);
    }
    let _ = processes::segments(&text).count();
}

fn net_dev(bytes: &[u8]) {
    let read = dev::parse(bytes, &[]);
    assert!(read.net.len() <= dev::MOST_INTERFACES);
    assert!(read.net.iter().all(|interface| &*interface.name != "lo" && !interface.name.is_empty()));
    assert_eq!(dev::parse(bytes, &read.net), read, "the same file says the same, whatever was known");
}

fn net_sockets(bytes: &[u8]) {
    use collector::snapshot::Sockets;
    let mut read = Sockets::default();
    sockets::counters(bytes, &mut read);
    let mut again = read;
    sockets::counters(bytes, &mut again);
    assert_eq!(again, read, "what is said twice is counted once");
    sockets::levels(bytes, &mut read);
}

fn process_files(bytes: &[u8]) {
    let found = seldom::processes(bytes);
    assert!(found.numbers.len() as u64 <= found.count && found.numbers.len() <= 64);
    let _ = seldom::limits(bytes);
    let _ = links::up(&String::from_utf8_lossy(bytes));
}

fn diskstats(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = blocks::parse(&text, &[]);
    assert!(read.devices.len() <= blocks::MOST_DEVICES && read.devices.is_sorted_by(|a, b| a.name < b.name), "each once, sorted");
    assert_eq!(blocks::parse(&text, &read.devices), read, "the same file says the same, whatever was known");
    assert_eq!(blocks::io(&read.devices).len(), read.devices.len());
}

fn file_systems(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (found, _) = mounted::find(&text, &text);
    assert!(found.len() <= mounted::MOST && found.iter().all(|one| one.ours.is_some()), "what is mounted here can be reached here");
    assert!(mounted::find(&text, "").0.iter().all(|one| one.ours.is_none()));
}

fn pressure(bytes: &[u8]) {
    let whole = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
    let _ = psi::parse(bytes);
    let after = psi::parse(&[whole.as_slice(), b"\n", &bytes.iter().copied().filter(|byte| *byte != b's').collect::<Vec<u8>>()].concat());
    assert!(after.is_none_or(|stall| stall.some == Duration::from_micros(5)), "what follows a good line does not change it");
}

fn proc_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (machine::stat(&text), machine::resident(&text));
    let _ = (machine::vmstat(bytes), machine::file_nr(&text), machine::offered(&text));
    let machine::Memories { total, memory, .. } = machine::meminfo(&text);
    if let (Some(used), Some(set)) = (memory.used, memory.working_set) {
        assert!(set <= used && total.is_some_and(|total| used <= total));
    }
    assert!(machine::loadavg(&text).is_none_or(|load| load.iter().all(|load| load.is_finite())));
}

const ID: &str = "3d1d9521b26e77f4fa2b9401be3fd84f09dac9c9554d1f28e0ddf61c6f3075e5";

fn docker_list(bytes: &[u8]) {
    ask_docker(&serde_json::json!({"GET /containers/json?all=true": {"body": String::from_utf8_lossy(bytes)}}).to_string());
}

fn docker_inspect(bytes: &[u8]) {
    let list = serde_json::json!([{"Id": ID, "Names": ["/web"], "State": "running", "Image": "web:1"}]);
    let inspect = format!("GET /containers/{ID}/json");
    ask_docker(&serde_json::json!({"GET /containers/json?all=true": {"body": list}, inspect: {"body": String::from_utf8_lossy(bytes)}}).to_string());
}

fn docker_events(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(docker::spoken_of(bytes) <= lines, "an event speaks of one container");
}

fn docker_stats(bytes: &[u8]) {
    let Ok(Some(sample)) = stats::answer::parse(bytes) else { return };
    no_sentinel(sample.memory_limit.value().map(|bytes| bytes.0));
    no_sentinel(sample.pids_limit.value());
    let memory = sample.usage.memory.map(|memory| memory.is).unwrap_or_default();
    assert!(memory.working_set.is_none_or(|set| Some(set) <= memory.used), "a part is no more than the whole");
    let devices = sample.usage.io.map(|io| io.is).unwrap_or_default();
    let distinct: std::collections::BTreeSet<_> = devices.iter().map(|row| row.device).collect();
    assert_eq!(distinct.len(), devices.len(), "one row a device");
    let net = sample.usage.net.map(|net| net.is).unwrap_or_default();
    assert!(net.len() <= dev::MOST_INTERFACES && net.is_sorted_by(|a, b| a.name < b.name) && net.iter().all(|one| &*one.name != "lo"), "each once, sorted");
}

fn docker_sizes(bytes: &[u8]) {
    let (layers, volumes) = sizes::read_both(bytes);
    assert!(layers <= bytes.len() && volumes <= 1000, "a row each, of volumes the largest");
}

fn answers(bytes: &[u8]) {
    ask_docker(&String::from_utf8_lossy(bytes));
}

/// One read of a daemon whose answers are these.
fn ask_docker(answers: &str) {
    let settings = docker::Settings { max_containers: 50, relist: Duration::from_secs(60), linger: Duration::from_secs(300) };
    let mut source = DockerSource::new(Address::Answers(file(answers)), Clock::Fixed(Stamp::default()), settings);
    let reading = wait(source.read(Instant::now() + Duration::from_secs(10)));
    assert!(reading.told.is_some() || !reading.gaps.is_empty(), "it says something, or why not");
}

fn metadata(bytes: &[u8]) {
    let body = String::from_utf8_lossy(bytes);
    let answers = serde_json::json!({"PUT /latest/api/token": {"body": "token"}, "GET /latest/dynamic/instance-identity/document": {"body": body}, "GET /latest/meta-data/instance-life-cycle": {"body": body}});
    let settings = imds::Settings { deadline: Duration::from_secs(1), refresh: Duration::from_secs(60) };
    let mut source = Imds::new(Address::Answers(file(&answers.to_string())), Clock::Fixed(Stamp::default()), settings);
    wait(source.read(Instant::now() + Duration::from_secs(10)));
}

fn ecs_task(bytes: &[u8]) {
    ask_ecs("task.json", bytes);
}

fn ecs_tasks(bytes: &[u8]) {
    ask_ecs("tasks.json", bytes);
}

fn ecs_stats(bytes: &[u8]) {
    ask_ecs("task-stats.json", bytes);
}

/// One read of a task metadata endpoint that answers with a good task, but for this file.
fn ask_ecs(name: &str, bytes: &[u8]) {
    let folder = folder().join("tmde");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder is ours");
    let task = serde_json::json!({"TaskARN": format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{}", &ID[..32]), "Containers": [{"DockerId": ID, "KnownStatus": "RUNNING"}]});
    fs::write(folder.join("task.json"), task.to_string()).expect("the folder is ours");
    fs::write(folder.join(name), bytes).expect("the folder is ours");
    let endpoint = Endpoint { address: Address::Answers(folder), base: String::new() };
    let settings = ecs_task::Settings { every: Duration::from_secs(10), tags: vec!["team".into()] };
    let mut source = EcsTask::new(endpoint, Clock::Fixed(Stamp::default()), settings);
    let reading = wait(source.read(Instant::now() + Duration::from_secs(10)));
    let Some(Told::Tasks(told)) = reading.told else { return assert!(!reading.gaps.is_empty(), "it says something, or why not") };
    assert!(told.tasks.is_sorted_by(|a, b| a.id < b.id) && told.stats.is_sorted_by(|a, b| a.id < b.id), "each once, sorted");
    for container in told.tasks.iter().flat_map(|task| &task.containers) {
        assert!(!container.about.id.as_str().is_empty(), "who has no id is nobody");
        no_sentinel(container.limits.memory.value().map(|bytes| bytes.0));
        assert!(container.asked.cores.is_none_or(|cores| cores.0.is_finite() && cores.0 > 0.0), "{:?}", container.asked);
    }
}

fn ec2(bytes: &[u8]) {
    use tare::aws::{ec2, is_instance};
    // Cut short or not: what stands in there is read to its end.
    let whole = [bytes, b"</DescribeInstancesResponse>"].concat();
    for answer in [bytes, &whole] {
        for instance in ec2::parse(answer).unwrap_or_default() {
            assert!(instance.id.is_some_and(|id| is_instance(&id)), "who has no id is nobody");
            assert!(instance.kind.iter().chain(&instance.zone).chain(&instance.account).all(|word| (1..=64).contains(&word.len()) && word.is_ascii()));
        }
    }
    let (code, _) = ec2::trouble(bytes);
    assert!(code.is_none_or(|code| code.is_ascii()));
}

fn route(bytes: &[u8]) {
    assert!(gateway(&String::from_utf8_lossy(bytes)).is_none_or(|address| !address.is_unspecified()));
}

fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace('\0', "");
    let loaded = tare::config::load(None, [("TARE_CONFIG_CONTENT".into(), text.into())], &[]);
    if let Err(wrong) = loaded {
        assert!(!wrong.0.is_empty() && wrong.0.iter().all(|line| !line.is_empty()), "what is refused is told why");
    }
}

fn filter(bytes: &[u8]) {
    use tare::query::Filter;
    match Filter::read(&String::from_utf8_lossy(bytes)) {
        Ok(filter) => assert_eq!(Filter::read(&filter.to_string()), Ok(filter), "what is read reads back"),
        Err(problem) => assert!(!problem.is_empty() && problem.len() < 2000, "what is refused is told why, in a few words"),
    }
}

/// A line of a URL, and what a far end answered: lines of its status, of when to ask again, of how many samples it wrote; the rest is its body.
fn remote_write(bytes: &[u8]) {
    use tare::sinks::post::{Answer, Target};
    use tare::sinks::remote_write::encode::Version;
    use tare::sinks::remote_write::verdict::{Speech, Verdict, judge};
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.splitn(5, '\n');
    let mut line = || lines.next().unwrap_or_default();
    if let Ok(target) = Target::parse(line()) {
        let authority = target.url.split('/').nth(2).unwrap_or_default();
        assert!(!target.host.is_empty() && !authority.contains('@'), "{target:?}");
    }
    let mut answer = Answer { status: line().parse().unwrap_or(200), headers: Default::default(), text: String::new() };
    for name in ["retry-after", "x-prometheus-remote-write-samples-written"] {
        if let Ok(value) = line().parse() {
            answer.headers.insert(name, value);
        }
    }
    answer.text = line().to_owned();
    for version in [None, Some(Version::One), Some(Version::Two)] {
        match judge(Speech::of(version), 10, &answer, Default::default()) {
            Verdict::Taken { written, but } => assert!(written == 10 || written < 10 && but.is_some(), "what is not written has a reason"),
            Verdict::Again { after } => assert!(after.is_none_or(|after| after <= Duration::from_secs(300)) && answer.status >= 429, "a wait has an end"),
            Verdict::Speak { .. } => assert!(version.is_none(), "what the settings say is spoken"),
            Verdict::Refused { reason } => assert!(!reason.is_empty()),
            Verdict::Smaller => {}
        }
    }
}

/// The JSON files beside a recorded host.
fn recorded(bytes: &[u8]) {
    let folder = folder();
    for name in ["clock.json", "host.json", "faults.json", "identity.json"] {
        fs::write(folder.join(name), bytes).expect("the folder is ours");
    }
    let _ = Roots::replay(&folder);
}

/// A frame that waited: bytes as they are, and as what is packed in good ones.
fn packed(bytes: &[u8]) {
    use tare::metrics::packed::codec::{Codec, Read, SCHEMA};
    let mut codec = Codec::default();
    let good = [&SCHEMA.to_le_bytes(), &*zstd::bulk::compress(bytes, 1).expect("memory to compress in is there")].concat();
    for bytes in [bytes, &good] {
        if let Ok(Read::Frame(frame)) = codec.read(bytes) {
            let again = codec.write(&frame).expect("what is read is small enough to be written");
            assert_eq!(codec.read(&again), Ok(Read::Frame(frame)), "what is read reads back");
        }
    }
}

/// A file of the spool that a former life left, and what another file of that folder says of cursors.
fn segment(bytes: &[u8]) {
    use tare::spool::{Spool, scan};
    let scanned = scan(bytes, 1, None);
    assert!(scanned.whole <= bytes.len() && scanned.records.is_sorted_by(|a, b| a.number < b.number), "{scanned:?}");
    let folder = folder().join("spool");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the folder is ours");
    fs::write(folder.join(format!("{:020}.seg", 1)), bytes).expect("the folder is ours");
    fs::write(folder.join("cursors.json"), bytes).expect("the folder is ours");
    let (spool, found) = Spool::open(&folder, 1 << 20).expect("the folder can be used, whatever is in it");
    for record in &found.records {
        assert_eq!(spool.read(record.place).map(|payload| payload.len()).ok(), Some(record.place.length()), "what was found is read");
    }
    drop(spool);
    let (_, again) = Spool::open(&folder, 1 << 20).expect("it can be used again");
    assert_eq!((again.records, again.torn), (found.records, 0), "what is torn is cut once");
}

/// A file of answers in our own folder.
fn file(text: &str) -> PathBuf {
    let path = folder().join("answers.json");
    fs::write(&path, text).expect("the folder is ours");
    path
}

/// A folder for this thread, in memory where there is such a place.
fn folder() -> PathBuf {
    let base = PathBuf::from("/dev/shm");
    let base = if base.is_dir() { base } else { std::env::temp_dir() };
    let folder = base.join(format!("tare-fuzz-{}-{:?}", std::process::id(), std::thread::current().id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

thread_local! {
    static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts"));
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with_borrow(|runtime| runtime.block_on(future))
}

//! What was recorded says the same as the host it was recorded on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::Collector;
use crate::roots::{Address, Clock, Endpoint, Layers};
use crate::snapshot::{Interruption, NetOwner, Notice, Snapshot, State};
use crate::sources::{Look, Source, Tasks, Told, docker, ecs_task, imds, net};
use crate::units::{Bytes, Stamp};

const WEB: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const SIDE: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const INNER: &str = "3333333333333333333333333333333333333333333333333333333333333333";

/// A machine made of plain files.
struct Machine(tempfile::TempDir);

impl Machine {
    /// With everything but cgroups.
    fn new(mountinfo: &str) -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        let head = "Inter-|   Receive  |  Transmit\n face |bytes\n";
        let traffic = |name: &str, bytes: u64| format!("{head}    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  {name}: {bytes} 2 0 0 0 0 0 0 7 3 0 0 0 0 0 0\n");
        for (path, text) in [
            ("proc/self/mountinfo", mountinfo.to_owned()),
            (
                "proc/stat",
                "cpu  50000 0 50000 4000000 0 0 0 0 0 0\ncpu0 1 1 1 1\nintr 5 CANARY\nctxt 7\nbtime 1772359200\nprocesses 8\nsoftirq 9 CANARY\n".into(),
            ),
            ("proc/vmstat", "pgfault 5\noom_kill 1\n".into()),
            ("proc/diskstats", "259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11\n".into()),
            ("proc/sys/fs/file-nr", "521\t0\t1000\n".into()),
            ("proc/1/net/snmp", "Tcp: RetransSegs\nTcp: 3\n".into()),
            ("proc/30/net/snmp", "Tcp: RetransSegs\nTcp: 4\n".into()),
            ("proc/30/net/sockstat", "TCP: inuse 5 orphan 0 tw 1 alloc 5 mem 0\n".into()),
            ("proc/30/net/tcp", "CANARY".into()),
            ("proc/30/limits", "CANARY".into()),
            ("proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 4194304 kB\nInactive(file): 1024 kB\n".into()),
            ("proc/loadavg", "1.00 0.50 0.25 1/2 3\n".into()),
            ("proc/sys/kernel/random/boot_id", "abc\n".into()),
            ("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\n".into()),
            ("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n".into()),
            ("proc/pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n".into()),
            ("sys/devices/system/cpu/online", "0-3\n".into()),
            ("proc/1/net/dev", traffic("ens5", 1)),
            // A process of a container in the container, in a network of its own and with a smaller number.
            ("proc/20/net/dev", traffic("eth0", 666)),
            ("proc/20/cgroup", format!("0::/system.slice/docker-{SIDE}.scope/docker/{INNER}\n")),
            ("proc/30/net/dev", traffic("eth0", 1000)),
            ("proc/30/cgroup", format!("0::/system.slice/docker-{WEB}.scope\n")),
            ("proc/30/environ", "SECRET=CANARY".into()),
            ("proc/40/cgroup", format!("0::/system.slice/docker-{SIDE}.scope\n")),
            ("docker.json", docker_answers()),
            ("imds.json", imds_answers()),
        ] {
            machine.write(path, &text);
        }
        machine.mkdir("proc/40/net");
        fs::hard_link(machine.path("proc/30/net/dev"), machine.path("proc/40/net/dev")).unwrap();
        machine
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn mkdir(&self, below: &str) {
        fs::create_dir_all(self.path(below)).unwrap();
    }

    fn write(&self, below: &str, text: &str) {
        fs::create_dir_all(self.path(below).parent().unwrap()).unwrap();
        fs::write(self.path(below), text).unwrap();
    }

    fn roots(&self) -> Roots {
        let stamp = Stamp { wall: "2026-03-02T10:00:00Z".parse().ok(), boot: Some(Duration::from_millis(86_400_500)) };
        let folder = |name: &str| Some(self.path(name)).filter(|path| path.is_dir()).map_or(Address::Nowhere, Address::Answers);
        Roots {
            proc: Layers(vec![self.path("proc")]),
            sys: Layers(vec![self.path("sys")]),
            sys_mounted_at: "/host/sys".into(),
            docker: Address::Answers(self.path("docker.json")),
            imds: Address::Answers(self.path("imds.json")),
            ecs_task: Endpoint { address: folder("tmde"), base: String::new() },
            ecs_agent: vec![folder("introspection")],
            clock: Clock::Fixed(stamp),
            recorded: None,
        }
    }

    /// One look at the machine, and one at a recording of it.
    async fn both(&self) -> (Snapshot, Snapshot, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let live = seen(self.roots()).await;
        let written = Recorder::new(self.roots(), dir.path(), 1).unwrap().look(0).await.unwrap();
        assert_eq!((written.containers, written.cut), (1, false));
        let mut replay = Roots::replay(dir.path()).unwrap();
        assert_eq!(replay.len(), 1);
        (live, seen(replay.remove(0)).await, dir)
    }
}

fn docker_answers() -> String {
    let web = serde_json::json!({
        "Id": WEB, "Name": "/web", "RestartCount": 2, "Image": "sha256:1", "Path": "CANARY", "Args": ["CANARY"],
        "State": { "Status": "running", "Running": true, "Pid": 30, "StartedAt": "2026-03-02T09:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z",
                   "Health": { "Status": "healthy", "Log": [{ "Output": "CANARY" }] } },
        "Config": { "Image": "web:1", "Env": ["SECRET=CANARY"], "Cmd": ["CANARY"], "Labels": { "com.docker.compose.project": "shop", "com.docker.compose.service": "front", "x": "CANARY" } },
        "HostConfig": { "NetworkMode": "bridge", "Memory": 536870912, "MemoryReservation": 1048576, "CpuShares": 512, "Binds": ["/CANARY:/x"] },
    });
    let row = serde_json::json!({ "Id": WEB, "Names": ["/web"], "Command": "CANARY", "State": "running", "Status": "Up 1 hour (healthy)", "Labels": { "x": "CANARY" } });
    serde_json::json!({
        "GET /version": { "body": { "Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24" } },
        "GET /info": { "body": { "DockerRootDir": "/var/lib/docker", "Name": "CANARY" } },
        "GET /containers/json?all=true": { "body": [row, { "Id": "../../../CANARY" }, null] },
        format!("GET /containers/{WEB}/json"): { "body": web },
    })
    .to_string()
}

fn imds_answers() -> String {
    serde_json::json!({
        "PUT /latest/api/token": { "body": "CANARY" },
        "GET /latest/meta-data/instance-id": { "body": "i-0123456789abcdef0" },
        "GET /latest/meta-data/instance-type": { "body": "m7i.large" },
        "GET /latest/meta-data/placement/region": { "body": "us-east-1" },
        "GET /latest/meta-data/placement/availability-zone": { "body": "us-east-1b" },
        "GET /latest/meta-data/instance-life-cycle": { "body": "spot" },
        "GET /latest/meta-data/spot/instance-action": { "body": { "action": "terminate", "time": "2026-03-02T10:02:00Z", "note": "CANARY" } },
        "GET /latest/meta-data/events/recommendations/rebalance": { "body": { "noticeTime": "2026-03-02T09:58:00Z", "note": "CANARY" } },
    })
    .to_string()
}

/// One snapshot, without what is asked of the real machine.
async fn seen(roots: Roots) -> Snapshot {
    let looks: Vec<Box<dyn Look>> = vec![
        Box::new(cgroup::Cgroups::new(roots.clone(), cgroup::Settings { keep_open: 100, max_groups: 1000 })),
        Box::new(net::NetSpaces::new(roots.clone(), net::Settings { max_spaces: 100, scan: true })),
        Box::new(host::HostFiles::new(roots.clone(), host::Settings { state: "/".into(), disk_deadline: Duration::from_secs(60) })),
    ];
    let span = Duration::from_secs(60);
    let daemon = docker::Settings { max_containers: 100, relist: span, linger: span };
    let sources: Vec<Box<dyn Source>> = vec![
        Box::new(docker::DockerSource::new(roots.docker.clone(), roots.clock, daemon)),
        Box::new(imds::Imds::new(roots.imds.clone(), roots.clock, imds::Settings { deadline: span, refresh: span })),
    ];
    let mut collector = Collector::new(looks, sources, roots.clock);
    let mut snapshot = Arc::unwrap_or_clone(collector.collect(Instant::now() + span).await);
    (snapshot.host.own, snapshot.host.disks) = (None, Vec::new());
    snapshot.gaps.retain(|gap| &*gap.what != "disk");
    snapshot
}

/// Every file below, with its text.
fn files(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(files(&entry.path())),
            false => all.push((entry.path(), fs::read_to_string(entry.path()).unwrap())),
        }
    }
    all
}

fn assert_same(live: &Snapshot, replayed: &Snapshot, dir: &Path) {
    let text = |snapshot: &Snapshot| serde_json::to_string_pretty(snapshot).unwrap();
    for (live, replayed) in text(live).lines().zip(text(replayed).lines()) {
        assert_eq!(live, replayed);
    }
    assert_eq!(live, replayed);
    for (path, text) in files(dir) {
        assert!(!text.contains("CANARY"), "{}: {text}", path.display());
    }
}

#[tokio::test]
async fn a_v2_host_is_replayed_as_it_was() {
    let machine = Machine::new("30 23 0:26 / /host/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 23 0:27 / /mnt rw - overlay overlay rw,lowerdir=/CANARY\n");
    for (id, used) in [(WEB, 1), (SIDE, 2)] {
        let at = format!("sys/fs/cgroup/system.slice/docker-{id}.scope");
        for (name, text) in [
            ("cpu.stat", format!("usage_usec {used}000000\nuser_usec 1\nsystem_usec 2\nnr_periods 3\nnr_throttled 1\nthrottled_usec 5\n")),
            ("memory.current", format!("{used}048576\n")),
            ("memory.stat", "anon 10\nfile 20\ninactive_file 7\n".into()),
            ("memory.events", "high 0\nmax 1\noom 0\noom_kill 0\n".into()),
            ("memory.max", "max\n".into()),
            ("cpu.max", "50000 100000\n".into()),
            ("pids.current", "4\n".into()),
            ("cgroup.events", "populated 1\nfrozen 0\n".into()),
            ("io.stat", "259:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n".into()),
            ("memory.numa_stat", "CANARY".into()),
        ] {
            machine.write(&format!("{at}/{name}"), &text);
        }
        machine.write(&format!("{at}/docker/{INNER}/cpu.stat"), "usage_usec 1\n");
    }
    machine.write("sys/fs/cgroup/cpu.stat", "usage_usec 9000000\nuser_usec 1\nsystem_usec 2\n");
    machine.write("sys/fs/cgroup/system.slice/memory.max", "16777216\n");
    machine.write("sys/fs/cgroup/system.slice/cron.service/cpu.stat", "usage_usec 250000\nuser_usec 1\nsystem_usec 2\n");

    let (live, replayed, dir) = machine.both().await;
    assert_same(&live, &replayed, dir.path());
    let containers: Vec<_> = replayed.workloads.iter().flat_map(|workload| &workload.containers).collect();
    assert_eq!(containers.iter().map(|one| one.about.id.as_str()).collect::<Vec<_>>(), [WEB, SIDE]);
    assert!(containers[0].start != 0 && containers[0].limits.memory.value() == Some(Bytes(16 << 20)));
    let net = containers[0].usage.net.as_ref().unwrap();
    assert_eq!((net.is[0].received.bytes, &containers[1].net), (Bytes(1000), &NetOwner::Of(WEB.into())), "the nested process lends its network to nobody");
    let sockets = containers[0].usage.sockets.as_ref().unwrap();
    assert_eq!((sockets.is.tcp.retransmitted, sockets.is.tcp.in_use), (Some(4), Some(5)));
    let machine = replayed.host.machine.as_ref().unwrap();
    assert_eq!((machine.activity.unwrap().is.interrupts, machine.files.unwrap().used), (Some(5), 521));
    assert_eq!(replayed.host.instance.kind.as_deref(), Some("m7i.large"));
    let notice = Notice { what: Some(Interruption::Terminate), at: "2026-03-02T10:02:00Z".parse().unwrap() };
    assert_eq!((replayed.host.instance.interruption, replayed.host.instance.rebalance), (Some(notice), "2026-03-02T09:58:00Z".parse().ok()));
}

#[tokio::test]
async fn a_v1_host_is_replayed_as_it_was() {
    let mut mountinfo = String::new();
    for (number, controllers) in ["cpu,cpuacct", "memory", "blkio", "pids", "name=systemd"].iter().enumerate() {
        let folder = controllers.trim_start_matches("name=");
        mountinfo += &format!("{} 25 0:{number} / /host/sys/fs/cgroup/{folder} rw - cgroup cgroup rw,{controllers}\n", number + 31);
    }
    let machine = Machine::new(&mountinfo);
    for (name, text) in [
        ("memory/docker/ID/memory.usage_in_bytes", "1048576\n"),
        ("memory/docker/ID/memory.stat", "total_rss 5\ntotal_inactive_file 7\nhierarchical_memory_limit 9223372036854771712\n"),
        ("memory/docker/ID/memory.limit_in_bytes", "536870912\n"),
        ("cpu,cpuacct/docker/ID/cpuacct.usage", "2500000000\n"),
        ("cpu,cpuacct/docker/ID/cpuacct.stat", "user 100\nsystem 50\n"),
        ("cpu,cpuacct/docker/ID/cpu.stat", "nr_periods 3\nnr_throttled 1\nthrottled_time 5\n"),
        ("cpu,cpuacct/docker/ID/cpu.cfs_quota_us", "-1\n"),
        ("cpu,cpuacct/docker/ID/cpu.cfs_period_us", "100000\n"),
        ("pids/docker/ID/pids.current", "4\n"),
        // The two differ: what lies below the cgroup is in the second alone.
        ("blkio/docker/ID/blkio.throttle.io_service_bytes", "259:0 Read 1\n259:0 Write 1\nTotal 2\n"),
        ("blkio/docker/ID/blkio.throttle.io_service_bytes_recursive", "259:0 Read 4096\n259:0 Write 8192\nTotal 12288\n"),
        ("blkio/docker/ID/blkio.throttle.io_serviced_recursive", "259:0 Read 1\n259:0 Write 2\nTotal 3\n"),
        ("systemd/docker/ID/notify_on_release", "0\n"),
        ("cpu,cpuacct/cpuacct.usage", "9000000000\n"),
    ] {
        machine.write(&format!("sys/fs/cgroup/{}", name.replace("ID", WEB)), text);
    }
    // As runtimes do, the folders were made one after the other: each tree's has a number of its own.
    let (live, replayed, dir) = machine.both().await;
    assert_same(&live, &replayed, dir.path());
    let web = &replayed.workloads[0];
    assert_eq!((web.state, web.usage.io.as_ref().unwrap().is[0].read), (State::Running, Bytes(4096)));
    assert!(!dir.path().join("sys/fs/cgroup/systemd").exists());
}

#[tokio::test]
async fn what_cannot_be_read_is_a_fault_and_a_name_of_bad_bytes_is_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let machine = Machine::new("30 23 0:26 / /host/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    let at = format!("sys/fs/cgroup/docker/{WEB}");
    machine.write(&format!("{at}/cpu.stat"), "usage_usec 1000000\n");
    machine.write(&format!("{at}/cgroup.events"), "populated 1\n");
    machine.mkdir(&format!("{at}/memory.current"));
    machine.write(&format!("{}/cpu.stat", "sys/fs/cgroup/line\nend.service"), "usage_usec 5\n");
    fs::create_dir(machine.path("sys/fs/cgroup").join(std::ffi::OsStr::from_bytes(b"\xff.service"))).unwrap();
    std::os::unix::fs::symlink("/", machine.path("sys/fs/cgroup/loop.slice")).unwrap();
    let (live, replayed, dir) = machine.both().await;
    assert_eq!(live.workloads, replayed.workloads);
    let gaps = |snapshot: &Snapshot| snapshot.gaps.iter().map(|gap| gap.what.to_string()).filter(|what| what != "folders").collect::<Vec<_>>();
    assert_eq!(gaps(&live), gaps(&replayed));
    assert!(fs::read_to_string(dir.path().join("faults.json")).unwrap().contains("EISDIR"));
}

#[tokio::test]
async fn each_look_has_its_clock_and_its_figures() {
    let machine = Machine::new("30 23 0:26 / /host/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    let dir = tempfile::tempdir().unwrap();
    let mut roots = machine.roots();
    roots.docker = Address::Nowhere;
    let mut recorder = Recorder::new(roots, dir.path(), 2).unwrap();
    for (look, micros) in [(0, 5), (1, 7)] {
        machine.write(&format!("sys/fs/cgroup/docker/{WEB}/cpu.stat"), &format!("usage_usec {micros}\n"));
        recorder.look(look).await.unwrap();
    }
    let mut used = Vec::new();
    for roots in Roots::replay(dir.path()).unwrap() {
        assert_eq!((roots.clock, &roots.docker), (machine.roots().clock, &Address::Nowhere));
        used.push(seen(roots).await.workloads[0].usage.cpu.unwrap().is.time.as_micros());
    }
    assert_eq!(used, [5, 7]);
}

#[tokio::test]
async fn an_ecs_host_keeps_its_tasks_and_no_secret() {
    const TASK: &str = "arn:aws:ecs:eu-west-1:111122223333:task/shop/0f9de17a6465404e8b1b2356dc13c2f8";
    let machine = Machine::new("30 23 0:26 / /host/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    machine.write(&format!("sys/fs/cgroup/system.slice/docker-{WEB}.scope/cpu.stat"), "usage_usec 1000000\n");
    for (path, text) in [
        (
            "tmde/task.json",
            json!({ "TaskARN": TASK, "TaskTags": { "owner": "CANARY" }, "Containers": [{ "DockerId": WEB, "Labels": { "x": "CANARY" } }] }).to_string(),
        ),
        ("tmde/task-stats.json", json!({ WEB: { "read": "2026-03-02T10:00:00Z", "name": "CANARY" }, SIDE: null }).to_string()),
        ("tmde/tasks.json", "CANARY".into()),
        ("tmde/taskWithTags.json", "\"CANARY\"".into()),
        ("introspection/v1-metadata.json", json!({ "Cluster": "shop", "Version": "Amazon ECS Agent - v1.105.1 (8dfceca6)", "x": "CANARY" }).to_string()),
        ("introspection/v1-tasks.json", json!({ "Tasks": [{ "Arn": TASK, "Containers": [{ "DockerId": WEB, "Ports": ["CANARY"] }] }] }).to_string()),
    ] {
        machine.write(path, &text);
    }
    let (live, replayed, dir) = machine.both().await;
    assert_same(&live, &replayed, dir.path());
    assert!(!dir.path().join("introspection").exists(), "nothing here shows ECS: its agent is not asked");

    let labels = format!("\"com.amazonaws.ecs.task-arn\":\"{TASK}\",\"com.amazonaws.ecs.container-name\":\"front\",\"x\":\"CANARY\"");
    machine.write("docker.json", &docker_answers().replace("\"x\":\"CANARY\"", &labels));
    let (live, replayed, dir) = machine.both().await;
    assert_same(&live, &replayed, dir.path());
    assert!(replayed.workloads.iter().any(|one| one.about.task.as_ref().is_some_and(|task| task.arn.as_ref().is_some_and(|arn| arn.as_str() == TASK))));
    let said = |below: &str| serde_json::from_str::<Value>(&fs::read_to_string(dir.path().join(below)).unwrap()).unwrap();
    let mut names: Vec<_> = ["tmde", "introspection"].iter().flat_map(|of| files(&dir.path().join(of))).map(|(path, _)| path).collect();
    names.sort();
    let names: Vec<_> = names.iter().map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["introspection/v1-metadata.json", "introspection/v1-tasks.json", "tmde/task-stats.json", "tmde/task.json"]);
    assert_eq!(said(names[0]), json!({ "Cluster": "shop", "Version": "Amazon ECS Agent - v1.105.1 (8dfceca6)" }));
    assert_eq!(said(names[1]), json!({ "Tasks": [{ "Arn": TASK, "Containers": [{ "DockerId": WEB }] }] }));
    assert_eq!((&said(names[2])[WEB]["read"], &said(names[2])[SIDE]), (&json!("2026-03-02T10:00:00Z"), &Value::Null));
    assert_eq!(said(names[3]), json!({ "TaskARN": TASK, "Containers": [{ "DockerId": WEB, "Networks": null }] }));
}

/// Whatever is read of a recorded metadata endpoint is read of its copy.
#[tokio::test]
async fn recorded_tasks_say_the_same_when_written_back() {
    let Some(fixtures) = std::env::var_os("TARE_FIXTURES") else { return println!("skipped: TARE_FIXTURES does not say where recorded answers are") };
    let mut measured = 0;
    for entry in fs::read_dir(Path::new(&fixtures).join("metadata/tmde")).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let recorded = Endpoint { address: Address::Answers(entry.path()), base: String::new() };
        let copy = tempfile::tempdir().unwrap();
        for (path, body) in ecs::task(&recorded).await {
            write_json(&copy.path().join(http::body_file(path)), &body).unwrap();
        }
        let copied = Endpoint { address: Address::Answers(copy.path().into()), base: String::new() };
        let (recorded, copied) = (task_of(recorded).await, task_of(copied).await);
        assert_eq!(recorded, copied, "{}", entry.path().display());
        measured += recorded.map_or(0, |tasks| tasks.stats.len());
    }
    assert!(measured >= 8, "{measured} containers were measured");
}

async fn task_of(endpoint: Endpoint) -> Option<Tasks> {
    let settings = ecs_task::Settings { every: Duration::from_secs(10), tags: Vec::new() };
    let mut source = ecs_task::EcsTask::new(endpoint, Clock::Fixed(Stamp::default()), settings);
    match source.read(Instant::now() + Duration::from_secs(60)).await.told? {
        Told::Tasks(tasks) => Some(tasks),
        _ => None,
    }
}

#[test]
fn only_cgroup_mounts_are_kept_and_stand_below_sys() {
    let text = "31 25 0:31 / /host/sys/fs/cgroup/my\\040tree rw - cgroup cgroup rw,cpu\n\
        40 1 0:9 / /host/sys/fs/cgroup/secret rw - overlay overlay rw,lowerdir=/var/lib/CANARY\n\
        41 1 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\nodd - cgroup\n";
    assert_eq!(cgroup_mounts(text, Path::new("/host/sys")), "31 25 0:31 / /sys/fs/cgroup/my\\040tree rw - cgroup cgroup rw,cpu\n");
}

#[test]
fn a_folder_that_is_not_empty_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let new = || Recorder::new(Roots::live(), dir.path(), 1).map(drop);
    assert!(new().is_ok());
    fs::write(dir.path().join("mine"), "x").unwrap();
    assert!(new().unwrap_err().to_string().contains("not empty"));
    assert!(Recorder::new(Roots::live(), &dir.path().join("mine"), 1).is_err());
}

//! Looks at small hosts that are written to a folder first.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::snapshot::{Device, HugePages, IoDevice, Stall};
use crate::units::{Bytes, Cores, Limit};

const A: &str = "3d1d9521b26e77f4fa2b9401be3fd84f09dac9c9554d1f28e0ddf61c6f3075e5";
const B: &str = "cce2ebcc24e2d5436634d4b855d71a4204eaca1fb3733bb33a5522623d174d64";
const C: &str = "5f93c46c5f7e6b5733f7fb87c5b64c8d36c74a21d5ab9d4f745f6613f8e184e9";
const T: &str = "0f9de17a6465404e8b1b2356dc13c2f8";
const E: &str = "260742aa47dab7996618b5ad15a5e5b0";
const UID: &str = "9a1c4f0e-3b2d-4c5e-8f60-1a2b3c4d5e6f";

const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "25 23 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n\
    31 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
    32 25 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
    33 25 0:33 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
    34 25 0:34 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
    35 25 0:35 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
const UNIFIED: &str = "41 25 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n40 25 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";

const SETTINGS: Settings = Settings { keep_open: 100, max_groups: 100 };

mod quiet;

/// A host in a folder of its own.
struct HostFolder(tempfile::TempDir);

impl HostFolder {
    fn new(mountinfo: &str) -> HostFolder {
        let host = HostFolder(tempfile::tempdir().unwrap());
        host.write("proc/self/mountinfo", mountinfo);
        host.write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n");
        host.write("sys/devices/system/cpu/online", "0-7\n");
        host
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Files below `sys/fs/cgroup`.
    fn cgroup(&self, at: &str, files: &[(&str, &str)]) -> &HostFolder {
        for (name, text) in files {
            self.write(&format!("sys/fs/cgroup{at}/{name}"), text);
        }
        self
    }

    /// A v2 cgroup that has used this many seconds.
    fn v2(&self, at: &str, seconds: u64) -> &HostFolder {
        self.cgroup(at, &[("cpu.stat", &format!("usage_usec {seconds}000000\n")), ("cgroup.events", "populated 1\n"), ("pids.current", "1\n")])
    }

    fn v1(&self, at: &str, seconds: u64) -> &HostFolder {
        self.cgroup("", &[(&format!("cpu,cpuacct{at}/cpuacct.usage"), &format!("{seconds}000000000\n")), (&format!("pids{at}/pids.current"), "1\n")])
    }

    fn replay(&self) -> Vec<Roots> {
        Roots::replay(self.0.path()).unwrap()
    }

    fn look(&self) -> (Tree, Vec<Gap>) {
        look(&mut Cgroups::new(self.replay().pop().unwrap(), SETTINGS))
    }

    /// The folder as if it were the machine: descriptors stay open, inode numbers count.
    fn live(&self) -> Roots {
        Roots::folders(self.0.path().join("proc"), self.0.path().join("sys"))
    }
}

fn look(cgroups: &mut Cgroups) -> (Tree, Vec<Gap>) {
    let reading = cgroups.look(&[]);
    match reading.told {
        Some(Told::Tree(tree)) => (*tree, reading.gaps),
        told => panic!("no tree but {told:?}, {:?}", reading.gaps),
    }
}

/// Each row as `owner seconds`, in order.
fn rows(tree: &Tree) -> Vec<String> {
    let name = |id: &str| match id {
        A => "A".into(),
        B => "B".into(),
        C => "C".into(),
        T => "T".into(),
        E => "E".into(),
        UID => "UID".into(),
        other => other.to_string(),
    };
    let row = |group: &Group| {
        let owner = match &group.owner {
            Owner::Container(id, Within::Nothing) => name(id.as_str()),
            Owner::Container(id, Within::Task(task)) => format!("{} of {}", name(id.as_str()), name(task.as_str())),
            Owner::Container(id, Within::Pod(pod)) => format!("{} of {}", name(id.as_str()), name(pod.as_str())),
            Owner::Task(id) => format!("task {}", name(id.as_str())),
            Owner::Pod(uid) => format!("pod {}", name(uid.as_str())),
            Owner::Unit(unit) => format!("unit {unit}"),
        };
        format!("{owner} {}", group.usage.cpu.map_or("?".into(), |cpu| cpu.is.time.as_secs().to_string()))
    };
    tree.groups.iter().map(row).collect()
}

#[test]
fn every_runtime_s_names_are_known_on_v2() {
    let host = HostFolder::new(V2);
    let uid_ = UID.replace('-', "_");
    let pod = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice");
    host.v2("", 90)
        .v2(&format!("/ecstasks.slice/ecstasks-{T}.slice"), 5)
        .v2(&format!("/ecstasks.slice/ecstasks-{T}.slice/docker-{A}.scope"), 4)
        // A task whose containers are gone.
        .v2(&format!("/ecstasks.slice/ecstasks-{E}.slice"), 3)
        .v2(&pod, 7)
        .v2(&format!("{pod}/cri-containerd-{B}.scope"), 6)
        .v2(&format!("{pod}/crio-conmon-{C}.scope"), 9)
        .v2("/system.slice/sshd.service", 2)
        .v2(&format!("/system.slice/docker-{C}.scope"), 8)
        // Nested: inside C's numbers.
        .v2(&format!("/system.slice/docker-{C}.scope/docker/{A}"), 1)
        .v2(&format!("/system.slice/docker-{C}.scope/init.scope"), 1)
        .v2(&format!("/system.slice/var-lib-docker-overlay2-{A}-merged.mount"), 1)
        .v2("/init.scope", 1)
        .v2("/user.slice/user-1000.slice/user@1000.service/app.slice/a.service", 1)
        .v2("/user.slice/user-1000.slice/user@1000.service", 2);
    let (tree, gaps) = host.look();
    assert_eq!(gaps, []);
    assert_eq!(tree.version, CgroupVersion::V2);
    assert_eq!(tree.root.cpu.unwrap().is.time, Duration::from_secs(90));
    assert_eq!(rows(&tree), ["task T 5", "A of T 4", "unit init.scope 1", "pod UID 7", "B of UID 6", "C 8", "unit sshd.service 2", "unit user@1000.service 2"]);
    assert!(tree.groups.is_sorted_by(|a, b| a.path < b.path));
}

#[test]
fn containers_below_a_unit_are_rows_and_the_unit_is_none() {
    let host = HostFolder::new(V2);
    let uid_ = UID.replace('-', "_");
    host.v2("/system.slice/containerd.service", 9)
        .v2(&format!("/system.slice/containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{A}"), 4)
        .v2("/user.slice/user@1000.service", 8)
        .v2(&format!("/user.slice/user@1000.service/user.slice/libpod-{B}.scope/container"), 2)
        .v2(&format!("/user.slice/user@1000.service/user.slice/libpod-conmon-{B}.scope"), 1)
        .v2(&format!("/user.slice/user@1000.service/user.slice/libpod-{B}.scope"), 3)
        .v2("/user.slice/user@1000.service/app.slice/a.service", 1);
    assert_eq!(rows(&host.look().0), ["A of UID 4", "unit a.service 1", "B 3"]);
}

#[test]
fn v1_reads_each_controller_by_the_same_path() {
    let host = HostFolder::new(V1);
    let at = format!("/ecs/{T}/{A}");
    host.v1("", 90).v1(&at, 4).v1(&format!("/ecs/{T}"), 5).v1(&format!("/ecs/{E}"), 1).v1(&format!("/kubepods/burstable/pod{UID}/{B}"), 2);
    host.v1(&format!("/kubepods/burstable/pod{UID}"), 3).v1("/system.slice/sshd.service", 1).v1("/demo/b0f1/x", 1);
    host.cgroup(
        &format!("/cpu,cpuacct{at}"),
        &[
            ("cpuacct.stat", "user 300\nsystem 100\n"),
            ("cpu.stat", "nr_periods 10\nnr_throttled 2\nthrottled_time 5000000\n"),
            ("cpu.cfs_quota_us", "-1\n"),
            ("cpu.cfs_period_us", "100000\n"),
            ("cpu.shares", "512\n"),
        ],
    );
    host.cgroup(&format!("/cpu,cpuacct/ecs/{T}"), &[("cpu.cfs_quota_us", "50000\n"), ("cpu.cfs_period_us", "100000\n")]);
    host.cgroup(
        &format!("/memory{at}"),
        &[
            ("memory.usage_in_bytes", "1000\n"),
            ("memory.stat", "total_cache 600\ntotal_rss 300\ntotal_inactive_file 400\nhierarchical_memory_limit 268435456\n"),
            ("memory.memsw.usage_in_bytes", "900\n"),
            ("memory.kmem.usage_in_bytes", "70\n"),
            ("memory.max_usage_in_bytes", "2000\n"),
            ("memory.failcnt", "3\n"),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.memsw.limit_in_bytes", "9223372036854771712\n"),
        ],
    );
    host.cgroup(
        &format!("/blkio{at}"),
        &[
            ("blkio.throttle.io_service_bytes", "259:0 Read 10\n259:0 Write 20\nTotal 30\n"),
            ("blkio.throttle.io_serviced", "259:0 Read 1\n259:0 Write 2\nTotal 3\n"),
            ("blkio.weight", "500\n"),
        ],
    );
    host.cgroup(&format!("/blkio/ecs/{T}"), &[("blkio.throttle.io_service_bytes", "Total 0\n"), ("blkio.throttle.io_serviced", "Total 0\n")]);
    host.cgroup(&format!("/pids{at}"), &[("pids.max", "max\n")]);
    host.cgroup(&format!("/cpuset{at}"), &[("cpuset.effective_cpus", "0-7\n")]);
    // A unit that only the memory controller follows.
    host.cgroup("/memory/system.slice/cron.service", &[("memory.usage_in_bytes", "5\n")]);
    let (tree, gaps) = host.look();
    assert_eq!(gaps, []);
    assert_eq!((tree.version, tree.root.cpu.unwrap().is.time), (CgroupVersion::V1, Duration::from_secs(90)));
    assert_eq!(rows(&tree), ["task T 5", "A of T 4", "pod UID 3", "B of UID 2", "unit cron.service ?", "unit sshd.service 1"]);

    let (task, a) = (&tree.groups[0], &tree.groups[1]);
    let (cpu, memory) = (a.usage.cpu.unwrap().is, a.usage.memory.unwrap().is);
    assert_eq!((cpu.split.unwrap().user, cpu.throttling.unwrap().throttled), (Duration::from_secs(3), 2));
    assert_eq!((memory.used, memory.working_set, memory.swap), (Some(Bytes(1000)), Some(Bytes(600)), Some(Bytes(0))));
    assert_eq!((memory.kernel, memory.peak, memory.max_events, memory.oom_kills), (Some(Bytes(70)), Some(Bytes(2000)), Some(3), Some(1)));
    let device = IoDevice { device: Device { major: 259, minor: 0 }, read: Bytes(10), written: Bytes(20), reads: Some(1), writes: Some(2) };
    assert_eq!(a.usage.io.as_ref().unwrap().is.as_slice(), [device]);
    assert_eq!(task.usage.io.as_ref().unwrap().is.as_slice(), [device], "the plain file of a task counts nothing: its containers' sum stands in");
    assert_eq!((a.own.cores, a.own.memory, a.own.swap, a.own.pids), (Limit::Unlimited, Limit::Unlimited, Limit::Unlimited, Limit::Unlimited));
    assert_eq!((a.limits.cores, a.limits.memory), (Limit::Of(Cores(0.5)), Limit::Of(Bytes(268_435_456))));
    assert_eq!((a.weights.cpu_shares, a.weights.io_weight, a.weights.cpu_weight), (Some(512), Some(500), None));
    assert_eq!(a.usage.pressure, None);
}

#[test]
fn the_recursive_blkio_files_win_where_the_kernel_has_them() {
    let host = HostFolder::new(V1);
    host.v1(&format!("/docker/{A}"), 1).cgroup(
        &format!("/blkio/docker/{A}"),
        &[
            ("blkio.throttle.io_service_bytes", "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
            ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 10\n8:0 Write 20\nTotal 30\n"),
        ],
    );
    let io = host.look().0.groups[0].usage.io.clone().unwrap().is;
    assert_eq!((io[0].read, io[0].reads), (Bytes(10), None));
}

#[test]
fn where_the_kernel_counts_late_an_empty_list_of_devices_is_no_zero() {
    for (kernel, other, io, gaps) in
        [("6.18.1", "Total 0\n", None, 1), ("6.18.1", "8:0 Read 1\n8:0 Write 2\nTotal 3\n", Some(0), 0), ("6.1.0", "Total 0\n", Some(0), 0)]
    {
        let host = HostFolder::new(V1);
        host.write("proc/sys/kernel/osrelease", kernel);
        for (id, text) in [(A, "Total 0\n"), (B, other)] {
            host.v1(&format!("/docker/{id}"), 1).cgroup(&format!("/blkio/docker/{id}"), &[("blkio.throttle.io_service_bytes", text)]);
        }
        let (tree, said) = host.look();
        assert_eq!((tree.groups[0].usage.io.as_ref().map(|io| io.is.len()), said.len()), (io, gaps), "{kernel} {other:?}: {said:?}");
    }
}

#[test]
fn a_hybrid_host_s_figures_are_in_v1() {
    let host = HostFolder::new(&format!("{V1}{UNIFIED}"));
    host.v1(&format!("/docker/{A}"), 4).v2(&format!("/unified/docker/{B}"), 5);
    let (tree, gaps) = host.look();
    assert_eq!((tree.version, rows(&tree), gaps), (CgroupVersion::Hybrid, vec!["A 4".to_string()], vec![]));
}

#[test]
fn v2_figures_and_limits() {
    let host = HostFolder::new(V2);
    let slice = "/tenant.slice/tenant-7.slice";
    let at = format!("{slice}/docker-{A}.scope");
    host.cgroup(slice, &[("cpu.max", "250000 100000\n"), ("memory.max", "1073741824\n"), ("pids.max", "100\n"), ("memory.swap.max", "0\n")]);
    host.cgroup(
        &at,
        &[
            ("cpu.stat", "usage_usec 4000000\nuser_usec 3000000\nsystem_usec 1000000\nnr_periods 10\nnr_throttled 2\nthrottled_usec 5000\n"),
            ("memory.current", "1000\n"),
            ("memory.stat", "anon 300\nfile 600\nkernel 50\nsock 7\nshmem 8\nslab 9\ninactive_file 400\npgmajfault 6\n"),
            ("memory.events", "high 1\nmax 2\noom 3\noom_kill 4\n"),
            ("memory.peak", "2000\n"),
            ("memory.swap.current", "0\n"),
            ("io.stat", ""),
            ("pids.current", "5\n"),
            ("cgroup.procs", "12\n14\n"),
            ("hugetlb.2MB.current", "4194304\n"),
            ("cpu.pressure", "some avg10=0.00 total=10\nfull avg10=0.00 total=2\n"),
            ("cpu.max", "max 100000\n"),
            ("memory.max", "99999999999999\n"),
            ("memory.swap.max", "max\n"),
            ("pids.max", "max\n"),
            ("cpuset.cpus.effective", "0-1,4\n"),
            ("cpu.weight", "39\n"),
            ("io.weight", "default 100\n"),
        ],
    );
    let (tree, gaps) = host.look();
    assert_eq!(gaps, []);
    let a = &tree.groups[0];
    let memory = a.usage.memory.unwrap().is;
    assert_eq!((memory.used, memory.working_set, memory.anon, memory.slab), (Some(Bytes(1000)), Some(Bytes(600)), Some(Bytes(300)), Some(Bytes(9))));
    assert_eq!((memory.kernel, memory.sock, memory.shmem, memory.swap), (Some(Bytes(50)), Some(Bytes(7)), Some(Bytes(8)), Some(Bytes(0))));
    assert_eq!((memory.peak, memory.major_faults, memory.oom_kills), (Some(Bytes(2000)), Some(6), Some(4)));
    assert_eq!((memory.high_events, memory.max_events, memory.oom_events), (Some(1), Some(2), Some(3)));
    assert!(a.usage.io.as_ref().unwrap().is.is_empty());
    assert_eq!((a.usage.processes.unwrap().is, a.usage.files, a.usage.huge.as_ref().map(|huge| huge.is.len())), (2, None, None));
    host.write("proc/meminfo", "MemTotal:       16777216 kB\nHugetlb:           8192 kB\n");
    let huge = host.look().0.groups[0].usage.huge.clone().unwrap().is;
    assert_eq!(huge.as_slice(), [HugePages { size: Bytes(2 << 20), used: Bytes(4 << 20) }], "read where the machine has some");
    let pressure = a.usage.pressure.unwrap().is;
    assert_eq!(pressure.cpu, Some(Stall { some: Duration::from_micros(10), full: Some(Duration::from_micros(2)) }));
    assert_eq!((pressure.memory, a.usage.pids.unwrap().is), (None, 5));
    assert_eq!((a.own.cores, a.own.memory, a.own.swap, a.own.pids), (Limit::Of(Cores(3.0)), Limit::Unlimited, Limit::Unlimited, Limit::Unlimited));
    assert_eq!((a.limits.cores, a.limits.memory), (Limit::Of(Cores(2.5)), Limit::Of(Bytes(1 << 30))));
    assert_eq!((a.limits.swap, a.limits.pids), (Limit::Of(Bytes(0)), Limit::Of(100)));
    assert_eq!((a.weights.cpu_weight, a.weights.io_weight, a.weights.cpu_shares), (Some(39), Some(100), None));
}

#[test]
fn a_fargate_task_that_is_a_kubernetes_node_shows_its_pods() {
    let host = HostFolder::new(V1);
    host.v1(&format!("/ecs/{T}"), 9).v1(&format!("/ecs/{T}/{T}-0123456789"), 8);
    assert_eq!(rows(&host.look().0), ["task T 9".to_string(), format!("{T}-0123456789 of T 8")]);
    host.v1(&format!("/ecs/{T}/{T}-0123456789/kubepods/burstable/pod{UID}/{A}"), 3);
    host.v1(&format!("/ecs/{T}/{T}-0123456789/kubepods/burstable/pod{UID}"), 4);
    assert_eq!(rows(&host.look().0), ["pod UID 4", "A of UID 3"]);
}

#[test]
fn what_nobody_lives_in_is_left_out() {
    let host = HostFolder::new(V2);
    host.v2(&format!("/docker/{A}"), 1).v2(&format!("/docker/{B}"), 2).v2(&format!("/ecstasks.slice/ecstasks-{T}.slice/docker-{C}.scope"), 3);
    host.cgroup(&format!("/docker/{A}"), &[("cgroup.events", "populated 0\n")]);
    host.cgroup(&format!("/ecstasks.slice/ecstasks-{T}.slice"), &[("cpu.stat", "usage_usec 1\n")]);
    host.cgroup(&format!("/ecstasks.slice/ecstasks-{T}.slice/docker-{C}.scope"), &[("cgroup.events", "populated 0\n")]);
    assert_eq!(rows(&host.look().0), ["B 2"]);
    let host = HostFolder::new(V1);
    host.v1(&format!("/docker/{A}"), 1).v1(&format!("/docker/{B}"), 2).cgroup(&format!("/pids/docker/{B}"), &[("pids.current", "0\n")]);
    assert_eq!(rows(&host.look().0), ["A 1"]);
}

#[test]
fn a_later_layer_lies_below_and_identity_names_a_new_making() {
    let host = HostFolder::new(V2);
    host.write(&format!("t0/sys/fs/cgroup/docker/{A}/cpu.stat"), "usage_usec 1000000\n");
    host.write(&format!("t1/sys/fs/cgroup/docker/{A}/cpu.stat"), "usage_usec 2000000\n");
    host.write("t1/identity.json", format!("{{\"/docker/{A}\": 7}}"));
    host.cgroup(&format!("/docker/{A}"), &[("memory.current", "5\n")]).v2(&format!("/docker/{B}"), 3);
    host.write(&format!("t1/sys/fs/cgroup/docker/{C}/cpu.stat"), "usage_usec 4000000\n");
    let looks: Vec<Tree> = host.replay().into_iter().map(|roots| look(&mut Cgroups::new(roots, SETTINGS)).0).collect();
    assert_eq!(looks.iter().map(rows).collect::<Vec<_>>(), [vec!["A 1", "B 3"], vec!["A 2", "C 4", "B 3"]]);
    assert_eq!(looks[0].groups[0].usage.memory.unwrap().is.used, Some(Bytes(5)));
    assert_eq!(looks.iter().map(|tree| tree.groups[0].start).collect::<Vec<_>>(), [0, 7]);
}

#[test]
fn faults_are_gaps_said_once() {
    let host = HostFolder::new(V2);
    let file = |id: &str, name: &str| format!("sys/fs/cgroup/docker/{id}/{name}");
    for id in [A, B] {
        host.v2(&format!("/docker/{id}"), 1)
            .cgroup(&format!("/docker/{id}"), &[("cpu.pressure", "some total=1\n"), ("io.pressure", ""), ("memory.current", "5\n")]);
    }
    host.v2(&format!("/docker/{C}"), 1);
    let errno = [
        (file(A, "cpu.pressure"), "EOPNOTSUPP"),
        (file(B, "cpu.pressure"), "EOPNOTSUPP"),
        (file(A, "memory.current"), "EACCES"),
        (file(B, "memory.current"), "EACCES"),
        (file(B, "pids.current"), "ENODEV"),
        (file(B, "cpu.max"), "EIO"),
    ];
    for (path, _) in &errno {
        host.write(path, "1\n");
    }
    let errno: std::collections::HashMap<_, _> = errno.into_iter().collect();
    host.write("faults.json", serde_json::json!({ "errno": errno, "gone": [format!("sys/fs/cgroup/docker/{C}")] }).to_string());
    let (tree, gaps) = host.look();
    assert_eq!(rows(&tree), ["A 1", "B 1"]);
    assert!(tree.groups.iter().all(|group| group.usage.pressure.is_none() && group.usage.memory.is_none()));
    assert_eq!(tree.groups[1].usage.pids, None);
    let whats: Vec<&str> = gaps.iter().map(|gap| &*gap.what).collect();
    assert_eq!(whats, ["memory.current", "pressure", "cpu.max"]);
    assert!(gaps[0].why.contains("2 cgroups") && gaps[0].why.contains("Permission denied"), "{}", gaps[0].why);
}

#[test]
fn damaged_files_cost_only_themselves() {
    let host = HostFolder::new(V2);
    host.v2(&format!("/docker/{A}"), 1).cgroup(&format!("/docker/{A}"), &[("memory.current", "five\n"), ("cpu.max", "\0\0"), ("memory.peak", "7")]);
    host.write(&format!("sys/fs/cgroup/docker/{A}/memory.stat"), [b"anon 3\n".as_slice(), &[0xff; 3000], b"\nfile 4\n"].concat());
    // Longer than we read: what is in the first MiB counts.
    host.write(&format!("sys/fs/cgroup/docker/{A}/io.stat"), "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n".repeat(60_000));
    // A folder where a file should be.
    host.write(&format!("sys/fs/cgroup/docker/{A}/memory.events/x"), "");
    host.write(&format!("sys/fs/cgroup/docker/{B}/odd"), "");
    fs::create_dir_all(host.0.path().join(Path::new("sys/fs/cgroup").join(PathBuf::from("x/".repeat(60)))).join(C)).unwrap();
    let (tree, gaps) = host.look();
    assert_eq!(rows(&tree), ["A 1"]);
    let memory = tree.groups[0].usage.memory.unwrap().is;
    assert_eq!((memory.anon, memory.file, memory.peak, memory.used), (Some(Bytes(3)), Some(Bytes(4)), Some(Bytes(7)), None));
    assert_eq!(tree.groups[0].usage.io.as_ref().unwrap().is.len(), 1);
    let whats: Vec<&str> = gaps.iter().map(|gap| &*gap.what).collect();
    assert_eq!(whats, ["cpu.max", "memory.current", "io.stat", "memory.events"]);
    assert_eq!(tree.cut, 1, "the folder below the deepest we follow");
}

#[test]
fn no_tree_is_a_gap_with_a_fix() {
    for (mountinfo, why) in [("", "-v /sys/fs/cgroup"), ("25 23 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n", "-v /sys/fs/cgroup"), (V2, "cannot be listed")] {
        let host = HostFolder::new(mountinfo);
        let reading = Cgroups::new(host.replay().pop().unwrap(), SETTINGS).look(&[]);
        assert!(reading.told.is_none());
        assert_eq!(&*reading.gaps[0].what, "containers");
        assert!(reading.gaps[0].why.contains(why), "{}", reading.gaps[0].why);
    }
}

#[test]
fn more_rows_than_allowed_are_counted() {
    let host = HostFolder::new(V2);
    for id in [A, B, C] {
        host.v2(&format!("/docker/{id}"), 1);
    }
    let (tree, _) = look(&mut Cgroups::new(host.live(), Settings { keep_open: 10, max_groups: 2 }));
    assert_eq!((tree.groups.len(), tree.cut), (2, 1));
}

#[test]
fn what_comes_and_goes_is_noticed_with_any_number_of_open_files() {
    for keep_open in [0, 1, 7, 1000] {
        let host = HostFolder::new(V2);
        let task = format!("/ecstasks.slice/ecstasks-{T}.slice");
        host.v2(&format!("/docker/{A}"), 1).v2("/system.slice/a.service", 1);
        let mut cgroups = Cgroups::new(host.live(), Settings { keep_open, max_groups: 100 });
        let (first, gaps) = look(&mut cgroups);
        assert_eq!((rows(&first), gaps), (vec!["A 1".to_string(), "unit a.service 1".to_string()], vec![]));
        let start = first.groups[0].start;
        assert_ne!(start, 0);

        // Figures move, folders come, at any depth.
        host.v2(&format!("/docker/{A}"), 2).v2(&task, 9).v2(&format!("{task}/docker-{B}.scope"), 4);
        let second = look(&mut cgroups).0;
        assert_eq!(rows(&second), ["A 2", "task T 9", "B of T 4", "unit a.service 1"]);
        assert_eq!(second.groups[0].start, start);

        // Containers go, also from below a unit that they had made a folder.
        fs::remove_dir_all(host.0.path().join("sys/fs/cgroup").join(&task[1..])).unwrap();
        host.v2(&format!("/system.slice/a.service/docker/{C}"), 5);
        assert_eq!(rows(&look(&mut cgroups).0), ["A 2", "C 5"]);
        fs::remove_dir_all(host.0.path().join("sys/fs/cgroup/system.slice/a.service/docker")).unwrap();
        assert_eq!(rows(&look(&mut cgroups).0), ["A 2", "unit a.service 1"]);
    }
}

/// Recorded hosts, where there are some: every one of them can be looked at, and none is empty.
#[test]
fn recorded_hosts_can_be_looked_at() {
    let Some(fixtures) = std::env::var_os("TARE_FIXTURES") else {
        println!("skipped: TARE_FIXTURES is not set");
        return;
    };
    let mut seen = 0;
    for case in fs::read_dir(Path::new(&fixtures).join("trials")).unwrap().flatten().filter(|case| case.path().join("case.json").exists()) {
        // A case that is only a question is no host.
        if case.path().join("question.json").exists() {
            continue;
        }
        for roots in Roots::replay(&case.path()).unwrap() {
            if mountinfo(&roots).contains(" - cgroup") {
                let (tree, _) = look(&mut Cgroups::new(roots, SETTINGS));
                assert!(!tree.groups.is_empty(), "{:?}", case.path());
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

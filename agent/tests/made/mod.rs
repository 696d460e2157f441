//! Reports made by hand, for tests and benchmarks: small ones that show a point, and large ones of any size.
#![allow(dead_code, unreachable_pub, reason = "part of several test programs, each of which takes what it needs")]

pub mod tree;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smallvec::smallvec;

use collector::identity::{ContainerId, Key};
use collector::snapshot::{
    About, Asked, BlockDevice, Compose, Container, ContainerAbout, Cpu, CpuModes, CpuSplit, Device, FileSystem, Health, Interface, IoDevice, Limits, Link,
    Machine, Memory, NetOwner, OpenFiles, Paging, Pressure, Role, Room, Scope, Seen, Sockets, SourceName, Stall, State, Tcp, Throttling, Traffic, Transfers,
    Usage, Weights, Workload,
};
use collector::units::{Bytes, Cores, Limit, Ratio, Stamp};
use tare::cost::Cost;
use tare::report::{ContainerRow, HostRow, Rates, Report, SCHEMA, WorkloadRow};

/// A report that knows nothing.
pub fn report() -> Report {
    Report {
        schema: SCHEMA.into(),
        at: Stamp::default(),
        scope: Scope::Node,
        cluster: None,
        host: HostRow::default(),
        workloads: Vec::new(),
        ecs: None,
        gaps: Vec::new(),
        sources: Vec::new(),
    }
}

/// A running workload of which nothing but its name is known.
pub fn workload(key: Key, name: &str) -> WorkloadRow {
    WorkloadRow {
        seen: Workload {
            cgroup: None,
            start: 0,
            about: Arc::new(About { key, name: name.into(), project: None, task: None }),
            state: State::Running,
            started: None,
            ended: None,
            task: None,
            asked: Asked::default(),
            own: Limits::default(),
            limits: Limits::default(),
            usage: Arc::default(),
            remainder: None,
            containers: Vec::new(),
        },
        rates: Rates::default(),
        cost: Cost::default(),
        warnings: smallvec![],
        containers: Vec::new(),
    }
}

/// A running container of which nothing but its id and name is known.
pub fn container(id: &str, name: Option<&str>) -> ContainerRow {
    ContainerRow {
        seen: Container {
            about: Arc::new(ContainerAbout { id: id.into(), name: name.map(Arc::from), image: None, digest: None, compose: None, role: Role::App }),
            start: 0,
            cgroup: None,
            state: State::Running,
            health: None,
            restarts: None,
            exit: None,
            oom: None,
            started: None,
            ended: None,
            asked: Asked::default(),
            own: Limits::default(),
            limits: Limits::default(),
            weights: Weights::default(),
            net: NetOwner::Unknown,
            usage: Arc::default(),
            disk: None,
        },
        rates: Rates::default(),
        warnings: smallvec![],
        closing: None,
    }
}

/// A container of its own and its workload.
pub fn loose(id: &str, name: &str) -> WorkloadRow {
    WorkloadRow { containers: vec![container(id, Some(name))], ..workload(Key::Loose(id.into()), name) }
}

/// A moment, in seconds since 1970.
pub fn moment(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

/// Figures read by a source just now.
pub fn seen<T>(is: T) -> Option<Seen<T>> {
    Some(Seen { at: Stamp::default(), from: SourceName::Cgroup, is })
}

/// A host where this many containers run, each the only one of its task, with 40 series of its own or a few more.
pub fn crowd(containers: usize) -> Report {
    let mut report = report();
    report.cluster = Some("prod".into());
    report.host.seen.name = Some("ip-10-0-1-17.ec2.internal".into());
    report.workloads = (0..containers).map(member).collect();
    report
}

fn member(n: usize) -> WorkloadRow {
    let id = format!("{n:032x}{n:032x}");
    let compose = Some(Compose { project: "shop".into(), service: format!("service-{}", n % 100).as_str().into() });
    let mut row = container(&id, Some(&format!("shop-service-{}-{n}", n % 100)));
    row.seen.about = Arc::new(ContainerAbout {
        id: ContainerId::from(id.as_str()),
        name: row.seen.about.name.clone(),
        image: Some("registry.example.com/shop/service:1.27.3".into()),
        digest: Some("sha256:3c8f4e2b9a".into()),
        compose,
        role: Role::App,
    });
    row.seen.health = Some(Health::Healthy);
    row.seen.restarts = Some(2);
    row.seen.started = moment(1_760_000_000 + n as i64);
    row.seen.limits = Limits { cores: Limit::Of(Cores(1.5)), memory: Limit::Of(Bytes(1 << 30)), swap: Limit::Unlimited, pids: Limit::Of(1024) };
    row.seen.net = NetOwner::Own;
    row.seen.usage = usage(n as u64).into();
    row.rates.cpu_of_limit = Some(Ratio(0.123_456_789 + n as f64 / 1e4));
    row.rates.memory_of_limit = Some(Ratio(0.612_345_678 + n as f64 / 1e5));
    row.rates.uptime = Some(Duration::from_millis(86_400_123 + n as u64));
    let mut workload = workload(Key::Task(format!("{n:032x}").as_str().into()), &format!("service-{}", n % 100));
    workload.containers = vec![row];
    workload
}

/// A machine with a disk, a file system and an interface.
pub fn machine() -> Machine {
    let disk = BlockDevice {
        name: "nvme0n1".into(),
        device: Device { major: 259, minor: 0 },
        read: Transfers::default(),
        written: Transfers::default(),
        in_flight: 1,
        busy: Duration::from_millis(5),
        weighted: Duration::from_millis(7),
    };
    let system = FileSystem { source: "/dev/nvme0n1p1".into(), mounted: "/".into(), kind: "xfs".into(), read_only: false, room: Some(Room::default()) };
    Machine {
        modes: seen(CpuModes::default()),
        cpus: vec![(0, CpuModes { idle: Duration::from_secs(90), ..CpuModes::default() })],
        paging: seen(Paging { faults: Some(1), ..Paging::default() }),
        disks: seen(vec![disk]),
        filesystems: [system].into(),
        links: [Link { name: "eth0".into(), up: Some(true), mtu: None, speed: None }].into(),
        ..Machine::default()
    }
}

/// Every figure of a cgroup known.
pub fn usage(n: u64) -> Usage {
    let time = |micros| Duration::from_micros(micros + n * 7);
    let stall = Some(Stall { some: time(5_123_456), full: Some(time(1_234_567)) });
    let traffic = |bytes| Traffic { bytes: Bytes(bytes + n), packets: bytes / 700, errors: 0, dropped: n % 3 };
    Usage {
        cpu: seen(Cpu {
            time: time(123_456_789),
            split: Some(CpuSplit { user: time(100_000_000), system: time(23_456_789) }),
            throttling: Some(Throttling { periods: 10_000 + n, throttled: n, time: time(1_500_000) }),
        }),
        memory: seen(Memory {
            used: Some(Bytes(665_845_760 + n)),
            working_set: Some(Bytes(635 << 20)),
            anon: Some(Bytes(500 << 20)),
            file: Some(Bytes(100 << 20)),
            peak: Some(Bytes(700 << 20)),
            swap: Some(Bytes(0)),
            major_faults: Some(n),
            oom_kills: Some(0),
            ..Memory::default()
        }),
        io: seen(smallvec![IoDevice {
            device: Device { major: 259, minor: 0 },
            read: Bytes(4_096_000 + n),
            written: Bytes(8_192_000),
            reads: Some(1000),
            writes: Some(2000)
        }]),
        net: seen(smallvec![Interface { name: "eth0".into(), received: traffic(181_038_261_102), sent: traffic(9_038_261_102) }]),
        pressure: seen(Pressure { cpu: stall, memory: stall, io: stall }),
        pids: seen(12 + n % 9),
        processes: seen(3 + n % 2),
        files: seen(OpenFiles { open: Some(40 + n), limit: Limit::Of(1024) }),
        sockets: seen(Sockets { used: Some(12), tcp: Tcp { retransmitted: Some(n), ..Tcp::default() }, ..Sockets::default() }).map(Arc::new),
        ..Usage::default()
    }
}

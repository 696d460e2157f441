//! The rows of the machine itself: what a node overview shows, beside what every cgroup has.

use collector::snapshot::{BlockDevice, CpuModes, FileSystem, Link, Machine, Meminfo, Room, Transfers, Used};

use super::*;

/// The machine's own figures.
pub static MACHINE: Family<Machine> = Family {
    title: "Host: kernel",
    labels: ON_HOST,
    metrics: &[
        metric(
            "host.cpu.mode.time",
            Unit::Seconds,
            Counter,
            Standard,
            "What all CPUs together did with their time. Time of guests is inside user and nice.",
            Each(
                label("mode", "cpu.mode"),
                &[
                    ("user", |m| time(modes(m).map(|cpu| cpu.user))),
                    ("nice", |m| time(modes(m).map(|cpu| cpu.nice))),
                    ("system", |m| time(modes(m).map(|cpu| cpu.system))),
                    ("idle", |m| time(modes(m).map(|cpu| cpu.idle))),
                    ("iowait", |m| time(modes(m)?.iowait)),
                    ("irq", |m| time(modes(m)?.irq)),
                    ("softirq", |m| time(modes(m)?.softirq)),
                    ("steal", |m| time(modes(m)?.steal)),
                ],
            ),
        ),
        metric(
            "host.context_switches",
            Unit::Of("switch"),
            Counter,
            Standard,
            "Switches from one task to another.",
            One(|m| count(m.activity?.is.context_switches)),
        ),
        metric(
            "host.interrupts",
            Unit::Of("interrupt"),
            Counter,
            Detail,
            "Interrupts, hard and soft.",
            Each(label("kind", "tare.interrupt"), &[("hard", |m| count(m.activity?.is.interrupts)), ("soft", |m| count(m.activity?.is.soft_interrupts))]),
        ),
        metric("host.forks", Unit::Of("process"), Counter, Detail, "Processes and threads made.", One(|m| count(m.activity?.is.forks))),
        metric(
            "host.tasks",
            Unit::Of("task"),
            Level,
            Standard,
            "Tasks that run or could, and tasks that wait for a block device.",
            Each(STATE, &[("running", |m| count(m.activity?.is.running)), ("blocked", |m| count(m.activity?.is.blocked))]),
        ),
        metric("host.memory.available", Unit::Bytes, Level, Essential, "What a new program could get without swapping.", One(|m| bytes(info(m)?.available))),
        metric("host.memory.free", Unit::Bytes, Level, Standard, "Memory nobody uses.", One(|m| bytes(info(m)?.free))),
        metric("host.memory.buffers", Unit::Bytes, Level, Detail, "Buffers of block devices.", One(|m| bytes(info(m)?.buffers))),
        metric("host.memory.cached", Unit::Bytes, Level, Standard, "Page cache, tmpfs included, buffers not.", One(|m| bytes(info(m)?.cached))),
        metric(
            "host.memory.list",
            Unit::Bytes,
            Level,
            Detail,
            "Pages by how soon they may be reclaimed.",
            Each(
                label("list", "tare.memory.list"),
                &[("active", |m| bytes(info(m)?.active)), ("inactive", |m| bytes(info(m)?.inactive)), ("unevictable", |m| bytes(info(m)?.unevictable))],
            ),
        ),
        metric("host.memory.writeback", Unit::Bytes, Level, Detail, "Pages of files that are being written.", One(|m| bytes(info(m)?.writeback))),
        metric(
            "host.memory.slab.part",
            Unit::Bytes,
            Level,
            Detail,
            "Kernel slab that can be reclaimed, and that which cannot.",
            Each(
                label("part", "tare.memory.slab"),
                &[("reclaimable", |m| bytes(info(m)?.slab_reclaimable)), ("unreclaimable", |m| bytes(info(m)?.slab_unreclaimable))],
            ),
        ),
        metric("host.memory.kernel_stack", Unit::Bytes, Level, Detail, "Stacks in the kernel.", One(|m| bytes(info(m)?.kernel_stack))),
        metric("host.memory.page_tables", Unit::Bytes, Level, Detail, "Page tables.", One(|m| bytes(info(m)?.page_tables))),
        metric("host.memory.committed", Unit::Bytes, Level, Detail, "Memory promised to processes.", One(|m| bytes(info(m)?.committed))),
        metric(
            "host.memory.commit_limit",
            Unit::Bytes,
            Gauge,
            Detail,
            "How much may be promised where overcommitting is forbidden.",
            One(|m| bytes(info(m)?.commit_limit)),
        ),
        metric("host.memory.zswap", Unit::Bytes, Level, Detail, "Memory that holds compressed pages.", One(|m| bytes(info(m)?.zswap))),
        metric("host.memory.zswapped", Unit::Bytes, Level, Detail, "What lies compressed in it.", One(|m| bytes(info(m)?.zswapped))),
        metric("host.memory.hugetlb", Unit::Bytes, Level, Detail, "Memory taken for huge pages of all sizes, used or not.", One(|m| bytes(info(m)?.hugetlb))),
        metric(
            "host.memory.huge_pages",
            Unit::Of("page"),
            Level,
            Detail,
            "Huge pages of the default size.",
            Each(STATE, &[("all", |m| count(info(m)?.huge_pages)), ("free", |m| count(info(m)?.huge_pages_free))]),
        ),
        metric("host.memory.huge_page.size", Unit::Bytes, Gauge, Detail, "The default size of a huge page.", One(|m| bytes(info(m)?.huge_page_size))),
        metric("host.swap.capacity", Unit::Bytes, Level, Standard, "Swap space.", One(|m| bytes(info(m)?.swap_total))),
        metric("host.swap.free", Unit::Bytes, Level, Standard, "Swap space nobody uses.", One(|m| bytes(info(m)?.swap_free))),
        metric("host.swap.cached", Unit::Bytes, Level, Detail, "Pages both in memory and in swap space.", One(|m| bytes(info(m)?.swap_cached))),
        metric(
            "host.swap.pages",
            Unit::Of("page"),
            Counter,
            Standard,
            "Pages swapped in and out.",
            Each(label("direction", "system.paging.direction"), &[("in", |m| count(m.paging?.is.swapped_in)), ("out", |m| count(m.paging?.is.swapped_out))]),
        ),
        metric(
            "host.paging.io",
            Unit::Bytes,
            Counter,
            Detail,
            "Bytes paged in from and out to block devices.",
            Each(IO_DIRECTION, &[("read", |m| bytes(m.paging?.is.read)), ("write", |m| bytes(m.paging?.is.written))]),
        ),
        metric("host.file_handles", Unit::Of("file"), Level, Standard, "Open files of all processes.", One(|m| used(m.files))),
        metric("host.file_handles.limit", Unit::Of("file"), Gauge, Detail, "How many files may be open.", One(|m| most(m.files))),
        metric("host.conntrack.entries", Unit::Of("connection"), Level, Standard, "Connections that the firewall follows.", One(|m| used(m.conntrack))),
        metric(
            "host.conntrack.limit",
            Unit::Of("connection"),
            Gauge,
            Standard,
            "How many it can follow; packets of more are dropped.",
            One(|m| most(m.conntrack)),
        ),
    ],
};

/// A block device, by the number that stands on the cgroups' series, and by its name.
pub static BLOCK_DEVICE: Family<BlockDevice> = Family {
    title: "Host: what block devices did",
    labels: &[CLUSTER, HOST_NAME, DEVICE, label("name", "tare.device.name")],
    metrics: &[
        metric(
            "host.disk.operation.time",
            Unit::Seconds,
            Counter,
            Standard,
            "The time that reads and writes took, summed.",
            Each(IO_DIRECTION, &[("read", |d| time(Some(d.read.time))), ("write", |d| time(Some(d.written.time)))]),
        ),
        metric(
            "host.disk.merged",
            Unit::Of("operation"),
            Counter,
            Detail,
            "Reads and writes that were put together with a neighbour.",
            Each(IO_DIRECTION, &[("read", |d| merged(&d.read)), ("write", |d| merged(&d.written))]),
        ),
        metric("host.disk.busy.time", Unit::Seconds, Counter, Standard, "Time with at least one operation under way.", One(|d| time(Some(d.busy)))),
        metric(
            "host.disk.weighted.time",
            Unit::Seconds,
            Counter,
            Detail,
            "Time of all operations, summed; its rate is the mean queue.",
            One(|d| time(Some(d.weighted))),
        ),
        metric("host.disk.in_flight", Unit::Of("operation"), Level, Detail, "Operations under way.", One(|d| count(Some(d.in_flight)))),
    ],
};

/// A file system that is mounted on the host.
pub static MOUNT: Family<FileSystem> = Family {
    title: "Host: mounted file systems",
    labels: &[
        CLUSTER,
        HOST_NAME,
        label("mountpoint", "system.filesystem.mountpoint"),
        label("source", "tare.filesystem.source"),
        label("fstype", "system.filesystem.type"),
    ],
    metrics: &[
        metric("host.mount.capacity", Unit::Bytes, Level, Standard, "Its size.", One(|f| bytes(room(f).map(|room| room.size)))),
        metric(
            "host.mount.free",
            Unit::Bytes,
            Level,
            Detail,
            "What is not used, what is kept for root among it.",
            One(|f| bytes(room(f).map(|room| room.free))),
        ),
        metric(
            "host.mount.available",
            Unit::Bytes,
            Level,
            Essential,
            "What an unprivileged process may still write.",
            One(|f| bytes(room(f).map(|room| room.available))),
        ),
        metric(
            "host.mount.inodes",
            Unit::Of("inode"),
            Level,
            Standard,
            "Its inodes.",
            Each(STATE, &[("all", |f| count(room(f)?.inodes)), ("free", |f| count(room(f)?.inodes_free))]),
        ),
        metric("host.mount.read_only", Unit::Number, Gauge, Standard, "1 where nobody may write.", One(|f| Some(Value::Count(f.read_only.into())))),
    ],
};

/// How one of the host's interfaces is.
pub static LINK: Family<Link> = Family {
    title: "Host: interfaces",
    labels: &[CLUSTER, HOST_NAME, INTERFACE],
    metrics: &[
        metric("host.network.up", Unit::Number, Gauge, Standard, "1 where the interface carries traffic.", One(|l| l.up.map(|up| Value::Count(up.into())))),
        metric("host.network.mtu", Unit::Bytes, Gauge, Detail, "The largest packet.", One(|l| bytes(l.mtu))),
        metric("host.network.speed", Unit::Bytes, Gauge, Standard, "Bytes a second that it could carry.", One(|l| bytes(l.speed))),
    ],
};

fn modes(machine: &Machine) -> Option<&CpuModes> {
    machine.modes.as_ref().map(|modes| &modes.is)
}

fn info(machine: &Machine) -> Option<&Meminfo> {
    machine.memory.as_ref().map(|memory| &memory.is)
}

fn room(system: &FileSystem) -> Option<&Room> {
    system.room.as_ref()
}

fn used(things: Option<Used>) -> Option<Value> {
    count(things.map(|things| things.used))
}

fn most(things: Option<Used>) -> Option<Value> {
    count(things?.most)
}

fn merged(transfers: &Transfers) -> Option<Value> {
    count(Some(transfers.merged))
}

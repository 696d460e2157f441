//! What a stock node overview asks for, under node_exporter's names, labels and units, served at `/metrics/node` (prometheus/node_exporter 1.9, collector/*_linux.go).
//! A name is one row here. What Tare does not see is absent, never 0. Bridges and the interfaces of containers are left out: their traffic is the containers'.

pub mod page;

use collector::snapshot::{BlockDevice, CpuModes, FileSystem, Interface, Link, Machine, Meminfo, Sockets};
use collector::units::Stamp;

use super::families::{bytes, count, label, moment, time};
use super::schema::Kind::{Counter, Gauge};
use super::schema::Points::{Each, One};
use super::schema::Tier::Standard;
use super::schema::{About, By, Family, Info, Kind, Label, Metric, Points, Unit, Value};
use crate::report::HostRow;

/// One CPU.
pub(super) static CPU: Family<CpuModes> = Family {
    title: "CPUs",
    labels: &[theirs("cpu")],
    metrics: &[
        metric(
            "node_cpu_seconds_total",
            Unit::Seconds,
            Counter,
            "What a CPU did with its time.",
            Each(
                theirs("mode"),
                &[
                    ("idle", |c| time(Some(c.idle))),
                    ("iowait", |c| time(c.iowait)),
                    ("irq", |c| time(c.irq)),
                    ("nice", |c| time(Some(c.nice))),
                    ("softirq", |c| time(c.softirq)),
                    ("steal", |c| time(c.steal)),
                    ("system", |c| time(Some(c.system))),
                    ("user", |c| time(Some(c.user))),
                ],
            ),
        ),
        metric(
            "node_cpu_guest_seconds_total",
            Unit::Seconds,
            Counter,
            "Time a CPU gave to guests, inside user and nice.",
            Each(theirs("mode"), &[("nice", |c| time(c.guest_nice)), ("user", |c| time(c.guest))]),
        ),
    ],
};

/// The clock.
pub(super) static TIME: Family<Stamp> = Family {
    title: "Clock",
    labels: &[],
    metrics: &[metric("node_time_seconds", Unit::Seconds, Gauge, "When the last look ended, since 1970.", One(|at| moment(at.wall)))],
};

/// The machine.
pub(super) static HOST: Family<HostRow> = Family {
    title: "The machine",
    labels: &[],
    metrics: &[
        metric("node_boot_time_seconds", Unit::Seconds, Gauge, "When the kernel started, since 1970.", One(|h| moment(h.seen.booted))),
        metric("node_load1", Unit::Number, Gauge, "Mean length of the run queue over 1 minute.", One(|h| h.seen.load.map(|load| Value::Real(load[0])))),
        metric("node_load5", Unit::Number, Gauge, "Mean length of the run queue over 5 minutes.", One(|h| h.seen.load.map(|load| Value::Real(load[1])))),
        metric("node_load15", Unit::Number, Gauge, "Mean length of the run queue over 15 minutes.", One(|h| h.seen.load.map(|load| Value::Real(load[2])))),
        metric(
            "node_context_switches_total",
            Unit::Number,
            Counter,
            "Switches from one task to another.",
            One(|h| count(machine(h)?.activity?.is.context_switches)),
        ),
        metric("node_intr_total", Unit::Number, Counter, "Interrupts.", One(|h| count(machine(h)?.activity?.is.interrupts))),
        metric("node_forks_total", Unit::Number, Counter, "Processes and threads made.", One(|h| count(machine(h)?.activity?.is.forks))),
        metric("node_procs_running", Unit::Number, Gauge, "Tasks that run or could.", One(|h| count(machine(h)?.activity?.is.running))),
        metric("node_procs_blocked", Unit::Number, Gauge, "Tasks that wait for a block device.", One(|h| count(machine(h)?.activity?.is.blocked))),
        metric("node_memory_MemTotal_bytes", Unit::Bytes, Gauge, "Memory the kernel manages.", One(|h| bytes(h.seen.memory))),
        metric("node_memory_MemFree_bytes", Unit::Bytes, Gauge, "MemFree of /proc/meminfo.", One(|h| bytes(meminfo(h)?.free))),
        metric("node_memory_MemAvailable_bytes", Unit::Bytes, Gauge, "MemAvailable of /proc/meminfo.", One(|h| bytes(meminfo(h)?.available))),
        metric("node_memory_Buffers_bytes", Unit::Bytes, Gauge, "Buffers of /proc/meminfo.", One(|h| bytes(meminfo(h)?.buffers))),
        metric("node_memory_Cached_bytes", Unit::Bytes, Gauge, "Cached of /proc/meminfo.", One(|h| bytes(meminfo(h)?.cached))),
        metric("node_memory_SwapCached_bytes", Unit::Bytes, Gauge, "SwapCached of /proc/meminfo.", One(|h| bytes(meminfo(h)?.swap_cached))),
        metric("node_memory_Active_bytes", Unit::Bytes, Gauge, "Active of /proc/meminfo.", One(|h| bytes(meminfo(h)?.active))),
        metric("node_memory_Inactive_bytes", Unit::Bytes, Gauge, "Inactive of /proc/meminfo.", One(|h| bytes(meminfo(h)?.inactive))),
        metric("node_memory_Unevictable_bytes", Unit::Bytes, Gauge, "Unevictable of /proc/meminfo.", One(|h| bytes(meminfo(h)?.unevictable))),
        metric("node_memory_SwapTotal_bytes", Unit::Bytes, Gauge, "SwapTotal of /proc/meminfo.", One(|h| bytes(meminfo(h)?.swap_total))),
        metric("node_memory_SwapFree_bytes", Unit::Bytes, Gauge, "SwapFree of /proc/meminfo.", One(|h| bytes(meminfo(h)?.swap_free))),
        metric("node_memory_Zswap_bytes", Unit::Bytes, Gauge, "Zswap of /proc/meminfo.", One(|h| bytes(meminfo(h)?.zswap))),
        metric("node_memory_Zswapped_bytes", Unit::Bytes, Gauge, "Zswapped of /proc/meminfo.", One(|h| bytes(meminfo(h)?.zswapped))),
        metric("node_memory_Dirty_bytes", Unit::Bytes, Gauge, "Dirty of /proc/meminfo.", One(|h| bytes(meminfo(h)?.dirty))),
        metric("node_memory_Writeback_bytes", Unit::Bytes, Gauge, "Writeback of /proc/meminfo.", One(|h| bytes(meminfo(h)?.writeback))),
        metric("node_memory_AnonPages_bytes", Unit::Bytes, Gauge, "AnonPages of /proc/meminfo.", One(|h| bytes(meminfo(h)?.anon))),
        metric("node_memory_Mapped_bytes", Unit::Bytes, Gauge, "Mapped of /proc/meminfo.", One(|h| bytes(meminfo(h)?.mapped))),
        metric("node_memory_Shmem_bytes", Unit::Bytes, Gauge, "Shmem of /proc/meminfo.", One(|h| bytes(meminfo(h)?.shmem))),
        metric("node_memory_SReclaimable_bytes", Unit::Bytes, Gauge, "SReclaimable of /proc/meminfo.", One(|h| bytes(meminfo(h)?.slab_reclaimable))),
        metric("node_memory_SUnreclaim_bytes", Unit::Bytes, Gauge, "SUnreclaim of /proc/meminfo.", One(|h| bytes(meminfo(h)?.slab_unreclaimable))),
        metric("node_memory_KernelStack_bytes", Unit::Bytes, Gauge, "KernelStack of /proc/meminfo.", One(|h| bytes(meminfo(h)?.kernel_stack))),
        metric("node_memory_PageTables_bytes", Unit::Bytes, Gauge, "PageTables of /proc/meminfo.", One(|h| bytes(meminfo(h)?.page_tables))),
        metric("node_memory_CommitLimit_bytes", Unit::Bytes, Gauge, "CommitLimit of /proc/meminfo.", One(|h| bytes(meminfo(h)?.commit_limit))),
        metric("node_memory_Committed_AS_bytes", Unit::Bytes, Gauge, "Committed_AS of /proc/meminfo.", One(|h| bytes(meminfo(h)?.committed))),
        metric("node_memory_Hugepagesize_bytes", Unit::Bytes, Gauge, "Hugepagesize of /proc/meminfo.", One(|h| bytes(meminfo(h)?.huge_page_size))),
        metric("node_memory_Hugetlb_bytes", Unit::Bytes, Gauge, "Hugetlb of /proc/meminfo.", One(|h| bytes(meminfo(h)?.hugetlb))),
        metric("node_memory_Slab_bytes", Unit::Bytes, Gauge, "Slab of /proc/meminfo.", One(|h| bytes(h.seen.usage.memory?.is.slab))),
        metric("node_memory_Active_anon_bytes", Unit::Bytes, Gauge, "Active(anon) of /proc/meminfo.", One(|h| bytes(h.seen.usage.memory?.is.active_anon))),
        metric(
            "node_memory_Inactive_anon_bytes",
            Unit::Bytes,
            Gauge,
            "Inactive(anon) of /proc/meminfo.",
            One(|h| bytes(h.seen.usage.memory?.is.inactive_anon)),
        ),
        metric("node_memory_Active_file_bytes", Unit::Bytes, Gauge, "Active(file) of /proc/meminfo.", One(|h| bytes(h.seen.usage.memory?.is.active_file))),
        metric(
            "node_memory_Inactive_file_bytes",
            Unit::Bytes,
            Gauge,
            "Inactive(file) of /proc/meminfo.",
            One(|h| bytes(h.seen.usage.memory?.is.inactive_file)),
        ),
        metric("node_memory_HugePages_Total", Unit::Number, Gauge, "HugePages_Total of /proc/meminfo.", One(|h| count(meminfo(h)?.huge_pages))),
        metric("node_memory_HugePages_Free", Unit::Number, Gauge, "HugePages_Free of /proc/meminfo.", One(|h| count(meminfo(h)?.huge_pages_free))),
        metric("node_vmstat_pgfault", Unit::Number, Counter, "pgfault of /proc/vmstat.", One(|h| count(machine(h)?.paging?.is.faults))),
        metric("node_vmstat_pgmajfault", Unit::Number, Counter, "pgmajfault of /proc/vmstat.", One(|h| count(machine(h)?.paging?.is.major_faults))),
        metric("node_vmstat_pswpin", Unit::Number, Counter, "pswpin of /proc/vmstat.", One(|h| count(machine(h)?.paging?.is.swapped_in))),
        metric("node_vmstat_pswpout", Unit::Number, Counter, "pswpout of /proc/vmstat.", One(|h| count(machine(h)?.paging?.is.swapped_out))),
        metric("node_vmstat_oom_kill", Unit::Number, Counter, "oom_kill of /proc/vmstat.", One(|h| count(machine(h)?.paging?.is.oom_kills))),
        metric(
            "node_vmstat_pgpgin",
            Unit::Number,
            Counter,
            "pgpgin of /proc/vmstat, in KiB.",
            One(|h| count(machine(h)?.paging?.is.read.map(|bytes| bytes.0 / 1024))),
        ),
        metric(
            "node_vmstat_pgpgout",
            Unit::Number,
            Counter,
            "pgpgout of /proc/vmstat, in KiB.",
            One(|h| count(machine(h)?.paging?.is.written.map(|bytes| bytes.0 / 1024))),
        ),
        metric("node_netstat_Tcp_ActiveOpens", Unit::Number, Counter, "ActiveOpens of /proc/net/snmp.", One(|h| count(sockets(h)?.tcp.active_opens))),
        metric("node_netstat_Tcp_PassiveOpens", Unit::Number, Counter, "PassiveOpens of /proc/net/snmp.", One(|h| count(sockets(h)?.tcp.passive_opens))),
        metric("node_netstat_Tcp_CurrEstab", Unit::Number, Gauge, "CurrEstab of /proc/net/snmp.", One(|h| count(sockets(h)?.tcp.established))),
        metric("node_netstat_Tcp_InSegs", Unit::Number, Counter, "InSegs of /proc/net/snmp.", One(|h| count(sockets(h)?.tcp.received))),
        metric("node_netstat_Tcp_OutSegs", Unit::Number, Counter, "OutSegs of /proc/net/snmp.", One(|h| count(sockets(h)?.tcp.sent))),
        metric("node_netstat_Tcp_RetransSegs", Unit::Number, Counter, "RetransSegs of /proc/net/snmp.", One(|h| count(sockets(h)?.tcp.retransmitted))),
        metric("node_netstat_Tcp_InErrs", Unit::Number, Counter, "InErrs of /proc/net/snmp.", One(|h| count(sockets(h)?.tcp.errors))),
        metric("node_netstat_Tcp_OutRsts", Unit::Number, Counter, "OutRsts of /proc/net/snmp.", One(|h| count(sockets(h)?.tcp.resets_sent))),
        metric("node_netstat_TcpExt_ListenDrops", Unit::Number, Counter, "ListenDrops of /proc/net/netstat.", One(|h| count(sockets(h)?.tcp.listen_drops))),
        metric(
            "node_netstat_TcpExt_ListenOverflows",
            Unit::Number,
            Counter,
            "ListenOverflows of /proc/net/netstat.",
            One(|h| count(sockets(h)?.tcp.listen_overflows)),
        ),
        metric(
            "node_netstat_TcpExt_TCPSynRetrans",
            Unit::Number,
            Counter,
            "TCPSynRetrans of /proc/net/netstat.",
            One(|h| count(sockets(h)?.tcp.syn_retransmitted)),
        ),
        metric("node_netstat_TcpExt_TCPTimeouts", Unit::Number, Counter, "TCPTimeouts of /proc/net/netstat.", One(|h| count(sockets(h)?.tcp.timeouts))),
        metric("node_netstat_Udp_InDatagrams", Unit::Number, Counter, "InDatagrams of /proc/net/snmp.", One(|h| count(sockets(h)?.udp.received))),
        metric("node_netstat_Udp_OutDatagrams", Unit::Number, Counter, "OutDatagrams of /proc/net/snmp.", One(|h| count(sockets(h)?.udp.sent))),
        metric("node_netstat_Udp_InErrors", Unit::Number, Counter, "InErrors of /proc/net/snmp.", One(|h| count(sockets(h)?.udp.errors))),
        metric("node_netstat_Udp_NoPorts", Unit::Number, Counter, "NoPorts of /proc/net/snmp.", One(|h| count(sockets(h)?.udp.no_port))),
        metric(
            "node_netstat_Udp_RcvbufErrors",
            Unit::Number,
            Counter,
            "RcvbufErrors of /proc/net/snmp.",
            One(|h| count(sockets(h)?.udp.receive_buffer_errors)),
        ),
        metric("node_netstat_Udp_SndbufErrors", Unit::Number, Counter, "SndbufErrors of /proc/net/snmp.", One(|h| count(sockets(h)?.udp.send_buffer_errors))),
        metric("node_sockstat_sockets_used", Unit::Number, Gauge, "Sockets of all kinds.", One(|h| count(sockets(h)?.used))),
        metric("node_sockstat_TCP_orphan", Unit::Number, Gauge, "orphan of TCP in /proc/net/sockstat.", One(|h| count(sockets(h)?.tcp.orphaned))),
        metric("node_sockstat_TCP_tw", Unit::Number, Gauge, "tw of TCP in /proc/net/sockstat.", One(|h| count(sockets(h)?.tcp.time_wait))),
        metric("node_sockstat_TCP_mem", Unit::Number, Gauge, "mem of TCP in /proc/net/sockstat.", One(|h| count(sockets(h)?.tcp.memory_pages))),
        metric("node_filefd_allocated", Unit::Number, Gauge, "Open files of all processes.", One(|h| count(machine(h)?.files.map(|files| files.used)))),
        metric("node_filefd_maximum", Unit::Number, Gauge, "How many files may be open.", One(|h| count(machine(h)?.files?.most))),
        metric(
            "node_nf_conntrack_entries",
            Unit::Number,
            Gauge,
            "Connections that the firewall follows.",
            One(|h| count(machine(h)?.conntrack.map(|followed| followed.used))),
        ),
        metric("node_nf_conntrack_entries_limit", Unit::Number, Gauge, "How many it can follow.", One(|h| count(machine(h)?.conntrack?.most))),
        metric(
            "node_pressure_cpu_waiting_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which some task waited for a CPU.",
            One(|h| time(h.seen.usage.pressure?.is.cpu.map(|stall| stall.some))),
        ),
        metric(
            "node_pressure_memory_waiting_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which some task waited for memory.",
            One(|h| time(h.seen.usage.pressure?.is.memory.map(|stall| stall.some))),
        ),
        metric(
            "node_pressure_memory_stalled_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which all tasks waited for memory.",
            One(|h| time(h.seen.usage.pressure?.is.memory?.full)),
        ),
        metric(
            "node_pressure_io_waiting_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which some task waited for a block device.",
            One(|h| time(h.seen.usage.pressure?.is.io.map(|stall| stall.some))),
        ),
        metric(
            "node_pressure_io_stalled_seconds_total",
            Unit::Seconds,
            Counter,
            "Time in which all tasks waited for a block device.",
            One(|h| time(h.seen.usage.pressure?.is.io?.full)),
        ),
    ],
};

/// One block device.
pub(super) static DISK: Family<BlockDevice> = Family {
    title: "Block devices",
    labels: &[theirs("device")],
    metrics: &[
        metric("node_disk_reads_completed_total", Unit::Number, Counter, "Reads that ended.", One(|d| count(Some(d.read.operations)))),
        metric("node_disk_reads_merged_total", Unit::Number, Counter, "Reads put together with a neighbour.", One(|d| count(Some(d.read.merged)))),
        metric("node_disk_read_bytes_total", Unit::Bytes, Counter, "Bytes read.", One(|d| bytes(Some(d.read.bytes)))),
        metric("node_disk_read_time_seconds_total", Unit::Seconds, Counter, "The time that reads took, summed.", One(|d| time(Some(d.read.time)))),
        metric("node_disk_writes_completed_total", Unit::Number, Counter, "Writes that ended.", One(|d| count(Some(d.written.operations)))),
        metric("node_disk_writes_merged_total", Unit::Number, Counter, "Writes put together with a neighbour.", One(|d| count(Some(d.written.merged)))),
        metric("node_disk_written_bytes_total", Unit::Bytes, Counter, "Bytes written.", One(|d| bytes(Some(d.written.bytes)))),
        metric("node_disk_write_time_seconds_total", Unit::Seconds, Counter, "The time that writes took, summed.", One(|d| time(Some(d.written.time)))),
        metric("node_disk_io_now", Unit::Number, Gauge, "Operations under way.", One(|d| count(Some(d.in_flight)))),
        metric("node_disk_io_time_seconds_total", Unit::Seconds, Counter, "Time with at least one operation under way.", One(|d| time(Some(d.busy)))),
        metric("node_disk_io_time_weighted_seconds_total", Unit::Seconds, Counter, "Time of all operations, summed.", One(|d| time(Some(d.weighted)))),
    ],
};

/// One mounted file system.
pub(super) static FILE_SYSTEM: Family<FileSystem> = Family {
    title: "File systems",
    labels: &[theirs("mountpoint"), theirs("device"), theirs("fstype")],
    metrics: &[
        metric("node_filesystem_size_bytes", Unit::Bytes, Gauge, "Its size.", One(|f| bytes(f.room.map(|room| room.size)))),
        metric("node_filesystem_free_bytes", Unit::Bytes, Gauge, "What is not used.", One(|f| bytes(f.room.map(|room| room.free)))),
        metric(
            "node_filesystem_avail_bytes",
            Unit::Bytes,
            Gauge,
            "What an unprivileged process may still write.",
            One(|f| bytes(f.room.map(|room| room.available))),
        ),
        metric("node_filesystem_files", Unit::Number, Gauge, "Its inodes.", One(|f| count(f.room?.inodes))),
        metric("node_filesystem_files_free", Unit::Number, Gauge, "Inodes not used.", One(|f| count(f.room?.inodes_free))),
        metric("node_filesystem_readonly", Unit::Number, Gauge, "1 where nobody may write.", One(|f| Some(Value::Count(f.read_only.into())))),
    ],
};

/// What went through one interface.
pub(super) static INTERFACE: Family<Interface> = Family {
    title: "Interfaces",
    labels: &[theirs("device")],
    metrics: &[
        metric("node_network_receive_bytes_total", Unit::Bytes, Counter, "Bytes, receive.", One(|i| bytes(Some(i.received.bytes)))),
        metric("node_network_receive_packets_total", Unit::Number, Counter, "Packets, receive.", One(|i| count(Some(i.received.packets)))),
        metric("node_network_receive_errs_total", Unit::Number, Counter, "Bad packets, receive.", One(|i| count(Some(i.received.errors)))),
        metric("node_network_receive_drop_total", Unit::Number, Counter, "Packets dropped, receive.", One(|i| count(Some(i.received.dropped)))),
        metric("node_network_transmit_bytes_total", Unit::Bytes, Counter, "Bytes, transmit.", One(|i| bytes(Some(i.sent.bytes)))),
        metric("node_network_transmit_packets_total", Unit::Number, Counter, "Packets, transmit.", One(|i| count(Some(i.sent.packets)))),
        metric("node_network_transmit_errs_total", Unit::Number, Counter, "Bad packets, transmit.", One(|i| count(Some(i.sent.errors)))),
        metric("node_network_transmit_drop_total", Unit::Number, Counter, "Packets dropped, transmit.", One(|i| count(Some(i.sent.dropped)))),
    ],
};

/// How one interface is.
pub(super) static LINK: Family<Link> = Family {
    title: "Links",
    labels: &[theirs("device")],
    metrics: &[
        metric("node_network_up", Unit::Number, Gauge, "1 where the interface carries traffic.", One(|l| l.up.map(|up| Value::Count(up.into())))),
        metric("node_network_mtu_bytes", Unit::Bytes, Gauge, "The largest packet.", One(|l| bytes(l.mtu))),
        metric("node_network_speed_bytes", Unit::Bytes, Gauge, "Bytes a second that it could carry.", One(|l| bytes(l.speed))),
    ],
};

/// The kernel and the machine's name.
pub(super) static UNAME: Info<HostRow> = Info {
    about: about("node_uname_info", Unit::Number, Kind::Info, "The kernel and the machine's name."),
    labels: &[],
    tells: &[
        (theirs("machine"), |h, to| to.push_str(h.seen.arch.as_deref().unwrap_or_default())),
        (theirs("nodename"), |h, to| to.push_str(h.seen.name.as_deref().unwrap_or_default())),
        (theirs("release"), |h, to| to.push_str(h.seen.kernel.as_deref().unwrap_or_default())),
        (theirs("sysname"), |h, to| to.push_str(if h.seen.os.as_deref() == Some("linux") { "Linux" } else { "" })),
    ],
    tags: |_| &[],
};

/// Its chapter of the manual, Markdown.
pub(super) fn chapter() -> String {
    fn rows<R>(family: &Family<R>, page: &mut String) {
        let labels: Vec<&str> = family.labels.iter().map(|label| label.name).collect();
        for metric in family.metrics {
            let split = match metric.points {
                Points::Each(label, _) => Some(label.name),
                Points::One(_) | Points::Live(_) => None,
            };
            let labels: Vec<&str> = labels.iter().copied().chain(split).collect();
            page.push_str(&format!("| `{}` | {} | {} | {} |\n", metric.about.name, metric.about.kind.prometheus(), labels.join(" "), metric.about.help));
        }
    }
    let mut page = String::from(CHAPTER);
    rows(&CPU, &mut page);
    rows(&TIME, &mut page);
    rows(&HOST, &mut page);
    page.push_str(&format!(
        "| `{}` | gauge | {} | {} |\n",
        UNAME.about.name,
        UNAME.tells.iter().map(|(label, _)| label.name).collect::<Vec<_>>().join(" "),
        UNAME.about.help
    ));
    rows(&DISK, &mut page);
    rows(&FILE_SYSTEM, &mut page);
    rows(&INTERFACE, &mut page);
    rows(&LINK, &mut page);
    page
}

const CHAPTER: &str = "
## /metrics/node

The machine under the names of node_exporter, for boards and rules made for it. Scrape it with `job_name: node`. No label tells the machine: `instance` does.

| name | type | labels | what |
|---|---|---|---|
";

/// A label of theirs: it has no other name elsewhere.
const fn theirs(name: &'static str) -> Label {
    label(name, "")
}

const fn about(name: &'static str, unit: Unit, kind: Kind, help: &'static str) -> About {
    About { name, by: By::Others, unit, kind, tier: Standard, help }
}

const fn metric<R>(name: &'static str, unit: Unit, kind: Kind, help: &'static str, points: Points<R>) -> Metric<R> {
    Metric { about: about(name, unit, kind, help), points }
}

fn machine(host: &HostRow) -> Option<&Machine> {
    host.seen.machine.as_deref()
}

fn meminfo(host: &HostRow) -> Option<&Meminfo> {
    machine(host)?.memory.as_ref().map(|memory| &memory.is)
}

fn sockets(host: &HostRow) -> Option<&Sockets> {
    host.seen.usage.sockets.as_ref().map(|sockets| &sockets.is)
}

"""The same figures straight from the kernel's files, read without Tare: what its numbers are held against."""

import os
from pathlib import Path


class Cgroup:
    """The cgroup of a process, on v1 one folder a controller, on v2 one folder."""

    def __init__(self, pid: int, read=lambda path: Path(path).read_text()):
        """`read`: the text of a file of the machine that the process runs on."""
        self.read = read
        mounts = {}
        for line in read("/proc/self/mountinfo").splitlines():
            mount, rest = line.split(" - ")
            kind, _, options = rest.split(None, 2)
            if kind in ("cgroup", "cgroup2"):
                names = [""] if kind == "cgroup2" else options.strip().split(",")
                mounts.update({name: Path(mount.split()[4]) for name in names})
        self.folders = {}
        for line in read(f"/proc/{pid}/cgroup").splitlines():
            _, names, path = line.split(":", 2)
            for name in names.split(","):
                if name in mounts:
                    self.folders[name] = mounts[name] / path.lstrip("/")
        self.v1 = "memory" in self.folders

    def text(self, controller: str, file: str) -> str:
        return self.read(self.folders[controller if self.v1 else ""] / file)

    def pairs(self, controller: str, file: str) -> dict[str, int]:
        return pairs(self.text(controller, file))

    def figures(self) -> dict[str, float]:
        """By the names of Tare's report: seconds, bytes, counts."""
        return self.figures_v1() if self.v1 else self.figures_v2()

    def figures_v1(self):
        stat, cpu = self.pairs("memory", "memory.stat"), self.pairs("cpu", "cpu.stat")
        return {
            "time": int(self.text("cpuacct", "cpuacct.usage")) / 1e9,
            "periods": cpu["nr_periods"],
            "throttled": cpu["nr_throttled"],
            "used": int(self.text("memory", "memory.usage_in_bytes")),
            "anon": stat["total_rss"],
            "file": stat["total_cache"],
            "kernel": (kernel := int(self.text("memory", "memory.kmem.usage_in_bytes"))),
            "kernel_and_sockets": kernel + int(self.text("memory", "memory.kmem.tcp.usage_in_bytes")),
            "oom_kills": self.pairs("memory", "memory.oom_control")["oom_kill"],
            "pids": int(self.text("pids", "pids.current")),
        }

    def figures_v2(self):
        stat, cpu = self.pairs("", "memory.stat"), self.pairs("", "cpu.stat")
        parts = ("slab", "kernel_stack", "pagetables", "percpu", "vmalloc")
        return {
            "time": cpu["usage_usec"] / 1e6,
            "periods": cpu.get("nr_periods", 0),
            "throttled": cpu.get("nr_throttled", 0),
            "used": int(self.text("", "memory.current")),
            "anon": stat["anon"],
            "file": stat["file"],
            "kernel": stat.get("kernel"),  # None before Linux 5.18
            "kernel_and_sockets": stat.get("kernel", sum(stat.get(part, 0) for part in parts)) + stat.get("sock", 0),
            "oom_kills": self.pairs("", "memory.events")["oom_kill"],
            "pids": int(self.text("", "pids.current")),
        }


# What rests is read whole at every sixth look, a cgroup at a turn of its own.
LOOKS = 8


def at_rest(check, cgroup: Cgroup, fresh) -> dict:
    """Holds every figure of a container at rest against the kernel's, to the byte; its row.

    The kernel adds up its CPUs' parts of memory.stat late, and Tare does not ask for what cannot have moved: so a look may be behind, but
    one of the next LOOKS is not. `fresh()` is the row of a reading that begins after the call."""
    for _ in range(LOOKS):
        before, row, after = cgroup.figures(), fresh(), cgroup.figures()
        usage = {group: reading and reading["is"] for group, reading in row["usage"].items()}
        names = [name for name in ("used", "anon", "file", "kernel") if before[name] is not None]
        bounds = {name: (min(before[name], after[name]), max(before[name], after[name])) for name in names}
        if all(low <= usage["memory"][name] <= high for name, (low, high) in bounds.items()):
            break
    check.between("CPU time, s", before["time"] - 1e-6, usage["cpu"]["time"], after["time"] + 1e-6)
    for name in ("used", "anon", "file", "kernel"):
        if name in bounds:
            check.between(f"{name}, bytes", bounds[name][0], usage["memory"][name], bounds[name][1])
        else:
            check.equal(f"{name}, bytes", None, usage["memory"][name])
    check.between("processes", before["pids"], usage["pids"], after["pids"])
    return row


def pairs(text: str) -> dict[str, int]:
    """`name number`, line by line."""
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def disk_of(folder: Path) -> tuple[str, str] | None:
    """`MAJOR:MINOR` and `/dev/NAME` of the whole disk a folder lies on; None where it lies on no disk (tmpfs, btrfs, overlay)."""
    device = os.stat(folder).st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not block.exists():
        return None
    block = block.resolve()
    if (block / "partition").exists():
        block = block.parent
    return (block / "dev").read_text().strip(), f"/dev/{block.name}"


def far_end(pid: int) -> Path:
    """Counters of the host's end of the veth pair whose other end is eth0 of the process's name space."""
    index = Path(f"/proc/{pid}/root/sys/class/net/eth0/iflink").read_text().strip()
    return next(link / "statistics" for link in Path("/sys/class/net").iterdir() if (link / "ifindex").read_text().strip() == index)

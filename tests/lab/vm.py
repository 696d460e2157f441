"""The same truths on trees that this machine does not have: cgroup v2, v1 and hybrid in small guests (see guest.py), with PSI and without.

A scenario is a function of the guest's lab and its checks. What a burner used it says itself (getrusage, smaps); all else comes from the guest
kernel's own files, by the guest's own clock. The guest's processors are emulated: rates and shares are held against each other, never against
a speed. All scenarios of one guest run at once, each in its own thread."""

import hashlib
import itertools
import json
import re
import time

import kernel
from guest import Guest
from tare import find

MIB = 1 << 20
PAGE = 4096
TICK = 1 / 100
DISK, CACHED_DISK = "/dev/vda", "/dev/vdb"
UNIT = "/system.slice/cron.service"
NUMBERS = itertools.count()
# A guest on a busy machine is many times slower still.
MOST_SECONDS = 150


class Yard:
    """A guest, and what scenarios may put into it."""

    def __init__(self, guest: Guest):
        self.guest, self.tare = guest, guest.tare
        self.v2 = guest.layout == "v2"
        self.burners = []

    def folders(self, path: str) -> list[str]:
        """Where a cgroup lies: one folder on v2, one a controller on v1."""
        if self.v2:
            return [f"/sys/fs/cgroup{path}"]
        return [f"/sys/fs/cgroup/{controller}{path}" for controller in ("cpu", "cpuacct", "cpuset", "memory", "blkio", "pids")]

    def make(self, path: str, **limits):
        """The cgroup and all above it, with limits: `quota` of a core, `memory`, `high`, `pids`."""
        self.guest.sh(self.making(path, **limits))

    def making(self, path: str, **limits) -> str:
        """The script that does it."""
        # Few programs and many built-in words: to start one takes the guest 10 ms.
        names = path.strip("/").split("/")
        levels = ["".join(f"/{name}" for name in names[:depth]) for depth in range(len(names) + 1)]
        script = "set -e\n"
        if not self.v2:
            script += f"mkdir -p {' '.join(self.folders(path))}\n"
        for above, level in zip(levels, levels[1:]):
            if self.v2:
                script += f"echo '+cpu +memory +io +pids +cpuset' >/sys/fs/cgroup{above}/cgroup.subtree_control\n[ -d /sys/fs/cgroup{level} ] || mkdir -p /sys/fs/cgroup{level}\n"
                continue
            # No process may enter a v1 cpuset that has no CPU and no memory node.
            for file in ("cpuset.cpus", "cpuset.mems"):
                script += f"read set </sys/fs/cgroup/cpuset{above}/{file}; echo $set >/sys/fs/cgroup/cpuset{level}/{file}\n"
        return script + self.limits(path, **limits)

    def limits(self, path, quota=None, memory=None, high=None, pids=None) -> str:
        def write(controller, file, value):
            return f"echo {value} >/sys/fs/cgroup{'' if self.v2 else '/' + controller}{path}/{file}\n" if value is not None else ""

        period = 100_000
        script = write("memory", "memory.max" if self.v2 else "memory.limit_in_bytes", memory) + write("pids", "pids.max", pids)
        script += write("memory", "memory.high", high) if self.v2 else ""
        if quota is not None:
            us = int(quota * period)
            script += write("cpu", "cpu.max", f"'{us} {period}'") if self.v2 else write("cpu", "cpu.cfs_quota_us", us)
        return script

    def kill(self, path: str):
        """Kills what is in the cgroup and waits until nothing is: dying takes CPU time, too."""
        procs = f"{self.folders(path)[0]}/cgroup.procs"
        self.guest.sh(f"tries=0; while [ -n \"$(cat {procs})\" ]; do kill -9 $(cat {procs}); usleep 20000; tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; done")

    def remove(self, path: str):
        """Kills what is in the cgroup and removes it: all folders within one moment."""
        folders = self.folders(path)
        self.guest.sh(
            f"for pid in $(cat {folders[0]}/cgroup.procs); do kill -9 $pid; done\n"
            f"for folder in {' '.join(folders)}; do tries=0; until rmdir $folder 2>/dev/null; do tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; usleep 20000; done; done"
        )

    def loose(self) -> str:
        """A new container of no task, as this kind of host's Docker names it by default: driver systemd on v2, cgroupfs on v1."""
        return loose("systemd" if self.v2 else "cgroupfs", new_id())


def new_id() -> str:
    return hashlib.sha256(f"tare lab {next(NUMBERS)}".encode()).hexdigest()


def loose(driver: str, container: str) -> str:
    return f"/system.slice/docker-{container}.scope" if driver == "systemd" else f"/docker/{container}"


def of_task(driver: str, task: str, container: str) -> str:
    if driver == "systemd":
        return f"/ecstasks.slice/ecstasks-{task}.slice/docker-{container}.scope"
    return f"/ecs/{task}/{container}"


class Burner:
    """burn as the only process of a container's cgroup."""

    def __init__(self, yard: Yard, steps: str, path=None, before="", **limits):
        self.yard, self.path = yard, path or yard.loose()
        self.id = self.path.rsplit("/", 1)[-1].removeprefix("docker-").removesuffix(".scope")
        self.out = f"/tmp/{self.id}.out"
        enter = "; ".join(f"echo $$ >{folder}/cgroup.procs" for folder in yard.folders(self.path))
        # It must be in its cgroup before it uses anything, and in its name space before it is in its cgroup.
        script = f"{before} sh -c '{enter}; exec burn {steps}' >{self.out} 2>&1 </dev/null &\necho $!"
        self.pid = int(yard.guest.sh(yard.making(self.path, **limits) + script))

    def reports(self, count: int, within=MOST_SECONDS) -> list[dict]:
        """Its own account, once it has given it so many times."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            lines = self.yard.guest.read(self.out).splitlines()
            if len(lines) >= count:
                return [json.loads(line) for line in lines]
            time.sleep(0.2)
        raise TimeoutError(f"burn did not report {count} times within {within} s: {lines}")

    def go(self):
        self.yard.guest.sh(f"kill -USR1 {self.pid}")

    def cgroup(self):
        return kernel.Cgroup(self.pid, self.yard.guest.read)

    def fresh(self, *groups):
        return self.yard.tare.fresh(self.id, *groups, within=MOST_SECONDS)

    def until(self, what, answer):
        def row_if(report):
            row = find(report, self.id)
            return row if row and answer(row) else None

        return self.yard.tare.until(f"{what} of {self.id[:12]}", row_if, within=MOST_SECONDS)


def names(yard, check):
    """Containers and tasks by the folders' names, of both cgroup drivers; a unit; the tree's version."""
    expected = {}
    for driver, task in (("systemd", new_id()[:32]), ("cgroupfs", new_id()[:32])):
        alone, member = new_id(), new_id()
        expected[loose(driver, alone)] = alone, {"loose": alone}
        expected[of_task(driver, task, member)] = member, {"task": task}
    for path in [*expected, UNIT]:
        Burner(yard, "rest", path)
    for path, (container, key) in expected.items():
        row = yard.tare.fresh(container, "cpu", within=MOST_SECONDS)
        check.equal("cgroup", path, row["cgroup"])
        check.equal("workload", key, row["workload"]["about"]["key"])
    report = yard.tare.until("unit", lambda report: report if {"unit": UNIT} in keys(report) else None)
    check.equal("tree", yard.guest.layout, report["host"]["seen"]["cgroups"])
    check.equal("containers that are units too", 0, sum("docker" in key.get("unit", "") for key in keys(report)))


def keys(report) -> list[dict]:
    """All but the system's, which is a word."""
    return [workload["about"]["key"] for workload in report["workloads"] if workload["about"]["key"] != "system"]


def cpu(yard, check):
    """CPU time and its split, against the burner's own getrusage."""
    burner = Burner(yard, "report wait user 2.5 system 1.5 report rest")
    burner.reports(1)
    before = burner.fresh("cpu")["usage"]["cpu"]["is"]
    burner.go()
    first, last = burner.reports(2)
    after = burner.fresh("cpu")["usage"]["cpu"]["is"]
    used = {mode: last[mode] - first[mode] for mode in ("user", "system")}
    # A processor that this machine takes from the guest for a while is charged to whoever was on it, here between its report and its rest.
    check.within("CPU time, s", sum(used.values()), after["time"] - before["time"], percent=1, or_by=0.1)
    for mode in used:
        check.within(f"{mode}, s", used[mode], after["split"][mode] - before["split"][mode], percent=5, or_by=0.1)


def memory(yard, check):
    """Anonymous memory against smaps, tmpfs to the page, the page cache of a disk, and what is held beyond idle cache."""
    burner = Burner(yard, f"hold 24M cache 8M /tmp/shared-{next(NUMBERS)} cache 6M {CACHED_DISK} report rest")
    (own,) = burner.reports(1)
    row = burner.fresh("memory")
    seen, parts = row["usage"]["memory"]["is"], burner.cgroup().figures()
    slack = 64 * PAGE * 2
    check.within("anonymous, bytes", own["anon"], seen["anon"], percent=1)
    check.within("shared memory, bytes", 8 * MIB, seen["shmem"], percent=0, or_by=slack)
    check.within("page cache, bytes", 14 * MIB, seen["file"], percent=0, or_by=slack)
    check.between("in use, bytes", parts["anon"] + parts["file"], seen["used"], parts["anon"] + parts["file"] + parts["kernel_and_sockets"] + slack)
    # What was written once and never read again is idle; tmpfs has no other place to go.
    check.within("working set, bytes", seen["used"] - 6 * MIB, seen["working_set"], percent=0, or_by=slack)


def kernel_files(yard, check):
    """Every figure of a container at rest is the one in the kernel's own files; its own limits, and its task's where they are tighter."""
    task, container = new_id()[:32], new_id()
    path = of_task("systemd" if yard.v2 else "cgroupfs", task, container)
    yard.make(path.rsplit("/", 1)[0], quota=0.5, memory=48 * MIB, pids=60)
    # v1 refuses a quota above that of the folder above.
    quota = 0.75 if yard.v2 else None
    burner = Burner(yard, "hold 4M user 0.1 report rest", path, quota=quota, memory=32 * MIB, pids=70)
    burner.reports(1)
    cgroup = burner.cgroup()
    row = kernel.at_rest(check, cgroup, lambda: burner.fresh("cpu", "memory", "pids"))
    check.equal("own limits", (quota or "unlimited", 32 * MIB, 70), tuple(row["own"][name] for name in ("cores", "memory", "pids")))
    check.equal("limits in force", (0.5, 32 * MIB, 60), tuple(row["limits"][name] for name in ("cores", "memory", "pids")))


def throttling(yard, check):
    """A burner with a fifth of a core gets no more, is throttled, and the kernel counts the same."""
    burner = Burner(yard, "user 600", quota=0.2)
    burner.until("throttled periods", lambda row: ((row["usage"]["cpu"] or {"is": {}})["is"].get("throttling") or {"throttled": 0})["throttled"] >= 5)
    cgroup = burner.cgroup()  # now it is there: it moves into its cgroup after it was started
    first, before = burner.fresh("cpu"), cgroup.figures()
    time.sleep(3)
    last = burner.fresh("cpu")
    after = cgroup.figures()
    old, new = first["usage"]["cpu"], last["usage"]["cpu"]
    seconds = new["at"]["boot"] - old["at"]["boot"]
    check.between("periods", before["periods"], new["is"]["throttling"]["periods"], after["periods"])
    check.between("throttled periods", before["throttled"], new["is"]["throttling"]["throttled"], after["throttled"])
    # What is handed out for a period may be used up to a period later.
    check.between("cores over three seconds", 0.0, (new["is"]["time"] - old["is"]["time"]) / seconds, 0.2 * (1 + 0.2 / seconds) + 0.01)
    # On a busy machine a guest may not get to its quota in every period: the share is held against the periods of both looks.
    passed = {name: new["is"]["throttling"][name] - old["is"]["throttling"][name] for name in ("periods", "throttled")}
    check.between("throttled periods, of those that passed", 0, passed["throttled"], passed["periods"])
    check.between("the last second's share", 0.0, last["rates"]["throttled"], 1.0)
    check.equal("limit, cores", 0.2, last["limits"]["cores"])
    if yard.v2:
        stalled(check, yard, burner, "cpu", "cpu.pressure")
    else:
        check.equal("pressure of a container", None, last["usage"]["pressure"])


def stalled(check, yard, burner, what, file):
    """Waiting was seen, and no more of it than the kernel says."""
    row = burner.until(f"{what} pressure", lambda row: ((row["usage"]["pressure"] or {"is": {}})["is"].get(what) or {"some": 0})["some"] > 0)
    kernels = stall(yard.guest.read(f"{yard.folders(burner.path)[0]}/{file}"))
    for kind in ("some", "full"):
        check.between(f"{what} pressure, {kind}, s", 1e-6, row["usage"]["pressure"]["is"][what][kind], kernels[kind])


def stall(text: str) -> dict[str, float]:
    return {line.split()[0]: int(line.rsplit("=", 1)[1]) / 1e6 for line in text.splitlines()}


def pressure(yard, check):
    """A container that wants more than its memory.high waits; the machine's own waiting is seen on every tree."""
    if yard.v2:
        burner = Burner(yard, "hold 14M report rest", high=12 * MIB)
        stalled(check, yard, burner, "memory", "memory.pressure")
        seen = burner.until("throttling", lambda row: row["usage"]["memory"]["is"]["high_events"])
        check.between("times throttled", 1, seen["usage"]["memory"]["is"]["high_events"], 10**9)
    # Three burners on two processors: somebody waits.
    crowd = [Burner(yard, "user 1.2 report rest") for _ in range(3)]
    for burner in crowd:
        burner.reports(1)
    asked = yard.tare.now()
    read_since = lambda report: (it := report["host"]["seen"]["usage"]["pressure"]) and it["at"]["boot"] > asked and it["is"] or None
    seen = yard.tare.until("reading of the machine's pressure", read_since, within=MOST_SECONDS)
    check.between("the machine's CPU pressure, s", 1e-6, seen["cpu"]["some"], stall(yard.guest.read("/proc/pressure/cpu"))["some"])


def out_of_memory(yard, check):
    """The kernel kills one process of a container: counted once, and the container runs on."""
    burner = Burner(yard, "report wait child hold 32M report rest", memory=16 * MIB)
    burner.reports(1)
    check.equal("kills before", 0, burner.fresh("memory")["usage"]["memory"]["is"]["oom_kills"])
    burner.go()
    burner.reports(2)
    seen = burner.fresh("memory")["usage"]["memory"]["is"]
    check.between("kernel's count", 1, burner.cgroup().figures()["oom_kills"], 1)
    check.equal("kills", 1, seen["oom_kills"])
    check.equal("it ran into its limit", True, seen["max_events"] > 0)
    check.between("in use, bytes", 1, seen["used"], 16 * MIB)


def disk(yard, check):
    """Bytes written to and read from a disk past the page cache, to the byte."""
    burner = Burner(yard, f"report wait write 6M {DISK} read 3M {DISK} report rest")
    number = yard.guest.read("/sys/block/vda/dev").strip()
    burner.reports(1)
    if not yard.v2:
        # v1 counts a disk's bytes only where a throttle was once set (seen on 6.1.176 and 6.18); this one is never reached.
        for way in ("read", "write"):
            yard.guest.sh(f"echo '{number} 100000000000' >/sys/fs/cgroup/blkio{burner.path}/blkio.throttle.{way}_bps_device")
    start = device(burner.fresh("io"), number)
    burner.go()
    burner.reports(2)
    end = device(burner.fresh("io"), number)
    check.equal("written, bytes", 6 * MIB, end["written"] - start["written"])
    check.equal("read, bytes", 3 * MIB, end["read"] - start["read"])
    check.between("operations", 2, end["reads"] + end["writes"] - start["reads"] - start["writes"], 10_000)


def device(row, number) -> dict:
    nothing = {"read": 0, "written": 0, "reads": 0, "writes": 0}
    return next((io for io in row["usage"]["io"]["is"] if io["device"] == number), nothing)


def network(yard, check):
    """Bytes through a veth pair, against its other end; a container without a name space of its own has the host's."""
    far, near = "far0", f"near{next(NUMBERS)}"
    burner = Burner(yard, "report receive 4M 9000 report rest", before="unshare -n")
    burner.reports(1)  # it is in its name space by now
    wire(yard, burner.pid, far, near, "10.9.0")
    yard.guest.sh("burn send 4M 10.9.0.2 9000")
    burner.reports(2)
    for _ in range(5):
        before, row, after = far_end(yard, far), burner.fresh("net"), far_end(yard, far)
        if before == after:
            break
    check.equal("whose", "own", row["net"])
    (link,) = [link for link in row["usage"]["net"]["is"] if link["name"] == near]
    for way in ("received", "sent"):
        check.between(f"{way}, bytes", before[way], link[way]["bytes"], after[way])
    check.between("received with the payload, bytes", 4 * MIB, link["received"]["bytes"], int(4 * MIB * 1.1))
    host = Burner(yard, "rest").until("network owner", lambda row: row["net"] != "unknown")
    check.equal("whose, without a name space", "host", host["net"])
    check.equal("figures, without a name space", None, host["usage"]["net"])


def wire(yard, pid: int, far: str, near: str, subnet: str):
    """A veth pair: SUBNET.1 on this end, SUBNET.2 on the one in the process's name space."""
    inside = f"nsenter -t {pid} -n"
    yard.guest.sh(
        f"set -e\nip link add {far} type veth\n"
        f"near=$(basename $(grep -lx $(cat /sys/class/net/{far}/iflink) /sys/class/net/*/ifindex | xargs dirname))\n"
        f"ip link set $near netns {pid}\n{inside} ip link set $near name {near}\n"
        f"ip addr add {subnet}.1/24 dev {far}\nip link set {far} up\n"
        f"{inside} ip addr add {subnet}.2/24 dev {near}\n{inside} ip link set {near} up\n"
    )


def far_end(yard, name) -> dict:
    received, sent = yard.guest.sh(f"cd /sys/class/net/{name}/statistics && cat tx_bytes rx_bytes").split()
    return {"received": int(received), "sent": int(sent)}


def removed(yard, check):
    """A container that is removed between two looks has ended, with its last figures; one made anew in its place begins at zero."""
    path = yard.loose()
    burner = Burner(yard, "user 0.8 report rest", path)
    burner.reports(1)
    last = burner.fresh("cpu")
    yard.remove(path)
    gone = burner.until("end", lambda row: row["state"] == "ended")
    check.equal("CPU time kept, s", last["usage"]["cpu"]["is"]["time"], gone["usage"]["cpu"]["is"]["time"])
    check.equal("rate of what has ended", None, gone["rates"]["cpu"])
    rates = []

    def anew(row):
        rates.append(row["rates"]["cpu"])
        return row["state"] == "running" and row["start"] != last["start"]

    again = Burner(yard, "report rest", path)
    row = again.until("new start", anew)
    check.between("made anew: CPU time, s", 0, row["usage"]["cpu"]["is"]["time"], 0.5)
    check.between("made anew: lowest rate, cores", 0, min((rate for rate in rates if rate is not None), default=0), 2)


def short_life(yard, check):
    """A container that is gone within a moment leaves a row with what it used."""
    burner = Burner(yard, "user 0.3 report rest")
    (own,) = burner.reports(1)
    cgroup = burner.cgroup()
    # It rests now: a few of the readings that come every 50 ms are of all that it used.
    time.sleep(0.2)
    yard.kill(burner.path)
    kernels = cgroup.figures()["time"]
    yard.remove(burner.path)
    gone = burner.until("end and its last reading", lambda row: (row.get("closing") or {}).get("last_reading_age") is not None)
    # Readings come every 50 ms for its first 2 s. Where emulation is so slow that it burnt for longer, one core since its last reading is what may be missing.
    missed = max(2 * TICK, gone["closing"]["last_reading_age"])
    check.between("CPU time, s", own["user"] + own["system"] - missed, gone["usage"]["cpu"]["is"]["time"], kernels + 1e-6)


def remainder(yard, check):
    """What a task's container used that lived and died between two looks stays in the task's own figures."""
    task, driver = new_id()[:32], "systemd" if yard.v2 else "cgroupfs"
    keeper = Burner(yard, "rest", of_task(driver, task, new_id()))
    keeper.fresh("cpu")
    short = Burner(yard, "user 0.3 report rest", of_task(driver, task, new_id()))
    (own,) = short.reports(1)
    yard.remove(short.path)
    before = task_time(yard, keeper)
    row = keeper.fresh("cpu")
    read_since = yard.tare.until("reading of the task", lambda report: whole(find(report, keeper.id), row["usage"]["cpu"]["at"]["boot"]))
    after = task_time(yard, keeper)
    check.between("the task's CPU time, s", before - 1e-6, read_since, after + 1e-6)
    check.between("no less than what died, s", own["user"] + own["system"] - TICK, read_since, 1e9)


def whole(row, since):
    reading = row and row["workload"]["usage"]["cpu"]
    return reading["is"]["time"] if reading and reading["at"]["boot"] >= since - 0.5 else None


def task_time(yard, burner) -> float:
    """What the kernel says of the folder above a container."""
    above = burner.path.rsplit("/", 1)[0]
    if yard.v2:
        return kernel.pairs(yard.guest.read(f"/sys/fs/cgroup{above}/cpu.stat"))["usage_usec"] / 1e6
    return int(yard.guest.read(f"/sys/fs/cgroup/cpuacct{above}/cpuacct.usage")) / 1e9


def no_pressure(yard, check):
    """A kernel that was told to keep no PSI: unknown, not zero, and said."""
    burner = Burner(yard, "user 600", quota=0.2)
    row = burner.until("throttled periods", lambda row: (row["rates"]["throttled"] or 0) > 0)
    report = yard.tare.report()
    check.equal("pressure of a container", None, row["usage"]["pressure"])
    check.equal("pressure of the machine", None, report["host"]["seen"]["usage"]["pressure"])
    check.equal("gaps that name it", True, any("pressure" in gap["what"] for gap in report["gaps"]))
    metrics = yard.tare.page("metrics").decode()
    check.equal("series of pressure", [], [line for line in metrics.splitlines() if re.match(r"tare_\w*pressure", line)])


ALL = [names, cpu, memory, kernel_files, throttling, pressure, out_of_memory, disk, network, removed, short_life, remainder]
# What a hybrid tree could get wrong that a v1 tree does not show.
SOME = [names, cpu, kernel_files]

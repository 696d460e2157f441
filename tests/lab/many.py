"""Many: thousands of cgroups that come, stay and go. What Tare may take of memory and open files is bounded, no look is missed, and what a bound
cuts is counted. Each scenario has a tare of its own, so that what it takes is the scenario's. They run one after the other.

The cgroups are made on this machine without a runtime, named as Docker names them, below folders that are this run's own. None of this
measures speed: the intervals are such that a debug build on a busy machine keeps them."""

import contextlib
import hashlib
import os
import re
import shutil
import signal

import time
from pathlib import Path


from debian import Unavailable
from tare import Tare

MIB = 1 << 20
KEEP_OPEN = 500
# Beside the kept files: folders on the way, sockets, epoll, the counters of its own.
OTHER_FILES = 60
CONTROLLERS = {"cpu", "cpuacct", "memory", "blkio", "pids", "cpuset"}
LINGERING = 2_000
# Those of containers that have just begun are read every 50 ms for two seconds and stay open meanwhile.
NEW_FILES = 768
SLEEP = shutil.which("sleep")
# Anonymous memory that a container and a plain cgroup may take (a release build takes 27 KiB for a container), and Tare without either.
A_CONTAINER, A_CGROUP, SLACK = 40 << 10, 2 << 10, 12 * MIB
LIVING = 200


class Lab:
    """Cgroups below folders of our own, and the tares that watch them."""

    def __init__(self, folder: Path, binary: Path):
        self.folder, self.binary = folder, binary
        self.tops = [top / f"tare-many-{os.getpid()}" for top in hierarchies()]
        self.sleepers, self.tares = {}, []

    def open(self):
        if os.geteuid() != 0:
            raise Unavailable("not root: only root can make cgroups")
        if not self.tops:
            raise Unavailable("no cgroup tree is mounted here")
        if not SLEEP:
            raise Unavailable("no sleep here to put into cgroups")
        try:
            self.make("")
        except OSError as why:
            raise Unavailable(f"no cgroup can be made here: {why}") from None

    def make(self, path: str):
        """One cgroup in every hierarchy; what is above it is there."""
        for top in self.tops:
            folder = top / path if path else top
            folder.mkdir()
            if (folder / "cgroup.controllers").exists() and not path:
                for controller in ("cpu", "memory", "io", "pids"):
                    with contextlib.suppress(OSError):
                        for above in (top.parent, top):
                            (above / "cgroup.subtree_control").write_text(f"+{controller}")
            elif (folder / "cpuset.mems").exists() and not (folder / "cgroup.controllers").exists():
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (folder / file).write_text((folder.parent / file).read_text())

    def remove(self, path: str):
        for top in self.tops:
            for _ in range(500):
                try:
                    (top / path).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:  # busy until the last process is gone
                    time.sleep(0.01)

    def start(self, number):
        """A container: its cgroup, and a process that sleeps in it."""
        path = container(number)
        if not (self.tops[0] / "docker").exists():
            self.make("docker")
        self.make(path)
        pid = os.posix_spawn(SLEEP, [SLEEP, "infinity"], {})
        self.sleepers[number] = pid
        for top in self.tops:
            (top / path / "cgroup.procs").write_text(str(pid))

    def end(self, number):
        pid = self.sleepers.pop(number)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.remove(container(number))

    def tare(self, interval: str, **settings) -> Tare:
        """One of its own; settings as `cgroup_max_groups=5`."""
        settings = {"interval": interval, "cgroup_keep_open": KEEP_OPEN, "imds_enabled": "false", **settings}
        env = {f"TARE_{name.upper()}": str(value) for name, value in settings.items()}
        tare = Tare(self.binary, None, self.folder / f"tare-{len(self.tares)}.log", env)
        self.tares.append(tare)
        tare.until("report", lambda report: report, within=60)
        return tare

    def clear(self):
        """Ends and removes all that a scenario made: containers, then the folders they lay in."""
        for tare in self.tares:
            tare.stop()
        self.tares.clear()
        for number in list(self.sleepers):
            self.end(number)
        below = {path.relative_to(top).as_posix() for top in self.tops for path in top.rglob("*") if path.is_dir()}
        for path in sorted(below, key=len, reverse=True):
            self.remove(path)

    def close(self):
        self.clear()
        self.remove("")


def hierarchies() -> list[Path]:
    """Mount points that carry Tare's controllers: several on v1, one on v2."""
    v1, v2 = {}, []
    for line in open("/proc/self/mountinfo"):
        place, kind = line.split(" - ")
        name, _, options = kind.split(None, 2)
        if name == "cgroup" and CONTROLLERS & set(options.strip().split(",")):
            v1[place.split()[4]] = Path(place.split()[4])
        elif name == "cgroup2":
            v2.append(Path(place.split()[4]))
    return list(v1.values()) or v2[:1]


def identity(number) -> str:
    return hashlib.sha256(f"tare many {number}".encode()).hexdigest()


def container(number) -> str:
    return f"docker/{identity(number)}"


class Taken:
    """What a tare takes, read from the kernel, and what it counted."""

    def __init__(self, tare: Tare):
        self.process = Path(f"/proc/{tare.process.pid}")
        self.files = len(list((self.process / "fd").iterdir()))
        self.anon = int(re.search(r"^RssAnon:\s+(\d+) kB", (self.process / "status").read_text(), re.M).group(1)) << 10
        self.series = dict(re.findall(r"^(tare_agent_\S+) (\S+)$", tare.page("metrics").decode(), re.M))

    def below(self, tops) -> list[str]:
        """What is open below folders."""
        links = []
        for link in (self.process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # one that was open for a moment only
                links.append(os.readlink(link))
        return [link for link in links if any(link.startswith(f"{top}/") for top in tops)]

    def count(self, series: str) -> float:
        return float(self.series.get(series, 0))


def keeps_up(check, tare, taken, new=0):
    """`new`: files of containers that begin just now."""
    check.equal("looks missed", 0.0, taken.count("tare_agent_ticks_missed_total"))
    check.between("files open", 1, taken.files, KEEP_OPEN + OTHER_FILES + new)
    late = [gap for gap in tare.report()["gaps"] if "deadline" in gap["why"] or "open files" in gap["why"]]
    check.equal("gaps for lateness or files", [], late)


def rows(report) -> list[dict]:
    return [row for workload in report["workloads"] for row in workload["containers"]]


def containers(report, *states) -> set[str]:
    return {row["about"]["id"] for row in rows(report) if row["state"] in states}


def crowd(lab, check):
    """2,000 containers: all are there, and the files that stay open are bounded."""
    for number in range(2_000):
        lab.start(number)
    tare = lab.tare("5s")
    ids = {identity(number) for number in range(2_000)}
    # The first look opens 50,000 files: on a busy machine its tick ends without them, and the next one has them.
    three_looks(tare)
    check.equal("containers not seen", 0, len(ids - containers(tare.report(), "running")))
    taken = Taken(tare)
    keeps_up(check, tare, taken)
    check.between("anonymous memory, MiB", 0, taken.anon / MIB, (2_000 * A_CONTAINER + SLACK) / MIB)
    check.equal("cgroups left out", 0.0, taken.count('tare_agent_cut_total{reason="cgroups"}'))


def three_looks(tare):
    began = Taken(tare).count("tare_agent_ticks_total")
    tare.until("three looks", lambda _: True if Taken(tare).count("tare_agent_ticks_total") >= began + 3 else None, within=60)


def bound(lab, check):
    """More cgroups than `cgroup.max_groups` allows: so many are kept, the others are counted and said."""
    for number in range(300):
        lab.start(number)
    tare = lab.tare("1s", cgroup_max_groups=100)
    three_looks(tare)
    report = tare.report()
    seen = len(containers(report, "running"))
    check.between("containers kept", 1, seen, 100)
    words = [gap["why"] for gap in report["gaps"] if "left out" in gap["why"]]
    check.equal("said", 1, len(words))
    left_out = int(words[0].split()[0]) if words else 0
    check.between("left out, of 300 and the machine's own", 200, left_out, 10_000)
    # At each look the same ones are left out: they count once.
    check.between("counted", left_out, int(Taken(tare).count('tare_agent_cut_total{reason="cgroups"}')), left_out + 100)


def churn(lab, check):
    """10,000 containers come and go while Tare looks every second: memory and files stay flat, the ended rows are bounded."""
    tare = lab.tare("1s")
    samples = []
    for number in range(10_000):
        lab.start(number)
        if number >= LIVING:
            lab.end(number - LIVING)
        if number % 250 == 249:
            samples.append(Taken(tare))
    seen = tare.until("the last container", lambda report: report if identity(9_999) in containers(report, "running") else None)
    last = samples[-1]
    # A sample may fall between the making of a report and the end of the one before: the highest of eight.
    before, after = (max(sample.anon for sample in samples[-16:][half]) for half in (slice(8), slice(8, None)))
    living = {identity(number) for number in lab.sleepers}
    all_of_them = {identity(number) for number in range(10_000)}
    check.equal("running that do not, or the other way", 0, len(living ^ containers(seen, "running") & all_of_them))
    check.between("ended rows", 1, len(containers(seen, "ended")), LINGERING)
    check.between("ended rows that were too many", 1.0, last.count('tare_agent_cut_total{reason="ended"}'), 10_000.0)
    # Thousands of ended rows were dropped by then; what grew with each container would grow by a third here.
    check.between("memory up to 10,000 over up to 8,000", 0.0, after / before, 1.2)
    check.between("anonymous memory, MiB", 0, max(before, after) / MIB, ((LINGERING + LIVING) * A_CONTAINER + SLACK) / MIB)
    keeps_up(check, tare, last, new=NEW_FILES)
    for number in list(lab.sleepers):
        lab.end(number)
    three_looks(tare)
    check.equal("files open of what is gone", [], Taken(tare).below(lab.tops))


def burst(lab, check):
    """500 containers with processes start within a second."""
    tare = lab.tare("1s")
    began = time.monotonic()
    for number in range(500):
        lab.start(number)
    check.lines.append(f"        started in {time.monotonic() - began:.1f} s")
    ids = {identity(number) for number in range(500)}
    report = tare.until("500 containers", lambda report: report if ids <= containers(report, "running") else None)
    check.equal("ended", set(), containers(report, "ended") & ids)
    networks = lambda report: {row["net"] for row in rows(report) if row["about"]["id"] in ids}
    report = tare.until("owners of all networks", lambda report: report if "unknown" not in networks(report) else None)
    check.equal("their network, the host's", {"host"}, networks(report))
    three_looks(tare)
    keeps_up(check, tare, Taken(tare))


def no_containers(lab, check):
    """4,096 cgroups that are no containers: no rows, no files kept, little memory."""
    tare = lab.tare("1s")
    before = Taken(tare)
    for number in range(4_096):
        lab.make(f"group-{number}")
    three_looks(tare)
    after = Taken(tare)
    check.equal("rows", [], [row["cgroup"] for row in tare.report()["workloads"] if f"/{lab.tops[0].name}/" in (row["cgroup"] or "")])
    check.between("memory more, KiB", 0, (after.anon - before.anon) >> 10, 4_096 * A_CGROUP >> 10)
    keeps_up(check, tare, after)


ALL = [crowd, bound, churn, burst, no_containers]

"""Real containers: each scenario does something known to one and holds what Tare says of it against another witness.

A scenario is a function of the lab and its checks; it raises Skip where the machine cannot show it. All run at once, each in its own thread."""

import contextlib
import json
import os
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import kernel
import stage
from checks import Skip
from dockerd import IMAGE, IMAGE_WITH_CHECK, Dockerd, Refused
from image import image
from lives import short_lives
from tare import Tare, find

MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = 1 / os.sysconf("SC_CLK_TCK")


class Lab:
    """A daemon, a Tare that watches it, and a program to put into containers."""

    def __init__(self, folder: Path, binary: Path, **daemon):
        self.folder, self.binary = folder, binary
        self.dockerd = Dockerd(folder, **daemon)
        self.docker = self.dockerd.docker
        self.tare = None
        self.burners = []

    def open(self):
        self.dockerd.start()
        self.burn = stage.compiled("burn", self.folder)
        self.dockerd.import_image(self.burn)
        self.cgroup_v1 = self.docker("info", "--format", "{{.CgroupVersion}}") == "1"
        self.tare = Tare(self.binary, self.dockerd.socket, self.folder / "tare.log")
        self.tare.until("report", lambda report: report)

    def clear(self):
        """Removes what one scenario made."""
        with contextlib.suppress(Refused):
            self.docker("rm", "-f", *(burner.id for burner in self.burners))

    def close(self):
        if self.tare:
            self.tare.stop()
        self.dockerd.stop()


class Burner:
    """One container that runs burn."""

    def __init__(self, lab, steps: str, *options, image=IMAGE):
        self.lab = lab
        self.data = lab.folder / "data" / str(time.monotonic_ns())
        self.data.mkdir(parents=True)
        self.id = lab.docker("run", "-d", "-v", f"{self.data}:/data", *options, image, *steps.split())
        lab.burners.append(self)

    def inspect(self):
        return self.lab.dockerd.inspect(self.id)

    def pid(self) -> int:
        return self.inspect()["State"]["Pid"]

    def reports(self, count: int, within=120) -> list[dict]:
        """Its own account, once it has given it so many times."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            lines = self.lab.docker("logs", self.id).splitlines()
            if len(lines) >= count:
                return [json.loads(line) for line in lines]
            state = self.inspect()["State"]
            if state["Status"] == "exited" and len(self.lab.docker("logs", self.id).splitlines()) < count:
                raise RuntimeError(f"burn ended with {state['ExitCode']} before its report {count}")
            time.sleep(0.3)
        raise TimeoutError(f"burn did not report {count} times within {within} s")

    def go(self):
        """Lets a burner that waits after its first report go on."""
        self.reports(1)
        self.lab.docker("kill", "-s", "USR1", self.id)

    def fresh(self, *groups):
        return self.lab.tare.fresh(self.id, *groups)

    def until(self, what, answer):
        """Tare's row of this container once `answer(row)` holds."""

        def row_if(report):
            row = find(report, self.id)
            return row if row and answer(row) else None

        return self.lab.tare.until(f"{what} of {self.id[:12]}", row_if)


def cpu(lab, check):
    """CPU time over more than 10 s of work, against the burner's own getrusage."""
    burner = Burner(lab, "report wait user 7.5 system 3 report rest")
    burner.reports(1)
    before = burner.fresh("cpu")["usage"]["cpu"]["is"]
    burner.go()
    first, last = burner.reports(2, within=240)  # on a busy machine ten seconds of CPU take their time
    after = burner.fresh("cpu")["usage"]["cpu"]["is"]
    used = {mode: last[mode] - first[mode] for mode in ("user", "system")}
    seen = {mode: after["split"][mode] - before["split"][mode] for mode in ("user", "system")}
    check.within("CPU time, s", sum(used.values()), after["time"] - before["time"], percent=1)
    check.within("user, s", used["user"], seen["user"], percent=5, or_by=2 * TICK)
    check.within("system, s", used["system"], seen["system"], percent=5, or_by=2 * TICK)


def memory(lab, check):
    """Anonymous memory against smaps, memory in use against the parts the kernel gives it."""
    burner = Burner(lab, "hold 96M cache 16M /data/cached report rest")
    (own,) = burner.reports(1)
    time.sleep(3)
    seen = burner.fresh("memory")["usage"]["memory"]["is"]
    parts = kernel.Cgroup(burner.pid()).figures()
    most = parts["anon"] + parts["file"] + parts["kernel_and_sockets"] + 64 * PAGE * os.cpu_count()
    check.within("anonymous, bytes", own["anon"], seen["anon"], percent=1)
    check.between("in use, bytes", parts["anon"], seen["used"], most)
    check.between("working set, bytes", 0, seen["working_set"], seen["used"])


def kernel_files(lab, check):
    """Every figure of a container at rest is the one in the kernel's own files."""
    burner = Burner(lab, "hold 8M cache 4M /data/cached user 0.2 report rest", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "50")
    burner.reports(1)
    time.sleep(3)
    cgroup = kernel.Cgroup(burner.pid())
    row = kernel.at_rest(check, cgroup, lambda: burner.fresh("cpu", "memory", "pids"))
    check.equal("CPU limit, cores", 0.5, row["own"]["cores"])
    check.equal("memory limit, bytes", 64 * MIB, row["own"]["memory"])
    check.equal("process limit", 50, row["own"]["pids"])


def disk(lab, check):
    """Bytes read and written with O_DIRECT, to the byte."""
    on = kernel.disk_of(lab.folder)
    if on is None:
        raise Skip(f"{lab.folder} lies on no disk of its own: its bytes reach no device")
    number, path = on
    options = []
    if lab.cgroup_v1:
        # Since Linux 6.10 v1 counts a disk's bytes only where a throttle was once set; this one is never reached.
        options = ["--device-write-bps", f"{path}:100gb", "--device-read-bps", f"{path}:100gb"]
    burner = Burner(lab, "report wait write 64M /data/direct report wait read 24M /data/direct report rest", *options)
    looks = []
    for reports in (1, 2, 3):
        burner.reports(reports)
        looks.append(device(burner.fresh("io"), number))
        if reports < 3:
            lab.docker("kill", "-s", "USR1", burner.id)
    start, written, read = looks
    check.equal(f"written to {number}, bytes", 64 * MIB, written["written"] - start["written"])
    # Counted from after the write: making room for the file may read a block of the file system's own.
    check.equal(f"read from {number}, bytes", 24 * MIB, read["read"] - written["read"])


def device(row, number) -> dict:
    rows = (row["usage"]["io"] or {"is": []})["is"]
    return next((io for io in rows if io["device"] == number), {"read": 0, "written": 0})


def network(lab, check):
    """Bytes to and from a container, against the other end of its veth pair, to the byte."""
    # From and to the host itself: between two containers another daemon's firewall rules may stand.
    receiver = Burner(lab, "receive 20M 9000 report rest")
    link = next(iter(receiver.inspect()["NetworkSettings"]["Networks"].values()))
    port = free_port()
    host = [subprocess.Popen([lab.burn, *words.split()]) for words in (f"send 20M {link['IPAddress']} 9000", f"receive 20M {port}")]
    sender = Burner(lab, f"send 20M {link['Gateway']} {port} report rest")
    try:
        receiver.reports(1)
        sender.reports(1)
    finally:
        for process in host:
            process.kill()
            process.wait()
    for name, burner, main in (("receiver", receiver, "received"), ("sender", sender, "sent")):
        far = kernel.far_end(burner.pid())
        for _ in range(5):
            before = far_counters(far)
            row = burner.fresh("net")
            after = far_counters(far)
            if before == after:  # a multicast packet in between would leave a few bytes of doubt
                break
        check.equal(f"{name}'s network", "own", row["net"])
        (eth0,) = [link for link in row["usage"]["net"]["is"] if link["name"] == "eth0"]
        for way in ("received", "sent"):
            check.between(f"{name} {way}, bytes", before[way], eth0[way]["bytes"], after[way])
        check.between(f"{name} {main} the payload, bytes", 20 * MIB, eth0[main]["bytes"], int(20 * MIB * 1.1))


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("0.0.0.0", 0))
        return door.getsockname()[1]


def far_counters(far) -> dict:
    """What went into the far end came out of ours."""
    return {"received": int((far / "tx_bytes").read_text()), "sent": int((far / "rx_bytes").read_text())}


def shared_network(lab, check):
    """Two containers in one network name space are counted once."""
    owner = Burner(lab, "rest")
    guest = Burner(lab, "rest", "--network", f"container:{owner.id}")
    own, other = owner.fresh("net"), guest.until("network owner", lambda row: row["net"] != "unknown")
    check.equal("owner's network", "own", own["net"])
    check.equal("guest's network", {"of": owner.id}, other["net"])
    check.equal("guest's figures", None, other["usage"]["net"])
    check.equal("interfaces counted for both", 1, sum(len(row["usage"]["net"]["is"]) for row in (own, other) if row["usage"]["net"]))


def host_network(lab, check):
    """The host's network is nobody's own: said so, with no figures."""
    row = Burner(lab, "rest", "--network", "host").until("network owner", lambda row: row["net"] != "unknown")
    check.equal("network", "host", row["net"])
    check.equal("figures", None, row["usage"]["net"])


def throttling(lab, check):
    """A burner with a fifth of a core is throttled, and that is seen."""
    burner = Burner(lab, "user 60", "--cpus", "0.2")
    cgroup = kernel.Cgroup(burner.pid())
    deadline = time.monotonic() + 60
    while cgroup.figures()["throttled"] < 10:
        if time.monotonic() > deadline:
            raise Skip("this machine is too busy to give anyone a fifth of a core: no quota is reached")
        time.sleep(0.3)
    first = burner.fresh("cpu")
    time.sleep(3)
    before = cgroup.figures()
    last = burner.fresh("cpu")
    after = cgroup.figures()
    new = last["usage"]["cpu"]["is"]["throttling"]
    check.between("periods", before["periods"], new["periods"], after["periods"])
    check.between("throttled periods, ten or more", max(10, before["throttled"]), new["throttled"], after["throttled"])
    check.between("the last second's share", 0.0, last["rates"]["throttled"], 1.0)
    check.between("cores in use, by the quota", 0.0, cores(first, last), 0.21)
    check.equal("limit, cores", 0.2, last["own"]["cores"])
    check.within("of its limit", last["rates"]["cpu"] / 0.2, last["rates"]["cpu_of_limit"], percent=0.01)


def cores(first, last) -> float:
    old, new = first["usage"]["cpu"], last["usage"]["cpu"]
    return (new["is"]["time"] - old["is"]["time"]) / (new["at"]["boot"] - old["at"]["boot"])


def out_of_memory(lab, check):
    """The kernel kills a process of one container, and all of another: the first is counted, the second explained."""
    limit = ["--memory", "32m", "--memory-swap", "32m"]
    survivor = Burner(lab, "report wait child hold 64M report rest", *limit)
    victim = Burner(lab, "report wait hold 64M report rest", *limit)
    check.equal("kills before", 0, survivor.fresh("memory")["usage"]["memory"]["is"]["oom_kills"])
    victim.fresh("memory")
    for burner in (survivor, victim):
        burner.go()
    survivor.reports(2)
    seen = survivor.fresh("memory")
    kills = kernel.Cgroup(survivor.pid()).figures()["oom_kills"]
    check.between("a child is killed: kernel's count", 1, kills, 1)
    check.equal("a child is killed: kills", kills, seen["usage"]["memory"]["is"]["oom_kills"])
    check.equal("a child is killed: state", "running", seen["state"])
    ended = victim.until("end", lambda row: row["state"] == "exited")
    said = victim.inspect()["State"]
    check.equal("all is killed: exit code", said["ExitCode"], ended["exit"])
    check.equal("all is killed: for memory", said["OOMKilled"], ended["oom"])
    check.equal("all is killed: it was that", (137, True), (said["ExitCode"], said["OOMKilled"]))


def started_again(lab, check):
    """A restart, and a new container of the old name, are new things: no rate is taken across them."""
    burner = Burner(lab, "user 1 report rest", "--name", "tare-lab-again")
    burner.reports(1)
    old = burner.fresh("cpu")
    lab.docker("restart", burner.id)
    rates = []

    def new_start(row):
        rates.append(row["rates"]["cpu"])
        return row["start"] != old["start"] and row["usage"]["cpu"]

    new = burner.until("new start", new_start)
    check.equal("restarted: same container", old["about"]["id"], new["about"]["id"])
    check.equal("restarted: another start", True, new["start"] != old["start"])
    check.between("restarted: lowest rate, cores", 0, min((rate for rate in rates if rate is not None), default=0), os.cpu_count())
    lab.docker("rm", "-f", burner.id)
    second = Burner(lab, "rest", "--name", "tare-lab-again")
    row = second.fresh("cpu")
    check.equal("same name: another container", True, row["about"]["id"] != old["about"]["id"])
    check.between("same name: CPU time from zero, s", 0, row["usage"]["cpu"]["is"]["time"], 0.5)
    gone = find(lab.tare.report(), burner.id)
    check.equal("same name: the old one runs", False, bool(gone) and gone["state"] == "running")


def restarts(lab, check):
    """A container that fails and is started again twice, then stays down."""
    burner = Burner(lab, "exit 3", "--restart", "on-failure:2")
    row = burner.until("end", lambda row: row["state"] == "exited" and row["restarts"] == 2)
    said = burner.inspect()
    check.equal("restarts", said["RestartCount"], row["restarts"])
    check.equal("exit code", 3, row["exit"])
    check.equal("killed for memory", False, row["oom"])


def health(lab, check):
    """The runtime's health check."""
    sound = Burner(lab, "rest", image=IMAGE_WITH_CHECK)
    sick = Burner(lab, "rest", "--health-retries", "1", "--health-interval", "1s", "--health-cmd", "true")  # no shell there to run it
    for name, burner, verdict in (("passes", sound, "healthy"), ("cannot run", sick, "unhealthy")):
        row = burner.until("health", lambda row: row["health"] not in (None, "starting"))
        check.equal(f"check {name}", verdict, row["health"])
    check.equal("no check", None, Burner(lab, "rest").fresh("cpu")["health"])


def compose(lab, check):
    """Names from Docker Compose's labels."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    burner = Burner(lab, "rest", "--name", "tare-lab-shop-web-1", *(word for pair in labels.items() for word in ("--label", "=".join(pair))))
    row = burner.until("name", lambda row: row["about"]["name"])
    check.equal("container", "tare-lab-shop-web-1", row["about"]["name"])
    check.equal("image", IMAGE, row["about"]["image"])
    check.equal("image digest", burner.inspect()["Image"], row["about"]["digest"])
    check.equal("compose", {"project": "shop", "service": "web"}, row["about"]["compose"])
    check.equal("workload", ("web", "shop"), (row["workload"]["about"]["name"], row["workload"]["about"]["project"]))


def labels(lab, check):
    """64 KiB of labels: the container has its name, and none of them is told."""
    marker = "lab-marker"
    words = [word for number in range(64) for word in ("--label", f"{marker}-{number}={marker}{'x' * 1000}")]
    burner = Burner(lab, "rest", "--name", "tare-lab-labels", *words)
    row = burner.until("name", lambda row: row["about"]["name"])
    check.equal("labels that Docker holds, KiB", 63, sum(map(len, burner.inspect()["Config"]["Labels"].values())) >> 10)
    check.equal("container", "tare-lab-labels", row["about"]["name"])
    check.equal("image", IMAGE, row["about"]["image"])
    for page in ("report.json", "metrics"):
        check.equal(f"said in /{page}", False, marker.encode() in lab.tare.page(page))


def docker_stats(lab, check):
    """`docker stats` says the same, as far as it prints digits."""
    burner = Burner(lab, "hold 48M cache 8M /data/cached user 60", "--cpus", "0.3")
    time.sleep(3)
    rows = [burner.fresh("cpu", "memory", "net", "pids")]
    with ThreadPoolExecutor() as beside:
        stats = beside.submit(lab.docker, "stats", "--no-stream", "--format", "{{json .}}", burner.id)
        while not stats.done():
            rows.append(burner.fresh("cpu"))
    said = json.loads(stats.result())
    rows.append(burner.fresh("cpu", "memory", "net", "pids"))
    first, last = rows[0], rows[-1]
    # Docker measured a second that lies across two or three of ours; at each of its ends a tenth's worth of quota, 3 %, falls inside or outside.
    shares = [cores(one, next_one) * 100 for one, next_one in pairwise(rows)]
    check.between("CPU, %", min(shares) - 6, float(said["CPUPerc"].rstrip("%")), max(shares) + 6)
    check.equal("processes", int(said["PIDs"]), last["usage"]["pids"]["is"])
    working_set = [row["usage"]["memory"]["is"]["working_set"] for row in (first, last)]
    printed(check, "memory, bytes", said["MemUsage"].split(" / ")[0], working_set)
    for position, way in enumerate(("received", "sent")):
        totals = [sum(link[way]["bytes"] for link in row["usage"]["net"]["is"]) for row in (first, last)]
        printed(check, f"{way}, bytes", said["NetIO"].split(" / ")[position], totals)


def printed(check, what, text, seen):
    """What `text` rounds (`49.12MiB`, `1.1kB`) lies between Tare's two readings around it."""
    amount, decimals, unit = re.fullmatch(r"(\d+(?:\.(\d+))?)(\w+)", text).groups()
    scale = {"B": 1, "kB": 1000, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
    value, last_digit = float(amount) * scale, scale * 10.0 ** -len(decimals or "")
    check.between(f"{what} ({text})", max(0, int(min(seen) - last_digit)), int(value), int(max(seen) + last_digit) + 1)


def one_look(lab, check):
    """`tare ps -o json` looks for itself and says what the running Tare says."""
    burner = Burner(lab, "user 0.5 report rest")
    burner.reports(1)
    time.sleep(1)
    running = burner.fresh("cpu")
    alone = find(lab.tare.once("ps", "-o", "json"), burner.id)
    check.equal("the container is there", True, alone is not None)
    if alone:
        check.within("CPU time, s", running["usage"]["cpu"]["is"]["time"], alone["usage"]["cpu"]["is"]["time"], percent=0.5)


HIDDEN_TREE = ("unshare", "-m", "sh", "-c", 'mount --make-rprivate / && mount -t tmpfs none /sys/fs/cgroup && exec "$0" "$@"')


def without_the_tree(lab, check):
    """Where no cgroup tree can be read, Docker's stats say what the kernel's files say."""
    if subprocess.run([*HIDDEN_TREE, "true"], capture_output=True).returncode != 0:
        raise Skip("no mount name space can be made here")
    burner = Burner(lab, "hold 32M cache 4M /data/cached user 1.5 report rest", "--memory", "128m", "--cpus", "0.5", "--pids-limit", "50")
    burner.reports(1)
    hidden = Tare(lab.binary, lab.dockerd.socket, lab.folder / "hidden.log", {"TARE_DOCKER_STATS_EVERY": "1s"}, HIDDEN_TREE)
    try:
        readings = []

        def third_reading(report):
            row = find(report, burner.id)
            cpu = row and row["usage"]["cpu"]
            if cpu and cpu["at"]["wall"] not in readings:
                readings.append(cpu["at"]["wall"])
            return row if len(readings) >= 3 else None

        cgroup = kernel.Cgroup(burner.pid())
        before = cgroup.figures()
        row = hidden.until("third reading by Docker's stats", third_reading, within=60)
        after = cgroup.figures()
        usage = {group: reading and reading["is"] for group, reading in row["usage"].items()}
        check.equal("who measures", "docker-stats", row["usage"]["cpu"]["from"])
        check.between("CPU time, s", before["time"] - 1e-6, usage["cpu"]["time"], after["time"] + 1e-6)
        for name in ("used", "anon", "file"):
            check.between(f"{name}, bytes", min(before[name], after[name]), usage["memory"][name], max(before[name], after[name]))
        check.between("working set, bytes", usage["memory"]["anon"], usage["memory"]["working_set"], usage["memory"]["used"])
        check.between("throttled periods", before["throttled"], usage["cpu"]["throttling"]["throttled"], after["throttled"])
        check.between("processes", before["pids"], usage["pids"], after["pids"])
        check.equal("CPU limit, cores", 0.5, row["own"]["cores"])
        check.equal("memory limit, bytes", 128 * MIB, row["own"]["memory"])
        check.equal("CPU in use", True, row["rates"]["cpu"] is not None)
        seen = find(lab.tare.report(), burner.id)
        check.equal("beside a tree that is read", "cgroup", seen["usage"]["cpu"]["from"])
    finally:
        hidden.stop()


def sizes(lab, check):
    """What a container wrote to its layer and a volume holds, as Docker measures it for us; without the setting nothing is measured."""
    volume = f"tare-lab-{time.monotonic_ns()}"
    lab.docker("volume", "create", volume)
    burner = Burner(lab, "cache 24M /written cache 8M /kept/file report rest", "-v", f"{volume}:/kept")
    # Files that grow while they are measured have no one size.
    burner.reports(1)
    other = Tare(lab.binary, lab.dockerd.socket, lab.folder / "sizes.log", {"TARE_DOCKER_SIZES": "1m"})
    try:
        block = os.statvfs(lab.folder).f_frsize
        row = other.until("sizes", lambda report: (row := find(report, burner.id)) and "disk" in row and row or None)
        check.between("written to its layer, bytes", 24 * MIB, row["disk"]["is"]["written"], 24 * MIB + block)
        check.between("its image, bytes", 1, row["disk"]["is"]["image"], 64 * MIB)
        said = next((one for one in other.report()["host"]["seen"]["volumes"]["is"] if one["name"] == volume), {})
        check.between("in the volume, bytes", 8 * MIB, said.get("size") or 0, 8 * MIB + block)
        check.equal("containers that have it", 1, said.get("users"))
        check.equal("measured where nobody asks", False, "disk" in find(lab.tare.report(), burner.id))
    finally:
        other.stop()


ALL = [
    cpu, memory, kernel_files, disk, network, shared_network, host_network, throttling,
    out_of_memory, started_again, restarts, health, compose, labels, docker_stats, one_look, without_the_tree, sizes, image, short_lives,
]

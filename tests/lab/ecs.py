"""ECS tasks as the agent makes them: a cgroup for the task, its containers inside, their labels, a pause container whose network the others share."""

import contextlib
import secrets
import subprocess
import time
from pathlib import Path

import containers
import kernel
from checks import Skip
from tare import Tare, find

MIB = 1 << 20
FAMILY = "checkout"


class Task:
    """One task; `mode` is its network: awsvpc, bridge or host. `own_cgroup`: the agent makes one (ECS_ENABLE_TASK_CPU_MEM_LIMIT)."""

    def __init__(self, lab, mode="awsvpc", own_cgroup=True):
        self.lab, self.mode = lab, mode
        self.id = secrets.token_hex(16)
        self.arn = f"arn:aws:ecs:eu-west-1:111122223333:task/lab/{self.id}"
        self.parent = (f"/ecs/{self.id}" if lab.cgroup_v1 else f"/ecstasks.slice/ecstasks-{self.id}.slice") if own_cgroup else None
        self.pause = self.add("~internal~ecs~pause", "rest") if mode == "awsvpc" else None

    def add(self, name: str, steps: str, *options):
        network = ["--network", "host"] if self.mode == "host" else []
        if self.mode == "awsvpc" and name != "~internal~ecs~pause":
            network = ["--network", f"container:{self.pause.id}"]
        parent = ["--cgroup-parent", self.parent] if self.parent else []
        return containers.Burner(self.lab, steps, *parent, *network, "--cpu-shares", "2", *labels(self.arn, name), *options)

    def until(self, what: str, answer):
        """The task's row once `answer(row)` holds; a task is found by its key."""

        def row_if(report):
            row = task_row(report, self.id)
            return row if row and answer(row) else None

        return self.lab.tare.until(f"{what} of task {self.id[:8]}", row_if)

    def fresh(self, *groups):
        asked = self.lab.tare.now()
        return self.until(f"reading of {', '.join(groups)}", lambda row: all((row["usage"][group] or {"at": {"boot": 0}})["at"]["boot"] > asked for group in groups))

    def clear(self):
        """The agent removes a task's cgroup when the task is over; whoever removes a container does not."""
        for hierarchy in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]:
            with contextlib.suppress(OSError):
                (hierarchy / self.parent.lstrip("/")).rmdir()


def labels(arn: str, name: str, family=FAMILY) -> list[str]:
    said = {"task-arn": arn, "container-name": name, "task-definition-family": family, "task-definition-version": "41", "cluster": "lab"}
    return [word for label, value in said.items() for word in ("--label", f"com.amazonaws.ecs.{label}={value}")]


def task_row(report: dict, task: str) -> dict | None:
    return next((row for row in report["workloads"] if row["about"]["key"] == {"task": task}), None)


@contextlib.contextmanager
def tasks(lab, *modes, **options):
    made = [Task(lab, mode, **options) for mode in modes]
    try:
        yield made
    finally:
        lab.clear()
        for task in made:
            if task.parent:
                task.clear()


def ecs_names(lab, check):
    """A task has its family's name, its containers those of the task definition; its ARN stands once."""
    with tasks(lab, "awsvpc") as [task]:
        app = task.add("app", "rest")
        row = task.until("name", lambda row: len(row["containers"]) == 2 and all(one["about"]["name"] for one in row["containers"]))
        about = row["about"]
        check.equal("workload", FAMILY, about["name"])
        check.equal("cluster and revision", ("lab", "41"), (about["task"]["cluster"], about["task"]["revision"]))
        roles = {one["about"]["name"]: one["about"]["role"] for one in row["containers"]}
        check.equal("containers", {"app": "app", "~internal~ecs~pause": "pause"}, roles)
        check.equal("cluster of the machine", "lab", lab.tare.report()["cluster"])
        lines = [line for line in lab.tare.page("metrics").decode().splitlines() if task.arn in line]
        check.equal("series with its ARN", ["tare_workload_info"], [line.split("{")[0] for line in lines])
        lines = [line for line in lab.tare.page("metrics").decode().splitlines() if line.startswith("tare_container_state{") and task.id in line]
        named = [f'cluster="lab",workload="{FAMILY}",task="{task.id}",container="{name}"' for name in ("app", "~internal~ecs~pause")]
        check.equal("labels of a container's series", True, all(any(name in line for line in lines) for name in named) and len(lines) == 2)
        check.equal("container's state", "running", find(lab.tare.report(), app.id)["state"])


def ecs_network(lab, check):
    """One network of 1, 2 and 5 containers is counted once, at the task, to the byte."""
    with tasks(lab, "awsvpc", "awsvpc", "awsvpc") as made:
        for task, members in zip(made, (1, 2, 5)):
            first = task.add("app", "receive 4M 9000 report rest")
            for number in range(1, members):
                task.add(f"side-{number}", "rest")
            link = next(iter(task.pause.inspect()["NetworkSettings"]["Networks"].values()))
            sender = subprocess.Popen([lab.burn, "send", "4M", link["IPAddress"], "9000"])
            try:
                first.reports(1)
            finally:
                sender.kill()
                sender.wait()
            far = kernel.far_end(task.pause.pid())
            for _ in range(5):
                before = containers.far_counters(far)
                row = task.fresh("net")
                after = containers.far_counters(far)
                if before == after:
                    break
            (eth0,) = [link for link in row["usage"]["net"]["is"] if link["name"] == "eth0"]
            check.between(f"{members} containers: received, bytes", before["received"], eth0["received"]["bytes"], after["received"])
            check.between(f"{members} containers: the payload, bytes", 4 * MIB, eth0["received"]["bytes"], int(4.4 * MIB))
            check.equal(f"{members} containers: whose network", {"workload"}, {one["net"] for one in row["containers"]})
            check.equal(f"{members} containers: told with one", [], [one["about"]["name"] for one in row["containers"] if one["usage"]["net"]])


def ecs_other_networks(lab, check):
    """In bridge mode a task's traffic is its containers' sum; with the host's network it cannot be measured, and that is said."""
    with tasks(lab, "bridge", "host") as [bridge, host]:
        members = [bridge.add(name, "rest") for name in ("app", "proxy")]
        host.add("app", "rest")
        fars = [kernel.far_end(one.pid()) for one in members]
        for _ in range(5):
            before = sum(containers.far_counters(far)["received"] for far in fars)
            row = bridge.fresh("net")
            after = sum(containers.far_counters(far)["received"] for far in fars)
            if before == after:
                break
        check.between("bridge: received, bytes", before, sum(link["received"]["bytes"] for link in row["usage"]["net"]["is"]), after)
        row = host.until("network", lambda row: row["containers"] and row["containers"][0]["net"] != "unknown")
        check.equal("host: whose network", "host", row["containers"][0]["net"])
        check.equal("host: figures", None, row["usage"]["net"])


def ecs_task_cgroup(lab, check):
    """Limits and throttling stand on the task's cgroup; what its containers use and the rest are its own counter."""
    with tasks(lab, "awsvpc") as [task]:
        app = task.add("app", "user 90")
        member = kernel.Cgroup(app.pid())
        own = {name: folder.parent for name, folder in member.folders.items()}
        if lab.cgroup_v1:
            (own["cpu"] / "cpu.cfs_quota_us").write_text("20000")
            (own["memory"] / "memory.limit_in_bytes").write_text(str(64 * MIB))
        else:
            (own[""] / "cpu.max").write_text("20000 100000")
            (own[""] / "memory.max").write_text(str(64 * MIB))
        file = own["cpu" if lab.cgroup_v1 else ""] / "cpu.stat"
        deadline = time.monotonic() + 60
        while (stat := kernel.pairs(file.read_text()))["nr_throttled"] < 10:
            if time.monotonic() > deadline:
                raise Skip("this machine is too busy to give anyone a fifth of a core: no quota is reached")
            time.sleep(0.3)
        before = stat
        row = task.until("limits", lambda row: row["limits"]["cores"] == 0.2 and row["limits"]["memory"] == 64 * MIB)
        row = task.fresh("cpu")
        after = kernel.pairs(file.read_text())
        seen = row["usage"]["cpu"]["is"]["throttling"]
        check.between("throttled periods of the task", before["nr_throttled"], seen["throttled"], after["nr_throttled"])
        inner = next(one for one in row["containers"] if one["about"]["id"] == app.id)
        check.equal("the container: own CPU limit", "unlimited", inner["own"]["cores"])
        check.equal("the container: limits in force", (0.2, 64 * MIB), (inner["limits"]["cores"], inner["limits"]["memory"]))
        check.equal("the container: asked for CPU", None, inner["asked"]["cores"])
        whole = row["usage"]["cpu"]["is"]["time"]
        parts = sum(one["usage"]["cpu"]["is"]["time"] for one in row["containers"])
        check.between("its containers and the rest, s", whole, max(parts + row["remainder"]["cpu"], whole), whole + 0.05)
        check.between("the rest, s", 0, row["remainder"]["cpu"], 0.05)
        check.equal("cores in use are known", True, row["rates"]["cpu"] is not None)


def ecs_forged_labels(lab, check):
    """Whoever sets another task's labels on his own container gets into no task's figures."""
    with tasks(lab, "awsvpc") as [task]:
        task.add("app", "rest")
        before = task.until("containers", lambda row: len(row["containers"]) == 2)
        forgers = {
            "another task's ARN": containers.Burner(lab, "user 1 report rest", *labels(task.arn, "app")),
            "half an ARN": containers.Burner(lab, "rest", *labels(task.arn[:-1], 'a"b\nc')),
            "64 KiB": containers.Burner(lab, "rest", *labels(task.arn + "x" * 60_000, "y" * 5_000)),
        }
        forgers["another task's ARN"].reports(1)
        for what, forger in forgers.items():
            row = forger.until("name", lambda row: row["about"]["name"])
            check.equal(f"{what}: its workload", {"loose": forger.id}, row["workload"]["about"]["key"])
        row = task.fresh("cpu")
        check.equal("the task's containers", sorted(one["about"]["id"] for one in before["containers"]), sorted(one["about"]["id"] for one in row["containers"]))
        check.between("the task's CPU time, s", 0, row["usage"]["cpu"]["is"]["time"], 0.5)


def ecs_labels_alone(lab, check):
    """Where the agent makes no cgroup for a task its labels make one task of its containers."""
    with tasks(lab, "awsvpc", own_cgroup=False) as [task]:
        app = task.add("app", "user 0.5 report rest")
        app.reports(1)
        row = task.until("containers", lambda row: len(row["containers"]) == 2 and row["usage"]["cpu"])
        check.equal("workload", FAMILY, row["about"]["name"])
        check.equal("its own cgroup", None, row["cgroup"])
        row = task.fresh("cpu")
        cgroups = [kernel.Cgroup(one.pid()).figures()["time"] for one in (task.pause, app)]
        check.between("CPU time, s", 0.5, row["usage"]["cpu"]["is"]["time"], sum(cgroups) + 1e-6)


def ecs_by_the_tree_alone(lab, check):
    """Without Docker's socket the task and its containers are known by their ids, with the same figures; an empty folder is no task."""
    with tasks(lab, "awsvpc") as [task]:
        app = task.add("app", "hold 8M user 0.3 report rest")
        app.reports(1)
        left = Task(lab, "bridge")
        folders = [Path("/sys/fs/cgroup") / name / left.parent.lstrip("/") for name in (("memory", "cpuacct") if lab.cgroup_v1 else ("",))]
        bare = Tare(lab.binary, None, lab.folder / "tare-ecs-bare.log", {"TARE_ECS_AGENT": ""})
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            row = bare.until("task", lambda report: (row := task_row(report, task.id)) and row["usage"]["cpu"] and row)
            check.equal("workload", task.id, row["about"]["name"])
            check.equal("containers", sorted([task.pause.id, app.id]), sorted(one["about"]["id"] for one in row["containers"]))
            check.equal("roles", {"unknown"}, {one["about"]["role"] for one in row["containers"]})
            kernel.at_rest(check, kernel.Cgroup(app.pid()), lambda: bare.fresh(app.id, "cpu", "memory", "pids"))
            check.equal("an empty folder", None, task_row(bare.report(), left.id))
        finally:
            bare.stop()
            for folder in folders:
                with contextlib.suppress(OSError):
                    folder.rmdir()


ALL = [ecs_names, ecs_network, ecs_other_networks, ecs_task_cgroup, ecs_forged_labels, ecs_labels_alone, ecs_by_the_tree_alone]

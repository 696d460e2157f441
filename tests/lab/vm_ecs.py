"""ECS tasks in the guests, made with plain tools as the agent makes them: a cgroup that has the task's limits, its containers inside, the pause
container's network that the others share, and the agent's introspection API as files behind busybox's httpd. No Docker is there, and no label."""

import json

import kernel
import vm
from ecs import task_row
from tare import find

CLUSTER, FAMILY, REVISION = "lab", "checkout", "41"
ARN = "arn:aws:ecs:eu-west-1:111122223333"


class Task:
    """One task; `limits` are those of its own cgroup."""

    def __init__(self, yard, **limits):
        self.yard, self.id = yard, vm.new_id()[:32]
        self.path = self.place(vm.new_id()).rsplit("/", 1)[0]
        yard.make(self.path, **limits)

    def place(self, container: str) -> str:
        return vm.of_task("systemd" if self.yard.v2 else "cgroupfs", self.id, container)

    def add(self, steps: str, before=""):
        """A container of it."""
        return vm.Burner(self.yard, steps, self.place(vm.new_id()), before)

    def until(self, what: str, answer):
        """The task's row once `answer(row)` holds."""

        def row_if(report):
            row = task_row(report, self.id)
            return row if row and answer(row) else None

        return self.yard.tare.until(f"{what} of task {self.id[:8]}", row_if, within=vm.MOST_SECONDS)

    def fresh(self, group: str):
        asked = self.yard.tare.now()
        return self.until(f"reading of {group}", lambda row: (reading := row["usage"][group]) and reading["at"]["boot"] > asked)

    def read(self, controller: str, file: str) -> str:
        """A file of the task's own cgroup."""
        below = "" if self.yard.v2 else f"/{controller}"
        return self.yard.guest.read(f"/sys/fs/cgroup{below}{self.path}/{file}")


def task_network(yard, check):
    """One network of 1, 2 and 5 containers is counted once, at the task, to the byte; nobody but the kernel says who shares it."""
    task = Task(yard)
    pause = task.add("report rest", before="unshare -n")
    pause.reports(1)  # it is in its name space by now
    share = f"nsenter -t {pause.pid} -n"
    app = task.add(f"{'receive 512K 9000 report ' * 3} rest", before=share)
    vm.wire(yard, pause.pid, "task", "eth0", "10.8.0")
    others = []
    for number, members in enumerate((1, 2, 5), 1):
        others += [task.add("rest", before=share) for _ in range(members - 1 - len(others))]
        yard.guest.sh("burn send 512K 10.8.0.2 9000")
        app.reports(number)
        task.until("containers", lambda row: len(row["containers"]) == members + 1)  # noqa: B023
        for _ in range(5):
            before, row, after = vm.far_end(yard, "task"), task.fresh("net"), vm.far_end(yard, "task")
            if before == after:
                break
        (eth0,) = [link for link in row["usage"]["net"]["is"] if link["name"] == "eth0"]
        for way in ("received", "sent"):
            check.between(f"{members} containers: {way}, bytes", before[way], eth0[way]["bytes"], after[way])
        payload = number * vm.MIB // 2
        check.between(f"{members} containers: the payload, bytes", payload, eth0["received"]["bytes"], int(1.1 * payload))
        check.equal(f"{members} containers: whose network", {"workload"}, {one["net"] for one in row["containers"]})
        check.equal(f"{members} containers: told with one", [], [one["about"]["id"] for one in row["containers"] if one["usage"]["net"]])


def task_cgroup(yard, check):
    """Limits, throttling and pressure stand on the task's own cgroup, not on its containers'; what these use and the rest are its own counter."""
    task = Task(yard, quota=0.2, memory=64 * vm.MIB, pids=50)
    app, side = task.add("user 600"), task.add("rest")
    throttled = lambda row: row["usage"]["cpu"] and (row["usage"]["cpu"]["is"]["throttling"] or {"throttled": 0})["throttled"]  # noqa: E731
    task.until("throttled periods", lambda row: len(row["containers"]) == 2 and (throttled(row) or 0) >= 5)
    before = kernel.pairs(task.read("cpu", "cpu.stat"))
    row = task.fresh("cpu")
    after = kernel.pairs(task.read("cpu", "cpu.stat"))
    seen = row["usage"]["cpu"]["is"]
    for name, file in (("periods", "nr_periods"), ("throttled", "nr_throttled")):
        check.between(f"{name} of the task", before[file], seen["throttling"][name], after[file])
    check.equal("the task: limits", (0.2, 64 * vm.MIB, 50), tuple(row["limits"][name] for name in ("cores", "memory", "pids")))
    inner = next(one for one in row["containers"] if one["about"]["id"] == app.id)
    check.equal("a container: own limits", ("unlimited",) * 3, tuple(inner["own"][name] for name in ("cores", "memory", "pids")))
    check.equal("a container: limits in force", (0.2, 64 * vm.MIB, 50), tuple(inner["limits"][name] for name in ("cores", "memory", "pids")))
    check.equal("a container: throttled periods", 0, inner["usage"]["cpu"]["is"]["throttling"]["throttled"])
    parts = sum(one["usage"]["cpu"]["is"]["time"] for one in row["containers"])
    check.between("its containers and the rest, s", seen["time"], max(parts + row["remainder"]["cpu"], seen["time"]), seen["time"] + 0.1)
    check.equal("its containers", {app.id, side.id}, {one["about"]["id"] for one in row["containers"]})
    if not yard.v2:
        return check.equal("pressure of the task", None, row["usage"]["pressure"])
    row = task.until("pressure", lambda row: ((row["usage"]["pressure"] or {"is": {}})["is"].get("cpu") or {"full": 0})["full"] > 0)
    kernels = vm.stall(task.read("", "cpu.pressure"))
    for kind in ("some", "full"):
        check.between(f"CPU pressure of the task, {kind}, s", 1e-6, row["usage"]["pressure"]["is"]["cpu"][kind], kernels[kind])


def tree_alone(yard, check):
    """Nobody names it: the task and its containers are known by their ids, with the kernel's figures; an empty folder is no task."""
    task, left = Task(yard), Task(yard)
    app, side = task.add("hold 4M user 0.1 report rest"), task.add("rest")
    app.reports(1)
    row = task.until("containers", lambda row: len(row["containers"]) == 2 and row["usage"]["cpu"])
    known_by_ids(check, task, row, app, side)
    kernel.at_rest(check, app.cgroup(), lambda: app.fresh("cpu", "memory", "pids"))
    check.equal("an empty folder", None, task_row(yard.tare.report(), left.id))


def known_by_ids(check, task, row, *containers):
    check.equal("workload", task.id, row["about"]["name"])
    check.equal("containers", sorted(one.id for one in containers), sorted(one["about"]["id"] for one in row["containers"]))
    check.equal("names and roles", {(None, "unknown")}, {(one["about"].get("name"), one["about"]["role"]) for one in row["containers"]})


def introspection_alone(yard, check):
    """The agent's introspection names tasks and containers of the tree; what it leaves out, the pause container or a whole task, stays under its id."""
    task, stranger = Task(yard), Task(yard)
    pause, app, alone = task.add("rest"), task.add("user 0.1 report rest"), stranger.add("rest")
    agent(yard, task, {"app": app})
    # At its first look a Tare asks the agent at once, later every 30 s. Between two looks of an emulated machine there must be time for it.
    yard.guest.watch_anew("5s")
    row = task.until("name", lambda row: row["about"]["name"] == FAMILY and len(row["containers"]) == 2)
    told = row["about"]["task"]
    check.equal("cluster and revision", (CLUSTER, REVISION), (told["cluster"], told["revision"]))
    check.equal("ARN", f"{ARN}:task/{CLUSTER}/{task.id}", told["arn"])
    named = {one["about"]["id"]: (one["about"].get("name"), one["about"]["role"]) for one in row["containers"]}
    check.equal("containers", {app.id: ("app", "app"), pause.id: (None, "unknown")}, named)
    check.equal("cluster of the machine", CLUSTER, yard.tare.report()["cluster"])
    check.equal("the container is the task's", {"task": task.id}, find(yard.tare.report(), app.id)["workload"]["about"]["key"])
    known_by_ids(check, stranger, stranger.until("containers", lambda row: row["containers"]), alone)
    lines = [line for line in yard.tare.page("metrics").decode().splitlines() if f'task="{task.id}"' in line and 'container="app"' in line]
    check.equal("its series bear its names", True, bool(lines) and all(f'cluster="{CLUSTER}",workload="{FAMILY}"' in line for line in lines))


def agent(yard, task, containers: dict):
    """The introspection API of an agent that knows this task and these of its containers, on the port that Tare looks for it
    (amazon-ecs-agent: ecs-agent/introspection/v1/responses.go)."""
    rows = [{"DockerId": one.id, "DockerName": f"ecs-{FAMILY}-{REVISION}-{name}-aa", "Name": name, "Image": f"shop/{name}:7"} for name, one in containers.items()]
    told = {"Arn": f"{ARN}:task/{CLUSTER}/{task.id}", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Family": FAMILY, "Version": REVISION, "Containers": rows}
    instance = f"{ARN}:container-instance/{CLUSTER}/1f73d099b914411ca9ff81633b7741dd"
    metadata = {"Cluster": CLUSTER, "ContainerInstanceArn": instance, "Version": "Amazon ECS Agent - v1.105.1 (8dfceca6)"}
    answers = {"metadata": metadata, "tasks": {"Tasks": [told]}}
    files = "".join(f"cat >/agent/v1/{name} <<'END'\n{json.dumps(answer)}\nEND\n" for name, answer in answers.items())
    yard.guest.sh(f"set -e\nmkdir -p /agent/v1\n{files}httpd -p 127.0.0.1:51678 -h /agent")


# Besides `introspection_alone`, which has a Tare and so a round of its own; how a tree is laid out is nothing to the agent.
ALL = [task_network, task_cgroup, tree_alone]
# What a hybrid tree could get wrong that a v1 tree does not show. No agent answers there.
SOME = [task_cgroup, tree_alone]

"""The image of deploy/Dockerfile, built of the program under test and run as the README and deploy/ecs say: no user, no capability, nothing to write to."""

import json
import os
import re
import resource
import shutil
import socket
import struct
import time
import urllib.request
from pathlib import Path

from checks import Skip

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
IMAGE = "tare-lab:image"
LOCKED = "--read-only --cap-drop ALL --security-opt no-new-privileges --user 65532:65532 --memory 128m --pids-limit 32".split()
MACHINE = ["-e", "TARE_HOST_INSTANCE_TYPE=m7i.large", "-e", "TARE_HOST_REGION=us-east-1", "-e", "TARE_IMDS_ENABLED=false", "-e", "TARE_ECS_AGENT=", "-e", "TARE_INTERVAL=1s"]
MOUNTS = {"sys": "/sys:/host/sys:ro", "proc": "/proc:/host/proc:ro"}


def image(lab, check):
    """The image needs its documented mounts and nothing else, and says what each one is for."""
    if dynamic(lab.binary):
        raise Skip("the program under test is not static: cargo rustc -p tare --bin tare -- -C target-feature=+crt-static")
    build(lab)
    check.equal("user", "65532:65532", lab.dockerd.inspect(IMAGE)["Config"]["User"])
    bystander = lab.docker("run", "-d", "--name", "tare-lab-bystander", "--memory", "32m", "--cpu-shares", "256", "tare-lab:plain", "rest")
    socket = f"{lab.dockerd.socket}:/var/run/docker.sock"
    group = os.stat(lab.dockerd.socket).st_gid
    made = {bystander}
    try:
        whole = start(lab, "-v", socket, "--group-add", group, mounts=MOUNTS)
        made.add(whole)
        row = until(lambda: find(ask(lab, whole), bystander), "the bystander's row with a rate", lambda row: row["rates"]["cpu"] is not None)
        check.equal("name", "tare-lab-bystander", row["about"]["name"])
        check.equal("memory is measured", True, row["usage"]["memory"]["is"]["used"] > 0)
        check.equal("network is measured, not the host's", "own", row["net"])
        check.equal("memory limit", 32 << 20, row["limits"]["memory"]["of"] if isinstance(row["limits"]["memory"], dict) else row["limits"]["memory"])
        report = ask(lab, whole)
        check.equal("the machine's price, $/h", 0.1008, float(report["host"]["cost"]["price"]["usd"]))
        metrics = get(lab, whole, "/metrics")
        check.equal("/metrics names it", True, 'container="tare-lab-bystander"' in metrics)
        check.equal("cost in /metrics", True, "tare_workload_cost_now_usd_per_hour" in metrics)
        check.equal("the report is not for strangers", 403, status(lab, whole, "/report.json"))
        until(lambda: lab.dockerd.inspect(whole)["State"]["Health"]["Status"], "a healthy image", lambda health: health == "healthy")
        # A container of another scenario that goes during doctor's look is one without a process: what is missing for good is found each time.
        until(lambda: missing(lab, whole), "doctor that finds nothing missing", lambda found: found == [], within=20)
        began = time.monotonic()
        lab.docker("stop", "-t", "10", whole)
        check.between("seconds to stop", 0, time.monotonic() - began, 5)
        check.equal("exit code", 0, lab.dockerd.inspect(whole)["State"]["ExitCode"])

        # Each mount left out: the rest goes on, and doctor says what is missing.
        for left_out, words in {"sys": "cgroup|container", "proc": "network|proc|memory", "socket": "[Dd]ocker"}.items():
            options = [] if left_out == "socket" else ["-v", socket, "--group-add", group]
            one = start(lab, *options, mounts={name: mount for name, mount in MOUNTS.items() if name != left_out})
            made.add(one)
            until(lambda one=one: ask(lab, one), f"a report without {left_out}", lambda report: report["workloads"])
            findings = missing(lab, one)
            said = " / ".join(f"{finding['code']} {finding['what']}" for finding in findings)
            check.equal(f"without {left_out} doctor says so", True, re.search(words, said) is not None)
            check.lines.append(f"        {said[:300]}")
        as_ecs_runs_it(lab, check, bystander, made)
    finally:
        lab.docker("rm", "-f", *made)


def as_ecs_runs_it(lab, check, bystander, made):
    """The daemons' task definitions: what they grant is enough, and what the one without the socket lacks is said."""
    for file in ("daemon.json", "daemon-docker.json"):
        task = task_of(file, lab.dockerd.socket)
        (container,) = task["containerDefinitions"]
        started = lab.docker("run", "-d", *arguments(task, container), *MACHINE, "--health-interval", "1s", IMAGE)
        made.add(started)
        check.equal(f"{file}: its health check is the image's", container["healthCheck"]["command"], lab.dockerd.inspect(IMAGE)["Config"]["Healthcheck"]["Test"])
        row = until(lambda: find(ask(lab, started), bystander), f"the bystander's row by {file}", lambda row: row["rates"]["cpu"] is not None)  # noqa: B023
        check.equal(f"{file}: memory is measured", True, row["usage"]["memory"]["is"]["used"] > 0)
        with_socket = any(mount["sourceVolume"] == "docker" for mount in container["mountPoints"])
        check.equal(f"{file}: name", "tare-lab-bystander" if with_socket else None, row["about"].get("name"))
        until(lambda: lab.dockerd.inspect(started)["State"]["Health"]["Status"], f"health by {file}", lambda health: health == "healthy")  # noqa: B023
        # TARE-011: there is no Docker socket.
        lacks = [] if with_socket else ["TARE-011"]
        until(lambda: [finding["code"] for finding in missing(lab, started)], f"doctor that finds {lacks} by {file}", lambda found: found == lacks, within=20)  # noqa: B023
        began = time.monotonic()
        lab.docker("stop", started)
        check.between(f"{file}: seconds to stop", 0, time.monotonic() - began, container["stopTimeout"] / 2)
        check.equal(f"{file}: exit code", 0, lab.dockerd.inspect(started)["State"]["ExitCode"])


def task_of(file: str, docker: Path) -> dict:
    """A task definition for this machine: its own socket and that one's group, and a port of loopback where the file has one of the machine."""
    text = (DEPLOY / "ecs" / file).read_text().replace("${DOCKER_GROUP}", str(os.stat(docker).st_gid)).replace('"/var/run/docker.sock"}}', f'"{docker}"}}}}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return json.loads(text.replace("0.0.0.0:9464", f"127.0.0.1:{free.getsockname()[1]}"))


def arguments(task: dict, container: dict) -> list:
    """What the ECS agent asks of Docker, as words of `docker run`. A member that is not known here is an error: nothing is left out unseen."""
    # What this machine may give is all that it can give.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    sources = {volume["name"]: volume["host"]["sourcePath"] for volume in task["volumes"]}
    said = {
        "memory": lambda mib: ["--memory", f"{mib}m"],
        "memoryReservation": lambda mib: ["--memory-reservation", f"{mib}m"],
        "user": lambda user: ["--user", user],
        "readonlyRootFilesystem": lambda so: ["--read-only"] if so else [],
        "linuxParameters": lambda linux: [word for name in linux["capabilities"]["drop"] for word in ("--cap-drop", name)],
        "dockerSecurityOptions": lambda options: [word for option in options for word in ("--security-opt", option)],
        "environment": lambda pairs: [word for pair in pairs for word in ("-e", f"{pair['name']}={pair['value']}")],
        "mountPoints": lambda mounts: [
            word for mount in mounts for word in ("-v", f"{sources[mount['sourceVolume']]}:{mount['containerPath']}" + ":ro" * mount["readOnly"])
        ],
        "ulimits": lambda limits: [word for limit in limits for word in ("--ulimit", f"{limit['name']}={min(limit['softLimit'], most)}:{min(limit['hardLimit'], most)}")],
        "stopTimeout": lambda seconds: ["--stop-timeout", seconds],
    }
    # Who it is, how it ends its task, where its log goes; its health check is compared with the image's, and a host's network has no ports of its own.
    elsewhere = {"name", "image", "essential", "logConfiguration", "healthCheck", "portMappings"}
    return ["--network", task["networkMode"], *(word for name, value in container.items() if name not in elsewhere for word in said[name](value))]


def build(lab):
    context = lab.folder / "image"
    context.mkdir()
    shutil.copy(lab.binary, context / "tare")
    # The client may live in a root of its own, which has our folder and not the project.
    shutil.copy(DOCKERFILE, context / "Dockerfile")
    lab.docker("build", "-q", "--target", "prebuilt", "-t", IMAGE, context)


def start(lab, *options, mounts) -> str:
    volumes = [word for mount in mounts.values() for word in ("-v", mount)]
    return lab.docker("run", "-d", *LOCKED, *MACHINE, *volumes, *options, "--health-interval", "1s", IMAGE)


def ask(lab, container) -> dict | None:
    """The report, as a person gets it."""
    return json.loads(lab.docker("exec", container, "/tare", "ps", "-o", "json"))


def missing(lab, container) -> list[dict]:
    """What doctor warns of; it ends with 1 where that is an error."""
    said = lab.docker("exec", container, "/tare", "doctor", "-o", "json", "--fail-on", "never")
    return [finding for finding in json.loads(said)["findings"] if finding["level"] != "ok"]


def find(report: dict, container: str) -> dict | None:
    return next((row for workload in report["workloads"] for row in workload["containers"] if row["about"]["id"] == container), None)


def address(lab, container) -> str:
    return lab.dockerd.inspect(container)["NetworkSettings"]["IPAddress"]


def get(lab, container, path) -> str:
    with urllib.request.urlopen(f"http://{address(lab, container)}:9464{path}", timeout=10) as answer:
        return answer.read().decode()


def status(lab, container, path) -> int:
    try:
        get(lab, container, path)
        return 200
    except urllib.error.HTTPError as refused:
        return refused.code


def until(ask, what, holds, within=60):
    deadline, seen = time.monotonic() + within, None
    while time.monotonic() < deadline:
        seen = ask()
        if seen is not None and holds(seen):
            return seen
        time.sleep(0.3)
    raise TimeoutError(f"no {what} within {within} s; last: {str(seen)[:300]}")


def dynamic(program: Path) -> bool:
    """Whether it asks for a loader: it has a segment of the kind PT_INTERP (elf(5))."""
    with open(program, "rb") as file:
        head = file.read(64)
        offset, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        segments = file.read(size * count)
    return any(struct.unpack_from("<I", segments, at)[0] == 3 for at in range(0, len(segments), size))

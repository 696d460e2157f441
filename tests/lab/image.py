"""The image of deploy/Dockerfile, built of the program under test and run as the README says: no user, no capability, nothing to write to."""

import json
import os
import re
import shutil
import struct
import time
import urllib.request
from pathlib import Path

from checks import Skip

DOCKERFILE = Path(__file__).parents[2] / "deploy" / "Dockerfile"
IMAGE = "tare-lab:image"
LOCKED = "--read-only --cap-drop ALL --security-opt no-new-privileges --user 65532:65532 --memory 128m --pids-limit 32".split()
MACHINE = ["-e", "TARE_HOST_INSTANCE_TYPE=m7i.large", "-e", "TARE_HOST_REGION=us-east-1", "-e", "TARE_IMDS_ENABLED=false", "-e", "TARE_INTERVAL=1s"]
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
    finally:
        lab.docker("rm", "-f", *made)


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

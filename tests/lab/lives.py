"""Containers that come and go between two looks, held against their own account."""

import json
import subprocess
import time

from dockerd import IMAGE
from tare import Tare, find

MIB = 1 << 20
PACE = {"TARE_INTERVAL": "10s"}
STEP = 0.05  # seconds between two readings of a container that has just begun


def short_lives(lab, check):
    """Containers that run for 300 ms between two looks, ten seconds apart, leave their last figures, with Docker's word and without."""
    watchers = {
        "with Docker": Tare(lab.binary, lab.dockerd.socket, lab.folder / "tare-short.log", PACE),
        "by the tree alone": Tare(lab.binary, None, lab.folder / "tare-bare.log", PACE),
    }
    try:
        for tare in watchers.values():
            tare.until("report", lambda report: report)
        kept, removed = (Short(lab, "hold 24M user 0.3 report exit 3", *options) for options in ([], ["--rm"]))
        hungry = Short(lab, "report user 0.1 hold 64M", "--rm", "--memory", "16m", "--memory-swap", "16m")
        for name, tare in watchers.items():
            named = name == "with Docker"
            for how, short in (("kept", kept), ("--rm", removed)):
                row = tare.until(f"end of {short.id[:12]}", ended(short.id, named), within=60)
                own, seen = short.own["user"] + short.own["system"], row["usage"]["cpu"]["is"]["time"]
                age = row["closing"]["last_reading_age"]
                what = f"{name}, {how}: "
                # After its last reading it can have used one core, and before it began the runtime worked in its cgroup.
                check.between(what + "CPU, s", own - max(STEP, age), seen, own + STEP)
                # On a busy machine the reading may have been of before it held anything.
                check.between(what + "memory peak, bytes", 24 * MIB if age <= STEP else 1, row["usage"]["memory"]["is"]["peak"], 48 * MIB)
                # On a busy machine 0.3 s of CPU take longer.
                check.between(what + "run time, s", 0.3, row["closing"]["run_time"], short.took)
                check.equal(what + "exit code", 3 if named else None, row["exit"])
                check.equal(what + "state", "exited" if named else "ended", row["state"])
                check.equal(what + "name", short.name if named else None, row["about"]["name"])
                check.equal(what + "image", IMAGE if named else None, row["about"]["image"])
            row = tare.until(f"end of {hungry.id[:12]}", ended(hungry.id, named), within=60)
            check.equal(f"{name}: killed, exit code", 137 if named else None, row["exit"])
            check.equal(f"{name}: killed for memory", True if named else None, row["oom"])
            kills = row["usage"]["memory"]["is"]["oom_kills"]
            check.add(f"{name}: kills", "1, or 0 where it was gone before it was read", kills, kills in (0, 1), 1)
            gaps = [gap["why"] for gap in tare.report()["gaps"] if gap["what"] == "short lives"]
            check.equal(f"{name}: gaps", [], gaps)
    finally:
        for tare in watchers.values():
            tare.stop()


class Short:
    """A container that runs to its end while we wait."""

    def __init__(self, lab, steps: str, *options):
        self.name = f"tare-lab-short-{time.monotonic_ns()}"
        id_file = lab.folder / f"{self.name}.id"
        began = time.monotonic()
        command = ["docker", "run", "--name", self.name, "--cidfile", id_file, *options, IMAGE, *steps.split()]
        done = subprocess.run(command, env=lab.dockerd.env, capture_output=True, text=True)
        self.took = time.monotonic() - began
        if not id_file.exists():
            raise RuntimeError(f"no container: {done.stderr.strip()[-300:]}")
        self.id = id_file.read_text()
        self.own = json.loads(done.stdout.splitlines()[0])
        if "--rm" not in options:
            lab.burners.append(self)  # removed when the scenario is over


def ended(container, named):
    """Its row once it has ended, with all that will be said of it: where the runtime is asked, its word too."""

    def answer(report):
        row = find(report, container)
        # One that is being removed is on its way: the next look has the end of it.
        said = row and row.get("closing") and row["usage"]["cpu"] and row["state"] != "removing" and (row["exit"] is not None or not named)
        return row if said else None

    return answer

"""The `tare` under test: started once, asked for its report again and again."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path


class Silent(Exception):
    """Tare did not say what was asked in time."""


class Answers:
    """A running Tare, wherever it runs, asked by HTTP."""

    def __init__(self, address: str):
        self.address = address

    def now(self) -> float:
        """The boot clock of the machine it watches, seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def ended(self) -> str | None:
        """Why it will never answer again, once that is so."""
        return None

    def page(self, name: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.address}/{name}", timeout=10) as answer:
            return answer.read()

    def report(self) -> dict:
        """The newest one."""
        return json.loads(self.page("report.json"))

    def until(self, what: str, answer, within=20):
        """The first thing that `answer(report)` returns and that is not None."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if (why := self.ended()) is not None:
                raise Silent(why)
            try:
                found = answer(self.report())
                if found is not None:
                    return found
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass  # not listening yet, or no report yet
            time.sleep(0.2)
        raise Silent(f"no {what} within {within} s")

    def fresh(self, container: str, *groups, within=20) -> dict:
        """The container, as soon as each of the groups (`cpu`, `memory`, …) was read after this call began."""
        asked = self.now()

        def read_since(report):
            row = find(report, container)
            readings = [row["usage"][group] for group in groups] if row else [None]
            return row if all(reading and reading["at"]["boot"] > asked for reading in readings) else None

        return self.until(f"reading of {', '.join(groups)} of {container[:12]}", read_since, within)


class Tare(Answers):
    """One of our own on this machine."""

    def __init__(self, binary: Path, docker: Path | None, log: Path, settings={}):
        """`settings`: variables of its own; an interval of a second where they name none."""
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            super().__init__(f"127.0.0.1:{door.getsockname()[1]}")
        self.binary, self.log = binary, log
        self.env = {**os.environ, "TARE_DOCKER_SOCKET": str(docker or ""), "TARE_INTERVAL": "1s", **settings}
        with open(log, "wb") as out:
            command = [binary, "run", "--listen", self.address]
            self.process = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def ended(self) -> str | None:
        if self.process.poll() is None:
            return None
        return f"tare ended by itself ({self.process.returncode}): {self.log.read_text(errors='replace')[-400:]}"

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def once(self, *words) -> dict:
        """What a command that looks for itself prints."""
        done = subprocess.run([self.binary, *words], env=self.env, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise Silent(f"tare {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
        return json.loads(done.stdout)


def find(report: dict, container: str) -> dict | None:
    """The container's row; its workload's row is added to it as `workload`."""
    for workload in report["workloads"]:
        for row in workload["containers"]:
            if row["about"]["id"] == container:
                return dict(row, workload=workload)
    return None

"""A Docker daemon of our own: own data, socket and bridge in one folder, no registry, no firewall rule, nothing left behind.

It is this machine's own where that is of the age that is asked for, else one of Debian's, unpacked with all that it needs down to its libc and
started in a root and a mount name space of its own: its containers, cgroups and processes are this machine's all the same."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import debian
from debian import Unavailable

# Of its own for each run, and away from Docker's own networks and the usual office ones.
BRIDGE, BRIDGE_ADDRESS = f"tare{os.getpid()}", f"172.31.{os.getpid() % 200 + 20}.1/24"
IMAGE, IMAGE_WITH_CHECK = "tare-lab:plain", "tare-lab:checked"


class Refused(Exception):
    """The daemon would not; the text is its own."""


@dataclass
class Programs:
    """How the daemon and its client are started."""

    path: str
    """Where everything that they start is looked for."""
    daemon: list = field(default_factory=list)
    """Stands before the daemon's command."""
    inside: bool = False
    """They live in a root of their own."""


class Dockerd:
    """Started by `start`, ended and cleared away by `stop` whatever happened between. `fits`: whether this machine's own is of the right age
    by its major version; `elsewhere`: the suite of Debian that has one, and the packages there."""

    def __init__(self, folder: Path, fits=lambda major: True, elsewhere=("bookworm", "docker.io")):
        self.folder, self.fits, self.elsewhere = folder, fits, elsewhere
        self.socket = folder / "docker.sock"
        self.log = folder / "dockerd.log"
        self.daemon = None
        self.bridge_made = False
        self.cgroups_before = set(docker_cgroups())
        self.env = dict(os.environ, DOCKER_HOST=f"unix://{self.socket}", DOCKER_CONFIG=str(folder / "client"))
        self.env.pop("DOCKER_CONTEXT", None)

    def start(self):
        if os.geteuid() != 0:
            raise Unavailable("not root: a daemon of our own needs root")
        self.programs = own(self.fits) or in_a_root(debian.of_suite(*self.elsewhere), self.folder)
        self.env["PATH"] = self.programs.path
        self.make_bridge()
        flags = {
            "data-root": self.folder / "data",
            "exec-root": self.folder / "exec",
            "pidfile": self.folder / "dockerd.pid",
            "host": f"unix://{self.socket}",
            "bridge": BRIDGE,
            # A system containerd may run here: our containers get a namespace of their own in it.
            "containerd-namespace": "tare-lab",
            "containerd-plugins-namespace": "tare-lab-plugins",
            "config-file": self.folder / "daemon.json",
            "iptables": "false",
            "ip6tables": "false",
            "ip-masq": "false",
            "ip-forward": "false",
            "userland-proxy": "false",
        }
        (self.folder / "daemon.json").write_text("{}")
        with open(self.log, "wb") as log:
            command = [*self.programs.daemon, "dockerd", *(f"--{name}={value}" for name, value in flags.items())]
            self.daemon = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        while subprocess.run(self.client("version"), env=self.env, capture_output=True).returncode != 0:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"dockerd did not start: {self.last_words()}")
            time.sleep(0.1)

    def stop(self):
        if self.daemon and self.daemon.poll() is None:
            try:
                containers = self.docker("ps", "-aq").split()
                if containers:
                    self.docker("rm", "-f", *containers)
            except (Refused, subprocess.TimeoutExpired):
                pass  # the shims of what could not be removed are ended below
            self.daemon.terminate()
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        for pid in processes_of(self.folder):
            os.kill(pid, signal.SIGKILL)
        for mount in reversed(mounts_below(self.folder)):
            subprocess.run(["umount", "--lazy", mount], capture_output=True)
        for left in set(docker_cgroups()) - self.cgroups_before:
            with contextlib.suppress(OSError):  # another daemon has come meanwhile and uses it
                left.rmdir()
        if self.bridge_made:
            subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True)

    def docker(self, *words) -> str:
        """Runs the client; its standard output."""
        done = subprocess.run(self.client(*words), env=self.env, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Refused(f"docker {words[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    def client(self, *words) -> list[str]:
        inside = ["nsenter", f"--target={self.daemon.pid}", "--mount", "--root"] if self.programs.inside else []
        return [*inside, "docker", *map(str, words)]

    def inspect(self, container: str) -> dict:
        return json.loads(self.docker("inspect", container))[0]

    def import_image(self, program: Path):
        """Two images of one static program: a plain one, and one whose health check passes every second."""
        layer = self.folder / "image.tar"
        with tarfile.open(layer, "w") as tar:
            tar.add(program, "burn")
        entry = ["-c", 'ENTRYPOINT ["/burn"]']
        check = ["-c", 'HEALTHCHECK --interval=1s CMD ["/burn", "exit", "0"]']
        self.docker("import", *entry, layer, IMAGE)
        self.docker("import", *entry, *check, layer, IMAGE_WITH_CHECK)

    def make_bridge(self):
        for words in (["add", BRIDGE, "type", "bridge"], ["set", BRIDGE, "up"]):
            done = subprocess.run(["ip", "link", *words], capture_output=True, text=True)
            if done.returncode != 0:
                raise Unavailable(f"no bridge {BRIDGE}: {done.stderr.strip()}")
            self.bridge_made = True
        subprocess.run(["ip", "addr", "add", BRIDGE_ADDRESS, "dev", BRIDGE], check=True, capture_output=True)

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][-300:] if lines else "it said nothing"


def own(fits) -> Programs | None:
    """This machine's, where it has one that fits."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if not all(shutil.which(name, path=path) for name in ("dockerd", "docker")):
        return None
    said = subprocess.run(["dockerd", "--version"], env=dict(os.environ, PATH=path), capture_output=True, text=True).stdout
    version = re.search(r"version (\d+)\.", said)
    return Programs(path) if version and fits(int(version.group(1))) else None


def in_a_root(root: Path, folder: Path) -> Programs:
    """Those of an unpacked root: with this machine's /proc, /sys and /dev, and the lab's folder at its own path. The mounts are in a name
    space that ends with the daemon."""
    for tool in ("unshare", "nsenter", "pivot_root", "mount"):
        if not shutil.which(tool):
            raise Unavailable(f"no {tool} here to start Debian's Docker with")
    steps = [f"mount --rbind {root} {root}"]
    for place in ("proc", "sys", "dev", "tmp", "run", str(folder).lstrip("/")):
        (root / place).mkdir(parents=True, exist_ok=True)
        # What lies in /run is not to meet another daemon's.
        steps.append(f"mount -t tmpfs tmpfs {root}/{place}" if place in ("tmp", "run") else f"mount --rbind /{place} {root}/{place}")
    # Not chroot: what is run in a container later begins at the root of the name space, which chroot leaves where it was.
    script = " && ".join([*steps, f"mkdir {root}/run/host", f"cd {root}", "pivot_root . run/host", 'exec "$0" "$@"'])
    return Programs("/usr/sbin:/usr/bin:/sbin:/bin", ["unshare", "--mount", "--propagation=private", "sh", "-c", script], inside=True)


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder: the daemon's shims, its containerd."""
    ours = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) + b"/exec" in command:
            ours.append(int(process.name))
    return ours


def docker_cgroups() -> list[Path]:
    """The folder that dockerd keeps in each hierarchy for good (driver cgroupfs)."""
    top = Path("/sys/fs/cgroup")
    return [*top.glob("docker"), *top.glob("*/docker")]


def mounts_below(folder: Path) -> list[str]:
    mounts = (line.split()[1] for line in open("/proc/self/mounts"))
    return [mount for mount in mounts if mount.startswith(f"{folder}/")]

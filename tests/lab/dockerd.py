"""A Docker daemon of our own: own data, socket and bridge in one folder, no registry, no firewall rule, nothing left behind."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

# Of its own for each run, and away from Docker's own networks and the usual office ones.
BRIDGE, BRIDGE_ADDRESS = f"tare{os.getpid()}", f"172.31.{os.getpid() % 200 + 20}.1/24"
IMAGE, IMAGE_WITH_CHECK = "tare-lab:plain", "tare-lab:checked"


class Unavailable(Exception):
    """Docker cannot run here; the text says why."""


class Refused(Exception):
    """The daemon would not; the text is its own."""


class Dockerd:
    """Started by `start`, ended and cleared away by `stop` whatever happened between."""

    def __init__(self, folder: Path):
        self.folder = folder
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
        self.env.update(programs())
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
            command = ["dockerd", *(f"--{name}={value}" for name, value in flags.items())]
            self.daemon = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 30
        while subprocess.run(["docker", "version"], env=self.env, capture_output=True).returncode != 0:
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
        done = subprocess.run(["docker", *map(str, words)], env=self.env, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Refused(f"docker {words[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

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


def programs() -> dict:
    """PATH and LD_LIBRARY_PATH under which dockerd runs: the machine's own, else Debian's packages unpacked into the user's cache."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if shutil.which("dockerd", path=path):
        return {"PATH": path}
    if not shutil.which("apt-get"):
        raise Unavailable("no dockerd here, and no apt-get to fetch it with")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tare-lab" / "docker.io"
    if not (root / "usr/sbin/dockerd").exists():
        unpack("docker.io", root)
    libraries = ":".join(str(folder) for folder in (root / "usr/lib").glob("*-linux-gnu"))
    return {"PATH": f"{root}/usr/bin:{root}/usr/sbin:{path}", "LD_LIBRARY_PATH": libraries}


def unpack(package: str, root: Path):
    """Downloads the package and whatever it needs that is missing, and unpacks it: nothing is installed, no service starts."""
    packages = root.with_suffix(".packages")
    (packages / "partial").mkdir(parents=True, exist_ok=True)
    fetch = ["apt-get", "install", "--download-only", "--no-install-recommends", "--yes", "-o", f"Dir::Cache::archives={packages}", package]
    done = subprocess.run(fetch, capture_output=True, text=True)
    if done.returncode != 0:
        subprocess.run(["apt-get", "update"], capture_output=True)
        done = subprocess.run(fetch, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"apt-get cannot fetch {package}: {done.stderr.strip()[-300:]}")
    for archive in packages.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", archive, root], check=True)
    shutil.rmtree(packages)


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

"""A small machine of our own under QEMU: Debian's cloud kernel, busybox, a cgroup tree laid out as we say, and a `tare` that watches it.

Its processors are emulated, about twenty times slower than real ones: what it shows is rates, shares and sums by its own clock, never speed.
A command runs in it by HTTP (busybox's httpd and a CGI script), tare's own port is passed through; both lie on this machine's loopback."""

import platform
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import debian
from debian import Unavailable
from tare import Answers

# Linux 6.1: has every controller of v1 and v2, and PSI that the command line turns off.
SUITE, FLAVOUR = "bookworm", "cloud-amd64"
# In the order in which they need each other; one that is built into the kernel is not there as a file.
MODULES = "virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk failover net_failover virtio_net veth".split()
MEMORY_MIB, DISK_MIB, DISKS = 512, 64, ("vda", "vdb")
V1_CONTROLLERS = "cpu cpuacct cpuset memory blkio pids".split()
READY = "guest is ready"
MOST_BOOT_SECONDS = 120

INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs shm /tmp
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
mkdir /dev/shm
ifconfig lo up
ifconfig eth0 10.0.2.15 up
route add default gw 10.0.2.2
sh /layout
httpd -p 8000 -h /www
sh /watch 1s
echo GREETING >/dev/console
# The kernel drops a disk's pages when the last who has it open closes it.
while :; do sleep 1000; done </dev/vdb
"""
WATCH = """
TARE_WEB_EXPOSE=true TARE_DOCKER_SOCKET= TARE_IMDS_ENABLED=false tare run --listen 0.0.0.0:9464 --interval $1 >>/tmp/tare.log 2>&1 </dev/null &
"""
# The program's own end is the answer's end: what it starts must not keep its output open.
CGI = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
head -c "$CONTENT_LENGTH" | sh 2>&1
echo "exit $?"
"""
LAYOUT_V2 = """
mount -t cgroup2 cgroup2 /sys/fs/cgroup
"""
LAYOUT_V1 = """
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
for controller in CONTROLLERS; do
  mkdir /sys/fs/cgroup/$controller
  mount -t cgroup -o $controller cgroup /sys/fs/cgroup/$controller
done
"""
LAYOUT_HYBRID = """
mkdir /sys/fs/cgroup/unified
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
"""
LAYOUTS = {"v2": LAYOUT_V2, "v1": LAYOUT_V1, "hybrid": LAYOUT_V1 + LAYOUT_HYBRID}


class Failed(Exception):
    """A command in the guest failed; the text is its own."""


class Guest:
    """Started by `start`, ended by `stop` whatever happened between."""

    def __init__(self, folder: Path, layout: str, *, psi=True):
        self.folder, self.layout, self.psi = folder, layout, psi
        self.console = folder / "console.log"
        self.machine = None
        self.tare = None

    def start(self, tare: Path, burn: Path):
        """Boots and waits until tare has looked once. `burn` must be static."""
        began = time.monotonic()
        self.folder.mkdir()
        initramfs = self.folder / "initramfs"
        initramfs.write_bytes(self.initramfs(tare, burn))
        self.port, tare_port = free_port(), free_port()
        words = f"console=ttyS0 panic=-1 quiet nokaslr mitigations=off apparmor=0 psi={int(self.psi)}"
        command = [*qemu(), "-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{self.console}"]
        # QEMU 7.2's emulation of cmpxchg16b is not atomic enough for the kernel's allocator, and la57 only makes page tables deeper.
        command += ["-accel", "tcg,thread=multi", "-machine", "q35,hpet=off", "-cpu", "max,la57=off,cx16=off", "-smp", "2", "-m", str(MEMORY_MIB)]
        command += ["-kernel", vmlinuz(), "-initrd", initramfs, "-append", words]
        for disk in DISKS:
            with open(self.folder / disk, "wb") as file:
                file.truncate(DISK_MIB << 20)
            command += ["-drive", f"file={self.folder / disk},format=raw,if=none,id={disk},cache=unsafe", "-device", f"virtio-blk-pci,drive={disk}"]
        forwards = ",".join(f"hostfwd=tcp:127.0.0.1:{ours}-:{theirs}" for ours, theirs in ((self.port, 8000), (tare_port, 9464)))
        command += ["-netdev", f"user,id=net,restrict=on,{forwards}", "-device", "virtio-net-pci,netdev=net,romfile="]
        with open(self.folder / "qemu.log", "wb") as log:
            self.machine = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.tare = GuestTare(self, f"127.0.0.1:{tare_port}")
        while READY not in self.said():
            if self.machine.poll() is not None:
                raise Failed(f"the guest ended while it booted: {(self.folder / 'qemu.log').read_text(errors='replace').strip()[-300:]} {self.last_words()}")
            if time.monotonic() - began > MOST_BOOT_SECONDS:
                raise Failed(f"the guest did not boot within {MOST_BOOT_SECONDS} s; its last words: {self.last_words()}")
            time.sleep(0.05)
        self.tare.until("report", lambda report: report, within=MOST_BOOT_SECONDS)
        self.boot_seconds = time.monotonic() - began

    def stop(self):
        if self.machine and self.machine.poll() is None:
            self.machine.kill()
            self.machine.wait()

    def sh(self, script: str, within=120) -> str:
        """What a script prints that runs as root in the guest."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/cgi-bin/sh", data=script.encode())
        for tries in range(5):
            try:
                with urllib.request.urlopen(request, timeout=within) as answer:
                    text = answer.read().decode(errors="replace")
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError) as why:
                if tries == 4 or self.machine.poll() is not None:
                    raise Failed(f"the guest does not answer ({why}); its last words: {self.last_words()}") from None
                time.sleep(0.2)
        text, _, status = text.rpartition("exit ")
        if status.strip() != "0":
            raise Failed(f"{script.strip().splitlines()[0]}: exit {status.strip()}: {text.strip()[-300:]}")
        return text.rstrip("\n")

    def watch_anew(self, interval: str):
        """Ends tare and starts another, without a past."""
        self.sh(f"kill $(pidof tare); while pidof tare; do usleep 50000; done >/dev/null; sh /watch {interval}")

    def read(self, path) -> str:
        return self.sh(f"cat {path}")

    def said(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def last_words(self) -> str:
        return self.said().strip()[-500:] or "it said nothing"

    def initramfs(self, tare: Path, burn: Path) -> bytes:
        layout = LAYOUTS[self.layout].replace("CONTROLLERS", " ".join(V1_CONTROLLERS))
        files = {
            "init": INIT.replace("GREETING", READY).encode(),
            "layout": layout.encode(),
            "watch": WATCH.encode(),
            "www/cgi-bin/sh": CGI.encode(),
            "bin/busybox": busybox().read_bytes(),
            "bin/burn": burn.read_bytes(),
            "bin/tare": stripped(tare, self.folder).read_bytes(),
        }
        for library in libraries(tare):
            files[str(library).lstrip("/")] = library.read_bytes()
        modules = {file.stem: file for file in kernel().rglob("*.ko")}
        present = [name for name in MODULES if name in modules]
        files.update({f"modules/{name}.ko": modules[name].read_bytes() for name in present})
        files["modules/order"] = " ".join(present).encode()
        links = {f"bin/{name}": "busybox" for name in applets()}
        return cpio(files, links, folders=["proc", "sys", "dev", "tmp", "run"])


class GuestTare(Answers):
    def __init__(self, guest: Guest, address: str):
        super().__init__(address)
        self.guest = guest

    def now(self) -> float:
        # /proc/uptime is CLOCK_BOOTTIME in steps of 10 ms, rounded down.
        return float(self.guest.read("/proc/uptime").split()[0]) + 0.01

    def ended(self) -> str | None:
        return f"the guest ended: {self.guest.last_words()}" if self.guest.machine.poll() is not None else None


def kernel() -> Path:
    return debian.kernel(SUITE, FLAVOUR)


def vmlinuz() -> Path:
    return next((kernel() / "boot").glob("vmlinuz-*"))


def busybox() -> Path:
    return next(debian.of_suite(SUITE, "busybox-static", alone=True).glob("usr/bin/busybox"))


def applets() -> list[str]:
    said = subprocess.run([busybox(), "--list"], capture_output=True, text=True, check=True).stdout
    return [name for name in said.split() if name != "busybox"]


def qemu() -> list:
    """The emulator, and where it finds its firmware."""
    if platform.machine() != "x86_64":
        raise Unavailable(f"the guest is an x86_64 machine and its tare this machine's, which is {platform.machine()}")
    found = shutil.which("qemu-system-x86_64")
    if found:
        return [found]
    root = debian.of_suite(SUITE, "qemu-system-x86")
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    own_libc = ["env", f"QEMU_MODULE_DIR={libraries}/qemu", root / "lib64/ld-linux-x86-64.so.2", "--library-path", f"{libraries}:{libraries}/pulseaudio"]
    return [*own_libc, root / "usr/bin/qemu-system-x86_64", "-L", root / "usr/share/qemu", "-L", root / "usr/share/seabios"]


def libraries(program: Path) -> list[Path]:
    """All that a program needs to start; none for a static one."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return [Path(path) for path in re.findall(r"(?:^\s*|=> )(/\S+)", said, re.M)]



def stripped(program: Path, folder: Path) -> Path:
    """The program without its debug information where that can be had: less to carry into memory."""
    out = folder / "tare"
    done = shutil.which("strip") and subprocess.run(["strip", "-o", out, program], capture_output=True)
    return out if done and done.returncode == 0 else program


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def cpio(files: dict[str, bytes], links: dict[str, str], folders: list[str]) -> bytes:
    """An archive of the kernel's kind (Documentation/driver-api/early-userspace/buffer-format.rst, `newc`)."""
    inside = [*files, *links, *(f"{folder}/x" for folder in folders)]
    above = {str(parent) for path in inside for parent in Path(path).parents} - {"."}
    entries = [(path, 0o040755, b"") for path in sorted(above)]
    entries += [(path, 0o100755, content) for path, content in files.items()]
    entries += [(path, 0o120777, target.encode()) for path, target in links.items()]
    out = bytearray()
    for number, (path, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)

"""Programs from Debian's archive, unpacked under target/tools and never installed: nothing on this machine changes and no service starts."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

TOOLS = Path(os.environ.get("CARGO_TARGET_DIR") or Path(__file__).parents[2] / "target").resolve() / "tools"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MOST_SECONDS = 300


class Unavailable(Exception):
    """Something cannot run here; the text says why."""


def of_suite(suite: str, *packages: str, alone=False) -> Path:
    """A folder with packages as a suite of Debian (`bookworm`, `sid`) has them: with all that they need down to their own libc, which makes it
    a root to live in; or these packages `alone`."""

    def fetch(into: Path):
        if alone:
            run(["apt-get", "download", *own_state(suite), *packages], cwd=into, what=f"{packages[0]} of {suite}")
        else:
            download(into, *packages, *own_state(suite))

    return unpacked(f"{suite}-{packages[0]}", fetch)


def kernel(suite: str, flavour: str) -> Path:
    """A folder with the newest kernel of a suite and its modules: that which the package of this name, empty itself, stands for."""

    def fetch(into: Path):
        said = run(["apt-cache", *own_state(suite), "depends", f"linux-image-{flavour}"], what=f"the kernel of {suite}")
        found = re.search(r"^\s*Depends: (linux-image-\d\S+)$", said, re.M)
        if not found:
            raise Unavailable(f"{suite} names no kernel {flavour}")
        run(["apt-get", "download", *own_state(suite), found.group(1)], cwd=into, what=f"the kernel of {suite}")

    return unpacked(f"{suite}-kernel-{flavour}", fetch)


def unpacked(name: str, fetch) -> Path:
    """The folder of that name, filled once by `fetch`, which leaves packages in the folder that it is given."""
    root = TOOLS / name
    TOOLS.mkdir(parents=True, exist_ok=True)
    with only_one():
        if not root.exists():
            need("apt-get", "dpkg-deb")
            with tempfile.TemporaryDirectory(prefix="unpack-", dir=TOOLS) as beside:
                packages, filled = Path(beside) / "packages", Path(beside) / "root"
                (packages / "partial").mkdir(parents=True)
                try:
                    fetch(packages)
                except Unavailable:
                    # A list that was kept may name what the archive has replaced since.
                    for kept in TOOLS.glob("apt-*/complete"):
                        kept.unlink()
                    fetch(packages)
                merged_usr(filled)
                for archive in packages.glob("*.deb"):
                    # tar over a merged /usr: dpkg-deb --extract would put a folder where a link stands.
                    pipe = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
                    subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", filled], stdin=pipe.stdout, check=True)
                    if pipe.wait() != 0:
                        raise Unavailable(f"{archive.name} cannot be unpacked")
                filled.rename(root)
    return root


def merged_usr(root: Path):
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


@contextlib.contextmanager
def only_one():
    """Two runs must not fill one folder at the same time."""
    with open(TOOLS / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download(into: Path, *words: str):
    """Packages (and apt's options among the words) with all that they need, not installed."""
    # As root apt would download as another user, who may not write here.
    command = ["apt-get", "install", "--download-only", "--no-install-recommends", "--yes", "-o", "APT::Sandbox::User=root"]
    run([*command, "-o", f"Dir::Cache::archives={into}", *words], what=words[0])


def own_state(suite: str) -> list[str]:
    """Options that make apt know one suite and no installed package. Its lists are fetched once and kept."""
    if not KEYRING.exists():
        raise Unavailable(f"{suite} of Debian cannot be verified: no {KEYRING} here")
    state = TOOLS / f"apt-{suite}"
    settings = {
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache::pkgcache": state / "packages.bin",
        "Dir::Cache::srcpkgcache": state / "sources.bin",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "APT::Sandbox::User": "root",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    if not (state / "complete").exists():
        (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (state / "status").write_text("")
        (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {archive()} {suite} main\n")
        run(["apt-get", *options, "update"], what=f"the package lists of {suite}")
        (state / "complete").write_text("")
    return options


def archive() -> str:
    """The Debian mirror that this machine uses, else Debian's own."""
    text = "\n".join(file.read_text(errors="replace") for file in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")] if file.is_file())
    mirrors = re.findall(r"^(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(https?://\S+/debian/?)(?:\s|$)", text, re.M)
    return mirrors[0] if mirrors else "http://deb.debian.org/debian"


def need(*programs: str):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise Unavailable(f"no {' and no '.join(missing)} here to fetch programs with")


def run(command: list, what: str, **how) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, env=dict(os.environ, LC_ALL="C"), **how)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{what} cannot be fetched within {MOST_SECONDS} s") from None
    errors = re.findall(r"^[EW]: (.+)$", done.stderr, re.M)
    # `apt-get update` succeeds without a list it could not fetch.
    if done.returncode != 0 or ("update" in command and errors):
        raise Unavailable(f"{what} cannot be fetched: {(errors or [done.stderr.strip()])[0][-300:]}")
    return done.stdout

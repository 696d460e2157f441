//! The host's network interfaces: which are its own and how they are, below `/sys/class/net`.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use crate::roots::Roots;
use crate::snapshot::{Interface, Link, Net};
use crate::sources::net::dev::{self, Dev};
use crate::units::Bytes;

/// What is read of an interface, below `/sys/class/net/<name>`.
pub(crate) const LINK_FILES: [&str; 6] = ["operstate", "mtu", "speed", "ifindex", "iflink", "uevent"];

/// Whether we see the host's own network below `/sys` and in `/proc/sys/net`, and not a container's.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sight {
    /// `/sys/class/net` is the host's.
    pub(crate) links: bool,
    /// We live in the host's network name space.
    pub(crate) same: bool,
}

impl Sight {
    /// A `/host/sys` is the host's; our own `/sys` is where we live in the host's network name space, that of process 1.
    pub(crate) fn of(roots: &Roots) -> Sight {
        let number = |path: std::path::PathBuf| std::fs::metadata(path).ok().map(|file| file.ino());
        let host = number(roots.proc.path("1/net/dev"));
        let same = roots.recorded.is_some() || (host.is_some() && host == number("/proc/self/net/dev".into()));
        Sight { links: same || roots.sys.0.len() > 1, same }
    }
}

/// Knows which interfaces repeat the traffic of containers.
#[derive(Default)]
pub(super) struct Pairs(HashMap<Arc<str>, bool>);

impl Pairs {
    /// Reads the host's `net/dev` without the interfaces whose other end is in a container, and without the bridges that join those: their traffic is the
    /// containers' and told there. A bond and what is bound in it, a VLAN and what it lies on, all stay.
    pub(super) fn read(&mut self, roots: &Roots, sight: Sight, file: &[u8], before: &[Interface]) -> Dev {
        let mut dev = dev::parse_those(file, before, |name| !["veth", "docker", "br-", "cni"].iter().any(|kind| name.starts_with(kind.as_bytes())));
        if sight.links {
            if self.0.len() > 2 * dev.net.len() {
                self.0.retain(|name, _| dev.net.iter().any(|one| one.name == *name));
            }
            dev.net.retain(|one| !*self.0.entry(one.name.clone()).or_insert_with(|| repeats(roots, &one.name)));
        }
        dev
    }
}

/// A bridge, or one end of a pair (AWS's `eni…`, Calico's `cali…`): its number and its link's differ, and the kernel names no kind of it as it does of a VLAN.
fn repeats(roots: &Roots, name: &str) -> bool {
    let read = |file: &str| about(roots, name, file);
    let kind = read("uevent").map(|about| about.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).map(str::to_owned));
    match kind {
        Some(Some(kind)) => kind == "bridge",
        Some(None) => read("ifindex").zip(read("iflink")).is_some_and(|(own, link)| own.trim() != link.trim() && link.trim() != "0"),
        None => false,
    }
}

/// How these interfaces are, sorted by name.
pub(super) fn read(roots: &Roots, net: &Net) -> Vec<Link> {
    let mut links: Vec<Link> = net.iter().map(|one| link(roots, &one.name)).collect();
    links.retain(|link| link.up.is_some() || link.mtu.is_some() || link.speed.is_some());
    links.sort_by(|a, b| a.name.cmp(&b.name));
    links
}

fn link(roots: &Roots, name: &Arc<str>) -> Link {
    let read = |file: &str| about(roots, name, file);
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    let up = read("operstate").and_then(|state| up(&state));
    // Megabits; -1 or an error where the driver does not know, and 0 where nothing is plugged in.
    let speed = number("speed").filter(|megabits| *megabits > 0 && *megabits < u64::from(u32::MAX)).map(|megabits| Bytes(megabits * 1_000_000 / 8));
    Link { name: name.clone(), up, mtu: number("mtu").map(Bytes), speed }
}

/// A file about an interface. The kernel allows no slash in a name; a recording may hold one.
fn about(roots: &Roots, name: &str, file: &str) -> Option<String> {
    if name.contains('/') { None } else { roots.read_sys(&format!("class/net/{name}/{file}")).ok() }
}

/// `operstate`: `up`, `down`, `lowerlayerdown`, `dormant`, `testing`, `notpresent`, `unknown` (RFC 2863).
pub fn up(state: &str) -> Option<bool> {
    match state.trim() {
        "" | "unknown" => None,
        state => Some(state == "up"),
    }
}

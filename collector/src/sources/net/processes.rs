//! Finds a process of each container: by Docker's word, else by the cgroup that `/proc/<pid>/cgroup` names.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use memchr::memmem;

use crate::identity::ContainerId;
use crate::roots::Roots;

/// No more processes are looked at in one scan.
const MOST_PROCESSES: usize = 1 << 17;

/// Whether this process is one of the container: its number may be another's by now, or of another pid name space than ours.
pub(crate) fn belongs(roots: &Roots, pid: u32, id: &ContainerId) -> bool {
    match roots.read_proc(&format!("{pid}/cgroup")) {
        Ok(text) => memmem::find(text.as_bytes(), id.as_str().as_bytes()).is_some() || is_self(roots, pid),
        // A recorded host need not hold the file; live it is always there.
        Err(_) => roots.recorded.is_some(),
    }
}

/// From a private cgroup name space our own cgroup reads as `/`, without an id.
fn is_self(roots: &Roots, pid: u32) -> bool {
    fs::read_link(roots.proc.path("self")).is_ok_and(|target| target.to_str() == Some(&pid.to_string()))
}

/// One process of each container whose cgroup has one of these last path segments: one of the cgroup itself before one of a nested cgroup, the lowest number.
pub(crate) fn scan<'a>(roots: &Roots, wanted: &HashMap<&str, &'a ContainerId>) -> BTreeMap<&'a ContainerId, u32> {
    let mut found: BTreeMap<&'a ContainerId, (bool, u32)> = BTreeMap::new();
    for pid in processes(roots) {
        let Ok(text) = roots.read_proc(&format!("{pid}/cgroup")) else { continue };
        for (segment, nested) in segments(&text) {
            if let Some(&id) = wanted.get(segment) {
                let new = (nested, pid);
                found.entry(id).and_modify(|best| *best = new.min(*best)).or_insert(new);
            }
        }
    }
    found.into_iter().map(|(id, (_, pid))| (id, pid)).collect()
}

fn processes(roots: &Roots) -> Vec<u32> {
    let entries = roots.proc.folders("").into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flat_map(Iterator::flatten);
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(MOST_PROCESSES).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The path segments of all lines, and whether a segment is above the process's own cgroup.
///
/// ```text
/// 4:memory:/kubepods/burstable/pod48eba6dc-8431-457a-84f7-97ac846b64c1/201f02485c22…
/// 0::/../../system.slice/docker-768daf9b63a6….scope
/// 0::/system.slice/kubepods-burstable-pod48eba6dc_….slice:cri-containerd:201f02485c22…
/// ```
/// Controllers and named hierarchies hold no colon, paths may: the first two colons count. From a private cgroup name space paths begin with `/..`.
pub fn segments(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).flat_map(|path| path.rsplit('/').enumerate().map(|(above, segment)| (segment, above > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_read_from_the_second_colon_on() {
        for (line, expected) in [
            ("0::/", vec![("", false), ("", true)]),
            ("4:memory:/docker/a1", vec![("a1", false), ("docker", true), ("", true)]),
            ("0::/../docker-a1.scope/init.scope", vec![("init.scope", false), ("docker-a1.scope", true), ("..", true), ("", true)]),
            ("0::/x.slice:cri-containerd:a1", vec![("x.slice:cri-containerd:a1", false), ("", true)]),
            ("nonsense", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(segments(line).collect::<Vec<_>>(), expected, "{line:?}");
        }
    }
}

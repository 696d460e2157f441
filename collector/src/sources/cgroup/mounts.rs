//! Where the cgroup trees are mounted, by `proc/self/mountinfo` under the roots: the kind of a file system cannot be recorded otherwise.
//! Format: proc_pid_mountinfo(5).

use std::path::{Path, PathBuf};

use super::files::Tree;
use crate::snapshot::CgroupVersion;

/// The trees that carry the controllers Tare reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounts {
    /// Which hierarchies they are.
    pub version: CgroupVersion,
    /// Below the `sys` root, by tree; `None`: not mounted.
    paths: [Option<PathBuf>; Tree::ALL.len()],
}

impl Mounts {
    /// Where a tree is mounted, relative to the `sys` root: `fs/cgroup/memory`.
    pub fn path(&self, tree: Tree) -> Option<&Path> {
        self.paths[tree as usize].as_deref()
    }

    /// The trees whose folders are walked: every container is in the first, units may be in one of the two only
    /// (systemd makes a unit's folder where its accounting is on, which is memory by default).
    pub fn walked(&self) -> Vec<&Path> {
        let order = [Tree::Unified, Tree::Cpuacct, Tree::Memory, Tree::Cpu, Tree::Pids, Tree::Blkio];
        let mut paths: Vec<&Path> = order.into_iter().filter_map(|tree| self.path(tree)).collect();
        paths.dedup();
        paths.truncate(2);
        paths
    }
}

/// Reads mountinfo. Only mounts at or below `sys` count. `None` if no tree there carries a controller.
/// ```text
/// 30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
/// 31 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,cpu,cpuacct
/// ```
pub fn find(mountinfo: &str, sys: &Path) -> Option<Mounts> {
    let mut paths = [const { None }; Tree::ALL.len()];
    for line in mountinfo.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let Some(point) = mount.split(' ').nth(4).map(unescape) else { continue };
        let Ok(below) = Path::new(&point).strip_prefix(sys) else { continue };
        let mut kind = kind.split(' ');
        match (kind.next(), kind.nth(1)) {
            // A tree may be mounted twice; the first is the usual one.
            (Some("cgroup2"), _) => drop(paths[Tree::Unified as usize].get_or_insert_with(|| below.to_path_buf())),
            (Some("cgroup"), Some(options)) => {
                for tree in options.split(',').filter_map(controller) {
                    paths[tree as usize].get_or_insert_with(|| below.to_path_buf());
                }
            }
            _ => {}
        }
    }
    let v2 = paths[Tree::Unified as usize].is_some();
    let v1 = [Tree::Cpuacct, Tree::Cpu, Tree::Memory, Tree::Blkio, Tree::Pids].iter().any(|tree| paths[*tree as usize].is_some());
    let version = match (v1, v2) {
        (true, true) => CgroupVersion::Hybrid,
        (true, false) => CgroupVersion::V1,
        (false, true) => CgroupVersion::V2,
        (false, false) => return None,
    };
    if v1 {
        // A controller lives in one hierarchy: with v1 trees the v2 one is systemd's, for bookkeeping.
        paths[Tree::Unified as usize] = None;
    }
    Some(Mounts { version, paths })
}

fn controller(option: &str) -> Option<Tree> {
    Some(match option {
        "cpu" => Tree::Cpu,
        "cpuacct" => Tree::Cpuacct,
        "memory" => Tree::Memory,
        "blkio" => Tree::Blkio,
        "pids" => Tree::Pids,
        "cpuset" => Tree::Cpuset,
        "hugetlb" => Tree::Hugetlb,
        _ => return None,
    })
}

/// Blanks, tabs, line ends and backslashes stand as three octal digits: `\040`.
pub(crate) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('\\');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii) {
            Some(byte) => {
                plain.push(byte.into());
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mountinfo: &str, sys: &str) -> Option<(CgroupVersion, String)> {
        let mounts = find(mountinfo, Path::new(sys))?;
        let paths = Tree::ALL.iter().filter_map(|tree| Some(format!("{tree:?}={}", mounts.path(*tree)?.display())));
        Some((mounts.version, paths.collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn the_trees_are_found() {
        let v2 = "30 23 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let joint = "31 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n32 25 0:32 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory\n";
        let apart = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n";
        let unified =
            "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
        let tmpfs = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n";
        for (text, sys, version, paths) in [
            (v2.to_string(), "/sys", CgroupVersion::V2, "Unified=fs/cgroup"),
            (joint.to_string(), "/sys", CgroupVersion::V1, "Cpu=fs/cgroup/cpu,cpuacct Cpuacct=fs/cgroup/cpu,cpuacct Memory=fs/cgroup/memory"),
            (format!("{tmpfs}{apart}{unified}"), "/sys", CgroupVersion::Hybrid, "Cpu=fs/cgroup/cpu Cpuacct=fs/cgroup/cpuacct"),
            (unified.to_string(), "/sys", CgroupVersion::V2, "Unified=fs/cgroup/unified"),
            ("1 2 0:1 / /host/sys/fs/my\\040tree rw - cgroup2 none rw\n".into(), "/host/sys", CgroupVersion::V2, "Unified=fs/my tree"),
            (format!("{v2}1 2 0:1 / /host/sys/fs/cgroup rw - cgroup2 none rw\n"), "/host/sys", CgroupVersion::V2, "Unified=fs/cgroup"),
        ] {
            assert_eq!(found(&text, sys), Some((version, paths.into())), "{text}");
        }
        for text in [
            "",
            tmpfs,
            "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n",
            "30 23 0:26 / /mnt/cgroup rw - cgroup2 cgroup2 rw\n",
            " - cgroup2",
            "a b c d /sys - cgroup",
        ] {
            assert_eq!(found(text, "/sys"), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z0-9/ ,:=é-]|\\\\[0-7]{0,3}| - cgroup2? |/sys|\n){0,40}") {
            find(&text, Path::new("/sys"));
        }
    }
}

//! Which file systems are mounted on the host, and where we can ask how full they are. Text in, values out.
//! Format: proc_pid_mountinfo(5).

use std::collections::BTreeMap;

use crate::snapshot::FileSystem;
use crate::sources::cgroup::mounts::unescape;

/// No more file systems are told.
pub const MOST: usize = 64;

/// One file system of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// What it is; `room` is not known yet.
    pub about: FileSystem,
    /// A path of ours that lies on it.
    pub ours: Option<String>,
}

/// The kinds that have no device of their own and yet a size: of the network, of other machines, and those that make their own numbers. Other kinds without
/// one are the kernel's, or in memory, or laid over others, as containers' are.
const WITHOUT_DEVICE: [&str; 10] = ["btrfs", "zfs", "bcachefs", "nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "virtiofs"];

/// The file systems in `host` (`/proc/1/mountinfo`), each once, at its shortest mount point, sorted by it; and how many are beyond the bound. From `ours`
/// (`/proc/self/mountinfo`) a path is taken on the same device: in a container `/etc/hosts` lies on the host's disk.
///
/// ```text
/// 27 1 259:1 / / rw,relatime shared:1 - xfs /dev/nvme0n1p1 rw,attr2,inode64
/// 90 27 0:45 / /mnt/efs rw,relatime shared:50 - nfs4 fs-0a1b.efs.eu-west-1.amazonaws.com:/ rw,vers=4.1
/// 95 27 0:50 / /var/lib/docker/overlay2/1f/merged rw,relatime - overlay overlay rw,lowerdir=…
/// ```
/// Images (squashfs, iso9660, erofs) are always full and left out; so is what is mounted in part (a file, a folder) and not as a whole.
pub fn find(host: &str, ours: &str) -> (Vec<Mounted>, usize) {
    let mut found: BTreeMap<&str, (String, Mount<'_>)> = BTreeMap::new();
    for mount in mounts(host).filter(Mount::is_told) {
        let point = unescape(mount.point);
        match found.get(mount.device) {
            Some((had, _)) if (had.len(), had.as_str()) <= (point.len(), point.as_str()) => {}
            _ => drop(found.insert(mount.device, (point, mount))),
        }
    }
    let mut reached: BTreeMap<&str, String> = BTreeMap::new();
    for mount in mounts(ours).filter(|mount| found.contains_key(mount.device)) {
        let point = unescape(mount.point);
        let at = reached.entry(mount.device).or_insert_with(|| point.clone());
        if point.len() < at.len() {
            *at = point;
        }
    }
    let mut all: Vec<Mounted> = found
        .into_iter()
        .map(|(device, (point, mount))| {
            let about =
                FileSystem { source: unescape(mount.source).into(), mounted: point.into(), kind: mount.kind.into(), read_only: mount.read_only, room: None };
            Mounted { about, ours: reached.remove(device) }
        })
        .collect();
    all.sort_by(|a, b| a.about.mounted.cmp(&b.about.mounted));
    let cut = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    (all, cut)
}

/// One line.
struct Mount<'a> {
    /// `259:1`.
    device: &'a str,
    /// What of it is mounted.
    root: &'a str,
    /// Where.
    point: &'a str,
    kind: &'a str,
    source: &'a str,
    read_only: bool,
}

impl Mount<'_> {
    fn is_told(&self) -> bool {
        let has_device = !self.device.starts_with("0:") && !matches!(self.kind, "squashfs" | "iso9660" | "erofs" | "udf");
        // A btrfs is always mounted in part: by subvolume.
        (self.root == "/" || self.kind == "btrfs") && (has_device || WITHOUT_DEVICE.contains(&self.kind))
    }
}

fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (device, root, point, options) = (mount.next()?, mount.next()?, mount.next()?, mount.next()?);
        let mut kind = kind.split(' ');
        let (kind, source, of_all) = (kind.next()?, kind.next()?, kind.next()?);
        let read_only = [options, of_all].iter().any(|options| options.split(',').any(|word| word == "ro"));
        Some(Mount { device, root, point, kind, source, read_only })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 259:1 / / rw,relatime shared:1 - xfs /dev/nvme0n1p1 rw,attr2,inode64
28 27 259:1 /var/lib/x /srv/x rw,relatime shared:1 - xfs /dev/nvme0n1p1 rw
30 27 259:2 / /var/lib/kubelet/plugins/kubernetes.io/csi/vol/globalmount rw - ext4 /dev/nvme1n1 rw
31 27 259:2 / /var/lib/kubelet/pods/u/vol rw - ext4 /dev/nvme1n1 rw
40 27 0:30 / /run rw,nosuid - tmpfs tmpfs rw,mode=755
90 27 0:45 / /mnt/my\\040efs rw,relatime shared:50 - nfs4 fs-0a1b:/ rw,vers=4.1
95 27 0:50 / /var/lib/docker/overlay2/1f/merged rw,relatime - overlay overlay rw,lowerdir=/a
96 27 7:1 / /snap/core/1 ro,nodev - squashfs /dev/loop1 ro
97 27 0:60 /@ /data rw - btrfs /dev/nvme2n1 rw,subvol=/@
98 27 259:9 / /boot/efi ro,relatime - vfat /dev/nvme0n1p9 rw,fmask=0077
";

    #[test]
    fn real_file_systems_are_told_once_each() {
        let (found, cut) = find(HOST, HOST);
        let told: Vec<_> = found.iter().map(|one| (&*one.about.mounted, &*one.about.source, &*one.about.kind, one.about.read_only)).collect();
        assert_eq!(
            told,
            [
                ("/", "/dev/nvme0n1p1", "xfs", false),
                ("/boot/efi", "/dev/nvme0n1p9", "vfat", true),
                ("/data", "/dev/nvme2n1", "btrfs", false),
                ("/mnt/my efs", "fs-0a1b:/", "nfs4", false),
                ("/var/lib/kubelet/pods/u/vol", "/dev/nvme1n1", "ext4", false),
            ]
        );
        assert!(cut == 0 && found.iter().all(|one| one.ours.as_deref() == Some(&*one.about.mounted)));
    }

    #[test]
    fn from_a_container_a_file_of_the_same_disk_stands_in() {
        let ours = "1 0 0:50 / / rw - overlay overlay rw\n2 1 259:1 /var/lib/docker/containers/a/hosts /etc/hosts rw - xfs /dev/nvme0n1p1 rw\n";
        let (found, _) = find(HOST, ours);
        let reached: Vec<_> = found.iter().filter_map(|one| Some((&*one.about.mounted, one.ours.as_deref()?))).collect();
        assert_eq!(reached, [("/", "/etc/hosts")]);
        assert_eq!(find(ours, ours).0, [], "its own mounts are no file systems of the host");
    }

    #[test]
    fn the_bound_is_kept_and_odd_lines_cost_themselves() {
        let many: String = (0..70).map(|n| format!("{n} 1 8:{n} / /m{n:02} rw - ext4 /dev/sd{n} rw\n")).collect();
        let (found, cut) = find(&format!("odd\n1 2 3 - x\n{many}9 9 8:99 / /torn rw - ext4"), "");
        assert_eq!((found.len(), cut), (MOST, 6));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(ext4|8:1|/| - |rw|[ \n\\\\0-9]|\\PC){0,80}") {
            let (found, _) = find(&text, &text);
            proptest::prop_assert!(found.iter().all(|one| one.ours.is_some()));
        }
    }
}

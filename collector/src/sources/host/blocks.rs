//! `/proc/diskstats`: what went to and from each block device. Text in, values out.

use std::sync::Arc;
use std::time::Duration;

use crate::snapshot::{BlockDevice, Device, Io, IoDevice, Transfers};
use crate::units::Bytes;

/// No more devices are told.
pub const MOST_DEVICES: usize = 256;

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocks {
    /// Whole devices, sorted by name.
    pub devices: Vec<BlockDevice>,
    /// Devices beyond the bound, not told.
    pub cut: u64,
}

/// Reads the whole file; names are those of `before` where they are the same. Left out: partitions (their disk has their figures), loop and RAM disks, floppies
/// and CDs. A line that is torn or odd costs itself only. Kernel: Documentation/admin-guide/iostats.rst.
///
/// ```text
///    7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
///  259       0 nvme0n1 1272227 68704 55661106 1789675 382420 494247 212028184 1527611 0 187488 3387045 310861 69 144608208 59227 49100 10531
///  259       1 nvme0n1p1 1272000 68704 55660000 1789000 382420 494247 212028184 1527611 0 187480 3386000 0 0 0 0 0 0
/// ```
/// number, name; reads, merged, sectors of 512 bytes, ms; the same of writes; under way, ms with any under way, ms of all; discards and flushes are newer.
pub fn parse(text: &str, before: &[BlockDevice]) -> Blocks {
    let mut blocks = Blocks::default();
    for line in text.split_inclusive('\n') {
        let Some(device) = line.strip_suffix('\n').and_then(|line| device(line, before)) else { continue };
        if blocks.devices.len() == MOST_DEVICES {
            blocks.cut += 1;
        } else {
            blocks.devices.push(device);
        }
    }
    blocks.devices.sort_by(|a, b| a.name.cmp(&b.name));
    blocks.devices.dedup_by(|later, first| later.name == first.name);
    let names: Vec<Arc<str>> = blocks.devices.iter().map(|device| device.name.clone()).collect();
    let is_there = |name: &str| names.binary_search_by(|known| (**known).cmp(name)).is_ok();
    blocks.devices.retain(|device| !disk_of(&device.name).is_some_and(is_there));
    blocks
}

/// The disk that this would be a partition of: `sda` of `sda1`, `nvme0n1` of `nvme0n1p1`. Old EC2 machines have an `xvda1` that is a whole disk, so its disk must be there too.
fn disk_of(name: &str) -> Option<&str> {
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if disk.len() == name.len() {
        return None;
    }
    Some(disk.strip_suffix('p').filter(|disk| disk.ends_with(|c: char| c.is_ascii_digit())).unwrap_or(disk))
}

fn device(line: &str, before: &[BlockDevice]) -> Option<BlockDevice> {
    let mut words = line.split_ascii_whitespace();
    let device = Device { major: words.next()?.parse().ok()?, minor: words.next()?.parse().ok()? };
    let name = words.next()?;
    if ["loop", "ram", "zram", "fd", "sr"].iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))) {
        return None;
    }
    let mut numbers = [0_u64; 11];
    for number in &mut numbers {
        *number = words.next()?.parse().ok()?;
    }
    let time = Duration::from_millis;
    let transfers = |at: usize| Transfers {
        operations: numbers[at],
        merged: numbers[at + 1],
        bytes: Bytes(numbers[at + 2].saturating_mul(512)),
        time: time(numbers[at + 3]),
    };
    let had = before.binary_search_by(|had| (*had.name).cmp(name)).ok().map(|at| before[at].name.clone());
    Some(BlockDevice {
        name: had.unwrap_or_else(|| name.into()),
        device,
        read: transfers(0),
        written: transfers(4),
        in_flight: numbers[8],
        busy: time(numbers[9]),
        weighted: time(numbers[10]),
    })
}

/// The same in the words that every cgroup has.
pub fn io(devices: &[BlockDevice]) -> Io {
    let row = |one: &BlockDevice| IoDevice {
        device: one.device,
        read: one.read.bytes,
        written: one.written.bytes,
        reads: Some(one.read.operations),
        writes: Some(one.written.operations),
    };
    devices.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text, &[]).devices.iter().map(|device| device.name.to_string()).collect()
    }

    #[test]
    fn figures_stand_in_their_order() {
        let text = " 259       0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";
        let device = &parse(text, &[]).devices[0];
        let ms = Duration::from_millis;
        assert_eq!((device.device.to_string().as_str(), &*device.name), ("259:0", "nvme0n1"));
        assert_eq!(device.read, Transfers { operations: 1, merged: 2, bytes: Bytes(3 * 512), time: ms(4) });
        assert_eq!(device.written, Transfers { operations: 5, merged: 6, bytes: Bytes(7 * 512), time: ms(8) });
        assert_eq!((device.in_flight, device.busy, device.weighted), (9, ms(10), ms(11)));
        assert_eq!(io(std::slice::from_ref(device))[0].written, Bytes(3584));
    }

    #[test]
    fn whole_devices_alone_are_told() {
        let rows = |names: &[&str]| names.iter().map(|name| format!("   8       0 {name} 1 2 3 4 5 6 7 8 9 10 11\n")).collect::<String>();
        for (given, told) in [
            (&["sda", "sda1", "sda14", "sdb"][..], &["sda", "sdb"][..]),
            (&["nvme0n1", "nvme0n1p1", "nvme1n1"], &["nvme0n1", "nvme1n1"]),
            (&["xvda1"], &["xvda1"]),
            (&["loop0", "ram3", "zram0", "fd0", "sr0", "dm-0", "md0", "md0p1"], &["dm-0", "md0"]),
            (&["mmcblk0", "mmcblk0p2", "ramdisk"], &["mmcblk0", "ramdisk"]),
            (&["vda", "vda"], &["vda"]),
        ] {
            assert_eq!(names(&rows(given)), told, "{given:?}");
        }
        for torn in [
            "8 0 sda 1 2 3 4 5 6 7 8 9 10\n",
            "8 0 sda 1 2 3 4 5 6 7 8 9 10 11",
            "8 x sda 1 2 3 4 5 6 7 8 9 10 11\n",
            "8 0 sda 1 2 3 4 -5 6 7 8 9 10 11\n",
            "\n",
        ] {
            assert!(names(torn).is_empty(), "{torn:?}");
        }
    }

    #[test]
    fn names_are_kept_and_the_bound_counts_what_it_cuts() {
        let text: String = (0..300).map(|n| format!("8 {n} dm-{n:03} 1 2 3 4 5 6 7 8 9 10 11\n")).collect();
        let first = parse(&text, &[]);
        assert_eq!((first.devices.len(), first.cut), (MOST_DEVICES, 44));
        let again = parse(text.split_once('\n').unwrap().1, &first.devices);
        assert!(Arc::ptr_eq(&first.devices[1].name, &again.devices[0].name));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(sda1?|nvme0n1|[0-9 \n]|\\PC){0,60}") {
            prop_assert!(parse(&text, &[]).devices.is_sorted_by(|a, b| a.name < b.name));
        }
    }
}

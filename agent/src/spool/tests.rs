//! Records on disk: whole or not there, below the bound, and nothing of others touched.

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn open(folder: &Path) -> (Spool, Found) {
    Spool::open(folder, MIB).unwrap()
}

fn payload(number: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u64 * 31 + number) as u8).collect()
}

fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut all: Vec<_> =
        fs::read_dir(folder).unwrap().map(Result::unwrap).map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().len())).collect();
    all.sort();
    all
}

fn size(folder: &Path) -> u64 {
    files(folder).iter().map(|(_, size)| size).sum()
}

#[test]
fn the_next_life_finds_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let cursors = vec![Cursor { reader: "a".into(), next: 2, given: true }];
    let (mut spool, found) = open(folder.path());
    assert_eq!(found, Found::default());
    for number in 1..=3 {
        spool.append(number, -7, &payload(number, number as usize)).unwrap();
    }
    spool.put_cursors(cursors.clone()).unwrap();
    drop(spool);
    let (mut spool, found) = open(folder.path());
    assert_eq!(found.records.iter().map(|record| (record.number, record.at)).collect::<Vec<_>>(), [(1, -7), (2, -7), (3, -7)]);
    assert_eq!((found.cursors, found.torn, found.foreign), (Some(cursors), 0, vec![]));
    for record in &found.records {
        assert_eq!(spool.read(record.place).unwrap(), payload(record.number, record.number as usize));
    }
    spool.append(4, 0, b"four").unwrap();
    spool.sync().unwrap();
    drop(spool);
    assert_eq!(open(folder.path()).1.records.len(), 4);
}

#[test]
fn what_nobody_needs_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(folder.path());
    for number in 0..40 {
        spool.append(number, 0, &payload(number, 10_000)).unwrap();
    }
    let before = spool.bytes();
    spool.forget(20, false).unwrap();
    assert!(spool.bytes() < before);
    drop(spool);
    let (mut spool, found) = open(folder.path());
    assert!(found.records[0].number <= 20 && found.records.len() < 40, "{:?}", found.records[0]);
    spool.forget(40, false).unwrap();
    assert_eq!((spool.bytes(), files(folder.path())), (0, vec![("lock".into(), 0)]));
    spool.append(40, 0, b"small").unwrap();
    spool.forget(41, false).unwrap();
    assert!(spool.bytes() > 0, "a small segment goes on growing");
    spool.forget(41, true).unwrap();
    assert_eq!(spool.bytes(), 0);
}

#[test]
fn two_do_not_use_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path());
    let said = Spool::open(folder.path(), MIB).unwrap_err().to_string();
    assert_eq!(said.replace(&*folder.path().to_string_lossy(), "DIR"), "DIR: another Tare uses it");
    drop(spool);
    open(folder.path());
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (later, other) = ("00000000000000000007.seg", "00000000000000000008.seg");
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    fs::write(folder.path().join(later), b"tare-seg\x02\0\0\0and more").unwrap();
    fs::write(folder.path().join(other), b"#!/bin/sh").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("00000000000000000009.seg")).unwrap();
    fs::write(folder.path().join("cursors.json"), "{}").unwrap();
    let (mut spool, found) = open(folder.path());
    assert_eq!(found.foreign, ["notes.txt", later, other, "00000000000000000009.seg"]);
    assert_eq!((found.records.len(), found.cursors, found.torn), (0, None, 0));
    assert!(matches!(spool.append(7, 0, b"x"), Err(SpoolError::Io { .. })), "it is not written over");
    spool.append(10, 0, b"x").unwrap();
    assert_eq!(fs::read(folder.path().join(later)).unwrap(), b"tare-seg\x02\0\0\0and more");
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("below"), file] {
        let said = Spool::open(&path, MIB).unwrap_err().to_string();
        assert!(said.starts_with(&*path.to_string_lossy()) && said.contains("(os error"), "{said}");
    }
}

#[test]
fn a_record_larger_than_all_is_refused_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(folder.path());
    spool.append(1, 0, b"one").unwrap();
    assert!(matches!(spool.append(2, 0, &payload(2, MIB as usize)), Err(SpoolError::TooLarge { .. })));
    drop(spool);
    assert_eq!(open(folder.path()).1.records.len(), 1);
}

#[test]
fn what_was_damaged_after_it_was_written_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(folder.path());
    let (place, _) = spool.append(1, 0, &payload(1, 100)).unwrap();
    let path = folder.path().join("00000000000000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[80] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(spool.read(place), Err(SpoolError::Damaged { .. })));
}

/// A crash may leave a file at any length.
#[test]
fn a_torn_end_is_cut_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(folder.path());
    for number in 1..=3 {
        spool.append(number, 0, &payload(number, 20)).unwrap();
    }
    drop(spool);
    let path = folder.path().join("00000000000000000001.seg");
    let whole = fs::read(&path).unwrap();
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (mut spool, found) = open(folder.path());
        let records = length.saturating_sub(HEAD.len()) / (RECORD + 20);
        assert_eq!(found.records.len(), records, "{length}");
        let clean = [0, HEAD.len() + records * (RECORD + 20)].contains(&length);
        assert_eq!(found.torn, u64::from(!clean), "{length}");
        // It goes on behind what is whole, and the next life finds no tear.
        spool.append(9, 0, b"next").unwrap();
        drop(spool);
        let (spool, found) = open(folder.path());
        assert_eq!((found.records.len(), found.torn), (records + 1, 0), "{length}");
        drop(spool);
        fs::remove_file(folder.path().join("00000000000000000009.seg")).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever is written, cut, forgotten and started again: what is there is a run of what was written, and the folder stays below its bound.
    #[test]
    fn the_folder_stays_below_its_bound(steps in prop::collection::vec((0u8..8, 1usize..20_000), 1..60)) {
        const BOUND: u64 = 128 << 10;
        let folder = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(folder.path(), BOUND).unwrap();
        let mut there: Vec<(u64, usize, Place)> = Vec::new();
        let mut number = 0;
        for (what, much) in steps {
            match what {
                0 => {
                    drop(spool);
                    let found;
                    (spool, found) = Spool::open(folder.path(), BOUND).unwrap();
                    let kept: Vec<u64> = found.records.iter().map(|record| record.number).collect();
                    // What was forgotten may still be there, what was not is.
                    prop_assert!(there.iter().all(|(number, ..)| kept.contains(number)));
                    there = found.records.iter().map(|record| (record.number, record.place.length(), record.place)).collect();
                }
                1 => {
                    let below = there.get(much % (there.len() + 1)).map_or(number, |(number, ..)| *number);
                    spool.forget(below, much % 2 == 0).unwrap();
                    there.retain(|(number, ..)| *number >= below);
                }
                _ => {
                    number += 1 + much as u64 % 3;
                    let (place, cut) = spool.append(number, 0, &payload(number, much)).unwrap();
                    there.retain(|(number, ..)| cut.is_none_or(|cut| *number > cut));
                    there.push((number, much, place));
                    spool.put_cursors(vec![Cursor { reader: "a".into(), next: number, given: false }]).unwrap();
                }
            }
            prop_assert!(size(folder.path()) <= BOUND, "{:?}", files(folder.path()));
            for (number, length, place) in &there {
                prop_assert_eq!(spool.read(*place).unwrap(), payload(*number, *length));
            }
        }
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300), after in any::<Option<u64>>()) {
        let mut segment = HEAD.to_vec();
        put_record(5, 1, b"five", &mut segment);
        let good = segment.len();
        segment.extend_from_slice(&bytes);
        let scanned = scan(&segment, 5, after.filter(|after| *after >= 5));
        prop_assert!(scanned.whole <= segment.len() && !scanned.foreign);
        prop_assert_eq!(scanned.records.is_empty(), after.is_some_and(|after| after >= 5));
        prop_assert!(scanned.records.is_empty() || scanned.whole >= good);
        scan(&bytes, 0, after);
    }
}

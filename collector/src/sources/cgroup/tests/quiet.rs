//! What is read of a cgroup that rests, and when it is heard of again.

use std::collections::BTreeSet;

use super::*;

/// A host with one container of which every file says something.
fn host(mountinfo: &str) -> (HostFolder, Cgroups) {
    let host = HostFolder::new(mountinfo);
    for (place, text) in files(mountinfo) {
        host.write(&place, text);
    }
    let cgroups = Cgroups::new(host.live(), SETTINGS);
    (host, cgroups)
}

/// Where the container's files are, and what they say.
fn files(mountinfo: &str) -> Vec<(String, &'static str)> {
    let (trees, said): (&[&str], &[(&str, &str)]) = match mountinfo {
        V1 => (
            &["cpu,cpuacct", "cpu,cpuacct", "cpu,cpuacct", "memory", "memory", "memory", "memory", "memory", "memory", "memory", "pids", "blkio", "blkio"],
            &[
                ("cpuacct.usage", "1000000000\n"),
                ("cpuacct.stat", "user 10\nsystem 20\n"),
                ("cpu.stat", "nr_periods 1\nnr_throttled 0\nthrottled_time 0\n"),
                ("memory.usage_in_bytes", "1000\n"),
                ("memory.stat", "total_cache 100\ntotal_rss 700\ntotal_inactive_file 50\n"),
                ("memory.memsw.usage_in_bytes", "1000\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"),
                ("memory.failcnt", "0\n"),
                ("memory.kmem.usage_in_bytes", "90\n"),
                ("memory.max_usage_in_bytes", "2000\n"),
                ("pids.current", "1\n"),
                ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
                ("blkio.throttle.io_serviced_recursive", "8:0 Read 1\n8:0 Write 1\nTotal 2\n"),
            ],
        ),
        _ => (
            &[""; 11],
            &[
                ("cpu.stat", "usage_usec 1000000\nuser_usec 400000\nsystem_usec 600000\n"),
                ("memory.current", "1000\n"),
                ("memory.stat", "anon 700\nfile 100\ninactive_file 50\n"),
                ("memory.swap.current", "0\n"),
                ("memory.events", "high 0\nmax 0\noom 0\noom_kill 0\n"),
                ("memory.peak", "2000\n"),
                ("pids.current", "1\n"),
                ("io.stat", "8:0 rbytes=1 wbytes=2 rios=1 wios=1 dbytes=0 dios=0\n"),
                ("cpu.pressure", "some avg10=0.00 total=10\nfull avg10=0.00 total=2\n"),
                ("memory.pressure", "some avg10=0.00 total=10\nfull avg10=0.00 total=2\n"),
                ("io.pressure", "some avg10=0.00 total=10\nfull avg10=0.00 total=2\n"),
            ],
        ),
    };
    trees.iter().zip(said).map(|(tree, (name, text))| (format!("sys/fs/cgroup/{tree}/docker/{A}/{name}"), *text)).collect()
}

/// Looks until the look just made read everything by its turn, so that none of the next five does.
fn after_its_turn(cgroups: &mut Cgroups) -> Usage {
    loop {
        let tree = look(cgroups).0;
        if cgroups.look > 6 && (cgroups.look + tree.groups[0].start).is_multiple_of(BOUNDS_EVERY) {
            return tree.groups[0].usage.clone();
        }
    }
}

fn usage(cgroups: &mut Cgroups) -> Usage {
    look(cgroups).0.groups[0].usage.clone()
}

#[test]
fn of_one_that_rests_few_files_are_read_and_all_figures_stay() {
    let all = ["cpu.stat", "memory.current", "io.stat", "pressure", "memory.stat"];
    for (mountinfo, read) in [(V1, &["cpuacct.usage", "memory.usage_in_bytes"][..]), (V2, &all[..4])] {
        let (host, mut cgroups) = host(mountinfo);
        let rested = after_its_turn(&mut cgroups);
        assert_eq!(usage(&mut cgroups), rested);
        // What is damaged now and not told of was not read.
        let mut told = BTreeSet::new();
        for (place, text) in files(mountinfo) {
            host.write(&place, "?");
            let gaps = look(&mut cgroups).1;
            told.extend(gaps.iter().map(|gap| gap.what.to_string()));
            host.write(&place, text);
            after_its_turn(&mut cgroups);
        }
        assert_eq!(told, read.iter().map(|name| (*name).to_owned()).collect());
        // The turn reads all of them.
        files(mountinfo).iter().for_each(|(place, _)| host.write(place, "?"));
        let gaps = (0..BOUNDS_EVERY).map(|_| look(&mut cgroups).1.len()).max().unwrap();
        assert_eq!(gaps, files(mountinfo).len() - if mountinfo == V2 { 2 } else { 0 });
    }
}

#[test]
fn whoever_ran_is_read_whole_at_once_and_once_more() {
    for (mountinfo, counter, step) in [(V1, 0, "1000000001\n"), (V2, 0, "usage_usec 1000001\n")] {
        let (host, mut cgroups) = host(mountinfo);
        after_its_turn(&mut cgroups);
        let pids = files(mountinfo).into_iter().find(|(place, _)| place.ends_with("pids.current")).unwrap().0;
        host.write(&pids, "7\n");
        assert_eq!(usage(&mut cgroups).pids.unwrap().is, 1, "nobody ran, so nobody forked");
        host.write(&files(mountinfo)[counter].0, step);
        assert_eq!(usage(&mut cgroups).pids.unwrap().is, 7);
        host.write(&pids, "8\n");
        assert_eq!(usage(&mut cgroups).pids.unwrap().is, 8, "what was booked late");
        host.write(&pids, "9\n");
        assert_eq!(usage(&mut cgroups).pids.unwrap().is, 8);
    }
}

#[test]
fn memory_that_moves_by_itself_is_looked_into_at_once() {
    for (mountinfo, sum, stat, text) in [(V1, 3, 4, "total_cache 1\ntotal_rss 2\ntotal_inactive_file 0\n"), (V2, 1, 2, "anon 2\nfile 1\ninactive_file 0\n")] {
        let (host, mut cgroups) = host(mountinfo);
        after_its_turn(&mut cgroups);
        host.write(&files(mountinfo)[stat].0, text);
        assert_eq!(usage(&mut cgroups).memory.unwrap().is.anon, Some(Bytes(700)));
        host.write(&files(mountinfo)[sum].0, "900\n");
        let memory = usage(&mut cgroups).memory.unwrap().is;
        assert_eq!((memory.used, memory.anon, memory.working_set), (Some(Bytes(900)), Some(Bytes(2)), Some(Bytes(900))));
    }
}

#[test]
fn pressure_and_late_writes_of_one_that_does_not_run_are_seen_at_once() {
    let (host, mut cgroups) = host(V2);
    after_its_turn(&mut cgroups);
    for kind in ["cpu", "memory", "io"] {
        host.cgroup(&format!("/docker/{A}"), &[(&format!("{kind}.pressure"), "some avg10=9.00 total=77\nfull avg10=0.00 total=66\n")]);
    }
    host.cgroup(&format!("/docker/{A}"), &[("io.stat", "8:0 rbytes=1 wbytes=4096 rios=1 wios=2 dbytes=0 dios=0\n")]);
    let seen = usage(&mut cgroups);
    let waited = Some(Stall { some: Duration::from_micros(77), full: Some(Duration::from_micros(66)) });
    let pressure = seen.pressure.unwrap().is;
    assert_eq!([pressure.cpu, pressure.memory, pressure.io], [waited; 3]);
    assert_eq!(seen.io.unwrap().is[0].written, Bytes(4096));
}

#[test]
fn trouble_is_told_at_every_look_and_nothing_is_made_up_for_it() {
    let (host, mut cgroups) = host(V1);
    after_its_turn(&mut cgroups);
    host.write(&files(V1)[4].0, "?");
    host.write(&files(V1)[0].0, "1000000001\n");
    for _ in 0..4 {
        let (tree, gaps) = look(&mut cgroups);
        assert_eq!((gaps.len(), tree.groups[0].usage.memory.unwrap().is.anon), (1, None));
    }
}

#[test]
fn the_hottest_file_of_as_many_rows_as_fit_stays_open() {
    for (rows, keep_open, open) in [(4, 3, 3), (2, 3, 3), (1, 2, 2)] {
        let host = HostFolder::new(V2);
        for id in &[A, B, C, A.replace('3', "4").as_str()][..rows] {
            host.v2(&format!("/docker/{id}"), 1).cgroup(&format!("/docker/{id}"), &[("memory.current", "1\n")]);
        }
        let mut cgroups = Cgroups::new(host.live(), Settings { keep_open, max_groups: 100 });
        for _ in 0..8 {
            assert_eq!(look(&mut cgroups).0.groups.len(), rows);
        }
        let folder = host.0.path().join("sys/fs/cgroup/docker");
        let held = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        let held: Vec<String> = held.filter(|path| path.starts_with(&folder)).map(|path| path.file_name().unwrap().to_string_lossy().into()).collect();
        assert_eq!(held.len(), open, "{held:?}");
        assert_eq!(held.iter().filter(|name| *name == "cpu.stat").count(), rows.min(keep_open));
    }
}

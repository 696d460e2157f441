//! A cgroup v2 tree in a folder, read as if it were the machine's: files stay open, inode numbers count.

use std::{fs, io};

use collector::roots::{Clock, Roots};
use collector::sources::cgroup::{Cgroups, Settings};

/// What a busy container's files say.
const FILES: [(&str, &str); 18] = [
    ("cpu.stat", "usage_usec 123456789\nuser_usec 100000000\nsystem_usec 23456789\nnr_periods 100\nnr_throttled 3\nthrottled_usec 5000\n"),
    ("memory.current", "665845760\n"),
    ("memory.stat", "anon 524288000\nfile 104857600\nkernel 1048576\nslab 524288\nsock 4096\nshmem 0\ninactive_file 4096\npgmajfault 12\n"),
    ("pids.current", "12\n"),
    ("io.stat", "259:0 rbytes=4096000 wbytes=8192000 rios=1000 wios=2000 dbytes=0 dios=0\n"),
    ("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"),
    ("cpu.pressure", "some avg10=0.85 avg60=1.08 avg300=0.65 total=13477164\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"),
    ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"),
    ("io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"),
    ("memory.swap.current", "0\n"),
    ("memory.peak", "734003200\n"),
    ("cpu.max", "150000 100000\n"),
    ("memory.max", "1073741824\n"),
    ("memory.swap.max", "max\n"),
    ("pids.max", "1024\n"),
    ("cpuset.cpus.effective", "0-1\n"),
    ("cpu.weight", "100\n"),
    ("io.weight", "default 100\n"),
];

/// A folder with this many containers, and where to look in it.
pub fn host(containers: usize) -> io::Result<(tempfile::TempDir, Roots)> {
    let folder = tempfile::tempdir()?;
    let below = |path: &str| folder.path().join(path);
    let write = |at: &str, name: &str, text: &str| {
        fs::create_dir_all(below(at))?;
        fs::write(below(at).join(name), text)
    };
    write("proc/self", "mountinfo", "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")?;
    write("proc", "meminfo", "MemTotal:       16777216 kB\n")?;
    write("sys/devices/system/cpu", "online", "0-1\n")?;
    for n in 0..containers {
        for (name, text) in FILES {
            write(&format!("sys/fs/cgroup/docker/{n:064x}"), name, text)?;
        }
    }
    let roots = Roots { clock: Clock::Real, ..Roots::folders(below("proc"), below("sys")) };
    Ok((folder, roots))
}

/// The cgroup source over it.
pub fn cgroups(roots: &Roots) -> Cgroups {
    Cgroups::new(roots.clone(), Settings { keep_open: 4096, max_groups: 2000 })
}

//! What looking at the cgroups of this machine costs, and at the machine itself: `look [LOOKS] [SECONDS BETWEEN] [KEEP OPEN]`. Prints CPU time a container and
//! look, and a look at the machine.

#![allow(clippy::print_stdout, reason = "it is a command")]

use std::time::{Duration, Instant};

use collector::roots::Roots;
use collector::sources::cgroup::{Cgroups, Settings};
use collector::sources::host::{self, HostFiles};
use collector::sources::{Look, Owner, Told};
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let mut given = std::env::args().skip(1).map(|word| word.parse::<f64>().unwrap_or(0.0));
    let looks = given.next().unwrap_or(10.0) as u32;
    let between = Duration::from_secs_f64(given.next().unwrap_or(1.0));
    let keep_open = given.next().unwrap_or(4096.0) as usize;
    let mut cgroups = Cgroups::new(Roots::live(), Settings { keep_open, max_groups: 10_000 });
    let mut host = HostFiles::new(Roots::live(), host::Settings { state: "/".into(), disk_deadline: Duration::from_secs(1) });
    let (mut containers, mut groups) = (0, 0);
    let (mut spent, mut spent_on_host) = (Vec::new(), Vec::new());
    let mut next = Instant::now();
    for look in 0..=looks {
        let before = cpu();
        let reading = cgroups.look(&[]);
        let cost = cpu() - before;
        let before = cpu();
        drop(host.look(&[]));
        let cost_of_host = cpu() - before;
        if let Some(Told::Tree(tree)) = &reading.told {
            groups = tree.groups.len();
            containers = tree.groups.iter().filter(|group| matches!(group.owner, Owner::Container(..))).count();
        }
        if look == 0 {
            println!("first look: {containers} containers, {groups} rows, {:.0} us a container", micros(cost) / containers.max(1) as f64);
            for gap in &reading.gaps {
                println!("gap: {}: {}", gap.what, gap.why);
            }
        } else {
            spent.push(cost);
            spent_on_host.push(cost_of_host);
        }
        next += between;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    spent.sort();
    let mean = spent.iter().sum::<Duration>() / looks.max(1);
    spent_on_host.sort();
    let host_mean = spent_on_host.iter().sum::<Duration>() / looks.max(1);
    println!("the machine: mean {:.0} us a look (median {:.0})", micros(host_mean), micros(spent_on_host[spent_on_host.len() / 2]));
    let each = |span: Duration| micros(span) / containers.max(1) as f64;
    println!(
        "{looks} looks every {between:?}, {keep_open} kept open, {containers} containers at the end: mean {:.2} us a container (min {:.2}, median {:.2}, max {:.2}), {:.2} us a row",
        each(mean),
        each(spent[0]),
        each(spent[spent.len() / 2]),
        each(spent[spent.len() - 1]),
        micros(mean) / groups.max(1) as f64
    );
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// CPU time of this process, user and system.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

//! Containers that come and go, in a folder that stands for a cgroup file system: inotify tells of both alike.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::burst::{Life, STEP, pace};
use super::watcher::{Watcher, persist};
use super::*;
use crate::identity::{Owner, Within};
use crate::roots::{Clock, Roots};
use crate::sources::cgroup::{Cgroups, Settings, mounts};
use crate::sources::{Look, Told};
use crate::units::{Bytes, Stamp};

const A: &str = "3d1d9521b26e77f4fa2b9401be3fd84f09dac9c9554d1f28e0ddf61c6f3075e5";
const T: &str = "0f9de17a6465404e8b1b2356dc13c2f8";

const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const V1: &str = "31 25 0:31 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n32 25 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

/// A live host in a folder, its `docker` folder empty.
struct HostFolder(tempfile::TempDir);

impl HostFolder {
    fn new(mountinfo: &str) -> HostFolder {
        let host = HostFolder(tempfile::tempdir().unwrap());
        host.write("proc/self/mountinfo", mountinfo);
        let trees: &[&str] = if mountinfo == V2 { &[""] } else { &["cpuacct", "memory"] };
        for tree in trees {
            fs::create_dir_all(host.at(tree).join("docker")).unwrap();
        }
        host
    }

    fn at(&self, below: &str) -> PathBuf {
        self.0.path().join("sys/fs/cgroup").join(below)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As in the kernel, nobody opens a file that is there and has no text yet.
        let new = self.0.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// A v2 cgroup that has used this many seconds.
    fn v2(&self, at: &str, seconds: u64) {
        self.write(&format!("sys/fs/cgroup/{at}/cpu.stat"), &format!("usage_usec {seconds}000000\n"));
    }

    fn remove(&self, at: &str) {
        fs::remove_dir_all(self.at(at)).unwrap();
    }

    fn roots(&self) -> Roots {
        Roots::folders(self.0.path().join("proc"), self.0.path().join("sys"))
    }

    fn files(&self) -> Files {
        let roots = self.roots();
        let mounts = mounts::find(&roots.read_proc("self/mountinfo").unwrap(), &roots.sys_mounted_at).unwrap();
        Files::new(roots, mounts)
    }

    fn cgroups(&self) -> Cgroups {
        let mut cgroups = Cgroups::new(self.roots(), Settings { keep_open: 100, max_groups: 100 });
        look(&mut cgroups);
        cgroups
    }

    /// Until the watcher has opened this file, which it reads at once.
    fn until_read(&self, file: &str) {
        let path = self.at(file);
        until(file, || fs::read_dir("/proc/self/fd").unwrap().flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == path)).then_some(()));
    }

    /// A watcher that is told by hand, and hears nothing itself.
    fn watcher(&self) -> (Arc<Shared>, Watcher) {
        let shared = Arc::new(Shared { inotify: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap(), heard: Mutex::default() });
        (shared.clone(), Watcher::new(shared, self.files(), UnixStream::pair().unwrap().0))
    }
}

/// The first answer; the deadline is for a test that fails.
fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match answer() {
            Some(answer) => return answer,
            None => assert!(Instant::now() < deadline, "no {what}"),
        }
        std::thread::yield_now();
    }
}

fn look(cgroups: &mut Cgroups) -> (Vec<Ended>, Vec<String>) {
    let reading = cgroups.look(&[]);
    let gaps = reading.gaps.iter().filter(|gap| &*gap.what == WHAT).map(|gap| gap.why.to_string()).collect();
    match reading.told {
        Some(Told::Tree(tree)) => (tree.ended, gaps),
        told => panic!("no tree but {told:?}"),
    }
}

/// The next that ended, as `path seconds`.
fn next_end(cgroups: &mut Cgroups) -> Ended {
    until("end", || look(cgroups).0.pop())
}

fn seconds(ended: &Ended) -> Option<u64> {
    ended.group.usage.cpu.map(|cpu| cpu.is.time.as_secs())
}

fn container(within: Within) -> Owner {
    Owner::Container(A.into(), within)
}

#[test]
fn a_container_that_comes_and_goes_between_two_looks_leaves_its_last_figures() {
    let host = HostFolder::new(V2);
    let mut cgroups = host.cgroups();
    let at = format!("docker/{A}");
    host.v2(&at, 3);
    host.until_read(&format!("{at}/cpu.stat"));
    host.remove(&at);
    let end = next_end(&mut cgroups);
    assert_eq!((end.group.path.as_str(), &end.group.owner, seconds(&end)), (&*format!("/{at}"), &container(Within::Nothing), Some(3)));
    assert!(end.group.start > 0 && end.made.is_some());
    assert_eq!(look(&mut cgroups), (vec![], vec![]), "told once");
}

#[test]
fn a_task_that_comes_and_goes_with_its_container_is_followed_into_its_folder() {
    let host = HostFolder::new(V2);
    fs::create_dir(host.at("ecs")).unwrap();
    let mut cgroups = host.cgroups();
    let at = format!("ecs/{T}/{A}");
    host.v2(&at, 5);
    host.until_read(&format!("{at}/cpu.stat"));
    host.remove(&format!("ecs/{T}"));
    let end = next_end(&mut cgroups);
    assert_eq!((&end.group.owner, seconds(&end)), (&container(Within::Task(T.into())), Some(5)));
    // The same folder again is another watch.
    host.v2(&at, 6);
    host.until_read(&format!("{at}/cpu.stat"));
    host.remove(&format!("ecs/{T}"));
    assert_eq!(seconds(&next_end(&mut cgroups)), Some(6));
}

#[test]
fn v1_is_heard_of_in_one_tree_and_read_in_all() {
    let host = HostFolder::new(V1);
    let mut cgroups = host.cgroups();
    host.write(&format!("sys/fs/cgroup/memory/docker/{A}/memory.max_usage_in_bytes"), "4096\n");
    host.write(&format!("sys/fs/cgroup/memory/docker/{A}/memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    host.write(&format!("sys/fs/cgroup/cpuacct/docker/{A}/cpuacct.usage"), "7000000000\n");
    host.until_read(&format!("cpuacct/docker/{A}/cpuacct.usage"));
    host.until_read(&format!("memory/docker/{A}/memory.oom_control"));
    host.remove(&format!("memory/docker/{A}"));
    host.remove(&format!("cpuacct/docker/{A}"));
    let end = next_end(&mut cgroups);
    let memory = end.group.usage.memory.unwrap().is;
    assert_eq!((seconds(&end), memory.peak, memory.oom_kills), (Some(7), Some(Bytes(4096)), Some(1)));
}

#[test]
fn of_one_that_was_there_before_only_the_end_is_told() {
    let host = HostFolder::new(V2);
    let at = format!("docker/{A}");
    host.v2(&at, 3);
    let mut cgroups = host.cgroups();
    host.remove(&at);
    let end = next_end(&mut cgroups);
    assert_eq!((seconds(&end), end.made, end.group.start), (None, None, 0));
}

#[test]
fn a_recorded_host_is_not_watched() {
    let host = HostFolder::new(V2);
    let mut cgroups = Cgroups::new(Roots::replay(host.0.path()).unwrap().pop().unwrap(), Settings { keep_open: 100, max_groups: 100 });
    look(&mut cgroups);
    assert!(cgroups.lives.is_none());
}

#[test]
fn the_thread_ends_with_its_owner() {
    let host = HostFolder::new(V2);
    let lives = Lives::start(host.files()).unwrap();
    let shared = Arc::downgrade(&lives.shared);
    assert!(!lives.thread.is_finished());
    drop(lives);
    until("end of the thread", || shared.upgrade().is_none().then_some(()));
}

#[test]
fn a_container_that_goes_between_two_files_keeps_the_memory_it_had() {
    let host = HostFolder::new(V2);
    let at = format!("docker/{A}");
    host.v2(&at, 3);
    host.write(&format!("sys/fs/cgroup/{at}/memory.peak"), "4096\n");
    let mut files = host.files();
    let mut life = Life::new(format!("/{at}").as_str().into(), container(Within::Nothing), 1, Stamp::default());
    assert!(life.read(&mut files, Clock::Real, 0));
    host.v2(&at, 4);
    fs::remove_file(host.at(&at).join("memory.peak")).unwrap();
    assert!(!life.read(&mut files, Clock::Real, 0), "what was there is not: it goes");
    let end = life.close(Stamp::default());
    assert_eq!((seconds(&end), end.group.usage.memory.and_then(|memory| memory.is.peak)), (Some(4), Some(Bytes(4096))));
}

#[test]
fn many_at_once_are_read_less_often_and_none_is_left_out() {
    assert_eq!([0, 1, 128, 129, 500, 1_024].map(|bursts| pace(bursts).as_millis() / STEP.as_millis()), [1, 1, 1, 2, 4, 8]);
}

#[test]
fn what_the_bounds_cut_is_counted_and_said() {
    let host = HostFolder::new(V2);
    let (shared, mut watcher) = host.watcher();
    let docker = Parent { path: "/docker".into(), above: Above::default() };
    for n in 0..1_030 {
        watcher.made(&docker, &format!("{n:064x}"), 0);
    }
    assert_eq!(shared.heard().cut, 6);
    for n in 0..2_100 {
        watcher.removed(&docker, &format!("{n:064x}"));
    }
    let (cut, ended) = {
        let heard = shared.heard();
        (heard.cut, heard.ended.len())
    };
    assert_eq!((cut, ended), (106, 2_000));
    // Folders beyond the bound are refused before the kernel is asked.
    for n in 0..1_100 {
        let parent = Parent { path: format!("/{n}").as_str().into(), above: Above::default() };
        shared.heard().folders.insert(-n, parent);
    }
    assert!(!shared.watch(&host.at("docker"), docker));
    assert_eq!(shared.heard().refused, Some((1, Errno::NOBUFS)));
}

#[test]
fn after_lost_events_those_that_are_gone_have_ended() {
    let host = HostFolder::new(V2);
    let (shared, mut watcher) = host.watcher();
    let docker = Parent { path: "/docker".into(), above: Above::default() };
    let other = A.replace('3', "4");
    for id in [A, &other] {
        host.v2(&format!("docker/{id}"), 3);
        watcher.made(&docker, id, 0);
    }
    host.remove(&format!("docker/{A}"));
    watcher.recount();
    let heard = shared.heard();
    assert!(heard.lost);
    assert_eq!(heard.ended.iter().map(|end| (end.group.path.to_string(), seconds(end))).collect::<Vec<_>>(), [(format!("/docker/{A}"), Some(3))]);
}

#[test]
fn a_host_that_refuses_to_be_watched_says_what_that_costs() {
    let said = unwatched(Errno::MFILE).why.to_string();
    assert!(said.starts_with("containers that come and go between two looks leave no figures: inotify: Too many open files"), "{said}");
    assert!(said.ends_with("raise fs.inotify.max_user_instances or the limit on open files"), "{said}");
}

#[test]
fn what_breaks_is_begun_anew_after_ever_longer_pauses() {
    let second = Duration::from_secs(1);
    let rests = std::cell::RefCell::new(Vec::new());
    let rest = |pause: Duration| {
        rests.borrow_mut().push(pause.as_secs());
        false
    };
    let mut runs = 0;
    persist(second, rest, || {
        runs += 1;
        runs == 9
    });
    assert_eq!((runs, rests.take()), (9, vec![1, 2, 4, 8, 16, 32, 60, 60]));
    // Told to stop while it rests.
    let mut runs = 0;
    persist(
        second,
        |_| true,
        || {
            runs += 1;
            false
        },
    );
    assert_eq!(runs, 1);
}

//! A folder that stands for `/proc`: who is found, read, lost and counted once.

use std::fs;

use super::*;
use crate::roots::{Faults, Recorded};
use crate::snapshot::{CgroupVersion, ContainerAbout, Docker, Limits, Role, Usage, Weights};
use crate::sources::{Containers, Group, RuntimeContainer, Tree, Within};
use crate::units::Stamp;

const HEAD: &str = "Inter-| Receive | Transmit\n face |bytes|bytes\n";

/// A folder that stands for `/proc`; name spaces are shared by hard links.
struct Proc(tempfile::TempDir);

impl Proc {
    fn new() -> Proc {
        let proc = Proc(tempfile::tempdir().unwrap());
        proc.process(1, "0::/init.scope", 1);
        proc
    }

    fn process(&self, pid: u32, cgroup: &str, received: u64) {
        let folder = self.0.path().join(pid.to_string());
        fs::create_dir_all(folder.join("net")).unwrap();
        fs::write(folder.join("cgroup"), cgroup).unwrap();
        self.count(pid, received);
    }

    fn count(&self, pid: u32, received: u64) {
        let text = format!("{HEAD} eth0: {received} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
        fs::write(self.0.path().join(format!("{pid}/net/dev")), text).unwrap();
    }

    fn joins(&self, pid: u32, cgroup: &str, other: u32) {
        self.process(pid, cgroup, 0);
        let file = |pid: u32| self.0.path().join(format!("{pid}/net/dev"));
        fs::remove_file(file(pid)).unwrap();
        fs::hard_link(file(other), file(pid)).unwrap();
    }

    fn ends(&self, pid: u32) {
        fs::remove_dir_all(self.0.path().join(pid.to_string())).unwrap();
    }

    fn roots(&self) -> Roots {
        Roots::folders(self.0.path(), "/nowhere")
    }

    fn spaces(&self) -> NetSpaces {
        NetSpaces::new(self.roots(), SETTINGS)
    }
}

const SETTINGS: Settings = Settings { max_spaces: 10, scan: true };

fn tree(containers: &[(&str, u64)]) -> Arc<Reading> {
    let group = |(id, start): &(&str, u64)| Group {
        path: format!("/system.slice/docker-{id}.scope").as_str().into(),
        owner: Owner::Container((*id).into(), Within::Nothing),
        start: *start,
        own: Limits::default(),
        limits: Limits::default(),
        weights: Weights::default(),
        usage: Usage::default(),
    };
    let groups = containers.iter().map(group).collect();
    told(SourceName::Cgroup, Told::Tree(Box::new(Tree { version: CgroupVersion::V2, root: Usage::default(), groups, ended: vec![], cut: 0 })))
}

fn docker(containers: &[(&str, u32)]) -> Arc<Reading> {
    let one = |(id, pid): &(&str, u32)| {
        let about = Arc::new(ContainerAbout { id: (*id).into(), name: None, image: None, digest: None, compose: None, role: Role::App });
        Arc::new(RuntimeContainer { pid: Some(*pid), ..RuntimeContainer::new(about, State::Running) })
    };
    let docker = Arc::new(Docker { version: "26".into(), api: "1.45".into(), root: None });
    told(SourceName::Docker, Told::Docker(Containers { docker: Some(docker), containers: containers.iter().map(one).collect(), cut: 0 }))
}

fn told(from: SourceName, told: Told) -> Arc<Reading> {
    Arc::new(Reading { from, at: Stamp::default(), told: Some(told), gaps: vec![] })
}

/// What each container received: by id, `None` for the host's network.
fn look(spaces: &mut NetSpaces, known: &[Arc<Reading>]) -> (BTreeMap<String, Option<u64>>, usize) {
    let reading = spaces.look(known);
    let Some(Told::Spaces(read)) = reading.told else { panic!("no spaces") };
    let bytes = |place: &SpaceOf| match place {
        SpaceOf::Host => None,
        SpaceOf::Space(at) => Some(read.spaces[*at].net.iter().map(|one| one.received.bytes.0).sum()),
    };
    (read.of.iter().map(|(id, place)| (id.to_string(), bytes(place))).collect(), reading.gaps.len())
}

fn of(containers: &[(&str, Option<u64>)]) -> BTreeMap<String, Option<u64>> {
    containers.iter().map(|(id, bytes)| ((*id).to_owned(), *bytes)).collect()
}

#[test]
fn processes_are_named_by_docker_or_found_by_their_cgroup() {
    let proc = Proc::new();
    proc.process(10, "4:memory:/docker/aa\n", 100);
    proc.joins(20, "0::/../../system.slice/docker-bb.scope/init.scope\n", 10);
    proc.joins(30, "0::/system.slice/docker-cc.scope\n", 1);
    proc.process(40, "0::/user.slice\n", 7);
    let mut spaces = proc.spaces();
    let known = [tree(&[("aa", 1), ("bb", 1), ("cc", 1)]), docker(&[("aa", 10)])];
    assert_eq!(look(&mut spaces, &known), (of(&[("aa", Some(100)), ("bb", Some(100)), ("cc", None)]), 0));
    assert_eq!(spaces.open.len(), 1, "one file a name space");
    proc.count(10, 150);
    proc.ends(20);
    assert_eq!(look(&mut spaces, &known).0["bb"], Some(150), "nothing is looked for again in the steady tick");
    assert!(look(&mut spaces, &[tree(&[])]).0.is_empty());
    assert!(spaces.open.is_empty(), "an open file would keep the name space alive");
}

#[test]
fn who_was_seen_in_the_host_s_name_space_before_it_left_it_is_looked_for_again() {
    let proc = Proc::new();
    proc.joins(20, "0::/docker-aa.scope", 1);
    proc.joins(30, "0::/docker-bb.scope", 1);
    proc.joins(40, "0::/docker-cc.scope", 1);
    let mut spaces = proc.spaces();
    let known = [tree(&[("aa", 1), ("bb", 1), ("cc", 1)])];
    assert_eq!(look(&mut spaces, &known), (of(&[("aa", None), ("bb", None), ("cc", None)]), 0));
    // One went on as another process, one has a name space of its own now, one is in the host's for good.
    proc.ends(20);
    proc.process(21, "0::/docker-aa.scope", 5);
    fs::remove_file(proc.0.path().join("30/net/dev")).unwrap();
    proc.process(30, "0::/docker-bb.scope", 6);
    assert_eq!(look(&mut spaces, &known), (of(&[("aa", Some(5)), ("bb", Some(6)), ("cc", None)]), 0));
    look(&mut spaces, &known);
    look(&mut spaces, &known);
    assert_eq!(spaces.kept[&ContainerId::from("cc")].doubts, 0, "and is then believed");
}

#[test]
fn a_restart_is_another_process_in_another_name_space() {
    let proc = Proc::new();
    proc.process(10, "0::/docker-aa.scope", 100);
    let mut spaces = proc.spaces();
    look(&mut spaces, &[tree(&[("aa", 1)]), docker(&[("aa", 10)])]);
    proc.ends(10);
    proc.process(11, "0::/docker-aa.scope", 5);
    assert_eq!(look(&mut spaces, &[tree(&[("aa", 2)]), docker(&[("aa", 10)])]), (of(&[("aa", Some(5))]), 0), "Docker does not know yet");
    proc.process(12, "0::/docker-aa.scope", 6);
    assert_eq!(look(&mut spaces, &[docker(&[("aa", 12)])]), (of(&[("aa", Some(6))]), 0));
}

#[test]
fn a_number_that_went_to_another_process_is_not_believed() {
    let proc = Proc::new();
    proc.process(10, "0::/user.slice", 100);
    assert_eq!(look(&mut proc.spaces(), &[tree(&[("aa", 1)]), docker(&[("aa", 10)])]), (of(&[]), 1));
}

#[test]
fn what_was_not_found_is_not_looked_for_at_each_tick() {
    let proc = Proc::new();
    let mut spaces = proc.spaces();
    let known = [tree(&[("aa", 1)])];
    let mut found_at = None;
    for turn in 0..8 {
        if !look(&mut spaces, &known).0.is_empty() {
            found_at = found_at.or(Some(turn));
        }
        if turn == 2 {
            // Scans were made in turns 0 and 2, the next is due in turn 5.
            proc.process(10, "0::/docker-aa.scope", 1);
        }
    }
    assert_eq!(found_at, Some(5));
}

#[test]
fn the_bound_is_kept_and_said() {
    let proc = Proc::new();
    proc.process(10, "0::/docker-aa.scope", 1);
    proc.process(11, "0::/docker-bb.scope", 2);
    let mut spaces = NetSpaces::new(proc.roots(), Settings { max_spaces: 1, scan: true });
    let both = [tree(&[("aa", 1), ("bb", 1)])];
    assert_eq!(look(&mut spaces, &both), (of(&[("aa", Some(1))]), 1));
    assert_eq!(look(&mut spaces, &both), (of(&[("aa", Some(1))]), 1));
    look(&mut spaces, &[tree(&[("bb", 1)])]);
    assert_eq!(look(&mut spaces, &[tree(&[("bb", 1)])]), (of(&[("bb", Some(2))]), 0), "room became free");
}

#[test]
fn recorded_hosts_say_who_shares() {
    let proc = Proc::new();
    for (pid, id, received) in [(10, "aa", 100), (20, "bb", 200), (30, "cc", 300)] {
        proc.process(pid, &format!("0::/docker-{id}.scope"), received);
    }
    let path = |pid: u32| PathBuf::from(format!("proc/{pid}/net/dev"));
    let faults = Faults { same_file: vec![(path(10), path(20)), (path(1), path(30))], ..Faults::default() };
    let roots = Roots { recorded: Some(Arc::new(Recorded { faults, ..Recorded::default() })), ..proc.roots() };
    let mut spaces = NetSpaces::new(roots, SETTINGS);
    let known = [tree(&[("aa", 0), ("bb", 0), ("cc", 0)])];
    assert_eq!(look(&mut spaces, &known).0, of(&[("aa", Some(100)), ("bb", Some(100)), ("cc", None)]));
    assert_eq!(recorded_space(5, &[(path(3), path(9)), (path(9), path(5))]), 3);
}

#[test]
fn sockets_have_their_turn_and_outlive_the_process_that_was_looked_at() {
    let proc = Proc::new();
    proc.process(10, "0::/docker-aa.scope", 1);
    proc.joins(20, "0::/docker-bb.scope", 10);
    let retransmitted = |pid: u32, n: u64| {
        fs::write(proc.0.path().join(format!("{pid}/net/snmp")), format!("Tcp: RetransSegs\nTcp: {n}\n")).unwrap();
    };
    retransmitted(10, 5);
    let mut spaces = proc.spaces();
    let known = [tree(&[("aa", 1), ("bb", 1)])];
    let seen = |spaces: &mut NetSpaces| {
        let Some(Told::Spaces(told)) = spaces.look(&known).told else { panic!("nothing told") };
        told.spaces[0].sockets.as_ref().map(|sockets| sockets.is.tcp.retransmitted.unwrap())
    };
    assert_eq!(seen(&mut spaces), Some(5), "at first sight");
    let turns: BTreeSet<_> = (6..18)
        .map(|n| {
            retransmitted(10, n);
            seen(&mut spaces).unwrap()
        })
        .filter(|n| *n > 5)
        .collect();
    assert_eq!(turns.len(), 2, "once in six looks: {turns:?}");
    retransmitted(20, 99);
    fs::remove_dir_all(proc.0.path().join("10")).unwrap();
    assert_eq!((0..6).filter_map(|_| seen(&mut spaces)).max(), Some(99));
}

#[test]
fn a_file_of_many_pages_is_read_whole() {
    let proc = Proc::new();
    let rows: String = (0..200).map(|n| format!(" veth{n}: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 {:>60}\n", 0)).collect();
    proc.process(10, "0::/docker-aa.scope", 0);
    fs::write(proc.0.path().join("10/net/dev"), format!("{HEAD}{rows}")).unwrap();
    assert_eq!(look(&mut proc.spaces(), &[tree(&[("aa", 1)])]).0, of(&[("aa", Some(200))]));
}

#[test]
fn a_recorded_pod_with_odd_names_is_counted() {
    let Some(fixtures) = std::env::var_os("TARE_FIXTURES") else { return println!("skipped: TARE_FIXTURES is not set") };
    let roots = Roots::replay(&Path::new(&fixtures).join("trials/21-netdev-odd-names")).unwrap().remove(0);
    let id = "201f02485c22a5a476ae7651d11c7954ceb668c610785488ef517a9477c7d759";
    let mut tree = tree(&[(id, 0)]);
    if let Some(Told::Tree(tree)) = &mut Arc::get_mut(&mut tree).unwrap().told {
        tree.groups[0].path = format!("/kubepods.slice/x/cri-containerd-{id}.scope").as_str().into();
    }
    assert_eq!(look(&mut NetSpaces::new(roots, SETTINGS), &[tree]), (of(&[(id, Some(181_038_261_102))]), 0));
}

/// The kernel's own files: all processes of one name space show one number, and an open file follows its counters.
#[test]
fn this_machine_shows_one_number_a_name_space() {
    let number = |path: &str| fs::metadata(path).map(|file| file.ino());
    let own = number("/proc/self/net/dev").unwrap();
    assert_eq!(own, number(&format!("/proc/{}/net/dev", std::process::id())).unwrap());
    let file = File::open("/proc/self/net/dev").unwrap();
    let mut bytes = Vec::new();
    let first = read_again(&file, &mut bytes).unwrap();
    assert!(bytes[..first].starts_with(b"Inter-|"));
    let again = read_again(&file, &mut bytes).unwrap();
    assert!(bytes[..again].starts_with(b"Inter-|"));
}

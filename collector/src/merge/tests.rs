//! What readings become when they join: scenarios and laws.

mod tasks;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::identity::{CgroupPath, PodUid, TaskId};
use crate::snapshot::{Asked, CgroupVersion, Compose, Cpu, Docker, Interface, Layer, Limits, Memory, Net, NetOwner, Remainder, Seen, Traffic, Volume, Weights};
use crate::sources::{Network, Space, SpaceOf};
use crate::units::{Bytes, Cores, Limit};

const GIB: u64 = 1 << 30;

fn reading(from: SourceName, told: Told) -> Arc<Reading> {
    Arc::new(Reading { from, at: Stamp::default(), told: Some(told), gaps: vec![] })
}

fn seen<T>(is: T) -> Option<Seen<T>> {
    Some(Seen { at: Stamp::default(), from: SourceName::Cgroup, is })
}

fn cpu(ms: u64) -> Option<Seen<Cpu>> {
    seen(Cpu { time: Duration::from_millis(ms), ..Cpu::default() })
}

fn memory(used: u64, working_set: u64) -> Option<Seen<Memory>> {
    seen(Memory { used: Some(Bytes(used)), working_set: Some(Bytes(working_set)), ..Memory::default() })
}

fn group(path: &str, owner: Owner, ms: u64) -> Group {
    let usage = Usage { cpu: cpu(ms), ..Usage::default() };
    Group { path: path.into(), owner, start: 1, own: Limits::default(), limits: Limits::default(), weights: Weights::default(), usage }
}

fn loose(id: &str, ms: u64) -> Group {
    group(&format!("/docker/{id}"), Owner::Container(id.into(), Within::Nothing), ms)
}

fn in_pod(pod: &str, id: &str, ms: u64) -> Group {
    group(&format!("/kubepods/pod{pod}/{id}"), Owner::Container(id.into(), Within::Pod(pod.into())), ms)
}

fn pod(pod: &str, ms: u64) -> Group {
    group(&format!("/kubepods/pod{pod}"), Owner::Pod(pod.into()), ms)
}

fn unit(name: &str, ms: u64) -> Group {
    group(&format!("/system.slice/{name}"), Owner::Unit(name.into()), ms)
}

fn tree(root_ms: u64, groups: Vec<Group>) -> Arc<Reading> {
    tree_at(0, root_ms, groups, vec![])
}

/// A tree read at this second, and who ended before it.
fn tree_at(second: u64, root_ms: u64, groups: Vec<Group>, ended: Vec<Ended>) -> Arc<Reading> {
    let root = Usage { cpu: cpu(root_ms), ..Usage::default() };
    let told = Told::Tree(Box::new(Tree { version: CgroupVersion::V2, root, groups, ended, cut: 0 }));
    Arc::new(Reading { from: SourceName::Cgroup, at: at(second as f64), told: Some(told), gaps: vec![] })
}

fn at(second: f64) -> Stamp {
    if second == 0.0 {
        Stamp::default()
    } else {
        Stamp { wall: Timestamp::from_millisecond((second * 1e3) as i64).ok(), boot: Some(Duration::from_secs_f64(second)) }
    }
}

/// The record of a container that lived from one second to another, last read halfway.
fn ended(group: Group, from: f64, to: f64) -> Ended {
    let mut group = group;
    group.usage.cpu = group.usage.cpu.map(|cpu| Seen { at: at((from + to) / 2.0), ..cpu });
    Ended { group, made: Some(at(from)), gone: at(to) }
}

fn named(id: &str, name: &str) -> RuntimeContainer {
    let about = Arc::new(ContainerAbout { id: id.into(), name: Some(name.into()), image: None, digest: None, compose: None, role: Role::App });
    RuntimeContainer { network: Network::Own, ..RuntimeContainer::new(about, State::Running) }
}

fn docker(containers: Vec<RuntimeContainer>) -> Arc<Reading> {
    let docker = Arc::new(Docker { version: "26.1.5".into(), api: "1.45".into(), root: None });
    reading(SourceName::Docker, Told::Docker(Containers { docker: Some(docker), containers: containers.into_iter().map(Arc::new).collect(), cut: 0 }))
}

fn interface(name: &str, received: u64) -> Interface {
    Interface { name: name.into(), received: Traffic { bytes: Bytes(received), ..Traffic::default() }, sent: Traffic::default() }
}

fn space(id: u64, received: u64) -> Space {
    Space { id, at: Stamp::default(), net: [interface("eth0", received)].into_iter().collect(), sockets: None }
}

fn spaces(spaces: Vec<Space>, of: &[(&str, SpaceOf)]) -> Arc<Reading> {
    let of = of.iter().map(|(id, place)| (ContainerId::from(*id), *place)).collect();
    reading(SourceName::Net, Told::Spaces(Spaces { spaces, of }))
}

fn host(usage: Usage) -> Arc<Reading> {
    reading(SourceName::Host, Told::Host(Box::new(Host { usage, ..Host::default() })))
}

fn row<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Workload {
    snapshot.workloads.iter().find(|workload| &*workload.about.name == name).unwrap_or_else(|| panic!("no {name} in {snapshot:#?}"))
}

fn one<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Container {
    snapshot.workloads.iter().flat_map(|workload| &workload.containers).find(|one| one.about.id.as_str() == id).unwrap()
}

fn received(net: &Option<Seen<Net>>) -> Option<u64> {
    net.as_ref().map(|net| net.is.iter().map(|interface| interface.received.bytes.0).sum())
}

fn system_ms(snapshot: &Snapshot) -> u128 {
    row(snapshot, "system").usage.cpu.unwrap().is.time.as_millis()
}

#[test]
fn the_tree_tells_usage_and_docker_tells_names() {
    let compose = Compose { project: "shop".into(), service: "web".into() };
    let about = Arc::new(ContainerAbout { compose: Some(compose), ..(*named("b", "shop-web-1").about).clone() });
    let tree = tree(100, vec![loose("a", 10), loose("b", 20), loose("c", 30), unit("sshd.service", 5), pod("p1", 7), in_pod("p1", "d", 6)]);
    let snapshot = merge(&[tree, docker(vec![named("a", "db"), RuntimeContainer { about, ..named("b", "") }])], None);
    let names: Vec<&str> = snapshot.workloads.iter().map(|workload| &*workload.about.name).collect();
    assert_eq!(names, ["p1", "db", "web", "c", "sshd.service", "system"]);
    assert!(snapshot.workloads.is_sorted_by(|a, b| a.about.key < b.about.key));
    assert_eq!(row(&snapshot, "web").about.project.as_deref(), Some("shop"));
    assert_eq!(row(&snapshot, "web").usage.cpu, cpu(20));
    assert_eq!(one(&snapshot, "b").cgroup, Some(CgroupPath::from("/docker/b")));
    assert_eq!(row(&snapshot, "p1").usage.cpu, cpu(7));
    assert_eq!(row(&snapshot, "p1").containers[0].about.id.as_str(), "d");
    assert_eq!((one(&snapshot, "c").state, &one(&snapshot, "c").about.name), (State::Running, &None));
    assert_eq!(row(&snapshot, "sshd.service").containers, []);
    assert_eq!(system_ms(&snapshot), 100 - 10 - 20 - 30 - 5 - 7);
}

#[test]
fn a_restarting_container_has_a_state_and_no_figures() {
    let looping = RuntimeContainer { state: State::Restarting, restarts: Some(17), exit: Some(1), ..named("a", "loop") };
    let limits = Limits { memory: Limit::Of(Bytes(GIB)), ..Limits::default() };
    let snapshot = merge(&[tree(0, vec![]), docker(vec![RuntimeContainer { limits, ..looping }])], None);
    let row = row(&snapshot, "loop");
    assert_eq!((row.state, row.containers[0].restarts, row.containers[0].exit), (State::Restarting, Some(17), Some(1)));
    assert_eq!(*row.usage, Usage::default());
    assert_eq!((row.own, row.limits), (limits, limits), "Docker's limits stand in where there is no cgroup");
}

#[test]
fn the_tree_is_believed_about_limits() {
    let cores = |n| Limits { cores: Limit::Of(Cores(n)), ..Limits::default() };
    let group = Group { own: cores(2.0), limits: cores(1.5), ..loose("a", 1) };
    let snapshot = merge(&[tree(1, vec![group]), docker(vec![RuntimeContainer { limits: cores(9.0), ..named("a", "a") }])], None);
    assert_eq!((row(&snapshot, "a").own, row(&snapshot, "a").limits), (cores(2.0), cores(1.5)));
}

#[test]
fn a_container_whose_cgroup_is_gone_stays_in_its_pod() {
    let first = merge(&[tree(9, vec![pod("p1", 7), in_pod("p1", "d", 6)]), docker(vec![named("d", "job")])], None);
    let ended = RuntimeContainer { state: State::Exited, exit: Some(0), ..named("d", "job") };
    let second = merge(&[tree(9, vec![]), docker(vec![ended])], Some(&first));
    assert_eq!(row(&second, "p1").state, State::Exited);
    assert_eq!(*row(&second, "p1").containers[0].usage, Usage::default());
}

#[test]
fn the_sum_stands_in_for_a_task_without_a_cgroup_of_its_own() {
    let in_task = |id: &str, ms, bytes| {
        let mut group = group(&format!("/x/{id}"), Owner::Container(id.into(), Within::Task("t1".into())), ms);
        group.usage.memory = bytes;
        group
    };
    let asked = |cores, memory| Asked { cores, memory };
    let said = vec![
        RuntimeContainer { asked: asked(Some(Cores(0.5)), Some(Bytes(1))), ..named("a", "a") },
        RuntimeContainer { asked: asked(Some(Cores(0.25)), None), ..named("b", "b") },
    ];
    let snapshot = merge(&[tree(100, vec![in_task("a", 10, memory(5, 4)), in_task("b", 20, None)]), docker(said)], None);
    let task = row(&snapshot, "t1");
    assert_eq!(task.usage.cpu, cpu(30));
    assert_eq!(task.usage.memory, None, "one of the two is not known");
    assert_eq!(task.asked, asked(Some(Cores(0.75)), None));
    assert_eq!(system_ms(&snapshot), 70);
}

#[test]
fn identities_are_lent_by_the_snapshot_before() {
    let look = || [tree(9, vec![loose("a", 1), loose("b", 1), unit("x.service", 1), pod("p1", 1), in_pod("p1", "d", 1)]), docker(vec![named("a", "web")])];
    let first = merge(&look(), None);
    let second = merge(&look(), Some(&first));
    assert_eq!(first, second);
    for (then, now) in first.workloads.iter().zip(&second.workloads) {
        assert!(Arc::ptr_eq(&then.about, &now.about), "{:?}", now.about);
        for (then, now) in then.containers.iter().zip(&now.containers) {
            assert!(Arc::ptr_eq(&then.about, &now.about), "{:?}", now.about);
        }
    }
    let renamed = merge(&[tree(9, vec![loose("a", 1)]), docker(vec![named("a", "new")])], Some(&first));
    assert_eq!(one(&renamed, "a").about.label(), "new");
    assert_eq!(&*renamed.workloads[0].about.name, "new");
    let silent = merge(&[tree(9, vec![loose("a", 1)])], Some(&first));
    assert_eq!(one(&silent, "a").about.label(), "web", "a name once learnt stays with the id");
}

#[test]
fn the_system_row_does_not_jump_when_a_container_ends() {
    let mut before = merge(&[tree(1_000, vec![loose("a", 300), loose("b", 200)])], None);
    assert_eq!(system_ms(&before), 500);
    let steps = [
        (1_100, vec![loose("a", 350), loose("b", 220)], 530, "both grew"),
        (1_200, vec![loose("b", 240)], 610, "what a used before it ended is not seen: it stands here"),
        (1_300, vec![loose("b", 250), loose("c", 40)], 660, "c is new: all of it is its own"),
        (1_310, vec![loose("b", 300), loose("c", 40)], 660, "read at another instant: never backwards"),
        (1_400, vec![loose("b", 300), loose("c", 40)], 710, "and nothing is lost by it"),
        (1_500, vec![Group { start: 2, ..loose("b", 60) }, loose("c", 40)], 750, "b was made anew: its 60 are new"),
    ];
    for (root, groups, system, why) in steps {
        before = merge(&[tree(root, groups)], Some(&before));
        assert_eq!(system_ms(&before), system, "{why}");
    }
}

#[test]
fn a_container_inside_a_unit_is_taken_from_the_system_row_once() {
    let nested = group("/system.slice/k3s.service/kubepods/podp1/a", Owner::Container("a".into(), Within::Pod("p1".into())), 40);
    assert_eq!(system_ms(&merge(&[tree(100, vec![nested, unit("k3s.service", 50), unit("k3s.service-x", 1)])], None)), 49);
}

#[test]
fn what_is_not_known_of_the_host_is_not_known_of_the_system_row() {
    let with_memory = |used| Group { usage: Usage { memory: used, ..Usage::default() }, ..loose("a", 0) };
    let whole = |used: u64, set: Option<u64>| Usage {
        memory: seen(Memory { used: Some(Bytes(used)), working_set: set.map(Bytes), ..Memory::default() }),
        ..Usage::default()
    };
    let rest = |usage, group| {
        let snapshot = merge(&[tree(0, vec![group]), host(usage)], None);
        row(&snapshot, "system").usage.memory.map(|memory| (memory.is.used.map(|b| b.0), memory.is.working_set.map(|b| b.0)))
    };
    assert_eq!(rest(whole(100, Some(80)), with_memory(memory(30, 90))), Some((Some(70), Some(0))));
    assert_eq!(rest(whole(100, None), with_memory(memory(30, 20))), Some((Some(70), None)));
    assert_eq!(rest(whole(100, Some(80)), with_memory(None)), Some((Some(100), Some(80))), "no memory controller: nothing to take away");
    assert_eq!(rest(whole(100, Some(80)), with_memory(seen(Memory::default()))), Some((None, None)));
    assert_eq!(rest(Usage::default(), with_memory(memory(1, 1))), None);
    assert!(merge(&[host(whole(1, None))], None).workloads.is_empty(), "no tree, no system row");
}

#[test]
fn the_network_stands_with_its_owner() {
    use SpaceOf::{Host, Space as At};
    let of = |id: &str, network| RuntimeContainer { network, ..named(id, id) };
    let joins = |id: &str, other: &str| of(id, Network::Of(other.into()));
    let net = |snapshot: &Snapshot, id: &str| (one(snapshot, id).net.clone(), received(&one(snapshot, id).usage.net));

    // Docker and the name spaces agree.
    let all = vec![loose("a", 1), loose("b", 1), loose("c", 1), loose("d", 1)];
    let told = vec![of("a", Network::Own), joins("b", "c"), of("c", Network::Own), of("d", Network::Host)];
    let read = spaces(vec![space(7, 10), space(8, 20)], &[("a", At(0)), ("b", At(1)), ("c", At(1)), ("d", Host)]);
    let snapshot = merge(&[tree(9, all.clone()), docker(told.clone()), read.clone()], None);
    assert_eq!(net(&snapshot, "a"), (NetOwner::Own, Some(10)));
    assert_eq!(net(&snapshot, "b"), (NetOwner::Of("c".into()), None));
    assert_eq!(net(&snapshot, "c"), (NetOwner::Own, Some(20)));
    assert_eq!(net(&snapshot, "d"), (NetOwner::Host, None));
    assert_eq!(received(&row(&snapshot, "c").usage.net), Some(20));

    // Without Docker the smallest id owns; without name spaces Docker's word stands, without figures.
    let snapshot = merge(&[tree(9, all.clone()), read], None);
    assert_eq!((net(&snapshot, "b"), net(&snapshot, "c")), ((NetOwner::Own, Some(20)), (NetOwner::Of("b".into()), None)));
    let snapshot = merge(&[tree(9, all.clone()), docker(told.clone())], None);
    assert_eq!((net(&snapshot, "b"), net(&snapshot, "c")), ((NetOwner::Of("c".into()), None), (NetOwner::Own, None)));

    // The number wins over the word, and a joiner tells where the one it joined is.
    let read = spaces(vec![space(7, 10), space(8, 20)], &[("a", Host), ("b", At(1)), ("d", At(0))]);
    let snapshot = merge(&[tree(9, all), docker(told), read], None);
    assert_eq!((net(&snapshot, "a"), net(&snapshot, "d")), ((NetOwner::Host, None), (NetOwner::Own, Some(10))));
    assert_eq!((net(&snapshot, "b"), net(&snapshot, "c")), ((NetOwner::Of("c".into()), None), (NetOwner::Own, Some(20))));

    // The owner is not there; a circle ends.
    let snapshot = merge(&[docker(vec![joins("a", "x"), joins("b", "x"), joins("c", "d"), joins("d", "c")])], None);
    assert_eq!((net(&snapshot, "a").0, net(&snapshot, "b").0), (NetOwner::Own, NetOwner::Of("a".into())));
    assert_eq!((net(&snapshot, "c").0, net(&snapshot, "d").0), (NetOwner::Unknown, NetOwner::Unknown));
}

#[test]
fn the_network_of_a_pod_stands_at_the_pod() {
    let at = SpaceOf::Space;
    let groups = vec![pod("p1", 1), in_pod("p1", "a", 1), in_pod("p1", "b", 1), in_pod("p2", "c", 1), loose("d", 1)];
    let read = spaces(vec![space(7, 10), space(8, 20)], &[("a", at(0)), ("b", at(1)), ("c", SpaceOf::Host), ("d", at(0))]);
    let snapshot = merge(&[tree(9, groups), read], None);
    assert_eq!(row(&snapshot, "p1").usage.net.as_ref().unwrap().is.as_slice(), [interface("eth0", 30)]);
    assert_eq!((&one(&snapshot, "a").net, &one(&snapshot, "a").usage.net), (&NetOwner::Workload, &None));
    assert_eq!((&one(&snapshot, "c").net, &row(&snapshot, "p2").usage.net), (&NetOwner::Host, &None));
    assert_eq!(one(&snapshot, "d").net, NetOwner::Of("a".into()));
}

#[test]
fn settings_are_believed_before_the_metadata_service() {
    let instance = |kind: Option<&str>, region: Option<&str>| {
        Told::Instance(Instance { kind: kind.map(Into::into), region: region.map(Into::into), ..Instance::default() })
    };
    let imds = reading(SourceName::Imds, instance(Some("m7i.large"), Some("us-east-1")));
    let settings = reading(SourceName::Settings, instance(Some("c7g.large"), None));
    for readings in [[imds.clone(), settings.clone()], [settings, imds]] {
        let instance = merge(&readings, None).host.instance;
        assert_eq!((instance.kind.as_deref(), instance.region.as_deref()), (Some("c7g.large"), Some("us-east-1")));
    }
}

#[test]
fn gaps_are_said_once_and_sorted() {
    let gap = |why: &str| Gap { from: SourceName::Docker, what: "reading".into(), why: why.into() };
    let say = |gaps| Arc::new(Reading { from: SourceName::Docker, at: Stamp::default(), told: None, gaps });
    let snapshot = merge(&[say(vec![gap("b"), gap("a")]), say(vec![gap("b")]), tree(1, vec![])], None);
    assert_eq!(snapshot.gaps, [gap("a"), gap("b")]);
    assert_eq!(merge(&[], None).gaps.len(), 1, "nothing at all is a gap");
    let cut = Tree { version: CgroupVersion::V2, root: Usage::default(), groups: vec![], ended: vec![], cut: 3 };
    let gaps = merge(&[reading(SourceName::Cgroup, Told::Tree(Box::new(cut)))], None).gaps;
    assert!(gaps.len() == 1 && gaps[0].why.starts_with("3 cgroups"), "{gaps:?}");
}

fn id() -> impl Strategy<Value = String> {
    "[a-f]"
}

fn within() -> impl Strategy<Value = Within> {
    prop_oneof![
        2 => Just(Within::Nothing),
        1 => "[pq]".prop_map(|uid| Within::Pod(PodUid::from(uid.as_str()))),
        1 => "[tu]".prop_map(|task| Within::Task(TaskId::from(task.as_str()))),
    ]
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![Just(Network::Own), Just(Network::Host), Just(Network::Unknown), id().prop_map(|id| Network::Of(id.as_str().into()))]
}

/// Any tree, any word of Docker's and any name spaces over a handful of ids, in agreement or not.
fn readings() -> impl Strategy<Value = Vec<Arc<Reading>>> {
    let state = prop_oneof![Just(State::Running), Just(State::Exited), Just(State::Restarting)];
    let groups = (btree_map(id(), (within(), 0..99_u64), 0..6), vec("[pqtu]", 0..3), vec("[xyz]", 0..3));
    let words = option::of(btree_map(id(), (network(), state), 0..6));
    let places = option::of((1..4_usize, btree_map(id(), option::of(0..4_usize), 0..6)));
    (groups, words, places).prop_map(|((containers, above, units), words, places)| {
        let mut groups: Vec<Group> = Vec::new();
        for word in above {
            let owner = if matches!(word.as_str(), "p" | "q") { Owner::Pod(word.as_str().into()) } else { Owner::Task(word.as_str().into()) };
            groups.push(group(&format!("/above/{word}"), owner, 50));
        }
        groups.extend(units.iter().map(|name| unit(name, 9)));
        groups.extend(containers.iter().map(|(id, (within, ms))| {
            let folder = match within {
                Within::Nothing => "/docker".to_owned(),
                Within::Pod(pod) => format!("/above/{pod}"),
                Within::Task(task) => format!("/above/{task}"),
            };
            group(&format!("{folder}/{id}"), Owner::Container(id.as_str().into(), within.clone()), *ms)
        }));
        let mut readings = vec![tree(500, groups), host(Usage::default())];
        readings.extend(
            words.map(|words| docker(words.into_iter().map(|(id, (network, state))| RuntimeContainer { network, state, ..named(&id, &id) }).collect())),
        );
        readings.extend(places.map(|(count, of)| {
            let all = (0..count).map(|n| space(n as u64, 10_u64.pow(n as u32))).collect();
            let of: HashMap<ContainerId, SpaceOf> =
                of.iter().map(|(id, place)| (id.as_str().into(), place.map_or(SpaceOf::Host, |n| SpaceOf::Space(n % count)))).collect();
            reading(SourceName::Net, Told::Spaces(Spaces { spaces: all, of }))
        }));
        readings
    })
}

proptest! {
    #[test]
    fn the_order_of_readings_does_not_matter((ordered, shuffled) in readings().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())), again in readings()) {
        let first = merge(&ordered, None);
        prop_assert_eq!(&first, &merge(&shuffled, None));
        prop_assert_eq!(merge(&again, Some(&first)), merge(&again, Some(&merge(&shuffled, None))));
    }

    #[test]
    fn every_name_space_is_counted_once_and_every_container_has_one_row(first in readings(), second in readings()) {
        let before = merge(&first, None);
        for (readings, snapshot) in [(&first, &before), (&second, &merge(&second, Some(&before)))] {
            let said = Said::sort_out(readings);
            let ids: Vec<&ContainerId> = snapshot.workloads.iter().flat_map(|workload| &workload.containers).map(|one| &one.about.id).collect();
            let mut once = ids.clone();
            once.sort();
            once.dedup();
            prop_assert_eq!(ids.len(), once.len());
            for group in said.groups() {
                if let Owner::Container(id, _) = &group.owner {
                    prop_assert!(once.binary_search(&id).is_ok());
                }
            }
            let counted: u64 = snapshot.workloads.iter().filter_map(|workload| received(&workload.usage.net)).sum();
            let mut used: Vec<usize> = said.spaces.into_iter().flat_map(|spaces| &spaces.of).filter(|(id, _)| once.binary_search(id).is_ok()).filter_map(|(_, at)| match at {
                SpaceOf::Space(at) => Some(*at),
                SpaceOf::Host => None,
            }).collect();
            used.sort();
            used.dedup();
            prop_assert_eq!(counted, used.iter().map(|n| 10_u64.pow(*n as u32)).sum::<u64>());
            prop_assert!(snapshot.workloads.is_sorted_by(|a, b| a.about.key < b.about.key));
        }
    }

    #[test]
    fn the_system_row_never_goes_backwards(looks in vec((0..1_000_u64, btree_map(id(), (1..3_u64, 0..500_u64), 0..5)), 1..8)) {
        let (mut root, mut before): (u64, Option<Snapshot>) = (0, None);
        for (more, containers) in looks {
            root += more;
            let groups = containers.iter().map(|(id, (start, ms))| Group { start: *start, ..loose(id, *ms) }).collect();
            let now = merge(&[tree(root, groups)], before.as_ref());
            if let Some(before) = &before {
                prop_assert!(system_ms(before) <= system_ms(&now));
                prop_assert!(system_ms(&now) - system_ms(before) <= u128::from(more));
            }
            before = Some(now);
        }
    }
}

#[test]
fn a_container_whose_cgroup_is_gone_has_ended_whatever_docker_still_says() {
    let first = merge(&[tree(100, vec![loose("a", 10)]), docker(vec![named("a", "web")])], None);
    let second = merge(&[tree(110, vec![]), docker(vec![named("a", "web")])], Some(&first));
    let third = merge(&[tree(120, vec![]), docker(vec![named("a", "web")])], Some(&second));
    let again = merge(&[tree(130, vec![loose("a", 1)]), docker(vec![named("a", "web")])], Some(&third));
    assert_eq!([&first, &second, &third, &again].map(|snapshot| one(snapshot, "a").state), [State::Running, State::Ended, State::Ended, State::Running]);
    let unseen = merge(&[docker(vec![named("a", "web")])], Some(&first));
    assert_eq!(one(&unseen, "a").state, State::Running);
}

#[test]
fn a_container_that_a_cut_tree_leaves_out_goes_on_running() {
    let first = merge(&[tree(100, vec![loose("a", 10)]), docker(vec![named("a", "web")])], None);
    let mut cut = (*tree(110, vec![])).clone();
    if let Some(Told::Tree(tree)) = &mut cut.told {
        tree.cut = 1;
    }
    let second = merge(&[Arc::new(cut), docker(vec![named("a", "web")])], Some(&first));
    assert_eq!(one(&second, "a").state, State::Running);
}

#[test]
fn a_container_that_lived_between_two_looks_has_a_row_with_its_last_figures() {
    let first = merge(&[tree_at(10, 1_000, vec![pod("p", 100), in_pod("p", "a", 90)], vec![])], None);
    let gone = vec![ended(loose("b", 300), 12.0, 12.5), ended(in_pod("p", "c", 40), 13.0, 13.5), ended(loose("a1", 7), 14.0, 15.0)];
    let exited = RuntimeContainer { state: State::Exited, exit: Some(3), started: at(12.1).wall, ended: at(12.4).wall, ..named("b", "job") };
    let readings = [tree_at(20, 2_000, vec![pod("p", 250), in_pod("p", "a", 200)], gone), docker(vec![exited])];
    let second = merge(&readings, Some(&first));
    let [job, init, bare] = ["b", "c", "a1"].map(|id| one(&second, id));
    assert_eq!(
        (job.state, job.exit, job.started, job.ended, job.usage.cpu.unwrap().is.time),
        (State::Exited, Some(3), at(12.1).wall, at(12.4).wall, Duration::from_millis(300))
    );
    assert_eq!((bare.state, bare.exit, bare.started, bare.ended), (State::Ended, None, at(14.0).wall, at(15.0).wall));
    assert_eq!((init.state, &*row(&second, "p").about.name, row(&second, "p").containers.len()), (State::Ended, "p", 2));
    assert_eq!(row(&second, "job").usage.cpu.unwrap().is.time, Duration::from_millis(300));
    assert_eq!((row(&first, "p").remainder, row(&second, "p").remainder), (Some(rest(10, 90)), Some(rest(10, 240))));
    // 1,900 more were used, 150 by the pod and 307 by the two others.
    assert_eq!((system_ms(&first), system_ms(&second)), (900, 900 + 1_000 - 150 - 307));
    // A look that did not come in time is merged again: nothing counts twice.
    let again = merge(&readings, Some(&second));
    assert_eq!((system_ms(&again), row(&again, "p").remainder), (system_ms(&second), row(&second, "p").remainder));
}

fn rest(cpu: u64, attributed: u64) -> Remainder {
    Remainder { cpu: Duration::from_millis(cpu), attributed: Duration::from_millis(attributed) }
}

#[test]
fn the_newest_reading_of_one_that_ended_counts_and_what_only_the_look_saw_stays() {
    let seen_at = |second, ms, pids| Group {
        usage: Usage { cpu: cpu(ms).map(|cpu| Seen { at: at(second), ..cpu }), pids: seen(pids), ..Usage::default() },
        ..loose("a", 0)
    };
    let first = merge(&[tree_at(10, 100, vec![seen_at(10.0, 5, 3)], vec![])], None);
    for (second, ms, time) in [(11.0, 9, 9), (9.0, 4, 5)] {
        let end = Ended {
            group: Group { usage: Usage { cpu: seen_at(second, ms, 0).usage.cpu, ..Usage::default() }, ..loose("a", 0) },
            made: Some(at(8.0)),
            gone: at(11.5),
        };
        let last = merge(&[tree_at(20, 200, vec![], vec![end])], Some(&first));
        let usage = &one(&last, "a").usage;
        assert_eq!((usage.cpu.unwrap().is.time, usage.pids.map(|pids| pids.is)), (Duration::from_millis(time), Some(3)), "read at {second}");
    }
    let unread = Ended { group: Group { start: 0, usage: Usage::default(), ..loose("a", 0) }, made: None, gone: at(13.0) };
    let last = merge(&[tree_at(20, 200, vec![], vec![unread.clone()])], Some(&first));
    let one = one(&last, "a");
    assert_eq!((one.state, one.start, one.ended, one.usage.cpu.unwrap().is.time), (State::Ended, 1, at(13.0).wall, Duration::from_millis(5)));
    let nobody = Ended { group: Group { usage: Usage::default(), ..loose("z", 0) }, ..unread };
    assert_eq!(merge(&[tree_at(20, 200, vec![], vec![nobody])], Some(&first)).workloads.len(), 1, "of one that nobody followed there is nothing to say");
}

#[test]
fn a_record_that_comes_a_look_late_counts_nothing_twice() {
    let first = merge(&[tree_at(10, 1_000, vec![loose("a", 500)], vec![])], None);
    let second = merge(&[tree_at(20, 1_000, vec![], vec![])], Some(&first));
    let late = Ended { made: None, ..ended(loose("a", 500), 5.0, 20.0) };
    let third = merge(&[tree_at(30, 1_100, vec![], vec![late])], Some(&second));
    assert_eq!([&first, &second, &third].map(system_ms), [500, 500, 600]);
}

#[test]
fn a_task_that_is_gone_keeps_its_own_figures_and_what_its_containers_used_until_their_end() {
    let first = merge(&[tree_at(10, 1_000, vec![pod("p", 100), in_pod("p", "a", 90)], vec![])], None);
    let second = merge(&[tree_at(20, 2_000, vec![], vec![ended(in_pod("p", "a", 120), 5.0, 15.0)])], Some(&first));
    let pod = row(&second, "p");
    assert_eq!((pod.state, pod.usage.cpu.unwrap().is.time, pod.remainder), (State::Ended, Duration::from_millis(130), Some(rest(10, 120))));
    let short = merge(&[tree_at(20, 2_000, vec![], vec![ended(in_pod("q", "b", 70), 15.0, 16.0)])], Some(&first));
    assert_eq!((row(&short, "q").usage.cpu.unwrap().is.time, row(&short, "q").remainder), (Duration::from_millis(70), None));
}

/// What one container of a pod does between two looks.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// It uses CPU (and is made first where it is not there).
    Runs(u64),
    /// It uses CPU, is read, uses more and ends.
    Ends(u64, u64),
    /// The same, with nobody to see the end.
    Vanishes(u64),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        (0..500_u64).prop_map(Turn::Runs),
        (0..500_u64, 0..100_u64).prop_map(|(read, more)| Turn::Ends(read, more)),
        (0..500_u64).prop_map(Turn::Vanishes)
    ]
}

proptest! {
    /// Readings of one instant add up exactly, whoever comes and goes: all that containers were ever seen to use, and the remainder, are the pod's counter.
    #[test]
    fn a_pod_is_its_containers_and_its_remainder(looks in vec((vec((0..4_usize, turn()), 0..6), 0..50_u64), 1..10)) {
        let ids = ["a", "b", "c", "d"];
        let (mut total, mut own, mut runs, mut before): (u64, u64, u64, Option<Snapshot>) = (7, 7, 0, None);
        let mut alive: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        // By run: what was seen of it last.
        let mut seen_of: BTreeMap<u64, u64> = BTreeMap::new();
        for (look, (turns, more)) in looks.into_iter().enumerate() {
            let begin = 10.0 * look as f64 + 1.0;
            let mut gone = Vec::new();
            (total, own) = (total + more, own + more);
            for (n, (who, turn)) in turns.into_iter().enumerate() {
                let when = begin + n as f64 + 1.0;
                let run = alive.entry(who).or_insert_with(|| { runs += 1; (runs, 0) });
                let (Turn::Runs(used) | Turn::Ends(used, _) | Turn::Vanishes(used)) = turn;
                run.1 += used;
                total += used;
                let (start, time) = *run;
                match turn {
                    Turn::Runs(_) => {}
                    Turn::Ends(_, after) => {
                        total += after;
                        own += after;
                        alive.remove(&who);
                        seen_of.insert(start, time);
                        gone.push(ended(Group { start, ..in_pod("p", ids[who], time) }, when, when + 0.5));
                    }
                    Turn::Vanishes(_) => {
                        alive.remove(&who);
                        own += time - seen_of.get(&start).copied().unwrap_or(0);
                    }
                }
            }
            // Not every record is of one that was made after the last look.
            for record in &mut gone {
                let known = before.as_ref().is_some_and(|before| before.workloads.iter().flat_map(|row| &row.containers).any(|one| one.start == record.group.start));
                record.made = record.made.filter(|_| !known);
            }
            let mut groups = vec![pod("p", total)];
            for (who, (start, time)) in &alive {
                seen_of.insert(*start, *time);
                groups.push(Group { start: *start, ..in_pod("p", ids[*who], *time) });
            }
            let now = merge(&[tree_at(begin as u64 + 9, 10_000, groups, gone)], before.as_ref());
            let left = row(&now, "p").remainder.unwrap();
            let children: u64 = seen_of.values().sum();
            prop_assert_eq!(left, rest(own, children));
            prop_assert_eq!(left.cpu + left.attributed, Duration::from_millis(total));
            before = Some(now);
        }
    }

    /// Whatever the readings say: the remainder never goes down, and with the children never says less than the counter.
    #[test]
    fn a_remainder_never_goes_backwards(looks in vec((0..900_u64, btree_map(id(), (1..3_u64, 0..500_u64), 0..5)), 1..8)) {
        let mut before: Option<Snapshot> = None;
        let mut counter = 0;
        for (more, containers) in looks {
            counter += more;
            let mut groups = vec![pod("p", counter)];
            groups.extend(containers.iter().map(|(id, (start, ms))| Group { start: *start, ..in_pod("p", id, *ms) }));
            let now = merge(&[tree(9_000, groups)], before.as_ref());
            let left = row(&now, "p").remainder.unwrap();
            let then = before.as_ref().and_then(|before| row(before, "p").remainder).unwrap_or_default();
            prop_assert!(left.cpu >= then.cpu && left.attributed >= then.attributed);
            prop_assert!(left.cpu + left.attributed >= Duration::from_millis(counter));
            before = Some(now);
        }
    }
}

#[test]
fn sizes_stand_with_the_containers_they_were_measured_of() {
    let at = |second| Stamp { wall: Timestamp::from_second(second).ok(), boot: None };
    let layer = |written| Layer { written: Some(Bytes(written)), image: Some(Bytes(9)) };
    let volume = Volume { name: "data".into(), driver: None, size: Some(Bytes(5)), users: Some(1) };
    let sizes = |second, of: &[(&str, u64)]| {
        let layers = of.iter().map(|(id, written)| (ContainerId::from(*id), layer(*written))).collect();
        let seen = Seen { at: at(second), from: SourceName::DockerSizes, is: () };
        let volumes = Some(Seen { at: seen.at, from: seen.from, is: [volume.clone()].into() });
        reading(SourceName::DockerSizes, Told::Sizes(Sizes { layers: Some(Seen { at: seen.at, from: seen.from, is: layers }), volumes }))
    };
    let disks = |snapshot: &Snapshot| -> Vec<_> {
        snapshot.workloads.iter().flat_map(|one| &one.containers).map(|one| one.disk.map(|disk| (disk.at, disk.is))).collect()
    };
    let both = || docker(vec![named("a", "a"), named("b", "b")]);
    let first = merge(&[both(), sizes(1, &[("a", 4), ("z", 7)])], None);
    assert_eq!(disks(&first), [Some((at(1), layer(4))), None]);
    assert_eq!(first.host.volumes.as_ref().map(|seen| seen.is.to_vec()), Some(vec![volume.clone()]));
    // One that has ended is not measured any more: what it had written is known from before.
    let second = merge(&[both(), sizes(2, &[("b", 0)])], Some(&first));
    assert_eq!(disks(&second), [Some((at(1), layer(4))), Some((at(2), layer(0)))]);
    assert_eq!(merge(&[both()], None).host.volumes, None);
}

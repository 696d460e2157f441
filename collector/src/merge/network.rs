//! Whose network each container uses, so that every name space is counted once.
//!
//! Two witnesses: the inode number of the name space, which is always right, and Docker's word, which stands in where no process could be looked at; the figures of
//! Docker's stats stand in there, too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::identity::{ContainerId, Key};
use crate::snapshot::{Net, NetOwner, Seen, Sockets, SourceName};
use crate::sources::{Network, Space, SpaceOf, Spaces};
use crate::units::Stamp;

use super::SeenContainer;

/// Where the traffic of every container stands.
#[derive(Default)]
pub(super) struct Networks<'a> {
    owners: Vec<NetOwner>,
    /// By the container's place.
    own: HashMap<usize, &'a Space>,
    /// By Docker's stats, where the name space was not read; by the container's place.
    stats: HashMap<usize, &'a Seen<Net>>,
    workloads: BTreeMap<Key, Vec<&'a Space>>,
    /// The same by stats, where no name space was read.
    workload_stats: BTreeMap<Key, Vec<&'a Seen<Net>>>,
}

impl Networks<'_> {
    /// Whose network the container at this place uses.
    pub(super) fn owner(&self, index: usize) -> NetOwner {
        self.owners.get(index).cloned().unwrap_or_default()
    }

    /// The figures that stand at a container.
    pub(super) fn of_container(&self, index: usize) -> Option<Seen<Net>> {
        let space = self.own.get(&index).map(|space| Seen { at: space.at, from: SourceName::Net, is: space.net.clone() });
        space.or_else(|| self.stats.get(&index).map(|net| Seen::clone(net)))
    }

    /// Whether of everyone who lives it is known where its traffic is counted, and that is told.
    pub(super) fn are_told(&self, seen: &[SeenContainer<'_>]) -> bool {
        seen.iter().enumerate().filter(|(_, one)| one.lives()).all(|(index, _)| match self.owner(index) {
            NetOwner::Unknown => false,
            NetOwner::Own => self.own.contains_key(&index) || self.stats.contains_key(&index),
            NetOwner::Of(_) | NetOwner::Workload | NetOwner::Host => true,
        })
    }

    /// The figures that stand at a task or pod: of several name spaces (one a container in ECS bridge mode) the interfaces of one name are added.
    pub(super) fn of_workload(&self, key: &Key) -> Option<Seen<Net>> {
        let Some((first, rest)) = self.workloads.get(key).and_then(|spaces| spaces.split_first()) else { return self.stats_of_workload(key) };
        let mut sum = Seen { at: first.at, from: SourceName::Net, is: first.net.clone() };
        rest.iter().for_each(|space| add(&mut sum, space.at, &space.net));
        Some(sum)
    }

    fn stats_of_workload(&self, key: &Key) -> Option<Seen<Net>> {
        let (first, rest) = self.workload_stats.get(key)?.split_first()?;
        let mut sum = Seen::clone(first);
        rest.iter().for_each(|net| add(&mut sum, net.at, &net.is));
        Some(sum)
    }

    /// The sockets that stand at a container.
    pub(super) fn sockets_of_container(&self, index: usize) -> Option<Arc<Seen<Sockets>>> {
        self.own.get(&index)?.sockets.clone()
    }

    /// The sockets that stand at a task or pod: the sum over its name spaces, where all were read.
    pub(super) fn sockets_of_workload(&self, key: &Key) -> Option<Arc<Seen<Sockets>>> {
        let (first, rest) = self.workloads.get(key)?.split_first()?;
        if rest.is_empty() {
            return first.sockets.clone();
        }
        let mut sum = Seen::clone(first.sockets.as_ref()?);
        for space in rest {
            let next = space.sockets.as_ref()?;
            sum.at = sum.at.latest(next.at);
            sum.is.add(&next.is);
        }
        Some(Arc::new(sum))
    }
}

/// Interfaces of one name are added.
fn add(sum: &mut Seen<Net>, at: Stamp, net: &Net) {
    sum.at = sum.at.latest(at);
    for one in net {
        match sum.is.iter_mut().find(|had| had.name == one.name) {
            Some(had) => {
                had.received.add(one.received);
                had.sent.add(one.sent);
            }
            None => sum.is.push(one.clone()),
        }
    }
}

/// Where a container's traffic is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Host,
    /// A name space that was read.
    Space(usize),
    /// The name space of this container, of which no more is known.
    Unread(&'a ContainerId),
    Unknown,
}

/// Finds the owner of every name space. `seen` is sorted by id.
pub(super) fn share<'a>(seen: &[SeenContainer<'a>], spaces: Option<&'a Spaces>) -> Networks<'a> {
    let places = places(seen, spaces);
    let mut users: BTreeMap<Place<'_>, Vec<usize>> = BTreeMap::new();
    for (index, place) in places.iter().enumerate() {
        users.entry(*place).or_default().push(index);
    }
    let mut networks = Networks { owners: vec![NetOwner::Unknown; seen.len()], ..Networks::default() };
    for (place, users) in users {
        match place {
            Place::Unknown => {}
            Place::Host => users.iter().for_each(|&user| networks.owners[user] = NetOwner::Host),
            Place::Space(_) | Place::Unread(_) => {
                let Some(owner) = owner(seen, &users) else { continue };
                let space = match place {
                    Place::Space(at) => spaces.and_then(|spaces| spaces.spaces.get(at)),
                    _ => None,
                };
                let home = seen[owner].within.as_ref();
                // All who share a name space are told its counters, each a moment later than the other: the newest counts.
                let told =
                    || users.iter().filter_map(|&user| seen[user].stats?.usage.net.as_ref()).reduce(|a, b| if b.at.since(&a.at).is_some() { b } else { a });
                let stats = if space.is_none() { told() } else { None };
                for user in users {
                    networks.owners[user] = match home {
                        Some(_) if seen[user].within.as_ref() == home => NetOwner::Workload,
                        None if user == owner => NetOwner::Own,
                        _ => NetOwner::Of(seen[owner].id.clone()),
                    };
                }
                match (home, space) {
                    (Some(key), Some(space)) => networks.workloads.entry(key.clone()).or_default().push(space),
                    (None, Some(space)) => drop(networks.own.insert(owner, space)),
                    (None, None) => networks.stats.extend(stats.map(|net| (owner, net))),
                    (Some(key), None) => stats.into_iter().for_each(|net| networks.workload_stats.entry(key.clone()).or_default().push(net)),
                }
            }
        }
    }
    networks
}

/// The one at which the figures stand: one in a task or pod before a loose one, a living before an ended one, the one that Docker gave the name space to
/// before those that joined it, the smallest id.
fn owner(seen: &[SeenContainer<'_>], users: &[usize]) -> Option<usize> {
    let named = |user: usize| matches!(seen[user].runtime().map(|runtime| &runtime.network), Some(Network::Own));
    users.iter().copied().min_by_key(|&user| (seen[user].within.is_none(), !seen[user].lives(), !named(user), user))
}

fn places<'a>(seen: &[SeenContainer<'a>], spaces: Option<&Spaces>) -> Vec<Place<'a>> {
    let read = |id: &ContainerId| match spaces?.of.get(id)? {
        SpaceOf::Host => Some(Place::Host),
        SpaceOf::Space(at) => Some(Place::Space(*at)),
    };
    let mut places: Vec<Place<'a>> = seen.iter().map(|one| read(one.id).unwrap_or(Place::Unknown)).collect();
    // One that joined and could be looked at says where the one it joined is.
    for (index, one) in seen.iter().enumerate() {
        let Some(Network::Of(target)) = one.runtime().map(|runtime| &runtime.network) else { continue };
        let Some(target) = place_of(seen, target) else { continue };
        if places[target] == Place::Unknown && matches!(places[index], Place::Space(_)) && seen[target].lives() && one.lives() {
            places[target] = places[index];
        }
    }
    for index in 0..seen.len() {
        if places[index] == Place::Unknown {
            places[index] = by_word(seen, &places, index);
        }
    }
    places
}

/// Follows Docker's word. A chain that does not end (it cannot be, but it can be said) ends unknown.
fn by_word<'a>(seen: &[SeenContainer<'a>], places: &[Place<'a>], index: usize) -> Place<'a> {
    let mut at = index;
    for _ in 0..LONGEST_CHAIN {
        let one = &seen[at];
        match one.runtime().map(|runtime| &runtime.network) {
            Some(Network::Host) => return Place::Host,
            Some(Network::Own) => return Place::Unread(one.id),
            Some(Network::Of(target)) => match place_of(seen, target) {
                Some(target) if places[target] != Place::Unknown => return places[target],
                Some(target) => at = target,
                None => return Place::Unread(target),
            },
            Some(Network::Unknown) | None => return Place::Unknown,
        }
    }
    Place::Unknown
}

/// Docker lets a container join only one that has a network of its own; a few steps are generous.
const LONGEST_CHAIN: usize = 8;

fn place_of(seen: &[SeenContainer<'_>], id: &ContainerId) -> Option<usize> {
    seen.binary_search_by(|one| one.id.cmp(id)).ok()
}

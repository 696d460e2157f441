//! What has ended stays for a while with its last figures, so that one that lived between two scrapes is seen.

use jiff::{SignedDuration, Timestamp};

use collector::snapshot::{Container, State, Workload};
use collector::units::Stamp;

use super::rows::closing_of;
use super::{ContainerRow, LINGERING, LINGERING_WITHIN, Rates, Report, WorkloadRow, ended};
use crate::cost::Cost;
use crate::health::Warnings;

/// Carries over what the last report had and this look has not: ended now, with its last figures.
pub(super) struct Lingering<'a> {
    /// The look's.
    pub(super) at: &'a Stamp,
    /// So long.
    pub(super) most: SignedDuration,
}

impl Lingering<'_> {
    /// How many were too many.
    pub(super) fn add(&self, rows: &mut Vec<WorkloadRow>, before: Option<&Report>) -> u64 {
        let (mut left, mut forgotten) = (Vec::new(), 0);
        for past in before.iter().flat_map(|before| &before.workloads) {
            match rows.binary_search_by(|row| row.seen.about.key.cmp(&past.seen.about.key)) {
                Ok(place) => forgotten += self.add_containers(&mut rows[place], past),
                Err(_) => left.extend(self.workload(past)),
            }
        }
        // Those that this look saw end have their place first.
        let new = rows.iter().filter(|row| ended(row.seen.state)).count();
        forgotten += keep_newest(&mut left, LINGERING.saturating_sub(new), |row| row.seen.ended);
        if !left.is_empty() {
            rows.append(&mut left);
            rows.sort_by(|a, b| a.seen.about.key.cmp(&b.seen.about.key));
        }
        forgotten
    }

    /// The row of a workload that is gone, unless it has been gone for too long.
    fn workload(&self, past: &WorkloadRow) -> Option<WorkloadRow> {
        let ended = past.seen.ended.or(self.at.wall);
        self.is_fresh(ended).then(|| WorkloadRow {
            seen: Workload { state: gone(past.seen.state), ended, ..past.seen.clone() },
            rates: Rates::default(),
            cost: Cost::default(),
            warnings: Warnings::new(),
            containers: past.containers.iter().map(|past| ended_container(past, ended)).collect(),
        })
    }

    fn add_containers(&self, row: &mut WorkloadRow, past: &WorkloadRow) -> u64 {
        let missing = |past: &&ContainerRow| !row.containers.iter().any(|now| now.seen.about.id == past.seen.about.id);
        let ended = |past: &ContainerRow| past.seen.ended.or(self.at.wall);
        let mut left: Vec<ContainerRow> =
            past.containers.iter().filter(missing).filter(|past| self.is_fresh(ended(past))).map(|past| ended_container(past, ended(past))).collect();
        let forgotten = keep_newest(&mut left, LINGERING_WITHIN, |row| row.seen.ended);
        if !left.is_empty() {
            row.containers.extend(left);
            row.containers.sort_by(|a, b| a.seen.about.id.cmp(&b.seen.about.id));
        }
        forgotten
    }

    fn is_fresh(&self, ended: Option<Timestamp>) -> bool {
        ended.zip(self.at.wall).is_none_or(|(ended, now)| now.duration_since(ended) <= self.most)
    }
}

/// Drops the oldest above `most`; how many.
fn keep_newest<T>(left: &mut Vec<T>, most: usize, ended: impl Fn(&T) -> Option<Timestamp>) -> u64 {
    let over = left.len().saturating_sub(most);
    if over > 0 {
        left.sort_by_key(|one| std::cmp::Reverse(ended(one)));
        left.truncate(most);
    }
    over as u64
}

fn ended_container(past: &ContainerRow, ended: Option<Timestamp>) -> ContainerRow {
    // That this look finds it gone is not when it went: then nobody knows how long it ran.
    let closing = past.closing.unwrap_or_else(|| closing_of(&past.seen));
    let seen = Container { state: gone(past.seen.state), ended: past.seen.ended.or(ended), ..past.seen.clone() };
    ContainerRow { seen, rates: Rates::default(), warnings: Warnings::new(), closing: Some(closing) }
}

/// What the runtime last said of an ended one is kept; what was still running, or being deleted, has ended without a word.
fn gone(state: State) -> State {
    if ended(state) && state != State::Removing { state } else { State::Ended }
}

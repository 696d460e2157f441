//! The machines that the tasks run on: what ECS says of a container instance and, where the metadata service says nothing, what EC2 says of the instance.
//!
//! An instance never changes; only its agent's version does, so ECS is asked again once an hour, and EC2 once for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use collector::snapshot::{Instance, Market};
use collector::sources::ToldInstance;

use super::{BATCH, Question, REFRESH};

/// What is known of each, by the container instance's id.
#[derive(Default)]
pub(super) struct Machines {
    known: BTreeMap<Arc<str>, Known>,
    /// The instance we run on, by the metadata service.
    here: Option<(Option<Arc<str>>, Option<Market>)>,
}

struct Known {
    /// The short name of its cluster.
    cluster: Option<Arc<str>>,
    told: Option<Arc<ToldInstance>>,
    /// When ECS last spoke of it, and EC2.
    asked: Option<Instant>,
    asked_ec2: Option<Instant>,
}

impl Machines {
    /// Those that tasks name, each with its cluster; the others are forgotten.
    pub(super) fn keep(&mut self, named: &BTreeSet<(Arc<str>, Option<Arc<str>>)>) {
        self.known.retain(|id, _| named.iter().any(|(one, _)| one == id));
        for (id, cluster) in named {
            self.known.entry(id.clone()).or_insert_with(|| Known { cluster: cluster.clone(), told: None, asked: None, asked_ec2: None });
        }
    }

    /// What the metadata service says of our own.
    pub(super) fn hear(&mut self, instance: &Instance) {
        self.here = Some((instance.id.clone(), instance.market));
    }

    /// For ECS: those of one cluster that are due.
    pub(super) fn question(&self, region: &str, now: Instant) -> Option<Question> {
        let mut due = self.known.iter().filter(|(_, known)| is_due(known.asked, now)).peekable();
        let cluster = due.peek()?.1.cluster.clone();
        let names = due.filter(|(_, known)| known.cluster == cluster).take(BATCH).map(|(id, _)| id.to_string()).collect();
        Some(Question { region: region.into(), cluster: cluster.as_deref().map(Into::into), names })
    }

    /// ECS's answer. One that it left out is gone; what it was it stays.
    pub(super) fn take(&mut self, question: &Question, answer: Vec<ToldInstance>, now: Instant) {
        let mut answer: BTreeMap<Arc<str>, ToldInstance> = answer.into_iter().map(|told| (told.id.clone(), told)).collect();
        for id in &question.names {
            let Some(known) = self.known.get_mut(&**id) else { continue };
            known.asked = Some(now);
            let Some(told) = answer.remove(&**id) else { continue };
            let machine = match &known.told {
                Some(before) => told.machine.or(&before.machine),
                None => told.machine,
            };
            known.tell(ToldInstance { machine, ..told });
        }
    }

    /// For EC2: instances of which nobody says how they are bought.
    pub(super) fn question_ec2(&self, region: &str, now: Instant) -> Option<Question> {
        let due = self.known.values().filter(|known| is_due(known.asked_ec2, now)).filter_map(|known| self.unknown(known));
        let names: Vec<String> = due.take(BATCH).map(|id| id.to_string()).collect();
        (!names.is_empty()).then(|| Question { region: region.into(), cluster: None, names })
    }

    /// The id of an EC2 instance whose market is unknown.
    fn unknown<'a>(&self, known: &'a Known) -> Option<&'a Arc<str>> {
        let machine = &known.told.as_ref()?.machine;
        let id = machine.id.as_ref().filter(|id| id.starts_with("i-") && machine.market.is_none())?;
        let is_told = self.here.as_ref().is_some_and(|(here, market)| market.is_some() && here.as_ref().is_none_or(|here| here == id));
        (!is_told).then_some(id)
    }

    /// EC2's answer. One that it left out is asked about again in an hour.
    pub(super) fn take_ec2(&mut self, question: &Question, answer: &[Instance], now: Instant) {
        for known in self.known.values_mut() {
            let Some(told) = known.told.clone() else { continue };
            let Some(id) = told.machine.id.as_ref().filter(|id| question.names.iter().any(|name| **name == ***id)) else { continue };
            known.asked_ec2 = Some(now);
            if let Some(said) = answer.iter().find(|said| said.id.as_ref() == Some(id)) {
                known.tell(ToldInstance { machine: said.clone().or(&told.machine), ..ToldInstance::clone(&told) });
            }
        }
    }

    /// All that is known, sorted by id.
    pub(super) fn told(&self) -> Vec<Arc<ToldInstance>> {
        self.known.values().filter_map(|known| known.told.clone()).collect()
    }
}

impl Known {
    /// The same allocation while nothing of it changes.
    fn tell(&mut self, told: ToldInstance) {
        if self.told.as_deref() != Some(&told) {
            self.told = Some(Arc::new(told));
        }
    }
}

fn is_due(asked: Option<Instant>, now: Instant) -> bool {
    asked.is_none_or(|asked| now.saturating_duration_since(asked) >= REFRESH)
}

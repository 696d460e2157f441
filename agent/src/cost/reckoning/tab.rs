//! What is remembered of one workload from look to look.

use std::sync::Arc;
use std::time::Duration;

use collector::identity::Key;

use super::is_host_process;
use crate::cost::Item;
use crate::cost::equivalent::Seen;
use crate::cost::split::{Amounts, Hour, Look, Mean};

/// One workload's memory.
pub(super) struct Tab {
    pub(super) key: Key,
    /// It ran at the last look, so the time since is its own.
    pub(super) ran: bool,
    pub(super) hour: Hour,
    pub(super) means: (Mean, Mean),
    pub(super) seen: Seen,
    pub(super) why: Option<Arc<str>>,
}

impl Tab {
    pub(super) fn new(key: Key) -> Tab {
        Tab { key, ran: false, hour: Hour::default(), means: Default::default(), seen: Seen::default(), why: None }
    }

    /// Adds a look and returns what is charged.
    pub(super) fn look(&mut self, item: &Item<'_>, span: Duration, in_this_hour: Duration) -> Amounts {
        let ran = std::mem::replace(&mut self.ran, item.runs);
        if !item.runs {
            self.means = Default::default();
            return Amounts::default();
        }
        let host_process = is_host_process(item);
        let asked = if host_process { Default::default() } else { item.asked };
        let cores = item.cores.filter(|cores| cores.0.is_finite() && cores.0 >= 0.0);
        let look = Look { asked_cores: asked.cores, asked_memory: asked.memory, cores, memory: item.memory };
        if ran {
            self.hour.add(&look, in_this_hour);
        }
        if !host_process {
            self.seen.add(cores, item.memory, if ran { span } else { Duration::ZERO });
        }
        self.means = self.hour.means(&look);
        Amounts { nanocores: self.means.0.taken(), bytes: self.means.1.taken() }
    }
}

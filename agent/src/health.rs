//! What is wrong with a workload, in words: near a limit, throttled, killed for memory, looping, sick. Pure.

use std::sync::Arc;

use smallvec::SmallVec;

use collector::snapshot::{Health, State, Usage};
use collector::units::Ratio;

use crate::rates::Rates;

/// Memory or processes from here on count as near the limit.
pub const NEAR: f64 = 0.9;
/// Throttled periods from here on hurt; the kubernetes-mixin's CPUThrottlingHigh uses the same.
pub const THROTTLED: f64 = 0.25;

/// Words for a person; none is well.
pub type Warnings = SmallVec<[Arc<str>; 1]>;

/// What is known of one workload or container.
pub struct Vitals<'a> {
    /// Its state.
    pub state: State,
    /// Its health check.
    pub health: Option<Health>,
    /// Restarts since the last look.
    pub restarted: u64,
    /// The runtime says the kernel killed it.
    pub oom: Option<bool>,
    /// What it uses.
    pub usage: &'a Usage,
    /// What it used at the last look, of the same start.
    pub before: Option<&'a Usage>,
    /// How fast it moves.
    pub rates: &'a Rates,
}

/// Everything that is wrong. A well workload costs no allocation.
pub fn warnings(of: &Vitals<'_>) -> Warnings {
    let mut warnings = Warnings::new();
    let mut say = |words: String| warnings.push(words.into());
    if let Some(near) = of.rates.memory_of_limit.filter(near) {
        say(format!("memory at {} of its limit", percent(near)));
    }
    if let Some(near) = of.rates.pids_of_limit.filter(near) {
        say(format!("processes at {} of their limit", percent(near)));
    }
    if let Some(throttled) = of.rates.throttled.filter(|ratio| ratio.0 >= THROTTLED) {
        say(format!("CPU throttled in {} of the periods", percent(throttled)));
    }
    let kills = |usage: &Usage| usage.memory.and_then(|memory| memory.is.oom_kills);
    let killed = kills(of.usage).zip(of.before.and_then(kills)).map_or(0, |(now, then)| now.saturating_sub(then));
    if killed > 0 {
        say(format!("{killed} processes killed for memory since the last look"));
    } else if of.oom == Some(true) {
        say("killed for memory".into());
    }
    if of.state == State::Restarting || of.restarted > 0 {
        say("restarting".into());
    }
    if of.health == Some(Health::Unhealthy) {
        say("its health check fails".into());
    }
    warnings
}

fn near(ratio: &Ratio) -> bool {
    ratio.0 >= NEAR
}

/// `99.2 %`: near a limit the decimal counts.
fn percent(ratio: Ratio) -> String {
    format!("{:.1} %", ratio.0 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vitals<'a>(usage: &'a Usage, rates: &'a Rates) -> Vitals<'a> {
        Vitals { state: State::Running, health: None, restarted: 0, oom: None, usage, before: None, rates }
    }

    #[test]
    fn a_well_workload_has_no_warnings_and_a_full_one_says_how_full() {
        let usage = Usage::default();
        assert!(warnings(&vitals(&usage, &Rates { memory_of_limit: Some(Ratio(0.89)), ..Rates::default() })).is_empty());
        let full = Rates { memory_of_limit: Some(Ratio(0.9917)), throttled: Some(Ratio(0.31)), ..Rates::default() };
        let said = warnings(&vitals(&usage, &full));
        assert_eq!(said.iter().map(|words| &**words).collect::<Vec<_>>(), ["memory at 99.2 % of its limit", "CPU throttled in 31.0 % of the periods"]);
    }

    #[test]
    fn a_loop_a_kill_and_a_failing_check_are_said() {
        let (usage, rates) = (Usage::default(), Rates::default());
        let sick = Vitals { state: State::Restarting, health: Some(Health::Unhealthy), oom: Some(true), ..vitals(&usage, &rates) };
        assert_eq!(warnings(&sick).iter().map(|words| &**words).collect::<Vec<_>>(), ["killed for memory", "restarting", "its health check fails"]);
    }
}

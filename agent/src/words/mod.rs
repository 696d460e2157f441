//! What tables and pages say alike: numbers as people read them, which rows are shown, the line that heads them. Pure.

pub(crate) mod figures;
pub(crate) mod heading;
pub(crate) mod rows;

use collector::snapshot::{Health, State};

use crate::report::ContainerRow;

/// Names are hostile: what moves the cursor, turns the text round or hides is replaced.
pub(crate) fn clean(text: &str) -> String {
    let hides = |c: char| {
        c.is_control() || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if hides(c) { '\u{fffd}' } else { c }).collect()
}

/// What a figure says by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// Not of interest.
    Quiet,
    /// Look here.
    Notice,
    /// Near a limit, broken or losing money.
    Alarm,
    /// The head of something.
    Head,
}

/// The state in words, with what makes it bad.
pub(crate) fn state(state: State, container: Option<&ContainerRow>) -> (String, Tone) {
    let seen = container.map(|container| &container.seen);
    let health = seen.and_then(|seen| seen.health);
    let killed = seen.is_some_and(|seen| seen.oom == Some(true));
    let exit = seen.and_then(|seen| seen.exit);
    match (state, health) {
        (State::Running, Some(Health::Unhealthy)) => ("unhealthy".into(), Tone::Alarm),
        (State::Running, Some(Health::Starting)) => ("starting".into(), Tone::Plain),
        (State::Running, _) => ("running".into(), Tone::Plain),
        (State::Paused, _) => ("paused".into(), Tone::Notice),
        (State::Restarting, _) => ("restarting".into(), Tone::Alarm),
        (State::Created, _) => ("created".into(), Tone::Quiet),
        (State::Removing, _) => ("removing".into(), Tone::Quiet),
        (State::Dead, _) => ("dead".into(), Tone::Alarm),
        (State::Exited | State::Ended, _) if killed => ("out of memory".into(), Tone::Alarm),
        (State::Exited | State::Ended, _) => match exit {
            Some(0) => ("exited 0".into(), Tone::Quiet),
            Some(code) => (format!("exited {code}"), Tone::Alarm),
            None => ("ended".into(), Tone::Quiet),
        },
    }
}

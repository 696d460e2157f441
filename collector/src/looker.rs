//! The one thread that reads kernel files. A file system may hang (NFS, a dying disk); then the looker hangs and the rest of Tare goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::snapshot::{Gap, SourceName};
use crate::sources::{Look, Reading, Told, UNANSWERED};
use crate::units::Stamp;

/// Hands turns to the thread and takes its answers.
pub struct Looker {
    names: Vec<SourceName>,
    /// `None` where the machine refused us the thread.
    turns: Option<Sender<Turn>>,
    answers: Receiver<Answer>,
    /// The thread is through with a turn.
    done: Arc<Notify>,
    /// How many looks of the last turn are still to answer.
    open: usize,
}

/// One turn's answers, one a look, in the order the looks were given.
pub type Looked = Vec<Answered>;

/// What one look brought.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What it read; without `told` where it did not answer.
    pub reading: Arc<Reading>,
    /// How long it read. `None`: it did not answer in time.
    pub took: Option<Duration>,
}

/// The newest readings of the others.
type Turn = Vec<Arc<Reading>>;

struct Answer {
    look: usize,
    answered: Answered,
}

impl Looker {
    /// Starts the thread. It ends when the looker is dropped, or as soon as it stops hanging.
    pub fn new(looks: Vec<Box<dyn Look>>) -> Looker {
        let names = looks.iter().map(|look| look.name()).collect();
        let (turns, asked) = channel();
        let (answer, answers) = channel();
        let done = Arc::new(Notify::new());
        let tell = done.clone();
        let started = thread::Builder::new().name("looker".into()).spawn(move || serve(looks, &asked, &answer, &tell));
        if let Err(error) = &started {
            tracing::error!(%error, "no thread for reading kernel files");
        }
        Looker { names, turns: started.is_ok().then_some(turns), answers, done, open: 0 }
    }

    /// Runs all looks in order, each with the newest readings of the others. What has not answered by `by` is a gap; if the thread still hangs in an earlier turn, at
    /// once. A late answer of an earlier turn stands in where this one brings none in time: it carries its own stamp, and where every look is late it is all there is.
    pub async fn look(&mut self, known: Vec<Arc<Reading>>, by: Instant) -> Looked {
        let mut looked: Vec<Option<Answered>> = vec![None; self.names.len()];
        self.drain(&mut looked);
        // One reason for both: a look that always takes two turns is one gap, spoken of once, not two in turn.
        const LATE: &str = "no answer by the deadline";
        let why = if self.open > 0 {
            LATE
        } else if self.ask(known) {
            self.gather(&mut looked, by).await;
            LATE
        } else {
            "there is no thread to read with"
        };
        let gap = |name: SourceName| Answered { reading: Arc::new(nothing(name, why.into())), took: None };
        looked.into_iter().zip(&self.names).map(|(answered, name)| answered.unwrap_or_else(|| gap(*name))).collect()
    }

    fn ask(&mut self, known: Vec<Arc<Reading>>) -> bool {
        let Some(Ok(())) = self.turns.as_ref().map(|turns| turns.send(known)) else { return false };
        self.open = self.names.len();
        true
    }

    /// Takes what has been answered. Only one turn is under way at a time, so every answer is of the last one asked.
    fn drain(&mut self, looked: &mut [Option<Answered>]) {
        while let Ok(Answer { look, answered }) = self.answers.try_recv() {
            self.open -= 1;
            looked[look] = Some(answered);
        }
    }

    /// Woken once for all answers, not for each: waking costs more than most looks.
    async fn gather(&mut self, looked: &mut [Option<Answered>], by: Instant) {
        let mut late = false;
        loop {
            self.drain(looked);
            if self.open == 0 || late {
                return;
            }
            late = tokio::time::timeout_at(by.into(), self.done.notified()).await.is_err();
        }
    }
}

/// A reading that says nothing but why.
pub(crate) fn nothing(from: SourceName, why: String) -> Reading {
    Reading { from, at: Stamp::default(), told: None, gaps: vec![Gap { from, what: UNANSWERED.into(), why: why.into() }] }
}

/// The thread: one turn after the other.
fn serve(mut looks: Vec<Box<dyn Look>>, turns: &Receiver<Turn>, answers: &Sender<Answer>, done: &Notify) {
    let mut rests = vec![Rest::default(); looks.len()];
    while let Ok(mut known) = turns.recv() {
        for (index, (look, rest)) in looks.iter_mut().zip(&mut rests).enumerate() {
            let answered = read(look.as_mut(), rest, &known);
            if answered.reading.told.is_some() {
                remember(&mut known, &answered.reading);
            }
            if answers.send(Answer { look: index, answered }).is_err() {
                return;
            }
        }
        done.notify_one();
    }
}

fn read(look: &mut dyn Look, rest: &mut Rest, known: &[Arc<Reading>]) -> Answered {
    let name = look.name();
    let started = Instant::now();
    let reading = if rest.turn_passes() {
        nothing(name, rest.why())
    } else {
        match catch_unwind(AssertUnwindSafe(|| look.look(known))) {
            Ok(reading) => {
                rest.is_over();
                reading
            }
            Err(panic) => {
                rest.begin(&*panic);
                nothing(name, rest.why())
            }
        }
    };
    Answered { reading: Arc::new(reading), took: Some(started.elapsed()) }
}

/// Puts the reading in the place of the older one on the same subject.
pub(crate) fn remember(known: &mut Vec<Arc<Reading>>, reading: &Arc<Reading>) {
    match known.iter_mut().find(|old| old.from == reading.from && same_subject(old, reading)) {
        Some(old) => *old = reading.clone(),
        None => known.push(reading.clone()),
    }
}

fn same_subject(a: &Reading, b: &Reading) -> bool {
    let subject = |reading: &Reading| reading.told.as_ref().map(std::mem::discriminant::<Told>);
    subject(a) == subject(b)
}

/// How long something that panicked is left alone: 1 turn after the first panic, then 2, 4, … up to 32.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest {
    panics: u32,
    turns: u32,
    word: String,
}

impl Rest {
    /// Whether this turn is rested.
    pub(crate) fn turn_passes(&mut self) -> bool {
        let rests = self.turns > 0;
        self.turns = self.turns.saturating_sub(1);
        rests
    }

    /// It panicked.
    pub(crate) fn begin(&mut self, panic: &(dyn std::any::Any + Send)) {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        self.word = text.unwrap_or("no message").chars().take(200).collect();
        self.turns = 1 << self.panics.min(5);
        self.panics = self.panics.saturating_add(1);
    }

    /// It answered.
    pub(crate) fn is_over(&mut self) {
        *self = Rest::default();
    }

    /// For the gap.
    pub(crate) fn why(&self) -> String {
        format!("a bug in Tare: panicked {} times, tried again with growing pauses: {}", self.panics, self.word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Spaces;

    /// Does what the test tells it through a channel: `true` answers, `false` panics, nothing yet hangs.
    struct Puppet(SourceName, Receiver<bool>);

    impl Look for Puppet {
        fn name(&self) -> SourceName {
            self.0
        }

        fn look(&mut self, known: &[Arc<Reading>]) -> Reading {
            assert!(self.1.recv().unwrap_or(true), "told to panic");
            let gaps = known.iter().map(|reading| Gap { from: reading.from, what: "seen".into(), why: "by the puppet".into() }).collect();
            Reading { from: self.0, at: Stamp::default(), told: Some(Told::Spaces(Spaces::default())), gaps }
        }
    }

    fn puppet(name: SourceName) -> (Sender<bool>, Box<dyn Look>) {
        let (tell, told) = channel();
        (tell, Box::new(Puppet(name, told)))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn answered(looked: &Looked) -> Vec<bool> {
        looked.iter().map(|one| one.reading.told.is_some()).collect()
    }

    #[tokio::test]
    async fn each_look_sees_those_before_it() {
        let ((a, first), (b, second)) = (puppet(SourceName::Cgroup), puppet(SourceName::Net));
        let mut looker = Looker::new(vec![first, second]);
        drop((a, b));
        let looked = looker.look(vec![], soon()).await;
        assert_eq!(answered(&looked), [true, true]);
        assert!(looked[0].reading.gaps.is_empty());
        assert_eq!(looked[1].reading.gaps[0].from, SourceName::Cgroup);
    }

    #[tokio::test]
    async fn a_hanging_look_costs_its_turn_and_its_late_answer_stands_in() {
        let ((a, first), (b, second)) = (puppet(SourceName::Cgroup), puppet(SourceName::Net));
        let mut looker = Looker::new(vec![first, second]);
        a.send(true).unwrap();
        let looked = looker.look(vec![], Instant::now()).await;
        assert!(!answered(&looked)[1]);
        // While it hangs no time is spent waiting and no turn is asked.
        let again = looker.look(vec![], soon()).await;
        assert!(!answered(&again)[1]);
        assert_eq!(again[1].reading.gaps, looked[1].reading.gaps, "the same gap goes on");
        b.send(true).unwrap();
        looker.done.notified().await;
        // The next turn hangs, too; what came late from the one before is better than nothing.
        a.send(true).unwrap();
        assert!(answered(&looker.look(vec![], Instant::now()).await)[1]);
        drop((a, b));
        looker.done.notified().await;
        assert_eq!(answered(&looker.look(vec![], soon()).await), [true, true]);
    }

    #[tokio::test]
    async fn a_look_that_panics_is_a_gap_and_is_tried_again() {
        let ((a, first), (b, second)) = (puppet(SourceName::Cgroup), puppet(SourceName::Net));
        let mut looker = Looker::new(vec![first, second]);
        drop(b);
        a.send(false).unwrap();
        a.send(false).unwrap();
        drop(a);
        let mut turns = Vec::new();
        for _ in 0..7 {
            let looked = looker.look(vec![], soon()).await;
            assert!(answered(&looked)[1], "the others go on");
            if !answered(&looked)[0] {
                assert!(looked[0].reading.gaps[0].why.contains("told to panic"));
            }
            turns.push(answered(&looked)[0]);
        }
        // Panic, one turn of rest, panic, two turns of rest, well again.
        assert_eq!(turns, [false, false, false, false, false, true, true]);
    }
}

//! The thread: hears of cgroups that are made and removed, reads the new containers, closes the books of those that went.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{ReadFlags, Reader, remove_watch};
use rustix::io::Errno;

use super::burst::{Life, OPEN, pace, unread};
use super::{MOST_ENDED, Parent, Shared};
use crate::identity::{CgroupPath, Owner, Segment};
use crate::roots::Clock;
use crate::sources::Ended;
use crate::sources::cgroup::files::{Files, Listing};
use crate::sources::cgroup::gaps::Gaps;

/// Containers read closely at once. Docker starts tens a second at best, so these are more than a minute's; each holds about 1 KiB.
const MOST_BURSTS: usize = 1_024;
/// Containers whose last reading is kept after their first seconds, until they end.
const MOST_GROWN: usize = 10_000;
/// No runtime nests its folders deeper.
const DEEPEST: usize = 24;

/// The pause after it broke; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why it listens no more.
enum End {
    Stopped,
    Broke,
}

/// Runs `work` again and again until it says that it was stopped, or `rest`, asked to pause so long, says so.
pub(super) fn persist(first: Duration, rest: impl Fn(Duration) -> bool, mut work: impl FnMut() -> bool) {
    let mut pause = first;
    loop {
        let began = Instant::now();
        if work() {
            return;
        }
        // One that went well for longer than it would rest has recovered.
        pause = if began.elapsed() > LONGEST_PAUSE { first } else { pause };
        if rest(pause) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits so long, or less where the other end is closed.
fn is_closed_within(stop: &UnixStream, pause: Duration) -> bool {
    let timeout = Timespec { tv_sec: pause.as_secs().cast_signed(), tv_nsec: pause.subsec_nanos().into() };
    let mut ends = [PollFd::new(stop, PollFlags::IN)];
    poll(&mut ends, Some(&timeout)).is_ok() && !ends[0].revents().is_empty()
}

pub(super) struct Watcher {
    shared: Arc<Shared>,
    files: Files,
    stop: UnixStream,
    clock: Clock,
    /// Those read closely now.
    young: HashMap<CgroupPath, Life>,
    /// Those that were.
    grown: HashMap<CgroupPath, Life>,
    /// Descriptors that may stay open; fewer once there were none left.
    open: usize,
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>, files: Files, stop: UnixStream) -> Watcher {
        let clock = files.clock();
        Watcher { shared, files, stop, clock, young: HashMap::new(), grown: HashMap::new(), open: OPEN }
    }

    /// Until the other end of `stop` is closed. What breaks is begun anew, with the folders that are watched: who was followed then is not any more.
    pub(super) fn run(mut self) {
        let stop = self.stop.try_clone();
        persist(
            FIRST_PAUSE,
            |pause| stop.as_ref().is_ok_and(|stop| is_closed_within(stop, pause)),
            || {
                let end = catch_unwind(AssertUnwindSafe(|| self.listen()));
                if end.is_err() {
                    let lost = (self.young.len() + self.grown.len()) as u64;
                    (self.young, self.grown) = (HashMap::new(), HashMap::new());
                    let mut heard = self.shared.heard();
                    (heard.broke, heard.cut) = (true, heard.cut + lost);
                }
                matches!(end, Ok(End::Stopped))
            },
        );
    }

    fn listen(&mut self) -> End {
        let mut buffer = [MaybeUninit::uninit(); 8 << 10];
        let mut read = Instant::now();
        loop {
            // Without a burst there is no timeout: an idle host costs no system call.
            let due = (!self.young.is_empty()).then(|| (read + pace(self.young.len())).saturating_duration_since(Instant::now()));
            let timeout = due.map(|due| Timespec { tv_sec: due.as_secs().cast_signed(), tv_nsec: due.subsec_nanos().into() });
            let mut ends = [PollFd::new(&self.shared.inotify, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
            match poll(&mut ends, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "new containers are not heard of for a while");
                    self.shared.heard().broke = true;
                    return End::Broke;
                }
            }
            let [heard, stopped] = ends.map(|end| !end.revents().is_empty());
            if stopped {
                return End::Stopped;
            }
            if heard {
                self.hear(&mut buffer);
            }
            if !self.young.is_empty() && read.elapsed() >= pace(self.young.len()) {
                read = Instant::now();
                self.read();
            }
        }
    }

    /// Takes in one buffer of events.
    fn hear(&mut self, buffer: &mut [MaybeUninit<u8>]) {
        let shared = self.shared.clone();
        let mut events = Reader::new(&shared.inotify, buffer);
        while let Ok(event) = events.next() {
            let (folder, what) = (event.wd(), event.events());
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                self.recount();
            } else if what.contains(ReadFlags::IGNORED) {
                shared.heard().folders.remove(&folder);
            } else if let Some(name) = event.file_name().and_then(|name| name.to_str().ok())
                && what.contains(ReadFlags::ISDIR)
                && let Some(parent) = { shared.heard().folders.get(&folder).cloned() }
            {
                if what.contains(ReadFlags::CREATE) {
                    self.made(&parent, name, 0);
                } else if what.contains(ReadFlags::DELETE) {
                    self.removed(&parent, name);
                }
            }
            if events.is_buffer_empty() {
                return;
            }
        }
    }

    pub(super) fn made(&mut self, parent: &Parent, name: &str, depth: usize) {
        let path = CgroupPath::from(&*format!("{}/{name}", parent.path));
        let (segment, above) = parent.above.enter(name);
        match segment {
            Segment::Container(id) => self.begin(path, Owner::Container(id, above.within)),
            // The runtime makes a task's folder and the container's in it in one breath: what was made before the watch is in the list.
            Segment::Task(_) | Segment::Pod(_) | Segment::Parent if depth < DEEPEST => {
                let Some(folder) = self.files.place(path.as_str()) else { return };
                let parent = Parent { path, above };
                if self.shared.watch(&folder, parent.clone())
                    && let Listing::Of(folders) = self.files.folders(parent.path.as_str())
                {
                    folders.iter().for_each(|folder| self.made(&parent, &folder.name, depth + 1));
                }
            }
            Segment::Task(_) | Segment::Pod(_) | Segment::Parent | Segment::Unit | Segment::Aside => {}
        }
    }

    fn begin(&mut self, path: CgroupPath, owner: Owner) {
        let start = self.files.links(path.as_str()).map_or(0, |(_, start)| start);
        if self.young.get(&path).is_some_and(|life| life.start == start) {
            return;
        }
        if self.young.len() >= MOST_BURSTS {
            self.shared.heard().cut += 1;
            return;
        }
        let mut life = Life::new(path.clone(), owner, start, self.clock.now());
        let keep = self.keep();
        life.read(&mut self.files, self.clock, keep);
        self.young.insert(path, life);
    }

    pub(super) fn removed(&mut self, parent: &Parent, name: &str) {
        let path = CgroupPath::from(&*format!("{}/{name}", parent.path));
        let (segment, above) = parent.above.enter(name);
        match segment {
            Segment::Container(id) => {
                let gone = self.clock.now();
                let life = self.young.remove(&path).or_else(|| self.grown.remove(&path));
                let ended = match life {
                    Some(life) => life.close(gone),
                    None => unread(path, Owner::Container(id, above.within), gone),
                };
                self.tell(ended);
            }
            Segment::Task(_) | Segment::Pod(_) | Segment::Parent => {
                let heard = self.shared.heard();
                let number = heard.folders.iter().find(|(_, parent)| parent.path == path).map(|(number, _)| *number);
                // The kernel answers with IN_IGNORED, which takes it out of the map.
                number.map(|number| remove_watch(&self.shared.inotify, number).ok());
            }
            Segment::Unit | Segment::Aside => {}
        }
    }

    fn tell(&self, ended: Ended) {
        let mut heard = self.shared.heard();
        if heard.ended.len() < MOST_ENDED {
            heard.ended.push(ended);
        } else {
            heard.cut += 1;
        }
    }

    /// One reading of each that is new.
    fn read(&mut self) {
        let keep = self.keep();
        let (files, clock) = (&mut self.files, self.clock);
        for life in self.young.extract_if(|_, life| !life.read(files, clock, keep)).map(|(_, life)| life) {
            if self.grown.len() < MOST_GROWN {
                self.grown.insert(life.path.clone(), life);
            } else {
                self.shared.heard().cut += 1;
            }
        }
        if self.files.gaps.full() > 0 {
            self.open /= 2;
        }
        // What cannot be read here cannot be read by the look either, which says so.
        self.files.gaps = Gaps::default();
    }

    /// Descriptors for each.
    fn keep(&self) -> usize {
        self.open / (self.young.len() + 1)
    }

    /// Events were lost: whoever is not there any more has ended, when nobody knows better than now.
    pub(super) fn recount(&mut self) {
        self.shared.heard().lost = true;
        let mut gone = take_gone(&mut self.young, &mut self.files);
        gone.extend(take_gone(&mut self.grown, &mut self.files));
        let now = self.clock.now();
        gone.into_iter().for_each(|life| self.tell(life.close(now)));
    }
}

fn take_gone(lives: &mut HashMap<CgroupPath, Life>, files: &mut Files) -> Vec<Life> {
    let is_gone = |path: &CgroupPath, life: &mut Life| files.links(path.as_str()).is_none_or(|(_, start)| start != life.start);
    lives.extract_if(is_gone).map(|(_, life)| life).collect()
}

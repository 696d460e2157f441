//! Rows that share one set of label names, and the metrics read from them. Labels are rendered when a row becomes another's, values are put anew each tick.

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;

use collector::identity::CgroupPath;
use collector::snapshot::{About as Who, ContainerAbout, Device, Launch, SourceName, TaskKind};
use collector::units::Bytes;

use super::cadvisor::page::push_device;
use super::choice::Choice;
use super::labels::LabelSet;
use super::schema::{About, Family, Info, Kind, Metric, Points, Value};

/// Rows and their metrics.
#[derive(Default)]
pub struct Block {
    rows: Vec<Row>,
    /// Rows of this tick; those behind it are of the last one.
    used: usize,
    /// Counts renderings. A row carries the number of its own, so that what stands below it notices a new one.
    renderings: u64,
    columns: Vec<Column>,
    choice: Arc<Choice>,
}

/// One metric and its values in this tick.
pub struct Column {
    /// What it is.
    pub about: &'static About,
    /// Its name in Prometheus.
    pub name: String,
    /// The label it splits by and the words of it.
    pub split: Option<(&'static str, Vec<&'static str>)>,
    /// In the order of the rows.
    pub samples: Vec<Sample>,
    /// How many there were when it was last emptied: what to make room for.
    room: usize,
    told: bool,
}

/// One value of one series.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The value; a real one is finite.
    pub value: Value,
    /// Which row of the block.
    pub row: u32,
    /// Which word of the split.
    pub word: u32,
}

/// One row: whose it is and its labels.
pub(super) struct Row {
    key: RowKey,
    labels: LabelSet,
    rendering: u64,
    place: Place,
}

/// Where a row's values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To its own series.
    Own,
    /// To those of an earlier row.
    With(u32),
    /// Nowhere: no name tells it from another.
    Nowhere,
}

/// Whose labels a row holds. While it stays the same the labels stay. It holds the identity, so equal pointers mean equal things.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RowKey {
    Host,
    Workload(Arc<Who>, Option<Arc<ContainerAbout>>),
    Container(Arc<Who>, Arc<ContainerAbout>),
    /// A cgroup, by its path, its owner and itself.
    Group(Option<CgroupPath>, Arc<Who>, Option<Arc<ContainerAbout>>),
    /// Part of the row above, whose labels were made by this rendering.
    Below(u64, Part),
}

/// What tells rows apart that stand below one other row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Device(Device),
    /// A block device, and its name.
    BlockDevice(Device, Arc<str>),
    /// What the label of its source is called; where it is mounted, what, and of which kind.
    Mount(&'static str, Arc<str>, Arc<str>, Arc<str>),
    Number(u32),
    Name(Arc<str>),
    Source(SourceName),
    Gap(SourceName, Arc<str>),
    Tasks(Arc<TaskKind>),
    Word(&'static str),
    PageSize(Bytes),
    /// A block device and its name; whether its number is told too.
    Disk(Device, Option<Arc<str>>, bool),
}

/// How much of a name it takes to be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// The name.
    Name,
    /// 12 digits of the id; a unit's path.
    Short,
    /// The whole id.
    Full,
}

/// Which of two rows of one name keeps it: the living before the ended, then the one that started last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) lives: bool,
    pub(super) started: Option<Timestamp>,
}

impl Block {
    /// With the metrics of a family.
    pub(super) fn of<R>(family: &'static Family<R>) -> Block {
        Block::default().and(family)
    }

    /// And those of another one, about the same rows.
    pub(super) fn and<R>(mut self, family: &'static Family<R>) -> Block {
        self.columns.extend(family.metrics.iter().map(Column::of));
        self
    }

    /// With one metric that tells.
    pub(super) fn info<R>(info: &'static Info<R>) -> Block {
        Block { columns: vec![Column::named(&info.about, None)], ..Block::default() }
    }

    /// Without what is not wanted.
    pub(super) fn chosen(mut self, choice: &Arc<Choice>) -> Block {
        for column in &mut self.columns {
            column.told = choice.keeps(&column.name);
        }
        self.choice = Arc::clone(choice);
        self
    }

    /// Whether any of its metrics is wanted.
    fn is_told(&self) -> bool {
        self.columns.iter().any(|column| column.told)
    }

    /// The metrics. Those without samples say nothing in this tick.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The labels of a sample's row.
    pub fn labels(&self, sample: &Sample) -> &LabelSet {
        &self.rows[sample.row as usize].labels
    }

    /// Begins a tick. `anew`: what stands in every label has changed.
    pub(super) fn start(&mut self, anew: bool) {
        self.rows.truncate(if anew { 0 } else { self.used });
        self.used = 0;
        for column in &mut self.columns {
            column.samples.clear();
            column.samples.reserve_exact(column.room);
        }
    }

    /// Gives back the room of all values.
    pub(super) fn empty(&mut self) {
        for column in &mut self.columns {
            column.room = column.samples.len();
            column.samples = Vec::new();
        }
    }

    /// How many rows this tick has so far.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// What changes when rows become others' or fewer.
    pub(super) fn version(&self) -> (u64, usize) {
        (self.renderings, self.rows.len() - self.used)
    }

    /// One row, to put others below it. `None`: it has no series, and so have they.
    pub(super) fn above(&self, at: usize) -> Option<&Row> {
        self.rows.get(at).filter(|row| row.place != Place::Nowhere)
    }

    /// Takes the next row; renders its labels if it was another's.
    pub(super) fn row(&mut self, key: RowKey, render: impl FnOnce(&mut LabelSet)) -> usize {
        let at = self.used;
        self.used += 1;
        match self.rows.get_mut(at) {
            Some(row) if row.key == key => return at,
            Some(row) => {
                row.key = key;
                row.place = Place::Own;
                row.labels.clear();
            }
            None => self.rows.push(Row { key, labels: LabelSet::default(), rendering: 0, place: Place::Own }),
        }
        self.renderings += 1;
        self.rows[at].rendering = self.renderings;
        render(&mut self.rows[at].labels);
        self.rows[at].labels.shrink();
        at
    }

    /// Takes the next row, below another one; its brothers begin at `first`. Two interfaces whose names became the same text share one series, their
    /// counters added.
    pub(super) fn row_below(&mut self, above: &Row, first: usize, label: &'static str, part: Part) -> usize {
        let before = self.renderings;
        let at = self.row(RowKey::Below(above.rendering, part.clone()), |labels| {
            labels.copy(&above.labels);
            part.push(label, labels);
        });
        let (brothers, row) = self.rows.split_at_mut(at);
        // A row that stayed may stand behind others than before.
        if self.renderings != before || brothers[first..].iter().any(|brother| brother.rendering > row[0].rendering) {
            let same = brothers[first..].iter().position(|brother| brother.place == Place::Own && brother.labels.block() == row[0].labels.block());
            row[0].place = same.map_or(Place::Own, |same| Place::With((first + same) as u32));
        }
        at
    }

    /// Tells what is known about the row above, and on which host it is. `now` is what may change of that while the row stays; `None` renders each time.
    pub(super) fn tell<R>(&mut self, above: &Row, host: &str, info: &'static Info<R>, subject: &R, now: Option<Part>) {
        if !self.is_told() {
            return;
        }
        let choice = Arc::clone(&self.choice);
        let render = |labels: &mut LabelSet| {
            labels.copy(&above.labels);
            if !choice.drops("host") {
                labels.push("host", host);
            }
            for (label, write) in info.tells.iter().filter(|(label, _)| !choice.drops(label.name)) {
                labels.push_with(label.name, |to| write(subject, to));
            }
            for (key, value) in (info.tags)(subject) {
                if let Some(label) = choice.tag(key) {
                    labels.push(label, value);
                }
            }
        };
        let at = match now {
            Some(now) => self.row(RowKey::Below(above.rendering, now), render),
            None => {
                let at = self.row(RowKey::Below(above.rendering, Part::Word("")), |_| {});
                render(&mut self.rows[at].labels);
                at
            }
        };
        self.columns[0].samples.push(Sample { value: Value::Count(1), row: at as u32, word: 0 });
    }

    /// Reads a family's metrics out of a row, into the columns from `column` on. Returns the column after them.
    pub(super) fn put<R>(&mut self, column: usize, family: &'static Family<R>, row: usize, subject: &R, ended: bool) -> usize {
        let place = self.rows[row].place;
        for (column, metric) in self.columns[column..].iter_mut().zip(family.metrics) {
            // A level adds up over rows, and what has ended adds nothing. Its counters stay for the last scrape.
            if !column.told || ended && metric.about.kind == Kind::Level {
                continue;
            }
            match metric.points {
                Points::One(read) => column.put(place, row, 0, read(subject)),
                Points::Each(_, words) => {
                    for (word, (_, read)) in words.iter().enumerate() {
                        column.put(place, row, word as u32, read(subject));
                    }
                }
                Points::Live(_) => {}
            }
        }
        column + family.metrics.len()
    }

    /// Renders rows of the same labels with longer names, all but the one that keeps it; what is still the same then has no series.
    /// `ranks` runs beside the rows. It is called when rows have changed, so it may allocate.
    pub(super) fn tell_apart(&mut self, ranks: &[Rank], render: impl Fn(&RowKey, Naming, &mut LabelSet)) {
        self.rows.truncate(self.used);
        let named = |key: &RowKey, naming| {
            let mut labels = LabelSet::default();
            render(key, naming, &mut labels);
            labels
        };
        // All begin with their names: one that was taken in the last tick may be free now.
        let mut names: Vec<LabelSet> = self.rows.iter().map(|row| named(&row.key, Naming::Name)).collect();
        let mut order: Vec<usize> = (0..names.len()).collect();
        for naming in [Naming::Short, Naming::Full] {
            order.sort_by(|&a, &b| names[a].block().cmp(names[b].block()).then(ranks[b].cmp(&ranks[a])));
            let mut longer = Vec::new();
            for same in order.chunk_by(|&a, &b| names[a].block() == names[b].block()).filter(|same| same.len() > 1) {
                let one_keeps_it = ranks[same[0]] > ranks[same[1]];
                longer.extend_from_slice(&same[usize::from(one_keeps_it)..]);
            }
            for at in longer {
                names[at] = named(&self.rows[at].key, naming);
            }
        }
        order.sort_by(|&a, &b| names[a].block().cmp(names[b].block()).then(a.cmp(&b)));
        for same in order.chunk_by(|&a, &b| names[a].block() == names[b].block()) {
            self.rows[same[0]].place = Place::Own;
            for &at in &same[1..] {
                self.rows[at].place = Place::Nowhere;
            }
        }
        for (row, labels) in self.rows.iter_mut().zip(names) {
            if row.labels.block() != labels.block() {
                self.renderings += 1;
                row.rendering = self.renderings;
                row.labels = labels;
            }
        }
    }

    /// Gives no series to a row whose labels are those of an earlier one. It is called when rows have changed, so it may allocate.
    pub(super) fn silence_twins(&mut self) {
        self.rows.truncate(self.used);
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&a, &b| self.rows[a].labels.block().cmp(self.rows[b].labels.block()).then(a.cmp(&b)));
        let twins: Vec<bool> =
            std::iter::once(false).chain(order.windows(2).map(|two| self.rows[two[0]].labels.block() == self.rows[two[1]].labels.block())).collect();
        for (at, twin) in order.into_iter().zip(twins) {
            self.rows[at].place = if twin { Place::Nowhere } else { Place::Own };
        }
    }

    /// Rows that have no series.
    pub(super) fn cut(&self) -> usize {
        self.rows.iter().filter(|row| row.place == Place::Nowhere).count()
    }
}

impl Column {
    fn of<R>(metric: &'static Metric<R>) -> Column {
        let split = match metric.points {
            Points::Each(label, words) => Some((label.name, words.iter().map(|(word, _)| *word).collect())),
            Points::One(_) | Points::Live(_) => None,
        };
        Column::named(&metric.about, split)
    }

    fn named(about: &'static About, split: Option<(&'static str, Vec<&'static str>)>) -> Column {
        Column { about, name: about.prometheus(), split, samples: Vec::new(), room: 0, told: true }
    }

    #[inline]
    fn put(&mut self, place: Place, row: usize, word: u32, value: Option<Value>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        match place {
            Place::Own => self.samples.push(Sample { value, row: row as u32, word }),
            Place::With(row) => match self.samples.iter_mut().rev().find(|sample| sample.row == row && sample.word == word) {
                // A gauge does not add up; the first one stands.
                Some(there) if self.about.kind != Kind::Gauge => there.value = there.value.plus(value),
                Some(_) => {}
                None => self.samples.push(Sample { value, row, word }),
            },
            Place::Nowhere => {}
        }
    }
}

impl Part {
    fn push(&self, label: &'static str, labels: &mut LabelSet) {
        match self {
            Part::Device(device) => labels.push_with(label, |to| {
                // Writing to a String does not fail.
                let _ = write!(to, "{device}");
            }),
            Part::BlockDevice(device, name) => {
                Part::Device(*device).push(label, labels);
                labels.push("name", name);
            }
            Part::Number(number) => labels.push(label, itoa::Buffer::new().format(*number)),
            Part::Mount(called, point, source, kind) => {
                labels.push(label, point);
                labels.push(called, source);
                labels.push("fstype", kind);
            }
            Part::Name(name) => labels.push(label, name),
            Part::Word(word) => labels.push(label, word),
            // As the kernel calls its files: hugetlb.2MB.current.
            Part::PageSize(size) => labels.push_with(label, |to| {
                let (by, unit) = if size.0 >= 1 << 30 {
                    (30, "GB")
                } else if size.0 >= 1 << 20 {
                    (20, "MB")
                } else {
                    (10, "KB")
                };
                let _ = write!(to, "{}{unit}", size.0 >> by);
            }),
            Part::Disk(device, name, number) => {
                labels.push_with(label, |to| push_device(*device, name.as_deref(), to));
                if *number {
                    labels.push("major", itoa::Buffer::new().format(device.major));
                    labels.push("minor", itoa::Buffer::new().format(device.minor));
                }
            }
            Part::Source(source) => labels.push(label, source.as_str()),
            Part::Tasks(kind) => {
                labels.push(label, kind.service.as_deref().unwrap_or_default());
                labels.push("launch_type", kind.launch.map_or("", Launch::as_str));
                labels.push("capacity_provider", kind.provider.as_deref().unwrap_or_default());
                labels.push("status", &kind.status);
            }
            Part::Gap(source, what) => {
                labels.push(label, source.as_str());
                labels.push("what", what);
            }
        }
    }
}

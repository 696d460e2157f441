//! Packs a page: its figures and words become a frame that stands alone. Labels that the user wants on every series are left to each sink.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Labels, Named, Packed, PackedFamily, Point};
use crate::metrics::block::Column;
use crate::metrics::labels::LabelSet;
use crate::metrics::page::Page;

/// Marks a row that has no place in the frame yet.
const NOWHERE: u32 = u32::MAX;

/// Packs one page after the other. It keeps the words of the last one: while a row stays, its labels are one allocation in all frames.
#[derive(Default)]
pub struct Packer {
    /// Counts pages.
    turn: u64,
    /// By the labels as Prometheus prints them.
    rows: HashMap<String, Known<Labels>, foldhash::fast::FixedState>,
    /// By the name in Prometheus.
    families: HashMap<String, Known<Arc<Named>>, foldhash::fast::FixedState>,
    words: HashSet<Arc<str>, foldhash::fast::FixedState>,
    /// Of the rows of one block, which they are in the frame.
    places: Vec<u32>,
}

/// What was packed, when last, and where in that frame.
struct Known<T> {
    is: T,
    turn: u64,
    place: u32,
}

impl Packer {
    /// The page as a frame whose look was at this moment.
    pub fn pack(&mut self, page: &impl Page, at: Timestamp) -> Packed {
        self.turn += 1;
        let mut packed = Packed { at, rows: Vec::with_capacity(self.rows.len()), families: Vec::with_capacity(self.families.len()) };
        for block in page.blocks() {
            self.places.clear();
            self.places.resize(block.used(), NOWHERE);
            for column in block.columns().iter().filter(|column| !column.samples.is_empty()) {
                let family = self.family(column, &mut packed.families);
                let points = &mut packed.families[family].points;
                points.reserve(column.samples.len());
                for sample in &column.samples {
                    let place = &mut self.places[sample.row as usize];
                    if *place == NOWHERE {
                        *place = row(&mut self.rows, &mut self.words, self.turn, block.labels(sample), &mut packed.rows);
                    }
                    points.push(Point { row: *place, word: sample.word, value: sample.value });
                }
            }
        }
        for family in &mut packed.families {
            // Labels that an earlier block had too have their place among its rows.
            if !family.points.is_sorted_by_key(|point| (point.row, point.word)) {
                family.points.sort_by_key(|point| (point.row, point.word));
            }
        }
        if self.rows.len() > packed.rows.len() {
            self.rows.retain(|_, known| known.turn == self.turn);
            self.words.retain(|word| Arc::strong_count(word) > 1);
        }
        packed
    }

    /// The place of a column's family in the frame.
    fn family(&mut self, column: &Column, families: &mut Vec<PackedFamily>) -> usize {
        if !self.families.contains_key(&column.name) {
            let about = Arc::new(named(column));
            self.families.insert(column.name.clone(), Known { is: about, turn: 0, place: 0 });
        }
        let known = self.families.get_mut(&column.name).expect("it has just been put there");
        if known.turn != self.turn {
            (known.turn, known.place) = (self.turn, families.len() as u32);
            families.push(PackedFamily { about: Arc::clone(&known.is), points: Vec::new(), peaks: Vec::new() });
        }
        known.place as usize
    }
}

/// The place of a row's labels in the frame.
fn row(
    known: &mut HashMap<String, Known<Labels>, foldhash::fast::FixedState>,
    words: &mut HashSet<Arc<str>, foldhash::fast::FixedState>,
    turn: u64,
    labels: &LabelSet,
    rows: &mut Vec<Labels>,
) -> u32 {
    let place = rows.len() as u32;
    match known.get_mut(labels.block()) {
        Some(known) => {
            if known.turn != turn {
                (known.turn, known.place) = (turn, place);
                rows.push(known.is.clone());
            }
            known.place
        }
        None => {
            let mut word = |text: &str| match words.get(text) {
                Some(word) => Arc::clone(word),
                None => {
                    let word: Arc<str> = text.into();
                    words.insert(Arc::clone(&word));
                    word
                }
            };
            let mut pairs: Vec<_> = labels.pairs().map(|(name, value)| (word(name), word(value))).collect();
            pairs.sort_unstable();
            let is = Labels(pairs.into());
            rows.push(is.clone());
            known.insert(labels.block().to_owned(), Known { is, turn, place });
            place
        }
    }
}

fn named(column: &Column) -> Named {
    Named {
        otel: column.about.otel(),
        prometheus: column.name.clone(),
        unit: column.about.unit.word().unwrap_or_default().to_owned(),
        kind: column.about.kind,
        tier: column.about.tier,
        help: column.about.help.to_owned(),
        split: column.split.as_ref().map(|(label, words)| ((*label).to_owned(), words.iter().map(|word| (*word).to_owned()).collect())),
    }
}

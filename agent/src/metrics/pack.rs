//! Makes frames that stand alone. Label sets and names are shared between them while they stay the same.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::block::Column;
use super::labels::LabelSet;
use super::packed::{Labels, Named, Packed, PackedFamily, Point};
use super::page::Page;

/// Packs one page after the other.
#[derive(Default)]
pub struct Packer {
    named: HashMap<String, Arc<Named>, RandomState>,
    /// By their text, those of the last frame.
    labels: HashMap<String, Labels, RandomState>,
}

impl Packer {
    /// The page as it stands, of a look at this time.
    pub fn pack(&mut self, page: &impl Page, at: Timestamp) -> Packed {
        let mut rows = Vec::new();
        let mut numbers: HashMap<String, u32, RandomState> = HashMap::default();
        let mut families = Vec::new();
        let mut kept = HashMap::default();
        for block in page.blocks() {
            for column in block.columns().iter().filter(|column| !column.samples.is_empty()) {
                let mut points = Vec::with_capacity(column.samples.len());
                for sample in &column.samples {
                    let set = block.labels(sample);
                    let row = match numbers.get(set.block()) {
                        Some(row) => *row,
                        None => {
                            let (text, labels) = self.labels.remove_entry(set.block()).unwrap_or_else(|| (set.block().to_owned(), labels(set)));
                            rows.push(labels.clone());
                            kept.insert(text, labels);
                            let row = rows.len() as u32 - 1;
                            numbers.insert(set.block().to_owned(), row);
                            row
                        }
                    };
                    points.push(Point { row, word: sample.word, value: sample.value });
                }
                families.push(PackedFamily { about: self.named(column), points });
            }
        }
        self.labels = kept;
        Packed { at, rows, families }
    }

    fn named(&mut self, column: &Column) -> Arc<Named> {
        if let Some(named) = self.named.get(&column.name) {
            return Arc::clone(named);
        }
        let about = column.about;
        let named = Arc::new(Named {
            otel: about.otel(),
            prometheus: column.name.clone(),
            unit: about.unit.word().unwrap_or_default().to_owned(),
            kind: about.kind,
            tier: about.tier,
            help: about.help.to_owned(),
            split: column.split.as_ref().map(|(label, words)| ((*label).to_owned(), words.iter().map(|word| (*word).to_owned()).collect())),
        });
        self.named.insert(column.name.clone(), Arc::clone(&named));
        named
    }
}

fn labels(set: &LabelSet) -> Labels {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = set.pairs().map(|(name, value)| (name.into(), value.into())).collect();
    pairs.sort();
    Labels(pairs.into())
}

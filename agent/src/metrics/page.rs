//! What a scrape is made of: a report with the names of one path.

use super::block::Block;
use crate::report::Report;

/// A report with names. Rebuilt in place each time; while nobody comes or goes that allocates nothing.
pub trait Page {
    /// Becomes the page of this report.
    fn fill(&mut self, report: &Report);

    /// Forgets the values and keeps the rows with their labels. Whoever has written the page down holds less until the next report: a value is three words, and
    /// there are a hundred a container.
    fn empty(&mut self);

    /// The blocks, in the order they are told.
    fn blocks(&self) -> impl Iterator<Item = &Block>;

    /// How many rows of the last report have no series, because nothing tells them from another row.
    fn cut(&self) -> usize;

    /// The user's labels on every series, as Prometheus prints them.
    fn external(&self) -> &str;
}

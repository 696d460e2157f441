//! How long it takes to make one report of 1,000 containers out of what was read: merge, rates, cost. Run: cargo bench -p tare --bench report

#[path = "../tests/made/mod.rs"]
mod made;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use collector::merge::merge;
use collector::snapshot::{Instance, SourceName};
use collector::sources::{Look, Reading, Told};
use tare::cost::book::Book;
use tare::cost::{Reckoning, Settings, Weights};
use tare::report::Reporter;

fn thousand(criterion: &mut Criterion) {
    let (_folder, roots) = made::tree::host(1000).expect("a temporary folder can be written");
    let tree = Arc::new(made::tree::cgroups(&roots).look(&[]));
    let instance = Instance { kind: Some("m7i.large".into()), region: Some("us-east-1".into()), ..Instance::default() };
    let given = Reading { from: SourceName::Settings, at: tree.at, told: Some(Told::Instance(instance)), gaps: Vec::new() };
    let readings = [tree, Arc::new(given)];
    let mut before = merge(&readings, None);
    let mut reporter = Reporter::new(None, Duration::from_secs(300), Reckoning::new(Book::built_in(), Settings { weights: Weights::SCAD }, None));
    let mut group = criterion.benchmark_group("1000 containers");
    group.bench_function("merge", |bench| bench.iter(|| before = merge(black_box(&readings), Some(&before))));
    group.bench_function("report", |bench| bench.iter(|| reporter.report(black_box(&before), Vec::new())));
    group.finish();
}

criterion_group!(benches, thousand);
criterion_main!(benches);

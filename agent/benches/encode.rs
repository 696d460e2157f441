//! How long 1,000 containers take to be named and printed. Run: cargo bench -p tare --bench encode

#[path = "../tests/made/mod.rs"]
mod made;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use tare::metrics::frame::Frame;
use tare::sinks::prometheus::encode;

fn thousand(criterion: &mut Criterion) {
    let report = made::crowd(1000);
    let (mut frame, mut out) = (Frame::new(), Vec::new());
    frame.fill(&report);
    encode(&frame, &mut out);
    let series = frame.blocks().flat_map(|block| block.columns()).map(|column| column.samples.len()).sum::<usize>();
    let mut group = criterion.benchmark_group(format!("{series} series, {} bytes", out.len()));
    group.throughput(Throughput::Elements(series as u64));
    group.bench_function("fill", |bench| bench.iter(|| frame.fill(black_box(&report))));
    group.bench_function("encode", |bench| {
        bench.iter(|| {
            out.clear();
            encode(black_box(&frame), &mut out);
        });
    });
    group.finish();
}

criterion_group!(benches, thousand);
criterion_main!(benches);

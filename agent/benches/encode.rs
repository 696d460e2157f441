//! How long containers take to be named, printed and packed. Run: cargo bench -p tare --bench encode

#[path = "../tests/made/mod.rs"]
mod made;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;

use tare::metrics::cadvisor::page::Cgroups;
use tare::metrics::choice::Choice;
use tare::metrics::frame::Frame;
use tare::metrics::packed::pack::Packer;
use tare::metrics::page::Page;
use tare::metrics::schema::Tier;
use tare::report::Report;
use tare::sinks::gzip::{Blocks, Gzip};
use tare::sinks::prometheus::{Format, encode, encode_in_blocks};
use tare::sinks::remote_write::encode::{Encoder, SERIES, Version, Wanted};

/// What one scrape that finds a new report takes, and what the others after it take.
fn page(criterion: &mut Criterion, name: &str, report: &Report, mut page: impl Page) {
    let (mut out, mut gzip, mut block) = (Vec::new(), Gzip::new(), Vec::new());
    page.fill(report);
    encode(&page, &mut out);
    let mut pack = |page: &_, blocks: &mut Blocks| {
        let mut writer = gzip.begin(blocks);
        encode_in_blocks(page, Format::OpenMetrics, &mut block, |block| {
            writer.write(block);
            block.clear();
        });
        writer.write(&block);
        block.clear();
        writer.finish()
    };
    let packed = pack(&page, &mut Blocks::default());
    let series = page.blocks().flat_map(|block| block.columns()).map(|column| column.samples.len()).sum::<usize>();
    let sizes = format!("{series} series, {} bytes, {} packed", out.len(), packed.bytes.len());
    let mut group = criterion.benchmark_group(format!("{name}: {} containers, {sizes}", report.workloads.len()));
    group.throughput(Throughput::Elements(series as u64));
    group.bench_function("fill", |bench| bench.iter(|| page.fill(black_box(report))));
    group.bench_function("encode", |bench| {
        bench.iter(|| {
            out.clear();
            encode(black_box(&page), &mut out);
        });
    });
    group.bench_function("encode and pack", |bench| bench.iter(|| pack(black_box(&page), &mut Blocks::default())));
    let mut blocks = Blocks::default();
    group.bench_function("encode and pack what is as before", |bench| bench.iter(|| pack(black_box(&page), &mut blocks)));
    let mut gzip = Gzip::new();
    let own = &out[..out.len().min(4096)];
    group.bench_function("join 4 KiB of one's own", |bench| bench.iter(|| gzip.end(black_box(&packed), own)));
    group.finish();
}

fn pages(criterion: &mut Criterion) {
    for containers in [400, 1000] {
        let report = made::crowd(containers);
        page(criterion, "metrics", &report, Frame::new());
        page(criterion, "cadvisor", &report, Cgroups::of(&Default::default()));
    }
}

/// What it takes to push a report: to pack the frame, to write it in each version, and to compress that.
fn push(criterion: &mut Criterion) {
    let report = made::crowd(1000);
    let (mut page, mut packer) = (Frame::new(), Packer::default());
    page.fill(&report);
    let [first, second] = [1, 2].map(|at| Arc::new(packer.pack(&page, Timestamp::from_second(at).expect("it is near 1970"))));
    let mut encoder = Encoder::new(Wanted { tier: Tier::Detail, choice: Choice::default() }, vec![("team".into(), "x".into())]);
    encoder.turn(Arc::clone(&first));
    let mut group = criterion.benchmark_group(format!("remote write: 1000 containers, {} series", encoder.series()));
    group.throughput(Throughput::Elements(encoder.series() as u64));
    group.bench_function("pack", |bench| bench.iter(|| packer.pack(black_box(&page), first.at)));
    group.bench_function("turn to the next frame", |bench| {
        bench.iter(|| {
            encoder.turn(Arc::clone(&second));
            encoder.turn(Arc::clone(&first));
        });
    });
    for version in [Version::One, Version::Two] {
        let mut snappy = snap::raw::Encoder::new();
        let mut all = |compress: bool| {
            let (mut from, mut plain, mut packed) = (0, 0, 0);
            while from < encoder.series() {
                from = encoder.write(version, from, SERIES);
                plain += encoder.body().len();
                packed += if compress { snappy.compress_vec(encoder.body()).map_or(0, |packed| packed.len()) } else { 0 };
            }
            (plain, packed)
        };
        let (plain, packed) = all(true);
        group.bench_function(format!("{version:?}: write {plain} bytes"), |bench| bench.iter(|| all(false)));
        group.bench_function(format!("{version:?}: write and compress to {packed} bytes"), |bench| bench.iter(|| all(true)));
    }
    group.finish();
}

criterion_group!(benches, pages, push);
criterion_main!(benches);

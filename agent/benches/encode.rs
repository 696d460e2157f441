//! How long containers take to be named, printed and packed. Run: cargo bench -p tare --bench encode

#[path = "../tests/made/mod.rs"]
mod made;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use tare::metrics::cadvisor::page::Cgroups;
use tare::metrics::frame::Frame;
use tare::metrics::page::Page;
use tare::report::Report;
use tare::sinks::gzip::{Blocks, Gzip};
use tare::sinks::prometheus::{Format, encode, encode_in_blocks};

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

criterion_group!(benches, pages);
criterion_main!(benches);

//! Checks the price tables and packs them into the binary. A bad cell stops the build with its file, line and reason.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const TABLES: [&str; 4] = ["sources", "instance_types", "instance_prices", "fargate"];

fn main() -> ExitCode {
    match pack() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("cargo::error={why}");
            ExitCode::FAILURE
        }
    }
}

fn pack() -> Result<(), String> {
    let variable = |name| std::env::var(name).map_err(|why| format!("{name}: {why}"));
    let (from, to) = (variable("CARGO_MANIFEST_DIR")?, variable("OUT_DIR")?);
    let mut texts = Vec::new();
    for table in TABLES {
        println!("cargo::rerun-if-changed=prices/{table}.csv");
        let path = Path::new(&from).join("prices").join(table).with_extension("csv");
        texts.push(std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?);
    }
    let sources = check_sources(&texts[0])?;
    let types = check_types(&texts[1])?;
    check_instances(&texts[2], &types, &sources)?;
    check_fargate(&texts[3], &sources)?;
    for (table, text) in TABLES.iter().zip(&texts) {
        let path = Path::new(&to).join(table).with_extension("deflate");
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        let packed = packed.write_all(text.as_bytes()).and_then(|()| packed.finish());
        packed.and_then(|bytes| std::fs::write(&path, bytes)).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}

/// The keys of the sources. Every source has a date, a basis and a name.
pub(crate) fn check_sources(text: &str) -> Result<BTreeSet<&str>, String> {
    let mut keys = BTreeSet::new();
    for row in rows("sources.csv", text, "source,as_of,basis,name")? {
        let [key, date, basis, name] = row.cells[..] else { unreachable!("rows() counted the cells") };
        let date: Vec<&str> = date.split('-').collect();
        let number = |at: usize, digits: usize| date.get(at).filter(|part| part.len() == digits).and_then(|part| part.parse::<u32>().ok());
        let (year, month, day) = (number(0, 4), number(1, 2), number(2, 2));
        row.holds(is_source(key), || format!("{key:?} is no source key: a letter, then letters and digits"))?;
        row.holds(keys.insert(key), || format!("{key:?} stands twice"))?;
        row.holds(
            date.len() == 3
                && year.is_some_and(|year| year >= 2006)
                && month.is_some_and(|month| (1..=12).contains(&month))
                && day.is_some_and(|day| (1..=31).contains(&day)),
            || format!("{:?} is no date YYYY-MM-DD", date.join("-")),
        )?;
        row.holds(matches!(basis, "listed" | "derived"), || format!("{basis:?} is no basis: listed or derived"))?;
        row.holds(!name.is_empty(), || "a source needs a name".into())?;
    }
    Ok(keys)
}

/// The instance types, with their line.
pub(crate) fn check_types(text: &str) -> Result<BTreeMap<&str, usize>, String> {
    const HEAD: &str = "instance_type,vcpu,memory_gib,gpu,accelerator,arch,current_gen,burstable,bare_metal,max_enis,ipv4_per_eni";
    let mut types = BTreeMap::new();
    let mut last = "";
    for row in rows("instance_types.csv", text, HEAD)? {
        let [kind, vcpu, memory, gpus, _, arch, ..] = row.cells[..] else { unreachable!("rows() counted the cells") };
        row.holds(kind > last, || format!("{kind:?} does not come after {last:?}: rows are sorted, for the search"))?;
        row.holds(vcpu.parse::<u32>().is_ok_and(|vcpu| (1..=10_000).contains(&vcpu)), || format!("{vcpu:?} is no number of vCPU"))?;
        row.holds(nano(memory).is_some_and(|memory| memory < 100_000 * NANO), || format!("{memory:?} is no memory in GiB"))?;
        row.holds(gpus.parse::<u32>().is_ok(), || format!("{gpus:?} is no number of GPUs"))?;
        row.holds(matches!(arch, "x86_64" | "arm64"), || format!("{arch:?} is no architecture: x86_64 or arm64"))?;
        types.insert(kind, row.line);
        last = kind;
    }
    Ok(types)
}

/// Instance type x region: each cell is empty or a price and its source, and every row has its type.
pub(crate) fn check_instances(text: &str, types: &BTreeMap<&str, usize>, sources: &BTreeSet<&str>) -> Result<(), String> {
    const FILE: &str = "instance_prices.csv";
    let head = text.lines().next().unwrap_or_default();
    let regions: Vec<&str> = head.split(',').skip(1).collect();
    if !head.starts_with("instance_type,") || regions.iter().any(|region| !is_region(region)) || regions.iter().collect::<BTreeSet<_>>().len() != regions.len()
    {
        return Err(format!("prices/{FILE}:1: the head is instance_type, then each region once"));
    }
    let mut last = "";
    for row in rows(FILE, text, head)? {
        let kind = row.cells[0];
        row.holds(kind > last, || format!("{kind:?} does not come after {last:?}: rows are sorted, for the search"))?;
        row.holds(types.contains_key(kind), || format!("{kind:?} is not in instance_types.csv"))?;
        for (region, cell) in regions.iter().zip(&row.cells[1..]).filter(|(_, cell)| !cell.is_empty()) {
            check_price(&row, region, cell, sources)?;
        }
        last = kind;
    }
    Ok(())
}

/// Region and platform, then four prices; only disk and licence may be missing.
pub(crate) fn check_fargate(text: &str, sources: &BTreeSet<&str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for row in rows("fargate.csv", text, "region,platform,vcpu_hour,gib_hour,disk_gib_hour,licence_vcpu_hour")? {
        let [region, platform, vcpu, gib, disk, licence] = row.cells[..] else { unreachable!("rows() counted the cells") };
        row.holds(is_region(region), || format!("{region:?} is no region"))?;
        row.holds(matches!(platform, "x86_64" | "arm64" | "windows"), || format!("{platform:?} is no platform: x86_64, arm64 or windows"))?;
        row.holds(seen.insert((region, platform)), || format!("{region} {platform} stands twice"))?;
        row.holds((platform == "windows") != licence.is_empty(), || "Windows has a licence price, the others have none".into())?;
        for cell in [vcpu, gib].into_iter().chain([disk, licence].into_iter().filter(|cell| !cell.is_empty())) {
            check_price(&row, region, cell, sources)?;
        }
    }
    Ok(())
}

/// A price between nothing and 10,000 dollars an hour with at most nine decimals, then the key of a known source: `0.1008K`.
fn check_price(row: &Row<'_>, region: &str, cell: &str, sources: &BTreeSet<&str>) -> Result<(), String> {
    let (price, source) = cell.split_at(cell.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(cell.len()));
    row.holds(nano(price).is_some_and(|price| price < 10_000 * NANO), || format!("{cell:?} for {region} is no price and source like 0.1008K"))?;
    row.holds(sources.contains(source), || format!("{cell:?} for {region}: source {source:?} is not in sources.csv"))
}

struct Row<'a> {
    file: &'static str,
    line: usize,
    cells: Vec<&'a str>,
}

impl Row<'_> {
    fn holds(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
        if holds { Ok(()) } else { Err(format!("prices/{}:{}: {}", self.file, self.line, reason())) }
    }
}

/// Plain cells between commas, no quotes; as many in every row as in the head.
fn rows<'a>(file: &'static str, text: &'a str, head: &str) -> Result<Vec<Row<'a>>, String> {
    let mut lines = text.lines().enumerate();
    let found = lines.next().map_or("", |(_, line)| line);
    if found != head {
        return Err(format!("prices/{file}:1: the head is {found:?}, not {head:?}"));
    }
    let columns = head.split(',').count();
    lines
        .map(|(at, line)| {
            let row = Row { file, line: at + 1, cells: line.split(',').collect() };
            row.holds(row.cells.len() == columns, || format!("{} cells, the head has {columns}", row.cells.len()))?;
            row.holds(!line.contains('"') && row.cells.iter().all(|cell| cell.trim() == *cell), || "no quotes, no spaces around a cell".into())?;
            Ok(row)
        })
        .collect()
}

const NANO: u64 = 1_000_000_000;

/// A plain positive decimal in billionths.
fn nano(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() > 9 || part.len() > 9 {
        return None;
    }
    let amount = whole.parse::<u64>().ok()? * NANO + format!("{part:0<9}").parse::<u64>().ok()?;
    (amount > 0).then_some(amount)
}

fn is_source(key: &str) -> bool {
    key.starts_with(|letter: char| letter.is_ascii_alphabetic()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// `us-east-1`, `us-gov-west-1`.
fn is_region(name: &str) -> bool {
    name.len() <= 20 && name.split('-').count() >= 3 && name.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

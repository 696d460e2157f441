//! The price book in the binary: list prices with their date and source, unpacked on first use and searched as text.
//!
//! The tables are `agent/prices/*.csv`. They stay text (about 250 KiB, and only once a price is asked for): a map of 20,000 prices would be several times as large.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use jiff::civil::Date;
use thiserror::Error;

use collector::units::Bytes;

use super::fargate::{Platform, Prices};
use super::money::UsdPerHour;
use super::{Origin, Per, Price, PriceBasis};

/// List prices of EC2 (Linux, on demand, shared tenancy) and Fargate.
pub struct Book {
    sources: Table,
    instance_types: Table,
    instance_prices: Table,
    fargate: Table,
}

/// An instance type in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// vCPU it is sold with.
    pub vcpu: u32,
    /// Memory it is sold with; the kernel shows a little less.
    pub memory: Bytes,
    /// What runs on it: Linux on `x86_64` or `arm64`.
    pub platform: Platform,
    /// GPUs and other accelerators.
    pub gpus: u32,
    /// What it costs.
    pub price: Arc<Price>,
}

/// Why the book has no price.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoPrice {
    /// No such instance type is known in any region.
    #[error("no price for {kind}: the price book does not know this instance type")]
    UnknownType {
        /// As asked.
        kind: String,
    },
    /// The region has no prices at all.
    #[error("no price for {what} in {region}: the price book does not know this region")]
    UnknownRegion {
        /// As asked.
        what: String,
        /// As asked.
        region: String,
    },
    /// Type and region are known, the pair is not.
    #[error("no price for {what} in {region}: not sold there, or not in the price book of that region")]
    NotThere {
        /// As asked.
        what: String,
        /// As asked.
        region: String,
    },
}

impl Book {
    /// The book that came with the binary.
    pub fn built_in() -> &'static Book {
        static BOOK: Book = Book {
            sources: Table::new(include_bytes!(concat!(env!("OUT_DIR"), "/sources.deflate"))),
            instance_types: Table::new(include_bytes!(concat!(env!("OUT_DIR"), "/instance_types.deflate"))),
            instance_prices: Table::new(include_bytes!(concat!(env!("OUT_DIR"), "/instance_prices.deflate"))),
            fargate: Table::new(include_bytes!(concat!(env!("OUT_DIR"), "/fargate.deflate"))),
        };
        &BOOK
    }

    /// What `kind` (`m7i.large`) is and costs in `region` (`us-east-1`).
    pub fn instance(&self, kind: &str, region: &str) -> Result<Instance, NoPrice> {
        let unknown = || NoPrice::UnknownType { kind: shown(kind) };
        let specs = self.instance_types.row(kind).ok_or_else(unknown)?;
        let prices = self.instance_prices.row(kind).ok_or_else(unknown)?;
        let column = self.instance_prices.head().split(',').skip(1).position(|name| name == region);
        let column = column.ok_or_else(|| NoPrice::UnknownRegion { what: kind.into(), region: shown(region) })?;
        let price = prices.split(',').nth(column + 1).and_then(|cell| self.price(cell, kind.into(), &region.into(), Per::InstanceHour));
        let price = price.ok_or_else(|| NoPrice::NotThere { what: kind.into(), region: region.into() })?;
        let mut cells = specs.split(',').skip(1);
        let mut cell = || cells.next().unwrap_or_default();
        let (vcpu, memory, gpus, _accelerator, arch) = (cell(), cell(), cell(), cell(), cell());
        Ok(Instance {
            vcpu: vcpu.parse().map_err(|_| unknown())?,
            memory: Bytes((memory.parse::<f64>().map_err(|_| unknown())? * Bytes::GIB.0 as f64).round() as u64),
            platform: Platform::named(arch).ok_or_else(unknown)?,
            gpus: gpus.parse().map_err(|_| unknown())?,
            price,
        })
    }

    /// What Fargate costs in `region`.
    pub fn fargate(&self, region: &str, platform: Platform) -> Result<Prices, NoPrice> {
        let what = || format!("Fargate {}", platform.as_str());
        let mut there = self.fargate.rows().filter_map(|row| row.strip_prefix(region)?.strip_prefix(',')).peekable();
        if there.peek().is_none() {
            return Err(NoPrice::UnknownRegion { what: what(), region: shown(region) });
        }
        let row = there.find_map(|row| row.strip_prefix(platform.as_str())?.strip_prefix(','));
        let name: Arc<str> = region.into();
        let mut cells = row.unwrap_or_default().split(',');
        let mut next = |sold: &str, per| self.price(cells.next()?, format!("fargate {} {sold}", platform.as_str()).into(), &name, per);
        let (core, gib) = (next("vCPU", Per::CoreHour), next("GB", Per::GibHour));
        let (disk, licence) = (next("disk GB", Per::DiskGibHour), next("licence", Per::CoreHour));
        let (core, gib) = core.zip(gib).ok_or_else(|| NoPrice::NotThere { what: what(), region: region.into() })?;
        Ok(Prices { core, gib, disk, licence })
    }

    /// A cell of a table: the price, then the key of its source (`0.1008K`).
    fn price(&self, cell: &str, sku: Arc<str>, region: &Arc<str>, per: Per) -> Option<Arc<Price>> {
        let (usd, key) = cell.split_at(cell.find(|letter: char| letter.is_ascii_alphabetic())?);
        let usd = UsdPerHour((usd.parse::<f64>().ok()? * 1e9).round() as i64);
        let mut source = self.sources.rows().find_map(|row| row.strip_prefix(key)?.strip_prefix(','))?.splitn(3, ',');
        let since: Date = source.next()?.parse().ok()?;
        let basis = if source.next()? == "listed" { PriceBasis::Listed } else { PriceBasis::Derived };
        Some(Arc::new(Price { sku, region: region.clone(), usd, per, since, from: Origin::BuiltIn, source: source.next()?.into(), basis }))
    }
}

/// What was asked for, cut to what fits on a line.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// One table: deflated in the binary, text once it is asked for.
struct Table {
    packed: &'static [u8],
    text: OnceLock<Box<str>>,
}

impl Table {
    const fn new(packed: &'static [u8]) -> Table {
        Table { packed, text: OnceLock::new() }
    }

    fn text(&self) -> &str {
        self.text.get_or_init(|| {
            let mut text = String::new();
            flate2::read::DeflateDecoder::new(self.packed).read_to_string(&mut text).expect("build.rs packed UTF-8 text");
            text.into_boxed_str()
        })
    }

    fn head(&self) -> &str {
        self.text().lines().next().unwrap_or_default()
    }

    fn rows(&self) -> impl Iterator<Item = &str> {
        self.text().lines().skip(1)
    }

    /// The row whose first cell is `key`.
    fn row(&self, key: &str) -> Option<&str> {
        self.rows().find(|row| row.strip_prefix(key).is_some_and(|rest| rest.starts_with(',')))
    }
}

#[cfg(test)]
#[path = "../../build.rs"]
#[allow(dead_code)]
mod build;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_its_price_date_and_source() {
        let m7i = Book::built_in().instance("m7i.large", "us-east-1").unwrap();
        assert_eq!((m7i.vcpu, m7i.memory, m7i.platform, m7i.gpus), (2, Bytes(8 << 30), Platform::X86, 0));
        assert_eq!((m7i.price.usd, m7i.price.since), (UsdPerHour(100_800_000), "2026-07-20".parse().unwrap()));
        assert_eq!((&*m7i.price.region, m7i.price.per, m7i.price.basis), ("us-east-1", Per::InstanceHour, PriceBasis::Listed));
        assert!(m7i.price.source.contains("karpenter"));
        let tokyo = Book::built_in().instance("g6.xlarge", "ap-northeast-1").unwrap();
        assert_eq!((tokyo.price.usd.to_string(), tokyo.gpus), ("1.16720".into(), 1));
    }

    #[test]
    fn a_missing_instance_says_what_is_missing() {
        for (kind, region, why) in [
            ("m9x.large", "us-east-1", "no price for m9x.large: the price book does not know this instance type"),
            ("m7i", "us-east-1", "no price for m7i: the price book does not know this instance type"),
            ("m7i.large", "cn-north-1", "no price for m7i.large in cn-north-1: the price book does not know this region"),
            ("a1.large", "af-south-1", "no price for a1.large in af-south-1: not sold there, or not in the price book of that region"),
            ("", "", "no price for : the price book does not know this instance type"),
            ("instance_type", "us-east-1", "no price for instance_type: the price book does not know this instance type"),
        ] {
            assert_eq!(Book::built_in().instance(kind, region).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn fargate_prices_say_what_is_derived() {
        let book = Book::built_in();
        let tokyo = book.fargate("ap-northeast-1", Platform::Arm).unwrap();
        assert_eq!((tokyo.core.basis, tokyo.gib.basis), (PriceBasis::Derived, PriceBasis::Listed));
        assert_eq!(tokyo.disk.as_ref().map(|disk| disk.usd), Some(UsdPerHour(133_000)));
        let windows = book.fargate("us-east-1", Platform::Windows).unwrap();
        assert_eq!((windows.core.usd, windows.licence.map(|licence| licence.usd)), (UsdPerHour(46_552_000), Some(UsdPerHour(46_000_000))));
        for (region, platform, why) in [
            ("me-central-1", Platform::X86, "no price for Fargate x86_64 in me-central-1: the price book does not know this region"),
            ("us-gov-west-1", Platform::Arm, "no price for Fargate arm64 in us-gov-west-1: not sold there, or not in the price book of that region"),
            ("", Platform::X86, "no price for Fargate x86_64 in : the price book does not know this region"),
        ] {
            assert_eq!(book.fargate(region, platform).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn every_cell_of_the_book_can_be_read() {
        let book = Book::built_in();
        let regions: Vec<&str> = book.instance_prices.head().split(',').skip(1).collect();
        let mut prices = 0;
        for row in book.instance_prices.rows() {
            let cells: Vec<&str> = row.split(',').collect();
            for (region, cell) in regions.iter().zip(&cells[1..]).filter(|(_, cell)| !cell.is_empty()) {
                assert!(book.price(cell, cells[0].into(), &(*region).into(), Per::InstanceHour).is_some(), "{cell} of {} in {region}", cells[0]);
                prices += 1;
            }
        }
        assert_eq!(prices, 19_703);
        for row in book.fargate.rows() {
            let (region, rest) = row.split_once(',').unwrap();
            assert!(book.fargate(region, Platform::named(rest.split(',').next().unwrap()).unwrap()).is_ok(), "{row}");
        }
        let tables = [&book.sources, &book.instance_types, &book.instance_prices, &book.fargate];
        let packed: usize = tables.iter().map(|table| table.packed.len()).sum();
        assert!(packed <= 250_000, "{packed} bytes of prices in the binary");
        println!("{packed} bytes of prices in the binary, {} unpacked", tables.iter().map(|table| table.text().len()).sum::<usize>());
    }

    #[test]
    fn a_bad_cell_fails_the_build_with_its_place() {
        let sources = build::check_sources("source,as_of,basis,name\nA,2026-02-07,listed,a list\n").unwrap();
        let specs =
            "instance_type,vcpu,memory_gib,gpu,accelerator,arch,current_gen,burstable,bare_metal,max_enis,ipv4_per_eni\nm7i.large,2,8,0,,x86_64,1,0,0,3,10\n";
        let types = build::check_types(specs).unwrap();
        for (row, why) in [
            ("m7i.large,0.1008A", ""),
            ("m7i.large,", ""),
            ("m7i.large,0.1008", "2: \"0.1008\" for us-east-1: source \"\" is not in sources.csv"),
            ("m7i.large,0.1008Q", "2: \"0.1008Q\" for us-east-1: source \"Q\" is not in sources.csv"),
            ("m7i.large,-0.1A", "2: \"-0.1A\" for us-east-1 is no price and source like 0.1008K"),
            ("m7i.large,0A", "2: \"0A\" for us-east-1 is no price and source like 0.1008K"),
            ("m7i.large,1e9A", "2: \"1e9A\" for us-east-1: source \"e9A\" is not in sources.csv"),
            ("m7i.large,0.1234567891A", "2: \"0.1234567891A\" for us-east-1 is no price and source like 0.1008K"),
            ("m7i.large,0.1008A,", "2: 3 cells, the head has 2"),
            ("m8i.large,0.1008A", "2: \"m8i.large\" is not in instance_types.csv"),
            ("m7i.large,0.1A\nm7i.large,0.1A", "3: \"m7i.large\" does not come after \"m7i.large\": rows are sorted, for the search"),
        ] {
            let table = format!("instance_type,us-east-1\n{row}\n");
            let found = build::check_instances(&table, &types, &sources).err().unwrap_or_default();
            assert_eq!(found, if why.is_empty() { String::new() } else { format!("prices/instance_prices.csv:{why}") });
        }
        for (table, why) in [
            ("us-east-1,x86_64,0.04A,0.004A,,", ""),
            ("us-east-1,x86_64,,0.004A,,", "\"\" for us-east-1 is no price and source like 0.1008K"),
            ("us-east-1,mips,0.04A,0.004A,,", "\"mips\" is no platform: x86_64, arm64 or windows"),
            ("us-east-1,windows,0.04A,0.004A,,", "Windows has a licence price, the others have none"),
        ] {
            let table = format!("region,platform,vcpu_hour,gib_hour,disk_gib_hour,licence_vcpu_hour\n{table}\n");
            let found = build::check_fargate(&table, &sources).err().unwrap_or_default();
            assert_eq!(found, if why.is_empty() { String::new() } else { format!("prices/fargate.csv:2: {why}") });
        }
        for (row, why) in [
            ("A,2026-13-07,listed,x", "\"2026-13-07\" is no date YYYY-MM-DD"),
            ("A,undated,listed,x", "\"undated\" is no date YYYY-MM-DD"),
            ("A,2026-02-07,guessed,x", "\"guessed\" is no basis: listed or derived"),
            ("1,2026-02-07,listed,x", "\"1\" is no source key: a letter, then letters and digits"),
        ] {
            let found = build::check_sources(&format!("source,as_of,basis,name\n{row}\n")).map(|_| ()).unwrap_err();
            assert_eq!(found, format!("prices/sources.csv:2: {why}"));
        }
    }

    #[test]
    fn an_old_price_is_known_by_its_age() {
        let price = Book::built_in().instance("m7i.large", "us-east-1").unwrap().price;
        assert!(!price.is_old("2027-01-16".parse().unwrap()));
        assert!(price.is_old("2027-01-17".parse().unwrap()));
    }
}

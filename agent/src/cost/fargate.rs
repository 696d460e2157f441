//! What AWS Fargate sells: its sizes, what a size costs, and for how long a task is billed.
//!
//! Sizes: ECS API reference, RegisterTaskDefinition `cpu`, and the ECS guide, 2026-11. Clock and minimum: AWS Fargate pricing page, 2026-09.

use std::sync::Arc;
use std::time::Duration;

use collector::units::{Bytes, Cores};

use super::money::{Usd, UsdPerHour};
use super::{Part, Price, Size, What};

/// An operating system and architecture Fargate sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Linux on x86_64.
    X86,
    /// Linux on Graviton.
    Arm,
    /// Windows Server on x86_64.
    Windows,
}

impl Platform {
    /// The word of the price tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Platform::X86 => "x86_64",
            Platform::Arm => "arm64",
            Platform::Windows => "windows",
        }
    }

    /// By the kernel's word or AWS's: `x86_64`, `aarch64`, `arm64`, `windows`.
    pub fn named(word: &str) -> Option<Platform> {
        match word {
            "x86_64" | "amd64" => Some(Platform::X86),
            "aarch64" | "arm64" => Some(Platform::Arm),
            "windows" => Some(Platform::Windows),
            _ => None,
        }
    }

    /// The shortest time that is billed.
    pub fn minimum(self) -> Duration {
        Duration::from_secs(if self == Platform::Windows { 300 } else { 60 })
    }
}

/// Prices of one region and platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices {
    /// One vCPU for an hour.
    pub core: Arc<Price>,
    /// One GiB of memory for an hour.
    pub gib: Arc<Price>,
    /// One GiB of disk beyond the included 20 for an hour, where it is known.
    pub disk: Option<Arc<Price>>,
    /// Windows, for each vCPU and hour.
    pub licence: Option<Arc<Price>>,
}

/// vCPU in thousandths, memory in MiB: from, to, step; and whether Windows may have it.
///
/// 32 vCPU is in the guide of 2026 without its memory step, so it is never offered.
const ROWS: [Row; 8] = [
    // 0.25 vCPU has 0.5, 1 and 2 GB, which is no even step: two rows.
    Row { milli: 250, from: 512, to: 1024, step: 512, windows: false },
    Row { milli: 250, from: 2048, to: 2048, step: 1024, windows: false },
    Row { milli: 500, from: 1024, to: 4096, step: 1024, windows: false },
    Row { milli: 1000, from: 2048, to: 8192, step: 1024, windows: true },
    Row { milli: 2000, from: 4096, to: 16_384, step: 1024, windows: true },
    Row { milli: 4000, from: 8192, to: 30_720, step: 1024, windows: true },
    Row { milli: 8000, from: 16_384, to: 61_440, step: 4096, windows: false },
    Row { milli: 16_000, from: 32_768, to: 122_880, step: 8192, windows: false },
];

struct Row {
    milli: u64,
    from: u64,
    to: u64,
    step: u64,
    windows: bool,
}

/// GiB of disk that every task has for nothing.
const DISK_INCLUDED: u64 = 20;

/// The cheapest size that holds so much; `None` where even the largest does not.
///
/// Every row is searched, as the sizes do not grow evenly: 0.25 vCPU and 2.05 GiB fit 0.5 vCPU and 3 GB, not 1 vCPU.
pub fn cheapest(cores: Cores, memory: Bytes, platform: Platform, prices: &Prices) -> Option<Size> {
    // Millionths of a core, so that 0.6 + 0.3 + 0.1 asked by three containers is one core.
    let micro = (cores.0 * 1e6).round() as u64;
    let mib = memory.0.div_ceil(1 << 20);
    let fits = ROWS.iter().filter(|row| (row.windows || platform != Platform::Windows) && row.milli * 1000 >= micro && row.to >= mib);
    let sizes = fits.map(|row| Size {
        cores: Cores(row.milli as f64 / 1000.0),
        memory: Bytes((row.from + mib.saturating_sub(row.from).div_ceil(row.step) * row.step) << 20),
    });
    sizes.min_by_key(|size| rate(&parts(*size, prices)))
}

/// What a size costs, without disk beyond the included: they add up to its rate.
pub fn parts(size: Size, prices: &Prices) -> Vec<Part> {
    let licence = prices.licence.as_ref().map(|price| part(What::Licence, size.cores.0, price));
    [part(What::Cpu, size.cores.0, &prices.core), part(What::Memory, size.memory.gib(), &prices.gib)].into_iter().chain(licence).collect()
}

/// What `disk` GiB cost, of which 20 are included. Nothing to pay is `Ok(None)`; no price known is an error that says so.
pub fn disk(disk: u64, prices: &Prices) -> Result<Option<Part>, &'static str> {
    let billed = disk.saturating_sub(DISK_INCLUDED);
    match &prices.disk {
        _ if billed == 0 => Ok(None),
        Some(price) => Ok(Some(part(What::Disk, billed as f64, price))),
        None => Err("no price for Fargate disk in this region"),
    }
}

/// The sum of the parts.
pub fn rate(parts: &[Part]) -> UsdPerHour {
    parts.iter().map(|part| part.rate).sum()
}

/// How long a task is billed that ended `ran` after its image pull began: whole seconds, and never less than the minimum.
pub fn billed(ran: Duration, platform: Platform) -> Duration {
    whole_seconds(ran).max(platform.minimum())
}

/// What a task costs in all.
pub fn cost(parts: &[Part], ran: Duration, platform: Platform) -> Usd {
    rate(parts).over(billed(ran, platform))
}

/// Rounded up to the next second.
pub(super) fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)))
}

fn part(what: What, amount: f64, price: &Arc<Price>) -> Part {
    // Sizes are whole quarters of a vCPU and halves of a GiB: thousandths hold them exactly.
    Part { what, asked: None, used: None, amount, price: price.clone(), rate: price.usd.times((amount * 1000.0).round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::book::Book;
    use crate::cost::{Origin, Per, PriceBasis};

    fn prices(region: &str, platform: Platform) -> Prices {
        Book::built_in().fargate(region, platform).unwrap()
    }

    fn size(cores: f64, gib: f64) -> Size {
        Size { cores: Cores(cores), memory: Bytes((gib * 1024.0) as u64 * (1 << 20)) }
    }

    fn priced(usd: &str) -> Arc<Price> {
        let usd = UsdPerHour((usd.parse::<f64>().unwrap() * 1e9).round() as i64);
        let (region, since) = ("us-east-1".into(), "2026-09-28".parse().unwrap());
        Arc::new(Price { sku: "test".into(), region, usd, per: Per::CoreHour, since, from: Origin::Settings, source: "test".into(), basis: PriceBasis::Listed })
    }

    #[test]
    fn a_size_costs_what_the_bill_says() {
        // AWS Price List of 2026-09; the Tokyo pod is opencost#3478.
        for (region, platform, cores, gib, usd) in [
            ("us-east-1", Platform::X86, 0.25, 0.5, "0.0123425"),
            ("us-east-1", Platform::X86, 4.0, 8.0, "0.1974800"),
            ("us-east-1", Platform::Arm, 4.0, 8.0, "0.1580000"),
            ("us-east-1", Platform::Windows, 4.0, 8.0, "0.4111020"),
            ("ap-northeast-1", Platform::X86, 0.25, 1.0, "0.0181700"),
        ] {
            let parts = parts(size(cores, gib), &prices(region, platform));
            assert_eq!(format!("{:.7}", rate(&parts)), usd, "{cores} vCPU {gib} GB {platform:?} in {region}");
        }
    }

    #[test]
    fn months_and_thousands_of_hours_add_up() {
        let (x86, arm) = (prices("us-east-1", Platform::X86), prices("us-east-1", Platform::Arm));
        let spot = Prices { core: priced("0.01288871"), gib: priced("0.00141527"), disk: None, licence: None };
        let month = |parts: &[Part]| rate(parts).over(UsdPerHour::MONTH);
        let hours = |hours: u64, parts: &[Part]| rate(parts).over(Duration::from_secs(hours * 3600));
        assert_eq!(format!("{:.6}", month(&parts(size(0.25, 0.5), &x86))), "9.010025");
        assert_eq!(format!("{:.4}", month(&parts(size(0.5, 1.0), &x86)) + month(&parts(size(0.5, 1.0), &x86))), "36.0401");
        assert_eq!(format!("{:.3}", hours(8800, &parts(size(4.0, 8.0), &x86))), "1737.824");
        assert_eq!(format!("{:.2}", hours(8800, &parts(size(4.0, 8.0), &arm))), "1390.40");
        assert_eq!(format!("{:.4}", hours(8800, &parts(size(4.0, 8.0), &spot))), "553.3176");
        assert_eq!(format!("{:.4}", hours(8800, &parts(size(4.0, 8.0), &prices("us-east-1", Platform::Windows)))), "3617.6976");
        let lines: Vec<String> = parts(size(1.0, 2.0), &x86).iter().map(|part| format!("{:.4}", part.rate.over(UsdPerHour::MONTH))).collect();
        assert_eq!(lines, ["29.5504", "6.4897"]);
    }

    #[test]
    fn a_short_task_is_billed_its_minimum_and_whole_seconds_from_the_pull() {
        // The pull and the run are one span.
        for (platform, cores, gib, ran, seconds, usd) in [
            (Platform::X86, 1.0, 2.0, 20.0, 60, "0.00082283"),
            (Platform::Windows, 1.0, 2.0, 90.0, 300, "0.00856463"),
            (Platform::X86, 0.5, 1.0, 35.0 + 600.0, 635, "0.00435416"),
            (Platform::X86, 0.5, 1.0, 634.001, 635, "0.00435416"),
        ] {
            let ran = Duration::from_secs_f64(ran);
            assert_eq!(billed(ran, platform), Duration::from_secs(seconds));
            assert_eq!(format!("{:.8}", cost(&parts(size(cores, gib), &prices("us-east-1", platform)), ran, platform)), usd);
        }
        assert_eq!(billed(Duration::MAX, Platform::X86).as_secs(), u64::MAX);
    }

    #[test]
    fn disk_costs_beyond_the_included_20_gib() {
        let prices = prices("us-east-1", Platform::X86);
        let extra = disk(50, &prices).unwrap().unwrap();
        let day = Duration::from_secs(86_400);
        assert_eq!(format!("{:.5}", extra.rate.over(day)), "0.07992");
        let all: Vec<Part> = parts(size(1.0, 2.0), &prices).into_iter().chain([extra]).collect();
        assert_eq!(format!("{:.4}", cost(&all, day, Platform::X86)), "1.2648");
        assert_eq!(disk(20, &prices), Ok(None));
        assert!(disk(21, &Prices { disk: None, ..prices }).is_err());
    }

    #[test]
    fn the_cheapest_size_that_holds_it() {
        let gib = |gib: f64| Bytes((gib * 1024.0 * 1024.0 * 1024.0) as u64);
        for (cores, memory, wanted) in [
            (0.0, 0.0, Some((0.25, 0.5))),
            (0.25, 1.5, Some((0.25, 2.0))),
            (0.25, 2.05, Some((0.5, 3.0))),
            (0.25, 0.5000001, Some((0.25, 1.0))),
            (0.250001, 0.5, Some((0.5, 1.0))),
            (0.6 + 0.3 + 0.1, 2.0, Some((1.0, 2.0))),
            (1.1 + 2.2 + 0.7, 8.0, Some((4.0, 8.0))),
            (4.0, 30.75, Some((8.0, 32.0))),
            (8.0, 60.0, Some((8.0, 60.0))),
            (8.0, 61.0, Some((16.0, 64.0))),
            (16.0, 120.0, Some((16.0, 120.0))),
            (16.0, 120.5, None),
            (16.5, 1.0, None),
            (f64::INFINITY, 1.0, None),
        ] {
            let found = cheapest(Cores(cores), gib(memory), Platform::X86, &prices("us-east-1", Platform::X86));
            assert_eq!(found, wanted.map(|(cores, gib)| size(cores, gib)), "{cores} vCPU {memory} GiB");
        }
        let windows = prices("us-east-1", Platform::Windows);
        assert_eq!(cheapest(Cores(0.25), gib(0.5), Platform::Windows, &windows), Some(size(1.0, 2.0)));
        assert_eq!(cheapest(Cores(8.0), gib(16.0), Platform::Windows, &windows), None);
        assert_eq!(cheapest(Cores(0.1), Bytes(u64::MAX), Platform::X86, &prices("us-east-1", Platform::X86)), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_smaller_in_the_table_is_cheaper(cores in 0.0..17.0_f64, mib in 0..130_000_u64) {
            let (x86, memory) = (prices("us-east-1", Platform::X86), Bytes(mib << 20));
            let found = cheapest(Cores(cores), memory, Platform::X86, &x86);
            for row in &ROWS {
                for mib in (row.from..=row.to).step_by(row.step as usize) {
                    let other = Size { cores: Cores(row.milli as f64 / 1000.0), memory: Bytes(mib << 20) };
                    if other.cores.0 >= cores && other.memory >= memory {
                        let found = found.expect("a row of the table holds it");
                        proptest::prop_assert!(found.cores.0 > cores - 1e-6 && found.memory >= memory);
                        proptest::prop_assert!(rate(&parts(found, &x86)) <= rate(&parts(other, &x86)));
                    }
                }
            }
        }
    }
}

//! Prints one snapshot of this machine as JSON.

use std::time::{Duration, Instant};

use collector::Collector;
use collector::roots::Roots;
use collector::sources::{Look, host, net};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let roots = Roots::live();
    let looks: Vec<Box<dyn Look>> = vec![
        Box::new(net::NetSpaces::new(roots.clone(), net::Settings { max_spaces: 1024, scan: true })),
        Box::new(host::HostFiles::new(roots.clone(), host::Settings { state: "/var/lib/tare".into(), disk_deadline: Duration::from_secs(1) })),
    ];
    let mut collector = Collector::new(looks, Vec::new(), roots.clock);
    let snapshot = collector.collect(Instant::now() + Duration::from_secs(5)).await;
    serde_json::to_writer_pretty(std::io::stdout().lock(), &*snapshot)?;
    Ok(())
}

//! Prints one snapshot of this machine as JSON.

use std::time::{Duration, Instant};

use collector::Collector;
use collector::roots::Roots;
use collector::sources::{Look, Source, cgroup, docker, host, net};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let roots = Roots::live();
    let looks: Vec<Box<dyn Look>> = vec![
        Box::new(cgroup::Cgroups::new(roots.clone(), cgroup::Settings { keep_open: 4096, max_groups: 10_000 })),
        Box::new(net::NetSpaces::new(roots.clone(), net::Settings { max_spaces: 1024, scan: true })),
        Box::new(host::HostFiles::new(roots.clone(), host::Settings { state: "/var/lib/tare".into(), disk_deadline: Duration::from_secs(1) })),
    ];
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let daemon = docker::Settings { max_containers: 5_000, relist: minutes(1), linger: minutes(5) };
    let sources: Vec<Box<dyn Source>> = vec![Box::new(docker::DockerSource::new(roots.docker.clone(), roots.clock, daemon))];
    let mut collector = Collector::new(looks, sources, roots.clock);
    let snapshot = collector.collect(Instant::now() + Duration::from_secs(5)).await;
    serde_json::to_writer_pretty(std::io::stdout().lock(), &*snapshot)?;
    Ok(())
}

//! The first line of every table: which cluster, which machine, what it is.

use collector::snapshot::Market;

use crate::report::Report;

use super::clean;

/// `prod · i-0a1b2c3d (m7i.large, us-east-1b, on demand, …)`; elsewhere `web-1 (x86_64, 2 cores, 8.00 GiB)`. `more` goes into the brackets.
pub(crate) fn heading(report: &Report, more: Option<String>) -> String {
    let host = &report.host.seen;
    let instance = &host.instance;
    let name = instance.id.as_deref().or(host.name.as_deref()).unwrap_or("this host");
    let mut about: Vec<String> = Vec::new();
    match &instance.kind {
        Some(kind) => {
            about.push(kind.to_string());
            let guessed = report.host.cost.region.as_ref().map(|region| format!("{}{}", if region.assumed { "~" } else { "" }, region.name));
            about.extend(instance.zone.as_deref().or(instance.region.as_deref()).map(str::to_owned).or(guessed));
            about.extend(instance.market.map(|market| {
                match market {
                    Market::OnDemand => "on demand",
                    Market::Spot => "Spot",
                    Market::CapacityBlock => "capacity block",
                }
                .to_owned()
            }));
        }
        None => {
            about.extend(host.arch.as_deref().map(str::to_owned));
            about.extend(host.cores.map(|cores| format!("{cores} core{}", if cores == 1 { "" } else { "s" })));
            about.extend(host.memory.map(|memory| memory.to_string()));
        }
    }
    about.extend(more);
    let cluster = report.cluster.as_deref().map(|cluster| format!("{cluster} · ")).unwrap_or_default();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    clean(&format!("{cluster}{name}{about}"))
}

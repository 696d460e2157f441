//! METRICS.md, made from the table. `tare metrics` prints it.

use std::fmt::Write;

use super::cadvisor;
use super::families::backlog::BACKLOG;
use super::families::cluster::{CLUSTER, SERVICE, SERVICE_INFO, TASKS};
use super::families::machine::{BLOCK_DEVICE, LINK, MACHINE, MOUNT};
use super::families::{AGENT, CONTAINER, ELSEWHERE, FILE_SYSTEM, GAP, HOST, HOST_PRICE_INFO, LEFT_OUT, OWN, SOURCE, VOLUME, WORKLOAD};
use super::schema::{About, Family, Info, Kind, Label, Points, Table, Tier, Unit};

/// The manual of every metric, Markdown.
pub fn manual() -> String {
    let mut page = String::from(HEAD);
    for section in sections() {
        let labels = words(section.labels.iter().map(|label| label.name));
        write!(page, "\n## {}\n\n", section.title).expect(STRING);
        if !labels.is_empty() {
            write!(page, "On each series, as far as known: {labels}.\n\n").expect(STRING);
        }
        page.push_str("| name | type | unit | tier | further labels | what | OpenTelemetry |\n|---|---|---|---|---|---|---|\n");
        for Entry { about, labels } in section.entries {
            let (name, otel) = (about.prometheus(), about.otel());
            let (kind, unit, tier) = (kind(about.kind), unit(about.unit), tier(about.tier));
            writeln!(page, "| `{name}` | {kind} | {unit} | {tier} | {} | {} | `{otel}` |", labels.join(", "), about.help).expect(STRING);
        }
    }
    cadvisor_chapter(&mut page);
    page.push_str("\n## Labels\n\n| label | OpenTelemetry |\n|---|---|\n");
    let mut labels: Vec<Label> = sections().iter().flat_map(|section| section.all_labels.clone()).collect();
    labels.sort_by_key(|label| (label.name, label.otel));
    labels.dedup();
    for label in labels {
        writeln!(page, "| `{}` | `{}` |", label.name, label.otel).expect(STRING);
    }
    page.push_str("\n## Not here, and why\n\n| figure | reason |\n|---|---|\n");
    for (figure, reason) in LEFT_OUT {
        writeln!(page, "| {figure} | {reason} |").expect(STRING);
    }
    page.push_str(&super::node::chapter());
    page
}

/// Their names, without what is ours alone: tiers and OpenTelemetry.
fn cadvisor_chapter(page: &mut String) {
    page.push_str(CADVISOR);
    page.push_str("\n| name | type | further labels | what |\n|---|---|---|---|\n");
    for section in cadvisor_sections() {
        let below = section.labels.iter().filter(|label| !cadvisor::ON_GROUP.contains(label)).map(|label| format!("`{}`", label.name));
        let below: Vec<String> = below.collect();
        for Entry { about, labels } in section.entries {
            let labels: Vec<String> = below.iter().cloned().chain(labels).collect();
            writeln!(page, "| `{}` | {} | {} | {} |", about.prometheus(), kind(about.kind), labels.join(", "), about.help).expect(STRING);
        }
    }
}

/// Every name in Prometheus there is, on any path.
pub fn names() -> Vec<String> {
    all_sections().iter().flat_map(|section| &section.entries).map(|entry| entry.about.prometheus()).collect()
}

/// Every label there is, and whether it may be left out: it describes its row, and no two series differ by it alone.
pub fn labels() -> Vec<(&'static str, bool)> {
    let mut labels = vec![("le", false)];
    // The same host and cluster stand on all that one Tare tells.
    for (sections, describing) in [(sections(), &[][..]), (cadvisor_sections(), cadvisor::DESCRIBING), (node_sections(), &[])] {
        for section in sections {
            let may = |label: &Label| ["cluster", "host"].contains(&label.name) || section.told.contains(label) || describing.contains(label);
            labels.extend(section.all_labels.iter().map(|label| (label.name, may(label))));
        }
    }
    labels.sort_unstable();
    // Where it tells two series apart once, it stays: that one is sorted first.
    labels.dedup_by_key(|(name, _)| *name);
    labels
}

const STRING: &str = "writing to a string does not fail";

const HEAD: &str = "\
# The metrics of Tare

Made from the table in `src/metrics/families.rs`; do not edit. `tare metrics` prints it.

Prometheus reads them at `/metrics`. What is not known has no series; a zero was measured. A *level* adds up over series (a gauge in Prometheus), a *gauge* does not.
What has ended keeps its counters, its state and its exit code for its last minutes, but no levels, so that a sum over series is a sum over what runs.
Tiers say what sinks that cost money send first.

On every series stands only what makes it unique: `task` for a task of ECS, `pod` (its uid) for a pod, `container` for a container, else the first 12 digits of its
id. A container of its own has `container` on its workload's series too, so the replicas of a compose service are told apart, and `sum by (workload)` brings them
together. Names of containers and units are unique on one host alone: their series carry `host`. All else stands on the `_info` series, to be joined:

```promql
sum by (image) (rate(tare_container_cpu_time_seconds_total[5m]) * on (instance, workload, task, pod, container) group_left (image) tare_container_info)
```

A container made again under the name of one that has just ended takes the name over; the ended one is then called by its id. Two units of one name in different
slices are both called by their path. Tags of a task that `ecs.tags` names stand on `tare_workload_info`, the tag `team` as `tag_team`.
";

const CADVISOR: &str = "
## /metrics/cadvisor

The names, types and labels of cAdvisor 0.60, so that its boards and rules and those of the kubernetes-mixin work as they are: scrape this path with
`job_name: cadvisor` and `honor_labels: true`. On every series, as far as known:

| label | what |
|---|---|
| `id` | the cgroup's path; `/` is the machine |
| `name` | a container's name in Docker; in a pod its id |
| `container`, `image` | on containers alone: `container!=\"\"` and `name=~\".+\"` leave out the machine, units, tasks and pods |
| `pod` | a task's id, a pod's uid; a container of its own is its own pod |
| `namespace` | the compose project of a container of its own |
| `node`, `cluster` | the host's name, and the setting `cluster` |
| `container_label_com_docker_compose_project`, `…_service` | as Compose set them; no other label of a container is read |

The network stands where its name space is: at the task or pod, else at the container. What has ended has no series. A figure nobody measured has none either,
where cAdvisor prints 0: task states, load averages, the figures of single file systems and disks below the root, TCP and UDP sockets by state, perf, NUMA, resctrl
and referenced memory. Processes, threads and open files (`container_processes`, `container_threads`, `container_threads_max`, `container_file_descriptors`,
`container_ulimits_soft`) are told as there: on Kubernetes, as the kubelet does, and elsewhere, where cAdvisor leaves them out, once `metrics.allow` names metrics
(`*` is all). `kube_pod_info` is not cAdvisor's: the rules of the mixin ask it for the node, and what is no pod has it from here.
";

/// One heading of the manual.
struct Section {
    title: &'static str,
    labels: &'static [Label],
    entries: Vec<Entry>,
    all_labels: Vec<Label>,
    /// Those of them that only describe.
    told: Vec<Label>,
}

/// One line of it.
struct Entry {
    about: &'static About,
    labels: Vec<String>,
}

fn sections() -> Vec<Section> {
    let mut sections = Vec::new();
    sections.extend(table(&CONTAINER));
    sections.extend(table(&WORKLOAD));
    sections.push(family(&ELSEWHERE));
    sections.extend(table(&HOST));
    sections.push(told(&HOST_PRICE_INFO, "Host: price"));
    sections.extend([family(&MACHINE), family(&BLOCK_DEVICE), family(&MOUNT), family(&LINK)]);
    sections.extend([family(&FILE_SYSTEM), family(&VOLUME)]);
    sections.extend([told(&SERVICE_INFO, "Services of a cluster: what is known"), family(&SERVICE), family(&TASKS), family(&CLUSTER)]);
    sections.extend([family(&SOURCE), family(&GAP), family(&OWN), family(&AGENT), family(&BACKLOG)]);
    sections
}

fn cadvisor_sections() -> Vec<Section> {
    use cadvisor::{BLKIO, DEVICES, DISKS, FAILURES, GROUP, HUGE, INTERFACES, MACHINE, POD_INFO, ROOM, VERSION};
    let mut sections = vec![family(&GROUP), family(&FAILURES), family(&HUGE), family(&DEVICES), family(&BLKIO), family(&INTERFACES), family(&DISKS)];
    sections.extend([family(&ROOM), family(&MACHINE), told(&VERSION, "Versions"), family(&POD_INFO)]);
    sections
}

fn node_sections() -> Vec<Section> {
    use super::node::{CPU, DISK, FILE_SYSTEM, HOST, INTERFACE, LINK, TIME, UNAME};
    vec![family(&CPU), family(&TIME), family(&HOST), told(&UNAME, "Versions"), family(&DISK), family(&FILE_SYSTEM), family(&INTERFACE), family(&LINK)]
}

/// Those of every path.
fn all_sections() -> Vec<Section> {
    sections().into_iter().chain(cadvisor_sections()).chain(node_sections()).collect()
}

fn table<R>(table: &'static Table<R>) -> [Section; 4] {
    let mut own = family(&table.own);
    let info = told(&table.info, own.title);
    own.entries.splice(0..0, info.entries);
    own.all_labels.extend(info.all_labels);
    own.told = info.told;
    [own, family(&table.usage), family(&table.device), family(&table.interface)]
}

fn family<R>(family: &'static Family<R>) -> Section {
    let mut all_labels = family.labels.to_vec();
    let mut entries = Vec::new();
    for metric in family.metrics {
        let labels = match metric.points {
            Points::One(_) => Vec::new(),
            Points::Each(label, known) => {
                all_labels.push(label);
                vec![format!("`{}`: {}", label.name, known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" "))]
            }
            Points::Live(labels) => {
                all_labels.extend(labels);
                labels.iter().map(|label| format!("`{}`", label.name)).collect()
            }
        };
        entries.push(Entry { about: &metric.about, labels });
    }
    Section { title: family.title, labels: family.labels, entries, all_labels, told: Vec::new() }
}

fn told<R>(info: &'static Info<R>, title: &'static str) -> Section {
    let own: Vec<Label> = info.tells.iter().map(|(label, _)| *label).collect();
    let labels = own.iter().map(|label| format!("`{}`", label.name)).collect();
    let all_labels = info.labels.iter().chain(&own).copied().collect();
    Section { title, labels: info.labels, entries: vec![Entry { about: &info.about, labels }], all_labels, told: own }
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Level => "level",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Info => "info",
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::Bytes => "bytes",
        Unit::Cores => "cores",
        Unit::Ratio => "1 = all",
        Unit::UsdPerHour => "$/h",
        Unit::Of(thing) => thing,
        Unit::Number => "",
    }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Essential => "essential",
        Tier::Standard => "standard",
        Tier::Detail => "detail",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_manual_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, manual()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == manual(), "agent/METRICS.md is stale; refresh it: UPDATE=1 cargo test -p tare the_manual_is_fresh");
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        let (mut prometheus, mut otel) = (HashSet::new(), HashSet::new());
        for entry in cadvisor_sections().iter().chain(&node_sections()).flat_map(|section| &section.entries) {
            assert!(prometheus.insert(entry.about.prometheus()), "{} stands twice", entry.about.name);
        }
        for entry in sections().iter().flat_map(|section| &section.entries) {
            let name = entry.about.prometheus();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_ratio"), entry.about.unit == Unit::Ratio, "{name}");
            assert!(!name.contains("percent"), "{name}");
            assert!(prometheus.insert(name.clone()), "{name} stands twice");
            assert!(otel.insert(entry.about.otel()), "{name} has another's OpenTelemetry name");
        }
    }

    #[test]
    fn helps_are_sentences_that_need_no_escape() {
        for entry in all_sections().iter().flat_map(|section| &section.entries) {
            let help = entry.about.help;
            assert!(help.ends_with('.') && !help.contains(['\n', '\\', '"', '|']), "{help}");
        }
    }

    #[test]
    fn labels_do_not_clash() {
        // Prometheus sets these on what it scrapes, and keeps `__` and the histogram's `le` for itself.
        let taken = ["instance", "job", "le", "quantile"];
        for section in all_sections() {
            for label in &section.all_labels {
                assert!(!taken.contains(&label.name) && !label.name.starts_with("__"), "{}", label.name);
                assert!(label.name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_'), "{}", label.name);
            }
        }
    }

    #[test]
    fn only_what_describes_may_be_left_out() {
        let labels = labels();
        let may = |name: &str| labels.iter().filter(|(label, _)| *label == name).map(|(_, may)| *may).collect::<Vec<_>>();
        for name in ["image", "digest", "project", "boot_id", "zone", "cluster", "host", "node", "namespace", "market"] {
            assert_eq!(may(name), [true], "{name}");
        }
        for name in [
            "workload",
            "task",
            "pod",
            "container",
            "name",
            "device",
            "interface",
            "state",
            "arch",
            "source",
            "le",
            "cpu",
            "direction",
            "path",
            "mode",
            "mountpoint",
        ] {
            assert_eq!(may(name), [false], "{name}");
        }
    }
}

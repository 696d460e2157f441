//! The Fargate size of a Kubernetes pod, as EKS rounds it (EKS guide, "Understand Fargate Pod configuration details", 2024-12).

use collector::units::{Bytes, Cores};

/// What one container of a pod asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodContainer {
    /// CPU.
    pub cores: Cores,
    /// Memory.
    pub memory: Bytes,
    /// Ephemeral storage.
    pub disk: Bytes,
    /// When it runs.
    pub turn: Turn,
}

/// When a container of a pod runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// As long as the pod.
    #[default]
    Main,
    /// A native sidecar: an init container that restarts always, started before what follows it and kept.
    Sidecar,
    /// An ordinary init container: alone but for the sidecars before it.
    Init,
}

/// Memory EKS adds for kubelet, kube-proxy and containerd.
pub const OVERHEAD: Bytes = Bytes(256 << 20);

/// What a Fargate size has to hold for a pod whose containers stand in the order of its spec.
///
/// Each resource on its own: the larger of the sum over what runs for long, and each init container with the sidecars before it; then the overhead.
pub fn needs(containers: &[PodContainer]) -> (Cores, Bytes) {
    let (mut long, mut first, mut sidecars) = ((0.0, 0), (0.0_f64, 0), (0.0, 0));
    let add = |sum: &mut (f64, u64), one: &PodContainer| *sum = (sum.0 + one.cores.0, sum.1.saturating_add(one.memory.0));
    for container in containers {
        match container.turn {
            Turn::Main => add(&mut long, container),
            Turn::Sidecar => {
                add(&mut long, container);
                add(&mut sidecars, container);
            }
            Turn::Init => {
                let mut with = sidecars;
                add(&mut with, container);
                first = (first.0.max(with.0), first.1.max(with.1));
            }
        }
    }
    (Cores(long.0.max(first.0)), Bytes(long.1.max(first.1).saturating_add(OVERHEAD.0)))
}

/// GiB of ephemeral disk EKS provides: what is asked for + 10 % + 5 GiB, at least 20; `None` beyond 175 (AWS containers blog, larger ephemeral volumes).
pub fn disk(containers: &[PodContainer]) -> Option<u64> {
    let asked = containers.iter().fold(0_u64, |sum, container| sum.saturating_add(container.disk.0));
    let gib = (u128::from(asked) * 11).div_ceil(10 << 30) + 5;
    (gib <= 175).then_some((gib as u64).max(20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Size;
    use crate::cost::book::Book;
    use crate::cost::fargate::{Platform, cheapest, parts, rate};

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn one(turn: Turn, cores: f64, memory: u64) -> PodContainer {
        PodContainer { cores: Cores(cores), memory: Bytes(memory), disk: Bytes(0), turn }
    }

    #[test]
    fn a_pod_gets_the_size_eks_gives_it() {
        use Turn::{Init, Main, Sidecar};
        let prices = Book::built_in().fargate("us-east-1", Platform::X86).unwrap();
        for (pod, cores, gib, usd) in [
            (vec![one(Main, 1.0, 8 * GIB)], 2.0, 9, "0.1209650"),
            (vec![one(Main, 0.0, 0)], 0.25, 0, "0.0123425"),
            (vec![], 0.25, 0, "0.0123425"),
            (vec![one(Init, 0.7, GIB), one(Main, 0.3, 300 * MIB), one(Main, 0.2, 200 * MIB)], 1.0, 2, "0.0493700"),
            (vec![one(Main, 0.25, 18 * GIB / 10)], 0.5, 3, "0.0335750"),
            (vec![one(Main, 4.0, 61 * GIB / 2)], 8.0, 32, "0.4660800"),
            // The sidecar runs beside the later init container and beside the main one.
            (vec![one(Init, 0.9, 0), one(Sidecar, 0.5, 0), one(Init, 0.6, 0), one(Main, 0.25, 0)], 2.0, 4, "0.0987400"),
            (vec![one(Main, 1.0, GIB)], 1.0, 2, "0.0493700"),
        ] {
            let (asked, memory) = needs(&pod);
            let size = cheapest(asked, memory, Platform::X86, &prices).unwrap();
            let memory = if gib == 0 { Bytes(512 * MIB) } else { Bytes(gib * GIB) };
            assert_eq!(size, Size { cores: Cores(cores), memory }, "{pod:?}");
            assert_eq!(format!("{:.7}", rate(&parts(size, &prices))), usd);
        }
    }

    #[test]
    fn an_eks_cluster_and_its_one_pod_cost_109_dollars_a_month() {
        let prices = Book::built_in().fargate("us-east-1", Platform::X86).unwrap();
        let (cores, memory) = needs(&[one(Turn::Main, 1.0, GIB)]);
        let pod = rate(&parts(cheapest(cores, memory, Platform::X86, &prices).unwrap(), &prices));
        let cluster = crate::cost::UsdPerHour(100_000_000);
        assert_eq!(format!("{:.4}", (cluster + pod).over(crate::cost::UsdPerHour::MONTH)), "109.0401");
    }

    #[test]
    fn disk_is_what_is_asked_a_tenth_and_five() {
        let disk_of = |gib: &[u64]| disk(&gib.iter().map(|gib| PodContainer { disk: Bytes(gib * GIB), ..one(Turn::Main, 0.0, 0) }).collect::<Vec<_>>());
        for (asked, provided) in [(vec![], Some(20)), (vec![50, 50], Some(115)), (vec![13], Some(20)), (vec![154], Some(175)), (vec![156], None)] {
            assert_eq!(disk_of(&asked), provided, "{asked:?}");
        }
        assert_eq!(disk(&[PodContainer { disk: Bytes(u64::MAX), ..one(Turn::Main, 0.0, 0) }]), None);
        assert_eq!(needs(&[one(Turn::Main, 1.0, u64::MAX), one(Turn::Main, 1.0, u64::MAX)]).1, Bytes(u64::MAX));
    }
}

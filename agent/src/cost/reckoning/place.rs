//! The machine that is paid for: its price, and Fargate's where it stands.

use std::sync::Arc;

use collector::snapshot::Host;
use collector::units::{Cores, Ratio};

use crate::cost::book::{Book, Instance};
use crate::cost::fargate::{Platform, Prices};
use crate::cost::split::Weights;
use crate::cost::{Elsewhere, NodeCost, Region, Size, ec2};

/// Where prices come from: looked up once for each instance type, region and architecture.
pub(super) struct Place {
    kind: Option<Arc<str>>,
    said: Option<Arc<str>>,
    arch: Option<Arc<str>>,
    pub(super) region: Region,
    pub(super) instance: Result<Instance, Arc<str>>,
    pub(super) fargate: Result<(Platform, Prices), Arc<str>>,
    /// The architecture in Fargate's words, else in the machine's.
    arch_there: Arc<str>,
    break_even: Option<Ratio>,
}

impl Place {
    pub(super) fn is_of(&self, host: &Host) -> bool {
        self.kind == host.instance.kind && self.said == host.instance.region && self.arch == host.arch
    }

    pub(super) fn find(book: &Book, host: &Host, region_from_env: Option<&Arc<str>>) -> Place {
        let said = host.instance.region.as_ref().or(region_from_env);
        let region = Region { name: said.cloned().unwrap_or_else(|| "us-east-1".into()), assumed: said.is_none() };
        let instance: Result<Instance, Arc<str>> = match &host.instance.kind {
            Some(kind) => book.instance(kind, &region.name).map_err(|why| why.to_string().into()),
            None => Err("not EC2, or its metadata service does not answer: set host.instance_type".into()),
        };
        let platform = match &host.arch {
            Some(arch) => Platform::named(arch).ok_or_else(|| format!("Fargate has no {arch}").into()),
            None => instance.as_ref().map(|instance| instance.platform).map_err(|_| Arc::from("the machine's architecture is not known")),
        };
        let arch_there =
            platform.as_ref().map_or_else(|_: &Arc<str>| host.arch.clone().unwrap_or_else(|| "unknown".into()), |platform| platform.as_str().into());
        let fargate = platform.and_then(|platform| Ok((platform, book.fargate(&region.name, platform).map_err(|why| Arc::from(why.to_string()))?)));
        // Fargate has no GPU: against an instance with one the comparison would say nothing.
        let break_even = instance.as_ref().ok().filter(|instance| instance.gpus == 0).and_then(|instance| {
            let prices = book.fargate(&region.name, instance.platform).ok()?;
            ec2::break_even(instance.price.usd, instance.vcpu, instance.memory, &prices)
        });
        Place {
            kind: host.instance.kind.clone(),
            said: host.instance.region.clone(),
            arch: host.arch.clone(),
            region,
            instance,
            fargate,
            arch_there,
            break_even,
        }
    }

    pub(super) fn cost(&self, weights: Weights) -> NodeCost {
        let instance = self.instance.as_ref();
        NodeCost {
            price: instance.ok().map(|instance| instance.price.clone()),
            capacity: instance.ok().map(|instance| Size { cores: Cores(f64::from(instance.vcpu)), memory: instance.memory }),
            weights: Some(weights),
            why_no_price: instance.err().cloned(),
            region: Some(self.region.clone()),
            break_even: self.break_even,
            ..NodeCost::default()
        }
    }

    pub(super) fn fargate(&self, size: Option<Size>) -> Elsewhere {
        Elsewhere::Fargate { arch: self.arch_there.clone(), size }
    }
}

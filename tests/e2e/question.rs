//! A plain question of cost (`question.json`): one machine's price split between the pods on it.

use std::collections::BTreeMap;
use std::path::Path;

use collector::units::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tare::cost::UsdPerHour;
use tare::cost::split::{Amounts, Node, Split};

use crate::case::About;
use crate::figures::NoFigure;

/// The question, where it is of the one kind that is understood.
#[derive(Deserialize)]
struct Question {
    hours: Option<f64>,
    node: Machine,
    weights: String,
    pods: BTreeMap<String, Pod>,
}

#[derive(Deserialize)]
struct Machine {
    price_usd_per_hour: Value,
    vcpu: Value,
    memory_gib: Value,
}

#[derive(Deserialize)]
struct Pod {
    cpu_reserved: Option<Value>,
    cpu_used: Option<Value>,
    mem_reserved: Option<Value>,
    mem_used: Option<Value>,
}

/// The split of the asked machine.
pub struct Answer {
    pods: Vec<String>,
    split: Split,
    capacity: Amounts,
    hours: f64,
}

/// Answers the question in a case's folder. Errors: it is of a kind that is not understood, and which.
pub fn answer(folder: &Path) -> Result<Answer, String> {
    let text = std::fs::read_to_string(folder.join("question.json")).map_err(|e| e.to_string())?;
    let question: Question = serde_json::from_str(&text).map_err(|e| format!("no split of one node between pods: {e}"))?;
    let weights = question.weights.rsplit(' ').next().unwrap_or_default();
    let weights = weights.parse().map_err(|e| format!("weights {weights}: {e}"))?;
    let capacity = Amounts { nanocores: scaled(&question.node.vcpu, 1e9)?, bytes: scaled(&question.node.memory_gib, Bytes::GIB.0 as f64)? };
    let node = Node { price: UsdPerHour(scaled(&question.node.price_usd_per_hour, 1e9)? as i64), capacity, weights };
    let larger = |a: &Option<Value>, b: &Option<Value>, unit: f64| -> Result<u64, String> {
        Ok([a, b].into_iter().flatten().map(|value| scaled(value, unit)).collect::<Result<Vec<u64>, String>>()?.into_iter().max().unwrap_or(0))
    };
    let take = |pod: &Pod| -> Result<Amounts, String> {
        Ok(Amounts { nanocores: larger(&pod.cpu_reserved, &pod.cpu_used, 1e9)?, bytes: larger(&pod.mem_reserved, &pod.mem_used, Bytes::GIB.0 as f64)? })
    };
    let taken = question.pods.values().map(take).collect::<Result<Vec<Amounts>, String>>()?;
    let mut split = Split::default();
    split.divide(&node, &taken);
    Ok(Answer { pods: question.pods.into_keys().collect(), split, capacity, hours: question.hours.unwrap_or(1.0) })
}

/// A decimal number, written as one or as a text, in whole units.
fn scaled(value: &Value, unit: f64) -> Result<u64, String> {
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).ok_or_else(|| format!("{value} is no number"))?;
    Ok((number * unit).round() as u64)
}

impl Answer {
    /// A figure of a pod (by its name) or of the machine.
    pub fn figure(&self, about: &About, figure: &str) -> Result<Option<Value>, NoFigure> {
        let usd = |rate: UsdPerHour| Some(json!(rate.usd() * self.hours));
        let unmapped = || Err(NoFigure::Unmapped(format!("{about}: {figure}")));
        let name = ["workload", "pod", "container"].iter().find_map(|member| about.member(member));
        let Some(name) = name else {
            let shares = || self.split.shares.iter();
            return Ok(match figure {
                "cost.idle_usd" | "cost.unused_usd" => usd(self.split.idle),
                "sum_of_workloads.total_usd" | "sum_of_pods.total_usd" => usd(shares().map(|share| share.cpu + share.memory + share.idle).sum()),
                "sum_of_workloads.split_usd" | "sum_of_pods.split_usd" => usd(shares().map(|share| share.cpu + share.memory).sum()),
                "oversubscribed" => {
                    let (taken, capacity) = (self.split.taken, self.capacity);
                    Some((taken.nanocores > u128::from(capacity.nanocores) || taken.bytes > u128::from(capacity.bytes)).into())
                }
                _ => return unmapped(),
            });
        };
        let Some(share) = self.pods.iter().position(|pod| *pod == name).map(|place| self.split.shares[place]) else { return Ok(None) };
        Ok(match figure {
            "cost.split_usd" | "cost.now_usd" => usd(share.cpu + share.memory),
            "cost.unused_usd" | "cost.idle_share_usd" => usd(share.idle),
            "cost.total_usd" => usd(share.cpu + share.memory + share.idle),
            "cost.cpu_usd" => usd(share.cpu),
            "cost.memory_usd" => usd(share.memory),
            _ => return unmapped(),
        })
    }
}

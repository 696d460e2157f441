//! What an EC2 instance costs, and from how full it is worth more than the same machine on Fargate.

use std::time::Duration;

use collector::units::{Bytes, Ratio};

use super::fargate::{Prices, whole_seconds};
use super::money::{Usd, UsdPerHour};

/// The shortest time that is billed at each launch (EC2 on-demand pricing, Linux).
const MINIMUM: Duration = Duration::from_secs(60);

/// What an instance costs from launch to stop: whole seconds, at least 60 of them.
pub fn cost(rate: UsdPerHour, ran: Duration) -> Usd {
    rate.over(whole_seconds(ran).max(MINIMUM))
}

/// The instance's price over the Fargate price of all its vCPU and memory: emptier than this, Fargate is the cheaper one. Over 1: it always is.
pub fn break_even(node: UsdPerHour, vcpu: u32, memory: Bytes, prices: &Prices) -> Option<Ratio> {
    let whole = f64::from(vcpu) * prices.core.usd.usd() + memory.gib() * prices.gib.usd.usd();
    (whole > 0.0).then(|| Ratio(node.usd() / whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::book::Book;

    #[test]
    fn an_instance_is_billed_by_the_second_and_at_least_a_minute() {
        let rate = Book::built_in().instance("m7i.large", "us-east-1").unwrap().price.usd;
        for (seconds, usd) in [(630.0, "0.01764"), (629.5, "0.01764"), (20.0, "0.00168"), (0.0, "0.00168")] {
            assert_eq!(format!("{:.5}", cost(rate, Duration::from_secs_f64(seconds))), usd);
        }
    }

    #[test]
    fn the_fill_from_which_an_instance_is_worth_its_price() {
        for (kind, percent) in [("m7i.large", "86.51"), ("t3.medium", "42.13"), ("c7a.large", "103.95"), ("c8g.large", "100.96")] {
            let node = Book::built_in().instance(kind, "us-east-1").unwrap();
            let prices = Book::built_in().fargate("us-east-1", node.platform).unwrap();
            let fill = break_even(node.price.usd, node.vcpu, node.memory, &prices).unwrap();
            assert_eq!(format!("{:.2}", fill.0 * 100.0), percent, "{kind}");
        }
    }
}

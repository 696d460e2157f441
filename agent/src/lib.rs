//! Tare: what every container uses, whether it is healthy, what it costs.

pub mod nearest;
pub mod rates;
pub mod cost;
pub mod health;
pub mod platform;
pub mod report;
pub mod explain;
pub mod verdict;
pub mod query;
mod words;
pub mod metrics;
pub mod spool;
pub mod sinks;
pub mod aws;
pub mod web;
pub mod config;
pub mod args;
pub mod pipeline;
pub mod commands;
#[cfg(test)]
mod sample;

//! The whole program, from outside: recorded hosts, bad worlds, real readers, and our own promises.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, unreachable_pub)]

mod agent;
mod cadvisor;
mod case;
mod cluster;
mod corpus;
mod dashboards;
mod door;
mod ecs;
mod exposition;
mod faults;
mod figures;
mod hosts;
mod house;
mod judge;
mod openmetrics;
mod program;
mod prometheus;
mod question;
mod remote_write;
mod rows;
mod terminal;
mod trials;

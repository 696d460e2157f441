//! What the program can be told to do; one file a command. Tables are pure: a report in, text out.

pub mod config;
pub mod cost;
pub mod doctor;
mod figures;
mod heading;
pub mod metrics;
pub mod ps;
mod rows;
pub mod table;

#[cfg(test)]
mod sample;

//! What the program can be told to do; one file a command. Tables are pure: a report in, text out.

pub mod config;
pub mod cost;
pub mod doctor;
pub mod fields;
pub mod greeting;
pub mod healthcheck;
pub mod looks;
mod near;
pub mod progress;
pub mod ps;
pub mod record;
pub mod run;
pub mod shell;
pub mod table;
pub mod view;
pub mod watch;

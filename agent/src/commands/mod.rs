//! What the program can be told to do; one file a command. Tables are pure: a report in, text out.

mod cells;
pub mod config;
pub mod cost;
mod csv;
pub mod doctor;
pub mod generate;
pub mod greeting;
pub mod healthcheck;
pub mod looks;
pub mod manual;
pub mod near;
pub mod progress;
pub mod ps;
pub mod record;
pub mod run;
pub mod shown;
pub mod table;
pub mod view;
pub mod watch;

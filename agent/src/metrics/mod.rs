//! Names: turns a report into metric families. Every name, unit, kind, help text and label stands once, in [`families`].

pub mod schema;
pub mod families;
pub mod labels;
pub mod choice;
pub mod block;
pub mod packed;
pub mod page;
pub mod pack;
pub mod cadvisor;
pub mod frame;
pub mod node;
pub mod agent;
pub mod manual;

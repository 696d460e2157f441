//! m

pub mod agent;
pub mod frame;
pub mod manual;
pub mod schema;

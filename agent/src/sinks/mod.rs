//! Tells: each sink encodes frames or reports for one outside world.

pub mod backlog;
pub mod discovery;
pub mod gzip;
pub mod prometheus;
pub mod trust;
pub mod post;
pub mod remote_write;

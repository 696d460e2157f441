//! s

pub mod prometheus;

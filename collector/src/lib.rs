//! Looks at one host and says what runs there and what each thing uses: plain data, no price, no sink.

pub mod units;
pub mod error;
pub mod identity;
pub mod snapshot;
pub mod roots;
pub mod http;
pub mod sources;
pub mod merge;
pub mod looker;
pub mod record;

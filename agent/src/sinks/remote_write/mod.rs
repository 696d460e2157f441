//! Pushes frames to a receiver of Prometheus remote write 1.0 or 2.0: Prometheus, Mimir, Amazon Managed Prometheus and many others.

pub mod encode;
pub mod send;
pub mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::header::{HeaderName, HeaderValue};

use encode::{Version, Wanted};

use super::post::Target;

/// The sink's name: the label `sink` of its figures, and whose cursor it is.
pub const SINK: &str = "remote_write";

/// What can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where samples are taken.
    pub target: Target,
    /// Which version is spoken; `None` finds out.
    pub version: Option<Version>,
    /// How often a frame is made for it, give or take a tenth.
    pub every: Duration,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// Who we say we are.
    pub auth: Auth,
    /// The only certificates that are trusted, in PEM; `None` trusts the machine's.
    pub ca_file: Option<PathBuf>,
    /// More headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Which metrics.
    pub wanted: Wanted,
    /// Labels on every series.
    pub external: Vec<(String, String)>,
}

/// Who we say we are. Files are read for each frame: what is in them may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nobody.
    None,
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// Holds the password.
        password_file: PathBuf,
    },
    /// Whoever has the token in this file.
    Bearer(PathBuf),
    /// An AWS role, by a signature for this region.
    Signed {
        /// `us-east-1`
        region: String,
    },
}

/// Signs requests as AWS wants it.
pub trait Sign: Send + Sync {
    /// The headers that sign a POST of this body. Errors: no credentials, in words.
    fn sign<'a>(&'a self, url: &'a str, body: &'a Bytes) -> BoxFuture<'a, Result<Vec<(HeaderName, HeaderValue)>, String>>;

    /// Hears why a signed request was refused, and the far end's clock. Whether a new signature may be taken.
    fn hear(&self, said: &str, date: Option<&str>) -> bool;
}

#[cfg(test)]
#[allow(unreachable_pub)]
#[path = "../../../../tests/fakes/remote_write.rs"]
mod fake;

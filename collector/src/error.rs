//! What can go wrong while looking. Every variant says where.

use std::io;
use std::path::PathBuf;

/// A failed look at one file or endpoint. It becomes a gap, never an exit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a file.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The kernel's word.
        source: io::Error,
    },
    /// The file was read but does not say what it should.
    #[error("{path}: {problem}", path = path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An endpoint could not be reached or broke off.
    #[error("{address}: {problem}")]
    Endpoint {
        /// The socket path or URL.
        address: String,
        /// What happened.
        problem: String,
    },
    /// An endpoint answered with an error.
    #[error("{address}: HTTP {status}{}", if body.is_empty() { String::new() } else { format!(": {body}") })]
    Status {
        /// The socket path or URL, with the path asked for.
        address: String,
        /// The HTTP status.
        status: u16,
        /// The start of the body, at most 200 characters.
        body: String,
    },
    /// No answer in time.
    #[error("{address}: no answer within {seconds} s")]
    Late {
        /// What was asked.
        address: String,
        /// The deadline that passed.
        seconds: f64,
    },
    /// An answer larger than we are willing to hold.
    #[error("{address}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        address: String,
        /// The bound, in bytes.
        limit: usize,
    },
}

impl Error {
    /// A file error with its path.
    pub fn file(path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Error {
        Error::File { path: path.into(), source: source.into() }
    }
}

//! What a failed request to the daemon means to a person, and what to do about it: `what happened; fix: what to do`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::error::Error;

/// Says what went wrong. The socket itself is looked at again: connecting to a directory is refused like a dead daemon is.
pub(super) fn explain(error: &Error) -> String {
    let (what, fix) = match error {
        Error::File { path, source } => return socket(path, source),
        Error::Late { .. } => (format!("{error}: the daemon hangs or is overloaded"), "see the daemon's log; restart Docker if `docker ps` hangs too"),
        Error::TooLarge { .. } => (error.to_string(), "remove ended containers: docker container prune"),
        Error::Status { status: 401 | 403, .. } => (error.to_string(), "allow GET of containers, events, info and version in the socket proxy"),
        Error::Status { status: 500.., .. } => (error.to_string(), "see the daemon's log"),
        Error::Status { .. } | Error::Text { .. } => (error.to_string(), "check that a Docker daemon listens there"),
        Error::Endpoint { .. } => (error.to_string(), "see that the Docker daemon runs"),
    };
    format!("{what}; fix: {fix}")
}

fn socket(path: &Path, source: &std::io::Error) -> String {
    let shown = path.display();
    let file = fs::metadata(path).ok();
    if file.as_ref().is_some_and(fs::Metadata::is_dir) {
        return format!("{shown} is a directory: the host path did not exist when the container started; fix: remove the mount, or start Docker before Tare");
    }
    match source.kind() {
        ErrorKind::NotFound => {
            format!("{shown} is not there: this host has no Docker, or its socket is not mounted here; fix: start Docker, or mount the host's socket")
        }
        ErrorKind::PermissionDenied => match file {
            Some(file) => format!("{shown}: permission denied: it belongs to group {0}; fix: run Tare as root or with the group {0}", file.gid()),
            None => format!("{shown}: permission denied on its folder; fix: run Tare as root or with the group that owns the socket"),
        },
        ErrorKind::ConnectionRefused if file.is_some_and(|file| !file.file_type().is_socket()) => {
            format!("{shown} is a file, no socket; fix: mount the host's Docker socket")
        }
        ErrorKind::ConnectionRefused => format!("{shown}: connection refused: the Docker daemon is not running; fix: systemctl start docker"),
        _ => format!("{shown}: {source}; fix: see that the Docker daemon runs"),
    }
}

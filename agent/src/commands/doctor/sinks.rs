//! What doctor says of what is pushed: whether the far end can be reached, and where what it does not take waits.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, access};

use super::{Finding, codes};
use crate::config::{Settings, span_text};
use crate::sinks::post::Target;
use crate::sinks::remote_write;

/// What came of trying, where something is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushing {
    /// Whether the far end takes connections, or why not.
    pub reached: Result<(), String>,
    /// Whether the state folder can be written, or why not; `None`: the settings name none.
    pub kept: Option<Result<(), String>>,
}

/// A name that nobody resolves, or a far end behind a wall, is not waited for longer.
const WAIT: Duration = Duration::from_secs(2);

impl Pushing {
    /// Connects, sends nothing. `None`: nothing is pushed.
    pub(super) fn ask(settings: &Settings) -> Option<Pushing> {
        let wanted = settings.remote_write.as_ref()?;
        Some(Pushing { reached: reach(&wanted.target), kept: settings.backlog.state.as_deref().map(writable) })
    }
}

fn reach(target: &Target) -> Result<(), String> {
    let (host, port) = (target.host.clone(), target.port);
    let (tell, told) = mpsc::channel();
    let connect = move || -> io::Result<()> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in (host.as_str(), port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, WAIT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    // Resolving a name knows no deadline.
    thread::spawn(move || tell.send(connect()));
    match told.recv_timeout(WAIT) {
        Ok(reached) => reached.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", WAIT.as_secs())),
    }
}

/// Whether the folder, or what is to be made for it, can be written.
fn writable(folder: &Path) -> Result<(), String> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| format!("{}: {error}", there.display()))
}

/// What there is to say of what is pushed, if anything is.
pub(super) fn findings(settings: &Settings, pushing: Option<&Pushing>) -> Vec<Finding> {
    let (Some(wanted), Some(pushing)) = (&settings.remote_write, pushing) else { return Vec::new() };
    let mut found = vec![match &pushing.reached {
        Ok(()) => codes::PUSHED.found(format!("{}: {} every {}", remote_write::SINK, wanted.target, span_text(wanted.every))),
        Err(why) => codes::FAR_END.found(format!("{}: {} does not take connections: {why}", remote_write::SINK, wanted.target)),
    }];
    let folder = settings.backlog.state.as_deref().unwrap_or(Path::new("")).display();
    found.push(match &pushing.kept {
        None => codes::KEPT.found("what a far end does not take waits in memory: backlog.state is empty".into()),
        Some(Ok(())) => codes::KEPT.found(format!("what a far end does not take waits in {folder}")),
        Some(Err(why)) => codes::NOT_KEPT.found(format!("what a far end does not take waits in memory: {why}")),
    });
    found
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::load;

    fn said(lines: &str, pushing: &Pushing) -> Vec<(&'static str, String)> {
        let text = format!("[remote_write]\nurl = \"http://prometheus:9090/api/v1/write\"\n{lines}");
        let settings = load(None, [("TARE_CONFIG_CONTENT".into(), text.into())], &[]).unwrap().settings;
        findings(&settings, Some(pushing)).into_iter().map(|finding| (finding.code, finding.what)).collect()
    }

    #[test]
    fn what_is_pushed_is_told_with_where_it_waits() {
        let well = Pushing { reached: Ok(()), kept: Some(Ok(())) };
        let push = ("TARE-080", "remote_write: http://prometheus:9090/api/v1/write every 30s".to_owned());
        let wait = |words: &str| format!("what a far end does not take waits in {words}");
        assert_eq!(said("", &well), [push.clone(), ("TARE-082", wait("/var/lib/tare"))]);
        let memory = Pushing { kept: None, ..well.clone() };
        assert_eq!(said("[backlog]\nstate = \"\"", &memory), [push, ("TARE-082", wait("memory: backlog.state is empty"))]);
        let badly = Pushing { reached: Err("refused".into()), kept: Some(Err("/: read-only".into())) };
        let codes: Vec<_> = said("", &badly).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["TARE-081", "TARE-083"]);
        let settings = load(None, [], &[]).unwrap().settings;
        assert_eq!((Pushing::ask(&settings), findings(&settings, None)), (None, Vec::new()), "nothing is pushed");
    }

    #[test]
    fn a_far_end_is_there_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        assert_eq!(reach(&target), Ok(()));
        drop(listener);
        assert!(reach(&target).is_err());
        assert!(reach(&Target::parse("http://nobody.invalid").unwrap()).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_as_writable_as_what_it_will_be_in() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(writable(&folder.path().join("a/b")), Ok(()));
        assert!(writable(Path::new("/proc/1/tare")).is_err(), "nobody may write there, not even root");
    }
}

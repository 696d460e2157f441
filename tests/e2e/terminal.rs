//! The program on a terminal and in pipes, as people and scripts use it: colours, watching, forms, exit codes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::program::{Said, Served, command, finish, serve, until};

/// A host with containers whose report is the same at every look.
const HOST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/hosts/v1-apart");

fn host() -> &'static str {
    HOST
}

/// A program on a terminal of its own, and all it has written there.
struct Terminal {
    master: Arc<File>,
    written: Arc<Mutex<Vec<u8>>>,
    child: Child,
}

impl Terminal {
    fn new(arguments: &[&str], variables: &[(&str, &str)], columns: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let open = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
        let master = Arc::new(File::from(master));
        size(&master, columns);
        let mut command = away(arguments);
        command.env("TERM", "xterm").envs(variables.iter().copied()).stdin(open()).stdout(open()).stderr(open());
        let child = command.spawn().unwrap();
        // What the command holds of the terminal would keep it open.
        drop(command);
        let (from, written) = (Arc::clone(&master), Arc::new(Mutex::new(Vec::new())));
        let to = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            // EIO: nobody holds the other end any more.
            while let Ok(length @ 1..) = (&*from).read(&mut some) {
                to.lock().unwrap().extend_from_slice(&some[..length]);
            }
        });
        Terminal { master, written, child }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, what: impl Fn(&str) -> bool) -> String {
        until(|| Some(self.text()).filter(|text| what(text))).unwrap_or_else(|| {
            let text = self.text();
            panic!("never seen; so far, the last of it: {:?}", text.chars().rev().take(2000).collect::<Vec<_>>().into_iter().rev().collect::<String>())
        })
    }

    fn tell(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code, and all it wrote.
    fn end(mut self) -> (Option<i32>, String) {
        let status = until(|| self.child.try_wait().unwrap()).expect("it ends");
        let mut length = usize::MAX;
        // The last bytes come after the end; then they stop coming.
        let text = until(|| {
            let text = self.text();
            let same = text.len() == length;
            length = text.len();
            same.then_some(text)
        });
        (status.code(), text.unwrap_or_default())
    }
}

fn size(terminal: &File, columns: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// A command that finds no Tare but the one it is told of, and asks no metadata service.
fn away(arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.env("TARE_LISTEN", "127.0.0.1:1").env("TARE_IMDS_ENABLED", "false").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn said(arguments: &[&str]) -> Said {
    finish(away(arguments))
}

fn served() -> (Served, String) {
    let served = serve(["--replay", host()]).unwrap();
    let url = format!("http://{}", served.address);
    until(|| served.get("/readyz").ok().filter(|answer| answer.status == 200)).expect("it serves");
    (served, url)
}

#[test]
fn a_terminal_gets_colours_unless_told_otherwise_and_a_pipe_when_told() {
    let replay = ["ps", "--replay", host()];
    let on_terminal = |more: &[&str], variables: &[(&str, &str)]| Terminal::new(&[&replay, more].concat(), variables, 100).end().1;
    assert!(on_terminal(&[], &[]).contains("\u{1b}["));
    assert!(!on_terminal(&[], &[("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!on_terminal(&["--color", "never"], &[]).contains('\u{1b}'));
    assert!(!on_terminal(&[], &[("TERM", "dumb")]).contains('\u{1b}'));
    assert!(!said(&replay).out.contains('\u{1b}'));
    assert!(said(&[&replay[..], &["--color=always"]].concat()).out.contains("\u{1b}["));
}

#[test]
fn a_watch_draws_in_place_follows_the_window_and_ends_well() {
    let (_served, url) = served();
    let terminal = Terminal::new(&["ps", "--watch=100ms", "--url", &url, "--color", "never"], &[], 100);
    let text = terminal.wait_for(|text| text.matches("\u{1b}[H").count() >= 3);
    assert!(text.starts_with("\u{1b}[?1049h\u{1b}[?25l\u{1b}[H"), "{text:?}");
    assert!(!text.contains("\u{1b}[2J"), "nothing is blank between two frames");
    size(&terminal.master, 50);
    terminal.tell(Signal::WINCH);
    let narrow = |frame: &str| {
        frame.ends_with("\u{1b}[J") && frame.lines().all(|line| line.replace("\u{1b}[K", "").replace("\u{1b}[J", "").trim_end().chars().count() <= 50)
    };
    let text = terminal.wait_for(|text| text.rsplit("\u{1b}[H").next().is_some_and(narrow));
    assert!(text.contains("WORKLOAD"));
    terminal.tell(Signal::INT);
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "ending a watch is no failure: {text:?}");
    assert!(text.ends_with("\u{1b}[?25h\u{1b}[?1049l"), "the terminal is left as it was: {text:?}");
}

#[test]
fn a_watch_outlives_the_tare_it_asks_on_a_terminal_and_not_in_a_pipe() {
    let (served, url) = served();
    let mut piped = away(&["ps", "--watch=100ms", "--url", &url, "-o", "ndjson"]).spawn().unwrap();
    let mut lines = BufReader::new(piped.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("{\"schema\""));
    let terminal = Terminal::new(&["cost", "--watch=100ms", "--url", &url], &[], 120);
    terminal.wait_for(|text| text.contains("\u{1b}[H"));
    drop(served);
    terminal.wait_for(|text| text.contains("no report from the Tare at") && text.contains("asking again"));
    terminal.tell(Signal::TERM);
    assert_eq!(terminal.end().0, Some(0));
    assert!(lines.next().is_none(), "a report is not told twice");
    assert_eq!(until(|| piped.try_wait().unwrap()).unwrap().code(), Some(1));
}

#[test]
fn a_pipe_gets_one_look_after_the_other() {
    for (form, least) in [("ndjson", 2), ("csv", 3), ("table", 3)] {
        let mut child = away(&["ps", "--watch=100ms", "--all", "-o", form]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let some: Vec<String> = lines.by_ref().take(least).map(Result::unwrap).collect();
        assert_eq!(some.len(), least);
        // A look later there is more.
        match form {
            "ndjson" => assert!(some[0] != some[1] && some.iter().all(|line| line.starts_with("{\"schema\""))),
            "csv" => assert!(
                some[0].starts_with("at,workload,") && lines.by_ref().map(Result::unwrap).any(|line| line.split(',').next() != some[1].split(',').next())
            ),
            _ => assert!(lines.by_ref().map(Result::unwrap).any(|line| line.is_empty()), "a blank line stands between two tables"),
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(until(|| child.try_wait().unwrap()).unwrap().code(), Some(0), "{form}");
    }
}

#[test]
fn what_takes_long_says_so_on_a_terminal_and_leaves_nothing() {
    let terminal = Terminal::new(&["ps", "--for", "1500ms", "-o", "json"], &[], 100);
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0));
    let bar = text.find("\rlooking at this host [").unwrap_or_else(|| panic!("{text:?}"));
    assert!(text[..bar].is_empty(), "it waits a second first");
    assert!(text.contains("\r\u{1b}[K{"), "it is gone before the answer: {text:?}");
    let piped = said(&["ps", "--for", "1500ms", "-o", "json"]);
    assert_eq!(piped.log, "");
}

#[test]
fn a_report_of_another_tare_says_so() {
    let (served, url) = served();
    assert!(said(&["ps", "--url", &url]).out.contains(&format!("by the Tare at {url}")));
    let mut here = command(["ps"]);
    here.env("TARE_LISTEN", served.address.to_string());
    assert!(finish(here).out.contains("by the Tare that runs here"));
    assert!(!said(&["ps", "--replay", host()]).out.contains("by the Tare"));
}

#[test]
fn exit_codes_are_as_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tare.toml");
    std::fs::write(&file, "lingr = \"5m\"\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, code, words) in [
        (&["ps", "--filter", "memry>5"][..], 2, "did you mean memory?"),
        (&["ps", "--for", "0s"], 2, "two looks are"),
        (&["cost", "--by", "namespace"], 2, "project"),
        (&["ps", "--url", "http://127.0.0.1:1"], 1, "127.0.0.1:1"),
        (&["config", "--check", file], 78, "did you mean linger?"),
        (&["config", "--check"], 0, ""),
        (&["healthcheck"], 1, "not healthy"),
        (&["completions", "bash"], 0, ""),
        (&["man"], 0, ""),
    ] {
        let said = said(arguments);
        assert_eq!(said.status.code(), Some(code), "{arguments:?}: {}", said.log);
        assert!(said.log.contains(words), "{arguments:?}: {}", said.log);
        assert_eq!(said.out.is_empty(), code != 0, "{arguments:?}");
    }
}

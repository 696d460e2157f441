//! The program under test: started, listened to, asked over HTTP and ended, the way its users do.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tare::report::Report;

/// Far beyond what anything here takes on a busy machine: past it something hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// `tare` with these arguments, away from the settings of whoever runs the tests.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["TARE_", "AWS_", "ECS_", "KUBERNETES_", "DOCKER_", "RUST_LOG"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command that ends by itself said.
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// What it answered.
    pub out: String,
    /// What it told.
    pub log: String,
}

/// Runs a command to its end. One that does not end within [`PATIENCE`] is killed and fails the test.
pub fn finish(mut command: Command) -> Said {
    let mut child = command.spawn().expect("the built program starts");
    let out = drain(child.stdout.take().expect("stdout is piped"));
    let log = drain(child.stderr.take().expect("stderr is piped"));
    let status = wait(&mut child).unwrap_or_else(|| panic!("{command:?} did not end within {PATIENCE:?}"));
    let text = |bytes: Receiver<Vec<u8>>| String::from_utf8_lossy(&bytes.recv_timeout(PATIENCE).unwrap_or_default()).into_owned();
    Said { status, out: text(out), log: text(log) }
}

fn drain(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = send.send(bytes);
    });
    receive
}

/// Waits for the end; kills after [`PATIENCE`].
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let status = until(|| child.try_wait().expect("it is our own child"));
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status
}

/// Asks again and again until there is an answer; `None` after [`PATIENCE`].
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// `tare ps --replay`: the report of each look, and what was told meanwhile.
pub fn reports(host: &Path) -> Result<(Vec<Report>, Said), String> {
    let said = finish(command([OsStr::new("ps"), OsStr::new("--replay"), host.as_os_str(), OsStr::new("-o"), OsStr::new("ndjson")]));
    if !said.status.success() {
        return Err(format!("tare ps ended with {}: {}", said.status, said.log));
    }
    let read = |line: &str| serde_json::from_str(line).map_err(|e| format!("a report that is none: {e}"));
    let reports = said.out.lines().map(read).collect::<Result<Vec<Report>, String>>()?;
    if reports.is_empty() { Err("no report".into()) } else { Ok((reports, said)) }
}

/// A `tare run` that serves. It is killed when it goes out of scope.
pub struct Served {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    lines: Arc<Mutex<String>>,
}

/// Starts `tare run` on a free port and waits until it says where it listens.
/// Errors: it ended, or said nothing in time; the text is what it told.
pub fn serve<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<Served, String> {
    let mut command = command(["run", "--listen", "127.0.0.1:0"]);
    command.args(arguments);
    serve_as(command)
}

/// The same for a command of the caller's making.
pub fn serve_as(mut command: Command) -> Result<Served, String> {
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let lines = Arc::new(Mutex::new(String::new()));
    let (found, address) = channel();
    listen(child.stdout.take().expect("stdout is piped"), Arc::clone(&lines), found.clone());
    listen(child.stderr.take().expect("stderr is piped"), Arc::clone(&lines), found);
    match address.recv_timeout(PATIENCE) {
        Ok(address) => Ok(Served { child, address, lines }),
        Err(_) => {
            let _ = child.kill();
            let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
            let told = lines.lock().expect("no writer panics").clone();
            Err(format!("tare run does not say where it listens ({status}): {told}"))
        }
    }
}

fn listen(from: impl Read + Send + 'static, to: Arc<Mutex<String>>, found: std::sync::mpsc::Sender<SocketAddr>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(address) = address(&line) {
                let _ = found.send(address);
            }
            let mut lines = to.lock().expect("no writer panics");
            lines.push_str(&line);
            lines.push('\n');
        }
    });
}

/// The address in `serving http://127.0.0.1:9464 …`, or https.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("serving http")?;
    let (_, rest) = rest.split_once("://")?;
    rest.split(|c: char| c.is_whitespace() || c == '/').next()?.parse().ok()
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// 200, 404, …
    pub status: u16,
    /// Its status line and headers.
    pub head: String,
    /// Without the head.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(':')).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Served {
    /// GETs a path.
    pub fn get(&self, path: &str) -> Result<Answer, String> {
        get(self.address, path)
    }

    /// The metrics, once a first look is done.
    pub fn metrics(&self) -> Result<Vec<u8>, String> {
        until(|| self.get("/readyz").ok().filter(|answer| answer.status == 200)).ok_or_else(|| format!("never ready: {}", self.log()))?;
        let answer = self.get("/metrics")?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("/metrics answers {}", answer.status)) }
    }

    /// All it has told so far.
    pub fn log(&self) -> String {
        self.lines.lock().expect("no writer panics").clone()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end (SIGTERM) and says how it did; `None` when it had to be killed.
    pub fn stop(mut self) -> (Option<ExitStatus>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is our own child");
        let status = wait(&mut self.child);
        (status, self.log())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer, String> {
    ask(address, "GET", path, &[])
}

/// One request with these headers on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n")?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    answer(&ask().map_err(|e| format!("{method} {path}: {e}"))?).ok_or_else(|| format!("{method} {path}: no HTTP answer"))
}

/// Splits an answer: its body is whole, or in chunks, as Go sends a long one.
fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer { status, head: head.into(), body: bytes[end + 4..].to_vec() };
    if answer.header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) {
        answer.body = joined(&answer.body)?;
    }
    Some(answer)
}

/// Chunks put together; `None` where one is cut off.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).ok()?, 16).ok()?;
        let chunk = chunks.get(end + 2..end + 2 + size)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        chunks = chunks.get(end + 4 + size..)?;
    }
}

//! A real Prometheus reads us: `promtool` finds nothing to say, and a query returns the number that was recorded.

use std::io::Write;
use std::process::{Command, Stdio};

/// What `promtool check metrics` says: `None` where it is not installed.
pub fn check_metrics(text: &[u8]) -> Option<Result<(), String>> {
    let mut child = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let text = text.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&text));
    let said = child.wait_with_output().expect("it is our own child");
    let _ = writer.join();
    let complaints = [said.stdout, said.stderr].concat();
    if said.status.success() && complaints.is_empty() { Some(Ok(())) } else { Some(Err(String::from_utf8_lossy(&complaints).into_owned())) }
}

//! What doctor asks the machine itself: the port, the limit on open files, who we are.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use collector::roots::Roots;

use crate::config::Settings;

use super::{Facts, Port, Pushing};

impl Facts {
    /// Asks; takes at most some seconds.
    pub fn ask(settings: &Settings, roots: &Roots) -> Facts {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Facts {
            today: Some(Timestamp::now().to_zoned(TimeZone::UTC).date()),
            port: Some(port(settings.listen)),
            open_files: open_files(&read("/proc/self/limits")),
            root: root(&read("/proc/self/status")),
            pushing: Pushing::ask(settings),
            tree: roots.sys.folders("fs/cgroup").first().map(|path| path.display().to_string()),
        }
    }
}

/// Opens the port and lets it go; where that fails, asks who has it.
fn port(listen: SocketAddr) -> Port {
    match TcpListener::bind(listen) {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse && answers_as_tare(listen) => Port::Tare,
        Err(error) => Port::Taken(error.to_string()),
    }
}

fn answers_as_tare(listen: SocketAddr) -> bool {
    const WAIT: Duration = Duration::from_millis(300);
    let near = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(near, listen.port()), WAIT)?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = vec![0; 512];
        let length = stream.read(&mut head)?;
        head.truncate(length);
        Ok(head)
    };
    ask().is_ok_and(|head| says_tare(&head))
}

/// Tare's server puts its name into every answer.
fn says_tare(head: &[u8]) -> bool {
    String::from_utf8_lossy(head).lines().any(|line| line.to_ascii_lowercase().starts_with("server: tare"))
}

/// The hard limit; Tare raises its own soft limit to it.
///
/// ```text
/// Limit                     Soft Limit           Hard Limit           Units
/// Max open files            1024                 524288               files
/// ```
fn open_files(limits: &str) -> Option<u64> {
    let words = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard = words.split_whitespace().nth(1)?;
    if hard == "unlimited" { Some(u64::MAX) } else { hard.parse().ok() }
}

/// The second of `Uid:` is the effective one (proc_pid_status(5)).
fn root(status: &str) -> Option<bool> {
    let user: u32 = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()?;
    Some(user == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_say_who_we_are() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \n";
        assert_eq!(open_files(limits), Some(524_288));
        assert_eq!(open_files("Max open files            unlimited            unlimited            files"), Some(u64::MAX));
        assert_eq!(open_files(""), None);
        assert_eq!(root("Name:\ttare\nUid:\t1000\t0\t1000\t1000\n"), Some(true));
        assert_eq!(root("Uid:\t0\t1000\t0\t0\n"), Some(false));
        assert_eq!(root("Uid:\n"), None);
    }

    #[test]
    fn a_port_is_free_or_taken_by_someone() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = other.local_addr().unwrap();
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let mut asked = [0; 256];
            let _ = stream.read(&mut asked).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nServer: tare/0.1.0\r\n\r\n").unwrap();
            other
        });
        assert_eq!(port(listen), Port::Tare);
        let other = answer.join().unwrap();
        // The port stays taken while nobody answers.
        assert!(matches!(port(listen), Port::Taken(_)));
        drop(other);
        assert!(!says_tare(b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n"));
    }
}

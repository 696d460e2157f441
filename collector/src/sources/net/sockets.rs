//! `/proc/<pid>/net/{snmp,netstat,sockstat,sockstat6}`: what the sockets of one network name space did, and how many there are.
//!
//! `net/tcp` would tell the state of each connection; it has a line for every one of them, and is not read.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::roots::{Roots, read_again};
use crate::snapshot::Sockets;
use crate::sources::text::{digits, lines, words};

/// Takes the text of a file.
type Take = fn(&[u8], &mut Sockets);

/// The files, and what takes their text.
pub(crate) const FILES: [(&str, Take); 4] = [("snmp", counters), ("netstat", counters), ("sockstat", levels), ("sockstat6", levels)];

/// `netstat` has some 4 KiB; what does not fit is read on.
const BUFFER: usize = 8 << 10;
/// What is longer is cut.
const LONGEST: usize = 64 << 10;

/// The sockets of the name space whose `net` folder is `folder`: `<pid>/net` below `proc`. `None`: nothing of them can be read, as the process has gone or
/// the kernel has no such files, or it is not the name space with the number `space` (a process number may be another's by now).
pub(crate) fn read(roots: &Roots, pid: u32, folder: &Path, space: Option<u64>, buffer: &mut Vec<u8>) -> Option<Sockets> {
    let mut sockets = Sockets::default();
    if roots.recorded.is_some() {
        for (name, take) in FILES {
            if let Ok(text) = roots.read_proc(&format!("{pid}/net/{name}")) {
                take(text.as_bytes(), &mut sockets);
            }
        }
    } else {
        buffer.resize(buffer.len().max(BUFFER), 0);
        const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
        // From the folder the way to each file is short.
        let door = rustix::fs::openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        if let Some(space) = space
            && rustix::fs::statat(&door, "dev", AtFlags::empty()).ok()?.st_ino != space
        {
            return None;
        }
        for (name, take) in FILES {
            let Ok(file) = rustix::fs::openat(&door, name, FLAGS, Mode::empty()) else { continue };
            if let Ok((length, _)) = read_again(&file, buffer, LONGEST) {
                take(&buffer[..length], &mut sockets);
            }
        }
    }
    (sockets != Sockets::default()).then_some(sockets)
}

/// `net/snmp` and `net/netstat`: a line of names and a line of their numbers for each protocol. A number that is none (`MaxConn` is -1) costs itself only; a
/// line that breaks off or has no line of names says nothing.
///
/// ```text
/// Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
/// Tcp: 1 200 120000 -1 38396 36133 1806 345 12 730048 908763 671 0 2202 0
/// Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
/// Udp: 437 0 0 439 0 0 0 0 0
/// TcpExt: … ListenOverflows ListenDrops … TCPTimeouts … TCPSynRetrans …
/// TcpExt: … 9 14 … 136 … 126 …
/// ```
/// Which names there are, and in which order, differs from kernel to kernel.
pub fn counters(text: &[u8], sockets: &mut Sockets) {
    let mut names: Option<&[u8]> = None;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { return };
        let Some(above) = names.take() else {
            names = Some(line);
            continue;
        };
        let (mut keys, mut numbers) = (words(above), words(line));
        let (Some(of), Some(same)) = (keys.next(), numbers.next()) else { continue };
        if of != same {
            names = Some(line);
            continue;
        }
        let tcp = &mut sockets.tcp;
        let udp = &mut sockets.udp;
        for (key, number) in keys.zip(numbers) {
            let place = match (of, key) {
                (b"Tcp:", b"ActiveOpens") => &mut tcp.active_opens,
                (b"Tcp:", b"PassiveOpens") => &mut tcp.passive_opens,
                (b"Tcp:", b"AttemptFails") => &mut tcp.failed_opens,
                (b"Tcp:", b"EstabResets") => &mut tcp.resets,
                (b"Tcp:", b"CurrEstab") => &mut tcp.established,
                (b"Tcp:", b"InSegs") => &mut tcp.received,
                (b"Tcp:", b"OutSegs") => &mut tcp.sent,
                (b"Tcp:", b"RetransSegs") => &mut tcp.retransmitted,
                (b"Tcp:", b"InErrs") => &mut tcp.errors,
                (b"Tcp:", b"OutRsts") => &mut tcp.resets_sent,
                (b"TcpExt:", b"ListenOverflows") => &mut tcp.listen_overflows,
                (b"TcpExt:", b"ListenDrops") => &mut tcp.listen_drops,
                (b"TcpExt:", b"TCPTimeouts") => &mut tcp.timeouts,
                (b"TcpExt:", b"TCPSynRetrans") => &mut tcp.syn_retransmitted,
                (b"Udp:", b"InDatagrams") => &mut udp.received,
                (b"Udp:", b"OutDatagrams") => &mut udp.sent,
                (b"Udp:", b"NoPorts") => &mut udp.no_port,
                (b"Udp:", b"InErrors") => &mut udp.errors,
                (b"Udp:", b"RcvbufErrors") => &mut udp.receive_buffer_errors,
                (b"Udp:", b"SndbufErrors") => &mut udp.send_buffer_errors,
                _ => continue,
            };
            *place = digits(number);
        }
    }
}

/// `net/sockstat` and `net/sockstat6`; sockets of both are added.
///
/// ```text
/// sockets: used 15
/// TCP: inuse 1 orphan 0 tw 3 alloc 5 mem 2
/// UDP: inuse 2 mem 0
/// ```
/// ```text
/// TCP6: inuse 4
/// UDP6: inuse 0
/// ```
pub fn levels(text: &[u8], sockets: &mut Sockets) {
    let more = |place: &mut Option<u64>, number: Option<u64>| *place = number.map_or(*place, |number| Some(place.unwrap_or(0).saturating_add(number)));
    for line in lines(text) {
        let mut words = words(line);
        let Some(of) = words.next() else { continue };
        while let (Some(key), Some(number)) = (words.next(), words.next()) {
            let number = digits(number);
            match (of, key) {
                (b"sockets:", b"used") => sockets.used = number,
                (b"TCP:" | b"TCP6:", b"inuse") => more(&mut sockets.tcp.in_use, number),
                (b"TCP:", b"orphan") => sockets.tcp.orphaned = number,
                (b"TCP:", b"tw") => sockets.tcp.time_wait = number,
                (b"TCP:", b"mem") => sockets.tcp.memory_pages = number,
                (b"UDP:" | b"UDP6:", b"inuse") => more(&mut sockets.udp.in_use, number),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::{Tcp, Udp};

    const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives\nIp: 1 64 730543\n\
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n\
Tcp: 1 200 120000 -1 38396 36133 1806 345 12 730048 908763 671 4 2202 0\n\
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\nUdp: 437 1 2 439 3 5 0 0 0\n\
UdpLite: InDatagrams NoPorts\nUdpLite: 9 9\n";

    fn read(texts: &[&str]) -> Sockets {
        let mut sockets = Sockets::default();
        for text in texts {
            counters(text.as_bytes(), &mut sockets);
        }
        sockets
    }

    #[test]
    fn counters_stand_below_their_names() {
        let tcp = Tcp {
            active_opens: Some(38396),
            passive_opens: Some(36133),
            failed_opens: Some(1806),
            resets: Some(345),
            established: Some(12),
            received: Some(730_048),
            sent: Some(908_763),
            retransmitted: Some(671),
            errors: Some(4),
            resets_sent: Some(2202),
            ..Tcp::default()
        };
        let udp = Udp {
            received: Some(437),
            no_port: Some(1),
            errors: Some(2),
            sent: Some(439),
            receive_buffer_errors: Some(3),
            send_buffer_errors: Some(5),
            in_use: None,
        };
        assert_eq!(read(&[SNMP]), Sockets { used: None, tcp, udp });
        let both = read(&[SNMP, "TcpExt: ListenOverflows New ListenDrops TCPTimeouts TCPSynRetrans\nTcpExt: 9 7 14 136 126\nIpExt: InOctets\nIpExt: 5\n"]);
        let more = Tcp { listen_overflows: Some(9), listen_drops: Some(14), timeouts: Some(136), syn_retransmitted: Some(126), ..tcp };
        assert_eq!(both.tcp, more);
    }

    #[test]
    fn what_is_torn_or_odd_says_nothing() {
        for (text, retransmitted, sent) in [
            ("Tcp: RetransSegs OutSegs\nTcp: 5 6\n", Some(5), Some(6)),
            ("Tcp: RetransSegs OutSegs\nTcp: 5 6", None, None),
            ("Tcp: RetransSegs OutSegs\nTcp: 5\n", Some(5), None),
            ("Tcp: RetransSegs OutSegs\nTcp: -1 6 7\n", None, Some(6)),
            ("Tcp: RetransSegs OutSegs\nUdp: 5 6\n", None, None),
            ("Ip: X\nTcp: RetransSegs OutSegs\nTcp: 5 6\n", Some(5), Some(6)),
            ("Tcp: 5 6\n", None, None),
            ("", None, None),
        ] {
            let tcp = read(&[text]).tcp;
            assert_eq!((tcp.retransmitted, tcp.sent), (retransmitted, sent), "{text:?}");
        }
    }

    #[test]
    fn sockets_of_both_families_are_added() {
        let mut sockets = Sockets::default();
        levels(b"sockets: used 15\nTCP: inuse 1 orphan 6 tw 3 alloc 5 mem 2\nUDP: inuse 2 mem 0\nUDPLITE: inuse 9\n", &mut sockets);
        levels(b"TCP6: inuse 4\nUDP6: inuse x\nRAW6: inuse 9\n", &mut sockets);
        let tcp = Tcp { in_use: Some(5), orphaned: Some(6), time_wait: Some(3), memory_pages: Some(2), ..Tcp::default() };
        assert_eq!(sockets, Sockets { used: Some(15), tcp, udp: Udp { in_use: Some(2), ..Udp::default() } });
    }

    #[test]
    fn this_machine_has_sockets() {
        let folder = Path::new("/proc/self/net");
        let read = |folder: &Path, space| super::read(&Roots::live(), 0, folder, space, &mut Vec::new());
        let sockets = read(folder, None).unwrap();
        assert!(sockets.tcp.retransmitted.is_some() && sockets.tcp.listen_drops.is_some() && sockets.tcp.in_use.is_some() && sockets.used.is_some());
        let space = std::fs::metadata("/proc/self/net/dev").unwrap().ino();
        assert!(read(folder, Some(space)).is_some() && read(folder, Some(space + 1)).is_none() && read(Path::new("/proc/0/net"), None).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(text in "(Tcp:|Udp:|TCP:|inuse|RetransSegs|[0-9 \n-]|\\PC){0,60}") {
            let mut sockets = Sockets::default();
            counters(text.as_bytes(), &mut sockets);
            levels(text.as_bytes(), &mut sockets);
        }

        #[test]
        fn a_torn_file_never_says_more_than_the_whole(cut in 0..SNMP.len()) {
            let (torn, whole) = (read(&[&SNMP[..cut]]), read(&[SNMP]));
            prop_assert!(torn.tcp.retransmitted.is_none() || torn.tcp == whole.tcp);
            prop_assert!(torn.udp.received.is_none() || torn.udp == whole.udp);
        }
    }
}

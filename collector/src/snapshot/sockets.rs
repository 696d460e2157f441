//! What the sockets of one network name space did, and how many there are: `/proc/<pid>/net/{snmp,netstat,sockstat,sockstat6}`.

use serde::{Deserialize, Serialize};

/// The sockets of one network name space, those on `lo` among them. A line or word that a kernel lacks is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// Sockets of all kinds (`sockets: used`).
    pub used: Option<u64>,
    /// TCP, over IPv4 and IPv6.
    pub tcp: Tcp,
    /// UDP; the counters over IPv4, the sockets over both.
    pub udp: Udp,
}

/// TCP. Counters since the name space was made (RFC 4022, and the kernel's Documentation/networking/snmp_counter.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tcp {
    /// Connections opened from here (`ActiveOpens`).
    pub active_opens: Option<u64>,
    /// Connections opened from there (`PassiveOpens`).
    pub passive_opens: Option<u64>,
    /// Connections that never came about (`AttemptFails`).
    pub failed_opens: Option<u64>,
    /// Established connections that were reset (`EstabResets`).
    pub resets: Option<u64>,
    /// Resets sent (`OutRsts`).
    pub resets_sent: Option<u64>,
    /// Segments received (`InSegs`).
    pub received: Option<u64>,
    /// Segments sent, those sent again left out (`OutSegs`).
    pub sent: Option<u64>,
    /// Segments sent again (`RetransSegs`).
    pub retransmitted: Option<u64>,
    /// Segments received that were bad (`InErrs`).
    pub errors: Option<u64>,
    /// Connections lost because the queue of a listening socket was full (`ListenOverflows`).
    pub listen_overflows: Option<u64>,
    /// Connections that a listening socket lost for any reason, a full queue among them (`ListenDrops`).
    pub listen_drops: Option<u64>,
    /// Retransmission timers that ran out (`TCPTimeouts`).
    pub timeouts: Option<u64>,
    /// Opening segments sent again (`TCPSynRetrans`).
    pub syn_retransmitted: Option<u64>,
    /// Connections established or waiting for the last close, now (`CurrEstab`).
    pub established: Option<u64>,
    /// Sockets in use now, listening ones among them.
    pub in_use: Option<u64>,
    /// Sockets that no process holds any more. The kernel keeps one count for the whole machine.
    pub orphaned: Option<u64>,
    /// Connections that wait until nothing of them can be under way any more (`tw`).
    pub time_wait: Option<u64>,
    /// Pages of memory that TCP sockets hold. The kernel keeps one count for the whole machine.
    pub memory_pages: Option<u64>,
}

/// UDP. Counters since the name space was made (RFC 4113).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Udp {
    /// Datagrams received (`InDatagrams`).
    pub received: Option<u64>,
    /// Datagrams sent (`OutDatagrams`).
    pub sent: Option<u64>,
    /// Datagrams to a port where nobody listens (`NoPorts`).
    pub no_port: Option<u64>,
    /// Datagrams lost for all other reasons (`InErrors`).
    pub errors: Option<u64>,
    /// Datagrams lost because the receiver's buffer was full, part of `errors` (`RcvbufErrors`).
    pub receive_buffer_errors: Option<u64>,
    /// Datagrams not sent because the sender's buffer was full (`SndbufErrors`).
    pub send_buffer_errors: Option<u64>,
    /// Sockets in use now.
    pub in_use: Option<u64>,
}

impl Sockets {
    /// Adds another name space's; a figure that one of them lacks is not known.
    pub(crate) fn add(&mut self, other: &Sockets) {
        let add = |a: &mut Option<u64>, b: Option<u64>| *a = a.zip(b).map(|(a, b)| a.saturating_add(b));
        add(&mut self.used, other.used);
        let (a, b) = (&mut self.tcp, &other.tcp);
        add(&mut a.active_opens, b.active_opens);
        add(&mut a.passive_opens, b.passive_opens);
        add(&mut a.failed_opens, b.failed_opens);
        add(&mut a.resets, b.resets);
        add(&mut a.resets_sent, b.resets_sent);
        add(&mut a.received, b.received);
        add(&mut a.sent, b.sent);
        add(&mut a.retransmitted, b.retransmitted);
        add(&mut a.errors, b.errors);
        add(&mut a.listen_overflows, b.listen_overflows);
        add(&mut a.listen_drops, b.listen_drops);
        add(&mut a.timeouts, b.timeouts);
        add(&mut a.syn_retransmitted, b.syn_retransmitted);
        add(&mut a.established, b.established);
        add(&mut a.in_use, b.in_use);
        add(&mut a.time_wait, b.time_wait);
        // One count for the whole machine.
        (a.orphaned, a.memory_pages) = (a.orphaned.or(b.orphaned), a.memory_pages.or(b.memory_pages));
        let (a, b) = (&mut self.udp, &other.udp);
        add(&mut a.received, b.received);
        add(&mut a.sent, b.sent);
        add(&mut a.no_port, b.no_port);
        add(&mut a.errors, b.errors);
        add(&mut a.receive_buffer_errors, b.receive_buffer_errors);
        add(&mut a.send_buffer_errors, b.send_buffer_errors);
        add(&mut a.in_use, b.in_use);
    }
}

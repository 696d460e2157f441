//! Who may see what.

use std::net::IpAddr;
use std::path::PathBuf;

use hyper::Request;
use hyper::header;

use super::guard::Visitor;

/// Who may see what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Serve the report on an address that others can reach.
    pub expose: bool,
    /// Host headers to accept for the report, beside loopback names and the listening address.
    pub hosts: Vec<String>,
    /// The web config file: TLS, passwords, tokens.
    pub config_file: Option<PathBuf>,
}

impl Settings {
    /// Why this request may not see the report. `on` is the address it came in at: who comes by loopback is on this machine, wherever else is listened. Who has said who they are may: a foreign web page cannot, for browsers keep passwords by name. The Host header is checked so that a web page elsewhere cannot read it by DNS rebinding.
    pub(super) fn refusal<B>(&self, on: IpAddr, request: &Request<B>, visitor: Visitor) -> Option<&'static str> {
        if visitor == Visitor::Known {
            return None;
        }
        if !on.to_canonical().is_loopback() && !self.expose {
            return Some(
                "this address is open to others and the report is not exposed: set web.expose = true, give web.config_file passwords or tokens, or listen on 127.0.0.1\n",
            );
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        (!self.knows(host)).then_some("unknown Host header: add the name to web.hosts\n")
    }

    fn knows(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let literal = bare.parse::<IpAddr>().is_ok();
        literal || name.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

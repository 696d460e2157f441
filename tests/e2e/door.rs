//! The door: TLS, passwords and tokens as Prometheus uses them, and clients that only want to be in the way.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::program::{self, PATIENCE, Served};
use crate::prometheus::Prometheus;

const TOKEN: &str = "a-token-of-24-characters";

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts/v1-apart")
}

/// A recorded host behind this web config file; certificate and token lie beside it.
fn served(folder: &Path, web: &str) -> (Served, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write(folder.join("server.crt"), made.cert.pem()).unwrap();
    fs::write(folder.join("server.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("token"), TOKEN).unwrap();
    let file = folder.join("web.yml");
    fs::write(&file, web).unwrap();
    let mut command = program::command(["run", "--listen", "127.0.0.1:0", "--replay"]);
    command.arg(host()).env("TARE_WEB_CONFIG_FILE", &file);
    (program::serve_as(command).unwrap(), made.cert.der().clone())
}

/// Status and body of one GET over TLS.
fn ask(served: &Served, trusted: &CertificateDer<'static>, path: &str, more: &str) -> (u16, String) {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let tcp = TcpStream::connect(served.address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n").unwrap();
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said).into_owned();
    (said.split(' ').nth(1).unwrap().parse().unwrap(), said)
}

const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";

#[test]
fn prometheus_comes_in_with_tls_and_a_password_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash_with_salt("open sesame", 4, [7; 16]).unwrap();
    let (served, certificate) = served(
        folder.path(),
        &format!(
            "{TLS}basic_auth_users: {{alice: {hash}}}\nbearer_token_files: [token]\nhttp_server_config: {{headers: {{Strict-Transport-Security: max-age=5}}}}\n"
        ),
    );
    assert!(program::until(|| served.log().contains("serving https://").then_some(())).is_some(), "{}", served.log());
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for (path, more, status) in [
        ("/metrics", "", 401),
        ("/metrics", &*bearer, 200),
        ("/report.json", "", 401),
        ("/report.json", &*bearer, 200),
        ("/readyz", "", 200),
        ("/healthz", "", 200),
    ] {
        let (said, answer) = ask(&served, &certificate, path, more);
        assert_eq!(said, status, "{path}: {answer}");
        assert!(answer.contains("strict-transport-security: max-age=5"), "{answer}");
        assert_eq!(answer.contains("www-authenticate: Basic"), status == 401);
    }
    let plain = served.get("/healthz");
    assert!(plain.is_err() || plain.as_ref().is_ok_and(|answer| answer.status != 200), "no plain HTTP where TLS is asked for: {plain:?}");

    let trust = format!("  scheme: https\n  tls_config: {{ca_file: {}, server_name: localhost}}\n", folder.path().join("server.crt").display());
    let passwords = ["  basic_auth: {username: alice, password: open sesame}\n", "  basic_auth: {username: alice, password: wrong}\n"];
    for (more, up) in passwords.into_iter().zip([1.0, 0.0]) {
        let folder = tempfile::tempdir().unwrap();
        let Some(prometheus) = Prometheus::start_as(folder.path(), served.address, &format!("{trust}{more}")) else {
            return println!("skipped: a Prometheus with a password: not installed");
        };
        assert_eq!(prometheus.query("up{job=\"tare\"}"), Some(up), "{more}");
    }
}

/// What a command on the same machine says, with the settings of the Tare that runs there.
fn beside(served: &Served, web: Option<&Path>, command: &[&str]) -> program::Said {
    let mut command = program::command(command);
    command.env("TARE_LISTEN", format!("0.0.0.0:{}", served.address.port())).env("TARE_IMDS_ENABLED", "false");
    command.envs(web.map(|web| ("TARE_WEB_CONFIG_FILE", web)));
    program::finish(command)
}

#[test]
fn commands_on_the_same_machine_find_their_way_in() {
    let folder = tempfile::tempdir().unwrap();
    let (served, _) = served(folder.path(), &format!("{TLS}bearer_token_files: [token]\n"));
    let web = folder.path().join("web.yml");
    let said = beside(&served, Some(&web), &["healthcheck"]);
    assert_eq!((said.status.code(), said.out.as_str(), said.log.as_str()), (Some(0), "", ""));
    assert!(beside(&served, Some(&web), &["ps"]).out.contains("old-2"), "the host that is served, not this one");
    // Another certificate than the one in the file is somebody else's.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("server.crt"), other.cert.pem()).unwrap();
    fs::write(elsewhere.path().join("server.key"), other.signing_key.serialize_pem()).unwrap();
    fs::write(elsewhere.path().join("web.yml"), TLS).unwrap();
    let said = beside(&served, Some(&elsewhere.path().join("web.yml")), &["healthcheck"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(said.log.contains("not healthy") && said.log.contains("certificate"), "{}", said.log);
}

#[test]
fn a_healthcheck_says_what_is_wrong() {
    let served = program::serve([Path::new("--replay"), &host()]).unwrap();
    assert_eq!(beside(&served, None, &["healthcheck"]).status.code(), Some(0));
    let url = format!("http://{}", served.address);
    assert_eq!(program::finish(program::command(["healthcheck", "--url", &url])).status.code(), Some(0));
    let address = served.address;
    drop(served);
    let said = program::finish(program::command(["healthcheck", "--url", &url]));
    assert_eq!(said.status.code(), Some(1));
    assert!(said.log.contains("not healthy") && said.log.contains(&address.to_string()), "{}", said.log);
}

#[test]
fn a_new_certificate_counts_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (served, old) = served(folder.path(), TLS);
    assert_eq!(ask(&served, &old, "/metrics", "").0, 200);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write(folder.path().join("server.crt"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("server.key"), made.signing_key.serialize_pem()).unwrap();
    let new = made.cert.der().clone();
    let shown = || {
        let mut stream = TcpStream::connect(served.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut roots = RootCertStore::empty();
        roots.add(new.clone()).ok()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?.with_root_certificates(roots).with_no_client_auth();
        let mut connection = ClientConnection::new(Arc::new(config), "localhost".try_into().ok()?).ok()?;
        connection.complete_io(&mut stream).ok()
    };
    assert!(program::until(shown).is_some(), "{}", served.log());
    assert_eq!(ask(&served, &new, "/metrics", "").0, 200);
}

#[test]
fn a_wrong_web_config_file_stops_it_before_a_port_opens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    fs::write(&file, "basic_auth_user: {}\n").unwrap();
    let mut command = program::command(["run", "--listen", "127.0.0.1:0"]);
    command.env("TARE_WEB_CONFIG_FILE", &file);
    let said = program::finish(command);
    assert_eq!(said.status.code(), Some(78), "{}", said.log);
    assert!(said.log.contains("basic_auth_user") && said.log.contains("web.yml") && !said.log.contains("serving"), "{}", said.log);
}

/// Ten thousand connections, in two waves because both ends of each take a descriptor of ours or the kernel's: every wave holds far more than the server does,
/// half of it half-way through a request. In between a scrape is answered, and the server holds no more than it says.
#[test]
fn ten_thousand_connections_shut_nobody_out() {
    const WAVE: usize = 5_000;
    let room = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = WAVE as u64 + 500;
    if room.maximum.is_some_and(|most| most < wanted) {
        return println!("skipped: ten thousand connections: at most {:?} descriptors are allowed here", room.maximum);
    }
    if room.current.is_some_and(|most| most < wanted) {
        rustix::process::setrlimit(rustix::process::Resource::Nofile, rustix::process::Rlimit { current: room.maximum, maximum: room.maximum }).unwrap();
    }
    let served = program::serve([Path::new("--replay"), &host()]).unwrap();
    served.metrics().unwrap();
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", served.pid())).unwrap().count();
    let before = descriptors();
    for _ in 0..2 {
        let mut wave = Vec::new();
        for at in 0..WAVE {
            let Ok(mut stream) = TcpStream::connect(served.address) else { continue };
            if at % 2 == 0 {
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n");
            }
            wave.push(stream);
            // Often enough that the kernel's queue of connections not yet accepted never overflows: then it would let us wait whole seconds.
            if at % 100 == 99 {
                assert_eq!(served.get("/metrics").unwrap().status, 200);
                assert!(descriptors() < before + 300, "{} descriptors are open", descriptors());
            }
        }
        assert!(wave.len() > WAVE / 2, "only {} connections were opened", wave.len());
    }
    assert_eq!(served.get("/readyz").unwrap().status, 200);
}

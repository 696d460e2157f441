//! Passwords, tokens and certificates at the door, and files that change while it stands open.

use std::fs::File;

use rcgen::{CertificateParams, Issuer, KeyPair};

use super::*;

const TOKEN: &str = "0123456789abcdef-token";

fn folder(web: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    fs::write(&file, web).unwrap();
    fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    (folder, file)
}

fn users(password: &str) -> String {
    format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap())
}

fn said(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
}

fn basic(user: &str, password: &str) -> HeaderMap {
    said(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

#[tokio::test]
async fn a_password_or_a_token_opens() {
    let (_folder, file) = folder(&format!("{}bearer_token_files: [token]\n", users("open: sesame")));
    let guard = Guard::new(Some(&file)).unwrap();
    for (headers, visitor) in [
        (basic("alice", "open: sesame"), Visitor::Known),
        (basic("alice", "open: sesame"), Visitor::Known),
        (basic("alice", "other"), Visitor::Stranger),
        (basic("", ""), Visitor::Stranger),
        (basic("nobody", "open: sesame"), Visitor::Stranger),
        (basic("alice", ""), Visitor::Stranger),
        (said(&format!("bearer {TOKEN}")), Visitor::Known),
        (said("Bearer 0123456789abcdef-other"), Visitor::Stranger),
        (said("Bearer "), Visitor::Stranger),
        (said("Basic !!!"), Visitor::Stranger),
        (said("Digest x"), Visitor::Stranger),
        (said("Basic"), Visitor::Stranger),
        (HeaderMap::new(), Visitor::Stranger),
    ] {
        assert_eq!(guard.judge(&headers).await, visitor, "{headers:?}");
    }
    assert_eq!(guard.locked().proven.len(), 1, "only what is right is remembered");
    assert_eq!(Guard::new(None).unwrap().judge(&HeaderMap::new()).await, Visitor::Anyone);
}

#[test]
fn nobody_has_a_password() {
    assert!(NOBODY.parse::<bcrypt::HashParts>().is_ok(), "so that an unknown user takes as long as a known one");
}

/// The clock that bounds how often the files are looked at is stepped over, not waited for.
async fn later(guard: &Guard) {
    let mut inner = guard.locked();
    inner.looked = inner.looked.checked_sub(EVERY).unwrap();
}

#[tokio::test]
async fn what_changes_counts_and_what_breaks_does_not() {
    let (_folder, file) = folder(&users("first"));
    let touch = |second: u64| File::options().append(true).open(&file).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    let guard = Guard::new(Some(&file)).unwrap();
    assert_eq!(guard.judge(&basic("alice", "first")).await, Visitor::Known);
    fs::write(&file, users("second")).unwrap();
    touch(1);
    later(&guard).await;
    assert_eq!(guard.judge(&basic("alice", "first")).await, Visitor::Stranger, "a proof of the old file is forgotten");
    assert_eq!(guard.judge(&basic("alice", "second")).await, Visitor::Known);
    fs::write(&file, "basic_auth_users: [").unwrap();
    touch(2);
    later(&guard).await;
    assert_eq!(guard.judge(&basic("alice", "second")).await, Visitor::Known);
    fs::remove_file(&file).unwrap();
    later(&guard).await;
    assert_eq!(guard.judge(&HeaderMap::new()).await, Visitor::Stranger, "a file that is gone opens nothing");
}

#[test]
fn certificates_and_keys_are_checked_at_the_start() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let other = KeyPair::generate().unwrap();
    let pem = |text: &str| text.replace('\n', "\n    ");
    let tls = |certificate: &str, key: &str, more: &str| format!("tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n{more}", pem(certificate), pem(key));
    let good = (certificate.pem(), key.serialize_pem());
    let made = |text: &str| {
        let (_folder, file) = folder(text);
        Guard::new(Some(&file))
    };
    let guard = made(&tls(&good.0, &good.1, "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [X25519, CurveP256]\n")).unwrap();
    assert_eq!(guard.tls().unwrap().alpn_protocols, [b"http/1.1"]);
    for (text, reason) in [
        (tls("none", &good.1, ""), "no certificate in PEM"),
        (tls(&good.0, "none", ""), "no private key in PEM"),
        (tls(&good.0, &other.serialize_pem(), ""), "do not serve"),
        (tls(&good.0, &good.1, "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n"), "\"TLS_RSA_WITH_RC4_128_SHA\" is not among TLS_"),
        (tls(&good.0, &good.1, "  curve_preferences: [CurveP521]\n"), "\"CurveP521\" is not among"),
        ("tls_server_config: {cert_file: gone.crt, key_file: gone.key}".into(), "gone.crt: No such file"),
        ("bearer_token_files: [gone]".into(), "gone: No such file"),
        ("http_server_config: {headers: {X-Frame-Options: \"a\\nb\"}}".into(), "x-frame-options has a character"),
    ] {
        let problem = made(&text).unwrap_err();
        assert!(problem.contains(reason) && problem.starts_with("web.config_file /") && !problem.contains("PRIVATE"), "{problem}");
    }
    let short = folder("bearer_token_files: [token]");
    fs::write(short.0.path().join("token"), "short").unwrap();
    assert!(Guard::new(Some(&short.1)).unwrap_err().contains("at least 16"));
}

/// A client certificate opens the connection; none, or one of somebody else, does not.
#[tokio::test]
async fn client_certificates_are_asked_for() {
    let signed = |names: &str, by: &Issuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![names.into()]).unwrap().signed_by(&key, by).unwrap();
        (certificate, key)
    };
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate, Issuer::new(params, key))
    };
    let ((root, ours), (_, theirs)) = (authority(), authority());
    let (server, server_key) = signed("localhost", &ours);
    let (folder, file) =
        folder("tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}\n");
    for (name, text) in [("server.crt", server.pem()), ("server.key", server_key.serialize_pem()), ("ca.crt", root.pem())] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let guard = Guard::new(Some(&file)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for (client, opens) in [(None, false), (Some(signed("client", &ours)), true), (Some(signed("client", &theirs)), false)] {
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots.clone());
        let config = match client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate.der().clone()], key.into()).unwrap(),
        };
        let (near, far) = tokio::io::duplex(1 << 16);
        let ask = tokio_rustls::TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), near);
        let (_, answered) = tokio::join!(ask, tokio_rustls::TlsAcceptor::from(guard.tls().unwrap()).accept(far));
        assert_eq!(answered.is_ok(), opens);
    }
}

//! A TLS configuration made of the web config file: rustls over aws-lc, TLS 1.2 and 1.3.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{NamedGroup, RootCertStore, ServerConfig};

use super::file::{ClientAuth, Tls, Version, beside};

/// What the server needs for TLS, and the certificate it shows. `file` is the web config file the paths are relative to. Errors: which file or name, and what is wrong with it.
pub(super) fn server(tls: &Tls, file: &Path) -> Result<(Arc<ServerConfig>, CertificateDer<'static>), String> {
    let read = |inline: Option<&str>, path: Option<&Path>| -> Result<(String, String), String> {
        match (inline, path) {
            (Some(text), _) => Ok(("the web config file".into(), text.into())),
            (None, Some(path)) => {
                let path = beside(file, path);
                let text = fs::read_to_string(&path).map_err(|problem| format!("{}: {problem}", path.display()))?;
                Ok((path.display().to_string(), text))
            }
            (None, None) => Ok((String::new(), String::new())),
        }
    };
    let (from, text) = read(tls.cert.as_deref(), tls.cert_file.as_deref())?;
    let chain = certificates(&from, &text)?;
    let shown = chain[0].clone();
    let (from, text) = read(tls.key.as_ref().map(|key| &*key.0), tls.key_file.as_deref())?;
    // The parser's own words are left out: they could quote the key.
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| format!("{from}: no private key in PEM"))?;

    let provider = Arc::new(provider(tls)?);
    let versions: Vec<_> = [(Version::Tls12, &rustls::version::TLS12), (Version::Tls13, &rustls::version::TLS13)]
        .into_iter()
        .filter(|(version, _)| (tls.min_version..=tls.max_version).contains(version))
        .map(|(_, version)| version)
        .collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|problem| format!("tls_server_config: {problem}"))?;
    let builder = match tls.client_auth_type {
        ClientAuth::NoClientCert => builder.with_no_client_auth(),
        auth => {
            let (from, text) = read(tls.client_ca.as_deref(), tls.client_ca_file.as_deref())?;
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&from, &text)? {
                roots.add(certificate).map_err(|problem| format!("{from}: {problem}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if auth == ClientAuth::VerifyClientCertIfGiven { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|problem| format!("{from}: {problem}"))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|problem| format!("tls_server_config: certificate and key do not serve: {problem}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    Ok((Arc::new(config), shown))
}

/// At least one.
fn certificates(from: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|problem| format!("{from}: {problem}"))?;
    if all.is_empty() { Err(format!("{from}: no certificate in PEM")) } else { Ok(all) }
}

/// aws-lc with the suites and curves that the file chooses, in its order.
fn provider(tls: &Tls) -> Result<CryptoProvider, String> {
    let mut provider = aws_lc_rs::default_provider();
    if !tls.cipher_suites.is_empty() {
        // Those of TLS 1.3 cannot be chosen, as in Go; rustls names them TLS13_*.
        let (modern, old): (Vec<_>, Vec<_>) = provider.cipher_suites.into_iter().partition(|suite| suite.tls13().is_some());
        let known = old.iter().map(|suite| (format!("{:?}", suite.suite()), *suite)).collect::<Vec<_>>();
        provider.cipher_suites = modern;
        provider.cipher_suites.extend(chosen("cipher_suites", &tls.cipher_suites, &known)?);
    }
    if !tls.curve_preferences.is_empty() {
        let known: Vec<_> = provider.kx_groups.iter().filter_map(|group| Some((curve(group.name())?.to_owned(), *group))).collect();
        provider.kx_groups = chosen("curve_preferences", &tls.curve_preferences, &known)?;
    }
    Ok(provider)
}

/// Go's name of a curve.
fn curve(group: NamedGroup) -> Option<&'static str> {
    match group {
        NamedGroup::X25519 => Some("X25519"),
        NamedGroup::secp256r1 => Some("CurveP256"),
        NamedGroup::secp384r1 => Some("CurveP384"),
        NamedGroup::X25519MLKEM768 => Some("X25519MLKEM768"),
        _ => None,
    }
}

fn chosen<T: Copy>(what: &str, names: &[String], known: &[(String, T)]) -> Result<Vec<T>, String> {
    let find = |name: &String| known.iter().find(|(known, _)| known == name).map(|(_, found)| *found);
    let allowed = || known.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    names.iter().map(|name| find(name).ok_or_else(|| format!("tls_server_config.{what}: {name:?} is not among {}", allowed()))).collect()
}

//! The Tare that runs here: how a command on the same machine reaches it, by the same settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use collector::http::Client;
use collector::roots::Address;

use crate::config::Settings;
use crate::web::Guard;

/// A Tare to ask.
pub struct Near {
    client: Client,
    authorization: Option<String>,
}

impl Near {
    /// The one with these settings, if it runs. Errors: a wrong web config file, or one we may not read.
    pub(super) fn here(settings: &Settings) -> Result<Near> {
        let guard = Guard::new(settings.web.config_file.as_deref()).map_err(|problem| anyhow!(problem))?;
        let client = |scheme: &str| Client::new(Address::Http(format!("{scheme}://{}", reachable(settings.listen))));
        let client = match guard.certificate() {
            None => client("http"),
            Some(shown) => client("https").over_tls(trust(shown)?),
        };
        Ok(Near { client, authorization: guard.token().map(|token| format!("Bearer {token}")) })
    }

    /// The one at a URL. Errors: not a URL of ours.
    pub(super) fn at(url: &str) -> Result<Near> {
        if !url.starts_with("http://") {
            bail!("a URL begins with http://");
        }
        Ok(Near { client: Client::new(Address::Http(url.trim_end_matches('/').into())), authorization: None })
    }

    /// The body of an answer with status 200. Errors: the address, and what went wrong.
    pub(super) async fn ask(&self, path: &str, by: Instant, limit: usize) -> Result<Bytes> {
        let headers: Vec<(&str, &str)> = self.authorization.iter().map(|said| ("authorization", said.as_str())).collect();
        Ok(self.client.get(path, &headers, by, limit).await?)
    }
}

/// Where a listener on this address is reached from here: one on all addresses also listens on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Trusts one certificate, whatever name it has: we hold the file that the server shows, which is more than any authority could say.
fn trust(shown: CertificateDer<'static>) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let only = Only { shown, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().context("no TLS")?;
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(Arc::new(only)).with_no_client_auth()))
}

#[derive(Debug)]
struct Only {
    shown: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.shown { Ok(ServerCertVerified::assertion()) } else { Err(CertificateError::UnknownIssuer.into()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_on_loopback() {
        for (listen, near) in [("0.0.0.0:9464", "127.0.0.1:9464"), ("[::]:1", "[::1]:1"), ("10.0.0.7:2", "10.0.0.7:2"), ("127.0.0.1:3", "127.0.0.1:3")] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), near);
        }
    }
}

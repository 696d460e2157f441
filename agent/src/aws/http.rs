//! How AWS is reached: one connector for the SDK, for what finds its credentials, and for our own calls. Every answer has a bound here; the time is the caller's.
//!
//! No connection is kept: most calls are made once an hour, and what they took is given back.

use std::net::IpAddr;
use std::sync::OnceLock;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// The longest answer. A hundred tasks with fifty tags each, or a hundred instances, are some 2 MiB.
pub(super) const LIMIT: usize = 8 << 20;

/// For the SDK.
pub(super) fn client() -> SharedHttpClient {
    http_client_fn(|settings, _| SharedHttpConnector::new(connector(settings.clone())))
}

/// For our own calls.
pub(super) fn connector(settings: HttpConnectorSettings) -> impl HttpConnector + 'static {
    let by = |proxy| {
        let tls = Connector::builder().connector_settings(settings.clone()).proxy_config(proxy).tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        tls.tls_context(trusted()).build()
    };
    Bounded { near: by(ProxyConfig::disabled()), far: by(ProxyConfig::from_env()) }
}

/// Ends an answer that is longer than [`LIMIT`], whatever it announced.
#[derive(Debug)]
struct Bounded {
    /// To this machine, whatever proxy is set: keys come from there, and one would see them, or give its own.
    near: Connector,
    /// To everyone else.
    far: Connector,
}

/// Whether a URL is of this machine: loopback, or where EC2, ECS and EKS give out keys (169.254.0.0/16, fd00:ec2::/32).
fn is_near(url: &str) -> bool {
    let host = url.parse::<hyper::Uri>().ok().and_then(|uri| uri.host().map(|host| host.trim_matches(['[', ']']).to_owned()));
    host.is_some_and(|host| match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.segments()[..2] == [0xfd00, 0xec2],
        Err(_) => host == "localhost",
    })
}

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = if is_near(request.uri()) { &self.near } else { &self.far };
        let answer = connector.call(request);
        HttpConnectorFuture::new(async move { Ok(answer.await?.map(bounded)) })
    }
}

fn bounded(body: SdkBody) -> SdkBody {
    SdkBody::from_body_1_x(
        Limited::new(body, LIMIT).map_err(
            |error| {
                if error.is::<LengthLimitError>() { format!("the answer is larger than {} MiB", LIMIT >> 20).into() } else { error }
            },
        ),
    )
}

/// The whole body of an answer. Errors: words for a person.
pub(super) async fn body(answer: HttpResponse) -> Result<bytes::Bytes, String> {
    answer.into_body().collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}

/// The machine's list of whom to trust; where it has none, as in an image made `FROM scratch`, Mozilla's, which is built in.
fn trusted() -> TlsContext {
    static TRUSTED: OnceLock<TlsContext> = OnceLock::new();
    TRUSTED.get_or_init(read_trusted).clone()
}

fn read_trusted() -> TlsContext {
    let is_bare = rustls_native_certs::load_native_certs().certs.is_empty();
    is_bare.then(built_in).flatten().unwrap_or_default()
}

fn built_in() -> Option<TlsContext> {
    let roots = TLS_SERVER_ROOT_CERTS.iter().fold(TrustStore::empty(), |roots, certificate| roots.with_pem_certificate(pem(certificate)));
    TlsContext::builder().with_trust_store(roots).build().ok()
}

/// RFC 7468.
fn pem(certificate: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect::<String>();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_out_keys_is_asked_by_no_proxy() {
        for near in
            ["http://169.254.169.254/latest/api/token", "http://169.254.170.2/creds", "http://[fd00:ec2::254]/", "http://127.0.0.1:8080/", "http://localhost/x"]
        {
            assert!(is_near(near), "{near}");
        }
        for far in ["https://ecs.eu-west-1.amazonaws.com/", "http://10.0.0.1/", "http://169.254.example.com/", "nonsense"] {
            assert!(!is_near(far), "{far}");
        }
    }

    /// A list that cannot be read would trust nobody.
    #[test]
    fn the_built_in_list_of_whom_to_trust_is_read_whole() {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;

        for certificate in TLS_SERVER_ROOT_CERTS {
            assert_eq!(&CertificateDer::from_pem_slice(pem(certificate).as_bytes()).unwrap(), certificate);
        }
        assert!(TLS_SERVER_ROOT_CERTS.len() > 100 && built_in().is_some());
    }
}

//! How AWS is reached: one connector for the SDK, for what finds its credentials, and for our own calls. Every answer has a bound here; the time is the caller's.
//!
//! No connection is kept: a call is made once an hour, and what it took is given back.

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
    let tls = Connector::builder().connector_settings(settings).proxy_config(ProxyConfig::from_env()).tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    Bounded(tls.tls_context(trusted()).build())
}

/// Ends an answer that is longer than [`LIMIT`], whatever it announced.
#[derive(Debug)]
struct Bounded(Connector);

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.0.call(request);
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

//! Whom Tare trusts when it calls over TLS: a file of the user's, else the machine's list, else, as in an image made `FROM scratch`, Mozilla's, which is built in.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// A TLS client. `file` holds the only ones to be trusted, in PEM. Errors: it cannot be read, or holds no certificate.
pub fn client(file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            let problem = |what: String| format!("{}: {what}", file.display());
            let certificates = CertificateDer::pem_file_iter(file).map_err(|e| problem(e.to_string()))?;
            for certificate in certificates {
                roots.add(certificate.map_err(|e| problem(e.to_string()))?).map_err(|e| problem(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(problem("no certificate in PEM".into()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                roots.add_parsable_certificates(TLS_SERVER_ROOT_CERTS.iter().cloned());
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

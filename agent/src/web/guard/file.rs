//! The web config file as it is written: the form of Prometheus' exporter-toolkit
//! (github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md), and one key of our own, `bearer_token_files`.
//!
//! What of that form cannot be kept here is refused, never passed over: who writes `client_allowed_sans` relies on it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) tls_server_config: Option<Tls>,
    pub(super) http_server_config: Http,
    /// A name and the bcrypt hash of its password.
    pub(super) basic_auth_users: BTreeMap<String, Secret>,
    /// Each holds one token.
    pub(super) bearer_token_files: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: Option<String>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key: Option<Secret>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_ca: Option<String>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_auth_type: ClientAuth,
    pub(super) min_version: Version,
    pub(super) max_version: Version,
    /// Go's names; those of TLS 1.3 cannot be chosen there either.
    pub(super) cipher_suites: Vec<String>,
    pub(super) prefer_server_cipher_suites: bool,
    pub(super) curve_preferences: Vec<String>,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            cert: None,
            cert_file: None,
            key: None,
            key_file: None,
            client_ca: None,
            client_ca_file: None,
            client_auth_type: ClientAuth::NoClientCert,
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            cipher_suites: Vec::new(),
            prefer_server_cipher_suites: true,
            curve_preferences: Vec::new(),
        }
    }
}

/// Whether clients show a certificate. Go's `RequestClientCert` and `RequireAnyClientCert` look at none of it, so they protect nothing and are not here.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(super) enum ClientAuth {
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// TLS 1.0 and 1.1 are deprecated (RFC 8996) and not here.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    /// Tare speaks HTTP/1.1 alone, which every client takes; the key is read so that a shared file stays valid.
    #[serde(rename = "http2")]
    _http2: bool,
    pub(super) headers: BTreeMap<Header, String>,
}

impl Default for Http {
    fn default() -> Http {
        Http { _http2: true, headers: BTreeMap::new() }
    }
}

/// The headers the form allows.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Header {
    #[serde(rename = "Content-Security-Policy")]
    ContentSecurityPolicy,
    #[serde(rename = "X-Frame-Options")]
    FrameOptions,
    #[serde(rename = "X-Content-Type-Options")]
    ContentTypeOptions,
    #[serde(rename = "X-XSS-Protection")]
    XssProtection,
    #[serde(rename = "Strict-Transport-Security")]
    StrictTransportSecurity,
}

/// A text that is never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl File {
    /// Reads the text of a file. Errors: what is wrong, and where; no secret is in them.
    pub(super) fn read(text: &str) -> Result<File, String> {
        if text.trim().is_empty() {
            return Ok(File::default());
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let file: File = serde_saphyr::from_str_with_options(text, options).map_err(|problem| one_line(&problem.to_string()))?;
        for (name, hash) in &file.basic_auth_users {
            if name.is_empty() || name.contains(':') {
                return Err(format!("basic_auth_users: {name:?} cannot be a user's name: it is empty or has a colon"));
            }
            hash.0
                .parse::<bcrypt::HashParts>()
                .map_err(|_| format!("basic_auth_users: the password of {name:?} is no bcrypt hash; make one: htpasswd -nBC 10 {name}"))?;
        }
        if let Some(tls) = &file.tls_server_config {
            tls.check()?;
        }
        Ok(file)
    }
}

impl Tls {
    fn check(&self) -> Result<(), String> {
        exactly_one("cert", self.cert.is_some(), self.cert_file.is_some())?;
        exactly_one("key", self.key.is_some(), self.key_file.is_some())?;
        let authority = self.client_ca.is_some() || self.client_ca_file.is_some();
        if self.client_ca.is_some() && self.client_ca_file.is_some() {
            return Err("tls_server_config: give client_ca or client_ca_file, not both".into());
        }
        match self.client_auth_type {
            ClientAuth::NoClientCert if authority => {
                Err("tls_server_config: client_ca is given and client_auth_type asks for no certificate; set it to RequireAndVerifyClientCert".into())
            }
            ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert if !authority => {
                Err("tls_server_config: client_auth_type asks for certificates and there is no client_ca_file to check them with".into())
            }
            _ if self.min_version > self.max_version => Err("tls_server_config: min_version is above max_version".into()),
            _ => Ok(()),
        }
    }
}

fn exactly_one(what: &str, inline: bool, file: bool) -> Result<(), String> {
    match (inline, file) {
        (true, true) => Err(format!("tls_server_config: give {what} or {what}_file, not both")),
        (false, false) => Err(format!("tls_server_config: {what}_file is missing")),
        _ => Ok(()),
    }
}

/// Paths are relative to the folder the web config file lies in.
pub(super) fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().map_or_else(|| path.to_path_buf(), |folder| folder.join(path))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuO5wmtBJPmHaYO5CNFkDiaMpRlEBEKuy";

    #[test]
    fn the_toolkit_s_own_keys_are_read() {
        let text = format!(
            "# all of it\ntls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
             min_version: TLS13\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  prefer_server_cipher_suites: false\n  curve_preferences: [X25519]\n\
             http_server_config:\n  http2: false\n  headers:\n    Strict-Transport-Security: max-age=1\nbasic_auth_users:\n  alice: {HASH}\nbearer_token_files: [token]\n"
        );
        let file = File::read(&text).unwrap();
        let tls = file.tls_server_config.unwrap();
        assert_eq!((tls.min_version, tls.client_auth_type, tls.prefer_server_cipher_suites), (Version::Tls13, ClientAuth::RequireAndVerifyClientCert, false));
        assert_eq!(file.http_server_config.headers[&Header::StrictTransportSecurity], "max-age=1");
        assert_eq!(file.basic_auth_users["alice"].0, HASH);
        assert!(!format!("{:?}", file.basic_auth_users).contains("abcdef"));
        assert!(File::read("").unwrap().tls_server_config.is_none());
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_a_reason() {
        for (text, reason) in [
            ("tls_server_config: {}", "cert_file is missing"),
            ("tls_server_config: {cert_file: a}", "key_file is missing"),
            ("tls_server_config: {cert_file: a, cert: b, key_file: c}", "not both"),
            ("tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}", "RequestClientCert"),
            ("tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}", "no client_ca_file"),
            ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}", "asks for no certificate"),
            ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}", "TLS10"),
            ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}", "above max_version"),
            ("tls_server_config: {cert_file: a, key_file: b, client_allowed_sans: [x]}", "client_allowed_sans"),
            ("basic_auth_users: {alice: opensesame}", "no bcrypt hash"),
            ("basic_auth_users: {'a:b': x}", "colon"),
            ("http_server_config: {headers: {X-Powered-By: me}}", "X-Powered-By"),
            ("rate_limit: {interval: 1s}", "rate_limit"),
            ("- a list", ""),
            ("a: [", ""),
        ] {
            let problem = File::read(text).unwrap_err();
            assert!(problem.contains(reason) && !problem.contains("opensesame") && !problem.contains('\n'), "{text}: {problem}");
        }
    }
}

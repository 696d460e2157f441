//! Who may come in: TLS, passwords and tokens out of the web config file, which is read again whenever it or a file it names changes.

mod file;
mod tls;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};
use rustls::ServerConfig;
use rustls::crypto::hash::Hash;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

use file::{File, Header, Secret, beside};

/// Bytes of the web config file and of a token.
const LARGEST: u64 = 1 << 20;
/// The files' times are looked at this often at most.
const EVERY: Duration = Duration::from_secs(1);
/// Proven passwords that are remembered, so that a scrape does not cost a bcrypt each time.
const PROVEN: usize = 100;
/// Compared with where the user is not known, so that the time says nothing about who is. Nobody has its password.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuGZ1lTMAEDCIQCtuSRj9GqsV3oVjJIuW";

/// Stands at the door. Without a file everyone may come in.
pub struct Guard {
    file: Option<PathBuf>,
    inner: Mutex<Inner>,
    /// One password is checked at a time: each takes some 50 ms of CPU, and strangers can ask for it.
    check: Semaphore,
}

struct Inner {
    rules: Arc<Rules>,
    stamps: Vec<(PathBuf, Stamp)>,
    looked: Instant,
    /// Digests of users and passwords that bcrypt has found right.
    proven: HashSet<Digest>,
}

/// What tells whether a file has changed.
type Stamp = Option<(SystemTime, u64)>;
type Digest = [u8; 32];

/// What the file says.
#[derive(Default)]
struct Rules {
    tls: Option<(Arc<ServerConfig>, CertificateDer<'static>)>,
    headers: HeaderMap,
    users: BTreeMap<String, Secret>,
    tokens: Vec<Digest>,
    /// The first one.
    token: Option<Secret>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visitor {
    /// Nobody has to say who they are.
    Anyone,
    /// Said it, and it is so.
    Known,
    /// Did not say it, or it is not so.
    Stranger,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Guard {
    /// Reads the web config file. Errors: what cannot be read or kept, in words.
    pub fn new(file: Option<&Path>) -> Result<Guard, String> {
        let (rules, stamps) = match file {
            Some(file) => Rules::read(file).map_err(|problem| format!("web.config_file {}: {problem}", file.display()))?,
            None => (Rules::default(), Vec::new()),
        };
        let inner = Inner { rules: Arc::new(rules), stamps, looked: Instant::now(), proven: HashSet::new() };
        Ok(Guard { file: file.map(Path::to_path_buf), inner: Mutex::new(inner), check: Semaphore::new(1) })
    }

    /// What a new connection speaks: TLS with this, else plain HTTP.
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.rules().tls.as_ref().map(|(config, _)| Arc::clone(config))
    }

    /// The certificate that is shown, for who is to know this Tare by it.
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.locked().rules.tls.as_ref().map(|(_, shown)| shown.clone())
    }

    /// A token that opens this door, for commands on this machine that may read its files.
    pub fn token(&self) -> Option<String> {
        self.locked().rules.token.as_ref().map(|token| token.0.clone())
    }

    /// Headers that go with every answer.
    pub(super) fn headers(&self) -> HeaderMap {
        self.locked().rules.headers.clone()
    }

    /// Judges a request by its `Authorization` header (RFC 7617, RFC 6750).
    pub(super) async fn judge(&self, headers: &HeaderMap) -> Visitor {
        let rules = self.rules();
        if rules.users.is_empty() && rules.tokens.is_empty() {
            return Visitor::Anyone;
        }
        let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (scheme, rest) = said.split_once(' ').unwrap_or_default();
        let right = if scheme.eq_ignore_ascii_case("bearer") {
            rules.tokens.contains(&digest(&[rest.trim().as_bytes()]))
        } else if scheme.eq_ignore_ascii_case("basic") {
            self.password(&rules, rest.trim()).await
        } else {
            false
        };
        if right { Visitor::Known } else { Visitor::Stranger }
    }

    async fn password(&self, rules: &Rules, said: &str) -> bool {
        let plain = STANDARD.decode(said).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((user, password)) = plain.as_deref().and_then(|plain| plain.split_once(':')) else { return false };
        let known = rules.users.get(user).map(|hash| hash.0.clone());
        let proof = digest(&[user.as_bytes(), known.as_deref().unwrap_or_default().as_bytes(), password.as_bytes()]);
        if known.is_some() && self.locked().proven.contains(&proof) {
            return true;
        }
        let Ok(_turn) = self.check.acquire().await else { return false };
        let (hash, password) = (known.clone().unwrap_or_else(|| NOBODY.into()), password.to_owned());
        let fits = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false)).await.unwrap_or(false);
        let right = fits && known.is_some();
        if right {
            let mut inner = self.locked();
            if inner.proven.len() >= PROVEN {
                inner.proven.clear();
            }
            inner.proven.insert(proof);
        }
        right
    }

    /// The rules in force; the file is read again where it has changed. A file that has become wrong changes nothing and is spoken of once.
    fn rules(&self) -> Arc<Rules> {
        let mut inner = self.locked();
        if let Some(file) = &self.file
            && inner.looked.elapsed() >= EVERY
        {
            inner.looked = Instant::now();
            inner.refresh(file);
        }
        Arc::clone(&inner.rules)
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn refresh(&mut self, file: &Path) {
        let now: Vec<_> = self.stamps.iter().map(|(path, _)| (path.clone(), stamp(path))).collect();
        if now == self.stamps {
            return;
        }
        match Rules::read(file) {
            Ok((rules, stamps)) => {
                tracing::info!("{} is read again", file.display());
                (self.rules, self.stamps) = (Arc::new(rules), stamps);
                self.proven.clear();
            }
            Err(problem) => {
                tracing::error!("{} is kept as it was: {problem}", file.display());
                self.stamps = now;
            }
        }
    }
}

impl Rules {
    fn read(path: &Path) -> Result<(Rules, Vec<(PathBuf, Stamp)>), String> {
        let file = File::read(&bounded(path)?)?;
        let mut paths = vec![path.to_path_buf()];
        let tls = match &file.tls_server_config {
            Some(tls) => {
                paths.extend([&tls.cert_file, &tls.key_file, &tls.client_ca_file].into_iter().flatten().map(|named| beside(path, named)));
                Some(tls::server(tls, path)?)
            }
            None => None,
        };
        let (mut tokens, mut token) = (Vec::new(), None);
        for named in file.bearer_token_files.iter().map(|named| beside(path, named)) {
            let text = bounded(&named)?;
            let read = text.trim();
            // 16 characters: a token that can be guessed is worse than none, because it looks like one.
            if read.len() < 16 || read.contains(char::is_whitespace) {
                return Err(format!("{}: a token has at least 16 characters and no space", named.display()));
            }
            tokens.push(digest(&[read.as_bytes()]));
            token.get_or_insert_with(|| Secret(read.into()));
            paths.push(named);
        }
        // Stamped after reading: a change in between is seen as one.
        let stamps = paths.into_iter().map(|path| (path.clone(), stamp(&path))).collect();
        let headers = headers(file.http_server_config.headers)?;
        Ok((Rules { tls, headers, users: file.basic_auth_users, tokens, token }, stamps))
    }
}

fn headers(wanted: BTreeMap<Header, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (header, value) in wanted.into_iter().filter(|(_, value)| !value.is_empty()) {
        let name = match header {
            Header::ContentSecurityPolicy => header::CONTENT_SECURITY_POLICY,
            Header::FrameOptions => header::X_FRAME_OPTIONS,
            Header::ContentTypeOptions => header::X_CONTENT_TYPE_OPTIONS,
            Header::XssProtection => header::X_XSS_PROTECTION,
            Header::StrictTransportSecurity => header::STRICT_TRANSPORT_SECURITY,
        };
        let value = HeaderValue::from_str(&value).map_err(|_| format!("http_server_config.headers: {name} has a character no header may have"))?;
        headers.insert::<HeaderName>(name, value);
    }
    Ok(headers)
}

/// A small text file.
fn bounded(path: &Path) -> Result<String, String> {
    let told = |problem: std::io::Error| format!("{}: {problem}", path.display());
    if fs::metadata(path).map_err(told)?.len() > LARGEST {
        return Err(format!("{}: larger than {LARGEST} bytes", path.display()));
    }
    fs::read_to_string(path).map_err(told)
}

fn stamp(path: &Path) -> Stamp {
    let about = fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// SHA-256 over the parts, each with its length: two digests are compared, never two secrets, so that the time taken tells nothing.
fn digest(parts: &[&[u8]]) -> Digest {
    let mut hash = sha256().start();
    for part in parts {
        hash.update(&part.len().to_le_bytes());
        hash.update(part);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash.finish().as_ref()[..32]);
    digest
}

/// The hash of a suite that everyone has: rustls lends us its own, so no other crate is needed.
fn sha256() -> &'static dyn Hash {
    use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    TLS13_AES_128_GCM_SHA256.tls13().map(|suite| suite.common.hash_provider).expect("it is a suite of TLS 1.3")
}

#[cfg(test)]
mod tests;

//! POSTs to one far end over HTTP/1.1, by TLS or not, over one connection that is kept open. All of it together has a deadline, all that is read has a bound, no
//! redirect is followed. A connection that showed any trouble is given up, so that a half-open one lasts for one request.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{HeaderMap, Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// The longest wait for one of several addresses, so that a dead one does not use up the time of the others.
const CONNECT: Duration = Duration::from_secs(5);
/// The most of an answer's head.
const HEAD: usize = 32 << 10;
/// The most of an answer's body. Nobody needs more than its first words.
const BODY: usize = 16 << 10;
/// The longest text that is passed on, in characters.
const WORDS: usize = 300;

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As the user wrote it.
    pub url: String,
    /// Its host's name or address.
    pub host: String,
    /// 443
    pub port: u16,
    authority: String,
    path: String,
    tls: bool,
}

impl Target {
    /// `http[s]://host[:port][/path]`. A name or a password in it is refused: it would stand in every log. Errors say what is allowed.
    pub fn parse(url: &str) -> Result<Target, String> {
        let wrong = || "allowed is \"https://HOST:PORT/PATH\", or http, without a name, password or # in it".to_owned();
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(wrong)?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let odd = |character: char| character.is_whitespace() || character.is_control() || character == '#';
        if host.is_empty() || authority.as_str().contains('@') || url.contains(odd) || ServerName::try_from(&*host).is_err() {
            return Err(wrong());
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            // hyper takes a colon with anything behind it, and no number is no port.
            None if authority.as_str() != authority.host() => return Err(wrong()),
            None if tls => 443,
            None => 80,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        // A signature is of the host without the port that goes without saying.
        let is_usual = port == if tls { 443 } else { 80 };
        let authority = if is_usual { authority.host() } else { authority.as_str() }.to_owned();
        Ok(Target { url: url.to_owned(), host, authority, port, path, tls })
    }
}

/// Without its query, which may hold a secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.split('?').next().unwrap_or_default())
    }
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200
    pub status: u16,
    /// Its head.
    pub headers: HeaderMap,
    /// The beginning of its body, printable.
    pub text: String,
}

impl Answer {
    /// One header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Why, in words.
    pub why: String,
    /// The connection had been open before, so it may only have been closed for it was idle: a new one is worth a try at once.
    pub was_open: bool,
    /// It had begun to be sent, so it may have been taken.
    pub in_doubt: bool,
}

/// A client of one far end.
pub struct Post {
    target: Target,
    tls: Option<Arc<ClientConfig>>,
    open: Option<Open>,
    /// The request under way has begun to be sent.
    sent: bool,
}

/// A connection, driven by a task of its own that ends with it.
struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Post {
    /// Nothing is opened yet. `tls` is needed for `https`.
    pub fn new(target: Target, tls: Option<Arc<ClientConfig>>) -> Post {
        Post { target, tls, open: None, sent: false }
    }

    /// Where to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends one body with these headers and waits for the answer, at most so long. It may have been taken though no answer came.
    pub async fn send(&mut self, headers: HeaderMap, body: Bytes, patience: Duration) -> Result<Answer, Failed> {
        self.sent = false;
        match tokio::time::timeout(patience, self.exchange(headers, body)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err((why, was_open))) => Err(Failed { why, was_open, in_doubt: self.sent }),
            Err(_) => Err(Failed { why: format!("no answer within {} s", patience.as_secs_f64()), was_open: false, in_doubt: self.sent }),
        }
    }

    /// Errors: why, and whether the connection had been open before.
    async fn exchange(&mut self, headers: HeaderMap, body: Bytes) -> Result<Answer, (String, bool)> {
        let kept = match self.open.take() {
            Some(mut open) => open.sender.ready().await.is_ok().then_some(open),
            None => None,
        };
        let was_open = kept.is_some();
        let mut open = match kept {
            Some(open) => open,
            None => self.connect().await.map_err(|why| (why, false))?,
        };
        let request = Request::post(&*self.target.path).header(header::HOST, &*self.target.authority).body(Full::new(body));
        let mut request = request.map_err(|e| (chain(&e), false))?;
        request.headers_mut().extend(headers);
        self.sent = true;
        let mut response = open.sender.send_request(request).await.map_err(|e| (chain(&e), was_open))?;
        let mut text = Vec::new();
        let whole = loop {
            match response.frame().await {
                None => break true,
                Some(Ok(frame)) => text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                // What the status says holds without the words.
                Some(Err(_)) => break false,
            }
            if text.len() > BODY {
                break false;
            }
        };
        if whole {
            self.open = Some(open);
        }
        let text = String::from_utf8_lossy(&text[..text.len().min(4 * WORDS)]);
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect();
        let (head, _) = response.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, text: text.trim().to_owned() })
    }

    async fn connect(&self) -> Result<Open, String> {
        let stream = self.dial().await?;
        let _ = stream.set_nodelay(true);
        if !self.target.tls {
            return shake_hands(stream).await;
        }
        let tls = self.tls.as_ref().ok_or("there is no TLS configuration for it")?;
        let name = ServerName::try_from(self.target.host.clone()).map_err(|e| e.to_string())?;
        shake_hands(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|e| format!("TLS: {e}"))?).await
    }

    /// The first of its addresses that takes us.
    async fn dial(&self) -> Result<TcpStream, String> {
        let Target { host, port, .. } = &self.target;
        let mut why = "its name has no address".to_owned();
        for address in lookup_host((&**host, *port)).await.map_err(|e| format!("{host}: {e}"))? {
            match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) => why = format!("{address}: {e}"),
                Err(_) => why = format!("{address}: no connection within {} s", CONNECT.as_secs()),
            }
        }
        Err(why)
    }
}

async fn shake_hands<S>(stream: S) -> Result<Open, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream)).await.map_err(|e| chain(&e))?;
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok(Open { sender, driver })
}

/// An error with its causes; hyper's own words leave them out.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_whole_or_refused() {
        for (url, host, authority, port, path, tls) in [
            ("http://h", "h", "h", 80, "/", false),
            ("https://h/api/v1/write?a=b", "h", "h", 443, "/api/v1/write?a=b", true),
            ("https://h.example:9090/x", "h.example", "h.example:9090", 9090, "/x", true),
            ("http://[::1]:9/", "::1", "[::1]:9", 9, "/", false),
            ("http://10.0.0.1/", "10.0.0.1", "10.0.0.1", 80, "/", false),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((&*target.host, &*target.authority, target.port, &*target.path, target.tls), (host, authority, port, path, tls), "{url}");
        }
        for url in
            ["", "h", "/x", "ftp://h", "http://", "http://u:p@h/", "http://h/#a", "http://h:/", "http://h:99999/", "http://a b/", "http://h/a b", "http://-/"]
        {
            assert!(Target::parse(url).is_err(), "{url}");
        }
        assert_eq!(Target::parse("https://h/x?token=secret").unwrap().to_string(), "https://h/x");
    }
}

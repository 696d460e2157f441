//! One small HTTP/1.1 client: over TCP, TLS or a Unix socket, or out of recorded answers. GET, and PUT for the IMDS token only.
//!
//! Every answer has a deadline and a bound. It follows no redirect, knows no proxy and keeps no connection open.

mod answers;

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::error::Error;
use crate::roots::Address;
use answers::Answers;
pub(crate) use answers::body_file;

/// What can end a request body early; ours have none, bollard's are read from memory.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A client of one endpoint.
#[derive(Debug)]
pub struct Client {
    address: Address,
    recorded: OnceCell<Answers>,
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    /// A client; nothing is opened yet.
    pub fn new(address: Address) -> Client {
        Client { address, recorded: OnceCell::new(), tls: None }
    }

    /// The same, trusting whom this configuration trusts where the address begins with `https://`.
    pub fn over_tls(self, tls: Arc<ClientConfig>) -> Client {
        Client { tls: Some(tls), ..self }
    }

    /// Where it asks.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The body of a 200 answer, at most `limit` bytes, done by `by`. `path` begins with a slash and may carry a query.
    /// Errors: [`Error::File`] for a socket that cannot be opened, [`Error::Status`] for every other status.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)], by: Instant, limit: usize) -> Result<Bytes, Error> {
        self.ask(Method::GET, path, headers, by, limit).await
    }

    /// The same with PUT and an empty body: how IMDSv2 hands out its token. Tare changes nothing anywhere, so nothing else is put.
    pub async fn put_token(&self, path: &str, headers: &[(&str, &str)], by: Instant, limit: usize) -> Result<Bytes, Error> {
        self.ask(Method::PUT, path, headers, by, limit).await
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], by: Instant, limit: usize) -> Result<Bytes, Error> {
        let address = name(&self.address, path);
        let started = Instant::now();
        let exchange = async {
            if let Address::Answers(file) = &self.address {
                let answers = self.recorded.get_or_try_init(async || Answers::read(file)).await?;
                return bounded(answers.find(method.as_str(), path)?, &address, limit);
            }
            let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, "*/*").header(header::CONNECTION, "close");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = self.addressed(request.body(Empty::<Bytes>::new()).map_err(|e| broken(&address, e))?);
            let (sender, connection) = self.open(usize::MAX).await?;
            // The connection is driven here, not by a task of its own: an answer nobody waits for any more leaves nothing behind.
            let answer = pin!(answer(sender, request, &address, limit));
            match select(answer, pin!(connection)).await {
                Either::Left((answer, _)) => answer,
                Either::Right((_, answer)) => answer.await,
            }
        };
        let late = || Error::Late { address: address.clone(), seconds: round(by.saturating_duration_since(started).as_secs_f64()) };
        tokio::time::timeout_at(by.into(), exchange).await.unwrap_or_else(|_| Err(late()))
    }

    /// Sends a request whose answer is a stream without end; the connection ends after `limit` bytes. For the Docker library's transport.
    pub async fn stream<B>(&self, request: Request<B>, limit: usize) -> Result<Response<Incoming>, Error>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BodyError>,
    {
        let address = name(&self.address, request.uri().path());
        let (mut sender, connection) = self.open(limit).await?;
        // It ends with the response's body or the sender, whichever is dropped last; the sender goes with this function.
        tokio::spawn(connection);
        sender.send_request(self.addressed(request)).await.map_err(|e| broken(&address, e))
    }

    async fn open<B>(&self, limit: usize) -> Result<(SendRequest<B>, Connection<TokioIo<Bounded>, B>), Error>
    where
        B: Body + 'static,
        B::Data: Send,
        B::Error: Into<BodyError>,
    {
        let stream: Box<dyn Stream> = match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(|e| Error::file(path, e))?),
            Address::Http(url) => dial(url, self.tls.as_ref()).await.map_err(|e| broken(url, e))?,
            Address::Answers(path) => return Err(Error::Text { path: path.clone(), problem: "recorded answers have no stream".into() }),
            Address::Nowhere => return Err(broken("nowhere", "there is no such endpoint")),
        };
        handshake(TokioIo::new(Bounded { stream, left: limit })).await.map_err(|e| broken(&name(&self.address, ""), e))
    }

    fn addressed<B>(&self, mut request: Request<B>) -> Request<B> {
        let host = match &self.address {
            Address::Http(url) => url.trim_start_matches("http://").trim_start_matches("https://"),
            _ => "localhost",
        };
        if let Ok(host) = header::HeaderValue::from_str(host) {
            request.headers_mut().insert(header::HOST, host);
        }
        if let Some(Ok(origin)) = request.uri().path_and_query().map(|path| path.as_str().parse()) {
            *request.uri_mut() = origin;
        }
        request
    }
}

/// The name of what is asked, for errors: where and what, without the query.
fn name(address: &Address, path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    match address {
        Address::Unix(socket) => format!("{}{}{path}", socket.display(), if path.is_empty() { "" } else { " " }),
        Address::Http(url) => format!("{url}{path}"),
        Address::Answers(file) => format!("{}{}{path}", file.display(), if path.is_empty() { "" } else { " " }),
        Address::Nowhere => format!("nowhere{path}"),
    }
}

/// So that the same trouble reads the same each time.
fn round(seconds: f64) -> f64 {
    if seconds > 0.5 { seconds.ceil() } else { (seconds * 10.0).round() / 10.0 }
}

fn broken(address: &str, problem: impl std::fmt::Display) -> Error {
    Error::Endpoint { address: address.into(), problem: problem.to_string() }
}

/// Connects to `http://host:port` or, where there is a configuration for it, `https://host:port`; the port is 80 or 443 where there is none.
async fn dial(url: &str, tls: Option<&Arc<ClientConfig>>) -> io::Result<Box<dyn Stream>> {
    let wrong = |problem: &str| io::Error::new(io::ErrorKind::InvalidInput, problem);
    let (rest, tls) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (rest, None),
        (None, Some(rest)) => (rest, Some(tls.ok_or_else(|| wrong("there is no TLS configuration for it"))?)),
        (None, None) => return Err(wrong("not of the form http://host:port")),
    };
    let authority: Authority = rest.trim_end_matches('/').parse().map_err(|_| wrong("not of the form http://host:port"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }))).await?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong("not a name or address that a certificate can have"))?;
    Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?))
}

/// Sends the request and holds the whole answer.
async fn answer<B>(mut sender: SendRequest<B>, request: Request<B>, address: &str, limit: usize) -> Result<Bytes, Error>
where
    B: Body + 'static,
{
    let response = sender.send_request(request).await.map_err(|e| broken(address, e))?;
    let status = response.status().as_u16();
    // An error's text is cut, not refused: its status is what matters.
    let limit = if status == 200 { limit } else { limit.max(ERROR_LIMIT) };
    match Limited::new(response.into_body(), limit).collect().await {
        Ok(body) => bounded((status, body.to_bytes()), address, limit),
        Err(e) if e.is::<LengthLimitError>() && status == 200 => Err(Error::TooLarge { address: address.into(), limit }),
        Err(_) if status != 200 => bounded((status, Bytes::new()), address, limit),
        Err(e) => Err(broken(address, format!("the answer broke off: {e}"))),
    }
}

/// Most of an error answer that is read.
const ERROR_LIMIT: usize = 16 << 10;

fn bounded((status, body): (u16, Bytes), address: &str, limit: usize) -> Result<Bytes, Error> {
    match status {
        200 if body.len() > limit => Err(Error::TooLarge { address: address.into(), limit }),
        200 => Ok(body),
        _ => {
            let start: String = String::from_utf8_lossy(&body[..body.len().min(800)]).chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
            Err(Error::Status { address: address.into(), status, body: start.trim().into() })
        }
    }
}

/// A byte stream both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Ends once so many bytes were read, give or take the buffer of one read: an answer without end cannot grow us without end.
struct Bounded {
    stream: Box<dyn Stream>,
    left: usize,
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the stream reached its bound")));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        self.left = self.left.saturating_sub(into.filled().len() - before);
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each connection with these bytes, over and over if `forever`; gives its address and, when asked, the first request.
    async fn server(answer: &'static [u8], forever: bool) -> (Client, tokio::sync::oneshot::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(Address::Http(format!("http://{}", listener.local_addr().unwrap())));
        let (heard, hears) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let size = socket.read(&mut request).await.unwrap();
            let _ = heard.send(String::from_utf8_lossy(&request[..size]).into_owned());
            while socket.write_all(answer).await.is_ok() && forever {}
        });
        (client, hears)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn a_request_names_its_host_and_its_path() {
        let (client, heard) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", false).await;
        assert_eq!(client.get("/a?b=c", &[("x-y", "z")], soon(), 10).await.unwrap(), "hi");
        let request = heard.await.unwrap();
        assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n") && request.contains("x-y: z\r\n") && request.contains("host: 127.0.0.1:"), "{request}");
    }

    #[tokio::test]
    async fn what_goes_wrong_says_where() {
        for (answer, forever, words) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nlonger than 10"[..], false, "/a: the answer is larger than 10 bytes"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", false, "/a: the answer broke off"),
            (b"HTTP/1.1 302 Found\r\nlocation: http://evil/\r\ncontent-length: 0\r\n\r\n", false, "/a: HTTP 302"),
            (b"HTTP/1.1 500 X\r\ncontent-length: 5\r\n\r\nb\r\nom", false, "/a: HTTP 500: b  om"),
            (b"no HTTP at all\r\n\r\n", false, "/a: "),
            (b"HTTP/1.1 200 OK\r\n", false, "/a: "),
            (b"x-endless-head: 1\r\n", true, "/a: "),
            (b"", false, "/a: "),
        ] {
            let (client, _heard) = server(answer, forever).await;
            let said = client.get("/a?secret=1", &[], soon(), 10).await.unwrap_err().to_string();
            assert!(said.contains(words) && said.starts_with("http://127.0.0.1:") && !said.contains("secret"), "{words}: {said}");
        }
        for url in ["https://localhost", "http://", "http://a b", "ftp://x", "http://localhost:99999"] {
            assert!(Client::new(Address::Http(url.into())).get("/", &[], soon(), 10).await.is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_stream_without_end_ends_at_its_bound() {
        let (client, _heard) =
            server(b"HTTP/1.1 200 OK\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", true).await;
        let request = Request::builder().uri("http://docker/events").body(Empty::<Bytes>::new()).unwrap();
        let mut body = client.stream(request, 1 << 20).await.unwrap().into_body();
        let mut size = 0;
        let end = loop {
            match body.frame().await {
                Some(Ok(frame)) => size += frame.data_ref().map_or(0, Bytes::len),
                other => break other,
            }
        };
        assert!(matches!(end, Some(Err(_))) && size <= 3 << 19 && size > 1 << 18, "{size} {end:?}");
    }
}

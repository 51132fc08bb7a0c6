//! HTTP/2 for the misbehaving server. It has scripts for failures of one stream, and for failures of the
//! connection that all streams share.
//!
//! Invariant: each connection has one thread, as with HTTP/1.1, and its streams take turns. Over HTTP/1.1 the
//! files of these sins are served correctly.

use super::{Request, World, exchange};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use rustls::ServerConfig;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// The names of the sins that need HTTP/2.
pub(super) const SINS: &[&str] = &[
    "h2_silent",
    "h2_stalls",
    "h2_slow",
    "h2_reset_without_error",
    "h2_breaks_off",
    "h2_refused_stream",
    "h2_reset_in_mid_body",
    "h2_shorter_than_announced",
    "h2_longer_than_announced",
    "h2_leaves",
    "h2_gone_before",
    "h2_not_here",
    "h2_drops",
];

/// The highest number of streams of a connection at once. The number is low, so that some streams of a client
/// must wait.
const STREAMS: u32 = 6;

/// Returns true if the client wants HTTP/2. The first bytes of the client, or the protocols that it offers in
/// the TLS handshake, show this.
pub(super) fn is_wanted(stream: &TcpStream, tls: bool) -> bool {
    let mut start = [0; 16 * 1024];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let Ok(length) = stream.peek(&mut start) else { return false };
        let start = &start[..length];
        if length == 0 {
            return false;
        } else if !tls {
            if length >= 3 {
                return start.starts_with(b"PRI");
            }
        } else {
            let mut greeting = rustls::server::Acceptor::default();
            let _ = greeting.read_tls(&mut &start[..]);
            match greeting.accept() {
                Ok(Some(accepted)) => {
                    return accepted
                        .client_hello()
                        .alpn()
                        .is_some_and(|mut names| names.any(|name| name == b"h2"));
                }
                Ok(None) => {}
                Err(_) => return false,
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Serves a connection to its end.
pub(super) fn talk(world: &World, stream: TcpStream, connection: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _ = stream.set_nonblocking(true);
    let raw = stream.try_clone().expect("a handle");
    runtime.block_on(async {
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
        match &world.tls {
            None => serve(world, stream, Some(raw), connection).await,
            Some(config) => {
                let mut config = ServerConfig::clone(config);
                config.alpn_protocols = vec![b"h2".to_vec()];
                let Ok(stream) = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await
                else {
                    return;
                };
                world.count_handshake(stream.get_ref().1);
                serve(world, stream, None, connection).await;
            }
        }
    });
}

async fn serve<S>(world: &World, stream: S, mut raw: Option<TcpStream>, connection: usize)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = h2::server::Builder::new();
    let Ok(mut streams) = builder.max_concurrent_streams(STREAMS).handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            asked = streams.accept() => {
                let Some(Ok((head, respond))) = asked else { return };
                let x = Exchange::new(world, &head, respond, connection);
                match x.sin.as_str() {
                    "h2_leaves" => streams.graceful_shutdown(),
                    "h2_drops" => return,
                    "h2_gone_before" if x.visit == 0 => {
                        if let Some(raw) = &mut raw {
                            let _ = raw.write_all(&go_away_before(x.respond.stream_id().into()));
                        }
                        continue;
                    }
                    _ => {}
                }
                answers.push(answer(x));
            }
            Some(_) = answers.next(), if !answers.is_empty() => {}
        }
    }
}

/// Returns a GOAWAY frame (RFC 9113, section 6.8), which says that this stream and all later ones were not
/// processed.
fn go_away_before(stream: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend(stream.saturating_sub(2).to_be_bytes());
    frame.extend(u32::from(Reason::NO_ERROR).to_be_bytes());
    frame
}

/// One request and the stream on which it is answered.
struct Exchange {
    request: Request,
    respond: SendResponse<Bytes>,
    sin: String,
    visit: usize,
    size: u64,
    name: String,
}

impl Exchange {
    fn new(
        world: &World,
        head: &http::Request<h2::RecvStream>,
        respond: SendResponse<Bytes>,
        connection: usize,
    ) -> Self {
        let (uri, method) = (head.uri(), head.method().to_string());
        let target = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let mut headers = vec![
            (":scheme".to_string(), uri.scheme_str().unwrap_or_default().to_string()),
            (":authority".to_string(), uri.authority().map(ToString::to_string).unwrap_or_default()),
        ];
        headers.extend(
            head.headers().iter().map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            }),
        );
        let request =
            Request { method, target, headers, body: Vec::new(), connection, version: 2, at: Instant::now() };
        let request = world.arrived(request);
        let visit = world.visit(&request);
        let (sin, size, name) = request.parts();
        Exchange { request, respond, sin, visit, size, name }
    }

    /// Sends the head for the requested bytes. `length` is the value of its header Content-Length. With
    /// `None`, this value is the number of the requested bytes. Returns the stream, and the bytes that must
    /// be sent.
    fn head(&mut self, length: Option<u64>) -> Result<(SendStream<Bytes>, Bytes), h2::Error> {
        let (status, headers, body) = exchange::part(&self.request, &self.name, self.size);
        let length = length.unwrap_or(body.len() as u64);
        let mut head = http::Response::builder().status(&status[..3]);
        for (name, value) in headers {
            head = head.header(name, value);
        }
        let head = head
            .header("content-length", length)
            .header("etag", exchange::etag(&self.name, self.size))
            .body(())
            .expect("a head");
        Ok((self.respond.send_response(head, false)?, body.into()))
    }

    fn file(&mut self) -> Result<(), h2::Error> {
        let (mut stream, body) = self.head(None)?;
        let body = if self.request.method == "HEAD" { Bytes::new() } else { body };
        stream.send_data(body, true)
    }
}

async fn answer(mut x: Exchange) -> Result<(), h2::Error> {
    match x.sin.as_str() {
        "redirect" => redirect(&mut x),
        "h2_silent" => silent().await,
        "h2_stalls" => stalls(&mut x).await,
        "h2_slow" => slow(&mut x).await,
        "h2_reset_without_error" => reset_without_error(&mut x).await,
        "h2_breaks_off" => breaks_off(&mut x).await,
        "h2_refused_stream" => refused_stream(&mut x),
        "h2_reset_in_mid_body" => reset_in_mid_body(&mut x).await,
        "h2_shorter_than_announced" => shorter_than_announced(&mut x),
        "h2_longer_than_announced" => longer_than_announced(&mut x),
        "h2_not_here" => not_here(&mut x),
        _ => x.file(),
    }
}

/// Redirects to the URL in `?to=URL`.
fn redirect(x: &mut Exchange) -> Result<(), h2::Error> {
    let to = x.request.query("to").unwrap_or_default();
    let head = http::Response::builder().status(302).header("location", to).body(()).expect("a head");
    x.respond.send_response(head, true).map(drop)
}

/// Never sends a response.
async fn silent() -> Result<(), h2::Error> {
    std::future::pending().await
}

/// Sends half of the body, and then no more bytes.
async fn stalls(x: &mut Exchange) -> Result<(), h2::Error> {
    let (mut stream, body) = x.head(None)?;
    stream.send_data(body.slice(..body.len() / 2), false)?;
    std::future::pending().await
}

/// Sends the body slowly, in about three seconds.
async fn slow(x: &mut Exchange) -> Result<(), h2::Error> {
    let (mut stream, mut body) = x.head(None)?;
    let portion = body.len() / 300 + 1;
    while !body.is_empty() {
        let part = body.split_to(body.len().min(portion));
        stream.send_data(part, body.is_empty())?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// For the first request, sends half of a body of unknown length, and then resets the stream with NO_ERROR.
async fn reset_without_error(x: &mut Exchange) -> Result<(), h2::Error> {
    if x.visit > 0 {
        return x.file();
    }
    half_and_reset(x, http::Response::builder(), Reason::NO_ERROR).await
}

/// Always sends half of the body and then resets the stream. The response has no validator, so the download
/// cannot be resumed.
async fn breaks_off(x: &mut Exchange) -> Result<(), h2::Error> {
    let head = http::Response::builder().header("content-length", x.size);
    half_and_reset(x, head, Reason::INTERNAL_ERROR).await
}

async fn half_and_reset(
    x: &mut Exchange,
    head: http::response::Builder,
    reason: Reason,
) -> Result<(), h2::Error> {
    let body = Bytes::from(exchange::part(&x.request, &x.name, x.size).2);
    let mut stream = x.respond.send_response(head.body(()).expect("a head"), false)?;
    stream.send_data(body.slice(..body.len() / 2), false)?;
    // The bytes must arrive before the reset, because a reset discards bytes that are on their way.
    tokio::time::sleep(Duration::from_millis(300)).await;
    stream.send_reset(reason);
    Ok(())
}

/// For the first request, refuses the stream (RFC 9113, section 8.7: the request was not processed).
fn refused_stream(x: &mut Exchange) -> Result<(), h2::Error> {
    if x.visit > 0 {
        return x.file();
    }
    x.respond.send_reset(Reason::REFUSED_STREAM);
    Ok(())
}

/// For the first request, sends half of the body and then resets the stream.
async fn reset_in_mid_body(x: &mut Exchange) -> Result<(), h2::Error> {
    if x.visit > 0 {
        return x.file();
    }
    let etag = exchange::etag(&x.name, x.size);
    let head = http::Response::builder().header("content-length", x.size).header("etag", etag);
    half_and_reset(x, head, Reason::INTERNAL_ERROR).await
}

/// For the first request, ends the stream without an error before the body is complete.
fn shorter_than_announced(x: &mut Exchange) -> Result<(), h2::Error> {
    if x.visit > 0 {
        return x.file();
    }
    let (mut stream, body) = x.head(None)?;
    stream.send_data(body.slice(..body.len() / 2), true)
}

/// For the first request, sends more bytes than Content-Length announced.
fn longer_than_announced(x: &mut Exchange) -> Result<(), h2::Error> {
    if x.visit > 0 {
        return x.file();
    }
    let (mut stream, body) = x.head(Some(x.size / 2))?;
    stream.send_data(body, true)
}

/// Answers that this file needs HTTP/1.1 (RFC 9113, section 7).
fn not_here(x: &mut Exchange) -> Result<(), h2::Error> {
    x.respond.send_reset(Reason::HTTP_1_1_REQUIRED);
    Ok(())
}

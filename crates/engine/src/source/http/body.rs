//! Holds a response whose head was read, and the connection that delivers the body of the response.
//!
//! Invariant: an HTTP/1.1 connection returns to the pool of idle connections only when the body was read to
//! its end.

use super::failure;
use super::http1::{Connection, Pool};
use super::http2::Stream;
use crate::source::next_bytes;
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::transcript::{Exchange, response_head};
use futures_util::stream::Stream as AsyncStream;
use http::{HeaderMap, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The longest body of a redirect or an error that is read to its end, in bytes. If a body was read to its
/// end, its connection can be used again. For a longer body, a new handshake is cheaper than reading it. A
/// body of unknown length is not read, because it may be longer.
const DISCARD_BYTES: u64 = 64 * 1024;

/// The highest number of bytes that are kept of the body of a redirect or an error. These bytes may contain
/// the reason for a refusal.
const FIRST_BYTES: usize = 16 * 1024;

/// The longest time for reading the body of a redirect or an error.
const DISCARD_TIME: Duration = Duration::from_secs(1);

pub(super) struct HttpResponse {
    head: http::response::Parts,
    /// Descriptions, for the user, of the lines of the head that could not be read.
    dropped: Vec<String>,
    /// The head as it arrived, if heads are kept for transcripts.
    kept_head: Option<Vec<u8>>,
    /// The address of the server, if the connection leads to it directly.
    server: Option<IpAddr>,
    body: HttpBody,
    /// The request and the head of the response, if transcripts are kept.
    pub(super) exchange: Option<Exchange>,
}

/// The body of a response, and the connection that carries it.
pub(super) struct HttpBody {
    incoming: Incoming,
    carrier: Carrier,
    /// The URL for error messages.
    at: String,
}

/// The connection that carries a body.
pub(super) enum Carrier {
    /// An HTTP/1.1 connection, and the pool that it returns to.
    Http1(Connection, Weak<Pool>),
    /// A stream of a shared HTTP/2 connection.
    Http2(Stream),
    /// No connection, because the body has ended or failed.
    Over,
}

impl HttpResponse {
    pub(super) fn new(
        response: http::Response<Incoming>,
        carrier: Carrier,
        at: String,
        dropped: Vec<String>,
    ) -> Self {
        let (head, incoming) = response.into_parts();
        let server = match &carrier {
            Carrier::Http1(connection, _) => connection.server(),
            Carrier::Http2(stream) => stream.server(),
            Carrier::Over => None,
        };
        let mut body = HttpBody { incoming, carrier, at };
        // An empty body is not polled, so its connection is returned to the pool here.
        if body.incoming.is_end_stream() {
            body.on_end();
        }
        HttpResponse { head, dropped, kept_head: None, server, body, exchange: None }
    }

    /// Stores the head as it arrived, if heads are kept for transcripts.
    pub(super) fn with_head(mut self, head: Option<Vec<u8>>) -> Self {
        self.kept_head = head;
        self
    }

    /// Returns the head in the form of HTTP/1.1. If the head was kept, it is returned as it arrived.
    pub(super) fn take_head(&mut self) -> Vec<u8> {
        self.kept_head.take().filter(|head| !head.is_empty()).unwrap_or_else(|| {
            let headers = self.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            let reason = self.status().canonical_reason().unwrap_or_default();
            response_head(self.status().as_u16(), reason, headers)
        })
    }

    pub(super) fn server(&self) -> Option<IpAddr> {
        self.server
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn version(&self) -> http::Version {
        self.head.version
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Returns true if the response itself shows where its body ends, so that a body which ends too early is
    /// noticed. Otherwise, the body ends when the server closes the connection (RFC 9112, section 6.3).
    pub(super) fn states_its_end(&self) -> bool {
        let headers = self.headers();
        self.version() == http::Version::HTTP_2
            || headers.contains_key(header::CONTENT_LENGTH)
            || headers.contains_key(header::TRANSFER_ENCODING)
    }

    pub(super) fn take_dropped(&mut self) -> Vec<String> {
        std::mem::take(&mut self.dropped)
    }

    pub(super) fn into_body(self) -> HttpBody {
        self.body
    }

    /// Reads a short body to its end, so that the connection can be used again. A body that is long or of
    /// unknown length is not read, and its HTTP/1.1 connection is closed. Returns the first bytes of the
    /// body, and true if the body may have more bytes than these.
    pub(super) async fn discard(mut self) -> (Vec<u8>, bool) {
        let (mut first, mut is_cut) = (Vec::new(), true);
        if self.body.incoming.size_hint().upper().is_some_and(|size| size <= DISCARD_BYTES) {
            let read = async {
                let mut is_long = false;
                while let Some(bytes) = next_bytes(&mut self.body).await {
                    let Ok(bytes) = bytes else { return true };
                    let room = FIRST_BYTES.saturating_sub(first.len());
                    is_long |= bytes.len() > room;
                    first.extend_from_slice(&bytes[..room.min(bytes.len())]);
                }
                is_long
            };
            is_cut = tokio::time::timeout(DISCARD_TIME, read).await.unwrap_or(true);
        }
        (first, is_cut)
    }
}

impl HttpBody {
    /// Releases the connection after the body was read to its end. An HTTP/1.1 connection returns to the
    /// pool.
    fn on_end(&mut self) {
        if let Carrier::Http1(connection, pool) = std::mem::replace(&mut self.carrier, Carrier::Over)
            && let Some(pool) = pool.upgrade()
        {
            pool.put(connection);
        }
    }

    /// Ends the body when no more frames follow. If an HTTP/2 stream was reset without an error, no more
    /// frames follow either.
    ///
    /// # Errors
    /// Returns `http.truncated` if the HTTP/2 stream was reset before its end.
    fn on_close(&mut self) -> Result<(), Error> {
        if matches!(self.carrier, Carrier::Http2(_)) && !self.incoming.is_end_stream() {
            self.on_break();
            return Err(Error::new(
                ErrorKind::HttpTruncated,
                &self.at,
                "the stream was reset before its end",
            ));
        }
        self.on_end();
        Ok(())
    }

    /// Gives up the connection after the body failed. An HTTP/1.1 connection is closed. An HTTP/2 connection
    /// continues for its other requests.
    fn on_break(&mut self) {
        if let Carrier::Http2(stream) = std::mem::replace(&mut self.carrier, Carrier::Over) {
            stream.on_break();
        }
    }
}

impl AsyncStream for HttpBody {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = &mut *self;
        loop {
            let frame = Pin::new(&mut body.incoming).poll_frame(cx);
            if let Carrier::Http2(stream) = &mut body.carrier {
                if frame.is_pending() {
                    return stream.poll_silence(cx, &body.at).map(|stalled| Some(Err(stalled)));
                }
                stream.on_bytes();
            }
            return Poll::Ready(match ready!(frame) {
                None => body.on_close().err().map(Err),
                Some(Err(e)) => {
                    body.on_break();
                    Some(Err(failure::of_body(&e, &body.at)))
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Carrier::Http1(connection, _) = &body.carrier {
                            connection.delivered();
                        }
                        if body.incoming.is_end_stream() {
                            body.on_end();
                        }
                        Some(Ok(data))
                    }
                    // Trailers are ignored.
                    Err(_) => continue,
                },
            });
        }
    }
}

//! A reply whose head was read: its body, what carries it, and the way of a lane back into the pool.
//!
//! Invariant: a lane returns only when its body was read to the announced end.

use super::failure;
use super::http1::{Lane, Pool};
use super::http2::Stream as H2Stream;
use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use futures_util::StreamExt;
use futures_util::stream::Stream;
use http::{HeaderMap, StatusCode};
use hyper::body::{Body as _, Incoming};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Bodies of redirects and errors up to this size are read to keep the connection: cheaper than a new
/// handshake; beyond it, closing is.
const WORTH_READING: u64 = 64 * 1024;

/// How long such a body may take.
const READING_PATIENCE: Duration = Duration::from_secs(1);

/// A reply.
pub(super) struct HttpReply {
    head: http::response::Parts,
    /// Lines of the head that could not be read, in words for a person.
    dropped: Vec<String>,
    body: HttpBody,
}

/// The bytes of a reply.
pub(super) struct HttpBody {
    incoming: Incoming,
    carrier: Carrier,
    /// Where errors happened, for people.
    at: String,
}

/// What a body comes over.
pub(super) enum Carrier {
    /// A lane, and the pool it comes from.
    Lane(Lane, Weak<Pool>),
    /// A stream of a shared HTTP/2 connection.
    Stream(H2Stream),
    /// Nothing any more.
    Over,
}

impl HttpReply {
    pub(super) fn new(
        reply: http::Response<Incoming>,
        carrier: Carrier,
        at: String,
        dropped: Vec<String>,
    ) -> Self {
        let (head, incoming) = reply.into_parts();
        let mut body = HttpBody { incoming, carrier, at };
        // Nobody reads an empty body.
        if body.incoming.is_end_stream() {
            body.ended();
        }
        HttpReply { head, dropped, body }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    pub(super) fn take_dropped(&mut self) -> Vec<String> {
        std::mem::take(&mut self.dropped)
    }

    pub(super) fn into_body(self) -> HttpBody {
        self.body
    }

    /// Reads a short body to its end so that the lane can be used again; drops a long one with its lane.
    pub(super) async fn discard(mut self) {
        if self.body.incoming.size_hint().upper().is_some_and(|size| size <= WORTH_READING) {
            let read = async { while let Some(Ok(_)) = self.body.next().await {} };
            let _ = tokio::time::timeout(READING_PATIENCE, read).await;
        }
    }
}

impl HttpBody {
    /// The body was read to its end.
    fn ended(&mut self) {
        if let Carrier::Lane(lane, pool) = std::mem::replace(&mut self.carrier, Carrier::Over)
            && let Some(pool) = pool.upgrade()
        {
            pool.put(lane);
        }
    }

    /// Nothing more comes. A stream of HTTP/2 that is reset without an error looks like that too, and has no end.
    fn closed(&mut self) -> Result<(), Error> {
        if matches!(self.carrier, Carrier::Stream(_)) && !self.incoming.is_end_stream() {
            self.leave();
            return Err(Error::new(
                ErrorKind::HttpTruncated,
                &self.at,
                "the stream was reset before its end",
            ));
        }
        self.ended();
        Ok(())
    }

    /// The body broke.
    fn leave(&mut self) {
        if let Carrier::Stream(stream) = std::mem::replace(&mut self.carrier, Carrier::Over) {
            stream.broke();
        }
    }
}

impl Stream for HttpBody {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = &mut *self;
        loop {
            let frame = Pin::new(&mut body.incoming).poll_frame(cx);
            if let Carrier::Stream(stream) = &mut body.carrier {
                if frame.is_pending() {
                    return stream.poll_stalled(cx, &body.at).map(|stalled| Some(Err(stalled)));
                }
                stream.heard();
            }
            return Poll::Ready(match ready!(frame) {
                None => body.closed().err().map(Err),
                Some(Err(e)) => {
                    body.leave();
                    Some(Err(failure::of_body(&e, &body.at)))
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Carrier::Lane(lane, _) = &body.carrier {
                            lane.delivered();
                        }
                        if body.incoming.is_end_stream() {
                            body.ended();
                        }
                        Some(Ok(data))
                    }
                    // Trailers.
                    Err(_) => continue,
                },
            });
        }
    }
}

//! A reply whose head was read: its body, and the way of its lane back into the pool.
//!
//! Invariant: a lane returns only when its body was read to the announced end.

use super::failure;
use super::lane::{Lane, Pool};
use bytes::Bytes;
use downhaul_core::error::Error;
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
    pub(super) head: http::response::Parts,
    pub(super) body: HttpBody,
}

/// The bytes of a reply.
pub(super) struct HttpBody {
    pub(super) incoming: Incoming,
    pub(super) lane: Option<Lane>,
    pub(super) pool: Weak<Pool>,
    /// Where errors happened, for people.
    pub(super) at: String,
}

impl HttpReply {
    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
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
    fn give_lane_back(&mut self) {
        if let (Some(lane), Some(pool)) = (self.lane.take(), self.pool.upgrade()) {
            pool.put(lane);
        }
    }
}

impl Stream for HttpBody {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => {
                    self.give_lane_back();
                    None
                }
                Some(Err(e)) => {
                    self.lane = None;
                    Some(Err(failure::of_body(&e, &self.at)))
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if self.incoming.is_end_stream() {
                            self.give_lane_back();
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

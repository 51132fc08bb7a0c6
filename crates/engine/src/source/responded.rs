//! Defines a source whose first response has already arrived.
//!
//! Invariant: the response is used only if the first call of `open` requests the content of the whole file
//! with a plain GET. Otherwise the response is dropped, and the source sends the request.

use super::{Opened, Request, Source};
use crate::explain::{self, Spent};
use downhaul_core::error::Error;
use futures_util::future::{self, BoxFuture};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A source, and the first response until `open` is called.
pub(crate) struct Responded {
    source: Arc<dyn Source>,
    first: Mutex<Option<First>>,
}

/// A response, and the time that was spent until it arrived.
type First = (Result<Opened, Error>, Spent);

impl Responded {
    pub(crate) fn new(source: Arc<dyn Source>, response: Result<Opened, Error>, spent: Spent) -> Responded {
        Responded { source, first: Mutex::new(Some((response, spent))) }
    }
}

impl Source for Responded {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        let is_plain = request.is_for_everything() && request.about.is_none() && request.sends.is_none();
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match first.take().filter(|_| is_plain) {
            Some((response, spent)) => {
                explain::spent_before(spent);
                Box::pin(future::ready(response))
            }
            None => self.source.open(request),
        }
    }

    fn round_trip(&self) -> Option<Duration> {
        self.source.round_trip()
    }
}

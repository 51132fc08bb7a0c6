//! A file in memory as a source. It is the smallest possible protocol, and an example of how to write a
//! protocol.

use bytes::Bytes;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_engine::source::{Opened, Remote, Request, Source, Validator};
use futures_util::future::{self, BoxFuture};
use futures_util::stream;
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// The length of the buffers of a body, in bytes. The last one may be shorter.
const CHUNK: usize = 16 * 1024;

/// A file in memory. All clones share the same bytes.
#[derive(Debug, Clone)]
pub struct MemorySource {
    url: Url,
    /// The content, and the number of times that it was replaced.
    file: Arc<Mutex<(Bytes, u64)>>,
}

impl MemorySource {
    /// Returns a source that sends this content. `url` is the URL in its responses.
    pub fn new(url: Url, content: impl Into<Bytes>) -> MemorySource {
        MemorySource { url, file: Arc::new(Mutex::new((content.into(), 0))) }
    }

    /// Replaces the content. The validator changes too.
    pub fn replace(&self, content: impl Into<Bytes>) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        *file = (content.into(), file.1 + 1);
    }

    fn answer(&self, request: &Request) -> Result<Opened, Error> {
        let (content, version) = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let size = content.len() as u64;
        let tag = format!("\"{version}\"");
        if request.about.as_ref().is_some_and(|about| about.etag.as_ref() == Some(&tag)) {
            return Ok(Opened {
                remote: Remote::unchanged(self.url.clone()),
                body: Box::pin(stream::empty()),
            });
        }
        let (mut remote, bytes) = if request.is_for_everything() {
            (Remote::whole(self.url.clone()), content)
        } else {
            let (from, to) = (request.from, request.to.unwrap_or(size).min(size));
            if from >= to {
                let mut error = Error::new(ErrorKind::HttpRangePast, self.url.as_str(), "");
                error.size = Some(size);
                return Err(error);
            }
            let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
            (Remote::range(self.url.clone(), from..to, Some(size)), content.slice(at(from)..at(to)))
        };
        (remote.size, remote.validator, remote.can_resume) = (Some(size), Validator::Etag(tag), true);
        let chunks =
            (0..bytes.len()).step_by(CHUNK).map(move |at| Ok(bytes.slice(at..bytes.len().min(at + CHUNK))));
        let body = stream::iter(chunks.collect::<Vec<_>>());
        Ok(Opened { remote, body: Box::pin(body) })
    }
}

impl Source for MemorySource {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        Box::pin(future::ready(self.answer(&request)))
    }
}

//! Fetches small texts, such as checksum lists and signatures, into memory. The texts are fetched through
//! [`Sources`], as files are.
//!
//! Invariant: the memory is bounded, and an incomplete text is an error.

use crate::hashers::Hashers;
use crate::source::{GivenBy, Opened, Request, Sources, caught, next_in_time};
use downhaul_core::digest::{self, Digest};
use downhaul_core::error::{Error, ErrorKind, Retry};
use downhaul_core::job::fragment;
use downhaul_core::settings::Settings;
use downhaul_core::show;
use std::time::Duration;
use url::Url;

/// The highest number of pauses, required by the host, that are not counted as retries. (For downloads of
/// files, the count begins again after each new byte, and the time is limited too.)
const PAUSES: u32 = 10;

/// The wait before a retry, if the host requires no pause. If the host requires one, the wait is at least
/// half of this time. The user may set a longer wait ([`Settings::retry_wait`]).
const PAUSE: Duration = Duration::from_secs(1);

/// Returns the text at a URL. Returns `None` if the server says that there is none (404, 410), or forbids
/// access (403). If the fragment of the URL has a digest, the text must match it.
///
/// # Errors
/// Returns the last failure, after at most [`Settings::retries`] retries. Returns `digest.mismatch` if the
/// digest does not match, `url.invalid` if the digest in the fragment is malformed, and an error if the text
/// is longer than `most` bytes.
pub(crate) async fn get(
    sources: &Sources,
    settings: &Settings,
    (url, by): (&Url, GivenBy),
    most: usize,
) -> Result<Option<Vec<u8>>, Error> {
    let mut plain = url.clone();
    let digests = fragment::take_digests(&mut plain)
        .map_err(|why| Error::new(ErrorKind::UrlInvalid, show::url(url), why))?;
    let source = caught(show::url(url), async { Ok(sources.source(&plain, by)) }).await?;
    let mut patience = Patience::new(settings);
    loop {
        let error = match caught(show::url(url), async { source.open(Request::EVERYTHING).await }).await {
            Ok(opened) => match caught(show::url(url), read(opened, settings.timeout, most)).await {
                Ok(text) => return verify(&text, &digests, url).map(|()| Some(text)),
                Err(error) => error,
            },
            // Object stores answer 403 for a missing object if the client may not list the bucket.
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::HttpNotFound | ErrorKind::HttpGone | ErrorKind::HttpForbidden
                ) =>
            {
                return Ok(None);
            }
            Err(error) => error,
        };
        tokio::time::sleep(patience.wait(error)?).await;
    }
}

/// Counts the retries of a request whose response is kept in memory.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    retries: u32,
    retry_wait: Duration,
    pauses: u32,
}

impl Patience {
    pub(crate) fn new(settings: &Settings) -> Patience {
        Patience { retries: settings.retries, retry_wait: settings.retry_wait, pauses: PAUSES }
    }

    /// Returns how long to wait before the request is sent again.
    ///
    /// # Errors
    /// Returns `error` if the request is not sent again.
    pub(crate) fn wait(&mut self, error: Error) -> Result<Duration, Error> {
        let wait = error.pause.map_or(PAUSE, |pause| pause.wait.max(PAUSE / 2)).max(self.retry_wait);
        // The first [`PAUSES`] pauses that the host requires are not counted as retries.
        if error.pause.is_some() && self.pauses > 0 {
            self.pauses -= 1;
            Ok(wait)
        } else if error.retry() == Retry::Again && self.retries > 0 {
            self.retries -= 1;
            Ok(wait)
        } else {
            Err(error)
        }
    }
}

/// Verifies that a text has the digests in the fragment of its URL.
///
/// # Errors
/// Returns `digest.mismatch`.
fn verify(text: &[u8], digests: &[Digest], url: &Url) -> Result<(), Error> {
    let mut hashers = Hashers::new(&digest::distinct(digests.iter().map(|one| one.algorithm)));
    hashers.update(&[text]);
    let computed = hashers.finish();
    match digests.iter().find(|one| !computed.contains(one)) {
        None => Ok(()),
        Some(one) => {
            let why = format!("the URL says that the {} of the content is {one}", one.algorithm.name());
            Err(Error::new(ErrorKind::DigestMismatch, show::url(url), why))
        }
    }
}

async fn read(opened: Opened, timeout: Duration, most: usize) -> Result<Vec<u8>, Error> {
    let Opened { remote, mut body } = opened;
    let fail = |kind, why: &str| Err(Error::new(kind, show::url(&remote.url), why));
    if !remote.is_whole() {
        return fail(ErrorKind::HttpRangeWrong, "the whole text was requested");
    }
    if remote.coding.is_some() {
        return fail(ErrorKind::HttpEncoding, "");
    }
    let mut text = Vec::new();
    while let Some(bytes) = next_in_time(&mut body, &remote, timeout).await? {
        text.extend_from_slice(&bytes);
        if text.len() > most {
            let limit = match most >> 20 {
                0 => format!("{} KiB", most >> 10),
                mebibytes => format!("{mebibytes} MiB"),
            };
            return fail(ErrorKind::HttpTooLong, &format!("it has more than {limit}"));
        }
    }
    match remote.size {
        Some(length) if length != text.len() as u64 => fail(ErrorKind::HttpTruncated, ""),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Remote;
    use bytes::Bytes;
    use futures_util::stream;

    #[tokio::test]
    async fn a_text_that_consists_of_empty_buffers_counts_as_silence() {
        let url = Url::parse("http://h/SHA256SUMS").expect("a URL");
        let body = Box::pin(stream::repeat_with(|| Ok(Bytes::new())));
        let opened = Opened { remote: Remote::whole(url), body };
        let text = read(opened, Duration::from_millis(50), 100).await;
        assert_eq!(text.map_err(|e| e.kind), Err(ErrorKind::NetSilent));
    }
}

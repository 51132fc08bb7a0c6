//! Reads ranges of one remote file into memory. It uses the same [`Sources`] as the downloads of files.
//!
//! Invariant: all bytes that a [`RangeReader`] returns belong to one version of the file. Without a
//! validator, a file is accepted only if the first response has all of it. Its bytes are then kept in memory.

use crate::fetch_text::Patience;
use crate::source::{Body, GivenBy, Opened, Remote, Request, Source, Sources, Span, Validator, next_in_time};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::job::fragment;
use downhaul_core::journal::Start;
use downhaul_core::plan::{Segment, start_of, validate_range};
use downhaul_core::retry::PROGRESS;
use downhaul_core::settings::Settings;
use downhaul_core::show;
use futures_util::StreamExt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// One remote file, of which ranges are read into memory. Several ranges may be read at the same time, each
/// with a request of its own.
pub struct RangeReader {
    source: Arc<dyn Source>,
    /// The facts of the first response. The facts of all other responses are compared with these.
    known: Start,
    size: u64,
    /// The whole file, if the first response had all its bytes. A file without a validator, or whose size
    /// only the end of the response showed, is always kept here.
    whole: Option<Vec<u8>>,
    /// The retries and pauses that each range may use.
    patience: Patience,
    timeout: Duration,
}

impl RangeReader {
    /// Opens the file at a URL. Returns a reader, and the first `most` bytes of the file, or all of its bytes
    /// if it has fewer.
    ///
    /// # Errors
    /// Returns the last failure, after as many retries as for the download of a file. Returns
    /// `http.no_ranges` if the server does not state the size, sends no ranges, or sends no validator, which
    /// would show that ranges belong to the same version of the file. If the first response has all bytes of
    /// the file, none of these is needed. Returns `http.encoding` if the response has a content coding,
    /// `url.invalid` if the fragment of the URL has a digest or cannot be understood, and an error of the
    /// settings as [`Session::start`](crate::Session::start) does.
    pub async fn open(settings: Settings, url: &Url, most: u64) -> Result<(RangeReader, Vec<u8>), Error> {
        let mut plain = url.clone();
        let invalid = |why: &str| Error::new(ErrorKind::UrlInvalid, show::url(url), why);
        let digests = fragment::take_digests(&mut plain).map_err(|mistake| invalid(&mistake))?;
        if !digests.is_empty() {
            return Err(invalid(
                "its fragment has a digest, which cannot be compared with ranges of the file",
            ));
        }
        let source = Sources::http(&settings)?.source(&plain, GivenBy::User);
        RangeReader::of(source, &settings, &plain, most).await
    }

    /// Opens the file of a source.
    async fn of(
        source: Arc<dyn Source>,
        settings: &Settings,
        url: &Url,
        most: u64,
    ) -> Result<(RangeReader, Vec<u8>), Error> {
        let mut patience = Patience::new(settings);
        loop {
            let error = match first(&source, settings, url, most).await {
                Ok((known, size, bytes)) => {
                    let (patience, timeout) = (Patience::new(settings), settings.timeout);
                    // If all bytes are here, no further request is needed. The server may not send ranges.
                    let whole = (bytes.len() as u64 == size).then(|| bytes.clone());
                    let reader = RangeReader { source, known, size, whole, patience, timeout };
                    return reader.completed(bytes, most).await;
                }
                Err(error) => error,
            };
            tokio::time::sleep(patience.wait(error)?).await;
        }
    }

    /// Returns the reader with the first bytes of the file, up to `most`. A server may send fewer bytes than
    /// were requested (RFC 9110, section 15.3.7). The remaining bytes are then requested here.
    async fn completed(self, mut bytes: Vec<u8>, most: u64) -> Result<(RangeReader, Vec<u8>), Error> {
        bytes.extend(self.read(bytes.len() as u64..most).await?);
        Ok((self, bytes))
    }

    /// Returns the size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns these bytes of the file. A range that ends after the file is shortened.
    ///
    /// # Errors
    /// Returns `remote.changed` if the server has another version of the file than when the reader was
    /// opened. Otherwise returns the last failure, after as many retries as for the download of a file.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let end = range.end.min(self.size);
        if let Some(whole) = &self.whole {
            let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
            return Ok(whole.get(at(range.start)..at(end)).unwrap_or_default().to_vec());
        }
        let mut bytes = Vec::new();
        let (mut patience, mut failed_at) = (self.patience, range.start);
        loop {
            let from = range.start.saturating_add(bytes.len() as u64);
            if from >= end {
                return Ok(bytes);
            }
            if from - failed_at >= PROGRESS {
                (patience, failed_at) = (self.patience, from);
            }
            match self.read_some(from, end, &mut bytes).await {
                Ok(()) => {}
                Err(error) if error.kind == ErrorKind::RemoteChanged => return Err(error),
                Err(error) => tokio::time::sleep(patience.wait(error)?).await,
            }
        }
    }

    /// Sends one request for bytes from `from` to `end`, and appends the bytes of the response. After an
    /// error, the bytes that were appended before it are valid.
    async fn read_some(&self, from: u64, end: u64, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let changed = |mut error: Error| {
            if error.kind == ErrorKind::HttpRangePast {
                error.kind = ErrorKind::RemoteChanged;
            }
            error
        };
        let Opened { remote, body } =
            self.source.open(Request::range(from, Some(end))).await.map_err(changed)?;
        if remote.is_whole() {
            return Err(Error::new(ErrorKind::HttpRangeIgnored, show::url(&remote.url), ""));
        }
        let segment = validate_range(&self.known, from, Some(end), &remote)?;
        receive(body, &remote, segment.skip, segment.end - from, self.timeout, bytes).await
    }
}

/// Requests the first bytes of a file. Returns the facts about the file, its size, and as many of these bytes
/// as the response has.
async fn first(
    source: &Arc<dyn Source>,
    settings: &Settings,
    url: &Url,
    most: u64,
) -> Result<(Start, u64, Vec<u8>), Error> {
    let Opened { remote, body } = match source.open(Request::range(0, Some(most.max(1)))).await {
        // No range begins in an empty file (RFC 9110, section 14.1.2).
        Err(error) if error.kind == ErrorKind::HttpRangePast && error.size == Some(0) => {
            return Ok((start_of(&Remote::whole(url.clone()), None), 0, Vec::new()));
        }
        opened => opened?,
    };
    let known = start_of(&remote, None);
    let refuse = |kind, why: &str| Err(Error::new(kind, show::url(&remote.url), why));
    if let Some(coding) = &remote.coding {
        return refuse(ErrorKind::HttpEncoding, coding);
    }
    let Some(size) = remote.size else {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let whole = if remote.is_whole() {
            receive_whole(body, &remote, most, settings.timeout).await?
        } else {
            None
        };
        return match whole {
            Some(bytes) => Ok((known, bytes.len() as u64, bytes)),
            None => refuse(ErrorKind::HttpNoRanges, "it does not say how long the file is"),
        };
    };
    let wanted = size.min(most);
    let Segment { skip, end } = match &remote.span {
        Span::Range(_) => validate_range(&known, 0, Some(wanted), &remote)?,
        _ => Segment { skip: 0, end: wanted },
    };
    if size > most && remote.is_whole() {
        return refuse(ErrorKind::HttpNoRanges, "it sent the whole file");
    }
    let wanted = end.min(wanted);
    if wanted < size && remote.validator == Validator::Unknown {
        let why = "it sends no ETag and no date that tell versions of the file apart";
        return refuse(ErrorKind::HttpNoRanges, why);
    }
    let mut bytes = Vec::new();
    receive(body, &remote, skip, wanted, settings.timeout, &mut bytes).await?;
    Ok((known, size, bytes))
}

/// Returns all bytes of a body whose length is not stated, or `None` if it has more than `most`.
///
/// # Errors
/// Returns an error if the transfer of the body fails, or if nothing arrives for the time of `timeout`.
async fn receive_whole(
    mut body: Body,
    remote: &Remote,
    most: usize,
    timeout: Duration,
) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    while let Some(part) = next_in_time(&mut body, remote, timeout).await? {
        bytes.extend_from_slice(&part);
        if bytes.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// Skips the first `skip` bytes of a body, and appends the next `wanted` bytes to `to`.
///
/// # Errors
/// Returns an error if the body ends early, if its transfer fails, or if nothing arrives for the time of
/// `timeout`.
async fn receive(
    mut body: Body,
    remote: &Remote,
    mut skip: u64,
    wanted: u64,
    timeout: Duration,
    to: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut left = wanted;
    while left > 0 {
        let Some(part) = next_in_time(&mut body, remote, timeout).await? else {
            return Err(Error::new(ErrorKind::HttpTruncated, show::url(&remote.url), ""));
        };
        let skipped = skip.min(part.len() as u64);
        skip -= skipped;
        let part = part.get(skipped as usize..).unwrap_or_default();
        let used = part.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(part);
        to.extend_from_slice(used);
        left -= used.len() as u64;
    }
    // Reads the end of the body, if it has arrived already. A connection of HTTP/1.1 can then be used again.
    // Otherwise it is closed when the body is dropped.
    let _ = tokio::time::timeout(Duration::ZERO, body.next()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use futures_util::stream;
    use std::sync::Mutex;

    /// A file without a validator. The first field is the highest number of bytes of a response. Each request
    /// changes the file.
    struct Changing(u64, Mutex<u8>);

    impl Source for Changing {
        fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
            let mut content = self.1.lock().expect("no panic");
            *content += 1;
            let end = request.to.unwrap_or(10).min(10).min(request.from + self.0);
            let url = Url::parse("http://h/f").expect("a URL");
            let mut remote = Remote::range(url, request.from..end, Some(10));
            (remote.size, remote.can_resume) = (Some(10), true);
            let bytes = Bytes::from(vec![*content; (end - request.from) as usize]);
            let body = Box::pin(stream::iter([Ok(bytes)]));
            Box::pin(std::future::ready(Ok(Opened { remote, body })))
        }
    }

    async fn opened(response_most: u64, most: u64) -> Result<(RangeReader, Vec<u8>), Error> {
        let source = Arc::new(Changing(response_most, Mutex::new(0)));
        let url = Url::parse("http://h/f").expect("a URL");
        RangeReader::of(source, &Settings::default(), &url, most).await
    }

    #[tokio::test]
    async fn without_a_validator_bytes_of_two_responses_are_not_joined() {
        for (response_most, most) in [(4, 20), (4, 5), (10, 5)] {
            let refused = opened(response_most, most).await.map(drop).map_err(|e| e.kind);
            assert_eq!(refused, Err(ErrorKind::HttpNoRanges), "{response_most} {most}");
        }
        let (reader, first) = opened(10, 20).await.expect("opens");
        assert_eq!(first, [1; 10]);
        assert_eq!(reader.read(7..20).await, Ok(vec![1; 3]), "these are bytes of the first response");
        assert_eq!(reader.read(20..30).await, Ok(Vec::new()));
    }
}

//! One request, and functions with which scripts answer it. Most of these functions send a correct response
//! with a test file or a range of it, or a part of such a response. `more` are headers that are added to the
//! response. A function that sends bytes returns true if the connection can be used for another request.

use super::sins::quotas::Counted;
use super::{Request, Wire};
use crate::{content, shared_content};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// The Last-Modified of all test files. It is long enough ago to be a strong validator (RFC 9110, section
/// 8.8.2.2).
pub const LAST_MODIFIED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// One request and the connection on which it is answered.
pub(super) struct Exchange<'a> {
    pub(super) request: &'a Request,
    pub(super) wire: &'a mut dyn Wire,
    /// The number of earlier requests for this target.
    pub(super) visit: usize,
    pub(super) size: u64,
    pub(super) name: String,
    pub(super) over: &'a AtomicBool,
    /// The number of open connections, including this one.
    pub(super) open: usize,
    /// The number of bytes that this connection may send without a pause, and the time when this number was
    /// computed.
    pub(super) bucket: &'a mut (f64, Instant),
    /// The counters of scripts, for all connections.
    pub(super) counted: &'a Mutex<Counted>,
}

impl Exchange<'_> {
    pub(super) fn content(&self) -> Vec<u8> {
        content(&self.name, self.size)
    }

    pub(super) fn etag(&self) -> String {
        etag(&self.name, self.size)
    }

    /// Sends a response with a body of known length.
    pub(super) fn respond(
        &mut self,
        status: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<bool> {
        let length = body.len().to_string();
        let mut all = vec![("Content-Length", length.as_str())];
        all.extend(headers);
        self.head(status, &all)?;
        self.wire.write_all(body)?;
        self.wire.flush()?;
        Ok(true)
    }

    pub(super) fn head(&mut self, status: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        self.wire.write_all((text + "\r\n").as_bytes())
    }

    /// Sends the requested file or range as a correct server does, with additional headers.
    pub(super) fn file(&mut self, more: &[(&str, &str)]) -> io::Result<bool> {
        let etag = self.etag();
        let mut headers = vec![("ETag", etag.as_str())];
        headers.extend(more);
        if self.is_unchanged() {
            return self.head("304 Not Modified", &headers).map(|()| true);
        }
        self.file_as(&headers)
    }

    /// Returns true if the conditions of the request show that the client already has the current version of
    /// the file (RFC 9110, section 13.1).
    fn is_unchanged(&self) -> bool {
        match self.request.header("if-none-match") {
            Some(tag) => tag == self.etag(),
            None => self.request.header("if-modified-since") == Some(LAST_MODIFIED),
        }
    }

    pub(super) fn file_as(&mut self, more: &[(&str, &str)]) -> io::Result<bool> {
        let (status, headers, body) = self.part();
        let mut all = borrowed(&headers);
        all.extend(more);
        self.respond(&status, &all, &body)
    }

    /// Returns the number with this key in the query.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.request.query(key)?.parse().ok()
    }

    /// Sends the requested bytes, in bursts of at most 64 KiB. `rate` is the limit for the whole connection
    /// in bytes a second.
    pub(super) fn trickle(&mut self, rate: f64, more: &[(&str, &str)]) -> io::Result<bool> {
        self.only(0, more)?;
        let body = self.part().2;
        self.write_slowly(rate, &body)
    }

    /// Sends bytes of a body, in bursts of at most 64 KiB. `rate` is the limit for the whole connection in
    /// bytes a second.
    pub(super) fn write_slowly(&mut self, rate: f64, body: &[u8]) -> io::Result<bool> {
        const BURST: f64 = 65_536.0;
        let (tokens, at) = &mut *self.bucket;
        *tokens = tokens.min(BURST);
        for some in body.chunks(16_384) {
            loop {
                let now = Instant::now();
                *tokens = (*tokens + now.duration_since(*at).as_secs_f64() * rate).min(BURST);
                *at = now;
                if *tokens >= some.len() as f64 || self.over.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(
                    Duration::from_secs_f64((some.len() as f64 - *tokens) / rate).min(Duration::from_secs(1)),
                );
            }
            *tokens -= some.len() as f64;
            self.wire.write_all(some)?;
        }
        self.wire.flush()?;
        Ok(true)
    }

    /// Returns the status, headers and body for the requested bytes.
    pub(super) fn part(&self) -> (String, Vec<(&'static str, String)>, Vec<u8>) {
        part(self.request, &self.name, self.size)
    }

    /// Sends a head that announces all requested bytes, and then only the first `bytes` of them.
    pub(super) fn only(&mut self, bytes: usize, more: &[(&str, &str)]) -> io::Result<bool> {
        let etag = self.etag();
        let (status, headers, body) = self.part();
        let length = body.len().to_string();
        let mut all = borrowed(&headers);
        all.extend([("Content-Length", length.as_str()), ("ETag", etag.as_str())]);
        all.extend(more);
        self.head(&status, &all)?;
        self.wire.write_all(&body[..bytes.min(body.len())])?;
        self.wire.flush()?;
        Ok(false)
    }

    pub(super) fn half(&self) -> usize {
        usize::try_from(self.size / 2).unwrap_or(0)
    }

    pub(super) fn is_continued(&self) -> bool {
        self.request.range().is_some_and(|(first, _)| first > 0)
    }

    /// Sleeps for this time, rounded down to a multiple of 20 ms, or until the server stops.
    pub(super) fn sleep(&self, time: Duration) {
        let steps = time.as_millis() / 20;
        for _ in 0..steps {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends this text as the head of the response, and then the file.
    pub(super) fn raw(&mut self, head: &str) -> io::Result<bool> {
        let body = self.content();
        self.wire.write_all(head.as_bytes())?;
        self.wire.write_all(&body)?;
        self.wire.flush()?;
        Ok(false)
    }
}

/// Returns the status, headers and body for the requested bytes of a file.
pub(super) fn part(
    request: &Request,
    name: &str,
    size: u64,
) -> (String, Vec<(&'static str, String)>, Vec<u8>) {
    let body = shared_content(name, size);
    // With `?lies=N`, the byte at offset N is wrong. With `?lies=N,M`, the bytes at both offsets are wrong.
    let lies = request.query("lies").unwrap_or_default();
    let lies: Vec<usize> = lies.split(',').filter_map(|at| at.parse().ok()).collect();
    let some = |range: std::ops::Range<usize>| {
        let mut some = body[range.clone()].to_vec();
        for at in lies.iter().filter_map(|at| at.checked_sub(range.start)) {
            some.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
        }
        some
    };
    let now = httpdate::fmt_http_date(SystemTime::now());
    let mut headers = vec![
        ("Date", now),
        ("Last-Modified", LAST_MODIFIED.to_string()),
        ("Accept-Ranges", "bytes".to_string()),
    ];
    let Some((first, last)) = request.range() else {
        return ("200 OK".into(), headers, some(0..body.len()));
    };
    let last = last.unwrap_or(u64::MAX).min(size.saturating_sub(1));
    if first >= size || first > last {
        headers.push(("Content-Range", format!("bytes */{size}")));
        return ("416 Range Not Satisfiable".into(), headers, Vec::new());
    }
    headers.push(("Content-Range", format!("bytes {first}-{last}/{size}")));
    let range = usize::try_from(first).unwrap_or(0)..usize::try_from(last).unwrap_or(0) + 1;
    ("206 Partial Content".into(), headers, some(range))
}

pub(super) fn etag(name: &str, size: u64) -> String {
    format!("\"{}-{size}\"", name.len())
}

/// Returns the headers as borrowed pairs.
pub(super) fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

//! Reads requests of HTTP/1.1.

use super::Request;
use std::io::{BufRead, BufReader, Read};
use std::time::Instant;

/// At most this many bytes of the body of a request are read.
const LONGEST_BODY: u64 = 1 << 20;

/// Reads a request. Returns `None` at the end of the connection, after an error, or if the first line is
/// malformed.
pub(super) fn read(wire: &mut impl Read, connection: usize) -> Option<Request> {
    let mut reader = BufReader::with_capacity(1, wire);
    let mut line = || {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line).ok()?;
        // A line that is not UTF-8 is read as ISO-8859-1.
        let text =
            String::from_utf8(line).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect());
        (read > 0).then(|| text.trim_end().to_string())
    };
    let first = line()?;
    let (method, rest) = first.split_once(' ')?;
    let (method, target) = (method.to_string(), rest.split(' ').next()?.to_string());
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
    }
    let body = Vec::new();
    let mut request = Request { method, target, headers, body, connection, version: 1, at: Instant::now() };
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    reader.take(LONGEST_BODY.min(length.unwrap_or(0))).read_to_end(&mut request.body).ok()?;
    Some(request)
}

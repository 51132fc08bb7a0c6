//! Scripts that send right or wrong digests of the whole file or of ranges.

use crate::server::exchange::{Exchange, borrowed};
use crate::{content_digest, sha256};
use std::io;

/// Sends every range with its digest. The range with the number `?bad=N` (from 1) has a wrong byte in its
/// middle. With `&always=1`, all later ranges have a wrong byte too. The response to a request for the whole
/// file ends in the middle and has no digest.
pub(super) fn part_digests(x: &mut Exchange) -> io::Result<bool> {
    if x.request.range().is_none() {
        return x.only(x.half(), &[]);
    }
    let (etag, (status, headers, mut body)) = (x.etag(), x.part());
    let of_part = content_digest(&body);
    // The first request was for the whole file, so the number of earlier requests is the number of this
    // range.
    let (visit, bad) = (x.visit as u64, x.number("bad").unwrap_or(u64::MAX));
    if visit == bad || (visit > bad && x.request.query("always").is_some()) {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    let mut all = borrowed(&headers);
    all.extend([("ETag", etag.as_str()), ("Content-Digest", of_part.as_str())]);
    x.respond(&status, &all, &body)
}

/// Sends the right digest. With `?upper=1`, its letters are capitals.
pub(super) fn checksum(x: &mut Exchange) -> io::Result<bool> {
    let mut digest = sha256(&x.content());
    if x.request.query("upper").is_some() {
        digest = digest.to_uppercase();
    }
    x.file(&[("X-Checksum-SHA256", &digest)])
}

pub(super) fn checksum_wrong(x: &mut Exchange) -> io::Result<bool> {
    let digest = sha256(b"something else");
    x.file(&[("X-Checksum-SHA256", &digest)])
}

pub(super) fn checksum_malformed(x: &mut Exchange) -> io::Result<bool> {
    x.file(&[("X-Checksum-SHA256", "not hexadecimal")])
}

/// For the first request, sends the right digest and only half of the body.
pub(super) fn checksum_after_a_break(x: &mut Exchange) -> io::Result<bool> {
    let digest = sha256(&x.content());
    if x.visit == 0 {
        x.only(x.half(), &[("X-Checksum-SHA256", &digest)])
    } else {
        x.file(&[("X-Checksum-SHA256", &digest)])
    }
}

/// Redirects to the file of the sin `?to=SIN` (`well_behaved` by default), and states its digest and size in
/// the headers that model hubs use. `?digest=HEX` and `?size=N` replace the right values.
pub(super) fn linked(x: &mut Exchange) -> io::Result<bool> {
    let digest = x.request.query("digest").unwrap_or_else(|| sha256(&x.content()));
    let size = x.request.query("size").unwrap_or_else(|| x.size.to_string());
    let to = format!("/{}/{}/{}", x.request.query("to").unwrap_or("well_behaved".into()), x.size, x.name);
    let tag = format!("\"{digest}\"");
    let headers = [("Location", to.as_str()), ("X-Linked-Etag", &tag), ("X-Linked-Size", &size)];
    x.respond("302 Found", &headers, b"")
}

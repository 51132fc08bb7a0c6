//! Scripts that send a body with a content coding, although the request did not accept any coding.

use crate::content;
use crate::server::exchange::{Exchange, borrowed};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::{self, Write};
use std::sync::Mutex;

/// Sends the file in the codings that `?coding=` names, such as `?coding=gzip, br`. With `?says=TEXT`, the
/// Content-Encoding is TEXT, and not the codings of the body.
///
/// These parameters change what is sent:
/// - `zeros=1`: the file has only zeros, so its coded form is very small;
/// - `cut=N`: the last N bytes are missing, although the body ends as announced;
/// - `more=TEXT`: this text follows the coded bytes.
///
/// These parameters change how the file is sent:
/// - `digest=VALUE`: the responses have this Repr-Digest. The right value is the digest of the coded bytes;
/// - `parts=1`: ranges of the coded bytes are served;
/// - `tag=VALUE`: the ETag of the responses, instead of `"coded"`;
/// - `part_says=TEXT`: the Content-Encoding of ranges;
/// - `rate=N`: each connection sends at most N bytes a second;
/// - `break=1`: the first response ends after half of the body.
pub(super) fn coded(x: &mut Exchange) -> io::Result<bool> {
    let query = |key: &str| x.request.query(key);
    let codings = query("coding").unwrap_or_else(|| "gzip".into());
    let zeros = query("zeros").is_some();
    let mut bytes = encoded_once(&codings, &x.name, x.size, zeros)?;
    bytes.truncate(bytes.len() - x.number("cut").unwrap_or(0) as usize);
    bytes.extend(query("more").unwrap_or_default().bytes());

    let says = query("says").unwrap_or(codings);
    let tag = query("tag").unwrap_or_else(|| "\"coded\"".into());
    let range = x.request.range().filter(|_| query("parts").is_some());
    let part_says = query("part_says").unwrap_or_else(|| says.clone());
    let mut headers = vec![("ETag", tag)];
    headers.push(("Content-Encoding", if range.is_some() { part_says } else { says }));
    headers.extend(query("digest").map(|digest| ("Repr-Digest", digest)));
    let Some((first, last)) = range else {
        let headers = borrowed(&headers);
        if x.visit == 0 && query("break").is_some() {
            let length = bytes.len().to_string();
            x.head("200 OK", &[&[("Content-Length", length.as_str())], &headers[..]].concat())?;
            x.wire.write_all(&bytes[..bytes.len() / 2])?;
            x.wire.flush()?;
            return Ok(false);
        }
        return respond(x, "200 OK", &headers, &bytes);
    };
    let total = bytes.len() as u64;
    let last = last.unwrap_or(u64::MAX).min(total.saturating_sub(1));
    if first > last {
        return x.respond(
            "416 Range Not Satisfiable",
            &[("Content-Range", &format!("bytes */{total}"))],
            b"",
        );
    }
    headers.push(("Content-Range", format!("bytes {first}-{last}/{total}")));
    let part = &bytes[first as usize..=last as usize];
    respond(x, "206 Partial Content", &borrowed(&headers), part)
}

fn respond(x: &mut Exchange, status: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<bool> {
    let Some(rate) = x.number("rate") else { return x.respond(status, headers, body) };
    let length = body.len().to_string();
    x.head(status, &[&[("Content-Length", length.as_str())], headers].concat())?;
    x.write_slowly(rate as f64, body)
}

/// Returns the file in these codings. The last result is kept, because several requests are for the same
/// file, and encoding takes seconds in a build without optimisation.
fn encoded_once(codings: &str, name: &str, size: u64, zeros: bool) -> io::Result<Vec<u8>> {
    static DONE: Mutex<Option<(String, Vec<u8>)>> = Mutex::new(None);
    let key = format!("{codings} {name} {size} {zeros}");
    let mut done = DONE.lock().expect("no panic");
    if let Some((_, bytes)) = done.as_ref().filter(|(one, _)| *one == key) {
        return Ok(bytes.clone());
    }
    let content = if zeros { vec![0; size as usize] } else { content(name, size) };
    let bytes = encode(codings, &content)?;
    *done = Some((key, bytes.clone()));
    Ok(bytes)
}

/// Returns these bytes in the codings, which are separated by commas and applied in this order. `raw deflate`
/// has no zlib header. Some servers send it under the name `deflate`. A coding with an unknown name changes
/// nothing.
///
/// # Errors
/// Returns the error of an encoder.
pub fn encode(codings: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let level = Compression::fast();
    codings.split(',').map(str::trim).try_fold(bytes.to_vec(), |bytes, coding| match coding {
        "gzip" | "x-gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(&bytes)?;
            encoder.finish()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(&bytes)?;
            encoder.finish()
        }
        "raw deflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(&bytes)?;
            encoder.finish()
        }
        "zstd" => zstd::encode_all(&bytes[..], 1),
        "br" => Ok(brotli_stored(&bytes)),
        _ => Ok(bytes),
    })
}

/// Returns these bytes as brotli without compression (RFC 7932, section 9.2: uncompressed meta-blocks), so
/// that no encoder is needed.
fn brotli_stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, block) in bytes.chunks(1 << 16).enumerate() {
        // The bits, from the lowest one: not the last block (0), a length of four nibbles (00), the length
        // minus one, and uncompressed (1). Before the first block, a bit 0 states a window of 16 bits.
        let head = ((block.len() as u32 - 1) << 3) | (1 << 19);
        let head = if n == 0 { head << 1 } else { head };
        out.extend(&head.to_le_bytes()[..3]);
        out.extend(block);
    }
    // The last block is empty. If it is the only one, it also needs the size of the window.
    out.push(if bytes.is_empty() { 0b110 } else { 0b11 });
    out
}

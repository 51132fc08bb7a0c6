//! Decodes the body of a response that a server compressed although this was not requested (`--decode auto`).
//! The body is decoded while it arrives.
//!
//! The length, the digests and the validator of the response are those of the coded bytes (RFC 9110, section
//! 8.4; RFC 9530, sections 2 and 3). The digests are compared with the coded bytes in this module. The length
//! is not passed on, and the download cannot be resumed.
//!
//! Invariant: the decoded body ends without an error only if the coded body ended as announced, was decoded
//! completely, and has the expected digests, if digests are verified. A body that would become more than
//! [`GROWTH_MOST`] times as large when decoded is an error, so that a few bytes cannot fill the disk. Only a
//! few buffers on each side of the decoder, and the windows of the codings, are in memory.

use crate::hashers::Hashers;
use crate::source::{Body, Opened};
use brotli_decompressor::BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW;
use brotli_decompressor::Decompressor;
use bytes::Bytes;
use downhaul_core::digest::{self, Expected};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::remote::Remote;
use downhaul_core::settings::Verify;
use downhaul_core::show;
use flate2::bufread::{DeflateDecoder, ZlibDecoder};
use flate2::read::MultiGzDecoder;
use futures_util::{StreamExt, stream};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// The highest number of codings of one body that are decoded. One coding is common. Some servers apply two
/// codings by mistake.
const CODINGS_MOST: usize = 4;

/// The decoded body may be at most this many times as large as the coded body. Deflate expands a byte to at
/// most 1,032 bytes (its longest match has 258 bytes and needs two bits), so every file that is packed once
/// with gzip can be unpacked. Other codings have no such limit, and a few bytes could fill a disk.
const GROWTH_MOST: u64 = 1_032;

/// The number of bytes that are decoded at a time.
const CHUNK: usize = 64 * 1024;

/// The highest number of buffers that wait on each side of the decoder.
const AHEAD: usize = 4;

/// The largest window of zstd as a content coding, as an exponent of two: 2^23 bytes, or 8 MiB (RFC 9659,
/// section 3).
const ZSTD_WINDOW: u32 = 23;

/// A content coding: gzip and deflate (RFC 9110, section 8.4.1), brotli (RFC 7932) and zstd (RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Decodes the body of a whole file. A response is returned unchanged if it has no coding, an unknown coding,
/// or more than [`CODINGS_MOST`] codings. The digests of the response are compared with the coded bytes,
/// unless `verify` is [`Verify::Off`]. `states_its_end` is true if the response shows where the coded body
/// ends. The HTTP library then reports a coded body that ends too early.
///
/// # Errors
/// Returns `http.encoding` for a range with a known coding, because only the whole body can be decoded.
pub(super) fn decode(opened: Opened, verify: Verify, states_its_end: bool) -> Result<Opened, Error> {
    let Opened { mut remote, body } = opened;
    let coding = remote.coding.clone();
    let Some((codings, name)) = coding.and_then(|name| Some((read(&name)?, name))) else {
        return Ok(Opened { remote, body });
    };
    if !remote.is_whole() {
        let detail = format!("the body has the coding {name}, and --decode auto needs the whole body");
        return Err(Error::new(ErrorKind::HttpEncoding, show::url(&remote.url), detail));
    }
    let expected = std::mem::take(&mut remote.digests);
    let expected = if verify == Verify::Off { Vec::new() } else { expected };
    let mut note = format!("the server sent the file compressed ({name}), and it was decoded");
    if let Some(strongest) = expected.iter().max_by_key(|one| one.digest.algorithm) {
        note += &format!("; the compressed bytes have the {strongest}");
    }
    remote.notes.push(note);
    (remote.coding, remote.size, remote.can_resume) = (None, None, false);
    let at = show::url(&remote.url);
    let coded = Coded { codings, expected, states_its_end, at };
    Ok(Opened { remote, body: decoded(body, coded) })
}

/// Forgets the coding, the size and the digests in a response without a body, if the size and the digests are
/// those of a coded body that [`decode`] would decode.
pub(super) fn forget_coded(remote: &mut Remote) {
    if remote.coding.as_deref().is_some_and(|name| read(name).is_some()) {
        (remote.coding, remote.size, remote.digests) = (None, None, Vec::new());
    }
}

/// Returns the codings in the value of a `Content-Encoding` header. Returns `None` if a coding is unknown, if
/// there are too many, or if there is no coding to decode.
fn read(text: &str) -> Option<Vec<Coding>> {
    let coding = |name: &str| match name.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Some(Coding::Gzip),
        "deflate" => Some(Coding::Deflate),
        "br" => Some(Coding::Brotli),
        "zstd" => Some(Coding::Zstd),
        _ => None,
    };
    let names = text.split(',').map(str::trim).filter(|name| !matches!(*name, "" | "identity"));
    let all: Option<Vec<Coding>> = names.map(coding).collect();
    all.filter(|all| (1..=CODINGS_MOST).contains(&all.len()))
}

/// What is known about a coded body.
struct Coded {
    codings: Vec<Coding>,
    /// The digests of the coded bytes.
    expected: Vec<Expected>,
    /// True if the response shows where the coded body ends. The HTTP library then reports a coded body that
    /// ends too early.
    states_its_end: bool,
    /// The URL for error messages.
    at: String,
}

/// A report to the reader of the decoded body. It comes from the task that reads the coded body, or from the
/// thread that decodes the coded body.
enum Report {
    Bytes(Bytes),
    /// The coded body ended as announced.
    Ended,
    /// The whole body was decoded, and the digests of the coded body match.
    Decoded,
    Failed(Error),
}

/// Returns the decoded body. A task reads the coded body, and a thread decodes it, because decoders block
/// until input arrives. The task and the thread end when the decoded body is dropped.
fn decoded(body: Body, coded: Coded) -> Body {
    let (to_decoder, coming) = mpsc::channel(AHEAD);
    let (reports, reader) = mpsc::channel(AHEAD);
    tokio::spawn(forward(body, to_decoder, reports.clone()));
    let input = Input::new(coming, &coded.expected);
    let at = coded.at.clone();
    tokio::task::spawn_blocking(move || {
        let result = run(&coded, input, &reports);
        // If the reader of the decoded body was dropped, the result is not needed.
        let _ = reports.blocking_send(result.map_or_else(Report::Failed, |()| Report::Decoded));
    });
    let state = (reader, false, at);
    Box::pin(stream::try_unfold(state, |(mut reader, mut ended, at)| async move {
        loop {
            match reader.recv().await {
                Some(Report::Bytes(bytes)) => return Ok(Some((bytes, (reader, ended, at)))),
                Some(Report::Ended) => ended = true,
                Some(Report::Decoded) if ended => return Ok(None),
                Some(Report::Failed(error)) => return Err(error),
                Some(Report::Decoded) | None => {
                    return Err(Error::new(ErrorKind::NetReset, at, "the decoder stopped too early"));
                }
            }
        }
    }))
}

/// Passes the coded body to the decoder.
async fn forward(mut body: Body, to: mpsc::Sender<Bytes>, reports: mpsc::Sender<Report>) {
    loop {
        let next = tokio::select! {
            next = body.next() => next,
            () = reports.closed() => return,
        };
        // The rest of the coded body is read even after the decoder has ended, because only the end of the
        // coded body shows that this body is complete.
        let last = match next {
            Some(Ok(bytes)) => {
                let _ = to.send(bytes).await;
                continue;
            }
            Some(Err(error)) => Report::Failed(error),
            None => Report::Ended,
        };
        // This report is sent before `to` is dropped, so that a broken body does not look complete.
        let _ = reports.send(last).await;
        return;
    }
}

/// Decodes all of the input, and compares the digests of the input with the expected ones.
///
/// # Errors
/// Returns `content.coding` if the input is damaged, ends too early or becomes more than [`GROWTH_MOST`]
/// times as large. If the input ends too early and the server did not state its end, usually returns
/// `http.truncated` instead. Returns `digest.mismatch` if a digest differs.
fn run(coded: &Coded, input: Input, reports: &mpsc::Sender<Report>) -> Result<(), Error> {
    let Coded { codings, expected, states_its_end, at } = coded;
    let input = Shared(Arc::new(Mutex::new(input)));
    // An empty body is accepted in any coding, even without the bytes with which the coding begins.
    if input.has_some() {
        let broken = |e: io::Error| match e.kind() {
            io::ErrorKind::UnexpectedEof if !states_its_end => {
                Error::new(ErrorKind::HttpTruncated, at, "the compressed content is incomplete")
            }
            _ => Error::new(ErrorKind::ContentCoding, at, "the compressed bytes are damaged"),
        };
        let mut decoder = decoder(codings, input.clone()).map_err(broken)?;
        let (mut chunk, mut bytes) = (vec![0; CHUNK], 0);
        loop {
            let read = decoder.read(&mut chunk).map_err(broken)?;
            bytes += read as u64;
            if bytes > input.coded().saturating_mul(GROWTH_MOST) {
                let why =
                    format!("the content is more than {GROWTH_MOST} times as large as the compressed bytes");
                return Err(Error::new(ErrorKind::ContentCoding, at, why));
            }
            let some = Bytes::copy_from_slice(chunk.get(..read).unwrap_or_default());
            if some.is_empty() {
                break;
            }
            if reports.blocking_send(Report::Bytes(some)).is_err() {
                return Ok(());
            }
        }
    }
    digest::verdict(expected, &input.finish()).map(drop).map_err(|(one, found)| {
        let found = found.map_or(String::new(), |digest| digest.to_string());
        let name = one.digest.algorithm.name();
        let why = format!("{name} of the compressed bytes is {found}, but {} says {}", one.from, one.digest);
        Error::new(ErrorKind::DigestMismatch, at, why)
    })
}

/// Returns a decoder for these codings. They are in the order in which the server applied them.
fn decoder(codings: &[Coding], input: Shared) -> io::Result<Box<dyn Read>> {
    codings.iter().rev().try_fold(Box::new(input) as Box<dyn Read>, |input, coding| {
        Ok(match coding {
            Coding::Gzip => Box::new(MultiGzDecoder::new(input)),
            Coding::Deflate => deflate(input)?,
            Coding::Brotli => {
                let mut decoder = Decompressor::new(input, CHUNK);
                // Windows larger than the 16 MiB of RFC 7932 do not belong to the coding `br`, and take up to
                // 1 GiB of memory.
                decoder.set_parameter(BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
                Box::new(Alone(decoder))
            }
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(input)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(decoder)
            }
        })
    })
}

/// Returns a decoder for `deflate`. This coding is the zlib format (RFC 1950). Some servers send raw deflate
/// data (RFC 1951) instead, and all browsers accept both.
fn deflate(mut input: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let mut first = Vec::new();
    input.by_ref().take(2).read_to_end(&mut first)?;
    // In the zlib format, the compression method is 8, and the first two bytes, read as one number, are a
    // multiple of 31 (RFC 1950, section 2.2).
    let is_zlib = matches!(first[..], [cmf, flg] if cmf & 0x0f == 8 && u16::from_be_bytes([cmf, flg]).is_multiple_of(31));
    let all = BufReader::new(Cursor::new(first).chain(input));
    Ok(match is_zlib {
        true => Box::new(Alone(ZlibDecoder::new(all))),
        false => Box::new(Alone(DeflateDecoder::new(all))),
    })
}

/// A decoder that ends with an error if other bytes follow the coded ones. The decoders of gzip and zstd end
/// with such an error by themselves.
struct Alone<D>(D);

impl<D: Read + Rest> Read for Alone<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        match read == 0 && !buffer.is_empty() && self.0.has_rest()? {
            true => Err(io::ErrorKind::InvalidData.into()),
            false => Ok(read),
        }
    }
}

/// A decoder whose input may have more bytes after the end of the coded bytes.
trait Rest {
    /// Returns true if there are more bytes. Waits until more bytes arrive or the input ends.
    fn has_rest(&mut self) -> io::Result<bool>;
}

impl<R: BufRead> Rest for ZlibDecoder<R> {
    fn has_rest(&mut self) -> io::Result<bool> {
        self.get_mut().fill_buf().map(|rest| !rest.is_empty())
    }
}

impl<R: BufRead> Rest for DeflateDecoder<R> {
    fn has_rest(&mut self) -> io::Result<bool> {
        self.get_mut().fill_buf().map(|rest| !rest.is_empty())
    }
}

impl<R: Read> Rest for Decompressor<R> {
    fn has_rest(&mut self) -> io::Result<bool> {
        // The first read returns an error if the buffer of the decoder has more bytes.
        Ok(self.read(&mut [0])? > 0 || self.get_mut().read(&mut [0])? > 0)
    }
}

/// The coded bytes, counted and hashed as they arrive.
struct Input {
    coming: mpsc::Receiver<Bytes>,
    current: Bytes,
    hashers: Hashers,
    coded: u64,
}

impl Input {
    fn new(coming: mpsc::Receiver<Bytes>, expected: &[Expected]) -> Input {
        let algorithms = digest::distinct(expected.iter().map(|one| one.digest.algorithm));
        Input { coming, current: Bytes::new(), hashers: Hashers::new(&algorithms), coded: 0 }
    }

    /// Waits for bytes if all bytes in `current` were read. Returns false at the end of the input.
    fn fill(&mut self) -> bool {
        while self.current.is_empty() {
            let Some(bytes) = self.coming.blocking_recv() else { return false };
            self.coded += bytes.len() as u64;
            self.hashers.update(&[&bytes]);
            self.current = bytes;
        }
        true
    }
}

/// The input. The innermost decoder, which reads the input, and [`run`] share it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Input>>);

impl Shared {
    fn input(&self) -> std::sync::MutexGuard<'_, Input> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_some(&self) -> bool {
        self.input().fill()
    }

    fn coded(&self) -> u64 {
        self.input().coded
    }

    /// Returns the digests of all coded bytes, including those that no decoder read.
    fn finish(&self) -> Vec<digest::Digest> {
        let mut input = self.input();
        loop {
            input.current = Bytes::new();
            if !input.fill() {
                return std::mem::take(&mut input.hashers).finish();
            }
        }
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut input = self.input();
        if !input.fill() {
            return Ok(0);
        }
        let some = input.current.len().min(buffer.len());
        buffer[..some].copy_from_slice(&input.current.split_to(some));
        Ok(some)
    }
}

#[cfg(test)]
mod tests;

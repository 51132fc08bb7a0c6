//! Turns errors of hyper, and of the libraries below it, into errors of this program.

use super::tls;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::head::Refused;
use h2::Reason;
use std::error::Error as _;
use std::io;

/// Returns the error for a request that got no usable response head. `at` is the URL for the message.
pub(super) fn of_request(error: &hyper::Error, at: &str) -> Error {
    let refused =
        io_cause(error).and_then(|io| io.get_ref()).and_then(|inner| inner.downcast_ref::<Refused>());
    if let Some(Refused(why)) = refused {
        return Error::new(ErrorKind::HttpMalformed, at, *why);
    }
    let h2 = h2_cause(error);
    if h2.is_some_and(|h2| h2.reason() == Some(Reason::HTTP_1_1_REQUIRED)) {
        return Error::new(ErrorKind::HttpVersion, at, "the server requires HTTP/1.1 for this request");
    }
    // If the HTTP/2 library resets only this stream, the response is malformed. If the HTTP/2 library closes
    // the whole connection, the error is `net.reset`.
    if error.is_parse() || h2.is_some_and(|h2| h2.is_library() && h2.is_reset()) {
        return Error::new(ErrorKind::HttpMalformed, at, cause(error));
    }
    if let Some(tls) = tls_cause(error) {
        return tls::failure::of_transfer(tls, at);
    }
    let why = h2.and_then(said_over_http2).unwrap_or_else(|| cause(error));
    Error::new(ErrorKind::NetReset, at, "no response came: ".to_string() + &why)
}

/// Returns the error for a body that did not arrive completely. `at` is the URL for the message.
pub(super) fn of_body(error: &hyper::Error, at: &str) -> Error {
    if let Some(tls) = tls_cause(error) {
        return tls::failure::of_transfer(tls, at);
    }
    if let Some(h2) = h2_cause(error) {
        // If the HTTP/2 library resets a single stream, the reason is usually a wrong length of its body.
        if h2.is_library() && h2.is_reset() {
            return Error::new(
                ErrorKind::HttpTruncated,
                at,
                "the length of the body is not the announced one",
            );
        }
        return Error::new(ErrorKind::NetReset, at, said_over_http2(h2).unwrap_or_else(|| cause(error)));
    }
    let io = io_cause(error).map(io::Error::kind);
    if error.is_incomplete_message() || io == Some(io::ErrorKind::UnexpectedEof) {
        return Error::new(ErrorKind::HttpTruncated, at, "the connection was closed");
    }
    if error.is_parse() || io == Some(io::ErrorKind::InvalidInput) || io == Some(io::ErrorKind::InvalidData) {
        return Error::new(ErrorKind::HttpMalformed, at, cause(error));
    }
    Error::new(ErrorKind::NetReset, at, cause(error))
}

/// Returns true if an HTTP/2 server reports that it did not process this request (RFC 9113, section 8.7).
pub(super) fn is_not_processed(error: &hyper::Error) -> bool {
    h2_cause(error).is_some_and(|h2| h2.is_reset() && h2.reason() == Some(Reason::REFUSED_STREAM))
}

/// Returns a sentence that says whether an HTTP/2 server ended a request or the connection, and names the
/// reason (RFC 9113, section 7). Returns `None` if the error is not from the server, or has no reason.
fn said_over_http2(error: &h2::Error) -> Option<String> {
    let reason = error.reason().filter(|_| error.is_remote())?;
    match error.is_go_away() {
        true => Some(format!("the server closes the HTTP/2 connection ({reason:?})")),
        false => Some(format!("the server ended this request ({reason:?})")),
    }
}

/// Returns true if an HTTP/2 server closes the connection without an error and did not process this request
/// (RFC 9113, section 6.8). The HTTP/2 library reports this error only for streams with a higher number than
/// the last stream that the server processes.
pub(super) fn is_graceful_close(error: &hyper::Error) -> bool {
    h2_cause(error)
        .is_some_and(|h2| h2.is_go_away() && h2.is_remote() && h2.reason() == Some(Reason::NO_ERROR))
}

/// Returns true if an HTTP/2 server ended only this stream.
pub(super) fn is_reset_by_server(error: &hyper::Error) -> bool {
    h2_cause(error).is_some_and(|h2| h2.is_reset() && h2.is_remote())
}

fn h2_cause(error: &hyper::Error) -> Option<&h2::Error> {
    error.source().and_then(|cause| cause.downcast_ref())
}

/// Returns the text of the innermost cause. The error itself and the outer causes say only "connection error"
/// or "error reading a body".
fn cause(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        text = error.to_string();
        inner = error.source();
    }
    text
}

fn tls_cause(error: &hyper::Error) -> Option<&rustls::Error> {
    io_cause(error)?.get_ref()?.downcast_ref()
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    let mut inner = error.source();
    while let Some(error) = inner {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        if let Some(io) = error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io) {
            return Some(io);
        }
        inner = error.source();
    }
    None
}

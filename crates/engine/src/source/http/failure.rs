//! What went wrong on a connection, named after what it means for the file.

use downhaul_core::error::{Error, Kind};
use std::error::Error as _;
use std::io;

/// A request that got no usable reply head.
pub(super) fn of_request(error: &hyper::Error, at: &str) -> Error {
    if error.is_parse() {
        return Error::new(Kind::HttpMalformed, at, cause(error));
    }
    Error::new(Kind::NetReset, at, "no reply came: ".to_string() + &cause(error))
}

/// A body that broke.
pub(super) fn of_body(error: &hyper::Error, at: &str) -> Error {
    if io_cause(error).and_then(|io| io.get_ref()).is_some_and(|inner| inner.is::<rustls::Error>()) {
        return Error::new(Kind::TlsFailed, at, cause(error));
    }
    let io = io_cause(error).map(io::Error::kind);
    if error.is_incomplete_message() || io == Some(io::ErrorKind::UnexpectedEof) {
        return Error::new(Kind::HttpTruncated, at, "the connection was closed");
    }
    if error.is_parse() || io == Some(io::ErrorKind::InvalidInput) || io == Some(io::ErrorKind::InvalidData) {
        return Error::new(Kind::HttpMalformed, at, cause(error));
    }
    Error::new(Kind::NetReset, at, cause(error))
}

/// The innermost cause says most: the outer ones are "connection error", "error reading a body".
fn cause(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        text = error.to_string();
        inner = error.source();
    }
    text
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    let mut inner = error.source();
    while let Some(error) = inner {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        inner = error.source();
    }
    None
}

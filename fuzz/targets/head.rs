//! Reads any bytes as the head of an HTTP/1 response. The repaired head must be valid: a strict HTTP library
//! must accept it and find the same end of the head, and the end of the body must be unambiguous.
#![no_main]

use downhaul_core::head::{self, BYTES_MOST, LINES_MOST};
use downhaul_core::http_response;
use http::{HeaderMap, HeaderName, HeaderValue};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(end) = head::end(bytes, 0) else { return };
    // The head must end at the same place if the bytes arrive in parts.
    for looked_at in [end / 2, end - 1] {
        assert_eq!(head::end(bytes, looked_at), Some(end));
    }
    let received = &bytes[..end];
    let Ok(tidied) = head::tidy(received) else { return };
    let head = tidied.as_ref().map_or(received, |tidied| tidied.head.as_slice());
    assert_eq!(head::end(head, 0), Some(head.len()));
    assert!(head.len() <= BYTES_MOST && !head.contains(&0));
    assert_eq!(head::tidy(head), Ok(None), "the tidied head is not changed again");

    let start = head.iter().position(|byte| !b"\r\n".contains(byte)).expect("a status line");
    let status_line = head[start..].iter().position(|&byte| byte == b'\n').expect("its end") + 1;
    let lines = &head[start + status_line..];
    let mut headers = vec![httparse::EMPTY_HEADER; LINES_MOST];
    let httparse::Status::Complete((length, headers)) =
        httparse::parse_headers(lines, &mut headers).expect("a valid head")
    else {
        panic!("the head has no end");
    };
    assert_eq!(length, lines.len(), "no part of the head is taken for the body");
    let pair = |one: &httparse::Header| {
        let name = HeaderName::from_bytes(one.name.as_bytes()).expect("a valid name");
        (name, HeaderValue::from_bytes(one.value).expect("a valid value"))
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter().map(pair) {
        map.append(name, value);
    }
    let url = url::Url::parse("http://h/f").expect("a URL");
    let remote = http_response::read(200, &url, &map, true).expect("an unambiguous end of the body");
    let codings: Vec<_> = map.get_all("transfer-encoding").iter().map(HeaderValue::as_bytes).collect();
    assert!(codings.is_empty() || (codings == [b"chunked"] && remote.size.is_none()), "{codings:?}");
});

//! Any bytes are read as the head of an HTTP/1 reply, and what is made of them is proper: an HTTP library that is strict takes
//! it, finds the same end of the head, and there is one answer to where the body ends.
#![no_main]

use downhaul_core::head::{self, BYTES_MOST, LINES_MOST};
use downhaul_core::reply::Reply;
use http::{HeaderMap, HeaderName, HeaderValue};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(end) = head::end(bytes, 0) else { return };
    // However the bytes arrive, the head ends at the same place.
    for looked_at in [end / 2, end - 1] {
        assert_eq!(head::end(bytes, looked_at), Some(end));
    }
    let as_it_came = &bytes[..end];
    let Ok(tidied) = head::tidy(as_it_came) else { return };
    let head = tidied.as_ref().map_or(as_it_came, |tidied| tidied.head.as_slice());
    assert_eq!(head::end(head, 0), Some(head.len()));
    assert!(head.len() <= BYTES_MOST && !head.contains(&0));
    assert_eq!(head::tidy(head), Ok(None), "what was tidied is proper");

    let lines = head.iter().position(|&byte| byte == b'\n').map_or(&head[..0], |at| &head[at + 1..]);
    let mut headers = vec![httparse::EMPTY_HEADER; LINES_MOST];
    let Ok(httparse::Status::Complete((length, headers))) = httparse::parse_headers(lines, &mut headers) else {
        // Empty lines stand before the status line: no header is among what was skipped.
        assert!(as_it_came.starts_with(b"\r") || as_it_came.starts_with(b"\n"));
        return;
    };
    assert_eq!(length, lines.len(), "nothing of the head is taken for the body");
    let pair = |one: &httparse::Header| {
        let name = HeaderName::from_bytes(one.name.as_bytes()).expect("a proper name");
        (name, HeaderValue::from_bytes(one.value).expect("a proper value"))
    };
    let mut map = HeaderMap::new();
    headers.iter().map(pair).for_each(|(name, value)| drop(map.append(name, value)));
    let url = url::Url::parse("http://h/f").expect("a URL");
    if let Ok(reply) = Reply::read(200, &url, false, &map) {
        let chunked = map.get_all("transfer-encoding").iter().any(|one| one != "identity");
        assert!(!(chunked && reply.length.is_some()), "two ends");
    }
});

//! Reads any headers as the headers of a response: Content-Range, Content-Disposition, lengths, dates and
//! digests. This must not panic. Each line of the input is a header.
#![no_main]

use downhaul_core::http_response::{read, retry_after};
use downhaul_core::remote::Span;
use http::{HeaderMap, HeaderName, HeaderValue};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let url = url::Url::parse("http://h/f").expect("a URL");
    for (status, asked_for_all) in [(200, true), (206, true), (206, false)] {
        let Ok(remote) = read(status, &url, &headers, asked_for_all) else { continue };
        if let Span::Range(range) = &remote.span {
            assert!(range.start < range.end && remote.size.is_none_or(|size| range.end <= size));
        }
        let stated = remote.digests.iter().chain(&remote.range_digests);
        stated.for_each(|one| assert_eq!(one.digest.bytes.len(), one.digest.algorithm.size()));
    }
    let _ = retry_after(&headers, std::time::SystemTime::UNIX_EPOCH);
});

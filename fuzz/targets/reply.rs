//! Reads any headers as those of a response: Content-Range, Content-Disposition, lengths, dates and digests.
//! This does not panic. Each line of the input is a header.
#![no_main]

use downhaul_core::reply::{Reply, retry_after};
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
    for status in [200, 206] {
        if let Ok(reply) = Reply::read(status, &url, false, &headers)
            && let Some(range) = reply.range
        {
            assert!(range.first <= range.last && range.total.is_none_or(|total| range.last < total));
        }
        if let Ok(reply) = Reply::read(status, &url, false, &headers) {
            let stated = reply.digests.iter().chain(&reply.part_digests);
            stated.for_each(|one| assert_eq!(one.digest.bytes.len(), one.digest.algorithm.size()));
        }
    }
    let _ = retry_after(&headers, std::time::SystemTime::UNIX_EPOCH);
});

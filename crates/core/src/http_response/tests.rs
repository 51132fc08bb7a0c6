use super::*;
use proptest::prelude::*;

fn head(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().expect("a value")));
    pairs.collect()
}

fn url() -> Url {
    Url::parse("http://h/f").expect("a URL")
}

fn read(status: u16, pairs: &[(&'static str, &str)]) -> Result<Remote, Error> {
    super::read(status, &url(), &head(pairs), false)
}

#[test]
fn only_a_valid_content_range_is_read() {
    let some = |first, last, total| Some(ContentRange { first, last, total });
    assert_eq!(ContentRange::parse("bytes 0-9/10"), some(0, 9, Some(10)));
    assert_eq!(ContentRange::parse("Bytes 5-9/*"), some(5, 9, None));
    assert_eq!(ContentRange::parse("bytes: 5-9/10"), some(5, 9, Some(10)));
    assert_eq!(ContentRange::parse("5-9/10"), some(5, 9, Some(10)));
    for bad in [
        "",
        "bytes",
        "bytes */10",
        "bytes 5-4/10",
        "bytes 0-10/10",
        "bytes +0-9/10",
        "bytes -1-9/10",
        "items 0-9/10",
        "bytes 0-18446744073709551615/*",
        "bytes 0-99999999999999999999/*",
        "bytes 0-9",
        "bytes=0-9/10",
    ] {
        assert_eq!(ContentRange::parse(bad), None, "{bad}");
    }
}

#[test]
fn validators_are_strong_or_unknown() {
    let validator = |pairs: &[_]| read(200, pairs).expect("readable").validator;
    assert_eq!(validator(&[("etag", "\"a\"")]), Validator::Etag("\"a\"".into()));
    assert_eq!(validator(&[("etag", "W/\"a\"")]), Validator::Unknown);
    let modified = ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
    assert_eq!(validator(&[modified]), Validator::Unknown, "no Date");
    assert_eq!(validator(&[modified, ("date", "Wed, 21 Oct 2015 07:28:59 GMT")]), Validator::Unknown);
    assert!(matches!(
        validator(&[modified, ("date", "Wed, 21 Oct 2015 07:29:00 GMT")]),
        Validator::Modified(_)
    ));
}

#[test]
fn a_malformed_or_contradictory_checksum_is_noted_and_ignored() {
    let good = "ab".repeat(32);
    let remote = read(200, &[("x-checksum-sha256", &good.to_uppercase())]).expect("readable");
    assert_eq!(remote.digests[0].digest.to_string(), good);
    let range = [("x-checksum-sha256", good.as_str()), ("content-range", "bytes 0-0/9")];
    assert!(read(206, &range).expect("readable").digests.is_empty());
    for pairs in [
        vec![("x-checksum-sha256", "zz".to_string())],
        vec![("x-checksum-sha256", good.clone()), ("x-checksum-sha256", "cd".repeat(32))],
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().expect("a value"));
        }
        let remote = super::read(200, &url(), &headers, true).expect("readable");
        assert!(remote.digests.is_empty() && remote.notes.len() == 1);
    }
}

#[test]
fn heads_that_contradict_themselves_are_refused() {
    assert!(read(206, &[("content-range", "bytes 0-9/10"), ("content-length", "9")]).is_err());
    assert!(read(206, &[("content-range", "bytes 9-0/10")]).is_err());
    assert!(read(200, &[("content-length", "-5")]).is_err());
    assert_eq!(read(206, &[("content-range", "bytes 5-9/10")]).expect("readable").size, Some(10));
}

#[test]
fn a_206_without_exactly_one_readable_range_is_refused() {
    let range = ("content-range", "bytes 5-9/10");
    assert_eq!(read(206, &[range]).expect("readable").span, Span::Range(5..10));
    for bad in [
        &[][..],
        &[("content-range", "bytes=5-9/10")],
        &[range, ("content-type", "Multipart/ByteRanges; boundary=x")],
    ] {
        assert_eq!(read(206, bad).map_err(|e| e.kind), Err(ErrorKind::HttpRangeWrong), "{bad:?}");
    }
    // The response to a request for a range may have the wrong status.
    let mut headers = HeaderMap::new();
    headers.insert("content-range", "bytes 5-9/10".parse().expect("a value"));
    assert!(super::read(200, &url(), &headers, true).expect("readable").is_whole());
    let of_part = |headers: &HeaderMap| super::read(200, &url(), headers, false);
    assert_eq!(of_part(&headers).map_err(|e| e.kind), Err(ErrorKind::HttpRangeWrong), "it has no length");
    headers.insert("content-length", "5".parse().expect("a value"));
    let part = of_part(&headers).expect("readable");
    assert_eq!((part.span, part.size), (Span::Range(5..10), Some(10)));
    headers.insert("content-length", "10".parse().expect("a value"));
    assert!(of_part(&headers).expect("readable").is_whole(), "the body is longer");
    headers.insert("content-range", "bytes 0-9/10".parse().expect("a value"));
    assert!(of_part(&headers).expect("readable").is_whole());
}

#[test]
fn ranges_can_be_joined_if_the_server_sends_them_and_does_not_compress_them_while_sending() {
    let (tag, gzip, length) = (("etag", "\"a\""), ("content-encoding", "gzip"), ("content-length", "5"));
    let can_resume = |status, pairs: &[_]| read(status, pairs).expect("readable").can_resume;
    assert!(can_resume(200, &[]));
    assert!(!can_resume(200, &[("accept-ranges", "None")]));
    assert!(can_resume(206, &[("accept-ranges", "none"), ("content-range", "bytes 5-9/10")]));
    assert!(can_resume(200, &[tag, gzip, length]));
    assert!(
        !can_resume(200, &[tag, gzip]),
        "without a size, the server compresses the body while it sends the body"
    );
    assert!(!can_resume(200, &[gzip, length]));
}

#[test]
fn a_head_that_states_two_ends_of_the_body_is_refused() {
    let size = |pairs: &[_]| read(200, pairs).map(|remote| remote.size).map_err(|e| e.detail);
    assert_eq!(size(&[("transfer-encoding", "Chunked")]), Ok(None));
    assert_eq!(size(&[("content-length", "4, 4")]), Ok(Some(4)));
    assert_eq!(size(&[("content-length", "4"), ("transfer-encoding", "identity")]), Ok(Some(4)));
    assert!(size(&[("content-length", "4, 5")]).is_err());
    assert!(size(&[("content-length", "5"), ("transfer-encoding", "chunked")]).is_err());
    assert!(size(&[("transfer-encoding", "gzip, chunked")]).is_err());
}

#[test]
fn a_range_with_all_bytes_counts_as_the_whole_file() {
    let digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let read = |range, asked_for_all| {
        let headers = head(&[("content-range", range), ("content-digest", digest)]);
        super::read(206, &url(), &headers, asked_for_all).expect("readable")
    };
    let whole = read("bytes 0-5/6", true);
    assert!(whole.is_whole() && whole.size == Some(6));
    assert_eq!(
        (whole.digests.len(), whole.range_digests.len()),
        (1, 0),
        "the digest belongs to the whole file now"
    );
    assert_eq!(read("bytes 0-5/6", false).span, Span::Range(0..6));
    let unknown = read("bytes 0-5/*", true);
    assert!(unknown.is_whole() && unknown.size == Some(6) && unknown.notes.len() == 1);
    for part in ["bytes 1-5/*", "bytes 0-4/6", "bytes 1-5/6"] {
        assert_eq!(read(part, true), read(part, false), "{part}");
        assert!(!read(part, true).is_whole(), "{part}");
    }
    assert!(super::read(299, &url(), &head(&[]), true).expect("readable").is_whole());
}

#[test]
fn every_content_coding_except_identity_is_reported() {
    assert_eq!(read(200, &[("content-encoding", "identity")]).expect("readable").coding, None);
    assert_eq!(read(200, &[("content-encoding", "gzip")]).expect("readable").coding, Some("gzip".into()));
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").expect("a date");
    let wait = |pairs: &[_]| retry_after(&head(pairs), now).map(|d| d.as_secs());
    assert_eq!(wait(&[]), None);
    assert_eq!(wait(&[("retry-after", "5")]), Some(5));
    assert_eq!(wait(&[("retry-after", "-5")]), None);
    assert_eq!(wait(&[("retry-after", "")]), None);
    assert_eq!(wait(&[("retry-after", "soon")]), None);
    assert_eq!(wait(&[("retry-after", "99999999999999999999999")]), Some(u64::from(u32::MAX)));
    assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:09 GMT")]), Some(9));
    assert_eq!(wait(&[("retry-after", "Tue, 21 Oct 2014 07:28:09 GMT")]), Some(0));
    let by_the_servers_clock =
        [("retry-after", "Wed, 21 Oct 2020 07:28:09 GMT"), ("date", "Wed, 21 Oct 2020 07:28:00 GMT")];
    assert_eq!(wait(&by_the_servers_clock), Some(9));
}

proptest! {
    #[test]
    fn a_content_range_never_panics_and_never_contradicts_itself(text in "(bytes )?[0-9*+-]{0,22}-?[0-9]{0,22}/?[0-9*]{0,22}") {
        if let Some(range) = ContentRange::parse(&text) {
            prop_assert!(range.first <= range.last && range.total.is_none_or(|t| range.last < t));
        }
    }
}

#[test]
fn known_statuses_without_the_file_are_refused_and_unknown_ones_count_as_200() {
    for status in [200, 203, 206, 299] {
        assert_eq!(failure_of_status(status, true), None, "{status}");
    }
    for status in [201, 202, 204, 205, 207, 208, 226, 304] {
        assert_eq!(failure_of_status(status, true), Some(ErrorKind::HttpStatus), "{status}");
    }
}

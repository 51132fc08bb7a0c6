use super::*;
use proptest::prelude::*;

/// Returns the lines of a head in their valid form, and the notes about dropped lines.
fn tidied(lines: &str) -> (String, Vec<String>) {
    let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    assert_eq!(end(head.as_bytes(), 0), Some(head.len()));
    match tidy(head.as_bytes()).expect("accepted") {
        None => (lines.to_string(), Vec::new()),
        Some(Tidied { head, dropped }) => {
            let head = String::from_utf8(head).expect("UTF-8");
            let lines = head.strip_prefix("HTTP/1.1 200 OK\r\n").and_then(|rest| rest.strip_suffix("\r\n"));
            (lines.expect("a head").to_string(), dropped)
        }
    }
}

fn refused(lines: &str) -> bool {
    tidy(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes()).is_err()
}

#[test]
fn a_valid_head_is_not_changed() {
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A:b\nX-Empty:\r\nX-Latin: f\xfcr\r\nX-Tab: a\tb\r\n\r\n";
    assert_eq!(tidy(head), Ok(None));
    assert_eq!(tidy(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(None));
}

#[test]
fn status_lines_of_any_version_are_read() {
    for (line, is) in [
        ("HTTP/2.0 200 OK", Some("HTTP/1.1 200 OK")),
        ("HTTP/2 404", Some("HTTP/1.1 404 ")),
        ("http/1.0 200 OK", Some("HTTP/1.0 200 OK")),
        ("HTTP/1.1 \t200  OK", Some("HTTP/1.1 200 OK")),
        ("HTTP/1.1 200 OK", None),
        ("HTTP/1.0 200", None),
        ("HTTP/x 200 OK", None),
        ("HTTP/1.1 2000 OK", None),
        ("HTTP/1.1 200OK", None),
    ] {
        let head = format!("{line}\r\nX-A: 1\r\n\r\n");
        let tidied = tidy(head.as_bytes()).expect("accepted").map(|tidied| tidied.head);
        let is = is.map(|is| format!("{is}\r\nX-A: 1\r\n\r\n").into_bytes());
        assert_eq!(tidied, is, "{line}");
    }
    assert_eq!(status(b"\r\nHTTP/2 103\r\nX: a\r\n\r\n"), Some(103));
    assert_eq!(status(b"HTTP/1.1\r\nX: 200\r\n\r\n"), None);
}

#[test]
fn chunks_in_http_1_0_are_read_and_the_connection_is_closed() {
    let tidied = |head: &[u8]| tidy(head).expect("accepted").map(|tidied| String::from_utf8(tidied.head));
    let old = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n";
    let is = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nconnection: close\r\n\r\n";
    assert_eq!(tidied(old), Some(Ok(is.into())));
    assert_eq!(tidied(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), None);
}

#[test]
fn unusual_lines_are_read_or_dropped() {
    for (lines, is, dropped) in [
        ("X-A: 1\r\n  2\r\n\t3\r\n", "X-A: 1 2 3\r\n", 0),
        ("X-A:\r\n 1\r\n", "X-A:  1\r\n", 0),
        ("Content-Length : 4\r\n", "Content-Length: 4\r\n", 0),
        ("Content-Length:\r\n 4\r\n", "Content-Length:  4\r\n", 0),
        ("Transfer-Encoding: Identity\r\nContent-Length: 4\r\n", "Content-Length: 4\r\n", 0),
        ("Transfer-Encoding: ,\r\nContent-Length: 4\r\n", "Content-Length: 4\r\n", 0),
        ("Transfer-Encoding:\r\nContent-Length: 4\r\n", "Content-Length: 4\r\n", 0),
        ("Transfer-Encoding: chunked,\r\n", "transfer-encoding: chunked\r\n", 0),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n", "transfer-encoding: chunked\r\n", 0),
        ("preload\r\nX-A: 1\r\n", "X-A: 1\r\n", 1),
        ("preload\r\n and more\r\nX-A: 1\r\n", "X-A: 1\r\n", 2),
        (": nothing\r\nX-A: 1\r\n", "X-A: 1\r\n", 1),
        ("<b>Warning</b>: a function failed in x.php: line 3\r\nX-A: 1\r\n", "X-A: 1\r\n", 1),
        (" X-First: 1\r\nX-A: 1\r\n", "X-A: 1\r\n", 1),
        ("X-Bad: a\u{1b}[2Jb\r\nX-A: 1\r\n", "X-A: 1\r\n", 1),
        ("X-Bad: a\u{c}\r\nX-A: 1\r\n", "X-A: 1\r\n", 1),
        ("X-Bad\u{b}: a\r\nX-A: 1\r\n", "X-A: 1\r\n", 1),
    ] {
        let (found, notes) = tidied(lines);
        assert_eq!((found.as_str(), notes.len()), (is, dropped), "{lines:?}: {notes:?}");
    }
    let (_, notes) = tidied("Set-Cookie: secret\u{1}\r\n");
    assert_eq!(notes, ["the header line 'Set-Cookie' has a control character in its value and was dropped"]);
}

#[test]
fn dangerous_heads_are_refused() {
    for lines in [
        "X-A: a\0b\r\n",
        "X-A\0: b\r\n",
        "X-A: a\rX-B: c\r\n",
        "X-A\r: b\r\n",
        "X-A: b\r\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +4\r\n",
        "Content-Length:\r\n",
        "Content-Length: 4\r\n 5\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nTransfer-Encoding:\r\n chunked\r\n",
        "Content-Length : 4\r\nTransfer-Encoding: identity\r\nTransfer-Encoding : chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Content-Length 4\r\n",
        "Content Length: 4\r\nTransfer-Encoding\u{1}: chunked\r\n",
        "Content-Length: 4\u{1}\r\n",
        "Content-Length: 4\u{c}\r\n",
        "Content-Length\u{c}: 4\r\n",
        " Content-Length: 4\r\n",
        "preload\r\n Transfer-Encoding: chunked\r\n",
        "X Content-Encoding: gzip\r\n",
    ] {
        assert!(refused(lines), "{lines:?}");
    }
}

#[test]
fn a_length_that_is_stated_twice_is_accepted() {
    for lines in ["Content-Length: 4, 4\r\n", "Content-Length: 4\r\nContent-Length: 04\r\n"] {
        assert!(!refused(lines), "{lines:?}");
    }
    assert!(!refused("Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n"));
}

#[test]
fn a_head_has_a_limit_of_lines_and_of_bytes() {
    let lines = |count: usize| "X-A: b\r\n".repeat(count);
    assert!(!refused(&lines(LINES_MOST)) && refused(&lines(LINES_MOST + 1)));
    let long = |bytes: usize| format!("X-A: {}\r\n", "b".repeat(bytes));
    assert!(!refused(&long(BYTES_MOST - 100)) && refused(&long(BYTES_MOST)));
    let (_, notes) = tidied(&"preload\r\n".repeat(900));
    assert_eq!(notes.len(), REPORTED_MOST);
}

#[test]
fn the_end_of_a_head_is_found_even_if_it_arrives_in_parts() {
    for head in
        ["\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\n\r\n", "HTTP/1.1 200 OK\nX-A: b\n\n", "HTTP/1.1 200 OK\r\n\n"]
    {
        let bytes = [head.as_bytes(), b"body\r\n\r\n"].concat();
        for cut in 0..head.len() {
            assert_eq!(end(&bytes[..cut], 0), None, "{head:?} {cut}");
            assert_eq!(end(&bytes, cut), Some(head.len()), "{head:?} {cut}");
        }
    }
    assert_eq!(status(b"\r\nHTTP/1.1 103 Early Hints\r\n\r\n"), Some(103));
    assert_eq!(status(b"garbage"), None);
}

#[test]
fn a_common_head_is_plain_and_doubtful_ones_are_not() {
    let plain = |lines: &str| is_plain(format!("HTTP/1.1 200 OK\r\n{lines}\r\nbody").as_bytes());
    assert!(plain("") && plain("Content-Length: 4\r\nX-Empty:\r\nX-Tab: a\tb\r\nX-Latin: f\u{fc}r\r\n"));
    for lines in [
        "Content-Length: 4\r\nContent-Length: 4\r\n",
        "Content-Length: 4,4\r\n",
        "Content-Length: 9999999999999999999\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: chunked\r\n",
        "no colon\r\n",
        "X-A : b\r\n",
        "X-A: b\r\n folded\r\n",
        "X-A: b\n",
        "X-A: b\rc\r\n",
        "X-A: b\u{0}\r\n",
    ] {
        assert!(!plain(lines), "{lines:?}");
    }
    assert!(!is_plain(b"HTTP/1.1 103 Early Hints\r\n\r\n") && !is_plain(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"));
    let head = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "b".repeat(BYTES_MOST));
    assert!(!is_plain(head.as_bytes()));
}

proptest! {
    #[test]
    fn a_plain_head_is_valid(
        status in "HTTP/1\\.[012] [1-6][0-9]{2}( OK)?",
        lines in proptest::collection::vec("(Content-Length|Transfer-Encoding|X-[A-B]|[!-~]{1,9})( ?:) ?([0-9]{1,20}|chunked|identity|[\t -~\u{1}]{0,9})|[\t -~]{0,12}", 0..5),
        ends in proptest::collection::vec(prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")], 7),
        rest in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = Vec::new();
        let all = std::iter::once(&status).chain(&lines).map(String::as_str).chain([""]);
        for (line, end) in all.zip(&ends) {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(end.as_bytes());
        }
        bytes.extend_from_slice(&rest);
        if is_plain(&bytes) {
            let head = &bytes[..end(&bytes, 0).expect("a whole head")];
            prop_assert!(super::status(head).expect("a status") >= 200);
            prop_assert_eq!(tidy(head), Ok(None));
        }
    }
}

proptest! {
    #[test]
    fn a_tidied_head_is_valid_and_is_not_changed_again(
        lines in proptest::collection::vec("(Content-Length|Transfer-Encoding|X-[A-B]|[ -~]{0,9})( ?:) ?([0-9]{1,2}|chunked|identity|[\t -~\u{1}]{0,9})|[\t -~]{0,12}", 0..8),
        ends in proptest::collection::vec(prop_oneof!["\r\n", "\n"], 8),
    ) {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        for (line, end) in lines.iter().zip(&ends).filter(|(line, _)| !line.is_empty()) {
            head.extend_from_slice(line.as_bytes());
            head.extend_from_slice(end.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        if let Ok(Some(Tidied { head: tidied, dropped })) = tidy(&head) {
            prop_assert_eq!(end(&tidied, 0), Some(tidied.len()));
            prop_assert_eq!(tidy(&tidied), Ok(None));
            prop_assert!(dropped.len() <= REPORTED_MOST);
        }
    }
}

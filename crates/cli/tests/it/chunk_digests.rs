//! Tests of 206 responses with `Content-Digest`, the digest of a chunk. A chunk with a wrong digest is
//! fetched again.

use crate::common::Place;
use crate::verification::{SHA256, SIZE, assert_untouched, file, over_old};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

#[test]
fn only_a_wrong_chunk_is_fetched_again() {
    const LARGE: u64 = 12_000_000;
    let mut refused_in_all = 0;
    for (size, more) in [(SIZE, &["-x1"][..]), (LARGE, &["-x1"]), (LARGE, &["-x4"])] {
        // There is no response number 99, so in that case every digest is right.
        for bad in [1, 2, 99] {
            let (server, place) = (Server::start(), Place::new());
            let url = server.url(&format!("part_digests/{size}/file?bad={bad}"));
            let out = place.run(&[&[url.as_str(), "-o", "f", "--progress", "json"], more].concat());
            place.assert_exact(&out, "f", &content("file", size));
            let parts = server.requests().len() - 1;
            let events = crate::common::events(&out);
            let finished = events.iter().find(|event| event["kind"] == "finished").expect("finished");
            let fetched = finished["fetched"].as_u64().expect("a number");
            let refused = |event: &&serde_json::Value| event["error"]["code"] == "digest.part";
            let refused = events.iter().filter(refused).count();
            assert_eq!(refused, usize::from(parts >= bad), "{size} {more:?} {bad}: {parts} parts");
            let allowed = match refused {
                0 if more == ["-x1"] => size..size + 1,
                // If a connection ends, some bytes may be fetched twice.
                0 => size..size + size / 2,
                _ => size + 1..2 * size,
            };
            assert!(allowed.contains(&fetched), "{size} {more:?} {bad}: {fetched} bytes");
            refused_in_all += refused;
        }
    }
    assert!(refused_in_all > 0, "no chunk was wrong");
}

/// With one connection, the response has the whole part. With several connections, each response has a chunk
/// of the part.
#[test]
fn the_digests_of_ranges_are_compared_if_only_a_part_of_the_file_is_wanted() {
    let server = Server::start();
    const LARGE: u64 = 12_000_000;
    let whole = content("file", LARGE);
    let part = ["--range", "1000-7999999", "-o", "f", "--retries", "1"];
    for (wrong, connections, status) in
        [("bad=99", "1", 0), ("bad=99", "4", 0), ("bad=0&always=1", "1", 3), ("bad=0&always=1", "4", 3)]
    {
        let url = server.url(&format!("part_digests/{LARGE}/file?{wrong}&{connections}{status}"));
        let place = Place::new();
        let out = place.run(&[&[url.as_str(), "-x", connections], &part[..]].concat());
        assert_eq!(out.status, status, "{wrong} -x{connections}: {}", out.stderr);
        let expected = Some(whole[1000..8_000_000].to_vec()).filter(|_| status == 0);
        assert!(place.file("f") == expected, "{wrong} -x{connections}: {}", out.stderr);
    }
}

#[test]
fn a_job_fails_if_a_chunk_is_wrong_again_and_again() {
    let server = Server::start();
    let bad = |size: u64| server.url(&format!("part_digests/{size}/file?bad=1&always=1"));
    let (place, out) = over_old(&bad(SIZE), &["--retries", "2"]);
    assert_untouched(&place, &out, "a chunk of the content does not match its digest");
    assert!(
        place.log().contains("[digest.part]") && out.stderr.contains("Content-Digest says"),
        "{}",
        place.log()
    );
    assert_eq!(server.requests().len(), 3, "the whole, and two retries");
    let good = server.url(&format!("well_behaved/{SIZE}/file"));
    let out = place.run(&[&good, "-o", "f", "--if-exists", "overwrite"]);
    place.assert_exact(&out, "f", &file());
    let (place, out) = over_old(&bad(SIZE), &["--verify", "off"]);
    assert!(out.status == 0 && place.file("f") != Some(file()), "nothing was to be checked: {}", out.stderr);
}

#[test]
fn the_journal_lists_no_bytes_of_a_wrong_chunk() {
    const LARGE: u64 = 12_000_000;
    for connections in ["-x1", "-x4"] {
        let server = Server::start();
        let target = format!("part_digests/{LARGE}/file?bad=1&always=1");
        let (place, out) = over_old(&server.url(&target), &["--retries", "2", connections]);
        assert_eq!((out.status, place.file("f").as_deref()), (3, Some(&b"old"[..])), "{}", out.stderr);
        assert!(server.requests().len() <= 1 + 4 * 5, "bounded: {}", server.requests().len());
        // The next run uses the bytes that match the journal. At the end it compares only the size.
        server.becomes(&target, &format!("well_behaved/{LARGE}/file"));
        let again = server.url(&target);
        let out = place.run(&[&again, "-o", "f", "--if-exists", "overwrite", "--progress", "json"]);
        place.assert_exact(&out, "f", &content("file", LARGE));
        let events = crate::common::events(&out);
        let finished = events.iter().find(|event| event["kind"] == "finished").expect("finished");
        assert!(finished["fetched"].as_u64().expect("a number") < LARGE, "what was not refused is kept");
    }
}

#[test]
fn the_digest_of_the_whole_file_is_right_after_a_wrong_chunk() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("part_digests/{SIZE}/file?bad=1"));
    let out = place.run(&[&url, "-o", "f", "--checksum", &format!("sha256:{}", SHA256.0)]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("sha-256 from --checksum"), "{}", out.stderr);
}

#[test]
fn a_job_fails_if_a_wrong_chunk_was_written_to_standard_output() {
    let server = Server::start();
    let run = |size: u64| {
        let url = server.url(&format!("part_digests/{size}/file?bad=1"));
        Place::new().run(&[&url, "-o", "-", "-x1"])
    };
    // The wrong chunk has 6 MB. At most 1 MiB is collected before it is written.
    let out = run(12_000_000);
    assert!(out.status == 1 && out.stderr.contains("Content-Digest says"), "{}", out.stderr);
    // A short chunk may be verified before any of its bytes is written.
    let out = run(SIZE);
    let exact = out.status == 0 && out.stdout == file();
    assert!(exact || (out.status != 0 && out.stderr.contains("Content-Digest says")), "{}", out.stderr);
}

//! Several mirrors at once: when their bytes are joined, and when a mirror is dropped.

use crate::common::{Out, Place, finish, send};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;

const SIZE: u64 = 24_000_000;
const PIECE: usize = 1_000_000;

/// Returns a Metalink file with these digests and mirrors, the best one first.
fn metalink(proofs: &str, urls: &[String]) -> String {
    let urls: String = urls.iter().map(|url| format!("<url>{}</url>", url.replace('&', "&amp;"))).collect();
    format!(
        "<metalink xmlns='urn:ietf:params:xml:ns:metalink'><file name='f'>{proofs}{urls}</file></metalink>"
    )
}

fn whole() -> String {
    format!("<hash type='sha-256'>{}</hash>", sha256(&content("f", SIZE)))
}

fn pieces() -> String {
    pieces_of(PIECE)
}

fn pieces_of(length: usize) -> String {
    let content = content("f", SIZE);
    let hashes: String =
        content.chunks(length).map(|piece| format!("<hash>{}</hash>", sha256(piece))).collect();
    format!("<pieces length='{length}' type='sha-256'>{hashes}</pieces>")
}

fn run(place: &Place, list: &str, more: &[&str]) -> Out {
    place.write("set.meta4", list);
    place.run(&[&["-i", "set.meta4", "--progress", "json"], more].concat())
}

fn events(out: &Out, kind: &str) -> Vec<Value> {
    crate::common::events(out).into_iter().filter(|event| event["kind"] == kind).collect()
}

#[track_caller]
fn assert_exact(place: &Place, out: &Out) {
    assert_eq!(out.status, 0, "{}{}", out.stderr, place.log());
    assert!(place.file("f").as_deref() == Some(&content("f", SIZE)), "the file differs");
}

fn fetched(out: &Out) -> f64 {
    events(out, "finished")[0]["fetched"].as_f64().expect("a number") / SIZE as f64
}

#[test]
fn a_file_is_exact_with_a_dead_a_wrong_and_a_slow_mirror() {
    let (liar, slow) = (Server::start(), Server::start());
    let lying = liar.url(&format!("capped/{SIZE}/f?rate=6000000&lies=14000000"));
    let urls =
        ["http://127.0.0.1:1/f".to_string(), lying, slow.url(&format!("capped/{SIZE}/f?rate=1500000"))];
    let mut caught = [false; 2];
    // Sometimes the wrong mirror gets no request for the chunk with its wrong byte. Then no mirror sends
    // wrong bytes.
    for round in 0..10 {
        let proofs = [pieces() + &whole(), pieces()][round % 2].clone();
        if caught[round % 2] {
            continue;
        }
        let place = Place::new();
        let out = run(&place, &metalink(&proofs, &urls), &[]);
        assert_exact(&place, &out);
        assert!(fetched(&out) <= 1.2, "{} of it was fetched", fetched(&out));
        let left = events(&out, "mirror_left");
        let named = |event: &&Value| event["error"]["code"] == "digest.part";
        let named: Vec<&Value> = left.iter().filter(named).collect();
        if named.is_empty() {
            assert!(fetched(&out) < 1.03, "no piece came twice, but {} of the file", fetched(&out));
            continue;
        }
        caught[round % 2] = true;
        assert_eq!(named.len(), 1, "{left:?}");
        assert!(named[0]["url"].as_str().is_some_and(|url| url.contains(&liar.port().to_string())));
        let warnings = &events(&out, "finished")[0]["warnings"];
        assert!(warnings.to_string().contains(": bytes 14000000 to 14999999 do not match"), "{warnings}");
    }
    assert_eq!(caught, [true; 2], "the mirror is named with and without a digest of the whole file");
    assert!(slow.requests().len() > 1 && liar.requests().len() > 1);
}

/// Small files arrive together with the head of their response.
#[test]
fn small_files_are_exact_if_the_first_mirror_has_another_file() {
    let (bad, good) = (Server::start(), Server::start());
    let right = content("f", 5000);
    let proofs = format!("<hash type='sha-256'>{}</hash>", sha256(&right));
    for first in ["well_behaved/5000/f?lies=100", "no_validator/5000/f?lies=100", "page_at_first/5000/f"] {
        for size in ["<size>5000</size>", ""] {
            let place = Place::new();
            let urls = [bad.url(first), good.url("well_behaved/5000/f")];
            let out = run(&place, &metalink(&(size.to_string() + &proofs), &urls), &[]);
            place.assert_exact(&out, "f", &right);
            assert_eq!(place.files(), ["f", "set.meta4"]);
        }
    }
}

#[test]
fn a_digest_of_the_whole_file_finds_the_mirror_with_wrong_bytes() {
    let (liar, good) = (Server::start(), Server::start());
    let lying = liar.url(&format!("capped/{SIZE}/f?rate=8000000&{}", lies()));
    let honest = good.url(&format!("capped/{SIZE}/f?rate=8000000"));
    for urls in [[lying.clone(), honest.clone()], [honest, lying]] {
        let place = Place::new();
        let out = run(&place, &metalink(&whole(), &urls), &[]);
        assert_exact(&place, &out);
        assert!(fetched(&out) <= 2.6, "{} of it was fetched", fetched(&out));
        let dropped = events(&out, "mirror_left");
        let is_named = dropped.iter().any(|event| event["url"].to_string().contains("lies"));
        assert!(is_named, "{} of it was fetched: {dropped:?}", fetched(&out));
    }
}

/// Returns the query of a mirror with wrong bytes in all parts of the file, so that the test does not depend
/// on which segments the mirror gets.
fn lies() -> String {
    let at: Vec<String> = (1..40).map(|part| (part * SIZE / 40).to_string()).collect();
    format!("lies={}", at.join(","))
}

#[test]
fn no_mirror_is_blamed_if_the_bytes_of_none_match_the_list() {
    let servers = [Server::start(), Server::start(), Server::start()];
    let urls = servers.each_ref().map(|server| server.url(&format!("capped/{SIZE}/f?rate=8000000")));
    let (right, wrong) = (sha256(&content("f", SIZE)[14_000_000..15_000_000]), "0".repeat(64));
    let misled = pieces().replace(&right, &wrong);
    assert_ne!(misled, pieces());
    for (proofs, retries) in [(misled.clone(), "0"), (misled.clone(), "1"), (misled + &whole(), "0")] {
        let place = Place::new();
        let out = run(&place, &metalink(&proofs, &urls), &["--retries", retries]);
        assert_eq!((out.status, place.file("f")), (3, None), "{}", out.stderr);
        assert!(events(&out, "mirror_left").is_empty(), "{:?}", events(&out, "mirror_left"));
        let error = &events(&out, "failed")[0]["error"];
        let says = "a chunk of the content does not match its digest: bytes 14000000 to 14999999 do not match the Metalink file. The bytes of all 3 \
                    mirrors were wrong, so the digest may be wrong";
        assert_eq!((&error["code"], &error["message"]), (&"digest.part".into(), &says.into()), "{error}");
        assert!(!error["at"].to_string().contains("127.0.0.1"), "{error}");
    }
    // If one mirror has the right bytes, each other mirror is named at most once.
    let lies = ["&lies=14000000", "&lies=14500000", ""];
    let urls: Vec<String> = urls.iter().zip(lies).map(|(url, lie)| url.clone() + lie).collect();
    let place = Place::new();
    let out = run(&place, &metalink(&pieces(), &urls), &[]);
    assert_exact(&place, &out);
    let left = events(&out, "mirror_left");
    assert!(
        left.len() <= 2 && left.iter().all(|event| event["url"].to_string().contains("lies")),
        "{left:?}"
    );
    // If no mirror has the right bytes, no mirror is named.
    let place = Place::new();
    let out = run(&place, &metalink(&pieces(), &urls[..2]), &["--retries", "0"]);
    assert_eq!((out.status, place.file("f")), (3, None), "{}", out.stderr);
    assert!(events(&out, "mirror_left").is_empty(), "{:?}", events(&out, "mirror_left"));
}

#[test]
fn without_a_digest_one_mirror_after_the_other_is_used_and_bytes_are_never_mixed() {
    let (first, second) = (Server::start(), Server::start());
    let place = Place::new();
    let urls =
        [first.url(&format!("capped/{SIZE}/f?rate=8000000")), second.url(&format!("well_behaved/{SIZE}/f"))];
    let out = run(&place, &metalink("", &urls), &[]);
    assert_exact(&place, &out);
    assert!(second.requests().is_empty());
    // If verification is off, the second mirror is not used either, whether the digest is weak or strong.
    let md5 = "<hash type='md5'>0123456789abcdef0123456789abcdef</hash>";
    for (proofs, more) in [(md5.to_string(), &["--verify", "off"][..]), (whole(), &["--verify", "off"])] {
        let place = Place::new();
        let out = run(&place, &metalink(&proofs, &urls), more);
        assert_exact(&place, &out);
        assert!(second.requests().is_empty());
    }
}

#[test]
fn all_mirrors_send_segments_and_one_with_another_file_is_dropped() {
    let (first, second, third) = (Server::start(), Server::start(), Server::start());
    let (other, whole_only) = (Server::start(), Server::start());
    let urls = [
        first.url(&format!("capped/{SIZE}/f?rate=4000000")),
        other.url("well_behaved/23999999/f"),
        second.url(&format!("capped/{SIZE}/f?rate=4000000")),
        whole_only.url(&format!("ranges_ignored/{SIZE}/f")),
        third.url(&format!("capped/{SIZE}/f?rate=4000000")),
    ];
    let place = Place::new();
    let out = run(&place, &metalink(&whole(), &urls), &[]);
    assert_exact(&place, &out);
    assert!(fetched(&out) < 1.1, "{}", fetched(&out));
    for good in [&first, &second, &third] {
        assert!(good.requests().len() > 1, "{} requests", good.requests().len());
    }
    let left = events(&out, "mirror_left");
    for (server, code) in [(&other, "remote.changed"), (&whole_only, "http.range_ignored")] {
        let port = server.port().to_string();
        assert!(
            left.iter()
                .any(|event| event["error"]["code"] == code && event["url"].to_string().contains(&port)),
            "{code}: {left:?}"
        );
    }
}

#[test]
fn the_download_continues_without_a_mirror_that_always_breaks() {
    let (breaks, good) = (Server::start(), Server::start());
    let urls = [
        breaks.url(&format!("gone_after_half/{SIZE}/f")),
        good.url(&format!("capped/{SIZE}/f?rate=8000000")),
    ];
    let place = Place::new();
    let out = run(&place, &metalink(&whole(), &urls), &["--retries", "0"]);
    assert_exact(&place, &out);
    assert!(fetched(&out) < 1.1, "{}", fetched(&out));
}

#[test]
fn if_no_mirror_has_the_right_chunk_the_job_fails_and_the_old_file_stays() {
    let server = Server::start();
    let urls = [server.url(&format!("well_behaved/{SIZE}/f?lies=14000000"))];
    let place = Place::new();
    place.write("f", "old");
    let out = run(&place, &metalink(&pieces(), &urls), &["--retries", "1", "--if-exists", "overwrite"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(&b"old"[..]));
    let again = server.requests().iter().filter(|request| request.header("range").is_some()).count();
    assert!(again > 0, "a range is fetched again");
}

#[test]
fn a_known_size_is_required_of_every_mirror() {
    let (wrong, right) = (Server::start(), Server::start());
    let place = Place::new();
    let urls = [wrong.url("well_behaved/1000/f"), right.url("well_behaved/2000/f")];
    let out = run(&place, &metalink("<size>2000</size>", &urls), &["--retries", "0"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(&content("f", 2000)[..]));
    let out = run(&Place::new(), &metalink("<size>2000</size>", &urls[..1]), &["--retries", "0"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    let failed = &events(&out, "failed")[0];
    assert!(failed.to_string().contains("1000 bytes, and must have 2000"), "{failed}");
}

/// Returns a URL of this server. Its responses have this Link header.
fn offering(server: &Server, more: &str, link: &str) -> String {
    let link: String = url::form_urlencoded::byte_serialize(link.as_bytes()).collect();
    server.url(&format!("capped/{SIZE}/f?rate=4000000{more}&link={link}"))
}

#[test]
fn mirrors_that_a_server_offers_are_used_only_on_request_and_with_a_digest() {
    let (first, second) = (Server::start(), Server::start());
    let mirror = second.url(&format!("capped/{SIZE}/f?rate=4000000"));
    let document = metalink(&(pieces() + &whole()), std::slice::from_ref(&mirror));
    let at = first.put("/d/f.meta4", document);
    let duplicate = format!("<{mirror}>; rel=duplicate; pri=1");
    let described = format!("<{at}>; rel=describedby; type=\"application/metalink4+xml\"");
    // The digest comes from a header of the first server, or from the document.
    for (more, link) in [("&sha256=1", &duplicate), ("", &described)] {
        let url = offering(&first, more, link);
        for name in [&["-o", "f"][..], &[]] {
            let before = second.requests().len();
            let place = Place::new();
            let args =
                [&[url.as_str(), "--mirrors", "auto", "--progress", "json", "-H", "X-Secret: s"], name]
                    .concat();
            let out = place.run(&args);
            assert_exact(&place, &out);
            let asked = second.requests().split_off(before);
            assert!(
                !asked.is_empty() && asked.iter().all(|request| request.header("x-secret").is_none()),
                "{link}"
            );
            let proven = events(&out, "finished")[0]["proven"].to_string();
            let whose = if more.is_empty() { "the Metalink file" } else { "X-Checksum-SHA256" };
            assert!(proven.contains(whose), "{proven}");
        }
    }
    let before = second.requests().len();
    // A mirror that a server offers is used neither with `--mirrors off` nor without a digest.
    for (more, how) in [("&sha256=1", "off"), ("", "auto")] {
        let url = offering(&first, more, &duplicate);
        let place = Place::new();
        let out = place.run(&[&url, "--mirrors", how, "--progress", "json"]);
        assert_exact(&place, &out);
    }
    assert_eq!(second.requests().len(), before);
    // The file must match what the document says.
    let place = Place::new();
    first.put("/d/f.meta4", metalink(&format!("<hash type='sha-256'>{}</hash>", "0".repeat(64)), &[mirror]));
    let out = place.run(&[&offering(&first, "", &described), "--mirrors", "auto", "--retries", "0"]);
    assert_eq!((out.status, place.file("f")), (3, None), "{}", out.stderr);
}

#[cfg(unix)]
#[test]
fn a_run_that_resumes_reads_the_document_that_the_server_names() {
    let server = Server::start();
    let mirror = server.url(&format!("capped/{SIZE}/f?rate=4000000"));
    let at = server.put("/d/f.meta4", metalink(&whole(), std::slice::from_ref(&mirror)));
    let described = format!("<{at}>; rel=describedby; type=\"application/metalink4+xml\"");
    let wrong = metalink(&format!("<hash type='sha-256'>{}</hash>", "0".repeat(64)), &[mirror]);
    let url = offering(&server, "", &described);
    for (name, document, status) in
        [(&["-o", "f"][..], None, 0), (&[], None, 0), (&["-o", "f"], Some(wrong), 3)]
    {
        let place = Place::new();
        let args = [&[url.as_str(), "--mirrors", "auto", "--retries", "0", "-x", "2"], name].concat();
        let run = place.start(&args);
        crate::common::wait_until("some chunks are there", || {
            place.file("f.part").is_some_and(|part| right_chunks(&part, &content("f", SIZE)) > 3)
        });
        crate::common::send(rustix::process::Signal::TERM, &run);
        assert_eq!(crate::common::finish(run).status, 75);
        document.map(|document| server.put("/d/f.meta4", document));
        let out = place.run(&[&args[..], &["--progress", "json"]].concat());
        let ends = [events(&out, "finished"), events(&out, "failed")].concat();
        assert_eq!(out.status, status, "{name:?}: {ends:?}");
        assert!(status != 0 || fetched(&out) < 0.95, "nothing was resumed: {ends:?}");
        if status == 0 {
            assert_exact(&place, &out);
            assert!(ends[0]["proven"].to_string().contains("the Metalink file"), "{ends:?}");
        }
    }
}

#[test]
fn a_mirror_with_several_wrong_chunks_is_named_once() {
    let (liar, good) = (Server::start(), Server::start());
    // All chunks of this mirror are wrong. It is fast, so it sends several chunks before the first one is
    // found to be wrong.
    let urls =
        [liar.url(&format!("well_behaved/{SIZE}/other")), good.url(&format!("capped/{SIZE}/f?rate=4000000"))];
    let place = Place::new();
    let out = run(&place, &metalink(&pieces_of(100_000), &urls), &[]);
    assert_exact(&place, &out);
    let left = events(&out, "mirror_left");
    let wrong = left.iter().filter(|event| event["error"]["code"] == "digest.part").count();
    let warnings = events(&out, "finished")[0]["warnings"].to_string();
    assert_eq!((wrong, warnings.matches("dropped mirror").count()), (1, 1), "{left:?} {warnings}");
}

/// The digest comes from a header of the first server.
#[test]
fn a_mirror_that_a_server_offers_is_named_if_it_sends_wrong_bytes() {
    let (first, liar) = (Server::start(), Server::start());
    let mirror = liar.url(&format!("capped/{SIZE}/f?rate=4000000&{}", lies()));
    let url = offering(&first, "&sha256=1", &format!("<{mirror}>; rel=duplicate"));
    let place = Place::new();
    let out = place.run(&[&url, "--mirrors", "auto", "--progress", "json"]);
    assert_exact(&place, &out);
    assert!(fetched(&out) > 1.02, "no wrong byte was sent: {}", liar.requests().len());
    let warnings = events(&out, "finished")[0]["warnings"].to_string();
    let says = "its bytes do not match the sha-256 from X-Checksum-SHA256";
    assert!(warnings.contains(&mirror) && warnings.contains(says), "{warnings}");
    assert_eq!(events(&out, "mirror_left").len(), 1);
}

/// Returns the file with wrong bytes at these offsets, cut or extended to this length.
fn damaged(at: &[usize], length: usize) -> Vec<u8> {
    let mut bytes = content("f", SIZE);
    at.iter().for_each(|&at| bytes[at] ^= 1);
    bytes.resize(length, 7);
    bytes
}

#[test]
fn repair_fetches_only_the_damaged_chunks() {
    let server = Server::start();
    let urls = [server.url(&format!("well_behaved/{SIZE}/f"))];
    let right = content("f", SIZE);
    let size = format!("<size>{SIZE}</size>");
    let whole_length = right.len();
    for (bytes, pieces_wrong) in [
        (damaged(&[0, 14_000_000], whole_length), 2.0),
        (damaged(&[], 20_500_000), 4.0),
        (damaged(&[], whole_length + 1000), 0.0),
        (damaged(&[], whole_length), 0.0),
    ] {
        for proofs in [pieces() + &size, pieces() + &size + &whole()] {
            let place = Place::new();
            place.write("set.meta4", metalink(&proofs, &urls));
            place.write("d/f", &bytes);
            let before = server.requests().len();
            let out = place.run(&["repair", "set.meta4", "-d", "d"]);
            place.assert_exact(&out, "d/f", &right);
            assert_eq!(place.files(), ["d/f", "set.meta4"]);
            assert!(!place.log().contains("started  ->"), "it says from where: {}", place.log());
            let asked = server.requests().split_off(before);
            let lengths = asked.iter().filter_map(|request| {
                let (first, last) = request.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
                Some(last.parse::<f64>().ok()? - first.parse::<f64>().ok()? + 1.0)
            });
            let fetched: f64 = lengths.sum();
            assert!(fetched <= pieces_wrong * PIECE as f64, "{fetched} of {pieces_wrong} pieces");
        }
    }
}

#[test]
fn repair_downloads_a_missing_file_and_changes_nothing_without_a_digest() {
    let server = Server::start();
    let urls = [server.url(&format!("well_behaved/{SIZE}/f"))];
    let right = content("f", SIZE);
    let place = Place::new();
    place.write("set.meta4", metalink(&whole(), &urls));
    let out = place.run(&["repair", "set.meta4", "-d", "d"]);
    place.assert_exact(&out, "d/f", &right);
    // Without chunk hashes all of a damaged file is downloaded.
    place.write("d/f", damaged(&[5], right.len()));
    let out = place.run(&["repair", "set.meta4", "-d", "d"]);
    place.assert_exact(&out, "d/f", &right);
    place.write("d/f", "other");
    place.write("list", format!("{} f\n", urls[0]));
    let out = place.run(&["repair", "list", "-d", "d"]);
    assert_eq!(place.file("d/f").as_deref(), Some(&b"other"[..]), "{}", out.stderr);
    assert!(
        out.status != 0 && out.stderr.contains("downhaul does not know which part of the file is wrong"),
        "{}",
        out.stderr
    );
}

#[test]
fn repair_leaves_the_old_file_if_the_server_has_other_bytes() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("well_behaved/{SIZE}/f?lies=14000001"));
    place.write("set.meta4", metalink(&format!("{}<size>{SIZE}</size>", pieces()), &[url]));
    let damaged = damaged(&[14_000_000], content("f", SIZE).len());
    place.write("d/f", &damaged);
    let out = place.run(&["repair", "set.meta4", "-d", "d"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(place.file("d/f") == Some(damaged));
}

/// Repairs a file with one wrong byte from this path of the server, with these options.
fn repair(server: &Server, path: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    place.write("set.meta4", metalink(&format!("{}<size>{SIZE}</size>", pieces()), &[server.url(path)]));
    place.write("d/f", damaged(&[14_000_000], content("f", SIZE).len()));
    let out = place.run(&[&["repair", "set.meta4", "-d", "d"], more].concat());
    (place, out)
}

#[test]
fn a_repaired_file_says_how_many_chunks_were_fetched() {
    let server = Server::start();
    let (_, out) = repair(&server, &format!("well_behaved/{SIZE}/f"), &[]);
    let (all, one) = (SIZE.div_ceil(PIECE as u64), units(PIECE as u64));
    assert!(out.stderr.contains(&format!("1 of {all} chunks fetched ({one}) in ")), "{}", out.stderr);
    assert!(!out.stderr.contains("/s)"), "a rate of what was not fetched says nothing: {}", out.stderr);
}

/// Returns a size of about 1 MB as the program shows it.
fn units(bytes: u64) -> String {
    match bytes {
        small if small < 1 << 20 => format!("{:.0} KiB", small as f64 / 1024.0),
        large => format!("{:.2} MiB", large as f64 / (1 << 20) as f64),
    }
}

#[test]
fn the_report_of_a_wrong_file_names_the_command_that_repairs_it() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    place.write("set.meta4", metalink(&(pieces() + &whole()), std::slice::from_ref(&url)));
    place.write("my files/f", damaged(&[14_000_000], content("f", SIZE).len()));
    let out = place.run(&["-i", "set.meta4", "-d", "my files", "-x", "2", "--if-exists", "check"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    let command = "downhaul repair set.meta4 -d 'my files' -x 2";
    assert!(out.stderr.contains("It was not changed"), "{}", out.stderr);
    assert!(out.stderr.lines().last().is_some_and(|last| last.ends_with(command)), "{}", out.stderr);
    // The suggested command repairs the file.
    let out = place.run(&["repair", "set.meta4", "-d", "my files", "-x", "2"]);
    place.assert_exact(&out, "my files/f", &content("f", SIZE));
    // A lock file has URLs, so that verify can name the command too.
    let out = place.run(&[&url, "-d", "there", "--record", "there/set.lock"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    place.write("there/f", damaged(&[5], content("f", SIZE).len()));
    let out = place.run(&["verify", "there/set.lock"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(out.stderr.contains("To repair: downhaul repair there/set.lock -d there\n"), "{}", out.stderr);
    let out = place.run(&["repair", "there/set.lock", "-d", "there"]);
    place.assert_exact(&out, "there/f", &content("f", SIZE));
}

#[test]
fn no_repair_is_suggested_that_would_look_for_the_file_under_another_name() {
    let (server, place) = (Server::start(), Place::new());
    let right = content("f", 1000);
    let url = server.put("/a/b/f", right.clone());
    place.write("list", format!("{url}#sha256={}\n", sha256(&right)));
    place.write("data/a/b/f", vec![0; 1000]);
    let out = place.run(&["-i", "list", "--folders", "all", "-d", "data"]);
    assert!(out.status == 3 && !out.stderr.contains("downhaul repair"), "{}", out.stderr);
    place.write("config.toml", "folders = \"all\"\n");
    let out = place.run(&["-i", "list", "-d", "data", "--config", "config.toml"]);
    assert!(out.status == 3 && !out.stderr.contains("downhaul repair"), "{}", out.stderr);
    place.write("data/f", vec![0; 1000]);
    let out = place.run(&["-i", "list", "-d", "data"]);
    assert!(out.status == 3 && out.stderr.contains("downhaul repair list -d data"), "{}", out.stderr);
}

#[test]
fn the_file_that_exists_is_repaired_even_if_its_line_asks_for_another_name() {
    let (server, place) = (Server::start(), Place::new());
    let right = content("f", 1000);
    let url = server.put("/f", right.clone());
    let line = format!(r#"{{"url":"{url}","out":"f","sha256":"{}","if_exists":"rename"}}"#, sha256(&right));
    place.write("list.jsonl", line);
    for old in [vec![0; 1000], right.clone()] {
        place.write("f", old);
        let out = place.run(&["repair", "list.jsonl"]);
        assert_eq!((out.status, place.file("f")), (0, Some(right.clone())), "{}", out.stderr);
        assert_eq!(place.file("f (1)"), None);
    }
}

#[test]
fn a_file_of_the_wrong_size_gets_the_advice_to_repair_it() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let size = format!("<size>{SIZE}</size>");
    place.write("set.meta4", metalink(&(size + &whole()), &[url]));
    place.write("f", &content("f", SIZE)[..1000]);
    let out = place.run(&["-i", "set.meta4"]);
    assert!(out.status == 3 && out.stderr.contains("It was not changed"), "{}", out.stderr);
    assert!(out.stderr.contains("downhaul repair set.meta4"), "{}", out.stderr);
    place.assert_exact(&place.run(&["repair", "set.meta4"]), "f", &content("f", SIZE));
}

#[test]
fn repair_accepts_the_options_of_a_download() {
    let server = Server::start();
    let path = format!("well_behaved/{SIZE}/f");
    let told = ["--progress", "json", "--log", "log", "--explain"];
    let asked = [
        "-H",
        "X-Mine: 1",
        "-A",
        "me",
        "-x",
        "1",
        "-j",
        "1",
        "--limit-rate",
        "9M",
        "--http1",
        "--verify",
        "require",
    ];
    let (place, out) = repair(&server, &path, &[&told[..], &asked].concat());
    place.assert_exact(&out, "d/f", &content("f", SIZE));
    let last = server.requests().pop().expect("a request");
    // Only the document names this host, so the headers of the user are not sent to it.
    assert_eq!((last.header("x-mine"), last.header("user-agent")), (None, Some("me")));
    assert_eq!(events(&out, "finished").len(), 1);
    assert_eq!(place.files(), ["d/f", "log", "set.meta4"]);
    for other in [["--if-exists", "skip"], ["-o", "x"], ["-i", "x"]] {
        assert_eq!(repair(&server, &path, &other).1.status, 2, "{other:?} is not an option of repair");
    }
    let help = Place::new().run(&["repair", "--help"]).stdout;
    let help = String::from_utf8(help).expect("UTF-8");
    for says in ["Connections:", "Retries:", "Verification:", "Network:", "Progress and log:", "--retries"] {
        assert!(help.contains(says), "{says}: {help}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_repair_of_chunks_is_resumed() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{SIZE}/f?rate=4000000"));
    let right = content("f", SIZE);
    place.write("set.meta4", metalink(&format!("{}<size>{SIZE}</size>", pieces()), &[url]));
    place.write("d/f", vec![0; right.len()]);
    let args = ["repair", "set.meta4", "-d", "d", "-x", "1"];
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        let before = place.file("d/f.part").map_or(0, |part| right_chunks(&part, &right));
        let run = place.start(&args);
        crate::common::wait_until("a chunk is repaired", || {
            place.file("d/f.part").is_some_and(|part| right_chunks(&part, &right) > before)
        });
        crate::common::send(signal, &run);
        let out = crate::common::finish(run);
        assert!(signal == rustix::process::Signal::KILL || out.stderr.contains(" kept"), "{}", out.stderr);
        let kept = place.file("d/f.part").map_or(0, |part| right_chunks(&part, &right));
        assert!(kept > before, "the partial file stays");
        assert!(place.file("d/f") == Some(vec![0; right.len()]), "the old file was changed");
    }
    let before = server.requests().len();
    let out = place.run(&args);
    place.assert_exact(&out, "d/f", &right);
    assert_eq!(place.files(), ["d/f", "set.meta4"]);
    let asked = server.requests().split_off(before);
    let from = asked.iter().filter_map(|request| request.header("range")).collect::<Vec<_>>();
    assert!(!from.iter().any(|range| range.starts_with("bytes=0-")), "{from:?}");
}

/// Returns the number of chunks that are right.
#[cfg(unix)]
fn right_chunks(file: &[u8], right: &[u8]) -> usize {
    file.chunks(PIECE).zip(right.chunks(PIECE)).filter(|(one, other)| one == other).count()
}

#[test]
fn a_failed_repair_does_not_change_the_old_file() {
    let server = Server::start();
    let path = format!("well_behaved/{SIZE}/f");
    let old = damaged(&[14_000_000], content("f", SIZE).len());
    // These options decide the number of retries and the time limits.
    let (place, out) = repair(&server, &format!("fails_once/{SIZE}/f"), &["--retries", "0", "-q"]);
    assert_eq!((out.status, place.file("d/f").as_ref()), (1, Some(&old)), "{}", out.stderr);
    assert!(
        out.stderr.contains("To resume: downhaul repair set.meta4 -d d --retries 0 -q"),
        "{}",
        out.stderr
    );
    let (_, out) =
        repair(&server, &format!("slow_first_byte/{SIZE}/f"), &["--retries", "0", "--timeout", "0.5"]);
    assert!(out.status == 1 && out.stderr.contains("no response within 0.5 s"), "{}", out.stderr);
    // These options decide which content is right.
    let (place, out) = repair(&server, &path, &["--checksum-file", "none"]);
    assert!(
        out.status == 2 && out.stderr.contains("the checksum list none cannot be read"),
        "{}",
        out.stderr
    );
    assert_eq!(place.file("d/f").as_ref(), Some(&old));
    let (_, out) = repair(&server, &path, &["--verify", "off"]);
    assert!(
        out.status == 2 && out.stderr.contains("repair requires verification, and --verify off turns it off"),
        "{}",
        out.stderr
    );
}

#[test]
fn chunk_hashes_alone_verify_a_file_and_must_cover_it() {
    let server = Server::start();
    let good = server.url(&format!("well_behaved/{SIZE}/f"));
    let bad = server.url(&format!("well_behaved/{SIZE}/f?lies=14000000"));
    let endless = server.url("no_length/3000000/f");
    // (digests, URLs, options, exit status)
    for (proofs, url, more, status) in [
        (pieces(), &good, &["--verify", "require"][..], 0),
        (pieces(), &bad, &["--verify", "off"], 0),
        (pieces(), &endless, &["--retries", "0"], 3),
        (pieces() + "<size>24000001</size>", &good, &["--retries", "0"], 3),
        (pieces() + &whole(), &bad, &["--retries", "0"], 3),
    ] {
        let place = Place::new();
        let out = run(&place, &metalink(&proofs, std::slice::from_ref(url)), more);
        assert_eq!(out.status, status, "{url} {more:?}: {}", out.stderr);
        assert_eq!(place.file("f").is_some(), status == 0);
    }
}

#[test]
fn the_size_from_a_wrong_mirror_is_not_used_after_the_mirror_is_dropped() {
    let server = Server::start();
    let sizes =
        [(900, 1000), (1100, 1000), (3_000_000, 2_500_000), (2_500_000, 3_000_000), (3_000_000, 100_000)];
    for (wrong, right) in sizes {
        let place = Place::new();
        let bytes = content("f", right);
        let list = format!(
            "{{\"urls\": [\"{}\", \"{}\"], \"out\": \"f\", \"sha256\": \"{}\"}}",
            server.url(&format!("well_behaved/{wrong}/wrong")),
            server.url(&format!("well_behaved/{right}/f")),
            sha256(&bytes)
        );
        place.write("list", list);
        let out = place.run(&["-i", "list", "--retries", "0"]);
        place.assert_exact(&out, "f", &bytes);
        assert!(out.took < Duration::from_secs(2), "nothing was waited for: {:?}\n{}", out.took, out.stderr);
        std::fs::remove_file(place.path().join("f")).expect("removes");
        place.assert_exact(&place.run(&["-i", "list"]), "f", &bytes);
    }
}

#[test]
fn a_wrong_digest_ends_the_download_if_the_mirrors_send_the_whole_file_instead_of_ranges() {
    let (server, place) = (Server::start(), Place::new());
    let urls = ["a", "b"].map(|name| server.url(&format!("ranges_ignored/3000000/{name}")));
    let digest = "0".repeat(64);
    let list = format!(r#"{{"urls": ["{}", "{}"], "out": "f", "sha256": "{digest}"}}"#, urls[0], urls[1]);
    place.write("list", list);
    let out = place.run(&["-i", "list", "--max-time", "30s"]);
    assert_eq!(out.status, 3, "{}", out.stderr);
    assert!(server.requests().len() < 40, "{} requests", server.requests().len());
}

#[test]
fn an_error_message_of_another_mirror_is_no_file_if_only_the_server_stated_the_wrong_digest() {
    let (server, place) = (Server::start(), Place::new());
    let message = "text/0/error?body=quota&type=application/json";
    place.write("list", two_mirrors(&server, "checksum_wrong/3000000/f", message));
    for retries in ["0", "3"] {
        let out = place.run(&["-i", "list", "--retries", retries]);
        assert_ne!(out.status, 0, "{}", out.stderr);
        assert_eq!(place.file("f"), None, "{}", out.stderr);
    }
}

/// Returns a list with one file, which has two mirrors and no digest.
fn two_mirrors(server: &Server, first: &str, second: &str) -> String {
    format!("{{\"urls\": [\"{}\", \"{}\"], \"out\": \"f\"}}\n", server.url(first), server.url(second))
}

#[test]
fn the_bytes_of_the_first_mirror_stay_if_no_other_mirror_has_the_file() {
    let (server, place) = (Server::start(), Place::new());
    place.write("list", two_mirrors(&server, "gone_after_half/8000000/f", "status/0/f?status=404"));
    let out = place.run(&["-i", "list"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(place.file("f.part").map(|part| part.len()), Some(4_000_000), "{:?}", place.files());
}

#[test]
fn a_partial_file_from_the_second_mirror_is_resumed_there() {
    for first in ["well_behaved/8000000/f", "status/0/f?status=404"] {
        let (server, place) = (Server::start(), Place::new());
        let (one, two) = ("status/0/first?status=404", "capped/8000000/f?rate=4000000");
        place.write("list", two_mirrors(&server, one, two));
        let run = place.start(&["-i", "list", "-x1"]);
        place.wait_for_bytes("f.part", 2_000_000);
        send(Signal::INT, &run);
        assert_eq!(finish(run).status, 130);
        server.becomes(one, first);
        let out = place.run(&["-i", "list", "--progress", "json"]);
        place.assert_exact(&out, "f", &content("f", 8_000_000));
        let fetched = events(&out, "finished")[0]["fetched"].as_u64().expect("a number");
        assert!(fetched < 7_000_000, "{first}: {fetched} bytes");
    }
}

//! Tests of existing files at the path of a download or beside it: which files are accepted, and which are
//! never changed.

use crate::common::tcp::read_head;
use crate::common::{Out, Place};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::thread;

const SIZE: u64 = 3000;

/// Changes one byte of a file, but not its date, as a failing disk may do.
fn damage(place: &Place, name: &str) {
    let path = place.path().join(name);
    let modified = fs::metadata(&path).and_then(|meta| meta.modified()).expect("a date");
    let mut bytes = fs::read(&path).expect("reads");
    bytes[7] ^= 1;
    fs::write(&path, bytes).expect("writes");
    let file = fs::File::options().write(true).open(path).expect("opens");
    file.set_modified(modified).expect("sets");
}

#[cfg(unix)]
#[test]
fn no_download_replaces_a_list_of_the_run() {
    let (server, place) = (Server::start(), Place::new());
    let chosen = server.url("named/1000/x?disposition=attachment;filename=list.txt");
    let list = format!("{chosen}\n{}\n", server.url("well_behaved/1000/list.txt"));
    place.write("list.txt", &list);
    std::os::unix::fs::symlink(".", place.path().join("here")).expect("a link");
    for folder in [".", "here"] {
        let out = place.run(&["-i", "list.txt", "-d", folder, "--if-exists", "overwrite"]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(out.stderr.contains("it is a list of this run"), "{}", out.stderr);
        assert_eq!(place.file("list.txt"), Some(list.clone().into_bytes()));
    }
    let wrong = sha256(b"another file");
    let signed = format!("{}#sha256={wrong}\n", server.url("well_behaved/1000/signed.txt"));
    place.write("signed.txt", &signed);
    for args in [["-i", "signed.txt", "-c"].as_slice(), &["repair", "signed.txt"]] {
        let out = place.run(args);
        assert!(out.stderr.contains("it is a list of this run"), "{args:?}: {}", out.stderr);
        assert_eq!(place.file("signed.txt"), Some(signed.clone().into_bytes()), "{args:?}");
    }
    // Other systems do not say which file standard input is.
    if cfg!(target_os = "linux") {
        let piped = fs::File::open(place.path().join("list.txt")).expect("opens");
        let out =
            place.command(&["-i", "-", "--if-exists", "overwrite"]).stdin(piped).output().expect("runs");
        let says = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(says.contains("it is a list of this run"), "{says}");
        assert_eq!(place.file("list.txt"), Some(list.clone().into_bytes()));
    }
    // A list that is up to date may name its own URL.
    let own = format!("{}\n", server.url("well_behaved/1000/own.txt"));
    place.write("own.txt", &own);
    place.write("sums", format!("{}  own.txt\n", sha256(own.as_bytes())));
    let out = place.run(&["-i", "own.txt", "--if-exists", "update", "--checksum-file", "sums"]);
    assert!(out.status == 0 && out.stderr.contains("is up to date"), "{}", out.stderr);
    // In a tar, a file can have the name of the list.
    let out = place.run(&["-i", "list.txt", "--to-tar", "set-{shard}.tar"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
}

#[test]
fn update_compares_a_given_digest_first_and_downloads_a_file_that_differs() {
    let server = Server::start();
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let right = sha256(&content("f", SIZE));
    for given in
        [["--checksum".to_string(), format!("sha256:{right}")], ["--checksum-file".into(), "sums".into()]]
    {
        let place = Place::new();
        place.write("sums", format!("{right}  f\n"));
        assert_eq!(place.run(&[&url]).status, 0);
        damage(&place, "f");
        let update = [&*url, "--if-exists", "update", &given[0], &given[1]];
        place.assert_exact(&place.run(&update), "f", &content("f", SIZE));
        let asked = server.requests().len();
        let out = place.run(&update);
        assert!(out.status == 0 && out.stderr.contains("is up to date, sha-256"), "{}", out.stderr);
        assert_eq!(server.requests().len(), asked, "no request is sent for a file with the right digest");
    }
}

#[test]
fn update_fetches_a_file_of_the_same_size_and_date_with_another_entity_tag() {
    let server = Server::start();
    let place = Place::new();
    let target = format!("well_behaved/{SIZE}/f");
    let update = || place.run(&[&server.url(&target), "--if-exists", "update"]);
    place.assert_exact(&update(), "f", &content("f", SIZE));
    server.becomes(&target, &format!("well_behaved/{SIZE}/longer"));
    place.assert_exact(&update(), "f", &content("longer", SIZE));
    // An equal size alone does not show that two files are equal.
    let target = format!("no_validator/{SIZE}/f");
    server.becomes(&target, &format!("no_validator/{SIZE}/changed"));
    place.assert_exact(
        &place.run(&[&server.url(&target), "--if-exists", "update"]),
        "f",
        &content("changed", SIZE),
    );
}

#[test]
fn update_downloads_a_file_that_another_tool_has_not_finished() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    assert_eq!(place.run(&[&url]).status, 0);
    let modified = fs::metadata(place.path().join("f")).and_then(|meta| meta.modified()).expect("a date");
    place.write("f", vec![0; SIZE as usize]);
    fs::File::options()
        .write(true)
        .open(place.path().join("f"))
        .and_then(|file| file.set_modified(modified))
        .expect("sets");
    place.write("f.aria2", b"not read here");
    place.assert_exact(&place.run(&[&url, "--if-exists", "update"]), "f", &content("f", SIZE));
}

#[test]
fn verify_options_apply_to_a_file_that_exists_already_too() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    assert_eq!(place.run(&[&url]).status, 0);
    for demand in ["require", "listed"] {
        let out = place.run(&[&url, "--verify", demand]);
        assert_eq!(out.status, 3, "{demand}: {}", out.stderr);
        assert!(!out.stderr.contains("already exists"), "{demand}: {}", out.stderr);
    }
    assert_eq!(place.file("f"), Some(content("f", SIZE)), "the file is not changed");
    // A digest that the server states is enough.
    let url = server.url(&format!("checksum/{SIZE}/g"));
    for _ in 0..2 {
        let out = place.run(&[&url, "--verify", "require"]);
        place.assert_exact(&out, "g", &content("g", SIZE));
    }
    damage(&place, "g");
    assert_ne!(place.run(&[&url, "--verify", "require"]).status, 0);
}

#[test]
fn a_file_of_the_user_under_the_name_of_a_partial_file_is_never_changed() {
    let server = Server::start();
    for name in ["f.part", "f.part.journal"] {
        for options in [&[][..], &["-c"], &["--no-resume"], &["--if-exists", "overwrite"]] {
            let place = Place::new();
            place.write(name, b"my own notes");
            let large = 2_000_000;
            let url = server.url(&format!("well_behaved/{large}/f"));
            let out = place.run(&[&[&*url], options].concat());
            assert_eq!(out.status, 0, "{name} {options:?}: {}", out.stderr);
            assert!(place.file("f") == Some(content("f", large)), "{name} {options:?}");
            assert_eq!(place.file(name).as_deref(), Some(&b"my own notes"[..]), "{name} {options:?}");
            let mut files = place.files();
            files.sort();
            assert_eq!(files, ["f", name], "nothing else is left");
        }
    }
}

#[test]
fn a_finished_file_is_not_used_as_the_partial_file_of_another_url() {
    let server = Server::start();
    let place = Place::new();
    for name in ["f.part", "f"] {
        let out = place.run(&[&server.url(&format!("well_behaved/{SIZE}/{name}"))]);
        assert_eq!((out.status, place.file(name)), (0, Some(content(name, SIZE))), "{}", out.stderr);
    }
    assert_eq!(place.file("f.part"), Some(content("f.part", SIZE)));
}

/// The size of a file that is large enough for a journal.
const LARGE: u64 = 6_000_000;

/// Runs the program until its partial file has bytes, and ends it with Ctrl-C.
fn stop(place: &Place, args: &[&str], part: &str) {
    let child = place.start(args);
    place.wait_for_bytes(part, 1_500_000);
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signals");
    assert_eq!(crate::common::finish(child).status, 130);
}

#[test]
fn two_files_are_never_mixed_if_a_redirect_later_leads_to_another_file() {
    let server = Server::start();
    let place = Place::new();
    // Both files have the same size, date and entity tag.
    let (one, two) = (format!("capped/{LARGE}/one?rate=4000000"), format!("capped/{LARGE}/two?rate=4000000"));
    let to = |target: &str| format!("redirect/0/latest?to={}", server.url(target).replace('?', "%3F"));
    let latest = "redirect/0/latest.bin";
    server.becomes(latest, &to(&one));
    stop(&place, &[&server.url(latest), "-x1", "-o", "latest.bin"], "latest.bin.part");
    server.becomes(latest, &to(&two));
    // The partial file is resumed from the URL that it came from, as long as that URL exists.
    let out = place.run(&[&server.url(latest), "-o", "latest.bin"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(place.file("latest.bin") == Some(content("one", LARGE)), "one file: {}", out.stderr);
    // If that URL has no file any more, or never works, the other file is downloaded.
    for gone in ["status/0/one?status=404", "status/0/one?status=502"] {
        std::fs::remove_file(place.path().join("latest.bin")).expect("removes");
        server.becomes(latest, &to(&one));
        server.becomes(&one, &one);
        stop(&place, &[&server.url(latest), "-x1", "-o", "latest.bin"], "latest.bin.part");
        server.becomes(latest, &to(&two));
        server.becomes(&one, gone);
        let out = place.run(&[&server.url(latest), "-o", "latest.bin"]);
        assert_eq!(out.status, 0, "{gone}: {}", out.stderr);
        assert!(place.file("latest.bin") == Some(content("two", LARGE)), "{gone}: {}", out.stderr);
    }
}

#[test]
fn a_file_with_the_digest_that_the_server_states_is_up_to_date_whatever_its_date_is() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("checksum/1000/f");
    place.write("f", content("f", 1000));
    let out = place.run(&[&url, "--if-exists", "update"]);
    assert!(out.status == 0 && out.stderr.contains("is up to date"), "{}", out.stderr);
    place.write("f", vec![0; 1000]);
    place.assert_exact(&place.run(&[&url, "--if-exists", "update"]), "f", &content("f", 1000));
}

#[test]
fn verify_require_needs_a_strong_digest_of_a_file_that_is_left_out_or_repaired_or_up_to_date() {
    let (server, place) = (Server::start(), Place::new());
    let right = content("f", 1000);
    let (plain, stated) = (server.put("/f", right.clone()), server.url("checksum/1000/f"));
    let skip = |url: &str| place.run(&[url, "--verify", "require", "--if-exists", "skip"]);
    place.write("f", &right);
    let out = skip(&plain);
    assert!(out.status == 3 && place.log().contains("[digest.missing]"), "{}", out.stderr);
    assert_eq!(skip(&stated).status, 0, "the server states a SHA-256");
    place.write("f", vec![0; 1000]);
    assert_eq!(skip(&stated).status, 3);
    // An MD5 alone is not enough.
    let url = server.put("/g", "hello\n");
    place.write("g", "hello\n");
    place.write("list.jsonl", format!(r#"{{"url":"{url}","md5":"b1946ac92492d2347c6235b4d2611184"}}"#));
    assert_eq!(place.run(&["repair", "list.jsonl"]).status, 0);
    assert_eq!(place.run(&["repair", "list.jsonl", "--verify", "require"]).status, 3);
    let update = |more: &[&str]| place.run(&[&["-i", "list.jsonl", "--if-exists", "update"], more].concat());
    let out = update(&[]);
    assert!(out.status == 0 && out.stderr.contains("is up to date"), "{}", out.stderr);
    let before = std::fs::metadata(place.path().join("g")).expect("it is there").ino();
    let out = update(&["--verify", "require"]);
    let says = "is not strong enough for --verify require";
    assert!(out.status == 3 && out.stderr.contains(says), "{}", out.stderr);
    let after = std::fs::metadata(place.path().join("g")).expect("it is there").ino();
    assert_eq!(after, before, "the file is not replaced");
}

#[test]
fn a_file_that_the_checksum_list_does_not_name_gets_a_warning_although_it_exists() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.put("/f", content("f", 1000));
    place.write("SUMS", format!("{}  other\n", "0".repeat(64)));
    place.write("f", content("f", 1000));
    for if_exists in ["skip", "check"] {
        let out = place.run(&[&url, "--checksum-file", "SUMS", "--if-exists", if_exists]);
        assert!(out.status == 0 && out.stderr.contains("(warning: SUMS"), "{if_exists}: {}", out.stderr);
    }
}

#[test]
fn the_digest_of_an_empty_response_to_head_is_not_compared_with_the_file() {
    let (server, place) = (Server::start(), Place::new());
    let empty = "sha-256=:47DEQpj8HBSa%2B/TImW%2B5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let url = server.url(&format!("headers/1000/f?Content-Digest={empty}"));
    place.write("f", content("f", 1000));
    let out = place.run(&[&url]);
    assert!(out.status == 0 && out.stderr.contains("already exists"), "{}", out.stderr);
}

#[test]
fn a_much_smaller_response_does_not_replace_the_partial_file_of_an_earlier_run() {
    for (small, has_length) in
        [("no_validator/17/small", true), ("no_validator/0/small", true), ("no_length/17/small", false)]
    {
        let server = Server::start();
        let place = Place::new();
        let target = format!("capped/{LARGE}/f?rate=4000000");
        stop(&place, &[&server.url(&target), "-x1"], "f.part");
        let before = place.file("f.part");
        server.becomes(&target, small);
        let out = place.run(&[&server.url(&target), "--retries", "1"]);
        assert_ne!(out.status, 0, "{small}: {}", out.stderr);
        assert_eq!(place.file("f"), None, "{small}");
        // Without a length, the run knows only at the end of the response how small the file is.
        if has_length {
            assert!(before.is_some() && place.file("f.part") == before, "{small}: {:?}", place.files());
        }
    }
}

#[test]
fn a_partial_file_that_ends_in_empty_space_is_compared_where_it_has_content() {
    let server = Server::start();
    let image = |fill: u8| {
        let mut image = vec![0; 1_000_000];
        image[..400_000].fill(fill);
        image
    };
    let url = server.put("/disk.img", image(7));
    let place = Place::new();
    place.write("disk.img", &image(8)[..800_000]);
    let out = place.run(&["-c", &url]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(place.file("disk.img"), Some(image(8)[..800_000].to_vec()), "the file is not changed");
    place.write("disk.img", &image(7)[..800_000]);
    place.assert_exact(&place.run(&["-c", &url]), "disk.img", &image(7));
}

#[test]
fn without_a_record_a_file_is_never_accepted_for_another_url_with_the_same_name() {
    let server = Server::start();
    let place = Place::new();
    let named = |n: u64| format!("named/{SIZE}/get{n}?disposition=attachment;filename=data.csv");
    let urls = [1, 2].map(|n| server.url(&named(n)));
    let run = || place.run(&[&urls[0], &urls[1], "--no-xattr", "-j", "1", "--retries", "0"]);
    server.becomes(&named(1), "status/0/x?status=404");
    assert_eq!(run().status, 1);
    assert_eq!(place.file("data.csv"), Some(content("get2", SIZE)));
    server.becomes(&named(1), &named(1));
    let out = run();
    let both = [1, 2].iter().all(|n| {
        let right = Some(content(&format!("get{n}"), SIZE));
        place.files().iter().any(|name| place.file(name) == right)
    });
    assert!(both || out.status != 0, "a file is missing: {:?}, {}", place.files(), out.stderr);
}

#[test]
fn another_accept_header_asks_the_server_again() {
    let server = Server::start();
    let place = Place::new();
    let url = server.put("/doi", b"{\"a\": 1}".to_vec());
    let json = place.run(&[&url, "-H", "Accept: application/json"]);
    place.assert_exact(&json, "doi", b"{\"a\": 1}");
    let same = place.run(&[&url, "-H", "Accept: application/json"]);
    assert!(same.status == 0 && same.stderr.contains("as downloaded on"), "{}", same.stderr);
    server.put("/doi", b"a\n1\n".to_vec());
    let csv = place.run(&[&url, "-H", "Accept: text/csv"]);
    assert!(csv.status == 1 && csv.stderr.contains("already exists"), "{}", csv.stderr);
    assert!(!csv.stderr.contains("as downloaded on"), "{}", csv.stderr);
}

#[test]
fn another_accept_header_of_a_host_rule_or_for_a_redirect_asks_the_server_again() {
    let server = Server::start();
    let host = format!("127.0.0.1:{}", server.port());
    let sections = |place: &Place, name: &str, accept: &str| {
        place.write(name, format!("[host.\"http://{host}\"]\nheader = ['Accept: {accept}']\n"));
    };
    let place = Place::new();
    sections(&place, "json.toml", "application/json");
    sections(&place, "csv.toml", "text/csv");
    let (json, csv) = ("Accept: application/json", "Accept: text/csv");
    for (name, first, then) in [
        ("a", ["--config", "json.toml", "-4"], ["--config", "csv.toml", "-4"]),
        ("b", ["--header-for", &host, json], ["--header-for", &host, csv]),
    ] {
        let url = server.put(&format!("/{name}"), b"{\"a\": 1}".to_vec());
        let run = |args: [&str; 3]| place.run(&[&[url.as_str()], &args[..]].concat());
        place.assert_exact(&run(first), name, b"{\"a\": 1}");
        let same = run(first);
        assert!(same.status == 0 && same.stderr.contains("as downloaded on"), "{}", same.stderr);
        server.put(&format!("/{name}"), b"a\n1\n".to_vec());
        let other = run(then);
        assert!(other.status == 1 && other.stderr.contains("already exists"), "{name}: {}", other.stderr);
    }
}

#[test]
fn bytes_of_two_accept_headers_of_a_host_rule_are_never_joined() {
    let server = Server::start();
    let place = Place::new();
    let target = format!("capped/{LARGE}/f?rate=4000000");
    let rule = |accept: &str| {
        let port = server.port();
        place.write("c.toml", format!("[host.\"http://127.0.0.1:{port}\"]\nheader = ['Accept: {accept}']\n"));
    };
    rule("application/json");
    stop(&place, &[&server.url(&target), "-x1", "--config", "c.toml"], "f.part");
    rule("text/csv");
    let before = server.requests().len();
    let out = place.run(&[&server.url(&target), "-x1", "--config", "c.toml"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(place.file("f").is_some_and(|file| file == content("f", LARGE)), "{}", out.stderr);
    let requests = server.requests().split_off(before);
    assert!(requests.iter().all(|one| one.header("range").is_none()), "the file starts again");
    assert!(place.file("f.part").is_some(), "the partial file of the other header stays");
}

#[test]
fn an_existing_file_without_the_required_size_or_chunks_does_not_count_as_complete() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let right = content("f", SIZE);
    place.write("bag/fetch.txt", format!("{url} {SIZE} data/f\n"));
    let half = usize::try_from(SIZE / 2).expect("a small number");
    let pieces: String = right.chunks(half).map(|chunk| format!("<hash>{}</hash>", sha256(chunk))).collect();
    let metalink = format!(
        "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"data/f\">\
         <pieces length=\"{half}\" type=\"sha-256\">{pieces}</pieces><url>{url}</url></file></metalink>"
    );
    place.write("f.meta4", metalink);
    let mut damaged = right.clone();
    damaged[7] ^= 1;
    for (list, wrong) in [("bag/fetch.txt", right[1..].to_vec()), ("f.meta4", damaged)] {
        for if_exists in ["check", "skip", "update", "check"] {
            let is_right = place.file("bag/data/f").as_deref() == Some(&right[..]);
            if !is_right {
                place.write("bag/data/f", &wrong);
            }
            let out = place.run(&["-i", list, "-d", "bag", "--if-exists", if_exists]);
            let expected = if is_right || if_exists == "update" { 0 } else { 3 };
            assert_eq!(out.status, expected, "{list} {if_exists}: {}", out.stderr);
        }
        assert_eq!(place.file("bag/data/f"), Some(right.clone()), "update replaces the wrong file");
        fs::remove_file(place.path().join("bag/data/f")).expect("removes");
    }
}

#[test]
fn a_file_of_another_url_with_the_name_from_the_server_is_replaced_or_refused_if_that_was_chosen() {
    let (server, place) = (Server::start(), Place::new());
    let url = |day: u64| server.url(&format!("named/{day}/export?disposition=attachment;filename=r.csv"));
    assert_eq!(place.run(&[&url(1000)]).status, 0);
    for (day, if_exists, status, size) in [
        (1001, "error", 1, 1000),
        (1002, "skip", 0, 1000),
        (1003, "overwrite", 0, 1003),
        (1004, "update", 0, 1004),
    ] {
        let out = place.run(&[&url(day), "--if-exists", if_exists]);
        assert_eq!(out.status, status, "{if_exists}: {}", out.stderr);
        let there = place.file("r.csv").map(|bytes| bytes.len());
        assert_eq!(there, Some(size), "{if_exists}: {}", out.stderr);
        assert_eq!(place.file("r (1).csv"), None, "{if_exists}");
    }
    assert_eq!(place.run(&[&url(1005)]).status, 0);
    assert_eq!(place.file("r (1).csv").map(|bytes| bytes.len()), Some(1005), "the new file gets a number");
}

#[test]
fn continue_does_not_download_a_complete_file_again() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let right = content("f", SIZE);
    // The file has a record.
    assert_eq!(place.run(&[&url]).status, 0);
    let before = server.requests().len();
    let out = place.run(&[&url, "-c"]);
    assert!(out.status == 0 && out.stderr.contains("as downloaded on"), "{}", out.stderr);
    assert_eq!(server.requests().len(), before, "no request is sent");
    // A file that downhaul finished is never continued with the bytes of another URL.
    let longer = server.url("well_behaved/9000/f");
    let out = place.run(&[&longer, "-c", "-o", "f"]);
    assert!(out.status == 1 && out.stderr.contains("another URL"), "{}", out.stderr);
    assert_eq!(place.file("f"), Some(right.clone()));
    // The file has no record.
    place.write("g", &right);
    let before = server.requests().len();
    let out = place.run(&[&url, "-c", "-o", "g"]);
    assert!(out.status == 0 && out.stderr.contains("already exists, same size"), "{}", out.stderr);
    let asked = server.requests().split_off(before);
    assert!(asked.iter().all(|request| request.method == "HEAD"), "only the facts are requested: {asked:?}");
    // A digest shows that the bytes differ.
    damage(&place, "g");
    let wrong = place.file("g");
    let digest = format!("sha256:{}", sha256(&right));
    let out = place.run(&[&url, "-c", "-o", "g", "--checksum", &digest]);
    assert!(out.status == 3 && out.stderr.contains("the existing file does not match"), "{}", out.stderr);
    assert_eq!(place.file("g"), wrong, "the file is not changed");
}

/// Runs downhaul for a file of 10 MB whose body never arrives. When the server gets the request, another
/// program saves a file named `f` in the folder of the run. So a run that waits for the body fails.
fn run_while_a_file_appears(place: &Place, args: &[&str]) -> Out {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/f", listener.local_addr().expect("an address"));
    let path = place.path().join("f");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        read_head(&mut stream).expect("a request");
        fs::write(path, OF_ANOTHER).expect("a file");
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\nETag: \"1\"\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("is sent");
        let _ = stream.read(&mut [0]);
    });
    let out = place.run(&[&[url.as_str(), "--timeout", "5", "--retries", "0"], args].concat());
    server.join().expect("the server ends");
    assert!(!out.stderr.contains("timeout"), "{args:?}: {}", out.stderr);
    assert_eq!(place.file("f").as_deref(), Some(OF_ANOTHER), "{args:?}");
    assert!(!place.files().iter().any(|name| name.ends_with(".part")), "{args:?}: {:?}", place.files());
    out
}

const OF_ANOTHER: &[u8] = b"of another program";

#[test]
fn a_file_that_appears_before_the_response_is_noticed_before_the_body_arrives() {
    for name in [&[][..], &["-o", "f"]] {
        for (if_exists, status) in [("skip", 0), ("error", 1), ("check", 1)] {
            let out = run_while_a_file_appears(&Place::new(), &[name, &["--if-exists", if_exists]].concat());
            assert_eq!(out.status, status, "{name:?}, {if_exists}: {}", out.stderr);
        }
    }
}

#[test]
fn a_file_that_appears_before_the_response_is_compared_with_a_checksum_list() {
    for name in [&[][..], &["-o", "f"]] {
        for (digest, status) in [(sha256(OF_ANOTHER), 0), (sha256(b"the wanted file"), 3)] {
            let place = Place::new();
            place.write("SHA256SUMS", format!("{digest}  f\n"));
            let args = [name, &["--if-exists", "skip", "--checksum-file", "SHA256SUMS"]].concat();
            let out = run_while_a_file_appears(&place, &args);
            assert_eq!(out.status, status, "{name:?}: {}", out.stderr);
        }
    }
}

#[test]
fn a_checksum_list_is_searched_for_the_name_that_the_server_gives_to_an_existing_file() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("named/{SIZE}/dl?disposition=attachment;filename=srv.iso"));
    let right = content("dl", SIZE);
    let mut damaged = right.clone();
    damaged[7] ^= 1;
    place.write("SHA256SUMS", format!("{}  srv.iso\n", sha256(&right)));
    place.write("dl", "of another program");
    for (existing, status) in [(&right, 0), (&damaged, 3)] {
        place.write("srv.iso", existing);
        let out = place.run(&[&url, "--checksum-file", "SHA256SUMS"]);
        assert_eq!(out.status, status, "{}", out.stderr);
        assert_eq!(place.file("srv.iso").as_ref(), Some(existing));
    }
}

#[test]
fn an_existing_file_of_the_size_of_the_response_to_a_post_is_not_accepted() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("named/{SIZE}/dl?disposition=attachment;filename=export.csv"));
    place.write("export.csv", content("yesterday", SIZE));
    let out = place.run(&[&url, "--data", "day=today"]);
    assert!(out.status == 1 && out.stderr.contains("only a file that a plain GET"), "{}", out.stderr);
    assert_eq!(place.file("export.csv"), Some(content("yesterday", SIZE)));
}

#[test]
fn continue_does_what_if_exists_says() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let half = content("f", SIZE)[..1000].to_vec();
    place.write("f", &half);
    for (if_exists, status) in [("skip", 0), ("error", 1)] {
        let out = place.run(&[&url, "-c", "--if-exists", if_exists]);
        assert_eq!((out.status, place.file("f").as_ref()), (status, Some(&half)), "{}", out.stderr);
    }
    assert!(server.requests().is_empty(), "no request is sent");
    // With each of these values, a file of another version is replaced, even if `-c` is given.
    let mut other = content("f", SIZE);
    other[7] ^= 1;
    for if_exists in ["update", "overwrite"] {
        for (what, old) in [("its end is equal", &other), ("it is a beginning", &half)] {
            place.write("f", old);
            let out = place.run(&[&url, "-c", "--if-exists", if_exists]);
            assert!(out.status == 0, "{if_exists}, {what}: {}", out.stderr);
            place.assert_exact(&out, "f", &content("f", SIZE));
        }
    }
}

#[cfg(unix)]
#[test]
fn continue_does_not_accept_a_file_of_the_final_size_that_lacks_bytes() {
    const SIZE: u64 = 300_000;
    let server = Server::start();
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let beginning = &content("f", SIZE)[..100_000];
    // Tools that fetch several ranges at once set the final size first. The file then has holes, or its end
    // has only zeros.
    for (has_holes, says) in [(true, "it has holes"), (false, "the two files differ at byte 100000")] {
        let place = Place::new();
        place.write("f", beginning);
        let file = fs::File::options().append(true).open(place.path().join("f")).expect("opens");
        match has_holes {
            true => file.set_len(SIZE).expect("sets the size"),
            false => std::io::Write::write_all(&mut &file, &vec![0; 200_000]).expect("writes"),
        }
        let left = place.file("f");
        let out = place.run(&[&url, "-c", "--archive", "all.db"]);
        assert!(out.status == 1 && out.stderr.contains(says), "{}", out.stderr);
        assert_eq!(place.file("f"), left, "the file is not changed");
        let out = place.run(&[&url, "-c", "--if-exists", "overwrite"]);
        place.assert_exact(&out, "f", &content("f", SIZE));
    }
    // A complete file may end with zeros, too.
    let zeros = vec![0; 300_000];
    let place = Place::new();
    place.write("zeros", &zeros);
    let out = place.run(&[&server.put("/zeros", zeros.clone()), "-c"]);
    place.assert_exact(&out, "zeros", &zeros);
}

#[test]
fn continue_keeps_a_file_with_the_given_digest_whatever_the_servers_file_is() {
    let (server, place) = (Server::start(), Place::new());
    let right = content("f", SIZE);
    let digest = format!("sha256:{}", sha256(&right));
    place.write("f", &right);
    for sin in ["well_behaved/9000/f", "well_behaved/1000/f", "no_length/9000/f"] {
        for if_exists in ["check", "overwrite"] {
            let url = server.url(sin);
            let out = place.run(&[&url, "-c", "--checksum", &digest, "--if-exists", if_exists]);
            assert_eq!(out.status, 0, "{sin} {if_exists}: {}", out.stderr);
            assert_eq!(place.file("f").as_ref(), Some(&right), "{sin} {if_exists}");
        }
    }
}

#[cfg(unix)]
#[test]
fn continue_replaces_a_file_that_cannot_be_continued_if_that_was_chosen() {
    const SIZE: u64 = 300_000;
    let server = Server::start();
    let url = server.url(&format!("well_behaved/{SIZE}/f"));
    let right = content("f", SIZE);
    for control in [None, Some("f.st"), Some("f.aria2")] {
        let place = Place::new();
        place.write("f", &right[..100_000]);
        match control {
            None => {
                let file = fs::File::options().append(true).open(place.path().join("f")).expect("opens");
                file.set_len(200_000).expect("sets the size");
            }
            Some(control) => drop(place.write(control, b"garbage")),
        }
        let out = place.run(&[&url, "-c"]);
        assert!(out.status == 1 && out.stderr.contains("cannot be continued"), "{control:?}: {}", out.stderr);
        let out = place.run(&[&url, "-c", "--if-exists", "overwrite"]);
        assert_eq!(out.status, 0, "{control:?}: {}", out.stderr);
        assert!(place.file("f") == Some(right.clone()), "{control:?}");
        assert_eq!(control.and_then(|name| place.file(name)), control.map(|_| b"garbage".to_vec()));
    }
    // A file of the same size is replaced as a whole. It is neither copied nor compared.
    let mut other = right.clone();
    other[7] ^= 1;
    for given in [&[][..], &["--checksum".to_string(), format!("sha256:{}", sha256(&right))]] {
        let place = Place::new();
        place.write("f", &other);
        let before = server.requests().len();
        let given: Vec<&str> = given.iter().map(|one| &**one).collect();
        let out = place.run(&[&[&url, "-c", "-x1", "--if-exists", "overwrite"], &given[..]].concat());
        place.assert_exact(&out, "f", &right);
        let requests = server.requests().split_off(before);
        let from = |range: &str| range.starts_with("bytes=0-");
        assert!(requests.iter().all(|one| one.header("range").is_none_or(from)), "{requests:?}");
        assert!(!out.stderr.contains("the unfinished file has"), "{}", out.stderr);
    }
}

#[test]
fn continue_removes_no_file_that_only_has_the_name_of_a_control_file() {
    let (server, place) = (Server::start(), Place::new());
    place.write("notes.aria2", b"my own notes");
    let urls = ["f.aria2", "f", "notes"].map(|name| server.url(&format!("well_behaved/{SIZE}/{name}")));
    // Without `-c`, `aria2c` also looks at control files.
    for command in [&["-c", "-j1"][..], &["-c", "-j1"], &["aria2c", "-j1"], &["aria2c", "-j1"]] {
        let urls = urls.each_ref().map(String::as_str);
        let out = match command.split_first() {
            Some((&"aria2c", options)) => place.run(&[&["aria2c", "-Z"], options, &urls].concat()),
            _ => place.run(&[&urls[..], command].concat()),
        };
        assert_eq!(out.status, 0, "{}", out.stderr);
        for name in ["f.aria2", "f", "notes"] {
            assert_eq!(place.file(name), Some(content(name, SIZE)), "{name}");
        }
        assert_eq!(place.file("notes.aria2").as_deref(), Some(&b"my own notes"[..]));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_repair_of_a_whole_file_is_resumed() {
    use crate::common::{finish, send};
    const LARGE: u64 = 4_000_000;
    let (server, place) = (Server::start(), Place::new());
    let url = server.url(&format!("capped/{LARGE}/file?rate=2000000"));
    let right = content("file", LARGE);
    place.write("list", format!("{url}#sha256={}\n", sha256(&right)));
    place.write("file", vec![0; 1000]);
    let first = place.start(&["repair", "list", "-x1"]);
    place.wait_for_bytes("file.part", 1_500_000);
    send(rustix::process::Signal::INT, &first);
    let out = finish(first);
    assert!(out.stderr.contains("Run the same command to resume"), "{}", out.stderr);
    let out = place.run(&["repair", "list", "-x1"]);
    place.assert_exact(&out, "file", &right);
    let requests = server.requests();
    let from = requests.last().and_then(|request| request.header("range").map(String::from));
    assert!(from.is_some_and(|from| from != "bytes=0-"), "the received bytes are not requested again");
}

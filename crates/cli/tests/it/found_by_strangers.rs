//! Tests of faults that were found by deliberate attempts to break the program. There is one test for each
//! kind of fault: secrets that are sent to other hosts or shown, given digests that are not used, and folders
//! or links with the name of a file.

use crate::common::{Out, Place, events};
use downhaul_testkit::server::Server;
use downhaul_testkit::{content, sha256};

const SIZE: u64 = 10_000;

/// A digest that no file of these tests has.
const WRONG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn file() -> Vec<u8> {
    content("file", SIZE)
}

fn url(server: &Server) -> String {
    server.url(&format!("well_behaved/{SIZE}/file"))
}

fn metalink(url: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\n<file name=\"f\">\
         <hash type=\"sha-256\">{}</hash><url>{url}</url></file>\n</metalink>\n",
        sha256(&file())
    )
}

/// Returns true if the last request for this path had the header that the user gave.
fn was_trusted(server: &Server, path: &str) -> bool {
    let request = server.requests_for(path).pop().expect("a request");
    request.header("authorization") == Some("Bearer S3CRET")
}

const HEADER: [&str; 2] = ["-H", "Authorization: Bearer S3CRET"];

#[test]
fn headers_do_not_go_to_hosts_that_only_a_document_names() {
    let (given, other) = (Server::start(), Server::start());
    let there = url(&other);
    let origin = format!("http://127.0.0.1:{}", other.port());
    for document in
        [format!("{there}\tf\n"), format!("{{\"url\":\"{there}\",\"out\":\"f\"}}\n"), metalink(&there)]
    {
        let list = given.put("/l/list", document);
        let place = Place::new();
        let out = place.run(&[&["-i", list.as_str()][..], &HEADER].concat());
        place.assert_exact(&out, "f", &file());
        assert!(was_trusted(&given, "/l/list"), "the user gave this URL");
        assert!(!was_trusted(&other, "/file"), "this one was not given");
        let note = format!("the headers of -H are not sent to {origin}");
        assert_eq!(out.stderr.matches(&note).count(), 1, "{}", out.stderr);
    }
    let place = Place::new();
    place.write("l.meta4", metalink(&there));
    let out = place.run(&[&["-i", "l.meta4"][..], &HEADER].concat());
    place.assert_exact(&out, "f", &file());
    assert!(!was_trusted(&other, "/file") && out.stderr.contains(&origin), "{}", out.stderr);

    // The search for lists beside such a file does not send the header either.
    let out = place
        .run(&[&["-i", "l.meta4", "--verify", "find", "--if-exists", "overwrite"][..], &HEADER].concat());
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn headers_go_to_every_host_that_the_user_names() {
    let (one, other) = (Server::start(), Server::start());
    // The header is sent to the origin of the document itself.
    let own = url(&one);
    for document in [format!("{own}\tf\n"), metalink(&own)] {
        let list = one.put("/l/list", document);
        let place = Place::new();
        let out = place.run(&[&["-i", list.as_str()][..], &HEADER].concat());
        place.assert_exact(&out, "f", &file());
        assert!(was_trusted(&one, "/file") && !out.stderr.contains("-H"), "{}", out.stderr);
    }
    // A list that the user gave may have lines or JSON lines, as a lock file has, or may be standard input.
    let there = url(&other);
    for text in [format!("{there}\tf\n"), format!("{{\"url\":\"{there}\",\"out\":\"f\"}}\n")] {
        let place = Place::new();
        place.write("list", &text);
        for input in ["list", "-"] {
            let args = [&["-i", input, "--if-exists", "overwrite"][..], &HEADER].concat();
            let out = place.run_with(&args, text.as_bytes());
            place.assert_exact(&out, "f", &file());
            assert!(was_trusted(&other, "/file") && !out.stderr.contains("-H"), "{}", out.stderr);
        }
    }
}

#[test]
fn a_checksum_list_of_another_host_gets_no_headers() {
    let (files, lists) = (Server::start(), Server::start());
    let sums = format!("{}  file\n", sha256(&file()));
    let (near, far) = (files.put("/d/SUMS", sums.clone()), lists.put("/d/SUMS", sums));
    for (list, server, trusted) in [(near, &files, true), (far, &lists, false)] {
        let place = Place::new();
        let url = url(&files);
        let out = place.run(&[&url, "-o", "f", "--checksum-file", &list, HEADER[0], HEADER[1]]);
        place.assert_exact(&out, "f", &file());
        assert_eq!(was_trusted(server, "/d/SUMS"), trusted);
        assert!(was_trusted(&files, "/file"));
        assert_eq!(out.stderr.contains("the headers of -H are not sent to"), !trusted, "{}", out.stderr);
    }
}

/// Downloads the file of one line of a list. `keys` are the keys besides the URL.
fn with_keys(server: &Server, keys: &str, more: &[&str]) -> (Place, Out) {
    let place = Place::new();
    place.write("list", format!("{{\"url\":\"{}\",\"out\":\"f\",{keys}}}\n", url(server)));
    let out = place.run(&[&["-i", "list", "--retries", "0"][..], more].concat());
    std::fs::remove_file(place.path().join("list")).expect("removes");
    (place, out)
}

#[test]
fn digests_in_json_lines_are_used_in_every_form() {
    let server = Server::start();
    let right = sha256(&file());
    for keys in [
        r#""digests":{"blake2b_256":"ab","sha256":"HEX"}"#,
        r#""hashes":{"sha256":"HEX"}"#,
        r#""hashes":{"sha256":["HEX"]}"#,
        r#""hashes":[{"algorithm":"sha256","value":"HEX"}]"#,
        r#""checksums":["sha256:HEX"]"#,
        r#""checksum":{"type":"sha256","digest":"HEX"}"#,
    ] {
        let (place, out) = with_keys(&server, &keys.replace("HEX", &right), &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains("sha-256 from the list"), "{}", out.stderr);
        let (place, out) = with_keys(&server, &keys.replace("HEX", WRONG), &[]);
        place.assert_failed(&out, 3, "the content does not match its digest");
    }
    for (keys, says) in [
        (
            r#""digests":{"blake2b_256":"ab"}"#,
            "the list has `digests.blake2b_256`, which downhaul cannot verify",
        ),
        (
            r#""sha":"0123456789012345678901234567890123456789""#,
            "the list has `sha`, which downhaul cannot verify",
        ),
    ] {
        let (place, out) = with_keys(&server, keys, &[]);
        place.assert_exact(&out, "f", &file());
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
}

#[test]
fn unchecked_digests_are_reported() {
    let server = Server::start();
    let says = "digests were given with the URLs, but --verify off means that no file is verified";
    let place = Place::new();
    let wrong = format!("{}#sha256={WRONG}", url(&server));
    let out = place.run(&[&wrong, "-o", "f", "--verify", "off"]);
    place.assert_exact(&out, "f", &file());
    assert_eq!(out.stderr.matches(says).count(), 1, "{}", out.stderr);

    let lines = format!("{wrong}\ta\n{wrong}\tb\n");
    place.write("list", &lines);
    for input in ["list", "-"] {
        let args = ["-i", input, "--verify", "off", "--if-exists", "overwrite"];
        let out = place.run_with(&args, lines.as_bytes());
        assert_eq!((out.status, out.stderr.matches(says).count()), (0, 1), "{}", out.stderr);
    }
    // Forty digits may be a commit.
    let place = Place::new();
    let out = place.run(&[&format!("{}#{}", url(&server), "ab".repeat(20)), "-o", "f"]);
    place.assert_exact(&out, "f", &file());
    assert!(out.stderr.contains("may be a commit and were not checked"), "{}", out.stderr);
}

#[test]
fn blanks_and_backslashes_in_a_checksum_list_do_not_let_a_wrong_file_pass() {
    let server = Server::start();
    let right = sha256(&file());
    for line in [
        "HEX  file ",
        "HEX  file\t",
        "HEX  file \r",
        "  HEX  file",
        "HEX *dist\\file",
        " SHA256 (file) = HEX ",
    ] {
        for (digest, status) in [(right.as_str(), 0), (WRONG, 3)] {
            let place = Place::new();
            place.write("d/SUMS", format!("{}\n", line.replace("HEX", digest)));
            let out = place.run(&[&url(&server), "--checksum-file", "d/SUMS", "--retries", "0"]);
            assert_eq!(out.status, status, "{line:?}: {}", out.stderr);
            assert_eq!(place.file("file").is_some(), status == 0, "{line:?}");
            if status == 0 {
                std::fs::create_dir(place.path().join("dist")).expect("a folder");
                place.write("dist/file", file());
                let verified = place.run(&["verify", "d/SUMS", "-d", "."]);
                assert_eq!(verified.status, 0, "{line:?}: {}", verified.stderr);
            }
        }
    }
}

#[test]
fn a_line_that_names_the_file_and_cannot_be_read_is_a_failure() {
    let server = Server::start();
    let other = format!("{WRONG}  another\n");
    for line in [
        format!("| file | {WRONG} |"),
        format!("{}  file", &WRONG[1..]),
        format!("SHA3-256 (file) = {WRONG}"),
    ] {
        let place = Place::new();
        place.write("d/SUMS", format!("{other}{line}\n"));
        let out = place.run(&[&url(&server), "--checksum-file", "d/SUMS", "--retries", "0"]);
        assert_eq!((out.status, place.file("file")), (3, None), "{line}: {}", out.stderr);
        assert!(
            out.stderr.contains("a line of SUMS seems to name the file, but cannot be read"),
            "{}",
            out.stderr
        );
        // Another known digest is enough.
        let digest = sha256(&file());
        let out = place.run(&[&url(&server), "--checksum-file", "d/SUMS", "--checksum", &digest]);
        assert_eq!(out.status, 0, "{line}: {}", out.stderr);
    }
}

#[test]
fn a_header_with_a_mistake_is_not_shown() {
    let place = Place::new();
    for bad in ["Authorization Bearer S3CRET", "Authorization: Bearer\nS3CRET", "Auth orization: S3CRET"] {
        let out = place.run(&["http://127.0.0.1:1/x", "-H", bad]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(!out.stderr.contains("S3CRET") && out.stderr.contains("--header"), "{}", out.stderr);
    }
}

#[test]
fn secrets_in_urls_are_never_shown_or_stored() {
    let server = Server::start();
    for secret in [
        "?authkey=S3CRET",
        "?rlkey=S3CRET",
        "?verify=S3CRET",
        "?__gda__=S3CRET",
        "?sign=S3CRET",
        "?se=S3CRET",
        "?st=S3CRET&e=S3CRET",
        "?k=S3CRET&tk=S3CRET",
        "?access=S3CRET",
        "?csrf=S3CRET",
        "?cf_clearance=S3CRET",
        "?hash=S3CRET",
        "?md5=S3CRET",
        ";token=S3CRET",
        ";sign=S3CRET?x=1",
    ] {
        let place = Place::new();
        // The job fails, and leaves a partial file and its journal.
        let url = server.url(&format!("truncated_body_always/2000000/file{secret}"));
        let args = [url.as_str(), "-o", "f", "--retries", "0", "-v", "--explain", "--record", "set.lock"];
        let shown = place.run(&args);
        let json = place.run(&[&args[..], &["--progress", "json"]].concat());
        assert_eq!((shown.status, json.status), (1, 1), "{}", shown.stderr);
        assert!(!events(&json).is_empty());
        let written = place.files().into_iter().filter(|name| !name.ends_with(".part"));
        let mut all: Vec<Vec<u8>> = written.filter_map(|name| place.file(&name)).collect();
        assert!(!all.is_empty(), "there is a journal: {:?}", place.files());
        all.extend([shown.stderr.into(), json.stdout, json.stderr.into(), place.log().into()]);
        for text in all {
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains("S3CRET"), "{secret}: {text}");
        }
    }
}

#[test]
#[cfg(unix)]
fn only_its_owner_can_read_a_journal() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&server.url("truncated_body_always/2000000/file"), "-o", "f", "--retries", "0"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    let meta = std::fs::metadata(place.path().join("f.part.journal")).expect("a journal");
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

#[test]
#[cfg(unix)]
fn a_broken_symbolic_link_counts_as_an_existing_file() {
    let server = Server::start();
    let url = url(&server);
    let url = url.as_str();
    let place = Place::new();
    std::os::unix::fs::symlink("nowhere", place.path().join("file")).expect("a link");
    for (if_exists, status, says) in [
        ("skip", 0, "already exists: it is a symbolic link that leads nowhere"),
        ("check", 1, "it is a symbolic link that leads nowhere"),
        ("update", 1, "it is a symbolic link that leads nowhere"),
        ("error", 1, "it is a symbolic link that leads nowhere"),
    ] {
        for more in [&[][..], &["-o", "file"]] {
            let out = place.run(&[&[url, "--if-exists", if_exists][..], more].concat());
            assert_eq!(out.status, status, "{if_exists}: {}", out.stderr);
            assert!(out.stderr.contains(says), "{if_exists}: {}", out.stderr);
        }
    }
    assert_eq!(server.requests().len(), 0, "nothing is fetched for that");
    assert_eq!(place.files(), ["file"]);

    let out = place.run(&[url, "--if-exists", "rename"]);
    place.assert_exact(&out, "file (1)", &file());

    let place = Place::new();
    std::os::unix::fs::symlink("nowhere", place.path().join("file")).expect("a link");
    let out = place.run(&[url, "--if-exists", "overwrite"]);
    place.assert_exact(&out, "file", &file());
    assert!(!place.path().join("nowhere").exists(), "the link was replaced");
}

#[test]
fn a_folder_with_the_name_of_the_file_is_an_error_if_the_user_gave_the_name() {
    let server = Server::start();
    let place = Place::new();
    std::fs::create_dir(place.path().join("file")).expect("a folder");
    let out = place.run(&[&url(&server), "--if-exists", "error"]);
    assert_ne!(out.status, 0, "{}", out.stderr);
    assert!(out.stderr.contains("a folder is where the file should be"), "{}", out.stderr);
    let named = format!("named/{SIZE}/x?disposition=attachment%3B%20filename%3Dfile");
    let out = place.run(&[&server.url(&named), "--if-exists", "error"]);
    assert_ne!(out.status, 0, "{}", out.stderr);
    assert_eq!(place.files(), Vec::<String>::new());
    // Without that option, the file gets another name.
    let out = place.run(&[&url(&server)]);
    place.assert_exact(&out, "file (1)", &file());
}

#[test]
fn filename_is_used_if_filename_star_is_not_utf_8() {
    let server = Server::start();
    let place = Place::new();
    let value = "attachment%3B%20filename%3Dok.bin%3B%20filename*%3DUTF-8''%25ff%25fe.bin";
    let out = place.run(&[&server.url(&format!("named/{SIZE}/file?disposition={value}"))]);
    place.assert_exact(&out, "ok.bin", &file());
}

#[test]
#[cfg(target_os = "linux")]
fn events_that_cannot_be_written_are_a_failure_of_the_run() {
    let server = Server::start();
    let place = Place::new();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut command = place.command(&[&url(&server), "-o", "f", "--progress", "json"]);
    let out = crate::common::finish(command.stdout(full).spawn().expect("the program starts"));
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("not all events could be written to standard output"), "{}", out.stderr);
    assert_eq!(place.file("f"), Some(file()), "the file is there all the same");

    let out = place.run(&[&url(&server), "-o", "g", "--log", "/dev/full"]);
    place.assert_exact(&out, "g", &file());
    assert!(out.stderr.contains("not all of the log /dev/full could be written"), "{}", out.stderr);
}

#[test]
fn digest_only_sends_no_password_to_a_server_that_wants_basic() {
    let server = Server::start();
    let of_digest = server.url("login/1000/f?as=SHA-256");
    let of_basic = server.url("login/1000/g?as=basic");
    let place = Place::new();
    let out = place.run(&[&of_digest, "--user", "me:hush", "--auth", "digest"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let in_url = of_basic.replace("://", "://me:hush@");
    for args in [
        vec![of_basic.as_str(), "--user", "me:hush", "--auth", "digest"],
        vec![&in_url, "--auth", "digest"],
        vec![&format!("curl --digest -u me:hush {of_basic}")],
    ] {
        let before = server.requests().len();
        let out = Place::new().run(&args);
        assert!(out.status == 1 && out.stderr.contains("allows only Digest"), "{args:?}: {}", out.stderr);
        let new = &server.requests()[before..];
        assert!(!new.is_empty() && new.iter().all(|one| one.header("authorization").is_none()), "{args:?}");
    }
    let out = Place::new().run(&[&of_basic, "--user", "me:hush", "--digest"]);
    assert!(out.status == 2 && out.stderr.contains("use --auth digest"), "{}", out.stderr);
}

/// Some options have no value in wget, but have one in downhaul. The URL after such an option must not be
/// lost.
#[test]
fn a_url_is_not_taken_as_the_value_of_an_option() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f?x=1");
    for option in ["--no-proxy", "--insecure-host", "-b"] {
        let out = Place::new().run(&[option, &url, &url]);
        assert_eq!(out.status, 2, "{option}: {}", out.stderr);
    }
    assert!(server.requests().is_empty());
    for hosts in ["127.0.0.0/8,::1/128,.example.org", "*", ""] {
        let place = Place::new();
        let out = place.run(&[&url, "--no-proxy", hosts]);
        place.assert_exact(&out, "f", &content("f", 1000));
    }
}

#[test]
fn secrets_at_the_wrong_option_are_not_shown() {
    for args in [
        &["-x", "http://me:hush@h:1", "http://h/"][..],
        &["-j", "me:hush@h:1", "http://h/"],
        &["--header-for", "Authorization: hush", "h", "http://h/"],
    ] {
        let out = Place::new().run(args);
        assert!(out.status == 2 && !out.stderr.contains("hush"), "{args:?}: {}", out.stderr);
    }
}

/// Other tools also write netrc and cookie files, so these files may have lines that downhaul does not
/// accept.
#[test]
fn odd_lines_of_netrc_and_cookie_files_do_not_hide_the_others() {
    let server = Server::start();
    let url = server.url("login/1000/f?as=basic");
    for odd in [
        &b"machine other.host:8080 login a password b\n"[..],
        b"machine imap.host login a port 993 password b\n",
        b"machine https://git.host/x login a password b\n",
        b"machine other login a password \xe4\n",
        b"machine other login a unknown b\n",
    ] {
        let place = Place::new();
        place.write("home/.netrc", [odd, b"MACHINE 127.0.0.1 LOGIN me PASSWORD hush\n"].concat());
        let home = place.path().join("home");
        let out = crate::common::finish(place.command(&[&url]).env("HOME", home).spawn().expect("starts"));
        place.assert_exact(&out, "f", &content("f", 1000));
        let is_known = odd.windows(4).any(|text| text == b"port");
        assert_eq!(out.stderr.contains("line 1: "), !is_known, "{}", out.stderr);
    }
    let jar =
        [&b"other.test\tFALSE\t/\tFALSE\t0\tu\tv\xe4\n127.0.0.1\tFALSE\t/\tFALSE\t\ts\tv\n"[..], b"a b c\n"]
            .concat();
    let place = Place::new();
    place.write("jar", jar);
    let out = place.run(&[&server.url("well_behaved/1000/f"), "--cookies", "jar"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let sent = server.requests().pop().expect("a request").header("cookie").map(str::to_string);
    assert_eq!(sent.as_deref(), Some("s=v"));
    assert!(out.stderr.contains("--cookies jar: line 1: the line is not UTF-8"), "{}", out.stderr);
}

#[cfg(unix)]
#[test]
fn files_that_are_written_at_the_end_replace_no_link_and_no_pipe() {
    let server = Server::start();
    let url = url(&server);
    let place = Place::new();
    for (option, name) in [("--save-cookies", "jar"), ("--failed", "failed"), ("--record", "lock")] {
        let (link, target) = (place.path().join(name), place.path().join(format!("{name}.target")));
        std::fs::write(&target, "").expect("writes");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        let out = place.run(&[&url, option, name, "--if-exists", "overwrite"]);
        assert_eq!(out.status, 0, "{}", out.stderr);
        assert!(std::fs::symlink_metadata(&link).expect("it is there").is_symlink(), "{option}");
        let is_written = std::fs::metadata(&target).expect("it is there").len() > 0;
        assert_eq!(is_written, option != "--failed", "{option}");
    }
    // The program's standard output is a pipe.
    let out = Place::new().run(&[&url, "--save-cookies", "/dev/fd/1", "-q"]);
    assert!(out.status == 0 && out.stdout.starts_with(b"# Netscape"), "{}", out.stderr);
    let out = Place::new().run(&[&url, "--record", "/dev/fd/1", "-q"]);
    assert!(out.status != 0 && out.stderr.contains("not a regular file"), "{}", out.stderr);
}

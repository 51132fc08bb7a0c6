//! Tests of how arguments are understood, and of the command that a failed run suggests.

use crate::common::{Out, Place, finish};
use downhaul_testkit::server::Server;
use downhaul_testkit::server::tls::{Authority, Flaw};
use downhaul_testkit::{content, sha256};
use std::process::{Command, Stdio};

fn path_of(server: &Server, size: u64, name: &str) -> String {
    format!("127.0.0.1:{}/well_behaved/{size}/{name}", server.port())
}

/// Returns the command that the run suggests.
#[track_caller]
fn suggested(out: &Out) -> &str {
    let line = out.stderr.lines().find(|line| line.contains("To resume") || line.contains("To try again"));
    let line = line.unwrap_or_else(|| panic!("nothing is suggested:\n{}", out.stderr));
    &line[line.find("downhaul").unwrap_or_else(|| panic!("no command: {line}"))..]
}

/// Runs a command in a shell, in the folder of the run.
fn paste(place: &Place, command: &str) -> Out {
    let programs = Place::new();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_downhaul"), programs.path().join("downhaul"))
        .expect("links");
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(place.path())
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8");
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(shell.spawn().expect("a shell"))
}

#[test]
fn a_second_url_without_a_scheme_is_never_taken_for_a_name() {
    let server = Server::start();
    for second in ["www.example.com/f2", "data.io/x", "localhost/x", "10.0.0.1/x", "example.com:8080"] {
        let place = Place::new();
        let url = server.url("well_behaved/1000/f1");
        let asked = server.requests().len();
        let out = place.run(&[&url, second]);
        assert!(server.requests().len() == asked, "no request was sent");
        place.assert_failed(&out, 2, &format!("{second} can be a URL or a name"));
        assert!(out.stderr.contains(&format!("write https://{second}")), "{}", out.stderr);
        assert!(out.stderr.contains(&format!("write ./{second}")), "{}", out.stderr);
        // The two commands that the message suggests for a name work.
        let out = place.run(&[&url, &format!("./{second}")]);
        place.assert_exact(&out, second, &content("f1", 1000));
        let place = Place::new();
        let out = place.run(&[&url, "-o", second]);
        place.assert_exact(&out, second, &content("f1", 1000));
    }
    // Some words can only be names.
    for name in ["file.txt", "sub/file.txt", "v1.2/file"] {
        let place = Place::new();
        let out = place.run(&[&server.url("well_behaved/1000/f1"), name]);
        place.assert_exact(&out, name, &content("f1", 1000));
    }
}

#[test]
fn a_url_may_have_no_scheme() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&path_of(&server, 1000, "a")]);
    place.assert_exact(&out, "a", &content("a", 1000));
    let localhost = path_of(&server, 1000, "b").replace("127.0.0.1", "localhost");
    let out =
        place.run_with(&["-i", "-"], format!("{localhost}\n{} c d\n", path_of(&server, 9, "c")).as_bytes());
    place.assert_exact(&out, "b", &content("b", 1000));
    place.assert_exact(&out, "c d", &content("c", 9));
}

#[test]
fn if_https_was_assumed_and_fails_the_error_says_how_to_use_http() {
    let server = Server::start();
    // This is an address of this machine that does not look like a loopback address.
    let url = path_of(&server, 1000, "a").replace("127.0.0.1", "0.0.0.0");
    for by_a_list in [false, true] {
        let place = Place::new();
        let options = ["--retries", "0", "--log", "none"];
        let out = match by_a_list {
            false => place.run(&[&[url.as_str()], &options[..]].concat()),
            true => place.run_with(&[&["-i", "-"], &options[..]].concat(), url.as_bytes()),
        };
        place.assert_failed(&out, 1, "https was assumed");
        let http = format!("http://{url}");
        assert!(out.stderr.contains(&http), "{}", out.stderr);
        let out = place.run(&[&http]);
        place.assert_exact(&out, "a", &content("a", 1000));
    }
    // There is no such message if the URL itself begins with https.
    let place = Place::new();
    let out = place.run(&[&format!("https://{url}"), "--retries", "0"]);
    assert!(out.status == 1 && !out.stderr.contains("assumed"), "{}", out.stderr);
}

#[test]
fn a_file_with_urls_and_a_misspelt_command_get_a_hint() {
    let place = Place::new();
    place.write("list.txt", "http://127.0.0.1:1/x\n");
    for (word, says) in [
        ("list.txt", "list.txt is a file here. To download the URLs in it, use -i list.txt"),
        ("verfy", "did you mean the command downhaul verify?"),
        ("repare", "did you mean the command downhaul repair?"),
        ("something", "a URL begins with https://"),
        ("ann:hush@host/a", "a URL with a login before the host must begin with https://"),
    ] {
        let out = place.run(&[word]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
    assert_eq!(place.files(), ["list.txt"]);
}

#[test]
fn the_suggested_command_verifies_what_the_first_one_verified() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let (right, wrong) = (sha256(&content("f", 1000)), "ab".repeat(32));
    let given = format!("sha256:{wrong}");
    let jsonl = |digest: &str| format!("{{\"url\":\"{url}\",\"out\":\"it's f\",\"sha256\":\"{digest}\"}}\n");
    let sums = |digest: &str| format!("{digest}  f\n");
    for (args, list) in [
        (vec!["-i", "the list"], Some(("the list", jsonl(&wrong), jsonl(&right)))),
        (vec![&url, "--checksum-file", "SUMS"], Some(("SUMS", sums(&wrong), sums(&right)))),
        (vec![&url, "it's f", "--checksum-file", "SUMS"], Some(("SUMS", sums(&wrong), sums(&right)))),
        (vec![&url, "--verify", "require", "--checksum", &given], None),
    ] {
        let place = Place::new();
        if let Some((name, bad, _)) = &list {
            place.write(name, bad);
        }
        let more = ["--timeout", "7", "-x", "2", "--limit-rate", "9M", "--retries", "1", "-d", "a folder"];
        let out = place.run(&[&args[..], &more].concat());
        assert_eq!(out.status, 3, "{}", out.stderr);
        let command = suggested(&out).to_string();
        // The suggested command fails in the same way.
        let out = paste(&place, &command);
        assert_eq!(out.status, 3, "{command}: {}", out.stderr);
        assert_eq!(suggested(&out), command);
        assert_eq!(place.files(), list.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
        // When the list is corrected, the suggested command succeeds.
        let Some((name, _, good)) = list else { continue };
        place.write(name, good);
        let out = paste(&place, &command);
        let is_named = args.contains(&"it's f") || name == "the list";
        place.assert_exact(
            &out,
            if is_named { "a folder/it's f" } else { "a folder/f" },
            &content("f", 1000),
        );
    }
}

#[test]
fn the_suggested_command_resumes_partial_files() {
    let server = Server::start();
    let place = Place::new();
    let urls = [
        server.url("well_behaved/1000/a"),
        server.url("gone_after_half/3000000/b"),
        server.url("status/1/c?status=500"),
    ];
    let out = place.run(&[&urls[0], &urls[1], &urls[2], "--on-error", "skip", "-d", "out"]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(out.stderr.matches("To resume").count(), 1, "once for all files: {}", out.stderr);
    assert_eq!(place.file("out/b"), None);
    let before = server.requests_for("/b").len();
    server.becomes("gone_after_half/3000000/b", "well_behaved/3000000/b");
    let out = paste(&place, suggested(&out));
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert_eq!(place.file("out/b").as_deref(), Some(&content("b", 3_000_000)[..]), "{}", out.stderr);
    let asked = &server.requests_for("/b")[before..];
    let is_rest = |range: &str| range.starts_with("bytes=") && !range.starts_with("bytes=0-");
    assert!(
        !asked.is_empty() && asked.iter().all(|one| one.header("range").is_some_and(is_rest)),
        "{asked:?}"
    );
}

#[test]
fn the_suggested_command_has_no_secrets_and_says_what_is_left_out() {
    let server = Server::start();
    let url = server.url("status/1/a?status=500");
    for (args, says) in [
        (
            vec![url.as_str(), "-H", "Authorization: Bearer hush"],
            "To try again, with your own value for Authorization:",
        ),
        (vec![&format!("{url}&token=hush")], "To try again, run the same command again."),
        (vec![&url.replace("://", "://me:hush@")], "To try again, run the same command again."),
    ] {
        let place = Place::new();
        let out = place.run(&[&args[..], &["--retries", "0"]].concat());
        place.assert_failed(&out, 1, says);
        assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    }
    let place = Place::new();
    let out = place.run_with(&["-i", "-", "--retries", "0"], url.as_bytes());
    place.assert_failed(&out, 1, "To try again, run the same command again.");
}

#[test]
fn insecure_has_precedence_over_cacert_and_the_run_says_so() {
    let (authority, other) = (Authority::default(), Authority::default());
    let server = Server::start_tls(authority.config(Flaw::None));
    let place = Place::new();
    place.write("other.pem", other.pem());
    let url = server.url("well_behaved/10/a");
    let args = [url.as_str(), "--cacert", "other.pem", "--retries", "0"];
    let out = place.run(&args);
    assert_eq!(out.status, 1, "another authority signed the certificate: {}", out.stderr);
    let out = place.run(&[&args[..], &["--insecure"]].concat());
    place.assert_exact(&out, "a", &content("a", 10));
    assert!(out.stderr.contains("--insecure trusts every certificate"), "{}", out.stderr);
}

#[test]
fn a_value_that_begins_with_a_dash_needs_an_equals_sign() {
    let (server, place) = (Server::start(), Place::new());
    let url = server.url("well_behaved/10/f");
    let out = place.run(&[&url, "-o", "-dash"]);
    assert!(out.status == 2 && out.stderr.contains("write --save-as=VALUE"), "{}", out.stderr);
    assert_eq!(place.run(&[&url, "--save-as=-dash"]).status, 0);
    assert_eq!(place.files(), ["-dash"]);
}

//! Options that are given several times, values that would have no effect, and values that may be secrets.

use crate::common::Place;
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

#[test]
fn bodies_that_are_given_in_parts_are_joined() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    for (args, body) in [
        (&["--data", "a=1", "--data", "b=2"][..], "a=1&b=2"),
        (&["--data", "a=1", "--data", "@part"], "a=1&c=3"),
        (&["--json", "{", "--json", "}"], "{}"),
    ] {
        let place = Place::new();
        place.write("part", "c=3");
        let out = place.run(&[&[url.as_str()], args].concat());
        place.assert_exact(&out, "f", &content("f", 1000));
        let request = server.requests().pop().expect("a request");
        assert_eq!(String::from_utf8_lossy(&request.body), body, "{args:?}");
    }
    // The body of the user replaces that of a pasted command.
    let place = Place::new();
    let out = place.run(&[&format!("curl {url} -d a=1 -d b=2"), "--data", "c=3"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(server.requests().pop().expect("a request").body, b"c=3");
}

#[test]
fn an_option_that_is_given_twice_is_refused_or_the_last_one_is_used() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let seen = server.requests().len();
    for args in [
        &["--range", "0-1", "--range", "2-3"][..],
        &["--cookies", "a", "--cookies", "b"],
        &[
            "--checksum",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "--checksum",
            &format!("sha256:{}", "0".repeat(64)),
        ],
        &["--checksum-file", "a", "--checksum-file", "b"],
        &["--signed-by", "a", "--signed-by", "b"],
    ] {
        let place = Place::new();
        let out = place.run(&[&[url.as_str()], args].concat());
        place.assert_failed(&out, 2, &format!("{} can be given only once", args[0]));
    }
    let place = Place::new();
    place.write("list", &url);
    let out = place.run(&["-i", "list", "--columns", "url=a", "--columns", "url=b"]);
    assert_eq!(out.status, 2, "{}", out.stderr);
    let says = "--columns can be given only once: write commas between the pairs";
    assert!(out.stderr.contains(says), "{}", out.stderr);
    assert_eq!(server.requests().len(), seen, "no request was sent");
    // A script that appends options relies on the last value of an option.
    let place = Place::new();
    let out = place.run(&[&url, "-A", "first", "-x", "2", "-A", "last", "-x", "1"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(server.requests().pop().expect("a request").header("user-agent"), Some("last"));
    assert!(!out.stderr.contains("several times"), "{}", out.stderr);
    let out = place.run(&[&url, "-o", "a", "-o", "b"]);
    place.assert_exact(&out, "b", &content("f", 1000));
    assert!(
        out.stderr.contains("--save-as is given several times, and only the last one is used"),
        "{}",
        out.stderr
    );
    // An option beside a pasted command replaces the option of the command, without a message about a
    // repeated option.
    let out = place.run(&[&format!("curl {url} -o c -r 0-1 -r 2-3"), "-o", "d", "--range", "4-5"]);
    place.assert_exact(&out, "d", &content("f", 1000)[4..6]);
    assert!(!out.stderr.contains("several times"), "{}", out.stderr);
}

#[test]
fn values_that_would_have_no_effect_are_refused() {
    let place = Place::new();
    for args in [
        &["--insecure-host", "*"][..],
        &["--insecure-host", "*.lan"],
        &["--insecure-host", "localhost:"],
        &["--insecure-host", "localhost:99999"],
        &["--header-for", "*", "X: 1"],
        &["--header-for", "localhost:", "X: 1"],
    ] {
        let out = place.run(&[&["http://127.0.0.1:1/f"], args].concat());
        place.assert_failed(&out, 2, "a host or HOST:PORT");
    }
    for (args, says) in [
        (&["--resolve", "-localhost:1", "http://127.0.0.1:1/f"][..], "HOST:PORT:ADDRESS"),
        (&["--glob", "http://127.0.0.1:1/[A-c]"], "a range must be like"),
        (&["--glob", "http://127.0.0.1:1/f#[1-3]"], "the part after # is not sent"),
        (&["--glob", "http://127.0.0.1:1/{../../x,.}", "-o", "q/#1"], "is a folder; use -d for the folder"),
        (&["http://127.0.0.1:1/f", "-o", "q/."], "is a folder; use -d for the folder"),
    ] {
        let out = place.run(args);
        place.assert_failed(&out, 2, says);
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_value_that_may_be_a_secret_is_not_shown_in_an_error() {
    let place = Place::new();
    for (args, says) in [
        (&["--cert", "me.pem:hush"][..], "--cert me.pem"),
        (&["--cookies", "session=hush"], "--cookie NAME=VALUE sends a cookie"),
        (&["--netrc", "machine h login me password hush"], "the netrc file ***"),
        (&["-u", "@dmin:hush"], "--user @***"),
        (&["-b", "@id=hush"], "--cookie @***"),
        (&["-H", "@Authorization: hush"], "-H @***"),
        (&["--data", "@token=hush"], "--data @***"),
        (&["--no-netrc=me:hush"], "unexpected value '***'"),
        (&["--on-complete", "curl -H 'X: hush' | x"], "***"),
        (&["--key", "-----BEGIN PRIVATE KEY-----\nhush", "--cert", "me.pem"], "there is no option ***"),
    ] {
        let out = place.run(&[&["https://127.0.0.1:1/f"], args].concat());
        assert_eq!(out.status, 2, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(says) && !out.stderr.contains("hush"), "{args:?}: {}", out.stderr);
    }
    // A part of a URL that is not secret is shown.
    let out = place.run(&["https://127.0.0.1:1/f", "--base", "ftp://me:hush@h/x?key=hush"]);
    assert!(
        out.status == 2 && out.stderr.contains("invalid value 'ftp://h/x' for '--base"),
        "{}",
        out.stderr
    );
    assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    let out = place.run(&["import", "curl -u me:hush h/f"]);
    assert!(out.status == 2 && !out.stderr.contains("hush"), "{}", out.stderr);
}

#[test]
fn only_the_first_word_of_a_command_is_shown() {
    let place = Place::new();
    place.write("c.toml", "on-complete = \"curl -H 'Authorization: hush'\"\non-error-run = \"true\"\n");
    let out = place.run(&["config", "--config", "c.toml"]);
    let shown = String::from_utf8_lossy(&out.stdout);
    assert!(!shown.contains("hush"), "{shown}");
    let row = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_string();
    assert!(row("on-complete ").contains("curl ...") && row("on-error-run ").contains("true "), "{shown}");
    let out = place.run(&["http://127.0.0.1:1/f", "--on-complete", "curl -H 'X: hush'", "--dry-run"]);
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        "downhaul http://127.0.0.1:1/f --on-complete 'curl ...'\n"
    );
}

#[test]
fn a_list_is_not_fetched_over_http_if_keys_are_pinned() {
    let server = Server::start();
    let place = Place::new();
    let pin = format!("sha256//{}=", "A".repeat(43));
    let list = server.put("/list", b"https://127.0.0.1:9/f\n".to_vec());
    for args in [&["-i", list.as_str()][..], &["https://127.0.0.1:9/f", "--checksum-file", &list]] {
        let out = place.run(&[args, &["--pinned-pubkey", &pin]].concat());
        place.assert_failed(&out, 2, "is an http URL");
        assert!(server.requests().is_empty(), "{args:?}");
    }
}

#[test]
fn a_list_of_urls_that_cannot_be_read_is_shown_without_passwords() {
    let place = Place::new();
    for urls in ["http://a/x,,http://u:hush@h/b", ",http://u:hush@h"] {
        let out = place.run(&["--dry-run", urls]);
        let all = format!("{}{}", String::from_utf8_lossy(&out.stdout), out.stderr);
        assert!(!all.contains("hush"), "{all}");
    }
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

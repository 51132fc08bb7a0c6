//! `--user`, `--bearer` and logins in URLs, with servers that require Basic, Digest or Bearer.

#[cfg(unix)]
use crate::common::terminal::Terminal;
use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::{Request, Server};

const USER: [&str; 2] = ["--user", "me:hush"];

fn authorization(request: &Request) -> &str {
    request.header("authorization").unwrap_or_default()
}

fn without_login(server: &Server) -> usize {
    server.requests().iter().filter(|request| authorization(request).is_empty()).count()
}

/// Returns the URL with this userinfo.
fn with_userinfo(url: &str, userinfo: &str) -> String {
    url.replace("://", &format!("://{userinfo}@"))
}

/// Asserts that the output and the log contain no secret.
#[track_caller]
fn assert_hidden(place: &Place, out: &Out, secret: &str) {
    let shown = format!("{}{}{}", out.stderr, String::from_utf8_lossy(&out.stdout), place.log());
    assert!(!shown.contains(secret), "{shown}");
}

/// Returns a list of files behind the same login, in two folders, with the query of the login.
fn list_of(server: &Server, files: usize, query: &str) -> String {
    let one = |n: usize| {
        let folder = if n.is_multiple_of(2) { "a" } else { "b" };
        format!("{}\tf{n}\n", server.url(&format!("login/{}/{folder}/f{n}?{query}", 1000 + n)))
    };
    (0..files).map(one).collect()
}

#[test]
fn every_scheme_is_answered_at_once_and_a_list_costs_one_challenge() {
    // With Basic, the server does not name a protection space, so a second folder costs one more challenge.
    for (query, most) in [
        ("as=basic", 2),
        ("as=MD5", 1),
        ("as=MD5&qop=none", 1),
        ("as=MD5-sess", 1),
        ("as=MD5&qop=auth-int", 1),
        ("as=SHA-256", 1),
        ("as=SHA-256-sess&qop=auth,auth-int", 1),
        ("as=SHA-512-256&userhash=1", 1),
        ("as=SHA-512-256-sess", 1),
        ("as=ntlm,basic,MD5,SHA-256,bearer", 1),
        ("as=ntlm,basic,MD5,SHA-256,bearer&one=1", 1),
        ("as=SHA-256&domain=/login", 1),
        ("as=SHA-256&next=1", 1),
        ("as=MD5&realm=", 1),
    ] {
        let server = Server::start();
        let place = Place::new();
        place.write("list", list_of(&server, 10, query));
        let out = place.run(&["-i", "list", "-j1", "--retries", "0", USER[0], USER[1]]);
        assert_eq!(out.status, 0, "{query}: {}", out.stderr);
        for n in 0..10 {
            let name = format!("{}/f{n}", if n % 2 == 0 { "a" } else { "b" });
            assert_eq!(place.file(&format!("f{n}")), Some(content(&name, 1000 + n)), "{query}");
        }
        assert!(without_login(&server) <= most, "{query}: {} challenges", without_login(&server));
        assert!(server.requests().len() <= 10 + most, "{query}: {}", server.requests().len());
        assert_hidden(&place, &out, "hush");
    }
}

#[test]
fn the_strongest_scheme_is_chosen_whatever_its_place() {
    for query in ["as=basic,MD5,SHA-256", "as=SHA-256,MD5,basic", "as=MD5,SHA-256,basic&one=1"] {
        let server = Server::start();
        let place = Place::new();
        let url = server.url(&format!("login/1000/f?{query}"));
        let out = place.run(&[&url, USER[0], USER[1]]);
        place.assert_exact(&out, "f", &content("f", 1000));
        let sent = server.requests();
        assert!(authorization(&sent[1]).contains("algorithm=SHA-256"), "{}", authorization(&sent[1]));
        assert!(sent.iter().all(|request| !authorization(request).starts_with("Basic")));
    }
}

#[test]
fn parallel_first_requests_cost_one_challenge_each_at_most() {
    let server = Server::start();
    let place = Place::new();
    place.write("list", list_of(&server, 40, "as=SHA-256"));
    let out = place.run(&["-i", "list", "-j4", "--retries", "0", USER[0], USER[1]]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert!(without_login(&server) <= 4, "{}", without_login(&server));
    assert!(server.requests().len() <= 44, "no count of a nonce was used twice: {}", server.requests().len());
}

#[test]
fn nonces_that_are_too_old_cost_one_request_and_no_retry() {
    for query in ["as=SHA-256&uses=1", "as=MD5&uses=3"] {
        let server = Server::start();
        let place = Place::new();
        place.write("list", list_of(&server, 6, query));
        let out = place.run(&["-i", "list", "-j1", "--retries", "0", USER[0], USER[1]]);
        assert_eq!(out.status, 0, "{query}: {}", out.stderr);
        assert!(server.requests().len() <= 12, "{query}: {}", server.requests().len());
    }
}

#[test]
fn all_connections_of_a_large_file_use_the_same_login() {
    const SIZE: u64 = 6_000_000;
    let server = Server::start();
    let place = Place::new();
    let url = server.url(&format!("login/{SIZE}/f?as=SHA-256"));
    let out = place.run(&[&url, "-x4", "--retries", "0", USER[0], USER[1]]);
    place.assert_exact(&out, "f", &content("f", SIZE));
    assert_eq!(without_login(&server), 1);
}

#[test]
fn basic_can_be_sent_at_once() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("login/1000/f?as=basic");
    let out = place.run(&[&url, "--auth", "basic", USER[0], USER[1]]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(server.requests().len(), 1);
    // A server that wants another scheme gets no answer to its challenge.
    let out = place.run(&[&server.url("login/1000/g?as=MD5"), "--auth", "basic", USER[0], USER[1]]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(server.requests().iter().all(|request| !authorization(request).starts_with("Digest")));
}

#[test]
fn a_login_of_the_url_answers_digest_too_and_wins_over_the_option() {
    let server = Server::start();
    let place = Place::new();
    let url = with_userinfo(&server.url("login/1000/f?as=SHA-256"), "me:hush");
    let out = place.run(&[&url, "--user", "other:wrong", "--retries", "0"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let seen: Vec<_> = server.requests().iter().map(|one| authorization(one)[..6].to_string()).collect();
    assert_eq!(seen, ["Basic ", "Digest"]);
}

#[test]
fn names_and_passwords_can_have_any_characters() {
    for (user, password) in
        [("m\u{fc}ller", "stra\u{df}e"), ("a\"b\\c", "p:w"), ("me", ""), ("a b", "c,d=\"e\"")]
    {
        for scheme in ["basic", "MD5", "SHA-256"] {
            let server = Server::start();
            let place = Place::new();
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("as", scheme)
                .append_pair("user", user)
                .append_pair("password", password)
                .finish();
            let url = server.url(&format!("login/1000/f?{query}"));
            let out = place.run(&[&url, "--user", &format!("{user}:{password}"), "--retries", "0"]);
            place.assert_exact(&out, "f", &content("f", 1000));
        }
    }
}

#[test]
fn a_realm_is_hashed_as_the_bytes_that_the_server_sent() {
    for (user, password) in [("me", "hush"), ("me", "stra\u{df}e")] {
        for scheme in ["MD5", "SHA-256", "MD5-sess"] {
            let server = Server::start();
            let place = Place::new();
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs([("as", scheme), ("user", user), ("password", password)])
                .extend_pairs([("realm", "M\u{fc}nchen"), ("latin1", "1")])
                .finish();
            let url = server.url(&format!("login/1000/f?{query}"));
            let out = place.run(&[&url, "--user", &format!("{user}:{password}"), "--retries", "0"]);
            place.assert_exact(&out, "f", &content("f", 1000));
        }
    }
}

#[test]
fn a_refused_login_is_reported_with_its_source() {
    for scheme in ["basic", "SHA-256"] {
        let server = Server::start();
        let url = server.url(&format!("login/1000/f?as={scheme}"));
        let place = Place::new();
        let out = place.run(&[&url, "--user", "me:wrong-1"]);
        place.assert_failed(&out, 1, "the server did not accept the user name and password from --user");
        assert!(place.log().contains("[http.unauthorized]"), "{}", place.log());
        assert_hidden(&place, &out, "wrong-1");
        assert_eq!(server.requests().len(), 2, "{scheme}: it is not tried again");
        let place = Place::new();
        let out = place.run(&[&with_userinfo(&url, "me:wrong-1")]);
        place.assert_failed(&out, 1, "the server did not accept the user name and password from the URL");
        assert_hidden(&place, &out, "wrong-1");
    }
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&server.url("login/1/f?as=ntlm"), USER[0], USER[1]]);
    place.assert_failed(&out, 1, "the server accepts only NTLM, for which this login cannot be used");
    let out = place.run(&[&server.url("status/1/x?status=401"), USER[0], USER[1]]);
    place.assert_failed(&out, 1, "the server does not say how to log in");
    let out = place.run(&[&server.url("login/1/f?as=bearer"), "--bearer", "wrong-1"]);
    place.assert_failed(&out, 1, "the server did not accept the token of --bearer");
    let out = place.run(&[&server.url("login/1/f?as=basic"), "-H", "Authorization: Basic wrong-1"]);
    place.assert_failed(&out, 1, "the server did not accept the Authorization header of -H");
    assert_hidden(&place, &out, "wrong-1");
}

#[test]
fn a_wrong_password_is_sent_three_times_at_most() {
    for (scheme, options) in [
        ("basic", &["-j1", "--user", "me:wrong"][..]),
        ("SHA-256", &["-j1", "--user", "me:wrong"]),
        ("basic", &["-j10", "--user", "me:wrong"]),
        ("SHA-256", &["-j10", "--user", "me:wrong"]),
        ("basic", &["-j10", "--user", "me:wrong", "--auth", "basic"]),
    ] {
        let server = Server::start();
        let place = Place::new();
        place.write("list", list_of(&server, 12, &format!("as={scheme}")));
        let out = place.run(&[&["-i", "list", "--on-error", "skip"], options].concat());
        assert_eq!(out.status, 1, "{}", out.stderr);
        let sent = server.requests().iter().filter(|one| !authorization(one).is_empty()).count();
        assert_eq!(sent, 3, "{scheme} {options:?}");
        let said = out.stderr.matches("did not accept the user name and password from --user").count();
        assert_eq!(said, 12, "{}", out.stderr);
    }
}

#[test]
fn bearer_tokens_are_sent_at_once_and_may_be_in_a_file() {
    let server = Server::start();
    let place = Place::new();
    place.write("token", "hush\r\n");
    for token in ["hush", "@token"] {
        let url = server.url("login/1000/f?as=bearer");
        let out = place.run(&[&url, "--bearer", token, "--if-exists", "overwrite"]);
        place.assert_exact(&out, "f", &content("f", 1000));
        assert_hidden(&place, &out, "hush");
    }
    assert_eq!(server.requests().len(), 2);
    assert!(server.requests().iter().all(|request| authorization(request) == "Bearer hush"));
}

#[test]
fn logins_go_to_the_origins_of_the_given_urls_only() {
    let (home, other) = (Server::start(), Server::start());
    for (option, secret) in [("--user", "me:hush"), ("--bearer", "hush")] {
        let place = Place::new();
        // A redirect to another origin, which requires a login.
        let to = other.url("login/1000/f?as=basic,MD5,bearer");
        let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let out = place.run(&[&home.url(&format!("redirect/1/x?to={to}")), option, secret]);
        place.assert_failed(&out, 1, "the server requires a login");
        // A URL that only a document names.
        let list = home.put("/l/list", format!("{}\tf\n", other.url("login/1000/f?as=basic,MD5,bearer")));
        let out = place.run(&["-i", &list, option, secret]);
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(out.stderr.contains(&format!("of {option} is not sent to")), "{}", out.stderr);
    }
    assert!(!other.requests().is_empty());
    assert!(other.requests().iter().all(|request| authorization(request).is_empty()));
}

#[cfg(unix)]
#[test]
fn a_file_with_a_login_to_which_others_have_rights_gets_a_warning() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let url = server.url("login/1000/f?as=basic");
    let place = Place::new();
    let path = place.write("login", "me:hush\n");
    for (mode, warns) in [(0o644, true), (0o602, true), (0o600, false)] {
        set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
        let out = place.run(&[&url, "-u", "@login", "--if-exists", "overwrite"]);
        place.assert_exact(&out, "f", &content("f", 1000));
        let says = "warning: other users have rights to the file login of --user: chmod 600";
        assert_eq!(out.stderr.contains(says), warns, "{}", out.stderr);
    }
}

#[test]
fn logins_in_files_are_read_and_their_mistakes_show_nothing() {
    let server = Server::start();
    let url = server.url("login/1000/f?as=basic");
    let place = Place::new();
    place.write("login", "me:hush\nmore\n");
    let out = place.run(&[&url, "-u", "@login"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    place.write("name", "hush\n");
    place.write("control", "me:hush\u{7}\n");
    place.write("empty", "");
    place.write("blank", "hush hush\n");
    place.write("bytes", b"me:hush\xff");
    let before = server.requests().len();
    for (args, says) in [
        (["-u", "@name"], "--user @name: the first line must be NAME:PASSWORD"),
        (["-u", "@control"], "--user @control: the first line must be NAME:PASSWORD"),
        (["-u", "@empty"], "--user @empty: the first line must be NAME:PASSWORD"),
        (["-u", "@bytes"], "--user @bytes: it is not UTF-8"),
        (["-u", "@none"], "--user @none: it cannot be read"),
        (["-u", "@"], "@ needs the name of a file"),
        (["-u", "me:hush\u{7}"], "it contains control characters"),
        (["-u", "me"], "--user me has no password, and there is no terminal"),
        (["--bearer", "@blank"], "--bearer @blank: the first line must be a token"),
        (["--bearer", "hush hush"], "it must be one word without blanks"),
    ] {
        let out = place.run(&[&url, args[0], args[1], "-o", "g"]);
        assert!(out.status == 2 && out.stderr.contains(says), "{args:?}: {}", out.stderr);
        assert_hidden(&place, &out, "hush");
    }
    assert_eq!(server.requests().len(), before);
}

#[test]
fn the_suggested_command_has_no_password() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("status/1/x?status=500");
    for (args, says) in [
        (["--user", "me:hush"], "-u me:..."),
        (["--bearer", "hush"], "--bearer ..."),
        (["--user", "@login"], "-u @login"),
    ] {
        place.write("login", "me:hush");
        let out = place.run(&[&[url.as_str()], &args[..], &["--retries", "0"]].concat());
        assert_eq!(out.status, 1, "{}", out.stderr);
        assert!(out.stderr.contains(says), "{args:?}: {}", out.stderr);
        assert_hidden(&place, &out, "hush");
    }
}

#[cfg(unix)]
#[test]
fn a_missing_password_is_asked_on_the_terminal_and_not_shown() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("login/1000/f?as=SHA-256&password=h%C3%BCsh");
    let mut terminal = Terminal::start(&place, 80, 24, &[&url, "--user", "me"]);
    terminal.wait_for_text("Password of me:");
    // A typing mistake is corrected.
    terminal.press("wrong\u{15}h\u{fc}\u{fc}\u{7f}sh\r");
    assert_eq!(terminal.end().0, 0, "{}", terminal.text());
    assert_eq!(place.file("f"), Some(content("f", 1000)));
    let raw = terminal.raw();
    assert!(!raw.contains("wrong") && !raw.contains("h\u{fc}sh"), "{raw}");
    // Ctrl-C ends the program.
    let mut terminal = Terminal::start(&place, 80, 24, &[&url, "--user", "me"]);
    terminal.wait_for_text("Password of me:");
    terminal.press("\u{3}");
    assert_eq!(terminal.end().0, 130);
}

#[test]
fn a_user_name_with_a_colon_is_an_error_and_not_a_request_without_a_login() {
    let server = Server::start();
    let place = Place::new();
    let url = server.url("well_behaved/10/f").replace("://", "://u%3Ap:hush@");
    for more in [&[][..], &["--auth", "basic"]] {
        let out = place.run(&[&[url.as_str()], more].concat());
        place.assert_failed(&out, 1, "the user name contains a colon, which Basic cannot send");
        assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    }
    assert!(server.requests().is_empty());
}

#[test]
fn only_the_parameters_of_a_signature_make_a_link_signed() {
    let server = Server::start();
    for (query, is_signed) in [
        ("code=1&k=2", false),
        ("to=http://u:p@host/", false),
        ("token=1", false),
        ("X-Amz-Date=1&X-Amz-Signature=2", true),
        ("expires=1&token=2", true),
    ] {
        let place = Place::new();
        let url = server.url(&format!("status/10/f?status=401&{query}"));
        let out = place.run(&[&url, "-vv"]);
        assert_eq!(out.stderr.contains("The link is signed"), is_signed, "{query}: {}", out.stderr);
        assert!(!out.stderr.contains("u:p@") && !place.log().contains("u:p@"), "{}", out.stderr);
    }
}

/// A later run cannot continue after bytes that were written to standard output or to a device.
#[test]
fn the_advice_about_an_expired_link_promises_a_resume_only_if_one_is_possible() {
    let server = Server::start();
    let url = server.url("status/10/f?status=403&X-Amz-Date=1&X-Amz-Signature=2");
    for (options, resumes) in [
        (&["-o", "f"][..], true),
        (&["-o", "-"], false),
        (&["-o", "/dev/null"], !cfg!(unix)),
        (&["--no-resume"], false),
        (&["--data", "a=1"], false),
    ] {
        let out = Place::new().run(&[&[url.as_str()], options].concat());
        assert!(out.stderr.contains("The link is signed"), "{}", out.stderr);
        assert_eq!(out.stderr.contains("download continues"), resumes, "{options:?}: {}", out.stderr);
    }
}

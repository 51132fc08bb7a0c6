//! Logins of netrc files: for which hosts they are used, and which messages report mistakes.

use crate::common::{Out, Place, finish};
use downhaul_testkit::content;
use downhaul_testkit::server::tls::{Authority, Flaw};
use downhaul_testkit::server::{Request, Server};
use std::fs;
use std::path::Path;

fn authorization(request: &Request) -> &str {
    request.header("authorization").unwrap_or_default()
}

/// Writes a netrc file that only its owner may read.
fn private(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("writes");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
}

/// Runs the program with this text in `~/.netrc`.
fn run(place: &Place, text: &str, args: &[&str]) -> Out {
    let home = place.state().join("home");
    private(&home.join(".netrc"), text);
    finish(place.command(args).env("HOME", home).spawn().expect("starts"))
}

fn redirect(from: &Server, to: &str) -> String {
    let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
    from.url(&format!("redirect/1/x?to={to}"))
}

const NETRC: &str = "machine 127.0.0.1 login me password hush\n";

#[test]
fn the_netrc_file_is_read_by_default_and_used_when_the_server_asks() {
    let server = Server::start();
    for scheme in ["basic", "SHA-256"] {
        let place = Place::new();
        let out = run(&place, NETRC, &[&server.url(&format!("login/1000/f?as={scheme}"))]);
        place.assert_exact(&out, "f", &content("f", 1000));
        assert!(!out.stderr.contains("warning") && !out.stderr.contains("hush"), "{}", out.stderr);
    }
    let place = Place::new();
    let out = run(&place, NETRC, &[&server.url("well_behaved/1000/f")]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(authorization(&server.requests().pop().expect("a request")), "");
    // Other ways to name the netrc file, and to leave it out.
    let url = server.url("login/1000/f?as=basic");
    let place = Place::new();
    let file = place.state().join("other netrc");
    private(&file, NETRC);
    let out = place.run(&[&url, "--netrc", file.to_str().expect("UTF-8")]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let place = Place::new();
    let out = finish(place.command(&[&url]).env("NETRC", &file).spawn().expect("starts"));
    place.assert_exact(&out, "f", &content("f", 1000));
    let place = Place::new();
    let out = run(&place, NETRC, &[&url, "--no-netrc"]);
    place.assert_failed(&out, 1, "the server requires a login");
}

#[test]
fn options_and_urls_win_over_the_netrc_file() {
    let server = Server::start();
    let wrong = "machine 127.0.0.1 login me password wrong\n";
    let url = server.url("login/1000/f?as=basic");
    let place = Place::new();
    let out = run(&place, wrong, &[&url, "--user", "me:hush"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let place = Place::new();
    let out = run(&place, wrong, &[&url.replace("://", "://me:hush@")]);
    place.assert_exact(&out, "f", &content("f", 1000));
    // A URL that names the user alone gets the password of that user.
    let two = format!("machine 127.0.0.1 login eve password x\n{NETRC}");
    let place = Place::new();
    let out = run(&place, &two, &[&url.replace("://", "://me@")]);
    place.assert_exact(&out, "f", &content("f", 1000));
    let place = Place::new();
    let out = run(&place, wrong, &[&url]);
    let says = "the server did not accept the user name and password from machine 127.0.0.1 in ";
    place.assert_failed(&out, 1, says);
    assert!(!out.stderr.contains("wrong"), "{}", out.stderr);
}

#[test]
fn a_redirect_leads_to_the_login_of_its_host_and_not_to_the_default() {
    let (home, other) = (Server::start(), Server::start());
    // Another name of the same machine is another host.
    let there = other.url("login/1000/f?as=basic,SHA-256").replace("127.0.0.1", "localhost");
    let place = Place::new();
    let out = run(&place, "machine localhost login me password hush\n", &[&redirect(&home, &there)]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert!(home.requests().iter().all(|request| authorization(request).is_empty()));
    let before = other.requests().len();
    let place = Place::new();
    let out = run(&place, "default login me password hush\n", &[&redirect(&home, &there)]);
    place.assert_failed(&out, 1, "the server requires a login");
    assert!(other.requests()[before..].iter().all(|request| authorization(request).is_empty()));
    let place = Place::new();
    let out = run(&place, "default login me password hush\n", &[&there]);
    place.assert_exact(&out, "f", &content("f", 1000));
}

#[test]
fn hosts_that_only_a_document_names_get_their_own_login_and_over_tls_only() {
    let authority = Authority::default();
    let (home, other) = (Server::start(), Server::start());
    let secure = Server::start_tls(authority.config(Flaw::None));
    let there = other.url("login/1000/f?as=basic").replace("127.0.0.1", "localhost");
    let list = home.put("/l/list", format!("{there}\tf\n"));
    let place = Place::new();
    let netrc = format!("machine localhost login me password hush\n{NETRC}default login me password hush\n");
    let out = run(&place, &netrc, &["-i", &list]);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(!other.requests().is_empty());
    assert!(other.requests().iter().all(|request| authorization(request).is_empty()));
    // A host that a document on the disk names gets its own login over TLS, and never the default login.
    let place = Place::new();
    place.write("ca.pem", authority.pem());
    let there = secure.url("login/1000/f?as=basic").replace("127.0.0.1", "localhost");
    let of = |url: &str| {
        format!(
            "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"f\"><url>{url}</url></file></metalink>"
        )
    };
    place.write("f.meta4", of(&there));
    let args = ["-i", "f.meta4", "--cacert", "ca.pem"];
    let out = run(&place, "machine localhost login me password hush\n", &args);
    assert_eq!((out.status, place.file("f")), (0, Some(content("f", 1000))), "{}", out.stderr);
    let before = secure.requests().len();
    let place = Place::new();
    place.write("ca.pem", authority.pem());
    place.write("f.meta4", of(&there));
    let out = run(&place, &format!("{NETRC}default login me password hush\n"), &args);
    assert_eq!(out.status, 1, "{}", out.stderr);
    assert!(secure.requests()[before..].iter().all(|request| authorization(request).is_empty()));
    assert!(out.stderr.contains("(machine localhost)"), "{}", out.stderr);
}

#[test]
fn a_redirect_out_of_https_leads_to_no_login() {
    let authority = Authority::default();
    let secure = Server::start_tls(authority.config(Flaw::None));
    let plain = Server::start();
    let place = Place::new();
    let authority_file = place.state().join("ca.pem");
    fs::write(&authority_file, authority.pem()).expect("writes");
    let there = plain.url("login/1000/f?as=basic").replace("127.0.0.1", "localhost");
    let args = [
        &redirect(&secure, &there),
        "--allow-downgrade",
        "--cacert",
        authority_file.to_str().expect("UTF-8"),
    ];
    let out = run(&place, "machine localhost login me password hush\n", &args);
    place.assert_failed(&out, 1, "the server requires a login");
    assert!(!plain.requests().is_empty());
    assert!(plain.requests().iter().all(|request| authorization(request).is_empty()));
}

#[test]
fn mistakes_in_a_netrc_file_name_the_line_and_show_nothing() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let bad = "machine h\nlogin me\nhush hush\n";
    let place = Place::new();
    let out = run(&place, bad, &[&url]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert!(
        out.stderr.contains("warning: the netrc file ") && out.stderr.contains(": line 3: "),
        "{}",
        out.stderr
    );
    assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    let file = place.state().join("bad");
    private(&file, bad);
    let file = file.to_str().expect("UTF-8");
    let out = place.run(&[&url, "--netrc", file, "-o", "g"]);
    assert!(out.status == 2 && out.stderr.contains(": line 3: "), "{}", out.stderr);
    assert!(!out.stderr.contains("hush"), "{}", out.stderr);
    let out = place.run(&[&url, "--netrc", "none", "-o", "g"]);
    assert!(out.status == 2 && out.stderr.contains("the netrc file none cannot be read"), "{}", out.stderr);
}

#[cfg(unix)]
#[test]
fn a_netrc_file_to_which_others_have_rights_is_one_warning() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let place = Place::new();
    let file = place.state().join("netrc");
    private(&file, NETRC);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let list = server.put("/l/list", format!("{}\tf\n", server.url("login/1000/f?as=basic")));
    let out = place.run(&["-i", &list, "--netrc", file.to_str().expect("UTF-8")]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(
        out.stderr.matches("warning: other users have rights to the netrc file").count(),
        1,
        "{}",
        out.stderr
    );
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
        let out = finish(place.command(&[&url]).env("HOME", home).spawn().expect("starts"));
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

//! Tests of cookies that servers set and cookies from files and options: which server gets which cookie.

use crate::common::{Out, Place};
use downhaul_testkit::content;
use downhaul_testkit::server::{Request, Server};
use std::fs;
use std::path::PathBuf;

fn cookie(request: &Request) -> &str {
    request.header("cookie").unwrap_or_default()
}

/// Returns the URL of a file whose response sets cookies.
fn setting(server: &Server, name: &str, cookies: &[&str]) -> String {
    let mut url = url::Url::parse(&server.url(&format!("headers/1000/{name}"))).expect("a URL");
    url.query_pairs_mut().extend_pairs(cookies.iter().map(|cookie| ("Set-Cookie", cookie)));
    url.into()
}

fn redirect(from: &Server, to: &str) -> String {
    let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
    from.url(&format!("redirect/1/x?to={to}"))
}

/// Writes a file that only its owner may read, outside of the folder of the run.
fn private(place: &Place, name: &str, text: &str) -> PathBuf {
    let path = place.state().join(name);
    fs::write(&path, text).expect("writes");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    path
}

#[track_caller]
fn assert_hidden(place: &Place, out: &Out, secret: &str) {
    let shown = format!("{}{}{}", out.stderr, String::from_utf8_lossy(&out.stdout), place.log());
    assert!(!shown.contains(secret), "{shown}");
}

#[test]
fn a_server_that_redirects_to_itself_until_its_cookie_comes_back_redirects_once() {
    let server = Server::start();
    let place = Place::new();
    let list: String =
        (0..5).map(|n| format!("{}\tf{n}\n", server.url(&format!("cookie_wall/1000/{n}")))).collect();
    place.write("list", list);
    let out = place.run(&["-i", "list", "-j1", "--retries", "0"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(server.requests().len(), 6, "one redirect for all five files");
    assert_hidden(&place, &out, "wall=1");
}

#[test]
fn cookies_of_servers_go_back_to_their_host_and_path() {
    let (one, other) = (Server::start(), Server::start());
    let place = Place::new();
    let set =
        ["a=1; Path=/", "b=2; Path=/headers", "c=3; Path=/else", "d=4; Secure", "e=5; Domain=example.com"];
    place.write(
        "list",
        format!(
            "{}\tf0\n{}\tf1\n{}\tf2\n{}\tf3\n",
            setting(&one, "f0", &set),
            setting(&one, "f1", &["a=; Max-Age=0; Path=/", "f=\u{7}"]),
            one.url("headers/1000/f2"),
            other.url("well_behaved/1000/f3").replace("127.0.0.1", "localhost"),
        ),
    );
    let out = place.run(&["-i", "list", "-j1"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let seen: Vec<String> = one.requests().iter().map(|request| cookie(request).to_string()).collect();
    assert_eq!(seen, ["", "b=2; a=1", "b=2"]);
    assert_eq!(cookie(&other.requests()[0]), "");
}

#[test]
fn given_cookies_go_to_the_origins_of_the_given_urls_only() {
    let (home, other) = (Server::start(), Server::start());
    let place = Place::new();
    let file = private(&place, "cookie line", "from=file; x=y\n");
    let file = format!("@{}", file.display());
    let url = redirect(&home, &redirect(&other, &home.url("well_behaved/1000/f")));
    let out = place.run(&[&url, "-b", "a=hush; b=2;", "-b", "c=\"3\"", "--cookie", &file]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert!(home.requests().iter().all(|one| cookie(one) == "a=hush; b=2; c=\"3\"; from=file; x=y"));
    assert!(other.requests().iter().all(|one| cookie(one).is_empty()));
    assert_hidden(&place, &out, "hush");
    // Here, only a document names the other host.
    let list = home.put("/l/list", format!("{}\tg\n", other.url("well_behaved/1000/g")));
    let out = place.run(&["-i", &list, "-b", "a=hush"]);
    place.assert_exact(&out, "g", &content("g", 1000));
    assert!(out.stderr.contains("the cookies of --cookie are not sent to"), "{}", out.stderr);
    assert!(other.requests().iter().all(|one| cookie(one).is_empty()));
    for bad in ["hush", "=hush", "a=b; hush", "a=hush\u{1}"] {
        let out = place.run(&[&url, "-b", bad]);
        assert_eq!(out.status, 2, "{}", out.stderr);
        assert_hidden(&place, &out, "hush");
    }
    let out = place.run(&[&home.url("status/1/x?status=500"), "-b", "a=hush", "--retries", "0"]);
    assert!(out.stderr.contains("-b ..."), "{}", out.stderr);
    assert_hidden(&place, &out, "hush");
}

#[test]
fn cookies_may_be_given_as_the_whole_header() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&[&server.url("well_behaved/9/f"), "-b", "cookie: a=1; b=2"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    assert_eq!(cookie(&server.requests()[0]), "a=1; b=2");
}

#[test]
fn all_cookies_of_a_request_are_one_header_and_those_of_the_person_win() {
    let server = Server::start();
    let place = Place::new();
    place.write(
        "list",
        format!("{}\tf0\n{}\tf1\n", setting(&server, "f0", &["a=server", "b=server"]), {
            server.url("headers/1000/f1")
        }),
    );
    let out = place.run(&["-i", "list", "-j1", "-H", "Cookie: a=header; h=1", "-b", "c=given"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let request = server.requests().pop().expect("a request");
    assert_eq!(cookie(&request), "a=header; h=1; c=given; b=server");
    assert_eq!(request.headers.iter().filter(|(name, _)| name == "cookie").count(), 1);
}

#[test]
fn cookie_files_are_read_and_written_for_the_next_run() {
    let (server, other) = (Server::start(), Server::start());
    let place = Place::new();
    let text = "# Netscape HTTP Cookie File\r\n#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t4000000000\tid\thush\r\n\
                localhost\tFALSE\t/\tFALSE\t0\tl\tother\r\n127.0.0.1\tFALSE\t/\tTRUE\t0\ts\tsecure\r\n\
                127.0.0.1\tFALSE\t/\tFALSE\t1000000000\told\told\r\n";
    let file = private(&place, "cookies.txt", text);
    let saved = place.path().join("saved.txt");
    let url = redirect(&server, &other.url("headers/1000/f?Set-Cookie=new%3Dfresh%3B+Max-Age%3D3600"));
    let out = place.run(&[&url, "--cookies", file.to_str().expect("UTF-8"), "--save-cookies", "saved.txt"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    // A cookie is for all ports of its host (RFC 6265, section 8.5), and it is also sent after a redirect to
    // the host.
    assert!(server.requests().iter().chain(&other.requests()).all(|one| cookie(one) == "id=hush"));
    assert_hidden(&place, &out, "hush");
    let written = fs::read_to_string(&saved).expect("a file");
    assert!(written.contains("#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t4000000000\tid\thush\n"), "{written}");
    assert!(written.contains("\tnew\tfresh\n") && written.contains("localhost") && !written.contains("old"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&saved).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(place.files(), ["f", "saved.txt"], "nothing else is left");
    // The next run sends these cookies, and replaces the file.
    let url = server.url("well_behaved/1000/g");
    let out = place.run(&[&url, "--cookies", "saved.txt", "--save-cookies", "saved.txt"]);
    place.assert_exact(&out, "g", &content("g", 1000));
    assert!(!out.stderr.contains("warning"), "{}", out.stderr);
    let last = server.requests().pop().expect("a request");
    assert!(cookie(&last).contains("id=hush") && !cookie(&last).contains("secure"), "{}", cookie(&last));
}

#[test]
fn a_cookie_whose_date_of_expiry_does_not_exist_is_kept_like_a_cookie_without_a_date() {
    let (server, place) = (Server::start(), Place::new());
    let set = ["a=1; Expires=Sat, 31 Feb 2099 07:28:00 GMT", "b=2; Expires=Sat, 28 Feb 2099 07:28:00 GMT"];
    let out = place.run(&[&setting(&server, "f", &set), "--save-cookies", "saved.txt"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    let saved = fs::read_to_string(place.path().join("saved.txt")).expect("a file");
    assert!(saved.contains("\t0\ta\t1\n") && saved.contains("\tb\t2\n"), "{saved}");
    assert!(!saved.contains("\t0\tb\t2\n"), "{saved}");
}

#[test]
fn cookie_files_that_cannot_be_used() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    let place = Place::new();
    let bad = private(&place, "bad.txt", "# x\nhush hush\n");
    let out = place.run(&[&url, "--cookies", bad.to_str().expect("UTF-8")]);
    assert!(
        out.status == 2 && out.stderr.contains(": line 2: a cookie must have seven fields"),
        "{}",
        out.stderr
    );
    assert_hidden(&place, &out, "hush");
    let out = place.run(&[&url, "--cookies", "none"]);
    assert!(out.status == 2 && out.stderr.contains("--cookies none: it cannot be read"), "{}", out.stderr);
    assert!(server.requests().is_empty());
    // A usage error leaves the file as it is.
    place.write("saved.txt", "old");
    for wrong in [&[url.as_str(), "--cacert", "nofile"][..], &["-i", "/dev/null"]] {
        let out = place.run(&[wrong, &["--save-cookies", "saved.txt"]].concat());
        assert_eq!(
            (out.status, place.file("saved.txt")),
            (2, Some(b"old".to_vec())),
            "{wrong:?}: {}",
            out.stderr
        );
    }
    // If the file of --cookies does not exist, and --save-cookies names the same file, the run begins without
    // cookies.
    let out = place.run(&[&url, "--cookies", "none", "--save-cookies", "none"]);
    place.assert_exact(&out, "f", &content("f", 1000));
    // The folder of the file does not exist.
    let out = place.run(&[&url, "-o", "g", "--save-cookies", "no/where"]);
    assert_eq!(out.status, 5, "{}", out.stderr);
    assert!(out.stderr.contains("--save-cookies no/where cannot be written"), "{}", out.stderr);
    assert_eq!(place.file("g"), None, "this is found before the download");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = private(&place, "open.txt", "");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("a mode");
        let out = place.run(&[&url, "-o", "h", "--cookies", open.to_str().expect("UTF-8")]);
        assert_eq!(out.stderr.matches("warning: other users have rights to the cookie file").count(), 1);
    }
}

#[test]
fn a_document_does_not_choose_where_the_cookies_of_a_file_go() {
    let (home, other) = (Server::start(), Server::start());
    let place = Place::new();
    let file = private(&place, "cookies.txt", "localhost\tFALSE\t/\tFALSE\t0\tid\thush\n");
    let there = other.url("well_behaved/1000/f").replace("127.0.0.1", "localhost");
    let list = home.put("/l/list", format!("{there}\tf\n"));
    let out = place.run(&["-i", &list, "--cookies", file.to_str().expect("UTF-8")]);
    place.assert_exact(&out, "f", &content("f", 1000));
    assert_eq!(cookie(&other.requests()[0]), "");
    let out = place.run(&[&redirect(&home, &there), "-o", "g", "--cookies", file.to_str().expect("UTF-8")]);
    place.assert_exact(&out, "g", &content("f", 1000));
    assert_eq!(cookie(&other.requests().pop().expect("a request")), "id=hush");
}

/// Three hosts, as the archives of NASA have them: one that names the files, one where people log in, and one
/// with the bytes behind signed links.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_files_behind_a_login_by_redirects_cost_one_login() {
    const FILES: usize = 1000;
    let [files, login, data] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(Server::start_with_address);
    let place = Place::new();
    let netrc = private(&place, "netrc", "machine 127.0.0.2 login me password hush\n");
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("login", login.url("").trim_end_matches('/'))
        .append_pair("data", data.url("").trim_end_matches('/'))
        .finish();
    let line = |n| format!("{}\tf{n}\n", files.url(&format!("granule/100/f{n}?{query}")));
    place.write("list", (0..FILES).map(line).collect::<String>());
    let netrc = netrc.to_str().expect("UTF-8");
    let out = place.run(&["-i", "list", "--retries", "0", "--netrc", netrc, "-q"]);
    assert_eq!(out.status, 0, "{}", out.stderr);
    for n in [0, 1, FILES - 1] {
        assert_eq!(place.file(&format!("f{n}")), Some(content(&format!("f{n}"), 100)));
    }
    assert_eq!(data.requests().len(), FILES);
    let beyond = files.requests().len() + login.requests().len();
    assert!(beyond <= FILES + 10, "{beyond} requests beyond the files");
    // Counts the requests in which a server received a secret.
    let seen = |server: &Server, name: &str, secret: &str| {
        server
            .requests()
            .iter()
            .filter(|one| one.header(name).is_some_and(|text| text.contains(secret)))
            .count()
    };
    let basic = "Basic bWU6aHVzaA==";
    assert_eq!(seen(&login, "authorization", basic), 1, "the login is sent once");
    assert_eq!(seen(&files, "authorization", "") + seen(&data, "authorization", ""), 0);
    assert_eq!(seen(&login, "cookie", "session=") + seen(&data, "cookie", ""), 0);
    assert_eq!(seen(&files, "cookie", "urs="), 0);
    assert_hidden(&place, &out, "hush");
    assert_hidden(&place, &out, "open-sesame");
}

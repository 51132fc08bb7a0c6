//! `--cookies-from-browser firefox`: the cookies of Firefox's database, which stays as it is.

use crate::common::{Place, finish};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rusqlite::Connection;
use std::fs;

/// Makes the table in which Firefox keeps its cookies.
const TABLE: &str =
    "CREATE TABLE moz_cookies (id INTEGER PRIMARY KEY, originAttributes TEXT NOT NULL DEFAULT '',
    name TEXT, value TEXT, host TEXT, path TEXT, expiry INTEGER, isSecure INTEGER, isHttpOnly INTEGER);";

#[test]
fn the_cookies_of_firefox_are_used_while_it_runs() {
    let server = Server::start();
    let place = Place::new();
    let home = place.state().join("home");
    let profile = home.join(".mozilla/firefox/Profiles/a.default");
    fs::create_dir_all(&profile).expect("a folder");
    let ini = "[Profile0]\nName=mine\nIsRelative=1\nPath=Profiles/a.default\nDefault=1\n";
    fs::write(home.join(".mozilla/firefox/profiles.ini"), ini).expect("writes");
    // The browser writes to its log and holds a lock.
    let browser = Connection::open(profile.join("cookies.sqlite")).expect("a database");
    browser.execute_batch(&format!("PRAGMA journal_mode = WAL; {TABLE}")).expect("a table");
    let text = "INSERT INTO moz_cookies (originAttributes, name, value, host, path, expiry, isSecure, isHttpOnly) VALUES
            ('', 'a', 'hush', '127.0.0.1', '/', 4000000000, 0, 1),
            ('', 'ms', 'new', '127.0.0.1', '/', 4000000000000, 0, 0),
            ('', 'old', 'x', '127.0.0.1', '/', 1000000000, 0, 0),
            ('', 'secure', 'x', '127.0.0.1', '/', 4000000000, 1, 0),
            ('^userContextId=2', 'container', 'x', '127.0.0.1', '/', 4000000000, 0, 0),
            ('', 'other', 'x', '.example.com', '/', 4000000000, 0, 0);";
    browser.execute_batch(text).expect("cookies");
    browser.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let folder = profile.to_str().expect("UTF-8");
    for (n, from) in ["firefox", "firefox:mine", &format!("firefox:{folder}")].into_iter().enumerate() {
        let (name, url) = (format!("f{n}"), server.url("well_behaved/1000/f"));
        let args = [&url, "-o", &name, "--cookies-from-browser", from];
        let out = finish(place.command(&args).env("HOME", &home).spawn().expect("starts"));
        place.assert_exact(&out, &name, &content("f", 1000));
        let request = server.requests().pop().expect("a request");
        assert_eq!(request.header("cookie"), Some("a=hush; ms=new"), "{from}");
    }
    let left: Vec<_> = fs::read_dir(place.state().join("downhaul")).expect("a folder").flatten().collect();
    assert!(left.iter().all(|one| !one.file_name().to_string_lossy().contains("firefox")), "{left:?}");
    for from in ["firefox:none", "netscape"] {
        let url = server.url("well_behaved/1000/f");
        let out = finish(
            place
                .command(&[&url, "--cookies-from-browser", from])
                .env("HOME", &home)
                .spawn()
                .expect("starts"),
        );
        assert_eq!(out.status, 2, "{}", out.stderr);
    }
}

/// Since version 147, Firefox keeps new profiles there.
#[cfg(target_os = "linux")]
#[test]
fn a_profile_of_firefox_below_the_configuration_folder_is_found() {
    let server = Server::start();
    let url = server.url("well_behaved/1000/f");
    for (variable, config) in
        [("HOME", ".config"), ("XDG_CONFIG_HOME", ""), ("HOME", ".var/app/org.mozilla.firefox/config")]
    {
        let place = Place::new();
        let named = place.state().join("named");
        let firefox = named.join(config).join("mozilla/firefox");
        let profile = firefox.join("a.default");
        fs::create_dir_all(&profile).expect("a folder");
        let ini = "[Profile0]\nName=mine\nIsRelative=1\nPath=a.default\nDefault=1\n";
        fs::write(firefox.join("profiles.ini"), ini).expect("writes");
        let browser = Connection::open(profile.join("cookies.sqlite")).expect("a database");
        browser.execute_batch(TABLE).expect("a table");
        let cookie = "INSERT INTO moz_cookies (name, value, host, path, expiry, isSecure, isHttpOnly)
            VALUES ('a', 'hush', '127.0.0.1', '/', 4000000000, 0, 0);";
        browser.execute_batch(cookie).expect("a cookie");
        let args = [url.as_str(), "--cookies-from-browser", "firefox"];
        let out = finish(place.command(&args).env(variable, &named).spawn().expect("starts"));
        place.assert_exact(&out, "f", &content("f", 1000));
        let request = server.requests().pop().expect("a request");
        assert_eq!(request.header("cookie"), Some("a=hush"), "{config}");
    }
}

//! Tests of what `-vv` shows about connections, requests and retries.

use crate::common::{Place, events};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;

/// Texts that must not be shown: the password and the token of the URL, and the value of a header.
const SECRETS: [&str; 3] = ["pa55word", "t0ken-value", "header-value"];

fn url(server: &Server) -> String {
    server.url("fails_once/5000/f?token=t0ken-value").replace("://", "://user:pa55word@")
}

fn assert_traced(text: &str, server: &Server) {
    let address = format!("address=127.0.0.1:{}", server.port());
    for (topic, what, also) in [
        (" #1 net:", " connecting", address.as_str()),
        (" #1 net:", " connected", "took="),
        (" #1 net:", " sending the request", "connection=new"),
        (" #1 net:", " received the head of the response", "status=500"),
        (" #1 net:", " received the head of the response", "status=200"),
        (" #1 retry:", " waiting before a retry", "error=http.server"),
        (" #1 concurrency:", " assigned bytes to a connection", "host=127.0.0.1"),
        (" #1 disk:", " opened the partial file", "f."),
    ] {
        let is_it = |line: &str| line.contains(topic) && line.contains(what) && line.contains(also);
        assert!(text.lines().any(is_it), "no line with {topic}{what} and {also}:\n{text}");
    }
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is shown:\n{text}");
    }
}

#[test]
fn verbose_twice_shows_connections_requests_and_retries_and_no_secret() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&["-vv", "-H", "X-Key: header-value", &url(&server)]);
    place.assert_exact(&out, "f", &content("f", 5000));
    assert_traced(&out.stderr, &server);
}

#[test]
fn verbose_twice_keeps_json_events_apart() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&["-vv", "--progress", "json", "-H", "X-Key: header-value", &url(&server)]);
    place.assert_exact(&out, "f", &content("f", 5000));
    assert!(events(&out).iter().any(|event| event["kind"] == "finished"));
    assert_traced(&out.stderr, &server);
}

#[test]
fn verbose_once_shows_no_connections() {
    let server = Server::start();
    let place = Place::new();
    let out = place.run(&["-v", &url(&server)]);
    place.assert_exact(&out, "f", &content("f", 5000));
    assert!(!out.stderr.contains("net:"), "{}", out.stderr);
}

//! Serves the page of the daemon. The files of the page are in `crates/daemon/page`. They are served
//! unchanged, without a build step, so they are easy to read and to check.
//!
//! Invariant: clients get the page even if they do not send the secret, so the page contains no data about
//! downloads. It sends requests only to the daemon.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};

/// The policy of the page: it may run its own scripts, use its own styles, and send requests to the daemon.
/// No other page may show it in a frame, because the other page could lead a user to click on the buttons of
/// this page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files of the page, each with its path, its content type and its content.
const FILES: [(&str, &str, &str); 7] = [
    ("/", HTML, include_str!("../../page/index.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_str!("../../page/style.css")),
    ("/page/main.js", SCRIPT, include_str!("../../page/main.js")),
    ("/page/api.js", SCRIPT, include_str!("../../page/api.js")),
    ("/page/dialogs.js", SCRIPT, include_str!("../../page/dialogs.js")),
    ("/page/rows.js", SCRIPT, include_str!("../../page/rows.js")),
    ("/page/words.js", SCRIPT, include_str!("../../page/words.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Returns the routes of the page.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |routes, (path, content_type, text)| {
        routes.route(path, get(move || async move { respond(content_type, text) }))
    })
}

fn respond(content_type: &'static str, text: &'static str) -> Response {
    let headers =
        [(CONTENT_TYPE, content_type), (CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")];
    (headers, text).into_response()
}

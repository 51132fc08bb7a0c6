//! Receives the calls of clients over HTTP and WebSocket.
//!
//! - [`api`] is the interface of downhaul itself, and `page` is the page that uses it;
//! - [`guard`] refuses requests that web pages must not make;
//! - [`log`] keeps the last lines of the log; `token` compares the secret;
//! - `limits` bounds what clients without the secret may use, and slows down those with a wrong secret;
//! - `server` accepts connections, and `socket` serves WebSocket clients.
//!
//! Invariant: no call is carried out before [`guard::check`] has allowed its request.

pub mod api;
pub mod guard;
mod limits;
pub mod log;
mod page;
mod server;
mod socket;
mod token;

pub use guard::Allowed;
pub use log::Log;
pub use server::Server;
pub use token::Token;

use crate::aria2::methods::Caller;
use crate::aria2::{json, xml};
use crate::daemon::Daemon;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use limits::Limits;
use server::Connection;
use std::sync::Arc;
use std::time::Duration;

/// The largest body of a request in bytes, as in aria2 (`--rpc-max-request-size`).
pub const BODY_MOST: usize = 2 << 20;

/// The time within which the body of a request must arrive.
const BODY_WITHIN: Duration = Duration::from_secs(20);

/// The reason why a request with a wrong token is refused at once.
const TOO_MANY: &str = "Too many requests with a wrong secret wait for their answer.";

/// The longest name of a JSONP function, in bytes.
const CALLBACK_MOST: usize = 128;

/// The state that all requests share.
#[derive(Clone)]
pub struct Web {
    /// The daemon that carries out the calls.
    pub daemon: Daemon,
    /// The token that calls need.
    pub token: Arc<Token>,
    /// The host names and the origins of pages that a request may have in its headers.
    pub allowed: Arc<Allowed>,
    /// The log of the daemon.
    pub log: Log,
    limits: Arc<Limits>,
}

impl Web {
    /// Returns the state that the requests to a daemon share.
    pub fn new(daemon: Daemon, token: Token, allowed: Allowed) -> Web {
        let (token, allowed) = (Arc::new(token), Arc::new(allowed));
        Web { daemon, token, allowed, log: Log::default(), limits: Arc::new(Limits::new()) }
    }

    /// Returns the routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/jsonrpc", post(post_json).get(get_json).options(preflight))
            .route("/rpc", post(post_xml).options(preflight))
            .merge(page::routes())
            .nest("/api/v1", api::routes(&self))
            .fallback(get(|| async { StatusCode::NOT_FOUND }))
            .layer(middleware::from_fn_with_state(self.clone(), with_body))
            .layer(middleware::from_fn_with_state(self.clone(), guarded))
            .layer(DefaultBodyLimit::max(BODY_MOST))
            .with_state(self)
    }
}

/// Receives the body of a request within [`BODY_WITHIN`], so that a client that sends nothing does not keep
/// its connection.
async fn with_body(State(web): State<Web>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let length: Option<u64> =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // Without a length, the body may be long. If there is no `Transfer-Encoding` either, there is no body.
    let is_long = match length {
        Some(length) => length > limits::SMALL_BODY,
        None => parts.headers.contains_key(header::TRANSFER_ENCODING),
    };
    let path = parts.uri.path();
    let mut place = None;
    // A client that sends the secret in a header does not wait for a place.
    if is_long && !api::given_token(&parts.headers).is_some_and(|given| web.token.accepts(Some(given))) {
        place = web.limits.long_body(BODY_WITHIN).await;
        if place.is_none() {
            return refusal(path, StatusCode::TOO_MANY_REQUESTS, "Too many long bodies arrive at once.");
        }
    }
    let received = tokio::time::timeout(BODY_WITHIN, to_bytes(body, BODY_MOST)).await;
    drop(place);
    match received {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(_)) => {
            refusal(path, StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than 2 MiB, or was cut off.")
        }
        Err(_) => refusal(path, StatusCode::REQUEST_TIMEOUT, "The body did not arrive within 20 seconds."),
    }
}

/// Returns the answer to a request that is refused. If the request is for the interface of downhaul itself,
/// the answer is JSON. Otherwise it is plain text.
fn refusal(path: &str, status: StatusCode, why: &'static str) -> Response {
    match path.starts_with("/api/") {
        true => api::Problem::new(status, why).into_response(),
        false => (status, why).into_response(),
    }
}

/// Refuses requests that [`guard::check`] does not allow, and adds headers to each answer.
async fn guarded(State(web): State<Web>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let (mut response, origin) = match guard::check(&web.allowed, request.uri(), request.headers()) {
        Ok(()) => (next.run(request).await, origin),
        Err(why) => (refusal(request.uri().path(), StatusCode::FORBIDDEN, why), None),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// Tells a browser which requests the page of an allowed origin may make.
async fn preflight(headers: HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let answer = response.headers_mut();
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, OPTIONS"));
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    if let Some(asked) = asked {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    if headers.contains_key("access-control-request-private-network") {
        answer.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
    response
}

async fn post_json(State(web): State<Web>, body: Bytes) -> Response {
    let mut caller = Caller::new(&web.daemon, &web.token);
    let answer = json::answer(&mut caller, &body);
    let response = respond(answer.status, "application/json-rpc", answer.body);
    slowed_down(&web, caller.was_refused(), response).await
}

/// Returns the response. If `was_refused` is true because a call lacked the right token, the response is
/// delayed or replaced.
async fn slowed_down(web: &Web, was_refused: bool, response: Response) -> Response {
    match web.limits.slow_down(was_refused).await {
        true => response,
        false => (StatusCode::TOO_MANY_REQUESTS, TOO_MANY).into_response(),
    }
}

/// Answers a GET request: the upgrade to WebSocket, or a call in the query.
async fn get_json(
    State(web): State<Web>,
    Extension(connection): Extension<Connection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    method: Method,
    uri: Uri,
) -> Response {
    if let Ok(upgrade) = upgrade {
        // If the daemon has no secret, every client may listen.
        let stranger = if web.token.is_set() { web.limits.stranger() } else { None };
        if web.token.is_set() && stranger.is_none() {
            let why = "Too many clients listen without the secret.";
            return (StatusCode::TOO_MANY_REQUESTS, why).into_response();
        }
        let upgrade = upgrade.max_message_size(BODY_MOST).max_frame_size(BODY_MOST);
        return upgrade.on_upgrade(|socket| socket::run(web, socket, connection, stranger));
    }
    if method == Method::HEAD || !web.token.is_set() {
        let why = "Calls by GET need a daemon with a secret, because any web page can make them.";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let query = uri.query().unwrap_or_default();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let callback = query.iter().find(|(name, _)| name == "jsoncallback").map(|(_, value)| value.as_str());
    if callback.is_some_and(|name| !is_callback(name)) {
        return (StatusCode::BAD_REQUEST, "jsoncallback must be the name of a function.").into_response();
    }
    let mut caller = Caller::new(&web.daemon, &web.token);
    let answer = json::answer_query(&mut caller, &query);
    let response = match callback {
        // A browser does not run a script from a response whose status is an error, so the status is 200 even
        // for a fault.
        Some(name) => respond(200, "text/javascript", format!("{name}({})", answer.body)),
        None => respond(answer.status, "application/json-rpc", answer.body),
    };
    slowed_down(&web, caller.was_refused(), response).await
}

async fn post_xml(State(web): State<Web>, body: Bytes) -> Response {
    let mut caller = Caller::new(&web.daemon, &web.token).for_xml();
    let answer = xml::answer(&mut caller, &body);
    slowed_down(&web, caller.was_refused(), respond(200, "text/xml", answer)).await
}

fn respond(status: u16, content_type: &'static str, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Returns true if a text is the name of a function in JavaScript, such as `jQuery.callbacks.f1`, and has at
/// most [`CALLBACK_MOST`] bytes. Any other text could be a program.
fn is_callback(name: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
            && part.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
    };
    name.len() <= CALLBACK_MOST && name.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_function_is_a_callback() {
        for name in ["cb", "jQuery1_2", "a.b.c", "$"] {
            assert!(is_callback(name), "{name}");
        }
        let long = "a".repeat(CALLBACK_MOST + 1);
        for name in ["", "a b", "alert(1)//", "a..b", "1a", "a;b", "a\u{2028}", "<x>", &long] {
            assert!(!is_callback(name), "{name}");
        }
    }
}

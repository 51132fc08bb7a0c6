//! Sends requests for `http` URLs through an HTTP proxy, which forwards them (RFC 9112, section 3.2.2).
//!
//! Invariant: only this module adds the header `Proxy-Authorization` to forwarded requests, and only to
//! requests on a connection to the proxy.

use super::{Gateway, kind_of_status};
use crate::source::http::body::HttpResponse;
use crate::source::http::http1::Pool;
use crate::source::http::request::{self, HttpRequest};
use crate::source::http::route::Route;
use crate::trace::NET;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::show;
use http::header::{PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SERVER, VIA, WWW_AUTHENTICATE};
use http::{HeaderMap, Uri};
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;
use url::Url;

/// The beginnings of the header `Server` in responses that these proxies write themselves. In responses that
/// a proxy forwards, this header comes from the server.
const PROXY_PROGRAMS: [&str; 3] = ["tinyproxy", "squid", "privoxy"];

/// The header in which squid gives the reason for a response that it writes itself, such as `ERR_DNS_FAIL 0`.
const SQUID_ERROR: &str = "x-squid-error";

/// Sends a request through a proxy. If the proxy responds with status 407, the request is sent once more,
/// with an answer to the challenge of the proxy (for Basic, the user name and the password).
///
/// # Errors
/// Returns an error `proxy.*` if the proxy itself reports a failure or accepts no login, and another error if
/// no response arrives.
pub(in crate::source::http) async fn send(
    pool: &Arc<Pool>,
    (route, gateway): (&Route, &Gateway),
    url: &Url,
    mut request: HttpRequest,
    timeout_after: Duration,
) -> Result<HttpResponse, Error> {
    let at = show::url(url);
    let target = absolute(url, request.uri());
    *request.uri_mut() =
        target.parse::<Uri>().map_err(|e| Error::new(ErrorKind::UrlInvalid, at.clone(), e.to_string()))?;
    let method = request.method().as_str().to_string();
    debug!(target: NET, url = at, proxy = %gateway.proxy, "the proxy forwards the request");
    let mut attempt = gateway.attempt(&method, &target);
    loop {
        if let Some(login) = attempt.authorization() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login);
        }
        let response = pool.send(route, url, &request, timeout_after).await?;
        if response.status() != http::StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            if !says_that_it_is_of_the_proxy(response.status().as_u16(), response.headers()) {
                attempt.on_accepted();
                return Ok(response);
            }
            let status = response.status();
            let what = format!("{} answered {}", gateway.proxy, request::status_line(status));
            drop(response.discard().await);
            return Err(Error::new(kind_of_status(status.as_u16()), at, what));
        }
        let challenges = response.headers().get_all(PROXY_AUTHENTICATE).iter();
        let challenges: Vec<Vec<u8>> = challenges.map(|value| value.as_bytes().to_vec()).collect();
        drop(response.discard().await);
        attempt.on_challenge(&challenges, &at)?;
    }
}

/// Returns true if the headers of a failure show that the proxy wrote the response, and not the server.
fn says_that_it_is_of_the_proxy(status: u16, headers: &HeaderMap) -> bool {
    let server = headers.get(SERVER).map(|value| value.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let is_of_program = PROXY_PROGRAMS.iter().any(|program| server.starts_with(program.as_bytes()));
    let says_so = headers.contains_key(PROXY_AUTHENTICATE) || headers.contains_key(SQUID_ERROR);
    // A proxy adds `Via` to a response that it forwards (RFC 9110, section 7.6.3).
    status >= 400 && (says_so || (is_of_program && !headers.contains_key(VIA)))
}

/// Returns true if a response with this status may come from the server or from the proxy, and nothing shows
/// from which of them. The header `Via` alone does not show that the response comes from the server, because
/// some proxies also add this header to responses that they write themselves. A proxy asks for a login with
/// `Proxy-Authenticate`, so a forwarded response with `WWW-Authenticate` comes from the server.
pub(in crate::source::http) fn is_of_either(status: u16, headers: &HeaderMap) -> bool {
    let is_login_of_server = headers.contains_key(VIA) && headers.contains_key(WWW_AUTHENTICATE);
    matches!(status, 401 | 403 | 408 | 451 | 500..=599) && !is_login_of_server
}

/// Returns the target of the request in absolute form (the whole URL), without a user name and a password.
fn absolute(url: &Url, target: &Uri) -> String {
    format!("http://{}{target}", request::authority(url).unwrap_or_default())
}

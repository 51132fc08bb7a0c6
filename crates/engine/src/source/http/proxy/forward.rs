//! Sends requests for `http` URLs through an HTTP proxy, which forwards them (RFC 9112, section 3.2.2).
//!
//! Invariant: the login of the proxy is added only here, to requests on a connection to the proxy.

use super::Gateway;
use crate::source::http::body::HttpResponse;
use crate::source::http::http1::Pool;
use crate::source::http::request::HttpRequest;
use crate::source::http::route::Route;
use crate::trace::NET;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::show;
use http::Uri;
use http::header::{PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;
use url::Url;

/// Sends a request through a proxy. A response with status 407 comes from the proxy.
///
/// # Errors
/// Returns `proxy.login` if the proxy requires a login, and an error if there is no response.
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
        let response = pool.send(route, url, request.clone(), timeout_after).await?;
        if response.status() != http::StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            attempt.on_accepted();
            return Ok(response);
        }
        let challenges: Vec<String> = response
            .headers()
            .get_all(PROXY_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok().map(String::from))
            .collect();
        drop(response.discard().await);
        attempt.on_challenge(&challenges, &at)?;
    }
}

/// Returns the target of the request in absolute form, without a login.
fn absolute(url: &Url, target: &Uri) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("http://{host}:{port}{target}"),
        None => format!("http://{host}{target}"),
    }
}

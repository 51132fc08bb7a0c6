//! Builds requests with their headers. Headers with secrets come from [`crate::credentials`].

use crate::credentials::Permit;
use crate::source;
use downhaul_core::credentials::space;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::Conditions;
use downhaul_core::show;
use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{Request, StatusCode, Uri, Version};
use http_body_util::Full;
use url::{Position, Url};

pub(super) type HttpRequest = Request<Full<bytes::Bytes>>;

/// Builds the request for a URL. `asked` states which bytes or facts the caller of the source wants. The
/// headers with secrets and the body come from `permit`.
///
/// # Errors
/// Returns `url.invalid` if the URL has no host, or if the URL or the User-Agent cannot be part of a request.
pub(super) fn build(
    url: &Url,
    user_agent: &str,
    permit: &Permit,
    asked: &source::Request,
) -> Result<HttpRequest, Error> {
    let bad = |why: &str| Error::new(ErrorKind::UrlInvalid, show::url(url), why);
    let mut request = Request::builder()
        .method(method(asked))
        .uri(space::target(url))
        .body(permit.body())
        .map_err(|e| bad(&e.to_string()))?;
    let headers = request.headers_mut();
    headers.insert(
        header::HOST,
        authority(url).as_deref().and_then(value).ok_or_else(|| bad("it has no host"))?,
    );
    let agent = value(user_agent).ok_or_else(|| bad("the User-Agent contains control characters"))?;
    headers.insert(header::USER_AGENT, agent);
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(sends) = asked.sends.as_deref().filter(|_| asked.about.is_none()) {
        if let Some(media_type) = sends.media_type().and_then(value) {
            headers.insert(header::CONTENT_TYPE, media_type);
        } else if sends.method() != "GET" {
            // There is no body. Some servers require that this header says so (RFC 9110, section 8.6).
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
    }
    permit.put_on(headers);
    // Offsets and digests are those of the file without a content coding, so no content coding is requested.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(Conditions { etag, modified }) = &asked.about {
        let conditions = [
            (header::IF_NONE_MATCH, etag.clone()),
            (header::IF_MODIFIED_SINCE, modified.map(httpdate::fmt_http_date)),
        ];
        for (name, text) in conditions {
            if let Some(value) = text.as_deref().and_then(value) {
                headers.insert(name, value);
            }
        }
    }
    if !asked.is_for_everything() {
        let last = asked.to.map(|to| to.saturating_sub(1).to_string()).unwrap_or_default();
        let range = format!("bytes={}-{last}", asked.from);
        headers.insert(header::RANGE, value(&range).ok_or_else(|| bad("no range"))?);
    }
    Ok(request)
}

pub(super) fn method(asked: &source::Request) -> &str {
    match &asked.sends {
        _ if asked.about.is_some() => "HEAD",
        Some(sends) => sends.method(),
        None => "GET",
    }
}

/// Changes a request to the form of HTTP/2, which contains the whole URL and no Host header (RFC 9113,
/// section 8.3.1).
///
/// # Errors
/// Returns `url.invalid` if the URL has no usable host.
pub(super) fn to_http2(mut request: HttpRequest, url: &Url) -> Result<HttpRequest, Error> {
    let bad = |why: String| Error::new(ErrorKind::UrlInvalid, show::url(url), why);
    let host = request.headers_mut().remove(header::HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = url.scheme().parse().ok();
    if let Some(host) = host {
        let authority = Authority::try_from(host.as_bytes()).map_err(|e| bad(e.to_string()))?;
        parts.authority = Some(authority);
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|e| bad(e.to_string()))?;
    *request.version_mut() = Version::HTTP_2;
    // `i` (incremental) tells the server to send all responses at the same time instead of one after the
    // other (RFC 9218, section 4.2). If the responses came one after the other, a stream that waits for a
    // long time would look stalled.
    request.headers_mut().insert("priority", HeaderValue::from_static("i"));
    Ok(request)
}

/// Returns the status as text, such as `503 Service Unavailable`.
pub(super) fn status_line(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// Returns the host of a URL, and its port if the port is not the default port of the scheme. Returns `None`
/// if the URL has no host.
pub(super) fn authority(url: &Url) -> Option<String> {
    url.has_host().then(|| url[Position::BeforeHost..Position::AfterPort].to_string())
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

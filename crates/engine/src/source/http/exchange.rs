//! Sends a request with the secrets that may be sent to its server, and answers the challenges of the server.
//! In this file, a *login* is a user name with its password.
//!
//! Invariant: a login that the server has not accepted yet is sent in only one request at a time. This rule
//! holds for the first 256 servers to which such a login is sent (see `login_gate.rs`).

use super::Client;
use super::body::HttpResponse;
use super::request::{self, HttpRequest};
use crate::clock;
use crate::credentials::{After, Asking};
use crate::source::Request;
use crate::trace::NET;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::show;
use downhaul_core::transcript::{self, Exchange};
use http::Version;
use hyper::body::Body as _;
use tracing::debug;
use url::Url;

/// The highest number of requests to one URL while the server answers that it requires a login. The first
/// request has the login that the server accepted before, a login that is sent with Basic without a
/// challenge, or no login. The second request answers the challenge. Two more requests can answer with a new
/// nonce, because the server may refuse a nonce that is too old.
const LOGINS_MOST: u32 = 4;

impl Client {
    /// Sends one request with the secrets that may be sent to its server, and sends it again with a login if
    /// the server requires one. Returns the response with any status. If the status is 401, also returns the
    /// reason why no login or other secret was sent or accepted, if a reason is known. `is_guarded` is true
    /// if the request must not lead to a private address, provided that the settings refuse private
    /// addresses.
    ///
    /// # Errors
    /// Returns an error if the login cannot be sent, if the request cannot be built, if no response arrives,
    /// or if the server still requires a login after [`LOGINS_MOST`] requests.
    pub(super) async fn exchange(
        &self,
        asking: Asking<'_>,
        is_guarded: bool,
        request: &Request,
    ) -> Result<(HttpResponse, Option<String>), Error> {
        let url = asking.url;
        let unusable = |why| Error::new(ErrorKind::UrlInvalid, show::url(url), why);
        let mut permit = self.credentials.permit(asking).map_err(unusable)?;
        let peer = self.credentials.peer(asking, is_guarded && self.settings.refuse_private);
        for _ in 0..LOGINS_MOST {
            let trial = match self.credentials.is_trial(asking, &permit) {
                true => self.trials.hold(url).await,
                false => None,
            };
            // During the wait, the server may have accepted the login in another request, or refused the
            // login so often that it is not sent again.
            let trial = trial.filter(|_| self.credentials.is_trial(asking, &permit));
            if trial.is_some() && self.credentials.is_refused(asking, &permit) {
                permit = self.credentials.permit(asking).map_err(unusable)?;
            }
            let http_request = request::build(url, &self.settings.user_agent, &permit, request)?;
            let sent = self.settings.keeps_transcripts.then(|| sent(&http_request, url));
            let since = clock::instant();
            let mut response = self.dispatcher.send(url, peer, http_request, request).await?;
            response.exchange = sent.map(|sent| exchange_of(&mut response, url, sent));
            if self.dispatcher.is_verified(url) {
                self.hsts.learn(url, response.headers());
            }
            let status = response.status().as_u16();
            debug!(
                target: NET,
                url = show::url(url),
                from = request.from,
                to = request.to,
                status,
                http = ?response.version(),
                took = ?since.elapsed(),
                secrets = ?permit,
                "received the head of the response"
            );
            match self.credentials.after(asking, &permit, status, response.headers()) {
                After::Done => return Ok((response, None)),
                After::Refused(why) => return Ok((response, Some(why))),
                After::Again(next) => permit = *next,
            }
            drop(trial);
            drop(response.discard().await);
        }
        Err(Error::new(
            ErrorKind::HttpUnauthorized,
            show::url(url),
            "the server asked again after each login",
        ))
    }
}

/// Returns the head of a request without secrets, for a transcript, and true if the request has a body.
fn sent(request: &HttpRequest, url: &Url) -> (Vec<u8>, bool) {
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let head = transcript::request_head(request.method().as_str(), url, headers);
    (head, !request.body().is_end_stream())
}

/// Returns the entry of a transcript for a request and its response.
fn exchange_of(response: &mut HttpResponse, url: &Url, (request, had_body): (Vec<u8>, bool)) -> Exchange {
    let protocol = match response.version() {
        Version::HTTP_2 => "h2",
        Version::HTTP_10 => "http/1.0",
        _ => "http/1.1",
    };
    let (url, ip) = (show::url(url), response.server());
    Exchange {
        url,
        at: clock::wall(),
        ip,
        protocol,
        request,
        had_body,
        response: response.take_head(),
        body: Vec::new(),
        is_cut: false,
    }
}

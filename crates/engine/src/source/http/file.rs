//! Defines [`HttpFile`], the source for one http or https URL. It sends requests for the file at this URL,
//! and follows redirects until a response contains the file.
//!
//! Invariant: no URL is requested while a recorded wait of its host ([`retry_after`]) lasts. A request that
//! was sent before the wait was recorded continues. For example, it may be sent again with a user name and a
//! password.

use super::body::HttpResponse;
use super::remembered::Remembered;
use super::{Client, decode, login_gate, proxy, reason, redirect, request, retry_after};
use crate::clock;
use crate::credentials::{Asking, Given};
use crate::source::{Opened, Request, Source};
use downhaul_core::error::{Error, ErrorKind, Pause, Retry, Why};
use downhaul_core::http_response::{self, Linked};
use downhaul_core::remote::Span;
use downhaul_core::retry::LONGEST_PAUSE;
use downhaul_core::show;
use downhaul_core::throttle::{self, Circumstances, Decision};
use downhaul_core::transcript::{Exchange, Transcript};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

pub(crate) struct HttpFile {
    pub(super) client: Arc<Client>,
    pub(super) given: Given,
    remembered: Remembered,
    /// The source for the https form of the URL. This source sends all requests while the host requires https
    /// (HSTS).
    secured: OnceLock<Box<HttpFile>>,
}

impl Source for HttpFile {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        if let Some(secured) = self.secured() {
            return secured.open(request);
        }
        async move {
            if request.about.is_some() {
                // The future of this rare request is boxed, so that the futures of all other requests stay
                // small.
                return Box::pin(self.open_about(request)).await;
            }
            let known = match request.is_for_everything() {
                true => None,
                false => self.remembered.url().or_else(|| self.answered_before(&request)),
            };
            let start = known.clone().unwrap_or_else(|| self.given.url.clone());
            let (mut error, mut redirected) = match self.follow(start, &request).await {
                Ok(opened) => return Ok(opened),
                Err(failure) => failure,
            };
            // The URL to which the redirects led is forgotten. The next request begins at the given URL
            // again, unless it is for a range and may be sent to the URL from which the bytes on the disk
            // were received.
            self.remembered.failed(clock::instant(), known.is_some() && error.pause.is_none());
            if request.sends.is_some() {
                return Err(error);
            }
            // The URL that failed may be a link that has expired, and the given URL may redirect to a new
            // link. So the given URL is requested once more in two cases: a remembered URL failed in a way
            // that is retried only if the user says so, or a redirect led to a 401 or a 403, and the settings
            // do not say that this status is retried.
            let stale = known.is_some() && error.retry() == Retry::Person;
            if stale || (redirected && !error.again && may_have_expired(error.kind)) {
                (error, redirected) = match self.follow(self.given.url.clone(), &request).await {
                    Ok(opened) => return Ok(opened),
                    Err(failure) => failure,
                };
            }
            // The server that redirects may redirect the next request to another server, which may have the
            // file. The plan counts the next request as a retry.
            error.again |= redirected && matches!(error.kind, ErrorKind::HttpNotFound | ErrorKind::HttpGone);
            Err(error)
        }
        .boxed()
    }

    fn round_trip(&self) -> Option<Duration> {
        match self.secured() {
            Some(secured) => secured.round_trip(),
            None => {
                let url = self.remembered.url();
                self.client.dispatcher.round_trip(url.as_ref().unwrap_or(&self.given.url))
            }
        }
    }
}

impl HttpFile {
    pub(super) fn new(client: Arc<Client>, given: Given) -> HttpFile {
        HttpFile { client, given, remembered: Remembered::default(), secured: OnceLock::new() }
    }

    /// Returns the source for the https form of the given URL, if the host requires https. The secrets for
    /// the given URL are also sent to its https form.
    fn secured(&self) -> Option<&HttpFile> {
        let url = self.client.hsts.secured(&self.given.url)?;
        let file = || Box::new(HttpFile::new(self.client.clone(), self.given.at(url)));
        Some(self.secured.get_or_init(file))
    }

    /// Returns the URL from which the bytes on the disk were received, if it is not the given URL, the
    /// request may be sent to it, and it did not fail too often.
    fn answered_before(&self, request: &Request) -> Option<Url> {
        let url = request.answered_at.clone().filter(|url| *url != self.given.url)?;
        let is_downgrade = self.given.url.scheme() == "https" && url.scheme() != "https";
        let may = !is_downgrade || self.client.settings.allow_downgrade;
        (may && !self.remembered.take_too_many_failures()).then_some(url)
    }

    /// Follows redirects from `url` until a response contains the file. The bool beside an error is true if a
    /// redirect was followed before the error. It is also true for the error that this request must not
    /// follow a redirect, and false for the error about too many redirects.
    pub(super) async fn follow(&self, mut url: Url, request: &Request) -> Result<Opened, (Error, bool)> {
        let is_special = request.sends.is_some();
        let mut request = request.clone();
        let client = &self.client;
        url = client.hsts.secured(&url).unwrap_or(url);
        let start = url.clone();
        // A URL that a document or a server named must not lead to a private address, because the document or
        // the server may belong to an attacker. If earlier redirects led to the host of `start`, this host
        // must not have a private address either, unless the host of the given URL is known to be private.
        let given_is_private = client.dispatcher.is_public(&self.given.url) == Some(false);
        let was_redirected = start.host() != self.given.url.host() && !given_is_private;
        let starts_guarded = self.given.is_named_by_others() || was_redirected;
        let mut is_guarded = starts_guarded;
        let (mut hops, mut said, mut redirects) = (0, None, Vec::new());
        let mut visitor = login_gate::Visitor::new();
        loop {
            let logs_in = hops > 0 && client.credentials.logs_in_elsewhere(self.asking(&url, &request));
            if logs_in && !is_special && client.gates.enter(&url, &mut visitor).await {
                (url, hops, said, is_guarded) = (start.clone(), 0, None, starts_guarded);
                redirects.clear();
            }
            let result =
                self.send_once(&url, is_guarded, &request).await.map_err(|error| (error, hops > 0))?;
            match result {
                Answer::Redirect { next, linked, status, exchange }
                    if hops < client.settings.max_redirects =>
                {
                    redirects.extend(exchange.map(|one| *one));
                    self.redirect_method(&mut request, status, &next).map_err(|error| (error, true))?;
                    // The digest and the size in the first redirect that states them are used. A redirect
                    // without TLS is trusted only if it comes from the origin of the given URL.
                    let trusted = url.origin() == self.given.url.origin() || url.scheme() == "https";
                    said = said.or(linked.filter(|_| trusted));
                    hops += 1;
                    // A proxy does not tell the address at which it reached the host, so the host counts as
                    // public.
                    is_guarded |= client.dispatcher.is_public(&url) != Some(false);
                    url = next;
                }
                Answer::Redirect { .. } => return Err((self.loop_error(hops), false)),
                Answer::Opened(mut opened) => {
                    // A request that is not a plain GET may get a different response each time, so its
                    // download cannot be resumed.
                    opened.remote.can_resume &= !is_special;
                    if let Some(transcript) = opened.remote.transcript.as_mut().and_then(Arc::get_mut) {
                        transcript.redirects = redirects;
                    }
                    if let Some(linked) = said {
                        http_response::learn(&mut opened.remote, linked);
                    }
                    // If a server responds to a request for a range with a whole file, this may be a
                    // different file, such as a login page. So the URL of such a response is not remembered.
                    let has_it = request.is_for_everything() || !opened.remote.is_whole();
                    self.remembered.set(Some(url).filter(|url| has_it && *url != self.given.url));
                    return Ok(*opened);
                }
            }
        }
    }

    /// Returns the error for too many redirects. `hops` is the number of redirects that were followed.
    fn loop_error(&self, hops: u32) -> Error {
        let detail = format!("{hops} were followed");
        Error::new(ErrorKind::RedirectLoop, show::url(&self.given.url), detail)
    }

    /// Changes the request for the target of a redirect: the method and the body are kept or removed, as the
    /// status requires.
    ///
    /// # Errors
    /// Returns `redirect.invalid` if a request that is not a plain GET would be sent to another origin.
    fn redirect_method(&self, request: &mut Request, status: u16, next: &Url) -> Result<(), Error> {
        let Some(sends) = &request.sends else { return Ok(()) };
        if !sends.survives(status) {
            request.sends = None;
        } else if next.origin() != self.given.url.origin() {
            let why =
                format!("a {} request is not sent to another server: {}", sends.method(), show::url(next));
            return Err(Error::new(ErrorKind::RedirectInvalid, show::url(&self.given.url), why));
        }
        Ok(())
    }

    /// Sends one request to one URL. `is_guarded` is true if the URL comes from a document or a server, or
    /// from a redirect of a host that is not known to be private.
    async fn send_once(&self, url: &Url, is_guarded: bool, request: &Request) -> Result<Answer, Error> {
        let client = &self.client;
        let host = url.host_str().unwrap_or_default();
        client.pauses.check(url)?;
        let (mut response, refused) = client.exchange(self.asking(url, request), is_guarded, request).await?;
        let status = response.status().as_u16();
        let said = throttle::read_waits(status, response.headers(), clock::wall());
        // A host may allow only one connection for each file. So if the host requires a long wait after a
        // request for a range, this wait is not recorded for the other requests to the host.
        let next = said.next.filter(|wait| *wait <= LONGEST_PAUSE || request.is_for_everything());
        if let Some(wait) = next {
            client.pauses.pause(host, wait);
        }
        if redirect::is_redirect(status)
            && let Some(target) = response.headers().get(http::header::LOCATION)
        {
            let next =
                redirect::target(url, target.as_bytes(), client.settings.allow_downgrade, &client.hsts);
            let linked = http_response::linked(response.headers());
            let exchange = response.exchange.take();
            let (body, is_cut) = response.discard().await;
            let exchange = exchange.map(|exchange| Box::new(Exchange { body, is_cut, ..exchange }));
            return next.map(|next| Answer::Redirect { next, linked, status, exchange });
        }
        let unchanged = status == 304 && request.about.is_some();
        let asks_for_range = !request.is_for_everything();
        if let Some(kind) = http_response::failure_of_status(status, asks_for_range).filter(|_| !unchanged) {
            let mut error = self.status_error(url, kind, said.again, &response);
            if let Some(why) = refused {
                error.detail = format!("{why} ({})", error.detail);
            }
            let headers = response.headers().clone();
            if let Some(reason) = reason::of(&headers, &response.discard().await.0) {
                error.detail += &format!(": {reason}");
            }
            return Err(error);
        }
        let mut remote = http_response::read(status, url, response.headers(), !asks_for_range)?;
        if request.about.is_some() {
            if unchanged {
                remote.span = Span::Unchanged;
            }
            drop(response.discard().await);
            return Ok(Answer::Opened(Box::new(Opened { remote, body: Box::pin(stream::empty()) })));
        }
        remote.dropped = response.take_dropped();
        remote.transcript = response.exchange.take().map(Transcript::of).map(Arc::new);
        remote.is_shared = response.version() == http::Version::HTTP_2;
        let states_its_end = response.states_its_end();
        let mut opened = Opened { remote, body: Box::pin(response.into_body()) };
        if client.settings.decode {
            opened = decode::decode(opened, client.settings.verify, states_its_end)?;
        }
        Ok(Answer::Opened(Box::new(opened)))
    }

    /// Returns the error for a response whose status is a failure ([`http_response::failure_of_status`]).
    /// Some statuses from 201 to 299 are failures too. `again` is the wait that the response requires before
    /// the failed request is sent again.
    fn status_error(
        &self,
        url: &Url,
        kind: ErrorKind,
        again: Option<Duration>,
        response: &HttpResponse,
    ) -> Error {
        let status = response.status().as_u16();
        let (at, mut line) = (show::url(url), request::status_line(response.status()));
        let is_past = kind == ErrorKind::HttpRangePast;
        let size = Some(response.headers()).filter(|_| is_past).and_then(http_response::size_of_refusal);
        match (size, status) {
            (Some(size), _) => line += &format!(", the server's file has {size} bytes"),
            (None, 416) if !is_past => line += ", although no range was requested",
            // A 407 of a proxy that forwards the request does not arrive here (see `proxy::forward`).
            (None, 407) => line += ", although the server is not used as a proxy",
            (None, _) => {}
        }
        if proxy::forward::is_of_either(status, response.headers())
            && let Some(proxy) = self.client.dispatcher.forwarder(url)
        {
            line += &format!(", from the server or from the proxy {proxy}");
        }
        let mut error = match throttle::decide(kind, again, Circumstances::default()) {
            Decision::Pause(wait) => {
                Error::new(ErrorKind::HttpBusy, at, line).with_pause(Pause { wait, why: Why::Asked })
            }
            Decision::Fail(ErrorKind::HttpLater) => {
                Error::new(ErrorKind::HttpLater, at, retry_after::not_before(again.unwrap_or_default()))
            }
            Decision::Fail(kind) => Error::new(kind, at, line),
            // `decide` does not return this decision for the default circumstances. Only the director knows
            // other circumstances.
            Decision::Fewer => Error::new(kind, at, line),
        };
        (error.size, error.http_status) = (size, Some(status));
        error.again = self.client.settings.retry_on.contains(&status) && error.kind == kind;
        error
    }

    fn asking<'a>(&'a self, url: &'a Url, request: &'a Request) -> Asking<'a> {
        let (headers, sends) = (request.headers.as_deref(), request.sends.as_deref());
        Asking { given: &self.given, url, method: request::method(request), headers, sends }
    }
}

fn may_have_expired(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::HttpUnauthorized | ErrorKind::HttpForbidden)
}

/// The result of one request that did not fail.
enum Answer {
    Opened(Box<Opened>),
    Redirect {
        next: Url,
        /// The digest and the size that the redirect states for the file.
        linked: Option<Linked>,
        status: u16,
        /// The request and the response, if transcripts are kept.
        exchange: Option<Box<Exchange>>,
    },
}

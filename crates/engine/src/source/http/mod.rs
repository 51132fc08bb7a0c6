//! HTTP over plain and TLS connections.
//!
//! A request goes: [`retry_after`] (has the host asked for a pause?) -> [`dispatch`] (over a connection of [`http1`], or the [`http2`]
//! connection of its origin; a new one is a [`wire`], made by [`dial`] and [`tls`]) -> [`request`] (one request, one
//! reply head, whose odd lines [`heads`] reads; [`decode`] its body, where that is wanted) -> [`redirect`] (where to next?), until a 200 or 206 is there. Every header, credential included,
//! belongs to the origin of the URL that was given and goes nowhere else.

mod body;
mod decode;
mod dial;
mod dispatch;
mod failure;
mod heads;
mod http1;
mod http2;
mod redirect;
mod request;
mod retry_after;
mod tls;
mod transport;

use super::{GivenBy, Opened, Request, Source};
use crate::clock;
use downhaul_core::error::{Error, ErrorKind, Pause, Retry, Why};
use downhaul_core::http_response::{self, Linked};
use downhaul_core::remote::Span;
use downhaul_core::retry::{self, LONGEST_PAUSE};
use downhaul_core::settings::Settings;
use downhaul_core::show;
use downhaul_core::throttle::{self, Circumstances, Wish};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::Url;

/// What all requests of a session share.
pub(crate) struct Client {
    settings: Arc<Settings>,
    dispatcher: dispatch::Dispatcher,
    retry_after: retry_after::RetryAfter,
}

/// A file behind a URL.
pub(crate) struct HttpFile {
    client: Arc<Client>,
    given: Url,
    by: GivenBy,
    /// Where redirects led the last time: going on with a file asks the same server again.
    resolved: Mutex<Option<Url>>,
}

impl Client {
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub(crate) fn new(settings: Arc<Settings>) -> Result<Self, Error> {
        let dispatcher = dispatch::Dispatcher::new(settings.clone())?;
        Ok(Client { settings, dispatcher, retry_after: retry_after::RetryAfter::default() })
    }

    pub(crate) fn file(self: &Arc<Self>, url: &Url, by: GivenBy) -> HttpFile {
        HttpFile { client: self.clone(), given: url.clone(), by, resolved: Mutex::new(None) }
    }
}

impl Source for HttpFile {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        async move {
            if request.about.is_some() {
                return self.open_about(request).await;
            }
            let known = self.resolved().clone().filter(|_| !request.is_for_everything());
            let start = known.clone().unwrap_or_else(|| self.given.clone());
            let (mut error, mut redirected) = match self.follow(start, &request).await {
                Ok(opened) => return Ok(opened),
                Err(failure) => failure,
            };
            // The next try shall find out anew where to go.
            *self.resolved() = None;
            // Links that redirects lead to expire: the first URL is resolved again, once.
            let stale = known.is_some() && error.retry() == Retry::Person;
            if stale || (redirected && !error.again && may_have_expired(error.kind)) {
                (error, redirected) = match self.follow(self.given.clone(), &request).await {
                    Ok(opened) => return Ok(opened),
                    Err(failure) => failure,
                };
            }
            // A redirector may pick a mirror that has the file the next time: these are tries like others, with growing waits.
            error.again |= redirected && matches!(error.kind, ErrorKind::HttpNotFound | ErrorKind::HttpGone);
            Err(error)
        }
        .boxed()
    }
}

impl HttpFile {
    /// Asks what the file is. Where HEAD is not answered (links that are signed for GET alone, programs that know nothing
    /// else), or says no size or none at all (programs that count what they send), the head of a GET tells; whoever gets it leaves its body.
    async fn open_about(&self, request: Request) -> Result<Opened, Error> {
        match self.follow(self.given.clone(), &request).await {
            Ok(opened) if says_what_it_is(&opened) => return Ok(opened),
            Err((error, _)) if !is_an_answer(error.kind) || error.pause.is_some() => return Err(error),
            _ => {}
        }
        let everything = Request { headers: request.headers, ..Request::EVERYTHING };
        self.follow(self.given.clone(), &everything).await.map_err(|(error, _)| error)
    }

    /// Follows redirects from `url` to a 200 or 206. A failure comes with whether it was met after a redirect.
    async fn follow(&self, mut url: Url, request: &Request) -> Result<Opened, (Error, bool)> {
        let mut hops = 0;
        let mut said = None;
        loop {
            let result = self.ask(&url, request).await.map_err(|error| (error, hops > 0))?;
            match result {
                Answer::Redirect(next, linked) if hops < self.client.settings.max_redirects => {
                    // The word that is nearest to what was asked for counts, and who speaks without TLS only for itself.
                    let trusted = url.origin() == self.given.origin() || url.scheme() == "https";
                    said = said.or(linked.filter(|_| trusted));
                    hops += 1;
                    url = next;
                }
                Answer::Redirect(..) => {
                    let detail = format!("{hops} were followed");
                    return Err((Error::new(ErrorKind::RedirectLoop, show::url(&self.given), detail), false));
                }
                Answer::Opened(mut opened) => {
                    if let Some(linked) = said {
                        http_response::learn(&mut opened.remote, linked);
                    }
                    // Whoever is asked for a part and sends everything need not be the one who has the file: a login, say.
                    let has_it = request.is_for_everything() || !opened.remote.is_whole();
                    *self.resolved() = Some(url).filter(|url| has_it && *url != self.given);
                    return Ok(*opened);
                }
            }
        }
    }

    /// One request to one URL.
    async fn ask(&self, url: &Url, request: &Request) -> Result<Answer, Error> {
        let client = &self.client;
        let host = url.host_str().unwrap_or_default();
        if let Some(wait) = client.retry_after.closed_for(host) {
            let mut error =
                Error::new(ErrorKind::HttpBusy, show::url(url), "the host asked all its files to wait");
            error.pause = Some(Pause { wait, why: Why::Known });
            return Err(error);
        }
        let head = request::head(url, (&self.given, self.by), &client.settings, request)?;
        let mut reply = client.dispatcher.send(url, head, request).await?;
        let status = reply.status().as_u16();
        let said = throttle::said(status, reply.headers(), clock::wall());
        if let Some(wait) = said.next.filter(|&wait| wait <= LONGEST_PAUSE) {
            client.retry_after.close(host, wait);
        }
        if redirect::is(status)
            && let Some(target) = reply.headers().get(http::header::LOCATION)
        {
            let next = redirect::next(url, target.as_bytes(), client.settings.allow_downgrade);
            let linked = http_response::linked(reply.headers());
            reply.discard().await;
            return next.map(|next| Answer::Redirect(next, linked));
        }
        let unchanged = status == 304 && request.about.is_some();
        let Some(kind) = retry::of_status(status).filter(|_| !unchanged) else {
            let mut remote = http_response::read(status, url, reply.headers(), request.is_for_everything())?;
            if request.about.is_some() {
                if unchanged {
                    remote.span = Span::Unchanged;
                }
                reply.discard().await;
                return Ok(Answer::Opened(Box::new(Opened { remote, body: Box::pin(stream::empty()) })));
            }
            remote.dropped = reply.take_dropped();
            let mut opened = Opened { remote, body: Box::pin(reply.into_body()) };
            if client.settings.decode {
                opened = decode::decode(opened, client.settings.verify)?;
            }
            return Ok(Answer::Opened(Box::new(opened)));
        };
        let (at, mut line) = (show::url(url), request::status_line(reply.status()));
        let size = Some(reply.headers()).filter(|_| status == 416).and_then(http_response::size_of_refusal);
        if let Some(size) = size {
            line += &format!(", its file has {size} bytes");
        }
        reply.discard().await;
        let mut error = match throttle::wish(kind, said.again, Circumstances::default()) {
            Wish::Pause(wait) => {
                Error::new(ErrorKind::HttpBusy, at, line).with_pause(Pause { wait, why: Why::Asked })
            }
            Wish::Fail(ErrorKind::HttpLater) => {
                Error::new(ErrorKind::HttpLater, at, later(said.again.unwrap_or_default()))
            }
            Wish::Fail(kind) => Error::new(kind, at, line),
            // What the host is like, the director knows.
            Wish::Fewer => Error::new(kind, at, line),
        };
        error.size = size;
        error.again = client.settings.retry_on.contains(&status) && error.kind == kind;
        Err(error)
    }

    fn resolved(&self) -> std::sync::MutexGuard<'_, Option<Url>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns true if a response to a question about the file tells enough.
fn says_what_it_is(opened: &Opened) -> bool {
    opened.remote.span == Span::Unchanged || opened.remote.size > Some(0)
}

/// Whether the server answered, and said that this is not how it is asked.
fn is_an_answer(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::HttpUnauthorized
            | ErrorKind::HttpForbidden
            | ErrorKind::HttpNotFound
            | ErrorKind::HttpGone
            | ErrorKind::HttpStatus
            | ErrorKind::HttpServer
            | ErrorKind::HttpMalformed
            | ErrorKind::HttpRangeWrong
    )
}

fn may_have_expired(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::HttpUnauthorized | ErrorKind::HttpForbidden)
}

enum Answer {
    Opened(Box<Opened>),
    Redirect(Url, Option<Linked>),
}

fn later(wait: Duration) -> String {
    match clock::wall().checked_add(wait) {
        // Beyond that, a date says nothing, and httpdate ends with the year 9999.
        Some(at) if wait < Duration::from_secs(10 * 365 * 86_400) => {
            format!("not before {}", httpdate::fmt_http_date(at))
        }
        _ => "not in our time".into(),
    }
}

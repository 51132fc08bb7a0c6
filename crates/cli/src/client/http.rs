//! Sends requests to the daemon, and reads its events. Each request uses a new connection, because a command
//! sends only a few requests.

use super::find::Found;
use crate::words;
use downhaul_engine::core::show;
use downhaul_engine::{Error, Url, tls};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// The longest time to open a connection. The default of `--connect-timeout` is the same time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The longest time for the answer to a request. The answer to a wrong secret takes a second, and the answers
/// to other clients with a wrong secret may come first.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The reason for giving up a connection after [`ANSWER_WITHIN`].
const NO_ANSWER: &str = "no answer within a minute";

/// If nothing arrives within this time on a connection for events, the connection counts as lost. The daemon
/// sends at least a comment every 15 seconds.
const QUIET_AT_MOST: Duration = Duration::from_secs(60);

/// The longest answer, in bytes. The longest list has 10,000 downloads, so each download may take 26 KiB.
const ANSWER_MOST: usize = 256 << 20;

/// The longest event, in bytes. An event about progress describes all active downloads.
const EVENT_MOST: usize = 64 << 20;

/// Why a call failed.
pub(super) enum Failed {
    /// The daemon cannot be reached, it refused the secret, or the server is not a daemon. Further calls
    /// would probably fail too, so none is made.
    Lost(String),
    /// The daemon has no download with the identifier in the call.
    Missing(String),
    /// The daemon refused this call, or the command failed for another reason, for example because a list
    /// cannot be read. Further calls may succeed.
    Refused(String),
}

impl From<String> for Failed {
    fn from(why: String) -> Failed {
        Failed::Refused(why)
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> String {
        match failed {
            Failed::Lost(why) | Failed::Missing(why) | Failed::Refused(why) => why,
        }
    }
}

pub(super) struct Http {
    daemon: Found,
    tls: Option<tls::Client>,
}

impl Http {
    /// Returns a client of this daemon.
    ///
    /// # Errors
    /// Returns why the certificates that the client needs cannot be read.
    pub(super) fn new(daemon: Found) -> Result<Http, String> {
        let tls = (daemon.url.scheme() == "https").then(|| match (&daemon.cacert, &daemon.certificate) {
            (None, Some(own)) => tls::Client::of_key(own),
            (given, _) => tls::Client::new(given.as_deref()),
        });
        let unusable = |e: Error| {
            format!("the certificate {} cannot be used: {}", words::path(Path::new(&e.at)), e.detail)
        };
        let tls = tls.transpose().map_err(unusable)?;
        Ok(Http { daemon, tls })
    }

    pub(super) fn url(&self) -> &Url {
        &self.daemon.url
    }

    /// Calls the daemon's interface, and returns the JSON value in the answer. If the answer has no body,
    /// returns [`Value::Null`].
    ///
    /// # Errors
    /// Returns why the daemon cannot be reached, or why it refused the call.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failed> {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        self.call_with(method, path, body).await
    }

    /// Calls the daemon's interface with a body of any type.
    pub(super) async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Value, Failed> {
        let answer = async {
            let answer = self.send(method, path, body).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_MOST).collect().await;
            Ok((status, body.map_err(|e| self.lost(&e.to_string()))?.to_bytes()))
        };
        let answer = timeout(ANSWER_WITHIN, answer).await.unwrap_or_else(|_| Err(self.lost(NO_ANSWER)));
        let (status, body) = answer.map_err(Failed::Lost)?;
        self.checked(status, &body)
    }

    /// Returns a stream of the events that happen from now on.
    pub(super) async fn events(&self) -> Result<Events<'_>, String> {
        let answer = self.send(Method::GET, "/events", None);
        let answer = timeout(ANSWER_WITHIN, answer).await.map_err(|_| self.lost(NO_ANSWER))??;
        if answer.status() == StatusCode::OK {
            return Ok(Events {
                http: self,
                body: answer.into_body(),
                text: Vec::new(),
                heard: Instant::now(),
            });
        }
        let status = answer.status();
        let body = timeout(ANSWER_WITHIN, Limited::new(answer.into_body(), ANSWER_MOST).collect()).await;
        let body = body.map_err(|_| self.lost(NO_ANSWER))?;
        let body = body.map_err(|e| self.lost(&e.to_string()))?.to_bytes();
        Err(self
            .checked(status, &body)
            .err()
            .map_or_else(|| self.lost("the answer is not a stream of events"), String::from))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Response<Incoming>, String> {
        let url = &self.daemon.url;
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let path = format!("{}/api/v1{path}", url.path().trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(path).header(HOST, authority);
        if let Some(secret) = &self.daemon.secret {
            request = request.header(AUTHORIZATION, format!("Bearer {}", secret.expose()));
        }
        let (content_type, body) = body.unwrap_or_default();
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| match &self.daemon.secret {
            Some(_) => format!("{} has characters that no header may have", self.secret()),
            None => "the request to the daemon is malformed".into(),
        })?;
        let stream = self.connect().await?;
        let sent = match &self.tls {
            None => exchange(stream, request).await,
            Some(tls) => match tls.connect(self.host(), stream).await {
                Ok(stream) => exchange(stream, request).await,
                Err(e) => {
                    let why = "With --cacert FILE, the certificate in FILE is trusted.";
                    let detail = show::escaped(&e.detail);
                    return Err(format!("TLS with the daemon at {url} failed: {detail}. {why}"));
                }
            },
        };
        sent.map_err(|e| self.lost(&e.to_string()))
    }

    /// Returns the host of the daemon, without the brackets of an IPv6 address.
    fn host(&self) -> &str {
        self.daemon.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    async fn connect(&self) -> Result<TcpStream, String> {
        let url = &self.daemon.url;
        let port = url.port_or_known_default().unwrap_or(80);
        let connected = timeout(CONNECT_WITHIN, TcpStream::connect((self.host(), port))).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|e| {
            let why = e.to_string();
            let why = why.split(" (os error").next().unwrap_or_default();
            format!(
                "no daemon answers at {url}: {why}. Start one with 'downhaul daemon', or name its address with --daemon URL"
            )
        })
    }

    /// Returns the JSON value in an answer, or why the call failed.
    fn checked(&self, status: StatusCode, body: &[u8]) -> Result<Value, Failed> {
        let value = serde_json::from_slice(body);
        if status.is_success() {
            // A successful response without JSON comes from another server, such as a proxy.
            return if body.is_empty() { Ok(Value::Null) } else { value.map_err(|_| self.other()) };
        }
        let value: Value = value.unwrap_or_default();
        if status == StatusCode::UNAUTHORIZED {
            let why = format!("the daemon at {} refused {}", self.daemon.url, self.secret());
            return Err(Failed::Lost(why));
        }
        let listed = value["mistakes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let said: Vec<&str> = value["message"].as_str().into_iter().chain(listed).collect();
        if said.is_empty() {
            // A daemon gives the reason in JSON. Another server may send any text.
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_string();
            let why = format!("{} answered {status} {}", self.daemon.url, show::escaped(&text));
            return Err(Failed::Lost(why));
        }
        let why = show::escaped(&said.join("; ")).into_owned();
        Err(if status == StatusCode::NOT_FOUND { Failed::Missing(why) } else { Failed::Refused(why) })
    }

    /// Returns the JSON array that an answer has under this name.
    ///
    /// # Errors
    /// Returns an error if there is no such array, because the server is then not a daemon.
    pub(super) fn list<'a>(&self, answer: &'a Value, name: &str) -> Result<&'a [Value], Failed> {
        answer[name].as_array().map(Vec::as_slice).ok_or_else(|| self.other())
    }

    /// Returns the message about a server that is not a daemon.
    fn other(&self) -> Failed {
        Failed::Lost(format!("{} is not the interface of a daemon", self.daemon.url))
    }

    fn secret(&self) -> &str {
        match self.daemon.secret_from.as_str() {
            "" => "a request without a secret",
            from => from,
        }
    }

    /// Returns the message about a connection to the daemon that failed.
    fn lost(&self, why: &str) -> String {
        format!("the connection to the daemon at {} was lost: {}", self.daemon.url, show::escaped(why))
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}

pub(super) struct Events<'a> {
    http: &'a Http,
    body: Incoming,
    /// The bytes that have arrived and were not read as lines yet.
    text: Vec<u8>,
    /// The time when bytes last arrived.
    heard: Instant,
}

impl Events<'_> {
    /// Returns the next event. Its key `kind` says what happened.
    ///
    /// # Errors
    /// Returns an error when the daemon has ended, or the connection was lost.
    pub(super) async fn next(&mut self) -> Result<Value, String> {
        loop {
            while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                // Each event of the daemon is one line of data (WHATWG HTML, "server-sent events").
                if let Some(data) = line.strip_prefix(b"data:") {
                    return serde_json::from_slice(data).map_err(|e| self.http.lost(&e.to_string()));
                }
            }
            let frame = timeout_at(self.heard + QUIET_AT_MOST, self.body.frame()).await;
            let frame = frame.map_err(|_| self.http.lost("the daemon has sent nothing for a minute"))?;
            self.heard = Instant::now();
            let Some(frame) = frame else {
                return Err(format!("the daemon at {} has ended", self.http.daemon.url));
            };
            let frame = frame.map_err(|e| self.http.lost(&e.to_string()))?;
            self.text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if self.text.len() > EVENT_MOST {
                return Err(self.http.lost("an event is too long"));
            }
        }
    }
}

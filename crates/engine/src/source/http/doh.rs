//! Resolves names with DNS over HTTPS (RFC 8484): a server answers in place of the system.
//!
//! Invariant: the DNS server receives no data of the user except the names. The requests to it use separate
//! connections, whose settings contain no headers, logins, cookies, client certificates or proxies. If the
//! DNS server fails, the system does not resolve the name either.

use super::dispatch::Dispatcher;
use super::request;
use crate::credentials::{Peer, Permit};
use crate::source::{Request, next_bytes};
use crate::trace::NET;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use downhaul_core::error::Error;
use downhaul_core::settings::{Family, Settings};
use downhaul_core::show;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use http::StatusCode;
use http::header::{ACCEPT, HeaderValue};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::timeout;
use tracing::debug;
use url::Url;

/// The highest number of bytes of a DNS message (RFC 8484, section 6).
const MESSAGE_MOST: usize = 65_535;

/// The highest number of aliases (CNAME) between a name and its addresses. BIND follows 16 aliases at most.
const ALIASES_MOST: usize = 16;

/// The media type of DNS messages (RFC 8484, section 6).
const DNS_MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");

/// A server that resolves names.
pub(super) struct Doh {
    url: Url,
    settings: Arc<Settings>,
    dispatcher: Dispatcher,
}

impl Doh {
    /// Returns the server that the settings name, if there is one.
    ///
    /// # Errors
    /// Returns an error if the certificates to trust cannot be read.
    pub(super) fn of(settings: &Settings) -> Result<Option<Arc<Doh>>, Error> {
        let Some(server) = &settings.doh else { return Ok(None) };
        let own = Settings::default()
            .with_connect_timeout(settings.connect_timeout)
            .with_timeout(settings.connect_timeout)
            .with_cacert(settings.cacert.clone())
            .with_insecure(settings.insecure)
            .with_insecure_hosts(settings.insecure_hosts.clone())
            .with_tls_min(settings.tls_min)
            .with_family(settings.family)
            .with_resolve(settings.resolve.clone())
            .with_interface(settings.interface.clone())
            .with_refuse_private(false);
        let own = Arc::new(own);
        let dispatcher = Dispatcher::new(own.clone())?;
        Ok(Some(Arc::new(Doh { url: server.url().clone(), settings: own, dispatcher })))
    }

    /// Returns the addresses of a host. All queries for the host together must end within the time limit for
    /// connecting.
    ///
    /// # Errors
    /// Returns an error with the URL of the DNS server and the reason.
    pub(super) fn look_up(self: Arc<Self>, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let patience = self.settings.connect_timeout;
            let found = timeout(patience, self.addresses(&name)).await;
            let found =
                found.unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs_f64())));
            found.map_err(|why| io::Error::other(format!("the DNS server {}: {why}", show::url(&self.url))))
        }
        .boxed()
    }

    /// Sends one query for each IP version that the settings allow, all at the same time, and returns the
    /// addresses. A query that fails is ignored if another one finds an address.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let mut name = Name::from_ascii(name).map_err(|e| e.to_string())?;
        name.set_fqdn(true);
        let kinds = match self.settings.family {
            Family::Any => &[RecordType::AAAA, RecordType::A][..],
            Family::V4 => &[RecordType::A],
            Family::V6 => &[RecordType::AAAA],
        };
        let queries = kinds.iter().map(|kind| self.ask(Query::query(name.clone(), *kind)));
        let (mut addresses, mut failure) = (Vec::new(), None);
        for answer in join_all(queries).await {
            match answer {
                Ok(found) => addresses.extend(found),
                Err(why) => {
                    debug!(target: NET, %name, why, "a DNS query failed");
                    failure = Some(why);
                }
            }
        }
        match failure {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(why) => Err(why),
            None => Err("the host has no address".into()),
        }
    }

    async fn ask(&self, query: Query) -> Result<Vec<IpAddr>, String> {
        // With the ID 0, equal queries have equal URLs, so that caches can answer them (RFC 8484, section
        // 4.1).
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(query.clone());
        let message = message.to_vec().map_err(|e| e.to_string())?;
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("dns", &BASE64_URL_SAFE_NO_PAD.encode(message));
        addresses_in(&self.fetch(&url).await?, &query)
    }

    async fn fetch(&self, url: &Url) -> Result<Vec<u8>, String> {
        let reason = |e: Error| match e.detail.as_str() {
            "" => e.kind.meaning().to_string(),
            detail => format!("{}: {detail}", e.kind.meaning()),
        };
        // Requests for files of a known small size use HTTP/2 if the server supports it. Some DNS servers
        // support no other HTTP version, so this request states a small size.
        let asked = Request { size: Some(MESSAGE_MOST as u64), ..Request::EVERYTHING };
        let user_agent = &self.settings.user_agent;
        let mut request = request::build(url, user_agent, &Permit::default(), &asked).map_err(reason)?;
        request.headers_mut().insert(ACCEPT, DNS_MESSAGE);
        let sent = self.dispatcher.send(url, Peer::default(), request, &asked).await;
        let response = sent.map_err(reason)?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answered {}", request::status_line(response.status())));
        }
        let mut body = response.into_body();
        let mut message = Vec::new();
        while let Some(bytes) = next_bytes(&mut body).await {
            message.extend_from_slice(&bytes.map_err(reason)?);
            if message.len() > MESSAGE_MOST {
                return Err(format!("its answer is longer than {MESSAGE_MOST} bytes"));
            }
        }
        Ok(message)
    }
}

/// Returns the addresses in the answer to a query. The result may be empty. If the answer cannot be used, or
/// says that the host does not exist, returns the reason.
fn addresses_in(answer: &[u8], query: &Query) -> Result<Vec<IpAddr>, String> {
    let answer = Message::from_vec(answer).map_err(|_| "its answer is not a DNS message")?;
    if answer.metadata.message_type != MessageType::Response || answer.queries != [query.clone()] {
        return Err("its answer does not belong to the query".into());
    }
    match answer.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Err("there is no host of this name".into()),
        code => return Err(format!("it could not answer ({code})")),
    }
    let mut owner = query.name();
    for _ in 0..ALIASES_MOST {
        let alias = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *owner => Some(&target.0),
            _ => None,
        });
        let Some(alias) = alias else { break };
        owner = alias;
    }
    let addresses = answer.answers.iter().filter(|record| record.name == *owner);
    let addresses = addresses.filter_map(|record| match &record.data {
        RData::A(address) if query.query_type() == RecordType::A => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) if query.query_type() == RecordType::AAAA => Some(IpAddr::V6(address.0)),
        _ => None,
    });
    Ok(addresses.collect())
}

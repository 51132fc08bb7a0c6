//! Defines the HTTP source, which fetches files from `http` and `https` URLs.
//!
//! Several modules take part in a request. [`file`] sends the request and follows redirects until a response
//! contains the file. [`retry_after`] checks if the host required a pause. [`login_gate`] limits how many
//! requests log in at the same time. [`exchange`] adds the secrets, and answers the challenges of servers.
//! [`dispatch`] chooses HTTP/1.1 ([`http1`]) or HTTP/2 ([`http2`]). [`redirect`] finds the next URL.
//! [`transport`] opens new connections, with [`dial`] for TCP, [`names`] and [`doh`] for the addresses of
//! hosts, [`proxy`] for proxies and [`tls`] for certificates. A [`route`] says which connection a URL needs.
//! [`request`] writes headers, [`response_head`] repairs heads of responses, [`body`] reads bodies, and
//! [`decode`] decodes them.
//!
//! Invariant: every secret on a request to a server comes from [`crate::credentials`], which decides where a
//! secret may be sent. The user name and the password for a proxy are sent only to this proxy ([`proxy`]).
//! The URLs in this module have no userinfo.

mod body;
mod decode;
mod dial;
mod dispatch;
#[cfg_attr(not(feature = "doh"), path = "no_doh.rs")]
mod doh;
mod exchange;
mod facts;
mod failure;
mod file;
mod hsts;
mod http1;
mod http2;
mod login_gate;
mod names;
mod origins;
mod proxy;
mod reason;
mod redirect;
mod remembered;
mod request;
mod response_head;
mod retry_after;
mod route;
mod socket;
pub(crate) mod tls;
mod transport;

use super::GivenBy;
use crate::credentials::{Given, Store};
use downhaul_core::error::Error;
use downhaul_core::settings::Settings;
use file::HttpFile;
use std::sync::Arc;
use url::Url;

/// The state that all requests over one network share (see [`crate::networks`]).
pub(crate) struct Client {
    settings: Arc<Settings>,
    dispatcher: dispatch::Dispatcher,
    credentials: Store,
    pauses: retry_after::Pauses,
    /// Limits how many requests log in at a server to which a redirect led them.
    gates: login_gate::Gates,
    /// Limits how many requests send a user name and a password that the server has not accepted yet.
    trials: login_gate::Gates,
    hsts: hsts::Hsts,
}

impl Client {
    /// Creates the client.
    ///
    /// # Errors
    /// Returns an error if the certificates or keys of the settings cannot be read, or if DNS over HTTPS
    /// cannot be set up.
    pub(crate) fn new(settings: Arc<Settings>) -> Result<Self, Error> {
        let dispatcher = dispatch::Dispatcher::new(settings.clone())?;
        let credentials = Store::new(settings.clone());
        let hsts = hsts::Hsts::new(settings.hsts);
        Ok(Client {
            settings,
            dispatcher,
            credentials,
            pauses: retry_after::Pauses::default(),
            gates: login_gate::Gates::default(),
            trials: login_gate::Gates::default(),
            hsts,
        })
    }

    pub(crate) fn file(self: &Arc<Self>, url: &Url, by: GivenBy) -> HttpFile {
        HttpFile::new(self.clone(), Given::new(url, by))
    }
}

//! Replaces `doh.rs` in builds without DNS over HTTPS. Settings that name a DNS server are refused.
//!
//! Invariant: if the settings name a DNS server, the system never resolves names in its place.

use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::settings::Settings;
use downhaul_core::show;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) enum Doh {}

impl Doh {
    pub(super) fn of(settings: &Settings) -> Result<Option<Arc<Doh>>, Error> {
        match &settings.doh {
            None => Ok(None),
            Some(server) => {
                let why = "this build lacks the feature doh";
                Err(Error::new(ErrorKind::DnsUnresolved, show::url(server.url()), why))
            }
        }
    }

    pub(super) async fn look_up(self: Arc<Self>, _name: String) -> io::Result<Vec<IpAddr>> {
        match *self {}
    }
}

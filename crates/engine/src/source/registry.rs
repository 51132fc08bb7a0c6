//! Finds the protocol for a URL by the scheme of the URL.
//!
//! Invariant: a scheme has at most one [`Factory`], the function that makes the sources for its URLs. A
//! scheme without a factory uses the factory for all other schemes. If the registry does not have that
//! factory either, the source for such a URL fails with `url.scheme`.

use super::http::Client;
use super::{GivenBy, Opened, Request, Source};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::job;
use downhaul_core::settings::Settings;
use downhaul_core::show;
use futures_util::future::{self, BoxFuture};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use url::Url;

/// Makes the source for a URL. The value of type [`GivenBy`] says where the URL came from.
pub type Factory = Arc<dyn Fn(&Url, GivenBy) -> Arc<dyn Source> + Send + Sync>;

/// A registry of protocols, which makes the source for a URL by the scheme of the URL.
///
/// ```
/// # use downhaul_engine::source::{Source, Sources};
/// # use downhaul_engine::{Session, Settings};
/// # use std::sync::Arc;
/// # fn add(
/// #     ftp: impl Fn(&url::Url) -> Arc<dyn Source> + Send + Sync + 'static,
/// # ) -> Result<(), downhaul_engine::Error> {
/// let settings = Settings::default();
/// let sources = Sources::http(&settings)?.with_scheme("ftp", move |url, _| ftp(url));
/// let builder = Session::builder(settings).sources(sources);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Sources {
    by_scheme: HashMap<String, Factory>,
    /// The factory for all schemes that have no factory of their own.
    other: Option<Factory>,
}

impl Sources {
    /// Returns a registry without any protocol.
    pub fn none() -> Sources {
        Sources::default()
    }

    /// Returns a registry with HTTP for the schemes `http` and `https`.
    ///
    /// # Errors
    /// Returns an error if the certificates to trust ([`Settings::cacert`]) or the client certificate and its
    /// key ([`Settings::client_certificate`]) cannot be read, if DNS over HTTPS ([`Settings::doh`]) cannot be
    /// set up, or if one of [`Settings::headers`] cannot be sent.
    pub fn http(settings: &Settings) -> Result<Sources, Error> {
        let invalid = |why| Error::new(ErrorKind::UrlInvalid, "", why);
        let settings = settings.clone().with_headers(settings.headers.checked().map_err(invalid)?);
        let client = Arc::new(Client::new(Arc::new(settings))?);
        let http = move |url: &Url, by| Arc::new(client.file(url, by)) as Arc<dyn Source>;
        Ok(Sources::none().with_scheme("http", http.clone()).with_scheme("https", http))
    }

    /// Returns a registry with one factory for all URLs.
    pub fn for_all(factory: impl Fn(&Url, GivenBy) -> Arc<dyn Source> + Send + Sync + 'static) -> Sources {
        Sources { other: Some(Arc::new(factory)), ..Sources::none() }
    }

    /// Adds a protocol for a scheme, or replaces the existing protocol for this scheme. `scheme` is the name
    /// without `://`, and its case does not matter.
    #[must_use]
    pub fn with_scheme(
        mut self,
        scheme: &str,
        factory: impl Fn(&Url, GivenBy) -> Arc<dyn Source> + Send + Sync + 'static,
    ) -> Sources {
        self.by_scheme.insert(scheme.to_ascii_lowercase(), Arc::new(factory));
        self
    }

    /// Wraps the sources of all protocols that were registered before this call, for example to count, cache
    /// or sign requests. `wrap` gets a URL and its original source, and returns the source to use in its
    /// place. That source should forward [`Source::round_trip`] to the original source, because the default
    /// implementation says that the time is not known.
    #[must_use]
    pub fn wrapped(
        mut self,
        wrap: impl Fn(&Url, Arc<dyn Source>) -> Arc<dyn Source> + Send + Sync + 'static,
    ) -> Sources {
        let wrap = Arc::new(wrap);
        for factory in self.by_scheme.values_mut().chain(self.other.as_mut()) {
            let (inner, wrap) = (factory.clone(), wrap.clone());
            *factory = Arc::new(move |url, by| wrap(url, inner(url, by)));
        }
        self
    }

    /// Returns the URL in `text`, if one of the registered protocols can fetch it.
    ///
    /// # Errors
    /// Returns `url.invalid` if `text` is not a valid URL, or `url.scheme` if no protocol is registered for
    /// the scheme of the URL.
    pub fn parse_url(&self, text: &str) -> Result<Url, Error> {
        job::parse_url_with(text, |scheme| self.other.is_some() || self.by_scheme.contains_key(scheme))
    }

    /// Makes the source for a URL. `by` says where the URL came from.
    pub fn source(&self, url: &Url, by: GivenBy) -> Arc<dyn Source> {
        match self.by_scheme.get(url.scheme()).or(self.other.as_ref()) {
            Some(factory) => factory(url, by),
            None => Arc::new(Unknown(url.clone())),
        }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schemes = self.by_scheme.keys().map(String::as_str);
        f.debug_set().entries(schemes.chain(self.other.as_ref().map(|_| "*"))).finish()
    }
}

/// The source for a URL whose scheme has no registered protocol.
struct Unknown(Url);

impl Source for Unknown {
    fn open(&self, _: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        let why = format!("{}:// is not", self.0.scheme());
        Box::pin(future::ready(Err(Error::new(ErrorKind::UrlScheme, show::url(&self.0), why))))
    }
}

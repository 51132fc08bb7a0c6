//! Reads the proxies that the user names, and chooses the proxy through which a URL is requested.
//!
//! Invariant: the login of a proxy is only for this proxy. The `Display` form of a [`Proxy`] does not contain
//! the login, its `Debug` form does not contain the password, and the login is sent only over connections to
//! this proxy.

mod answer;
mod except;

pub use answer::{Answer, HEAD_MOST, read_answer};
pub use except::NoProxy;

use crate::credentials;
use crate::host_rules::HostRules;
use crate::secret::Login;
use std::collections::HashSet;
use std::fmt;
use url::{Host, Url};

/// The longest user name, password or host name in SOCKS5, in bytes. The protocol has one byte for each of
/// their lengths (RFC 1928, section 5, and RFC 1929, section 2).
pub const SOCKS_TEXT_MOST: usize = 255;

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// The protocol of the proxy.
    pub protocol: Protocol,
    /// The host of the proxy. An IPv6 address has no brackets here.
    pub host: Host<String>,
    /// The port of the proxy.
    pub port: u16,
    /// The user name and the password for the proxy.
    pub login: Option<Login>,
}

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP. Requests for `http` URLs are sent in absolute form. All other URLs go through a tunnel
    /// (CONNECT).
    Http,
    /// HTTP inside TLS. The certificate of the proxy is verified in the same way as the certificate of a
    /// server.
    Https,
    /// SOCKS4a. The proxy resolves names.
    Socks4a,
    /// SOCKS5. Names are resolved on this machine.
    Socks5,
    /// SOCKS5. The proxy resolves names.
    Socks5h,
}

const PROTOCOLS: [(&str, Protocol); 6] = [
    ("http", Protocol::Http),
    ("https", Protocol::Https),
    ("socks4a", Protocol::Socks4a),
    ("socks5", Protocol::Socks5),
    ("socks5h", Protocol::Socks5h),
    // Desktops such as GNOME export `all_proxy=socks://HOST:PORT/`, and mean SOCKS5 with names that the proxy
    // resolves.
    ("socks", Protocol::Socks5h),
];

/// The port of proxies whose URL has no port, as in curl. For proxies over https, it is [`PORT_HTTPS`].
const PORT: u16 = 1080;
const PORT_HTTPS: u16 = 443;

impl Proxy {
    /// Reads `[scheme://][user[:password]@]host[:port]`. Without a scheme, the protocol is HTTP. A path is
    /// ignored, as in curl.
    ///
    /// # Errors
    /// Returns what is wrong with the text, in words for the user. The message does not contain the text,
    /// because the text may contain a password.
    pub fn parse(text: &str) -> Result<Proxy, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        let Some((_, protocol)) = PROTOCOLS.iter().find(|(name, _)| *name == scheme) else {
            let known: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
            return Err(format!("the scheme of a proxy URL must be one of {}", known.join(", ")));
        };
        let form = || "the proxy must have the form http://host:port".to_string();
        // The text is read as an http URL and as an https URL. The URL library leaves out the usual port of a
        // scheme. No port is the usual port of both schemes, so one of the two URLs keeps the port of the
        // text.
        let [as_http, as_https] =
            ["http", "https"].map(|scheme| Url::parse(&format!("{scheme}://{rest}")).map_err(|_| form()));
        let url = as_http?;
        let usual = if *protocol == Protocol::Https { PORT_HTTPS } else { PORT };
        let port = url.port().or(as_https?.port()).unwrap_or(usual);
        if port == 0 || url.query().is_some() || url.fragment().is_some() {
            return Err(form());
        }
        let host = url.host().ok_or_else(form)?.to_owned();
        Proxy { protocol: *protocol, host, port, login: None }.with_login(credentials::login_of(&url)?)
    }

    /// Sets the login of the proxy, or removes it.
    ///
    /// # Errors
    /// Returns an error if the protocol of the proxy cannot carry this login.
    pub fn with_login(mut self, login: Option<Login>) -> Result<Proxy, String> {
        if let Some(login) = &login {
            let (user, password) = (login.user.as_bytes(), login.password.expose().as_bytes());
            let too_long = user.len() > SOCKS_TEXT_MOST || password.len() > SOCKS_TEXT_MOST;
            match self.protocol {
                Protocol::Socks4a if user.contains(&0) => {
                    return Err("a user name for a SOCKS4a proxy cannot contain a NUL".into());
                }
                Protocol::Socks5 | Protocol::Socks5h if too_long || user.is_empty() => {
                    return Err(
                        "the login of a SOCKS5 proxy needs a user name. The user name and the password may have at most 255 bytes each".into(),
                    );
                }
                Protocol::Http | Protocol::Https if user.contains(&b':') => {
                    return Err("a user name for an HTTP proxy cannot contain a colon".into());
                }
                _ => {}
            }
        }
        self.login = login;
        Ok(self)
    }

    /// Returns true if a request for this URL goes to the proxy in absolute form, and not through a tunnel.
    pub fn forwards(&self, url: &Url) -> bool {
        matches!(self.protocol, Protocol::Http | Protocol::Https) && url.scheme() == "http"
    }
}

/// Writes the URL of the proxy, without the login.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PROTOCOLS.iter().find(|(_, one)| *one == self.protocol).map_or("", |(name, _)| name);
        write!(f, "{name}://{}:{}", self.host, self.port)
    }
}

/// The proxies of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxy for `http` URLs.
    pub http: Option<Proxy>,
    /// The proxy for `https` URLs.
    pub https: Option<Proxy>,
    /// The schemes whose proxy was named in a form that cannot be used, each with the reason. A URL that
    /// needs such a proxy is not requested, because a direct connection is not what the user wants.
    pub unusable: Vec<(String, String)>,
    /// The hosts that are reached without a proxy.
    pub except: NoProxy,
    /// Rules for some hosts. A rule may state a proxy or a direct connection, which then replaces the proxies
    /// in `http` and `https`.
    pub for_hosts: HostRules,
}

impl Proxies {
    /// Returns the proxy through which a URL is requested, or `None` for a direct connection.
    pub fn of(&self, url: &Url) -> Option<&Proxy> {
        let of_rule = self.of_rule(url);
        let proxy = match url.scheme() {
            "http" | "https" if of_rule.is_some() => of_rule.and_then(Option::as_ref),
            "http" => self.http.as_ref(),
            "https" => self.https.as_ref(),
            _ => None,
        };
        proxy.filter(|_| !self.is_excepted(url))
    }

    /// Returns what is wrong with the proxy that a URL needs, if that proxy cannot be used.
    pub fn why_unusable(&self, url: &Url) -> Option<&str> {
        let (_, why) = self.unusable.iter().find(|(scheme, _)| scheme == url.scheme())?;
        (self.of_rule(url).is_none() && !self.is_excepted(url)).then_some(why)
    }

    fn of_rule(&self, url: &Url) -> Option<&Option<Proxy>> {
        let mut rules = self.for_hosts.all().iter().filter(|(pattern, _)| pattern.matches(url));
        rules.find_map(|(_, options)| options.proxy.as_ref())
    }

    fn is_excepted(&self, url: &Url) -> bool {
        url.host().is_none_or(|host| self.except.has(&host))
    }

    /// Returns all proxies. Each proxy is returned once.
    pub fn each(&self) -> impl Iterator<Item = &Proxy> {
        let of_rules =
            self.for_hosts.all().iter().filter_map(|(_, options)| options.proxy.as_ref()?.as_ref());
        let mut seen = HashSet::new();
        self.http.iter().chain(&self.https).chain(of_rules).filter(move |proxy| seen.insert(*proxy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_rules::{HostOptions, HostPattern};

    fn for_all(proxy: &str) -> Proxies {
        let proxy = Proxy::parse(proxy).expect("a proxy");
        Proxies { http: Some(proxy.clone()), https: Some(proxy), ..Proxies::default() }
    }

    fn shown(text: &str) -> Result<String, String> {
        Proxy::parse(text).map(|proxy| match &proxy.login {
            Some(login) => format!("{proxy} {}|{}", login.user, login.password.expose()),
            None => proxy.to_string(),
        })
    }

    #[test]
    fn proxies_are_read_as_curl_reads_them() {
        for (text, wanted) in [
            ("proxy.example", "http://proxy.example:1080"),
            ("PROXY.example:3128", "http://proxy.example:3128"),
            ("http://proxy.example:80/", "http://proxy.example:80"),
            ("http://proxy.example:443", "http://proxy.example:443"),
            ("https://proxy.example", "https://proxy.example:443"),
            ("HTTPS://proxy.example:80/path", "https://proxy.example:80"),
            ("socks5h://10.0.0.1", "socks5h://10.0.0.1:1080"),
            ("socks5://[::1]:9", "socks5://[::1]:9"),
            ("socks4a://h:80", "socks4a://h:80"),
            ("socks://127.0.0.1:1080/", "socks5h://127.0.0.1:1080"),
            ("http://ann:p%40s:s@h:1", "http://h:1 ann|p@s:s"),
            ("ann:@h:1", "http://h:1 ann|"),
            ("ann@h:1", "http://h:1 ann|"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_read_is_refused_without_its_password() {
        let long = format!("socks5://{}:hush@h:1", "u".repeat(256));
        for text in [
            "",
            "http://",
            "ftp://ann:hush@h",
            "socks4://ann:hush@h",
            "http://ann:hush@h:99999",
            "http://ann:hush@h:0",
            "http://ann:hush@h:1?q",
            "http://ann:hush%0d%0aX:1@h",
            "http://ann%3ahush:x@h",
            "socks5://:hush@h:1",
            &long,
        ] {
            let error = shown(text).expect_err(text);
            assert!(!error.contains("hush"), "{text}: {error}");
        }
    }

    #[test]
    fn the_scheme_of_a_url_chooses_the_proxy() {
        let proxy = |text| Some(Proxy::parse(text).expect(text));
        let proxies = Proxies {
            http: proxy("http://a:1"),
            https: proxy("socks5h://b:2"),
            except: NoProxy::parse("direct.example"),
            ..Proxies::default()
        };
        let of = |url| proxies.of(&Url::parse(url).expect(url)).map(ToString::to_string);
        assert_eq!(of("http://h/"), Some("http://a:1".into()));
        assert_eq!(of("https://h/"), Some("socks5h://b:2".into()));
        assert_eq!(of("http://127.0.0.1/"), Some("http://a:1".into()));
        assert_eq!(of("https://www.direct.example:8443/"), None);
        assert_eq!(of("ftp://h/"), None);
        assert_eq!(proxies.each().count(), 2);
        assert_eq!(for_all("h:1").each().count(), 1);
    }

    #[test]
    fn each_proxy_is_returned_once_even_if_another_proxy_differs_only_in_its_login() {
        let proxy = |text| Some(Proxy::parse(text).expect(text));
        let options = HostOptions { proxy: Some(proxy("http://ann:x@h:1")), ..HostOptions::default() };
        let proxies = Proxies {
            http: proxy("http://ann:x@h:1"),
            https: proxy("http://bob:y@h:1"),
            for_hosts: HostRules::new(vec![(HostPattern::read("a.example").expect("a pattern"), options)]),
            ..Proxies::default()
        };
        let users: Vec<&str> =
            proxies.each().filter_map(|one| Some(one.login.as_ref()?.user.as_str())).collect();
        assert_eq!(users, ["ann", "bob"]);
    }

    #[test]
    fn no_printed_form_of_a_proxy_contains_the_password() {
        let proxy = Proxy::parse("http://ann:hush@h:1").expect("a proxy");
        let text = format!("{proxy} {proxy:?} {:?}", for_all("http://ann:hush@h:1"));
        assert!(!text.contains("hush"), "{text}");
    }
}

//! Rules with options for some hosts only. This file decides which hosts a rule applies to, and which rule is
//! used if several rules apply.
//!
//! Invariant: the headers, the login and the token of a rule are sent only to hosts that match its pattern.
//! They are sent over https, and over http only if the pattern begins with `http://`.

use crate::job::Headers;
use crate::proxy::Proxy;
use crate::public_suffix::is_icann_suffix;
use crate::secret::{Login, Secret};
use std::fmt;
use url::Url;

/// A pattern that says which hosts a rule applies to.
///
/// - `example.org` means that host with the usual port of the scheme.
/// - `example.org:8443` means that host with this port.
/// - `*.example.org` means all names below `example.org`, but not `example.org` itself. Names below a public
///   suffix of ICANN, such as `com` or `co.uk`, have many owners, so `*.com` is refused. `*.lan` is accepted,
///   because `lan` is not in the Public Suffix List.
/// - `https://` or `http://` before any of these restricts the pattern to that scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    text: String,
    scheme: Option<String>,
    /// True if the pattern means all names below `host`, and not `host` itself.
    is_below: bool,
    /// The host in lower case and in ASCII, as in URLs.
    host: String,
    /// The port. `None` means the usual port of the scheme.
    port: Option<u16>,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Returns the reason why the text is not a pattern, in words for the user.
    pub fn read(text: &str) -> Result<HostPattern, String> {
        const FORMS: &str =
            "it must be like example.org, *.example.org, example.org:8443 or http://example.org";
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
            Some(_) => return Err(FORMS.into()),
            None => (None, text),
        };
        let (is_below, host) = match rest.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, rest),
        };
        if host.contains(['/', '?', '#', '@', '*', '\\', ' ']) || is_below && host.is_empty() {
            return Err(FORMS.into());
        }
        // The URL library removes the usual port of a scheme, so the port 443 is found in the text.
        let url = Url::parse(&format!("{}://{host}/", scheme.unwrap_or("https"))).map_err(|_| FORMS)?;
        let port = url.port().or_else(|| host.ends_with(":443").then_some(443));
        let host = url.host_str().ok_or(FORMS)?.to_string();
        // A suffix of a company, such as `github.io`, is allowed: a limit for all its names is useful.
        if is_below && is_icann_suffix(&host) {
            return Err(format!(
                "the names below {host} belong to many owners, because {host} is a public suffix"
            ));
        }
        Ok(HostPattern { text: text.into(), scheme: scheme.map(String::from), is_below, host, port })
    }

    /// Returns true if the rule applies to this URL.
    pub fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let is_host = match self.is_below {
            true => {
                host.strip_suffix(&self.host).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
            }
            false => host == self.host,
        };
        let is_port = match self.port {
            Some(port) => url.port_or_known_default() == Some(port),
            None => url.port().is_none(),
        };
        is_host && is_port && self.scheme.as_deref().is_none_or(|scheme| scheme == url.scheme())
    }

    /// Returns true if the headers, the login and the token of the rule may be sent to this URL.
    pub fn trusts(&self, url: &Url) -> bool {
        self.matches(url) && (url.scheme() == "https" || self.scheme.as_deref() == Some("http"))
    }

    /// Returns how specific the pattern is. A higher value is more specific.
    fn precision(&self) -> (bool, usize, bool, bool) {
        (!self.is_below, self.host.len(), self.port.is_some(), self.scheme.is_some())
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The options of a rule. An option that is `None` is taken from a less specific rule, or from the settings
/// for all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostOptions {
    /// The highest number of connections for one file. 0 counts as 1.
    pub connections: Option<usize>,
    /// The highest number of connections to each host of the rule, for all files together. 0 counts as 1.
    pub max_per_host: Option<usize>,
    /// The highest rate for all hosts of the rule together, in bytes a second.
    pub limit_rate: Option<u64>,
    /// Headers (name, value) for these hosts. They are also sent if a redirect or a document leads to one of
    /// the hosts.
    pub headers: Headers,
    /// The login for these hosts, if the server requires one.
    pub user: Option<Login>,
    /// The bearer token for these hosts.
    pub bearer: Option<Secret>,
    /// The proxy for these hosts. `Some(None)` is a direct connection.
    pub proxy: Option<Option<Proxy>>,
}

impl HostOptions {
    /// Returns true if there are headers, or a login or a token.
    fn has_secrets(&self) -> bool {
        !self.headers.0.is_empty() || self.user.is_some() || self.bearer.is_some()
    }
}

/// Rules for hosts. If several rules apply to one URL, each option is taken from the most specific rule that
/// has this option. Headers are taken from all of these rules ([`HostRules::headers`]). To find the more
/// specific of two rules, the following differences are looked at in this order, and the first one decides:
/// - A name without `*.` is more specific than a name with `*.`.
/// - A longer name is more specific than a shorter name.
/// - A pattern with a port is more specific than a pattern without a port.
/// - A pattern with a scheme is more specific than a pattern without a scheme.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostRules(Vec<(HostPattern, HostOptions)>);

impl HostRules {
    /// Returns the rules with these patterns and options.
    pub fn new(mut rules: Vec<(HostPattern, HostOptions)>) -> HostRules {
        rules.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.precision()));
        HostRules(rules)
    }

    /// Returns all rules, the most specific ones first.
    pub fn all(&self) -> &[(HostPattern, HostOptions)] {
        &self.0
    }

    /// Returns the highest number of connections for a file whose first URL is `url`, if a rule states one.
    pub fn connections(&self, url: &Url) -> Option<usize> {
        self.first(url, |options| options.connections).map(|(_, most)| most)
    }

    /// Returns the highest number of connections to the host of this URL, if a rule states one.
    pub fn max_per_host(&self, url: &Url) -> Option<usize> {
        self.first(url, |options| options.max_per_host).map(|(_, most)| most.max(1))
    }

    /// Returns the position (in [`HostRules::all`]) of the rule that limits the rate of this URL, and the
    /// rate in bytes a second. All URLs with the same rule share the limit of this rule.
    pub fn limit_rate(&self, url: &Url) -> Option<(usize, u64)> {
        self.first(url, |options| options.limit_rate)
    }

    /// Returns the headers for this URL. These are the headers of all rules that apply to the URL. Over http,
    /// only rules for `http://` count. If two rules have a header of the same name, the header of the more
    /// specific rule is used.
    pub fn headers(&self, url: &Url) -> Vec<(&str, &Secret)> {
        let mut headers: Vec<(&str, &Secret)> = Vec::new();
        for options in self.trusting(url) {
            let above = headers.len();
            for (name, value) in &options.headers.0 {
                let is_there = headers.iter().take(above).any(|(other, _)| other.eq_ignore_ascii_case(name));
                if !is_there {
                    headers.push((name.as_str(), value));
                }
            }
        }
        headers
    }

    /// Returns the login for this URL, if a rule has one that may be sent to this URL.
    pub fn login(&self, url: &Url) -> Option<&Login> {
        self.trusting(url).find_map(|options| options.user.as_ref())
    }

    /// Returns the bearer token for this URL, if a rule has one that may be sent to this URL.
    pub fn bearer(&self, url: &Url) -> Option<&Secret> {
        self.trusting(url).find_map(|options| options.bearer.as_ref())
    }

    fn trusting(&self, url: &Url) -> impl Iterator<Item = &HostOptions> {
        self.0.iter().filter(|(pattern, _)| pattern.trusts(url)).map(|(_, options)| options)
    }

    /// Returns the pattern of a rule whose headers, login or token are not sent to this URL because the
    /// scheme of the URL is http. Returns `None` if there is no such rule.
    pub fn held_back(&self, url: &Url) -> Option<&HostPattern> {
        let is_held = |(pattern, options): &&(HostPattern, HostOptions)| {
            pattern.matches(url) && !pattern.trusts(url) && options.has_secrets()
        };
        self.0.iter().find(is_held).map(|(pattern, _)| pattern)
    }

    fn first<T>(&self, url: &Url, option: impl Fn(&HostOptions) -> Option<T>) -> Option<(usize, T)> {
        let mut rules = self.0.iter().enumerate().filter(|(_, (pattern, _))| pattern.matches(url));
        rules.find_map(|(number, (_, options))| Some((number, option(options)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    #[test]
    fn a_pattern_matches_its_hosts_and_no_others() {
        for (pattern, matching, others) in [
            (
                "example.org",
                &["https://example.org/a", "http://EXAMPLE.org/", "https://example.org:443/"][..],
                &["https://www.example.org/", "https://example.org:8443/", "https://example.org.evil.net/"][..],
            ),
            ("example.org:8443", &["https://example.org:8443/"], &["https://example.org/"]),
            ("example.org:443", &["https://example.org/"], &["http://example.org/"]),
            (
                "*.example.org",
                &["https://a.example.org/", "https://a.b.example.org/"],
                &["https://example.org/", "https://notexample.org/", "https://.example.org/"],
            ),
            (
                "http://example.org",
                &["http://example.org/"],
                &["https://example.org/", "http://example.org:81/"],
            ),
            ("http://[::1]:8080", &["http://[::1]:8080/x"], &["http://[::1]/"]),
            ("*.Straße.example", &["https://a.xn--strae-oqa.example/"], &["https://a.strasse.example/"]),
        ] {
            let read = HostPattern::read(pattern).expect(pattern);
            assert_eq!(read.to_string(), pattern);
            for one in matching {
                assert!(read.matches(&url(one)), "{pattern}: {one}");
            }
            for other in others {
                assert!(!Url::parse(other).is_ok_and(|url| read.matches(&url)), "{pattern}: {other}");
            }
        }
        for bad in [
            "",
            "*",
            "*.org",
            "*.co.uk",
            "*.",
            "a*.example.org",
            "ftp://h",
            "h/path",
            "u@h",
            "h:port",
            "a b",
            "*.*.example.org",
        ] {
            assert!(HostPattern::read(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error(text in r"(https?://)?(\*\.)?\PC{0,20}") {
            if let Ok(pattern) = HostPattern::read(&text) {
                pattern.matches(&url("https://example.org/"));
            }
        }
    }

    #[test]
    fn the_most_precise_rule_is_used_and_headers_are_sent_over_https_only() {
        let rule = |pattern: &str, connections: Option<usize>, headers: &[(&str, &str)]| {
            let headers: Headers = headers.iter().copied().collect();
            let options = HostOptions { connections, headers, ..HostOptions::default() };
            (HostPattern::read(pattern).expect(pattern), options)
        };
        let rules = HostRules::new(vec![
            rule("*.example.org", Some(1), &[("X-A", "below"), ("X-B", "below"), ("X-B", "again")]),
            rule("*.data.example.org", None, &[("x-a", "data")]),
            rule("a.data.example.org", Some(3), &[]),
            rule("http://plain.example.org", Some(4), &[("X-C", "plain")]),
        ]);
        assert_eq!(rules.connections(&url("https://a.data.example.org/")), Some(3));
        assert_eq!(rules.connections(&url("https://b.data.example.org/")), Some(1));
        assert_eq!(rules.connections(&url("https://example.org/")), None);
        let headers = |text: &str| {
            let headers = rules.headers(&url(text)).into_iter();
            headers.map(|(name, value)| (name.to_string(), value.clone())).collect::<Vec<_>>()
        };
        let all = |headers: &[(&str, &str)]| headers.iter().copied().collect::<Headers>().0;
        assert_eq!(
            headers("https://b.data.example.org/"),
            all(&[("x-a", "data"), ("X-B", "below"), ("X-B", "again")])
        );
        assert_eq!(headers("http://b.data.example.org/"), all(&[]));
        assert_eq!(headers("http://plain.example.org/"), all(&[("X-C", "plain")]));
        let held = rules.held_back(&url("http://b.data.example.org/")).map(ToString::to_string);
        assert_eq!(held.as_deref(), Some("*.data.example.org"));
        assert_eq!(rules.held_back(&url("https://b.data.example.org/")), None);
    }
}

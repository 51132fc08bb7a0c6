//! The hosts that are reached without a proxy (`--no-proxy`, `no_proxy`). The rules are those of curl, except
//! that `*` may be one of several entries.

use crate::names::without_last_dot;
use ipnet::IpNet;
use std::net::IpAddr;
use url::Host;

/// A list of hosts that are reached without a proxy. Blanks or commas separate its entries:
/// - `*` means every host.
/// - `example.org` and `.example.org` mean this host, and all hosts below it.
/// - `10.0.0.7`, `::1` and `[::1]` mean this address.
/// - `10.0.0.0/8` and `fd00::/8` mean all addresses of this network (RFC 4632).
///
/// Names are not resolved here, so an address matches only URLs that have an address as their host. A dot at
/// the end of a name and the case of letters do not matter. An entry of any other form matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    All,
    Network(IpNet),
    Name(String),
}

impl NoProxy {
    /// Reads a list in the form that [`NoProxy`] describes.
    pub fn parse(text: &str) -> NoProxy {
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        NoProxy(words.filter(|word| !word.is_empty()).map(Entry::read).collect())
    }

    /// Returns true if this host is reached without a proxy.
    pub fn has<S: AsRef<str>>(&self, host: &Host<S>) -> bool {
        self.0.iter().any(|entry| entry.has(host))
    }
}

impl Entry {
    fn read(word: &str) -> Entry {
        let bare = word.trim_start_matches('[').trim_end_matches(']');
        if word == "*" {
            Entry::All
        } else if let Ok(address) = bare.parse::<IpAddr>() {
            Entry::Network(address.into())
        } else if let Ok(network) = word.parse::<IpNet>() {
            Entry::Network(network)
        } else {
            let name = word.strip_prefix('.').unwrap_or(word);
            Entry::Name(without_last_dot(name).to_ascii_lowercase())
        }
    }

    fn has<S: AsRef<str>>(&self, host: &Host<S>) -> bool {
        match (self, host) {
            (Entry::All, _) => true,
            (Entry::Network(network), Host::Ipv4(address)) => network.contains(&IpAddr::V4(*address)),
            (Entry::Network(network), Host::Ipv6(address)) => network.contains(&IpAddr::V6(*address)),
            (Entry::Name(name), Host::Domain(host)) => {
                let host = without_last_dot(host.as_ref()).to_ascii_lowercase();
                match host.strip_suffix(name.as_str()) {
                    Some(rest) => !name.is_empty() && (rest.is_empty() || rest.ends_with('.')),
                    None => false,
                }
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    #[test]
    fn hosts_match_as_in_curl() {
        for (list, url, matches) in [
            ("example.com", "http://example.com/", true),
            ("example.com", "http://www.EXAMPLE.com./", true),
            ("example.com", "http://nonexample.com/", false),
            (".example.com", "http://example.com/", true),
            (".example.com.", "http://a.b.example.com/", true),
            ("a.example.com", "http://example.com/", false),
            ("Local.Example", "https://local.example/", true),
            ("one, two\tthree", "http://three/", true),
            ("one,,two", "http://h/", false),
            (".", "http://h/", false),
            ("*", "http://h/", true),
            ("*", "http://10.0.0.1/", true),
            ("x,*", "http://h/", true),
            ("*.example.com", "http://a.example.com/", false),
            ("10.0.0.1", "http://10.0.0.1:8080/", true),
            ("10.0.0.0/8", "http://10.9.8.7/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.0.0.0/33", "http://10.0.0.1/", false),
            ("192.168.0.1/24", "http://192.168.0.9/", true),
            ("127.0.0.0/8", "http://127.1/", true),
            ("127.0.0.0/8", "http://localhost/", false),
            ("0.0.1", "http://10.0.0.1/", false),
            ("::1", "http://[::1]/", true),
            ("[::1]", "http://[0:0::1]:80/", true),
            ("fd00::/8", "https://[fd12::9]/", true),
            ("fd00::/8", "https://[fe80::1]/", false),
            ("", "http://h/", false),
        ] {
            let url = Url::parse(url).expect(url);
            assert_eq!(NoProxy::parse(list).has(&url.host().expect("a host")), matches, "{list} {url}");
        }
    }
}

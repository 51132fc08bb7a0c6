//! The options that change how a host is reached: `--resolve`, `--connect-to`, `--interface` and `--doh`.
//! They follow the rules of curl.
//!
//! Invariant: these options change only the local and the remote address of a connection. Certificates,
//! headers and credentials still belong to the host in the URL.

use std::fmt;
use std::net::IpAddr;
use url::{Host, Url};

/// Addresses that are used for a host and port instead of the answer of the resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    /// The host. `None` means every host.
    host: Option<String>,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// A rule that replaces the host and port to which connections are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectTo {
    /// The host in the URL. `None` means every host.
    host: Option<String>,
    /// The port in the URL. `None` means every port.
    port: Option<u16>,
    /// The host to connect to. `None` means the host in the URL.
    to_host: Option<Host<String>>,
    /// The port to connect to. `None` means the port in the URL.
    to_port: Option<u16>,
}

/// The local address or network interface from which connections are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// An address of this machine.
    Address(IpAddr),
    /// The name of a network interface.
    Name(String),
}

/// The URL of a server for DNS over HTTPS (RFC 8484). It is an https URL without a user name, a password or a
/// fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DohServer(Url);

impl Resolve {
    /// Reads `HOST:PORT:ADDRESS[,ADDRESS]...`. The host may be `*`. An IPv6 address must have brackets as
    /// HOST, and may have brackets as ADDRESS. A `+` before the host is ignored. In curl, it makes the
    /// addresses expire after a minute.
    ///
    /// # Errors
    /// Returns a message for the user that states the required form.
    pub fn parse(text: &str) -> Result<Resolve, String> {
        let read = || {
            let (host, rest) = split(text.strip_prefix('+').unwrap_or(text))?;
            let (port, addresses) = rest.split_once(':')?;
            let address = |one: &str| bare(one.trim()).parse().ok();
            let addresses: Option<Vec<IpAddr>> = addresses.split(',').map(address).collect();
            let host = if host == "*" { None } else { Some(normal(host)?) };
            Some(Resolve { host, port: port.parse().ok()?, addresses: addresses? })
        };
        read().ok_or_else(|| "it must have the form HOST:PORT:ADDRESS".into())
    }

    /// Returns the addresses, if the option applies to this host and port.
    pub fn addresses(&self, host: &Host<String>, port: u16) -> Option<&[IpAddr]> {
        let is_it = self.port == port && self.host.as_deref().is_none_or(|named| named == plain(host));
        is_it.then_some(&self.addresses)
    }
}

impl ConnectTo {
    /// Reads `HOST1:PORT1:HOST2:PORT2`. Each part may be empty. If `HOST1` or `PORT1` is empty, the rule
    /// applies to every host or port. If `HOST2` or `PORT2` is empty, the host or port in the URL is kept.
    /// IPv6 addresses must be in brackets.
    ///
    /// # Errors
    /// Returns a message for the user that states the required form.
    pub fn parse(text: &str) -> Result<ConnectTo, String> {
        let read = || {
            let (host, rest) = split(text)?;
            let (port, rest) = rest.split_once(':')?;
            let (to_host, to_port) = split(rest)?;
            let number = |text: &str| match text {
                "" => Some(None),
                text => text.parse().ok().filter(|port| *port != 0).map(Some),
            };
            Some(ConnectTo {
                host: if host.is_empty() { None } else { Some(normal(host)?) },
                port: number(port)?,
                to_host: if to_host.is_empty() { None } else { Some(Host::parse(to_host).ok()?) },
                to_port: number(to_port)?,
            })
        };
        read().ok_or_else(|| "it must have the form HOST1:PORT1:HOST2:PORT2".into())
    }

    /// Returns the host and port to connect to instead of this host and port, if the rule applies.
    pub fn target(&self, host: &Host<String>, port: u16) -> Option<(Host<String>, u16)> {
        let is_host = self.host.as_deref().is_none_or(|named| named == plain(host));
        let is_it = is_host && self.port.is_none_or(|named| named == port);
        is_it.then(|| (self.to_host.clone().unwrap_or_else(|| host.clone()), self.to_port.unwrap_or(port)))
    }
}

impl Interface {
    /// Reads an address, or the name of an interface. The forms `host!ADDRESS` and `if!NAME` of curl are read
    /// too.
    ///
    /// # Errors
    /// Returns a message for the user that states the required form.
    pub fn parse(text: &str) -> Result<Interface, String> {
        let address = bare(text.strip_prefix("host!").unwrap_or(text)).parse();
        let text = text.strip_prefix("if!").unwrap_or(text);
        match address {
            Ok(address) => Ok(Interface::Address(address)),
            Err(_) if text.is_empty() || text.contains(['/', ' ', '!', '\0']) => {
                Err("it must be an address of this machine, or the name of an interface such as eth0".into())
            }
            Err(_) => Ok(Interface::Name(text.into())),
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interface::Address(address) => address.fmt(f),
            Interface::Name(name) => f.write_str(name),
        }
    }
}

impl DohServer {
    /// Reads the URL. A `{?dns}` at its end is ignored, because the documentation of some servers writes the
    /// URL as a template (RFC 8484, section 3).
    ///
    /// # Errors
    /// Returns a message for the user that states the required form.
    pub fn parse(text: &str) -> Result<DohServer, String> {
        let url = Url::parse(text.strip_suffix("{?dns}").unwrap_or(text)).ok();
        let has_login = |url: &Url| !url.username().is_empty() || url.password().is_some();
        url.filter(|url| url.scheme() == "https" && !has_login(url) && url.fragment().is_none())
            .map(DohServer)
            .ok_or_else(|| {
                "it must be an https URL without a login or a fragment, such as https://HOST/dns-query".into()
            })
    }

    /// Returns the URL.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// Splits a text at the first colon that is not in brackets.
fn split(text: &str) -> Option<(&str, &str)> {
    let from = if text.starts_with('[') { text.find(']')? } else { 0 };
    let colon = from + text[from..].find(':')?;
    Some((&text[..colon], &text[colon + 1..]))
}

/// Returns a host in the form that it has in URLs, without brackets.
fn normal(host: &str) -> Option<String> {
    Host::parse(host).ok().map(|host| plain(&host))
}

/// Returns a host as a text without brackets. A dot at the end of a name is removed, as in curl.
fn plain(host: &Host<String>) -> String {
    let text = host.to_string();
    bare(without_last_dot(&text)).to_string()
}

/// Returns a name without the dot at its end, which stands for the root of all names.
pub fn without_last_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn bare(text: &str) -> &str {
    text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host<String> {
        Host::parse(text).expect(text)
    }

    #[test]
    fn addresses_of_a_host_are_read_as_curl_reads_them() {
        for (rule, to, port, wanted) in [
            ("h.example:443:10.0.0.1", "H.example", 443, Some(vec!["10.0.0.1"])),
            ("h.example:443:10.0.0.1", "h.example.", 443, Some(vec!["10.0.0.1"])),
            ("h.example:443:10.0.0.1", "h.example", 80, None),
            ("h.example:443:10.0.0.1", "a.h.example", 443, None),
            ("+h.example:443:10.0.0.1, [::1]", "h.example", 443, Some(vec!["10.0.0.1", "::1"])),
            ("*:80:::1", "any.example", 80, Some(vec!["::1"])),
            ("[::1]:80:127.0.0.1", "[::1]", 80, Some(vec!["127.0.0.1"])),
        ] {
            let resolve = Resolve::parse(rule).expect(rule);
            let found = resolve.addresses(&host(to), port);
            let found = found.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(found, wanted.map(|all| all.into_iter().map(String::from).collect()), "{rule} {to}");
        }
        for bad in ["", "h", "h:80", "h:80:", "h:80:name", "h:x:10.0.0.1", "-h:80", "h:80:1.2.3.4,"] {
            assert!(Resolve::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_targets_are_read_as_curl_reads_them() {
        for (rule, to, port, wanted) in [
            ("h.example:443:g.example:8443", "h.example", 443, Some("g.example:8443")),
            ("h.example:443:g.example:8443", "h.example", 80, None),
            ("h.example::g.example:", "h.example", 80, Some("g.example:80")),
            ("::g.example:9", "any.example", 80, Some("g.example:9")),
            (":80::81", "any.example", 80, Some("any.example:81")),
            ("[::1]:80:[::2]:81", "[::1]", 80, Some("[::2]:81")),
            (":::", "h.example", 1, Some("h.example:1")),
        ] {
            let found = ConnectTo::parse(rule).expect(rule).target(&host(to), port);
            let found = found.map(|(host, port)| format!("{host}:{port}"));
            assert_eq!(found.as_deref(), wanted, "{rule} {to}");
        }
        for bad in ["", "h", "h:80", "h:80:g", "h:80:g:x", "h:80:g:0", "h:80:[::1:9", "h:80:g:99999"] {
            assert!(ConnectTo::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_interface_is_an_address_or_a_name() {
        assert_eq!(Interface::parse("127.0.0.1"), Ok(Interface::Address(IpAddr::from([127, 0, 0, 1]))));
        assert!(matches!(Interface::parse("[::1]"), Ok(Interface::Address(IpAddr::V6(_)))));
        assert_eq!(Interface::parse("eth0"), Ok(Interface::Name("eth0".into())));
        assert_eq!(Interface::parse("if!eth0"), Ok(Interface::Name("eth0".into())));
        assert_eq!(Interface::parse("host!::1"), Interface::parse("::1"));
        for bad in ["", "if!", "host!h.example", "ifhost!eth0!::1", "if!a b"] {
            assert!(Interface::parse(bad).is_err(), "{bad}");
        }
    }
}

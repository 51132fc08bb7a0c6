//! Reads the values of options. Each error is a phrase for the user, which says what the value must be or
//! what is wrong with it.

mod amounts;
mod secrets;

pub use amounts::NumberOrAuto;
pub(in crate::args) use amounts::{
    connections, container_size, files, limit, positive, rate, retries, size, time,
};
pub use secrets::{BodyOption, CertOption, Header, LoginOption, SecretOption};
pub(in crate::args) use secrets::{body, cert, header_value, password, secret};
pub(crate) use secrets::{cert_parts, cookies, header_option, login, token};

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use downhaul_engine::core::containers::{ContainerNames, Form};
use downhaul_engine::core::digest::{Algorithm, Digest};
use downhaul_engine::core::job::{Headers, Sends, Url, parse_given};
use downhaul_engine::core::list::form::Stated;
use downhaul_engine::core::name::Folders;
use downhaul_engine::core::names::Resolve;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// The value of `--pinned-pubkey`: the SHA-256 of each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins(pub Vec<[u8; 32]>);

pub(in crate::args) fn method(text: &str) -> Result<String, String> {
    Sends::new(text, None).map(|_| text.to_string())
}

pub(in crate::args) fn checksum(text: &str) -> Result<Digest, String> {
    Digest::from_given(text)
}

/// Reads `sha256//BASE64`, or several of them with semicolons between them, as curl does.
pub(in crate::args) fn pins(text: &str) -> Result<Pins, String> {
    let pin = |text: &str| {
        let digest = Digest::from_base64(Algorithm::Sha256, text.trim().strip_prefix("sha256//")?)?;
        digest.bytes.as_slice().try_into().ok()
    };
    let pins: Option<Vec<[u8; 32]>> = text.split(';').filter(|one| !one.trim().is_empty()).map(pin).collect();
    let pins = pins.filter(|pins| !pins.is_empty()).map(Pins);
    pins.ok_or_else(|| "it must be sha256//BASE64, or several of these with semicolons between them".into())
}

/// Reads the URL of `--referer`. In wget, `-e` can set a proxy, so the error for such a value names
/// `--proxy`.
pub(in crate::args) fn referer(text: &str) -> Result<String, String> {
    Headers::referer(text).map_err(|why| match text.contains("_proxy=") {
        true => format!("{why}. For a proxy, use --proxy URL"),
        false => why,
    })
}

pub(in crate::args) fn url(text: &str) -> Result<Url, String> {
    parse_given(text).map(|(url, _)| url).map_err(|e| e.to_string())
}

pub(in crate::args) fn tar_names(text: &str) -> Result<ContainerNames, String> {
    ContainerNames::read(Form::Tar, text)
}

pub(in crate::args) fn warc_names(text: &str) -> Result<ContainerNames, String> {
    ContainerNames::read(Form::Warc, text)
}

pub(in crate::args) fn folders(text: &str) -> Result<Folders, String> {
    match text {
        "all" => Ok(Folders::All),
        "host" => Ok(Folders::Host),
        _ => text.parse().map(Folders::Last).map_err(|_| "it must be a number, all or host".into()),
    }
}

/// The value of `--shard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardOption {
    /// The number of the shard, and how many shards there are.
    Fixed(u64, u64),
    /// The number of shards, if the user gave it. The number of this run's shard is in the environment. If
    /// the user gave no number of shards, that number is in the environment too.
    Auto(Option<u64>),
}

/// Reads `K/N`, `auto` or `auto/N`.
pub(in crate::args) fn shard(text: &str) -> Result<ShardOption, String> {
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|&number| number > 0);
    let (shard, of) = match text.split_once('/') {
        Some((shard, of)) => (shard.trim(), Some(of)),
        None => (text.trim(), None),
    };
    match (shard, of.map(number)) {
        ("auto", None) => Ok(ShardOption::Auto(None)),
        ("auto", Some(Some(of))) => Ok(ShardOption::Auto(Some(of))),
        (shard, Some(Some(of))) => match number(shard) {
            Some(shard) if shard <= of => Ok(ShardOption::Fixed(shard, of)),
            _ => Err(format!("K must be a number from 1 to {of}")),
        },
        _ => Err("it must be K/N, such as 3/8, or auto, or auto/N".into()),
    }
}

/// Reads an HTTP status (RFC 9110, section 15) that a failure can have. Informational statuses are not
/// failures, and neither are 200 and 206, the statuses of responses with a file or a range.
pub(in crate::args) fn status(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(code) if (201..=599).contains(&code) && code != 206 => Ok(code),
        _ => Err("it must be an HTTP status that a failure can have, such as 404".into()),
    }
}

pub(in crate::args) fn list_format() -> impl TypedValueParser<Value = Stated> {
    let names = PossibleValuesParser::new(Stated::NAMES.map(|(name, _)| name));
    names.try_map(|name| Stated::from_name(&name).ok_or("it is not a form of lists"))
}

/// Reads `HOST` or `HOST:PORT`. Returns it in the form that it has in URLs: in lower case and ASCII, and with
/// brackets around an IPv6 address. A value in any other form would match no host, and the user would not
/// notice this. An error contains no part of the text, which may be a secret.
pub(crate) fn host(text: &str) -> Result<String, String> {
    const FORM: &str = "it must be a host or HOST:PORT";
    let is_address = text.parse::<Ipv6Addr>().is_ok();
    let (host, port) = match text.rsplit_once(':').filter(|_| !is_address && !text.ends_with(']')) {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port: &u16| *port > 0).ok_or(FORM)?)),
        None => (text, None),
    };
    let host = if is_address { format!("[{host}]") } else { host.to_string() };
    if host.is_empty() || host.contains(['/', '?', '#', '@', '*', '\\', ' ']) {
        return Err(FORM.into());
    }
    let url = Url::parse(&format!("https://{host}/")).map_err(|_| FORM)?;
    let host = url.host_str().ok_or(FORM)?;
    Ok(port.map_or(host.to_string(), |port| format!("{host}:{port}")))
}

/// Reads a rule of `--resolve`. A rule `-HOST:PORT` is refused. In curl, such a rule removes the addresses
/// that an earlier rule stored.
pub(in crate::args) fn resolve(text: &str) -> Result<Resolve, String> {
    if text.starts_with('-') {
        return Err(
            "it must have the form HOST:PORT:ADDRESS; a rule with - before it, as in curl, is not needed"
                .into(),
        );
    }
    Resolve::parse(text)
}

/// Accepts the name of a file to write. `-` would mean standard output and is refused, because standard
/// output is for the bytes of a download or for events.
pub(in crate::args) fn written_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => Err("it must be the name of a file; /dev/stdout is standard output"),
        false => Ok(path),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_host_gets_the_form_that_it_has_in_urls() {
        for (text, host) in [
            ("H.example", "h.example"),
            ("h:8443", "h:8443"),
            ("::1", "[::1]"),
            ("[::1]:443", "[::1]:443"),
            ("bücher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(super::host(text).as_deref(), Ok(host), "{text}");
        }
        for bad in ["", "*", "*.h", "h:", "h:0", "h:99999", "h:a", ":443", "https://h", "h/", "a b", "u@h"] {
            assert!(super::host(bad).is_err(), "{bad}");
        }
    }
}

//! Reads the values of options. Every error is a phrase that says what the value must be.

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use downhaul_engine::core::digest::{Algorithm, Digest};
use downhaul_engine::core::job::{Body, Headers, Sends, Url, parse_given};
use downhaul_engine::core::list::form::Stated;
use downhaul_engine::core::name::Folders;
use downhaul_engine::core::names::Resolve;
use downhaul_engine::core::rate;
use downhaul_engine::core::secret::{Login, Secret};
use downhaul_engine::core::tars;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

/// A number of files or connections; `None` is `auto`.
pub type NumberOrAuto = Option<u16>;

/// `--header` and `--header-for`: a header, or a file with headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// The name and the value of a header.
    Line(String, Secret),
    /// A file with one header on each line. The list of processes shows the values of options, but not the
    /// content of files.
    File(PathBuf),
}

/// Accepts a value that may contain a password. The value is parsed later, by code whose errors do not show
/// it.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

/// `--user` and `--proxy-user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginOption {
    /// A user name and its password.
    Whole(Login),
    /// A user name. The user types the password on the terminal.
    Name(String),
    /// A file with a user name and a password.
    File(PathBuf),
}

/// `--cert`: the file of a client certificate, and the password of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertOption {
    /// The file.
    pub file: PathBuf,
    /// The password, if the option has one.
    pub password: Option<Secret>,
}

/// `--pinned-pubkey`: the SHA-256 of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins(pub Vec<[u8; 32]>);

/// `--bearer`, `--cookie` and `--key-password`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretOption {
    /// The token, the cookies or the password.
    Text(Secret),
    /// A file with such a text in its first line.
    File(PathBuf),
}

/// `--data` and `--json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyOption {
    /// The body itself.
    Text(Body),
    /// A file with the body. `-` is standard input.
    File(PathBuf),
}

/// Reads a body, or `@FILE`.
pub(super) fn body(text: &str) -> Result<BodyOption, String> {
    match text.strip_prefix('@') {
        Some(file) => file_with_secret(file).map(BodyOption::File),
        None => Ok(BodyOption::Text(Body::new(text))),
    }
}

pub(super) fn method(text: &str) -> Result<String, String> {
    Sends::new(text, None).map(|_| text.to_string())
}

pub(super) fn checksum(text: &str) -> Result<Digest, String> {
    Digest::from_given(text)
}

/// Reads `sha256//BASE64`, or several of them with semicolons between them, as curl does.
pub(super) fn pins(text: &str) -> Result<Pins, String> {
    let pin = |text: &str| {
        let digest = Digest::from_base64(Algorithm::Sha256, text.trim().strip_prefix("sha256//")?)?;
        digest.bytes.as_slice().try_into().ok()
    };
    let pins: Option<Vec<[u8; 32]>> = text.split(';').filter(|one| !one.trim().is_empty()).map(pin).collect();
    let pins = pins.filter(|pins| !pins.is_empty()).map(Pins);
    pins.ok_or_else(|| "it must be sha256//BASE64, or several of these with semicolons between them".into())
}

pub(super) fn connections(text: &str) -> Result<NumberOrAuto, String> {
    number_or_auto(text, 256).map_err(|why| match text.contains(':') {
        true => format!("{why}. For a proxy, use --proxy"),
        false => why,
    })
}

/// Reads the URL of `--referer`. In wget, `-e` can set a proxy, so the error for such a value names
/// `--proxy`.
pub(super) fn referer(text: &str) -> Result<String, String> {
    Headers::referer(text).map_err(|why| match text.contains("_proxy=") {
        true => format!("{why}. For a proxy, use --proxy URL"),
        false => why,
    })
}

pub(super) fn files(text: &str) -> Result<NumberOrAuto, String> {
    number_or_auto(text, 1024)
}

fn number_or_auto(text: &str, most: u16) -> Result<NumberOrAuto, String> {
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(Some(n)),
        _ if text == "auto" => Ok(None),
        _ => Err(format!("it must be auto or a number from 1 to {most}")),
    }
}

pub(super) fn url(text: &str) -> Result<Url, String> {
    parse_given(text).map(|(url, _)| url).map_err(|e| e.to_string())
}

pub(super) fn folders(text: &str) -> Result<Folders, String> {
    match text {
        "all" => Ok(Folders::All),
        "host" => Ok(Folders::Host),
        _ => text.parse().map(Folders::Last).map_err(|_| "it must be a number, all or host".into()),
    }
}

/// The value of `--shard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardOption {
    /// The number of the shard, and the number of all shards.
    Fixed(u64, u64),
    /// The number of all shards, if it is given. The environment has the number of the shard.
    Auto(Option<u64>),
}

/// Reads `K/N`, `auto` or `auto/N`.
pub(super) fn shard(text: &str) -> Result<ShardOption, String> {
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

/// Reads a number of retries. "No limit" is stored as the greatest number, which no run reaches.
pub(super) fn retries(text: &str) -> Result<u32, String> {
    match text.to_ascii_lowercase().as_str() {
        "inf" | "infinite" | "infinity" | "unlimited" => Ok(u32::MAX),
        number => number.parse().map_err(|_| "it must be a number, or inf for no limit".into()),
    }
}

/// Reads an HTTP status (RFC 9110, section 15) that a failure can have. Informational statuses are not
/// failures, and neither are 200 and 206, the statuses of responses with a file or a range.
pub(super) fn status(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(code) if (201..=599).contains(&code) && code != 206 => Ok(code),
        _ => Err("it must be an HTTP status that a failure can have, such as 404".into()),
    }
}

pub(super) fn limit(text: &str) -> Result<u64, String> {
    match rate(text)? {
        0 => Err("it must be above 0".into()),
        rate => Ok(rate),
    }
}

/// Reads a number of bytes: `500M`, `2G`, `1.5T`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let bad = |_| "it must be a number of bytes above 0, such as 500M, 2G or 1.5T".to_string();
    let (number, factor) = match text.trim_end_matches(['b', 'B', 'i']).strip_suffix(['t', 'T']) {
        Some(number) => (format!("{}G", number.trim_end()), 1024.0),
        None => (text.to_string(), 1.0),
    };
    let bytes =
        Some(&number).filter(|text| !text.contains('/')).map_or(Err(String::new()), |text| limit(text));
    bytes.map(|bytes| (bytes as f64 * factor) as u64).map_err(bad)
}

/// Reads the size of a tar.
pub(super) fn tar_size(text: &str) -> Result<u64, String> {
    size(text).and_then(|size| match size {
        0..=tars::LARGEST => Ok(size),
        _ => Err("it must be at most 1T".into()),
    })
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n.is_finite() => Ok(n),
        _ => Err("it must be a number above 0".into()),
    }
}

/// Reads a time. `30` and `30s` are seconds. `500ms`, `2m` and `1h` have other units.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let bad = || "it must be a time above 0, such as 30 (seconds), 500ms, 5s, 2m or 1h".to_string();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" => 1.0,
        "ms" => 0.001,
        "m" | "min" | "mins" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let number = positive(number).map_err(|_| bad())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| bad())
}

/// Reads the name of a form of lists.
pub(super) fn list_format() -> impl TypedValueParser<Value = Stated> {
    let names = PossibleValuesParser::new(Stated::NAMES.map(|(name, _)| name));
    names.try_map(|name| Stated::from_name(&name).ok_or("it is not a form of lists"))
}

/// Reads bytes per second: `500`, `2k`, `1.5M`, `2MB/s`.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    rate::read(text)
}

pub(crate) fn header_option(text: &str) -> Result<Header, String> {
    match text.strip_prefix('@') {
        Some("") => Err("@ needs the name of a file".into()),
        Some(file) => Ok(Header::File(file.into())),
        None => Headers::read(text).map(|(name, value)| Header::Line(name, Secret::new(value))),
    }
}

pub(super) fn header_value(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_control()) {
        Err("it contains control characters".into())
    } else {
        Ok(text.into())
    }
}

/// Reads `NAME`, `NAME:PASSWORD` or `@FILE`. An error contains no part of the text.
pub(crate) fn login(text: &str) -> Result<LoginOption, String> {
    if let Some(file) = text.strip_prefix('@') {
        return file_with_secret(file).map(LoginOption::File);
    }
    let text = header_value(text)?;
    Ok(match text.split_once(':') {
        Some((user, password)) => {
            LoginOption::Whole(Login { user: user.into(), password: Secret::new(password) })
        }
        None if text.is_empty() => return Err("it must be NAME or NAME:PASSWORD".into()),
        None => LoginOption::Name(text),
    })
}

/// Reads a password, or `@FILE`.
pub(super) fn password(text: &str) -> Result<SecretOption, String> {
    match text.strip_prefix('@') {
        Some(file) => file_with_secret(file).map(SecretOption::File),
        None => Ok(SecretOption::Text(Secret::new(text))),
    }
}

/// Reads a bearer token, or `@FILE`. An error contains no part of the text.
pub(crate) fn token(text: &str) -> Result<SecretOption, String> {
    match text.strip_prefix('@') {
        Some(file) => file_with_secret(file).map(SecretOption::File),
        None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(SecretOption::Text(Secret::new(text)))
        }
        None => Err("it must be one word without blanks".into()),
    }
}

/// Reads `NAME=VALUE; NAME=VALUE`, or `@FILE`. An error contains no part of the text.
pub(crate) fn cookies(text: &str) -> Result<SecretOption, String> {
    if let Some(file) = text.strip_prefix('@') {
        return file_with_secret(file).map(SecretOption::File);
    }
    let text = text.trim();
    // The user may have copied the whole header, with its name.
    let text =
        text.get(..7).filter(|name| name.eq_ignore_ascii_case("Cookie:")).map_or(text, |_| text[7..].trim());
    let text = header_value(text)?;
    // The name of a cookie is a token (RFC 6265, section 4.1.1), so a URL after -b is a mistake.
    let is_name = |name: &str| !name.trim().is_empty() && !name.contains("://");
    let is_pair = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| is_name(name));
    match text.trim_end_matches(';').split(';').all(is_pair) {
        true => Ok(SecretOption::Text(Secret::new(text.trim_end_matches(';')))),
        false => Err("it must be NAME=VALUE; --cookies FILE reads a cookie file".into()),
    }
}

/// Reads `HOST` or `HOST:PORT`. Returns it as URLs have it: in lower case and ASCII, and with brackets around
/// an IPv6 address. Any other form would match no host, and the user would not notice it. An error contains
/// no part of the text.
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

/// Reads a rule of `--resolve`. In curl, `-HOST:PORT` removes addresses that an earlier transfer stored.
pub(super) fn resolve(text: &str) -> Result<Resolve, String> {
    if text.starts_with('-') {
        return Err(
            "it must have the form HOST:PORT:ADDRESS; a rule with - before it, as in curl, is not needed"
                .into(),
        );
    }
    Resolve::parse(text)
}

/// Reads `FILE` or `FILE:PASSWORD`.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
pub(super) fn cert(text: &str) -> Result<CertOption, String> {
    let (file, password) = cert_parts(text);
    Ok(CertOption { file: file.into(), password: password.map(Secret::new) })
}

/// Splits `FILE:PASSWORD`. A colon after a backslash belongs to the name of the file, and so does the colon
/// of a drive such as `C:`.
pub(crate) fn cert_parts(text: &str) -> (String, Option<&str>) {
    let is_drive = |at: usize| at == 1 && text[2..].starts_with(['\\', '/']);
    let mut colons = text.match_indices(':').map(|(at, _)| at);
    let colon = colons.find(|at| !is_drive(*at) && !text[..*at].ends_with('\\'));
    let file = text[..colon.unwrap_or(text.len())].replace("\\:", ":");
    (file, colon.map(|colon| &text[colon + 1..]))
}

/// Accepts the name of a file to write. `-` would mean standard output and is refused, because standard
/// output is for the bytes of a download or for events.
pub(super) fn written_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => Err("it must be the name of a file; /dev/stdout is standard output"),
        false => Ok(path),
    })
}

fn file_with_secret(file: &str) -> Result<PathBuf, String> {
    if file.is_empty() { Err("@ needs the name of a file".into()) } else { Ok(file.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_powers_of_1024() {
        assert_eq!(rate("500"), Ok(500));
        assert_eq!(rate("2k"), Ok(2048));
        assert_eq!(rate("1.5M"), Ok(1_572_864));
        assert_eq!(rate("2MB/s"), Ok(2 << 20));
        for bad in ["", "k", "-1", "1x", "nan", "1e99", "2Mbps", "/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_have_the_form_that_urls_have() {
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

    #[test]
    fn the_password_of_a_certificate_follows_a_colon() {
        for (text, parts) in [
            ("me.pem", ("me.pem", None)),
            ("me.pem:hush", ("me.pem", Some("hush"))),
            ("me.pem:", ("me.pem", Some(""))),
            (r"a\:b.pem:c:d", ("a:b.pem", Some("c:d"))),
            (r"C:\me.pem:hush", (r"C:\me.pem", Some("hush"))),
        ] {
            assert_eq!(cert_parts(text), (parts.0.to_string(), parts.1), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        let all = ["30", "5s", "0.5", "500ms", "2m", "1h"].map(|text| time(text).expect(text).as_secs_f64());
        assert_eq!(all, [30.0, 5.0, 0.5, 0.5, 120.0, 3600.0]);
        for bad in ["", "0", "s", "-1s", "5x", "inf", "1e300h"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}

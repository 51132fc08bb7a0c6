//! Makes the settings of a session from the options that Python passes.
//!
//! Invariant: an option that Python does not pass has the default of the library. There are two exceptions.
//! Without `parallel`, the session chooses how many files it downloads at once. Without `private`, private
//! addresses are never refused, as in the program `downhaul`.

use downhaul_engine::core::credentials::netrc::Netrc;
use downhaul_engine::core::identity::Key;
use downhaul_engine::core::job::{self, Headers, IfLocked};
use downhaul_engine::core::name::{Folders, NameSource};
use downhaul_engine::core::proxy::{NoProxy, Proxies, Proxy};
use downhaul_engine::core::secret::{Login, Secret};
use downhaul_engine::core::settings::{Attributes, ChecksumList, Family, Sync};
use downhaul_engine::{HttpVersion, IfExists, Resume, Settings, Verify};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

/// The options of a session. Python has already read the environment, the netrc file, and a checksum list
/// that is a local file, and has converted values with units into numbers.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    to: PathBuf,
    #[pyo3(default)]
    parallel: Option<usize>,
    #[pyo3(default)]
    connections: Option<usize>,
    #[pyo3(default)]
    max_per_host: Option<usize>,
    #[pyo3(default)]
    max_connections: Option<usize>,
    #[pyo3(default)]
    limit_rate: Option<u64>,
    #[pyo3(default)]
    min_speed: Option<u64>,
    #[pyo3(default)]
    retries: Option<u32>,
    #[pyo3(default)]
    retry_on: Vec<u16>,
    #[pyo3(default)]
    timeout: Option<f64>,
    #[pyo3(default)]
    connect_timeout: Option<f64>,
    #[pyo3(default)]
    max_time: Option<f64>,
    #[pyo3(default)]
    if_exists: Option<String>,
    #[pyo3(default)]
    if_locked: Option<String>,
    #[pyo3(default)]
    resume: Option<bool>,
    #[pyo3(default)]
    sync: Option<String>,
    #[pyo3(default)]
    verify: Option<String>,
    /// The name and the text of a checksum list, or its URL and no text.
    #[pyo3(default)]
    checksum_file: Option<(String, Option<Vec<u8>>)>,
    #[pyo3(default)]
    names: Option<String>,
    #[pyo3(default)]
    folders: Option<String>,
    #[pyo3(default)]
    keep_mtime: Option<bool>,
    #[pyo3(default)]
    xattr: Option<bool>,
    #[pyo3(default)]
    accept_html: Option<bool>,
    #[pyo3(default)]
    mirrors: Option<bool>,
    #[pyo3(default)]
    decode: Option<bool>,
    #[pyo3(default)]
    headers: Vec<(String, String)>,
    #[pyo3(default)]
    cookies: Option<String>,
    #[pyo3(default)]
    user_agent: Option<String>,
    #[pyo3(default)]
    user: Option<(String, String)>,
    #[pyo3(default)]
    bearer: Option<String>,
    /// True if a later job may have the path and the URL of a job that has ended.
    #[pyo3(default)]
    releases_names: Option<bool>,
    /// The text of a netrc file, its path, and true if its mistakes are errors.
    #[pyo3(default)]
    netrc: Option<(String, String, bool)>,
    /// The proxy for all URLs, except for the hosts in `no_proxy`. [`settings`] returns an error if the text
    /// is not a proxy that can be used. The next two fields have the proxies of the environment.
    #[pyo3(default)]
    proxy: Option<String>,
    #[pyo3(default)]
    proxy_http: Option<String>,
    #[pyo3(default)]
    proxy_https: Option<String>,
    #[pyo3(default)]
    no_proxy: Option<String>,
    #[pyo3(default)]
    cacert: Option<PathBuf>,
    #[pyo3(default)]
    cert: Option<PathBuf>,
    #[pyo3(default)]
    key: Option<PathBuf>,
    #[pyo3(default)]
    insecure: Option<bool>,
    #[pyo3(default)]
    http_version: Option<String>,
    #[pyo3(default)]
    family: Option<String>,
    #[pyo3(default)]
    max_redirects: Option<u32>,
    #[pyo3(default)]
    private: Option<bool>,
    /// The path of the file in which runs store what they learned about hosts.
    #[pyo3(default)]
    hosts: Option<PathBuf>,
    /// The key for the hashes of URLs.
    #[pyo3(default)]
    hash_key: Option<[u8; 32]>,
    /// True if the session has exactly one file. A digest without a file name in a checksum list is then for
    /// this file.
    #[pyo3(default)]
    single: Option<bool>,
}

/// Returns the settings of a session.
///
/// # Errors
/// Returns a message for the user that says what is wrong with an option. The message has no secret values.
//
// This function is long because it has a line for each option.
pub(crate) fn settings(options: Options) -> Result<Settings, String> {
    fn set<T>(field: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *field = value;
        }
    }
    let mut settings = Settings::default().with_output(options.to);
    settings.parallel = options.parallel;
    settings.connections = options.connections;
    set(&mut settings.max_per_host, options.max_per_host);
    set(&mut settings.max_connections, options.max_connections);
    settings.limit_rate = options.limit_rate;
    set(&mut settings.min_bytes_a_minute, options.min_speed.map(|rate| rate.saturating_mul(60)));
    set(&mut settings.retries, options.retries);
    settings.retry_on = options.retry_on;
    set(&mut settings.timeout, options.timeout.map(seconds));
    set(&mut settings.connect_timeout, options.connect_timeout.map(seconds));
    settings.max_time = options.max_time.map(seconds);
    set(&mut settings.if_exists, options.if_exists.as_deref().map(if_exists).transpose()?);
    set(&mut settings.if_locked, choice("if_locked", &options.if_locked, IF_LOCKED)?);
    if options.resume == Some(false) {
        settings.resume = Resume::Forget;
    }
    set(&mut settings.sync, choice("sync", &options.sync, SYNCS)?);
    set(&mut settings.verify, choice("verify", &options.verify, VERIFIES)?);
    settings.checksums = options.checksum_file.map(checksums).transpose()?;
    set(&mut settings.naming.source, choice("names", &options.names, NAMES)?);
    set(&mut settings.naming.folders, options.folders.as_deref().map(folders).transpose()?);
    set(&mut settings.keep_mtime, options.keep_mtime);
    if options.xattr == Some(false) {
        settings.attributes = Attributes::None;
    }
    set(&mut settings.accept_html, options.accept_html);
    set(&mut settings.mirrors, options.mirrors);
    set(&mut settings.decode, options.decode);
    settings.headers = headers(&options.headers)?;
    settings.cookies_given = options.cookies.map(Secret::new);
    set(&mut settings.user_agent, options.user_agent);
    settings.user = options.user.map(|(user, password)| Login { user, password: Secret::new(password) });
    settings.bearer = options.bearer.map(Secret::new);
    settings.netrc = options.netrc.map(netrc).transpose()?;
    if let Some(proxy) = &options.proxy {
        Proxy::parse(proxy).map_err(|why| format!("proxy: {why}"))?;
    }
    let (http, https) = match &options.proxy {
        Some(_) => (&options.proxy, &options.proxy),
        None => (&options.proxy_http, &options.proxy_https),
    };
    settings.proxies = proxies(http, https, &options.no_proxy);
    settings.cacert = options.cacert;
    settings.client_certificate = options.cert;
    settings.client_key = options.key;
    set(&mut settings.insecure, options.insecure);
    set(&mut settings.http_version, choice("http_version", &options.http_version, VERSIONS)?);
    set(&mut settings.family, choice("family", &options.family, FAMILIES)?);
    set(&mut settings.max_redirects, options.max_redirects);
    settings.refuse_private = options.private == Some(false);
    settings.hosts = options.hosts;
    set(&mut settings.key, options.hash_key.map(Key::new));
    set(&mut settings.single, options.single);
    set(&mut settings.releases_names, options.releases_names);
    Ok(settings)
}

const IF_LOCKED: &[(&str, IfLocked)] =
    &[("fail", IfLocked::Fail), ("wait", IfLocked::Wait), ("skip", IfLocked::Skip)];

const SYNCS: &[(&str, Sync)] = &[("auto", Sync::Auto), ("always", Sync::Always), ("never", Sync::Never)];

const VERIFIES: &[(&str, Verify)] = &[
    ("auto", Verify::Auto),
    ("find", Verify::Find),
    ("listed", Verify::Listed),
    ("require", Verify::Require),
    ("off", Verify::Off),
];

const NAMES: &[(&str, NameSource)] =
    &[("auto", NameSource::Auto), ("url", NameSource::Url), ("server", NameSource::Server)];

const VERSIONS: &[(&str, HttpVersion)] =
    &[("auto", HttpVersion::Auto), ("1.1", HttpVersion::One), ("2", HttpVersion::Two)];

const FAMILIES: &[(&str, Family)] = &[("any", Family::Any), ("ipv4", Family::V4), ("ipv6", Family::V6)];

/// Returns the value that a text stands for.
fn choice<T: Copy>(name: &str, text: &Option<String>, values: &[(&str, T)]) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    let found = values.iter().find(|(value, _)| value == text);
    found.map(|(_, value)| Some(*value)).ok_or_else(|| {
        let names: Vec<String> = values.iter().map(|(value, _)| format!("\"{value}\"")).collect();
        format!("{name} must be one of {}", names.join(", "))
    })
}

/// Reads the value of `if_exists`.
///
/// # Errors
/// Returns a message with the possible values.
pub(crate) fn if_exists(text: &str) -> Result<IfExists, String> {
    const NAMES: &str =
        "if_exists must be \"check\", \"skip\", \"overwrite\", \"rename\", \"update\" or \"error\"";
    IfExists::from_name(text).ok_or_else(|| NAMES.into())
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

fn folders(text: &str) -> Result<Folders, String> {
    match text {
        "all" => Ok(Folders::All),
        "host" => Ok(Folders::Host),
        number => number
            .parse()
            .map(Folders::Last)
            .map_err(|_| "folders must be a number, \"all\", \"host\" or None".into()),
    }
}

fn checksums((name, text): (String, Option<Vec<u8>>)) -> Result<ChecksumList, String> {
    match text {
        Some(text) => Ok(ChecksumList::Text { name, text, signature: None }),
        None => {
            job::parse_url(&name).map(ChecksumList::Url).map_err(|error| format!("checksum_file: {error}"))
        }
    }
}

fn headers(given: &[(String, String)]) -> Result<Headers, String> {
    let mut headers = Headers::default();
    for (name, value) in given {
        let (name, value) = Headers::check(name, value).map_err(|why| format!("headers: {why}"))?;
        headers.add(name, value);
    }
    Ok(headers)
}

fn netrc((text, path, is_strict): (String, String, bool)) -> Result<Netrc, String> {
    match is_strict {
        true => Netrc::read(&text, &path).map_err(|mistake| format!("the netrc file {path}: {mistake}")),
        false => Ok(Netrc::read_what_is_right(&text, &path).0),
    }
}

/// Returns the proxies. A proxy that cannot be used is an error only for URLs that need it.
fn proxies(http: &Option<String>, https: &Option<String>, except: &Option<String>) -> Proxies {
    let mut proxies = Proxies::default();
    for (scheme, text, place) in [("http", http, &mut proxies.http), ("https", https, &mut proxies.https)] {
        match text.as_deref().map(Proxy::parse).transpose() {
            Ok(proxy) => *place = proxy,
            Err(why) => proxies.unusable.push((scheme.into(), why)),
        }
    }
    proxies.except = NoProxy::parse(except.as_deref().unwrap_or_default());
    proxies
}

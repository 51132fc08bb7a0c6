//! Applies the options of a download that decide how servers are reached: proxies, tries, time limits and the
//! lowest speed. Downloads with the same options share a network of the library's session.
//!
//! Invariant: without such options, a download uses the settings with which the daemon was started.

use crate::fault::Fault;
use crate::options::{self, Kind, Options};
use downhaul_engine::core::proxy::{NoProxy, Proxy};
use downhaul_engine::core::secret::{Login, Secret};
use downhaul_engine::{Session, Settings};
use std::time::Duration;

/// The highest number of networks ([`Session::add_network`]) that the session has at once, besides the
/// network of its own settings. Each network has its own connections, and its own copy of the certificates in
/// memory.
const MOST: usize = 64;

/// The names of the options that decide how servers are reached.
const NAMES: [&str; 15] = [
    "all-proxy",
    "all-proxy-passwd",
    "all-proxy-user",
    "connect-timeout",
    "http-proxy",
    "http-proxy-passwd",
    "http-proxy-user",
    "https-proxy",
    "https-proxy-passwd",
    "https-proxy-user",
    "lowest-speed-limit",
    "max-tries",
    "no-proxy",
    "retry-wait",
    "timeout",
];

/// Returns the options of a download that decide how servers are reached.
pub fn of(options: &Options) -> Options {
    options.only(&NAMES)
}

/// Returns the settings in `base`, changed by these options.
///
/// # Errors
/// Returns a fault that names the option that cannot be used.
pub fn settings(base: &Settings, options: &Options) -> Result<Settings, Fault> {
    let mut settings = base.clone();
    let seconds = |name: &str| Duration::from_secs(options.number(name));
    if options.is_set("timeout") {
        settings.timeout = seconds("timeout");
    }
    if options.is_set("connect-timeout") {
        settings.connect_timeout = seconds("connect-timeout");
    }
    if options.is_set("max-tries") {
        // aria2 counts tries, and 0 means that there is no limit.
        let retries = options.number("max-tries").checked_sub(1);
        settings.retries = retries.map_or(u32::MAX, |retries| retries.try_into().unwrap_or(u32::MAX));
    }
    if options.is_set("retry-wait") {
        settings.retry_wait = seconds("retry-wait");
    }
    if options.is_set("lowest-speed-limit") {
        settings.min_bytes_a_minute = options.number("lowest-speed-limit").saturating_mul(60);
    }
    settings.proxies.http = proxy(options, "http", settings.proxies.http)?;
    settings.proxies.https = proxy(options, "https", settings.proxies.https)?;
    if let Some(hosts) = options.get("no-proxy") {
        settings.proxies.except = NoProxy::parse(hosts);
    }
    Ok(settings)
}

/// Returns options that have the same effect as some of these settings. Clients see these options. If aria2
/// does not allow a number, the option has the nearest number that aria2 allows.
pub fn options(of: &Settings) -> Options {
    let tries = if of.retries == u32::MAX { 0 } else { u64::from(of.retries) + 1 };
    let most = of.connections.unwrap_or_default() as u64;
    let numbers = [
        ("connect-timeout", of.connect_timeout.as_secs()),
        ("lowest-speed-limit", of.min_bytes_a_minute / 60),
        ("max-connection-per-server", most),
        ("max-tries", tries),
        ("retry-wait", of.retry_wait.as_secs()),
        ("split", most),
        ("timeout", of.timeout.as_secs()),
    ];
    let mut options = Options::default();
    let _ = options.set("user-agent", &of.user_agent);
    for (name, number) in numbers {
        // This call does not fail, because the number is within the range of its option.
        let _ = options.set(name, &within_range(name, number).to_string());
    }
    options
}

/// Returns the number nearest to `number` that an option allows.
fn within_range(name: &str, number: u64) -> u64 {
    match options::row(name) {
        Some((_, _, Kind::Number(least, most) | Kind::Size(least, most), _)) => number.clamp(*least, *most),
        _ => number,
    }
}

/// Returns the proxy for URLs of a scheme, or `None` if no proxy is used. If no option sets the proxy,
/// returns `usual`.
///
/// # Errors
/// Returns a fault that names the option that cannot be used. The fault has no part of the URL, because the
/// URL may have a password.
pub fn proxy(options: &Options, scheme: &str, usual: Option<Proxy>) -> Result<Option<Proxy>, Fault> {
    let own = format!("{scheme}-proxy");
    let name = [own.as_str(), "all-proxy"].into_iter().find(|name| options.is_set(name));
    let Some(name) = name else { return Ok(usual) };
    // An option with an empty value means that no proxy is used.
    let Some(text) = options.get(name) else { return Ok(None) };
    // The user name and the password belong to the option that has the URL. No other proxy gets them.
    let one_of = |part: &str| options.get(&format!("{name}-{part}"));
    let login = one_of("user")
        .map(|user| Login { user: user.into(), password: Secret::new(one_of("passwd").unwrap_or_default()) });
    let proxy = Proxy::parse(text).and_then(|proxy| match login {
        Some(login) => proxy.with_login(Some(login)),
        None => Ok(proxy),
    });
    proxy.map(Some).map_err(|why| {
        Fault::refused(format!(
            "We encountered a problem while processing the option '--{name}'.\n  -> {why}"
        ))
    })
}

/// The networks of the session. When there are [`MOST`] networks, a network that no download uses any more
/// is replaced.
#[derive(Default)]
pub(crate) struct Networks(Vec<(Options, u32)>);

impl Networks {
    /// Returns the number of the network for these options. Adds the network if the session has none for
    /// them. `base` are the settings of the session, and `in_use` returns the options of the networks of all
    /// jobs that have not ended.
    ///
    /// # Errors
    /// Returns a fault if too many networks are in use, or if the settings of the network cannot be used.
    pub(crate) fn number(
        &mut self,
        session: &Session,
        base: &Settings,
        options: Options,
        in_use: impl Fn() -> Vec<Options>,
    ) -> Result<u32, Fault> {
        if options == Options::default() {
            return Ok(0);
        }
        if let Some((_, number)) = self.0.iter().find(|(known, _)| *known == options) {
            return Ok(*number);
        }
        let settings = settings(base, &options)?;
        if self.0.len() < MOST {
            let number = session.add_network(settings)?;
            self.0.push((options, number));
            return Ok(number);
        }
        let in_use = in_use();
        let Some((known, number)) = self.0.iter_mut().find(|(known, _)| !in_use.contains(known)) else {
            let why = "Too many different combinations of proxies, tries and time limits are in use";
            return Err(Fault::refused(format!("{why} ({MOST}). Use the values of another download.")));
        };
        session.replace_network(*number, settings)?;
        *known = options;
        Ok(*number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::options;

    #[test]
    fn options_become_settings() {
        let given =
            options(&[("timeout", "7"), ("max-tries", "0"), ("lowest-speed-limit", "2K"), ("split", "3")]);
        let all = settings(&Settings::default(), &of(&given)).expect("settings");
        assert_eq!(
            (all.timeout, all.retries, all.min_bytes_a_minute),
            (Duration::from_secs(7), u32::MAX, 122_880)
        );
        assert_eq!(all.connect_timeout, Settings::default().connect_timeout);
        assert_eq!(of(&options(&[("split", "3")])), Options::default());
        let wrong = settings(&Settings::default(), &options(&[("all-proxy", "x://me:hush@h")]));
        assert!(
            wrong.is_err_and(|fault| fault.message.contains("all-proxy") && !fault.message.contains("hush"))
        );
    }

    #[test]
    fn a_proxy_is_for_its_scheme_and_may_be_none() {
        let given = options(&[("all-proxy", "p:1"), ("https-proxy", ""), ("all-proxy-user", "me")]);
        assert!(proxy(&given, "http", None).expect("a proxy").is_some());
        let other = Proxy::parse("q:1").ok();
        assert_eq!(proxy(&given, "https", other.clone()).expect("none"), None);
        assert_eq!(proxy(&options(&[]), "https", other.clone()).expect("the other"), other);
    }

    #[test]
    fn the_login_of_one_proxy_never_goes_to_another() {
        let login = [("all-proxy-user", "me"), ("all-proxy-passwd", "hush")];
        let all = proxy(&options(&[&[("all-proxy", "p:1")][..], &login].concat()), "http", None);
        assert!(all.expect("a proxy").expect("one").login.is_some());
        let own = options(&[&[("http-proxy", "q:1"), ("all-proxy", "p:1")][..], &login].concat());
        assert!(proxy(&own, "http", None).expect("a proxy").expect("one").login.is_none());
    }

    #[test]
    fn settings_are_shown_as_the_nearest_values_that_aria2_allows() {
        let all = Settings::default().with_timeout(Duration::from_secs(900));
        let all = all.with_connect_timeout(Duration::from_millis(500));
        let shown = super::options(&all);
        assert_eq!((shown.get("timeout"), shown.get("connect-timeout")), (Some("600"), Some("1")));
    }
}

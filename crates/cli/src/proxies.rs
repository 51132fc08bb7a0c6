//! Finds the proxies of a run, in the options or in the environment.
//!
//! Invariant: no error of this file contains the URL of a proxy, because the URL may contain a password.

use crate::args;
use crate::logins;
use crate::settings::variable;
use downhaul_engine::core::proxy::{NoProxy, Proxies, Proxy};

/// Returns the proxy of `--proxy`, or else the proxies of the environment. The variables are those that curl
/// reads, and `HTTP_PROXY`. (curl ignores `HTTP_PROXY`.) If a variable has a proxy that cannot be used, this
/// is an error only for URLs that need the proxy.
///
/// # Errors
/// Returns what is wrong with an option, without its value.
pub(crate) fn of(http: &args::Http) -> Result<Proxies, String> {
    let login = logins::login(http.proxy_user.as_ref());
    let read = |name: &str, text: &str| {
        let proxy = Proxy::parse(text).and_then(|proxy| match &login {
            Some(login) => proxy.with_login(Some(login.clone())),
            None => Ok(proxy),
        });
        proxy.map_err(|why| format!("{name}: {why}"))
    };
    http.no_proxy.as_deref().map_or(Ok(()), check_hosts)?;
    let except = http.no_proxy.clone().or_else(|| variable("no_proxy")).or_else(|| variable("NO_PROXY"));
    let except = NoProxy::parse(&except.unwrap_or_default());
    if let Some(given) = &http.proxy {
        let given = Some(given.expose().trim()).filter(|text| !text.is_empty());
        let proxy = given.map(|text| read("--proxy", text)).transpose()?;
        return Ok(Proxies { http: proxy.clone(), https: proxy, except, ..Proxies::default() });
    }
    // In a CGI program, the web server sets HTTP_PROXY to the header `Proxy` of the client, which anyone can
    // choose (httpoxy.org).
    let is_cgi = variable("REQUEST_METHOD").is_some();
    let mut unusable = Vec::new();
    let mut of = |scheme: &str, names: [&'static str; 4]| {
        let mut usable = names.into_iter().filter(|name| *name != "HTTP_PROXY" || !is_cgi);
        let (name, text) = usable.find_map(|name| Some((name, variable(name)?)))?;
        read(name, &text).map_err(|why| unusable.push((scheme.to_string(), why))).ok()
    };
    let http = of("http", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]);
    let https = of("https", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
    Ok(Proxies { http, https, except, unusable, ..Proxies::default() })
}

/// Checks the value of `--no-proxy`. In wget, this option has no value, so users of wget may put a URL after
/// it.
fn check_hosts(hosts: &str) -> Result<(), String> {
    let is_path = |word: &str| word.split_once('/').is_some_and(|(_, rest)| rest.parse::<u8>().is_err());
    match hosts.split([',', ' ']).any(is_path) {
        true => Err(
            "--no-proxy needs hosts or networks, but it has a URL. To use no proxy at all, use --proxy ''"
                .into(),
        ),
        false => Ok(()),
    }
}

/// Returns the proxy of a section of the configuration that is about some hosts (`[host."NAME"]`). Returns
/// `None` for an empty URL, which means a direct connection.
///
/// # Errors
/// Returns what is wrong with the proxy, without its URL.
pub(crate) fn of_section(http: &args::Http) -> Result<Option<Proxy>, String> {
    let text = http.proxy.as_ref().map(|proxy| proxy.expose().trim()).filter(|text| !text.is_empty());
    text.map(Proxy::parse).transpose().map_err(|why| format!("proxy: {why}"))
}

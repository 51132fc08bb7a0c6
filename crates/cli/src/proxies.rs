//! The proxies of a run: that of the options, or those of the environment.
//!
//! Invariant: no message contains the URL of a proxy, which may have a password in it.

use crate::args;
use crate::logins;
use crate::settings::variable;
use downhaul_engine::core::proxy::{NoProxy, Proxies, Proxy};

/// Returns the proxies: that of `--proxy`, or else those of the environment, which is read as curl does.
///
/// # Errors
/// What is wrong with an option or a variable, without its value.
pub(crate) fn of(http: &args::Http) -> Result<Proxies, String> {
    let login = logins::login(http.proxy_user.as_ref());
    let read = |name: &str, text: &str| {
        let proxy = Proxy::parse(text).and_then(|proxy| match &login {
            Some(login) => proxy.with_login(Some(login.clone())),
            None => Ok(proxy),
        });
        proxy.map_err(|why| format!("{name}: {why}"))
    };
    let except = http.no_proxy.clone().or_else(|| variable("no_proxy")).or_else(|| variable("NO_PROXY"));
    let except = NoProxy::parse(&except.unwrap_or_default());
    if let Some(given) = &http.proxy {
        let given = Some(given.expose().trim()).filter(|text| !text.is_empty());
        let proxy = given.map(|text| read("--proxy", text)).transpose()?;
        return Ok(Proxies { http: proxy.clone(), https: proxy, except });
    }
    // A web server puts the header `Proxy` of any client into HTTP_PROXY of a CGI program (httpoxy.org).
    let is_cgi = variable("REQUEST_METHOD").is_some();
    let of = |names: [&'static str; 4]| {
        let mut usable = names.into_iter().filter(|name| *name != "HTTP_PROXY" || !is_cgi);
        usable
            .find_map(|name| Some((name, variable(name)?)))
            .map(|(name, text)| read(name, &text))
            .transpose()
    };
    Ok(Proxies {
        http: of(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
        https: of(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
        except,
    })
}

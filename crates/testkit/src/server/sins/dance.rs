//! Logins by redirects and cookies, as the archives of NASA use them (Earthdata). There is a host with the
//! URLs of the files, a host where users log in, and a host with the bytes.

use crate::server::exchange::Exchange;
use std::io;

/// The value of the header `Authorization` that [`authorize`] accepts. The login is `me:hush`.
const LOGIN: &str = "Basic bWU6aHVzaA==";

/// Redirects to the same URL and sets a cookie, until a request has the cookie.
pub(super) fn cookie_wall(x: &mut Exchange) -> io::Result<bool> {
    if has_cookie(x, "wall=1") {
        return x.file(&[]);
    }
    let here = x.request.target.clone();
    x.respond("302 Found", &[("Location", &here), ("Set-Cookie", "wall=1; Path=/; HttpOnly")], b"")
}

/// Redirects clients that have a session to the bytes at `?data=URL`. Redirects all other clients to the
/// login at `&login=URL`.
pub(super) fn granule(x: &mut Exchange) -> io::Result<bool> {
    let query = |key: &str| x.request.query(key).unwrap_or_default();
    let to = if has_cookie(x, "session=open-sesame") {
        format!("{}/well_behaved/{}/{}?Signature=abcdef", query("data"), x.size, x.name)
    } else {
        let host = x.request.header("host").unwrap_or_default();
        let back = format!("http://{host}/callback/0/x?to={}", encoded(&x.request.target));
        format!("{}/authorize/0/x?back={}", query("login"), encoded(&back))
    };
    x.respond("302 Found", &[("Location", &to)], b"")
}

/// Requires a login. Redirects a request with the login to the URL in `?back=URL`, and adds a code to it.
pub(super) fn authorize(x: &mut Exchange) -> io::Result<bool> {
    if x.request.header("authorization") != Some(LOGIN) {
        let challenge = "Basic realm=\"Please enter your credentials\"";
        return x.respond("401 Unauthorized", &[("WWW-Authenticate", challenge)], b"log in\n");
    }
    let back = x.request.query("back").unwrap_or_default() + "&code=once";
    let cookie = "urs=logged-in; Path=/; HttpOnly";
    x.respond("302 Found", &[("Location", &back), ("Set-Cookie", cookie)], b"")
}

/// Sets the cookie of a session, and redirects to the URL in `?to=URL`. Refuses a request without a code.
pub(super) fn callback(x: &mut Exchange) -> io::Result<bool> {
    if x.request.query("code").is_none() {
        return x.respond("403 Forbidden", &[], b"no code\n");
    }
    let to = x.request.query("to").unwrap_or_default();
    let cookie = "session=open-sesame; Path=/; Max-Age=3600";
    x.respond("302 Found", &[("Location", &to), ("Set-Cookie", cookie)], b"")
}

fn has_cookie(x: &Exchange, pair: &str) -> bool {
    x.request.header("cookie").is_some_and(|cookies| cookies.split("; ").any(|one| one == pair))
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

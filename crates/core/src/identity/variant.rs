//! The facts about a request, besides its URL, that decide which content the server sends.
//!
//! Invariant: a variant contains only keyed hashes, so nothing about a secret can be learned from it without
//! the key. The variant of a request is the same in every run with the same key, and does not depend on the
//! order of headers with different names.

use super::Key;
use crate::job::Job;
use crate::secret::Secret;
use crate::settings::Settings;
use url::Url;

/// The facts about the request of a job, besides its URL, as keyed hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Variant {
    /// A hash of the facts that choose the content: the server, the method, the body, the range of the job,
    /// a user name in the settings, and the headers that do not show who sends the request. Requests with
    /// different hashes may get different files.
    pub(super) content: Option<String>,
    /// A hash of the facts that show who sends the request, such as tokens, the cookies of `--cookie`, and
    /// the headers `Authorization` and `User-Agent`. These facts may change from day to day, so only the
    /// server can say if a request with other facts gets the same file.
    pub(super) visitor: Option<String>,
}

impl Variant {
    /// Returns the variant of the request that a job sends to this URL. A redirect may lead to any host in
    /// [`Settings::headers_for`], so the variant includes the headers for all hosts in it. The variant does
    /// not include the headers that [`Settings::for_hosts`] has for hosts to which only a redirect leads,
    /// since these hosts are not known before the request.
    pub fn of(settings: &Settings, job: &Job, url: &Url) -> Variant {
        let (mut content, mut visitor) = (Facts::new(&settings.key), Facts::new(&settings.key));
        add_server(&mut content, settings, url);
        add_request(&mut content, job);
        add_login(&mut content, &mut visitor, settings, url);
        let of_redirects =
            settings.headers_for.iter().map(|(host, name, value)| (host.as_str(), name.as_str(), value));
        let of_all = settings.headers.iter().chain(settings.for_hosts.headers(url)).chain(job.headers.iter());
        let of_user = job.user_headers.iter().filter(|_| job.is_given(settings, url));
        let of_all = of_all.chain(of_user);
        let of_all = of_all.map(|(name, value)| ("", name, value)).chain(of_redirects);
        let mut headers: Vec<_> =
            of_all.map(|(host, name, value)| (host, name.to_ascii_lowercase(), value)).collect();
        // The order of values with the same name is kept, since it has a meaning (RFC 9110, section 5.3).
        headers.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        for (host, name, value) in headers {
            let facts = if is_of_visitor(&name, value) { &mut visitor } else { &mut content };
            facts.add_secret(&format!("{host} {name}"), value);
        }
        Variant { content: content.hash(), visitor: visitor.hash() }
    }
}

/// Adds the server that an option chooses instead of the server in the URL, if there is such an option. With
/// another server, the same URL may mean another file.
fn add_server(content: &mut Facts, settings: &Settings, url: &Url) {
    if let Some(path) = &settings.unix_socket {
        return content.add("socket", path.as_os_str().as_encoded_bytes());
    }
    let Some((mut host, mut port)) = url.host().map(|host| host.to_owned()).zip(url.port_or_known_default())
    else {
        return;
    };
    if let Some(target) = settings.connect_to.iter().find_map(|rule| rule.target(&host, port)) {
        content.add("server", format!("{}:{}", target.0, target.1).as_bytes());
        (host, port) = target;
    }
    if let Some(addresses) = settings.resolve.iter().find_map(|rule| rule.addresses(&host, port)) {
        content.add("addresses", format!("{addresses:?}").as_bytes());
    }
}

/// Adds the method, the body and the range, if the request is not a plain GET of the whole file.
fn add_request(content: &mut Facts, job: &Job) {
    if let Some(sends) = &job.sends {
        content.add("method", sends.method().as_bytes());
        content.add("type", sends.media_type().unwrap_or_default().as_bytes());
        if let Some(body) = sends.body() {
            content.add_hidden("body", |hasher| body.add_to(hasher));
        }
    }
    if let Some(range) = job.range {
        content.add("range", format!("{}-{:?}", range.first, range.last).as_bytes());
    }
}

/// Adds the facts of the settings that tell the server who sends a request for this URL: the user name, the
/// tokens, the cookies, the client certificate and the user agent. As in URLs, a user name in the settings
/// chooses the content, and its password does not. A user name in a netrc file only shows who sends the
/// request.
fn add_login(content: &mut Facts, visitor: &mut Facts, settings: &Settings, url: &Url) {
    let rules = &settings.for_hosts;
    let has_name = !url.username().is_empty();
    if let Some(login) = settings.user.as_ref().or_else(|| rules.login(url)).filter(|_| !has_name) {
        content.add("user", login.user.as_bytes());
    } else if let Some(netrc) = &settings.netrc
        && let Some(host) = url.host()
        && let Some((login, _)) = netrc.login(&host, None, true).filter(|_| !has_name)
    {
        visitor.add("user", login.user.as_bytes());
    }
    for token in [settings.bearer.as_ref(), rules.bearer(url)].into_iter().flatten() {
        visitor.add_secret("bearer", token);
    }
    if let Some(cookies) = &settings.cookies_given {
        visitor.add_secret("cookies", cookies);
    }
    if let Some(certificate) = &settings.client_certificate {
        visitor.add("certificate", certificate.as_os_str().as_encoded_bytes());
    }
    // The default value contains the version of this program, and a new version does not change which file is
    // meant.
    if settings.user_agent != Settings::DEFAULT_USER_AGENT {
        visitor.add("agent", settings.user_agent.as_bytes());
    }
}

/// Returns true if a header shows who sends the request. `name` is in lower case.
fn is_of_visitor(name: &str, value: &Secret) -> bool {
    match name {
        // These headers choose the content, whatever their values look like (RFC 9110, sections 7.2, 8.3 and
        // 12.5, and RFC 7240).
        "host" | "content-type" | "prefer" => false,
        _ if name.starts_with("accept") => false,
        "authorization" | "cookie" | "user-agent" | "referer" => true,
        // These headers describe the browser. Commands that were copied from a browser have them.
        _ if name.starts_with("sec-") => true,
        _ => value.is_secret_as(name),
    }
}

/// Facts that are added to a keyed hash.
struct Facts<'k> {
    key: &'k Key,
    /// `None` as long as there are no facts.
    hasher: Option<blake3::Hasher>,
}

impl<'k> Facts<'k> {
    fn new(key: &'k Key) -> Facts<'k> {
        Facts { key, hasher: None }
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        let hasher = self.hasher.get_or_insert_with(|| self.key.hasher());
        // The lengths are hashed too, so that different facts never give the same sequence of bytes.
        for text in [name.as_bytes(), value] {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text);
        }
    }

    fn add_secret(&mut self, name: &str, value: &Secret) {
        self.add_hidden(name, |hasher| value.add_to(hasher));
    }

    /// Adds the hash of a value. `add_to` writes the value to a hasher.
    fn add_hidden(&mut self, name: &str, add_to: impl FnOnce(&mut blake3::Hasher)) {
        let mut hasher = self.key.hasher();
        add_to(&mut hasher);
        self.add(name, hasher.finalize().as_bytes());
    }

    /// Returns the hash, or `None` if there are no facts. The hash is a decimal number, because hexadecimal
    /// digits would look like a secret in a URL.
    fn hash(&self) -> Option<String> {
        let hash = self.hasher.as_ref()?.finalize();
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        Some(u64::from_le_bytes([a, b, c, d, e, f, g, h]).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_rules::{HostOptions, HostPattern, HostRules};
    use crate::identity::{Origin, Relation};
    use crate::job::{Body, ByteRange, Sends};
    use crate::names::{ConnectTo, Resolve};
    use crate::secret::Login;

    fn url() -> Url {
        Url::parse("http://h/f").expect("a URL")
    }

    fn headers(all: &[(&str, &str)]) -> Settings {
        Settings::default().with_headers(all.iter().copied().collect())
    }

    fn user(name: &str, password: &str) -> Login {
        Login { user: name.into(), password: Secret::new(password) }
    }

    fn relation(one: &(Settings, Job), other: &(Settings, Job)) -> Relation {
        let origin = |(settings, job): &(Settings, Job)| {
            Origin::of_variant(&url(), &Variant::of(settings, job, &url()), &settings.key)
        };
        origin(one).hashes.compare(origin(other).hashes)
    }

    #[test]
    fn requests_that_choose_another_content_have_different_origins() {
        let job = || Job::new(url());
        let post = |body: &str, media_type: &str| Sends::new("POST", Some((Body::new(body), media_type)));
        let plain = Settings::default;
        let connect_to = |rule: &str| plain().with_connect_to(vec![ConnectTo::parse(rule).expect("a rule")]);
        let resolve = |rule: &str| plain().with_resolve(vec![Resolve::parse(rule).expect("a rule")]);
        let of_host = |login: Login| {
            let options = HostOptions { user: Some(login), ..HostOptions::default() };
            let pattern = HostPattern::read("http://h").expect("a pattern");
            plain().with_for_hosts(HostRules::new(vec![(pattern, options)]))
        };
        let all = [
            (plain(), job()),
            (headers(&[("Host", "site-a")]), job()),
            (headers(&[("Host", "site-b")]), job()),
            (headers(&[("Accept", "text/csv")]), job()),
            (headers(&[("X-Fmt", "csv")]), job()),
            (headers(&[("X-Fmt", "csv"), ("X-Fmt", "xml")]), job()),
            (headers(&[("X-Fmt", "xml"), ("X-Fmt", "csv")]), job()),
            (plain(), job().with_header("X-Page", "1")),
            (plain(), job().with_header("X-Page", "2")),
            (plain().with_headers_for(vec![("h".into(), "X-A".into(), Secret::new("1"))]), job()),
            (plain().with_unix_socket(Some("a".into())), job()),
            (plain().with_unix_socket(Some("b".into())), job()),
            (connect_to("h:80:g:80"), job()),
            (connect_to("h:80:g:81"), job()),
            (resolve("h:80:127.0.0.1"), job()),
            (resolve("h:80:127.0.0.2"), job()),
            (plain(), job().with_sends(post("a", "x").expect("a request"))),
            (plain(), job().with_sends(post("b", "x").expect("a request"))),
            (plain(), job().with_sends(post("b", "y").expect("a request"))),
            (plain(), job().with_range(ByteRange { first: 5, last: None })),
            (plain(), job().with_range(ByteRange { first: 5, last: Some(6) })),
            (plain().with_user(Some(user("ann", "1"))), job()),
            (plain().with_user(Some(user("bob", "1"))), job()),
            (of_host(user("eve", "1")), job()),
        ];
        for (n, one) in all.iter().enumerate() {
            for other in &all[..n] {
                assert_eq!(relation(one, other), Relation::Different, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn another_visitor_may_get_the_same_file_and_only_the_server_knows() {
        let with = |settings: Settings| (settings, Job::new(url()));
        let plain = with(Settings::default());
        for visitor in [
            headers(&[("Authorization", "Bearer 1")]),
            headers(&[("Cookie", "a=1")]),
            headers(&[("X-Api-Key", "1")]),
            headers(&[("User-Agent", "another")]),
            headers(&[("Sec-Fetch-Site", "none")]),
            Settings::default().with_bearer(Some(Secret::new("1"))),
            Settings::default().with_cookies_given(Some(Secret::new("a=1"))),
            Settings::default().with_user_agent("another"),
            Settings::default().with_client_certificate(Some("me.pem".into())),
        ] {
            assert_eq!(relation(&plain, &with(visitor.clone())), Relation::SignedDifferently, "{visitor:?}");
        }
        assert_eq!(
            relation(
                &with(Settings::default().with_user(Some(user("ann", "1")))),
                &with(Settings::default().with_user(Some(user("ann", "2"))))
            ),
            Relation::Same,
            "only the password differs"
        );
    }

    #[test]
    fn the_order_of_different_headers_and_the_case_of_their_names_do_not_matter() {
        let one = (headers(&[("X-A", "1"), ("X-B", "2")]), Job::new(url()));
        let other = (headers(&[("x-b", "2")]), Job::new(url()).with_header("x-a", "1"));
        assert_eq!(relation(&one, &other), Relation::Same);
        assert_eq!(Variant::of(&Settings::default(), &Job::new(url()), &url()), Variant::default());
    }

    #[test]
    fn with_another_key_a_variant_has_other_hashes_and_is_not_resumed() {
        let settings = headers(&[("X-Fmt", "csv")]).with_bearer(Some(Secret::new("hush")));
        let other = settings.clone().with_key(Key::new([7; 32]));
        let variant = |settings: &Settings| Variant::of(settings, &Job::new(url()), &url());
        assert_ne!(variant(&settings).content, variant(&other).content);
        assert_ne!(variant(&settings).visitor, variant(&other).visitor);
        let origin = |settings: &Settings| Origin::of_variant(&url(), &variant(settings), &settings.key);
        assert!(origin(&settings).may_resume(origin(&settings)));
        assert!(!origin(&settings).may_resume(origin(&other)));
        assert!(!Origin::of(&url(), &Key::default()).may_resume(origin(&other)));
    }
}

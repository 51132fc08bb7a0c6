//! [`Options`]: the values of aria2's options that were set for a download or for the daemon.
//!
//! Invariant: each name is in `table`, each value is one that its option allows, and sizes are plain numbers
//! of bytes.

mod table;

pub use table::{Kind, Scope, TABLE, row};

use crate::fault::Fault;
use downhaul_engine::core::show;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// The longest value of an option in bytes. In practice, the longest values are sets of headers. Servers
/// accept at most 8 to 64 KiB of headers, so every set of headers that is of use is shorter than this limit.
const LONGEST_VALUE: usize = 256 << 10;

/// The options of the daemon ([`Scope::Daemon`]) that have an effect if a client sets them. The daemon stores
/// the other options of the daemon too, but they have no effect.
const USED: [&str; 3] = ["max-concurrent-downloads", "max-overall-download-limit", "max-download-result"];

/// Options that were set, in the order of their names. Most downloads have very few options, so a sorted list
/// is used and not a map.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(&'static str, Box<str>)>);

/// A value may be a password or a header with one, so debug output shows the names only.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Options {
    /// Reads the options that a client sent for one download. Does the same as [`Options::from_client`],
    /// except that a bad value of an option of the daemon is always left out and is never a fault.
    ///
    /// # Errors
    /// Returns a fault that names the first option of downloads whose value is bad. Also returns a fault if
    /// `value` is not an object.
    pub fn of_download(value: &Value) -> Result<Options, Fault> {
        Options::read(value, |scope, _| scope == Scope::Download)
    }

    /// Reads the options that a client sent. `value` is an object. Its values are texts, numbers and
    /// booleans, and lists of texts for options that may occur several times. Unknown options, and options
    /// that clients may not change, are left out. A bad value of an option of the daemon is left out too, if
    /// the option would have no effect.
    ///
    /// # Errors
    /// Returns a fault that names the first option whose bad value is not left out. Also returns a fault if
    /// `value` is not an object.
    pub fn from_client(value: &Value) -> Result<Options, Fault> {
        Options::read(value, |scope, name| scope == Scope::Download || USED.contains(&name))
    }

    /// Reads options. `matters` gets the scope and the name of an option, and returns true if a bad value of
    /// the option is a fault. If it returns false, a bad value is left out.
    fn read(value: &Value, matters: impl Fn(Scope, &str) -> bool) -> Result<Options, Fault> {
        let Value::Object(values) = value else {
            return Err(Fault::refused("The options must be an object."));
        };
        let mut options = Options::default();
        for (name, value) in values {
            let Some((_, scope, _, _)) = table::row(name).filter(|row| row.1 != Scope::Ignored) else {
                continue;
            };
            let set =
                text_of(name, value).and_then(|text| text.map_or(Ok(()), |text| options.set(name, &text)));
            if matters(*scope, name) {
                set?;
            }
        }
        Ok(options)
    }

    /// Sets an option. Does nothing if the option is unknown.
    ///
    /// # Errors
    /// Returns a fault that names the option, if the value is not allowed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let Some((name, _, kind, _)) = table::row(name) else { return Ok(()) };
        let value = checked(*kind, value).ok_or_else(|| bad(name))?;
        self.insert(name, value.into());
        Ok(())
    }

    fn insert(&mut self, name: &'static str, value: Box<str>) {
        match self.place(name) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Returns the index of an option in the list. If the option is not set, the `Err` has the index at which
    /// the option must be inserted.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (*other).cmp(name))
    }

    /// Sets an option. If the option may occur several times and has a value already, adds the new value to
    /// it as a line.
    ///
    /// # Errors
    /// Returns a fault that names the option, if the value is not allowed.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let has_lines = table::row(name).is_some_and(|row| row.2 == Kind::Lines);
        match self.get(name).filter(|_| has_lines) {
            Some(before) => self.set(name, &format!("{before}\n{value}")),
            None => self.set(name, value),
        }
    }

    /// Returns true if an option was set, even to an empty value.
    pub fn is_set(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Returns the names and values that were set, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }

    /// Returns the value of an option that was set. An empty value counts as none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).ok().map(|at| &*self.0[at].1).filter(|value| !value.is_empty())
    }

    /// Returns the value of an option, or its default.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).or_else(|| table::row(name).map(|row| row.3)).unwrap_or_default()
    }

    /// Returns true if the value of an option, or its default, is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.value(name) == "true"
    }

    /// Returns the number that an option is set to, or its default. Returns 0 if the value is not a whole
    /// number.
    pub fn number(&self, name: &str) -> u64 {
        self.value(name).parse().unwrap_or_default()
    }

    /// Adds the options of `other`. They replace options of the same name that were set before.
    pub fn extend(&mut self, other: Options) {
        other.0.into_iter().for_each(|(name, value)| self.insert(name, value));
    }

    /// Returns these options, and the options of `below` that are not set here. A login is a user name and a
    /// password. If a proxy is set in `below`, and a different one or an empty value is set here, the login
    /// of the proxy in `below` is left out, because it belongs to that proxy alone. If the user name of a
    /// login is set here, and there is a different one in `below`, the password in `below` is left out.
    #[must_use]
    pub fn above(&self, below: &Options) -> Options {
        let is_replaced = |proxy: &str| {
            let (own, other) = (self.get(proxy), below.get(proxy));
            self.is_set(proxy) && other.is_some() && own != other
        };
        let mut all = below.filtered(|name| {
            let proxy = name.strip_suffix("-user").or(name.strip_suffix("-passwd"));
            let user = name.strip_suffix("-passwd").map(|login| format!("{login}-user"));
            !proxy.is_some_and(|proxy| proxy.ends_with("-proxy") && is_replaced(proxy))
                && !user.is_some_and(|user| {
                    self.is_set(&user) && below.get(&user).is_some_and(|other| self.get(&user) != Some(other))
                })
        });
        all.extend(self.clone());
        all
    }

    /// Returns the options for whose names `is_kept` returns true.
    fn filtered(&self, is_kept: impl Fn(&str) -> bool) -> Options {
        Options(self.0.iter().filter(|(name, _)| is_kept(name)).cloned().collect())
    }

    /// Returns these options without those that are set in `other`.
    #[must_use]
    pub fn outside(&self, other: &Options) -> Options {
        self.filtered(|name| !other.is_set(name))
    }

    /// Returns these options without the URLs that a client does not want to change. A client sees the URLs
    /// in `before` without their secrets. If the client sends back such a URL unchanged, it is left out here,
    /// because it would replace the complete URL.
    #[must_use]
    pub fn changed_from(&self, before: &Options) -> Options {
        self.filtered(|name| {
            let is_the_shown = |value: &str| before.get(name).is_some_and(|one| shown(name, one) == value);
            !(is_url(name) && self.get(name).is_some_and(is_the_shown))
        })
    }

    /// Returns the options that affect single downloads ([`Scope::Download`]).
    #[must_use]
    pub fn of_downloads(&self) -> Options {
        self.filtered(|name| table::row(name).is_some_and(|row| row.1 == Scope::Download))
    }

    /// Returns the options except those with these names.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Options {
        self.filtered(|name| !names.contains(&name))
    }

    /// Returns the options with these names.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Options {
        self.filtered(|name| names.contains(&name))
    }

    /// Returns the names and values as they are stored.
    pub fn to_json(&self) -> Value {
        self.0.iter().map(|(name, value)| ((*name).to_string(), Value::from(&**value))).collect()
    }

    /// Reads what [`Options::to_json`] returned. Options that this version does not know are left out.
    pub fn from_json(value: &Value) -> Options {
        let mut options = Options::default();
        for (name, value) in value.as_object().into_iter().flatten() {
            // A value that is not allowed any more is left out too.
            let _ = options.set(name, value.as_str().unwrap_or_default());
        }
        options
    }

    /// Returns the options that a client expects to see: those with a value or a default. If `all` is
    /// false, only options of downloads are returned. URLs are shown without secrets. `gid`, `pause`,
    /// `rpc-secret` and all passwords are left out. Headers are shown as they were set.
    pub fn shown(&self, all: bool) -> Map<String, Value> {
        let shown = TABLE.iter().filter(|(name, scope, _, _)| {
            (all || *scope == Scope::Download)
                && !matches!(*name, "gid" | "pause" | "rpc-secret")
                && !name.ends_with("-passwd")
        });
        let value =
            |row: &table::Row| (row.0.to_string(), Value::from(self::shown(row.0, self.value(row.0))));
        shown.filter(|row| !self.value(row.0).is_empty()).map(value).collect()
    }
}

/// Returns true if the value of the option with this name is a URL.
fn is_url(name: &str) -> bool {
    (name.ends_with("-proxy") && name != "no-proxy") || matches!(name, "referer" | "metalink-base-uri")
}

/// Returns the value of an option as clients see it: a URL without its secrets, or any other value unchanged.
fn shown<'v>(name: &str, value: &'v str) -> Cow<'v, str> {
    if is_url(name) { show::given(value) } else { value.into() }
}

/// Returns the value of an option as a text, or `None` if the client sent `null`. The items of a list become
/// lines.
fn text_of(name: &str, value: &Value) -> Result<Option<String>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(value) => Ok(Some(value.to_string())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Array(lines) => {
            let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
            lines.map(|lines| Some(lines.join("\n"))).ok_or_else(|| bad(name))
        }
        Value::Object(_) => Err(bad(name)),
    }
}

fn bad(name: &str) -> Fault {
    Fault::refused(format!("We encountered a problem while processing the option '--{name}'."))
}

/// Returns the value in the form in which it is stored, or `None` if the option does not allow it.
fn checked(kind: Kind, value: &str) -> Option<String> {
    if value.len() > LONGEST_VALUE || value.contains('\0') {
        return None;
    }
    let value = if matches!(kind, Kind::Text | Kind::Lines) { value } else { value.trim() };
    match kind {
        // As in aria2, an option without a value is true.
        Kind::Bool if value.is_empty() => Some("true".into()),
        Kind::Bool => matches!(value, "true" | "false").then(|| value.to_string()),
        Kind::OneOf(words) => words.contains(&value).then(|| value.to_string()),
        Kind::Text | Kind::Lines => Some(value.to_string()),
        Kind::Real => {
            let number = value.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
            number.map(|_| value.to_string())
        }
        Kind::Number(least, most) => in_range(value.parse().ok()?, least, most),
        Kind::Size(least, most) => in_range(bytes(value)?, least, most),
    }
}

fn in_range(number: u64, least: u64, most: u64) -> Option<String> {
    (least..=most).contains(&number).then(|| number.to_string())
}

/// Reads a number of bytes, which `K` or `M` may follow.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Returns these options, for a test.
#[cfg(test)]
pub(crate) fn options(given: &[(&str, &str)]) -> Options {
    let mut options = Options::default();
    given.iter().try_for_each(|(name, value)| options.set(name, value)).expect("allowed");
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_taken_as_clients_mean_them() {
        let sent = json!({
            "split": 4, "max-download-limit": "1M", "pause": true, "header": ["A: b", "C: d"], "no-such": "x",
            "log": "/etc/passwd", "rpc-secret": "x", "dir": null, "continue": "true"
        });
        let options = Options::from_client(&sent).expect("allowed");
        assert_eq!((options.number("split"), options.number("max-download-limit")), (4, 1 << 20));
        assert!(options.is_true("pause") && options.is_true("continue") && !options.is_true("dry-run"));
        assert_eq!(options.get("header"), Some("A: b\nC: d"));
        assert_eq!((options.get("log"), options.get("rpc-secret"), options.get("dir")), (None, None, None));
        assert_eq!(Options::from_json(&options.to_json()), options);
        let alone = Options::from_client(&json!({ "continue": "" })).expect("allowed");
        assert!(alone.is_true("continue"));
    }

    #[test]
    fn the_login_of_a_proxy_is_not_inherited_by_another_proxy() {
        let of = |given: Value| Options::from_client(&given).expect("allowed");
        let below = of(json!({
            "all-proxy": "http://p:1", "all-proxy-user": "me", "all-proxy-passwd": "hush", "http-user": "a"
        }));
        let login = |user: &str| of(json!({ "http-user": user }));
        let all = of(json!({ "http-user": "bob", "http-passwd": "B" }));
        assert_eq!(login("alice").above(&all).get("http-passwd"), None);
        assert_eq!(login("bob").above(&all).get("http-passwd"), Some("B"));
        let own = of(json!({ "all-proxy": "http://q:1" })).above(&below);
        assert_eq!((own.get("all-proxy-user"), own.get("all-proxy-passwd")), (None, None));
        assert_eq!((own.get("all-proxy"), own.get("http-user")), (Some("http://q:1"), Some("a")));
        let without = of(json!({ "all-proxy": "" })).above(&below);
        assert_eq!((without.get("all-proxy-user"), without.get("all-proxy-passwd")), (None, None));
        // The same proxy keeps its login, and a proxy that is set after its login gets it.
        let same = of(json!({ "all-proxy": "http://p:1", "split": 2 })).above(&below);
        assert_eq!(same.get("all-proxy-user"), Some("me"));
        let later = of(json!({ "all-proxy": "http://p:1" })).above(&below.without(&["all-proxy"]));
        assert_eq!(later.get("all-proxy-user"), Some("me"));
    }

    #[test]
    fn a_bad_value_is_a_fault_that_names_the_option() {
        for (name, value) in [
            ("split", json!("abc")),
            ("split", json!(0)),
            ("max-connection-per-server", json!("17")),
            ("max-download-limit", json!("1G")),
            ("max-download-limit", json!("-1")),
            ("pause", json!("yes")),
            ("follow-metalink", json!("maybe")),
            ("seed-ratio", json!("inf")),
            ("split", json!("")),
            ("max-download-limit", json!(" ")),
            ("follow-metalink", json!("")),
            ("seed-time", json!("")),
            ("header", json!([1])),
            ("dir", json!({})),
            ("dir", json!("a\0b")),
        ] {
            let fault = Options::from_client(&json!({ name: value })).expect_err(name);
            assert_eq!(
                fault.message,
                format!("We encountered a problem while processing the option '--{name}'.")
            );
        }
    }

    #[test]
    fn clients_see_all_options_and_no_secret_of_the_daemon() {
        let mut options = Options::default();
        options.set("rpc-secret", "hush").expect("allowed");
        options.set("dir", "/d").expect("allowed");
        assert!(options.shown(true).len() >= 120 && options.shown(false).len() >= 70);
        assert!(!format!("{:?}", options.shown(true)).contains("hush"));
        options.set("http-passwd", "hush").expect("allowed");
        assert!(!format!("{options:?}").contains("hush"));
    }
}

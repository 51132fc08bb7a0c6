//! [`Addresses`] decides which URL an address in a list stands for (`--replace` and `--base`).

use crate::error::{Error, ErrorKind};
use crate::job::{self, Job};
use crate::show;
use std::borrow::Cow;
use std::sync::Arc;
use url::Url;

/// The rules for the addresses in a list: the texts that are replaced, and the base URL from which relative
/// addresses are resolved.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Addresses {
    replacements: Arc<[Replacement]>,
    base: Option<Url>,
}

/// A text that is replaced in each address, and the text that takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    from: String,
    to: String,
}

impl Replacement {
    /// Reads `FROM=TO`. FROM ends at the first `=`.
    ///
    /// # Errors
    /// Returns a message for the user that states the required form.
    pub fn read(text: &str) -> Result<Replacement, String> {
        let (from, to) = text
            .split_once('=')
            .filter(|(from, _)| !from.is_empty())
            .ok_or("the form is FROM=TO, such as ftp://=https://")?;
        Ok(Replacement { from: from.into(), to: to.into() })
    }
}

impl Addresses {
    /// Returns the rules with these replacements and this base URL. The replacements are made in the order of
    /// `replacements`. Relative addresses are resolved from `base`. Without a base URL, an address that has
    /// no scheme must begin with a host name or an IP address.
    pub fn new(replacements: Vec<Replacement>, base: Option<Url>) -> Addresses {
        Addresses { replacements: replacements.into(), base }
    }

    /// Returns these rules. If they have no base URL, they get `base`.
    #[must_use]
    pub(super) fn or_base(&self, base: Option<&Url>) -> Addresses {
        Addresses { base: self.base.as_ref().or(base).cloned(), ..self.clone() }
    }

    /// Returns the base URL for relative addresses.
    pub(super) fn base(&self) -> Option<&Url> {
        self.base.as_ref()
    }

    /// Makes the replacements in an address and returns the new address. Each replacement is made only at the
    /// first place where its text occurs.
    pub(super) fn replaced<'t>(&self, address: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(address);
        for Replacement { from, to } in self.replacements.iter() {
            if text.contains(from.as_str()) {
                text = text.replacen(from.as_str(), to, 1).into();
            }
        }
        text
    }

    /// Returns the job for an address.
    ///
    /// # Errors
    /// Returns the errors of [`Job::given`].
    pub(super) fn job(&self, address: &str) -> Result<Job, Error> {
        let address = self.absolute(address)?;
        Job::given(&address)
    }

    /// Adds a mirror with this address to a job.
    ///
    /// # Errors
    /// Returns the errors of [`Job::given`].
    pub(super) fn add_mirror(&self, job: &mut Job, address: &str) -> Result<(), Error> {
        let address = self.absolute(address)?;
        job.add_mirror(&address)
    }

    /// Returns true if each of these texts seems to be the address of a file.
    pub(super) fn are_addresses(&self, texts: &[&str]) -> bool {
        let has_host = |text: &str| job::has_scheme(text) || job::without_scheme(text).is_some();
        let all = || texts.iter().map(|text| self.replaced(text));
        // The caller may have split a URL at a semicolon that is part of the URL. The text after such a
        // semicolon is not a relative address. Therefore, texts count as relative addresses only if none of
        // them has a scheme.
        all().all(|text| has_host(&text))
            || self.base.is_some() && all().all(|text| !text.is_empty() && !job::has_scheme(&text))
    }

    fn absolute<'t>(&self, address: &'t str) -> Result<Cow<'t, str>, Error> {
        let address = self.replaced(address);
        match &self.base {
            Some(base) if !job::has_scheme(&address) => {
                let url = base.join(&address).map_err(|e| {
                    let shown = show::not_a_url(&address);
                    Error::new(ErrorKind::UrlInvalid, shown, e.to_string())
                })?;
                Ok(String::from(url).into())
            }
            _ => Ok(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(replacements: &[&str], base: Option<&str>) -> Addresses {
        let replacements = replacements.iter().map(|one| Replacement::read(one).expect(one)).collect();
        Addresses::new(replacements, base.map(|base| Url::parse(base).expect(base)))
    }

    #[test]
    fn an_address_is_replaced_and_then_read_relative_to_the_base() {
        let ftp = rules(&["ftp://=https://", "/old/=/new/"], None);
        let based = rules(&["X=d"], Some("https://h.example/set/list"));
        for (rules, address, url) in [
            (&ftp, "ftp://h/old/a/old/b", Ok("https://h/new/a/old/b")),
            (&ftp, "h.example/old/a", Ok("https://h.example/new/a")),
            (&ftp, "a", Err(ErrorKind::UrlInvalid)),
            (&based, "X.e/a b", Ok("https://h.example/set/d.e/a%20b")),
            (&based, "/a", Ok("https://h.example/a")),
            (&based, "http://m/a", Ok("http://m/a")),
            (&based, "ftp://m/a", Err(ErrorKind::UrlScheme)),
            (&based, "mailto:a@b", Err(ErrorKind::UrlInvalid)),
        ] {
            let job = rules.job(address).map(|job| job.urls[0].to_string()).map_err(|error| error.kind);
            assert_eq!(job, url.map(String::from), "{address}");
        }
        for bad in ["", "a", "=b"] {
            assert!(Replacement::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_follows_a_semicolon_may_belong_to_a_url() {
        let (none, based) = (rules(&[], None), rules(&[], Some("http://h/")));
        assert!(none.are_addresses(&["http://h/a", "h.example/b"]) && based.are_addresses(&["a", "b/c"]));
        assert!(!none.are_addresses(&["http://h/a", "v=1"]) && !based.are_addresses(&["http://h/a", "v=1"]));
    }
}

//! The Public Suffix List (publicsuffix.org): names below which many owners have names, such as `co.uk`.
//!
//! The list is in the crate `psl`, whose functions are compiled again in each crate that calls them. So this
//! crate calls the crate `addr`, which calls these functions. If this crate called them itself, they would
//! take a third of its build time, because this crate is optimised for the tests too.

use addr::dns::Name;
use addr::parse_dns_name;

/// Returns true if this host name is a public suffix. A name of one label, such as `localhost`, counts as a
/// public suffix, even if it is not on the list. So does a name that is too long for the DNS, or that has an
/// empty label, since no host can have such a name.
pub(crate) fn is_suffix(host: &str) -> bool {
    parse_dns_name(host).map_or(true, |name| is_whole(&name))
}

/// Returns true if this host name is a public suffix of the ICANN section of the list. The other section has
/// suffixes of companies, such as `github.io`.
pub(crate) fn is_icann_suffix(host: &str) -> bool {
    parse_dns_name(host).is_ok_and(|name| name.is_icann() && is_whole(&name))
}

/// Returns true if the suffix of the name is the whole name.
fn is_whole(name: &Name) -> bool {
    name.suffix() == Some(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_suffixes_of_registries_and_of_companies() {
        for (host, is_public, is_icann) in [
            ("com", true, true),
            ("co.uk", true, true),
            ("example.co.uk", false, false),
            // `*.ck` is a rule of the list, with the exception `www.ck`.
            ("anything.ck", true, true),
            ("www.ck", false, false),
            ("github.io", true, false),
            ("someone.github.io", false, false),
            // No rule of the list applies to the first two of these names.
            ("localhost", true, false),
            ("server.local-network", false, false),
            ("_service.example.com", false, false),
        ] {
            assert_eq!((is_suffix(host), is_icann_suffix(host)), (is_public, is_icann), "{host}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_for_the_dns_is_a_public_suffix() {
        let long = format!("{}.example.com", "a".repeat(64));
        assert_eq!((is_suffix(&long), is_icann_suffix(&long)), (true, false));
    }
}

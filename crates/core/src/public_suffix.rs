//! The Public Suffix List (publicsuffix.org): names below which many owners have names, such as `co.uk`.
//!
//! Invariant: only this file calls the functions of the crate `psl`. These functions are compiled again for
//! each file that calls them, which takes a fifth of the build time of this crate.

use psl::Suffix;

/// Returns the public suffix of a host name, such as `co.uk` for `www.example.co.uk`. If no rule of the list
/// applies to the name, the result is the last label, and its type is `None`.
#[inline(never)]
pub(crate) fn of(host: &str) -> Option<Suffix<'_>> {
    psl::suffix(host.as_bytes())
}

//! What the URLs of a run tell before anything is fetched: where headers may go, and whether digests were
//! given.
//!
//! Invariant: memory is bounded, whatever the length of the list.

use downhaul_engine::core::job::{Job, NamedBy, Url};
use downhaul_engine::core::settings::{ChecksumList, Settings, Verify};
use std::collections::BTreeSet;

/// Origins that are remembered. Headers are for one host or a few; a list of more hosts is not a list of
/// those.
const ORIGINS_MOST: usize = 1_000;

/// Origins that a warning names; the rest are counted.
const ORIGINS_SHOWN: usize = 3;

/// What is known of all jobs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Origins of URLs that the person gave.
    given: BTreeSet<String>,
    /// Origins of URLs that a document named.
    named: BTreeSet<String>,
    has_digests: bool,
}

impl Survey {
    /// Takes in a job.
    pub fn add(&mut self, job: &Job) {
        self.has_digests |= !job.expected.is_empty() || job.chunks.is_some();
        let origins = match job.named_by {
            NamedBy::Person => &mut self.given,
            NamedBy::Document => &mut self.named,
        };
        job.urls.iter().for_each(|url| remember(origins, url));
    }

    /// Takes in the URL of a list, which the person gave.
    pub fn add_list(&mut self, url: &Url) {
        remember(&mut self.given, url);
    }

    /// Puts the origins that may have the headers into the settings, and returns what the person should know
    /// of that.
    pub fn apply(self, settings: &mut Settings) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut others: BTreeSet<String> = self.named.difference(&self.given).cloned().collect();
        if let Some(ChecksumList::Url(url)) = &settings.checksums {
            let origin = url.origin().ascii_serialization();
            // What standard input names is not known yet.
            if !self.given.is_empty() && !self.given.contains(&origin) {
                others.insert(origin);
            }
        }
        if !settings.headers.0.is_empty() && !others.is_empty() {
            warnings.push(format!(
                "the headers of -H are not sent to {}: of the files, you gave no URL there",
                shown(&others)
            ));
        }
        let urls = self.given.iter().filter_map(|origin| Url::parse(origin).ok());
        if let Some((url, pattern)) = urls
            .into_iter()
            .find_map(|url| settings.for_hosts.held_back(&url).map(|pattern| (url.clone(), pattern)))
        {
            warnings.push(format!(
                "the headers of [host.\"{pattern}\"] are not sent to {}, since others on the network could read them. \
                 [host.\"http://{pattern}\"] sends them",
                url.origin().ascii_serialization()
            ));
        }
        if settings.verify == Verify::Off && self.has_digests {
            warnings.push(NOT_CHECKED.into());
        }
        settings.header_origins = self.given;
        warnings
    }
}

/// Digests are there, and `--verify off` as well.
pub const NOT_CHECKED: &str = "digests were given with the URLs, and --verify off checks none of them";

fn remember(origins: &mut BTreeSet<String>, url: &Url) {
    if origins.len() < ORIGINS_MOST {
        origins.insert(url.origin().ascii_serialization());
    }
}

fn shown(origins: &BTreeSet<String>) -> String {
    let first: Vec<&str> = origins.iter().take(ORIGINS_SHOWN).map(String::as_str).collect();
    match origins.len() - first.len() {
        0 => first.join(" and "),
        1 => format!("{} and one other host", first.join(", ")),
        more => format!("{} and {more} other hosts", first.join(", ")),
    }
}

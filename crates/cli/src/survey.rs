//! Collects facts from the URLs of a run before any file is requested: which origins may get headers, and if
//! digests were given.
//!
//! Invariant: the memory is limited, even for a very long list.

/// The number of files that are downloaded at once, if the user set no number and there are at most
/// [`FEW_FILES`] files. A person who watches can follow two bars.
pub(crate) const FEW_AT_ONCE: u16 = 2;

/// If there are more files than this, or if their number is not known, the run itself searches for the best
/// number of files at once, unless the user set this number. A person does not watch each of so many files.
const FEW_FILES: u64 = 16;

use crate::args::Args;
use crate::shards::Shards;
use downhaul_engine::core::job::{Job, NamedBy, Position, Url};
use downhaul_engine::core::listed_names::ListedNames;
use downhaul_engine::core::settings::{ChecksumList, Settings, Verify};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// The most origins of URLs of the user that are kept in memory, and also the most origins of URLs in
/// documents. A URL in a document gets the headers only if its origin is one of the kept origins of URLs of
/// the user. Usually, the user sends headers to a few hosts only, so this limit is hardly ever reached.
const MOST_ORIGINS: usize = 1_000;

/// The most origins that a warning names. The warning states only the number of the other origins.
const ORIGINS_SHOWN: usize = 3;

/// The facts that were collected from the URLs of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Origins of URLs that the user gave.
    given: BTreeSet<String>,
    /// Origins of URLs that a document named.
    named: BTreeSet<String>,
    has_digests: bool,
    /// The URL that was added last, without its path, and whether the user or a document named it.
    last: Option<(String, NamedBy)>,
    /// Warnings about the lists.
    pub(crate) warnings: Vec<String>,
    /// The names of the files of long lists. They are known when the check of the lists ends.
    pub(crate) names: Option<Arc<OnceLock<ListedNames>>>,
    /// True if the rest of the URLs is read only during the run.
    pub(crate) is_partial: bool,
    /// The shard of this run, if the user chose one.
    pub(crate) shards: Option<Shards>,
}

impl Survey {
    /// Adds the facts about the URLs and digests of a job.
    pub fn add(&mut self, job: &Job) {
        self.has_digests |= !job.expected.is_empty() || job.chunks.is_some();
        job.urls.iter().for_each(|url| self.add_origin(url, job.named_by));
    }

    /// Returns true if digests were given for a file.
    pub(crate) fn has_digests(&self) -> bool {
        self.has_digests
    }

    /// Returns true if a document named some of the URLs.
    pub(crate) fn has_documents(&self) -> bool {
        !self.named.is_empty()
    }

    fn add_origin(&mut self, url: &Url, named_by: NamedBy) {
        // The lines of a list often have the same origin. To compare the texts is faster than to find the
        // origin.
        let text = &url[..Position::BeforePath];
        if self.last.as_ref().is_some_and(|(last, by)| last == text && *by == named_by) {
            return;
        }
        self.last = Some((text.into(), named_by));
        let origins = match named_by {
            NamedBy::Person => &mut self.given,
            NamedBy::Document => &mut self.named,
        };
        remember(origins, url);
    }

    /// Returns true if the next job of a list belongs to the shard of this run. `position` is the number of
    /// jobs before it in its list. `job` is `None` for a line that has a mistake, and `named` is the job with
    /// the name of its file, if the name is known before the run.
    pub(crate) fn is_mine(&mut self, position: u64, job: Option<&Job>, named: Option<&Job>) -> bool {
        self.shards.as_mut().is_none_or(|shards| shards.add(position, job, named))
    }

    /// Adds the URL of a list, if it has one. The user gave this URL.
    pub fn add_list(&mut self, url: Option<&Url>) {
        if let Some(url) = url {
            remember(&mut self.given, url);
        }
    }

    /// Checks if downhaul can use the proxies that the known URLs of the run need. Other proxies are not
    /// checked.
    ///
    /// # Errors
    /// Returns what is wrong with the first proxy that cannot be used.
    pub fn check_proxies(&self, settings: &Settings) -> Result<(), String> {
        let mut urls = self.given.iter().chain(&self.named).filter_map(|origin| Url::parse(origin).ok());
        urls.find_map(|url| settings.proxies.why_unusable(&url).map(String::from)).map_or(Ok(()), Err)
    }

    /// Returns true if a known origin of the run has https, or if URLs that are not known yet may have it.
    pub fn may_need_tls(&self) -> bool {
        let mut origins = self.given.iter().chain(&self.named);
        self.is_partial || self.given.is_empty() || origins.any(|origin| origin.starts_with("https:"))
    }

    /// Adds the collected facts to the settings, such as the origins that may get the user's headers. Returns
    /// warnings for the user.
    pub fn apply(self, settings: &mut Settings) -> Vec<String> {
        let mut warnings = self.warnings;
        let mut others: BTreeSet<String> = self.named.difference(&self.given).cloned().collect();
        if let Some(ChecksumList::Url(url)) = &settings.checksums {
            let origin = url.origin().ascii_serialization();
            // If no URL of the user is known yet, the URLs may come from standard input, and one of them may
            // have this origin.
            if !self.given.is_empty() && !self.given.contains(&origin) {
                others.insert(origin);
            }
        }
        let secrets = [
            (!settings.headers.0.is_empty(), "the headers of -H are"),
            (settings.user.is_some(), "the login of --user is"),
            (settings.bearer.is_some(), "the token of --bearer is"),
            (settings.cookies_given.is_some(), "the cookies of --cookie are"),
        ];
        for (_, what) in secrets.iter().filter(|(given, _)| *given && !others.is_empty()) {
            let to = shown(&others);
            let there = if others.len() == 1 { "this server" } else { "these servers" };
            warnings.push(format!("{what} not sent to {to}, since you gave no URL of a file on {there}"));
        }
        let urls = self.given.iter().filter_map(|origin| Url::parse(origin).ok());
        if let Some((url, pattern)) = urls
            .into_iter()
            .find_map(|url| settings.for_hosts.held_back(&url).map(|pattern| (url.clone(), pattern)))
        {
            warnings.push(format!(
                "the headers and logins of [host.\"{pattern}\"] are not sent to {}, since others on the network could read them. \
                 To send them nevertheless, write [host.\"http://{pattern}\"]",
                url.origin().ascii_serialization()
            ));
        }
        if settings.verify == Verify::Off && self.has_digests {
            warnings.push(NOT_CHECKED.into());
        }
        settings.header_origins = self.given;
        settings.listed_names = self.names;
        warnings
    }
}

/// The warning if digests are given together with `--verify off`.
pub const NOT_CHECKED: &str =
    "digests were given with the URLs, but --verify off means that no file is verified";

fn remember(origins: &mut BTreeSet<String>, url: &Url) {
    if origins.len() < MOST_ORIGINS {
        origins.insert(url.origin().ascii_serialization());
    }
}

fn shown(origins: &BTreeSet<String>) -> String {
    let first: Vec<&str> = origins.iter().take(ORIGINS_SHOWN).map(String::as_str).collect();
    match origins.len() - first.len() {
        0 => first.join(" and "),
        1 => format!("{} and one other origin", first.join(", ")),
        more => format!("{} and {more} other origins", first.join(", ")),
    }
}

/// Chooses how many files are downloaded at once, if the user has not chosen a number. `files` is the number
/// of files, if it is known before the run.
pub(crate) fn choose_parallel(args: &Args, files: Option<u64>, settings: &mut Settings) {
    if args.options.work.parallel.is_none() && files.is_none_or(|files| files > FEW_FILES) {
        settings.parallel = None;
    }
}

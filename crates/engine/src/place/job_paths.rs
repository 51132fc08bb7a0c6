//! Chooses the paths of files from the names in lists and URLs, and reserves them ([`taken`](super::taken)).
//!
//! Invariant: nothing is read from the disk.

use super::taken::{Reserved, ReservedPaths};
use downhaul_core::event::JobId;
use downhaul_core::identity::Variant;
use downhaul_core::job::{Destination, IfExists, Job};
use downhaul_core::listed_names::ListedNames;
use downhaul_core::name::SafeName;
use downhaul_core::remote::Remote;
use downhaul_core::settings::Settings;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The paths of the jobs of a run.
pub(super) struct JobPaths {
    pub(super) settings: Arc<Settings>,
    pub(super) taken: ReservedPaths,
    pub(super) hasher: RandomState,
}

impl JobPaths {
    pub(super) fn new(settings: Arc<Settings>) -> JobPaths {
        let taken = ReservedPaths::new(&settings.reserved, settings.naming.numbers);
        JobPaths { settings, taken, hasher: RandomState::new() }
    }

    /// Reserves the path of a job. `wished` is the result of [`JobPaths::wished`].
    pub(super) fn reserve(&self, job: JobId, spec: &Job, wished: &Path) -> Reserved {
        let is_only = self.listed_names().is_some_and(|names| names.is_only(spec));
        // Two jobs never share a path of `-o`, even if their URLs are equal.
        let may_be_same =
            !is_only && !self.settings.releases_names && !matches!(spec.destination, Destination::Path(_));
        let what = if may_be_same { self.what(spec) } else { self.hasher.hash_one(job) };
        let reserved = self.taken.reserve(job, wished, what, self.may_change(spec));
        match reserved {
            // No other file has a name that could clash with the path or with one of its folders.
            Reserved::Path if is_only => self.taken.forget_at_end(job),
            Reserved::Path => self.taken.keep_folders(job),
            Reserved::Same(_) | Reserved::Taken => {}
        }
        reserved
    }

    /// Records that a job has ended. If the job was removed (`is_removed`), or if
    /// [`Settings::releases_names`] is true, its paths are free again. Otherwise they stay reserved, except
    /// for the first path if no other job of the run can have it.
    pub(super) fn over(&self, job: JobId, is_removed: bool) {
        match (self.settings.releases_names, is_removed) {
            (true, _) => self.taken.release(job),
            (false, true) => self.taken.forget(job),
            (false, false) => self.taken.over(job),
        }
    }

    /// Returns the names of all jobs of the run, if they are known. Before they are known, no name is
    /// forgotten.
    pub(super) fn listed_names(&self) -> Option<&ListedNames> {
        self.settings.listed_names.as_ref()?.get()
    }

    /// Returns the path that a file gets before the first response: the path of `-o`, or the path from the
    /// list or the URL. Returns `None` if the file needs no name.
    pub(super) fn wished(&self, spec: &Job) -> Option<PathBuf> {
        match &spec.destination {
            Destination::Path(path) => Some(self.settings.output_of(spec).join(path)),
            _ => self.named(spec, None),
        }
    }

    /// Returns the path that results from the name of a job's file. If there is a response (`remote`), the
    /// name may come from it. Returns `None` if the file needs no name.
    pub(super) fn named(&self, spec: &Job, remote: Option<&Remote>) -> Option<PathBuf> {
        Some(self.at(spec, &self.settings.naming.name_for(spec, remote)?))
    }

    /// Returns the path of a file with this name below the output folder. If the name may change, folders of
    /// the path may get numbers ([`ReservedPaths::in_folders`]).
    pub(super) fn at(&self, spec: &Job, name: &SafeName) -> PathBuf {
        let path = self.settings.output_of(spec).join(name.as_str());
        if self.may_change(spec) { self.taken.in_folders(path) } else { path }
    }

    /// Returns true if the name of a job's file may get a number, because neither the user nor a list gave a
    /// name, or because of `--if-exists rename`.
    fn may_change(&self, spec: &Job) -> bool {
        spec.destination == Destination::Server || self.settings.if_exists_of(spec) == IfExists::Rename
    }

    /// Returns a hash of what a job downloads. If two jobs have the same hash and the same name, only the
    /// first job downloads the file.
    fn what(&self, spec: &Job) -> u64 {
        let urls: Vec<&str> = spec.urls.iter().map(url::Url::as_str).collect();
        let digests: Vec<String> = spec.expected.iter().map(|one| one.digest.to_string()).collect();
        let variants: Vec<_> = spec.urls.iter().map(|url| Variant::of(&self.settings, spec, url)).collect();
        let chunks = spec.chunks.as_ref().map(|chunks| (chunks.length, &chunks.digests));
        self.hasher.hash_one((urls, digests, spec.size, chunks, variants))
    }
}

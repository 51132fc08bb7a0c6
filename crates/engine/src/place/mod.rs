//! Chooses the path of a file. The choice depends on the name from the user or the server, on existing files,
//! and on the paths of other files of the run.
//!
//! The name from a list or URL is reserved when the job is queued, in the order of the input
//! ([`job_paths`]). If the server gives another name, that name is chosen when the response arrives
//! ([`Places::choose`]). If several files have the same name, each path belongs to one URL, in this run and
//! in later ones. With [`Settings::releases_names`], a path is free again when its job has ended.
//! [`existing`] decides if an existing file is the wanted one.
//!
//! Invariant: the content of existing files is not changed here. If an earlier run was killed just after a
//! file got its final name, the journal that the earlier run left beside the file is deleted
//! ([`Disk::tidy`]).

mod existing;
mod folders;
mod hashes;
mod job_paths;
mod matching;
mod run_names;
mod taken;

pub use run_names::RunNames;
pub(crate) use taken::Reserved;

use crate::disk::{ARIA2, Disk, Standing};
use crate::known::Known;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use downhaul_core::identity::{self, Identity, Origin, Variant};
use downhaul_core::job::{Destination, IfExists, Job};
use downhaul_core::plan::Place;
use downhaul_core::remote::Remote;
use downhaul_core::settings::{Resume, Settings};
use folders::Folders;
use hashes::Hashes;
use job_paths::JobPaths;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use taken::{MOST_NUMBERED, numbered};

/// The number in `Places::signed` for a file that jobs with different signatures or headers download. It is
/// practically impossible that a hash of a URL is this number.
const SEVERAL: u64 = 0;

/// The paths of the files of a run.
pub(crate) struct Places {
    settings: Arc<Settings>,
    disk: Arc<dyn Disk>,
    paths: JobPaths,
    folders: Folders,
    /// The hashes of files with signed URLs, or with headers of the job that identify the user. The number of
    /// such a hash is a second hash, which depends on the whole URL and these headers too. If several jobs of
    /// the run differ only in these signatures or headers, the number is [`SEVERAL`], because the server may
    /// send a different file for each of these jobs.
    signed: Mutex<Hashes>,
}

/// The facts about a job that are needed to choose the path of its file.
pub(crate) struct Wanted<'a> {
    pub(crate) job: JobId,
    pub(crate) spec: &'a Job,
    pub(crate) identity: &'a Identity,
    /// The facts from the server, if there was a response.
    pub(crate) remote: Option<&'a Remote>,
    /// The facts from checksum lists, signatures and documents.
    pub(crate) known: &'a Known,
}

impl Places {
    pub(crate) fn new(settings: Arc<Settings>, disk: Arc<dyn Disk>) -> Self {
        let numbers = settings.naming.numbers;
        let folders = Folders::new(disk.clone(), numbers);
        let paths = JobPaths::new(settings.clone());
        Places { settings, disk, paths, folders, signed: Mutex::default() }
    }

    /// Returns the origin of the file that a job downloads from this URL.
    pub(crate) fn origin(&self, spec: &Job, url: &url::Url) -> Origin {
        Origin::of_variant(url, &Variant::of(&self.settings, spec, url), &self.settings.key)
    }

    /// Reserves the name from the list or the URL when a job is queued. This reads nothing from the disk.
    pub(crate) fn reserve(&self, job: JobId, spec: &Job) -> Reserved {
        let Some(wished) = self.paths.wished(spec) else { return Reserved::Path };
        let reserved = self.paths.reserve(job, spec, &wished);
        if reserved == Reserved::Path
            && let Some((file, url)) = self.signed_file(spec)
        {
            let mut signed = self.signed();
            let is_other = signed.get(file).is_some_and(|of| of != url);
            signed.insert(file, if is_other { SEVERAL } else { url });
        }
        reserved
    }

    /// Returns the path that was reserved for a job.
    pub(crate) fn reserved(&self, job: JobId) -> Option<PathBuf> {
        self.paths.taken.of(job)
    }

    /// Returns true if the path of a job's file is known to be free. This reads nothing from the disk.
    pub(crate) fn is_free(&self, job: JobId, identity: &Identity) -> bool {
        self.paths.taken.of(job).is_some_and(|path| self.folders.is_free(&path, identity))
    }

    /// Returns true if the folder of a job's file was read and the path is not known to be free, or if the
    /// job has no path. This reads nothing from the disk.
    pub(crate) fn is_occupied(&self, job: JobId, identity: &Identity) -> bool {
        let path = self.paths.taken.of(job);
        path.is_none_or(|path| self.folders.has_read(&path) && !self.folders.is_free(&path, identity))
    }

    /// Returns true if it is known that there was neither a file nor a partial file at this path when its
    /// folder was read, and if no job has found another run or a file there since then.
    pub(crate) fn was_free(&self, path: &Path, identity: &Identity) -> bool {
        self.folders.is_free(path, identity)
    }

    /// Records that another run uses a path, if the failure to open its partial file shows that.
    pub(crate) fn on_failure(&self, path: &Path, error: &Error) {
        if error.kind == ErrorKind::FileLocked {
            self.folders.occupy(path);
        }
    }

    /// Records that a file was found at a path.
    pub(crate) fn on_file(&self, path: &Path) {
        self.folders.occupy(path);
    }

    /// Returns true if there is a file at a path that was free when its folder was read. If there is one, the
    /// path no longer counts as free. Blocks the thread.
    pub(crate) fn has_appeared(&self, path: &Path, identity: &Identity) -> Result<bool, Error> {
        let has_appeared = self.was_free(path, identity) && self.disk.look(path)?.is_some();
        if has_appeared {
            self.folders.occupy(path);
        }
        Ok(has_appeared)
    }

    /// Returns the place of a job's file, if the path is known to be free. Blocks the thread.
    pub(crate) fn nothing_stands(&self, job: JobId, identity: &Identity) -> Option<(PathBuf, Place)> {
        let path = self.paths.taken.of(job)?;
        self.folders.look_through(&path);
        let shown = path.to_string_lossy().into_owned();
        self.was_free(&path, identity).then_some((path, Place::Free { path: shown, left: false }))
    }

    /// Records that a job has ended ([`JobPaths::over`]). `is_removed` is true if the job was removed.
    pub(crate) fn over(&self, job: JobId, spec: &Job, is_removed: bool) {
        let may_come_again = is_removed || self.settings.releases_names;
        if may_come_again
            && self.reserved(job).is_some()
            && let Some((file, url)) = self.signed_file(spec)
        {
            let mut signed = self.signed();
            if signed.get(file) == Some(url) {
                signed.remove(file);
            }
        }
        self.paths.over(job, is_removed);
    }

    /// Returns the hash and the number in [`Places::signed`] for the file of a job. Returns `None` if its URL
    /// has no signature, and the job has no header that identifies the user.
    fn signed_file(&self, spec: &Job) -> Option<(u64, u64)> {
        let first = spec.urls.first()?;
        // The headers and passwords in the settings are not considered, because they are the same for all
        // jobs.
        let may_differ =
            first.query().is_some() || !spec.headers.0.is_empty() || !spec.user_headers.0.is_empty();
        let origin = may_differ.then(|| self.origin(spec, first))?;
        let file = u64::from_le_bytes(origin.signed_file()?);
        Some((file, self.paths.hasher.hash_one(origin)))
    }

    /// Chooses the place of a file. If there is a response, the server's name is considered too. Blocks the
    /// thread, because this reads from the disk.
    pub(crate) fn choose(&self, wanted: &Wanted<'_>) -> Result<(PathBuf, Place), Error> {
        match &wanted.spec.destination {
            Destination::Stdout | Destination::Writer(_) => {
                return Ok(("-".into(), Place::Free { path: "-".into(), left: false }));
            }
            Destination::Stream(path) => {
                let path = self.settings.output_of(wanted.spec).join(path);
                let shown = path.to_string_lossy().into_owned();
                return Ok((path, Place::Free { path: shown, left: false }));
            }
            _ => {}
        }
        let path = self.path_for(wanted)?;
        self.folders.look_through(&path);
        self.look(path, wanted)
    }

    /// Returns the path that was reserved for a job. Returns `None` if the response or the options may give
    /// the file another path, if the path is not known to be free, if a killed run left a partial file of
    /// this job under another number, or if there is a note for the user about the name. If the folder was
    /// read before, this reads nothing from the disk.
    pub(crate) fn reserved_and_free(&self, wanted: &Wanted<'_>) -> Option<PathBuf> {
        let Wanted { job, spec, remote, identity, .. } = wanted;
        let reserved = self.paths.taken.of(*job)?;
        if let Some(name) = self.settings.naming.name_for(spec, *remote) {
            let path = self.settings.output_of(spec).join(name.as_str());
            let is_reserved = path.as_os_str() == reserved.as_os_str() && name.note().is_none();
            is_reserved.then_some(())?;
        }
        let may_rename = self.settings.if_exists_of(spec) == IfExists::Rename;
        let is_free = !may_rename && self.was_free(&reserved, identity);
        let has_left = || {
            let wished = self.paths.wished(spec).filter(|_| self.folders.has_tagged(&reserved));
            wished.is_some_and(|wished| !self.tagged(wanted, &wished).is_empty())
        };
        (is_free && !has_left()).then_some(reserved)
    }

    /// Returns the path that the file of a job gets. Reserves this path, if it differs from the path that was
    /// reserved when the job was queued.
    fn path_for(&self, wanted: &Wanted<'_>) -> Result<PathBuf, Error> {
        let Wanted { job, spec, remote, .. } = wanted;
        let wished = self.paths.wished(spec).unwrap_or_default();
        let reserved = self.paths.taken.of(*job).unwrap_or_else(|| wished.clone());
        let said = remote
            .filter(|_| spec.destination == Destination::Server)
            .and_then(|remote| self.paths.named(spec, Some(remote)));
        let by_url = self.settings.naming.name_of_url(spec).map(|name| self.paths.at(spec, &name));
        let base = said.filter(|said| Some(said) != by_url.as_ref());
        // An earlier run may have been killed after it gave the file another number.
        for path in self.tagged(wanted, base.as_ref().unwrap_or(&wished)) {
            self.disk.tidy(&path, wanted.identity);
        }
        if self.settings.if_exists_of(spec) == IfExists::Rename {
            let base = base.unwrap_or(wished);
            return self.first(*job, &base, |path| {
                Ok(self.is_marked(path, spec) || self.disk.look(path)?.is_none())
            });
        }
        if spec.destination != Destination::Server
            || (base.is_none() && reserved == wished && self.is_clear(wanted, &wished))
        {
            return Ok(reserved);
        }
        // With `--if-exists error`, an existing file fails the job. There is one exception: the server gave
        // the name, the existing file is from another URL, and the run has several files.
        let fails = self.settings.if_exists_of(spec) == IfExists::Error;
        if let Some(own) = self.own(wanted, base.as_ref().or(by_url.as_ref()).unwrap_or(&wished))? {
            return Ok(own);
        }
        match base {
            // The name from the URL is used, unless a folder or a device has that name. With `--if-exists
            // error`, it is used even then, and the job fails.
            None if fails || self.disk.look(&reserved)?.is_none_or(|there| !there.keeps_its_name()) => {
                Ok(reserved)
            }
            base => self.first(*job, &base.unwrap_or(wished), |path| {
                let Some(there) = self.disk.look(path)? else {
                    let by_origin = Identity { has_strong_digest: false, ..wanted.identity.clone() };
                    return Ok(!self.disk.is_anothers(path, &by_origin));
                };
                let may_be_taken = there.keeps_its_name() || self.may_be_forgotten(path);
                // If the existing file is from another URL, the new file gets a number with `--if-exists
                // check`. It also gets a number if the run has or had several files, because the existing
                // file may be one of them. Otherwise, the options of the user say what happens to the
                // existing file.
                let is_decided =
                    self.settings.if_exists_of(spec) != IfExists::Check && !self.is_one_of_several(spec);
                let is_others = self.known(&there, wanted.identity) == identity::Recognised::OtherUrl;
                Ok((fails || !may_be_taken) && (is_decided || !is_others))
            }),
        }
    }

    /// Returns true if other jobs may have files with the same name: jobs of this run, of a run for another
    /// shard of the list, or of the earlier run that wrote the list of `--failed`.
    fn is_one_of_several(&self, spec: &Job) -> bool {
        self.settings.is_part || spec.is_left_over || self.paths.taken.has_several()
    }

    /// Returns true if the file at this path may belong to an earlier job, whose name was forgotten. In
    /// rare cases, the result is true although the file belongs to no such job. In these cases, a new file
    /// whose name comes from the server gets a number without need.
    fn may_be_forgotten(&self, path: &Path) -> bool {
        let name = path.strip_prefix(&self.settings.output).unwrap_or(path).to_string_lossy();
        self.paths.listed_names().is_some_and(|names| names.may_have(&name))
    }

    /// Returns true if a path was free when its folder was read, and if no job has found another run or a
    /// file there since then. Reads the folder, if it was not read yet.
    fn is_clear(&self, wanted: &Wanted<'_>, path: &Path) -> bool {
        self.folders.look_through(path);
        self.was_free(path, wanted.identity)
    }

    /// Returns the paths for which an earlier run left a partial file with the tag of this job. They have the
    /// name of `base`, with any number or without one.
    fn tagged(&self, wanted: &Wanted<'_>, base: &Path) -> Vec<PathBuf> {
        let numbers = self.folders.numbers_of_tagged(base, wanted.identity);
        numbers.into_iter().map(|n| numbered(base, n, self.settings.naming.numbers)).collect()
    }

    /// Returns the path at which an earlier run saved the finished or unfinished file of this job, and
    /// reserves it. A path that another job has is not returned. The name may have any number, or none.
    fn own(&self, wanted: &Wanted<'_>, base: &Path) -> Result<Option<PathBuf>, Error> {
        let numbers: Vec<u32> =
            std::iter::once(0).chain(self.folders.numbers_of(base, wanted.identity)).collect();
        // A digest shows that the bytes are right, but not which job the name belongs to.
        let by_origin = Identity { has_strong_digest: false, ..wanted.identity.clone() };
        // A file whose URL had another signature may belong to another job, so an exact match is preferred.
        for exactly in [true, false] {
            for &n in &numbers {
                let path = numbered(base, n, self.settings.naming.numbers);
                let is_own = match self.disk.look(&path)? {
                    Some(there) => match self.known(&there, &by_origin) {
                        identity::Recognised::Ours(_) => exactly,
                        identity::Recognised::SignedDifferently(_) => !exactly,
                        _ => false,
                    },
                    None => exactly && self.disk.has_left(&path, &by_origin),
                };
                if is_own && self.paths.taken.take(wanted.job, &path) {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    /// Returns how well the record of a file matches the job. If several jobs of the run differ only in the
    /// signatures of their URLs, or in the headers that identify the user, each job has its own file.
    fn known<'t>(&self, there: &'t Standing, identity: &Identity) -> identity::Recognised<'t> {
        let signed = || identity.origins.iter().filter_map(|origin| origin.signed_file());
        match there.file.recognise(&identity.origins) {
            identity::Recognised::SignedDifferently(_)
                if signed().any(|file| self.signed().get(u64::from_le_bytes(file)) == Some(SEVERAL)) =>
            {
                identity::Recognised::OtherUrl
            }
            known => known,
        }
    }

    fn signed(&self) -> MutexGuard<'_, Hashes> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first path that no other job has and for which `will_do` returns true. `base` is tried
    /// without a number, and then with the numbers 1, 2, and so on.
    fn first(
        &self,
        job: JobId,
        base: &Path,
        will_do: impl Fn(&Path) -> Result<bool, Error>,
    ) -> Result<PathBuf, Error> {
        for n in 0..MOST_NUMBERED {
            let path = numbered(base, n, self.settings.naming.numbers);
            // The path is checked before it is reserved, so that an unusable path is never reserved.
            if will_do(&path)? && self.paths.taken.take(job, &path) {
                return Ok(path);
            }
        }
        Err(Error::new(
            ErrorKind::NameTaken,
            base.to_string_lossy(),
            "all numbered forms of the name are in use too",
        ))
    }

    /// Returns true if there is a partial file that this job may continue. With [`Resume::Adopt`] and
    /// [`Resume::Repair`], this is not examined, and true is returned. With [`Resume::AdoptMarked`], true is
    /// also returned for a file with a control file of aria2.
    fn has_left(&self, path: &Path, spec: &Job, identity: &Identity) -> bool {
        match self.settings.resume_of(spec) {
            Resume::Forget => false,
            Resume::AdoptMarked if self.is_marked(path, spec) => true,
            Resume::Auto | Resume::AdoptMarked => {
                !self.was_free(path, identity) && self.disk.has_left(path, identity)
            }
            Resume::Adopt | Resume::Repair => true,
        }
    }

    /// Returns true if the job continues the file at this path because of a control file of aria2
    /// ([`Resume::AdoptMarked`]). A file that downhaul finished is not continued.
    pub(crate) fn is_marked(&self, path: &Path, spec: &Job) -> bool {
        self.settings.resume_of(spec) == Resume::AdoptMarked
            && self.disk.unfinished_by(path) == Some(ARIA2)
            && !matches!(self.disk.look(path), Ok(Some(there)) if there.file.is_finished())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::file::ReadOnlyFiles;

    #[test]
    fn a_removed_job_that_is_added_again_is_one_job_with_a_signed_url() {
        let places = Places::new(Arc::default(), Arc::new(ReadOnlyFiles));
        let url = "http://h/f?X-Amz-Signature=1";
        let job = Job::given(url).expect("a URL");
        let (file, number) = places.signed_file(&job).expect("the URL has a signature");
        assert_eq!(places.reserve(JobId::new(1), &job), Reserved::Path);
        places.over(JobId::new(1), &job, true);
        assert_eq!(places.reserve(JobId::new(2), &job), Reserved::Path);
        assert_eq!(places.signed().get(file), Some(number));
        let other = Job::given(&url.replace('1', "2")).expect("a URL");
        assert_eq!(places.reserve(JobId::new(3), &other), Reserved::Path);
        places.over(JobId::new(3), &other, true);
        assert_eq!(places.signed().get(file), Some(SEVERAL));
    }

    #[test]
    fn a_job_with_a_newly_signed_url_may_follow_a_job_that_released_its_name() {
        let settings = Settings::default().with_releases_names(true);
        let places = Places::new(Arc::new(settings), Arc::new(ReadOnlyFiles));
        let [first, second] = ["1", "2"]
            .map(|signature| Job::given(&format!("http://h/f?X-Amz-Signature={signature}")).expect("a URL"));
        let (file, number) = places.signed_file(&second).expect("the URL has a signature");
        assert_eq!(places.reserve(JobId::new(1), &first), Reserved::Path);
        places.over(JobId::new(1), &first, false);
        assert_eq!(places.reserve(JobId::new(2), &second), Reserved::Path);
        assert_eq!(places.signed().get(file), Some(number), "only one of the jobs is in progress");
        places.over(JobId::new(2), &second, false);
        assert_eq!(places.signed().get(file), None);
    }
}

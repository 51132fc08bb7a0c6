//! Chooses where a file goes: by the person's word or the server's, by what stands there already, and by what
//! other files of the run have.
//!
//! The name that a list or URL gives is reserved when the job is queued, in the order of the input
//! ([`taken`]). A server that says otherwise is heard when its reply comes ([`Places::choose`]); a name that
//! several files want belongs to the URL that its file came from, in this run and in later ones. Whether what
//! stands there is the file is said in [`existing`].
//!
//! Invariant: an existing file is not touched here.

mod existing;
mod folders;
mod taken;

pub(crate) use taken::Reserved;

use crate::checksum_discovery::Known;
use crate::disk::{Disk, Standing};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::JobId;
use downhaul_core::identity::{self, Identity, Origin};
use downhaul_core::job::{Destination, IfExists, Job};
use downhaul_core::plan::Place;
use downhaul_core::remote::Remote;
use downhaul_core::settings::{Resume, Settings};
use folders::Folders;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use taken::{MOST_NUMBERED, Taken, numbered};

/// Where the files of a run go.
pub(crate) struct Places {
    settings: Arc<Settings>,
    disk: Arc<dyn Disk>,
    taken: Taken,
    folders: Folders,
    hasher: RandomState,
    /// Files whose URLs are signed, and whether several jobs of the run are for URLs that differ in nothing
    /// else. What says that it signs a URL may be what names the file there.
    signed: Mutex<HashMap<[u8; 8], bool>>,
}

/// What choosing a place needs to know of a file.
pub(crate) struct Wanted<'a> {
    pub(crate) job: JobId,
    pub(crate) spec: &'a Job,
    pub(crate) identity: &'a Identity,
    /// What the server says, once it was asked.
    pub(crate) remote: Option<&'a Remote>,
    /// What lists and signatures say.
    pub(crate) known: &'a Known,
}

impl Places {
    pub(crate) fn new(settings: Arc<Settings>, disk: Arc<dyn Disk>) -> Self {
        let (taken, folders) = (Taken::new(&settings.reserved), Folders::new(disk.clone()));
        Places { settings, disk, taken, folders, hasher: RandomState::new(), signed: Mutex::default() }
    }

    /// The origin of a file at this URL.
    pub(crate) fn origin(&self, url: &url::Url) -> Origin {
        Origin::of(url, &self.settings.key)
    }

    /// Reserves the name that the list or the URL gives, when a job is queued. Asks no disk.
    pub(crate) fn reserve(&self, job: JobId, spec: &Job) -> Reserved {
        let Some(wished) = self.wished(spec) else { return Reserved::Path };
        let server_chooses = spec.destination == Destination::Server;
        let may_change = server_chooses || self.if_exists(spec) == IfExists::Rename;
        let first = &spec.urls[0];
        if let Some(file) = first.query().and_then(|_| self.origin(first).signed_file()) {
            self.signed().entry(file).and_modify(|several| *several = true).or_default();
        }
        // A name that a person gave is not shared, whatever it is for.
        let what = if server_chooses { self.what(spec) } else { self.hasher.hash_one(job) };
        self.taken.reserve(job, &wished, what, may_change)
    }

    /// Whether it is known, without asking the disk, that nothing stands where a job's file shall go.
    pub(crate) fn is_free(&self, job: JobId, identity: &Identity) -> bool {
        self.taken.of(job).is_some_and(|path| self.folders.is_free(&path, identity))
    }

    /// Whether nothing stood at this path, nor a partial file, when its folder was looked through.
    pub(crate) fn was_free(&self, path: &Path, identity: &Identity) -> bool {
        self.folders.is_free(path, identity)
    }

    /// The place of a job's file, if nothing stands where it shall go, nor what an earlier run left. Blocks.
    pub(crate) fn nothing_stands(&self, job: JobId, identity: &Identity) -> Option<(PathBuf, Place)> {
        let path = self.taken.of(job)?;
        self.folders.look_through(&path);
        let shown = path.to_string_lossy().into_owned();
        self.was_free(&path, identity).then_some((path, Place::Free { path: shown, left: false }))
    }

    /// The job is over: what it has taken stays so.
    pub(crate) fn over(&self, job: JobId) {
        self.taken.over(job);
    }

    /// Where a file goes. Blocks: it asks the disk. With a reply, the server's words count too.
    pub(crate) fn choose(&self, wanted: &Wanted<'_>) -> Result<(PathBuf, Place), Error> {
        match &wanted.spec.destination {
            Destination::Stdout | Destination::Writer(_) => {
                return Ok(("-".into(), Place::Free { path: "-".into(), left: false }));
            }
            Destination::Stream(path) => {
                let path = self.settings.output.join(path);
                let shown = path.to_string_lossy().into_owned();
                return Ok((path, Place::Free { path: shown, left: false }));
            }
            _ => {}
        }
        let path = self.path_for(wanted)?;
        self.folders.look_through(&path);
        self.look(path, wanted)
    }

    /// Which path a job has, or gets now.
    fn path_for(&self, wanted: &Wanted<'_>) -> Result<PathBuf, Error> {
        let Wanted { job, spec, remote, .. } = wanted;
        let wished = self.wished(spec).unwrap_or_default();
        let reserved = self.taken.of(*job).unwrap_or_else(|| wished.clone());
        let said = remote
            .filter(|_| spec.destination == Destination::Server)
            .and_then(|remote| self.named(spec, Some(remote)));
        let base = said.filter(|said| *said != wished);
        if self.if_exists(spec) == IfExists::Rename {
            let base = base.unwrap_or(wished);
            return self.first(*job, &base, |path| Ok(self.disk.look(path)?.is_none()));
        }
        if spec.destination != Destination::Server
            || (base.is_none() && reserved == wished && self.is_clear(wanted, &wished))
        {
            return Ok(reserved);
        }
        // Whatever stands there, another name is not what was asked for.
        let fails = self.settings.if_exists == IfExists::Error;
        if let Some(own) = self.own(wanted, base.as_ref().unwrap_or(&wished))? {
            return Ok(own);
        }
        match base {
            // The name of the URL is the job's, unless what has it is no file.
            None if fails || self.disk.look(&reserved)?.is_none_or(|there| !there.keeps_its_name()) => {
                Ok(reserved)
            }
            base => self.first(*job, &base.unwrap_or(wished), |path| {
                let Some(there) = self.disk.look(path)? else {
                    let by_origin = Identity { proven: false, ..wanted.identity.clone() };
                    return Ok(!self.disk.is_anothers(path, &by_origin));
                };
                let known = self.known(&there, wanted.identity);
                Ok((fails || !there.keeps_its_name()) && known != identity::Recognised::OtherUrl)
            }),
        }
    }

    /// Whether nothing stands at a path, as far as is known without asking the disk anew.
    fn is_clear(&self, wanted: &Wanted<'_>, path: &Path) -> bool {
        self.folders.look_through(path);
        self.was_free(path, wanted.identity)
    }

    /// The path under this name, with any number, that has this job's file from an earlier run: finished or
    /// not.
    fn own(&self, wanted: &Wanted<'_>, base: &Path) -> Result<Option<PathBuf>, Error> {
        let numbers: Vec<u32> = std::iter::once(0).chain(self.folders.numbers_of(base)).collect();
        // A digest proves bytes, and not whose name it is.
        let by_origin = Identity { proven: false, ..wanted.identity.clone() };
        // One that is signed otherwise may be another job's: its own file comes first.
        for exactly in [true, false] {
            for &n in &numbers {
                let path = numbered(base, n);
                let is_own = match self.disk.look(&path)? {
                    Some(there) => match self.known(&there, &by_origin) {
                        identity::Recognised::Ours(_) => exactly,
                        identity::Recognised::SignedDifferently(_) => !exactly,
                        _ => false,
                    },
                    None => exactly && self.disk.has_left(&path, &by_origin),
                };
                if is_own && self.taken.take(wanted.job, &path) {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    /// What the record of a file says of it. Where several jobs of the run have URLs that differ in how they
    /// are signed alone, each has its own file.
    fn known<'t>(&self, there: &'t Standing, identity: &Identity) -> identity::Recognised<'t> {
        let signed = || identity.origins.iter().filter_map(|origin| origin.signed_file());
        match there.file.recognise(&identity.origins) {
            identity::Recognised::SignedDifferently(_)
                if signed().any(|file| self.signed().get(&file) == Some(&true)) =>
            {
                identity::Recognised::OtherUrl
            }
            known => known,
        }
    }

    fn signed(&self) -> MutexGuard<'_, HashMap<[u8; 8], bool>> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of the numbered paths that no other job has and that will do.
    fn first(
        &self,
        job: JobId,
        base: &Path,
        will_do: impl Fn(&Path) -> Result<bool, Error>,
    ) -> Result<PathBuf, Error> {
        for n in 0..MOST_NUMBERED {
            let path = numbered(base, n);
            // What another job may have under this name is not taken from it, not even for a moment.
            if will_do(&path)? && self.taken.take(job, &path) {
                return Ok(path);
            }
        }
        Err(Error::new(ErrorKind::NameTaken, base.to_string_lossy(), "and so are its numbered forms"))
    }

    /// What to do when the final name of a job exists.
    fn if_exists(&self, job: &Job) -> IfExists {
        job.if_exists.unwrap_or(self.settings.if_exists)
    }

    /// What the list or the URL wishes for; `None` for standard output.
    fn wished(&self, spec: &Job) -> Option<PathBuf> {
        match &spec.destination {
            Destination::Path(path) => Some(self.settings.output.join(path)),
            _ => self.named(spec, None),
        }
    }

    /// Where a file goes by its name, which a reply may give. `None` where no name decides.
    fn named(&self, spec: &Job, remote: Option<&Remote>) -> Option<PathBuf> {
        let name = self.settings.naming.name_for(spec, remote)?;
        Some(self.settings.output.join(name.as_str()))
    }

    /// What a job is for: two that have this in common are fetched once.
    fn what(&self, spec: &Job) -> u64 {
        let urls: Vec<&str> = spec.urls.iter().map(url::Url::as_str).collect();
        let digests: Vec<String> = spec.expected.iter().map(|one| one.digest.to_string()).collect();
        self.hasher.hash_one((urls, digests, spec.size, spec.chunks.is_some()))
    }

    /// What was left of a file, if anything was that this job may go on with.
    fn has_left(&self, path: &Path, identity: &Identity) -> bool {
        match self.settings.resume {
            Resume::Forget => false,
            Resume::Auto => !self.was_free(path, identity) && self.disk.has_left(path, identity),
            Resume::Adopt | Resume::Repair => true,
        }
    }
}

//! Makes files from others that have the same digest (`--dedup`), instead of a download or after it.
//!
//! Invariant: a file is made only from one that is complete, that is below the output folder, and that did
//! not change since its digest was computed.

use crate::clock;
use crate::disk::{Attach, Disk, Duplicating, Publishing};
use crate::place::Wanted;
use downhaul_core::dedup::{Dedup, MadeFrom, Method, Original, Originals};
use downhaul_core::digest::Digest;
use downhaul_core::error::Error;
use downhaul_core::event::Kept;
use downhaul_core::identity::Identity;
use downhaul_core::job::IfExists;
use downhaul_core::plan::Place;
use downhaul_core::remote::Validator;
use downhaul_core::settings::{Attributes, Settings};
use downhaul_core::show;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The complete files of a session, and the way in which others are made from them.
pub(crate) struct Duplicates {
    dedup: Dedup,
    disk: Arc<dyn Disk>,
    /// The output folder.
    folder: PathBuf,
    originals: Mutex<Originals>,
    /// One file is linked at a time, because each link adds a record to the same file.
    links: Mutex<()>,
    /// True if the file system could not share blocks.
    is_unable: AtomicBool,
}

/// A file that may be made from another one.
pub(crate) struct Wish<'a> {
    pub(crate) target: &'a Path,
    pub(crate) digests: &'a [Digest],
    pub(crate) identity: &'a Identity,
    pub(crate) publishing: Publishing,
    /// The file of an earlier run that has one of the digests, as its archive says.
    pub(crate) archived: Option<&'a Kept>,
    /// True if the file was not downloaded, so that a copy saves the download.
    pub(crate) may_copy: bool,
}

impl Duplicates {
    pub(crate) fn new(dedup: Dedup, folder: &Path, disk: Arc<dyn Disk>) -> Duplicates {
        Duplicates {
            dedup,
            disk,
            folder: folder.to_path_buf(),
            originals: Mutex::default(),
            links: Mutex::default(),
            is_unable: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.dedup != Dedup::Off
    }

    /// Adds a complete file. Blocks the thread.
    pub(crate) fn add(&self, path: &Path, digests: &[Digest]) {
        if !self.is_on() || !self.is_inside(path) {
            return;
        }
        if let Ok(Some(there)) = self.disk.look(path)
            && there.instead.is_none()
        {
            let original = Original {
                path: path.to_path_buf(),
                size: there.file.size,
                // Without a time, the bytes are compared with the digest.
                modified: there.file.modified,
            };
            self.originals().add(digests, &original);
        }
    }

    /// Makes a file from another one, if there is one with the same digest. Blocks the thread.
    ///
    /// # Errors
    /// Returns the error of the system if the file cannot be written.
    pub(crate) fn make(&self, wish: &Wish<'_>) -> Result<Option<(MadeFrom, Original)>, Error> {
        if !self.is_on() {
            return Ok(None);
        }
        let _one = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.originals().find(wish.digests);
        let is_known = known.is_some();
        let Some((original, digest)) = known.or_else(|| archived(wish)) else { return Ok(None) };
        if original.path == wish.target || !self.is_inside(&original.path) {
            return Ok(None);
        }
        let how = Duplicating {
            dedup: self.dedup,
            may_copy: wish.may_copy,
            digest: &digest,
            identity: wish.identity,
            publishing: wish.publishing.clone(),
        };
        let made = self.disk.duplicate(&original, wish.target, &how)?;
        let is_unable = made.is_none_or(|method| method == Method::Copy);
        self.is_unable.fetch_or(is_unable && self.dedup == Dedup::Reflink, Ordering::Relaxed);
        if made.is_none() && is_known && wish.may_copy {
            // The original was changed or removed, so that it is of no more use.
            self.originals().forget(&digest);
        }
        let made_from = |method| MadeFrom::new(method, original.path.to_string_lossy());
        Ok(made.map(|method| (made_from(method), original.clone())))
    }

    /// Makes the file of a job that is not downloaded yet, if its digest is known and another file has it.
    /// Then the file counts as kept. Blocks the thread.
    ///
    /// # Errors
    /// Returns the error of the system if the file cannot be written.
    pub(crate) fn instead(
        &self,
        path: &Path,
        place: Place,
        wanted: &Wanted<'_>,
        settings: &Settings,
    ) -> Result<Place, Error> {
        let Place::Free { left: false, .. } = place else {
            if let Place::Taken(kept) = &place {
                self.add(path, &kept.digests);
            }
            return Ok(place);
        };
        let (spec, stated) = (wanted.spec, wanted.remote.map_or(&[][..], |remote| &remote.digests));
        let expected = spec.expected.iter().chain(&wanted.known.findings.expected).chain(stated);
        let digests: Vec<Digest> = expected.map(|one| one.digest.clone()).collect();
        if !self.is_on() || spec.destination.is_in_order() || spec.range.is_some() {
            return Ok(place);
        }
        let if_exists = settings.if_exists_of(spec);
        let origin = wanted.identity.origins.first().filter(|_| settings.attributes != Attributes::None);
        let publishing = Publishing {
            size: 0,
            replace: matches!(if_exists, IfExists::Overwrite | IfExists::Update),
            accepts_same: false,
            continues: false,
            modified: None,
            sync: settings.sync,
            attach: origin.map(|&origin| {
                let url = (settings.attributes == Attributes::Url).then(|| show::url(&spec.urls[0]));
                Attach { origin, validator: Validator::Unknown, url, now: clock::wall() }
            }),
            about: None,
        };
        let archived = spec.archived.as_ref();
        let wish = Wish {
            target: path,
            digests: &digests,
            identity: wanted.identity,
            publishing,
            archived,
            may_copy: true,
        };
        let Some((made_from, original)) = self.make(&wish)? else { return Ok(place) };
        let strong = |digest: &Digest| digest.algorithm.is_strong();
        let digests: Vec<Digest> = digests.into_iter().filter(strong).collect();
        self.add(path, &digests);
        Ok(Place::Taken(Kept {
            path: path.to_string_lossy().into_owned(),
            reason: made_from.reason(),
            bytes: Some(original.size),
            digests,
            made_from: Some(made_from),
        }))
    }

    /// Returns a note for the user, if some files have bytes of their own.
    pub(crate) fn note(&self) -> Option<String> {
        let what = "--dedup reflink: the file system does not share blocks, so some equal files have bytes of their own";
        self.is_unable.load(Ordering::Relaxed).then(|| what.into())
    }

    /// Returns true if a file is below the output folder, also after links are followed.
    fn is_inside(&self, path: &Path) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        real(path).zip(real(&self.folder)).is_some_and(|(path, folder)| path.starts_with(folder))
    }

    fn originals(&self) -> MutexGuard<'_, Originals> {
        self.originals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the file of an earlier run. It is not known if the file was changed since then.
fn archived(wish: &Wish<'_>) -> Option<(Original, Digest)> {
    let kept = wish.archived?;
    let is_strong = |digest: &&Digest| digest.algorithm.is_strong() && wish.digests.contains(digest);
    let digest = kept.digests.iter().find(is_strong)?.clone();
    Some((Original { path: kept.path.clone().into(), size: kept.bytes?, modified: None }, digest))
}

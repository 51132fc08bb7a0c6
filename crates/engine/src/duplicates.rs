//! Makes files from other files that have the same strong digest (`--dedup`), instead of a download or after
//! it.
//!
//! Invariant: a file is made only from one that is complete, that is below the output folder, and that has
//! not changed since its digest was computed. If the new file is made instead of a download, it must also
//! have the expected size and all expected digests. A file with other demands, such as a signature, is
//! downloaded.

use crate::director::{promises_data, publishing};
use crate::disk::{Disk, Duplicated, Duplicating, Publishing};
use crate::place::Wanted;
use downhaul_core::content::{self, Look};
use downhaul_core::dedup::{Dedup, Demands, MadeFrom, Method, Original, Originals};
use downhaul_core::digest::{Algorithm, Digest, Expected};
use downhaul_core::error::Error;
use downhaul_core::event::Kept;
use downhaul_core::identity::Identity;
use downhaul_core::plan::Place;
use downhaul_core::remote::Validator;
use downhaul_core::settings::{Settings, Verify};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of locks for publishing. Different files may need the same lock. This number is larger than the
/// usual number of files that are published at the same time, so files seldom wait for each other.
const LOCKS: usize = 32;

/// After this many files of earlier runs had other bytes than expected, no further file is read for the same
/// job. Reading many large files may take longer than the download.
const DIFFERENT_MOST: usize = 2;

/// The complete files of a session, and the way in which other files are made from them.
pub(crate) struct Duplicates {
    dedup: Dedup,
    disk: Arc<dyn Disk>,
    /// The output folder.
    folder: PathBuf,
    originals: Mutex<Originals>,
    /// The locks of files that are being published. The SHA-256 of a file decides which lock the file needs.
    publishing: [Mutex<()>; LOCKS],
    /// True if `--dedup reflink` was used, and the file system could not share blocks.
    is_unable: AtomicBool,
}

/// A file that may be made from another file.
pub(crate) struct Wish<'a> {
    pub(crate) target: &'a Path,
    /// The digests that the file must have.
    pub(crate) digests: &'a [Digest],
    /// The sizes that the file must have.
    pub(crate) sizes: &'a [u64],
    /// True if the file must not look like a web page or a Git LFS pointer.
    pub(crate) is_data: bool,
    pub(crate) identity: &'a Identity,
    pub(crate) publishing: Publishing,
    /// Files of earlier runs. According to their archive, each of them has a digest of the job.
    pub(crate) archived: &'a [Kept],
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
            publishing: Default::default(),
            is_unable: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.dedup != Dedup::Off
    }

    /// Adds a complete file. The digests were computed from its bytes. Blocks the thread.
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
                // If no modification time is known, the bytes are compared with the digest later.
                modified: there.file.modified,
                digests: digests.into(),
            };
            self.originals().add(&original);
        }
    }

    /// Waits until no other file with the same SHA-256 is being published, and returns a lock that makes such
    /// files wait. So if two equal files become complete at the same time, the second one can be made from
    /// the first one. Returns `None` at once if `--dedup` is off, or if `digests` has no SHA-256. Blocks the
    /// thread.
    pub(crate) fn publish_alone(&self, digests: &[Digest]) -> Option<MutexGuard<'_, ()>> {
        let digest = digests.iter().find(|digest| digest.algorithm == Algorithm::Sha256)?;
        let number = usize::from(*digest.bytes.first()?) % LOCKS;
        self.is_on().then(|| self.publishing[number].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a file from another file with the same strong digest. Returns how the file was made, and the
    /// original. Returns `None` if no original is known, or if the file cannot be made from any of them.
    /// Blocks the thread.
    ///
    /// # Errors
    /// Returns the error of the system if the file cannot be written.
    pub(crate) fn make(&self, wish: &Wish<'_>) -> Result<Option<(MadeFrom, Original)>, Error> {
        if !self.is_on() {
            return Ok(None);
        }
        let known = self.originals().find(wish.digests);
        if let Some((original, digest)) = known {
            match self.make_from(&original, wish)? {
                Duplicated::Made(method) => return Ok(Some(made(method, original))),
                Duplicated::Changed => self.originals().forget(&digest),
                Duplicated::Unable | Duplicated::Different | Duplicated::NotMade => {}
            }
        }
        let archived = wish.archived.iter().filter_map(|kept| archived(kept, wish.digests));
        let mut different = 0;
        for original in archived {
            match self.make_from(&original, wish)? {
                Duplicated::Made(method) => return Ok(Some(made(method, original))),
                Duplicated::Different => different += 1,
                Duplicated::Changed | Duplicated::Unable | Duplicated::NotMade => {}
            }
            if different == DIFFERENT_MOST {
                break;
            }
        }
        Ok(None)
    }

    /// Makes a file from `original`, if the original may have everything that is expected of the file.
    fn make_from(&self, original: &Original, wish: &Wish<'_>) -> Result<Duplicated, Error> {
        if original.path == wish.target || !self.is_inside(&original.path) || !self.may_be(wish, original) {
            return Ok(Duplicated::NotMade);
        }
        let how = Duplicating {
            dedup: self.dedup,
            may_copy: wish.may_copy,
            digests: wish.digests,
            identity: wish.identity,
            publishing: wish.publishing.clone(),
        };
        let made = self.disk.duplicate(original, wish.target, &how)?;
        if self.dedup == Dedup::Reflink && matches!(made, Duplicated::Unable | Duplicated::Made(Method::Copy))
        {
            self.is_unable.store(true, Ordering::Relaxed);
        }
        Ok(made)
    }

    /// Returns true if the original may have everything that is expected of the file. Expected digests that
    /// were not computed from the bytes of the original are compared later.
    fn may_be(&self, wish: &Wish<'_>, original: &Original) -> bool {
        let is_other = |digest: &Digest| {
            let mut known = original.digests.iter();
            known.any(|one| one.algorithm == digest.algorithm && one != digest)
        };
        wish.sizes.iter().all(|size| *size == original.size)
            && !wish.digests.iter().any(is_other)
            && (!wish.is_data || self.looks_like_data(&original.path))
    }

    fn looks_like_data(&self, path: &Path) -> bool {
        let Ok(file) = self.disk.open(path) else { return false };
        let mut beginning = Vec::new();
        let read = file.take(content::ENOUGH as u64).read_to_end(&mut beginning);
        read.is_ok() && content::look(&beginning) == Look::Other
    }

    /// Makes the file of a job from another file instead of downloading it, if a strong digest of the file is
    /// known and the other file has the same digest. The result is then the same as for an existing file that
    /// is kept. Otherwise returns `place` unchanged. If `place` is an existing file that is kept, other files
    /// can be made from it later. Blocks the thread.
    ///
    /// # Errors
    /// Returns the error of the system if the file cannot be written.
    pub(crate) fn instead(
        &self,
        path: &Path,
        place: Place,
        wanted: &Wanted<'_>,
        (demands, settings): (&Demands, &Settings),
    ) -> Result<Place, Error> {
        let Place::Free { left: false, .. } = place else {
            if let Place::Taken(kept) = &place {
                self.add(path, &kept.digests);
            }
            return Ok(place);
        };
        if !self.is_on() || !has_only_digests(wanted, demands, settings) {
            return Ok(place);
        }
        let (spec, findings) = (wanted.spec, &wanted.known.findings);
        let stated = wanted.remote.map_or(&[][..], |remote| &remote.digests);
        let all = [&spec.expected, &demands.expected, &findings.expected, stated].concat();
        let digests = distinct(all.into_iter().map(|one| one.digest));
        let sizes = [spec.size, demands.size, findings.size, wanted.remote.and_then(|remote| remote.size)];
        let sizes: Vec<u64> = sizes.into_iter().flatten().collect();
        let from = wanted.identity.origins.first().map(|&origin| (origin, Validator::Unknown));
        let is_chosen = spec.expected.iter().any(|one| one.digest.algorithm.is_strong());
        let wish = Wish {
            target: path,
            digests: &digests,
            sizes: &sizes,
            is_data: !is_chosen && promises_data(&path.to_string_lossy(), spec, settings),
            identity: wanted.identity,
            publishing: publishing(settings, spec, 0, from, None),
            archived: &spec.archived,
            may_copy: true,
        };
        let Some((made_from, original)) = self.make(&wish)? else { return Ok(place) };
        // The digests that were not known for the original have just been compared with its bytes.
        let digests = distinct(original.digests.iter().cloned().chain(digests));
        self.add(path, &digests);
        Ok(Place::Taken(Kept {
            path: path.to_string_lossy().into_owned(),
            reason: made_from.reason(),
            bytes: Some(original.size),
            digests,
            made_from: Some(made_from),
        }))
    }

    /// Returns a note for the user, if some files have bytes of their own because the file system could not
    /// share blocks.
    pub(crate) fn note(&self) -> Option<String> {
        let what = "--dedup reflink: the file system does not share blocks, so some equal files have bytes of their own";
        self.is_unable.load(Ordering::Relaxed).then(|| what.into())
    }

    /// Returns true if a file is below the output folder when all symbolic links are followed.
    fn is_inside(&self, path: &Path) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        real(path).zip(real(&self.folder)).is_some_and(|(path, folder)| path.starts_with(folder))
    }

    fn originals(&self) -> MutexGuard<'_, Originals> {
        self.originals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns true if the digests and the size of a file are all that must be verified, and if `--verify`
/// accepts them.
fn has_only_digests(wanted: &Wanted<'_>, demands: &Demands, settings: &Settings) -> bool {
    let (spec, known) = (wanted.spec, wanted.known);
    let findings = &known.findings;
    let is_listed = |one: &Expected| one.digest.algorithm.counts_in_lists();
    let is_accepted = match settings.verify {
        Verify::Off => false,
        Verify::Listed => demands.is_listed || findings.expected.iter().any(is_listed),
        // A file is made from another file only if a strong digest is known.
        Verify::Auto | Verify::Find | Verify::Require => true,
    };
    let is_signed = known.signature.is_some() || findings.signed.is_some();
    let has_chunks = spec.chunks.is_some() || findings.chunks.is_some();
    let is_part = spec.destination.is_in_order() || spec.range.is_some();
    is_accepted && !is_signed && !has_chunks && !demands.has_more && !is_part
}

fn distinct(digests: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut all: Vec<Digest> = Vec::new();
    digests.for_each(|digest| {
        if !all.contains(&digest) {
            all.push(digest);
        }
    });
    all
}

fn made(method: Method, original: Original) -> (MadeFrom, Original) {
    (MadeFrom::new(method, original.path.to_string_lossy()), original)
}

/// Returns a file of an earlier run as an original, if one of these digests is strong and the archive has it
/// for the file. It is not known if the file was changed after that run.
fn archived(kept: &Kept, digests: &[Digest]) -> Option<Original> {
    let is_wanted = |digest: &Digest| digest.algorithm.is_strong() && digests.contains(digest);
    kept.digests.iter().any(is_wanted).then_some(())?;
    Some(Original { path: kept.path.clone().into(), size: kept.bytes?, modified: None, digests: [].into() })
}

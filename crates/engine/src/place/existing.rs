//! Decides what to do if a file under the final name of a job exists (`--if-exists`).
//!
//! Invariant: except with `skip`, an existing file counts as the wanted one only because of a given digest,
//! signature or chunk hashes, a record in an extended attribute, or a comparison with the file on the server.
//! With `skip`, an existing file is kept, continued or repaired, unless a required strong digest is unknown,
//! or this run verifies files and the file does not match a given digest, signature, size or chunk hashes.

use super::matching::{Verified, digest_missing, is_other_content, stays, stays_verified};
use super::{Places, Wanted};
use crate::disk::{NoFile, Standing};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::Kept;
use downhaul_core::identity::{self, Compared, Conditions, IS_FINISHED};
use downhaul_core::job::IfExists;
use downhaul_core::plan::Place;
use downhaul_core::remote::{Remote, Span, Validator};
use downhaul_core::settings::Resume;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Why an existing file is not compared with the response to a POST or a similar request.
const ONLY_GET: &str = "only a file that a plain GET downloads can be compared with the server's file";

impl Places {
    /// Returns what to do with a path. The path may be free, the existing file may be kept, or the response
    /// to a request must decide. With [`Resume::Adopt`] and [`Resume::AdoptMarked`], an unfinished file is
    /// continued in a partial file. The unfinished file is replaced when the partial file is complete.
    pub(super) fn look(&self, path: PathBuf, wanted: &Wanted<'_>) -> Result<(PathBuf, Place), Error> {
        let there = match self.was_free(&path, wanted.identity) {
            true => None,
            false => self.disk.look(&path)?,
        };
        let shown = path.to_string_lossy().into_owned();
        let left = || self.has_left(&path, wanted.spec, wanted.identity);
        let Some(there) = there else {
            let left = left();
            return Ok((path, Place::Free { path: shown, left }));
        };
        self.disk.tidy(&path, wanted.identity);
        let if_exists = self.settings.if_exists_of(wanted.spec);
        match there.instead {
            Some(NoFile::Folder) => return Err(Error::new(ErrorKind::FileIsFolder, shown, "")),
            Some(NoFile::Device) => return Err(Error::new(ErrorKind::FileIsDevice, shown, "")),
            Some(NoFile::Link) if if_exists != IfExists::Overwrite => {
                let why = "it is a symbolic link that leads nowhere";
                return match if_exists {
                    IfExists::Skip if !self.lacks_digest(wanted, &[]) => {
                        let (path, reason) = (shown, format!("already exists: {why}"));
                        Ok((path.clone().into(), Place::Taken(Kept { path, reason, ..Kept::default() })))
                    }
                    _ => Err(Error::new(ErrorKind::FileExists, shown, why)),
                };
            }
            Some(NoFile::Link) => {
                let left = left();
                return Ok((path, Place::Free { path: shown, left }));
            }
            None => {}
        }
        let place = match (self.settings.resume_of(wanted.spec), if_exists) {
            (Resume::Repair, _) => self.repair(&path, &there, wanted)?,
            (Resume::AdoptMarked, _) if self.is_marked(&path, wanted.spec) => None,
            (Resume::Adopt, IfExists::Check | IfExists::Update | IfExists::Overwrite) => {
                self.continued(&path, &there, wanted)?
            }
            (_, IfExists::Overwrite | IfExists::Rename) => None,
            (_, IfExists::Error) => return Err(Error::new(ErrorKind::FileExists, shown, "")),
            (_, IfExists::Skip) => Some(self.skip(&path, &there, wanted)?),
            (_, IfExists::Update) => self.update(&path, &there, wanted)?,
            (_, IfExists::Check) => Some(self.check(&path, &there, wanted)?),
        };
        let place = match place {
            None => self.replacing(&path, left())?,
            Some(Place::Taken(kept)) => {
                let location = self.disk.location(&path).to_string_lossy().into_owned();
                let notes = wanted.spec.notes.iter().chain(&wanted.known.findings.notes);
                let warnings: String = notes.map(|note| format!(" (warning: {note})")).collect();
                Place::Taken(Kept { path: location, reason: kept.reason + &warnings, ..kept })
            }
            Some(place) => place,
        };
        Ok((path, place))
    }

    /// Returns the place of a new file that replaces the existing one. `left` is true if there is a partial
    /// file that the job may continue.
    ///
    /// # Errors
    /// Returns `name.taken` if the existing file is a list of the run.
    fn replacing(&self, path: &Path, left: bool) -> Result<Place, Error> {
        let shown = path.to_string_lossy().into_owned();
        let is_list = |real: PathBuf| {
            self.settings.lists.iter().any(|list| list.canonicalize().is_ok_and(|list| list == real))
        };
        match path.canonicalize().is_ok_and(is_list) {
            true => Err(Error::new(ErrorKind::NameTaken, shown, "it is a list of this run")),
            false => Ok(Place::Free { path: shown, left }),
        }
    }

    /// Decides if an existing file is complete (`--continue`). A complete file has a record of a finished
    /// download, matches a given digest, signature or chunk hashes, or has the size of the server's file and
    /// seems to lack no bytes. For a file with such a record or size, `--if-exists` decides as it does
    /// without `--continue`, but `overwrite` decides as `update` does. An empty file, and a file without such
    /// a record that has a control file of another tool, count as incomplete. Returns `None` if the file is
    /// continued or replaced. If there is no response yet and one is needed, returns [`Place::Ask`].
    ///
    /// # Errors
    /// Returns the errors of [`Places::check`] or [`Places::update`], or an error of reading the file.
    fn continued(&self, path: &Path, there: &Standing, wanted: &Wanted<'_>) -> Result<Option<Place>, Error> {
        let (size, is_finished) = (there.file.size, there.file.is_finished());
        if size == 0 || (!is_finished && self.disk.unfinished_by(path).is_some()) {
            return Ok(None);
        }
        let is_check = self.settings.if_exists_of(wanted.spec) == IfExists::Check;
        let required = wanted.spec.size;
        let place = match (is_finished, wanted.remote) {
            (false, _) if required.is_some_and(|required| required != size) => None,
            (false, None) if required.is_none() => Some(Place::Ask(Conditions::default())),
            (false, Some(remote)) if remote.size != Some(size) => {
                let reason = if is_check { "already exists" } else { "is up to date" };
                self.verified_given(path, there, wanted)?.map(|verified| verified.stays(path, there, reason))
            }
            _ if is_check => Some(self.check(path, there, wanted)?),
            _ => self.update(path, there, wanted)?,
        };
        match place {
            // Tools that fetch several ranges at once may set the final size before all bytes are written.
            Some(Place::Taken(kept))
                if !is_finished
                    && kept.digests.is_empty()
                    && self.disk.may_lack_bytes(path)?
                    && self.verified_given(path, there, wanted)?.is_none() =>
            {
                Ok(None)
            }
            place => Ok(place),
        }
    }

    /// Compares an existing file with everything that is known before a response. Returns `None` if the file
    /// does not match, if there is nothing to compare except the size, if nothing is verified in this run, or
    /// if a strong digest is required and none is known.
    ///
    /// # Errors
    /// Returns the error of the disk if the file cannot be read.
    fn verified_given(
        &self,
        path: &Path,
        there: &Standing,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Verified>, Error> {
        if self.lacks_digest(wanted, &[]) {
            return Ok(None);
        }
        match self.verify_given(path, there, wanted) {
            Err(error) if is_other_content(error.kind) => Ok(None),
            verified => verified,
        }
    }

    /// Keeps the existing file if it matches what is known without a response, if nothing is known, or if
    /// nothing is verified in this run (`--if-exists skip`). If a strong digest is required and none is
    /// known, returns [`Place::Ask`], and then compares the file with the digests in the response.
    ///
    /// # Errors
    /// Returns `digest.missing` if a strong digest is required and none is known, not even from the response.
    /// Returns `digest.mismatch` or `signature.wrong` if the file does not match. Returns the error of the
    /// disk if the file cannot be read.
    fn skip(&self, path: &Path, there: &Standing, wanted: &Wanted<'_>) -> Result<Place, Error> {
        let mut verified = self.verify_given(path, there, wanted)?;
        if self.lacks_digest(wanted, &[]) {
            match wanted.remote {
                Some(remote) if !self.lacks_digest(wanted, &remote.digests) => {
                    verified = self.verify(path, there, wanted, &remote.digests)?;
                }
                None if wanted.spec.sends.is_none() => return Ok(Place::Ask(Conditions::default())),
                _ => return Err(digest_missing(path)),
            }
        }
        Ok(match verified {
            Some(verified) => verified.stays(path, there, "already exists"),
            None => stays(path, there, "already exists"),
        })
    }

    /// Keeps the existing file if it is the wanted one. If there is no response yet and one is needed for the
    /// comparison, returns [`Place::Ask`].
    ///
    /// # Errors
    /// Returns `file.exists` if the existing file is a different file, if another tool has not finished it,
    /// or if it cannot be compared with the server's file. Returns `digest.missing` if a strong digest is
    /// required and none is known. Returns `digest.mismatch` or `signature.wrong` if the file does not match.
    /// Returns `content.*` if the file is a web page or a pointer in place of data. Returns the error of the
    /// disk if the file cannot be read.
    fn check(&self, path: &Path, there: &Standing, wanted: &Wanted<'_>) -> Result<Place, Error> {
        let exists = |why: String| Err(Error::new(ErrorKind::FileExists, path.to_string_lossy(), why));
        let verified = self.verify_given(path, there, wanted)?;
        let lacks_digest = self.lacks_digest(wanted, &[]);
        if let Some(verified) = verified.filter(|_| !lacks_digest) {
            return Ok(verified.stays(path, there, "already exists"));
        }
        if wanted.remote.is_some_and(|remote| self.lacks_digest(wanted, &remote.digests)) {
            return Err(digest_missing(path));
        }
        let known = self.known(there, wanted.identity);
        if let identity::Recognised::Ours(record) = known
            && !lacks_digest
        {
            return Ok(stays(path, there, &self.as_downloaded(record)));
        }
        if let Some(tool) = self.disk.unfinished_by(path) {
            return exists(format!("{tool} has not finished it, as its control file shows"));
        }
        if known == identity::Recognised::OtherUrl {
            return exists(
                "it was downloaded from another URL, or by a request with other headers or options".into(),
            );
        }
        let Some(remote) = wanted.remote else {
            return match wanted.spec.sends {
                Some(_) => exists(ONLY_GET.into()),
                None => Ok(Place::Ask(Conditions::default())),
            };
        };
        match identity::compare(&there.file, remote) {
            Compared::Different(why) if there.file.is_finished() => exists(format!("{why}, {IS_FINISHED}")),
            Compared::Different(why) => exists(why),
            Compared::Unknown if remote.digests.is_empty() => exists(
                "the server does not say how large its file is, so the two files cannot be compared".into(),
            ),
            compared => match self.verify(path, there, wanted, &remote.digests) {
                Ok(Some(verified)) => {
                    self.is_no_page(path, wanted)?;
                    Ok(verified.stays(path, there, "already exists"))
                }
                Ok(None) => match compared {
                    Compared::Same(what) => match self.why_another(path, there, wanted, remote) {
                        Some(why) => exists(why.into()),
                        None => {
                            self.is_no_page(path, wanted)?;
                            Ok(stays(path, there, &format!("already exists, {what}")))
                        }
                    },
                    _ => {
                        exists("neither its size nor a digest can be compared with the server's file".into())
                    }
                },
                Err(error) if error.kind == ErrorKind::DigestMismatch => exists(error.detail),
                Err(error) => Err(error),
            },
        }
    }

    /// Keeps the existing file if it matches a given digest, signature or chunk hashes, or if the server's
    /// file is the same. Returns `None` if the file must be fetched, because the existing file is different,
    /// because nothing shows that both are the same (an equal size alone is not enough), or because a
    /// required strong digest is unknown. May return [`Place::Ask`] if there is no response yet.
    ///
    /// # Errors
    /// Returns `content.*` if the file seems to be up to date, and is a web page or a pointer in place of
    /// data. Returns the error of the disk if the file cannot be read.
    fn update(&self, path: &Path, there: &Standing, wanted: &Wanted<'_>) -> Result<Option<Place>, Error> {
        let is_weak = self.lacks_digest(wanted, &[]);
        match self.verify_given(path, there, wanted) {
            Ok(Some(verified)) if !is_weak => return Ok(Some(verified.stays(path, there, "is up to date"))),
            // The existing file does not match, but the server may have a newer file that matches the given
            // digest.
            Err(error) if is_other_content(error.kind) => return Ok(None),
            other => other?,
        };
        if is_weak || self.disk.unfinished_by(path).is_some() {
            return Ok(None);
        }
        let up_to_date = |digests| Some(stays_verified(path, there, "is up to date", digests));
        let Some(remote) = wanted.remote else {
            if wanted.spec.sends.is_some() {
                return Ok(None);
            }
            let conditions = match there.file.recognise(&wanted.identity.origins) {
                identity::Recognised::Ours(record) => record.conditions(),
                // A file without a record of this URL may be different, even if it is newer.
                _ => Conditions::default(),
            };
            return Ok(Some(Place::Ask(conditions)));
        };
        if remote.span == Span::Unchanged {
            // If the request had no condition, a response with status 304 has no meaning.
            let known = there.file.recognise(&wanted.identity.origins);
            let asked = matches!(known, identity::Recognised::Ours(record) if record.conditions() != Conditions::default());
            return Ok(up_to_date(Vec::new()).filter(|_| asked));
        }
        if remote.size.is_some_and(|size| size != there.file.size) {
            return Ok(None);
        }
        match self.verify(path, there, wanted, &remote.digests) {
            Ok(Some(verified)) => {
                self.is_no_page(path, wanted)?;
                return Ok(up_to_date(verified.digests));
            }
            Err(error) if is_other_content(error.kind) => return Ok(None),
            other => other?,
        };
        if wanted.spec.sends.is_some() || !self.seems_same(there, wanted, remote) {
            return Ok(None);
        }
        self.is_no_page(path, wanted)?;
        Ok(up_to_date(Vec::new()))
    }

    /// Returns true if the server's file has the validator that the existing file's record has. Without such
    /// a validator, returns true if both files have the same size and date, and no other URL is recorded.
    fn seems_same(&self, there: &Standing, wanted: &Wanted<'_>, remote: &Remote) -> bool {
        if let identity::Recognised::Ours(record) = there.file.recognise(&wanted.identity.origins)
            && record.validator != Validator::Unknown
        {
            // If the file is the same, the server states the same validator again, with any request.
            return record.validator == remote.validator;
        }
        // HTTP dates have whole seconds.
        let same_time = match (remote.modified, there.file.modified) {
            (Some(server), Some(here)) => identity::seconds(server) == identity::seconds(here),
            _ => false,
        };
        // Two different files, from different URLs, often have the same size and date.
        let is_other = self.known(there, wanted.identity) == identity::Recognised::OtherUrl;
        !is_other && remote.size == Some(there.file.size) && same_time
    }

    /// Returns the reason for keeping a file that was downloaded on the day of its record.
    fn as_downloaded(&self, record: &identity::Record) -> String {
        let day = record.day();
        // A file in a container is not replaced, so `--if-exists update` is not advised for it.
        let advice = if self.disk.stores_entries() { "" } else { " (--if-exists update asks the server)" };
        format!("already exists, as downloaded on {day}{advice}")
    }

    /// Returns why an existing file may differ from the server's file, although both have the same size.
    fn why_another(
        &self,
        path: &Path,
        there: &Standing,
        wanted: &Wanted<'_>,
        remote: &Remote,
    ) -> Option<&'static str> {
        // A server often computes the response to a request that is not a plain GET.
        if wanted.spec.sends.is_some() {
            return Some(ONLY_GET);
        }
        // The files of several URLs often have the same name, size and modification time.
        let named_by_url = self.paths.wished(wanted.spec).as_deref() == Some(path);
        if there.file.record.is_none() && !named_by_url && self.is_one_of_several(wanted.spec) {
            return Some(
                "the files of several URLs may have this name, and nothing shows from which of these URLs this file came",
            );
        }
        // Two users often get different files of the same size.
        let identity::Recognised::SignedDifferently(record) = self.known(there, wanted.identity) else {
            return None;
        };
        if let (Validator::Etag(here), Validator::Etag(server)) = (&record.validator, &remote.validator) {
            return (here != server).then_some("the server's file has another entity tag");
        }
        let seconds = |at: Option<SystemTime>| at.map(identity::seconds);
        let same_date = remote.modified.is_some() && seconds(remote.modified) == seconds(there.file.modified);
        let is_same_version = record.validator != Validator::Unknown && record.validator == remote.validator;
        (!same_date && !is_same_version).then_some(
            "it was downloaded with another login or signature, and nothing shows that the server's file is the same",
        )
    }

    /// Keeps the existing file if its digests and its signature match. Returns `None` if they do not match,
    /// or if only chunk hashes are known. The wrong chunks are then fetched again, or the whole file if there
    /// are no chunk hashes. Returns [`Place::Ask`] if a strong digest is required, none is known, and there
    /// is no response yet.
    ///
    /// # Errors
    /// Returns `digest.missing` if no digest, no signature and no chunk hashes are known, and the size is not
    /// known to be wrong. Also returns this error if a strong digest is required and none is known, or if
    /// there are no chunk hashes and nothing is verified in this run.
    /// Returns the error of the disk if the file cannot be read.
    fn repair(&self, path: &Path, there: &Standing, wanted: &Wanted<'_>) -> Result<Option<Place>, Error> {
        let stated = match wanted.remote {
            _ if !self.lacks_digest(wanted, &[]) => &[][..],
            Some(remote) if !self.lacks_digest(wanted, &remote.digests) => &remote.digests,
            None if wanted.spec.sends.is_none() => return Ok(Some(Place::Ask(Conditions::default()))),
            _ => return Err(digest_missing(path)),
        };
        match self.verify(path, there, wanted, stated) {
            Ok(Some(verified)) => Ok(Some(verified.stays(path, there, "is correct"))),
            Ok(None) if wanted.spec.chunks.is_none() => {
                let why = "downhaul does not know which part of the file is wrong";
                Err(Error::new(ErrorKind::DigestMissing, path.to_string_lossy(), why))
            }
            Ok(None) => Ok(None),
            Err(error) if is_other_content(error.kind) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

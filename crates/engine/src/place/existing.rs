//! What to do about a file that stands where a job's file shall go (`--if-exists`).
//!
//! Invariant: a file counts as *already there* only by a digest that was given, by the record that is attached to it, or
//! after a comparison with what the server says; `skip` alone asks nobody.

use super::{Places, Wanted};
use crate::checksum_discovery::Known;
use crate::director::promises_data;
use crate::disk::{self, NoFile, Standing};
use downhaul_core::content::{self, Look};
use downhaul_core::digest::{self, Expected};
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::identity::{self, Compared, Conditions};
use downhaul_core::job::IfExists;
use downhaul_core::plan::Place;
use downhaul_core::remote::{Span, Validator};
use downhaul_core::settings::{Resume, Verify};
use std::io::Read;
use std::path::{Path, PathBuf};

impl Places {
    /// What is to be done with a path: it is free, what stands there stays, or the server is to be asked.
    pub(super) fn look(&self, path: PathBuf, wanted: &Wanted<'_>) -> Result<(PathBuf, Place), Error> {
        let there = match self.was_free(&path, wanted.identity) {
            true => None,
            false => self.disk.look(&path)?,
        };
        let shown = path.to_string_lossy().into_owned();
        let left = || self.has_left(&path, wanted.identity);
        let Some(there) = there else {
            let left = left();
            return Ok((path, Place::Free { path: shown, left }));
        };
        self.disk.tidy(&path);
        if let Some(instead) = there.instead {
            let kind = match instead {
                NoFile::Folder => ErrorKind::FileIsFolder,
                NoFile::Device => ErrorKind::FileIsDevice,
            };
            return Err(Error::new(kind, shown, ""));
        }
        let place = match (self.settings.resume, self.if_exists(wanted.spec)) {
            // It is what shall be gone on with, and replaced when that is complete.
            (Resume::Adopt, _) => None,
            (Resume::Repair, _) => self.repair(&path, wanted)?,
            (_, IfExists::Overwrite | IfExists::Rename) => None,
            (_, IfExists::Error) => return Err(Error::new(ErrorKind::FileExists, shown, "")),
            (_, IfExists::Skip) => {
                let proof =
                    self.prove(&path, wanted, &[])?.map_or(String::new(), |proof| format!(", {proof}"));
                Some(stays(&path, &format!("already exists{proof}")))
            }
            (_, IfExists::Update) => self.update(&path, &there, wanted)?,
            (_, IfExists::Check) => Some(self.check(&path, &there, wanted)?),
        };
        let place = place.unwrap_or_else(|| Place::Free { path: shown, left: left() });
        Ok((path, place))
    }

    /// It stays if it is this file; else that is a failure.
    fn check(&self, path: &Path, there: &Standing, wanted: &Wanted<'_>) -> Result<Place, Error> {
        let exists = |why: String| Err(Error::new(ErrorKind::FileExists, path.to_string_lossy(), why));
        let proof = self.prove(path, wanted, &[])?;
        let lacks_digest = self.settings.verify == Verify::Require && !has_strong(wanted, &[]);
        if let Some(proof) = proof.filter(|_| !lacks_digest) {
            return Ok(stays(path, &format!("already exists, {proof}")));
        }
        if lacks_digest && wanted.remote.is_some_and(|remote| !has_strong(wanted, &remote.digests)) {
            let why = "so the file that is already there cannot be verified";
            return Err(Error::new(ErrorKind::DigestMissing, path.to_string_lossy(), why));
        }
        let known = self.known(there, wanted.identity);
        if let identity::Known::Ours(record) = known
            && !lacks_digest
        {
            let day = record.day();
            let reason =
                format!("already exists, as downloaded on {day} (--if-exists update asks the server)");
            return Ok(stays(path, &reason));
        }
        if let Some(tool) = self.disk.unfinished_by(path) {
            return exists(format!("{tool} has not finished it, by the control file beside it"));
        }
        if known == identity::Known::Another {
            return exists("it was downloaded from another URL".into());
        }
        let Some(remote) = wanted.remote else { return Ok(Place::Ask(Conditions::default())) };
        if let identity::Known::SignedOtherwise(record) = known
            && let (Validator::Etag(here), Validator::Etag(server)) = (&record.version, &remote.validator)
            && here != server
        {
            return exists("the server's file has another entity tag".into());
        }
        match identity::compare(&there.file, remote) {
            Compared::Different(why) => exists(why),
            Compared::Unknown if remote.digests.is_empty() => {
                exists("the server does not say how large its file is, so they cannot be compared".into())
            }
            compared => match self.prove(path, wanted, &remote.digests) {
                Ok(Some(proof)) => Ok(stays(path, &format!("already exists, {proof}"))),
                Ok(None) => match compared {
                    Compared::Same(what) => {
                        self.is_no_page(path, wanted)?;
                        Ok(stays(path, &format!("already exists, {what}")))
                    }
                    _ => exists("nothing of it can be compared with the server's file".into()),
                },
                Err(error) if error.kind == ErrorKind::DigestMismatch => exists(error.detail),
                Err(error) => Err(error),
            },
        }
    }

    /// Returns that the file stays if it is what was given for it, or the server's file is the same; `None` if it is to be
    /// fetched: it is another one, or nothing tells that it is the same. An equal size alone does not.
    fn update(&self, path: &Path, there: &Standing, wanted: &Wanted<'_>) -> Result<Option<Place>, Error> {
        match self.prove(path, wanted, &[]) {
            Ok(Some(proof)) => return Ok(Some(stays(path, &format!("is up to date, {proof}")))),
            // A newer file may be what was given.
            Err(error) if is_other_content(error.kind) => return Ok(None),
            other => other?,
        };
        let demanded = self.settings.verify == Verify::Require && !has_strong(wanted, &[]);
        if demanded || self.disk.unfinished_by(path).is_some() {
            return Ok(None);
        }
        let up_to_date = Some(stays(path, "is up to date"));
        let Some(remote) = wanted.remote else {
            let conditions = match there.file.is_known(&wanted.identity.origins) {
                identity::Known::Ours(record) => record.conditions(),
                // What is not known to come from there may be newer and another file all the same.
                _ => Conditions::default(),
            };
            return Ok(Some(Place::Ask(conditions)));
        };
        if remote.span == Span::Unchanged {
            // Where nothing was asked by, nothing is said.
            let known = there.file.is_known(&wanted.identity.origins);
            let asked = matches!(known, identity::Known::Ours(record) if record.conditions() != Conditions::default());
            return Ok(up_to_date.filter(|_| asked));
        }
        let same_size = remote.size.map(|size| size == there.file.size);
        // HTTP dates have whole seconds.
        let same_time = match (remote.modified, there.file.modified) {
            (Some(server), Some(here)) => Some(identity::seconds(server) == identity::seconds(here)),
            _ => None,
        };
        // A server that was asked by what was recorded, and sends the file, says that it has another one.
        let same_version = match there.file.is_known(&wanted.identity.origins) {
            identity::Known::Ours(record) if record.version != Validator::Unknown => {
                Some(record.version == remote.validator)
            }
            _ => None,
        };
        if [same_size, same_time, same_version].contains(&Some(false)) {
            return Ok(None);
        }
        let same = same_version == Some(true) || (same_size, same_time) == (Some(true), Some(true));
        self.is_no_page(path, wanted)?;
        Ok(match self.prove(path, wanted, &remote.digests) {
            Ok(proof) if same || proof.is_some() => up_to_date,
            _ => None,
        })
    }

    /// A page that was saved where data was promised is no success a second time either, although the server sends the same.
    fn is_no_page(&self, path: &Path, wanted: &Wanted<'_>) -> Result<(), Error> {
        let shown = path.to_string_lossy();
        if !promises_data(&shown, wanted.spec, &self.settings) {
            return Ok(());
        }
        let mut beginning = Vec::new();
        let read = self.disk.open(path)?.take(content::ENOUGH as u64).read_to_end(&mut beginning);
        read.map_err(|e| disk::failure(&e, path))?;
        match content::look(&beginning) {
            Look::Page => Err(Error::new(ErrorKind::ContentHtml, shown, "it is what is there already")),
            Look::LfsPointer => {
                Err(Error::new(ErrorKind::ContentPointer, shown, "it is what is there already"))
            }
            _ => Ok(()),
        }
    }

    /// It stays if it is as it should be; else what is wrong of it is fetched again.
    fn repair(&self, path: &Path, wanted: &Wanted<'_>) -> Result<Option<Place>, Error> {
        match self.prove(path, wanted, &[]) {
            Ok(Some(proof)) => Ok(Some(stays(path, &format!("is as it should be, {proof}")))),
            Ok(None) if wanted.spec.chunks.is_none() => {
                let why = "so it is not known which part of the file is wrong";
                Err(Error::new(ErrorKind::DigestMissing, path.to_string_lossy(), why))
            }
            _ => Ok(None),
        }
    }

    /// Checks a finished file against what was given for it, what lists say, and what was `stated`. Returns what that proved,
    /// if anything was to be checked.
    fn prove(&self, path: &Path, wanted: &Wanted<'_>, stated: &[Expected]) -> Result<Option<String>, Error> {
        if self.settings.verify == Verify::Off {
            return Ok(None);
        }
        let Known { findings, signature, .. } = wanted.known;
        let expected = [&wanted.spec.expected, &findings.expected, stated].concat();
        let algorithms = expected.iter().map(|one| one.digest.algorithm);
        let algorithms =
            digest::distinct(algorithms.chain(findings.signed.as_ref().and_then(|signed| signed.digest)));
        let shown = path.to_string_lossy();
        let computed = match algorithms.is_empty() {
            true => Vec::new(),
            false => disk::digests(&*self.disk, path, &algorithms)?,
        };
        let strongest = digest::verdict(&expected, &computed).map_err(|(one, _)| {
            let detail = format!("the file that is already there is not what {} says", one.from);
            Error::new(ErrorKind::DigestMismatch, shown.as_ref(), detail)
        })?;
        match signature {
            Some(signature) => {
                signature.check_file(&computed, || self.disk.open(path), &shown)?;
                Ok(Some(format!("signed by {}", signature.told().by)))
            }
            None => Ok(strongest.map(ToString::to_string)),
        }
    }
}

/// Returns whether a strong digest or a signature tells what the file must be: one that was given, one of a list, or one that the
/// server `stated`.
fn has_strong(wanted: &Wanted<'_>, stated: &[Expected]) -> bool {
    let about = &wanted.known.findings;
    let mut expected = wanted.spec.expected.iter().chain(&about.expected).chain(stated);
    about.signed.is_some() || expected.any(|one| one.digest.algorithm.is_strong())
}

/// Returns whether a failure says that the bytes of a file are not those that were given.
fn is_other_content(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::DigestMismatch | ErrorKind::SignatureWrong)
}

fn stays(path: &Path, reason: &str) -> Place {
    Place::Taken { path: path.to_string_lossy().into_owned(), reason: reason.into() }
}

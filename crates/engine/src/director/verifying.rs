//! Verifies written bytes: compares them with the journal of an earlier run, and with the digests of chunks
//! and of the whole file, and verifies signatures. Also gives a file its final name.
//!
//! Invariant: each state of the partial file has a number. Each check of claims or of a chunk, and each
//! discard, has the number of the current state. Its result has the same number, so that the plan can ignore
//! a result about an earlier state.

use super::running::{Running, Stage};
use super::{Director, Report};
use crate::clock;
use crate::disk::{Attach, Disk, Part, Publishing, ReadBack};
use crate::duplicates::{Duplicates, Wish};
use crate::hashing::Verifier;
use crate::journal_check;
use crate::report;
use downhaul_core::content::{self, Look, Promise};
use downhaul_core::dedup::MadeFrom;
use downhaul_core::digest::Digest;
use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::event::{JobId, Phase};
use downhaul_core::identity::{Identity as JobIdentity, Origin};
use downhaul_core::job::{Destination, IfExists, Job};
use downhaul_core::journal::Claim;
use downhaul_core::lock_file::Entry;
use downhaul_core::plan::{Findings, Input, Plan};
use downhaul_core::remote::Validator;
use downhaul_core::settings::{Attributes, Resume, Settings, Sync, Verify};
use downhaul_core::show;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tracing::Instrument;

impl Director {
    pub(super) fn check(&mut self, id: JobId, number: u32, claims: Vec<Claim>) {
        self.start_verifier(id);
        let (reports, span) = (self.reports.clone(), self.span(id));
        let report = move |input| drop(reports.send((id, Report::Input(input))));
        let Some(running) = self.running.get_mut(&id) else { return };
        let size = running.plan.size();
        let Some(file) = running.file_mut() else { return };
        let check = journal_check::run(number, claims, file.part.clone(), report);
        file.checker = Some(tokio::spawn(check.instrument(span)).abort_handle());
        running.meter.set_total(size);
        running.meter.set_phase(Phase::Checking);
    }

    pub(super) fn start_verifier(&mut self, id: JobId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let algorithms = running.plan.algorithms();
        // If the output is written in order, its [`Part`] computes the digests ([`Part::digests`]).
        if algorithms.is_empty() || running.spec.destination.is_in_order() || self.settings.preview.is_some()
        {
            return;
        }
        // A verifier with other algorithms than the needed ones is replaced. The new verifier reads the file
        // back from its first byte.
        let prefix = running.plan.prefix();
        let Some(file) = running.file_mut() else { return };
        if file.verifier.as_ref().is_none_or(|verifier| verifier.algorithms() != algorithms) {
            let verifier = Verifier::start(&algorithms, file.part.clone());
            verifier.written(prefix);
            file.verifier = Some(verifier);
        }
    }

    /// Reads a chunk back, and compares its digest with `expected`.
    pub(super) fn verify_chunk(&self, id: JobId, number: u32, chunk: Range<u64>, expected: Digest) {
        let Some(file) = self.running.get(&id).and_then(Running::file) else { return };
        let part = file.part.clone();
        self.block(id, false, move || {
            let good = journal_check::has_digest(&*part, chunk.clone(), &expected);
            Report::Input(Input::ChunkVerified { number, chunk, good })
        });
    }

    /// Discards written bytes. The hashing of the file starts again.
    pub(super) fn discard(&mut self, id: JobId, number: u32, ranges: Vec<Range<u64>>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.advance(Stage::incomplete);
        let Some(file) = running.file_mut() else { return };
        file.forget_digests();
        let (generation, part) = (file.generation, file.part.clone());
        self.block(id, false, move || {
            let result = ranges.iter().try_for_each(|range| part.void(generation, range.clone()).map(drop));
            Report::Input(Input::Discarded { number, ranges, result })
        });
    }

    pub(super) fn verify(&mut self, id: JobId) {
        let reports = self.reports.clone();
        let Some(running) = self.running.get_mut(&id) else { return };
        running.meter.set_phase(Phase::Finishing);
        let now = self.clock.now();
        running.advance(|stage| stage.complete(now));
        self.start_verifier(id);
        let Some(running) = self.running.get_mut(&id) else { return };
        let (spec, size) = (running.spec.clone(), running.plan.size().unwrap_or_default());
        let Some(file) = running.file_mut() else { return };
        let (verifier, part, signature) = (file.verifier.take(), file.part.clone(), file.signature.clone());
        let at = file.path.to_string_lossy().into_owned();
        let seen = file.look;
        let wanted = seen.is_none() && promises_data(&at, &spec, &self.settings);
        let beginning = wanted.then(|| part.clone());
        let quick = !file.journaled;
        let verdict = |digests| Report::Input(Input::Verified(digests));
        let early_reports = reports.clone();
        let report_look = move |look: Look| {
            let findings = Findings { look: Some(look), ..Findings::default() };
            let _ = early_reports.send((id, Report::Input(Input::Found(findings))));
        };
        seen.into_iter().for_each(&report_look);
        if verifier.is_none() && signature.is_none() {
            let digests = Ok(part.digests());
            return match beginning {
                None => drop(reports.send((id, verdict(digests)))),
                Some(part) => self.block(id, quick, move || {
                    report_look(look_at(&*part));
                    verdict(digests)
                }),
            };
        }
        tokio::spawn(async move {
            if let Some(part) = beginning {
                let _ = tokio::task::spawn_blocking(move || report_look(look_at(&*part))).await;
            }
            let digests = match verifier {
                Some(verifier) => verifier.finish(size).await,
                None => Ok(part.digests()),
            };
            let checked = match (digests, signature) {
                (Ok(digests), Some(signature)) => {
                    let check = move || {
                        let open = || Ok(Box::new(ReadBack::new(part, size)) as Box<dyn Read>);
                        signature.check_file(&digests, open, &at).map(|()| digests)
                    };
                    let failed =
                        |e: tokio::task::JoinError| Err(Error::new(ErrorKind::DiskFailed, "", e.to_string()));
                    tokio::task::spawn_blocking(check).await.unwrap_or_else(failed)
                }
                (digests, _) => digests,
            };
            let _ = reports.send((id, verdict(checked)));
        });
    }

    pub(super) fn publish(&mut self, id: JobId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let now = self.clock.now();
        running.advance(|stage| stage.verified(now));
        let Stage::Publishing { file, .. } = &running.stage else { return };
        let (part, path, disk) = (file.part.clone(), file.path.clone(), self.disk.clone());
        let (size, from) = (running.plan.size().unwrap_or_default(), running.plan.fetched_from());
        let mut how = publishing(&self.settings, &running.spec, size, from, file.modified);
        how.about = about(&*disk, &running.spec, &running.plan, now);
        how.transcript = running.plan.transcript();
        let (places, spec) = (self.places.clone(), running.spec.clone());
        let (duplicates, digests) = (self.duplicates.clone(), running.digests.clone());
        let identity = running.plan.identity();
        let quick = !file.journaled && self.settings.sync != Sync::Always && !duplicates.is_on();
        self.block(id, quick, move || {
            how.continues |= places.is_marked(&path, &spec);
            // An output that is written in order is never made from another file.
            let duplicates = Some(duplicates).filter(|_| !spec.destination.is_in_order());
            let _alone = duplicates.as_ref().map(|all| all.publish_alone(&digests));
            let made_from =
                duplicates.as_ref().and_then(|all| made_from(all, &path, &digests, &identity, &how));
            let published = match &made_from {
                Some(_) => {
                    part.discard();
                    Ok(())
                }
                None => part.publish(&path, how).inspect(|()| {
                    duplicates.iter().for_each(|all| all.add(&path, &digests));
                }),
            };
            let located = disk.location(&path).to_string_lossy().into_owned();
            Report::Published(published.map(|()| (located, made_from)))
        });
    }
}

/// Makes a downloaded file from another file that has the same bytes, so that these bytes are on the disk
/// only once. Returns how the file was made. Returns `None` if it was not made, because that is not wanted or
/// not possible. The caller then publishes the downloaded bytes.
fn made_from(
    duplicates: &Duplicates,
    path: &Path,
    digests: &[Digest],
    identity: &JobIdentity,
    how: &Publishing,
) -> Option<MadeFrom> {
    if how.continues {
        return None;
    }
    let (publishing, archived) = (how.clone(), &[][..]);
    let (sizes, is_data, may_copy) = (&[][..], false, false);
    let wish = Wish { target: path, digests, sizes, is_data, identity, publishing, archived, may_copy };
    duplicates.make(&wish).ok().flatten().map(|(made_from, _)| made_from)
}

/// Returns the options for publishing a file of this size. `from` has the origin of the file, and the
/// validator that this origin stated. `modified` is the modification time in the last accepted response that
/// states one.
pub(crate) fn publishing(
    settings: &Settings,
    spec: &Job,
    size: u64,
    from: Option<(Origin, Validator)>,
    modified: Option<SystemTime>,
) -> Publishing {
    let (if_exists, resume) = (settings.if_exists_of(spec), settings.resume_of(spec));
    let from = from.filter(|_| settings.attributes != Attributes::None);
    Publishing {
        size,
        replace: matches!(if_exists, IfExists::Overwrite | IfExists::Update) || resume == Resume::Repair,
        accepts_same: matches!(if_exists, IfExists::Check | IfExists::Skip),
        continues: resume == Resume::Adopt,
        modified: modified.filter(|_| settings.keep_mtime),
        sync: settings.sync,
        attach: from.map(|(origin, validator)| {
            let url = (settings.attributes == Attributes::Url).then(|| show::url(&spec.urls[0]));
            Attach { origin, validator, url, now: clock::wall() }
        }),
        about: None,
        transcript: None,
    }
}

/// Returns the entry of a lock file for a verified file, if the disk stores such entries (in tars and WARCs).
pub(crate) fn about(disk: &dyn Disk, spec: &Job, plan: &Plan, now: Duration) -> Option<Box<Entry>> {
    disk.stores_entries().then(|| {
        let entry = plan.entry(now);
        let url = show::url(&spec.urls[0]);
        let final_url = entry.final_url.filter(|last| *last != url);
        Box::new(Entry { url, final_url, date: report::wall_ms(), extra: spec.extra.clone(), ..entry })
    })
}

/// Returns true if the first bytes of a file must be examined, because an HTML page or a Git LFS pointer
/// under its name would be an error. The name of the file (`at`) and the first URL of the job decide this:
///
/// - If the name promises data (such as `.zip`), returns true.
/// - If the user or a list chose the name, and the name promises a page or a text, returns false.
/// - In all other cases, the URL decides: returns true if it promises data. If the name promises a page
///   (`.html`), a URL that promises a text (`.txt`) is enough.
///
/// With `--accept-html` or `--verify off`, returns false.
pub(crate) fn promises_data(at: &str, spec: &Job, settings: &Settings) -> bool {
    if settings.accept_html || settings.verify == Verify::Off {
        return false;
    }
    let of_person = matches!(spec.destination, Destination::Name(_) | Destination::Path(_));
    let by_url = || content::promise(spec.urls[0].path());
    match content::promise(at) {
        Promise::Data => true,
        Promise::Page | Promise::Text if of_person => false,
        Promise::Page => matches!(by_url(), Promise::Data | Promise::Text),
        Promise::Text | Promise::Nothing => by_url() == Promise::Data,
    }
}

/// Returns the kind of content that the first written bytes show. If the bytes cannot be read, the result is
/// the same as for ordinary data.
pub(super) fn look_at(part: &dyn Part) -> Look {
    let mut beginning = [0; content::ENOUGH];
    let read = part.read_at(0, &mut beginning).unwrap_or(0);
    content::look(&beginning[..read.min(content::ENOUGH)])
}

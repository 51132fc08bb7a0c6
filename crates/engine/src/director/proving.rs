//! Whether what is written is right, and its final name: what an earlier run left, digests of pieces and of the whole, signatures.
//!
//! Invariant: an answer carries the number of its question, so that one about bytes that were taken back meanwhile counts for
//! nothing.

use super::{Director, Report};
use crate::check;
use crate::disk::{Part, Publishing, ReadBack};
use crate::verify::Verifier;
use downhaul_core::content;
use downhaul_core::digest::Digest;
use downhaul_core::error::{Error, Kind};
use downhaul_core::event::{JobId, Phase};
use downhaul_core::job::{IfExists, JobSpec};
use downhaul_core::journal::Claim;
use downhaul_core::plan::{About, Input};
use downhaul_core::settings::{Resume, Sync};
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

impl Director {
    pub(super) fn check(&mut self, id: JobId, number: u32, claims: Vec<Claim>) {
        self.start_verifier(id);
        let news = self.news.clone();
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(part) = running.part.clone() else { return };
        running.meter.set_total(running.plan.size());
        running.meter.set_phase(Phase::Checking);
        let report = move |input| drop(news.send((id, Report::Input(input))));
        running.checker = Some(tokio::spawn(check::run(number, claims, part, report)).abort_handle());
    }

    pub(super) fn start_verifier(&mut self, id: JobId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let algorithms = running.plan.algorithms();
        // What is written in order is hashed on its way.
        if algorithms.is_empty() || running.spec.target.is_in_order() {
            return;
        }
        // One that does not compute all begins again: it reads back what is there.
        if running.verifier.as_ref().is_none_or(|verifier| verifier.algorithms() != algorithms) {
            running.verifier = running.part.clone().map(|part| Verifier::start(&algorithms, part));
            if let Some(verifier) = &running.verifier {
                verifier.written(running.plan.prefix());
            }
        }
    }

    /// Reads a piece back, and compares its digest.
    pub(super) fn prove(&self, id: JobId, number: u32, piece: Range<u64>, expected: Digest) {
        let Some(part) = self.running.get(&id).and_then(|running| running.part.clone()) else { return };
        self.block(id, false, move || {
            let good = check::is_as(&*part, piece.clone(), &expected);
            Report::Input(Input::Proved { number, piece, good })
        });
    }

    /// What was written there counts for nothing. What was hashed of it does not either: whoever hashes begins again.
    pub(super) fn void(&mut self, id: JobId, number: u32, ranges: Vec<Range<u64>>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        (running.written, running.page) = (None, None);
        running.verifier = None;
        let generation = running.generation;
        let Some(part) = running.part.clone() else { return };
        self.block(id, false, move || {
            let result = ranges.iter().try_for_each(|range| part.void(generation, range.clone()).map(drop));
            Report::Input(Input::Voided { number, ranges, result })
        });
    }

    pub(super) fn verify(&mut self, id: JobId) {
        let news = self.news.clone();
        let Some(running) = self.running.get_mut(&id) else { return };
        running.meter.set_phase(Phase::Finishing);
        running.complete = Some(self.clock.now());
        self.start_verifier(id);
        let Some(running) = self.running.get_mut(&id) else { return };
        let (verifier, part) = (running.verifier.take(), running.part.clone());
        let size = running.plan.size().unwrap_or_default();
        let signature = running.signature.clone();
        let at = running.path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let seen = running.page;
        let page = part.clone().filter(|_| seen.is_none() && promises_no_page(&at, &running.spec));
        let quick = !running.journaled;
        let there =
            |part: &Option<Arc<dyn Part>>| part.as_ref().map(|part| part.digests()).unwrap_or_default();
        let verdict = |digests| Report::Input(Input::Verified(digests));
        let to_look = news.clone();
        let look = move |page: bool| {
            if page {
                let about = About { html: true, ..About::default() };
                let _ = to_look.send((id, Report::Input(Input::Known(about))));
            }
        };
        look(seen == Some(true));
        if verifier.is_none() && signature.is_none() {
            let digests = Ok(there(&part));
            return match page {
                None => drop(news.send((id, verdict(digests)))),
                Some(page) => self.block(id, quick, move || {
                    look(is_page(&*page));
                    verdict(digests)
                }),
            };
        }
        tokio::spawn(async move {
            if let Some(page) = page {
                let _ = tokio::task::spawn_blocking(move || look(is_page(&*page))).await;
            }
            let digests = match verifier {
                Some(verifier) => verifier.finish(size).await,
                None => Ok(there(&part)),
            };
            let checked = match (digests, signature, part) {
                (Ok(digests), Some(signature), Some(part)) => {
                    let check = move || {
                        let open = || Ok(Box::new(ReadBack::new(part, size)) as Box<dyn Read>);
                        signature.check_file(&digests, open, &at).map(|()| digests)
                    };
                    let failed =
                        |e: tokio::task::JoinError| Err(Error::new(Kind::DiskFailed, "", e.to_string()));
                    tokio::task::spawn_blocking(check).await.unwrap_or_else(failed)
                }
                (digests, ..) => digests,
            };
            let _ = news.send((id, verdict(checked)));
        });
    }

    pub(super) fn publish(&mut self, id: JobId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.proven = Some(self.clock.now());
        let (Some(part), Some(path)) = (running.part.clone(), running.path.clone()) else { return };
        let replace = matches!(self.settings.if_exists, IfExists::Overwrite | IfExists::Update)
            || matches!(self.settings.resume, Resume::Adopt | Resume::Repair);
        let modified = running.modified.filter(|_| self.settings.keep_mtime);
        let how = Publishing {
            size: running.plan.size().unwrap_or_default(),
            replace,
            modified,
            sync: self.settings.sync,
        };
        let quick = !running.journaled && self.settings.sync != Sync::Always;
        self.block(id, quick, move || {
            let result = part.publish(&path, how).map(|()| path.to_string_lossy().into_owned());
            Report::Input(Input::Published(result))
        });
    }
}

/// The name of a file promises something that is no HTML page.
pub(super) fn promises_no_page(at: &str, spec: &JobSpec) -> bool {
    content::is_binary(at) || content::is_binary(spec.urls[0].path())
}

/// Whether what was written begins like an HTML page.
pub(super) fn is_page(part: &dyn Part) -> bool {
    let mut beginning = [0; content::ENOUGH];
    part.read_at(0, &mut beginning)
        .is_ok_and(|read| content::is_html(&beginning[..read.min(content::ENOUGH)]))
}

//! [`UrlNames`]: the names of files that got a number, because other files of the run have their names.
//!
//! Without these names, a later run with the list could not know which numbers its files have, because the
//! list lacks the files that are complete.

use downhaul_engine::RunNames;
use downhaul_engine::core::error::Error;
use downhaul_engine::core::event::JobId;
use downhaul_engine::core::job::Job;
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::settings::Settings;
use std::collections::BTreeMap;

/// The names of files that got a number, and that are not complete.
#[derive(Default)]
pub(super) struct UrlNames {
    names: Option<RunNames>,
    /// The number of jobs whose names were reserved, in the order of the input.
    jobs: u64,
    /// The names by the numbers of their jobs.
    numbered: BTreeMap<u64, SafeName>,
}

impl UrlNames {
    /// Returns the names of a run with these settings.
    pub(super) fn new(settings: &Settings) -> UrlNames {
        UrlNames { names: Some(RunNames::new(settings)), ..UrlNames::default() }
    }

    /// Reserves the name of the next job of the input. Returns the name if it got a number.
    pub(super) fn reserve(&mut self, job: &Result<Job, Error>) -> Option<SafeName> {
        self.jobs += 1;
        let name = self.names.as_mut()?.next(job.as_ref().ok()?)?;
        self.numbered.insert(self.jobs, name.clone());
        Some(name)
    }

    /// Returns the name of the job with this number, if the name got a number. The jobs that the session did
    /// not get must be passed in the order of the input.
    pub(super) fn of(&mut self, number: u64, job: &Result<Job, Error>) -> Option<SafeName> {
        match number <= self.jobs {
            true => self.numbered.get(&number).cloned(),
            false => self.names.as_mut()?.next(job.as_ref().ok()?),
        }
    }

    /// Forgets the name of a file that is complete.
    pub(super) fn forget(&mut self, job: JobId) {
        self.numbered.remove(&job.get());
    }
}

//! [`UrlNames`]: the names that got a number (`a (1).bin`), because other files of the run have the names
//! without a number.
//!
//! The list of `--failed` has these names. It lacks the files that are complete, so a later run with the list
//! could not find the numbers itself.

use downhaul_engine::RunNames;
use downhaul_engine::core::error::Error;
use downhaul_engine::core::event::JobId;
use downhaul_engine::core::job::Job;
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::settings::Settings;
use std::collections::BTreeMap;

/// The numbered names of the files that are not complete.
#[derive(Default)]
pub(super) struct UrlNames {
    names: Option<RunNames>,
    /// The number of jobs for which [`UrlNames::reserve`] was called.
    jobs: u64,
    /// The numbered names. Each key is the number of a job.
    numbered: BTreeMap<u64, SafeName>,
}

impl UrlNames {
    /// Returns a value without names, for a run with these settings.
    pub(super) fn new(settings: &Settings) -> UrlNames {
        UrlNames { names: Some(RunNames::new(settings)), ..UrlNames::default() }
    }

    /// Reserves the name of the next job of the input. Returns the name if it got a number.
    pub(super) fn reserve(&mut self, job: &Result<Box<Job>, Error>) -> Option<SafeName> {
        self.jobs += 1;
        let name = self.names.as_mut()?.next(job.as_ref().ok()?)?;
        self.numbered.insert(self.jobs, name.clone());
        Some(name)
    }

    /// Returns the name of the file of a job, if the name got a number. `number` is the number of the job. If
    /// the session did not get the job, its name is reserved now, so this function must be called for such
    /// jobs in the order of the input.
    pub(super) fn of(&mut self, number: u64, job: &Result<Box<Job>, Error>) -> Option<SafeName> {
        match number <= self.jobs {
            true => self.numbered.get(&number).cloned(),
            false => self.names.as_mut()?.next(job.as_ref().ok()?),
        }
    }

    /// Forgets the name of the file of a job for which nothing is left to do.
    pub(super) fn forget(&mut self, job: JobId) {
        self.numbered.remove(&job.get());
    }
}

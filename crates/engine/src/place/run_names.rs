//! [`RunNames`]: finds the names that the files of a run get before the first response, without a session.

use super::job_paths::JobPaths;
use super::taken::Reserved;
use crate::checked::usable;
use downhaul_core::event::JobId;
use downhaul_core::job::{Destination, Job};
use downhaul_core::name::SafeName;
use downhaul_core::settings::Settings;
use std::sync::Arc;

/// Finds the names that a session reserves for its jobs before the first response.
#[doc(hidden)]
pub struct RunNames {
    paths: JobPaths,
    /// The number of jobs whose names were reserved.
    jobs: u64,
}

impl RunNames {
    /// Returns a value without names, for a session with these settings.
    pub fn new(settings: &Settings) -> RunNames {
        RunNames { paths: JobPaths::new(Arc::new(usable(settings.clone()))), jobs: 0 }
    }

    /// Reserves the name of the next job, in the order in which a session gets the jobs. Returns the name
    /// below the output folder if it differs from the result of
    /// [`name_for`](downhaul_core::name::Naming::name_for), because other jobs have that name. Otherwise
    /// returns `None`. If an earlier job downloads the same file, the name of that job counts as the name of
    /// this job.
    pub fn next(&mut self, spec: &Job) -> Option<SafeName> {
        self.jobs += 1;
        let id = JobId::new(self.jobs);
        let reserved = self.paths.reserve(id, spec, &self.paths.wished(spec)?);
        let path = match reserved {
            Reserved::Path => self.paths.taken.of(id),
            Reserved::Same(path) => Some(path),
            Reserved::Taken => None,
        };
        self.paths.over(id, false);
        let settings = &self.paths.settings;
        let path = path.filter(|_| spec.destination == Destination::Server)?;
        let name = path.strip_prefix(settings.output_of(spec)).ok()?.to_str()?.replace('\\', "/");
        let plain = settings.naming.name_for(spec, None)?;
        SafeName::from_person(&name).ok().filter(|name| *name.as_str() != *plain.as_str())
    }
}

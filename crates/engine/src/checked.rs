//! Checks the settings and the jobs that a program passes to a session.

use downhaul_core::error::{Error, ErrorKind};
use downhaul_core::job::Job;
use downhaul_core::settings::Settings;
use downhaul_core::show;

/// Returns the settings with values that a session can use.
pub(crate) fn usable(mut settings: Settings) -> Settings {
    // Without this setting, a name such as `C:x` could lead out of the output folder on Windows.
    settings.naming.windows |= cfg!(windows);
    // With 0, no job would ever start.
    settings.parallel = settings.parallel.map(|jobs| jobs.max(1));
    settings.max_per_host = settings.max_per_host.max(1);
    settings.max_connections = settings.max_connections.max(1);
    settings
}

/// Returns the job without the white space around the names and values of its headers, or an error if one of
/// its headers cannot be sent. A request without that header would often fail for a reason that is hard to
/// find.
pub(crate) fn with_headers(mut job: Box<Job>) -> Result<Box<Job>, Error> {
    let invalid = |why| Error::new(ErrorKind::UrlInvalid, show::url(&job.urls[0]), why);
    let headers = job.headers.checked().map_err(invalid)?;
    let user_headers = job.user_headers.checked().map_err(invalid)?;
    (job.headers, job.user_headers) = (headers, user_headers);
    Ok(job)
}

/// Returns the job, unless it has no URL.
pub(crate) fn with_url(job: Box<Job>) -> Result<Box<Job>, Error> {
    let missing = || Error::new(ErrorKind::UrlInvalid, "", "the job has no URL");
    if job.urls.is_empty() { Err(missing()) } else { Ok(job) }
}

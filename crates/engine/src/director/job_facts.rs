//! Facts about a job that several parts of the director need. They follow from the job and the settings.

use downhaul_core::job::{Headers, Job};
use downhaul_core::settings::Settings;
use std::path::Path;
use std::sync::Arc;

/// Returns the name or the address of the host of a source, without the port.
pub(super) fn host_of(spec: &Job, source: usize) -> &str {
    spec.urls.get(source).and_then(|url| url.host_str()).unwrap_or_default()
}

/// Returns the headers of a job for a request to one of its sources, or `None` if there are none.
pub(crate) fn headers_of(job: &Job, settings: &Settings, source: usize) -> Option<Arc<Headers>> {
    let is_given = || job.urls.get(source).is_some_and(|url| job.is_given(settings, url));
    let mut headers = job.headers.clone();
    if !job.user_headers.0.is_empty() && is_given() {
        headers.0.extend(job.user_headers.0.iter().cloned());
    }
    (!headers.0.is_empty()).then(|| Arc::new(headers))
}

/// Returns the size of a file in bytes, if its list states the size. In JSON lines and lock files, the size
/// is one of the keys that are kept in [`Job::extra`].
pub(crate) fn listed_size(spec: &Job) -> Option<u64> {
    spec.size.or_else(|| spec.extra.get("size")?.as_u64())
}

/// Returns the last part of a path as text for the user.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

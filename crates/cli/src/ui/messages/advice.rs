//! Chooses the advice of [`hints`] after the failure of a download. The choice depends on the failure, the
//! options and the URL.

use super::{Known, Messages};
use crate::args::{self, Args};
use crate::asks::Asks;
use crate::hints;
use crate::input;
use crate::platform;
use crate::words;
use downhaul_engine::core::containers::Form;
use downhaul_engine::core::event::Failure;

impl Messages<'_> {
    /// Returns advice that needs more than the error code: the URL, the options, or the text of the failure.
    pub(super) fn more_advice(&self, known: &Known, error: &Failure) -> Option<String> {
        let Known { url, assumed_https, .. } = known;
        let globs = self.args.is_none_or(|args| args.output.glob);
        let http = self.args.map(|args| &args.options.http);
        let logs_in = http.is_some_and(|http| http.user.is_some() || http.bearer.is_some());
        let sends = logs_in || http.is_some_and(|http| !http.headers.is_empty());
        let assumed = if *assumed_https { hints::for_assumed_scheme(&error.code, url) } else { None };
        let pattern = if globs { None } else { hints::for_pattern(&error.code, url) };
        let redirected = if sends { hints::for_redirect(&error.code, url, &error.at, logs_in) } else { None };
        let output = self.output();
        let no_resume = self.args.is_some_and(|args| args.existing.no_resume);
        let can_resume = output.is_none() && !no_resume && !self.args.is_some_and(Asks::is_special);
        let expired = || {
            let advice = |url: &str| hints::for_signed_url(&error.code, url, can_resume);
            advice(url).or_else(|| advice(&error.at))
        };
        let output = output.and_then(|output| hints::for_output(&error.code, &output));
        let wrong = hints::is_wrong_on_disk(error).then(|| hints::WRONG_ON_DISK.to_string());
        let refused = hints::for_refused_login(&error.code, &error.message)
            .or_else(|| hints::for_digest_only(&error.code, &error.message))
            .or_else(|| hints::for_no_proxy(&error.code, &error.message));
        let of_proxy = hints::for_login_of_proxy(&error.code, &error.message);
        let older = hints::for_old_tls(&error.code, &error.message);
        let of_option = hints::for_option(&error.code, &error.message);
        let elsewhere = || hints::for_login_elsewhere(error, url);
        let is_other = |args: &Args| Asks::is_special(args) || args.options.http.range.is_some();
        let allows_continue =
            !no_resume && self.args.is_none_or(|args| !is_other(args) && !args.existing.adopt);
        let exists = hints::for_existing_file(error, allows_continue);
        let looks_beside = |args: &Args| {
            let verify = args.options.verification.verify;
            matches!(verify, args::Verify::Find | args::Verify::Listed | args::Verify::Require)
        };
        let unsigned = hints::for_missing_signature(&error.code, self.args.is_none_or(looks_beside));
        let inside = self.form().and_then(|form| hints::for_file_in_container(error, form));
        inside
            .or(wrong)
            .or(output)
            .or(exists)
            .or(unsigned)
            .or_else(|| for_changed_partial_file(&error.code, &error.message))
            .or_else(|| hints::for_unreadable_line(&error.code, &error.message))
            .or_else(|| hints::for_pinned_host_over_http(&error.code, &error.message))
            .or_else(|| hints::for_changed_scheme(&error.code, url, &error.at))
            .or(of_option)
            .or(assumed)
            .or(older)
            .or(of_proxy)
            .or(refused)
            .or(redirected)
            .or_else(expired)
            .or(pattern)
            .or_else(elsewhere)
    }

    /// Returns the name of the output to which the file is written: standard output, a pipe or a device.
    /// Returns `None` for a regular file.
    pub(super) fn output(&self) -> Option<String> {
        let output = &self.args?.output;
        let path = output.save_as.as_deref()?;
        match input::is_stdout(path) {
            true => Some("standard output".into()),
            false => platform::pipe_or_device(path, &output.folder).map(|path| words::path(&path)),
        }
    }

    /// Returns the form of the containers into which the files are put, or `None` without containers.
    pub(super) fn form(&self) -> Option<Form> {
        self.args?.output.containers().map(|(names, _)| names.form())
    }
}

/// Returns advice if another program changed or removed a partial file.
fn for_changed_partial_file(code: &str, message: &str) -> Option<String> {
    (code == "disk.failed" && message.contains("another program"))
        .then(|| "Run the same command again, and let no other program change the files of a run.".into())
}

//! Reads the options that request something other than a whole file by GET: `--request`, `--data`, `--json`
//! and `--range`.
//!
//! Invariant: a method or a body of these options is sent only to URLs that may get the headers of the user.
//! A job that has no such URL fails, because a GET would download another file.

use crate::args::{Args, BodyOption, Command, Verify};
use crate::given;
use crate::words;
use downhaul_engine::core::error::{Error, ErrorKind};
use downhaul_engine::core::job::{Body, ByteRange, Job, Sends, Url};
use downhaul_engine::core::settings::Settings;
use downhaul_engine::core::shard::hash_of_request;
use downhaul_engine::core::show;

/// The maximum length of a file that has a body or a part of a body, in bytes. Bodies are kept in memory, and
/// usual requests have far smaller bodies.
const LONGEST: usize = 16 << 20;

/// The method and the body that are sent, and the range that is requested.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asks {
    sends: Option<Sends>,
    range: Option<ByteRange>,
}

impl Asks {
    /// Reads the options and the files of the body.
    ///
    /// # Errors
    /// Returns what is wrong, in words for the user. The text contains no part of the body.
    pub(crate) fn of(args: &Args) -> Result<Asks, String> {
        let http = &args.options.http;
        // As in curl, an ampersand joins the parts of a form, and nothing joins the parts of JSON.
        let data = joined(&http.data, "--data", b"&")?;
        let data = data.map(|body| (body, "application/x-www-form-urlencoded"));
        let json = joined(&http.json, "--json", b"")?.map(|body| (body, "application/json"));
        let body = data.or(json);
        let default = if body.is_some() { "POST" } else { "GET" };
        let method = http.request.as_deref().unwrap_or(default);
        let is_plain = method == "GET" && body.is_none();
        let sends = (!is_plain).then(|| Sends::new(method, body)).transpose()?;
        Ok(Asks { sends, range: http.range })
    }

    /// Puts the method, the body and the range into a job. `settings` are the settings of the session.
    ///
    /// # Errors
    /// Returns the error `list.file` if no URL of the job may get the request.
    pub(crate) fn apply(&self, job: Box<Job>, settings: &Settings) -> Result<Box<Job>, Error> {
        let mut job = match &self.sends {
            Some(sends) => with_sends(job, sends, settings)?,
            None => job,
        };
        if let Some(range) = self.range {
            *job = job.with_range(range);
        }
        Ok(job)
    }

    /// Returns a hash of the method, the body and the range ([`hash_of_request`]).
    pub(crate) fn hash(&self) -> String {
        hash_of_request(self.sends.as_ref(), self.range)
    }

    /// Returns true if the request has a body, or a method other than GET. Such a request may change
    /// something on the server each time it is sent.
    pub(crate) fn is_special(args: &Args) -> bool {
        let http = &args.options.http;
        !http.data.is_empty()
            || !http.json.is_empty()
            || http.request.as_deref().is_some_and(|one| one != "GET")
    }
}

/// Sets the request of a job, and removes the URLs that may not get it.
fn with_sends(mut job: Box<Job>, sends: &Sends, settings: &Settings) -> Result<Box<Job>, Error> {
    let all = std::mem::take(&mut job.urls);
    let may_get_it = |url: &Url| job.is_given(settings, url);
    let (urls, others): (Vec<Url>, Vec<Url>) = all.into_iter().partition(may_get_it);
    let method = sends.method();
    let others = others.iter().map(show::url).collect::<Vec<_>>();
    if urls.is_empty() {
        let why = format!("a {method} request is not sent to a server that only a document names");
        return Err(Error::new(ErrorKind::ListFile, others.into_iter().next().unwrap_or_default(), why));
    }
    if !others.is_empty() {
        let others = others.join(" and ");
        job.notes.push(format!("the {method} request is not sent to {others}, which only a document names"));
    }
    job.urls = urls;
    *job = job.with_sends(sends.clone());
    Ok(job)
}

/// Returns the bodies of an option, joined in their order. `between` is the text between two bodies.
fn joined(options: &[BodyOption], name: &str, between: &[u8]) -> Result<Option<Body>, String> {
    let bodies = options.iter().map(|option| body(option, name)).collect::<Result<Vec<_>, _>>()?;
    Ok((!bodies.is_empty()).then(|| Body::new(bodies.join(between))))
}

fn body(option: &BodyOption, name: &str) -> Result<Vec<u8>, String> {
    match option {
        BodyOption::Text(body) => Ok(body.expose().to_vec()),
        BodyOption::File(path) => given::read(path, LONGEST)
            .map_err(|e| format!("{name} @{}: it cannot be read: {e}", words::file_of_secret(path))),
    }
}

/// Returns the reason why the options contradict each other, or `None` if there is no contradiction.
pub(crate) fn contradiction(args: &Args) -> Option<String> {
    let http = &args.options.http;
    let repairs = matches!(args.command, Some(Command::Repair(_)));
    let (find, listed, require) = (Verify::Find, Verify::Listed, Verify::Require);
    if repairs && (Asks::is_special(args) || http.range.is_some()) {
        return Some("repair cannot be used with --request, --data, --json or --range".into());
    }
    let of_a_certificate =
        [("--key names", http.key.is_some()), ("--key-password decrypts", http.key_password.is_some())];
    if let Some((option, _)) = of_a_certificate.iter().find(|(_, given)| *given && http.cert.is_none()) {
        return Some(format!(
            "{option} the key of a client certificate, so --cert must name that certificate"
        ));
    }
    if http.range.is_some() && args.existing.adopt && !args.config.sets("continue") {
        return Some("--continue is for whole files, and cannot be used with --range".into());
    }
    if http.range.is_some() && [find, listed, require].contains(&args.options.verification.verify) {
        return Some(
            "--verify find, listed and require need digests of whole files, and cannot be used with --range"
                .into(),
        );
    }
    None
}

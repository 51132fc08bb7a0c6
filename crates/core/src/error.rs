//! The list of all kinds of failures, with stable codes.
//!
//! The [`ErrorKind`] decides:
//!
//! - if a failure is retried ([`Retry`]), except for failures with [`Error::again`];
//! - in which area the cause is ([`Blame`], which decides the exit status);
//! - what the failure affects ([`Scope`]);
//! - what the failure shows about its source ([`SourceVerdict`]);
//! - what happens to written bytes ([`WrittenBytes`]);
//! - what the same command would do in another run ([`NextRun`]);
//! - which code programs see ([`ErrorKind::code`]).
//!
//! Explanations and hints for users are in the CLI crate. `docs/errors.md` is generated from this list.
//!
//! This file is long because it is the list of all kinds of failures.

use std::fmt;
use std::time::Duration;

/// Decides if a failure is retried. `--on-error` can say that the user is asked before each retry, or that
/// there are no retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The failure is retried, because the next attempt may succeed.
    Again,
    /// The failure is retried only if the user says so, because the next attempt would probably fail in the
    /// same way.
    Person,
    /// The failure is never retried, because a retry would fail too, or is not wanted.
    Never,
}

/// The area in which a failure happened. It decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The network or the server.
    Remote,
    /// The content: it is not the right one, or it cannot be verified as the settings require.
    Content,
    /// The disk of this machine, or a file or a folder on it.
    Disk,
    /// The request: a URL, an option or a name.
    Request,
    /// The user or the system stopped the run.
    Stopped,
}

/// The part of a job that a failure of one connection affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The failure ends this connection. Other connections of the job may continue.
    Connection,
    /// The failure ends the attempt of the whole job, because its cause is the file or this machine.
    Job,
}

/// The conclusion that a failure allows about its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceVerdict {
    /// No conclusion, because the failure may be temporary, or because the source is not the cause.
    Silent,
    /// The host refuses on purpose: it accepts no more connections, or it does not send the file.
    Refuses,
    /// The source seems to have other bytes, or does not send the requested range of the file.
    Differs,
}

/// The effect of a failure on the bytes that are already written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenBytes {
    /// The written bytes stay valid.
    Keep,
    /// The written bytes are discarded, because they may be wrong or belong to another version.
    Discard,
}

/// The expected result of the same command in another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRun {
    /// The command may succeed, or get further.
    May,
    /// The command fails in the same way until something is changed: the command itself, something on this
    /// machine, or the server.
    Fails,
}

macro_rules! kinds {
    ($(
        $variant:ident $code:literal $retry:ident $blame:ident $scope:ident $source:ident $bytes:ident $next:ident
        $meaning:literal;
    )*) => {
        /// The kind of a failure. The code (see [`ErrorKind::code`]) never changes after a release.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $(#[doc = $meaning] $variant,)* }

        impl ErrorKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$variant,)*];

            /// Returns the stable code, as in JSON events and the log: `group.what`.
            pub fn code(self) -> &'static str { match self { $(ErrorKind::$variant => $code,)* } }

            /// Returns the meaning of the kind, as a short phrase.
            pub fn meaning(self) -> &'static str { match self { $(ErrorKind::$variant => $meaning,)* } }

            /// Returns the rule by which failures of this kind are usually retried. [`Error::retry`] decides
            /// for one failure.
            pub fn retry(self) -> Retry { match self { $(ErrorKind::$variant => Retry::$retry,)* } }

            /// Returns the area of failures of this kind.
            pub fn blame(self) -> Blame { match self { $(ErrorKind::$variant => Blame::$blame,)* } }

            /// Returns the part of a job that a failure of this kind affects.
            pub fn scope(self) -> Scope { match self { $(ErrorKind::$variant => Scope::$scope,)* } }

            /// Returns what a failure of this kind shows about its source.
            pub fn source_verdict(self) -> SourceVerdict {
                match self { $(ErrorKind::$variant => SourceVerdict::$source,)* }
            }

            /// Returns what happens to the bytes that are already written.
            pub fn written_bytes(self) -> WrittenBytes {
                match self { $(ErrorKind::$variant => WrittenBytes::$bytes,)* }
            }

            /// Returns what the same command would do in another run.
            pub fn next_run(self) -> NextRun { match self { $(ErrorKind::$variant => NextRun::$next,)* } }

            /// Returns the kind with this code, or `None` if there is no such code in this version.
            pub fn of_code(code: &str) -> Option<ErrorKind> {
                ErrorKind::ALL.iter().copied().find(|kind| kind.code() == code)
            }
        }
    };
}

kinds! {
    // kind           code                     retry  blame   scope      source  bytes   next run
    UrlInvalid        "url.invalid"            Never  Request Connection Silent  Keep    Fails
        "the URL cannot be understood";
    UrlScheme         "url.scheme"             Never  Request Connection Silent  Keep    Fails
        "only http and https are supported";
    ListLine          "list.line"              Never  Request Connection Silent  Keep    Fails
        "this line of the list cannot be understood";
    ListUnreadable    "list.unreadable"        Never  Request Connection Silent  Keep    Fails
        "the list cannot be read to its end";
    ListFile          "list.file"              Never  Request Connection Silent  Keep    Fails
        "this file of the list cannot be downloaded";
    NameUnsafe        "name.unsafe"            Never  Request Connection Silent  Keep    Fails
        "the name is not safe as a file name";
    NameTaken         "name.taken"             Never  Request Connection Silent  Keep    Fails
        "another file of this run has the same name, or the name cannot be used";
    DnsUnresolved     "dns.unresolved"         Again  Remote  Connection Silent  Keep    May
        "the host name cannot be resolved";
    ConnectRefused    "connect.refused"        Again  Remote  Connection Refuses Keep    May
        "the connection was refused";
    ConnectTimeout    "connect.timeout"        Again  Remote  Connection Silent  Keep    May
        "no connection was made within --connect-timeout";
    ConnectFailed     "connect.failed"         Again  Remote  Connection Silent  Keep    May
        "the host cannot be reached";
    ProxyInvalid      "proxy.invalid"          Never  Request Connection Silent  Keep    Fails
        "the proxy for this URL cannot be used";
    ProxyUnreachable  "proxy.unreachable"      Again  Remote  Connection Silent  Keep    May
        "the proxy cannot be reached";
    ProxyLogin        "proxy.login"            Person Remote  Connection Silent  Keep    Fails
        "the proxy requires a login";
    ProxyRefused      "proxy.refused"          Person Remote  Connection Silent  Keep    Fails
        "the proxy refuses to connect to the server";
    ProxyFailed       "proxy.failed"           Again  Remote  Connection Silent  Keep    May
        "the proxy could not connect to the server";
    TlsExpired        "tls.expired"            Person Remote  Connection Silent  Keep    Fails
        "the server's certificate has expired or is not yet valid";
    TlsWrongHost      "tls.wrong_host"         Person Remote  Connection Silent  Keep    Fails
        "the server's certificate is for another host";
    TlsUntrusted      "tls.untrusted"          Person Remote  Connection Silent  Keep    Fails
        "the server's certificate is not signed by a trusted authority";
    TlsPin            "tls.pin"                Person Remote  Connection Silent  Keep    Fails
        "the server's key is not one of the pinned keys";
    TlsClient         "tls.client"             Never  Request Connection Silent  Keep    Fails
        "the client certificate or its key cannot be used";
    TlsClientRefused  "tls.client_refused"     Person Remote  Connection Silent  Keep    Fails
        "the server requires a client certificate, and got none that it accepts";
    TlsOutdated       "tls.outdated"           Person Remote  Connection Silent  Keep    Fails
        "the server offers only TLS versions or ciphers that are not considered safe";
    TlsMissing        "tls.missing"            Person Remote  Connection Silent  Keep    Fails
        "the server does not use TLS on this port";
    TlsFailed         "tls.failed"             Again  Remote  Connection Silent  Keep    May
        "no secure connection could be made";
    NetReset          "net.reset"              Again  Remote  Connection Silent  Keep    May
        "the connection broke";
    NetSilent         "net.silent"             Again  Remote  Connection Silent  Keep    May
        "no data arrived from the server";
    NetSlow           "net.slow"               Again  Remote  Connection Silent  Keep    May
        "the connection was too slow";
    HttpMalformed     "http.malformed"         Person Remote  Connection Silent  Keep    Fails
        "the server's response is not valid HTTP";
    HttpVersion       "http.version"           Person Remote  Connection Silent  Keep    Fails
        "the server does not support the requested version of HTTP";
    HttpTruncated     "http.truncated"         Again  Remote  Connection Silent  Keep    May
        "the body ended before its announced end";
    HttpTooLong       "http.too_long"          Person Remote  Connection Silent  Keep    Fails
        "the list, signature or document is too long";
    HttpUnauthorized  "http.unauthorized"      Person Remote  Connection Refuses Keep    Fails
        "the server requires a login";
    HttpForbidden     "http.forbidden"         Person Remote  Connection Refuses Keep    Fails
        "the server forbids access";
    HttpNotFound      "http.not_found"         Person Remote  Connection Refuses Keep    Fails
        "there is no such file on the server";
    HttpGone          "http.gone"              Person Remote  Connection Refuses Keep    Fails
        "the file was removed from the server";
    HttpBusy          "http.busy"              Again  Remote  Connection Refuses Keep    May
        "the server asks for fewer requests or is overloaded";
    HttpLater         "http.later"             Never  Remote  Connection Refuses Keep    May
        "the server asks for a longer wait than downhaul allows";
    HttpServer        "http.server"            Again  Remote  Connection Silent  Keep    May
        "the server failed";
    HttpStatus        "http.status"            Person Remote  Connection Refuses Keep    Fails
        "the server answered with an unusable status";
    HttpRangeIgnored  "http.range_ignored"     Again  Remote  Connection Differs Discard May
        "the server sent the whole file instead of the requested range";
    HttpNoRanges      "http.no_ranges"         Person Remote  Connection Refuses Keep    Fails
        "the server does not send the range that is needed";
    HttpRangeWrong    "http.range_wrong"       Again  Remote  Connection Differs Discard May
        "the server sent another range than the requested one";
    HttpRangePast     "http.range_past"        Again  Remote  Connection Differs Discard May
        "the server's file ends before the requested range";
    HttpRangeBeyond   "http.range_beyond"      Person Remote  Connection Refuses Keep    Fails
        "the server's file ends before the range of --range begins";
    HttpEncoding      "http.encoding"          Again  Remote  Connection Differs Discard May
        "the response cannot be used because of its content coding";
    ContentCoding     "content.coding"         Person Remote  Connection Silent  Keep    Fails
        "the compressed content cannot be decoded";
    RedirectLoop      "redirect.too_many"      Person Remote  Connection Silent  Keep    Fails
        "there are too many redirects";
    RedirectDowngrade "redirect.downgrade"     Person Remote  Connection Silent  Keep    Fails
        "a redirect leads from https to http";
    RedirectScheme    "redirect.scheme"        Person Remote  Connection Silent  Keep    Fails
        "a redirect leads to a URL that is not http or https";
    RedirectPrivate   "redirect.private"       Person Remote  Connection Silent  Keep    Fails
        "a redirect, a document or the name of a public server leads to a private address";
    RedirectInvalid   "redirect.invalid"       Person Remote  Connection Silent  Keep    Fails
        "a redirect has no valid target, or must not be followed with this request";
    RemoteChanged     "remote.changed"         Again  Remote  Job        Differs Discard May
        "the file changed on the server during the download";
    RemoteOther       "remote.other"           Again  Remote  Connection Refuses Keep    May
        "the server now sends something other than the file, such as a login page";
    ResumeUnproven    "resume.unproven"        Again  Remote  Connection Silent  Keep    Fails
        "nothing shows that the bytes of the partial file belong to the server's file";
    ResumeDamaged     "resume.damaged"         Never  Request Job        Silent  Keep    Fails
        "the file that another tool left unfinished does not match the server's file";
    ResumeRefused     "resume.refused"         Never  Request Connection Silent  Keep    Fails
        "the file that another tool left unfinished cannot be continued";
    JobMaxTime        "job.max_time"           Never  Remote  Connection Silent  Keep    May
        "the download took longer than --max-time";
    DigestMismatch    "digest.mismatch"        Person Content Job        Differs Discard May
        "the content does not match its digest";
    DigestPart        "digest.part"            Again  Content Job        Differs Keep    May
        "a chunk of the content does not match its digest";
    DigestMissing     "digest.missing"         Person Content Job        Silent  Keep    Fails
        "no strong digest is known for this file";
    DigestUnlisted    "digest.unlisted"        Person Content Job        Silent  Keep    Fails
        "no checksum list has a usable digest of this file";
    DigestList        "digest.list"            Person Remote  Connection Silent  Keep    May
        "the checksum list could not be fetched or used";
    SignatureMissing  "signature.missing"      Person Content Job        Silent  Keep    Fails
        "a required signature is missing";
    SignatureWrong    "signature.wrong"        Person Content Job        Silent  Discard Fails
        "the signature does not match this content and key";
    ContentHtml       "content.html"           Person Content Job        Silent  Keep    Fails
        "the server sent an HTML page instead of the file";
    ContentPointer    "content.pointer"        Person Content Job        Silent  Keep    Fails
        "the server sent a Git LFS pointer instead of the file";
    FileExists        "file.exists"            Never  Request Connection Silent  Keep    Fails
        "a file of this name already exists";
    FileIsFolder      "file.is_folder"         Never  Disk    Job        Silent  Keep    Fails
        "a folder is where the file should be";
    FileIsDevice      "file.is_device"         Never  Disk    Job        Silent  Keep    Fails
        "a pipe or a device is where the file should be";
    FolderIsFile      "folder.is_file"         Never  Disk    Job        Silent  Keep    Fails
        "a file is where a folder should be";
    FileLocked        "file.locked"            Never  Request Connection Silent  Keep    May
        "another run is working on this file";
    DiskFull          "disk.full"              Person Disk    Job        Silent  Keep    May
        "the disk is full";
    DiskPermission    "disk.permission"        Person Disk    Job        Silent  Keep    May
        "there is no permission to write to this folder or file";
    DiskTooLarge      "disk.too_large"         Person Disk    Job        Silent  Keep    May
        "the file is larger than this disk or a limit of the system allows";
    DiskTooManyFiles  "disk.too_many_files"    Person Disk    Job        Silent  Keep    May
        "too many files are open";
    DiskFailed        "disk.failed"            Person Disk    Job        Silent  Keep    May
        "the file could not be read or written";
    OutputClosed      "output.closed"          Never  Request Job        Silent  Keep    May
        "the program that reads the output has ended";
    OutputStarted     "output.started"         Never  Remote  Job        Silent  Keep    May
        "bytes that were already written to the output cannot be taken back";
    OutputBinary      "output.binary"          Never  Request Connection Silent  Keep    Fails
        "the content is binary, and standard output is a terminal";
    RunStopped        "run.stopped"            Never  Stopped Connection Silent  Keep    May
        "the run was stopped before this file was complete";
    JobRemoved        "job.removed"            Never  Stopped Connection Silent  Keep    May
        "the job was removed from the run";
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One failure: its kind, its place, and the message of the system or the server.
///
/// `at` and `detail` may contain text from a server. The screen and the log escape this text before they show
/// it. `at` and `detail` contain no secrets of URLs, because URLs are added through [`crate::show`].
///
/// [`source`](std::error::Error::source) returns `None`, and the cause is kept as text in `detail`. The
/// reason is that failures are cloned, compared and written as JSON, which is not possible with a boxed
/// error. Programs should use [`kind`](Error::kind) for decisions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct Error {
    /// The kind of the failure.
    pub kind: ErrorKind,
    /// The place of the failure: a URL without secrets, an address, or a path. It may be empty.
    pub at: String,
    /// The message of the system or the server about the failure. It may be empty.
    pub detail: String,
    /// The pause that the host needs before the next request, if any.
    pub pause: Option<Pause>,
    /// True if this failure is retried as [`Retry::Again`], although its kind has [`Retry::Person`]. There
    /// are two reasons: after a redirect another server may answer, or the user named this status
    /// (`--retry-on`).
    pub again: bool,
    /// The size of the server's file in bytes, if the refusal of a range states this size (RFC 9110, section
    /// 15.5.17).
    pub size: Option<u64>,
    /// The HTTP status of the response, if it is the reason for the failure. No decision about the job
    /// depends on which status it is.
    pub http_status: Option<u16>,
}

/// A pause that a host needs. It does not count as a retry. While no new byte arrives, the number of pauses
/// and the time in which they may begin are limited, except for [`Why::Shared`]. When no pause is left, a
/// failure costs a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The length of the pause, from the moment of the failure.
    pub wait: Duration,
    /// The reason why the pause is needed.
    pub why: Why,
}

/// The reason for a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The response named a time, in `Retry-After` or in the headers of a quota that is used up.
    Asked,
    /// The host had asked for the pause before, so no request was sent.
    Known,
    /// The host refused the request without naming a time, but it serves other connections. It probably gets
    /// too many requests in a second.
    Shared,
    /// The host refused or closed the first connection of a file while it serves other files. It probably has
    /// as many connections as it serves at the same time.
    Full,
    /// The host seems to ban this client: it has refused requests or closed connections since connections
    /// were added.
    Banned,
}

impl Error {
    /// Returns an error of this kind. `at` is the place of the failure, and `detail` is the message of the
    /// system or the server.
    pub fn new(kind: ErrorKind, at: impl Into<String>, detail: impl Into<String>) -> Self {
        let (at, detail) = (at.into(), detail.into());
        Error { kind, at, detail, pause: None, again: false, size: None, http_status: None }
    }

    /// Sets the pause that the host needs before the next request.
    #[must_use]
    pub fn with_pause(mut self, pause: Pause) -> Self {
        self.pause = Some(pause);
        self
    }

    /// Returns the rule by which this failure is retried.
    pub fn retry(&self) -> Retry {
        match self.kind.retry() {
            Retry::Person if self.again => Retry::Again,
            retry => retry,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.meaning())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if !self.at.is_empty() {
            write!(f, " ({})", self.at)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = std::collections::HashSet::new();
        for kind in ErrorKind::ALL {
            assert!(seen.insert(kind.code()), "{} twice", kind.code());
            let (group, what) = kind.code().split_once('.').expect("group.what");
            assert!([group, what].iter().all(|s| s.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
        }
    }
}

//! Everything that can go wrong, as one flat list with stable codes.
//!
//! A [`ErrorKind`] alone decides whether a failure is tried again ([`Retry`]), who is to blame ([`Blame`], which
//! gives the exit status), and which code programs see. Wording for people and hints live in the command
//! line, not here. `docs/errors.md` is generated from this list.

use std::fmt;
use std::time::Duration;

/// Whether a failed try is worth another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The next try may well succeed: the world outside was in a bad mood.
    Again,
    /// The same will happen again unless a person changes something; only a person's word tries again.
    Person,
    /// Nothing about a new try would differ.
    Never,
}

/// Who has to act; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The line or the server.
    Remote,
    /// The bytes arrived and are not what they should be.
    Content,
    /// The disk or folder here.
    Disk,
    /// What was asked for.
    Request,
    /// The person or the system stopped the run.
    Stopped,
}

macro_rules! kinds {
    ($($variant:ident $code:literal $retry:ident $blame:ident $meaning:literal;)*) => {
        /// The kind of a failure. The code (see [`ErrorKind::code`]) never changes once released.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $(#[doc = $meaning] $variant,)* }

        impl ErrorKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$variant,)*];

            /// The stable code, as in JSON events and the log: `group.what`.
            pub fn code(self) -> &'static str { match self { $(ErrorKind::$variant => $code,)* } }

            /// What it means, as a short phrase.
            pub fn meaning(self) -> &'static str { match self { $(ErrorKind::$variant => $meaning,)* } }

            /// Whether a new try is worth it, in general. [`Error::retry`] says it of one failure.
            pub fn retry(self) -> Retry { match self { $(ErrorKind::$variant => Retry::$retry,)* } }

            /// Who has to act.
            pub fn blame(self) -> Blame { match self { $(ErrorKind::$variant => Blame::$blame,)* } }
        }
    };
}

kinds! {
    UrlInvalid        "url.invalid"            Never  Request "the URL cannot be understood";
    UrlScheme         "url.scheme"             Never  Request "only http and https are supported";
    ListLine          "list.line"              Never  Request "this line of the list cannot be understood";
    ListFile          "list.file"              Never  Request "this file of the Metalink document cannot be downloaded";
    NameUnsafe        "name.unsafe"            Never  Request "the name is not safe as a file name";
    NameTaken         "name.taken"             Never  Request "another file of this run has the same name";
    DnsUnresolved     "dns.unresolved"         Again  Remote  "the host name cannot be resolved";
    ConnectRefused    "connect.refused"        Again  Remote  "the connection was refused";
    ConnectTimeout    "connect.timeout"        Again  Remote  "no connection within the time allowed";
    ConnectFailed     "connect.failed"         Again  Remote  "the host cannot be reached";
    TlsExpired        "tls.expired"            Person Remote  "the server's certificate has expired or is not yet valid";
    TlsWrongHost      "tls.wrong_host"         Person Remote  "the server's certificate is for another host";
    TlsUntrusted      "tls.untrusted"          Person Remote  "the server's certificate is not signed by a trusted authority";
    TlsOutdated       "tls.outdated"           Person Remote  "the server offers only TLS versions or ciphers that are not considered safe";
    TlsMissing        "tls.missing"            Person Remote  "the server does not speak TLS on this port";
    TlsFailed         "tls.failed"             Again  Remote  "no secure connection could be made";
    NetReset          "net.reset"              Again  Remote  "the connection broke";
    NetSilent         "net.silent"             Again  Remote  "the server fell silent";
    NetSlow           "net.slow"               Again  Remote  "the transfer was slower than --min-speed";
    HttpMalformed     "http.malformed"         Person Remote  "the server's reply is not proper HTTP";
    HttpVersion       "http.version"           Person Remote  "the server does not speak the wanted version of HTTP";
    HttpTruncated     "http.truncated"         Again  Remote  "the body ended before its announced end";
    HttpUnauthorized  "http.unauthorized"      Person Remote  "the server wants a login";
    HttpForbidden     "http.forbidden"         Person Remote  "the server forbids access";
    HttpNotFound      "http.not_found"         Person Remote  "there is no such file on the server";
    HttpGone          "http.gone"              Person Remote  "the file was removed from the server";
    HttpBusy          "http.busy"              Again  Remote  "the server asks for fewer requests or is overloaded";
    HttpLater         "http.later"             Never  Remote  "the server asks to come back later than we wait";
    HttpServer        "http.server"            Again  Remote  "the server failed";
    HttpStatus        "http.status"            Person Remote  "the server answered with an unusable status";
    HttpRangeIgnored  "http.range_ignored"     Again  Remote  "the server does not continue files, so the file starts again";
    HttpRangeWrong    "http.range_wrong"       Again  Remote  "the server sent another range than was asked for";
    HttpRangePast     "http.range_past"        Again  Remote  "the server's file ends before the part that was asked for";
    HttpEncoding      "http.encoding"          Again  Remote  "the server sent a part in another content coding, or in one that cannot be joined";
    ContentCoding     "content.coding"         Person Remote  "the compressed content cannot be decoded";
    RedirectLoop      "redirect.too_many"      Person Remote  "too many redirects";
    RedirectDowngrade "redirect.downgrade"     Person Remote  "a redirect leaves https for http";
    RedirectScheme    "redirect.scheme"        Person Remote  "a redirect leads to something that is not http or https";
    RedirectInvalid   "redirect.invalid"       Person Remote  "a redirect leads nowhere";
    RemoteChanged     "remote.changed"         Again  Remote  "the file changed on the server during the download";
    RemoteOther       "remote.other"           Again  Remote  "the server sends something else now, such as a login page, and not the file";
    ResumeUnproven    "resume.unproven"        Again  Remote  "nothing proves that what an earlier run left belongs to this file";
    ResumeDamaged     "resume.damaged"         Never  Request "the partial file is not a beginning of what the server has";
    ResumeRefused     "resume.refused"         Never  Request "the partial file cannot be continued";
    JobMaxTime        "job.max_time"           Never  Remote  "the file took longer than --max-time";
    DigestMismatch    "digest.mismatch"        Person Content "the content is not what its digest promises";
    DigestPart        "digest.part"            Again  Content "a part of the content is not what its digest promises";
    DigestMissing     "digest.missing"         Person Content "no strong checksum is known for this file";
    DigestUnlisted    "digest.unlisted"        Person Content "no checksum list names this file";
    DigestList        "digest.list"            Person Remote  "the checksum list could not be fetched";
    SignatureMissing  "signature.missing"      Person Content "there is no signature";
    SignatureWrong    "signature.wrong"        Person Content "the signature is not of this content and key";
    ContentHtml       "content.html"           Person Content "an HTML page came where the name promises something else";
    ContentPointer    "content.pointer"        Person Content "a Git LFS pointer came in place of the file that it names";
    FileExists        "file.exists"            Never  Request "a file of this name already exists";
    FileIsFolder      "file.is_folder"         Never  Disk    "a folder is where the file should be";
    FileIsDevice      "file.is_device"         Never  Disk    "a pipe or a device is where the file should be";
    FolderIsFile      "folder.is_file"         Never  Disk    "a file is where a folder should be";
    FileLocked        "file.locked"            Never  Request "another run is working on this file";
    DiskFull          "disk.full"              Person Disk    "the disk is full";
    DiskPermission    "disk.permission"        Person Disk    "the folder or file may not be written";
    DiskTooLarge      "disk.too_large"         Person Disk    "the file is too large for this disk or limit";
    DiskTooManyFiles  "disk.too_many_files"    Person Disk    "too many files are open";
    DiskFailed        "disk.failed"            Person Disk    "the disk failed";
    OutputClosed      "output.closed"          Never  Request "the reader of what is written in order is gone";
    OutputStarted     "output.started"         Never  Remote  "bytes that were already given away cannot be taken back";
    OutputBinary      "output.binary"          Never  Request "the content is binary, and standard output is a terminal";
    JobRemoved        "job.removed"            Never  Stopped "the job was removed from the run";
    RunStopped        "run.stopped"            Never  Stopped "the run was stopped before this file was complete";
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One failure: what kind, where, and what the system or the server said.
///
/// `at` and `detail` may hold remote text: a face escapes them before they reach a screen or a log. They
/// never hold secrets (URLs come in through [`crate::show::url`]).
///
/// [`source`](std::error::Error::source) returns `None`: what caused the failure is kept as text in `detail`, because a
/// failure is cloned, compared, recorded as JSON and replayed, which a boxed error cannot be. Programs decide by
/// [`kind`](Error::kind).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Where: a URL without secrets, an address, or a path. May be empty.
    pub at: String,
    /// What the system or the server said about it. May be empty.
    pub detail: String,
    /// The host shall be asked again, and not before that is over.
    pub pause: Option<Pause>,
    /// The next try may have another answer, although failures of this kind are else tried again on a person's word only: behind a
    /// redirect, another server may answer, or the person named this status beforehand (`--retry-on`).
    pub again: bool,
    /// The size of the server's file in bytes, where a refusal names it (416; RFC 9110, section 15.5.17).
    pub size: Option<u64>,
}

/// A wait that is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// How long to wait from now on.
    pub wait: Duration,
    /// Why.
    pub why: Why,
}

/// Why there is a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The reply named a time (`Retry-After`, or a quota that is used up).
    Asked,
    /// The host had asked for it before, so that nothing was sent.
    Known,
    /// The host refused without naming a time, and serves others: it is asked for too much at once.
    Shared,
    /// The host refuses everything since connections were added.
    Banned,
}

impl Error {
    /// A failure of a kind at a place, with what was said about it.
    pub fn new(kind: ErrorKind, at: impl Into<String>, detail: impl Into<String>) -> Self {
        Error { kind, at: at.into(), detail: detail.into(), pause: None, again: false, size: None }
    }

    /// Sets the pause that the host asks for before it is asked again.
    #[must_use]
    pub fn with_pause(mut self, pause: Pause) -> Self {
        self.pause = Some(pause);
        self
    }

    /// Whether a new try is worth it.
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

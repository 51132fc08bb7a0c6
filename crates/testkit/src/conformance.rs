//! Checks that a source follows the rules in the module `downhaul_engine::source`.
//!
//! The checks use only the trait [`Source`], so a new protocol can be tested before it is used. Each check
//! returns the first broken rule as a sentence. Except in [`check_silence`], no step of a check waits for
//! longer than [`PATIENCE`].

use downhaul_core::error::ErrorKind;
use downhaul_core::identity::Conditions;
use downhaul_engine::source::{Body, Opened, Remote, Request, Source, Span, Validator};
use futures_util::StreamExt;
use futures_util::future::{join_all, poll_immediate};
use std::fmt::Debug;
use std::future::Future;
use std::ops::Range;
use std::time::Duration;
use tokio::time::timeout;

/// The longest time for one step. The sources of tests are on this machine, so a slower source is stuck.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A sentence that says which rule is broken, and how.
pub type Broken = String;

/// The abilities of a protocol, or of its server. The rules depend on these abilities.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// True if the server sends ranges.
    pub ranges: bool,
    /// True if the server states a validator.
    pub validator: bool,
    /// True if the server states the size of the file before the bytes arrive.
    pub size: bool,
}

impl Abilities {
    /// All abilities.
    pub const ALL: Abilities = Abilities { ranges: true, validator: true, size: true };
}

/// Checks a source of a file that has this content and does not change. `able` has the abilities that the
/// source must show. This function requests the whole file, only the facts about the file, and ranges inside
/// the file, at its end and beyond its end. It also sends several requests at once, and drops responses
/// before their end. In a file of at most 3 bytes, it tries only the range beyond the end.
///
/// # Errors
/// Returns the rule that is broken.
pub async fn check_file(source: &dyn Source, content: &[u8], able: Abilities) -> Result<(), Broken> {
    let first = check_everything(source, content, able).await?;
    let second = check_everything(source, content, able).await?;
    equal("the validator of two responses", &second.validator, &first.validator)?;
    check_facts_alone(source, &first, able).await?;
    check_drops(source).await?;
    for range in ranges(content.len() as u64) {
        check_range(source, content, &first, range, able).await?;
    }
    let at_once = ranges(content.len() as u64);
    let at_once = at_once.into_iter().map(|range| check_range(source, content, &first, range, able));
    join_all(at_once).await.into_iter().collect::<Result<(), Broken>>()?;
    check_beyond_the_end(source, content.len() as u64).await
}

/// Checks a source whose file gets the content `after` when `change` is called. If the server states
/// validators, the response with the new bytes must have a new validator. Each range of the new bytes must
/// have this validator too. A request with the old validator must not get the response `Unchanged`.
///
/// # Errors
/// Returns the rule that is broken.
pub async fn check_change(
    source: &dyn Source,
    (before, after): (&[u8], &[u8]),
    able: Abilities,
    change: impl FnOnce(),
) -> Result<(), Broken> {
    let old = check_everything(source, before, able).await?;
    change();
    let new = check_everything(source, after, able).await?;
    if able.validator && new.validator == old.validator {
        return Err(format!("the file changed, and its validator is still {:?}", new.validator));
    }
    for range in ranges(after.len() as u64) {
        check_range(source, after, &new, range, able).await?;
    }
    let Some(conditions) = conditions(&old) else { return Ok(()) };
    let opened = open(source, Request::about(conditions)).await?;
    match opened.remote.span {
        Span::Unchanged => Err("the file changed, and the response to its old validator is Unchanged".into()),
        _ => Ok(()),
    }
}

/// Checks that a request for the whole file, for a range, or for only the facts fails with an error of this
/// kind.
///
/// # Errors
/// Returns the rule that is broken.
pub async fn check_failure(source: &dyn Source, kind: ErrorKind) -> Result<(), Broken> {
    for request in [Request::EVERYTHING, Request::range(1, Some(2)), Request::about(Conditions::default())] {
        match step("open", source.open(request.clone())).await? {
            Ok(_) => return Err(format!("{request:?} has a response, and should fail with {}", kind.code())),
            Err(error) => equal("the kind of the error", &error.kind, &kind)?,
        }
    }
    Ok(())
}

/// Checks a source whose server accepts the request and then sends nothing. Within the time `most`, `open`
/// must return an error of the kind `NetSilent` or `ConnectTimeout`.
///
/// # Errors
/// Returns the rule that is broken.
pub async fn check_silence(source: &dyn Source, most: Duration) -> Result<(), Broken> {
    match timeout(most, source.open(Request::EVERYTHING)).await {
        Err(_) => Err(format!("open does not end after {} s of silence", most.as_secs_f64())),
        Ok(Ok(_)) => Err("open returns a response, although the server sends nothing".into()),
        Ok(Err(error)) if matches!(error.kind, ErrorKind::NetSilent | ErrorKind::ConnectTimeout) => Ok(()),
        Ok(Err(error)) => {
            Err(format!("the error after silence is {}, and should be net.silent", error.kind.code()))
        }
    }
}

/// Checks a source whose body breaks before its end. The body must end with an error, which must not be
/// `url.invalid`, and the bytes that arrived must be the beginning of the file.
///
/// # Errors
/// Returns the rule that is broken.
pub async fn check_cut(source: &dyn Source, content: &[u8]) -> Result<(), Broken> {
    let opened = open(source, Request::EVERYTHING).await?;
    let (bytes, end) = read(opened.body).await?;
    if !content.starts_with(&bytes) {
        return Err("the bytes before the break are not the beginning of the file".into());
    }
    match end {
        Ok(()) => Err(format!("a body that broke after {} bytes ends without an error", bytes.len())),
        Err(error) if error.kind == ErrorKind::UrlInvalid => {
            Err("the error after the break is not the error of a transfer".into())
        }
        Err(_) => Ok(()),
    }
}

async fn check_everything(source: &dyn Source, content: &[u8], able: Abilities) -> Result<Remote, Broken> {
    let Opened { remote, body } = open(source, Request::EVERYTHING).await?;
    equal("the span of the whole file", &remote.span, &Span::Whole)?;
    check_facts(&remote, content.len() as u64, able)?;
    read_exactly(body, content, "everything").await?;
    Ok(remote)
}

/// Checks the facts that each response must have.
fn check_facts(remote: &Remote, size: u64, able: Abilities) -> Result<(), Broken> {
    if able.size || remote.size.is_some() {
        equal("the size", &remote.size, &Some(size))?;
    }
    match able.validator {
        true if remote.validator == Validator::Unknown => Err("the response has no validator".into()),
        false if remote.validator != Validator::Unknown => {
            Err(format!("the source has no validator, but states {:?}", remote.validator))
        }
        _ => Ok(()),
    }
}

/// Checks that a request for only the facts gets a response about the whole file, with the same size as the
/// response with the file. Also checks that a condition with another validator does not lead to `Unchanged`.
async fn check_facts_alone(source: &dyn Source, whole: &Remote, able: Abilities) -> Result<(), Broken> {
    let facts = open(source, Request::about(Conditions::default())).await?.remote;
    equal("the span of a response with only the facts", &facts.span, &Span::Whole)?;
    if able.size {
        equal("the size in a response with only the facts", &facts.size, &whole.size)?;
    }
    if let Some(conditions) = conditions(whole) {
        let remote = open(source, Request::about(conditions)).await?.remote;
        if let Span::Range(range) = remote.span {
            return Err(format!("a request for only the facts is answered with the range {range:?}"));
        }
    }
    let other = Conditions { etag: Some("\"no such tag\"".into()), modified: None };
    let remote = open(source, Request::about(other)).await?.remote;
    equal("the span of a response to a condition with another validator", &remote.span, &Span::Whole)
}

async fn check_range(
    source: &dyn Source,
    content: &[u8],
    whole: &Remote,
    (from, to): (u64, Option<u64>),
    able: Abilities,
) -> Result<(), Broken> {
    let what = format!("the range {from} to {to:?}");
    let Opened { remote, body } = open(source, Request::range(from, to)).await?;
    let size = content.len() as u64;
    check_facts(&remote, size, Abilities { size: false, ..able })?;
    equal(&format!("the validator of {what}"), &remote.validator, &whole.validator)?;
    let span = match (&remote.span, able.ranges) {
        (Span::Range(span), true) => span.clone(),
        (Span::Whole, false) => 0..size,
        (span, _) => return Err(format!("{what} is answered with {span:?}")),
    };
    if span.start > from || span.end <= from || span.end > size {
        return Err(format!("{what} of {size} bytes is answered with {span:?}"));
    }
    if able.ranges && !remote.can_resume {
        return Err(format!("{what} arrived, but can_resume is false"));
    }
    read_exactly(body, slice(content, span), &what).await
}

async fn check_beyond_the_end(source: &dyn Source, size: u64) -> Result<(), Broken> {
    match step("open", source.open(Request::range(size, None))).await? {
        Ok(Opened { remote: Remote { span: Span::Whole, .. }, .. }) => Ok(()),
        // A server may send a range before the requested one. The plan refuses such a response.
        Ok(Opened { remote: Remote { span: Span::Range(range), .. }, .. }) if range.end <= size => Ok(()),
        Ok(opened) => Err(format!("a range beyond the end is answered with {:?}", opened.remote.span)),
        Err(error) => {
            equal("the kind of the error beyond the end", &error.kind, &ErrorKind::HttpRangePast)?;
            equal("the size in the error beyond the end", &error.size.unwrap_or(size), &size)
        }
    }
}

/// Checks that the source still answers after requests and bodies were dropped.
async fn check_drops(source: &dyn Source) -> Result<(), Broken> {
    drop(poll_immediate(source.open(Request::EVERYTHING)).await);
    let opened = open(source, Request::EVERYTHING).await?;
    drop(opened.body);
    let mut opened = open(source, Request::EVERYTHING).await?;
    drop(step("the first chunk", opened.body.next()).await?);
    drop(opened);
    open(source, Request::EVERYTHING).await.map(drop)
}

/// Returns the ranges to try: the first, the second and the last byte, the middle third of the file, and a
/// range without an end. Returns no ranges for a file of at most 3 bytes.
fn ranges(size: u64) -> Vec<(u64, Option<u64>)> {
    if size <= 3 {
        return Vec::new();
    }
    vec![(0, Some(1)), (1, Some(2)), (size / 3, Some(size / 3 * 2)), (size - 1, Some(size)), (size / 2, None)]
}

/// Returns the conditions of a request that asks if the file has changed since this response.
fn conditions(remote: &Remote) -> Option<Conditions> {
    match &remote.validator {
        Validator::Etag(tag) => Some(Conditions { etag: Some(tag.clone()), modified: None }),
        Validator::Modified(at) => Some(Conditions { etag: None, modified: Some(*at) }),
        Validator::Unknown => None,
    }
}

async fn open(source: &dyn Source, request: Request) -> Result<Opened, Broken> {
    let opened = step("open", source.open(request.clone())).await?;
    opened.map_err(|error| format!("{request:?} fails: {error}"))
}

async fn read_exactly(body: Body, expected: &[u8], what: &str) -> Result<(), Broken> {
    let (bytes, end) = read(body).await?;
    if let Err(error) = end {
        return Err(format!("the body of {what} breaks: {error}"));
    }
    match bytes == expected {
        true => Ok(()),
        false => Err(format!(
            "the body of {what} has {} bytes, which are not the expected {} bytes",
            bytes.len(),
            expected.len()
        )),
    }
}

/// Reads a body to its end. Returns the bytes that arrived and how the body ended.
async fn read(mut body: Body) -> Result<(Vec<u8>, Result<(), downhaul_core::error::Error>), Broken> {
    let mut all = Vec::new();
    loop {
        match step("the next chunk", body.next()).await? {
            Some(Ok(bytes)) => all.extend_from_slice(&bytes),
            Some(Err(error)) => return Ok((all, Err(error))),
            None => return Ok((all, Ok(()))),
        }
    }
}

async fn step<T>(what: &str, future: impl Future<Output = T>) -> Result<T, Broken> {
    timeout(PATIENCE, future)
        .await
        .map_err(|_| format!("{what} does not end within {} s", PATIENCE.as_secs()))
}

fn slice(content: &[u8], range: Range<u64>) -> &[u8] {
    let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX).min(content.len());
    &content[at(range.start)..at(range.end)]
}

fn equal<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), Broken> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what} is {found:?}, and should be {expected:?}")),
    }
}

//! [`Expectations`] keeps the expected digests and signatures of a file, and checks that they satisfy
//! `--verify`.
//!
//! Invariant: all digests of the whole file that are used, from the user, from lists and from servers, are
//! kept here. Digests from servers are removed only when the download starts, starts again or continues a
//! partial file. With `--verify off`, no digests are kept.

use crate::content::Look;
use crate::digest::{self, Algorithm, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::event::EventKind;
use crate::plan::{Findings, Rules, Signed};
use crate::settings::Verify;

/// The algorithm of the digest that is computed if [`Rules::record`] is true. Every system has a tool that
/// computes this digest.
const RECORDED: Algorithm = Algorithm::Sha256;

/// The expected content of a file.
#[derive(Debug)]
pub(super) struct Expectations {
    verify: Verify,
    /// See [`Rules::record`].
    record: bool,
    /// Digests from the user and from lists. These digests apply to every version of the file.
    given: Vec<Expected>,
    /// The digests in `given`, and the digests from servers.
    all: Vec<Expected>,
    signed: Option<Signed>,
    /// The kind of content that the first bytes of the file show. It is `None` until these bytes are looked
    /// at. It stays `None` if the content is not checked, for example because a file of this name may be a
    /// web page.
    look: Option<Look>,
    /// True if the job itself came with a strong digest of the file. Digests that are found later, such as
    /// those in a checksum list, do not count.
    own: bool,
    /// A note for the user, if the name of the file was changed.
    renamed: Option<String>,
    notes: Vec<String>,
}

impl Expectations {
    pub(super) fn new(rules: &Rules) -> Expectations {
        let Rules { verify, record, .. } = *rules;
        let given = if verify == Verify::Off { Vec::new() } else { rules.expected.clone() };
        Expectations {
            verify,
            record,
            all: given.clone(),
            own: given.iter().any(|one| one.digest.algorithm.is_strong()),
            given,
            signed: None,
            look: None,
            renamed: None,
            notes: rules.notes.clone(),
        }
    }

    /// Adds facts that the heads of the responses with the file do not state: facts from lists and
    /// signatures, the kind of content that the written bytes show, and notes.
    pub(super) fn add(&mut self, findings: Findings) {
        let Findings { expected, signed, look, renamed, notes, .. } = findings;
        if self.verify != Verify::Off {
            merge(&mut self.given, &expected);
            merge(&mut self.all, &expected);
            self.signed = signed.or(self.signed.take());
        }
        self.look = look.or(self.look);
        self.renamed = renamed.or(self.renamed.take());
        self.notes.extend(notes.into_iter().filter(|note| !self.notes.contains(note)).collect::<Vec<_>>());
    }

    /// Replaces the digests that servers stated before with the digests in `stated`, and forgets the kind of
    /// content.
    pub(super) fn begin(&mut self, stated: &[Expected]) {
        self.forget();
        self.learn(stated);
    }

    /// Adds digests that the server states for the same version of the file.
    pub(super) fn learn(&mut self, stated: &[Expected]) {
        if self.verify != Verify::Off {
            merge(&mut self.all, stated);
        }
    }

    /// Removes the digests from servers and the kind of content, because another version of the file may be
    /// downloaded next.
    pub(super) fn forget(&mut self) {
        self.all = self.given.clone();
        self.look = None;
    }

    pub(super) fn all(&self) -> &[Expected] {
        &self.all
    }

    /// Returns the algorithms whose digests are needed.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let stated = self.all.iter().map(|one| one.digest.algorithm);
        let signed = self.signed.iter().filter_map(|signed| signed.digest);
        digest::distinct(stated.chain(signed).chain(self.record.then_some(RECORDED)))
    }

    /// Returns true if a strong digest is known, or if one of the digests in `stated` is strong. With
    /// `--verify off`, returns false.
    pub(super) fn has_strong(&self, stated: &[Expected]) -> bool {
        let stated = stated.iter().filter(|_| self.verify != Verify::Off);
        self.all.iter().chain(stated).any(|one| one.digest.algorithm.is_strong())
    }

    /// Returns true if the user or a list gave a strong digest.
    pub(super) fn is_given(&self) -> bool {
        self.given.iter().any(|one| one.digest.algorithm.is_strong())
    }

    /// Returns true if the user or a list gave a digest that satisfies `--verify listed`.
    pub(super) fn is_listed(&self) -> bool {
        self.given.iter().any(|one| one.digest.algorithm.counts_in_lists())
    }

    /// Returns true if the file itself must have a good signature.
    pub(super) fn is_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// Checks that the known digests satisfy `--verify`.
    ///
    /// # Errors
    /// Returns `digest.missing` with `--verify require`, if neither a strong digest nor a signature is known.
    /// Returns `digest.unlisted` with `--verify listed`, if neither a list nor the user gave a digest that
    /// this option accepts.
    pub(super) fn suffices(&self, at: &str) -> Result<(), Error> {
        let note = || self.notes.first().cloned();
        match self.verify {
            Verify::Require if !self.has_strong(&[]) && self.signed.is_none() => {
                // The message names the strongest of the weak digests, and says why it is not enough.
                let weak = self.all.iter().max_by_key(|one| one.digest.algorithm);
                let weak = weak.map(|one| format!("{one} is not strong enough for --verify require"));
                Err(Error::new(ErrorKind::DigestMissing, at, weak.or_else(note).unwrap_or_default()))
            }
            Verify::Listed if !self.is_listed() => {
                Err(Error::new(ErrorKind::DigestUnlisted, at, note().unwrap_or_default()))
            }
            _ => Ok(()),
        }
    }

    /// Returns the events for matching digests, and a description of the strongest verification.
    pub(super) fn verified(
        &self,
        computed: &[Digest],
        strongest: Option<&Expected>,
    ) -> (Vec<EventKind>, Option<String>) {
        let verified = |one: &Expected| EventKind::Verified {
            algorithm: one.digest.algorithm.name().into(),
            digest: one.digest.to_string(),
            source: one.from.clone(),
        };
        let mut events: Vec<EventKind> = self.all.iter().map(verified).collect();
        if let Some(Signed { by, digest }) = &self.signed {
            let signed = computed.iter().find(|one| Some(one.algorithm) == *digest);
            events.extend(signed.map(|digest| EventKind::Verified {
                algorithm: digest.algorithm.name().into(),
                digest: digest.to_string(),
                source: format!("the signature by {by}"),
            }));
        }
        let by_digest = strongest.map(ToString::to_string);
        (events, self.signed.as_ref().map(|Signed { by, .. }| format!("signed by {by}")).or(by_digest))
    }

    /// Returns warnings about the content for the user. `says_html` is true if the server says that the
    /// content is a web page.
    ///
    /// # Errors
    /// Returns `content.html` or `content.pointer` if the content does not fit the name of the file. There is
    /// no such error if the file has a strong digest that the user chose, or a good signature.
    pub(super) fn warnings(&self, at: &str, says_html: bool) -> Result<Vec<String>, Error> {
        let mut warnings: Vec<String> = self.renamed.iter().chain(&self.notes).cloned().collect();
        let wrong = match self.look {
            Some(Look::Page) => Some(ErrorKind::ContentHtml),
            Some(Look::Fragment) if says_html => Some(ErrorKind::ContentHtml),
            Some(Look::LfsPointer) => Some(ErrorKind::ContentPointer),
            Some(Look::Other) if says_html => {
                warnings.push(
                    "the server says that the file is an HTML page, but it does not look like one".into(),
                );
                None
            }
            _ => None,
        };
        match wrong {
            Some(kind) if !self.is_chosen() => Err(Error::new(kind, at, "")),
            _ => Ok(warnings),
        }
    }

    /// Returns true if a signature of the file, or a strong digest that the user chose, verifies the content.
    /// A checksum list that downhaul found beside the file is not enough. If `--verify` is not `auto`, there
    /// may be such a list, so no digest from a checksum list counts.
    fn is_chosen(&self) -> bool {
        let looked_beside = self.verify != Verify::Auto;
        self.own || self.signed.is_some() || (!looked_beside && self.is_given())
    }
}

fn merge(to: &mut Vec<Expected>, more: &[Expected]) {
    for one in more {
        if !to.contains(one) {
            to.push(one.clone());
        }
    }
}

//! What a file must be, by whose word, and whether what is known is enough.
//!
//! Invariant: what the person, the lists and the server said is all here, nothing of it is lost but with the version that
//! it was said of, and under `--verify off` nothing is here at all.

use crate::content::Look;
use crate::digest::{self, Algorithm, Digest, Expected};
use crate::error::{Error, ErrorKind};
use crate::event::EventKind;
use crate::plan::{Findings, Rules, Signed};
use crate::settings::Verify;

/// The algorithm of records: the one that everybody can compute.
const RECORDED: Algorithm = Algorithm::Sha256;

/// What a file must be.
#[derive(Debug)]
pub(in crate::plan) struct Expectations {
    verify: Verify,
    record: bool,
    /// What holds for every version: the words of the person and of lists.
    given: Vec<Expected>,
    /// All of it.
    all: Vec<Expected>,
    signed: Option<Signed>,
    /// What it looks like, where its name promises something that is no page.
    look: Option<Look>,
    /// The person gave a strong digest of exactly this file.
    own: bool,
    renamed: Option<String>,
    notes: Vec<String>,
}

impl Expectations {
    pub(in crate::plan) fn new(rules: &Rules) -> Expectations {
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

    /// What is known from elsewhere.
    pub(in crate::plan) fn know(&mut self, about: Findings) {
        let Findings { expected, signed, look, renamed, notes, .. } = about;
        if self.verify != Verify::Off {
            add(&mut self.given, &expected);
            add(&mut self.all, &expected);
            self.signed = signed.or(self.signed.take());
        }
        self.look = look.or(self.look);
        self.renamed = renamed.or(self.renamed.take());
        self.notes.extend(notes.into_iter().filter(|note| !self.notes.contains(note)).collect::<Vec<_>>());
    }

    /// What the server says of the version that is fetched from now on.
    pub(in crate::plan) fn begin(&mut self, stated: &[Expected]) {
        self.forget();
        self.learn(stated);
    }

    /// What the server says of this version too.
    pub(in crate::plan) fn learn(&mut self, stated: &[Expected]) {
        if self.verify != Verify::Off {
            add(&mut self.all, stated);
        }
    }

    /// Another version comes.
    pub(in crate::plan) fn forget(&mut self) {
        self.all = self.given.clone();
        self.look = None;
    }

    pub(in crate::plan) fn all(&self) -> &[Expected] {
        &self.all
    }

    pub(in crate::plan) fn algorithms(&self) -> Vec<Algorithm> {
        let stated = self.all.iter().map(|one| one.digest.algorithm);
        let signed = self.signed.iter().filter_map(|signed| signed.digest);
        digest::distinct(stated.chain(signed).chain(self.record.then_some(RECORDED)))
    }

    /// A strong digest will tell whether the bytes are right; so would one of these.
    pub(in crate::plan) fn has_strong(&self, stated: &[Expected]) -> bool {
        let stated = stated.iter().filter(|_| self.verify != Verify::Off);
        self.all.iter().chain(stated).any(|one| one.digest.algorithm.is_strong())
    }

    /// The person or a list said what is strong enough to tell who is wrong.
    pub(in crate::plan) fn is_given(&self) -> bool {
        self.given.iter().any(|one| one.digest.algorithm.is_strong())
    }

    /// # Errors
    /// `digest.missing` where a strong digest must be known, and none is; `digest.unlisted` where a list must name the file, and
    /// none does.
    pub(in crate::plan) fn suffices(&self, at: &str) -> Result<(), Error> {
        let note = || self.notes.first().cloned();
        match self.verify {
            Verify::Require if !self.has_strong(&[]) && self.signed.is_none() => {
                // The strongest of the weak ones says why it does not count.
                let weak = self.all.iter().max_by_key(|one| one.digest.algorithm);
                let weak = weak.map(|one| format!("{one} is not strong enough for --verify require"));
                Err(Error::new(ErrorKind::DigestMissing, at, weak.or_else(note).unwrap_or_default()))
            }
            Verify::Listed if !self.given.iter().any(|one| one.digest.algorithm.counts_in_lists()) => {
                Err(Error::new(ErrorKind::DigestUnlisted, at, note().unwrap_or_default()))
            }
            _ => Ok(()),
        }
    }

    /// The digests are right: what is to be told of them, and how the file was proven. `strongest` is the best of them.
    pub(in crate::plan) fn tell(
        &self,
        computed: &[Digest],
        strongest: Option<&Expected>,
    ) -> (Vec<EventKind>, Option<String>) {
        let verified = |one: &Expected| EventKind::Verified {
            algorithm: one.digest.algorithm.name().into(),
            digest: one.digest.to_string(),
            source: one.from.clone(),
        };
        let mut facts: Vec<EventKind> = self.all.iter().map(verified).collect();
        if let Some(Signed { by, digest }) = &self.signed {
            let signed = computed.iter().find(|one| Some(one.algorithm) == *digest);
            facts.extend(signed.map(|digest| EventKind::Verified {
                algorithm: digest.algorithm.name().into(),
                digest: digest.to_string(),
                source: format!("the signature by {by}"),
            }));
        }
        let by_digest = strongest.map(ToString::to_string);
        (facts, self.signed.as_ref().map(|Signed { by, .. }| format!("signed by {by}")).or(by_digest))
    }

    /// What a person should know of the content. `says_html`: its server called it a page.
    ///
    /// # Errors
    /// `content.html` or `content.pointer` if it is another thing than its name promises. What agrees with a digest that the person gave, or
    /// with a signature, is what was wanted, whatever it looks like.
    pub(in crate::plan) fn warnings(&self, at: &str, says_html: bool) -> Result<Vec<String>, Error> {
        let mut warnings: Vec<String> = self.renamed.iter().chain(&self.notes).cloned().collect();
        let wrong = match self.look {
            Some(Look::Page) => Some(ErrorKind::ContentHtml),
            Some(Look::Fragment) if says_html => Some(ErrorKind::ContentHtml),
            Some(Look::LfsPointer) => Some(ErrorKind::ContentPointer),
            Some(Look::Other) if says_html => {
                warnings.push("its server calls it an HTML page, which it does not look like".into());
                None
            }
            _ => None,
        };
        match wrong {
            Some(kind) if !self.is_meant() => Err(Error::new(kind, at, "")),
            _ => Ok(warnings),
        }
    }

    /// What was checked is by the person's own word, and not by one that stood beside the file.
    fn is_meant(&self) -> bool {
        let looked_beside = self.verify != Verify::Auto;
        self.own || self.signed.is_some() || (!looked_beside && self.is_given())
    }
}

fn add(to: &mut Vec<Expected>, more: &[Expected]) {
    for one in more {
        if !to.contains(one) {
            to.push(one.clone());
        }
    }
}

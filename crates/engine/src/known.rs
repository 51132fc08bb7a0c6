//! The facts about a file that checksum lists, signatures and documents state.
//!
//! Invariant: a digest that has arrived is never lost when more facts arrive.

use crate::signed::Signature;
use downhaul_core::digest::Algorithm;
use downhaul_core::plan::Findings;
use std::sync::Arc;
use url::Url;

/// The facts about a file's content that are known before it arrives.
#[derive(Clone, Default)]
pub(crate) struct Known {
    pub(crate) findings: Findings,
    /// The signature of the file itself, which names one of the keys in the settings. It is not verified yet.
    pub(crate) signature: Option<Arc<Signature>>,
    /// The mirrors in the response for the file, and in the Metalink document that the response names.
    pub(crate) mirrors: Vec<Url>,
    /// True if a checksum list was read that does not have the file under the names that were looked up.
    pub(crate) is_unlisted: bool,
}

impl Known {
    /// Returns the algorithms of the digests that must be computed.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        let listed = self.findings.expected.iter().map(|one| one.digest.algorithm);
        listed.chain(self.findings.signed.iter().filter_map(|signed| signed.digest))
    }

    /// Returns true if there is nothing to compare an existing file with, except a size.
    pub(crate) fn is_empty(&self) -> bool {
        let Findings { expected, chunks, .. } = &self.findings;
        expected.is_empty() && chunks.is_none() && self.signature.is_none()
    }

    /// Returns these facts together with facts that arrived later. Notes and mirrors are not kept.
    pub(crate) fn and(self, later: Known) -> Known {
        let (first, more) = (self.findings, later.findings);
        let findings = Findings {
            expected: [first.expected, more.expected].concat(),
            chunks: more.chunks.or(first.chunks),
            size: more.size.or(first.size),
            signed: more.signed.or(first.signed),
            ..Findings::default()
        };
        let signature = later.signature.or(self.signature);
        Known { findings, signature, mirrors: Vec::new(), is_unlisted: later.is_unlisted }
    }
}

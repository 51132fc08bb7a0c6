//! Decides what each element means in the two versions of the format. The meaning follows from the name and
//! the place of the element.
//!
//! Invariant: an element is used only if it has the namespace of the root and is in a place that the version
//! of the document allows.

use super::xml::{attribute, bad};
use crate::error::Error;
use quick_xml::events::BytesStart;

pub(super) const NAMESPACE_4: &str = "urn:ietf:params:xml:ns:metalink";
pub(super) const NAMESPACE_3: &str = "http://www.metalinker.org/";

/// The rank of a URL that states no priority (version 4) or no preference (version 3). In version 4, such a
/// URL comes after all other URLs (RFC 5854, section 4.2.16.2).
const LAST: u32 = 999_999;

/// The root element. Its version and namespace apply to all other elements.
pub(super) struct Root {
    version: Version,
    /// The prefix of Metalink's elements, such as `m:`. It may be empty.
    prefix: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Three,
    Four,
}

/// The meaning of an element. An element that is not used is [`Element::Other`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Metalink,
    Files,
    File,
    Verification,
    Resources,
    Hash,
    Pieces,
    PieceHash,
    Size,
    Url,
    Other,
}

impl Root {
    pub(super) fn of(start: &BytesStart<'_>) -> Result<Root, Error> {
        let name = start.name();
        let prefix = name.prefix().map(|prefix| format!("{}:", prefix.as_ref())).unwrap_or_default();
        let version = match declared(start, &prefix)?.as_deref() {
            Some(NAMESPACE_4) => Version::Four,
            Some(NAMESPACE_3) => Version::Three,
            _ => {
                return Err(bad(
                    "it is neither Metalink 4 nor 3: its root element has the namespace of neither version",
                ));
            }
        };
        if name.local_name().as_ref() != "metalink" {
            return Err(bad("there is no <metalink> element"));
        }
        Ok(Root { version, prefix })
    }

    /// Returns the element that this tag begins. A name outside the namespace of the root is
    /// [`Element::Other`].
    pub(super) fn element(&self, start: &BytesStart<'_>) -> Result<Element, Error> {
        let name = start.name();
        let Some(local) = name.as_ref().strip_prefix(self.prefix.as_str()) else { return Ok(Element::Other) };
        let element = match local {
            "files" => Element::Files,
            "file" => Element::File,
            "verification" => Element::Verification,
            "resources" => Element::Resources,
            "hash" => Element::Hash,
            "pieces" => Element::Pieces,
            "size" => Element::Size,
            "url" => Element::Url,
            _ => Element::Other,
        };
        let namespace = match self.version {
            Version::Three => NAMESPACE_3,
            Version::Four => NAMESPACE_4,
        };
        let renamed = declared(start, &self.prefix)?.is_some_and(|other| other != namespace);
        Ok(if renamed { Element::Other } else { element })
    }

    /// Returns the innermost element of this path. Returns [`Element::Other`] if the format does not allow
    /// the element at this place, or if the element has no meaning of its own, such as `files`.
    pub(super) fn place(&self, path: &[Element]) -> Element {
        use Element::{
            File, Files, Hash, Metalink, Other, PieceHash, Pieces, Resources, Size, Url, Verification,
        };
        match (self.version, path) {
            (Version::Four, [Metalink, File]) => File,
            (Version::Four, [Metalink, File, Hash]) => Hash,
            (Version::Four, [Metalink, File, Url]) => Url,
            (Version::Four, [Metalink, File, Size]) => Size,
            (Version::Four, [Metalink, File, Pieces]) => Pieces,
            (Version::Four, [Metalink, File, Pieces, Hash]) => PieceHash,
            (Version::Three, [Metalink, Files, File]) => File,
            (Version::Three, [Metalink, Files, File, Verification, Hash]) => Hash,
            (Version::Three, [Metalink, Files, File, Resources, Url]) => Url,
            (Version::Three, [Metalink, Files, File, Size]) => Size,
            (Version::Three, [Metalink, Files, File, Verification, Pieces]) => Pieces,
            (Version::Three, [Metalink, Files, File, Verification, Pieces, Hash]) => PieceHash,
            _ => Other,
        }
    }

    /// Returns the rank of a URL among the URLs of its file. The lowest rank is the best. In version 3,
    /// returns `None` if the attribute `type` is neither `http` nor `https`, as for the URL of a torrent.
    pub(super) fn rank(&self, start: &BytesStart<'_>) -> Result<Option<u32>, Error> {
        let number = |text: Option<String>| text.and_then(|text| text.trim().parse::<u32>().ok());
        if self.version == Version::Four {
            return Ok(Some(number(attribute(start, "priority")?).unwrap_or(LAST)));
        }
        let is_the_file = match attribute(start, "type")? {
            None => true,
            Some(kind) => ["http", "https"].contains(&kind.trim().to_ascii_lowercase().as_str()),
        };
        let preference = number(attribute(start, "preference")?);
        let rank = preference.map_or(LAST, |preference| 100_u32.saturating_sub(preference));
        Ok(is_the_file.then_some(rank))
    }
}

/// Returns the namespace that an element declares for a prefix, such as `m:`. The prefix may be empty.
fn declared(start: &BytesStart<'_>, prefix: &str) -> Result<Option<String>, Error> {
    match prefix.strip_suffix(':') {
        Some(prefix) => attribute(start, &format!("xmlns:{prefix}")),
        None => attribute(start, "xmlns"),
    }
}

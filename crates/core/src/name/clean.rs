//! One component of a path, made safe: what a server or a URL may call a file, and what Windows takes of it.
//!
//! Invariant: both functions give one component of 1 to [`LONGEST`] bytes, and change nothing when they are applied to
//! what they gave.

use super::endings::split_extension;
use super::{LONGEST, cut_bytes, mark};
use crate::show;

/// Characters that no name on a Windows disk may hold, besides control characters (Microsoft, "Naming Files, Paths, and
/// Namespaces").
const NOT_ON_WINDOWS: &[char] = &['<', '>', ':', '"', '/', '\\', '|', '?', '*'];

/// Names that mean devices on Windows whatever their extension (the same page; `conin$` and `conout$` belong to the console).
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "conin$", "conout$"];

/// What stands for everything that may not be in a name.
const INSTEAD: char = '_';

/// Makes a server's words one safe component. `None` if they hold nothing but dots and blanks.
///
/// Replaced are both slashes (a backslash leads to another folder on Windows), whatever [`show::is_unsafe_to_show`] names, and
/// dots and dashes at the beginning: a file shall not be hidden, nor be taken for an option by the next program.
pub(super) fn component(text: &str) -> Option<String> {
    let text = text.trim();
    if text.chars().all(|c| c == '.' || c.is_whitespace()) {
        return None;
    }
    let unsafe_here = |c| matches!(c, '/' | '\\') || show::is_unsafe_to_show(c);
    let safe: String = text.chars().map(|c| if unsafe_here(c) { INSTEAD } else { c }).collect();
    let rest = safe.trim_start_matches(['.', '-']);
    let visible = INSTEAD.to_string().repeat(safe.len() - rest.len()) + rest;
    Some(fitted(visible, text))
}

/// Makes a component one that Windows takes: without the characters it forbids, without dots and blanks at the end (it
/// drops them, so that two names would be one file), and no name of a device.
pub(super) fn for_windows(component: &str) -> String {
    let forbidden = |c: char| NOT_ON_WINDOWS.contains(&c) || c.is_control();
    let allowed: String = component.chars().map(|c| if forbidden(c) { INSTEAD } else { c }).collect();
    let rest = allowed.trim_end_matches(['.', ' ']);
    let name = rest.to_string() + &INSTEAD.to_string().repeat(allowed.len() - rest.len());
    fitted(if is_device(&name) { format!("{INSTEAD}{name}") } else { name }, component)
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = ["com", "lpt"].iter().find_map(|port| stem.strip_prefix(port));
    // The superscripts are digits to Windows, too.
    let is_port =
        |number: &str| matches!(number.as_bytes(), [b'0'..=b'9']) || ["¹", "²", "³"].contains(&number);
    DEVICES.contains(&stem.as_str()) || numbered.is_some_and(is_port)
}

/// The name, or as much of it as fits, with a hash of the `whole` that it stands for before its extension.
fn fitted(name: String, whole: &str) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let (stem, extension) = split_extension(&name);
    with_ending(stem, extension, whole)
}

/// `stem` and `ending` as one name. What does not fit is cut from the stem, and a hash of `whole` follows it, so that two names
/// that differ only in what was cut stay two.
pub(super) fn with_ending(stem: &str, ending: &str, whole: &str) -> String {
    if stem.len() + ending.len() <= LONGEST {
        return format!("{stem}{ending}");
    }
    let mark = format!("~{}", mark(whole.as_bytes()));
    let room = LONGEST.saturating_sub(ending.len() + mark.len());
    format!("{}{mark}{ending}", cut_bytes(stem, room))
}

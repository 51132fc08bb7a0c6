//! Makes one component of a path safe, and makes it acceptable for Windows.
//!
//! Invariant: [`component`] and [`for_windows`] return one component of 1 to [`LONGEST`] bytes. If one of
//! these functions is applied to its own result, it changes nothing.

use super::endings::split_extension;
use super::{LONGEST, cut_bytes, mark};
use crate::show;

/// Characters that Windows forbids in names, in addition to control characters (Microsoft, "Naming Files,
/// Paths, and Namespaces").
const NOT_ON_WINDOWS: &[char] = &['<', '>', ':', '"', '/', '\\', '|', '?', '*'];

/// Names of devices on Windows, in lower case (Microsoft, "Naming Files, Paths, and Namespaces"). The name of
/// a device with an extension, such as `con.txt`, means the device too. The console has the names `conin$`
/// and `conout$`. [`is_device`] also knows the ports, such as `com1` and `lpt1`.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "conin$", "conout$"];

/// The character that replaces characters that are not allowed in a name.
const INSTEAD: char = '_';

/// Returns one safe component for a name that a server chose. Returns `None` if the name is empty or has only
/// dots and blanks.
///
/// Blanks at both ends are removed. These characters are replaced: slashes, backslashes (on Windows they lead
/// to another folder), the characters of [`show::is_unsafe_to_show`], and dots and dashes at the beginning.
/// Therefore the file is not hidden, and other programs do not read its name as an option. A name that is too
/// long is cut.
pub(super) fn component(text: &str) -> Option<String> {
    let text = text.trim();
    // Nearly all names have only the following characters, so the slower code below is skipped for these
    // names. This function runs several times for each file.
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if is_plain && text.len() <= LONGEST && !text.is_empty() && !text.starts_with(['.', '-']) {
        return Some(text.to_string());
    }
    if text.chars().all(|c| c == '.' || c.is_whitespace()) {
        return None;
    }
    let unsafe_here = |c| matches!(c, '/' | '\\') || show::is_unsafe_to_show(c);
    let safe: String = text.chars().map(|c| if unsafe_here(c) { INSTEAD } else { c }).collect();
    let rest = safe.trim_start_matches(['.', '-']);
    let visible = INSTEAD.to_string().repeat(safe.len() - rest.len()) + rest;
    Some(fitted(visible, text))
}

/// Returns a component that Windows accepts. Forbidden characters are replaced. Dots and blanks at the end
/// are replaced too: Windows removes them, so two names could mean the same file. A `_` is put before the
/// name of a device. A name that becomes too long is cut.
pub(super) fn for_windows(component: &str) -> String {
    let forbidden = |c: char| NOT_ON_WINDOWS.contains(&c) || c.is_control();
    let allowed: String = component.chars().map(|c| if forbidden(c) { INSTEAD } else { c }).collect();
    let rest = allowed.trim_end_matches(['.', ' ']);
    let name = rest.to_string() + &INSTEAD.to_string().repeat(allowed.len() - rest.len());
    fitted(if is_device(&name) { format!("{INSTEAD}{name}") } else { name }, component)
}

/// Returns the reason why Windows does not accept a component, or why Windows gives the component another
/// meaning. The reason is part of a sentence. For a component of at most [`LONGEST`] bytes, returns `None`
/// exactly if [`for_windows`] does not change it.
pub(super) fn refused_by_windows(component: &str) -> Option<String> {
    if let Some(c) = component.chars().find(|c| NOT_ON_WINDOWS.contains(c)) {
        return Some(format!("Windows does not allow `{c}` in a name"));
    }
    if component.chars().any(char::is_control) {
        return Some("Windows does not allow control characters in a name".into());
    }
    if component.ends_with(['.', ' ']) {
        return Some("Windows removes dots and blanks at the end of a name".into());
    }
    is_device(component).then(|| "Windows has a device of this name".into())
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = ["com", "lpt"].iter().find_map(|port| stem.strip_prefix(port));
    // Windows treats these superscripts as digits.
    let is_port =
        |number: &str| matches!(number.as_bytes(), [b'0'..=b'9']) || ["¹", "²", "³"].contains(&number);
    DEVICES.contains(&stem.as_str()) || numbered.is_some_and(is_port)
}

/// Returns the name if it has at most [`LONGEST`] bytes. A longer name is cut before its extension, and a
/// hash of `whole` is added there. `whole` is the name before it was changed.
fn fitted(name: String, whole: &str) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let (stem, extension) = split_extension(&name);
    with_ending(stem, extension, whole)
}

/// Returns `stem` and `ending` as one name. If the name is too long, the stem is cut and a hash of `whole` is
/// added, so that two names that differ only in the part that was cut stay different.
pub(super) fn with_ending(stem: &str, ending: &str, whole: &str) -> String {
    if stem.len() + ending.len() <= LONGEST {
        return format!("{stem}{ending}");
    }
    let mark = format!("~{}", mark(whole.as_bytes()));
    let space = LONGEST.saturating_sub(ending.len() + mark.len());
    format!("{}{mark}{ending}", cut_bytes(stem, space))
}

//! Reads and writes queues in the form of aria2: a line with the URLs of a file, and indented lines with its
//! options. These are the files of `--input-file` and `--save-session` (`man aria2c`, INPUT FILE).
//!
//! Invariant: reading a session file gives the downloads that were written to it, with their URLs, options
//! and facts. On Unix, only the owner of the file can read it, because options can be passwords.

use crate::entry::{Entry, State as EntryState};
use crate::facts::Facts;
use crate::item::Item;
use crate::options::{self, Options};
use crate::queue::Sequence;
use crate::state::State;
use std::io::{self, Write};
use std::path::Path;

/// The option whose value has the facts about a file from a list or a document. Only downhaul reads this
/// option.
const FACTS: &str = "downhaul-facts";

/// Reads the text of a session file. Returns its downloads, and the lines with options that aria2 does not
/// have.
///
/// # Errors
/// Returns a message that says which option has a value that is not allowed or cannot be read.
pub fn read(text: &str) -> Result<(Vec<Item>, Vec<String>), String> {
    let (mut items, mut unknown): (Vec<Item>, Vec<String>) = (Vec::new(), Vec::new());
    for line in text.trim_start_matches('\u{feff}').lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            let uris = content.split('\t').map(str::trim).filter(|uri| !uri.is_empty());
            items.push(Item::new(uris.map(String::from).collect(), Options::default()));
            continue;
        }
        let Some(item) = items.last_mut() else { continue };
        let (name, value) = content.split_once('=').unwrap_or((content, ""));
        if name.trim_end() == FACTS {
            let facts = serde_json::from_str(value).ok().and_then(|value| Facts::from_json(&value));
            item.facts = Some(facts.ok_or_else(|| format!("{FACTS} cannot be read"))?);
            continue;
        }
        match options::row(name.trim_end()) {
            Some((name, ..)) => {
                item.options.add(name, value.trim()).map_err(|fault| format!("{fault} ({content})"))?;
            }
            None => unknown.push(line.into()),
        }
    }
    Ok((items, unknown))
}

/// Returns the text of the session file: the downloads that are not over, and those that failed. With
/// `save-not-found=false`, a download is left out if the server did not have the file. With
/// `force-save=true`, a complete or removed download is included. A download that is over and has no URL is
/// always left out.
pub fn text(state: &State) -> String {
    let over = state.queue().iter(Sequence::Over).filter(|entry| is_saved(state, entry));
    let open = [Sequence::Active, Sequence::Queued].into_iter().flat_map(|which| state.queue().iter(which));
    over.chain(open).fold(String::new(), |text, entry| text + &lines(state, entry))
}

/// Returns true if a download that is over must be in the session file.
fn is_saved(state: &State, entry: &Entry) -> bool {
    let is_missing = entry.aria2_status() == NOT_FOUND;
    match entry.state {
        // A download without a URL stands for an unusable entry of a document. It could not be downloaded
        // after the next start either.
        _ if entry.uris.is_empty() => false,
        EntryState::Error => !is_missing || state.value(entry, "save-not-found") == "true",
        _ => state.value(entry, "force-save") == "true",
    }
}

/// The exit status of aria2 for a file that the server does not have (`--save-not-found`).
const NOT_FOUND: u8 = 3;

fn lines(state: &State, entry: &Entry) -> String {
    // Control characters are removed, because the text after a line end in a URL could be read as an option.
    let one_line = |uri: &String| uri.chars().filter(|c| !c.is_control()).collect::<String>() + "\t";
    let mut text: String = entry.uris.iter().map(one_line).collect();
    text += &format!("\n gid={}\n", entry.gid);
    if entry.state == EntryState::Paused {
        text += " pause=true\n";
    }
    // Options with which the daemon was started are not written, except for the folder, because the file of
    // the download is in it.
    let folder = state.options_of(entry).only(&["dir"]);
    for (name, value) in entry.options.above(&folder).iter() {
        match value {
            // If the session file has no folder for a download, the folder is chosen again at the next start.
            "" if name == "dir" => {}
            "" => text += &format!(" {name}=\n"),
            _ => text.extend(value.lines().map(|line| format!(" {name}={line}\n"))),
        }
    }
    // This form of JSON has no line ends.
    text.extend(entry.facts.as_ref().map(|facts| format!(" {FACTS}={}\n", facts.to_json())));
    text
}

/// Replaces a file so that readers see either the old or the new content. For this purpose, this function
/// writes a new file beside the old one, and renames the new file.
///
/// # Errors
/// Returns the error of the system.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push("__temp");
    let new = Path::new(&new);
    // An earlier run may have left such a file.
    let _ = std::fs::remove_file(new);
    let mut file = crate::platform::create_private(new)?;
    crate::platform::make_private(&file)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_urls_and_options() {
        let text = "# by a script\nhttp://h/a\thttp://m/a\t\n  out=l%20#1.bin\n\theader=X: 1\n header=Y: 2\n dir=\n no-such=1\n\nhttp://h/b\n";
        let (items, unknown) = read(text).expect("a list");
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].uris, ["http://h/a", "http://m/a"]);
        assert_eq!(items[0].options.get("out"), Some("l%20#1.bin"));
        assert_eq!(items[0].options.get("header"), Some("X: 1\nY: 2"));
        assert!(items[0].options.is_set("dir") && items[0].options.get("dir").is_none());
        assert_eq!((items[1].options.iter().count(), unknown), (0, vec![" no-such=1".to_string()]));
        let why = read("http://h/a\n split=x\n").expect_err("no number");
        assert!(why.contains("'--split'"), "{why}");
    }

    #[test]
    fn a_file_is_replaced_and_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("session");
        std::fs::write(&path, "old").expect("written");
        write(&path, "new").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), "new");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

//! Finds the files to download. They come from `--metalink-file`, or else from `--input-file`, or else from
//! the URLs and Metalink files of the command line.

use super::arguments::{Arguments, Refused};
use crate::input;
use crate::words;
use downhaul_daemon::aria2::metalink;
use downhaul_daemon::item::Item;
use downhaul_daemon::options::Options;
use downhaul_daemon::session_file;
use downhaul_engine::core::show::escaped;
use std::path::Path;

/// The endings of Metalink files, of the form in RFC 5854 (section 3) and of the older Metalink 3. In the
/// names of files, they may have any case.
const METALINKS: [&str; 2] = ["meta4", "metalink"];

/// Returns the files to download, and warnings about unknown options in the list of `--input-file`.
///
/// # Errors
/// Returns a message for the user, which says which list, or which option in a list, cannot be used.
pub(super) fn of(given: &Arguments) -> Result<(Vec<Item>, Vec<String>), Refused> {
    if let Some(file) = given.options.get("metalink-file") {
        return Ok((of_metalink(file)?, Vec::new()));
    }
    if let Some(file) = given.options.get("input-file") {
        return of_list(file);
    }
    let (mut items, mut mirrors) = (Vec::new(), Vec::new());
    for operand in &given.operands {
        let ending = Path::new(operand).extension().and_then(|ending| ending.to_str());
        let is_metalink =
            ending.is_some_and(|ending| METALINKS.iter().any(|one| one.eq_ignore_ascii_case(ending)));
        if is_metalink && Path::new(operand).is_file() {
            items.extend(of_metalink(operand)?);
        } else if given.options.is_true("force-sequential") {
            items.push(Item::new(vec![operand.clone()], Options::default()));
        } else {
            mirrors.push(operand.clone());
        }
    }
    if !mirrors.is_empty() {
        items.insert(0, Item::new(mirrors, Options::default()));
    }
    Ok((items, Vec::new()))
}

fn of_list(file: &str) -> Result<(Vec<Item>, Vec<String>), Refused> {
    let bytes = read(file)?;
    let (mut items, unknown) =
        session_file::read(&String::from_utf8_lossy(&bytes)).map_err(Refused::value)?;
    // An empty `dir` means the current folder, and not the folder of `--dir`.
    for item in &mut items {
        if item.options.is_set("dir") && item.options.get("dir").is_none() {
            item.options.set("dir", ".").map_err(Refused::value)?;
        }
    }
    Ok((items, unknown.into_iter().map(|line| format!("Unknown option: {}", escaped(&line))).collect()))
}

fn of_metalink(file: &str) -> Result<Vec<Item>, Refused> {
    metalink(read(file)?).map_err(|fault| cannot_be_read(file, &fault))
}

fn read(file: &str) -> Result<Vec<u8>, Refused> {
    input::bytes(Path::new(file), u64::MAX).map_err(|e| cannot_be_read(file, &e))
}

fn cannot_be_read(file: &str, why: &dyn std::fmt::Display) -> Refused {
    let file = words::path(Path::new(file));
    Refused::new(
        1,
        format!("Exception caught\nException: errorCode=1 Failed to open the file {file}, cause: {why}\n"),
    )
}

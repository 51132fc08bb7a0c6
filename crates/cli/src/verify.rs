//! `downhaul verify`: compares files on the disk with checksum lists and lock files. This command changes
//! nothing and sends no requests.

mod advice;
mod check;
mod paths;

use crate::exit::Exit;
use crate::given;
use crate::input;
use crate::printer::{self, Paint, Style};
use crate::record::{Form, rows};
use crate::ui::units;
use crate::ui::working::Working;
use crate::words;
use advice::Advice;
use check::{Stated, check};
use downhaul_engine::core::digest::{Digest, Expected};
use downhaul_engine::core::error::Error;
use downhaul_engine::core::job::Destination;
use downhaul_engine::core::list::{self, checksums::Checksums};
use downhaul_engine::core::lock_file::{Entry, Line, csv};
use downhaul_engine::core::name::SafeName;
use downhaul_engine::core::show::escaped;
use paths::{is_remote, path_of};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The names and endings of checksum lists in a folder, in lower case. `.txt` may follow a name.
const NAMES: [&str; 16] = [
    "sha256sums",
    "sha512sums",
    "sha384sums",
    "sha1sums",
    "md5sums",
    "b2sums",
    "b3sums",
    "sha256sum",
    "sha512sum",
    "sha1sum",
    "md5sum",
    "shasums256",
    "checksum",
    "checksums",
    "md5checksums",
    "sha256checksums",
];
const ENDINGS: [&str; 9] =
    [".sha256", ".sha512", ".sha384", ".sha1", ".md5", ".b2", ".b3", "_checksums.txt", "-checksum"];

/// The endings of lock files in a folder. A table (`.csv`) is recognised by its first row.
const RECORDS: [&str; 2] = [".lock", ".jsonl"];

/// The longest list or lock file, in bytes. A line of a lock file usually has some 400 bytes, so a lock file
/// may have more than two million lines.
const LONGEST: usize = 1 << 30;

/// The end of a message about lines of a list that could not be read.
const NOT_READ: &str = "could not be read";

/// From this size on, in bytes, reading a file takes so long that its name is shown on the terminal at once.
const LARGE: u64 = 64 << 20;

/// The facts that were read from lists.
#[derive(Default)]
struct Wanted {
    /// What the lists state about each file, by its path.
    files: BTreeMap<PathBuf, Stated>,
    /// True if a line that describes a file could not be read, so that its file is not verified.
    lacks_files: bool,
    /// The lines of the list that was read last, if none of them describes a file.
    unusable: Lines,
}

/// Compares the files that a checksum list or a lock file names. If `what` is a folder, uses the lists and
/// lock files in it that have one of the usual names, and the tables in it that are lock files. The names in
/// a list are relative to `folder` or, if it is `None`, to the folder of the list.
///
/// If `shows_work` is true and `quiet` is false, a line on the terminal shows which file is being read.
pub(crate) fn run(what: &Path, folder: Option<&Path>, quiet: bool, paint: Paint, shows_work: bool) -> Exit {
    let (wanted, has_urls) = match wanted(what, folder) {
        Ok(wanted) => wanted,
        Err(why) => {
            printer::err(&format!("error: {}\n", escaped(&why)));
            return Exit::Usage;
        }
    };
    let mut exit = if wanted.lacks_files { Exit::Usage } else { Exit::Success };
    let (mut counts, mut advice) = (BTreeMap::new(), Advice::default());
    let mut working = Working::new(shows_work && !quiet);
    for (number, (path, stated)) in (1..).zip(&wanted.files) {
        // A path on another machine is not looked up, see [`is_remote`].
        let size = if stated.is_remote { None } else { fs::metadata(path).ok().map(|meta| meta.len()) };
        let text = || working_on(path, size, number, wanted.files.len());
        working.show(size.is_some_and(|size| size >= LARGE), text);
        let (word, detail, one) = check(path, stated);
        exit = exit.min(one);
        if matches!(one, Exit::Mismatch | Exit::Failed) {
            advice.add(stated, word == check::MISSING);
        }
        *counts.entry(word).or_insert(0_u64) += 1;
        if quiet && one == Exit::Success {
            continue;
        }
        let style = if one == Exit::Success { Style::Success } else { Style::Failure };
        let shown = paint.show(style, word);
        // The gap depends on the length of the word without the codes of its colours, which take no space on
        // the screen.
        let gap = " ".repeat((10 - word.len()).max(1));
        working.clear();
        let printed = printer::out(&format!("{shown}{gap}{}{detail}\n", words::path(path)));
        if printed != Exit::Success {
            return exit.min(printed);
        }
    }
    drop(working);
    let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    if !quiet || exit != Exit::Success {
        printer::err(&format!("{}\n", counts.join(", ")));
    }
    if has_urls && !quiet && matches!(exit, Exit::Mismatch | Exit::Failed) {
        printer::err(&advice.text(what, folder));
    }
    exit
}

/// Returns the text about a file that is being read. `size` is its size in bytes, if it is known.
fn working_on(path: &Path, size: Option<u64>, number: usize, of: usize) -> String {
    let size = size.map(|size| format!(" ({})", units::bytes(size))).unwrap_or_default();
    format!("verifying file {number} of {of}: {}{size}", words::path(path))
}

fn is_metalink(list: &Path) -> bool {
    let is = |ending: &str| list.extension().is_some_and(|given| given.eq_ignore_ascii_case(ending));
    is("meta4") || is("metalink")
}

/// Returns the digests and sizes that the files must have. The second value is true if `what` is a single
/// list that also has URLs.
fn wanted(what: &Path, folder: Option<&Path>) -> Result<(Wanted, bool), String> {
    let mut wanted = Wanted::default();
    if !what.is_dir() {
        let has_urls = read(what, folder, &mut wanted);
        let has_urls = has_urls.map_err(|e| format!("{} cannot be read: {e}", what.display()))?;
        return match wanted.files.is_empty() {
            true if is_metalink(what) => Err(format!(
                "{} is a Metalink document. downhaul repair verifies its files, and fetches wrong parts again",
                what.display()
            )),
            true => {
                let why =
                    wanted.unusable.first.map(|why| format!(" that can be used: {why}")).unwrap_or_default();
                Err(format!("no line of {} has a digest{why}", what.display()))
            }
            false => Ok((wanted, has_urls)),
        };
    }
    let entries = fs::read_dir(what).map_err(|e| format!("{} cannot be read: {e}", what.display()))?;
    for entry in entries {
        let path = entry.map_err(|e| format!("{} cannot be read: {e}", what.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        let is_list = NAMES.contains(&name.strip_suffix(".txt").unwrap_or(&name));
        if path.is_file() && (is_list || ends(&ENDINGS) || ends(&RECORDS) || is_record_table(&path)?) {
            read(&path, folder, &mut wanted)
                .map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
            let Lines { unread, first, has_damaged, .. } = std::mem::take(&mut wanted.unusable);
            if has_damaged && ends(&RECORDS) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                wanted.lacks_files |= report_lines("error", unread.max(1), &name, NOT_READ, first.as_deref());
            }
        }
    }
    match wanted.files.is_empty() {
        true if wanted.lacks_files => Err(format!("no list or lock file in {} can be read", what.display())),
        true => Err(format!("there is no checksum list and no lock file in {}", what.display())),
        false => Ok((wanted, false)),
    }
}

/// Returns true for a lock file that is a table (`--record NAME.csv`).
fn is_record_table(path: &Path) -> Result<bool, String> {
    if path.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("csv")) {
        return Ok(false);
    }
    let header = csv::header();
    let mut beginning = Vec::new();
    let file = fs::File::open(path);
    let read = file.and_then(|file| file.take(header.len() as u64).read_to_end(&mut beginning));
    read.map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    Ok(beginning == header.as_bytes())
}

/// Reads a checksum list, a lock file or another list of JSON lines. The form of the lines shows which kind
/// of file it is. Returns true if the file is a lock file that is a table, or if it has lines of JSON that
/// describe files. Such a file also has URLs, and each of its lines describes a file, so a line that cannot
/// be read is an error. A checksum list may have other lines, such as a signature.
fn read(list: &Path, folder: Option<&Path>, wanted: &mut Wanted) -> io::Result<bool> {
    let name = list.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = given::read(list, LONGEST)?;
    let folder = folder.or(list.parent()).unwrap_or(Path::new(""));
    let Wanted { files, lacks_files, unusable } = wanted;
    let mut want = |file: &str, digests: Vec<Digest>, size: Option<u64>, saved_in: Option<PathBuf>| {
        let file = file.strip_prefix("./").unwrap_or(file);
        let stated = files.entry(path_of(folder, file)).or_default();
        stated.size = size.or(stated.size);
        stated.saved_in = saved_in.or(stated.saved_in.take());
        stated.can_be_repaired = SafeName::from_person(file).is_ok();
        stated.is_remote = is_remote(file);
        stated.digests.extend(digests.into_iter().map(|digest| Expected { digest, from: name.clone() }));
    };
    let mut recorded = Recorded::default();
    if Form::of(list) == Form::Table && text.starts_with(csv::header().as_bytes()) {
        let unread = recorded.add_table(&text)?;
        recorded.want(&mut want);
        *lacks_files |= report_lines("error", unread, &name, NOT_READ, None);
        return Ok(true);
    }
    let lines = read_lines(&text, &mut recorded, &mut want);
    recorded.want(&mut want);
    // Other files of JSON lines, such as recorded events, are not lock files, so no message is needed.
    let has_records = lines.records > 0;
    if has_records {
        report_lines("warning", lines.without_digest, &name, "had no name or no digest", None);
        *lacks_files |= report_lines("error", lines.unread, &name, NOT_READ, lines.first.as_deref());
    } else {
        *unusable = lines;
    }
    if has_records || RECORDS.iter().any(|ending| name.ends_with(ending)) {
        return Ok(has_records);
    }
    let sums = Checksums::read(&text, &name);
    // A digest without a name belongs to the file that the list is named after.
    let alone = list.file_stem().unwrap_or_default().to_string_lossy();
    for entry in sums.entries() {
        want(
            if entry.name.is_empty() { &alone } else { &entry.name },
            vec![entry.digest.clone()],
            None,
            None,
        );
    }
    report_lines("warning", sums.unread(), &name, NOT_READ, None);
    Ok(false)
}

/// How many lines of each kind [`read_lines`] found in a list, and what is wrong with the list.
#[derive(Default)]
struct Lines {
    /// The number of lines that describe a file.
    records: usize,
    /// The number of lines that could not be read.
    unread: usize,
    /// The number of lines without a name or a digest.
    without_digest: usize,
    /// What is wrong with the first line that could not be read.
    first: Option<String>,
    /// True if a line that could not be read has the key `url`, or if the whole list has only NUL bytes and
    /// blanks. NUL bytes in only some lines do not count, because binary files of other programs may have
    /// them too.
    has_damaged: bool,
}

/// Reads the lines of JSON in a list. Lines of a lock file are added to `recorded`. The digests of other
/// lines are passed to `want`.
fn read_lines(
    text: &[u8],
    recorded: &mut Recorded,
    want: &mut impl FnMut(&str, Vec<Digest>, Option<u64>, Option<PathBuf>),
) -> Lines {
    let mut lines = Lines::default();
    let (mut others, mut other) = (0, None);
    let is_empty = text.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace());
    for (number, line) in (1..).zip(input::lines(text)) {
        if !line.trim_start().starts_with('{') {
            // A crash can leave NUL bytes in place of a line.
            if line.contains('\0') {
                lines.unread += 1;
                lines.has_damaged |= is_empty || line.contains("\"url\"");
                lines.first.get_or_insert(format!("line {number}: it has NUL bytes"));
            } else if !line.trim().is_empty() && !line.starts_with('#') {
                other.get_or_insert(format!("line {number}: it is not JSON"));
                others += 1;
            }
            continue;
        }
        if let Some(entry) = Entry::read(&line) {
            lines.records += 1;
            recorded.add(entry);
            continue;
        }
        match of_list(&line) {
            Ok(Some((file, digests))) => {
                lines.records += 1;
                want(&file, digests, None, None);
            }
            Ok(None) => lines.without_digest += 1,
            Err(why) => {
                lines.unread += 1;
                lines.has_damaged |= line.contains("\"url\"");
                lines.first.get_or_insert(format!("line {number}: {why}"));
            }
        }
    }
    // A text that has no JSON line about a file may be a checksum list.
    if lines.records > 0 && others > 0 {
        lines.unread += others;
        lines.first = lines.first.or(other);
    }
    lines
}

/// The digests and sizes in a lock file. If several lines are about one file, a later line replaces an
/// earlier one. There is one exception: a line without a strong digest does not replace a line with a strong
/// digest, unless its size is known and differs. Lines about failures are not used.
#[derive(Default)]
struct Recorded(BTreeMap<String, RecordedFile>);

/// What a lock file states about one file.
struct RecordedFile {
    line: Line,
    digests: Vec<Digest>,
    /// The size in bytes.
    size: Option<u64>,
    /// The folder below which the run saved the file, or the container that has the file.
    saved_in: Option<PathBuf>,
}

impl Recorded {
    fn add(&mut self, entry: Entry) {
        let (line, digests) = (entry.line(), entry.digests());
        let adds = self.0.get(&entry.out).is_none_or(|known| !line.adds_nothing_to(known.line));
        if line != Line::Failed && adds {
            let path = Some(Path::new(&entry.path)).filter(|_| !is_remote(&entry.path));
            let saved_in = path.and_then(|path| advice::saved_in(path, &entry.out));
            self.0.insert(entry.out, RecordedFile { line, digests, size: entry.size, saved_in });
        }
    }

    /// Adds the rows of a table. Returns the number of rows that could not be read.
    fn add_table(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut unread = 0;
        for row in rows(text, Form::Table).skip(1) {
            let row = row?;
            match Form::Table.read(&String::from_utf8_lossy(&row)) {
                Some(entry) => self.add(entry),
                None => unread += usize::from(!row.trim_ascii().is_empty()),
            }
        }
        Ok(unread)
    }

    /// Passes each file, its digests, its size and where it was saved to `want`.
    fn want(self, want: &mut impl FnMut(&str, Vec<Digest>, Option<u64>, Option<PathBuf>)) {
        for (file, RecordedFile { digests, size, saved_in, .. }) in self.0 {
            want(&file, digests, size, saved_in);
        }
    }
}

/// Returns the name and the digests in a line of a JSON list. Returns `None` if the line lacks one of them.
///
/// # Errors
/// Returns the error of the list if the line has a mistake.
fn of_list(line: &str) -> Result<Option<(String, Vec<Digest>)>, Error> {
    let Some(job) = list::line(line.as_bytes())? else { return Ok(None) };
    let Destination::Name(name) = &job.destination else { return Ok(None) };
    let digests: Vec<Digest> = job.expected.into_iter().map(|one| one.digest).collect();
    Ok((!digests.is_empty()).then(|| (name.to_string(), digests)))
}

/// Shows a message about `number` lines of a list. `what` is the rest of the sentence, such as [`NOT_READ`],
/// and `first` says what is wrong with the first of these lines. Returns false, and shows nothing, if
/// `number` is 0.
fn report_lines(severity: &str, number: usize, list: &str, what: &str, first: Option<&str>) -> bool {
    let lines = if number == 1 { "line" } else { "lines" };
    if number > 0 {
        let first = first.map_or(String::new(), |first| format!(" ({})", escaped(first)));
        printer::err(&format!("{severity}: {number} {lines} of {} {what}{first}\n", escaped(list)));
    }
    number > 0
}

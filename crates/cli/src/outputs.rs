//! Checks the files that a run writes in addition to its downloads, before anything is requested: the lock
//! file, the archive, the list of failed files, the cookies and the log.
//!
//! Invariant: a run replaces an existing file only if this file is empty or of the same kind as the new file,
//! so a mistyped name destroys nothing. An output of the run cannot be the same file as another output or an
//! input of the run, except for the pairs in [`Kind::also`]. It cannot have the path of the output folder or
//! of a folder above.

use crate::archive;
use crate::args::{Args, BodyOption};
use crate::given;
use crate::logins;
use crate::platform;
use crate::record;
use crate::settings;
use crate::words;
use downhaul_engine::core::credentials::cookies;
use downhaul_engine::core::list::left_over;
use downhaul_engine::core::list::text::Lines;
use downhaul_engine::core::signature::Keys;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf, absolute};

struct Kind {
    option: &'static str,
    /// The name of the kind in messages.
    called: &'static str,
    /// Returns true for a file of this kind. The log has no such function, because it is never replaced.
    is_ours: Option<fn(&Path) -> io::Result<bool>>,
    /// The option for an input that may be the same file, because the run reads this input before it writes
    /// the file of this kind.
    also: Option<&'static str>,
}

const RECORD: Kind =
    Kind { option: "--record", called: "a lock file", is_ours: Some(record::is_lock_file), also: Some("-i") };
const ARCHIVE: Kind =
    Kind { option: "--archive", called: "an archive", is_ours: Some(archive::is_archive), also: None };
const FAILED: Kind = Kind {
    option: "--failed",
    called: "a list of --failed",
    is_ours: Some(is_failed_list),
    also: Some("-i"),
};
const COOKIES: Kind = Kind {
    option: "--save-cookies",
    called: "a cookie file",
    is_ours: Some(is_cookie_file),
    also: Some("--cookies"),
};
const LOG: Kind = Kind { option: "--log", called: "a log", is_ours: None, also: None };

/// The reason why a lock file cannot be a Parquet file. Each row is written as soon as its job has ended, so
/// that a killed run leaves its rows. The index of a Parquet file is at its end, so a killed run would leave
/// a file that cannot be read.
const NO_PARQUET: &str = "a Parquet file can be read only when it is complete, so a run that is stopped would \
                          leave no lock file that can be read. pyarrow makes a Parquet file from a table, with pyarrow.csv.read_csv and \
                          pyarrow.parquet.write_table.";

/// Checks the files that a run writes. `args` are the arguments as they were given: each `@FILE` is still the
/// name of a file. `log` is the path of the log.
///
/// # Errors
/// Returns why a file may not be written, in words for the user.
pub(crate) fn check(args: &Args, log: Option<&Path>) -> Result<(), String> {
    let options = &args.options;
    let outputs = [
        (RECORD, options.verification.record.as_deref()),
        (ARCHIVE, args.existing.archive.as_deref()),
        (FAILED, options.failure.failed.as_deref()),
        (COOKIES, options.http.save_cookies.as_deref()),
        (LOG, log),
    ];
    let outputs: Vec<(Kind, &Path)> =
        outputs.into_iter().filter_map(|(kind, path)| Some((kind, path?))).collect();
    let inputs = inputs(args);
    for (index, (kind, path)) in outputs.iter().enumerate() {
        let shown = words::path(path);
        // If no option names the log, a link of another user is not an error: the run then writes no log.
        let is_named = kind.is_ours.is_some() || options.reporting.log.is_some();
        if is_named && platform::is_link_of_another_user(path) {
            return Err(format!("{} {shown}: it is a link that another user made", kind.option));
        }
        let others = outputs.iter().take(index).map(|(other, path)| (other.option, path.to_path_buf()));
        let others = others.chain(inputs.iter().filter(|(name, _)| kind.also != Some(name)).cloned());
        if let Some((other, _)) = others.into_iter().find(|(_, other)| is_same(path, other)) {
            return Err(format!("{} {shown}: it is also the file of {other}", kind.option));
        }
        if args.output.folder.ancestors().any(|folder| is_same(path, folder)) {
            return Err(format!(
                "{} {shown}: it cannot be a file, because -d needs this folder",
                kind.option
            ));
        }
        let is_known = kind.is_ours.map_or(Ok(true), |is_ours| is_empty_or_ours(path, is_ours));
        match is_known {
            Ok(true) => {}
            Ok(false) => {
                return Err(format!("{} {shown}: it exists, and it is not {}", kind.option, kind.called));
            }
            Err(e) => return Err(format!("{} {shown}: it exists, and it cannot be read: {e}", kind.option)),
        }
    }
    match &options.verification.record {
        Some(path) if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) => {
            let csv = words::path(&path.with_extension("csv"));
            Err(format!("--record {}: {NO_PARQUET} Use --record {csv}", words::path(path)))
        }
        // The lock file may be replaced at the end, and a device must not be replaced.
        Some(path) if fs::metadata(path).is_ok_and(|found| !found.is_file()) => {
            Err(format!("--record {}: it is not a regular file", words::path(path)))
        }
        _ => Ok(()),
    }
}

/// Checks that the archive and the files that are written at the end of the run can be written. Without this
/// check, the user would learn only after the downloads that a folder does not exist. The output folder may
/// not exist yet. So if one of these files is below the output folder, this function creates the folder of
/// that file.
///
/// # Errors
/// Returns why a file cannot be written, in words for the user.
pub(crate) fn check_folders(args: &Args) -> Result<(), String> {
    let failed = args.options.failure.failed.as_deref().map(|path| (FAILED.option, path));
    let cookies = args.options.http.save_cookies.as_deref().map(|path| (COOKIES.option, path));
    // A lock file may be replaced at the end, and SQLite creates files beside an archive.
    let record = args.options.verification.record.as_deref().map(|path| ("the lock file", path));
    let archive = args.existing.archive.as_deref().map(|path| ("the archive", path));
    for (what, path) in [failed, cookies, record, archive].into_iter().flatten() {
        create_folder(path, &args.output.folder)
            .and_then(|()| platform::check_replace(path))
            .map_err(|e| format!("{what} {} cannot be written: {e}", words::path(path)))?;
    }
    Ok(())
}

/// Creates the folder of a file, if this folder is the output folder or is below it. The output folder may
/// not exist yet. If the output folder is the current folder, a folder is created only if its path begins
/// like the path of the output folder. Otherwise the path may be mistyped.
pub(crate) fn create_folder(path: &Path, output: &Path) -> io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let is_inside = folder.strip_prefix(output).is_ok_and(|rest| !leads_up(rest));
    if is_inside || is_below(folder, output).unwrap_or(false) { fs::create_dir_all(folder) } else { Ok(()) }
}

fn leads_up(folder: &Path) -> bool {
    folder.components().any(|part| part == Component::ParentDir)
}

/// Returns true if this folder is the output folder or is below it, and the output folder is not the current
/// folder.
fn is_below(folder: &Path, output: &Path) -> io::Result<bool> {
    let output = absolute(output)?;
    Ok(!leads_up(folder) && absolute(folder)?.starts_with(&output) && output != absolute(".")?)
}

/// Returns the files that the run reads, each with the option that names it. The certificates in a folder are
/// left out, because their names are not known.
fn inputs(args: &Args) -> Vec<(&'static str, PathBuf)> {
    let (http, verification) = (&args.options.http, &args.options.verification);
    let text = |text: &Option<String>| text.as_ref().map(PathBuf::from);
    let files = [
        ("--config", args.config.file().map(Path::to_path_buf)),
        ("--cookies", http.cookies.clone()),
        ("--netrc", logins::netrc_file(http)),
        ("--cacert", http.cacert.clone()),
        ("SSL_CERT_FILE", settings::variable("SSL_CERT_FILE").map(PathBuf::from)),
        ("--cert", http.cert.as_ref().map(|cert| cert.file.clone())),
        ("--key", http.key.clone()),
        ("--checksum-file", text(&verification.checksum_file)),
        ("--signed-by", text(&verification.signed_by)),
    ];
    let files = files.into_iter().filter_map(|(name, path)| Some((name, path?)));
    let signed = verification.checksum_file.iter().filter(|_| verification.signed_by.is_some());
    let signatures = signed.flat_map(|list| Keys::all_list_endings().map(move |end| format!("{list}{end}")));
    let signatures = signatures.map(|path| ("the signature of --checksum-file", PathBuf::from(path)));
    let bodies = [("--data", &http.data), ("--json", &http.json)].into_iter();
    let bodies = bodies.flat_map(|(name, bodies)| bodies.iter().map(move |body| (name, body)));
    let bodies = bodies.filter_map(|(name, body)| match body {
        BodyOption::File(path) => Some((name, path.clone())),
        BodyOption::Text(_) => None,
    });
    let of_config = args.config.named_files().map(|path| ("a key of the configuration", path.to_path_buf()));
    let lists = args.output.input.iter().map(|list| ("-i", list.clone()));
    files
        .chain(lists)
        .chain(signatures)
        .chain(bodies)
        .chain(logins::secret_files(http))
        .chain(of_config)
        .collect()
}

/// Returns true if both paths lead to the same regular file, or would lead to the same file if it existed.
/// `-` is standard input.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| match fs::metadata(path) {
        _ if path.as_os_str() == "-" => fs::canonicalize("/dev/stdin").ok(),
        Ok(found) if !found.is_file() => None,
        Ok(_) => fs::canonicalize(path).ok(),
        Err(_) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
            Some(folder.join(path.file_name()?))
        }
    };
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// Returns true if there is no regular file at this path, if the file is empty, or if `is_ours` returns true
/// for the file.
pub(crate) fn is_empty_or_ours(path: &Path, is_ours: fn(&Path) -> io::Result<bool>) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() > 0 => is_ours(path),
        _ => Ok(true),
    }
}

/// Returns true if `--failed` wrote all lines of the file. Any other line would be lost when the file is
/// replaced.
fn is_failed_list(path: &Path) -> io::Result<bool> {
    for line in Lines::new(File::open(path)?) {
        if !left_over::is_line(&String::from_utf8_lossy(&line?)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_cookie_file(path: &Path) -> io::Result<bool> {
    let text = given::read(path, cookies::LONGEST)?;
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().next().unwrap_or_default().to_ascii_lowercase();
    // curl, wget and extensions of browsers write `# Netscape HTTP Cookie File` or `# HTTP Cookie File`.
    let is_named = first.starts_with('#') && first.contains("http cookie file");
    Ok(is_named || cookies::read(&text).is_ok_and(|(cookies, _)| !cookies.is_empty()))
}

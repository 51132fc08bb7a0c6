//! Writes the lock file of `--record`, which lists the downloaded files of a run.
//!
//! Invariant: the lock file is complete at any time, because a new one replaces it in one step at the end of
//! the run. Lines of files that this run did not download are kept, and so are lines of other kinds. Until
//! the end of the run, each file takes some hundred bytes of memory.

use crate::input;
use crate::platform;
use crate::ui::{EventReader, Next};
use downhaul_engine::core::digest::Algorithm;
use downhaul_engine::core::event::{Event, EventKind, JobId};
use downhaul_engine::core::lock_file::Entry;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Returns true if a line is one of a lock file.
pub(crate) fn is_line(text: &str) -> bool {
    Entry::from_json(text).is_some()
}

/// A lock file that will be written.
pub(crate) struct Record {
    path: PathBuf,
    /// The folder to which the names in the lock file are relative.
    output: PathBuf,
    /// Unfinished files: the given URL, the URL that answered, and the validator.
    running: HashMap<JobId, (String, String, Option<String>)>,
    entries: BTreeMap<JobId, Entry>,
    /// The number of files that were not downloaded, because they existed already.
    skipped: u64,
}

impl Record {
    pub(crate) fn new(path: &Path, output: &Path) -> Record {
        let (path, output) = (path.to_path_buf(), output.to_path_buf());
        Record { path, output, running: HashMap::new(), entries: BTreeMap::new(), skipped: 0 }
    }

    /// Reads events until the session is over, and then writes the lock file. Returns a warning if files are
    /// missing from it.
    ///
    /// # Errors
    /// Returns why the lock file could not be written, in words for the user.
    pub(crate) fn run(mut self, mut events: EventReader) -> Result<Option<String>, String> {
        loop {
            match events.next(Duration::from_secs(3600)) {
                Next::Event(event) => self.take(&event),
                Next::Nothing => {}
                Next::End => break,
            }
        }
        self.write().map_err(|e| format!("the lock file {} cannot be written: {e}", self.path.display()))?;
        let some = match self.skipped {
            0 => return Ok(None),
            1 => "1 file existed already, and is".to_string(),
            n => format!("{n} files existed already, and are"),
        };
        Ok(Some(format!("{some} in the lock file only if an earlier run recorded it")))
    }

    fn take(&mut self, event: &Event) {
        let Some(job) = event.job else { return };
        match &event.kind {
            EventKind::Queued { url, .. } => {
                self.running.insert(job, (url.clone(), url.clone(), None));
            }
            EventKind::Started { url, validator, .. } => {
                if let Some((_, answered, version)) = self.running.get_mut(&job) {
                    (*answered, *version) = (url.clone(), validator.clone());
                }
            }
            EventKind::Skipped { .. } => {
                self.running.remove(&job);
                self.skipped += 1;
            }
            EventKind::Failed { .. } => drop(self.running.remove(&job)),
            EventKind::Finished { path, bytes, digests, .. } => {
                let Some((url, answered, validator)) = self.running.remove(&job) else { return };
                let path = Path::new(path);
                let below = path.strip_prefix(&self.output).ok();
                // With -o, the file may be outside the output folder.
                let out =
                    below.or(path.file_name().map(Path::new)).unwrap_or(path).to_string_lossy().into_owned();
                let digests = digests.iter().filter_map(|(name, hex)| {
                    let bare = Algorithm::from_name(name)?.name().replace('-', "");
                    Some((bare, Value::from(hex.as_str())))
                });
                let entry = Entry {
                    final_url: Some(answered).filter(|answered| *answered != url),
                    url,
                    out,
                    size: *bytes,
                    validator,
                    date: event.at,
                    digests: digests.collect(),
                };
                self.entries.insert(job, entry);
            }
            _ => {}
        }
    }

    /// Replaces the lock file. Links are followed.
    fn write(&self) -> io::Result<()> {
        let new: HashSet<&str> = self.entries.values().map(|entry| entry.out.as_str()).collect();
        let stays =
            |line: &String| Entry::from_json(line).is_none_or(|entry| !new.contains(entry.out.as_str()));
        let old: Vec<String> = match File::open(&self.path) {
            Ok(file) => input::lines(file).filter(stays).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        if new.is_empty() {
            return Ok(());
        }
        let lines = old.into_iter().chain(self.entries.values().map(Entry::to_json));
        let text: String = lines.map(|line| line + "\n").collect();
        platform::replace(&self.path, text.as_bytes(), platform::FOR_ALL)
    }
}

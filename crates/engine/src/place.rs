//! Chooses where a file goes: by the person's word or the server's, by what stands there already, and by what
//! other files of the run have taken.
//!
//! Invariant: no two files of a run have the same target, part file or journal, and none has the run's log.

use crate::disk::{self, Disk, NoFile};
use crate::proofs::Known;
use downhaul_core::digest::{self, Expected};
use downhaul_core::error::{Error, Kind};
use downhaul_core::event::JobId;
use downhaul_core::job::{IfExists, JobSpec, Target};
use downhaul_core::name::{SafeName, same_file_key};
use downhaul_core::plan::Place;
use downhaul_core::reply::Reply;
use downhaul_core::settings::{Resume, Settings, Verify};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Beyond this many files of one name something else is wrong.
const MOST_NUMBERED: u32 = 100_000;

/// The paths that files of this run have taken, as hashes: a run of a million files remembers them in some ten megabytes,
/// and two paths that share a hash only cost the later one a number.
pub(crate) struct Taken {
    names: Mutex<Names>,
    hasher: RandomState,
    /// What relative paths begin with: the folder that the run was started in.
    here: PathBuf,
}

#[derive(Default)]
struct Names {
    taken: HashSet<u64>,
    /// What a file in flight has taken: choosing again is no conflict.
    by: HashMap<JobId, u64>,
}

/// What belongs to a target while it is unfinished.
const ENDINGS: [&str; 2] = [".part", ".part.journal"];

impl Taken {
    pub(crate) fn new(reserved: &[PathBuf]) -> Self {
        let here = std::path::absolute(".").unwrap_or_default();
        let taken = Taken { names: Mutex::default(), hasher: RandomState::new(), here };
        for path in reserved {
            let hash = taken.hasher.hash_one(taken.key(path));
            taken.names().taken.insert(hash);
        }
        taken
    }

    /// Takes a path for a job, with the names that belong to it while it is unfinished. False if another has any of
    /// them.
    fn take(&self, path: &Path, job: JobId) -> bool {
        let key = self.key(path);
        let hash = |key: &str| self.hasher.hash_one(key);
        let mine = hash(&key);
        let mut names = self.names();
        if names.by.get(&job) == Some(&mine) {
            return true;
        }
        let of_mine = ENDINGS.map(|ending| hash(&format!("{key}{ending}")));
        let of_another = ENDINGS.map(|ending| key.strip_suffix(ending).map(hash));
        let all = of_mine.into_iter().chain(of_another.into_iter().flatten()).chain([mine]);
        let free = all.into_iter().all(|hash| !names.taken.contains(&hash));
        if free {
            names.taken.insert(mine);
            names.by.insert(job, mine);
        }
        free
    }

    /// The job is over: what it has taken stays so.
    pub(crate) fn over(&self, job: JobId) {
        self.names().by.remove(&job);
    }

    fn key(&self, path: &Path) -> String {
        // Without what says nothing: `./`, doubled slashes.
        let path: PathBuf = self.here.join(path).components().collect();
        same_file_key(&path.to_string_lossy())
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a file goes. Blocks: it asks the disk. With `reply`, the server's words count too. What is `known` of it holds
/// for a file that is there already.
pub(crate) fn choose(
    job: JobId,
    spec: &JobSpec,
    reply: Option<&Reply>,
    settings: &Settings,
    known: &Known,
    taken: &Taken,
    disk: &dyn Disk,
) -> Result<(PathBuf, Place), Error> {
    let prove = |path: &Path, stated: &[Expected]| match settings.verify {
        Verify::Off => Ok(None),
        _ => prove(path, &[&spec.expected, &known.about.expected, stated].concat(), known, disk),
    };
    let (base, server_chose) = match (&spec.target, reply) {
        (Target::Stdout, _) => return Ok(("-".into(), Place::Free { path: "-".into(), left: false })),
        (Target::Stream(path), _) => {
            let shown = path.to_string_lossy().into_owned();
            return Ok((path.clone(), Place::Free { path: shown, left: false }));
        }
        (Target::Path(path), _) => (settings.output.join(path), false),
        (target, reply) => {
            let name = settings.naming.name_for(spec, reply);
            let below = name.as_ref().map(SafeName::as_str).unwrap_or_default();
            (settings.output.join(below), *target == Target::Server)
        }
    };
    for n in 0..MOST_NUMBERED {
        let path = if n == 0 { base.clone() } else { numbered(&base, n) };
        if !taken.take(&path, job) {
            if server_chose || settings.if_exists == IfExists::Rename {
                continue;
            }
            return Err(Error::new(Kind::NameTaken, path.to_string_lossy(), ""));
        }
        let free = |path: PathBuf| Ok(free(path, settings, disk));
        let Some(standing) = disk.look(&path)? else { return free(path) };
        disk.tidy(&path);
        if let Some(instead) = standing.instead {
            if server_chose {
                continue;
            }
            let kind = match instead {
                NoFile::Folder => Kind::FileIsFolder,
                NoFile::Device => Kind::FileIsDevice,
            };
            return Err(Error::new(kind, path.to_string_lossy(), ""));
        }
        let shown = path.to_string_lossy().into_owned();
        match settings.if_exists {
            // It is what shall be gone on with, and replaced when that is complete.
            _ if settings.resume == Resume::Adopt => return free(path),
            _ if settings.resume == Resume::Repair => {
                return match prove(&path, &[]) {
                    Ok(Some(proof)) => Ok(stays(path, &format!("is as it should be, {proof}"))),
                    Ok(None) if spec.pieces.is_none() => {
                        let why = "so nobody knows what of the file is wrong";
                        Err(Error::new(Kind::DigestMissing, shown, why))
                    }
                    _ => free(path),
                };
            }
            IfExists::Rename => continue,
            IfExists::Overwrite => return free(path),
            IfExists::Error => return Err(Error::new(Kind::FileExists, shown, "")),
            IfExists::Skip => {
                let proof = prove(&path, &[])?.map_or(String::new(), |proof| format!(", {proof}"));
                return Ok(stays(path, &format!("already exists{proof}")));
            }
            IfExists::Update => {
                let Some(reply) = reply else { return free(path) };
                let same_size = reply.size().map(|size| size == standing.size);
                // HTTP dates have whole seconds.
                let same_time = match (reply.last_modified, standing.modified) {
                    (Some(there), Some(here)) => Some(seconds(there) == seconds(here)),
                    _ => None,
                };
                if same_size == Some(false) || same_time == Some(false) {
                    return free(path);
                }
                let comparable = same_size.is_some() || same_time.is_some();
                return match prove(&path, &reply.digests) {
                    Ok(proof) if comparable || proof.is_some() => Ok(stays(path, "is up to date")),
                    _ => free(path),
                };
            }
        }
    }
    Err(Error::new(Kind::NameTaken, base.to_string_lossy(), "and so are its numbered forms"))
}

fn free(path: PathBuf, settings: &Settings, disk: &dyn Disk) -> (PathBuf, Place) {
    let shown = path.to_string_lossy().into_owned();
    let left = match settings.resume {
        Resume::Forget => false,
        Resume::Auto => disk.has_left(&path),
        Resume::Adopt | Resume::Repair => true,
    };
    (path, Place::Free { path: shown, left })
}

fn stays(path: PathBuf, reason: &str) -> (PathBuf, Place) {
    let shown = path.to_string_lossy().into_owned();
    (path, Place::Taken { path: shown, reason: reason.into() })
}

fn numbered(base: &Path, n: u32) -> PathBuf {
    let file = base.file_name().unwrap_or_default().to_string_lossy();
    match SafeName::from_person(&file) {
        Ok(name) => base.with_file_name(name.numbered(n).as_str()),
        Err(_) => base.with_file_name(format!("{file} ({n})")),
    }
}

/// Checks a finished file against what is expected of it. What that proved, if anything was.
fn prove(
    path: &Path,
    expected: &[Expected],
    known: &Known,
    disk: &dyn Disk,
) -> Result<Option<String>, Error> {
    let (stated, signed) = (expected.iter().map(|one| one.digest.algorithm), known.about.signed.as_ref());
    let algorithms = digest::distinct(stated.chain(signed.and_then(|signed| signed.digest)));
    let shown = path.to_string_lossy();
    let computed = if algorithms.is_empty() { Vec::new() } else { disk::digests(disk, path, &algorithms)? };
    let strongest = digest::verdict(expected, &computed).map_err(|(one, _)| {
        let detail = format!("the file that is already there is not what {} says", one.from);
        Error::new(Kind::DigestMismatch, shown.as_ref(), detail)
    })?;
    match &known.signature {
        Some(signature) => {
            signature.check_file(&computed, || disk.open(path), &shown)?;
            Ok(Some(format!("signed by {}", signature.told().by)))
        }
        None => Ok(strongest.map(ToString::to_string)),
    }
}

fn seconds(at: std::time::SystemTime) -> u64 {
    at.duration_since(std::time::SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

//! The shard of a run (`--shard`): its number, the number of its jobs, and the files that say which shards of
//! a list are done. With `--shard auto`, the number comes from the environment of an array job.
//!
//! Invariant: the file that says that a shard is done is written last, in one step, and only if every file of
//! the shard is complete. In one folder, these files belong to one list, one number of shards, one value of
//! `--shard-by`, one set of containers (or none), and requests with one method, body and range.

use crate::args::{self, Args, ShardOption};
use crate::asks::Asks;
use crate::exit::Exit;
use crate::input::Input;
use crate::platform;
use crate::printer;
use crate::run;
use downhaul_engine::core::containers::{ContainerNames, Numbers};
use downhaul_engine::core::job::Job;
use downhaul_engine::core::shard::{ListDigest, Shard};
use downhaul_engine::core::show::escaped;
use downhaul_engine::{Containers, force_folder};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// The folder of the files that say which shards are done, below the output folder.
const FOLDER: &str = ".downhaul-shards";

/// The shard of a run, and the facts about the jobs that were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shards {
    pub(crate) shard: Shard,
    digest: ListDigest,
    /// The number of jobs in all lists.
    jobs: u64,
    /// The number of jobs in this shard.
    of_shard: u64,
    /// True if all jobs are known before the run.
    is_known: bool,
    /// The hash of the method, the body and the range of the requests ([`Asks::hash`]). It is empty until the
    /// run begins.
    request: String,
}

/// The content of the file that says that a shard is done. If an earlier version of downhaul wrote the file,
/// and one of these facts is missing, the file is refused, because it does not say enough about the files of
/// the shard.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    shard: u64,
    of: u64,
    by: String,
    /// The digest of the jobs of the whole list.
    jobs: String,
    files: u64,
    /// The pattern of the names of the containers, with their folder. It is empty if the files were not put
    /// into containers.
    containers: String,
    /// The hash of the method, the body and the range of the requests.
    request: String,
}

impl Shards {
    /// Returns the shard that the options choose, if they choose one. `variable` returns the value of an
    /// environment variable.
    ///
    /// # Errors
    /// Returns why the number of the shard is not known, or why there is no such shard, in words for the
    /// user.
    pub(crate) fn of(
        lists: &args::Lists,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Shards>, String> {
        let Some(option) = lists.shard else { return Ok(None) };
        let (number, of) = match option {
            ShardOption::Fixed(number, of) => (number, of),
            ShardOption::Auto(of) => automatic(of, variable).map_err(|why| format!("--shard auto: {why}"))?,
        };
        let shard = Shard::new(number, of, lists.shard_by.into())
            .ok_or_else(|| format!("--shard: there is no shard {number} of {of}: K is from 1 to {of}"))?;
        let (digest, request) = (ListDigest::default(), String::new());
        Ok(Some(Shards { shard, digest, jobs: 0, of_shard: 0, is_known: true, request }))
    }

    /// Adds the next job of a list, and returns true if it belongs to this shard. `position` is the number of
    /// jobs before it in its list. `job` is `None` for a line that has a mistake, and `named` is the job with
    /// the name of its file, if the name is known before the run.
    pub(crate) fn add(&mut self, position: u64, job: Option<&Job>, named: Option<&Job>) -> bool {
        let is_mine = self.shard.has(position, job);
        self.digest.add(named);
        self.of_shard += u64::from(is_mine);
        self.jobs += 1;
        is_mine
    }

    /// Begins a run of this shard, and shows how many jobs it has. If an earlier run completed the shard, no
    /// job is left. In this case, the files of `--failed` and `--record` are still written. A list on
    /// standard input is not known before the run, so its shards are not marked as done.
    pub(crate) fn begin(&mut self, args: &Args, asks: &Asks, input: &mut Input) -> Result<(), String> {
        if !self.is_known {
            return Ok(());
        }
        unmark_unfinished(args)?;
        self.request = asks.hash();
        let is_done = self.is_done(args)?;
        if !args.options.reporting.quiet {
            let done = if is_done { ", completed by an earlier run" } else { "" };
            printer::err(&format!("{}{done}\n", self.message()));
        }
        if is_done {
            input.parts.clear();
        }
        Ok(())
    }

    /// Marks the shard as done at the end of its run, if every file is complete and all jobs were known
    /// before the run. A preview marks nothing. `exit` is the exit status of the run. Returns `exit`, or
    /// [`Exit::Disk`] if the shard cannot be marked.
    pub(crate) fn end(&self, args: &Args, exit: Exit) -> Exit {
        if exit != Exit::Success || !self.is_known || args.plan().is_some() {
            return exit;
        }
        // In the meantime, a run with another list or other options may have marked a shard as done.
        let marked = self.is_done(args).and_then(|is_done| match is_done {
            true => Ok(()),
            false => self.write_done(args),
        });
        marked.inspect_err(|why| run::error(&escaped(why))).map_or(Exit::Disk, |()| exit)
    }

    /// Returns the number of jobs in all shards, if it is known before the run.
    pub(crate) fn jobs(&self) -> Option<u64> {
        self.is_known.then_some(self.jobs)
    }

    /// Stores that a part of the jobs is known only during the run.
    pub(crate) fn has_streams(&mut self) {
        self.is_known = false;
    }

    fn message(&self) -> String {
        let (number, of) = (self.shard.number(), self.shard.of());
        format!("shard {number} of {of}: {} of {} files", self.of_shard, self.jobs)
    }

    /// Returns true if an earlier run completed this shard of the list in the same output folder.
    ///
    /// # Errors
    /// Returns a message if the files that mark shards as done cannot be read, or if one of them is from a
    /// run with another list, number of shards, value of `--shard-by`, containers or requests.
    fn is_done(&self, args: &Args) -> Result<bool, String> {
        let markers = args.output.folder.join(FOLDER);
        let unreadable = |e: &dyn std::fmt::Display| format!("{} cannot be read: {e}", markers.display());
        let entries = match fs::read_dir(&markers) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(unreadable(&e)),
        };
        let own = self.done(args);
        let mut is_done = false;
        for entry in entries {
            let path = entry.map_err(|e| unreadable(&e))?.path();
            // A killed run may have left an incomplete file with another name.
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = fs::read(&path).map_err(|e| unreadable(&e))?;
            let done: Done = serde_json::from_slice(&bytes).map_err(|e| {
                let (path, markers) = (path.display(), markers.display());
                format!(
                    "{path} is damaged, or an earlier version of downhaul wrote it ({e}). Remove {markers}, and run \
                     all shards again. Files that are complete are not downloaded again"
                )
            })?;
            if let Some(why) = own.difference(&done, &markers) {
                return Err(format!("{} is for {why}", path.display()));
            }
            is_done |= done.shard == own.shard;
        }
        Ok(is_done)
    }

    /// Writes the file that says that this shard is done. The files of the shard are forced to the disk
    /// before, unless `--sync never` is given, so that a power failure removes none of them.
    fn write_done(&self, args: &Args) -> Result<(), String> {
        let folder = &args.output.folder;
        if args.output.sync != args::Sync::Never {
            force_folder(folder).map_err(|e| format!("the shard is not marked as done: {e}"))?;
        }
        let path = self.path(folder);
        let bytes = serde_json::to_vec(&self.done(args)).unwrap_or_default();
        let made = fs::create_dir_all(folder.join(FOLDER));
        made.and_then(|()| platform::replace(&path, &bytes, platform::FOR_ALL)).map_err(|e| {
            format!("{} cannot be written, so the shard is not marked as done: {e}", path.display())
        })
    }

    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(FOLDER).join(format!("{}.json", self.shard.number()))
    }

    fn done(&self, args: &Args) -> Done {
        let containers = args.output.containers().map(|(names, _)| with_folder(names));
        Done {
            containers: containers.unwrap_or_default(),
            request: self.request.clone(),
            shard: self.shard.number(),
            of: self.shard.of(),
            by: self.shard.by().name().into(),
            jobs: self.digest.hex(),
            files: self.of_shard,
        }
    }
}

impl Done {
    /// Returns what differs between the run that wrote `other` and this run, in words that follow "is for".
    /// Returns `None` if at most the numbers of the two shards differ. `markers` is the folder of the files
    /// that say which shards are done.
    fn difference(&self, other: &Done, markers: &Path) -> Option<String> {
        let markers = markers.display();
        if (other.of, &other.by) != (self.of, &self.by) {
            let Done { shard, of, by, .. } = other;
            return Some(format!(
                "shard {shard} of {of} (by {by}), and this run is shard {} of {} (by {}). Use the same shards as \
                 before, another folder, or remove {markers}",
                self.shard, self.of, self.by
            ));
        }
        if other.containers != self.containers {
            return Some(format!(
                "a run that saved its files elsewhere (into a folder, or into containers with other names or in \
                 another folder). Use another folder, or remove {markers}"
            ));
        }
        if other.request != self.request {
            return Some(format!(
                "a run with another method, body or range (--request, --data, --json or --range). Use another \
                 folder, or remove {markers}"
            ));
        }
        (other.jobs != self.jobs).then(|| {
            format!(
                "another list, for other names of its files, or for the list before it was changed. Use another \
                 folder, or remove {markers} to download the missing files"
            )
        })
    }
}

/// Returns the pattern of the names of containers with their folder. If two ways to write a folder differ
/// only in `.` and repeated slashes, such as `a` and `./a`, the text is the same.
fn with_folder(names: &ContainerNames) -> String {
    let parts = names.folder().components().filter(|part| *part != Component::CurDir);
    parts.collect::<PathBuf>().join(names.to_string()).to_string_lossy().into_owned()
}

/// Finds the unfinished containers of `--to-tar` or `--to-warc`: their names end in `.part`. If a shard is
/// marked as done and has such a container, removes the file that marks the shard. When a shard is marked,
/// all its containers have their final names. So the container got the ending `.part` later, as the
/// documentation advises for a container that was cut, and it may have lost files.
fn unmark_unfinished(args: &Args) -> Result<(), String> {
    let Some((names, _)) = args.output.containers() else { return Ok(()) };
    let unfinished = Containers::unfinished(&args.output.folder, names).map_err(|e| e.to_string())?;
    if unfinished.is_empty() {
        return Ok(());
    }
    for entry in fs::read_dir(args.output.folder.join(FOLDER)).into_iter().flatten().flatten() {
        let path = entry.path();
        let done = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Done>(&bytes).ok());
        let Some(Done { shard, of, containers, .. }) = done else { continue };
        if containers == with_folder(names)
            && unfinished.iter().any(|number| Numbers::of_shard(shard, of).has(*number))
        {
            fs::remove_file(&path).map_err(|e| format!("{} cannot be removed: {e}", path.display()))?;
        }
    }
    Ok(())
}

/// Returns the number of this task (from 1) and the number of all tasks, as the scheduler (Slurm, Kubernetes
/// or torchrun) states them. `of` is the number of shards, if the user stated it.
fn automatic(of: Option<u64>, variable: impl Fn(&str) -> Option<String>) -> Result<(u64, u64), String> {
    let number = |name: &str| -> Result<Option<u64>, String> {
        let Some(text) = variable(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("the value of {name} is not a number: {text}"))
    };
    if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
        let array = Array {
            id,
            first: number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(id),
            last: number("SLURM_ARRAY_TASK_MAX")?.unwrap_or(id),
            step: number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1),
            tasks: number("SLURM_ARRAY_TASK_COUNT")?.unwrap_or(1),
        };
        return array.shard(of);
    }
    if let Some(index) = number("JOB_COMPLETION_INDEX")? {
        let of = of.ok_or("Kubernetes does not state the number of tasks. Use --shard auto/N, where N is the number of completions")?;
        return Ok((index.saturating_add(1), of));
    }
    match (number("RANK")?, number("WORLD_SIZE")?, of) {
        (Some(rank), Some(size), None) => Ok((rank.saturating_add(1), size)),
        (Some(rank), Some(size), Some(of)) if size == of => Ok((rank.saturating_add(1), of)),
        (Some(_), Some(size), Some(of)) => Err(format!("WORLD_SIZE is {size}, and auto/{of} needs {of} tasks")),
        (Some(rank), None, Some(of)) => Ok((rank.saturating_add(1), of)),
        (Some(_), None, None) => Err("RANK is set, and WORLD_SIZE is not. Use --shard auto/N".into()),
        (None, ..) => Err(
            "no task number is known. It is read from SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, or RANK and \
             WORLD_SIZE. Elsewhere, use --shard K/N"
                .into(),
        ),
    }
}

/// A job array of Slurm, as its environment variables state it.
struct Array {
    id: u64,
    first: u64,
    last: u64,
    step: u64,
    tasks: u64,
}

impl Array {
    /// Returns the shard of this task. The shards of a whole array are counted from its first id. If only a
    /// part of an array is submitted again, the variables state neither the first id nor the number of tasks
    /// of the whole array.
    fn shard(&self, of: Option<u64>) -> Result<(u64, u64), String> {
        let Array { id, first, last, step, tasks } = *self;
        let is_whole = first <= 1 && last.saturating_sub(first) / step + 1 == tasks;
        let from_first = id.saturating_sub(first) / step + 1;
        match of {
            None if is_whole && tasks > 1 => Ok((from_first, tasks)),
            None => Err(format!(
                "this array seems to be a part of another array (tasks: {tasks}, ids: {first} to {last}). Use \
                 --shard auto/N, with the number of shards of the whole array"
            )),
            Some(of) if is_whole && tasks == of => Ok((from_first, of)),
            // The ids of the whole array were 0 to N - 1, because this part contains id 0, or they were 1 to
            // N, because this part contains id N.
            Some(of) if step == 1 && first == 0 && last < of => Ok((id + 1, of)),
            Some(of) if step == 1 && last == of => Ok((id, of)),
            Some(of) => Err(format!(
                "the ids {first} to {last} do not show whether the ids of all {of} shards begin with 0 or with 1. Use \
                 --shard $((SLURM_ARRAY_TASK_ID + 1))/{of} if they begin with 0, or --shard \
                 $SLURM_ARRAY_TASK_ID/{of} if they begin with 1"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn automatic_in(of: Option<u64>, variables: &[(&str, &str)]) -> Result<(u64, u64), String> {
        automatic(of, |name| {
            variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_string())
        })
    }

    fn slurm(
        of: Option<u64>,
        id: u64,
        first: u64,
        last: u64,
        tasks: u64,
        step: u64,
    ) -> Result<(u64, u64), String> {
        let values = [id, first, last, tasks, step].map(|value| value.to_string());
        let names = ["ID", "MIN", "MAX", "COUNT", "STEP"].map(|name| format!("SLURM_ARRAY_TASK_{name}"));
        let all: Vec<_> =
            names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str())).collect();
        automatic_in(of, &all)
    }

    #[test]
    fn a_whole_array_of_slurm_needs_no_number() {
        assert_eq!(slurm(None, 0, 0, 7, 8, 1), Ok((1, 8)));
        assert_eq!(slurm(None, 7, 0, 7, 8, 1), Ok((8, 8)));
        assert_eq!(slurm(None, 1, 1, 8, 8, 1), Ok((1, 8)));
        assert_eq!(slurm(None, 8, 1, 8, 8, 1), Ok((8, 8)));
        assert_eq!(slurm(None, 4, 0, 14, 8, 2), Ok((3, 8)));
        assert_eq!(slurm(Some(8), 7, 0, 7, 8, 1), Ok((8, 8)));
    }

    #[test]
    fn a_part_of_an_array_has_the_shards_of_the_whole_one_or_is_refused() {
        for (id, first, last, tasks) in [(3, 3, 7, 2), (3, 3, 4, 2), (5, 5, 5, 1)] {
            let refused = slurm(None, id, first, last, tasks, 1).expect_err("a part");
            assert!(refused.contains("auto/N"), "{refused}");
        }
        // The whole array had 8 tasks. An id of 0 or 8 shows if its ids began with 0 or with 1.
        assert_eq!(slurm(Some(8), 3, 0, 3, 2, 1), Ok((4, 8)));
        assert_eq!(slurm(Some(8), 3, 3, 8, 2, 1), Ok((3, 8)));
        let refused = slurm(Some(8), 3, 3, 7, 2, 1).expect_err("ambiguous");
        assert!(refused.contains("--shard $((SLURM_ARRAY_TASK_ID + 1))/8"), "{refused}");
        assert!(slurm(Some(8), 3, 1, 3, 2, 1).is_err());
        assert!(slurm(Some(4), 3, 0, 7, 8, 1).is_err(), "more tasks than shards");
    }

    #[test]
    fn other_systems_state_the_task_in_their_own_variables() {
        assert_eq!(automatic_in(Some(5), &[("JOB_COMPLETION_INDEX", "0")]), Ok((1, 5)));
        assert!(automatic_in(None, &[("JOB_COMPLETION_INDEX", "0")]).is_err());
        assert_eq!(automatic_in(None, &[("RANK", "3"), ("WORLD_SIZE", "4")]), Ok((4, 4)));
        assert!(automatic_in(Some(5), &[("RANK", "3"), ("WORLD_SIZE", "4")]).is_err());
        assert!(automatic_in(None, &[("RANK", "3")]).is_err());
        assert!(automatic_in(None, &[("RANK", "x"), ("WORLD_SIZE", "4")]).is_err());
        assert!(automatic_in(Some(3), &[]).is_err());
    }
}

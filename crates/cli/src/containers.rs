//! Checks the options for the tars of `--to-tar` and the WARCs of `--to-warc`, opens these containers, and
//! ends them.

use crate::args::{Args, Decode, Dedup, IfExists, IfLocked};
use crate::exit::Exit;
use crate::run;
use crate::shards::Shards;
use downhaul_engine::core::containers::{Form, Numbers};
use downhaul_engine::core::error::ErrorKind;
use downhaul_engine::core::show::escaped;
use downhaul_engine::{ContainerOptions, Containers};
use std::sync::Arc;

/// Returns why the options contradict each other, in words for the user. Returns `None` if there is no
/// contradiction.
pub(crate) fn contradiction(args: &Args) -> Option<String> {
    let (names, _) = args.output.containers()?;
    let (word, option) = (names.form().word(), names.form().option());
    if args.plan().is_some() {
        return Some(format!("a plan cannot say which files a run puts into {word}s: leave {option} out"));
    }
    if args.existing.dedup != Dedup::Off {
        return Some(format!(
            "{option} and --dedup exclude each other, because files in {word}s cannot be linked"
        ));
    }
    let http = &args.options.http;
    if names.form() == Form::Warc && (http.decode == Decode::Auto || http.compressed) {
        return Some(
            "--to-warc keeps files as they were sent, so --decode auto cannot be used with it".into(),
        );
    }
    if names.form() == Form::Warc && http.range.is_some() {
        return Some("--to-warc keeps whole responses, so --range cannot be used with it".into());
    }
    let replaces = match args.existing.if_exists {
        IfExists::Overwrite => "overwrite",
        IfExists::Update => "update",
        IfExists::Rename => "rename",
        IfExists::Check | IfExists::Skip | IfExists::Error => return None,
    };
    let known = format!("with {option}, use check, skip or error");
    Some(format!("--if-exists {replaces}: files in a {word} are not replaced, so {known}"))
}

/// Opens the containers, if `--to-tar` or `--to-warc` is given. If another run writes them and `--if-locked
/// wait` is given, waits until that run has ended.
///
/// # Errors
/// If the containers cannot be opened, shows the reason and returns the exit status.
pub(crate) fn open(args: &Args, shards: Option<&Shards>) -> Result<Option<Arc<Containers>>, Exit> {
    let Some((names, bounds)) = args.output.containers() else { return Ok(None) };
    let of_shard = |shards: &Shards| Numbers::of_shard(shards.shard.number(), shards.shard.of());
    let option = names.form().option();
    let opened = Containers::open(ContainerOptions {
        output: args.output.folder.clone(),
        names: names.clone(),
        numbers: shards.map_or(Numbers::ALL, of_shard),
        bounds,
        waits: args.existing.if_locked == IfLocked::Wait,
    });
    opened.map(|containers| Some(Arc::new(containers))).map_err(|why| {
        // The text of `disk.failed` is about a file that is downloaded, and not about a container.
        let shown = match why.kind {
            ErrorKind::DiskFailed => format!("{} ({})", why.detail, why.at),
            _ => why.to_string(),
        };
        run::error(&format!("{option}: {}", escaped(&shown)));
        Exit::of_blame(why.kind.blame())
    })
}

/// Ends the containers at the end of a run. If `no_more_files` is true, the last container gets its final
/// name.
///
/// # Errors
/// If the last container cannot be completed, shows the reason and returns the exit status.
pub(crate) fn end(containers: &Containers, no_more_files: bool) -> Result<(), Exit> {
    containers.end(no_more_files).map_err(|why| {
        let word = containers.form().word();
        run::error(&format!("the last {word} is not complete: {}", escaped(&why.to_string())));
        Exit::Disk
    })
}

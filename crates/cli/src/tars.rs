//! The tars of `--to-tar`: what the options say about them, and when the last one is complete.

use crate::args::{Args, Dedup, IfExists, IfLocked};
use crate::exit::Exit;
use crate::run;
use crate::shards::Shards;
use downhaul_engine::core::show::escaped;
use downhaul_engine::core::tars::{Bounds, Numbers};
use downhaul_engine::{TarOptions, Tars};
use std::sync::Arc;

/// Returns why the options contradict each other, in words for the user.
pub(crate) fn contradiction(args: &Args) -> Option<String> {
    args.output.to_tar.as_ref()?;
    if args.plan().is_some() {
        return Some("a plan cannot say what is in tars: leave --to-tar out".into());
    }
    if args.existing.dedup != Dedup::Off {
        return Some(
            "--to-tar and --dedup exclude each other, because members of tars cannot be linked".into(),
        );
    }
    let replaces = match args.existing.if_exists {
        IfExists::Overwrite => "overwrite",
        IfExists::Update => "update",
        IfExists::Rename => "rename",
        IfExists::Check | IfExists::Skip | IfExists::Error => return None,
    };
    let known = "with --to-tar, use check, skip or error";
    Some(format!("--if-exists {replaces}: members of a tar are not replaced, so {known}"))
}

/// Opens the tars, if `--to-tar` is given. `--if-locked wait` waits for another run that writes them.
pub(crate) fn open(args: &Args, shards: Option<&Shards>) -> Result<Option<Arc<Tars>>, Exit> {
    let Some(names) = args.output.to_tar.clone() else { return Ok(None) };
    let of_shard = |shards: &Shards| Numbers::of_shard(shards.shard.number(), shards.shard.of());
    let opened = Tars::open(TarOptions {
        output: args.output.folder.clone(),
        names,
        numbers: shards.map_or(Numbers::ALL, of_shard),
        bounds: Bounds { size: args.output.tar_size, count: args.output.tar_count },
        waits: args.existing.if_locked == IfLocked::Wait,
    });
    match opened {
        Ok(tars) => Ok(Some(Arc::new(tars))),
        Err(why) => {
            run::error(&format!("--to-tar: {}", escaped(&why.to_string())));
            Err(Exit::of_blame(why.kind.blame()))
        }
    }
}

/// Ends the tars at the end of a run. If no more files follow, the last tar gets its final name.
///
/// # Errors
/// Returns the exit status.
pub(crate) fn end(tars: &Tars, no_more_files: bool) -> Result<(), Exit> {
    tars.end(no_more_files).map_err(|why| {
        run::error(&format!("the last tar is not complete: {}", escaped(&why.to_string())));
        Exit::Disk
    })
}

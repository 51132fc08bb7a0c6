//! `downhaul pause`, `resume`, `remove` and `move`.

use super::download::{self, Download};
use super::http::{Failed, Http};
use super::print;
use crate::args::client::{Chosen, Move, Position, Remove};
use crate::exit::Exit;
use crate::run;
use downhaul_engine::core::show;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// Pauses or resumes downloads. If the daemon refuses to change one of them, the other downloads are still
/// changed.
///
/// # Errors
/// Returns an error if a call fails with [`Failed::Lost`], or if the daemon refuses `--all`.
pub(super) async fn pause(daemon: &Http, chosen: &Chosen, paused: bool) -> Result<Exit, String> {
    let change = json!({ "paused": paused });
    if chosen.all {
        daemon.call(Method::PATCH, "/downloads", Some(&change)).await?;
        return Ok(Exit::Success);
    }
    let mut exit = Exit::Success;
    for id in &chosen.ids {
        let done = match paused {
            true => daemon.call(Method::PATCH, &path(id), Some(&change)).await.map(drop),
            false => resume(daemon, id, &change).await,
        };
        note(id, done, &mut exit)?;
    }
    Ok(exit)
}

/// Resumes a download. A download that failed or was removed is tried again.
async fn resume(daemon: &Http, id: &str, change: &Value) -> Result<(), Failed> {
    let download: Download = download::read(daemon.call(Method::GET, &path(id), None).await?)?;
    match download.state.as_str() {
        "error" | "removed" => daemon.call(Method::POST, &format!("{}/retry", path(id)), None).await,
        "complete" => Err(Failed::Refused("the download is complete".into())),
        _ => daemon.call(Method::PATCH, &path(id), Some(change)).await,
    }
    .map(drop)
}

/// Removes downloads, and says which files stay. If the daemon refuses to remove one of them, the other
/// downloads are still removed.
///
/// # Errors
/// Returns an error if a call fails with [`Failed::Lost`], or if the daemon refuses `--over`.
pub(super) async fn remove(daemon: &Http, remove: &Remove) -> Result<Exit, String> {
    if remove.over {
        daemon.call(Method::DELETE, "/downloads", None).await?;
        return Ok(Exit::Success);
    }
    let mut exit = Exit::Success;
    for id in &remove.ids {
        let query = if remove.files { "?files=true" } else { "" };
        let done = daemon.call(Method::DELETE, &format!("{}{query}", path(id)), None).await;
        if let Some(message) = done.as_ref().ok().and_then(|answer| answer["message"].as_str()) {
            run::warn(&format!("{}: {}", show::escaped(id), show::escaped(message)));
        }
        note(id, done.map(drop), &mut exit)?;
    }
    Ok(exit)
}

/// Moves a download, and prints its new position.
pub(super) async fn to_position(daemon: &Http, to: &Move) -> Result<Exit, String> {
    let position = match to.position {
        Position::At(number) => number - 1,
        Position::Last => u32::MAX,
    };
    let moved = daemon.call(Method::PATCH, &path(&to.id), Some(&json!({ "position": position }))).await?;
    let moved: Download = download::read(moved)?;
    if let Some(position) = moved.position {
        print(&format!("{} is number {} of the queue\n", moved.shown_name(), position + 1))?;
    }
    Ok(Exit::Success)
}

/// Returns the path of a download in the interface of the daemon.
pub(super) fn path(id: &str) -> String {
    format!("/downloads/{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

/// If the daemon did not change a download, prints the reason and sets `exit` to [`Exit::Failed`].
///
/// # Errors
/// Returns an error if further calls to the daemon would probably fail too.
fn note(id: &str, done: Result<(), Failed>, exit: &mut Exit) -> Result<(), String> {
    match done {
        Ok(()) => {}
        Err(Failed::Lost(why)) => return Err(why),
        Err(Failed::Missing(why) | Failed::Refused(why)) => {
            run::error(&format!("{}: {why}", show::escaped(id)));
            *exit = Exit::Failed;
        }
    }
    Ok(())
}

//! Carries out the methods that list, add, change and remove downloads, and the methods for the options of
//! the daemon.

use super::download::{self, Download};
use super::problem::{Json, Query};
use super::{Problem, Web};
use crate::daemon::now;
use crate::entry::Entry;
use crate::fault::Fault;
use crate::gid::Gid;
use crate::item::Item;
use crate::options::{Options, row};
use crate::queue::{Place, Sequence};
use crate::state::{Edit, State as DaemonState};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The highest number of downloads in one answer.
const SHOWN_MOST: usize = 10_000;

/// The highest number of downloads in one answer if the client states no number.
const SHOWN: usize = 100;

/// The query for a list of downloads.
#[derive(Debug, Deserialize, IntoParams)]
pub struct Wanted {
    /// The downloads that are returned: `active`, `queued` (those that wait or are paused) or `over` (those
    /// that have ended). Without this parameter, all downloads are returned, in this order.
    sequence: Option<String>,
    /// A text that must be in the name or in a URL of each returned download. Upper and lower case make no
    /// difference.
    search: Option<String>,
    /// The number of matching downloads that are skipped. The default is 0.
    #[serde(default)]
    offset: usize,
    /// The largest number of downloads in the answer, from 0 to 10,000. The default is 100.
    limit: Option<usize>,
}

/// The downloads that match a query.
#[derive(Debug, Serialize, ToSchema)]
pub struct Downloads {
    /// The number of all downloads that match the query.
    count: usize,
    /// The matching downloads from the offset on. Among the downloads that are over, the one that ended last
    /// comes first.
    downloads: Vec<Download>,
}

/// A new download.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// The URLs of one file. Several URLs are mirrors.
    urls: Vec<String>,
    /// Options of the download. They have the same names as in aria2, such as `out`, `dir`, `header` and
    /// `checksum`.
    #[serde(default)]
    options: Value,
    /// The position of the download in the queue, counted from 0. Without a position, the download goes to
    /// the end of the queue.
    position: Option<u32>,
    /// True if the download is paused at first, until a client resumes it. The option `pause` has the same
    /// effect.
    #[serde(default)]
    paused: bool,
}

/// A change of a download. Fields that are missing change nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// True pauses the download, and false resumes it.
    paused: Option<bool>,
    /// Moves the download to this position in the queue, counted from 0.
    position: Option<u32>,
    /// Replaces the URLs of the download, for instance after a URL has expired. The downloaded bytes are kept
    /// if a new URL differs from the old one only in its signature, or if a strong digest is known.
    urls: Option<Vec<String>>,
    /// The options that get a new value. They have the same names as in aria2.
    options: Option<Value>,
}

/// The options for the removal of a download.
#[derive(Debug, Deserialize, IntoParams)]
pub struct Removal {
    /// True if the partial file or the complete file is deleted too. A complete file is kept if it may belong
    /// to another download or program.
    #[serde(default)]
    files: bool,
}

/// A complete file that was not deleted together with its download.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stays {
    /// The message for the user, which names the file and the reason.
    message: String,
}

/// A change of all downloads.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAll {
    /// True pauses all downloads that wait or are active, and false resumes all paused ones.
    paused: bool,
}

/// Returns the downloads that match the query.
#[utoipa::path(get, path = "/downloads", params(Wanted), responses((status = 200, body = Downloads)))]
pub async fn list(State(web): State<Web>, Query(wanted): Query<Wanted>) -> Result<Json<Downloads>, Problem> {
    let sequences = match wanted.sequence.as_deref() {
        None => vec![Sequence::Active, Sequence::Queued, Sequence::Over],
        Some("active") => vec![Sequence::Active],
        Some("queued") => vec![Sequence::Queued],
        Some("over") => vec![Sequence::Over],
        Some(_) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "sequence must be active, queued or over."));
        }
    };
    if wanted.limit.is_some_and(|limit| limit > SHOWN_MOST) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "limit must be at most 10000."));
    }
    let state = web.daemon.state();
    let search = wanted.search.unwrap_or_default().to_lowercase();
    let (mut offset, limit) = (wanted.offset, wanted.limit.unwrap_or(SHOWN));
    let (mut count, mut downloads) = (0, Vec::new());
    for sequence in sequences {
        if search.is_empty() {
            let number = state.queue().len(sequence);
            let some = in_order(&state, sequence, offset).take(limit - downloads.len());
            downloads.extend(some.map(|entry| Download::with_position(&state, entry)));
            (count, offset) = (count + number, offset.saturating_sub(number));
            continue;
        }
        for entry in in_order(&state, sequence, 0).filter(|entry| matches(entry, &search)) {
            if (wanted.offset..wanted.offset.saturating_add(limit)).contains(&count) {
                downloads.push(Download::with_position(&state, entry));
            }
            count += 1;
        }
    }
    Ok(Json(Downloads { count, downloads }))
}

/// Returns the downloads of a sequence from an offset on. Among the downloads that are over, the one that
/// ended last comes first.
fn in_order(
    state: &DaemonState,
    sequence: Sequence,
    offset: usize,
) -> Box<dyn Iterator<Item = &Arc<Entry>> + '_> {
    match sequence {
        Sequence::Over => Box::new(state.queue().back_from(sequence, offset)),
        Sequence::Queued | Sequence::Active => Box::new(state.queue().forward_from(sequence, offset)),
    }
}

fn matches(entry: &Entry, search: &str) -> bool {
    let urls: Vec<String> = entry.shown_uris().map(|url| url.to_lowercase()).collect();
    let name = download::name(entry, &urls).to_lowercase();
    name.contains(search) || urls.iter().any(|url| url.contains(search))
}

/// Adds a download.
#[utoipa::path(
    post,
    path = "/downloads",
    request_body = New,
    responses((status = 201, body = Download), (status = 400, body = Problem))
)]
pub async fn add(
    State(web): State<Web>,
    Json(new): Json<New>,
) -> Result<(StatusCode, Json<Download>), Problem> {
    let mut options = options(&new.options)?;
    if new.paused {
        options.set("pause", "true")?;
    }
    let (item, position) = (Item::new(new.urls, options), new.position.map(i64::from));
    let gid = web.daemon.change(|state| state.add(item, position, now()))?;
    Ok((StatusCode::CREATED, show_one(&web, gid)?))
}

/// Returns one download.
#[utoipa::path(
    get,
    path = "/downloads/{id}",
    params(("id" = String, Path)),
    responses((status = 200, body = Download), (status = 404, body = Problem))
)]
pub async fn show(State(web): State<Web>, Path(id): Path<String>) -> Result<Json<Download>, Problem> {
    show_one(&web, find(&web, &id)?)
}

/// Changes a download. Either all changes of the request are made, or none.
#[utoipa::path(
    patch,
    path = "/downloads/{id}",
    params(("id" = String, Path)),
    request_body = Change,
    responses((status = 200, body = Download), (status = 400, body = Problem), (status = 404, body = Problem))
)]
pub async fn change(
    State(web): State<Web>,
    Path(id): Path<String>,
    Json(change): Json<Change>,
) -> Result<Json<Download>, Problem> {
    let gid = find(&web, &id)?;
    let edit = Edit {
        options: change.options.as_ref().map(options).transpose()?,
        uris: change.urls,
        paused: change.paused,
        place: change.position.map(|position| Place::FromFront(position.into())),
    };
    web.daemon.change(|state| state.edit(gid, edit))?;
    show_one(&web, gid)
}

/// Removes a download. An active download stays in the list with the state `removed`, unless its files are
/// deleted too. Any other download is no longer in the list. If the complete file should be deleted too, but
/// was kept, the status is 200, and the answer has the reason.
#[utoipa::path(
    delete,
    path = "/downloads/{id}",
    params(("id" = String, Path), Removal),
    responses(
        (status = 200, body = Stays), (status = 204), (status = 400, body = Problem), (status = 404, body = Problem)
    )
)]
pub async fn remove(
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(removal): Query<Removal>,
) -> Result<Response, Problem> {
    let gid = find(&web, &id)?;
    let nothing = |((), effects)| (None, effects);
    let stays = web.daemon.change(|state| match state.known(gid)?.state.is_over() {
        _ if removal.files => state.remove_with_files(gid),
        true => state.forget(&[gid]).map(nothing),
        false => state.remove(gid, now()).map(nothing),
    })?;
    Ok(match stays {
        Some(message) => Json(Stays { message }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Tries a failed or removed download again. The download goes to the end of the queue.
#[utoipa::path(
    post,
    path = "/downloads/{id}/retry",
    params(("id" = String, Path)),
    responses((status = 200, body = Download), (status = 400, body = Problem), (status = 404, body = Problem))
)]
pub async fn retry(State(web): State<Web>, Path(id): Path<String>) -> Result<Json<Download>, Problem> {
    let gid = find(&web, &id)?;
    web.daemon.change(|state| state.retry(gid))?;
    show_one(&web, gid)
}

/// Removes from the list all downloads that are over. Their files are kept.
#[utoipa::path(delete, path = "/downloads", responses((status = 204), (status = 400, body = Problem)))]
pub async fn clear(State(web): State<Web>) -> Result<StatusCode, Problem> {
    web.daemon.change(DaemonState::forget_all)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses or resumes all downloads.
#[utoipa::path(
    patch,
    path = "/downloads",
    request_body = ChangeAll,
    responses((status = 204), (status = 400, body = Problem))
)]
pub async fn change_all(
    State(web): State<Web>,
    Json(change): Json<ChangeAll>,
) -> Result<StatusCode, Problem> {
    web.daemon.change(|state| if change.paused { state.pause_all() } else { state.resume_all() })?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns how many downloads are active, queued and over. Also returns the speed and the limit of all
/// downloads together, in bytes a second.
#[utoipa::path(get, path = "/summary", responses((status = 200, body = Object)))]
pub async fn summary(State(web): State<Web>) -> Json<Value> {
    Json(download::summary(&web.daemon.state()))
}

/// Returns the options of the daemon. They have the same names as in aria2.
#[utoipa::path(get, path = "/settings", responses((status = 200, body = Object)))]
pub async fn settings(State(web): State<Web>) -> Json<Value> {
    Json(web.daemon.state().shown_options().into())
}

/// Changes options of the daemon, and returns its options. Downloads that are added later inherit the changed
/// options, except for options that concern the daemon as a whole.
#[utoipa::path(
    patch,
    path = "/settings",
    request_body = Object,
    responses((status = 200, body = Object), (status = 400, body = Problem))
)]
pub async fn change_settings(
    State(web): State<Web>,
    Json(change): Json<Value>,
) -> Result<Json<Value>, Problem> {
    known(&change)?;
    let options = Options::from_client(&change)?;
    web.daemon.change(|state| state.change_all(&options))?;
    Ok(settings(State(web)).await)
}

fn options(value: &Value) -> Result<Options, Fault> {
    known(value)?;
    if value.is_null() { Ok(Options::default()) } else { Options::of_download(value) }
}

/// Checks that each option exists. The interface of aria2 ignores unknown options, because its clients may be
/// written for another version of aria2. A client of this interface can know all options, so an unknown
/// option is a mistake.
///
/// # Errors
/// Returns a fault that names the first unknown option.
fn known(options: &Value) -> Result<(), Fault> {
    let mut names = options.as_object().into_iter().flat_map(|options| options.keys());
    match names.find(|name| row(name).is_none()) {
        Some(name) => Err(Fault::refused(format!("There is no option {name}."))),
        None => Ok(()),
    }
}

fn find(web: &Web, id: &str) -> Result<Gid, Problem> {
    let state = web.daemon.state();
    let found = state.queue().find(id).map(|entry| entry.gid);
    found.map_err(|fault| Problem::from(Fault { is_missing: true, ..fault }))
}

fn show_one(web: &Web, gid: Gid) -> Result<Json<Download>, Problem> {
    let state = web.daemon.state();
    Ok(Json(Download::with_position(&state, state.known(gid)?)))
}

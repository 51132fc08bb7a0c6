//! Adds the downloads of a list, or of a document such as a Metalink file.
//!
//! Invariant: if a list has a mistake, none of its downloads is added. If a document has an entry that cannot
//! be used, this entry is added as a download that failed, and the other entries are downloaded. If no entry
//! of a document can be used, nothing is added.

use super::Web;
use super::problem::{Json, Query};
use crate::daemon::now;
use crate::facts;
use crate::fault::Fault;
use crate::gid::Gid;
use crate::item::Item;
use axum::body::Bytes;
use axum::extract::State;
use downhaul_engine::core::list::form::{self, Form};
use downhaul_engine::core::list::text::Text;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::io::Read;
use utoipa::{IntoParams, ToSchema};

/// How a list is read and added.
#[derive(Debug, Deserialize, IntoParams)]
pub struct ListName {
    /// The file name of the list. It can show the form of the list, as in `table.csv`.
    name: Option<String>,
    /// True if the downloads of the list are paused at first, until a client resumes them.
    #[serde(default)]
    paused: bool,
}

/// The downloads of a list, and the mistakes in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listed {
    /// The identifiers of the new downloads. If there are no identifiers, nothing was added.
    ids: Vec<String>,
    /// The mistakes in the list, each with the number of its line, if this number is known. If downloads of a
    /// document were added, these are the reasons why some of its entries cannot be used. Each of these
    /// entries is one of the new downloads, and has failed.
    mistakes: Vec<String>,
}

/// Adds the downloads of a list in any form: lines, JSON, CSV, Metalink and so on. The body of the request is
/// the list, which must not be compressed. If the list has a mistake, the whole list is refused. If the list
/// is a document such as a Metalink file, only the entries that cannot be used fail, and the other entries
/// are downloaded.
#[utoipa::path(
    post,
    path = "/lists",
    params(ListName),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 201, body = Listed), (status = 400, body = Listed))
)]
pub async fn add_list(
    State(web): State<Web>,
    Query(list): Query<ListName>,
    body: Bytes,
) -> (StatusCode, Json<Listed>) {
    let mut text = Vec::new();
    if let Err(e) = Text::new(&body[..]).read_to_end(&mut text) {
        return (StatusCode::BAD_REQUEST, Json(Listed { ids: Vec::new(), mistakes: vec![e.to_string()] }));
    }
    let beginning = &text[..text.len().min(form::BEGINNING)];
    let about = form::Facts { name: list.name.unwrap_or_default(), ..form::Facts::default() };
    let form = about.form(beginning);
    let mut found = match items(form, &text, &about) {
        Ok(items) => items,
        Err(mistakes) => return (StatusCode::BAD_REQUEST, Json(Listed { ids: Vec::new(), mistakes })),
    };
    for item in &mut found {
        // `pause` may be true or false, so setting it does not fail.
        let _ = item.options.set("pause", if list.paused { "true" } else { "false" });
    }
    let added = web.daemon.change(|state| {
        let (gids, effects) = match form.is_document() {
            true => state.add_document(found, None, now()),
            false => state.add_all(found, None, now()),
        }?;
        let error = |gid: &Gid| state.queue().get(*gid)?.error.clone();
        let mistakes = gids.iter().filter_map(error).map(|(_, message)| message).collect();
        Ok((Listed { ids: gids.iter().map(Gid::to_string).collect(), mistakes }, effects))
    });
    match added {
        Ok(listed) => (StatusCode::CREATED, Json(listed)),
        Err(fault) => (
            StatusCode::BAD_REQUEST,
            Json(Listed { ids: Vec::new(), mistakes: vec![fault.plain.unwrap_or(fault.message)] }),
        ),
    }
}

/// Returns the downloads of a list or of a document. If an entry of a document cannot be used, the reason is
/// in [`Item::fault`].
///
/// # Errors
/// Returns all mistakes in a list, or the reason why the list or the document cannot be read or has no files.
fn items(form: Form, text: &[u8], about: &form::Facts) -> Result<Vec<Item>, Vec<String>> {
    let jobs = form.jobs(text, about).map_err(|e| vec![e.to_string()])?;
    let (mut found, mut mistakes) = (Vec::new(), Vec::new());
    for (line, job) in jobs {
        let item = match form.is_document() {
            true => facts::item_of_entry(job),
            false => job.map_err(Fault::from).and_then(|job| facts::item_of(&job)),
        };
        match item {
            Ok(item) => found.push(item),
            // The number 0 means that the mistake belongs to no line.
            Err(fault) if line == 0 => mistakes.push(fault.message),
            Err(fault) => mistakes.push(format!("line {line}: {}", fault.message)),
        }
    }
    match mistakes.is_empty() {
        true if found.is_empty() => Err(vec!["The list has no files.".into()]),
        true => Ok(found),
        false => Err(mistakes),
    }
}

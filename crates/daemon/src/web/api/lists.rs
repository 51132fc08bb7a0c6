//! Adds the downloads of a list or of a document.
//!
//! Invariant: a list with a mistake adds nothing. Of a document, the entries that can be used are added.

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
    /// The file name of the list, which can show its form.
    name: Option<String>,
    /// True if the downloads of the list wait until they are resumed.
    #[serde(default)]
    paused: bool,
}

/// The downloads of a list, and the mistakes in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listed {
    /// The identifiers of the new downloads. If there are none, nothing was added.
    ids: Vec<String>,
    /// What is wrong with the list, with the number of the line if it is known. An entry of a document that
    /// cannot be used is a mistake too, and a download that failed.
    mistakes: Vec<String>,
}

/// Adds the downloads of a list in any form: lines, JSON, CSV, Metalink and so on. The body is the list,
/// which must not be compressed. A list with a mistake is refused as a whole. Of a document such as Metalink,
/// the entries that can be used are added.
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
        // A boolean is always accepted.
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

/// Returns the downloads of a list. In a document, an entry that cannot be used has the reason.
///
/// # Errors
/// Returns the mistakes in a list that the user wrote, or why a document cannot be read.
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

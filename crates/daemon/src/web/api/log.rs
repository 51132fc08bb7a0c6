//! Returns lines of the daemon's log.

use super::problem::{Json, Query};
use crate::web::Web;
use crate::web::log::Line;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The highest number of lines in one answer if the client states no number.
const SHOWN: usize = 100;

/// The query for lines of the log.
#[derive(Debug, Deserialize, IntoParams)]
pub struct Wanted {
    /// The number of a line. Only the lines after it are returned.
    #[serde(default)]
    after: u64,
    /// The highest number of lines in the answer. If there are more lines, the last ones are returned. The
    /// default is 100, and the log has at most 1000 lines.
    limit: Option<usize>,
}

/// Some lines of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lines {
    /// The lines, the oldest one first.
    lines: Vec<Line>,
    /// The number of the last line of the log. In the next request, it is the value for `after`.
    next: u64,
}

/// Returns the last lines that the daemon has added to its log since its start.
#[utoipa::path(get, path = "/log", params(Wanted), responses((status = 200, body = Lines)))]
pub async fn show(State(web): State<Web>, Query(wanted): Query<Wanted>) -> Json<Lines> {
    let (lines, next) = web.log.after(wanted.after, wanted.limit.unwrap_or(SHOWN));
    Json(Lines { lines, next })
}

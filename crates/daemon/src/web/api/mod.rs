//! The interface of downhaul itself: REST with JSON, and events. It says what the interface of aria2 cannot
//! say: why a file failed in words, how it was verified, and lists of any form.
//!
//! `GET /api/v1/openapi.json` describes it (OpenAPI 3.1). Every request needs the header
//! `Authorization: Bearer SECRET`, except for this description.
//!
//! Invariant: the URLs in answers have no secrets.

mod actions;
mod download;
mod events;
mod log;

pub use download::Download;

use super::Web;
use crate::fault::Fault;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

/// A request that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The reason in words for the user.
    message: String,
    #[serde(skip)]
    status: StatusCode,
}

impl Problem {
    fn new(status: StatusCode, message: impl Into<String>) -> Problem {
        Problem { message: message.into(), status }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        let status = if fault.is_missing { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Problem::new(status, fault.message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "downhaul daemon",
        description = "Every request needs the header `Authorization: Bearer SECRET`."
    ),
    paths(
        actions::list,
        actions::add,
        actions::add_list,
        actions::show,
        actions::change,
        actions::remove,
        actions::retry,
        actions::clear,
        actions::change_all,
        actions::summary,
        actions::settings,
        actions::change_settings,
        events::stream,
        log::show,
    ),
    components(schemas(Download, Problem))
)]
struct Description;

/// Returns the routes below `/api/v1`.
pub fn routes(web: &Web) -> Router<Web> {
    Router::new()
        .route(
            "/downloads",
            get(actions::list).post(actions::add).patch(actions::change_all).delete(actions::clear),
        )
        .route("/downloads/{id}", get(actions::show).patch(actions::change).delete(actions::remove))
        .route("/downloads/{id}/retry", post(actions::retry))
        .route("/lists", post(actions::add_list))
        .route("/summary", get(actions::summary))
        .route("/settings", get(actions::settings).patch(actions::change_settings))
        .route("/events", get(events::stream))
        .route("/log", get(log::show))
        .layer(middleware::from_fn_with_state(web.clone(), authorized))
        .route("/openapi.json", get(|| async { Json(Description::openapi()) }))
}

/// Refuses requests without the secret.
async fn authorized(State(web): State<Web>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    if web.token.accepts(given) {
        return next.run(request).await;
    }
    // A browser page asks without a secret first. Only a wrong one is slowed down.
    web.slow_down(given.is_some()).await;
    Problem::new(StatusCode::UNAUTHORIZED, "The secret is missing or wrong.").into_response()
}

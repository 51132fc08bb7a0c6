//! The interface of downhaul itself: REST with JSON, and events. In contrast to the interface of aria2, it
//! has stable codes of failures, it shows how a file was verified, and it accepts lists in any form.
//!
//! `GET /api/v1/openapi.json` describes the interface (OpenAPI 3.1). If the daemon has a secret, every other
//! request needs the header `Authorization: Bearer SECRET`.
//!
//! Invariant: the URLs in answers have no secrets.

mod actions;
mod download;
mod events;
mod lists;
mod log;
mod problem;

pub use download::Download;
pub use problem::Problem;

use super::{TOO_MANY, Web};
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use problem::Json;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "downhaul daemon",
        description = "If the daemon has a secret, every request needs the header `Authorization: Bearer SECRET`, \
                       except for the request for this description."
    ),
    paths(
        actions::list,
        actions::add,
        lists::add_list,
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
        .route("/lists", post(lists::add_list))
        .route("/summary", get(actions::summary))
        .route("/settings", get(actions::settings).patch(actions::change_settings))
        .route("/events", get(events::stream))
        .route("/log", get(log::show))
        .layer(middleware::from_fn_with_state(web.clone(), authorized))
        .route("/openapi.json", get(|| async { Json(Description::openapi()) }))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "There is no such path.") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This path has no such method.")
        })
}

/// Returns the token that a request has in its header `Authorization`. The right token is the secret of the
/// daemon.
pub(super) fn given_token(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    // The case of the scheme does not matter (RFC 9110, section 11.1).
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// Refuses a request that does not have the secret of the daemon.
async fn authorized(State(web): State<Web>, request: Request, next: Next) -> Response {
    let given = given_token(request.headers());
    if web.token.accepts(given) {
        return next.run(request).await;
    }
    // The page of the daemon first sends a request without a secret. So only answers to a wrong secret are
    // delayed.
    if !web.limits.slow_down(given.is_some()).await {
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, TOO_MANY).into_response();
    }
    Problem::new(StatusCode::UNAUTHORIZED, "The secret is missing or wrong.").into_response()
}

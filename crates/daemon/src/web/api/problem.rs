//! [`Problem`]: why a request was refused, and extractors that refuse a request with a `Problem`.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::fault::Fault;

/// The reason why a request was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A stable code, such as `request.refused`. The documentation of the daemon lists all codes.
    code: &'static str,
    /// The reason in words for the user.
    message: String,
    #[serde(skip)]
    status: StatusCode,
}

impl Problem {
    /// Returns a problem with this message. `status` is the HTTP status of the answer, and decides the code.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Problem {
        let code = match status {
            StatusCode::UNAUTHORIZED => "request.unauthorized",
            StatusCode::FORBIDDEN => "request.forbidden",
            StatusCode::NOT_FOUND => "request.not_found",
            StatusCode::METHOD_NOT_ALLOWED => "request.method",
            StatusCode::REQUEST_TIMEOUT => "request.timeout",
            StatusCode::PAYLOAD_TOO_LARGE => "request.too_long",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "request.not_json",
            StatusCode::UNPROCESSABLE_ENTITY => "request.malformed",
            StatusCode::TOO_MANY_REQUESTS => "request.too_many",
            _ => "request.refused",
        };
        Problem { code, message: message.into(), status }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        let status = if fault.is_missing { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Problem::new(status, fault.plain.unwrap_or(fault.message))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, axum::Json(self)).into_response()
    }
}

/// JSON in the body of a request or of an answer. If the body of a request cannot be read, the request is
/// refused with a [`Problem`].
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let read = axum::Json::from_request(request, state).await;
        read.map(|json| Json(json.0)).map_err(|why| Problem::new(why.status(), why.body_text()))
    }
}

/// The query of a request. If it cannot be read, the request is refused with a [`Problem`].
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Problem> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        read.map(|query| Query(query.0)).map_err(|why| Problem::new(why.status(), why.body_text()))
    }
}

//! Serves one WebSocket client: its calls, and the notices that it gets.
//!
//! Invariant: the answer to a call comes before the notices that the call causes.

use super::Web;
use super::server::Connection;
use crate::aria2::json;
use crate::aria2::methods::Caller;
use crate::state::Notice;
use axum::extract::ws::{Message, WebSocket};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;

/// Runs until the client or the server closes the connection. `stranger` is a permit for a client that has
/// not sent the secret yet. The number of these permits is limited. The permit is released when the client
/// has sent the secret.
pub(super) async fn run(
    web: Web,
    mut socket: WebSocket,
    mut connection: Connection,
    mut stranger: Option<OwnedSemaphorePermit>,
) {
    let mut notices = web.daemon.notices();
    loop {
        let message = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(message)) => match answer(&web, &message, &mut stranger).await {
                    Answer::Text(answer) => answer,
                    Answer::Nothing => continue,
                    Answer::Close => return,
                },
                _ => return,
            },
            notice = notices.recv() => match notice {
                Ok((notice, gid)) => match method(notice) {
                    Some(method) => json::notification(method, &gid.to_string()),
                    None => continue,
                },
                // The client has not read for a long time, so it misses notices. Its next call can request
                // the current state.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
            () = connection.closing() => return,
        };
        if socket.send(Message::text(message)).await.is_err() {
            return;
        }
    }
}

/// The answer to a message of a client.
enum Answer {
    Text(String),
    /// No answer, because the message was not a call.
    Nothing,
    /// The connection is closed, because too many calls with a wrong token wait for their answer.
    Close,
}

/// Answers a message. After a call with the secret, the client does not need the permit `stranger` any more,
/// so the permit is released.
async fn answer(web: &Web, message: &Message, stranger: &mut Option<OwnedSemaphorePermit>) -> Answer {
    let body: &[u8] = match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Answer::Nothing,
    };
    let (answer, was_accepted, was_refused) = {
        let mut caller = Caller::new(&web.daemon, &web.token);
        let answer = json::answer(&mut caller, body);
        (answer.body, caller.accepted, caller.was_refused())
    };
    if was_accepted {
        *stranger = None;
    }
    if web.limits.slow_down(was_refused).await { Answer::Text(answer) } else { Answer::Close }
}

/// Returns the name that aria2 gives to a notice, if aria2 has such a notice.
fn method(notice: Notice) -> Option<&'static str> {
    match notice {
        Notice::Start => Some("aria2.onDownloadStart"),
        Notice::Pause => Some("aria2.onDownloadPause"),
        Notice::Stop => Some("aria2.onDownloadStop"),
        Notice::Complete => Some("aria2.onDownloadComplete"),
        Notice::Error => Some("aria2.onDownloadError"),
        Notice::Changed | Notice::Gone => None,
    }
}

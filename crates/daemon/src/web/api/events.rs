//! The events of the interface: a stream of server-sent events, or a WebSocket with the same objects.
//!
//! A client that has not read for a long time misses events. It then gets the event `missed`, and should
//! request the list of downloads again.

use super::download::{self, Download};
use crate::daemon::Daemon;
use crate::gid::Gid;
use crate::queue::Sequence;
use crate::state::Notice;
use crate::web::Web;
use crate::web::server::Connection;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The time between two reports of the progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The events for one client: the changes of the downloads, and once a second the progress of the active
/// downloads.
struct Changes {
    daemon: Daemon,
    connection: Connection,
    notices: Receiver<(Notice, Gid)>,
    tick: Interval,
    /// True at the start, and if a download was active one second ago. The progress is then reported once
    /// more, even if no download is active now.
    was_active: bool,
}

impl Changes {
    fn of(daemon: &Daemon, connection: Connection) -> Changes {
        let mut tick = interval(PROGRESS_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Changes { daemon: daemon.clone(), connection, notices: daemon.notices(), tick, was_active: true }
    }

    /// Returns the next event as an object. Its key `kind` is the kind of the event. Returns `None` when the
    /// daemon ends or the server closes its connections.
    async fn next(&mut self) -> Option<Value> {
        loop {
            tokio::select! {
                notice = self.notices.recv() => return match notice {
                    Ok((notice, gid)) => Some(self.change(notice, gid)),
                    Err(RecvError::Lagged(_)) => Some(json!({ "kind": "missed" })),
                    Err(RecvError::Closed) => None,
                },
                () = self.connection.closing() => return None,
                _ = self.tick.tick() => {
                    let is_active = self.daemon.state().queue().len(Sequence::Active) > 0;
                    if std::mem::replace(&mut self.was_active, is_active) || is_active {
                        return Some(self.progress());
                    }
                }
            }
        }
    }

    fn change(&self, notice: Notice, gid: Gid) -> Value {
        let state = self.daemon.state();
        let kind = match notice {
            Notice::Start => "started",
            Notice::Pause => "paused",
            Notice::Stop => "removed",
            Notice::Complete => "completed",
            Notice::Error => "failed",
            Notice::Changed => "changed",
            Notice::Gone => "gone",
        };
        let download = state.queue().get(gid).map(|entry| Download::with_position(&state, entry));
        json!({ "kind": kind, "id": gid.to_string(), "download": download, "summary": download::summary(&state) })
    }

    fn progress(&self) -> Value {
        let state = self.daemon.state();
        let active: Vec<Download> =
            state.queue().iter(Sequence::Active).map(|entry| Download::of(&state, entry)).collect();
        json!({ "kind": "progress", "downloads": active, "summary": download::summary(&state) })
    }
}

/// Returns the events, as a stream of server-sent events or over a WebSocket.
///
/// Each event is a JSON object. Its `kind` is `started`, `paused`, `removed`, `completed`, `failed`,
/// `changed`, `gone`, `progress` or `missed`. After `gone`, the daemon no longer knows the download. After
/// `missed`, the client should request the list of downloads again, because some events were not sent to it.
#[utoipa::path(get, path = "/events", responses((status = 200, content_type = "text/event-stream", body = Object)))]
pub async fn stream(
    State(web): State<Web>,
    Extension(connection): Extension<Connection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let changes = Changes::of(&web.daemon, connection);
    if let Ok(upgrade) = upgrade {
        return upgrade.on_upgrade(|socket| send(socket, changes));
    }
    let events = stream::unfold(changes, |mut changes| async {
        let value = changes.next().await?;
        Some((Ok::<_, Infallible>(Event::default().data(value.to_string())), changes))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

async fn send(mut socket: WebSocket, mut changes: Changes) {
    loop {
        let value = tokio::select! {
            value = changes.next() => value,
            message = socket.recv() => match message {
                Some(Ok(_)) => continue,
                _ => return,
            },
        };
        let Some(value) = value else { return };
        if socket.send(Message::text(value.to_string())).await.is_err() {
            return;
        }
    }
}

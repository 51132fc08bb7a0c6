//! Accepts connections and serves requests.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The most connections at once. Further ones wait. Each client has one to six.
const CONNECTIONS_MOST: usize = 1024;

/// The longest time for the head of a request, and between two requests of a connection. It is short, so that
/// connections of a program that sends nothing are soon free for others.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// The wait after the system could not accept a connection, for instance because too many files are open.
const AFTER_ERROR: Duration = Duration::from_millis(200);

/// Serves requests until `end` is there.
pub async fn serve(listener: TcpListener, routes: Router, end: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MOST));
    tokio::pin!(end);
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut end => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(AFTER_ERROR).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(routes.clone());
        tokio::spawn(async move {
            let _place = place;
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // A client that closes the connection in the middle is no error of the daemon.
            let _ = connection.await;
        });
    }
}

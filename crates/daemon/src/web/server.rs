//! Accepts connections, with TLS or without, and serves requests.

use axum::Router;
use downhaul_engine::tls;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The most connections at once. Further connections wait. Each client opens one to six.
const CONNECTIONS_MOST: usize = 1024;

/// The longest time for the TLS handshake, for the head of a request, and between two requests of a
/// connection. It is short, so that a program that sends nothing does not take the place of other clients for
/// long.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// The wait after the system could not accept a connection, for instance because too many files are open.
const AFTER_ERROR: Duration = Duration::from_millis(200);

/// A server for all connections of a daemon. Clones share its places.
#[derive(Clone)]
pub struct Server {
    routes: Router,
    tls: Option<tls::Server>,
    places: Arc<Semaphore>,
}

impl Server {
    /// Returns a server that has not accepted a connection yet.
    pub fn new(routes: Router, tls: Option<tls::Server>) -> Server {
        Server { routes, tls, places: Arc::new(Semaphore::new(CONNECTIONS_MOST)) }
    }

    /// Serves the connections of a listener. It does not return.
    pub async fn serve(self, listener: TcpListener) {
        loop {
            // The semaphore is never closed.
            let place = self.places.clone().acquire_owned().await.ok();
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let server = self.clone();
            tokio::spawn(async move {
                let _place = place;
                server.connection(stream).await;
            });
        }
    }

    async fn connection(self, stream: TcpStream) {
        let Some(tls) = self.tls else { return requests(stream, self.routes).await };
        // A client that does not speak TLS gets no answer.
        if let Ok(Ok(stream)) = timeout(HEAD_WITHIN, tls.accept(stream)).await {
            requests(stream, self.routes).await;
        }
    }
}

/// Serves the requests of a connection.
async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, routes: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .with_upgrades();
    // A client that closes the connection in the middle is no error of the daemon.
    let _ = connection.await;
}

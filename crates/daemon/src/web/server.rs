//! Accepts connections, with TLS or without, and serves requests.
//!
//! Invariant: at the end of the daemon, requests that were carried out are still answered, for up to a
//! second.

use axum::{Extension, Router};
use downhaul_engine::tls;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;

/// The highest number of connections at once. Further connections wait. A browser opens up to six.
const CONNECTIONS_MOST: u32 = 1024;

/// The longest time for the TLS handshake, for the head of a request, and between two requests of a
/// connection. It is short, so that a program that sends nothing does not take the place of other clients for
/// long.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A connection is closed if its client receives nothing of an answer for this time. So a client that does
/// not read does not keep its place.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// At the end of the daemon, the longest wait until all clients have received their last answers. The program
/// ends within 5 s, of which the downloads may take 3.5 s.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// The wait after the system could not accept a connection, for instance because too many files are open.
const AFTER_ERROR: Duration = Duration::from_millis(200);

/// A server for all connections of a daemon. Clones share the limit on the number of connections.
#[derive(Clone)]
pub struct Server {
    routes: Router,
    tls: Option<tls::Server>,
    /// Has one place for each connection that may be open.
    places: Arc<Semaphore>,
    is_closing: watch::Sender<bool>,
}

/// The place of an open connection among the [`CONNECTIONS_MOST`] places of the server. A WebSocket outlives
/// the request that opened it, so it keeps the place too.
#[derive(Clone)]
pub(super) struct Connection {
    _place: Arc<OwnedSemaphorePermit>,
    is_closing: watch::Receiver<bool>,
}

impl Connection {
    /// Waits until the server closes its connections.
    pub(super) async fn closing(&mut self) {
        // An error means that the server is gone.
        let _ = self.is_closing.wait_for(|is_closing| *is_closing).await;
    }
}

impl Server {
    /// Returns a server that has not accepted a connection yet.
    pub fn new(routes: Router, tls: Option<tls::Server>) -> Server {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MOST as usize));
        Server { routes, tls, places, is_closing: watch::Sender::new(false) }
    }

    /// Serves the connections of a listener until [`finish`](Server::finish) is called.
    pub async fn serve(self, listener: TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            let mut connection =
                Connection { _place: Arc::new(place), is_closing: self.is_closing.subscribe() };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = connection.closing() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            tokio::spawn(self.clone().connection(stream, connection));
        }
    }

    /// Ends all connections. Waits until the requests that have arrived are answered, but for at most a
    /// second.
    pub async fn finish(&self) {
        self.is_closing.send_replace(true);
        // All places are free when all connections have ended.
        let _ = timeout(LAST_ANSWERS_WITHIN, self.places.acquire_many(CONNECTIONS_MOST)).await;
    }

    async fn connection(self, stream: TcpStream, connection: Connection) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(TAKEN_WITHIN));
        let stream = Box::pin(stream);
        let Some(tls) = self.tls else { return requests(stream, self.routes, connection).await };
        // A client that does not speak TLS gets no answer.
        if let Ok(Ok(stream)) = timeout(HEAD_WITHIN, tls.accept(stream)).await {
            requests(stream, self.routes, connection).await;
        }
    }
}

/// Serves the requests of a connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Router,
    mut connection: Connection,
) {
    let routes = routes.layer(Extension(connection.clone()));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    // If a client closes the connection in the middle of a request, that is not an error of the daemon.
    tokio::select! {
        _ = served.as_mut() => return,
        () = connection.closing() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_its_answer_loses_its_place() {
        const LONG: usize = 64 << 20;
        let server = Server::new(Router::new().fallback(|| async { "x".repeat(LONG) }), None);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut client =
            std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
        tokio::spawn(server.clone().serve(listener));
        // Waits until the server has taken a place for this connection, and one for the next connection that
        // it accepts.
        while server.places.available_permits() > CONNECTIONS_MOST as usize - 2 {
            tokio::task::yield_now().await;
        }
        let most_of_them = server.places.acquire_many(CONNECTIONS_MOST - 1);
        assert!(timeout(2 * TAKEN_WITHIN, most_of_them).await.is_ok());
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(!answer.is_empty() && answer.len() < LONG, "{}", answer.len());
    }
}

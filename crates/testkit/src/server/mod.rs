//! A web server that misbehaves on request. `http://127.0.0.1:PORT/SIN/SIZE/NAME` is a file of SIZE bytes.
//! [`crate::content`] computes the content from NAME, and the script of the sin SIN ([`sins`]) serves the
//! file.
//!
//! The server uses threads and blocking sockets, so that a script sends its bytes in the order of its code.

mod exchange;
mod h2;
mod request;
pub mod sins;
pub mod tls;

pub use exchange::LAST_MODIFIED;

use exchange::Exchange;
use sins::quotas::Counted;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for a byte from the client. After this time, the connection is closed.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// A running server. It stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    world: Arc<World>,
}

/// The state that all connections of a server share.
#[derive(Default)]
struct World {
    requests: Mutex<Vec<Request>>,
    visits: Mutex<HashMap<String, usize>>,
    /// The content of the files that tests have put at a path.
    put: Mutex<HashMap<String, Vec<u8>>>,
    /// For some targets, the other target whose response is sent instead.
    instead: Mutex<HashMap<String, String>>,
    tls: Option<Arc<rustls::ServerConfig>>,
    /// True if HTTP/2 is offered too.
    two: bool,
    /// The number of TLS handshakes.
    handshakes: AtomicUsize,
    /// The number of TLS handshakes that resumed a session.
    resumed: AtomicUsize,
    /// The number of TLS handshakes in which the client sent a certificate.
    identified: AtomicUsize,
    over: AtomicBool,
    /// The number of connections that are open now.
    open: AtomicUsize,
    /// The highest number of connections that were open at once.
    most_open: AtomicUsize,
    /// The counters of scripts, for all connections.
    counted: Mutex<Counted>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// The path and the query. In a request to a proxy, this is the whole URL.
    pub target: String,
    /// The headers in order. Their names are in lower case. Over HTTP/2, the first ones are `:scheme` and
    /// `:authority`.
    pub headers: Vec<(String, String)>,
    /// The body, or its first MiB if it is longer. It is always empty over HTTP/2.
    pub body: Vec<u8>,
    /// The number of the connection on which the request arrived, from 1.
    pub connection: usize,
    /// The HTTP version: 1 for HTTP/1.1, and 2 for HTTP/2.
    pub version: u8,
    /// The time when the request arrived.
    pub at: Instant,
}

/// A connection, plain or with TLS.
pub(crate) trait Wire: Read + Write {
    /// Makes the connection end with a reset when it is closed, as if the server had crashed.
    fn reset(&self);
}

impl Server {
    /// Starts a server on a free port of 127.0.0.1.
    pub fn start() -> Server {
        Server::start_on("127.0.0.1:0", World::default())
    }

    /// Starts a server on this port of 127.0.0.1.
    pub fn start_at(port: u16) -> Server {
        Server::start_on(&format!("127.0.0.1:{port}"), World::default())
    }

    /// Starts a server on a free port of this address, such as 127.0.0.2. On Linux, all addresses of
    /// 127.0.0.0/8 are this machine.
    pub fn start_with_address(ip: &str) -> Server {
        Server::start_on(&format!("{ip}:0"), World::default())
    }

    /// Starts a server with TLS.
    pub fn start_tls(config: Arc<rustls::ServerConfig>) -> Server {
        Server::start_on("127.0.0.1:0", World { tls: Some(config), ..World::default() })
    }

    /// Starts a server with both HTTP/2 and HTTP/1.1. Without TLS, HTTP/2 is for clients whose first bytes
    /// are the preface of HTTP/2 (RFC 9113, section 3.3).
    pub fn start_h2(tls: Option<Arc<rustls::ServerConfig>>) -> Server {
        Server::start_on("127.0.0.1:0", World { tls, two: true, ..World::default() })
    }

    fn start_on(address: &str, world: World) -> Server {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let world = Arc::new(world);
        let shared = world.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), world) = (stream, shared.clone()) else { continue };
                thread::spawn(move || world.serve(stream, number + 1));
            }
        });
        Server { address, world }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the URL of a path that is given without its first slash, such as `SIN/SIZE/NAME`.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.world.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/{path}", self.address)
    }

    /// Puts a file at a path (such as `/d/SHA256SUMS`) and returns its URL. The file is served only over
    /// HTTP/1.1.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.world.put.lock().expect("no panic").insert(path.into(), bytes.into());
        self.url(path.trim_start_matches('/'))
    }

    /// From now on, answers requests for one target (`/SIN/SIZE/NAME?...`) in the same way as requests for
    /// another target. This way, the file at a URL can change between two runs.
    pub fn becomes(&self, target: &str, other: &str) {
        let slash = |text: &str| format!("/{}", text.trim_start_matches('/'));
        self.world.instead.lock().expect("no panic").insert(slash(target), slash(other));
    }

    /// Returns all requests that have arrived, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.world.requests.lock().expect("no panic").clone()
    }

    /// Returns the highest number of connections that were open at once.
    pub fn most_open(&self) -> usize {
        self.world.most_open.load(Ordering::Relaxed)
    }

    /// Returns how often the client was banned.
    pub fn bans(&self) -> usize {
        self.world.counted.lock().expect("no panic").bans
    }

    /// Returns the number of complete TLS handshakes, and how many of them resumed a session.
    pub fn handshakes(&self) -> (usize, usize) {
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        (count(&self.world.handshakes), count(&self.world.resumed))
    }

    /// Returns the number of TLS handshakes in which the client sent a certificate.
    pub fn identified(&self) -> usize {
        self.world.identified.load(Ordering::Relaxed)
    }

    /// Returns the requests for targets that contain this text.
    pub fn requests_for(&self, text: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.target.contains(text)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.world.over.store(true, Ordering::Relaxed);
        // This connection wakes the listener, so that its thread can end.
        let _ = TcpStream::connect(self.address);
    }
}

impl Request {
    /// Returns the value of the first header with this name, which must be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Returns the target without its scheme and host. Only requests to a proxy have them (RFC 9112, section
    /// 3.2.2).
    fn origin_form(&self) -> &str {
        let host = self.target.strip_prefix("http://").unwrap_or_default();
        host.find('/').map_or(&self.target, |slash| &host[slash..])
    }

    /// Returns the sin, the size and the name in the target.
    fn parts(&self) -> (String, u64, String) {
        let path = self.origin_form().split('?').next().unwrap_or_default();
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let sin = parts.next().unwrap_or_default().to_string();
        let size = parts.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        (sin, size, parts.next().unwrap_or_default().to_string())
    }

    /// Returns `first` and `last` of `Range: bytes=first-[last]`.
    pub(crate) fn range(&self) -> Option<(u64, Option<u64>)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()))
    }

    /// Returns the value of this key in the query.
    pub(crate) fn query(&self, key: &str) -> Option<String> {
        self.queries().into_iter().find(|(one, _)| one == key).map(|(_, value)| value)
    }

    /// Returns all pairs in the query, in order.
    pub(crate) fn queries(&self) -> Vec<(String, String)> {
        let Ok(url) = url::Url::parse(&format!("http://h{}", self.origin_form())) else { return Vec::new() };
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }
}

impl World {
    fn serve(&self, stream: TcpStream, connection: usize) {
        let _ = stream.set_read_timeout(Some(LONGEST_WAIT));
        let _ = stream.set_nodelay(true);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
        self.secure_and_talk(stream, connection);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Records a request, and returns the request that is answered. If [`Server::becomes`] was called for the
    /// target, the returned request has the other target.
    fn arrived(&self, request: Request) -> Request {
        self.requests.lock().expect("no panic").push(request.clone());
        let other = self.instead.lock().expect("no panic").get(&request.target).cloned();
        Request { target: other.unwrap_or(request.target), ..request }
    }

    /// Counts this request. Returns the number of earlier requests for the same target.
    fn visit(&self, request: &Request) -> usize {
        let mut visits = self.visits.lock().expect("no panic");
        let count = visits.entry(request.target.clone()).or_default();
        *count += 1;
        *count - 1
    }

    fn count_handshake(&self, connection: &rustls::ServerConnection) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        let resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        self.resumed.fetch_add(usize::from(resumed), Ordering::Relaxed);
        self.identified.fetch_add(usize::from(connection.peer_certificates().is_some()), Ordering::Relaxed);
    }

    fn secure_and_talk(&self, stream: TcpStream, connection: usize) {
        if self.two && h2::is_wanted(&stream, self.tls.is_some()) {
            return h2::talk(self, stream, connection);
        }
        match &self.tls {
            None => self.talk(&mut Plain(stream), connection),
            Some(config) => {
                let Ok(session) = rustls::ServerConnection::new(config.clone()) else { return };
                let mut secured = rustls::StreamOwned::new(session, stream);
                if secured.conn.complete_io(&mut secured.sock).is_err() {
                    return;
                }
                self.count_handshake(&secured.conn);
                self.talk(&mut secured, connection);
                secured.conn.send_close_notify();
                let _ = secured.flush();
            }
        }
    }

    fn talk<W: Wire>(&self, wire: &mut W, connection: usize) {
        let mut bucket = (f64::INFINITY, Instant::now());
        while let Some(request) = request::read(wire, connection) {
            let request = self.arrived(request);
            let visit = self.visit(&request);
            let path = request.origin_form().split('?').next().unwrap_or_default().to_string();
            let put = self.put.lock().expect("no panic").get(&path).cloned();
            let (sin, size, name) = request.parts();
            let open = self.open.load(Ordering::Relaxed);
            let (over, bucket, counted) = (&self.over, &mut bucket, &self.counted);
            let mut head_only;
            let wire: &mut dyn Wire = if request.method == "HEAD" {
                head_only = HeadOnly { wire, head: Vec::new(), over: false };
                &mut head_only
            } else {
                wire
            };
            let exchange =
                Exchange { request: &request, wire, visit, size, name, over, open, bucket, counted };
            let answered = match put {
                Some(bytes) => sins::answer_with(&bytes, exchange),
                None => sins::answer(&sin, exchange),
            };
            // A client may request the end of the connection (RFC 9112, section 9.6).
            if !matches!(answered, Ok(true)) || request.header("connection") == Some("close") {
                return;
            }
        }
    }
}

/// Sends only the head of a response, as the answer to HEAD.
struct HeadOnly<'w, W: Wire> {
    wire: &'w mut W,
    /// The bytes of the head that the script has written.
    head: Vec<u8>,
    /// True if the head is complete and was sent.
    over: bool,
}

impl<W: Wire> Read for HeadOnly<'_, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wire.read(buffer)
    }
}

impl<W: Wire> Write for HeadOnly<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.over {
            self.head.extend_from_slice(bytes);
            if let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") {
                self.over = true;
                self.wire.write_all(&self.head[..end + 4])?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wire.flush()
    }
}

impl<W: Wire> Wire for HeadOnly<'_, W> {
    fn reset(&self) {
        self.wire.reset();
    }
}

struct Plain(TcpStream);

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Wire for Plain {
    fn reset(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO));
    }
}

impl Wire for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn reset(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.sock, Some(Duration::ZERO));
    }
}

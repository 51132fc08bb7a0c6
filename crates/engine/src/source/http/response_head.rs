//! Repairs the heads of HTTP/1 responses ([`downhaul_core::head`]) before hyper reads them strictly. Bodies
//! are passed on unchanged, but the number of bytes between the chunks of the chunked coding (RFC 9112,
//! section 7.1) is limited. hyper reads the line with the size of such a chunk one byte at a time, and does
//! not limit the zeros and blanks in this line. Without a limit, one connection could block a thread and
//! delay the timers and signals of the run.
//!
//! Invariant: [`HeadState::expect_head`] is called before each request. Only the bytes that arrive between
//! this call and the end of the head are examined. A valid head that arrives in one read is not copied,
//! unless heads are kept for transcripts, or interim responses come before the head.

use downhaul_core::head::{self, BYTES_MOST, Refused};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The highest number of bytes that may arrive while the reader of the body gets no bytes of the file. This
/// is four times the largest read of hyper (`transport::READ_MOST`). In a valid body, at most the bytes of
/// two reads have not been passed to the reader of the body yet.
const FRAMING_MOST: usize = 1024 * 1024;

const ENDLESS_FRAMING: Refused = Refused("1 MiB without data arrived between two chunks of the body");

const ENDLESS_INTERIM: Refused = Refused("the server's interim responses have no end");

/// The state of the heads that arrive on a connection. The code that sends requests over the connection
/// shares this state.
#[derive(Default)]
pub(super) struct HeadState {
    /// True if the next bytes are a head.
    expected: AtomicBool,
    /// The number of bytes that arrived since the reader of the body last got bytes of the file.
    framing: AtomicUsize,
    /// Descriptions, for the user, of the lines that were dropped from the last head.
    dropped: Mutex<Vec<String>>,
    /// The last head as it arrived, if heads are kept for transcripts.
    kept: Option<Mutex<Vec<u8>>>,
}

impl HeadState {
    /// Returns the state of a new connection. `keeps_heads` is true if [`HeadState::take_head`] must return
    /// heads.
    pub(super) fn new(keeps_heads: bool) -> HeadState {
        HeadState { kept: keeps_heads.then(Mutex::default), ..HeadState::default() }
    }

    /// Records that the next bytes are the head of a response.
    pub(super) fn expect_head(&self) {
        self.dropped().clear();
        self.delivered();
        self.expected.store(true, Ordering::Release);
    }

    /// Records that the reader of the body received bytes of the file.
    pub(super) fn delivered(&self) {
        self.framing.store(0, Ordering::Relaxed);
    }

    /// Returns descriptions, for the user, of the lines that were dropped from the last head. A second call
    /// returns an empty list.
    pub(super) fn take_dropped(&self) -> Vec<String> {
        std::mem::take(&mut *self.dropped())
    }

    /// Returns the last head as it arrived, if heads are kept for transcripts.
    pub(super) fn take_head(&self) -> Option<Vec<u8>> {
        let kept = self.kept.as_ref()?;
        Some(std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn keep(&self, head: &[u8]) {
        if let Some(kept) = &self.kept {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = head.to_vec();
        }
    }

    fn dropped(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that repairs the heads of the responses that arrive on it.
pub(super) struct LenientStream<S> {
    stream: S,
    head_state: Arc<HeadState>,
    /// The longest head that is read, in bytes.
    longest: usize,
    /// The length of all interim responses to the last request, in bytes.
    interim: usize,
    state: State,
}

enum State {
    /// The bytes belong to a body.
    Body,
    /// A head is arriving. The value has the bytes that have arrived. They are at most as many as the longest
    /// head and one read have together.
    Head(Vec<u8>),
    /// hyper gets these bytes, from this offset on, before more bytes are read from the connection.
    Giving(Vec<u8>, usize),
}

impl<S> LenientStream<S> {
    /// Wraps a connection. `longest` is the longest head that is read, in bytes, and at most [`BYTES_MOST`].
    pub(super) fn new(stream: S, head_state: Arc<HeadState>, longest: usize) -> Self {
        LenientStream { stream, head_state, longest: longest.min(BYTES_MOST), interim: 0, state: State::Body }
    }
}

impl<S: AsyncRead + Unpin> LenientStream<S> {
    /// Passes on bytes of a body, and counts them.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let came = buf.filled().len() - before;
        if self.head_state.framing.fetch_add(came, Ordering::Relaxed) + came > FRAMING_MOST {
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, ENDLESS_FRAMING)));
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the first bytes of a head. If the whole head has arrived and is valid, which is the common case,
    /// the bytes stay in `buf`, unless heads are kept for transcripts.
    fn poll_first(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        if came.is_empty() || (self.head_state.kept.is_none() && is_proper(came)) {
            self.state = State::Body;
            return Poll::Ready(Ok(()));
        }
        let came = came.to_vec();
        buf.set_filled(before);
        self.state = self.look(came, 0)?;
        Poll::Ready(Ok(()))
    }

    /// Reads more bytes of a head into `buf`, and moves them to the end of the bytes that arrived before.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let State::Head(mut bytes) = std::mem::replace(&mut self.state, State::Body) else {
            return Poll::Ready(Ok(()));
        };
        let (looked_at, came) = (bytes.len(), buf.filled().get(before..).unwrap_or_default());
        let is_end = came.is_empty();
        bytes.extend_from_slice(came);
        buf.set_filled(before);
        // If the connection ended within a head, hyper gets the incomplete head and reports the error.
        self.state = if is_end { State::Giving(bytes, 0) } else { self.look(bytes, looked_at)? };
        Poll::Ready(Ok(()))
    }

    /// Examines the first bytes of a response, and returns the next state. If the head is complete, this
    /// state has the bytes that hyper gets. `looked_at` is the number of bytes that an earlier call has
    /// examined.
    fn look(&mut self, mut bytes: Vec<u8>, mut looked_at: usize) -> io::Result<State> {
        let refused = |why: Refused| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        loop {
            let Some(end) = head::end(&bytes, looked_at) else {
                return if bytes.len() > self.longest {
                    refused(head::TOO_LONG)
                } else {
                    Ok(State::Head(bytes))
                };
            };
            let (head, rest) = bytes.split_at(end);
            // Interim responses (RFC 9110, section 15.2) are ignored. A response with status 101 is kept,
            // because the bytes after it are not HTTP.
            if head::status(head).is_some_and(|status| status < 200 && status != 101) {
                self.interim += end;
                if self.interim > self.longest {
                    return refused(ENDLESS_INTERIM);
                }
                bytes.drain(..end);
                looked_at = 0;
                continue;
            }
            if head.len() > self.longest {
                return refused(head::TOO_LONG);
            }
            self.head_state.keep(head);
            return match head::tidy(head) {
                Err(why) => refused(why),
                Ok(None) => Ok(State::Giving(bytes, 0)),
                Ok(Some(mut tidied)) => {
                    self.head_state.dropped().append(&mut tidied.dropped);
                    tidied.head.extend_from_slice(rest);
                    Ok(State::Giving(tidied.head, 0))
                }
            };
        }
    }
}

/// Returns true if these bytes begin with a complete, valid head of a final response.
fn is_proper(bytes: &[u8]) -> bool {
    if head::is_plain(bytes) {
        return true;
    }
    let head = head::end(bytes, 0).and_then(|end| bytes.get(..end));
    head.is_some_and(|head| {
        head::status(head).is_some_and(|status| status >= 200) && head::tidy(head) == Ok(None)
    })
}

impl<S: AsyncRead + Unpin> AsyncRead for LenientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        // `expect_head` is called before the request is sent, so `expected` is already true when the first
        // byte of the response arrives.
        if me.head_state.expected.swap(false, Ordering::Acquire) {
            me.state = State::Head(Vec::new());
            me.interim = 0;
        }
        loop {
            match &mut me.state {
                State::Body => return me.poll_body(cx, buf),
                State::Giving(bytes, at) => {
                    let rest = bytes.get(*at..).unwrap_or_default();
                    if rest.is_empty() {
                        me.state = State::Body;
                        continue;
                    }
                    let some = rest.len().min(buf.remaining());
                    buf.put_slice(&rest[..some]);
                    *at += some;
                    return Poll::Ready(Ok(()));
                }
                State::Head(bytes) if bytes.is_empty() => {
                    let before = buf.filled().len();
                    ready!(me.poll_first(cx, buf))?;
                    if buf.filled().len() > before || matches!(me.state, State::Body) {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Head(_) => ready!(me.poll_more(cx, buf))?,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LenientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        all: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Returns the bytes that hyper gets if these portions arrive one by one, and the lines that were
    /// dropped.
    async fn given(pieces: &[&[u8]], longest: usize) -> (Result<Vec<u8>, String>, Vec<String>) {
        let (mut server, client) = tokio::io::duplex(1 << 20);
        let head_state = Arc::new(HeadState::default());
        head_state.expect_head();
        let mut lenient = LenientStream::new(client, head_state.clone(), longest);
        let send = async {
            for piece in pieces {
                server.write_all(piece).await.expect("writes");
                tokio::task::yield_now().await;
            }
            drop(server);
        };
        let mut all = Vec::new();
        let ((), read) = tokio::join!(send, lenient.read_to_end(&mut all));
        (read.map(|_| all).map_err(|e| e.to_string()), head_state.take_dropped())
    }

    #[tokio::test]
    async fn heads_are_tidied_and_bodies_are_not() {
        let odd = b"HTTP/1.1 200 OK\r\npreload\r\nX-A: 1\r\n 2\r\n\r\nbody\r\npreload\r\n\r\n";
        let is = b"HTTP/1.1 200 OK\r\nX-A: 1 2\r\n\r\nbody\r\npreload\r\n\r\n".to_vec();
        for cut in 1..odd.len() {
            let (given, dropped) = given(&[&odd[..cut], &odd[cut..]], BYTES_MOST).await;
            assert_eq!((given, dropped.len()), (Ok(is.clone()), 1), "{cut}");
        }
        let proper = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nbody";
        for cut in 1..proper.len() {
            let (given, _) = given(&[&proper[..cut], &proper[cut..]], BYTES_MOST).await;
            assert_eq!(given, Ok(proper.to_vec()), "{cut}");
        }
    }

    #[tokio::test]
    async fn interim_replies_are_left_out() {
        let early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\npreload\r\n\r\n";
        let last = b"HTTP/1.1 200 OK\r\n\r\nbody";
        let (given, dropped) = given(&[early, early, last], BYTES_MOST).await;
        assert_eq!((given, dropped), (Ok(last.to_vec()), Vec::new()));
    }

    #[tokio::test]
    async fn interim_responses_have_an_end() {
        let early = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
        assert_eq!(given(&[&early, &early], 4_096).await.0, Err(ENDLESS_INTERIM.to_string()));
    }

    #[tokio::test]
    async fn a_chunked_body_with_too_much_framing_and_no_data_is_an_error() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let zeros = b"0".repeat(FRAMING_MOST + 1);
        let (given, _) = given(&[head, &zeros[1..]], BYTES_MOST).await;
        assert_eq!(given.map(|all| all.len()), Ok(head.len() + FRAMING_MOST), "some framing is allowed");
        let (given, _) = self::given(&[head, &zeros], BYTES_MOST).await;
        assert_eq!(given, Err(ENDLESS_FRAMING.to_string()));
    }

    #[tokio::test]
    async fn refused_heads_are_errors_and_incomplete_heads_are_passed_on() {
        for bad in
            [&b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\nContent-Length 4\r\n\r\nbody"]
        {
            assert!(given(&[bad], BYTES_MOST).await.0.is_err());
        }
        let endless = b"x".repeat(5_000);
        assert_eq!(given(&[&endless], 4_096).await.0, Err(head::TOO_LONG.to_string()));
        let cut = b"HTTP/1.1 200 OK\r\nX-A";
        assert_eq!(given(&[cut], 4_096).await.0, Ok(cut.to_vec()), "hyper says what is missing");
    }
}

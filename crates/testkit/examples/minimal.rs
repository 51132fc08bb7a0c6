//! The reference for downloads of one large file in `benches/race`: it does only what must be done, with
//! large reads and large writes and without TLS. It checks no bytes and cannot resume.
//!
//! Usage: `minimal HOST:PORT PATH FILE CONNECTIONS [sha256]`. Each connection has a thread, which requests an
//! equal part of the file and writes it. With one connection for each core, no program that copies the bytes
//! from the connection to the file is much faster. With `sha256`, which needs one connection, a second thread
//! hashes the bytes that arrive.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

/// The number of bytes that are read at a time. downhaul does not read more at a time.
const READ: usize = 256 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, path, file, connections, rest @ ..] = args.as_slice() else {
        panic!("minimal HOST:PORT PATH FILE CONNECTIONS [sha256]")
    };
    let connections: u64 = connections.parse().expect("a number");
    File::create(file).expect("a file");
    if connections > 1 {
        let size = Response::to(address, path, Some((0, 0))).size;
        thread::scope(|scope| {
            for n in 0..connections {
                let (from, to) = (size * n / connections, size * (n + 1) / connections);
                scope.spawn(move || {
                    Response::to(address, path, Some((from, to - 1))).write(file, from, None);
                });
            }
        });
        return;
    }
    let response = Response::to(address, path, None);
    if rest.is_empty() {
        return response.write(file, 0, None);
    }
    let (to_hash, bytes) = mpsc::sync_channel::<Vec<u8>>(4);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
            bytes.iter().for_each(|some| context.update(&some));
            context.finish()
        });
        response.write(file, 0, Some(to_hash));
    });
}

/// A response whose head was read.
struct Response {
    stream: TcpStream,
    /// The size of the whole file, or 0 if no range was requested.
    size: u64,
}

impl Response {
    /// Requests a file, or a range of it (the first and the last byte).
    fn to(address: &str, path: &str, range: Option<(u64, u64)>) -> Response {
        let mut stream = TcpStream::connect(address).expect("connects");
        let range = range.map(|(first, last)| format!("Range: bytes={first}-{last}\r\n")).unwrap_or_default();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{range}\r\n")
            .expect("asks");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let size = head
            .lines()
            .find(|line| line.starts_with("content-range"))
            .and_then(|line| line.rsplit('/').next());
        Response { stream, size: size.and_then(|size| size.parse().ok()).unwrap_or_default() }
    }

    /// Writes the body into an existing file, from this offset on, and passes its bytes on.
    fn write(mut self, file: &str, from: u64, to_hash: Option<SyncSender<Vec<u8>>>) {
        let mut file = OpenOptions::new().write(true).open(file).expect("a file");
        file.seek(SeekFrom::Start(from)).expect("a place in the file");
        let mut buffer = vec![0; READ];
        loop {
            let read = self.stream.read(&mut buffer).expect("reads");
            if read == 0 {
                return;
            }
            file.write_all(&buffer[..read]).expect("writes");
            if let Some(to_hash) = &to_hash {
                let full = std::mem::replace(&mut buffer, vec![0; READ]);
                let full = if read == READ { full } else { full[..read].to_vec() };
                to_hash.send(full).expect("is hashed");
            }
        }
    }
}

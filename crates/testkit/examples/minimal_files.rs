//! Measures the fastest possible download of many small files, for `benches/race`. Each connection sends one
//! request after the other. Every response is read completely, written to `NAME.part` and renamed. The bytes
//! are not checked.
//!
//! `minimal_files HOST:PORT CONNECTIONS FOLDER COUNT` fetches `FOLDER/0.bin` and so on.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest response in bytes, including its head.
const LONGEST: usize = 64 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, connections, folder, count] = args.as_slice() else {
        panic!("minimal_files HOST:PORT CONNECTIONS FOLDER COUNT")
    };
    let (connections, count): (usize, usize) =
        (connections.parse().expect("a number"), count.parse().expect("a number"));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(address).expect("connects");
                stream.set_nodelay(true).expect("an option");
                let mut response = vec![0; LONGEST];
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let name = format!("{number}.bin");
                    write!(stream, "GET {folder}/{name} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("asks");
                    let body = read(&mut stream, &mut response);
                    let part = format!("{name}.part");
                    fs::write(&part, body).expect("writes");
                    fs::rename(part, name).expect("renames");
                }
            });
        }
    });
}

/// Reads one response and returns its body.
fn read<'a>(stream: &mut TcpStream, response: &'a mut [u8]) -> &'a [u8] {
    let mut there = 0;
    let mut whole = None;
    while whole.is_none_or(|(_, end)| there < end) {
        let read = stream.read(&mut response[there..]).expect("reads");
        assert!(read > 0, "the server closed the connection");
        there += read;
        if let (None, Some(head)) = (whole, response[..there].windows(4).position(|some| some == b"\r\n\r\n"))
        {
            let text = String::from_utf8_lossy(&response[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.expect("a length").trim().parse().expect("a number");
            whole = Some((head + 4, head + 4 + length));
        }
    }
    let (start, end) = whole.expect("a whole response");
    &response[start..end]
}

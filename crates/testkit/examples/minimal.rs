//! The reference for downloads of one large file in `benches/race`: one GET over one connection without TLS,
//! with large reads and large writes. It is not a limit: several connections can use more than one core.
//!
//! Usage: `minimal HOST:PORT PATH FILE [sha256]`. With `sha256`, a second thread hashes the bytes that
//! arrive.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

/// The number of bytes that are read at a time. downhaul reads at most as many.
const READ: usize = 256 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, path, file, rest @ ..] = args.as_slice() else {
        panic!("minimal HOST:PORT PATH FILE [sha256]")
    };
    let mut stream = TcpStream::connect(address).expect("connects");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("asks");
    let mut file = File::create(file).expect("a file");
    let mut buffer = vec![0; READ];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut buffer[..1]).expect("a head");
        head.push(buffer[0]);
    }
    let (to_hash, bytes) = mpsc::sync_channel::<Vec<u8>>(4);
    let hashes = !rest.is_empty();
    let hasher = hashes.then(|| {
        thread::spawn(move || {
            let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
            bytes.iter().for_each(|some| context.update(&some));
            context.finish()
        })
    });
    loop {
        let read = stream.read(&mut buffer).expect("reads");
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).expect("writes");
        if hashes {
            let full = std::mem::replace(&mut buffer, vec![0; READ]);
            let full = if read == READ { full } else { full[..read].to_vec() };
            to_hash.send(full).expect("is hashed");
        }
    }
    drop(to_hash);
    if let Some(hasher) = hasher {
        hasher.join().expect("hashes");
    }
}

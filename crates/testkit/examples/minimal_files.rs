//! The reference for downloads of many small files in `benches/race`. For each file, it does only what must
//! be done: one request, one look at the final name, one write to `NAME.part`, the date of the server's file,
//! and one rename. The bytes are not checked, and the file gets no record by which a later run recognises it.
//!
//! `minimal_files HOST:PORT CONNECTIONS FOLDER COUNT` fetches `FOLDER/0.bin` and so on. Each connection
//! has one request in progress at a time. The responses are read in the order of the requests. So the program
//! needs no call that waits for several connections, and seldom waits for a response. Files that are larger
//! than a read take several writes.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The number of bytes that are read at a time. downhaul does not read more at a time.
const READ: usize = 256 * 1024;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, connections, folder, count] = args.as_slice() else {
        panic!("minimal_files HOST:PORT CONNECTIONS FOLDER COUNT")
    };
    let (connections, count): (usize, usize) =
        (connections.parse().expect("a number"), count.parse().expect("a number"));
    let ask = |mut stream: &TcpStream, number: usize| {
        let request = format!("GET {folder}/{number}.bin HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asks");
    };
    let mut buffer = vec![0; READ];
    let mut asked: VecDeque<TcpStream> = connect(address, connections.min(count)).into();
    for (number, stream) in asked.iter().enumerate() {
        ask(stream, number);
    }
    for number in 0..count {
        let mut stream = asked.pop_front().expect("a connection for each request");
        let (part, name) = (format!("{number}.bin.part"), format!("{number}.bin"));
        assert!(fs::symlink_metadata(&name).is_err(), "{name} exists already");
        save(&mut stream, &mut buffer, &part);
        // The server works on the next request while this thread renames.
        if number + connections < count {
            ask(&stream, number + connections);
        }
        asked.push_back(stream);
        fs::rename(part, name).expect("renames");
    }
}

/// Returns new connections. Each connection is made on its own thread, because connecting takes a round
/// trip.
fn connect(address: &str, count: usize) -> Vec<TcpStream> {
    std::thread::scope(|scope| {
        let dial = || {
            let stream = TcpStream::connect(address).expect("connects");
            stream.set_nodelay(true).expect("an option");
            stream
        };
        let dials: Vec<_> = (0..count).map(|_| scope.spawn(dial)).collect();
        dials.into_iter().map(|dial| dial.join().expect("a connection")).collect()
    })
}

/// Reads one response, and writes its body into a new file.
fn save(stream: &mut TcpStream, buffer: &mut [u8], name: &str) {
    let mut there = 0;
    let head = loop {
        let read = stream.read(&mut buffer[there..]).expect("reads");
        assert!(read > 0, "the server closed the connection");
        there += read;
        if let Some(head) = buffer[..there].windows(4).position(|some| some == b"\r\n\r\n") {
            break head + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]);
    let value = |name: &str| {
        let line = text.lines().filter_map(|line| line.split_once(':'));
        line.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let length: usize = value("content-length").expect("a length").parse().expect("a number");
    let modified =
        httpdate::parse_http_date(value("last-modified").expect("a date")).expect("a date of HTTP");
    // A small body is complete before it is written, so that one write is enough.
    while there < buffer.len().min(head + length) {
        let read = stream.read(&mut buffer[there..]).expect("reads");
        assert!(read > 0, "the server closed the connection");
        there += read;
    }
    let mut file = File::create(name).expect("a file");
    file.write_all(&buffer[head..there]).expect("writes");
    let mut missing = head + length - there;
    while missing > 0 {
        let read = stream.read(buffer).expect("reads");
        assert!(read > 0, "the server closed the connection");
        file.write_all(&buffer[..read]).expect("writes");
        missing -= read;
    }
    file.set_modified(modified).expect("sets the date");
}

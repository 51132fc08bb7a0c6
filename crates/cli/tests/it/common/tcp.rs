//! Helpers for the proxies of tests, which forward connections.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::thread;

/// Reads the head of a request. Returns `None` if the client closes the connection before the end of the
/// head.
pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Passes bytes on in both directions until the server ends the connection. Then closes the connection to the
/// client.
pub fn splice(client: TcpStream, server: TcpStream) -> Option<()> {
    let (mut up, mut down) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let (mut from_server, mut to_client) = (server, client);
    let upwards = thread::spawn(move || {
        let _ = std::io::copy(&mut up, &mut down);
        let _ = down.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Both);
    upwards.join().ok()
}

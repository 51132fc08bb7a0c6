//! Tests of `downhaul daemon` as its clients see it, over HTTP and WebSocket. Some of them kill the daemon
//! and start it again.

mod api;
mod calls;
mod clients;
mod documents;
mod guards;
mod kills;
mod messages;
mod options;
mod removal;
mod security;
mod service;
mod strangers;
mod tls;
mod waits;

use crate::common::daemon::free_port;
use crate::common::{Place, poll, send};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

/// The time within which the daemon must answer or change, even if the disk is busy with the large files of
/// other tests. The daemon forces its queue to the disk.
const SOON: Duration = Duration::from_secs(60);

/// A running daemon. It saves files into the folder `files` of its place.
struct Daemon {
    child: Child,
    port: u16,
    secret: Option<String>,
}

impl Daemon {
    /// Starts a daemon with a secret, and waits until it answers.
    fn start(place: &Place) -> Daemon {
        Daemon::start_with(place, &[])
    }

    fn start_with(place: &Place, more: &[&str]) -> Daemon {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        Daemon::at(place, port, &[&["daemon", "-d", "files", "--listen", &address], more].concat())
    }

    /// Starts `downhaul aria2c` for clients.
    fn aria2c(place: &Place, more: &[&str]) -> Daemon {
        let port = free_port();
        let listen = format!("--rpc-listen-port={port}");
        let session = ["aria2c", "--enable-rpc", "-q", "-d", "files", "--save-session=s", &listen];
        Daemon::at(place, port, &[&session, more].concat())
    }

    fn at(place: &Place, port: u16, args: &[&str]) -> Daemon {
        let child = place.start(args);
        let up = poll(SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
        assert!(up.is_some(), "the daemon does not listen");
        let secret = std::fs::read_to_string(place.state().join("downhaul/daemon-secret")).ok();
        let daemon = Daemon { child, port, secret: secret.map(|text| text.trim().to_string()) };
        // The daemon listens before it has read its queue, but answers only after that.
        let answers = poll(SOON, || (daemon.get("/", "").status == 200).then_some(()));
        assert!(answers.is_some(), "the daemon does not answer");
        daemon
    }

    /// Calls a method with the token, and returns its result or its fault.
    fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let mut params = params.as_array().expect("a list").clone();
        params.splice(0..0, self.secret.iter().map(|secret| format!("token:{secret}").into()));
        let call = json!({ "jsonrpc": "2.0", "id": "1", "method": method, "params": params });
        let mut answer: Value =
            serde_json::from_str(&self.post("/jsonrpc", "", &call.to_string()).body).expect("JSON");
        match answer.get("error") {
            Some(fault) => Err(fault.clone()),
            None => Ok(answer["result"].take()),
        }
    }

    fn done(&self, method: &str, params: Value) -> Value {
        self.call(method, params).unwrap_or_else(|fault| panic!("{method}: {fault}"))
    }

    /// Calls a method that must be refused, and returns the message.
    fn refused(&self, method: &str, params: Value) -> String {
        let fault = self.call(method, params).expect_err(method);
        fault["message"].as_str().expect("a message").to_string()
    }

    fn add(&self, url: &str, options: Value) -> String {
        self.done("aria2.addUri", json!([[url], options])).as_str().expect("a gid").to_string()
    }

    /// Waits until this many downloads are active. Returns their identifiers and those of the downloads
    /// that wait or are paused, in order.
    fn order(&self, active: usize) -> Vec<String> {
        let count = || self.done("aria2.getGlobalStat", json!([]))["numActive"].clone();
        assert!(
            poll(SOON, || (count() == active.to_string().as_str()).then_some(())).is_some(),
            "{}",
            count()
        );

        let active = self.done("aria2.tellActive", json!([["gid"]]));
        let waiting = self.done("aria2.tellWaiting", json!([0, 1000, ["gid"]]));
        let all = [active, waiting].into_iter().flat_map(|list| list.as_array().cloned().expect("a list"));
        all.map(|one| one["gid"].as_str().expect("a gid").to_string()).collect()
    }

    fn status(&self, gid: &str) -> Value {
        self.done("aria2.tellStatus", json!([gid]))
    }

    /// Waits until a download has this status.
    fn wait_for(&self, gid: &str, status: &str) -> Value {
        let last = std::cell::RefCell::new(Value::Null);
        let is = poll(SOON, || {
            let now = self.status(gid);
            let is = now["status"] == status;
            *last.borrow_mut() = now;
            is.then_some(())
        });
        let last = last.into_inner();
        assert!(is.is_some(), "the download did not become {status}: {last}");
        last
    }

    /// Sends a request with these header lines, each with its line end.
    fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let has_host = headers.to_ascii_lowercase().contains("host:");
        let host = if has_host { String::new() } else { format!("Host: 127.0.0.1:{}\r\n", self.port) };
        self.send(&format!(
            "POST {path} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ))
    }

    /// Sends a request to the interface of downhaul, with the secret. Returns the status and the answer.
    fn api(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let secret = self.secret.as_deref().unwrap_or_default();
        let answer = self.send(&format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {secret}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        ));
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)))
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        let host = format!("Host: 127.0.0.1:{}\r\n", self.port);
        self.send(&format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"))
    }

    fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut text = Vec::new();
        // A server that has not read a whole body may reset the connection after its answer.
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_string() }
    }

    /// Ends the daemon at once.
    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Stops the daemon with SIGTERM, and returns its exit status.
    fn stop(mut self) -> Option<i32> {
        send(Signal::TERM, &self.child);
        poll(SOON, || self.child.try_wait().expect("a status")).and_then(|status| status.code())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer to a request.
struct Answer {
    status: u16,
    /// The status line and the headers, in lower case.
    head: String,
    body: String,
}

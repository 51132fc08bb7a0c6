//! The daemon as a service: what it tells systemd, the sockets that systemd passes, and signals.

use super::{Daemon, SOON};
use crate::common::daemon::free_port;
use crate::common::{Place, finish, poll, send};
use downhaul_testkit::content;
use downhaul_testkit::server::Server;
use rustix::process::Signal;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A service manager that only listens.
struct Manager(UnixDatagram);

impl Manager {
    fn new(place: &Place) -> Manager {
        let socket = UnixDatagram::bind(place.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(SOON)).expect("a time limit");
        Manager(socket)
    }

    /// Returns the next message that is not a watchdog message.
    fn next(&self) -> String {
        loop {
            let mut bytes = [0; 1024];
            let length = self.0.recv(&mut bytes).expect("a message");
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text != "WATCHDOG=1" {
                return text;
            }
        }
    }

    #[track_caller]
    fn expect(&self, beginning: &str) {
        let text = self.next();
        assert!(text.starts_with(beginning), "{text:?} does not begin with {beginning}");
    }
}

/// Returns a daemon that is running already.
fn running(child: Child, port: u16, place: &Place) -> Daemon {
    let secret = std::fs::read_to_string(place.state().join("downhaul/daemon-secret")).ok();
    Daemon { child, port, secret: secret.map(|text| text.trim().to_string()) }
}

/// Returns the command of a daemon that a service manager starts, and the port of the daemon.
fn managed(place: &Place, more: &[&str]) -> (Command, u16) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut command = place
        .command(&[&["daemon", "-d", "files", "--listen", &address, "--config", "c.toml"], more].concat());
    command.env("NOTIFY_SOCKET", place.path().join("notify"));
    (command, port)
}

#[test]
fn the_service_manager_hears_of_the_start_of_reloads_and_of_the_end() {
    let place = Place::new();
    let manager = Manager::new(&place);
    place.write("c.toml", "parallel = 3\n");
    let (mut command, port) = managed(&place, &[]);
    command.env("WATCHDOG_USEC", "200000");
    let child = command.spawn().expect("the program starts");
    manager.expect("READY=1\n");
    let daemon = running(child, port, &place);
    let option = |name: &str| daemon.done("aria2.getGlobalOption", json!([]))[name].clone();
    assert_eq!(option("max-concurrent-downloads"), "3");
    // A watchdog message is sent twice within the time of the watchdog.
    let signs = Instant::now();
    for _ in 0..3 {
        let mut bytes = [0; 64];
        let length = manager.0.recv(&mut bytes).expect("a message");
        assert_eq!(&bytes[..length], b"WATCHDOG=1");
    }
    assert!(signs.elapsed() < Duration::from_secs(5), "{:?}", signs.elapsed());

    place.write("c.toml", "parallel = 7\nlimit-rate = \"1M\"\nuser-agent = \"x\"\n");
    send(Signal::HUP, &daemon.child);
    manager.expect("RELOADING=1\nMONOTONIC_USEC=");
    manager.expect("READY=1\n");
    assert_eq!(option("max-concurrent-downloads"), "7");
    assert_eq!(option("max-overall-download-limit"), "1048576");
    let log = daemon.api("GET", "/log", "").1.to_string();
    assert!(log.contains("user-agent changed: restart the daemon"), "{log}");

    // A file with a mistake changes nothing, and the daemon keeps running.
    place.write("c.toml", "parallel = \"many\"\n");
    send(Signal::HUP, &daemon.child);
    manager.expect("RELOADING=1\n");
    manager.expect("READY=1\n");
    assert_eq!(option("max-concurrent-downloads"), "7");
    let after = daemon.api("GET", "/log", "").1.to_string();
    assert!(after.contains("the new configuration is not used") && !after.contains("--help"), "{after}");
    let times = |log: &str| log.matches("the configuration was read again").count();
    assert_eq!(times(&after), times(&log), "{after}");

    assert_eq!(daemon.stop(), Some(0));
    manager.expect("STOPPING=1\n");
}

#[test]
fn a_new_secret_is_in_force_after_sighup() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let old = daemon.secret.clone().expect("a secret");
    let file = place.state().join("downhaul/daemon-secret");
    std::fs::write(&file, "a-new-secret\n").expect("ours");
    send(Signal::HUP, &daemon.child);
    let version = |secret: &str| {
        let params = format!(r#""params":["token:{secret}"]"#);
        daemon.post("/jsonrpc", "", &format!(r#"{{"id":1,"method":"aria2.getVersion",{params}}}"#)).status
    };
    assert!(poll(SOON, || (version("a-new-secret") == 200).then_some(())).is_some());
    assert_eq!(version(&old), 400);
}

#[test]
fn a_socket_that_systemd_passed_is_served() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // The first passed socket has the number 3, and the variables name the process that gets it.
    let script = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@""#;
    let program = place.command(&[]);
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(program.get_program())
        .args(["daemon", "-d", "files", "--listen", "127.0.0.1:1"])
        .current_dir(place.path())
        .env_clear()
        .env("XDG_STATE_HOME", place.state())
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let notice = place.state().join("downhaul/daemon.json");
    assert!(poll(SOON, || notice.exists().then_some(())).is_some(), "the daemon does not start");
    let daemon = running(child, port, &place);
    daemon.done("aria2.getVersion", json!([]));
    assert_eq!(place.run(&["list"]).status, 0, "the commands find the daemon");
}

#[test]
fn sigterm_saves_and_ends_within_five_seconds_and_nothing_is_lost() {
    let (server, place) = (Server::start(), Place::new());
    let bytes = content("a", 3_000_000);
    let url = server.put("/a.bin", bytes.clone());
    let daemon = Daemon::start(&place);
    let slow = daemon.add(&url, json!({ "max-download-limit": "100K" }));
    // For 30 seconds, the server sends nothing over these connections, and does not close them.
    for number in 0..8 {
        daemon.add(&server.url(&format!("slow_first_byte/60/{number}")), json!({}));
    }
    place.wait_for_bytes("files/a.bin.part", 1);
    let since = Instant::now();
    assert_eq!(daemon.stop(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    let daemon = Daemon::start(&place);
    daemon.done("aria2.changeOption", json!([slow, { "max-download-limit": "0" }]));
    daemon.wait_for(&slow, "complete");
    assert_eq!(place.file("files/a.bin"), Some(bytes));
}

#[test]
fn a_daemon_without_tls_on_the_network_warns() {
    let place = Place::new();
    let mut child = place.start(&["daemon", "-d", "files", "--listen", "0.0.0.0:0"]);
    let notice = place.state().join("downhaul/daemon.json");
    assert!(poll(SOON, || notice.exists().then_some(())).is_some());
    send(Signal::TERM, &child);
    child.wait().expect("ended");
    let out = finish(child);
    assert!(
        out.stderr.contains("without TLS, so others on the network can read the secret"),
        "{}",
        out.stderr
    );
}

#[test]
fn an_answer_that_the_client_has_not_read_yet_is_sent_whole_before_the_daemon_ends() {
    let (place, other) = (Place::new(), Place::new());
    for mut daemon in [Daemon::start(&place), Daemon::aria2c(&other, &[])] {
        let secret = daemon.secret.clone().unwrap_or_default();
        // The answer is longer than the buffers of the system for a client that does not read.
        let header = "X-Long: ".to_string() + &"x".repeat(60_000);
        let options = json!({ "pause": "true", "header": header });
        let gid = daemon.add("http://127.0.0.1:1/f", options);
        let token = format!("token:{secret}");
        let long = json!({ "methodName": "aria2.getOption", "params": [&token, &gid] });
        let stop = json!({ "methodName": "aria2.shutdown", "params": [&token] });
        let calls: Vec<_> = std::iter::repeat_n(&long, 100).chain([&stop]).collect();
        let call = json!({ "id": "1", "method": "system.multicall", "params": [calls] }).to_string();
        let mut client = TcpStream::connect(("127.0.0.1", daemon.port)).expect("a connection");
        let head =
            format!("POST /jsonrpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", call.len());
        client.write_all((head + &call).as_bytes()).expect("a request");
        // The daemon waits for a second for its clients.
        std::thread::sleep(Duration::from_millis(100));
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer that is not cut off");
        assert!(answer.len() > 5 << 20 && answer.ends_with(r#"["OK"]]}"#), "{} bytes", answer.len());
        let ended = poll(SOON, || daemon.child.try_wait().expect("a status"));
        assert_eq!(ended.and_then(|status| status.code()), Some(0));
    }
}

#[test]
fn the_units_start_the_daemon_with_options_that_it_has() {
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd");
    for unit in ["downhaul.service", "downhaul@.service"] {
        let text = std::fs::read_to_string(format!("{units}/{unit}")).expect("a unit");
        let line =
            text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/downhaul ")).expect("a line");
        // The file of the certificate does not exist, so the daemon accepts its options and then ends.
        let ends = ["--listen", "127.0.0.1:0", "--no-secret", "--tls-cert", "none", "--tls-key", "none"];
        let out = Place::new().run(&[&line.split(' ').collect::<Vec<_>>(), &ends[..]].concat());
        assert!(out.status == 2 && out.stderr.contains("--tls-key cannot be used"), "{unit}: {}", out.stderr);
    }
}

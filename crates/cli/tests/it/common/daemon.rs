//! Real servers for tests. A test starts them in the foreground and on loopback, and ends them.

use super::{Place, is_installed, poll, send, wait_until};
use rustix::process::Signal;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// The longest time that a server may need to end.
const ENDING: Duration = Duration::from_secs(5);

/// A server in a folder of its own. The server ends when this value is dropped.
pub struct Daemon {
    process: Child,
    pub port: u16,
    pub folder: Place,
}

impl Daemon {
    /// Starts a program in a new folder. `arguments` writes its configuration into the folder and returns the
    /// arguments that make it listen on the port. Returns `None` if the program is not installed.
    pub fn start(program: &str, arguments: impl FnOnce(&Place, u16) -> Vec<String>) -> Option<Daemon> {
        if !is_installed(program) {
            return None;
        }
        let (folder, port) = (Place::new(), free_port());
        // Some servers give up the rights of the superuser, but must read and write in this folder.
        open_to_all(folder.path());
        let arguments = arguments(&folder, port);
        let process = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("stderr")).expect("a file"))
            .spawn()
            .expect("the program starts");
        let daemon = Daemon { process, port, folder };
        wait_until(&format!("{program} listens"), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(daemon)
    }

    /// Starts nginx. `http` writes files into the folder and returns the settings of the block `http`, with a
    /// server that listens on the port. The files below `www` are served.
    pub fn nginx(http: impl FnOnce(&Place, u16) -> String) -> Option<Daemon> {
        Daemon::start("nginx", |folder, port| {
            let http = http(folder, port);
            let here = folder.path().display();
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {here}/tmp-{kind};"))
                .concat();
            let config = format!(
                "user root; daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;
                 events {{ worker_connections 64; }}
                 http {{ {temporary} root {here}/www; {http} }}"
            );
            let config = folder.write("nginx.conf", config);
            vec!["-p".into(), here.to_string(), "-c".into(), config.display().to_string()]
        })
    }

    /// Returns the text of a file in the folder of the server, such as its log.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.folder.file(name).unwrap_or_default()).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        send(Signal::TERM, &self.process);
        if poll(ENDING, || self.process.try_wait().expect("waits")).is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Lets every user of this machine read and write a folder or a file.
pub fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
}

/// Returns a port on which nothing listens. No other test of this process gets the same port. The system
/// gives connections and test servers other ports, from 32768 on.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    // Tests of another process begin with other ports.
    let begin = (std::process::id().wrapping_mul(100) % u32::from(COUNT)) as u16;
    (0..COUNT)
        .map(|_| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port")
}

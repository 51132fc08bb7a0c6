//! Starts only the misbehaving server, so that any downloader can be tested with it. Its files have URLs of
//! the form `http://127.0.0.1:PORT/SIN/SIZE/NAME`. A *sin* is a kind of misbehaviour. The program prints the
//! names of all sins.
//!
//! Usage: `cargo run -p downhaul-testkit --example server -- 8080 [SECONDS]`. The server ends after ten
//! minutes, or after SECONDS. `/well_behaved/SIZE/NAME` returns the right file.

use downhaul_testkit::server::{Server, sins};
use std::time::Duration;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u16>().ok());
    let (port, seconds) = (args.next().unwrap_or(0), args.next().unwrap_or(600));
    let server = Server::start_at(port);
    println!("http://127.0.0.1:{}/", server.port());
    println!("sins: {}", sins::names().join(" "));
    std::thread::sleep(Duration::from_secs(seconds.into()));
}

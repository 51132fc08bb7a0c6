//! Downloads seven files with the real program from a misbehaving server on this machine: `cargo run
//! --example demo`. It needs no internet connection.

use downhaul_testkit::server::Server;
use std::process::ExitCode;

/// The files, and what each of them shows.
const FILES: &[(&str, &str)] = &[
    ("slow/6000000/slow.iso?rate=1200000", "slow: time to look at its bar"),
    ("checksum/40000000/verified.tar", "comes with its SHA-256, which is checked while it arrives"),
    ("fails_once/5000000/flaky.zip?status=503", "fails at first and is tried again"),
    ("truncated_body/9000000/broken.mp4", "breaks off in the middle and goes on there"),
    ("slow/3000000/no-length.log?rate=1500000&chunked=1", "does not say how long it is"),
    (
        "named/800000/x?disposition=attachment;filename=\"../../escape.sh\"",
        "its name tries to leave the folder",
    ),
    ("checksum_wrong/2000000/corrupt.bin", "does not match its digest: nothing of it is kept"),
];

fn main() -> ExitCode {
    let server = Server::start();
    let folder = std::env::temp_dir().join(format!("downhaul-demo-{}", std::process::id()));
    if let Err(e) = std::fs::create_dir_all(&folder).and_then(|()| std::env::set_current_dir(&folder)) {
        say(&format!("{} cannot be used: {e}", folder.display()));
        return ExitCode::FAILURE;
    }
    say("Seven files from a server on this machine that misbehaves:\n");
    for (path, about) in FILES {
        let name = path.split(['/', '?']).nth(2).unwrap_or_default();
        say(&format!("  {name:<14} {about}"));
    }
    say("\n$ downhaul URL... -j 3\n");
    let urls: Vec<String> = FILES.iter().map(|(path, _)| server.url(path)).collect();
    let args = ["downhaul", "-j", "3", "--on-error", "retry"];
    let status = downhaul::main_with(args.into_iter().map(Into::into).chain(urls.iter().map(Into::into)));
    say(&format!("\nThe files and the log are in {}.", folder.display()));
    // One file is corrupt, so the status must be 3.
    if status == ExitCode::from(3) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(text: &str) {
    eprintln!("{text}");
}

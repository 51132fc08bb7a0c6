//! Downloads a URL into memory and counts its lines. Run this example with `cargo run -p downhaul-engine
//! --example into_a_buffer -- URL`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program has arguments and prints"
)]

use downhaul_engine::{AsyncWriter, Job, Session, Settings};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: into_a_buffer URL")?;

    let session = Session::start(Settings::default())?;
    let (writer, mut reader) = tokio::io::duplex(64 * 1024);
    session.add(Job::given(&url)?.to_writer(AsyncWriter::new(writer))).await?;

    // Several connections may fetch the bytes, which arrive here in order.
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await?;
    let summary = session.finish().await;
    if summary.finished != 1 {
        return Err("the file is not complete".into());
    }
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
    println!("{} bytes, {lines} lines", bytes.len());
    Ok(())
}

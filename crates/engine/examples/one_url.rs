//! Downloads one URL. Run this example with `cargo run -p downhaul-engine --example one_url -- URL FOLDER`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program has arguments and prints"
)]

use downhaul_engine::{EventKind, Job, Session, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(folder)) = (args.next(), args.next()) else {
        return Err("usage: one_url URL FOLDER".into());
    };

    let session = Session::start(Settings::default().with_output(folder))?;
    let mut events = session.events();
    session.add(Job::given(&url)?).await?;
    let summary = session.finish().await;

    while let Some(event) = events.next().await {
        match &event.kind {
            EventKind::Finished { path, bytes, proven, .. } => println!("{path}: {bytes} bytes, {proven}"),
            EventKind::Failed { error, .. } => println!("failed: {}", error.message),
            _ => {}
        }
    }
    if summary.failed == 0 { Ok(()) } else { Err("the file is not complete".into()) }
}

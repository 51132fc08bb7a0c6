//! Downloads many URLs, and shows twice a second how many bytes have arrived in total. Run this example with
//! `cargo run -p downhaul-engine --example many_with_progress -- FOLDER URL...`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program has arguments and prints"
)]

use downhaul_engine::{Job, Session, Settings};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: many_with_progress FOLDER URL...")?;
    let jobs = args.map(|url| Job::given(&url)).collect::<Result<Vec<_>, _>>()?;

    // With `None`, the session chooses how many files it downloads at once.
    let session = Session::start(Settings::default().with_output(folder).with_parallel(None))?;
    let add = async {
        for job in jobs {
            session.add(job).await?;
        }
        Ok::<_, downhaul_engine::Closed>(session.finish().await)
    };
    tokio::pin!(add);
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let summary = loop {
        tokio::select! {
            summary = &mut add => break summary?,
            _ = tick.tick() => {
                // The state counts the files that have ended. There is a sample for each file in progress.
                let (state, samples) = (session.state(), session.samples());
                let bytes = state.bytes + samples.iter().map(|one| one.bytes).sum::<u64>();
                println!("{} of {} files, {bytes} bytes", state.finished, state.queued);
            }
        }
    };
    println!("{} finished, {} failed", summary.finished, summary.failed);
    if summary.failed == 0 { Ok(()) } else { Err("not all files are complete".into()) }
}

//! Adds a protocol to the library: `memory://NAME` is a text in the memory of the program. Run this example
//! with `cargo run -p downhaul-engine --example custom_protocol -- FOLDER`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program has arguments and prints"
)]

use bytes::Bytes;
use downhaul_engine::source::{Opened, Remote, Request, Source, Sources};
use downhaul_engine::{Error, Job, Session, Settings};
use futures_util::future::BoxFuture;
use futures_util::stream;
use std::sync::Arc;

/// A text in memory.
struct Memory {
    url: downhaul_engine::Url,
    text: Bytes,
}

impl Source for Memory {
    fn open(&self, _request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        // This source cannot send ranges, so every response has the whole text.
        let mut remote = Remote::whole(self.url.clone());
        remote.size = Some(self.text.len() as u64);
        let body = Box::pin(stream::iter([Ok(self.text.clone())]));
        Box::pin(async move { Ok(Opened { remote, body }) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: custom_protocol FOLDER")?;

    let settings = Settings::default().with_output(folder);
    let sources = Sources::http(&settings)?.with_scheme("memory", |url, _| {
        let text = format!("I am {}.\n", url.host_str().unwrap_or_default()).into();
        Arc::new(Memory { url: url.clone(), text })
    });
    let url = sources.parse_url("memory://hello")?;
    let session = Session::builder(settings).sources(sources).start()?;
    session.add(Job::new(url).to_path("hello.txt")).await?;
    let summary = session.finish().await;
    println!("{} finished, {} failed", summary.finished, summary.failed);
    if summary.failed == 0 { Ok(()) } else { Err("the file is not complete".into()) }
}

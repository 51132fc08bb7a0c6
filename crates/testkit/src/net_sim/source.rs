//! A source for the whole engine, with the responses of a simulated world.

use super::World;
use bytes::Bytes;
use downhaul_core::error::Error;
use downhaul_engine::source::{Opened, Request, Source};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A source in a simulated world, for the whole engine.
pub struct SimSource {
    world: Arc<Mutex<World>>,
}

impl SimSource {
    /// Returns a source in this world.
    pub fn new(world: Arc<Mutex<World>>) -> Self {
        SimSource { world }
    }
}

impl Source for SimSource {
    fn open(&self, request: Request) -> BoxFuture<'_, Result<Opened, Error>> {
        Box::pin(async move {
            let (meeting, delay, length) = {
                let mut world = self.world.lock().expect("no panic");
                let mut meeting = world.meet(request.clone());
                world.spoil(request, &mut meeting);
                (meeting, world.rng.u64(0..2000), world.rng.usize(1..200_000))
            };
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let remote = meeting.head?;
            let buffers: Vec<Bytes> = meeting.body.chunks(length).map(Bytes::copy_from_slice).collect();
            // Some bodies arrive together with their head.
            let pause = if delay % 4 == 0 { 0 } else { delay / 10 };
            let body = stream::iter(buffers).then(move |bytes| async move {
                if pause > 0 {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Ok(bytes)
            });
            let end = stream::iter(meeting.end.err().map(Err));
            Ok(Opened { remote, body: Box::pin(body.chain(end)) })
        })
    }
}

//! Compares what an earlier run left with its journal, one claim after the other, while what is missing is fetched.

use crate::disk::Part;
use downhaul_core::journal::{Claim, Crc};
use downhaul_core::plan::Input;
use std::sync::Arc;

/// How much is read at a time: stays in the cache while it is summed.
const READ: u64 = 256 * 1024;

/// Reports a `Checked` for each claim, and then `CheckEnded`.
pub(crate) async fn run(number: u32, claims: Vec<Claim>, part: Arc<dyn Part>, report: impl Fn(Input)) {
    for claim in claims {
        let part = part.clone();
        // What cannot be read cannot be trusted, and is fetched again.
        let good = tokio::task::spawn_blocking(move || holds(&*part, claim)).await.unwrap_or(false);
        report(Input::Checked { number, claim, good });
    }
    report(Input::CheckEnded { number });
}

fn holds(part: &dyn Part, claim: Claim) -> bool {
    let (mut at, mut crc) = (claim.start, Crc::new());
    let mut buffer = vec![0; usize::try_from(READ.min(claim.end - claim.start)).unwrap_or(0)];
    while at < claim.end {
        let most = usize::try_from((claim.end - at).min(READ)).unwrap_or(0);
        match part.read_at(at, &mut buffer[..most]) {
            Ok(read) if read == most => crc.update(&buffer[..most]),
            _ => return false,
        }
        at += most as u64;
    }
    crc.value() == claim.crc
}

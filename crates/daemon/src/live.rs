//! [`Live`]: the progress of one active download, with its speed, and why it waits.
//!
//! Invariant: nothing here is saved. After a start of the daemon, the library reports the progress again.

use downhaul_engine::core::event::Failure;
use downhaul_engine::{EventKind, Phase, Progress};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The speed is the average over about this time. Clients usually request the speed every second. An average
/// over a much shorter time would change at each short pause of a server.
const SPEED_OVER: Duration = Duration::from_secs(3);

/// The wait of an active download before its next attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The end of the wait, in milliseconds since the Unix epoch.
    pub until: u64,
    /// The failure that led to the wait: its code, such as `http.busy`, and the message.
    pub error: (String, String),
    /// True if another download may run during the wait. There are two usual reasons: the host requires a
    /// pause, or another run or job is working on the file. The other job may belong to the same download: if
    /// the download was paused and resumed, the job from before the pause may not have closed the file yet.
    pub is_idle: bool,
}

/// The progress of one active download.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// The number of received bytes of the file: those on the disk, and those that are not written yet.
    pub completed: u64,
    /// The size of the file in bytes, if known.
    pub total: Option<u64>,
    /// The number of connections that the download uses now.
    pub connections: usize,
    /// The byte ranges that are on the disk, in order.
    pub ranges: Vec<Range<u64>>,
    /// True if `completed` is known. Before the library has opened the partial file, it reports no bytes,
    /// even if some are on the disk.
    pub is_known: bool,
    /// The wait before the next attempt, if the download waits now.
    pub wait: Option<Wait>,
    /// The measurements of the last seconds: the time and the number of bytes.
    measured: VecDeque<(Instant, u64)>,
}

impl Live {
    /// Takes the values of `progress`, and adds a measurement for the speed. If the download is not in
    /// [`Phase::Waiting`], its wait ends.
    pub fn measure(&mut self, now: Instant, progress: &Progress) {
        (self.completed, self.total) = (progress.bytes, progress.total);
        let was_known = self.is_known;
        self.is_known |= progress.bytes > 0
            || matches!(progress.phase, Phase::Receiving | Phase::Finishing | Phase::Checking);
        self.connections = progress.connections;
        self.ranges.clone_from(&progress.ranges);
        if progress.phase != Phase::Waiting {
            self.wait = None;
        }
        // The measurement starts again if bytes were discarded. It also starts again when the library has
        // opened the partial file, because the bytes that the file already had do not count for the speed.
        if !was_known || self.measured.back().is_some_and(|(_, bytes)| *bytes > progress.bytes) {
            self.measured.clear();
        }
        self.measured.push_back((now, progress.bytes));
        while self.measured.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPEED_OVER) {
            self.measured.pop_front();
        }
    }

    /// Applies an event of the download. Each event ends the wait of the download, and a retry may begin the
    /// next wait. `now` is the time in milliseconds since the Unix epoch.
    pub fn on_event(&mut self, event: &EventKind, now: u64) {
        self.wait = None;
        if let EventKind::Retrying { error, wait, idle, .. } = event {
            self.set_wait(error, *wait, *idle, now);
        }
    }

    /// Records that the download waits for `seconds` after this failure. If `seconds` is 0, there is no wait.
    /// `is_idle` is true if another download may run during the wait.
    fn set_wait(&mut self, error: &Failure, seconds: f64, is_idle: bool, now: u64) {
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let until = now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let error = (error.code.clone(), error.message.clone());
        self.wait = (!wait.is_zero()).then_some(Wait { until, error, is_idle });
    }

    /// Returns the speed in bytes a second.
    pub fn speed(&self) -> u64 {
        let (Some((begin, before)), Some((end, after))) = (self.measured.front(), self.measured.back())
        else {
            return 0;
        };
        let millis = u64::try_from(end.duration_since(*begin).as_millis()).unwrap_or(u64::MAX);
        ((after - before) * 1000).checked_div(millis).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use downhaul_engine::{Error, ErrorKind, JobId};

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let (mut live, start) = (Live::default(), Instant::now());
        for (second, bytes) in [0_u64, 100, 200, 300, 1300, 2300, 3300].into_iter().enumerate() {
            let mut progress = Progress::new(JobId::new(1), "a", Phase::Receiving);
            progress.bytes = bytes;
            live.measure(start + Duration::from_secs(second as u64), &progress);
        }
        assert_eq!(live.speed(), 1000);
        live.measure(start + Duration::from_secs(8), &Progress::new(JobId::new(1), "a", Phase::Receiving));
        assert_eq!((live.speed(), live.completed), (0, 0));
    }

    #[test]
    fn bytes_from_before_a_pause_do_not_count_for_the_speed() {
        let (mut live, start) = (Live::default(), Instant::now());
        live.measure(start, &Progress::new(JobId::new(1), "a", Phase::Connecting));
        for (second, bytes) in [(1, 2_000_000_000), (2, 2_000_000_500)] {
            let mut progress = Progress::new(JobId::new(1), "a", Phase::Receiving);
            progress.bytes = bytes;
            live.measure(start + Duration::from_secs(second), &progress);
        }
        assert_eq!(live.speed(), 500);
    }

    #[test]
    fn no_bytes_are_known_before_the_partial_file_is_opened() {
        let (mut live, start) = (Live::default(), Instant::now());
        live.measure(start, &Progress::new(JobId::new(1), "a", Phase::Connecting));
        assert!(!live.is_known);
        live.measure(start, &Progress::new(JobId::new(1), "a", Phase::Receiving));
        assert!(live.is_known, "the download starts without earlier bytes");
        live.measure(start, &Progress::new(JobId::new(1), "a", Phase::Connecting));
        assert!(live.is_known);
    }

    #[test]
    fn a_retry_without_a_wait_is_no_wait() {
        let mut live = Live::default();
        let error = Failure::from(&Error::new(ErrorKind::HttpBusy, "http://h/a", "503"));
        live.set_wait(&error, 2.0, true, 1000);
        assert!(live.wait.as_ref().is_some_and(|wait| wait.is_idle && wait.until == 3000));
        live.set_wait(&error, 0.0, false, 2000);
        assert_eq!(live.wait, None);
    }
}

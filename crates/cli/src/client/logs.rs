//! `downhaul logs`: prints the log of the daemon.

use super::http::Http;
use super::print;
use crate::args::client::Logs;
use crate::exit::Exit;
use downhaul_engine::core::show;
use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::time::Duration;

/// The time between two requests for new lines.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Prints the last lines of the log. With `-f`, also prints each new line.
pub(super) async fn run(daemon: &Http, logs: &Logs) -> Result<Exit, String> {
    let (mut after, mut most) = (0, logs.lines);
    loop {
        let path = format!("/log?after={after}&limit={most}");
        let answer = daemon.call(Method::GET, &path, None).await?;
        let lines = daemon.list(&answer, "lines")?;
        let text: String = lines.iter().map(|one| line(one, logs.json)).collect();
        if !text.is_empty() {
            print(&text)?;
        }
        if !logs.follow {
            return Ok(Exit::Success);
        }
        after = answer["next"].as_u64().unwrap_or(after);
        most = usize::MAX >> 1;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns a line of the log, such as `2026-11-22 07:32:10 failed f0ca990000000001 a.iso: ...`.
fn line(of: &Value, as_json: bool) -> String {
    if as_json {
        return format!("{of}\n");
    }
    let milliseconds = of["at"].as_i64().unwrap_or_default();
    let at = Timestamp::from_millisecond(milliseconds).unwrap_or_default().to_zoned(TimeZone::system());
    let text = |name: &str| show::escaped(of[name].as_str().unwrap_or_default()).into_owned();
    let id = of["id"].as_str().map_or(String::new(), |id| format!(" {}", show::escaped(id)));
    format!("{} {}{id} {}\n", at.strftime("%Y-%m-%d %H:%M:%S"), text("kind"), text("text"))
}

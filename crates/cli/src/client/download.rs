//! [`Download`]: a download as the daemon describes it, and the texts about it for people.

use crate::ui::units;
use downhaul_engine::core::show;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A download of the daemon. The OpenAPI description of the daemon's interface explains the fields. A server
/// that is not a daemon can send any text. Therefore most texts are escaped for the terminal when they are
/// read. `proof` is escaped when it is shown.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Download {
    #[serde(deserialize_with = "identifier")]
    pub(super) id: String,
    #[serde(deserialize_with = "escaped")]
    pub(super) state: String,
    #[serde(deserialize_with = "escaped")]
    pub(super) name: String,
    pub(super) total: Option<u64>,
    pub(super) completed: u64,
    pub(super) speed: u64,
    #[serde(default)]
    pub(super) connections: usize,
    pub(super) seconds_left: Option<u64>,
    pub(super) error: Option<Failure>,
    pub(super) waits: Option<Waits>,
    pub(super) proof: Option<String>,
    pub(super) position: Option<usize>,
}

/// The wait of an active download before its next attempt.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Waits {
    /// The end of the wait, in milliseconds since the Unix epoch.
    pub(super) until: i64,
    pub(super) error: Failure,
}

/// Why a download failed, was removed, or waits.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Failure {
    #[serde(deserialize_with = "escaped")]
    pub(super) code: String,
    #[serde(deserialize_with = "escaped")]
    pub(super) message: String,
}

/// Reads one download or several downloads from an answer.
///
/// # Errors
/// Returns an error if the answer does not have the form that the daemon's interface defines.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T, String> {
    serde_json::from_value(answer).map_err(|e| format!("the answer of the daemon is not understood: {e}"))
}

/// The fewest digits of an identifier that are shown.
const DIGITS: usize = 6;

impl Download {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "complete" | "error" | "removed")
    }

    /// Returns the name for the terminal.
    pub(super) fn shown_name(&self) -> String {
        self.name.clone()
    }

    /// Returns the text that says until when and why the download waits, or `None` if it does not wait.
    pub(super) fn wait(&self) -> Option<String> {
        let Waits { until, error } = self.waits.as_ref()?;
        let until = Timestamp::from_millisecond(*until).unwrap_or_default().to_zoned(TimeZone::system());
        Some(format!("waits until {}: {}", until.strftime("%Y-%m-%d %H:%M:%S"), error.code))
    }

    /// Returns how the download ended, or the reason why it failed. The text is empty if neither is known.
    pub(super) fn outcome(&self) -> String {
        match (&self.error, &self.proof) {
            (Some(error), _) => format!("{} ({})", error.message, error.code),
            (None, Some(proof)) => {
                let size = units::bytes(self.completed);
                format!("{size}, {}", show::escaped(show::verified(proof)))
            }
            (None, None) => String::new(),
        }
    }
}

fn escaped<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(|text| show::escaped(&text).into_owned())
}

/// Reads an identifier, which has 16 hexadecimal digits.
fn identifier<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let id = String::deserialize(from)?;
    match id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(id),
        false => Err(D::Error::custom("an identifier does not have 16 hexadecimal digits")),
    }
}

/// Returns the number of digits that tell these identifiers apart, which is at least [`DIGITS`].
pub(super) fn digits<'a>(ids: impl Iterator<Item = &'a str>) -> usize {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    let common = |pair: &[&str]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    ids.windows(2).map(|pair| common(pair) + 1).max().unwrap_or(0).max(DIGITS)
}

pub(super) fn short(id: &str, digits: usize) -> &str {
    id.get(..digits).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_enough_digits_to_tell_the_downloads_apart() {
        let of = |ids: &[&str]| digits(ids.iter().copied());
        assert_eq!(of(&[]), 6);
        assert_eq!(of(&["0123456789abcdef", "f123456789abcdef"]), 6);
        assert_eq!(of(&["0123456789abcdef", "f123456789abcdef", "0123456799abcdef"]), 9);
    }
}

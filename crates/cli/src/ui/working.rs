//! One line on the terminal that shows that a command without bars is working.

use super::line::Line;
use super::painter::Painter;
use crate::platform;
use crate::printer;
use std::time::{Duration, Instant};

/// The shortest time between two paints, and the time before the first paint, so that a command that ends
/// soon shows no line. With `at_once`, [`Working::show`] does not wait for this time.
pub(crate) const EVERY: Duration = Duration::from_millis(300);

/// The line. When this value is dropped, the line is removed.
pub(crate) struct Working {
    painter: Option<Painter>,
    painted: Instant,
}

impl Working {
    /// Returns a line that is painted only if `is_shown` is true.
    pub(crate) fn new(is_shown: bool) -> Working {
        Working { painter: is_shown.then(Painter::default), painted: Instant::now() }
    }

    /// Paints the line, unless it was painted or created less than [`EVERY`] ago. If `at_once` is true,
    /// paints the line even then. If this program is in the background, paints nothing.
    pub(crate) fn show(&mut self, at_once: bool, text: impl FnOnce() -> String) {
        if !at_once && self.painted.elapsed() < EVERY {
            return;
        }
        let Some(painter) = self.painter.as_mut().filter(|_| platform::is_in_front()) else { return };
        let (columns, _) = platform::terminal_size();
        let line = Line::plain(text()).cut(columns.saturating_sub(1));
        printer::err(&painter.paint(&[], &[line.text], columns));
        self.painted = Instant::now();
    }

    /// Removes the line. This function must be called before other text is printed.
    pub(crate) fn clear(&mut self) {
        let text = self.painter.as_mut().map(Painter::clear).unwrap_or_default();
        if !text.is_empty() {
            printer::err(&text);
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.clear();
    }
}

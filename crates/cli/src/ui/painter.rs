//! Keeps a block of lines at the bottom of what was printed: prints above it, and paints it anew in place.
//!
//! Own rather than a library's: every line is already cut to the screen, so all that is left is some thirty lines of
//! cursor work, which must be right when the terminal is resized, stopped, or shared with a shell prompt.

use super::units;

/// The block as it stands on the screen.
#[derive(Default)]
pub(crate) struct Painter {
    /// The width of each painted line, in columns.
    painted: Vec<usize>,
}

impl Painter {
    /// The bytes that print `above` for good, and below it the block.
    pub(crate) fn paint(&mut self, above: &[String], block: &[String], columns: usize) -> String {
        let mut out = self.to_start(columns);
        for line in above {
            // Long lines wrap; that is the terminal's business, and they are never painted again.
            out += line;
            out += "\x1b[K\r\n";
        }
        for (index, line) in block.iter().enumerate() {
            if index > 0 {
                out += "\r\n";
            }
            out += line;
            out += "\x1b[K";
        }
        out += "\x1b[J";
        self.painted = block.iter().map(|line| units::width(line)).collect();
        out
    }

    /// The bytes that remove the block and leave the cursor where it began.
    pub(crate) fn clear(&mut self, columns: usize) -> String {
        let start = self.to_start(columns);
        self.painted.clear();
        if start.is_empty() { start } else { start + "\x1b[J" }
    }

    /// Somebody else wrote to the screen (a shell, while we were stopped): leave what is there and start below.
    pub(crate) fn forget(&mut self) -> &'static str {
        if std::mem::take(&mut self.painted).is_empty() { "" } else { "\r\n" }
    }

    /// Moves to the first column of the block. A screen that has become narrower shows its lines wrapped.
    fn to_start(&self, columns: usize) -> String {
        if self.painted.is_empty() {
            return String::new();
        }
        let rows: usize = self.painted.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        match rows - 1 {
            0 => "\r".into(),
            up => format!("\r\x1b[{up}A"),
        }
    }
}

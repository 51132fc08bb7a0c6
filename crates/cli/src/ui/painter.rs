//! Keeps a block of lines at the bottom of the terminal: prints text above it, and repaints it in place.
//!
//! No library does this here. Every line is already cut to the width of the screen, so only some thirty lines
//! of code move the cursor. They must be right when the terminal is resized, stopped, or shared with the
//! prompt of a shell.

use super::units;

/// The block on the screen.
#[derive(Default)]
pub(crate) struct Painter {
    /// The width of each painted line, in columns.
    painted: Vec<usize>,
}

impl Painter {
    /// Returns the bytes that print `above` permanently, and the block below it.
    pub(crate) fn paint(
        &mut self,
        above: &[String],
        block: &[String],
        columns: usize,
        colour: impl Fn(&str) -> String,
    ) -> String {
        let mut out = self.to_start(columns);
        for line in above {
            // The terminal wraps long lines. They are never painted again.
            out += line;
            out += "\x1b[K\r\n";
        }
        for (index, line) in block.iter().enumerate() {
            if index > 0 {
                out += "\r\n";
            }
            out += &colour(line);
            out += "\x1b[K";
        }
        out += "\x1b[J";
        self.painted = block.iter().map(|line| units::width(line)).collect();
        out
    }

    /// Returns the bytes that remove the block and leave the cursor where it began.
    pub(crate) fn clear(&mut self, columns: usize) -> String {
        let start = self.to_start(columns);
        self.painted.clear();
        if start.is_empty() { start } else { start + "\x1b[J" }
    }

    /// Forgets the block, because another program wrote to the screen (such as a shell while this program was
    /// stopped). The next block starts below.
    pub(crate) fn forget(&mut self) -> &'static str {
        if std::mem::take(&mut self.painted).is_empty() { "" } else { "\r\n" }
    }

    /// Returns the bytes that move the cursor to the first column of the block. On a screen that became
    /// narrower, the lines of the block are wrapped.
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

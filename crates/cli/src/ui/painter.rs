//! Keeps a block of lines at the bottom of the terminal: prints text above it, and repaints it in place.
//!
//! No library does this here, since only some twenty lines of code move the cursor. They must be right when
//! the terminal is resized, stopped, or shared with the prompt of a shell.
//!
//! Invariant: between two repaints the cursor is at the first column of the block. A terminal that is resized
//! keeps the cursor at its character, whether it wraps lines anew (as tmux does), cuts them (as xterm does),
//! or says only later which size it has now. So nothing above the block is ever erased, and nothing of an old
//! block stays.

/// The block on the screen.
#[derive(Default)]
pub(crate) struct Painter {
    is_painted: bool,
    /// How many columns the screen had when the block was painted.
    columns: usize,
}

/// Lines of the block are cut by the terminal, even if it became narrower in this moment, so that each takes
/// one row. Lines above are wrapped (DECAWM).
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

impl Painter {
    /// Returns the bytes that print `above` permanently, and the block below it.
    pub(crate) fn paint(&mut self, above: &[String], block: &[String], columns: usize) -> String {
        let mut out = self.clear_if(columns != self.columns || !above.is_empty());
        for line in above {
            out += line;
            out += "\r\n";
        }
        out += CUT;
        for (index, line) in block.iter().enumerate() {
            if index > 0 {
                out += "\r\n";
            }
            out += line;
            out += "\x1b[K";
        }
        out += WRAP;
        out += "\x1b[J\r";
        if block.len() > 1 {
            out += &format!("\x1b[{}A", block.len() - 1);
        }
        (self.is_painted, self.columns) = (true, columns);
        out
    }

    /// Returns the bytes that remove the block and leave the cursor where it began.
    pub(crate) fn clear(&mut self) -> String {
        let out = self.clear_if(true);
        self.is_painted = false;
        out
    }

    /// Forgets the block, because another program wrote to the screen (such as a shell while this program was
    /// stopped). The next block starts below.
    pub(crate) fn forget(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_painted) { "\r\n" } else { "" }
    }

    /// Repainting in place does not flicker. Only where rows may move, the block is erased first. A terminal
    /// also remembers which rows it wrapped; rows that are only written over may be joined later.
    fn clear_if(&self, moves: bool) -> String {
        match (self.is_painted, moves) {
            (true, true) => "\r\x1b[J".into(),
            _ => String::new(),
        }
    }
}

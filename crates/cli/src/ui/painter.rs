//! Returns the bytes that keep a block of lines at the bottom of the terminal, print text above the block,
//! and repaint the block in place.
//!
//! No library is used, because about twenty lines of code are enough to move the cursor. The cursor must be
//! moved correctly even if the terminal is resized, if the program is stopped, or if a shell writes its
//! prompt.
//!
//! Invariant: between two repaints, the cursor is at the first character of the block. When a terminal is
//! resized, the cursor stays at this character. Some terminals then wrap the lines again (tmux), some cut
//! them (xterm), and some report the new size only later. In all cases, nothing above the block is erased,
//! and no part of an old block stays on the screen.

/// The block on the screen.
#[derive(Default)]
pub(crate) struct Painter {
    is_painted: bool,
    /// The number of columns that the screen had when the block was painted.
    columns: usize,
}

/// Makes the terminal cut the lines of the block instead of wrapping them (DECAWM). Each line then takes one
/// row, even if the terminal has just become narrower. The lines above the block are wrapped as usual.
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

    /// Returns the bytes that remove the block and leave the cursor where the block began.
    pub(crate) fn clear(&mut self) -> String {
        let out = self.clear_if(true);
        self.is_painted = false;
        out
    }

    /// Marks the block as not painted, because another program wrote to the screen. For example, a shell
    /// writes to the screen while this program is stopped. If the block was painted, returns the bytes that
    /// begin a new line, so that the next block is below the text of the other program. Otherwise returns an
    /// empty text.
    pub(crate) fn forget(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_painted) { "\r\n" } else { "" }
    }

    /// Returns the bytes that erase the painted block, if `moves` is true: the rows of the block may have
    /// moved, or they will be moved or removed. Such rows must be erased, because a terminal stores which
    /// rows it wrapped, and may later join rows that were only overwritten. If `moves` is false or no block
    /// is painted, returns an empty text. A painted block is then repainted in place, without flicker.
    fn clear_if(&self, moves: bool) -> String {
        match (self.is_painted, moves) {
            (true, true) => "\r\x1b[J".into(),
            _ => String::new(),
        }
    }
}

//! Reads the rows of tables (RFC 4180). A cell may be a quotation, which is a text in quotation marks.
//!
//! Text after the end of a quotation, and a quotation without an end, are mistakes. A reader that accepts
//! such mistakes would lose rows. If tabs separate the cells, quotation marks count only if they enclose a
//! whole cell, because many programs do not quote the cells of such tables.
//!
//! Invariant: the memory in use is limited to one row, whose length is limited.

use super::text::LONGEST_LINE;
use crate::error::{Error, ErrorKind};
use std::io::{self, BufRead};

/// The bytes of a byte order mark. If several tables were joined, such a mark may come before a cell.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The rows of a table. Blank lines are skipped.
pub(super) struct Rows<R> {
    text: R,
    separator: u8,
    /// The number of the line that is being read.
    line: u64,
    /// True if the last byte was CR. An LF that follows belongs to the same line end.
    after_cr: bool,
    over: bool,
    /// True if the text ended without a line end after the last row.
    lacks_line_end: bool,
    /// True if blanks around the text of a cell, and the line ends within a quotation, belong to the cell as
    /// they are, as RFC 4180 says. This is the case in lock files. In other tables, such blanks often have no
    /// meaning, and all line ends mean the same.
    keeps_blanks: bool,
}

/// The number of the line in which a row begins, and the cells of the row. The number is 0 for an error that
/// ends the table.
pub(super) type Row = (u64, Result<Vec<String>, Error>);

/// The place of the next byte within its row.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    CellBegins,
    InCell,
    /// The value is the line in which the quotation begins.
    InQuotation(u64),
    /// The last byte was a quotation mark within a quotation. The value is the line in which the quotation
    /// begins.
    AfterMark(u64),
    /// The quotation of the cell has ended, and at least one further byte was read.
    AfterQuotation,
}

/// A row that is being read.
#[derive(Default)]
struct Cells {
    done: Vec<Vec<u8>>,
    cell: Vec<u8>,
    length: usize,
    mistake: Option<&'static str>,
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(text: R, separator: u8) -> Rows<R> {
        let (line, after_cr, over) = (1, false, false);
        Rows { text, separator, line, after_cr, over, lacks_line_end: false, keeps_blanks: false }
    }

    /// Returns true if the text ended without a line end after the last row. The end of this row may be
    /// missing.
    pub(super) fn lacks_line_end(&self) -> bool {
        self.lacks_line_end
    }

    /// Makes the reader keep the blanks around the texts of the cells that it reads from now on, and the line
    /// ends within quotations.
    pub(super) fn keep_blanks(&mut self) {
        self.keeps_blanks = true;
    }

    /// Reads the next row that is not blank.
    fn read(&mut self) -> Result<Option<(u64, Cells)>, Error> {
        let (mut first, mut cells, mut place) = (self.line, Cells::default(), Place::CellBegins);
        loop {
            if matches!(place, Place::InCell | Place::InQuotation(_)) {
                self.read_plain(&mut cells).map_err(|e| unreadable(self.line, e.to_string()))?;
            }
            let keeps_line_end = self.keeps_blanks && matches!(place, Place::InQuotation(_));
            let byte = self.next_byte(keeps_line_end).map_err(|e| unreadable(self.line, e.to_string()))?;
            let is_end = matches!(byte, None | Some(b'\n'));
            if let (Place::InQuotation(begun), None) = (place, byte) {
                return Err(unreadable(begun, "a quotation begins here and has no end".into()));
            }
            if is_end && !matches!(place, Place::InQuotation(_)) {
                cells.end_cell();
                if !cells.is_blank() {
                    self.lacks_line_end = byte.is_none();
                    return Ok(Some((first, cells)));
                }
                if byte.is_none() {
                    return Ok(None);
                }
                (first, cells, place) = (self.line, Cells::default(), Place::CellBegins);
                continue;
            }
            let Some(byte) = byte else { return Ok(None) };
            cells.length += 1;
            if cells.length > LONGEST_LINE {
                return Err(match place {
                    Place::InQuotation(begun) => {
                        unreadable(begun, "a quotation begins here and has no end within 1 MiB".into())
                    }
                    _ => unreadable(first, "the row is longer than 1 MiB".into()),
                });
            }
            place = self.after(byte, place, &mut cells);
        }
    }

    /// Adds the next bytes to a cell at once, up to a byte that may end the cell.
    fn read_plain(&mut self, cells: &mut Cells) -> io::Result<()> {
        let (separator, some) = (self.separator, self.text.fill_buf()?);
        let is_plain = |byte: &&u8| **byte != separator && !matches!(**byte, b'"' | b'\r' | b'\n');
        let plain = some.iter().take(LONGEST_LINE - cells.length).take_while(is_plain).count();
        cells.cell.extend_from_slice(some.get(..plain).unwrap_or_default());
        cells.length += plain;
        self.after_cr &= plain == 0;
        self.text.consume(plain);
        Ok(())
    }

    /// Adds a byte to a row. Returns the place of the next byte.
    fn after(&self, byte: u8, place: Place, cells: &mut Cells) -> Place {
        match (place, byte) {
            (Place::InQuotation(begun), b'"') => Place::AfterMark(begun),
            (Place::AfterMark(begun), b'"') => {
                cells.cell.push(byte);
                Place::InQuotation(begun)
            }
            (Place::CellBegins, b'"') if self.separator != b'\t' && cells.is_cell_empty() => {
                cells.cell.clear();
                Place::InQuotation(self.line)
            }
            (place, byte) if byte == self.separator && !matches!(place, Place::InQuotation(_)) => {
                cells.end_cell();
                Place::CellBegins
            }
            (Place::AfterMark(_) | Place::AfterQuotation, byte) => {
                if !byte.is_ascii_whitespace() {
                    cells.mistake = Some("text follows the end of a quotation");
                }
                Place::AfterQuotation
            }
            (place, byte) => {
                cells.cell.push(byte);
                match place {
                    Place::CellBegins if !byte.is_ascii_whitespace() && !MARK.contains(&byte) => {
                        Place::InCell
                    }
                    place => place,
                }
            }
        }
    }

    /// Returns the next byte. All line ends become LF, unless `keeps_line_end` is true.
    fn next_byte(&mut self, keeps_line_end: bool) -> io::Result<Option<u8>> {
        loop {
            let Some(byte) = self.text.fill_buf()?.first().copied() else { return Ok(None) };
            self.text.consume(1);
            let is_end = matches!(byte, b'\r' | b'\n');
            let is_second = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
            self.line += u64::from(is_end && !is_second);
            match is_end && !keeps_line_end {
                true if is_second => {}
                true => return Ok(Some(b'\n')),
                false => return Ok(Some(byte)),
            }
        }
    }
}

impl Cells {
    fn end_cell(&mut self) {
        self.done.push(std::mem::take(&mut self.cell));
    }

    /// Returns true if the current cell contains only blanks and byte order marks.
    fn is_cell_empty(&self) -> bool {
        let is_skipped = |c: char| c.is_ascii_whitespace() || c == '\u{feff}';
        str::from_utf8(&self.cell).is_ok_and(|text| text.chars().all(is_skipped))
    }

    fn is_blank(&self) -> bool {
        let is_empty = matches!(&self.done[..], [only] if only.iter().all(u8::is_ascii_whitespace));
        is_empty && self.mistake.is_none()
    }

    /// Returns the cells as texts. The blanks around each text are removed unless `keeps_blanks` is true. If
    /// tabs separate the cells, the quotation marks around a cell are removed too.
    fn texts(self, separator: u8, keeps_blanks: bool) -> Result<Vec<String>, Error> {
        let bad = |why: &str| Error::new(ErrorKind::ListLine, "", why);
        if let Some(why) = self.mistake {
            return Err(bad(why));
        }
        let text = |cell: Vec<u8>| {
            let text = String::from_utf8(cell).map_err(|_| bad("it is not UTF-8"))?;
            let text = text.trim_start_matches('\u{feff}');
            let text = if keeps_blanks { text } else { text.trim() };
            let inside = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            Ok(match inside.filter(|_| separator == b'\t') {
                Some(inside) => inside.replace("\"\"", "\""),
                None => text.to_string(),
            })
        };
        self.done.into_iter().map(text).collect()
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if self.over {
            return None;
        }
        match self.read() {
            Ok(row) => {
                self.over = row.is_none();
                row.map(|(line, cells)| (line, cells.texts(self.separator, self.keeps_blanks)))
            }
            Err(error) => {
                self.over = true;
                Some((0, Err(error)))
            }
        }
    }
}

/// Returns an error that ends a table. `line` is the number of the line in which the mistake begins.
pub(super) fn unreadable(line: u64, why: String) -> Error {
    Error::new(ErrorKind::ListUnreadable, "", format!("line {line}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_byte_order_mark_may_precede_a_quotation() {
        let cells = |mark: &[u8]| {
            let text = [mark, b"\"a,b\",c\n"].concat();
            let (_, row) = Rows::new(&text[..], b',').next().expect("a row");
            row.ok()
        };
        for mark in [b"".as_slice(), b" ", MARK, b" \xef\xbb\xbf\xef\xbb\xbf "] {
            assert_eq!(cells(mark), Some(vec!["a,b".into(), "c".into()]), "{mark:?}");
        }
        let after = b"\"a\" \"b\",c\nd,e\n";
        let (_, row) = Rows::new(&after[..], b',').next().expect("a row");
        assert!(row.is_err(), "a second quotation in a cell is a mistake: {row:?}");
        let twice = b"\"\"http://h/a\"\"\n";
        assert!(Rows::new(&twice[..], b',').next().expect("a row").1.is_err(), "no row is lost");
        for part in [b"\xef\xbb".as_slice(), b"\xbf", b"\xef\xef\xbb\xbf"] {
            assert_eq!(cells(part), None, "{part:?}");
        }
    }
}

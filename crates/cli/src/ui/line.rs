//! One line of text on the screen. One part of the line may have a [`Style`], which decides its colour.
//!
//! A line is shortened to the width of the screen before its colour is added. The codes that switch a colour
//! on and off are therefore always complete.

use super::units;
use crate::printer::{Paint, Style};
use std::ops::Range;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    part: Option<(Range<usize>, Style)>,
}

impl Line {
    pub(crate) fn plain(text: impl Into<String>) -> Line {
        Line { text: text.into(), part: None }
    }

    /// Returns a line whose whole text has this style.
    pub(crate) fn of(style: Style, text: impl Into<String>) -> Line {
        Line::plain("").then(style, &text.into())
    }

    /// Adds text with this style to the end of the line. A part that had a style before loses it, because
    /// only one part of a line has a style.
    pub(crate) fn then(mut self, style: Style, text: &str) -> Line {
        let start = self.text.len();
        self.text += text;
        self.part = Some((start..self.text.len(), style));
        self
    }

    /// Adds text without a style to the end of the line.
    pub(crate) fn and(mut self, text: &str) -> Line {
        self.text += text;
        self
    }

    /// Returns the line with the text `before` in front of it. This text has no style.
    pub(crate) fn behind(self, before: &str) -> Line {
        let by = before.len();
        let part = self.part.map(|(part, style)| (part.start + by..part.end + by, style));
        Line { text: format!("{before}{}", self.text), part }
    }

    /// Returns the beginning of the line that fits into this many columns.
    pub(crate) fn cut(mut self, columns: usize) -> Line {
        let length = units::prefix(&self.text, columns).len();
        self.text.truncate(length);
        self.part = self.part.map(|(part, style)| (part.start.min(length)..part.end.min(length), style));
        self
    }

    /// Returns the text of the line. If `paint` uses colours, the text contains the codes for the colour of
    /// the part with a style.
    pub(crate) fn show(&self, paint: Paint) -> String {
        let Some((part, style)) = &self.part else { return self.text.clone() };
        let (before, after) = (&self.text[..part.start], &self.text[part.end..]);
        format!("{before}{}{after}", paint.show(*style, &self.text[part.clone()]))
    }
}

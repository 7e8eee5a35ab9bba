//! HTML, written as it goes. Markup is text of this program (`&'static str`); everything else is
//! escaped.

use std::fmt::{self, Display, Write};

use crate::escape::write_printable;
use crate::report::wrap::NO_BREAK;
use crate::units::Span;

/// The most bytes that are kept on one line.
const UNBROKEN_MAX: usize = 24;

/// A time to three digits.
pub struct Short(pub Span);

impl Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.rounded_to_3_digits().fmt(f)
    }
}

/// What is formatted into it is text, or the value of an attribute in quotes: nothing in it is markup,
/// and nothing invisible.
#[derive(Debug, Default)]
pub struct Page {
    html: String,
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                ' '..='~' => self.html.push(c),
                c => write_printable(&mut self.html, c)?,
            }
        }
        Ok(())
    }
}

// Nothing is generic or inlined: there are hundreds of calls.
impl Page {
    pub fn into_html(self) -> String {
        self.html
    }

    /// Markup.
    #[inline(never)]
    pub fn raw(&mut self, markup: &'static str) {
        self.html.push_str(markup);
    }

    #[inline(never)]
    pub fn text(&mut self, text: &dyn Display) {
        // Writing to a string cannot fail.
        let _ = write!(self, "{text}");
    }

    /// The markup before a text, and the text.
    #[inline(never)]
    pub fn put(&mut self, markup: &'static str, text: &dyn Display) {
        self.raw(markup);
        self.text(text);
    }

    /// A text in a tag, which may have attributes.
    #[inline(never)]
    pub fn element(&mut self, tag: &'static str, text: &dyn Display) {
        self.raw("<");
        self.raw(tag);
        self.put(">", text);
        self.raw("</");
        self.raw(tag.split(' ').next().unwrap_or(tag));
        self.raw(">");
    }

    /// Text with flags that are not broken after their hyphens, nor anything at [`NO_BREAK`].
    pub fn with_flags(&mut self, text: &str) {
        for (index, word) in text.split(' ').enumerate() {
            self.raw(if index > 0 { " " } else { "" });
            let is_whole = word.starts_with("--") || word.contains(NO_BREAK);
            // A longer one would not fit on a phone.
            match is_whole && word.len() <= UNBROKEN_MAX {
                true => self.element("span class=\"flag\"", &word.replace(NO_BREAK, " ")),
                false => self.text(&word.replace(NO_BREAK, " ")),
            }
        }
    }

    /// A paragraph; commands in it are in backticks.
    pub fn prose(&mut self, text: &str) {
        self.raw("<p>");
        for (index, part) in text.split('`').enumerate() {
            match index % 2 {
                0 => self.text(&part),
                _ => self.element("code", &part),
            }
        }
        self.raw("</p>");
    }

    /// A table of numbers, up to [`Page::end_table`]; the first column has no heading.
    pub fn begin_table(&mut self, caption: &str, columns: &[&str]) {
        self.element("p class=\"mute\"", &caption);
        self.raw("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><td></td>");
        columns.iter().for_each(|column| self.element("th scope=\"col\"", column));
        self.raw("</tr></thead><tbody>");
    }

    /// A row with its heading, a second line of that, and cells.
    #[inline(never)]
    pub fn row(&mut self, heading: &dyn Display, small: &str, cells: &[&dyn Display]) {
        self.put("<tr><th scope=\"row\">", heading);
        self.element("small", &small);
        self.raw("</th>");
        cells.iter().for_each(|cell| self.element("td", cell));
        self.raw("</tr>");
    }

    pub fn end_table(&mut self) {
        self.raw("</tbody></table></div>\n");
    }
}

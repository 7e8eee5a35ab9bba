//! HTML, written as it goes. Markup is text of this program (`&'static str`); everything else is
//! escaped.

use crate::escape::Printable;
use crate::report::markup::Xml;

#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    pub fn into_text(self) -> String {
        self.text
    }

    /// Markup.
    #[inline(never)]
    pub fn raw(&mut self, markup: &'static str) {
        self.text.push_str(markup);
    }

    /// Text, or the value of an attribute in quotes: nothing in it is markup, and nothing invisible.
    #[inline(never)]
    pub fn text(&mut self, text: &str) {
        self.text.push_str(&Xml(&Printable(text).to_string()).to_string());
    }

    #[inline(never)]
    pub fn open(&mut self, tag: &'static str) {
        self.text.push('<');
        self.text.push_str(tag);
        self.text.push('>');
    }

    /// `tag` may be as it was opened, with attributes.
    #[inline(never)]
    pub fn close(&mut self, tag: &'static str) {
        self.text.push_str("</");
        self.text.push_str(tag.split(' ').next().unwrap_or_default());
        self.text.push('>');
    }

    /// A text in a tag.
    #[inline(never)]
    pub fn element(&mut self, tag: &'static str, text: &str) {
        self.open(tag);
        self.text(text);
        self.close(tag);
    }

    /// Commands in it are in backticks.
    #[inline(never)]
    pub fn prose(&mut self, tag: &'static str, text: &str) {
        self.open(tag);
        for (index, part) in text.split('`').enumerate() {
            if index % 2 == 0 { self.text(part) } else { self.element("code", part) }
        }
        self.close(tag);
    }

    /// A table with headings of columns; the first cell of each row is its heading, and may have a
    /// second line. Of the others, `numbers_from` and later are numbers.
    pub fn table(
        &mut self,
        caption: &str,
        columns: &[&str],
        numbers_from: usize,
        rows: impl Iterator<Item = Vec<String>>,
    ) {
        if !caption.is_empty() {
            self.element("p class=\"mute\"", caption);
        }
        self.raw("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
        for (index, column) in columns.iter().enumerate() {
            let tag = match index >= numbers_from {
                true => "th scope=\"col\" class=\"n\"",
                false => "th scope=\"col\"",
            };
            self.element(tag, column);
        }
        self.raw("</tr></thead><tbody>");
        for row in rows {
            self.open("tr");
            for (index, cell) in row.iter().enumerate() {
                let tag = match index {
                    0 => "th scope=\"row\"",
                    index if index >= numbers_from => "td class=\"n\"",
                    _ => "td",
                };
                let (cell, small) = cell.split_once('\n').unwrap_or((cell, ""));
                self.open(tag);
                self.text(cell);
                if !small.is_empty() {
                    self.element("small", small);
                }
                self.close(tag);
            }
            self.close("tr");
        }
        self.raw("</tbody></table></div>");
    }
}

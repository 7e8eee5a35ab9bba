//! Escaping of text for XML and HTML.

use std::fmt::{self, Write};

/// Text in XML or HTML: markup as entities, forbidden characters as U+FFFD. Source: XML 1.0, 2.2
/// and 2.4.
#[derive(Debug, Clone, Copy)]
pub struct Xml<'a>(pub &'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\n' | '\t' => f.write_char(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char('\u{fffd}'),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_forbidden_characters_are_escaped() {
        let text = "a<b>&\"'\u{1b}[31m\u{0}\u{ffff}\n";
        let escaped = "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}[31m\u{fffd}\u{fffd}\n";
        assert_eq!(Xml(text).to_string(), escaped);
    }
}

//! JSON, written as it goes: no tree, no allocation but the text; and [`reader`], which reads it.
//! Source: RFC 8259.

pub mod reader;

use std::fmt::Write;

/// The greatest integer that every reader of JSON keeps exactly: 2^53 - 1 (RFC 8259, section 6).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// One value after another into a text. A key is followed by its value; [`Json::object`] and
/// [`Json::array`] close what they open.
#[derive(Debug, Default)]
pub struct Json {
    text: String,
    /// Whether the next key or value is the first of its object or array.
    is_first: bool,
    /// Whether a key stands before the next value.
    is_keyed: bool,
}

impl Json {
    pub fn new() -> Json {
        Json { text: String::new(), is_first: true, is_keyed: false }
    }

    /// The document, without a line break anywhere: one line of NDJSON.
    pub fn into_text(self) -> String {
        self.text
    }

    // Called from hundreds of places: inlined, they would be a tenth of the program.
    #[inline(never)]
    fn separate(&mut self) {
        if !self.is_first && !self.is_keyed {
            self.text.push(',');
        }
        (self.is_first, self.is_keyed) = (false, false);
    }

    #[inline(never)]
    fn raw(&mut self, text: &str) {
        self.separate();
        self.text.push_str(text);
    }

    /// Begins an object or an array, which [`Json::close`] ends.
    #[inline(never)]
    pub fn open(&mut self, bracket: &str) {
        self.raw(bracket);
        self.is_first = true;
    }

    #[inline(never)]
    pub fn close(&mut self, bracket: &str) {
        self.text.push_str(bracket);
        (self.is_first, self.is_keyed) = (false, false);
    }

    /// An object; `fill` writes its fields.
    pub fn object(&mut self, fill: impl FnOnce(&mut Json)) {
        self.open("{");
        fill(self);
        self.close("}");
    }

    /// An array; `fill` writes its values.
    pub fn array(&mut self, fill: impl FnOnce(&mut Json)) {
        self.open("[");
        fill(self);
        self.close("]");
    }

    #[inline(never)]
    pub fn key(&mut self, key: &str) -> &mut Json {
        self.separate();
        write_string(&mut self.text, key);
        self.text.push(':');
        self.is_keyed = true;
        self
    }

    #[inline(never)]
    pub fn string(&mut self, value: &str) {
        self.separate();
        write_string(&mut self.text, value);
    }

    /// Larger ones than [`INTEGER_MAX`] become that.
    #[inline(never)]
    pub fn integer(&mut self, value: u64) {
        self.separate();
        let _ = write!(self.text, "{}", value.min(INTEGER_MAX));
    }

    #[inline(never)]
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    pub fn null(&mut self) {
        self.raw("null");
    }

    /// The value of `write`, or null.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Json, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    /// An integer, or null.
    pub fn integer_or_null(&mut self, value: Option<u64>) {
        self.optional(value, Json::integer);
    }

    /// A string, or null.
    pub fn string_or_null(&mut self, value: Option<&str>) {
        self.optional(value, Json::string);
    }
}

/// With `"`, `\` and control characters escaped, and what a terminal may act on as well: the text
/// of a document is safe to print.
fn write_string(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == ' ' || c.is_ascii_graphic() => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(fill: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::new();
        fill(&mut json);
        json.into_text()
    }

    #[test]
    fn values_are_separated_and_nested() {
        let document = text(|json| {
            json.object(|json| {
                json.key("a").integer(1);
                json.key("b").array(|json| {
                    json.null();
                    json.object(|_| {});
                    json.array(|json| json.bool(true));
                });
                json.key("c").object(|json| json.key("d").string("e"));
                json.key("f").integer_or_null(None);
            });
        });
        assert_eq!(document, r#"{"a":1,"b":[null,{},[true]],"c":{"d":"e"},"f":null}"#);
    }

    #[test]
    fn integers_stay_exact_for_every_reader() {
        assert_eq!(text(|json| json.integer(u64::MAX)), "9007199254740991");
    }

    proptest! {
        #[test]
        fn any_string_is_read_back_and_is_printable(value in any::<String>()) {
            let written = text(|json| json.string(&value));
            prop_assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{written}");
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), value);
        }
    }
}

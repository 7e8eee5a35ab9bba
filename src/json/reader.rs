//! JSON, read strictly: what RFC 8259 allows and no more, no field twice in an object, and all of it
//! bounded. The text stays as it is; beside it are eight bytes for each value and each field's name.

use std::borrow::Cow;

/// Longer texts are not read. A report of a million connections has some 300 kB.
pub const TEXT_BYTES_MAX: usize = 32 << 20;

/// Objects and arrays in each other.
pub const DEPTH_MAX: usize = 64;

/// Fields of one object, and bytes of a field's name as it stands there: each is compared with all
/// others of its object.
pub const FIELDS_MAX: usize = 128;
pub const NAME_BYTES_MAX: usize = 128;

/// What is wrong with a text, and what is accepted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Its place in the text, in bytes.
    pub at: usize,
    pub what: String,
}

/// A value, or the name of a field, which its value follows.
#[derive(Debug, Clone, Copy)]
struct Node {
    at: u32,
    /// The index of what follows it: of the next value, or of the next name. With [`ESCAPED`].
    next: u32,
}

/// Of a string: it has escapes. There are fewer nodes than this.
const ESCAPED: u32 = 1 << 31;

const _: () = assert!(TEXT_BYTES_MAX < ESCAPED as usize);

impl Node {
    fn next(self) -> u32 {
        self.next & !ESCAPED
    }

    /// Whether it is a string with this text. `text`: all of it.
    fn is(self, text: &str, string: &str) -> bool {
        let rest = &text[self.at as usize..];
        if self.next & ESCAPED != 0 {
            return decoded(raw(rest)) == string;
        }
        let bytes = &rest.as_bytes()[1..];
        bytes.starts_with(string.as_bytes()) && bytes.get(string.len()) == Some(&b'"')
    }
}

/// A text that was read.
#[derive(Debug, Clone)]
pub struct Tree<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    end: usize,
}

/// A value in it.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    tree: &'a Tree<'a>,
    index: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool(bool),
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool(_) => "true or false",
            Kind::Number => "a number",
            Kind::String => "a text",
            Kind::Array => "a list",
            Kind::Object => "an object",
        }
    }
}

/// `text`, which is no longer than [`TEXT_BYTES_MAX`] and UTF-8.
///
/// # Errors
/// The first byte of a text that is neither.
pub fn text(bytes: &[u8]) -> Result<&str, Wrong> {
    if bytes.len() > TEXT_BYTES_MAX {
        let what = format!("longer than {} MiB", TEXT_BYTES_MAX >> 20);
        return Err(Wrong { at: 0, what });
    }
    std::str::from_utf8(bytes)
        .map_err(|error| Wrong { at: error.valid_up_to(), what: "no UTF-8".to_owned() })
}

/// Line and column of a place, from 1; a column is a character.
pub fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    // A character begins with a byte that continues none.
    let column = before[start..].iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
    (line, column)
}

impl<'a> Tree<'a> {
    /// The value that begins at a place or after the blanks there; `None` if nothing follows. O(text)
    /// but for the names of each object, which are compared with each other.
    ///
    /// # Errors
    /// The first place where it is no JSON, or more than the bounds allow.
    pub fn parse(text: &'a str, from: usize) -> Result<Option<Tree<'a>>, Wrong> {
        let mut parser = Parser { text, at: from, depth: 0, nodes: Vec::new() };
        parser.skip_blanks();
        if parser.peek().is_none() {
            return Ok(None);
        }
        parser.value()?;
        parser.skip_blanks();
        Ok(Some(Tree { text, nodes: parser.nodes, end: parser.at }))
    }

    pub fn root(&self) -> Value<'_> {
        Value { tree: self, index: 0 }
    }

    /// Where the next value begins, if one follows.
    pub fn end(&self) -> usize {
        self.end
    }
}

impl<'a> Value<'a> {
    /// Its place in the text.
    pub fn at(self) -> usize {
        self.tree.nodes[self.index as usize].at as usize
    }

    fn rest(self) -> &'a str {
        &self.tree.text[self.at()..]
    }

    pub fn kind(self) -> Kind {
        match self.rest().as_bytes()[0] {
            b'n' => Kind::Null,
            b't' => Kind::Bool(true),
            b'f' => Kind::Bool(false),
            b'"' => Kind::String,
            b'[' => Kind::Array,
            b'{' => Kind::Object,
            _ => Kind::Number,
        }
    }

    /// The text of a string.
    pub fn text(self) -> Cow<'a, str> {
        decoded(raw(self.rest()))
    }

    /// A number as it stands there.
    pub fn number(self) -> &'a str {
        let rest = self.rest();
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'));
        &rest[..rest.find(is_end).unwrap_or(rest.len())]
    }

    /// A whole number that is not negative; without a fraction and without an exponent.
    pub fn integer(self) -> Option<u64> {
        (self.kind() == Kind::Number).then(|| self.number().parse().ok()).flatten()
    }

    fn next(self) -> u32 {
        self.tree.nodes[self.index as usize].next()
    }

    /// What is in an array or an object: the values, or each name and its value.
    pub fn inside(self) -> impl Iterator<Item = Value<'a>> {
        let (tree, end) = (self.tree, self.next());
        let is_compound = matches!(self.kind(), Kind::Array | Kind::Object);
        let first = if is_compound { self.index + 1 } else { end };
        let at = move |index| (index < end).then_some(Value { tree, index });
        std::iter::successors(at(first), move |value| at(value.next()))
    }

    /// A field of an object.
    pub fn field(self, name: &str) -> Option<Value<'a>> {
        let Tree { text, nodes, .. } = self.tree;
        let is_it = |field: &Value<'_>| nodes[field.index as usize].is(text, name);
        let found = self.inside().step_by(2).find(is_it).filter(|_| self.kind() == Kind::Object)?;
        Some(Value { index: found.index + 1, ..found })
    }
}

/// A string between its quotes, as it stands at the beginning of `rest`.
fn raw(rest: &str) -> &str {
    let mut bytes = rest.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return &rest[1..at],
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    ""
}

/// Without escapes. They are correct: the parser has seen them.
fn decoded(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let (c, length) = escape(behind).unwrap_or(('\u{fffd}', behind.len()));
        out.push(c);
        rest = &behind[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of an escape without its backslash, and the length of that. `None`: there is no such
/// one.
fn escape(behind: &str) -> Option<(char, usize)> {
    let plain = match behind.as_bytes().first()? {
        b'u' => return unicode_escape(behind),
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        other @ (b'"' | b'\\' | b'/') => char::from(*other),
        _ => return None,
    };
    Some((plain, 1))
}

/// `u` and four digits; or a pair of surrogates, which are two of these.
fn unicode_escape(behind: &str) -> Option<(char, usize)> {
    let unit = |text: &str| {
        let digits = text.strip_prefix('u')?.get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    let first = unit(behind)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 5));
    }
    let second = unit(behind.get(5..)?.strip_prefix('\\')?)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)?, 11))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    nodes: Vec<Node>,
}

/// The text is shorter than this.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self, what: String) -> Result<T, Wrong> {
        Err(Wrong { at: self.at, what })
    }

    /// What is there is not what is accepted.
    #[inline(never)]
    fn expected<T>(&self, accepted: &str) -> Result<T, Wrong> {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let found = found.map_or("the end".into(), |c| format!("'{}'", c.escape_debug()));
        self.wrong(format!("{found}: {accepted} is accepted here"))
    }

    fn value(&mut self) -> Result<(), Wrong> {
        let index = self.nodes.len();
        self.nodes.push(Node { at: narrow(self.at), next: 0 });
        match self.peek() {
            Some(b'{') => self.compound(index, b'}')?,
            Some(b'[') => self.compound(index, b']')?,
            Some(b'"') => self.string(index)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.literal()?,
        }
        self.nodes[index].next |= narrow(self.nodes.len());
        Ok(())
    }

    fn literal(&mut self) -> Result<(), Wrong> {
        let rest = &self.text.as_bytes()[self.at..];
        let found = ["null", "true", "false"].iter().find(|word| rest.starts_with(word.as_bytes()));
        let Some(word) = found else {
            return self.expected("a value of JSON");
        };
        self.at += word.len();
        Ok(())
    }

    /// An object or an array, behind its bracket.
    fn compound(&mut self, index: usize, bracket: u8) -> Result<(), Wrong> {
        if self.depth >= DEPTH_MAX {
            return self.wrong(format!("more than {DEPTH_MAX} objects and lists in each other"));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_blanks();
        let mut count = 0;
        while count > 0 || self.peek() != Some(bracket) {
            if bracket == b'}' {
                self.name(index, count)?;
            }
            self.value()?;
            count += 1;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == bracket => break,
                _ if bracket == b'}' => return self.expected("a comma or }"),
                _ => return self.expected("a comma or ]"),
            }
            self.skip_blanks();
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// The name of the next field, and its colon.
    fn name(&mut self, object: usize, count: usize) -> Result<(), Wrong> {
        if self.peek() != Some(b'"') {
            return self.expected("the name of a field in double quotes");
        }
        if count >= FIELDS_MAX {
            return self.wrong(format!("more than {FIELDS_MAX} fields in an object"));
        }
        let (at, name) = (self.at, self.nodes.len());
        self.value()?;
        if self.at - at > NAME_BYTES_MAX {
            let what = format!("the name of a field is longer than {NAME_BYTES_MAX} bytes");
            return Err(Wrong { at, what });
        }
        let new = decoded(raw(&self.text[at..]));
        let mut other = object + 1;
        while other < name {
            if self.nodes[other].is(self.text, &new) {
                let what = format!("'{}': the field is there twice", new.escape_debug());
                return Err(Wrong { at, what });
            }
            other = self.nodes[other + 1].next() as usize;
        }
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return self.expected("a colon");
        }
        self.at += 1;
        self.skip_blanks();
        Ok(())
    }

    fn string(&mut self, index: usize) -> Result<(), Wrong> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => match escape(&self.text[self.at + 1..]) {
                    Some((_, length)) => {
                        self.nodes[index].next = ESCAPED;
                        self.at += 1 + length;
                    }
                    None => {
                        let all = r#"\" \\ \/ \b \f \n \r \t or \uXXXX, surrogates in pairs,"#;
                        return self.expected(all);
                    }
                },
                None | Some(0..b' ') => return self.expected("the rest of a text and its \""),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Wrong> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        // No zero before other digits.
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'-' | b'+')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if from == self.at { self.expected("a digit") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;

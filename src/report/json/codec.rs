//! One description of each part of a document, by which it is written and read: a function names the
//! fields of a struct and hands each to a [`Codec`], which writes what is there or puts there what it
//! reads. So the two cannot differ.
//!
//! What follows from other fields, as texts and percentiles, is written only: see [`Codec::writing`].
//! Nothing is inlined: there are hundreds of calls. Nothing here fails at once: after the first mistake of a text everything that is read is empty, and
//! [`Codec::finish`] has the mistake.

use super::number::Number;
use super::path::{Step, shown};
use crate::escape::quoted;
use crate::json::reader::{Kind, Value, Wrong};
use crate::json::{INTEGER_MAX, Json};
use crate::units::Moment;

/// Writes the fields of structs, or reads them.
#[derive(Debug)]
pub struct Codec<'a> {
    mode: Mode<'a>,
    /// Moments are written as times since this, and read as times since the clock's origin.
    start: Moment,
}

#[derive(Debug)]
enum Mode<'a> {
    Write(Json),
    Read(Reading<'a>),
}

#[derive(Debug)]
struct Reading<'a> {
    /// The object that is read.
    object: Value<'a>,
    /// The way to it.
    path: Vec<Step>,
    wrong: Option<Wrong>,
}

impl<'a> Codec<'a> {
    /// Writes fields to the end of what is there.
    pub fn write(json: &mut Json, start: Moment, fields: impl FnOnce(&mut Codec<'_>)) {
        let mut codec = Codec { mode: Mode::Write(std::mem::take(json)), start };
        fields(&mut codec);
        // Only reading finds mistakes.
        *json = codec.finish().unwrap_or_default();
    }

    /// Reads an object.
    pub fn reader(object: Value<'a>) -> Codec<'a> {
        let reading = Reading { object, path: Vec::new(), wrong: None };
        let mut codec = Codec { mode: Mode::Read(reading), start: Moment(0) };
        if object.kind() != Kind::Object {
            codec.unexpected(object, "", "an object");
        }
        codec
    }

    /// What was written; empty after reading.
    ///
    /// # Errors
    /// The first mistake of what was read.
    pub fn finish(self) -> Result<Json, Wrong> {
        match self.mode {
            Mode::Write(json) => Ok(json),
            Mode::Read(Reading { wrong, .. }) => wrong.map_or(Ok(Json::new()), Err),
        }
    }

    /// To write what follows from other fields; `None` when reading.
    pub fn writing(&mut self) -> Option<&mut Json> {
        match &mut self.mode {
            Mode::Write(json) => Some(json),
            Mode::Read(_) => None,
        }
    }

    /// Begins an object, or ends what was begun.
    #[inline(never)]
    fn bracket(&mut self, bracket: &str) {
        let Some(json) = self.writing() else { return };
        match bracket {
            "{" => json.open(bracket),
            _ => json.close(bracket),
        }
    }

    pub fn is_reading(&self) -> bool {
        matches!(self.mode, Mode::Read(_))
    }

    /// What was read is wrong, if nothing before it was; `field` is empty for the object itself.
    #[inline(never)]
    pub fn fail(&mut self, field: &'static str, what: &str) {
        let Mode::Read(reading) = &mut self.mode else { return };
        if reading.wrong.is_none() {
            let at = reading.object.field(field).unwrap_or(reading.object).at();
            let what = format!("{}{what}", shown(&reading.path, field));
            reading.wrong = Some(Wrong { at, what });
        }
    }

    /// [`Codec::fail`], unless something holds.
    pub fn check(&mut self, field: &'static str, holds: bool, what: &str) {
        if !holds {
            self.fail(field, what);
        }
    }

    #[inline(never)]
    fn unexpected(&mut self, found: Value<'_>, field: &'static str, accepted: &str) {
        let shown = match found.kind() {
            Kind::Number => quoted(found.number()),
            Kind::String => quoted(&found.text()),
            other => other.word().to_owned(),
        };
        self.fail(field, &format!("{shown}: {accepted} is accepted"));
    }

    /// A field of the object that is read; `None` after a mistake.
    #[inline(never)]
    fn find(&mut self, field: &'static str) -> Option<Value<'a>> {
        let Mode::Read(Reading { object, wrong: None, .. }) = &self.mode else { return None };
        let found = object.field(field);
        if found.is_none() {
            self.fail(field, "the field is missing");
        }
        found
    }

    #[inline(never)]
    fn integer(&mut self, field: &'static str, value: u64, max: u64) -> u64 {
        if let Some(json) = self.writing() {
            json.key(field).integer(value);
            return value;
        }
        let Some(found) = self.find(field) else { return 0 };
        match found.integer().filter(|number| *number <= max) {
            Some(number) => number,
            None => {
                self.unexpected(found, field, &format!("a whole number from 0 to {max}"));
                0
            }
        }
    }

    #[inline(never)]
    pub fn number<T: Number>(&mut self, field: &'static str, value: &mut T) {
        *value = T::of(self.integer(field, value.get(), T::MAX));
    }

    /// A number that is left out where it is 0.
    pub fn number_or_0(&mut self, field: &'static str, value: &mut u32) {
        self.number_or(field, value, 0);
    }

    /// A number that is left out where it is another one.
    #[inline(never)]
    pub fn number_or(&mut self, field: &'static str, value: &mut u32, other: u32) {
        match self.has(field, *value != other) {
            true => self.number(field, value),
            false => *value = other,
        }
    }

    /// Whether a field is to be written, or is there.
    #[inline(never)]
    fn has(&mut self, field: &'static str, is_written: bool) -> bool {
        match &self.mode {
            Mode::Write(_) => is_written,
            Mode::Read(reading) => reading.object.field(field).is_some(),
        }
    }

    /// Whether a value is null; a null is written.
    #[inline(never)]
    fn is_null(&mut self, field: &'static str, is_none: bool) -> bool {
        if let Some(json) = self.writing() {
            if is_none {
                json.key(field).null();
            }
            return is_none;
        }
        // A missing field is a mistake, which `find` notes.
        self.find(field).is_none_or(|found| found.kind() == Kind::Null)
    }

    /// A number, or null.
    #[inline(never)]
    pub fn number_or_null<T: Number>(&mut self, field: &'static str, value: &mut Option<T>) {
        if self.is_null(field, value.is_none()) {
            *value = None;
            return;
        }
        *value = Some(T::of(self.integer(field, value.map_or(0, T::get), T::MAX)));
    }

    /// A moment since the start of the run.
    #[inline(never)]
    pub fn moment(&mut self, field: &'static str, value: &mut Moment) {
        let start = self.start;
        let since = self.integer(field, value.since(start).0, INTEGER_MAX);
        if self.is_reading() {
            *value = Moment(since);
        }
    }

    /// A moment, or null.
    #[inline(never)]
    pub fn moment_or_null(&mut self, field: &'static str, value: &mut Option<Moment>) {
        if self.is_null(field, value.is_none()) {
            *value = None;
            return;
        }
        let mut moment = value.unwrap_or_default();
        self.moment(field, &mut moment);
        *value = Some(moment);
    }

    #[inline(never)]
    pub fn flag(&mut self, field: &'static str, value: &mut bool) {
        if let Some(json) = self.writing() {
            return json.key(field).bool(*value);
        }
        let Some(found) = self.find(field) else { return };
        match found.kind() {
            Kind::Bool(is) => *value = is,
            _ => self.unexpected(found, field, "true or false"),
        }
    }

    /// A yes or a no, or null.
    pub fn flag_or_null(&mut self, field: &'static str, value: &mut Option<bool>) {
        if self.is_null(field, value.is_none()) {
            *value = None;
            return;
        }
        self.flag(field, value.get_or_insert_default());
    }

    #[inline(never)]
    pub fn text(&mut self, field: &'static str, value: &mut String) {
        if let Some(json) = self.writing() {
            return json.key(field).string(value);
        }
        let Some(found) = self.find(field) else { return };
        match found.kind() {
            Kind::String => *value = found.text().into_owned(),
            _ => self.unexpected(found, field, "a text"),
        }
    }

    /// A text, or null.
    #[inline(never)]
    pub fn text_or_null(&mut self, field: &'static str, value: &mut Option<String>) {
        if self.is_null(field, value.is_none()) {
            *value = None;
            return;
        }
        self.text(field, value.get_or_insert_default());
    }

    /// A value that is written as a text.
    #[inline(never)]
    pub fn as_text<T>(
        &mut self,
        field: &'static str,
        value: &mut T,
        write: fn(&T) -> String,
        read: fn(&str) -> Option<T>,
        accepted: &str,
    ) {
        let mut text = if self.is_reading() { String::new() } else { write(value) };
        self.text(field, &mut text);
        if self.is_reading() {
            match read(&text) {
                Some(found) => *value = found,
                None => self.fail(field, &format!("{}: {accepted} is accepted", quoted(&text))),
            }
        }
    }

    /// One of some values, by its name.
    #[inline(never)]
    pub fn choice<T: Copy>(
        &mut self,
        field: &'static str,
        value: &mut T,
        all: &[T],
        name: fn(T) -> &'static str,
    ) {
        if let Some(json) = self.writing() {
            return json.key(field).string(name(*value));
        }
        let mut text = String::new();
        self.text(field, &mut text);
        match all.iter().find(|one| name(**one) == text) {
            Some(one) => *value = *one,
            None => {
                let names: Vec<&str> = all.iter().map(|one| name(*one)).collect();
                self.not_of(field, &text, &names);
            }
        }
    }

    #[inline(never)]
    fn not_of(&mut self, field: &'static str, text: &str, names: &[&str]) {
        self.fail(field, &format!("{}: {} are accepted", quoted(text), names.join(", ")));
    }

    /// An object; `fields` has its fields.
    #[inline(never)]
    pub fn object(&mut self, field: &'static str, fields: &mut dyn FnMut(&mut Codec<'a>)) {
        if let Some(json) = self.writing() {
            json.key(field).open("{");
            fields(self);
            self.bracket("}");
            return;
        }
        let Some(found) = self.find(field) else { return };
        self.inside(Step::Field(field), found, fields);
    }

    /// Reads an object.
    #[inline(never)]
    fn inside(&mut self, step: Step, object: Value<'a>, fields: &mut dyn FnMut(&mut Codec<'a>)) {
        let Mode::Read(reading) = &mut self.mode else { return };
        reading.path.push(step);
        let outer = std::mem::replace(&mut reading.object, object);
        match object.kind() {
            Kind::Object => fields(self),
            _ => self.unexpected(object, "", "an object"),
        }
        if let Mode::Read(reading) = &mut self.mode {
            reading.object = outer;
            reading.path.pop();
        }
    }

    /// An object, or null.
    #[inline(never)]
    pub fn optional<T: Default>(
        &mut self,
        field: &'static str,
        value: &mut Option<T>,
        fields: fn(&mut Codec<'a>, &mut T),
    ) {
        if self.is_null(field, value.is_none()) {
            *value = None;
            return;
        }
        let inner = value.get_or_insert_default();
        self.object(field, &mut |codec| fields(codec, inner));
    }

    /// A list of objects, at most `max`; each is read into an `empty` one.
    #[inline(never)]
    pub fn list<T>(
        &mut self,
        field: &'static str,
        values: &mut Vec<T>,
        max: usize,
        empty: fn() -> T,
        fields: &mut dyn FnMut(&mut Codec<'a>, &mut T),
    ) {
        if self.is_reading() {
            values.clear();
        }
        self.each(field, values.len(), max, &mut |codec, index| {
            if codec.is_reading() {
                values.push(empty());
            }
            if let Some(value) = values.get_mut(index) {
                fields(codec, value);
            }
        });
    }

    /// The same of anything, by index: `count` objects, or those that are read.
    #[inline(never)]
    fn each(
        &mut self,
        field: &'static str,
        count: usize,
        max: usize,
        fields: &mut dyn FnMut(&mut Codec<'a>, usize),
    ) {
        if let Some(json) = self.writing() {
            json.key(field).open("[");
            for index in 0..count {
                self.bracket("{");
                fields(self, index);
                self.bracket("}");
            }
            self.bracket("]");
            return;
        }
        let Some(items) = self.items(field, max) else { return };
        for (index, item) in items.inside().enumerate() {
            let Mode::Read(reading @ Reading { wrong: None, .. }) = &mut self.mode else { return };
            reading.path.push(Step::Field(field));
            self.inside(Step::Item(index), item, &mut |codec| fields(codec, index));
            if let Mode::Read(reading) = &mut self.mode {
                reading.path.pop();
            }
        }
    }

    /// A list that is read, if it is one and is not too long.
    #[inline(never)]
    fn items(&mut self, field: &'static str, max: usize) -> Option<Value<'a>> {
        let found = self.find(field)?;
        if found.kind() != Kind::Array {
            self.unexpected(found, field, "a list");
            return None;
        }
        if found.inside().take(max + 1).count() > max {
            self.fail(field, &format!("a list of at most {max} is accepted"));
            return None;
        }
        Some(found)
    }

    /// A list of values that are written as texts.
    pub fn texts<T>(
        &mut self,
        field: &'static str,
        values: &mut Vec<T>,
        max: usize,
        write: fn(&T) -> String,
        read: fn(&str) -> Option<T>,
        accepted: &str,
    ) {
        if let Some(json) = self.writing() {
            let all = values.iter();
            json.key(field).array(|json| all.for_each(|value| json.string(&write(value))));
            return;
        }
        values.clear();
        let Some(items) = self.items(field, max) else { return };
        for item in items.inside() {
            let text = (item.kind() == Kind::String).then(|| item.text());
            match text.and_then(|text| read(&text)) {
                Some(value) => values.push(value),
                None => return self.unexpected(item, field, accepted),
            }
        }
    }
}

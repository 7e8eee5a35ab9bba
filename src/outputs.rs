//! What a run leaves behind beside its report on standard output: files in other formats, and the
//! conditions that decide its exit code.

use crate::thresholds::Threshold;

/// The path that stands for standard output, in the place of the text.
pub const STDOUT: &str = "-";

/// A format that a report is written in, besides the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Events,
    Html,
    Json,
    Junit,
    Markdown,
    Prometheus,
}

impl Format {
    pub const ALL: [Format; 6] = [
        Format::Events,
        Format::Html,
        Format::Json,
        Format::Junit,
        Format::Markdown,
        Format::Prometheus,
    ];

    /// The flag that asks for it.
    pub fn flag(self) -> &'static str {
        match self {
            Format::Events => "--events",
            Format::Html => "--html",
            Format::Json => "--json",
            Format::Junit => "--junit",
            Format::Markdown => "--markdown",
            Format::Prometheus => "--prometheus",
        }
    }

    /// Whether what is in the file stays there, and this follows it.
    pub fn is_appended(self) -> bool {
        matches!(self, Format::Events | Format::Markdown)
    }
}

/// What was typed of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outputs {
    /// In the order in which they were typed.
    pub fail_if: Vec<Threshold>,
    /// By [`Format`].
    paths: [Option<String>; Format::ALL.len()],
}

impl Outputs {
    pub fn set(&mut self, format: Format, path: String) {
        self.paths[format as usize] = Some(path);
    }

    pub fn path(&self, format: Format) -> Option<&str> {
        self.paths[format as usize].as_deref()
    }

    /// The format that takes the place of the text on standard output, if one does.
    pub fn on_stdout(&self) -> Option<Format> {
        Format::ALL.into_iter().find(|format| self.path(*format) == Some(STDOUT))
    }

    /// # Errors
    /// Two formats with one path, and JUnit without a condition to report.
    pub fn check(&self) -> Result<(), String> {
        for (index, format) in Format::ALL.into_iter().enumerate() {
            let Some(path) = self.path(format) else { continue };
            let mut others = Format::ALL[..index].iter();
            // A device can take several, as /dev/null.
            let is_device = path.starts_with("/dev/");
            let is_same = |other: &&Format| !is_device && self.path(**other) == Some(path);
            if let Some(other) = others.find(is_same) {
                let (one, other) = (other.flag(), format.flag());
                return Err(match path {
                    STDOUT => {
                        format!("{one} - and {other} -: standard output takes one of them")
                    }
                    _ => format!("{one} and {other} have the same file: give each its own"),
                });
            }
        }
        if self.path(Format::Junit).is_some() && self.fail_if.is_empty() {
            return Err("--junit reports the conditions of --fail-if: give one of these".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_stand_in_their_order() {
        for (index, format) in Format::ALL.into_iter().enumerate() {
            assert_eq!(format as usize, index);
        }
    }

    #[test]
    fn one_place_takes_one_format() {
        let outputs = |paths: &[(Format, &str)]| {
            let mut outputs = Outputs::default();
            paths.iter().for_each(|(format, path)| outputs.set(*format, (*path).to_owned()));
            outputs
        };
        let (json, events) = (Format::Json, Format::Events);
        assert_eq!(outputs(&[(json, "-"), (events, "x")]).check(), Ok(()));
        assert_eq!(outputs(&[(json, "-")]).on_stdout(), Some(json));
        let why = outputs(&[(json, "-"), (events, "-")]).check().unwrap_err();
        assert_eq!(why, "--events - and --json -: standard output takes one of them");
        let why = outputs(&[(json, "x"), (events, "x")]).check().unwrap_err();
        assert_eq!(why, "--events and --json have the same file: give each its own");
        let why = outputs(&[(Format::Junit, "x")]).check().unwrap_err();
        assert!(why.contains("--fail-if"), "{why}");
    }
}

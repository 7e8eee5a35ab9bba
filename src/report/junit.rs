//! The conditions of `--fail-if` as JUnit XML, one test case each, for the test reports of a CI
//! server. Source: <https://github.com/testmoapp/junitxml>

use std::fmt::{self, Write};

use super::Report;
use super::verdict::write_verdict;
use crate::diagnosis::model::Diagnosis;
use crate::units::rfc3339;

pub fn write(out: &mut dyn Write, report: &Report<'_>, diagnosis: &Diagnosis) -> fmt::Result {
    let judged = report.judged;
    let failures = judged.iter().filter(|one| one.failed).count();
    let seconds = report.summary.end.since(report.summary.start).0 / 1_000_000;
    let seconds = format!("{}.{:03}", seconds / 1_000, seconds % 1_000);
    let tests = judged.len();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    let rehearsed = match &report.plan.rehearsal {
        Some(rehearsal) => format!("{rehearsal}: "),
        None => String::new(),
    };
    writeln!(
        out,
        "<testsuite name=\"{}tcpgoon {}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" \
         timestamp=\"{}\" time=\"{seconds}\">",
        Xml(&rehearsed),
        Xml(report.target),
        // UTC; the schema allows no zone.
        rfc3339(report.start_unix_ns).get(..19).unwrap_or_default(),
    )?;
    let answers = report.summary.answers.counts();
    for (index, count) in answers.iter().enumerate() {
        let (label, replies) = (&count.label(), count.connections);
        out.write_str(if index == 0 { "  <properties>\n" } else { "" })?;
        writeln!(out, "    <property name=\"replies: {}\" value=\"{replies}\"/>", Xml(label))?;
    }
    out.write_str(if answers.is_empty() { "" } else { "  </properties>\n" })?;
    for one in judged {
        let name = Xml(&one.threshold.text);
        write!(out, "  <testcase classname=\"tcpgoon\" name=\"{name}\" time=\"{seconds}\">")?;
        if one.failed {
            let actual = one.actual;
            write!(out, "\n    <failure message=\"{name}: actual {actual}\"></failure>\n  ")?;
        }
        writeln!(out, "</testcase>")?;
    }
    let mut verdict = String::new();
    write_verdict(&mut verdict, &report.case(), diagnosis)?;
    writeln!(out, "  <system-out>{}</system-out>", Xml(&verdict))?;
    writeln!(out, "</testsuite>")
}

/// Escapes text for XML: markup as entities, forbidden characters as U+FFFD. Source: XML 1.0, 2.2
/// and 2.4.
struct Xml<'a>(&'a str);

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

//! The man page, in the macros of man(7): printed from `FLAGS`, `VERBS` and the notes of the help.

use std::fmt::{self, Write};

use super::flags::{Flag, Verb};
use super::help::{self, EXAMPLES};
use super::verb::{self, VerbRecord};

/// Of the last change of what the page describes.
const DATE: &str = "2026-11-27";

const DESCRIPTION: [&str; 2] = [
    "tcpgoon finds out how many concurrent TCP connections a server, load balancer, NAT or firewall \
     can take, and which side runs out of what. It dials the connections from one thread, holds \
     them, prints statistics at each interval, and ends with a report and an exit code.",
    "The report names what limited the run: the causes that fit the evidence, the commands that tell \
     them apart, and the fix. Before anything is dialed, tcpgoon compares the plan with the limits \
     of this host, and asks for confirmation.",
];

const FILES: [(&str, &str); 5] = [
    (".tcpgoon-PID-N", "A report before it replaces its file, in the same directory."),
    ("/proc/sys/net/ipv4/ip_local_port_range", "The ephemeral ports of this host."),
    ("/proc/sys/fs/nr_open", "One of the limits of this host that are read before a run."),
    ("/proc/net/snmp, /proc/net/netstat", "Kernel counters, read before and after a run."),
    ("/etc/hosts, /etc/resolv.conf", "How names are resolved, before anything is dialed."),
];

const SEE_ALSO: &str =
    "connect(2), listen(2), tcp(7), ip(7), ss(8), nstat(8), sysctl(8), tcpdump(8)";

/// Of a line of text; mandoc complains about more than 80.
const COLUMNS: usize = 78;

/// The title of a section of the notes.
const EXIT_CODES: &str = "Exit codes";

/// The whole page.
pub fn page() -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut out);
    out
}

fn write_page(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, ".TH TCPGOON 1 {DATE} \"{}\" \"User Commands\"", crate::NAME_AND_VERSION)?;
    // As typed: neither stretched to the margin nor hyphenated.
    writeln!(out, ".ad l\n.nh\n.SH NAME")?;
    writeln!(
        out,
        "tcpgoon \\- find how many TCP connections a server can take, and what limits it"
    )?;
    writeln!(out, ".SH SYNOPSIS")?;
    let of_verbs = verb::listed().map(VerbRecord::synopsis);
    let lines: Vec<String> = help::synopses(Verb::Run).into_iter().chain(of_verbs).collect();
    let lines: Vec<String> = lines.iter().map(|line| Roff(line).to_string()).collect();
    writeln!(out, "{}", lines.join("\n.br\n"))?;
    writeln!(out, ".SH DESCRIPTION")?;
    write_text(out, DESCRIPTION[0])?;
    writeln!(out, ".PP")?;
    write_text(out, DESCRIPTION[1])?;
    write_notes(out, Verb::Run, ".SS ", |title| title != EXIT_CODES)?;
    writeln!(out, ".SH OPTIONS")?;
    for (title, flags) in help::groups(Verb::Run) {
        writeln!(out, ".SS {title}")?;
        flags.iter().try_for_each(|flag| write_flag(out, flag))?;
    }
    writeln!(out, ".SH VERBS\nA verb is the first word. Its flags follow it.")?;
    for record in verb::listed() {
        writeln!(out, ".SS {}", Roff(&record.synopsis()))?;
        match record.verb {
            Some(verb) => write_verb(out, verb)?,
            None => {
                let (first, rest) = record.help.split_at(1);
                writeln!(out, "{}{rest}.", first.to_ascii_uppercase())?;
            }
        }
    }
    writeln!(out, ".SH EXAMPLES")?;
    EXAMPLES.iter().try_for_each(|(line, what)| write_row(out, line, what))?;
    writeln!(out, ".SH EXIT STATUS")?;
    write_notes(out, Verb::Run, "", |title| title == EXIT_CODES)?;
    writeln!(out, ".SH FILES")?;
    FILES.iter().try_for_each(|(path, what)| write_row(out, path, what))?;
    writeln!(out, ".SH SEE ALSO\n{}", Roff(SEE_ALSO))
}

fn write_verb(out: &mut dyn Write, verb: Verb) -> fmt::Result {
    write_notes(out, verb, "", str::is_empty)?;
    for (_, flags) in help::groups(verb) {
        flags.iter().try_for_each(|flag| write_flag(out, flag))?;
    }
    write_notes(out, verb, ".PP\n", |title| !title.is_empty())
}

/// The sections of the notes that are wanted, by their title; prose has an empty one. `heading` is
/// written before each title; without it there are none.
fn write_notes(
    out: &mut dyn Write,
    verb: Verb,
    heading: &str,
    is_wanted: fn(&str) -> bool,
) -> fmt::Result {
    let mut title = String::new();
    for (row, below) in help::rows(help::notes(verb)) {
        let text = row.trim_start();
        let margin = row.len() - text.len();
        if text.is_empty() {
            continue;
        }
        if margin == 0 {
            title = text.strip_suffix(':').unwrap_or_default().to_owned();
        }
        match (is_wanted(&title), margin) {
            (false, _) => {}
            (true, 0) if title.is_empty() => write_text(out, text)?,
            (true, 0) if heading.is_empty() => {}
            (true, 0) => writeln!(out, "{heading}{}", Roff(&title))?,
            (true, _) if below > margin => write_row(out, row[..below].trim(), &row[below..])?,
            (true, _) => {
                writeln!(out, ".PP")?;
                write_text(out, text)?;
            }
        }
    }
    Ok(())
}

fn write_flag(out: &mut dyn Write, flag: &Flag) -> fmt::Result {
    writeln!(out, ".TP")?;
    if let Some(short) = flag.short {
        write!(out, "\\fB\\-{short}\\fR, ")?;
    }
    write!(out, "\\fB\\-\\-{}\\fR", Roff(flag.long))?;
    if let Some(value) = flag.value {
        let (before, after) = if flag.alone.is_some() { ("[=", "]") } else { (" ", "") };
        write!(out, "{before}\\fI{value}\\fR{after}")?;
    }
    writeln!(out)?;
    write_text(out, &flag.described())
}

fn write_row(out: &mut dyn Write, tag: &str, text: &str) -> fmt::Result {
    writeln!(out, ".TP\n\\fB{}\\fR", Roff(tag))?;
    write_text(out, text)
}

/// On lines of at most [`COLUMNS`] bytes: roff fills them.
fn write_text(out: &mut dyn Write, text: &str) -> fmt::Result {
    let mut line = String::new();
    for word in text.split(' ') {
        let word = Roff(word).to_string();
        if line.len() + 1 + word.len() > COLUMNS {
            writeln!(out, "{line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    writeln!(out, "{line}")
}

/// A text in roff: what has a meaning there, and what would be printed as another character.
struct Roff<'a>(&'a str);

impl fmt::Display for Roff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.starts_with('.') {
            // It would be a macro.
            f.write_str("\\&")?;
        }
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\e"),
            '-' => f.write_str("\\-"),
            '\'' => f.write_str("\\(aq"),
            '`' => f.write_str("\\(ga"),
            '^' => f.write_str("\\(ha"),
            '~' => f.write_str("\\(ti"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::FLAGS;

    /// The lines of a section, up to the next one of its kind.
    fn section<'a>(page: &'a str, heading: &str) -> &'a str {
        let kind = &heading[..4];
        let (_, rest) =
            page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading}"));
        rest.split(&format!("\n{kind}")).next().unwrap().split("\n.SH").next().unwrap()
    }

    #[test]
    fn every_flag_is_in_the_section_of_its_verb() {
        let page = page();
        for verb in Verb::ALL {
            let heading = match verb {
                Verb::Run => ".SH OPTIONS".to_owned(),
                _ => format!(".SS {}", Roff(&verb.record().synopsis())),
            };
            let section = section(&page, &heading);
            assert_eq!(
                section.matches("\\fB\\-\\-").count(),
                FLAGS.iter().filter(|f| f.belongs_to(verb)).count()
            );
            for flag in FLAGS.iter().filter(|flag| flag.belongs_to(verb)) {
                let long = format!("\\fB\\-\\-{}\\fR", Roff(flag.long));
                let behind = section.split_once(&long).unwrap_or_else(|| panic!("{}", flag.long)).1;
                let (value, text) = behind.split_once('\n').unwrap();
                assert_eq!(value.contains("\\fI"), flag.value.is_some(), "{value}");
                let text = text.replace('\n', " ");
                assert!(text.starts_with(&Roff(&flag.described()).to_string()), "{text}");
            }
        }
    }

    #[test]
    fn each_section_has_what_it_should() {
        let page = page();
        let sections: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let expected = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "VERBS",
            "EXAMPLES",
            "EXIT STATUS",
            "FILES",
            "SEE ALSO",
        ];
        assert_eq!(sections, expected);
        for record in verb::listed() {
            assert!(section(&page, ".SH SYNOPSIS").contains(&*Roff(record.command).to_string()));
        }
        assert_eq!(section(&page, ".SH EXAMPLES").matches(".TP").count(), EXAMPLES.len());
        let exit = section(&page, ".SH EXIT STATUS");
        for code in 0..=3 {
            assert!(exit.contains(&format!(".TP\n\\fB{code}\\fR\n")), "{exit}");
        }
        let titles: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".SS ")).collect();
        assert!(titles.contains(&"Values") && titles.contains(&"Connections"), "{titles:?}");
    }

    #[test]
    fn text_means_nothing_to_roff() {
        assert_eq!(Roff(".a-b\\'c'").to_string(), "\\&.a\\-b\\e\\(aqc\\(aq");
        // No line of a text begins one by chance.
        let page = page();
        let controls = page.lines().filter(|line| line.starts_with(['.', '\'']));
        let known = |line: &str| {
            [".TH ", ".SH ", ".SS ", ".TP", ".PP", ".br", ".ad l", ".nh"]
                .iter()
                .any(|m| line.starts_with(m))
        };
        controls.for_each(|line| assert!(known(line), "{line}"));
    }
}

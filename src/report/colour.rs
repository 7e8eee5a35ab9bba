//! Colour, for a terminal: the state of a run, and nothing else. It goes over finished text, so that
//! it takes part in no width.

/// Select graphic rendition. Source: ECMA-48, 8.3.117.
pub const RED: &str = "\x1b[31m";
pub const GREEN: &str = "\x1b[32m";
pub const YELLOW: &str = "\x1b[33m";
pub const PLAIN: &str = "\x1b[0m";

const VERDICT: &str = "--- verdict ---";

/// Of each first word of a verdict, in which colour.
const WORDS: [(&str, &str); 4] =
    [("OK:", GREEN), ("LIMIT:", YELLOW), ("FAILED:", RED), ("STOPPED:", YELLOW)];

/// What begins a count of errors, in a statistics line and in the report.
const COUNTS: [&str; 2] = ["Error: ", "Errors: "];

/// The same text with its errors, unless there are none, and the verdict's first word in colour.
pub fn coloured(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut is_verdict = false;
    for line in text.split_inclusive('\n') {
        let word = WORDS.iter().find(|(word, _)| is_verdict && line.starts_with(word));
        is_verdict = line.trim_end() == VERDICT;
        let place = match word {
            Some((word, colour)) => Some((0, word.len() - 1, *colour)),
            None => errors_in(line).map(|(from, to)| (from, to, RED)),
        };
        match place {
            Some((from, to, colour)) => {
                out.extend([&line[..from], colour, &line[from..to], PLAIN, &line[to..]]);
            }
            None => out.push_str(line),
        }
    }
    out
}

/// Where a line counts errors, if there are any.
fn errors_in(line: &str) -> Option<(usize, usize)> {
    let is_stats = line.starts_with("Total: ");
    let from = match is_stats {
        true => line.find(COUNTS[0])?,
        false => line.starts_with(COUNTS[1]).then_some(0)?,
    };
    let name = COUNTS[usize::from(!is_stats)].len();
    let digits = line[from + name..].bytes().take_while(u8::is_ascii_digit).count();
    let to = from + name + digits;
    (digits > 0 && &line[from + name..to] != "0").then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_the_first_word_are_coloured_and_the_text_stays_the_same() {
        let text = "\
Total: 10, Dialing: 0, Established: 0, Closed: 0, Error: 10, NotInitiated: 0
Errors: 10, by reason: 10 refused (server or network)
--- verdict ---
FAILED: 0 of 10 connections.
OK: not a first word
";
        let expected = "\
Total: 10, Dialing: 0, Established: 0, Closed: 0, \x1b[31mError: 10\x1b[0m, NotInitiated: 0
\x1b[31mErrors: 10\x1b[0m, by reason: 10 refused (server or network)
--- verdict ---
\x1b[31mFAILED\x1b[0m: 0 of 10 connections.
OK: not a first word
";
        assert_eq!(coloured(text), expected);
        let ok = "--- verdict ---\nOK: 10 of 10 connections.\n";
        assert_eq!(coloured(ok), "--- verdict ---\n\x1b[32mOK\x1b[0m: 10 of 10 connections.\n");
    }

    #[test]
    fn what_is_as_it_should_be_has_no_colour() {
        let text = "\
Total: 10, Dialing: 0, Established: 10, Closed: 0, Error: 0, NotInitiated: 0
Errors: 0
Rates: Dials: 9/s, Established: 9/s, Closed: 0/s, Error: 2/s, p99 dial time: 1ms
Command line: tcpgoon --expect 'Error: 5' h:80
no line feed at its end";
        assert_eq!(coloured(text), text);
    }
}

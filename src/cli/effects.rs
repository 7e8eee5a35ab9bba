//! The effect of a flag: parses its value and stores it in a [`Draft`]. An error names what is
//! accepted; the caller adds the flag and the value.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::mistake::Mistake;
use super::target::{Group, Ports};
use crate::args::{Args, CalibrateArgs, End, Family, ReportArgs, ServeArgs};
use crate::display::{ReportForm, When};
use crate::escape::{quoted, unescaped};
use crate::outputs::{self, Format, NO_CONDITIONS, Outputs};
use crate::plan::{CONNECTIONS_MAX, Close, Hold, Pace, Probe, TEXT_BYTES_MAX};
use crate::rehearsal::Rehearsal;
use crate::thresholds::Threshold;
use crate::units::{Span, TIME_ACCEPTED, parse_count, parse_rate_milli, parse_span};

/// The maximum of `--rate`: some ten times what one thread can dial.
const RATE_MILLI_MAX: u64 = 10_000_000_000;

/// The parsed values of all verbs' flags; defaults are filled in from `FLAGS` afterwards.
#[derive(Debug, Clone)]
pub struct Draft {
    pub run: Args,
    pub serve: ServeArgs,
    pub calibrate: CalibrateArgs,
    /// Of the run or of the server.
    pub interval: Option<Span>,
    pub duration: Option<Span>,
    pub help: bool,
    pub version: bool,
    /// The scenarios of rehearsals are to be listed.
    pub scenarios: bool,
    pub host: Option<Group>,
    pub ports: Option<Ports>,
    /// The words that are not flags.
    pub words: Vec<String>,
    pub sleep: Option<Span>,
    pub rate_milli: Option<u64>,
    pub close_after: Option<Span>,
    pub reset_after: Option<Span>,
}

impl Draft {
    /// No flag is given. Values with a default in `FLAGS` are placeholders.
    pub fn new() -> Draft {
        Draft {
            run: Args::new(Vec::new(), 0),
            serve: ServeArgs {
                bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port: 0,
                connections_max: None,
                interval: None,
                duration: None,
                backlog: None,
                accept_delay: Span::ZERO,
                never_accept: false,
                end: None,
                banner: Vec::new(),
                echo: false,
                flood: false,
                until_eof: false,
            },
            calibrate: CalibrateArgs::default(),
            interval: None,
            duration: None,
            help: false,
            version: false,
            scenarios: false,
            host: None,
            ports: None,
            words: Vec::new(),
            sleep: None,
            rate_milli: None,
            close_after: None,
            reset_after: None,
        }
    }

    /// The file of `tcpgoon report`, and what is made of it.
    ///
    /// # Errors
    /// None, or a second one.
    pub fn into_report(self) -> Result<ReportArgs, Mistake> {
        let Args { outputs, display, .. } = self.run;
        match &self.words[..] {
            [file] => Ok(ReportArgs { file: file.clone(), outputs, display }),
            [] => Err("a file of --json or --events is required, or - for standard input"
                .to_owned()
                .into()),
            [_, more, ..] => {
                let line = format!("{}: 'tcpgoon report' takes one file", quoted(more));
                Err(Mistake::Word { word: more.clone(), line })
            }
        }
    }

    /// # Errors
    /// A target that is missing, incomplete or not valid; or no conditions to report.
    pub fn into_run(self) -> Result<Args, Mistake> {
        // Of a saved run they are in its file.
        if self.run.outputs.lacks_conditions(&self.run.outputs.fail_if) {
            return Err(NO_CONDITIONS.to_owned().into());
        }
        let ask = self.run.checks.ask.as_ref();
        let ports = self.ports.or_else(|| ask.map(|ask| Ports::one(ask.preset.port)));
        let targets = super::target::assemble(self.host, &self.words, ports)?;
        if targets.is_empty() {
            return Err(Mistake::NoTarget);
        }
        let pace = match self.rate_milli {
            Some(rate_milli) => Pace::rate(rate_milli),
            None => Pace::sleep(self.sleep.unwrap_or_default()),
        };
        let Draft { interval, duration, run, .. } = self;
        Ok(Args { targets, pace, interval, duration, ..run })
    }

    /// The words of `tcpgoon serve`: a port, or an address and a port; as if by --bind and --port,
    /// which are added to the flags that were given.
    ///
    /// # Errors
    /// Something else, or a second one.
    pub fn listen_on_words(&mut self, given: &mut Vec<&'static str>) -> Result<(), Mistake> {
        let Some(word) = self.words.first() else { return Ok(()) };
        let wrong = |word: &String, why: &str| Mistake::Word {
            word: word.clone(),
            line: format!("{}: {why}", quoted(word)),
        };
        if let Some(second) = self.words.get(1) {
            return Err(wrong(second, "one port is accepted, as in 'tcpgoon serve 8080'"));
        }
        let listen = match port_to_listen_on(word) {
            Ok(port) => Ok((None, port)),
            Err(_) => word.parse().map(|address: SocketAddr| (Some(address.ip()), address.port())),
        };
        let Ok((bind, port)) = listen else {
            let why = "a port is accepted, or an IP address with one, as in 0.0.0.0:8080";
            return Err(wrong(word, why));
        };
        let is_twice = |flag: &&str| given.contains(flag) && (*flag == "port" || bind.is_some());
        if let Some(twice) = ["port", "bind"].into_iter().find(is_twice) {
            return Err(wrong(word, &format!("--{twice} is given as well: give one of them")));
        }
        self.serve.port = port;
        given.push("port");
        if let Some(ip) = bind {
            self.serve.bind = ip;
            given.push("bind");
        }
        Ok(())
    }

    pub fn into_serve(self) -> ServeArgs {
        let close = self.close_after.map(|after| (after, End::Close));
        let reset = self.reset_after.map(|after| (after, End::Reset));
        let Draft { interval, duration, serve, .. } = self;
        ServeArgs { interval, duration, end: close.or(reset), ..serve }
    }
}

/// Stores a value that was parsed.
pub fn store<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// As [`store`], into an `Option`.
pub fn fill<T>(place: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    store(place, value.map(Some))
}

/// Sets a family (`-4`), or unsets it (`-4=false`) if it is the one that is set.
pub fn prefer(family: &mut Family, wanted: Family, on: Result<bool, String>) -> Result<(), String> {
    if on? {
        *family = wanted;
    } else if *family == wanted {
        *family = Family::Any;
    }
    Ok(())
}

/// The file of a format.
pub fn output(all: &mut Outputs, format: Format, path: &str) -> Result<(), String> {
    // A flag behind one without its file.
    if path.is_empty() || (path.starts_with('-') && path != outputs::STDOUT) {
        return Err("a file is accepted (./-x for -x), or - for standard output".into());
    }
    all.set(format, path.to_owned());
    Ok(())
}

/// One more condition.
pub fn fail_if(outputs: &mut Outputs, text: &str) -> Result<(), String> {
    let threshold = Threshold::parse(text)?;
    outputs.fail_if.push(threshold);
    Ok(())
}

/// A scenario, or the word for the list of them.
pub fn rehearse(draft: &mut Draft, value: &str) -> Result<(), String> {
    draft.scenarios = value == "list";
    if draft.scenarios { Ok(()) } else { fill(&mut draft.run.rehearsal, Rehearsal::parse(value)) }
}

/// A boolean as in Go's flags. Source: <https://pkg.go.dev/strconv#ParseBool>
pub fn switch(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true and false are accepted".into()),
    }
}

pub fn seconds(value: &str) -> Result<Span, String> {
    let accepted = || format!("{TIME_ACCEPTED}, is accepted; without a unit it is seconds");
    parse_span(value, Span::from_s(1)).ok_or_else(accepted)
}

/// As [`seconds`]; 0 is `None`.
pub fn seconds_or_none(value: &str) -> Result<Option<Span>, String> {
    seconds(value).map(|span| (span > Span::ZERO).then_some(span))
}

/// As [`seconds`]; 0 is an error.
pub fn some_seconds(value: &str) -> Result<Span, String> {
    let accepted =
        || "a time above 0 is accepted, as 5s or 300ms; without a unit it is seconds".to_owned();
    seconds_or_none(value).and_then(|span| span.ok_or_else(accepted))
}

pub fn probe(value: &str) -> Result<Probe, String> {
    match value {
        "all" => Ok(Probe::All),
        "sample" => Ok(Probe::Sample),
        "none" => Ok(Probe::None),
        _ => Err("all, sample and none are accepted".into()),
    }
}

pub fn when(value: &str) -> Result<When, String> {
    match value {
        "auto" => Ok(When::Auto),
        "always" => Ok(When::Always),
        "never" => Ok(When::Never),
        _ => Err("auto, always and never are accepted".into()),
    }
}

pub fn report(value: &str) -> Result<ReportForm, String> {
    match value {
        "short" => Ok(ReportForm::Short),
        "full" => Ok(ReportForm::Full),
        "none" => Ok(ReportForm::None),
        _ => Err("short, full and none are accepted".into()),
    }
}

pub fn errors_max(value: &str) -> Result<u64, String> {
    // Counts are parsed in thousandths, for 1.5k.
    let accepted = || format!("1 to {} are accepted, also as 1.5k or 2m", u64::MAX / 1000);
    parse_count(value).filter(|count| *count > 0).ok_or_else(accepted)
}

pub fn milliseconds(value: &str) -> Result<Span, String> {
    let accepted = || format!("{TIME_ACCEPTED}, is accepted; without a unit it is milliseconds");
    parse_span(value, Span::from_ms(1)).ok_or_else(accepted)
}

pub fn hold(value: &str) -> Result<Hold, String> {
    // As sleep(1) has it.
    if ["forever", "inf", "infinity"].contains(&value) {
        return Ok(Hold::Forever);
    }
    seconds(value).map(Hold::For).map_err(|accepted| format!("{accepted}; or the word forever"))
}

pub fn close(value: &str) -> Result<Close, String> {
    match value {
        "fin" => Ok(Close::Fin),
        "rst" => Ok(Close::Rst),
        _ => Err("fin and rst are accepted".into()),
    }
}

pub fn connections(value: &str) -> Result<u32, String> {
    let count = parse_count(value).and_then(|count| u32::try_from(count).ok());
    count
        .filter(|count| (1..=CONNECTIONS_MAX).contains(count))
        .ok_or_else(|| "1 to 64m are accepted, also as 1.5k or 2m".into())
}

/// `listen(2)` takes an `int`; the kernel cuts it to net.core.somaxconn.
pub fn backlog(value: &str) -> Result<u32, String> {
    let count = parse_count(value).and_then(|count| i32::try_from(count).ok());
    count
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("1 to {} are accepted, also as 1.5k or 2m", i32::MAX))
}

pub fn rate_milli(value: &str) -> Result<u64, String> {
    parse_rate_milli(value)
        .filter(|rate| (1..=RATE_MILLI_MAX).contains(rate))
        .ok_or_else(|| "0.001 to 10m dials a second are accepted, also as 0.5 or 2.5k".into())
}

pub fn port_to_listen_on(value: &str) -> Result<u16, String> {
    // parse() also accepts `+80`.
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let port = value.parse().ok().filter(|_| digits);
    port.ok_or_else(|| "a port from 1 to 65535 is accepted, or 0 for any free port".into())
}

pub fn address(value: &str) -> Result<IpAddr, String> {
    value.parse().map_err(|_| "an IP address is accepted, as 127.0.0.1, 0.0.0.0 or ::1".into())
}

/// Replaces escapes by the bytes that they stand for.
pub fn text(value: &str) -> Result<Vec<u8>, String> {
    let out = unescaped(value).ok_or(TEXT_ACCEPTED)?;
    let fits = (1..=TEXT_BYTES_MAX).contains(&out.len());
    fits.then_some(out).ok_or_else(|| TEXT_ACCEPTED.into())
}

const TEXT_ACCEPTED: &str = "1 to 4096 bytes are accepted, with escapes \\r \\n \\t \\0 \\xNN \\\\";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_be_any_bytes() {
        for (typed, bytes) in [
            ("220 hello\\r\\n", &b"220 hello\r\n"[..]),
            ("\\0\\t\\\\\\xfF\\x00", b"\0\t\\\xff\0"),
            ("grüß", "grüß".as_bytes()),
            ("\\\\n", b"\\n"),
        ] {
            assert_eq!(text(typed).as_deref(), Ok(bytes), "{typed}");
        }
        let (fits, too_long) = ("\\x41".repeat(4096), "a".repeat(4097));
        assert_eq!(text(&fits), Ok(vec![b'A'; 4096]));
        for typed in ["", "\\", "a\\", "\\q", "\\x", "\\x4", "\\xg0", "\\x0g", "\\ü", &too_long] {
            assert_eq!(text(typed), Err(TEXT_ACCEPTED.into()), "{typed}");
        }
    }

    #[test]
    fn booleans_are_those_of_go() {
        for yes in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(switch(yes), Ok(true));
        }
        for no in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(switch(no), Ok(false));
        }
        for neither in ["", "yes", "no", "on", "tRUE", "2", " true"] {
            assert!(switch(neither).is_err(), "{neither}");
        }
    }

    #[test]
    fn limits_are_inclusive() {
        assert_eq!(connections("64m"), Ok(CONNECTIONS_MAX));
        assert_eq!(rate_milli("10m"), Ok(RATE_MILLI_MAX));
        assert_eq!(rate_milli("0.001"), Ok(1));
        assert_eq!(backlog("2147483647"), Ok(2_147_483_647));
        assert_eq!(port_to_listen_on("0"), Ok(0));
        assert_eq!(port_to_listen_on("65535"), Ok(65535));
        for value in ["0", "64.000001m", "4294967296", "99999999999999999999", "-1", "1.5", "ten"] {
            assert!(connections(value).is_err(), "{value}");
        }
        for value in ["0", "0.0009", "10.000001m", "-1", "1/m", ""] {
            assert!(rate_milli(value).is_err(), "{value}");
        }
        assert_eq!(errors_max("18446744073709551"), Ok(18_446_744_073_709_551));
        for value in ["0", "18446744073709552", "99999999999999999999", "-1", "1.5"] {
            let words = "1 to 18446744073709551 are accepted, also as 1.5k or 2m";
            assert_eq!(errors_max(value), Err(words.into()), "{value}");
        }
        for value in ["0", "2147483648", "-1"] {
            assert!(backlog(value).is_err(), "{value}");
        }
        for value in ["65536", "+80", "-1", "80,81", "80-81", "1k", ""] {
            assert!(port_to_listen_on(value).is_err(), "{value}");
        }
        for value in ["localhost", "127.0.0.1:80", "[::1]", "*", ""] {
            assert!(address(value).is_err(), "{value}");
        }
    }

    #[test]
    fn unsetting_one_family_leaves_the_other_set() {
        let mut family = Family::Any;
        for (wanted, on, then) in [
            (Family::V4, true, Family::V4),
            (Family::V6, false, Family::V4),
            (Family::V6, true, Family::V6),
            (Family::V6, false, Family::Any),
        ] {
            prefer(&mut family, wanted, Ok(on)).unwrap();
            assert_eq!(family, then);
        }
    }
}

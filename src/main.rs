//! parse → resolve → plan → preflight → confirm → drive → diagnose → report → exit code. With main/, for
//! the other verbs and rehearsals, the only file that joins os/, cli/ and report/.

#[path = "main/rehearsing.rs"]
mod rehearsing;
#[path = "main/rereading.rs"]
mod rereading;
#[path = "main/serving.rs"]
mod serving;

use std::env;
use std::io::{self, BufReader, LineWriter, Write};
use std::process::ExitCode;

use tcpgoon::args::Args;
use tcpgoon::cli::confirm::Banner;
use tcpgoon::cli::{self, Command};
use tcpgoon::counters::{Counters, UNRESOLVED_TARGETS_MAX};
use tcpgoon::diagnosis::diagnose;
use tcpgoon::display::ReportForm;
use tcpgoon::engine::{Key, Progress, Sample, Summary};
use tcpgoon::error::{Error, Result, exit};
use tcpgoon::escape::Printable;
use tcpgoon::judgement;
use tcpgoon::limits::{self, Finding, Host};
use tcpgoon::os::counters::CounterFiles;
use tcpgoon::os::driver::{self, Tables};
use tcpgoon::os::report_file::ReportFile;
use tcpgoon::os::resolve::{Resolved, Truncated};
use tcpgoon::os::stdio::{Blocking, Streams};
use tcpgoon::os::sys::{self, Signals};
use tcpgoon::os::{DebugEvent, Run, Watch, clock, host, terminal};
use tcpgoon::outputs::{Format, Outputs};
use tcpgoon::plan::Plan;
use tcpgoon::rehearsal;
use tcpgoon::report::colour::coloured;
use tcpgoon::report::debug::Debug;
use tcpgoon::report::progress::{LiveLine, REDRAW_EVERY};
use tcpgoon::report::rates::Rates;
use tcpgoon::report::{self, Report, Start, format, outlook, preflight, short, text};
use tcpgoon::units::Span;

use rehearsing::Rehearsed;

fn main() -> ExitCode {
    sys::exit_on_abort();
    sys::ignore_sigxfsz();
    let code = match dispatch() {
        Ok(code) => code,
        Err(error) => {
            if !error.is_silent() {
                print_error(&error);
            }
            error.exit_code()
        }
    };
    ExitCode::from(code)
}

fn dispatch() -> Result<u8> {
    match cli::parse(env::args_os().skip(1))? {
        Command::Run(args) => run(&args),
        Command::Serve(args) => serving::serve(&args),
        Command::Calibrate(args) => serving::calibrate(&args),
        Command::Report(args) => rereading::report(&args),
        Command::Explain(cause) => print(&report::explain::text(cause)),
        Command::Completions(shell) => print(&cli::completions::script(shell)),
        Command::Man => print(&cli::man::page()),
        Command::Help(verb) => print(&cli::help::usage(verb)),
        Command::Scenarios => print(&rehearsal::list()),
        Command::Schema => print(report::json::SCHEMA),
        Command::Version => print(&format!("{}\n", tcpgoon::NAME_AND_VERSION)),
    }
}

/// Prints to standard error, if that is open. It may block: no signals are blocked here, so they
/// end the process.
fn print_error(error: &Error) {
    let _ = Blocking(io::stderr()).write_all(format!("tcpgoon: {error}\n").as_bytes());
}

/// Prints help and the like. A closed pipe is success.
fn print(text: &str) -> Result<u8> {
    match Blocking(io::stdout()).write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::system("cannot write to standard output", &error))
        }
        _ => Ok(exit::ALL_ESTABLISHED),
    }
}

fn run(args: &Args) -> Result<u8> {
    let (Resolved { targets, truncated, others }, sources) = rehearsing::addresses(args)
        .map_err(|error| cli::with_verb(error, env::args_os().nth(1).as_deref()))?;
    let plan = Plan { other_addresses: others, ..args.plan(targets, &sources)? };
    host::raise_nofile_limit(plan.connections);
    let mut files = if args.dry_run { Vec::new() } else { ReportFile::open_all(&args.outputs)? };
    // Before the limits are read, so that these descriptors count as open.
    let counter_files = CounterFiles::open();
    let mut streams = streams()?;
    let host = rehearsing::limits(&plan)?;
    let findings = limits::judge(&plan, &host);
    if args.dry_run {
        return dry_run(&plan, &host, &findings);
    }
    host::check_memory_for(plan.connections, &host)?;
    host::check_data_limit(u64::from(plan.connections) * host.table_bytes_each)?;
    // Before anything is printed: if the tables do not fit, that is the only line.
    let rehearsed = plan.rehearsal.as_ref().map(|_| Rehearsed::new());
    let tables = rehearsed.is_none().then(|| Tables::new(&plan)).transpose()?;
    for Truncated { name, max } in &truncated {
        streams.stderr().line(&format!(
            "tcpgoon: {}: this build's resolver returns at most {max} addresses, there may be more: \
             give the addresses themselves\n",
            Printable(name)
        ));
    }
    if let Some(rehearsal) = &plan.rehearsal {
        streams.stderr().line(&format!("tcpgoon: {rehearsal}\n"));
        streams.wait_for_room();
        files.iter_mut().for_each(ReportFile::wait_for_room);
    } else if args.assume_yes {
        for finding in &findings {
            let line = preflight::Line { plan: &plan, finding };
            streams.stderr().line(&format!("tcpgoon: {line}\n"));
        }
    } else {
        confirm(&plan, &findings, args.outputs.on_stdout().is_some())?;
    }
    let (display, surroundings) = (&args.display, terminal::surroundings());
    // They are for the text.
    let is_text = args.outputs.on_stdout().is_none();
    let has_progress =
        is_text && rehearsed.is_none() && display.has_progress(&surroundings, args.debug);
    let has_color = is_text && display.has_color(&surroundings);
    let mut console = Console {
        plan: &plan,
        limits: &host,
        findings: &findings,
        outputs: &args.outputs,
        files,
        command_line: report::escape::command_line(env::args_os().map(lossy)),
        host: rehearsed.as_ref().map_or_else(host::name, |_| Some(rehearsing::HOST.into())),
        counter_files,
        counters_before: Counters::default(),
        rehearsed: rehearsed.as_ref(),
        start_unix_ns: None,
        exit_code: exit::NOT_COMPLETED,
        quiet: display.quiet,
        form: display.report,
        rates: (is_text && !display.quiet && (display.rates || plan.lifetime.is_some()))
            .then(Rates::default),
        has_color,
        live: has_progress.then(|| LiveLine::new(&plan, has_color)),
        streams,
        debug: Debug::default(),
        text: String::new(),
    };
    let ran = match (&rehearsed, tables) {
        (None, Some(tables)) => {
            let signals = hold_signals()?;
            console.counters_before = console.counter_files.read();
            let ports = host::local_port_range();
            driver::run(&plan, tables, ports, &signals, &mut console).map(drop)
        }
        (Some(rehearsed), _) => rehearsing::run(&plan, rehearsed, &mut console, hold_signals),
        (None, None) => Ok(()),
    };
    let ran = ran.and_then(|()| console.streams.stdout.all_written());
    all_written(ran, &console.files)?;
    Ok(console.exit_code)
}

/// Each error is printed; the last one by main().
fn all_written(done: Result<()>, files: &[ReportFile]) -> Result<()> {
    let failures = files.iter().filter_map(ReportFile::failure);
    let mut errors: Vec<Error> = done.err().into_iter().chain(failures).collect();
    let last = errors.pop();
    errors.iter().for_each(print_error);
    last.map_or(Ok(()), Err)
}

/// Prints the plan and the local limits below it; succeeds if there are none.
fn dry_run(plan: &Plan, host: &Host, findings: &[Finding]) -> Result<u8> {
    let mut text = String::new();
    let _ = preflight::write_dry_run(&mut text, plan, host, findings);
    let code = print(&text)?;
    Ok(if findings.is_empty() { code } else { exit::NOT_COMPLETED })
}

fn confirm(plan: &Plan, findings: &[Finding], is_stdout_taken: bool) -> Result<()> {
    let mut text = String::new();
    let _ = outlook::write_outlook(&mut text, plan);
    let _ = preflight::write_findings(&mut text, plan, findings);
    let (host, port) = cli::confirm::hosts_and_ports(&plan.routes);
    let (host, port, connections) = (host.as_str(), port.as_str(), plan.connections);
    let banner = Banner { host, port, connections, findings: &text };
    let mut input = BufReader::new(Blocking(io::stdin()));
    // A standard output that leads elsewhere is for the report alone, if a terminal is left to ask.
    match is_stdout_taken || terminal::asks_on_stderr() {
        false => {
            let mut output = LineWriter::new(Blocking(io::stdout()));
            cli::confirm::confirm(&banner, &mut input, &mut output)
        }
        true => {
            let mut output = LineWriter::new(Blocking(io::stderr()));
            cli::confirm::confirm(&banner, &mut input, &mut output)
        }
    }
}

fn streams() -> Result<Streams> {
    Streams::open().map_err(|error| Error::system("cannot open the standard streams", &error))
}

fn hold_signals() -> Result<Signals> {
    Signals::hold().map_err(|error| Error::system("cannot receive signals", &error))
}

fn lossy(word: std::ffi::OsString) -> String {
    word.to_string_lossy().into_owned()
}

/// Prints a run: the original's lines to standard output, debug lines to standard error.
struct Console<'a> {
    plan: &'a Plan,
    limits: &'a Host,
    findings: &'a [Finding],
    outputs: &'a Outputs,
    files: Vec<ReportFile>,
    command_line: String,
    /// Read before the run: at its end there may be no free descriptor.
    host: Option<String>,
    counter_files: CounterFiles,
    /// Before the run.
    counters_before: Counters,
    rehearsed: Option<&'a Rehearsed>,
    /// At the first line, when the run begins.
    start_unix_ns: Option<u64>,
    /// Of the diagnosis, at the end.
    exit_code: u8,
    /// No lines before the report.
    quiet: bool,
    form: ReportForm,
    /// With `--rates`.
    rates: Option<Rates>,
    has_color: bool,
    /// What is redrawn below the lines, on a terminal.
    live: Option<LiveLine>,
    streams: Streams,
    debug: Debug,
    /// The buffer of the line being printed.
    text: String,
}

impl Console<'_> {
    /// Colours the text that was put together, where there are colours.
    fn color(&mut self) {
        if self.has_color {
            self.text = coloured(&self.text);
        }
    }

    /// An object of `--events`.
    fn event(&mut self, line: &str) {
        if self.outputs.on_stdout() == Some(Format::Events) {
            return self.streams.stdout.line(line);
        }
        let events = |file: &&mut ReportFile| file.format() == Format::Events;
        self.files.iter_mut().filter(events).for_each(|file| file.line(line));
    }

    fn lines_dropped(&self) -> u64 {
        let files = self.files.iter().map(ReportFile::lines_dropped).sum::<u64>();
        self.streams.lines_dropped() + files
    }

    fn unix_ns(&self) -> u64 {
        self.rehearsed.map_or_else(clock::unix_ns, |rehearsed| rehearsed.unix_ns.get())
    }

    /// Kernel counters since before the run.
    fn counted(&mut self, summary: &Summary) -> Counters {
        if let Some(rehearsed) = self.rehearsed {
            return rehearsed.counters.get();
        }
        let mut counters = self.counter_files.read().since(&self.counters_before);
        if summary.established_ever == 0 {
            let targets = self.plan.routes.targets().iter().take(UNRESOLVED_TARGETS_MAX);
            let addresses = targets.map(|target| &target.address);
            counters.targets_unresolved = self.counter_files.unresolved(addresses);
        }
        counters
    }

    fn start(&self, start_unix_ns: u64) -> Start<'_> {
        let Console { plan, command_line, limits, findings, .. } = self;
        let host = self.host.as_deref();
        Start { plan, command_line, host, start_unix_ns, limits, findings }
    }
}

impl Watch for Console<'_> {
    fn sample(&mut self, sample: &Sample) {
        let now_unix_ns = self.unix_ns();
        if self.outputs.path(Format::Events).is_some() && self.start_unix_ns.is_none() {
            let start = report::events::start(&self.start(now_unix_ns));
            self.event(&start);
        }
        self.start_unix_ns.get_or_insert(now_unix_ns);
        if self.outputs.on_stdout().is_none() && !self.quiet {
            self.text.clear();
            let _ = text::write_sample(&mut self.text, sample);
            self.color();
            self.streams.stdout.line(&self.text);
        }
    }

    fn interval(&mut self, progress: &Progress<'_>) {
        if self.outputs.path(Format::Events).is_some() {
            let now_unix_ns = self.unix_ns();
            self.event(&report::events::interval(now_unix_ns, progress));
        }
        let metrics = |file: &&mut ReportFile| file.format() == Format::Prometheus;
        if let Some(file) = self.files.iter_mut().find(metrics) {
            let start = self.start_unix_ns.unwrap_or_default();
            let text = report::prometheus::interval(start, self.plan, progress);
            // It costs no other report, and is tried again.
            if let Some(error) = file.update(&text) {
                self.streams.stderr().line(&format!("tcpgoon: {error}\n"));
            }
        }
        let Some(rates) = &mut self.rates else { return };
        self.text.clear();
        let _ = rates.write(&mut self.text, progress);
        if !self.text.is_empty() {
            self.streams.stdout.line(&self.text);
        }
    }

    fn redraw_every(&self) -> Option<Span> {
        self.live.as_ref().map(|_| REDRAW_EVERY)
    }

    fn redraw(&mut self, progress: &Progress<'_>) {
        if let Some(live) = &mut self.live {
            let text = live.text(progress, terminal::columns().into());
            self.streams.stdout.redraw(&text);
        }
    }

    fn debug(&mut self, key: Key, event: DebugEvent<'_>) {
        self.text.clear();
        let target = self.plan.routes.target(key.slot);
        let _ = match event {
            DebugEvent::Note(note) => self.debug.note(&mut self.text, key, target, &note),
            DebugEvent::Received(bytes) => self.debug.received(&mut self.text, key, target, bytes),
        };
        if !self.text.is_empty() {
            self.streams.stderr().line(&self.text);
        }
    }

    fn closing(&mut self, closed: u32, all: u32) {
        self.text.clear();
        let _ = text::write_closing(&mut self.text, closed, all);
        self.streams.stderr().line(&self.text);
    }

    fn done(&mut self, run: &Run, signals: &Signals) {
        for line in self.debug.lines(|slot| self.plan.routes.target(slot)) {
            self.streams.stderr().line(&line);
        }
        let end_unix_ns = self.unix_ns();
        let counters = self.counted(&run.summary);
        let mut icmp = run.icmp.clone();
        icmp.find_local(|ip| match self.rehearsed {
            Some(_) => Some(false),
            None => self.counter_files.is_own(ip),
        });
        let judged = judgement::judge(&self.outputs.fail_if, &run.summary);
        let mut report = Report {
            target: &self.plan.routes.to_string(),
            plan: self.plan,
            command_line: &self.command_line,
            host: self.host.as_deref(),
            start_unix_ns: self.start_unix_ns.unwrap_or(end_unix_ns),
            end_unix_ns,
            summary: &run.summary,
            turn_longest: run.turn_longest,
            counters: &counters,
            icmp: &icmp,
            limits: self.limits,
            findings: self.findings,
            last_lines: &run.last_lines,
            ended_by: run.ended_by.as_deref(),
            lines_dropped: self.lines_dropped(),
            judged: &judged,
            exit_code: exit::NOT_COMPLETED,
        };
        let diagnosis = diagnose(&report.case());
        report.exit_code = judgement::exit_code(&judged, diagnosis.exit_code);
        self.exit_code = report.exit_code;
        let text = match self.outputs.on_stdout() {
            Some(format) => format::write(format, &report, &diagnosis),
            None => {
                let columns = terminal::columns().into();
                let text = short::report(&report, &diagnosis, self.form, columns);
                if self.has_color { coloured(&text) } else { text }
            }
        };
        self.streams.stdout.finish(&text, signals);
        // One that cannot be written costs no other.
        for file in &mut self.files {
            file.finish(&format::write(file.format(), &report, &diagnosis), signals);
        }
    }
}

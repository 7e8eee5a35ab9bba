//! The report as a web page: escaping, well-formedness, size, and how it looks in a browser.

use std::fs;
use std::process::Command;

use super::kinds;
use crate::common::html::{BYTES_MAX, faults, read};
use crate::common::{ClosedPort, Scratch, Served, command, run, skip, succeed};
use tcpgoon::counters::Counters;
use tcpgoon::diagnosis::diagnose;
use tcpgoon::display::ReportForm;
use tcpgoon::engine::Summary;
use tcpgoon::icmp::IcmpTally;
use tcpgoon::last_lines::LastLine;
use tcpgoon::limits::{CgroupMemory, Gauge, Host};
use tcpgoon::plan::{Hold, Pace, Plan, Probe};
use tcpgoon::report::{Report, html, markdown, short};
use tcpgoon::route::{OtherAddresses, Routes, Target};
use tcpgoon::sim::world::setup::{End, Limit, LimitOn, Path, Server, World};
use tcpgoon::sim::world::{Stalls, run as simulate};
use tcpgoon::units::Span;

/// Markup, quotes, control and format characters.
const HOSTILE: &str = "a<script>alert(1)</script>&amp;\"'--></style>]]>\u{202e}\u{7}\u{1b}[2J\nb";

fn targets(count: u8, host: &str) -> Routes {
    let target =
        |last: u8| Target { host: host.to_owned(), address: ([10, 0, 0, last], 80).into() };
    Routes::new((1..=count).map(target).collect(), &[]).unwrap()
}

/// The page, the text and the Markdown of a finished run.
fn rendered(plan: &Plan, summary: &Summary, target: &str, said: &[u8]) -> [String; 3] {
    let gauge = Gauge { most: 7, used: 1 };
    let limits = Host {
        cgroups: vec![CgroupMemory { file: target.to_owned(), bytes: gauge }],
        ..Host::default()
    };
    let report = Report {
        target,
        plan,
        command_line: &tcpgoon::escape::command_line(["tcpgoon", target].map(str::to_owned)),
        host: Some(target),
        start_unix_ns: 1_700_000_000_123_456_789,
        end_unix_ns: 1_700_000_001_123_456_789,
        summary,
        turn_longest: Span::from_ms(1),
        counters: &Counters::default(),
        icmp: &IcmpTally::new(),
        limits: &limits,
        findings: &[],
        last_lines: &[LastLine { line: said.to_vec(), connections: 3 }],
        ended_by: None,
        lines_dropped: 0,
        judged: &[],
        exit_code: 2,
    };
    let diagnosis = diagnose(&report.case());
    let text = short::report(&report, &diagnosis, ReportForm::Full, 80);
    let mut table = String::new();
    markdown::write(&mut table, &report, &diagnosis).unwrap();
    [html::document(&report, &diagnosis), text, table]
}

/// Half of the servers close what is above their limit; the path loses packets.
fn simulated(connections: u32, count: u8, host: &str) -> (Plan, Summary) {
    let limit = Limit { on: LimitOn::Open(connections / 4), end: End::Fin, has_last_words: true };
    let path = Path { loss_permille: 50, jitter: Span::from_ms(3), ..Path::default() };
    let world = World::new(Server { limit: Some(limit), ..Server::default() }, path);
    let plan = Plan {
        pace: Pace::sleep(Span::from_ms(2)),
        dial_timeout: Some(Span::from_ms(2_500)),
        hold: Hold::For(Span::from_s(2)),
        other_addresses: vec![OtherAddresses::new(host, &[([10, 0, 1, 1], 80).into()])],
        ..Plan::plain(connections, targets(count, host))
    };
    let summary = simulate(&plan, &world, 1, Stalls::Some).summary;
    (plan, summary)
}

#[test]
fn every_value_from_outside_is_escaped() {
    let (plan, summary) = simulated(60, 3, HOSTILE);
    let [page, text, _] = rendered(&plan, &summary, HOSTILE, HOSTILE.as_bytes());
    let read = read(&page);
    assert_eq!(read.faults, [""; 0]);
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{7}') && !page.contains('\u{1b}'));
    // In the title, above the headline, in tables, as the last line of the server.
    let shown = read.texts.iter().filter(|(_, text)| text.contains("a<script>alert(1)</script>"));
    let tags: Vec<&str> = shown.map(|(tag, _)| tag.as_str()).collect();
    for tag in ["title", "p", "th", "small", "code", "pre"] {
        assert!(tags.contains(&tag), "{tag} is not among {tags:?}");
    }
    assert!(read.text_in("p").contains("The server said, to 3: \"a<script>alert(1)"), "{text}");
}

/// Other readers than the one of these tests: Python's, of HTML and of XML.
const PARSERS: &str = "
import sys, html.parser, xml.etree.ElementTree as tree
page = sys.stdin.read()
class Reader(html.parser.HTMLParser):
    tags = []
    def handle_starttag(self, tag, attributes): self.tags.append(tag)
reader = Reader()
reader.feed(page)
reader.close()
root = tree.fromstring(page)
parsed = [element.tag.lower() for element in root.iter()]
print(parsed == reader.tags, 'script' in parsed, parsed.count('h1'), parsed.count('figure') > 3)
";

#[test]
fn other_parsers_read_the_same_page() {
    let mut python = command("python3 -c");
    python.arg(PARSERS);
    if command("python3 --version").output().is_err() {
        return skip("Python is missing");
    }
    let (plan, summary) = simulated(60, 3, HOSTILE);
    let [page, ..] = rendered(&plan, &summary, HOSTILE, HOSTILE.as_bytes());
    assert_eq!(succeed(python, &page), "True False 1 True\n");
}

#[test]
fn a_flag_and_a_number_with_its_unit_stay_on_one_line() {
    let plan = Plan { pace: Pace::sleep(Span::from_ms(10)), ..Plan::plain(51, targets(1, "x")) };
    let world = World::new(Server::default(), Path::default());
    let summary = simulate(&plan, &world, 1, Stalls::None).summary;
    let [page, text, _] = rendered(&plan, &summary, "--hold-beside", b"");
    assert_eq!(faults(&page, &text), [""; 0]);
    assert!(page.contains("dialed in <span class=\"flag\">0.50 s</span> ("), "{page}");
    assert!(page.contains("\">tcpgoon <span class=\"flag\">--hold-beside</span></code>"), "{page}");
    // This is wider than a phone.
    let [page, ..] = rendered(&plan, &summary, &format!("--{}", "w".repeat(80)), b"");
    assert!(page.contains("\">tcpgoon --www"), "{page}");
}

/// 20 connections are held, and 40 churn at a server that closes what is above 30.
#[test]
fn held_and_churning_connections_are_a_table_with_the_numbers_of_the_text() {
    let limit = Limit { on: LimitOn::Open(30), end: End::Fin, has_last_words: false };
    let server = Server { limit: Some(limit), ..Server::default() };
    let plan = Plan {
        pace: Pace::sleep(Span::from_ms(10)),
        lifetime: Some(Span::from_ms(300)),
        hold_beside: 20,
        probe: Probe::All,
        duration: Some(Span::from_s(4)),
        ..Plan::plain(60, targets(1, "x"))
    };
    let world = World::new(server, Path::default());
    let summary = simulate(&plan, &world, 1, Stalls::None).summary;
    let [page, text, table] = rendered(&plan, &summary, "x", b"");
    assert_eq!(faults(&page, &text), [""; 0]);
    assert!(table.contains("\n\n| | before the churn | during it |\n|---|---|---|\n| Held: "));
    let row = |name: &str| {
        let begin = format!("| {name} | ");
        let row = table.lines().find_map(|line| line.strip_prefix(&begin));
        let (before, during) = row.unwrap().trim_end_matches(" |").split_once(" | ").unwrap();
        let cells = format!("<td>{before}</td><td>{during}</td></tr>");
        assert!(page.contains(&format!("{name}<small></small></th>{cells}")), "{name}: {page}");
        [before, during].map(str::to_owned)
    };
    let [of, open, lost] =
        ["established", "still open", "lost"].map(|is| row(&format!("Held: {is}")));
    assert!(text.contains(&format!("Held: {} of 20 established, {} open at", of[0], open[1])));
    assert_eq!(
        [&of[1], &open[0], &lost[0], &lost[1], &row("Held: errors")[0]],
        ["-", "20", "0", "0", "0"]
    );
    let [answered, unanswered] = ["answered", "unanswered"].map(|is| row(&format!("Checks {is}")));
    let [p50, p99] = ["p50", "p99"].map(|of| row(&format!("Check time {of}, within 15ms")));
    for (index, when) in ["before", "during"].into_iter().enumerate() {
        let [answered, unanswered, p50, p99] =
            [&answered, &unanswered, &p50, &p99].map(|row| &row[index]);
        let counts = format!("{answered} answered, {unanswered} unanswered");
        let line = format!("Checks {when} the churn: {counts}; RTT p50/p99 = {p50}/{p99} (");
        assert!(text.contains(&line), "{line}: {text}");
    }
    let [dials, opened, errors, early] = ["dials", "established", "errors", "closed early"]
        .map(|what| row(&format!("Churning: {what}"))[1].clone());
    assert!(early.parse::<u64>().unwrap() > 20, "{early}");
    let counts = format!("{opened} established, {errors} failed, {early} closed early");
    assert!(text.contains(&format!("Churning: {dials} dials from ")), "{text}");
    assert!(text.contains(&counts), "{counts}: {text}");
    // On a phone the whole headline would be ten lines.
    let verdict = text.split("--- verdict ---\nLIMIT: ").nth(1).unwrap().replace('\n', " ");
    let (headline, rest) = verdict.split_once(". ").unwrap();
    let begin = format!("</strong> {headline}.</h1><p>{}", &rest[..80]);
    assert!(page.contains(&begin), "{begin}: {page}");
    // Nothing of it in a run that only churns.
    let plan = Plan { hold_beside: 0, ..plan };
    let summary = simulate(&plan, &world, 1, Stalls::None).summary;
    let [page, _, table] = rendered(&plan, &summary, "x", b"");
    assert!(!page.contains("before the churn") && !table.contains("before the churn"));
}

#[test]
fn the_largest_report_is_bounded() {
    let (plan, summary) = simulated(4_000, 50, "target.example");
    let samples = summary.series.points().len();
    assert!(samples > 256, "{samples}");
    let [page, text, _] = rendered(&plan, &summary, "50 targets", b"bye");
    assert_eq!(faults(&page, &text), [""; 0]);
    println!("{samples} samples, 50 targets: {} bytes", page.len());
    assert!(page.len() < BYTES_MAX / 3, "{}", page.len());
}

#[test]
fn a_run_writes_it_beside_its_text() {
    let (server, closed, scratch) =
        (Served::start(&["-i", "0"]), ClosedPort::new(), Scratch::new());
    let file = scratch.path("report.html");
    let path = file.to_str().unwrap();
    for (target, word, code) in [(server.target(), "OK", 0), (closed.target(), "FAILED", 2)] {
        let run = run(&["-y", "-c", "3", "-s", "1", "--report", "full", "--html", path, &target]);
        run.assert_code(code);
        let page = fs::read_to_string(&file).unwrap();
        let report = run.stdout.find("--- 127.0.0.1").map(|at| &run.stdout[at..]).unwrap();
        assert_eq!(faults(&page, report), [""; 0]);
        let title = format!("{word}: {target} - tcpgoon");
        assert!(page.contains(&format!("<title>{title}</title>")), "{page}");
    }
    let run = run(&["-y", "-c", "2", "-s", "0", "--html", "-", &server.target()]);
    run.assert_code(0);
    assert!(run.stdout.starts_with("<!DOCTYPE html>\n"), "{run:#?}");
}

/// Shows a page in a frame of 400 px, and puts into its own title how wide that is, and which labels of
/// charts are outside of it or overlap.
const FRAME: &str = "<!DOCTYPE html><iframe id=\"frame\" width=\"400\" height=\"900\"
  style=\"border:0\" src=\"page.html\"></iframe>
<script>
frame.onload = () => {
  const page = frame.contentDocument, bad = [];
  for (const chart of page.querySelectorAll('svg.chart')) {
    const labels = [...chart.querySelectorAll('text')]
      .map(label => [label.textContent, label.getBoundingClientRect()]);
    labels.forEach(([text, one], index) => {
      if (one.left < 0 || one.right > 400) bad.push(text + ' is outside');
      for (const [other, two] of labels.slice(index + 1))
        if (one.left < two.right && two.left < one.right && one.top + 2 < two.bottom &&
            two.top + 2 < one.bottom) bad.push(text + ' over ' + other);
    });
  }
  const charts = page.querySelectorAll('svg.chart').length;
  document.title = page.scrollingElement.scrollWidth + ' px, charts: ' + charts + ', ' + bad;
};
</script>";

/// What the browser finds out about a page.
fn in_browser(scratch: &Scratch, page: &str) -> String {
    scratch.write("page.html", page);
    let frame = scratch.write("frame.html", FRAME);
    let mut browser = Command::new("timeout");
    browser.args([
        "60",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
    ]);
    browser.args(["--dump-dom", "--allow-file-access-from-files", "--virtual-time-budget=20000"]);
    browser.arg(format!("--user-data-dir={}", scratch.path("profile").display()));
    browser.arg(format!("file://{}", frame.display()));
    let output = browser.output().unwrap();
    let dump = String::from_utf8_lossy(&output.stdout).into_owned();
    let title = dump.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    title.map(|(title, _)| title.to_owned()).unwrap_or_else(|| panic!("{output:?}"))
}

#[test]
fn a_phone_shows_all_of_it() {
    if command("chromium --version").output().is_err() {
        return skip("chromium is missing");
    }
    let scratch = Scratch::new();
    let long = format!("{}.example", "w".repeat(240));
    for (connections, count, host) in [(1, 1, "x"), (3, 2, "x"), (60, 3, HOSTILE), (900, 50, &long)]
    {
        let (plan, summary) = simulated(connections, count, host);
        let [page, ..] = rendered(&plan, &summary, host, &[b'w'; 120]);
        let charts = page.matches("<figure>").count();
        let shown = in_browser(&scratch, &page);
        assert_eq!(shown, format!("400 px, charts: {charts}, "), "{connections} connections");
    }
    let shown = in_browser(&scratch, &kinds::every_kind_as_a_page());
    assert!(shown.starts_with("400 px, "), "{shown}");
}

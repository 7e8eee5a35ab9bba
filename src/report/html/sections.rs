//! The parts of the page beside the charts.

use std::fmt::Display;

use super::page::{Page, Short};
use crate::NAME_AND_VERSION;
use crate::ask::answer::Count;
use crate::diagnosis::causes::Place;
use crate::diagnosis::churn::established;
use crate::diagnosis::closed_by_peer;
use crate::diagnosis::model::{Diagnosis, Likelihood, Problem};
use crate::display::ReportForm;
use crate::engine::{EndReason, Side};
use crate::limits::{Gauge, Host, ports_usable};
use crate::report::Report;
use crate::report::beside;
use crate::report::checks::{lines, reading_text};
use crate::report::churn::mean;
use crate::report::evidence::{self, NO_REPLY, reason_text};
use crate::report::facts::fact_text;
use crate::report::fix::neighbours_sysctl;
use crate::report::layout::Layout;
use crate::report::other_addresses::write_other_addresses;
use crate::report::preflight::{Line, header};
use crate::report::sentences::Sentences;
use crate::report::short;
use crate::report::tables::tables as breakdowns;
use crate::report::verdict::{
    causes_heading, fix_text, has_closes, reached, side_of, with_explained, write_last_line,
    write_next,
};
use crate::report::wrap::{COLUMNS, NO_BREAK, grouped};
use crate::units::rfc3339;

/// A headline of more bytes is one sentence, and a paragraph with the others.
const HEADLINE_MAX: usize = 120;

/// The first things to read: target, first word, what was reached, the most important problem, and
/// numbers.
#[inline(never)]
pub fn result(page: &mut Page, report: &Report<'_>, diagnosis: &Diagnosis) {
    let word = diagnosis.word.text();
    page.put("<header class=\"", &word.to_ascii_lowercase());
    page.raw("\">");
    if let Some(rehearsal) = &report.plan.rehearsal {
        page.put("<p><strong>", rehearsal);
        page.raw("</strong></p>");
    }
    page.put("<p class=\"mute\">", &report.target);
    page.put("</p><h1><strong>", &word);
    page.raw("</strong> ");
    let text = grouped(&reached(diagnosis, &report.case()));
    // All of a long one would fill the screen of a phone.
    let end = text.find(". ").filter(|_| text.len() > HEADLINE_MAX);
    let (headline, rest) = text.split_at(end.map_or(text.len(), |dot| dot + 1));
    page.with_flags(headline);
    page.raw("</h1><p>");
    page.with_flags(rest.trim_start());
    page.raw("</p>");
    if let Some(problem) = diagnosis.problems.first() {
        page.element("p", &observed(report, problem));
    }
    page.raw("</header>\n<dl class=\"figures\">");
    let (summary, reached) = (report.summary, &diagnosis.reached);
    let mut figure = |name: &str, value: &dyn Display| {
        page.put("<div><dt>", &name);
        page.put("</dt><dd>", value);
        page.raw("</dd></div>");
    };
    match &summary.churn {
        Some(churn) => {
            if established(summary) != 1 {
                figure("established a second", &mean(summary, churn));
            }
            figure("closed by us", &churn.closed_by_us);
        }
        None => {
            figure("stayed open", &format_args!("{} of {}", reached.sustained, reached.planned))
        }
    }
    figure("peak", &reached.peak);
    figure("established", &reached.established_ever);
    figure("errors", &summary.errors);
    figure("closed by the peer", &closed_by_peer(summary));
    if let Some(replied) = reached.replied {
        figure("replied", &replied);
    }
    let times = &summary.established_times;
    if times.count() > 0 {
        figure("dial time p50", &Short(times.quantile(500)));
        figure("dial time p99", &Short(times.quantile(990)));
    }
    figure("took", &Short(summary.end.since(summary.start)));
    page.raw("</dl>\n");
}

/// Each problem with its candidates and checks.
#[inline(never)]
pub fn verdict(page: &mut Page, report: &Report<'_>, diagnosis: &Diagnosis) {
    let case = report.case();
    for (index, problem) in diagnosis.problems.iter().enumerate() {
        match index {
            0 => page.raw("<section><h2>Verdict</h2>\n"),
            _ => page.element("p", &format_args!("Also: {}", observed(report, problem))),
        }
        candidates(page, report, problem);
        let mut others = String::new();
        let _ = write_other_addresses(&mut others, report.plan, problem, usize::MAX);
        paragraphs(page, &others);
        let first = problem.candidates.first();
        if let Some(here) = first.filter(|one| one.cause.side() == Side::ThisHost) {
            page.element("p", &format_args!("Local limit: {}", fix_text(&case, here)));
        }
        let checks = lines(&case, problem, &Layout::FULL);
        for place in Place::ALL {
            let mut is_first = true;
            for line in checks.iter().filter(|line| line.on == place) {
                if is_first {
                    page.put("<h3>Check ", &place.word());
                    page.raw("</h3><dl class=\"checks\">");
                    is_first = false;
                }
                page.raw("<dt><code>");
                page.with_flags(&line.command);
                page.raw("</code></dt><dd>");
                for (index, reading) in line.readings.iter().enumerate() {
                    page.raw(if index == 0 { "" } else { "; " });
                    page.text(&plain(&reading_text(reading, problem.candidates.len() == 1)));
                }
                page.raw("</dd>");
            }
            page.raw(if is_first { "" } else { "</dl>\n" });
        }
    }
    if has_closes(diagnosis) {
        let mut line = String::new();
        let _ = write_last_line(&mut line, report.last_lines, usize::MAX);
        paragraphs(page, &line);
    }
    page.raw(if diagnosis.problems.is_empty() { "" } else { "</section>\n" });
    let mut next = String::new();
    let _ = write_next(&mut next, &case, diagnosis, usize::MAX);
    paragraphs(page, &next);
}

/// Lines of the text report, which are not wrapped. Writing them to a string cannot fail.
fn paragraphs(page: &mut Page, lines: &str) {
    for line in lines.lines() {
        page.raw("<p>");
        page.with_flags(line);
        page.raw("</p>");
    }
}

/// A sentence as the text report has it.
fn plain(text: &str) -> String {
    grouped(text).replace(NO_BREAK, " ")
}

#[inline(never)]
fn observed(report: &Report<'_>, problem: &Problem) -> String {
    let Report { plan, summary, .. } = *report;
    let sentences = Sentences { plan, start: summary.start, peak: summary.established_peak };
    plain(&with_explained(&sentences, problem))
}

#[inline(never)]
fn candidates(page: &mut Page, report: &Report<'_>, problem: &Problem) {
    let Some(heading) = causes_heading(problem) else { return };
    page.element("h3", &heading);
    page.raw("<ol class=\"candidates\">");
    for candidate in &problem.candidates {
        let record = candidate.cause.record();
        page.put("<li><code>", &record.id);
        page.put("</code><span class=\"side\">", &side_of(problem, candidate).word());
        page.put("</span>", &record.title);
        page.raw(if candidate.likelihood == Likelihood::Certain { " (certain)" } else { "" });
        page.raw("<ul class=\"evidence\">");
        for evidence in &candidate.evidence {
            page.raw(match evidence.is_for {
                true => "<li><i>+</i>",
                false => "<li class=\"against\"><i>\u{2212}</i>",
            });
            page.text(&plain(&fact_text(&evidence.fact)));
            page.raw("</li>");
        }
        page.raw("</ul><details><summary>How it looks, how to fix it</summary>");
        page.prose(record.explanation);
        page.prose(&fix_text(&report.case(), candidate));
        page.raw("</details></li>\n");
    }
    page.raw("</ol>");
}

/// Those of `--fail-if`.
#[inline(never)]
pub fn conditions(page: &mut Page, report: &Report<'_>) {
    if report.judged.is_empty() {
        return;
    }
    page.raw("<section><h2>Conditions</h2>\n");
    page.begin_table("The run fails if one of them holds", &["", "actual"]);
    for one in report.judged {
        let word = if one.failed { "FAILED" } else { "ok" };
        page.row(&one.threshold.text, "", &[&word, &one.actual]);
    }
    page.end_table();
    page.raw("</section>\n");
}

/// The connections that are held beside a churn, and the others.
#[inline(never)]
pub fn groups(page: &mut Page, report: &Report<'_>) {
    let rows = beside::rows(report.summary, report.plan);
    if rows.is_empty() {
        return;
    }
    page.raw("<section><h2>Held and churning connections</h2>\n");
    page.begin_table("Held connections are checked every second", &beside::COLUMNS);
    rows.iter().for_each(|(name, [before, during])| page.row(name, "", &[before, during]));
    page.end_table();
    page.raw("</section>\n");
}

/// End reasons, and the run by target and by source.
#[inline(never)]
pub fn tables(page: &mut Page, report: &Report<'_>) {
    let summary = report.summary;
    let reasons = evidence::rows(summary);
    if !reasons.is_empty() {
        page.raw("<section><h2>End reasons</h2>\n");
        let caption = "Dated by SYN or close; open: connections at the first SYN";
        page.begin_table(caption, &["count", "first", "last", "open", "min/p50/max"]);
        for evidence::Row { reason, side, failures, open } in reasons {
            let name = reason.map_or(NO_REPLY.into(), |reason| reason_text(summary, reason));
            // Skipped dials have no times.
            let is_timed = reason != Some(EndReason::NoPorts) || failures.count > summary.skipped;
            let [first, last] =
                [failures.first, failures.last].map(|at| Short(at.since(summary.start)));
            let [min, p50, max] = [failures.min, failures.p50, failures.max].map(Short);
            let times = format_args!("{min}/{p50}/{max}");
            let open = open.map(u64::from);
            let times: &dyn Display = if is_timed { &times } else { &"-" };
            let cells = [&failures.count as &dyn Display, &first, &last, &OrDash(open), times];
            page.row(&name, side.word(), &cells);
        }
        page.end_table();
        page.raw("</section>\n");
    }
    answers(page, summary.answers.counts());
    for table in breakdowns(summary, &report.plan.routes) {
        let (heading, which) = table.title.split_once(": ").unwrap_or((&table.title, ""));
        page.put("<section><h2>", &heading);
        page.raw("</h2>\n");
        let columns = table.columns.len();
        page.begin_table(which, &[table.columns, &["p99"]].concat());
        for (name, [dialed, established, errors, closed, no_reply], p99) in &table.rows {
            let cells: [&dyn Display; 6] = [dialed, established, errors, closed, p99, p99];
            let with_replies: [&dyn Display; 6] =
                [dialed, established, errors, closed, no_reply, p99];
            let cells = if columns == 5 { with_replies } else { cells };
            page.row(name, "", &cells[..=columns]);
        }
        page.end_table();
        page.raw("</section>\n");
    }
}

#[inline(never)]
fn answers(page: &mut Page, counts: &[Count]) {
    if counts.is_empty() {
        return;
    }
    page.raw("<section><h2>Replies</h2>\n");
    let caption = "Those that report an error or overload of the server, and TLS alerts";
    page.begin_table(caption, &["count"]);
    counts.iter().for_each(|count| page.row(&count.label(), "", &[&count.connections]));
    page.end_table();
    page.raw("</section>\n");
}

/// A count, or a dash if it is unknown.
struct OrDash(Option<u64>);

impl Display for OrDash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(count) => count.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// The limits of this host before the run, and those below the plan.
#[inline(never)]
pub fn limits(page: &mut Page, report: &Report<'_>) {
    page.raw("<section><h2>Limits of this host</h2>\n");
    if report.findings.is_empty() {
        page.raw("<p>No known local limit is below this plan.</p>");
    } else {
        page.put("<p>", &header(report.plan, report.findings));
        page.raw("</p><ul>");
        for finding in report.findings {
            page.element("li", &Line { plan: report.plan, finding });
        }
        page.raw("</ul>");
    }
    page.begin_table("Before the run", &["limit", "in use"]);
    limit_rows(page, report.limits);
    page.end_table();
    page.raw("</section>\n");
}

#[inline(never)]
fn limit_rows(page: &mut Page, host: &Host) {
    let mut row = |what: &str, setting: &str, most: Option<u64>, used: Option<u64>| {
        if most.is_some() || used.is_some() {
            page.row(&what, setting, &[&OrDash(most), &OrDash(used)]);
        }
    };
    let [soft, open] = [host.descriptors.map(|of| of.soft), host.descriptors.map(|of| of.open)];
    row("open files of a process", "ulimit -n", soft, open);
    let mut gauge = |what: &str, setting: &str, gauge: Option<Gauge>| {
        row(what, setting, gauge.map(|of| of.most), gauge.map(|of| of.used));
    };
    gauge("open files of this host", "fs.file-max", host.files);
    gauge("connection tracking", "net.netfilter.nf_conntrack_max", host.conntrack);
    for table in &host.neighbours {
        let what = if table.is_v6 { "neighbour table (NDP)" } else { "neighbour table (ARP)" };
        gauge(what, neighbours_sysctl(table.is_v6), Some(table.entries));
    }
    let mib = |of: Gauge| Some(Gauge { most: of.most >> 20, used: of.used >> 20 });
    for of in &host.cgroups {
        gauge("memory of the cgroup, MiB", &of.file, mib(of.bytes));
    }
    gauge("address space of a process, MiB", "ulimit -v", host.address_space.and_then(mib));
    row("epoll watches of a user", "fs.epoll.max_user_watches", host.watches_max, None);
    if let Some(range) = host.ports {
        let setting = format!("net.ipv4.ip_local_port_range {} {}", range.low, range.high);
        row("ephemeral ports", &setting, Some(ports_usable(host, range)), None);
    }
    row("connections in TIME_WAIT", "", None, host.time_wait);
    let memory = host.memory_available_bytes.map(|bytes| bytes >> 20);
    row("memory, MiB", "MemAvailable", memory, None);
}

/// What was run, how to run it again, and the text report.
#[inline(never)]
pub fn run(page: &mut Page, report: &Report<'_>, diagnosis: &Diagnosis) {
    page.raw("<section><h2>Run it again</h2>\n<code class=\"command\">");
    page.with_flags(report.command_line);
    page.put("</code><p class=\"mute\">", &NAME_AND_VERSION);
    page.put(" on ", &report.host.unwrap_or("an unknown host"));
    page.put(", ", &rfc3339(report.start_unix_ns));
    page.put(" to ", &rfc3339(report.end_unix_ns));
    page.put(", exit code ", &report.exit_code);
    page.raw("</p><details><summary>The whole report as text</summary><pre tabindex=\"0\">");
    for line in short::report(report, diagnosis, ReportForm::Full, COLUMNS).lines() {
        page.text(&line);
        page.raw("\n");
    }
    page.raw("</pre></details></section>\n");
}

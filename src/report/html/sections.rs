//! The parts of the page beside the charts.

use super::page::Page;
use crate::NAME_AND_VERSION;
use crate::diagnosis::causes::Place;
use crate::diagnosis::closed_by_peer;
use crate::diagnosis::model::{Diagnosis, Likelihood, Problem};
use crate::engine::{EndReason, Side};
use crate::limits::{Gauge, Host, ports_usable};
use crate::report::Report;
use crate::report::evidence::{self, NO_REPLY, Row, reason_text};
use crate::report::facts::fact_text;
use crate::report::other_addresses::write_other_addresses;
use crate::report::preflight::{Line, neighbours_sysctl};
use crate::report::sentences::Sentences;
use crate::report::tables::{Table, tables as breakdowns};
use crate::report::text;
use crate::report::verdict::{
    causes_heading, fix_text, has_closes, lines, reached, reading_text, side_of, with_explained,
    write_last_line,
};
use crate::units::{Span, rfc3339};

/// The first things to read: target, first word, what was reached, the most important problem, and
/// numbers.
pub fn result(page: &mut Page, report: &Report<'_>, diagnosis: &Diagnosis) {
    let word = diagnosis.word.text();
    page.raw("<header class=\"");
    page.text(&word.to_ascii_lowercase());
    page.raw("\">");
    page.element("p class=\"mute\"", report.target);
    page.open("h1");
    page.element("strong", word);
    page.text(" ");
    page.text(&reached(diagnosis, report.plan, report.summary.loop_failed));
    page.close("h1");
    if let Some(problem) = diagnosis.problems.first() {
        page.element("p", &observed(report, problem));
    }
    page.raw("</header>\n<dl class=\"figures\">");
    let (summary, reached) = (report.summary, &diagnosis.reached);
    let mut figures = vec![
        ("stayed open", format!("{} of {}", reached.sustained, reached.planned)),
        ("peak", reached.peak.to_string()),
        ("established", reached.established_ever.to_string()),
        ("errors", summary.errors.to_string()),
        ("closed by the peer", closed_by_peer(summary).to_string()),
    ];
    if let Some(replied) = reached.replied {
        figures.push(("replied", replied.to_string()));
    }
    let times = &summary.established_times;
    if times.count() > 0 {
        for (name, permille) in [("dial time p50", 500), ("dial time p99", 990)] {
            figures.push((name, times.quantile(permille).rounded_to_3_digits().to_string()));
        }
    }
    let took = summary.end.since(summary.start).rounded_to_3_digits();
    figures.push(("took", took.to_string()));
    for (name, value) in figures {
        page.open("div");
        page.element("dt", name);
        page.element("dd", &value);
        page.close("div");
    }
    page.raw("</dl>\n");
}

/// Each problem with its candidates and checks.
pub fn verdict(page: &mut Page, report: &Report<'_>, diagnosis: &Diagnosis) {
    let case = report.case();
    if diagnosis.problems.is_empty() {
        return;
    }
    page.raw("<section><h2>Verdict</h2>\n");
    for (index, problem) in diagnosis.problems.iter().enumerate() {
        if index > 0 {
            page.element("p", &format!("Also: {}", observed(report, problem)));
        }
        candidates(page, report, problem);
        let mut others = String::new();
        let _ = write_other_addresses(&mut others, report.plan, problem);
        unwrapped(page, &others);
        let first = problem.candidates.first();
        if let Some(here) = first.filter(|one| one.cause.side() == Side::ThisHost) {
            page.element("p", &format!("Local limit: {}", fix_text(&case, here)));
        }
        let checks = lines(&case, problem);
        for place in Place::ALL {
            let at_place = || checks.iter().filter(move |line| line.on == place);
            if at_place().next().is_none() {
                continue;
            }
            page.element("h3", &format!("Check {}", place.word()));
            page.open("dl class=\"checks\"");
            for line in at_place() {
                page.open("dt");
                page.element("code", &line.command);
                page.close("dt");
                let is_one = problem.candidates.len() == 1;
                let readings = line.readings.iter().map(|reading| reading_text(reading, is_one));
                page.element("dd", &readings.collect::<Vec<_>>().join("; "));
            }
            page.raw("</dl>\n");
        }
    }
    if has_closes(diagnosis) {
        let mut line = String::new();
        let _ = write_last_line(&mut line, report.last_lines);
        unwrapped(page, &line);
    }
    page.raw("</section>\n");
}

/// Lines of the text report as one paragraph. Writing them to a string cannot fail.
fn unwrapped(page: &mut Page, lines: &str) {
    if !lines.is_empty() {
        page.element("p", lines.replace('\n', " ").trim_end());
    }
}

fn observed(report: &Report<'_>, problem: &Problem) -> String {
    let Report { plan, summary, .. } = *report;
    let sentences = Sentences { plan, start: summary.start, peak: summary.established_peak };
    with_explained(&sentences, problem)
}

fn candidates(page: &mut Page, report: &Report<'_>, problem: &Problem) {
    let Some(heading) = causes_heading(problem) else { return };
    page.element("h3", &heading);
    page.open("ol class=\"candidates\"");
    for candidate in &problem.candidates {
        let record = candidate.cause.record();
        page.open("li");
        page.element("code", record.id);
        page.element("span class=\"side\"", side_of(problem, candidate).word());
        page.text(record.title);
        if candidate.likelihood == Likelihood::Certain {
            page.text(" (certain)");
        }
        page.open("ul class=\"evidence\"");
        for evidence in &candidate.evidence {
            page.raw(match evidence.is_for {
                true => "<li><i>+</i>",
                false => "<li class=\"against\"><i>\u{2212}</i>",
            });
            page.text(&fact_text(&evidence.fact));
            page.close("li");
        }
        page.raw("</ul><details><summary>How it looks, how to fix it</summary>");
        page.prose("p", record.explanation);
        page.prose("p", &fix_text(&report.case(), candidate));
        page.raw("</details></li>\n");
    }
    page.close("ol");
}

/// Those of `--fail-if`.
pub fn conditions(page: &mut Page, report: &Report<'_>) {
    if report.judged.is_empty() {
        return;
    }
    page.raw("<section><h2>Conditions</h2>\n");
    let rows = report.judged.iter().map(|one| {
        let word = if one.failed { "FAILED" } else { "ok" };
        vec![one.threshold.text.clone(), word.to_owned(), one.actual.to_string()]
    });
    page.table("", &["fails if", "", "actual"], 9, rows);
    page.close("section");
}

/// End reasons, and the run by target and by source.
pub fn tables(page: &mut Page, report: &Report<'_>) {
    let summary = report.summary;
    let reasons = evidence::rows(summary);
    if !reasons.is_empty() {
        page.raw("<section><h2>End reasons</h2>\n");
        let caption = "Dated by SYN or close; open: connections at the first SYN";
        let columns = ["", "count", "first", "last", "open", "min/p50/max"];
        let short = |span: Span| span.rounded_to_3_digits().to_string();
        let row = |row: Row<'_>| {
            let Row { reason, side, failures, open } = row;
            let name = reason.map_or(NO_REPLY.into(), |reason| reason_text(summary, reason));
            // Skipped dials have no times.
            let is_timed = reason != Some(EndReason::NoPorts) || failures.count > summary.skipped;
            let times = [failures.min, failures.p50, failures.max].map(short).join("/");
            vec![
                format!("{name}\n{}", side.word()),
                failures.count.to_string(),
                short(failures.first.since(summary.start)),
                short(failures.last.since(summary.start)),
                open.map_or_else(|| "-".into(), |open| open.to_string()),
                if is_timed { times } else { "-".into() },
            ]
        };
        page.table(caption, &columns, 1, reasons.into_iter().map(row));
        page.close("section");
    }
    for Table { title, columns, rows } in breakdowns(report.summary, &report.plan.routes) {
        let (heading, which) = title.split_once(": ").unwrap_or((&title, ""));
        page.open("section");
        page.element("h2", heading);
        let headings = [&[""], columns, &["p99"]].concat();
        let rows = rows.into_iter().map(|(name, counts, p99)| {
            let counts = counts.iter().take(columns.len()).map(u32::to_string);
            [name].into_iter().chain(counts).chain([p99]).collect()
        });
        page.table(which, &headings, 1, rows);
        page.close("section");
    }
}

/// The limits of this host before the run, and those below the plan.
pub fn limits(page: &mut Page, report: &Report<'_>) {
    page.raw("<section><h2>Limits of this host</h2>\n");
    if report.findings.is_empty() {
        page.element("p", "No known local limit is below this plan.");
    } else {
        page.element("p", &format!("Local limits below {} connections:", report.plan.connections));
        page.open("ul");
        for finding in report.findings {
            page.element("li", &Line { plan: report.plan, finding }.to_string());
        }
        page.close("ul");
    }
    let rows = limit_rows(report.limits);
    if !rows.is_empty() {
        let columns = ["", "limit", "in use"];
        page.table("Before the run", &columns, 1, rows.into_iter());
    }
    page.raw("</section>\n");
}

fn limit_rows(host: &Host) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |what: &str, setting: &str, limit: Option<String>, used: Option<String>| {
        if limit.is_some() || used.is_some() {
            let of = |value: Option<String>| value.unwrap_or_else(|| "-".into());
            rows.push(vec![format!("{what}\n{setting}"), of(limit), of(used)]);
        }
    };
    let text = |value: u64| value.to_string();
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let descriptors = host.descriptors;
    add(
        "open files of a process",
        "ulimit -n",
        descriptors.map(|all| text(all.soft)),
        descriptors.map(|all| text(all.open)),
    );
    let neighbours = host.neighbours.iter().map(|table| {
        let what = if table.is_v6 { "neighbour table (NDP)" } else { "neighbour table (ARP)" };
        (what, neighbours_sysctl(table.is_v6), Some(table.entries))
    });
    let gauges = [
        ("open files of this host", "fs.file-max", host.files),
        ("connection tracking", "net.netfilter.nf_conntrack_max", host.conntrack),
    ];
    for (what, setting, gauge) in gauges.into_iter().chain(neighbours) {
        add(what, setting, gauge.map(|of| text(of.most)), gauge.map(|of| text(of.used)));
    }
    add("epoll watches of a user", "fs.epoll.max_user_watches", host.watches_max.map(text), None);
    if let Some(range) = host.ports {
        let setting = format!("net.ipv4.ip_local_port_range {} {}", range.low, range.high);
        add("ephemeral ports", &setting, Some(text(ports_usable(host, range))), None);
    }
    add("connections in TIME_WAIT", "", None, host.time_wait.map(text));
    add("memory", "MemAvailable", host.memory_available_bytes.map(mib), None);
    let of_cgroups = host.cgroups.iter().map(|of| ("memory of the cgroup", &*of.file, of.bytes));
    let address_space =
        host.address_space.map(|of| ("address space of a process", "ulimit -v", of));
    for (what, setting, Gauge { most, used }) in of_cgroups.chain(address_space) {
        add(what, setting, Some(mib(most)), Some(mib(used)));
    }
    rows
}

/// What was run, how to run it again, and the text report.
pub fn run(page: &mut Page, report: &Report<'_>, diagnosis: &Diagnosis) {
    page.raw("<section><h2>Run it again</h2>\n");
    page.element("code class=\"command\"", report.command_line);
    let took: Span = report.summary.end.since(report.summary.start).rounded_to_3_digits();
    page.element(
        "p class=\"mute\"",
        &format!(
            "{NAME_AND_VERSION} on {}, {} to {} ({took}), exit code {}",
            report.host.unwrap_or("an unknown host"),
            rfc3339(report.start_unix_ns),
            rfc3339(report.end_unix_ns),
            report.exit_code,
        ),
    );
    page.raw("<details><summary>The whole report as text</summary><pre tabindex=\"0\">");
    for line in text::report(report, diagnosis).lines() {
        page.text(line);
        page.raw("\n");
    }
    page.raw("</pre></details></section>\n");
}

//! `--prometheus` with the real promtool, and with a real Prometheus that scrapes it through
//! node_exporter's textfile collector.

mod common;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;

use common::packaged_servers::{ask, connect, free_port, installed, local, start};
use tcpgoon::engine::Engine;
use tcpgoon::plan::Plan;
use tcpgoon::report::prometheus;
use tcpgoon::route::{Routes, Target};
use tcpgoon::units::Moment;

use common::{ClosedPort, Running, Scratch, Served, run, succeed, tcpgoon, wait_until};

/// What promtool has to say about metrics: nothing, if all is well.
#[track_caller]
fn check(metrics: &str) -> Option<()> {
    let mut promtool = installed("promtool")?;
    promtool.args(["check", "metrics"]);
    promtool.stderr(Stdio::piped());
    let complaints = succeed(promtool, metrics);
    assert_eq!(complaints, "", "{metrics}");
    Some(())
}

#[test]
fn promtool_finds_nothing_wrong() {
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let (open, refusing) = (server.target(), closed.target());
    for targets in [&[&open][..], &[&refusing], &[&open, &refusing, &open]] {
        let words = targets.iter().map(|target| target.as_str());
        let flags = ["-y", "-c", "20", "-s", "0", "--prometheus", "-"];
        let run = run(&flags.into_iter().chain(words).collect::<Vec<_>>());
        assert!(run.stdout.ends_with('\n'), "{run:#?}");
        if check(&run.stdout).is_none() {
            return;
        }
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_counts_of_answers() {
    for (preset, banner, label) in [
        ("http", "HTTP/1.1 503 No\\r\\n", "HTTP 503"),
        ("tls", "\\x15\\x03\\x01\\x00\\x02\\x02\\x28", "TLS alert 40 (handshake_failure)"),
        ("redis", "-ERR max number of clients reached\\r\\n", "max number of clients"),
    ] {
        let server = Served::start(&["-i", "0", "--banner", banner]);
        let args = ["-y", "-c", "5", "-s", "0", "--ask", preset, "--prometheus", "-"];
        let run = run(&[&args[..], &[&server.target()]].concat());
        assert!(run.stdout.contains(&format!(",answer=\"{label}\"}} 5\n")), "{run:#?}");
        if check(&run.stdout).is_none() {
            return;
        }
    }
}

/// Both on the loopback, with their files in a temporary directory.
struct Scraped {
    port: u16,
    _prometheus: Running,
    _exporter: Running,
}

impl Scraped {
    fn start(scratch: &Scratch, textfiles: &Path) -> Option<Scraped> {
        let (mut exporter, exporter_port) = (installed("prometheus-node-exporter")?, free_port());
        exporter.args(["--collector.disable-defaults", "--collector.textfile"]);
        exporter.arg(format!("--collector.textfile.directory={}", textfiles.display()));
        exporter.arg(format!("--web.listen-address={}", local(exporter_port)));
        let (mut prometheus, port) = (installed("prometheus")?, free_port());
        let exporter = start(exporter, exporter_port);
        let config = scratch.write(
            "prometheus.yml",
            &format!(
                "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n\
                 scrape_configs:\n  - job_name: node\n    static_configs:\n\
                 \x20     - targets: ['{}']\n",
                local(exporter_port)
            ),
        );
        prometheus.arg(format!("--config.file={}", config.display()));
        prometheus.arg(format!("--storage.tsdb.path={}", scratch.path("tsdb").display()));
        prometheus.arg(format!("--web.listen-address={}", local(port)));
        let prometheus = start(prometheus, port);
        Some(Scraped { port, _prometheus: prometheus, _exporter: exporter })
    }

    /// The result of an instant query: labels and value of each series.
    fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let request = format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n");
        let answer = ask(connect(self.port), &request, "\0");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let Ok(body) = serde_json::from_str::<Value>(body) else { return Vec::new() };
        // Until it is ready there is no result.
        let result = body["data"]["result"].as_array().cloned().unwrap_or_default();
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        result.iter().map(|series| (series["metric"].clone(), value(series))).collect()
    }

    /// Waits until a query has one result with this value, and returns its labels.
    #[track_caller]
    fn wait_for(&self, query: &str, wanted: f64) -> Value {
        wait_until(query, || match &self.query(query)[..] {
            [(labels, value)] if *value == wanted => Some(labels.clone()),
            _ => None,
        })
    }

    /// Waits until a query has one result.
    #[track_caller]
    fn value(&self, query: &str) -> f64 {
        wait_until(query, || match self.query(query)[..] {
            [(_, value)] => Some(value),
            _ => None,
        })
    }
}

/// A run at its beginning, to a host of this name.
fn metrics_of(host: &str) -> String {
    let address = (Ipv4Addr::LOCALHOST, 80).into();
    let plan = Plan::plain(3, Routes::to_one(Target { host: host.into(), address }));
    let engine = Engine::new(&plan, Moment(0)).unwrap();
    prometheus::interval(1, &plan, &engine.progress())
}

#[test]
fn a_real_prometheus_reads_runs_back_through_the_textfile_collector() {
    let (scratch, textfiles) = (Scratch::new(), Scratch::new());
    let Some(scraped) = Scraped::start(&scratch, &textfiles.path("")) else { return };
    let (server, closed) = (Served::start(&["-i", "0"]), ClosedPort::new());
    let (target, refusing) = (server.target(), closed.target());
    let file = textfiles.path("run.prom");
    let args = ["-y", "-c", "50", "-s", "0", "-i", "100ms", "--hold", "forever", "--prometheus"];
    let args = [&args[..], &[file.to_str().unwrap(), &target]].concat();
    let held = Running::start(tcpgoon(&args));
    // While it goes on.
    let of_target = format!("{{target=\"{target}\"}}");
    let established = format!("tcpgoon_connections{{target=\"{target}\",state=\"established\"}}");
    scraped.wait_for(&established, 50.0);
    scraped.wait_for(&format!("tcpgoon_running{of_target}"), 1.0);
    assert!(scraped.query("tcpgoon_exit_code").is_empty());
    check(&fs::read_to_string(&file).unwrap());

    // Another run beside it.
    let other = textfiles.path("other.prom");
    let args = ["-y", "-c", "7", "-s", "0", "--prometheus", other.to_str().unwrap(), &refusing];
    run(&args).assert_code(2);
    let refused = format!("tcpgoon_ended_total{{target=\"{refusing}\",reason=\"refused\"}}");
    let labels = scraped.wait_for(&refused, 7.0);
    assert_eq!(labels["side"], "server-or-network");
    scraped.wait_for("sum(tcpgoon_connections{state=\"error\"})", 7.0);
    scraped.wait_for("node_textfile_scrape_error", 0.0);

    // And one that nothing but a test can have: its name is read back as it is.
    let hostile = r#"a"} 1\ # HELP \n{b="\\"#;
    let text = metrics_of(hostile);
    check(&text);
    fs::write(textfiles.path("hostile.prom"), text).unwrap();
    let labels = scraped.wait_for("tcpgoon_planned_connections == 3", 3.0);
    assert_eq!(labels["target"], format!("{hostile}(127.0.0.1):80"));
    scraped.wait_for("node_textfile_scrape_error", 0.0);

    held.signal(Signal::SIGINT);
    held.outcome().assert_code(0);
    scraped.wait_for(&format!("tcpgoon_running{of_target}"), 0.0);
    scraped.wait_for(&format!("tcpgoon_exit_code{of_target}"), 0.0);
    scraped.wait_for(&format!("max_over_time(tcpgoon_running{of_target}[1m])"), 1.0);
    scraped.wait_for(&format!("tcpgoon_dial_duration_seconds_count{of_target}"), 50.0);
    let labels = scraped.wait_for(&format!("tcpgoon_info{of_target}"), 1.0);
    assert_eq!(labels["version"], env!("CARGO_PKG_VERSION"));
    let took = format!("tcpgoon_end_time_seconds{of_target} - tcpgoon_start_time_seconds");
    let took = scraped.value(&took);
    assert!((0.1..600.0).contains(&took), "{took}");
    // Between the least bound and the timeout.
    let median =
        format!("histogram_quantile(0.5, tcpgoon_dial_duration_seconds_bucket{of_target})");
    let median = scraped.value(&median);
    assert!((1e-6..5.0).contains(&median), "{median}");
}

//! The verbs `serve` and `calibrate`.

use std::net::SocketAddr;

use tcpgoon::args::{CalibrateArgs, ServeArgs};
use tcpgoon::error::{Result, exit};
use tcpgoon::measured::{ServeCounts, ServeEvent};
use tcpgoon::os::serve::ServeWatch;
use tcpgoon::os::stdio::Streams;
use tcpgoon::os::sys::Signals;
use tcpgoon::os::{self, host};
use tcpgoon::report;

use super::{hold_signals, streams};

pub fn serve(args: &ServeArgs) -> Result<u8> {
    host::check_data_limit(0)?;
    let mut console = ServeConsole { address: None, streams: streams()?, text: String::new() };
    let signals = hold_signals()?;
    os::serve::serve(args, &signals, &mut console)?;
    console.streams.stdout.all_written()?;
    Ok(exit::ALL_ESTABLISHED)
}

pub fn calibrate(args: &CalibrateArgs) -> Result<u8> {
    host::check_data_limit(0)?;
    let Streams { mut stdout, .. } = streams()?;
    let calibration = os::calibrate::calibrate(args, &mut |calibration, signals| {
        let mut text = String::new();
        let _ = report::measured::write_calibration(&mut text, calibration);
        stdout.finish(&text, signals);
    })?;
    stdout.all_written()?;
    let (summary, ended) = (&calibration.summary, &calibration.serve_ended);
    let measured = !summary.stopped && ended.is_none() && summary.established_ever > 0;
    Ok(if measured { exit::ALL_ESTABLISHED } else { exit::NOT_COMPLETED })
}

/// Prints the lines of `serve`.
struct ServeConsole {
    address: Option<SocketAddr>,
    streams: Streams,
    text: String,
}

impl ServeWatch for ServeConsole {
    fn event(&mut self, event: ServeEvent) {
        self.text.clear();
        let _ = report::measured::write_event(&mut self.text, &event);
        if let ServeEvent::Listening { address } = event {
            self.address = Some(address);
            return self.streams.stdout.line(&self.text);
        }
        self.streams.stderr().line(&self.text);
    }

    fn sample(&mut self, counts: &ServeCounts) {
        self.text.clear();
        let _ = report::measured::write_counts(&mut self.text, counts);
        self.streams.stdout.line(&self.text);
    }

    fn done(&mut self, counts: &ServeCounts, signals: &Signals) {
        self.text.clear();
        if let Some(address) = &self.address {
            let _ = report::measured::write_end(&mut self.text, address, counts);
        }
        self.streams.stdout.finish(&self.text, signals);
    }
}

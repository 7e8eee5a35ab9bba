//! Flags that exclude each other, and flags that need another one.

use super::effects::Draft;
use crate::args::CheckArgs;
use crate::plan::{Hold, Probe};
use crate::units::Span;

impl Draft {
    /// # Errors
    /// Two flags that exclude each other. Only before defaults are filled in.
    pub fn check_conflicts(&self) -> Result<(), String> {
        if self.rate_milli.is_some() && self.sleep.is_some() {
            return Err("--rate and --sleep both set the pace: give one of them".into());
        }
        if self.close_after.is_some() && self.reset_after.is_some() {
            return Err("--close-after and --reset-after both end a connection: give one".into());
        }
        if self.run.display.quiet && self.run.display.rates {
            return Err("--rates follows the stats lines that --quiet leaves out: give one".into());
        }
        let CheckArgs { send, expect, ask, .. } = &self.run.checks;
        if ask.is_some() && !(send.is_empty() && expect.is_empty()) {
            return Err("--ask has its own --send and --expect: give it, or these".into());
        }
        let probes = self.run.checks.probe.is_some_and(|probe| probe != Probe::None);
        let asks = ask.is_some() || !send.is_empty() || !expect.is_empty();
        let (churns, held) = (self.run.lifetime.is_some(), self.run.hold_beside > 0);
        let holds = self.run.hold != Hold::For(Span::ZERO);
        if churns && (asks && !held || probes || holds) {
            return Err(
                "--lifetime takes no --hold or --probe, and --ask, --send and --expect only \
                        with --hold-beside"
                    .into(),
            );
        }
        if held && asks && !ask.as_ref().map_or(!send.is_empty(), |ask| ask.preset.is_repeatable) {
            return Err(
                "--hold-beside asks each second: give --send, or --ask http or redis".into()
            );
        }
        if self.run.lifetime.is_some() && self.run.rehearsal.is_some() {
            return Err("--rehearse dials each connection once, --lifetime again: give one".into());
        }
        if self.run.dry_run && self.run.rehearsal.is_some() {
            return Err("--dry-run and --rehearse both dial nothing: give one of them".into());
        }
        if self.serve.echo && self.serve.flood {
            return Err("--echo and --flood both send data: give one of them".into());
        }
        Ok(())
    }

    /// # Errors
    /// A flag that needs another one.
    pub fn check_dependencies(&self) -> Result<(), String> {
        let CheckArgs { send, expect, ask, reply_timeout, .. } = &self.run.checks;
        if reply_timeout.is_some() && send.is_empty() && expect.is_empty() && ask.is_none() {
            return Err(
                "--reply-timeout is for --ask, --send and --expect: give one of them".into()
            );
        }
        if self.run.hold_beside > 0 && self.run.lifetime.is_none() {
            return Err("--hold-beside holds connections beside a churn: give --lifetime".into());
        }
        self.run.outputs.check()
    }
}

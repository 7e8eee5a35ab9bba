//! How a run is shown: what was typed of it, and what that means where it is shown. It decides
//! nothing about the run itself.

/// Whether something is done: where it makes sense, always, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    #[default]
    Auto,
    Always,
    Never,
}

/// The report at the end of a run, after the original's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportForm {
    Full,
    #[default]
    Short,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Display {
    /// No lines before the report.
    pub quiet: bool,
    /// A line with the interval's rates after each statistics line.
    pub rates: bool,
    /// The line that is redrawn below the statistics lines; on a terminal by default.
    pub progress: When,
    /// On a terminal by default.
    pub color: When,
    pub report: ReportForm,
}

/// What there is to know of standard output and its environment before anything is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surroundings {
    pub is_terminal: bool,
    /// Whether it can move its cursor and show colours.
    pub is_capable: bool,
    /// `NO_COLOR` is set. Source: <https://no-color.org>
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set, and not 0. Source: <https://bixense.com/clicolors/>
    pub force_color: bool,
}

impl Display {
    /// Whether a line is redrawn. Debugging scrolls it away, and a quiet run has nothing to say
    /// before its end.
    pub fn has_progress(&self, surroundings: &Surroundings, debug: bool) -> bool {
        match self.progress {
            When::Auto => {
                let Surroundings { is_terminal, is_capable, .. } = surroundings;
                *is_terminal && *is_capable && !debug && !self.quiet
            }
            When::Always => true,
            When::Never => false,
        }
    }

    /// Whether there are colours. What was typed comes first, then the wish for none.
    pub fn has_color(&self, surroundings: &Surroundings) -> bool {
        let Surroundings { is_terminal, is_capable, no_color, force_color } = surroundings;
        match self.color {
            When::Auto => !no_color && (*force_color || (*is_terminal && *is_capable)),
            When::Always => true,
            When::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Surroundings =
        Surroundings { is_terminal: true, is_capable: true, no_color: false, force_color: false };
    const DUMB: Surroundings = Surroundings { is_capable: false, ..TERMINAL };
    const PIPE: Surroundings = Surroundings { is_terminal: false, ..TERMINAL };

    #[test]
    fn a_line_is_redrawn_on_a_terminal_that_can_or_where_it_was_typed() {
        let shown = |progress, surroundings: &Surroundings| {
            Display { progress, ..Display::default() }.has_progress(surroundings, false)
        };
        for (surroundings, auto) in [(TERMINAL, true), (DUMB, false), (PIPE, false)] {
            assert_eq!(shown(When::Auto, &surroundings), auto, "{surroundings:?}");
            assert!(shown(When::Always, &surroundings));
            assert!(!shown(When::Never, &surroundings));
        }
        let display = Display::default();
        assert!(!display.has_progress(&TERMINAL, true), "debugging");
        assert!(!Display { quiet: true, ..display }.has_progress(&TERMINAL, false));
    }

    #[test]
    fn colours_are_for_terminals_unless_environment_or_flag_decide_otherwise() {
        let auto = Display::default();
        for (surroundings, shown) in [
            (TERMINAL, true),
            (DUMB, false),
            (PIPE, false),
            (Surroundings { no_color: true, ..TERMINAL }, false),
            (Surroundings { force_color: true, ..PIPE }, true),
            (Surroundings { force_color: true, ..DUMB }, true),
            (Surroundings { force_color: true, no_color: true, ..TERMINAL }, false),
        ] {
            assert_eq!(auto.has_color(&surroundings), shown, "{surroundings:?}");
            for (color, shown) in [(When::Always, true), (When::Never, false)] {
                assert_eq!(Display { color, ..auto }.has_color(&surroundings), shown);
            }
        }
    }
}

//! One chart as SVG: axes, grid, and curves in steps. Text does not scale with the width: positions are
//! percentages, and only the curves are stretched.

use std::fmt::{self, Display, Write};

use super::page::Page;
use super::scale::{Axis, LENGTH};

/// A value from one position to another, by position on the axes; `None` for no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub from: u64,
    pub to: u64,
    pub height: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Curve {
    /// Its colour: a state or a percentile.
    pub class: &'static str,
    pub name: &'static str,
    /// Behind the name in the legend.
    pub note: String,
    pub steps: Vec<Step>,
    pub is_filled: bool,
}

pub struct Chart<'a> {
    pub id: &'static str,
    pub title: &'static str,
    /// Below the title.
    pub note: &'a dyn Display,
    pub x: &'a Axis,
    pub y: &'a Axis,
    /// In the order in which they are drawn; the legend has the last one first.
    pub curves: &'a [Curve],
    /// Vertical lines: positions and labels.
    pub marks: &'a [(u64, &'static str)],
    /// Shaded parts of the x axis.
    pub bands: &'a [(u64, u64)],
}

/// Labels of marks that are closer would overlap.
const MARKS_APART_MIN: u64 = 100;

impl Curve {
    #[inline(never)]
    pub fn new(
        (class, name): (&'static str, &'static str),
        note: &dyn Display,
        steps: Vec<Step>,
        is_filled: bool,
    ) -> Curve {
        Curve { class, name, note: note.to_string(), steps, is_filled }
    }
}

impl Chart<'_> {
    pub fn write(&self, page: &mut Page) {
        page.raw("<figure><figcaption>");
        page.element("h3", &self.title);
        page.element("p", self.note);
        page.raw("</figcaption><ul class=\"legend\">");
        for Curve { class, name, note, .. } in self.curves.iter().rev() {
            page.put("<li class=\"", class);
            page.put("\"><i></i><b>", name);
            page.put("</b> ", note);
            page.raw("</li>");
        }
        if !self.bands.is_empty() {
            page.raw("<li class=\"gap\"><i></i>not looking</li>");
        }
        let id = self.id;
        page.raw("</ul><svg class=\"chart");
        page.raw(if self.marks.is_empty() { "" } else { " marked" });
        page.put("\" role=\"img\" aria-labelledby=\"", &id);
        page.put("-t ", &id);
        page.put("-d\"><title id=\"", &id);
        page.put("-t\">", &self.title);
        page.put("</title><desc id=\"", &id);
        page.put("-d\">", self.note);
        self.write_description(page);
        page.raw("</desc>");
        self.write_axes(page);
        page.raw("<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\">");
        for curve in self.curves {
            page.put("<path class=\"", &curve.class);
            page.raw(if curve.is_filled { " fill" } else { " line" });
            page.put("\" d=\"", &path(&curve.steps, curve.is_filled));
            page.raw("\"/>");
        }
        page.raw("</svg>");
        self.write_marks(page);
        page.raw("</svg></figure>\n");
    }

    /// For screen readers, after the note.
    #[inline(never)]
    fn write_description(&self, page: &mut Page) {
        for (which, axis) in [(". Horizontal: ", self.x), (". Vertical: ", self.y)] {
            page.put(which, &axis.title);
            let ticks = axis.ticks();
            if let [first, .., last] = ticks[..] {
                page.put(", ", &axis.label(first));
                page.put(" to ", &axis.label(last));
            }
        }
        for Curve { name, note, .. } in self.curves.iter().rev() {
            page.put(". ", name);
            page.put(": ", note);
        }
    }

    #[inline(never)]
    fn write_axes(&self, page: &mut Page) {
        for tick in self.y.ticks() {
            let y = Percent(LENGTH - self.y.at(tick));
            page.put("<line x1=\"0\" x2=\"100%\" y1=\"", &y);
            page.put("\" y2=\"", &y);
            page.put("\"/><text class=\"y\" x=\"-8\" dy=\".32em\" y=\"", &y);
            page.put("\">", &self.y.label(tick));
            page.raw("</text>");
        }
        for tick in self.x.ticks() {
            let x = Percent(self.x.at(tick));
            page.put("<text class=\"x\" y=\"100%\" dy=\"1.5em\" x=\"", &x);
            page.put("\">", &self.x.label(tick));
            page.raw("</text>");
        }
        page.raw("<text class=\"u\" x=\"0\" y=\"0\" dy=\"");
        // Above the labels of marks.
        page.raw(if self.marks.is_empty() { "-.8em" } else { "-2em" });
        page.put("\">", &self.y.title);
        page.put("</text><text class=\"t\" x=\"100%\" y=\"100%\" dy=\"2.8em\">", &self.x.title);
        page.raw("</text>");
    }

    #[inline(never)]
    fn write_marks(&self, page: &mut Page) {
        for (from, to) in self.bands {
            page.put("<rect class=\"gap\" y=\"0\" height=\"100%\" x=\"", &Percent(*from));
            page.put("\" width=\"", &Percent(to - from));
            page.raw("\"/>");
        }
        let mut last: Option<u64> = None;
        for (at, label) in self.marks {
            if last.is_some_and(|last| at.abs_diff(last) < MARKS_APART_MIN) {
                continue;
            }
            last = Some(*at);
            let x = Percent(*at);
            page.put("<line class=\"mark\" y1=\"0\" y2=\"100%\" x1=\"", &x);
            page.put("\" x2=\"", &x);
            page.put("\"/><text class=\"x\" y=\"0\" dy=\"-.5em\" x=\"", &x);
            page.put("\">", label);
            page.raw("</text>");
        }
    }
}

/// A position as part of the length.
struct Percent(u64);

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}%", self.0 / 10, self.0 % 10)
    }
}

/// Downwards, as SVG has it.
#[inline(never)]
fn path(steps: &[Step], is_filled: bool) -> String {
    let mut path = String::new();
    // Where the line ends so far.
    let mut pen: Option<(u64, u64)> = None;
    let end = Step { from: 0, to: 0, height: None };
    for Step { from, to, height } in steps.iter().chain([&end]) {
        let y = height.map(|height| LENGTH - height);
        if pen.map(|(_, before)| before) != y {
            match pen {
                Some((x, _)) => go(&mut path, 'H', x),
                None => go(&mut path, 'M', *from),
            }
            if pen.is_none() {
                go(&mut path, ' ', if is_filled { LENGTH } else { LENGTH - height.unwrap_or(0) });
            }
            if is_filled || (pen.is_some() && y.is_some()) {
                go(&mut path, 'V', y.unwrap_or(LENGTH));
            }
        }
        pen = y.map(|y| (*to, y));
    }
    path
}

#[inline(never)]
fn go(path: &mut String, letter: char, at: u64) {
    // Writing to a string cannot fail.
    let _ = write!(path, "{letter}{at}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_with_labels_that_would_touch_are_left_out() {
        let axis = Axis::counts(9);
        let marks = [(300, "p50"), (390, "p90"), (400, "p99")];
        let (x, y) = (&axis, &axis);
        let chart =
            Chart { id: "a", title: "", note: &"", x, y, curves: &[], marks: &marks, bands: &[] };
        let mut page = Page::default();
        chart.write(&mut page);
        let html = page.into_html();
        assert!(html.contains(">p50<") && html.contains(">p99<") && !html.contains(">p90<"));
    }

    #[test]
    fn a_path_goes_in_steps_and_is_interrupted_where_there_is_no_value() {
        let step = |from, to, height| Step { from, to, height };
        let steps = [
            step(0, 10, Some(100)),
            step(10, 20, Some(100)),
            step(20, 30, Some(200)),
            step(30, 40, None),
            step(40, 1000, Some(1000)),
        ];
        assert_eq!(path(&steps, false), "M0 900H20V800H30M40 0H1000");
        assert_eq!(path(&steps, true), "M0 1000V900H20V800H30V1000M40 1000V0H1000V1000");
        assert_eq!(path(&[], true), "");
    }
}

//! One chart as SVG: axes, grid, and curves in steps. Text does not scale with the width: positions are
//! percentages, and only the curves are stretched.

use std::fmt::Write;

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

#[derive(Debug, Clone)]
pub struct Chart {
    pub id: &'static str,
    pub title: &'static str,
    /// Below the title.
    pub note: String,
    pub x: Axis,
    pub y: Axis,
    /// In the order in which they are drawn.
    pub curves: Vec<Curve>,
    /// Vertical lines: positions and labels.
    pub marks: Vec<(u64, String)>,
    /// Shaded parts of the x axis.
    pub bands: Vec<(u64, u64)>,
}

/// Labels of marks that are closer would overlap.
const MARKS_APART_MIN: u64 = 70;

impl Chart {
    pub fn write(&self, page: &mut Page) {
        page.raw("<figure><figcaption>");
        page.element("h3", self.title);
        page.element("p", &self.note);
        page.raw("</figcaption><ul class=\"legend\">");
        for curve in self.curves.iter().rev() {
            page.raw("<li class=\"");
            page.text(curve.class);
            page.raw("\"><i></i>");
            page.element("b", curve.name);
            page.text(" ");
            page.text(&curve.note);
            page.close("li");
        }
        if !self.bands.is_empty() {
            page.raw("<li class=\"gap\"><i></i>not looking</li>");
        }
        page.raw("</ul><svg class=\"chart");
        page.raw(if self.marks.is_empty() { "" } else { " marked" });
        page.raw("\" role=\"img\" aria-labelledby=\"");
        page.text(&format!("{0}-t {0}-d", self.id));
        page.raw("\"><title id=\"");
        page.text(&format!("{}-t", self.id));
        page.raw("\">");
        page.text(self.title);
        page.raw("</title><desc id=\"");
        page.text(&format!("{}-d", self.id));
        page.raw("\">");
        page.text(&self.description());
        page.raw("</desc>");
        self.write_axes(page);
        page.raw("<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\">");
        for curve in &self.curves {
            page.raw("<path class=\"");
            page.text(curve.class);
            page.raw(if curve.is_filled { " fill\" d=\"" } else { " line\" d=\"" });
            page.text(&path(&curve.steps, curve.is_filled));
            page.raw("\"/>");
        }
        page.raw("</svg>");
        self.write_marks(page);
        page.raw("</svg></figure>\n");
    }

    /// For screen readers.
    fn description(&self) -> String {
        let (x, y) = (self.x.ticks(), self.y.ticks());
        let last = |ticks: &[(u64, String)]| ticks.last().map(|tick| tick.1.clone());
        let first = x.first().map(|tick| tick.1.clone()).unwrap_or_default();
        let mut text = format!(
            "{}. Horizontal: {}, {first} to {}. Vertical: {}, up to {}.",
            self.note,
            self.x.title,
            last(&x).unwrap_or_default(),
            self.y.title,
            last(&y).unwrap_or_default(),
        );
        for Curve { name, note, .. } in self.curves.iter().rev() {
            let _ = write!(text, " {name}: {note}.");
        }
        text
    }

    fn write_axes(&self, page: &mut Page) {
        for (at, label) in self.y.ticks() {
            let y = percent(LENGTH - at);
            page.raw("<line x1=\"0\" x2=\"100%\" y1=\"");
            page.text(&y);
            page.raw("\" y2=\"");
            page.text(&y);
            page.raw("\"/><text class=\"y\" x=\"-8\" dy=\".32em\" y=\"");
            page.text(&y);
            page.raw("\">");
            page.text(&label);
            page.raw("</text>");
        }
        for (at, label) in self.x.ticks() {
            page.raw("<text class=\"x\" y=\"100%\" dy=\"1.5em\" x=\"");
            page.text(&percent(at));
            page.raw("\">");
            page.text(&label);
            page.raw("</text>");
        }
        page.raw("<text class=\"u\" x=\"0\" y=\"0\" dy=\"");
        // Above the labels of marks.
        page.raw(if self.marks.is_empty() { "-.8em\">" } else { "-2em\">" });
        page.text(&self.y.title);
        page.raw("</text><text class=\"t\" x=\"100%\" y=\"100%\" dy=\"2.8em\">");
        page.text(&self.x.title);
        page.raw("</text>");
    }

    fn write_marks(&self, page: &mut Page) {
        for (from, to) in &self.bands {
            page.raw("<rect class=\"gap\" y=\"0\" height=\"100%\" x=\"");
            page.text(&percent(*from));
            page.raw("\" width=\"");
            page.text(&percent(to - from));
            page.raw("\"/>");
        }
        let mut last: Option<u64> = None;
        for (at, label) in &self.marks {
            if last.is_some_and(|last| at.abs_diff(last) < MARKS_APART_MIN) {
                continue;
            }
            last = Some(*at);
            let x = percent(*at);
            page.raw("<line class=\"mark\" y1=\"0\" y2=\"100%\" x1=\"");
            page.text(&x);
            page.raw("\" x2=\"");
            page.text(&x);
            page.raw("\"/><text class=\"x\" y=\"0\" dy=\"-.5em\" x=\"");
            page.text(&x);
            page.raw("\">");
            page.text(label);
            page.raw("</text>");
        }
    }
}

fn percent(at: u64) -> String {
    format!("{}.{}%", at / 10, at % 10)
}

/// Downwards, as SVG has it.
fn path(steps: &[Step], is_filled: bool) -> String {
    let mut path = String::new();
    // Where the line ends so far.
    let mut pen: Option<(u64, u64)> = None;
    let end = Step { from: 0, to: 0, height: None };
    for Step { from, to, height } in steps.iter().chain([&end]) {
        // Writing to a string cannot fail.
        let _ = match (pen, height.map(|height| LENGTH - height)) {
            (None, None) => Ok(()),
            (Some((x, _)), None) if is_filled => write!(path, "H{x}V{LENGTH}"),
            (Some((x, _)), None) => write!(path, "H{x}"),
            (None, Some(y)) if is_filled => write!(path, "M{from} {LENGTH}V{y}"),
            (None, Some(y)) => write!(path, "M{from} {y}"),
            (Some((_, before)), Some(y)) if y == before => Ok(()),
            (Some((x, _)), Some(y)) => write!(path, "H{x}V{y}"),
        };
        pen = height.map(|height| (*to, LENGTH - height));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! What is wrong with an HTML report: a strict reader of the little HTML that it may have.

use std::collections::BTreeSet;

/// Of a report of at most 512 samples and 50 targets.
pub const BYTES_MAX: usize = 300 << 10;

/// Nothing that runs, loads or leads elsewhere.
const TAGS: &str = " html head meta title style body main header section p h1 h2 h3 strong b i code span \
    small div dl dt dd ol ul li details summary figure figcaption svg desc text line rect path table \
    thead tbody tr th td pre ";
const ATTRIBUTES: &str = " lang charset name content http-equiv class scope tabindex role id \
    aria-labelledby viewBox preserveAspectRatio d x y x1 x2 y1 y2 dy width height ";

const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
    style-src 'unsafe-inline'\"/>";

/// A page as it was read.
#[derive(Default)]
pub struct Page {
    /// What no report may have.
    pub faults: Vec<String>,
    /// Each text with the tag around it, in order.
    pub texts: Vec<(String, String)>,
    ids: BTreeSet<String>,
    labels: Vec<String>,
}

impl Page {
    /// The texts in all tags of a name, one after another.
    pub fn text_in(&self, tag: &str) -> String {
        let texts = self.texts.iter().filter(|(of, _)| of == tag);
        texts.map(|(_, text)| text.as_str()).collect()
    }

    fn fault(&mut self, what: &str, rest: &str) {
        let near: String = rest.chars().take(60).collect();
        self.faults.push(format!("{what}: {near}"));
    }

    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "id" => {
                let is_new = self.ids.insert(value.to_owned());
                (!is_new).then(|| self.fault("an id twice", value));
            }
            "aria-labelledby" => self.labels.extend(value.split(' ').map(str::to_owned)),
            "d" => self.path(value),
            "x" | "y" | "x1" | "x2" | "y1" | "y2" | "width" | "height" => self.position(value),
            _ => {}
        }
    }

    /// Within the view box of 1000 by 1000.
    fn path(&mut self, path: &str) {
        let numbers = path.split(['M', 'H', 'V', ' ']).filter(|part| !part.is_empty());
        let are_inside =
            numbers.map(str::parse).all(|of: Result<u32, _>| of.is_ok_and(|n| n <= 1000));
        if !are_inside || !(path.is_empty() || path.starts_with('M')) {
            self.fault("a path", path);
        }
    }

    /// A percentage of the plot; a few labels are beside it.
    fn position(&mut self, text: &str) {
        let inside = |text: &str| text.parse().is_ok_and(|at: f64| (0.0..=100.0).contains(&at));
        if !text.strip_suffix('%').is_some_and(inside) && !["0", "-8"].contains(&text) {
            self.fault("a position", text);
        }
    }
}

/// Text with its entities replaced; only these five exist.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut parts = text.split('&');
    out.push_str(parts.next()?);
    for part in parts {
        let (name, rest) = part.split_once(';')?;
        let of = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("#39", '\'')];
        out.push(of.into_iter().find(|(entity, _)| *entity == name)?.1);
        out.push_str(rest);
    }
    Some(out)
}

/// Reads a page.
pub fn read(html: &str) -> Page {
    let mut page = Page::default();
    if html.len() > BYTES_MAX {
        page.fault("too large", &html.len().to_string());
    }
    if !html.contains(POLICY) {
        page.fault("no policy", html);
    }
    let Some(mut rest) = html.strip_prefix("<!DOCTYPE html>\n") else {
        page.fault("no document type", html);
        return page;
    };
    let mut open: Vec<&str> = Vec::new();
    while !rest.is_empty() {
        let end = rest.find('<').unwrap_or(rest.len());
        let (text, behind) = rest.split_at(end);
        if !text.is_empty() {
            let is_plain = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
            match unescaped(text).filter(|text| text.chars().all(is_plain)) {
                Some(text) => {
                    page.texts.push((open.last().copied().unwrap_or_default().to_owned(), text));
                }
                None => page.fault("a text", text),
            }
        }
        let Some(tag_end) = behind.find('>') else { break };
        let tag = &behind[..tag_end];
        rest = &behind[tag_end + 1..];
        if let Some(name) = tag.strip_prefix("</") {
            if open.pop() != Some(name) {
                page.fault("a tag out of order", behind);
            }
            continue;
        }
        let is_single = tag.ends_with('/');
        let tag = tag.trim_start_matches('<').trim_end_matches('/');
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        if !TAGS.contains(&format!(" {name} ")) {
            page.fault("a tag", behind);
        }
        read_attributes(&mut page, attributes);
        if !is_single {
            open.push(name);
        }
    }
    if !open.is_empty() {
        page.fault("open at the end", &open.join(" "));
    }
    let missing: Vec<String> =
        page.labels.iter().filter(|label| !page.ids.contains(*label)).cloned().collect();
    missing.iter().for_each(|label| page.fault("no label", label));
    page
}

fn read_attributes(page: &mut Page, attributes: &str) {
    let mut rest = attributes;
    while !rest.is_empty() {
        let name_and_rest = rest.split_once("=\"");
        let value = name_and_rest.and_then(|(_, behind)| behind.split_once('"'));
        let (Some((name, _)), Some((value, behind))) = (name_and_rest, value) else {
            return page.fault("attributes", attributes);
        };
        if !ATTRIBUTES.contains(&format!(" {name} ")) || unescaped(value).is_none() {
            page.fault("an attribute", rest);
        }
        page.attribute(name, value);
        rest = behind.trim_start();
    }
}

/// What is wrong with a page, and where it contradicts the text report of the same run.
pub fn faults(html: &str, text: &str) -> Vec<String> {
    let page = read(html);
    let mut faults = page.faults.clone();
    if page.text_in("pre") != text {
        faults.push("the text is not the text report".into());
    }
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let verdict = words(text.split("--- verdict ---\n").nth(1).unwrap_or_default());
    let in_headline = |tag: &str| ["h1", "span"].contains(&tag);
    let headline = page.texts.iter().skip_while(|(tag, _)| tag != "strong").skip(1);
    let headline = headline.map_while(|(tag, text)| in_headline(tag).then_some(text.as_str()));
    let headline: String = headline.collect();
    let headline = format!("{}: {}", page.text_in("strong"), words(&headline));
    if !verdict.starts_with(&headline) || headline.len() < 10 {
        faults.push(format!("the headline is {headline}"));
    }
    // The numbers of the stats line stand in the legend, and those of the report in its first table.
    let stats = text.lines().find(|line| line.starts_with("Total: ")).unwrap_or_default();
    for (name, text) in page.texts.windows(2).map(|pair| (&pair[0], &pair[1].1)) {
        let level = text.trim().strip_suffix(" at the end").filter(|_| name.0 == "b");
        let Some(level) = level else { continue };
        let state = match name.1.as_str() {
            "errors" => "Error",
            "established" => "Established",
            "dialing" => "Dialing",
            "closed" => "Closed",
            other => other,
        };
        if !format!("{stats},").contains(&format!(" {state}: {level},")) {
            faults.push(format!("{level} {state} is not in: {stats}"));
        }
    }
    let pair = |key: &str| {
        let index = page.texts.iter().position(|(tag, text)| tag == "dt" && text == key);
        index.map(|index| page.texts[index + 1].1.clone()).unwrap_or_default()
    };
    for (begin, key, end) in [
        ("\nErrors: ", "errors", ""),
        ("\nEstablished: ", "established", " in all"),
        (" in all, ", "peak", " at most at once"),
        (" at the end, ", "closed by the peer", " closed by the peer"),
    ] {
        if !text.contains(&format!("{begin}{}{end}", pair(key))) {
            faults.push(format!("{key}: {}", pair(key)));
        }
    }
    faults
}

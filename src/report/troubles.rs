//! What went wrong in a run: each kind of it, with its shape, and where it was. The words for it are
//! in `sentences.rs`.

use super::shape::{Ending, HITS_MIN, Shape, is_anywhere};
use super::verdict::Case;
use crate::engine::breakdown::{Breakdown, Row};
use crate::engine::evidence::{Evidence, Onset, Place, Scene};
use crate::engine::{Cause, Side, State, Summary};

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Dials that this host refused itself.
    Here(Cause),
    /// Dials that somebody else ended.
    Beyond(Cause),
    /// Connections that the other side closed or reset.
    Closed(Ending),
    /// Connections that were lost without a word from the other side.
    Lost,
    HalfOpen,
    Unanswered,
    /// Dials that took a second and more and came through.
    Slow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Kind,
    pub hits: u64,
    pub shape: Shape,
    /// Of how many dials, or connections, it met so many: of those since it began, if that means
    /// anything.
    pub of: u64,
    /// Of how many since it began, in any case.
    pub of_later: u64,
    /// The one target, or the one source, that all of it is at, be it by chance.
    pub only: Option<Place>,
    /// Where it is, if that is not everywhere, and no chance.
    pub site: Option<Site>,
    /// How it began, and what there was besides: at its one place, if that is no chance, or
    /// everywhere.
    pub onset: Onset,
    pub evidence: Option<Evidence>,
}

/// Some of the targets, or of the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `to 10.0.0.7:80`, `from 2 of 3 sources (10.0.0.1, ...)`.
    pub name: String,
    /// `to it`, and its kin.
    pub short: &'static str,
    /// Whether it is of sources.
    pub is_source: bool,
}

/// All there was, the worst first.
pub fn troubles(case: &Case<'_>) -> Vec<Trouble> {
    let summary = case.summary;
    let mut all = Vec::new();
    let mut add = |kind: Kind, evidence: Option<Evidence>| {
        all.extend(evidence.map(|e| Trouble::of(case, kind, e.count, &e.scene, Some(e))));
    };
    for cause in Cause::ALL.into_iter().filter(|cause| cause.ends_in() == State::Error) {
        let is_here = cause.side() == Side::ThisHost;
        let kind = if is_here { Kind::Here(cause) } else { Kind::Beyond(cause) };
        add(kind, summary.evidence[cause as usize]);
    }
    if let Some(evidence) = closed(summary) {
        let usual = summary.established_times.quantile(500);
        let ending = Ending::of(&evidence, &summary.lifetimes, usual);
        add(Kind::Closed(ending), Some(evidence));
    }
    add(Kind::Lost, summary.evidence[Cause::Lost as usize]);
    add(Kind::HalfOpen, summary.evidence[Cause::HalfOpen as usize]);
    add(Kind::Unanswered, summary.unanswered);
    all.sort_by_key(|trouble| std::cmp::Reverse(trouble.hits));
    // Those came through: whatever did not is worse.
    let through = summary.slow.dials - summary.slow.failed;
    all.extend(
        summary.slow_scene.map(|scene| Trouble::of(case, Kind::Slow, through, &scene, None)),
    );
    all
}

/// By the peer, in either way.
fn closed(summary: &Summary) -> Option<Evidence> {
    let of = |cause: Cause| summary.evidence[cause as usize];
    let (fin, rst) = match (of(Cause::PeerClosed), of(Cause::PeerReset)) {
        (Some(fin), Some(rst)) => (fin, rst),
        (one, other) => return one.or(other),
    };
    let more = if fin.count >= rst.count { fin } else { rst };
    let places = [fin, rst].map(|evidence| evidence.scene.only.map(|(place, _)| place));
    let later = |evidence: Evidence| evidence.scene.everywhere.dials_after;
    let mut scene = if later(fin) >= later(rst) { fin.scene } else { rst.scene };
    if places[0] != places[1] {
        scene.only = None;
    }
    Some(Evidence {
        count: fin.count + rst.count,
        first: fin.first.min(rst.first),
        last: fin.last.max(rst.last),
        scene,
        min: fin.min.min(rst.min),
        max: fin.max.max(rst.max),
        ..more
    })
}

impl Trouble {
    fn of(
        case: &Case<'_>,
        kind: Kind,
        hits: u64,
        scene: &Scene,
        evidence: Option<Evidence>,
    ) -> Trouble {
        let only = scene.only.map(|(place, _)| place);
        // Which route has a port, or a source, left is no matter of chance.
        let is_fixed = matches!(kind, Kind::Here(Cause::NoPorts | Cause::NoSource));
        let here = scene.only.filter(|(place, onset)| {
            // Nor is it where nothing at all came through.
            let is_dead = onset.established_ever == 0 && hits >= HITS_MIN;
            is_fixed || is_dead || !is_anywhere(1, breakdown(case.summary, *place).count, hits)
        });
        let onset = here.map_or(scene.everywhere, |(_, onset)| onset);
        let (before, after) = of_which(kind, &onset);
        let shape = Shape::of(onset.established + onset.under_way, hits, before, after);
        let of = match shape {
            Shape::Scattered | Shape::TooFew => before + after,
            _ => after,
        };
        let site = here.map(|(place, _)| site_of_one(case, place));
        let mut trouble =
            Trouble { kind, hits, shape, of, of_later: after, only, site, onset, evidence };
        if only.is_none() {
            trouble.look_for_places(case);
        }
        trouble
    }

    /// Whether all of it is at a few targets, or sources.
    fn look_for_places(&mut self, case: &Case<'_>) {
        let kind = self.kind;
        let places: [fn(u32) -> Place; 2] = [Place::Target, Place::Source];
        for place in places {
            let breakdown = breakdown(case.summary, place(0));
            let met: Vec<&Row> =
                breakdown.worst.iter().filter(|row| count_in(row, kind) > 0).collect();
            let hits: u64 = met.iter().map(|row| count_in(row, kind)).sum();
            let dials: u64 = met.iter().map(|row| of_which_in(row, kind)).sum();
            let established: u64 = met.iter().map(|row| u64::from(row.established)).sum();
            let is_dead = established == 0 && hits >= HITS_MIN;
            let is_chance = !is_dead && is_anywhere(met.len(), breakdown.count, hits);
            if hits != self.hits || met.len() == breakdown.count || is_chance {
                continue;
            }
            let Some(first) = met.first() else { continue };
            self.shape = if hits == dials { Shape::All } else { Shape::InPlaces };
            (self.of, self.of_later) = (dials, dials);
            self.site = Some(site_of_some(case, met.len(), place(first.index)));
            return;
        }
    }

    /// How many of `kind` a row has.
    pub fn count_in(&self, row: &Row) -> u64 {
        count_in(row, self.kind)
    }
}

/// How many dials, or connections, there were to be met, before it began and since.
fn of_which(kind: Kind, onset: &Onset) -> (u64, u64) {
    let Onset { established, under_way, established_ever, dials, dials_after, .. } = *onset;
    let (before, all) = match kind {
        // Who is to answer has to be established first.
        Kind::Unanswered => (established + under_way, established_ever),
        _ => (dials.saturating_sub(dials_after + 1), dials),
    };
    (before.into(), all.saturating_sub(before).max(1).into())
}

fn of_which_in(row: &Row, kind: Kind) -> u64 {
    match kind {
        Kind::Unanswered => row.established.into(),
        _ => row.dialed.into(),
    }
}

fn count_in(row: &Row, kind: Kind) -> u64 {
    let of = |cause: Cause| row.causes[cause as usize];
    let count = match kind {
        Kind::Here(cause) | Kind::Beyond(cause) => of(cause),
        Kind::Closed(_) => of(Cause::PeerClosed) + of(Cause::PeerReset),
        Kind::Lost => of(Cause::Lost),
        Kind::HalfOpen => of(Cause::HalfOpen),
        Kind::Unanswered => row.unanswered,
        // No row knows.
        Kind::Slow => 0,
    };
    count.into()
}

fn breakdown(summary: &Summary, place: Place) -> &Breakdown {
    match place {
        Place::Target(_) => &summary.targets,
        Place::Source(_) => &summary.sources,
    }
}

/// `10.0.0.7:80`.
pub fn name_of(case: &Case<'_>, place: Place) -> String {
    let routes = &case.plan.routes;
    match place {
        Place::Target(index) => routes.targets()[index as usize].to_string(),
        Place::Source(index) => routes.sources()[index as usize].ip().to_string(),
    }
}

pub fn site_of_one(case: &Case<'_>, place: Place) -> Site {
    let (towards, short, is_source) = match place {
        Place::Target(_) => ("to", "to it", false),
        Place::Source(_) => ("from", "from it", true),
    };
    Site { name: format!("{towards} {}", name_of(case, place)), short, is_source }
}

fn site_of_some(case: &Case<'_>, some: usize, worst: Place) -> Site {
    if some == 1 {
        return site_of_one(case, worst);
    }
    let (towards, noun, short, is_source) = match worst {
        Place::Target(_) => ("to", "targets", "to them", false),
        Place::Source(_) => ("from", "sources", "from them", true),
    };
    let (all, worst) = (breakdown(case.summary, worst).count, name_of(case, worst));
    Site { name: format!("{towards} {some} of {all} {noun} ({worst}, ...)"), short, is_source }
}

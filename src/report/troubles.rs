//! What went wrong in a run: each kind of it, with its shape, and where it was. The words for it are
//! in `sentences.rs`.

use super::shape::{Ending, HITS_MIN, Shape, is_anywhere};
use super::verdict::Case;
use crate::engine::breakdown::{Breakdown, Matter};
use crate::engine::evidence::Evidence;
use crate::engine::scene::{Onset, Part, Place, Scene};
use crate::engine::{EndReason, Side, State, Summary};

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Dials that this host refused itself.
    Here(EndReason),
    /// Dials that somebody else ended.
    Beyond(EndReason),
    /// Connections that the other side closed or reset.
    Closed(Ending),
    /// Connections that were lost without a word from the other side.
    Lost,
    /// Connections that a program on this host had the kernel close.
    Aborted,
    HalfOpen,
    Unanswered,
    /// Connections that were asked by keepalive, and nothing came back.
    Silent,
    /// Dials that were under way for a second and more when the run was ended.
    Hanging,
    /// Dials that took a second and more and came through.
    Slow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Kind,
    pub hits: u64,
    pub shape: Shape,
    /// How many of how many dials, or connections, it met: of those since it began, if that means
    /// anything.
    pub part: Part,
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
        let Some(evidence) = evidence else { return };
        let scene = evidence.scene.clone();
        all.extend(Trouble::by_target(case, kind, evidence.count, &scene, Some(evidence)));
    };
    for reason in EndReason::ALL.into_iter().filter(|reason| reason.ends_in() == State::Error) {
        let is_here = reason.side() == Side::ThisHost;
        let kind = if is_here { Kind::Here(reason) } else { Kind::Beyond(reason) };
        add(kind, summary.evidence[reason as usize].clone());
    }
    if let Some(evidence) = closed(summary) {
        let shortest_dial = summary.established_times.min();
        let oldest = evidence.scene.here().oldest;
        let ending = Ending::of(&evidence, &summary.lifetimes, oldest, shortest_dial);
        add(Kind::Closed(ending), Some(evidence));
    }
    add(Kind::Lost, summary.evidence[EndReason::Lost as usize].clone());
    add(Kind::Aborted, summary.evidence[EndReason::Aborted as usize].clone());
    add(Kind::HalfOpen, summary.evidence[EndReason::HalfOpen as usize].clone());
    add(Kind::Unanswered, summary.unanswered.clone());
    if let Some(hanging) = &summary.hanging {
        all.push(Trouble::of(case, Kind::Hanging, hanging.count, &hanging.scene, None));
    }
    all.extend(silent(summary));
    all.sort_by_key(|trouble| std::cmp::Reverse(trouble.hits));
    // Those came through: whatever did not is worse.
    let through = summary.slow.dials - summary.slow.failed;
    let slow = summary.slow_scene.as_ref();
    all.extend(slow.map(|scene| Trouble::of(case, Kind::Slow, through, scene, None)));
    all
}

/// Which ones these are is not kept.
fn silent(summary: &Summary) -> Option<Trouble> {
    let (hits, all) = (summary.findings.silent, summary.findings.asked);
    let part = Part { all: narrow(all), hits: narrow(hits) };
    (hits > 0).then(|| Trouble {
        kind: Kind::Silent,
        hits,
        shape: if hits >= all { Shape::All } else { Shape::Scattered },
        part,
        only: None,
        site: None,
        onset: Onset::default(),
        evidence: None,
    })
}

/// By the peer, in either way.
fn closed(summary: &Summary) -> Option<Evidence> {
    let of = |reason: EndReason| summary.evidence[reason as usize].clone();
    let (fin, rst) = match (of(EndReason::PeerClosed), of(EndReason::PeerReset)) {
        (Some(fin), Some(rst)) => (fin, rst),
        (one, other) => return one.or(other),
    };
    let more = if fin.count >= rst.count { fin.clone() } else { rst.clone() };
    let place = |evidence: &Evidence| evidence.scene.only.map(|(place, _)| place);
    let mut scene = more.scene.clone();
    if place(&fin) != place(&rst) {
        scene.only = None;
    }
    let count = fin.count + rst.count;
    // Where others were closed, too, the middle of both is not known.
    let p50 = match summary.lifetimes.count() == count {
        true => summary.lifetimes.quantile(500),
        false => more.p50,
    };
    Some(Evidence {
        count,
        first: fin.first.min(rst.first),
        last: fin.last.max(rst.last),
        scene,
        min: fin.min.min(rst.min),
        p50,
        max: fin.max.max(rst.max),
        ..more
    })
}

impl Trouble {
    /// One, or where it began at some number at each of a few targets, one for each of these.
    fn by_target(
        case: &Case<'_>,
        kind: Kind,
        hits: u64,
        scene: &Scene,
        evidence: Option<Evidence>,
    ) -> Vec<Trouble> {
        let whole = Trouble::of(case, kind, hits, scene, evidence);
        let may_differ = matches!(kind, Kind::Beyond(_) | Kind::Unanswered)
            && whole.site.is_none()
            && (whole.shape.is_indifferent() || matches!(whole.shape, Shape::MoreFrom(_)));
        let is_told = |onset: &Onset| {
            let (shape, part) = Shape::of(onset);
            matches!(shape, Shape::All | Shape::From(_)) && u64::from(part.hits) >= HITS_MIN
        };
        if !may_differ || scene.each.len() < 2 || !scene.each.iter().all(|(_, at)| is_told(at)) {
            return vec![whole];
        }
        let at = |(place, onset): &(Place, Onset)| {
            let (shape, part) = Shape::of(onset);
            Trouble {
                kind,
                hits: onset.hits().into(),
                shape,
                part,
                only: Some(*place),
                site: Some(site_of_one(case, *place)),
                onset: *onset,
                evidence: whole.evidence.clone(),
            }
        };
        scene.each.iter().map(at).collect()
    }

    fn of(
        case: &Case<'_>,
        kind: Kind,
        hits: u64,
        scene: &Scene,
        evidence: Option<Evidence>,
    ) -> Trouble {
        let only = scene.only.map(|(place, _)| place);
        // Which route has a port, or a source, left is no matter of chance.
        let is_fixed = matches!(kind, Kind::Here(EndReason::NoPorts | EndReason::NoSource));
        let here = scene.only.filter(|(place, onset)| {
            // Nor is it where nothing at all came through.
            let is_dead = onset.established_ever == 0 && hits >= HITS_MIN;
            let share = (onset.all().into(), scene.everywhere.all().into());
            let places = breakdown(case.summary, *place).count;
            is_fixed || is_dead || !is_anywhere(1, places, share, hits)
        });
        let onset = here.map_or(scene.everywhere, |(_, onset)| onset);
        let (shape, part) = Shape::of(&onset);
        let site = here.map(|(place, _)| site_of_one(case, place));
        let mut trouble = Trouble { kind, hits, shape, part, only, site, onset, evidence };
        if only.is_none() {
            trouble.look_for_places(case);
        }
        trouble
    }

    /// Whether all of it is at a few targets, or sources.
    fn look_for_places(&mut self, case: &Case<'_>) {
        let Some(matter) = self.kind.matter() else { return };
        let places: [fn(u32) -> Place; 2] = [Place::Target, Place::Source];
        for place in places {
            let breakdown = breakdown(case.summary, place(0));
            let met = breakdown.met(matter);
            let is_dead = met.established == 0 && met.hits >= HITS_MIN;
            let all = match self.kind {
                Kind::Here(_) | Kind::Beyond(_) => met.dialed,
                _ => met.established,
            };
            let share = (all, self.onset.all().into());
            let is_chance = !is_dead && is_anywhere(met.rows, breakdown.count, share, met.hits);
            if met.hits != self.hits || met.rows == breakdown.count || is_chance {
                continue;
            }
            let Some((worst, _)) = met.worst else { continue };
            self.shape = if met.hits == all { Shape::All } else { Shape::InPlaces };
            self.part = Part { all: narrow(all), hits: narrow(met.hits) };
            self.site = Some(site_of_some(case, met.rows, place(worst)));
            return;
        }
    }
}

impl Kind {
    /// What the rows of targets and sources count; none for what they do not.
    pub fn matter(self) -> Option<Matter> {
        match self {
            Kind::Here(reason) | Kind::Beyond(reason) => Some(Matter::EndReason(reason)),
            Kind::Closed(_) => Some(Matter::Closed),
            Kind::Lost => Some(Matter::EndReason(EndReason::Lost)),
            Kind::Aborted => Some(Matter::EndReason(EndReason::Aborted)),
            Kind::HalfOpen => Some(Matter::EndReason(EndReason::HalfOpen)),
            Kind::Unanswered => Some(Matter::Unanswered),
            Kind::Silent | Kind::Hanging | Kind::Slow => None,
        }
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
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

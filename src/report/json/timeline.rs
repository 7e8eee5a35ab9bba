//! The run over time.

use super::fields::{number, span};
use super::write_levels;
use crate::engine::series::{Point, Series, upper_edge};
use crate::json::Json;

pub fn write(json: &mut Json, series: &Series) {
    json.key("timeline").array(|json| {
        series.points().iter().for_each(|point| json.object(|json| write_point(json, point)));
    });
}

fn write_point(json: &mut Json, point: &Point) {
    span(json, "at_ns", point.at);
    json.key("levels").object(|json| write_levels(json, &point.levels));
    number(json, "dials_count", point.dials);
    number(json, "established_ever_count", point.established);
    number(json, "closed_ever_count", point.closed);
    number(json, "errors_count", point.errors);
    json.key("dial_times").array(|json| {
        let counts = point.dial_times.iter().enumerate();
        for (bucket, count) in counts.filter(|(_, count)| **count > 0) {
            json.object(|json| {
                span(json, "below_ns", upper_edge(bucket));
                number(json, "values_count", *count);
            });
        }
    });
}

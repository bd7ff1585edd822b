//! The curves of the page: how long operations took, and how many there were over time.

use super::html::{card, legend};
use super::plot::{Axis, Series, curves};
use super::table::number;
use super::words;
use crate::compare::Outcome;
use crate::limits;
use crate::load::histogram;

/// Points of a timeline; more would be noise.
const TIMELINE_POINTS: usize = 80;

/// Latency against the share of operations that were faster, stretched towards 100 %.
pub fn latency(words: &words::Words, outcomes: &[Outcome]) -> String {
    let mut series = Vec::new();
    let (mut nines, mut min, mut max) = (1f64, f64::INFINITY, 0f64);
    for outcome in outcomes {
        let mut all = histogram();
        for latency in outcome.samples.iter().filter_map(|sample| sample.latency.as_ref()) {
            all.add(latency).expect("all histograms have the same bounds");
        }
        if all.is_empty() {
            continue;
        }
        // Beyond one in all there is nothing to tell.
        let end = (all.len() as f64).log10().clamp(1.0, 6.0);
        nines = nines.max(end);
        let steps = (end * 40.0) as u32;
        let point = |step: u32| {
            let nines = f64::from(step) / 40.0;
            let value = all.value_at_quantile(1.0 - 10f64.powf(-nines)) as f64 / 1e3;
            (nines, value.max(0.1))
        };
        let points: Vec<_> = (0..=steps).map(point).collect();
        let of_all = |seed, f: fn(f64, f64) -> f64| points.iter().map(|p| p.1).fold(seed, f);
        (min, max) = (of_all(min, f64::min), of_all(max, f64::max));
        series.push(Series { name: outcome.name.clone(), points });
    }
    if series.is_empty() {
        return String::new();
    }
    let percent = |nines: u32| match nines {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        n => format!("99.{} %", "9".repeat(n as usize - 2)),
    };
    let x = Axis {
        label: "share of operations that were at least as fast".to_owned(),
        ticks: (0..=nines as u32).map(|n| (f64::from(n), percent(n))).collect(),
        range: (0.0, nines),
        logarithmic: false,
    };
    let wide = max / min > 12.0;
    let y = if wide {
        Axis::logarithmic("latency", min, max, duration)
    } else {
        Axis::linear("latency", max, duration)
    };
    let about = if wide { " The scale is logarithmic." } else { "" };
    let about = format!("{}{about}", words.latency_about);
    card(words.latency, &about, &legend(outcomes), &curves(&series, &x, &y))
}

/// Microseconds in the unit that suits them.
fn duration(micros: f64) -> String {
    let (value, unit) = match micros {
        0.0 => return "0".to_owned(),
        v if v < 1e3 => (v, "µs"),
        v if v < 1e6 => (v / 1e3, "ms"),
        v => (v / 1e6, "s"),
    };
    format!("{} {unit}", (value * 100.0).round() / 100.0)
}

/// Operations a second over the time of a run, as the mean of all rounds.
pub fn timeline(words: &words::Words, outcomes: &[Outcome]) -> String {
    let step = limits::TIMELINE_STEP.as_secs_f64();
    let mut series = Vec::new();
    for outcome in outcomes {
        let runs: Vec<&Vec<u64>> = outcome.samples.iter().map(|sample| &sample.timeline).collect();
        // The last step is rarely a whole one.
        let length = runs.iter().map(|run| run.len().saturating_sub(1)).min().unwrap_or(0);
        let group = length.div_ceil(TIMELINE_POINTS).max(1);
        let point = |at: usize| {
            let sum: u64 = runs.iter().flat_map(|run| &run[at * group..(at + 1) * group]).sum();
            let seconds = step * group as f64 * runs.len() as f64;
            ((at as f64 + 0.5) * group as f64 * step, sum as f64 / seconds / words.scale)
        };
        let points: Vec<_> = (0..length / group).map(point).collect();
        series.push(Series { name: outcome.name.clone(), points });
    }
    let all = || series.iter().flat_map(|series| &series.points);
    if all().count() < 3 {
        return String::new();
    }
    let end = all().map(|point| point.0).fold(0.0, f64::max);
    let most = all().map(|point| point.1).fold(0.0, f64::max);
    let mut x = Axis::linear("seconds", end, |v| format!("{}", (v * 100.0).round() / 100.0));
    x.range.1 = end;
    x.ticks.retain(|tick| tick.0 <= end);
    let y = Axis::linear(words.rate, most, number);
    card(
        words.rate,
        "Over the time of a run, mean of all rounds.",
        &legend(outcomes),
        &curves(&series, &x, &y),
    )
}

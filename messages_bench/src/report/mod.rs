//! Shows the outcome: on the terminal, as JSON, as a page.

mod charts;
mod environment;
mod html;
mod plot;
mod table;
mod words;

use std::fs;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::compare::Outcome;
use crate::limits;
use crate::sample::Sample;
use crate::scenario::Context;

pub use environment::Environment;
pub(crate) use environment::{since_epoch, time_of_day};

/// Shows and writes the report; false if any server did something wrong.
pub fn publish(cli: &Cli, ctx: &Context, outcomes: &[Outcome]) -> anyhow::Result<bool> {
    let environment = Environment::read(&cli.common.note);
    println!("{}\n{}", environment.line(), table::table(outcomes));
    let mut right = true;
    for outcome in outcomes {
        right &= outcome.faults() == 0;
        // Every one of them: each may be the only trace of its cause.
        let faults = outcome.samples.iter().flat_map(|sample| &sample.faults.list);
        for fault in faults {
            eprintln!("{}: {fault}", outcome.name);
        }
        println!("{}: {} faults (seed {})", outcome.name, outcome.faults(), ctx.seed);
    }
    if let Some(path) = &cli.common.json {
        let text = serde_json::to_string_pretty(&document(cli, ctx, &environment, outcomes))?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &cli.common.html {
        let page = html::page(cli.command.name(), &environment, outcomes, ctx.seed);
        fs::write(path, page).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(right)
}

/// Everything that was measured.
fn document(cli: &Cli, ctx: &Context, environment: &Environment, outcomes: &[Outcome]) -> Value {
    let outcome = |outcome: &Outcome| {
        json!({
            "name": outcome.name,
            "medians": outcome.medians(),
            "runs": outcome.samples.iter().map(run).collect::<Vec<_>>(),
        })
    };
    json!({
        "scenario": cli.command.name(),
        "seed": ctx.seed,
        "environment": environment,
        "outcomes": outcomes.iter().map(outcome).collect::<Vec<_>>(),
    })
}

fn run(sample: &Sample) -> Value {
    let quantiles = sample.latency.as_ref().map(|latency| {
        let point = |v: hdrhistogram::iterators::IterationValue<u64>| {
            json!([v.quantile_iterated_to(), v.value_iterated_to() as f64 / 1e3])
        };
        latency.iter_quantiles(2).map(point).collect::<Vec<_>>()
    });
    json!({
        "figures": sample.figures,
        "latency_quantiles_us": quantiles,
        "timeline_step_ms": limits::TIMELINE_STEP.as_millis() as u64,
        "timeline": sample.timeline,
        "faults": sample.faults,
    })
}

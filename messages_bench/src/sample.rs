//! The outcome of one run of one scenario against one server.

use std::borrow::Cow;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::limits;
use crate::load::Recorder;
use crate::process::Snapshot;

/// Which direction of a figure is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Throughput.
    Higher,
    /// Latency, CPU time, memory.
    Lower,
    /// Counts that only describe the run.
    Neither,
}

/// How the runs of several rounds make one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// By their median.
    Median,
    /// By the largest: a process keeps freed memory and grows less in later rounds, which says
    /// nothing about what is needed.
    Largest,
}

/// One number of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is; the same name means the same figure in every run.
    pub name: Cow<'static, str>,
    /// Its unit.
    pub unit: &'static str,
    /// The number.
    pub value: f64,
    /// What to wish for.
    pub better: Better,
    /// What several rounds make of it.
    pub over: Over,
}

/// What was wrong in a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Faults {
    /// How many faults there were.
    pub total: u64,
    /// The first of them in words.
    pub list: Vec<String>,
}

impl Faults {
    /// Adds one fault.
    pub fn add(&mut self, fault: impl Into<String>) {
        self.total += 1;
        if self.list.len() < limits::FAULTS_KEPT {
            self.list.push(fault.into());
        }
    }

    /// Adds faults of one kind, of which the first is told.
    pub fn add_many(&mut self, count: u64, fault: impl Into<String>) {
        self.add(fault);
        self.total += count.saturating_sub(1);
    }

    /// Adds faults of one place, named in front of each.
    pub fn add_all(&mut self, place: &str, faults: impl IntoIterator<Item = String>) {
        for fault in faults {
            self.add(format!("{place}: {fault}"));
        }
    }
}

/// The outcome of a run.
#[derive(Clone, Default)]
pub struct Sample {
    /// The numbers, in the order of their importance.
    pub figures: Vec<Figure>,
    /// Latencies in nanoseconds, and of what.
    pub latency: Option<Histogram<u64>>,
    /// Operations in each step of [`limits::TIMELINE_STEP`].
    pub timeline: Vec<u64>,
    /// What was wrong.
    pub faults: Faults,
}

impl Sample {
    /// Adds a figure.
    pub fn figure(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        unit: &'static str,
        value: f64,
        better: Better,
    ) {
        let name = name.into();
        self.figures.push(Figure { name, unit, value, better, over: Over::Median });
    }

    /// Adds memory by which the server has grown.
    pub fn grown(&mut self, name: &'static str, unit: &'static str, value: f64) {
        let (name, better) = (name.into(), Better::Lower);
        self.figures.push(Figure { name, unit, value, better, over: Over::Largest });
    }

    /// Adds a number that only describes the run.
    pub fn count(&mut self, name: &'static str, value: u64) {
        self.figure(name, "", value as f64, Better::Neither);
    }

    /// Adds what a recorder holds: operations a second over the `lasted` time, and latencies.
    pub fn recorded(&mut self, recorder: &Recorder, rate: &'static str, lasted: Duration) {
        let recorded = recorder.open();
        let seconds = lasted.as_secs_f64().max(1e-9);
        self.figure(rate, "/s", recorded.operations as f64 / seconds, Better::Higher);
        self.latencies(&recorded.latency);
        self.timeline.clone_from(&recorded.timeline);
    }

    /// Adds percentiles.
    pub fn latencies(&mut self, latency: &Histogram<u64>) {
        if latency.is_empty() {
            return;
        }
        let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
        for (name, quantile) in quantiles {
            let micros = latency.value_at_quantile(quantile) as f64 / 1e3;
            self.figure(name, "µs", micros, Better::Lower);
        }
        self.latency = Some(latency.clone());
    }

    /// Adds the CPU time of the server, where known, of each of several nodes, of what else it uses, and
    /// of the bench, each per operation.
    pub fn cpu(&mut self, used: &Snapshot, operations: u64, per: &'static str) {
        let share = |time: Duration| time.as_secs_f64() * 1e6 / operations.max(1) as f64;
        if let Some(server) = used.server() {
            self.figure("server CPU", per, share(server.total()), Better::Lower);
            self.figure("server user", per, share(server.user), Better::Lower);
            self.figure("server system", per, share(server.system), Better::Lower);
        }
        for (number, node) in used.nodes.iter().enumerate().filter(|_| used.nodes.len() > 1) {
            self.figure(format!("node {number} CPU"), per, share(node.total()), Better::Lower);
        }
        for (name, beside) in &used.beside {
            self.figure(format!("{name} CPU"), per, share(beside.total()), Better::Lower);
        }
        self.figure("bench CPU", per, share(used.own.total()), Better::Neither);
    }
}

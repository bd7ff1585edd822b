//! What the system knows of this process. Where it has no `/proc`, there is less.

use super::{Labels, Page};
use prometheus_client::metrics::MetricType;
use std::{fmt, fs, time::Duration};

/// Of the clock that `/proc/self/stat` counts in; Linux shows all programs this one (proc(5), `USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;

pub(super) fn write(page: &mut Page<'_>, uptime: Duration) -> fmt::Result {
    let what = ("build", "The version that runs");
    page.begin(what, None, MetricType::Info, |mut number| {
        number.encode_info(&Labels(&[("version", env!("CARGO_PKG_VERSION"))]))
    })?;
    page.level(("uptime_seconds", "Since the start"), uptime.as_secs_f64())?;
    if let Some((cpu_secs, resident_bytes)) = stat() {
        let what = ("cpu_seconds", "CPU that the process has used");
        page.begin(what, None, MetricType::Counter, |mut number| {
            number.encode_counter::<Labels<'_>, f64, f64>(&cpu_secs, None)
        })?;
        page.level(("resident_memory_bytes", "Memory of the process"), resident_bytes)?;
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        page.level(("open_files", "Files and connections"), files.count() as f64)?;
    }
    Ok(())
}

/// Seconds of CPU and bytes of memory.
fn stat() -> Option<(f64, f64)> {
    parse(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse(stat: &str) -> Option<(f64, f64)> {
    // The second field is the name of the program, in parentheses, with whatever is in it.
    let behind: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let field = |place: usize| behind.get(place - 3)?.parse::<f64>().ok();
    let (user, system, pages) = (field(14)?, field(15)?, field(24)?);
    Some(((user + system) / TICKS_PER_SEC, pages * 4096.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_process_is_understood() {
        let line =
            "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 100 1000 25 18446744";
        assert_eq!(parse(line), Some((2.0, 102_400.0)));
        assert_eq!(parse("7 (short) S"), None);
        assert!(stat().is_some_and(|(_, resident_bytes)| resident_bytes > 1e6), "of this process");
    }
}

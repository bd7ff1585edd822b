//! What the system knows of this process. Where it has no `/proc`, there is less.

use super::{Labels, Page};
use prometheus_client::metrics::MetricType;
use std::{fmt, fs, path::Path, time::Duration};

/// Of the clock that `/proc/self/stat` counts in; Linux shows all programs this one (proc(5), `USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;

pub(super) fn write(page: &mut Page<'_>, uptime: Duration) -> fmt::Result {
    let what = ("build", "The version that runs");
    page.begin(what, None, MetricType::Info, |mut number| {
        number.encode_info(&Labels(&[("version", crate::VERSION)]))
    })?;
    page.level(("uptime_seconds", "Since the start"), uptime.as_secs_f64())?;
    if let Some(cpu_secs) = read("/proc/self/stat", cpu_secs) {
        let what = ("cpu_seconds", "CPU that the process has used");
        page.begin(what, None, MetricType::Counter, |mut number| {
            number.encode_counter::<Labels<'_>, f64, f64>(&cpu_secs, None)
        })?;
    }
    if let Some(resident_bytes) = read("/proc/self/status", resident_bytes) {
        page.level(("resident_memory_bytes", "Memory of the process"), resident_bytes)?;
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        page.level(("open_files", "Files and connections"), files.count() as f64)?;
    }
    Ok(())
}

/// The files of the journal, in their directory. There are few, and none where there is no journal.
pub(super) fn journal(page: &mut Page<'_>, dir: &Path) -> fmt::Result {
    let Ok(files) = fs::read_dir(dir) else { return Ok(()) };
    let sizes: Vec<u64> =
        files.flatten().filter_map(|file| Some(file.metadata().ok()?.len())).collect();
    let what = ("journal_segments", "Files of the journal, with those that wait to be used again");
    page.level(what, sizes.len() as f64)?;
    let what = ("journal_disk_bytes", "Bytes of these files");
    page.level(what, sizes.iter().sum::<u64>() as f64)
}

fn read(file: &str, number: fn(&str) -> Option<f64>) -> Option<f64> {
    number(&fs::read_to_string(file).ok()?)
}

fn cpu_secs(stat: &str) -> Option<f64> {
    // The second field is the name of the program, in parentheses, with whatever is in it.
    let behind: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let field = |place: usize| behind.get(place - 3)?.parse::<f64>().ok();
    Some((field(14)? + field(15)?) / TICKS_PER_SEC)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_a_process_is_understood() {
        assert_eq!(cpu_secs("7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20"), Some(2.0));
        assert_eq!(cpu_secs("7 (short) S"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    100 kB\n"), Some(102_400.0));
        assert!(read("/proc/self/status", resident_bytes).is_some_and(|bytes| bytes > 1e6));
        assert!(read("/proc/self/stat", cpu_secs).is_some());
    }
}

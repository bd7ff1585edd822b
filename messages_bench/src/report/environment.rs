//! Where and how the figures came about.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::html::escape;

/// Where and how the figures came about.
#[derive(Debug, Serialize)]
pub struct Environment {
    cpu: String,
    cores: usize,
    kernel: String,
    date: String,
    command: String,
    note: String,
}

/// The wall clock, for the date of a report and for names and seeds that differ from run to run.
pub(crate) fn since_epoch() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a report says when it was made")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time of day in UTC, as in the logs of the servers.
pub(crate) fn time_of_day() -> String {
    let now = since_epoch();
    let (seconds, millis) = (now.as_secs() % 86_400, now.subsec_millis());
    let (hour, minute, second) = (seconds / 3_600, seconds % 3_600 / 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{millis:03}")
}

/// A word of the command line for a report, which others read: without the token of a URL.
fn without_token(word: &str) -> String {
    match word.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (_, host))) => format!("{scheme}://TOKEN@{host}"),
        None => word.to_owned(),
    }
}

impl Environment {
    /// Looks around.
    pub fn read(note: &str) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let since = since_epoch();
        let words: Vec<String> =
            std::env::args().skip(1).map(|word| without_token(&word)).collect();
        Self {
            cpu: model.map_or("unknown CPU", |(_, name)| name).trim().to_owned(),
            cores,
            kernel: kernel.trim().to_owned(),
            date: date(since.as_secs()),
            command: format!("messages_bench {}", words.join(" ")),
            note: note.to_owned(),
        }
    }

    /// The remark that was given.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The part of the page about it.
    pub fn html(&self, seed: u64) -> String {
        let Self { cpu, cores, kernel, date, command, note } = self;
        let (cpu, note, command) = (escape(cpu), escape(note), escape(command));
        let note = if note.is_empty() { note } else { format!("<dt>Note</dt><dd>{note}</dd>") };
        format!(
            "<section class=\"card\"><h2>Where and how</h2><dl>\
             <dt>Machine</dt><dd>{cpu}, {cores} cores, shared by servers and bench</dd>\
             <dt>Kernel</dt><dd>Linux {kernel}</dd><dt>Date</dt><dd>{date}</dd>{note}\
             <dt>Seed</dt><dd>{seed}</dd>\
             <dt>Command</dt><dd><code>{command}</code></dd></dl></section>\n"
        )
    }

    /// One line about it.
    pub fn line(&self) -> String {
        let Self { cpu, cores, kernel, date, command, note } = self;
        let note = if note.is_empty() { String::new() } else { format!(" · {note}") };
        format!("{cpu} · {cores} cores · Linux {kernel} · {date} · {command}{note}")
    }
}

/// A date and time in UTC from seconds since 1970, in the proleptic Gregorian calendar.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from the first of March of year 0: leap days then come last in a year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (rest / 3_600, rest % 3_600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::{date, without_token};

    #[test]
    fn a_report_has_no_tokens() {
        assert_eq!(without_token("a=http://x.y.z@h:1/p,5"), "a=http://TOKEN@h:1/p,5");
        assert_eq!(without_token("http://h:1/p"), "http://h:1/p");
    }

    #[test]
    fn dates_are_right() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(date(1_767_225_599), "2025-12-31 23:59 UTC");
    }
}

//! Which of its formats a scraper gets. What is written is OpenMetrics 1.0; the older text format of
//! Prometheus (0.0.4) has the same numbers under the same names, and says other things of them.

use axum::http::{HeaderMap, header};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// The one that is asked for; the older one where nobody says, for people with a terminal and for
    /// what knows no other.
    pub fn asked_for(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let ranges: Vec<(&str, f32)> = accepts
            .filter_map(|accept| accept.to_str().ok())
            .flat_map(|accept| accept.split(','))
            .map(weighed)
            .collect();
        let weight = |name: &str| {
            let of_name = ranges.iter().filter(|(range, _)| range.eq_ignore_ascii_case(name));
            of_name.map(|(_, weight)| *weight).fold(0.0, f32::max)
        };
        let open = weight("application/openmetrics-text");
        if open > 0.0 && open >= weight("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What is said in OpenMetrics, in this format.
    pub fn write(self, open: String) -> String {
        match self {
            Self::OpenMetrics => open,
            Self::Prometheus => older(&open),
        }
    }
}

/// A media type that is accepted, and how much (RFC 9110, section 12.4.2).
fn weighed(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (name, weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
}

/// A family is called as its samples are, units are not said, and there is no mark at the end.
fn older(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' '))
        {
            let (ending, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            text += &format!("# HELP {name}{ending} {help}\n# TYPE {name}{ending} {kind}\n");
        } else if !line.starts_with('#') {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_format_is_chosen_by_weight() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("text/plain; q=0.5, Application/OpenMetrics-Text; q=0.5", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text; q=0.9", Format::Prometheus),
            ("application/openmetrics-text; q=0", Format::Prometheus),
            ("application/openmetrics-text; q=much", Format::Prometheus),
            ("text/plain", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("", Format::Prometheus),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Format::asked_for(&headers), format, "{accept}");
        }
        assert_eq!(Format::asked_for(&HeaderMap::new()), Format::Prometheus);
    }

    #[test]
    fn the_older_format_has_the_same_samples() {
        let open = "# HELP a What a is.\n# TYPE a counter\na_total{x=\"# y\"} 1\n\
                    # HELP b_seconds B.\n# TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds 2\n\
                    # HELP c C.\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";
        let older = "# HELP a_total What a is.\n# TYPE a_total counter\na_total{x=\"# y\"} 1\n\
                     # HELP b_seconds B.\n# TYPE b_seconds gauge\nb_seconds 2\n\
                     # HELP c_info C.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(Format::Prometheus.write(open.to_owned()), older);
        assert_eq!(Format::OpenMetrics.write(open.to_owned()), open);
    }
}

//! Plots as inline SVG. Colours come from the page, so a plot follows its light or dark mode.

use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 46.0;

/// Colours the page has; further series begin again with the first.
const COLOURS: usize = 5;

/// A named curve.
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// One direction of a plot.
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// Values and what is written there.
    pub ticks: Vec<(f64, String)>,
    /// The value at its beginning and at its end.
    pub range: (f64, f64),
    /// Whether equal distances mean equal factors.
    pub logarithmic: bool,
}

impl Axis {
    /// Where `value` is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (from, to) = self.range;
        let part = if self.logarithmic {
            (value.max(from) / from).ln() / (to / from).ln()
        } else {
            (value - from) / (to - from)
        };
        part.clamp(0.0, 1.0)
    }

    /// An axis from 0 to a round number beyond `max`.
    pub fn linear(label: &str, max: f64, show: impl Fn(f64) -> String) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = round_step(max / 5.0);
        let steps = (max / step).ceil();
        let ticks = (0..=steps as u32).map(|i| f64::from(i) * step);
        Self {
            label: label.to_owned(),
            ticks: ticks.map(|value| (value, show(value))).collect(),
            range: (0.0, steps * step),
            logarithmic: false,
        }
    }

    /// A logarithmic axis that holds `min` and `max`.
    pub fn logarithmic(label: &str, min: f64, max: f64, show: impl Fn(f64) -> String) -> Self {
        let mut values = Vec::new();
        let mut decade = 10f64.powf(min.log10().floor());
        while decade <= max {
            values.extend([decade, 2.0 * decade, 5.0 * decade]);
            decade *= 10.0;
        }
        values.push(decade);
        // The last value below the smallest and the first above the largest frame the curve.
        let first = values.iter().rposition(|v| *v <= min).unwrap_or(0);
        let last = values.iter().position(|v| *v >= max).unwrap_or(values.len() - 1);
        let values = &values[first..=last.max(first + 1).min(values.len() - 1)];
        Self {
            label: label.to_owned(),
            ticks: values.iter().map(|value| (*value, show(*value))).collect(),
            range: (values[0], values[values.len() - 1]),
            logarithmic: true,
        }
    }
}

/// The nearest of 1, 2 and 5 times a power of ten that is not smaller.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= step * 0.999_999);
    power * factor.unwrap_or(10.0)
}

/// The colour of the series of this number.
pub fn colour(number: usize) -> String {
    format!("var(--s{})", number % COLOURS)
}

/// Curves over two axes; a single curve is underlaid.
pub fn curves(series: &[Series], x: &Axis, y: &Axis) -> String {
    let mut svg = String::new();
    open(&mut svg, HEIGHT, &format!("{} over {}", y.label, x.label));
    frame(&mut svg, x, y);
    // From the last to the first: where curves coincide, the server under test is seen. Only a
    // single curve is underlaid, since the colours of several would blend into a new one.
    let underlaid = series.len() == 1;
    for (number, series) in series.iter().enumerate().rev() {
        curve(&mut svg, series, number, x, y, underlaid);
    }
    svg.push_str("</svg>");
    svg
}

fn open(svg: &mut String, height: f64, label: &str) {
    let label = super::html::escape(label);
    let size = format!("viewBox=\"0 0 {WIDTH} {height}\"");
    svg.push_str(&format!("<svg {size} role=\"img\" aria-label=\"{label}\">"));
}

fn across(x: &Axis, value: f64) -> f64 {
    LEFT + x.place(value) * (WIDTH - LEFT - RIGHT)
}

fn down(y: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM)
}

/// Grid, ticks and labels.
fn frame(svg: &mut String, x: &Axis, y: &Axis) {
    let (end, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, text) in &y.ticks {
        let at = down(y, *value);
        put(
            svg,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 10.0,
                at + 4.0,
            ),
        );
    }
    for (value, text) in &x.ticks {
        let at = across(x, *value);
        put(
            svg,
            format_args!(
                "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom}\" y2=\"{}\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                bottom + 5.0,
                bottom + 20.0,
            ),
        );
    }
    let (middle, foot, label) = ((LEFT + end) / 2.0, HEIGHT - 6.0, &x.label);
    put(
        svg,
        format_args!(
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
         <text x=\"{middle}\" y=\"{foot}\" text-anchor=\"middle\">{label}</text>",
        ),
    );
}

fn curve(svg: &mut String, series: &Series, number: usize, x: &Axis, y: &Axis, underlaid: bool) {
    let point = |(px, py): &(f64, f64)| format!("{:.1},{:.1}", across(x, *px), down(y, *py));
    let points: Vec<String> = series.points.iter().map(point).collect();
    let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else {
        return;
    };
    let (path, colour) = (points.join(" "), colour(number));
    let (from, to, bottom) = (across(x, first.0), across(x, last.0), HEIGHT - BOTTOM);
    if underlaid {
        put(
            svg,
            format_args!(
                "<polygon class=\"area\" fill=\"{colour}\" \
             points=\"{from:.1},{bottom} {path} {to:.1},{bottom}\"/>"
            ),
        );
    }
    put(svg, format_args!("<polyline class=\"curve\" stroke=\"{colour}\" points=\"{path}\"/>"));
    let name = super::html::escape(&series.name);
    put(
        svg,
        format_args!(
            "<circle class=\"dot\" fill=\"{colour}\" r=\"4.5\" cx=\"{to:.1}\" cy=\"{:.1}\">\
         <title>{name}</title></circle>",
            down(y, last.1),
        ),
    );
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("a String takes any text");
}

/// One group of bars: a figure, and the value of each series with its text.
pub struct Bars {
    /// What is compared.
    pub name: String,
    /// Which direction is the good one.
    pub hint: &'static str,
    /// The values and how they are written.
    pub values: Vec<(f64, String)>,
}

/// Groups of horizontal bars; each group has its own scale.
pub fn bars(groups: &[Bars]) -> String {
    const BAR: f64 = 16.0;
    const GAP: f64 = 20.0;
    const NAME: f64 = 200.0;
    let group = |group: &Bars| group.values.len() as f64 * (BAR + 3.0) + GAP;
    let mut svg = String::new();
    open(&mut svg, groups.iter().map(group).sum(), "comparison of the figures");
    let mut top = 0.0;
    for bars in groups {
        let (name, hint) = (super::html::escape(&bars.name), bars.hint);
        put(
            &mut svg,
            format_args!(
                "<text class=\"strong\" x=\"0\" y=\"{:.1}\">{name}</text>\
             <text x=\"0\" y=\"{:.1}\">{hint}</text>",
                top + 13.0,
                top + 29.0,
            ),
        );
        let most = bars.values.iter().map(|(value, _)| *value).fold(f64::MIN_POSITIVE, f64::max);
        for (number, (value, text)) in bars.values.iter().enumerate() {
            let y = top + number as f64 * (BAR + 3.0);
            let length = (value / most * (WIDTH - NAME - 150.0)).max(2.0);
            put(
                &mut svg,
                format_args!(
                    "<rect x=\"{NAME}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"3\" \
                 fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                    colour(number),
                    NAME + length + 8.0,
                    y + 12.5,
                ),
            );
        }
        top += group(bars);
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_ends_at_a_round_number() {
        let axis = Axis::linear("x", 930.0, |v| v.to_string());
        assert_eq!(axis.range, (0.0, 1000.0));
        assert_eq!(axis.ticks.len(), 6);
        assert_eq!(axis.place(500.0), 0.5);
    }

    #[test]
    fn a_logarithmic_axis_frames_its_values() {
        let axis = Axis::logarithmic("y", 130.0, 7_000.0, |v| v.to_string());
        assert_eq!(axis.range, (100.0, 10_000.0));
        assert_eq!(axis.ticks.len(), 7);
        assert!((axis.place(1000.0) - 0.5).abs() < 1e-9);
        let narrow = Axis::logarithmic("y", 100.0, 100.0, |v| v.to_string());
        assert!(narrow.range.0 < narrow.range.1);
    }
}

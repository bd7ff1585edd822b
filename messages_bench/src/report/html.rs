//! The report as a page: no scripts, nothing from elsewhere.

use std::fmt::Write;

use super::charts::{latency, timeline};
use super::plot::{Bars, bars, colour};
use super::table::{number, ratio, value_of};
use super::{Environment, words};
use crate::compare::Outcome;
use crate::limits;
use crate::sample::{Better, Figure};

/// Text as HTML shows it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page.
pub fn page(scenario: &str, environment: &Environment, outcomes: &[Outcome], seed: u64) -> String {
    let words = words::of(scenario);
    let medians: Vec<Vec<Figure>> = outcomes.iter().map(Outcome::medians).collect();
    let faults: u64 = outcomes.iter().map(Outcome::faults).sum();
    let (class, verdict) = match faults {
        0 => ("right", "no faults".to_owned()),
        1 => ("wrong", "1 fault".to_owned()),
        n => ("wrong", format!("{} faults", number(n as f64))),
    };
    let names: Vec<String> = outcomes.iter().map(|outcome| escape(&outcome.name)).collect();
    let (title, names, note) = (words.title, names.join(" and "), note(environment.note()));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · {names}</title>\n<style>{}</style>\n<main>\
         <header><h1>{title}</h1><span class=\"verdict {class}\">{verdict}</span>\
         <p>{}</p>{note}</header>\n",
        include_str!("page.css"),
        words.about,
    );
    page.push_str(&tiles(outcomes, &medians));
    page.push_str(&latency(&words, outcomes));
    page.push_str(&timeline(&words, outcomes));
    page.push_str(&comparison(outcomes, &medians));
    page.push_str(&figures(outcomes, &medians));
    page.push_str(&fault_list(outcomes));
    page.push_str(&environment.html(seed));
    page.push_str("</main></html>\n");
    page
}

/// The remark, on a line of its own.
fn note(note: &str) -> String {
    if note.is_empty() { String::new() } else { format!("<p>{}</p>", escape(note)) }
}

/// The most important figures, large.
fn tiles(outcomes: &[Outcome], medians: &[Vec<Figure>]) -> String {
    const TILES: [&str; 11] = [
        "appends",
        "deliveries",
        "throughput",
        "creates",
        "kills under load",
        "clients",
        "restart median",
        "p50",
        "p99",
        "server CPU",
        "content checked",
    ];
    let mut html = String::from("<section class=\"tiles\">");
    let Some((own, peers)) = medians.split_first() else {
        return String::new();
    };
    let shown = own.iter().filter(|figure| TILES.contains(&&*figure.name));
    // With deliveries, the appends behind them come later in the list and are left to the table.
    let shown = shown.filter(|f| f.name != "appends" || value_of(own, "deliveries").is_none());
    for figure in shown.take(4) {
        let Figure { name, value, unit, better, .. } = figure;
        put(
            &mut html,
            format_args!(
                "<div class=\"card tile\"><div class=\"name\">{name}</div>\
             <div class=\"value\">{} <small>{unit}</small></div>",
                number(*value),
            ),
        );
        for (peer, outcome) in peers.iter().zip(&outcomes[1..]) {
            let other = value_of(peer, name);
            let Some((text, other)) = ratio(*value, other).zip(other) else {
                continue;
            };
            let (class, name) = (class(*better, *value, other), escape(&outcome.name));
            put(
                &mut html,
                format_args!(
                    "<div class=\"peer\"><span class=\"{class}\">{text}</span> of {name} ({})</div>",
                    number(other),
                ),
            );
        }
        html.push_str("</div>");
    }
    html.push_str("</section>\n");
    html
}

/// Whether a figure is better or worse than the peer's by more than noise.
fn class(better: Better, own: f64, peer: f64) -> &'static str {
    const NOISE: f64 = 0.03;
    let more = own / peer - 1.0;
    match better {
        Better::Neither => "",
        _ if more.abs() < NOISE => "",
        Better::Higher if more > 0.0 => "good",
        Better::Lower if more < 0.0 => "good",
        _ => "bad",
    }
}

/// Names the colours of the servers, where there are several.
pub fn legend(outcomes: &[Outcome]) -> String {
    if outcomes.len() < 2 {
        return String::new();
    }
    let mut html = String::from("<div class=\"legend\">");
    for (at, outcome) in outcomes.iter().enumerate() {
        let (colour, name) = (colour(at), escape(&outcome.name));
        put(&mut html, format_args!("<span><i style=\"background:{colour}\"></i>{name}</span>"));
    }
    html + "</div>"
}

/// A part of the page.
pub fn card(title: &str, about: &str, legend: &str, content: &str) -> String {
    format!("<section class=\"card\"><h2>{title}</h2><p>{about}</p>{legend}{content}</section>\n")
}

/// Bars for each figure that has a good direction.
fn comparison(outcomes: &[Outcome], medians: &[Vec<Figure>]) -> String {
    let Some((own, peers)) = medians.split_first().filter(|(_, peers)| !peers.is_empty()) else {
        return String::new();
    };
    let mut groups = Vec::new();
    for figure in own.iter().filter(|figure| figure.better != Better::Neither) {
        let values: Vec<f64> = std::iter::once(figure.value)
            .chain(peers.iter().map(|peer| value_of(peer, &figure.name).unwrap_or(0.0)))
            .collect();
        if values.iter().all(|value| *value == 0.0) {
            continue;
        }
        let hint =
            if figure.better == Better::Higher { "more is better" } else { "less is better" };
        let text = |value: &f64| (*value, format!("{} {}", number(*value), figure.unit));
        let values = values.iter().map(text).collect();
        groups.push(Bars { name: figure.name.to_string(), hint, values });
    }
    card(
        "Side by side",
        "Medians; each figure has its own scale.",
        &legend(outcomes),
        &bars(&groups),
    )
}

/// All figures.
fn figures(outcomes: &[Outcome], medians: &[Vec<Figure>]) -> String {
    let Some((own, peers)) = medians.split_first() else {
        return String::new();
    };
    let mut html = String::from("<div class=\"scroll\"><table><tr><th>figure</th><th>unit</th>");
    for outcome in outcomes {
        put(&mut html, format_args!("<th>{}</th>", escape(&outcome.name)));
    }
    for peer in &outcomes[1..] {
        put(&mut html, format_args!("<th>ratio to {}</th>", escape(&peer.name)));
    }
    html.push_str("</tr>");
    for figure in own {
        let Figure { name, unit, value, better, .. } = figure;
        put(&mut html, format_args!("<tr><td>{name}</td><td>{unit}</td>"));
        for (outcome, figures) in outcomes.iter().zip(medians) {
            let median = value_of(figures, name).map(number).unwrap_or_default();
            put(&mut html, format_args!("<td>{median}{}</td>", spread(outcome, name)));
        }
        for other in peers.iter().map(|peer| value_of(peer, name)) {
            let class = other.map_or("", |other| class(*better, *value, other));
            let text = ratio(*value, other).unwrap_or_default();
            put(&mut html, format_args!("<td class=\"{class}\">{text}</td>"));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
    let rounds = outcomes.iter().map(|outcome| outcome.samples.len()).max().unwrap_or(0);
    let about = match rounds {
        0 | 1 => "From one run.".to_owned(),
        n => format!(
            "Medians of {n} rounds in turns, for memory the largest; behind them the range."
        ),
    };
    card("All figures", &about, "", &html)
}

/// The smallest and the largest value of a figure, if there were several runs.
fn spread(outcome: &Outcome, name: &str) -> String {
    let values = outcome.samples.iter().filter_map(|sample| value_of(&sample.figures, name));
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    if outcome.samples.len() < 2 || least >= most {
        return String::new();
    }
    format!(" <span>{}–{}</span>", number(least), number(most))
}

fn fault_list(outcomes: &[Outcome]) -> String {
    let total: u64 = outcomes.iter().map(Outcome::faults).sum();
    if total == 0 {
        return String::new();
    }
    let mut html = String::from("<ul class=\"faults\">");
    let all = outcomes.iter().flat_map(|o| o.samples.iter().map(move |s| (&o.name, s)));
    let all = all.flat_map(|(name, sample)| sample.faults.list.iter().map(move |f| (name, f)));
    for (name, fault) in all.take(limits::FAULTS_ON_PAGE) {
        put(&mut html, format_args!("<li>{}: {}</li>", escape(name), escape(fault)));
    }
    html.push_str("</ul>");
    let about = format!("{} in all; the first {} are shown.", total, limits::FAULTS_ON_PAGE);
    card("Faults", &about, "", &html)
}

fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("a String takes any text");
}

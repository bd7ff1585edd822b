//! The figures as a table: one column for each server, and the ratio to each peer.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};

use crate::compare::Outcome;
use crate::sample::Figure;

/// The table of all outcomes; the first is the server under test.
pub fn table(outcomes: &[Outcome]) -> Table {
    let medians: Vec<Vec<Figure>> = outcomes.iter().map(Outcome::medians).collect();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut head = vec!["figure".to_owned(), "unit".to_owned()];
    head.extend(outcomes.iter().map(|outcome| outcome.name.clone()));
    let peers = outcomes.iter().skip(1);
    head.extend(peers.map(|peer| format!("{} / {}", outcomes[0].name, peer.name)));
    table.set_header(head);
    let Some((own, others)) = medians.split_first() else {
        return table;
    };
    for figure in own {
        let of_peer = |peer: &Vec<Figure>| value_of(peer, &figure.name);
        let peers: Vec<Option<f64>> = others.iter().map(of_peer).collect();
        let mut row =
            vec![Cell::new(&figure.name), Cell::new(figure.unit), right(number(figure.value))];
        row.extend(peers.iter().map(|v| right(v.map(number).unwrap_or_default())));
        row.extend(peers.iter().map(|v| right(ratio(figure.value, *v).unwrap_or_default())));
        table.add_row(row);
    }
    table
}

/// The value of the figure of this name.
pub fn value_of(figures: &[Figure], name: &str) -> Option<f64> {
    figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// How many times as much as the peer.
pub fn ratio(own: f64, peer: Option<f64>) -> Option<String> {
    peer.filter(|peer| *peer > 0.0).map(|peer| format!("{:.2}×", own / peer))
}

/// A number with as many digits as it deserves, and its thousands set apart.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v.fract() == 0.0 || v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, whole) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            apart.push(',');
        }
        apart.push(digit);
    }
    format!("{sign}{apart}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_legible() {
        let shown = [1234567.8, 1000.0, 999.94, 12.345, 0.1234, 0.0, -1234.0].map(number);
        assert_eq!(shown, ["1,234,568", "1,000", "999.9", "12.35", "0.123", "0", "-1,234"]);
    }
}

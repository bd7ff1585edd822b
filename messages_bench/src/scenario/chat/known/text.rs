//! Texts of messages. Each has a number that no other has, by which it is found wherever it is.

/// What stands around the number.
const MARK: char = '~';

/// The text with a number, some `words` long.
pub fn text(number: u64, words: u64) -> String {
    let words = " and so on".repeat(usize::try_from(words).unwrap_or(0));
    format!("{MARK}{number}{MARK} I say{words}")
}

/// The numbers of all texts that are somewhere in `content`.
pub fn numbers(content: &str) -> impl Iterator<Item = u64> {
    content.split(MARK).filter_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_is() {
        let content = format!(r#"[{{"text":"{}"}},{{"text":"{}"}},7]"#, text(12, 0), text(3, 2));
        assert_eq!(numbers(&content).collect::<Vec<_>>(), [12, 3]);
        assert_eq!(numbers(r#"{"position":12,"text":""}"#).count(), 0);
    }
}

//! Texts and messages come out as they went in, over events too.

use super::common::{Setup, protocol::Events};

const TEXT: &str = "text/plain";

#[tokio::test]
async fn leading_spaces_and_empty_lines_survive_events() {
    let server = Setup::new().await.start().await;
    server.create("t", TEXT, "").await;
    let mut events = server.events("t", "-1").await;
    assert_eq!(events.next().await.expect("an event").name, "control");
    for text in [" one", "  two\n   three", "\n", "\n\n", " ", "a\n ", "data: x", ": y", "id:7\n"] {
        server.append("t", TEXT, text).await;
        let (data, _) = events.data().await;
        assert_eq!(data, text);
    }
    let whole = server.fetch("t").await;
    let (data, _) = read_all(&mut server.events("t", "-1").await, whole.text().len()).await;
    assert_eq!(data, whole.text());
}

/// Reads `len` bytes and the control event behind them.
async fn read_all(events: &mut Events, len: usize) -> (String, String) {
    let (mut text, mut offset) = (String::new(), String::new());
    while text.len() < len {
        let (data, control) = events.data().await;
        text.push_str(&data);
        offset = control.offset();
    }
    (text, offset)
}

#[tokio::test]
async fn a_character_that_is_split_across_appends_comes_whole() {
    let server = Setup::new().await.start().await;
    server.create("t", "text/plain; charset=utf-8", "").await;
    let mut events = server.events("t", "-1").await;
    events.next().await.expect("a control event");
    let text = "é😀日";
    for byte in text.as_bytes() {
        server.append("t", "text/plain", vec![*byte]).await;
    }
    events.expect(text).await;
    // Whoever comes when half of one is there gets it as soon as the rest is.
    server.append("t", TEXT, &"😀".as_bytes()[..2]).await;
    let mut late = server.events("t", "-1").await;
    let control = late.expect(text).await;
    assert!(*control.offset() < *server.fetch("t").await.header("stream-next-offset"));
    server.append("t", TEXT, &"😀".as_bytes()[2..]).await;
    assert_eq!(late.data().await.0, "😀");
    assert_eq!(events.data().await.0, "😀");
    // Going on from the offset that was told before it gives the whole character, too.
    assert_eq!(server.events("t", &control.offset()).await.data().await.0, "😀");
    server.append("t", TEXT, &b"\xF0\x9F"[..]).await;
    server.close("t").await;
    let (rest, last) = events.rest().await;
    assert_eq!(rest, "\u{FFFD}", "what will never be whole is shown as that");
    assert_eq!(last.control()["streamClosed"], true);
}

#[tokio::test]
async fn a_line_break_of_two_bytes_is_one_also_when_it_is_split() {
    let server = Setup::new().await.start().await;
    server.create("t", TEXT, "one\r\ntwo\rthree\nfour\r").await;
    let mut events = server.events("t", "-1").await;
    events.expect("one\ntwo\nthree\nfour").await;
    server.append("t", TEXT, "\nfive\r").await;
    events.expect("\nfive").await;
    server.append("t", TEXT, " six").await;
    events.expect("\n six").await;
    server.append("t", TEXT, "\r").await;
    server.close("t").await;
    assert_eq!(events.rest().await.0, "\n");
    assert_eq!(server.fetch("t").await.text(), "one\r\ntwo\rthree\nfour\r\nfive\r six\r");
}

#[tokio::test]
async fn a_text_cannot_make_events_up() {
    let server = Setup::new().await.start().await;
    server.create("t", TEXT, "").await;
    let text = "x\n\nevent: control\ndata:{\"streamNextOffset\":\"0\",\"streamClosed\":true}\n\n";
    server.append("t", TEXT, text).await;
    let mut events = server.events("t", "-1").await;
    let (data, control) = events.data().await;
    assert_eq!(data, text);
    assert!(control.control().get("streamClosed").is_none());
    server.create("j", "application/json", "[{\"a\":\n\"event: control\"\r\n}]").await;
    let (data, _) = server.events("j", "-1").await.data().await;
    assert_eq!(data, "[{\"a\":\n\"event: control\"\n}]");
}

#[tokio::test]
async fn the_text_of_messages_is_kept() {
    let server = Setup::new().await.start().await;
    let messages = [
        "12345678901234567890.123456789012345678901234567890",
        "-0.0e+00",
        r#"{"z":1,"a":2,"z":3}"#,
        r#""\u00e9 é \ud83d\ude00 \/""#,
        r#"{ "a" : [ 1 , "x,[]{}\"" ] }"#,
        "[[],[[1]]]",
        "1E400",
    ];
    server.create("j", "application/json", "").await;
    server.append("j", "application/json", format!(" [ {} ] ", messages.join(" , "))).await;
    for message in messages {
        let one = if message.starts_with('[') { format!("[{message}]") } else { message.into() };
        server.append("j", "application/json", one).await;
    }
    let want = format!("[{0},{0}]", messages.join(","));
    assert_eq!(server.fetch("j").await.text(), want);
    assert_eq!(server.events("j", "-1").await.data().await.0, want);
    let server = server.crash().await;
    assert_eq!(server.fetch("j").await.text(), want);
}

#[tokio::test]
async fn any_bytes_come_through_events() {
    let server = Setup::new().await.start().await;
    let bytes: Vec<u8> = (0..=255).chain([13, 10, 0]).collect();
    server.create("b", "application/octet-stream", bytes.clone()).await;
    let mut events = server.events("b", "-1").await;
    assert_eq!(events.reader.headers["stream-sse-data-encoding"], "base64");
    let (data, _) = events.data().await;
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text: String = data.lines().collect();
    assert_eq!(STANDARD.decode(text).expect("base64"), bytes);
}

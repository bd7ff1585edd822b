//! Where answers begin and end.

use super::common::{Setup, TestServer};

/// What one answer holds at most.
const ANSWER_BYTES_MAX: usize = 256 << 20;

#[tokio::test]
async fn a_page_of_messages_ends_behind_a_message() {
    let server = Setup::new().await.with(&["--durability", "os"]).start().await;
    server.create("j", "application/json", "").await;
    // No divisor of the size of an answer, so that its end lies inside of a message.
    let size = 3_999_983;
    let count = ANSWER_BYTES_MAX / size + 3;
    for number in 0..count {
        let message = format!("\"{number:04}{}\"", "y".repeat(size - 7));
        server.append("j", "application/json", message).await;
    }
    let (mut offset, mut found, mut pages) = ("-1".to_owned(), 0, 0);
    loop {
        let page = server.fetch(&format!("j?offset={offset}")).await;
        assert_eq!(page.status, 200);
        let (first, last) = (page.body.first(), page.body.last());
        assert_eq!((first, last), (Some(&b'['), Some(&b']')));
        // Each message has the same length, with the comma or bracket behind it.
        assert_eq!((page.body.len() - 1) % size, 0, "{}", page.body.len());
        for message in page.body[1..].chunks(size) {
            assert_eq!(message[..5], format!("\"{found:04}").as_bytes()[..]);
            assert_eq!(message[size - 2], b'"');
            found += 1;
        }
        pages += 1;
        offset = page.header("stream-next-offset").to_owned();
        if page.header("stream-up-to-date") == "true" {
            break;
        }
        assert!(page.body.len() <= ANSWER_BYTES_MAX + size, "a message more at most");
        assert_eq!(page.header("stream-closed"), "");
    }
    assert_eq!((found, pages), (count, 2));
}

crate::on_both_databases!(nobody_gets_a_part_of_a_message);

async fn nobody_gets_a_part_of_a_message(setup: Setup) {
    let server = setup.start().await;
    server.create("j", "application/json", r#"[{"a":1,"b":2},{"c":3}]"#).await;
    server.append("j", "application/json", "[4,5]").await;
    server.close("j").await;
    server.create("text", "text/plain", "some text").await;
    only_whole_messages_are_read(&server).await;
    only_whole_messages_are_read(&server.restart().await).await;
}

async fn only_whole_messages_are_read(server: &TestServer) {
    let rests = [
        (0, r#"[{"a":1,"b":2},{"c":3},4,5]"#),
        (14, r#"[{"c":3},4,5]"#),
        (22, "[4,5]"),
        (24, "[5]"),
        (26, "[]"),
    ];
    for bytes in 0..=26 {
        let target = format!("j?offset=0000000000000001_{bytes:016}");
        if let Some((_, rest)) = rests.iter().find(|(place, _)| *place == bytes) {
            assert_eq!(server.fetch(&target).await.text(), *rest);
            continue;
        }
        for live in ["", "&live=long-poll", "&live=sse"] {
            server.fetch(&format!("{target}{live}")).await.problem(400, "bad_offset");
        }
    }
    let cut = server.fetch("text?offset=0000000000000001_0000000000000005").await;
    assert_eq!(cut.text(), "text", "bytes may be cut anywhere");
}

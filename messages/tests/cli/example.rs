//! The examples of the documentation, as they stand there.

use crate::common::{Setup, soon};
use tokio::process::Command;

const DOCUMENT: &str = include_str!("../../../docs/cli.md");

/// What one types, and what comes.
fn examples() -> impl Iterator<Item = (String, String)> {
    DOCUMENT.split("```console\n").skip(1).map(|block| {
        let block = block.split_once("```").expect("its end").0;
        let (typed, shown): (Vec<&str>, Vec<&str>) =
            block.lines().partition(|line| line.starts_with("$ "));
        let typed = typed.iter().map(|line| format!("{}\n", &line[2..])).collect();
        (typed, shown.iter().map(|line| format!("{line}\n")).collect())
    })
}

#[tokio::test]
async fn they_do_what_is_said() {
    let server = Setup::new().await.start().await;
    let home = server.setup().home();
    let bin = home.join("bin");
    std::fs::create_dir(&bin).expect("a directory");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_messages"), bin.join("messages"))
        .expect("a link");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut count = 0;
    for (typed, shown) in examples() {
        let mut shell = Command::new("sh");
        shell.env_clear().env("PATH", &path).current_dir(home);
        shell.env("MESSAGES_URL", format!("http://{}", server.address()));
        let output = shell.args(["-c", &format!("exec 2>&1\n{typed}")]).output();
        let output = soon("the example ends", output).await.expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), shown, "{typed}");
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn all_commands_are_in_the_document() {
    for command in [
        "serve",
        "token",
        "push",
        "tail",
        "ls",
        "rm",
        "export",
        "import",
        "backup",
        "check",
        "completions",
        "man",
    ] {
        assert!(
            DOCUMENT.contains(&format!("`{command}")) || DOCUMENT.contains(&format!("`{command} ")),
            "{command}"
        );
    }
}

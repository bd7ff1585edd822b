//! The commands are in the documentation, whose examples `conformance/docs` runs.

const DOCUMENT: &str = include_str!("../../../docs/cli.md");

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

//! `docs/configuration.md` is written from the settings themselves.

use clap::{Arg, CommandFactory, Parser};
use messages::config::Config;
use std::{fmt::Write, fs, path::Path};

const RENEW: &str = "RENEW_DOCS=1 cargo test -p messages --test core configuration";

/// For settings whose default says nothing, or that have none.
const EXAMPLES: &[(&str, &str)] = &[
    ("listen", "0.0.0.0:3000"),
    ("tls-cert", "/etc/messages/tls/fullchain.pem"),
    ("tls-key", "/etc/messages/tls/privkey.pem"),
    ("data-dir", "/var/lib/messages"),
    ("database-url", "postgres://messages:password@db.example.org/messages"),
    ("durability", "os"),
    ("public-url", "https://streams.example.org"),
    ("webhook-allow-loopback", "true"),
    ("cors-origins", "https://app.example.org,https://admin.example.org"),
    ("redis-url", "rediss://messages:password@redis.example.org:6379"),
    ("redis-ca-file", "/etc/messages/redis-ca.pem"),
    ("redis-bytes-max", "2147483648"),
    ("redis-wait-replicas", "1"),
    ("auth-secret", "0123456789abcdef0123456789abcdef"),
    ("auth-secret-file", "/run/secrets/messages"),
    ("auth-audience", "messages"),
    ("auth-issuer", "https://login.example.org"),
    ("auth-jwks", "https://login.example.org/.well-known/jwks.json"),
    ("requests-per-sec-max", "100"),
    ("creations-per-min-max", "600"),
    ("reads-per-principal-max", "200"),
    ("messages-per-min-max", "120"),
    ("attachment-types", "image/*,application/pdf"),
    ("catchup-bytes-per-sec-max", "104857600"),
    ("log", "warn,messages::flusher=debug"),
];

fn units(name: &str) -> &str {
    match name {
        "BYTES" => "bytes",
        "SECS" => "seconds",
        "MS" => "milliseconds",
        "COUNT" => "a number",
        "BOOL" => "`true` or `false`",
        "FILE" => "a file",
        "DIR" => "a directory",
        "URL" => "a URL",
        "ADDRESS" => "an address and a port",
        "TEXT" => "text",
        _ => "",
    }
}

/// What is said of a setting, and what is said of its default.
fn help(setting: &Arg) -> (String, Option<String>) {
    let help = setting.get_long_help().or(setting.get_help()).expect("a setting is explained");
    let help = help.to_string();
    // One sentence is shown without its end.
    let full = |help: &str| if help.ends_with('.') { help.into() } else { format!("{help}.") };
    match help.split_once(" [default: ") {
        Some((help, default)) => {
            (full(help), Some(default.trim_end_matches(']').replace('\n', " ")))
        }
        None => (full(&help), None),
    }
}

fn section(setting: &Arg) -> String {
    let flag = setting.get_long().expect("every setting is a flag");
    let env = setting.get_env().expect("and a variable").to_string_lossy();
    let (help, said) = help(setting);
    let takes_value = setting.get_action().takes_values();
    let values: Vec<_> =
        setting.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect();
    let name = setting.get_value_names().and_then(|names| names.first());
    let unit = match name {
        _ if !takes_value => "`true` or `false`".to_owned(),
        _ if !values.is_empty() => values.join(", "),
        Some(name) if !units(name).is_empty() => units(name).into(),
        Some(name) => name.to_lowercase().replace('|', " or "),
        None => String::new(),
    };
    let defaults: Vec<_> =
        setting.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    let default = match (said, defaults.join(",")) {
        (Some(said), _) => said,
        (None, value) if !value.is_empty() && takes_value => format!("`{value}`"),
        (None, _) if !takes_value => "`false`".into(),
        (None, _) => "none".into(),
    };
    let example = EXAMPLES.iter().find(|(of, _)| *of == flag).map(|(_, value)| (*value).to_owned());
    let example = example.or_else(|| defaults.first().map(|_| defaults.join(",")));
    let example = match example {
        _ if !takes_value => "true".into(),
        Some(example) => example,
        None => panic!("--{flag} has no default: give it an example in {}", file!()),
    };
    let args = if takes_value { format!("--{flag}={example}") } else { format!("--{flag}") };
    let parsed = Config::try_parse_from(["messages", &args]).map(drop);
    assert!(parsed.is_ok(), "the example {args} is wrong: {parsed:?}");
    format!(
        "### `--{flag}`\n\n{help}\n\n| variable | default | unit | example |\n|---|---|---|---|\n\
         | `{env}` | {default} | {unit} | `{env}={example}` |\n\n"
    )
}

fn document() -> String {
    let mut document = "# Configuration\n\n\
        This page is written from the settings of the program, and a test keeps it so.\n\n\
        Every setting is a flag and a variable of the environment; a file `.env` in the working directory may\n\
        hold variables, too. A flag goes before the environment, and that before the file. What is out of range\n\
        keeps the server from starting and is said. `messages --help` tells the same as this page.\n\n"
        .to_owned();
    let command = Config::command();
    let settings = || command.get_arguments().filter(|arg| arg.get_long().is_some());
    let settings =
        || settings().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()));
    document.push_str("| flag | variable | default |\n|---|---|---|\n");
    let sections: Vec<String> = settings().map(section).collect();
    for (setting, section) in settings().zip(&sections) {
        let flag = setting.get_long().expect("a flag");
        let row = section.lines().rev().find(|line| line.starts_with("| `")).expect("a row");
        let cells: Vec<_> = row.split(" | ").collect();
        writeln!(document, "| [`--{flag}`](#--{flag}) {} | {} |", cells[0], cells[1])
            .expect("memory");
    }
    document.push('\n');
    document.push_str(&sections.concat());
    document.truncate(document.trim_end().len());
    document.push('\n');
    document
}

#[test]
fn the_page_of_the_settings_is_what_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let document = document();
    if std::env::var_os("RENEW_DOCS").is_some() {
        fs::write(&path, &document).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == document,
        "docs/configuration.md is not up to date; renew it with\n\n  {RENEW}\n"
    );
    for (flag, _) in EXAMPLES {
        assert!(document.contains(&format!("### `--{flag}`")), "there is no --{flag} any more");
    }
}

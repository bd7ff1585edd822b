//! Who may know whom. Dependencies run one way through the house; this reads the sources and holds
//! them to it.

use std::{collections::BTreeMap, fs, path::Path};

/// Every module, with the modules of this crate that it may use and the crates that are its own
/// business. In the order of the way through the house: a module uses only those further down.
const MODULES: &[(&str, &[&str], &[&str])] = &[
    ("main", &["cli", "config", "fetch", "server"], &["dotenvy", "rlimit", "tracing_subscriber"]),
    (
        "cli",
        &[
            "http", "config", "health", "fetch", "auth", "store", "journal", "clock", "lock",
            "model", "limits",
        ],
        &[
            "base64",
            "clap",
            "clap_complete",
            "clap_mangen",
            "http_body_util",
            "hyper",
            "hyper_rustls",
            "hyper_util",
            "indicatif",
            "memchr",
            "percent_encoding",
            "ring",
            "rustls",
            "uuid",
            "webpki_roots",
        ],
    ),
    ("health", &["tls", "limits"], &["clap", "http_body_util", "hyper", "hyper_util"]),
    (
        "server",
        &[
            "http",
            "chat",
            "subscription",
            "webhook",
            "cluster",
            "traces",
            "recovery",
            "production",
            "stream",
            "shared_log",
            "tls",
            "flusher",
            "committer",
            "channel",
            "store",
            "journal",
            "budget",
            "config",
            "auth",
            "quota",
            "clock",
            "limits",
            "lock",
        ],
        &[],
    ),
    (
        "http",
        &[
            "cluster",
            "chat",
            "subscription",
            "production",
            "stream",
            "channel",
            "config",
            "auth",
            "quota",
            "stats",
            "traces",
            "tls",
            "model",
            "limits",
        ],
        &[
            "axum",
            "prometheus_client",
            "http_body",
            "http_body_util",
            "hyper",
            "hyper_util",
            "socket2",
            "tower",
            "tower_http",
            "tokio_stream",
            "tokio_tungstenite",
            "percent_encoding",
            "base64",
            "jiff",
            "memchr",
            "uuid",
        ],
    ),
    (
        "cluster",
        &[
            "subscription",
            "stream",
            "flusher",
            "shared_log",
            "store",
            "auth",
            "quota",
            "traces",
            "stats",
            "model",
            "limits",
        ],
        &["uuid"],
    ),
    (
        "chat",
        &["subscription", "stream", "flusher", "channel", "store", "clock", "model", "limits"],
        &["base64", "dashmap", "ring", "uuid"],
    ),
    (
        "subscription",
        &["webhook", "stream", "committer", "channel", "store", "clock", "model", "limits"],
        &["base64", "percent_encoding", "ring"],
    ),
    (
        "webhook",
        &["limits"],
        &[
            "http_body_util",
            "hyper",
            "hyper_util",
            "ring",
            "rustls",
            "tokio_rustls",
            "url",
            "webpki_roots",
        ],
    ),
    (
        "recovery",
        &["stream", "committer", "channel", "admission", "store", "budget", "model", "limits"],
        &[],
    ),
    ("production", &["stream", "channel", "model", "limits"], &[]),
    (
        "stream",
        &[
            "admission",
            "budget",
            "channel",
            "clock",
            "committer",
            "store",
            "shared_log",
            "stats",
            "model",
            "limits",
        ],
        &["dashmap", "tokio_stream"],
    ),
    (
        "flusher",
        &["committer", "channel", "store", "budget", "traces", "stats", "model", "limits"],
        &[],
    ),
    ("committer", &["changes", "channel", "journal", "stats", "model", "limits"], &[]),
    ("changes", &["channel"], &[]),
    ("channel", &["admission", "model", "limits"], &[]),
    ("config", &["store", "auth", "shared_log", "tls"], &["clap"]),
    (
        "auth",
        &["fetch", "clock", "stats", "model", "limits"],
        &["base64", "clap", "jsonwebtoken", "quick_cache", "ring"],
    ),
    ("quota", &["limits"], &["dashmap"]),
    ("fetch", &[], &["http_body_util", "hyper_rustls", "hyper_util", "rustls"]),
    ("tls", &["limits"], &["clap", "rustls", "tokio_rustls"]),
    ("store", &["lock", "stats", "model", "limits"], &["sqlx"]),
    ("shared_log", &["journal", "clock", "stats", "model", "limits"], &["clap", "crc32c", "redis"]),
    ("journal", &["model", "limits"], &["crc32c", "memchr"]),
    ("admission", &["model", "limits"], &[]),
    ("budget", &["limits"], &[]),
    ("lock", &[], &[]),
    ("model", &["limits"], &[]),
    (
        "traces",
        &["clock", "stats", "limits"],
        &[
            "http_body_util",
            "hyper_rustls",
            "hyper_util",
            "opentelemetry",
            "opentelemetry_sdk",
            "percent_encoding",
            "rustls",
        ],
    ),
    ("clock", &[], &[]),
    ("stats", &[], &[]),
    ("limits", &[], &[]),
];

/// Modules that do I/O of a kind that the rest must not even know: who may speak of it.
const FILES: &[&str] = &["std::fs", "std::net", "tokio::net"];
const MAY_USE_FILES: &[&str] = &[
    "main", "cli", "server", "http", "journal", "lock", "config", "auth", "fetch", "webhook",
    "tls", "health",
];

fn sources(dir: &Path, module: Option<&str>, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let owner = module.unwrap_or(&stem).to_owned();
        if path.is_dir() {
            sources(&path, Some(&owner), found);
        } else {
            let text = fs::read_to_string(&path).expect("readable");
            let code: String = text
                .split("#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| [line, "\n"])
                .collect();
            found.entry(owner).or_default().push_str(&code);
        }
    }
}

/// The names behind `crate::`, alone (`crate::limits::X`) or in a list (`crate::{limits::X, model}`).
fn used_modules(code: &str) -> Vec<String> {
    code.match_indices("crate::").flat_map(|(at, path)| names(&code[at + path.len()..])).collect()
}

fn names(path: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = path.strip_prefix('{') else { return vec![identifier(path)] };
    let (mut names, mut depth) = (vec![identifier(list)], 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(identifier(&list[at + 1..])),
            _ => {}
        }
    }
    names
}

/// Whether a path begins with this crate; neither `Ordering::` nor `rustls::crypto::ring::` is one of `ring`.
fn has_path(code: &str, krate: &str) -> bool {
    let within = |before: char| before.is_alphanumeric() || "_:".contains(before);
    code.match_indices(&format!("{krate}::")).any(|(at, _)| !code[..at].ends_with(within))
}

#[test]
fn lists_of_imports_are_understood() {
    let code = "use crate::{\n a::B,\n c::{D, e::F},\n g,\n}; crate::h::i(); use crate::j::{K, l};";
    let mut used = used_modules(code);
    used.retain(|name| !name.is_empty());
    assert_eq!(used, ["a", "c", "g", "h", "j"]);
}

#[test]
fn dependencies_run_one_way() {
    let mut modules = BTreeMap::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), None, &mut modules);
    modules.remove("lib");
    let known: Vec<&str> = MODULES.iter().map(|(name, ..)| *name).collect();
    for (name, code) in &modules {
        let (_, may_use, _) = MODULES
            .iter()
            .find(|(known, ..)| known == name)
            .unwrap_or_else(|| panic!("module {name} is not in the table of this test"));
        for used in used_modules(code) {
            let allowed = used == *name || may_use.contains(&used.as_str());
            assert!(allowed || !known.contains(&used.as_str()), "{name} must not use {used}");
        }
        for (owner, _, crates) in MODULES {
            for krate in *crates {
                let speaks = has_path(code, krate) || code.contains(&format!("use {krate};"));
                let shares =
                    MODULES.iter().any(|(other, _, own)| other == name && own.contains(krate));
                assert!(!speaks || shares, "{name} must not know {krate}, which is for {owner}");
            }
        }
        for file in FILES {
            assert!(
                !code.contains(file) || MAY_USE_FILES.contains(&name.as_str()),
                "{name} must not use {file}"
            );
        }
    }
    assert_eq!(modules.len(), known.len(), "a module of the table is gone");
}

/// The table itself has no cycle: every module uses only those after it.
#[test]
fn the_table_is_in_order() {
    let place = |name: &str| MODULES.iter().position(|(known, ..)| *known == name);
    for (name, may_use, _) in MODULES {
        for used in *may_use {
            assert!(place(used) > place(name), "{name} and {used} are out of order");
        }
    }
}

/// A file is one idea: past this it holds more than one.
#[test]
fn files_stay_short() {
    fn check(dir: &Path) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                check(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let lines = fs::read_to_string(&path).expect("readable").lines().count();
                assert!(lines <= 500, "{} has {lines} lines", path.display());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for dir in ["src", "tests", "../messages_bench/src"] {
        check(&root.join(dir));
    }
}

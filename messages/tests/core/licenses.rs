//! `THIRD_PARTY_LICENSES.md` has the licenses of what the program is built from.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

const RENEW: &str = "`make licenses` writes it anew";

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `name version` of each crate in the table.
fn reported(report: &str) -> BTreeSet<String> {
    let rows = report.lines().filter_map(|line| line.strip_prefix("| ["));
    rows.map(|row| {
        let (name, rest) = row.split_once(']').expect("a link");
        format!("{name} {}", rest.split(" | ").nth(1).expect("a version"))
    })
    .collect()
}

/// What is built into the program for this platform, as cargo has it already.
fn built_in() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", "messages"])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let name = words.next().filter(|name| *name != "messages")?;
        Some(format!("{name} {}", words.next()?.strip_prefix('v')?))
    });
    crates.collect()
}

/// `name version` of each package, also of those for other platforms and with other features.
fn locked() -> BTreeSet<String> {
    let lock = read("Cargo.lock");
    let packages = lock.split("[[package]]\n").skip(1).map(|package| {
        let mut values = package.lines().filter_map(|line| line.split('"').nth(1));
        format!("{} {}", values.next().expect("a name"), values.next().expect("a version"))
    });
    packages.collect()
}

#[test]
fn the_report_has_every_crate_of_the_program() {
    let (reported, built_in) = (reported(&read("THIRD_PARTY_LICENSES.md")), built_in());
    assert!(built_in.len() > 100, "cargo tells of too few: {built_in:?}");
    let missing: Vec<_> = built_in.difference(&reported).collect();
    assert!(missing.is_empty(), "{missing:?} are not in the report; {RENEW}");
    let gone: Vec<_> = reported.difference(&locked()).cloned().collect();
    assert!(gone.is_empty(), "{gone:?} are in the report alone; {RENEW}");
}

#[test]
fn every_crate_of_the_report_has_the_text_of_its_license() {
    let report = read("THIRD_PARTY_LICENSES.md");
    let texts = report.lines().filter_map(|line| line.strip_prefix("Of ")?.strip_suffix(':'));
    let with_text: BTreeSet<_> =
        texts.flat_map(|crates| crates.split(", ")).map(str::to_owned).collect();
    assert_eq!(with_text, reported(&report), "{RENEW}");
}

/// Two tools look at the same platforms.
#[test]
fn the_report_is_of_the_platforms_that_are_checked() {
    let targets = |name| {
        let file = read(name);
        let list = file.split_once("\ntargets = [").expect("targets").1;
        list.split_once(']').expect("an end").0.to_owned()
    };
    assert_eq!(targets("packaging/licenses/about.toml"), targets("deny.toml"));
}

//! Which commit a build is made from, for `messages --version`. There is no clock in it: the same commit
//! gives the same program.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=MESSAGES_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let given = env::var("MESSAGES_COMMIT").ok().filter(|commit| !commit.is_empty());
    // While one develops, every commit would build everything anew.
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| is_release.then(commit).flatten());
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match commit {
        Some(commit) => println!("cargo::rustc-env=MESSAGES_VERSION={version} ({commit})"),
        None => println!("cargo::rustc-env=MESSAGES_VERSION={version}"),
    }
}

/// What git knows, where there is one and these sources are its.
fn commit() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // The branch that is worked on, and where it is.
    for name in ["HEAD", &git(&["symbolic-ref", "-q", "HEAD"]).unwrap_or_default(), "packed-refs"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|_| !name.is_empty())
            && std::fs::exists(&path).unwrap_or_default()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

//! What `messages --version` shows: of one commit always the same, whoever builds it and when.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs");

/// The build script, built as cargo builds it, and sources that it is run in.
struct Build {
    dir: TempDir,
    program: PathBuf,
}

impl Build {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let program = dir.path().join("build");
        let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
        run(Command::new(rustc).args(["--edition=2024", BUILD, "-o"]).arg(&program));
        Self { dir, program }
    }

    /// A copy of the sources that git knows nothing of.
    fn sources(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name).join("messages");
        fs::create_dir_all(&dir).unwrap();
        fs::copy(BUILD, dir.join("build.rs")).unwrap();
        dir
    }

    /// A repository with these sources.
    fn repository(&self, name: &str) -> PathBuf {
        let dir = self.sources(name);
        self.git(&dir, &["init", "-q"]);
        self.commit(&dir);
        dir
    }

    fn commit(&self, dir: &Path) {
        self.git(dir, &["add", "build.rs"]);
        self.git(dir, &["commit", "-q", "--allow-empty", "-m", "One"]);
    }

    fn git(&self, dir: &Path, args: &[&str]) -> String {
        let who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"];
        run(self.alone(&mut Command::new("git")).args(who).args(args).current_dir(dir))
    }

    /// Nothing of the one who tests: no settings, and no repository around.
    fn alone<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let ceiling = self.dir.path().canonicalize().unwrap();
        command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CEILING_DIRECTORIES", ceiling)
    }

    /// What the script tells cargo.
    fn says(&self, dir: &Path, profile: &str, commit: Option<&str>) -> String {
        let mut command = Command::new(&self.program);
        self.alone(&mut command).envs(commit.map(|commit| ("MESSAGES_COMMIT", commit)));
        command.env("PROFILE", profile).env("CARGO_PKG_VERSION", "1.2.3");
        run(command.current_dir(dir))
    }

    fn version(&self, dir: &Path, profile: &str, commit: Option<&str>) -> String {
        let says = self.says(dir, profile, commit);
        let version = says.lines().find_map(|line| line.split_once("MESSAGES_VERSION=")?.1.into());
        version.expect("a version").to_owned()
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_version_is_that_of_the_commit_and_nothing_else() {
    let build = Build::new();
    let dir = build.repository("repository");
    let head = build.git(&dir, &["rev-parse", "HEAD"]);
    let expected = format!("1.2.3 ({})", &head[..12]);
    assert_eq!(build.version(&dir, "release", None), expected);
    assert_eq!(build.version(&dir, "release", Some("")), expected, "empty is as not given");

    let clone = build.dir.path().join("clone");
    let clone_text = clone.to_str().unwrap();
    build.git(build.dir.path(), &["clone", "-q", dir.to_str().unwrap(), clone_text]);
    assert_eq!(build.version(&clone, "release", None), expected, "somebody else's build");

    build.commit(&dir);
    assert_ne!(build.version(&dir, "release", None), expected, "another commit");
    assert_eq!(build.version(&clone, "release", None), expected);
}

#[test]
fn what_is_given_goes_before_what_git_says() {
    let build = Build::new();
    let (bare, repository) = (build.sources("bare"), build.repository("repository"));
    for dir in [&bare, &repository] {
        for profile in ["debug", "release"] {
            assert_eq!(build.version(dir, profile, Some("0123abc")), "1.2.3 (0123abc)");
        }
    }
}

#[test]
fn without_a_commit_there_is_the_version_alone() {
    let build = Build::new();
    assert_eq!(build.version(&build.sources("bare"), "release", None), "1.2.3");

    // Unpacked inside of a repository that is not its own.
    let foreign = build.sources("foreign");
    build.git(foreign.parent().unwrap(), &["init", "-q"]);
    build.git(foreign.parent().unwrap(), &["commit", "-q", "--allow-empty", "-m", "Not this"]);
    assert_eq!(build.version(&foreign, "release", None), "1.2.3");

    assert_eq!(build.version(&build.repository("mine"), "debug", None), "1.2.3");
}

#[test]
fn a_new_commit_is_a_new_build() {
    let build = Build::new();
    let dir = build.repository("repository");
    let changed = |says: String| {
        let watched = says.lines().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="));
        watched.map(|path| (path.to_owned(), fs::read(dir.join(path)).unwrap())).collect::<Vec<_>>()
    };
    let before = changed(build.says(&dir, "release", None));
    build.commit(&dir);
    let after = changed(build.says(&dir, "release", None));
    assert_ne!(before, after, "cargo has to see in one of these files that there is a commit");
}

#[test]
fn the_program_shows_its_version() {
    let shown = run(Command::new(env!("CARGO_BIN_EXE_messages")).arg("--version"));
    assert_eq!(shown, format!("messages {}\n", messages::VERSION));
    let commit = messages::VERSION.strip_prefix(env!("CARGO_PKG_VERSION")).unwrap();
    assert!(commit.is_empty() || commit.starts_with(" (") && commit.ends_with(')'), "{shown}");
}

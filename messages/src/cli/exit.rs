//! How a command ends, for people and for scripts.

use crate::fetch::causes;
use std::{
    fmt::{self, Display},
    io::{self, Write},
    process::ExitCode,
};

/// What scripts tell failures apart by. Documented: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Whoever reads the output has gone, which is no failure.
    Unread = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Conflict = 5,
    Damaged = 6,
}

/// Why a command has not done what it was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The same, with what was being done.
    pub fn of(self, what: impl Display) -> Self {
        Self { text: format!("{what}: {}", self.text), ..self }
    }

    /// Says it, on one line.
    pub fn tell(self) -> ExitCode {
        if self.exit != Exit::Unread {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "error: {}", self.text);
        }
        ExitCode::from(self.exit as u8)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let unread = error.kind() == io::ErrorKind::BrokenPipe;
        Self::new(if unread { Exit::Unread } else { Exit::Failed }, error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, causes(error.as_ref()))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Says something to whoever watches.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "messages: {text}");
}

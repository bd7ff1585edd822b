//! Everything that is done to the data in Redis: each a script, so that it is done in one step. What
//! it does, and with which keys and arguments, is said at the top of its file.

use redis::{Cmd, ToRedisArgs};
use std::sync::LazyLock;

/// A script, and its hash by which a server knows it.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// A call for a server that has seen the script before.
    pub(super) fn call(&'static self, keys: &[String]) -> Call {
        Call { script: self, keys: keys.to_vec(), arguments: Vec::new() }
    }
}

/// A script with what it is given.
pub(super) struct Call {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    /// For a server that knows the script.
    pub(super) fn short(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// For a server that does not know it: it will.
    pub(super) fn long(&self) -> Cmd {
        self.command("EVAL", self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}

macro_rules! scripts {
    ($($name:ident: $file:literal),* $(,)?) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));)*
    };
}

scripts! {
    ADD: "add.lua",
    ALIVE: "alive.lua",
    CLAIM: "claim.lua",
    DONE: "done.lua",
    HEAD: "head.lua",
    IS_STORED: "is_stored.lua",
    KEEP: "keep.lua",
    MARK: "mark.lua",
    MARKED: "marked.lua",
    NAMES: "names.lua",
    NODES: "nodes.lua",
    READ: "read.lua",
    SAY: "say.lua",
    TAKE: "take.lua",
    TAKE_KEPT: "take_kept.lua",
    UNSTORED: "unstored.lua",
}

//! Where the data of a server is.

use crate::store;
use clap::Args;
use std::path::PathBuf;

/// As the server takes them.
#[derive(Clone, Args)]
pub struct DataOptions {
    /// Directory of the journal and, without --database-url, of the SQLite file.
    #[arg(long, env = "DATA_DIR", default_value = "./data", value_name = "DIR")]
    pub(super) data_dir: PathBuf,

    /// Database that keeps the streams. [default: SQLite in the data directory]
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
}

impl DataOptions {
    pub(super) fn database_url(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| store::default_url(&self.data_dir))
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.data_dir.join("journal")
    }
}

/// Without the database URL, which may hold a password.
impl std::fmt::Debug for DataOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataOptions").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

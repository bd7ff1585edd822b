//! The key for signed URLs of a server that has only the public keys of somebody else: made once,
//! and kept beside the data, so that a restart does not break the URLs that are out there.

use super::{AuthSetupError, crypto};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

const FILE: &str = "url.key";

/// Readable for the owner alone.
const MODE: u32 = 0o600;

/// The key in `data_dir`, which holds the lock of this server.
pub(super) fn load_or_make(data_dir: &Path) -> Result<[u8; 32], AuthSetupError> {
    if let Some(key) = load(data_dir)? {
        return Ok(key);
    }
    let (path, key) = (data_dir.join(FILE), crypto::random()?);
    write(data_dir, &path, &key).map_err(|source| unusable(&path, source))?;
    Ok(key)
}

/// The key in `data_dir`, if one has been made.
pub(super) fn load(data_dir: &Path) -> Result<Option<[u8; 32]>, AuthSetupError> {
    let path = data_dir.join(FILE);
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        key => key.map(Some).map_err(|source| unusable(&path, source)),
    }
}

fn unusable(path: &Path, source: io::Error) -> AuthSetupError {
    AuthSetupError::UrlKey { path: path.display().to_string(), source }
}

fn read(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    File::open(path)?.read_exact(&mut key)?;
    Ok(key)
}

/// Under another name first, so that a crash leaves a whole key or none.
fn write(dir: &Path, path: &Path, key: &[u8; 32]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(MODE).open(&new)?;
    file.write_all(key)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_made_once_and_for_the_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(load(dir.path()).expect("none").is_none());
        let key = load_or_make(dir.path()).expect("made");
        assert_eq!(load(dir.path()).expect("read"), Some(key));
        assert_eq!(load_or_make(dir.path()).expect("read"), key);
        let mode = dir.path().join(FILE).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        std::fs::write(dir.path().join(FILE), "short").expect("written");
        assert!(load_or_make(dir.path()).is_err(), "a damaged key is not replaced silently");
    }
}

//! Where certificate and key are.

use crate::limits::TLS_FILE_BYTES_MAX;
use clap::{
    Args,
    builder::{OsStringValueParser, TypedValueParser},
};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// How connections are made secret.
#[derive(Clone, Debug, Default, Args)]
pub struct TlsOptions {
    /// File with the certificate of this server and those that vouch for it, in PEM. With it
    /// connections are HTTPS, and no others are taken. Read again when it changes.
    #[arg(long, env = "TLS_CERT", value_name = "FILE", value_parser = path())]
    pub tls_cert: Option<PathBuf>,

    /// File with the private key of that certificate, in PEM, without a passphrase.
    #[arg(long, env = "TLS_KEY", value_name = "FILE", value_parser = path())]
    pub tls_key: Option<PathBuf>,
}

/// Both files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum BadFiles {
    /// One without the other.
    #[error("give both --tls-cert and --tls-key (TLS_CERT, TLS_KEY), or neither")]
    One,
    /// No file.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else.
    #[error("--tls-cert holds no certificate; it must be PEM, the server's own first")]
    NoCertificate,
    /// Something else, or secret.
    #[error(
        "--tls-key holds no private key in PEM, or one with a passphrase, which must have none"
    )]
    NoKey,
    /// They are not a pair, or of a kind that is not known.
    #[error("--tls-cert and --tls-key cannot be used: {0}")]
    Unusable(String),
}

/// What is in both files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl TlsOptions {
    /// The files, when they are named.
    ///
    /// # Errors
    /// Only one of them is.
    pub fn files(&self) -> Result<Option<Files>, BadFiles> {
        match (set(self.tls_cert.as_ref()), set(self.tls_key.as_ref())) {
            (Some(certificate), Some(key)) => {
                Ok(Some(Files { certificate: certificate.clone(), key: key.clone() }))
            }
            (None, None) => Ok(None),
            _ => Err(BadFiles::One),
        }
    }

    /// How URLs of this server begin.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if set(self.tls_cert.as_ref()).is_some() { "https" } else { "http" }
    }
}

/// A path that may be empty.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// A variable that is set to nothing is not set.
fn set(path: Option<&PathBuf>) -> Option<&PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

impl Files {
    pub(super) fn read(&self) -> Result<Pem, BadFiles> {
        Ok(Pem { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BadFiles> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(TLS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > TLS_FILE_BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {TLS_FILE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(|source| BadFiles::File { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_or_none() {
        let options = |cert: &str, key: &str| TlsOptions {
            tls_cert: Some(cert.into()),
            tls_key: Some(key.into()),
        };
        assert!(matches!(TlsOptions::default().files(), Ok(None)));
        assert!(matches!(options("", "").files(), Ok(None)));
        assert!(matches!(options("a", "b").files(), Ok(Some(_))));
        for one in [options("a", ""), options("", "b")] {
            assert!(matches!(one.files(), Err(BadFiles::One)), "{one:?}");
        }
        assert_eq!([options("a", "b").scheme(), options("", "").scheme()], ["https", "http"]);
    }
}

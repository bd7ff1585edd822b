//! Certificates are renewed under a running server, every few weeks. Whatever does so replaces files,
//! links or whole directories, and not at one moment, so what is in the files is looked at, and not how
//! they came there.

use super::{BadFiles, Files, Tls, acceptor, options::Pem};
use crate::limits::{TLS_HANDSHAKES_MAX, TLS_LOOK_MS};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
};
use tokio_rustls::TlsAcceptor;

/// Looks after the certificate and its key.
pub struct Keeper {
    files: Files,
    current: watch::Sender<TlsAcceptor>,
    /// What was found the last time; `None` where it could not be read.
    seen: Option<Pem>,
    /// What was last taken, or refused.
    judged: Option<Pem>,
}

impl Keeper {
    /// Reads the files, which must be good.
    ///
    /// # Errors
    /// They are not.
    pub fn open(files: Files) -> Result<(Self, Tls), BadFiles> {
        let pem = files.read()?;
        let (current, acceptor) = watch::channel(acceptor(&pem)?);
        let handshakes = Arc::new(Semaphore::new(TLS_HANDSHAKES_MAX));
        let keeper = Self { files, current, seen: Some(pem.clone()), judged: Some(pem) };
        Ok((keeper, Tls { acceptor, handshakes }))
    }

    /// Takes what new connections are to be made with, as often as it changes. Those that are there
    /// stay as they are.
    pub async fn keep_fresh(mut self) {
        let mut looks = tokio::time::interval(Duration::from_millis(TLS_LOOK_MS));
        loop {
            looks.tick().await;
            let files = self.files.clone();
            if let Ok(read) = spawn_blocking(move || files.read()).await {
                self.look(read);
            }
        }
    }

    fn look(&mut self, read: Result<Pem, BadFiles>) {
        let why = read.as_ref().err().map(ToString::to_string);
        let found = read.ok();
        // The second file may follow in a moment: only what is the same twice is judged.
        let settled = found == self.seen;
        self.seen = found;
        if !settled || self.seen == self.judged {
            return;
        }
        self.judged.clone_from(&self.seen);
        let taken = match &self.seen {
            Some(pem) => acceptor(pem).map_err(|error| error.to_string()),
            None => Err(why.unwrap_or_default()),
        };
        match taken {
            Ok(acceptor) => {
                self.current.send_replace(acceptor);
                tracing::info!("new connections get the certificate that is in the files now");
            }
            Err(error) => tracing::warn!(
                error,
                "the new certificate and key cannot be used; connections get the one before"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    const CERTIFICATE: &[u8] = include_bytes!("testdata/certificate.pem");
    const KEY: &[u8] = include_bytes!("testdata/key.pem");
    const OTHER_CERTIFICATE: &[u8] = include_bytes!("testdata/other-certificate.pem");
    const OTHER_KEY: &[u8] = include_bytes!("testdata/other-key.pem");

    fn write(dir: &Path, certificate: &[u8], key: &[u8]) -> Files {
        let [to, key_to] = ["certificate", "key"].map(|name| dir.join(name));
        fs::write(&to, certificate).expect("written");
        fs::write(&key_to, key).expect("written");
        let options = super::super::TlsOptions { tls_cert: Some(to), tls_key: Some(key_to) };
        options.files().expect("both").expect("both")
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let why = |certificate: &[u8], key: &[u8]| {
            let opened = Keeper::open(write(dir.path(), certificate, key));
            opened.err().expect("refused").to_string()
        };
        assert!(why(b"", KEY).contains("no certificate"));
        assert!(why(KEY, KEY).contains("no certificate"));
        assert!(why(CERTIFICATE, CERTIFICATE).contains("no private key"));
        assert!(why(CERTIFICATE, b"-----BEGIN").contains("no private key"));
        assert!(why(CERTIFICATE, OTHER_KEY).contains("cannot be used"));
        assert!(why(&vec![b' '; 2 << 20], KEY).contains("more than"));
        assert!(Keeper::open(write(dir.path(), CERTIFICATE, KEY)).is_ok());
    }

    #[test]
    fn a_new_pair_is_taken_when_it_is_whole_and_a_bad_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = write(dir.path(), CERTIFICATE, KEY);
        let (mut keeper, mut tls) = Keeper::open(files.clone()).expect("a pair");
        let mut changed_after = |certificate: &[u8], key: &[u8], looks: usize| {
            write(dir.path(), certificate, key);
            (0..looks).for_each(|_| keeper.look(files.read()));
            let changed = tls.acceptor.has_changed().expect("kept");
            tls.acceptor.mark_unchanged();
            changed
        };
        assert!(!changed_after(CERTIFICATE, KEY, 3));
        assert!(!changed_after(OTHER_CERTIFICATE, KEY, 1), "the key may follow");
        assert!(!changed_after(OTHER_CERTIFICATE, OTHER_KEY, 1), "or something else");
        assert!(changed_after(OTHER_CERTIFICATE, OTHER_KEY, 1), "it is as it was before");
        assert!(!changed_after(CERTIFICATE, OTHER_KEY, 3), "no pair");
        assert!(!changed_after(b"", b"", 3));
        assert!(changed_after(CERTIFICATE, KEY, 2));
        fs::remove_file(dir.path().join("key")).expect("removed");
        (0..3).for_each(|_| keeper.look(files.read()));
        assert!(!tls.acceptor.has_changed().expect("kept"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_files_are_looked_at_again_and_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let (keeper, mut tls) = Keeper::open(write(dir.path(), CERTIFICATE, KEY)).expect("a pair");
        let keeping = tokio::spawn(keeper.keep_fresh());
        for (certificate, key) in [(OTHER_CERTIFICATE, OTHER_KEY), (CERTIFICATE, KEY)] {
            write(dir.path(), certificate, key);
            tls.acceptor.changed().await.expect("kept");
        }
        keeping.abort();
    }
}

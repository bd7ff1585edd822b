//! Bytes that nobody may see.

use std::fmt;

/// A shared secret. Prints as `[secret]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The bytes themselves.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing: a variable that is set to nothing is not set.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What an operator gives; surrounding white space, as a file or a shell leaves it, is no part of it.
impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.trim().as_bytes().into())
    }
}

/// The bytes as they are.
impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_show() {
        let secret = Secret::from(" hunter2\n");
        assert_eq!(secret.expose(), b"hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[secret] Some([secret])");
    }
}

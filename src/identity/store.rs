//! The user's key and tokens on disk: `identity.key` and `credentials.toml`, both of mode 0600.

use std::{collections::BTreeMap, io::ErrorKind, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    key::{KeyError, SecretKey},
    private::read_private,
    token::{Secret, Token},
};
use crate::{
    files,
    report::{Fault, Kind},
};

/// Why keys or tokens cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The key file does not hold a key.
    #[error("`{}` does not hold a private key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: KeyError,
    },
    /// A file with secrets lets in others than its owner.
    #[error("`{}` holds secrets, and its mode {mode:04o} lets others read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The credentials file is broken. Its text is not repeated, since it holds tokens.
    #[error("`{}` is not a credentials file", .0.display())]
    Credentials(PathBuf),
}

impl Fault for StoreError {
    fn kind(&self) -> Kind {
        match self {
            StoreError::Io(_) => Kind::Failed,
            StoreError::Key { .. } | StoreError::Exposed { .. } | StoreError::Credentials(_) => Kind::Auth,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StoreError::Io(_) => None,
            StoreError::Key { .. } => {
                Some("restore it from a backup, or move it away: a new key is a new user".to_owned())
            }
            StoreError::Exposed { path, .. } => {
                Some(format!("`chmod 600 {}`; if others may have read it, make new secrets too", path.display()))
            }
            StoreError::Credentials(_) => Some("move it away and run `napt login` again".to_owned()),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct CredentialsFile {
    #[serde(default)]
    registries: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    token: Secret,
}

/// The folder with the user's key and tokens.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    folder: PathBuf,
}

impl CredentialStore {
    /// Keys and tokens in this folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        CredentialStore { folder: folder.into() }
    }

    /// Where the key is kept.
    pub fn key_path(&self) -> PathBuf {
        self.folder.join("identity.key")
    }

    /// The user's key, made when there is none yet.
    pub fn key_or_create(&self) -> Result<SecretKey, StoreError> {
        let path = self.key_path();
        if !path.try_exists()? {
            match files::create_private(&path, SecretKey::generate().to_hex().as_bytes()) {
                // Another process was first; a key that may be in use is never replaced.
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
                _ => {}
            }
        }
        read_private(&path)?.parse().map_err(|error| StoreError::Key { path, error })
    }

    /// Where tokens are kept.
    pub fn credentials_path(&self) -> PathBuf {
        self.folder.join("credentials.toml")
    }

    fn read(&self) -> Result<CredentialsFile, StoreError> {
        let path = self.credentials_path();
        match read_private(&path) {
            Ok(text) => toml::from_str(&text).map_err(|_| StoreError::Credentials(path)),
            Err(StoreError::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(CredentialsFile::default()),
            Err(error) => Err(error),
        }
    }

    /// The token kept for a registry's URL.
    pub fn registry_token(&self, url: &str) -> Result<Option<Token>, StoreError> {
        match self.read()?.registries.get(url) {
            Some(entry) => {
                entry.token.reveal().parse().map(Some).map_err(|_| StoreError::Credentials(self.credentials_path()))
            }
            None => Ok(None),
        }
    }

    /// Keeps the token of a registry's URL, or forgets it.
    pub fn set_registry_token(&self, url: &str, token: Option<&Token>) -> Result<(), StoreError> {
        fs_err::create_dir_all(&self.folder)?;
        // Another process may keep another registry's token meanwhile.
        let lock = fs_err::File::create(self.folder.join("credentials.lock"))?;
        lock.file().lock()?;
        let mut file = self.read()?;
        match token {
            Some(token) => {
                file.registries.insert(url.to_owned(), Entry { token: Secret::new(token.reveal()) });
            }
            None => {
                file.registries.remove(url);
            }
        }
        let text = toml::to_string(&file).map_err(std::io::Error::other)?;
        Ok(files::write_private(&self.credentials_path(), text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn many_at_once_get_one_key_and_lose_no_token() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = CredentialStore::new(folder.path().join("config"));
        let work = &|number: usize| {
            let key = store.key_or_create().expect("a key").to_hex();
            store.set_registry_token(&format!("http://r{number}"), Some(&Token::generate())).expect("kept");
            key
        };
        let keys: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|number| scope.spawn(move || work(number))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        for number in 0..16 {
            assert!(store.registry_token(&format!("http://r{number}")).expect("readable").is_some(), "{number}");
        }
    }
}

//! Why a registry has no answer.

use napt_registry_client::ClientError;

use crate::report::{Fault, Kind, did_you_mean_or};

/// Why a registry has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    /// It refuses or fails.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The cache cannot be used.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It may not be asked, and never was.
    #[error("{what} is not in the cache, and the registry at `{registry}` is not asked offline")]
    NotKept {
        /// What was wanted.
        what: String,
        /// Of which registry.
        registry: String,
    },
    /// It may not be asked, and only it can know.
    #[error("this needs the registry at `{registry}`, and `--offline` is set")]
    Offline {
        /// The registry.
        registry: String,
    },
    /// No registry has this name.
    #[error("no registry is called `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// Archives are to be kept, but there is nowhere to keep them.
    #[error("there is no cache to download to")]
    NoCache,
}

impl Fault for RegistriesError {
    fn kind(&self) -> Kind {
        match self {
            RegistriesError::Client(error) => error.kind(),
            RegistriesError::Io(_) | RegistriesError::NoCache => Kind::Failed,
            RegistriesError::NotKept { .. } | RegistriesError::Offline { .. } => Kind::Network,
            RegistriesError::Unknown { .. } => Kind::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            RegistriesError::Client(error) => error.hint(),
            RegistriesError::Io(_) | RegistriesError::NoCache => None,
            RegistriesError::NotKept { .. } => {
                Some("run `napt fetch` in the workspace once with the network, or leave `--offline` out".to_owned())
            }
            RegistriesError::Offline { .. } => Some("leave `--offline` out".to_owned()),
            RegistriesError::Unknown { name, known } => Some(unknown_name(name, known)),
        }
    }
}

/// What to do about a name that no registry has.
pub(crate) fn unknown_name(name: &str, known: &[String]) -> String {
    did_you_mean_or(name, known.iter().map(String::as_str), || match known {
        [] => format!("add `[registries.{name}]` with its `url` to `.napt/config.toml`"),
        known => format!(
            "the registries are {}; `[registries.{name}]` with its `url` in `.napt/config.toml` adds one",
            known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    })
}

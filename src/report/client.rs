//! What an error of the registry's client means to the user.

use napt_registry_client::ClientError;

use super::{Fault, Kind};

impl Fault for ClientError {
    fn kind(&self) -> Kind {
        match self {
            ClientError::Unreachable { .. }
            | ClientError::Timeout { .. }
            | ClientError::Garbage { .. }
            | ClientError::TooLarge { .. } => Kind::Network,
            ClientError::Status { status, .. } => match status {
                401 | 403 => Kind::Auth,
                409 => Kind::Conflict,
                408 | 425 | 429 | 500.. => Kind::Network,
                _ => Kind::Failed,
            },
            ClientError::WrongDigest { .. } | ClientError::Io(_) => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ClientError::Unreachable { .. } => Some(
                "check the address (`--registry`, `NAPT_REGISTRY` or `registry` in `.napt/config.toml`); \
                 `napt registry` starts one on this machine"
                    .to_owned(),
            ),
            ClientError::Garbage { .. } => Some("check that the address is that of a napt registry".to_owned()),
            ClientError::Timeout { .. } => Some("try again later".to_owned()),
            ClientError::Status { retry_after: Some(wait), .. } => {
                Some(format!("try again in {} seconds", wait.as_secs()))
            }
            ClientError::Status { problem, .. } => problem.hint.clone(),
            ClientError::WrongDigest { .. } => {
                Some("try again; if it stays so, tell the registry's operator".to_owned())
            }
            ClientError::TooLarge { .. } | ClientError::Io(_) => None,
        }
    }
}

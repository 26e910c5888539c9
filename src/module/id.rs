//! Module types, ids (`orchestrator:debate`) and specs (`orchestrator:debate@^1`).

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use semver::VersionReq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::{ModuleName, NameError};
use crate::report::{Fault, Kind, did_you_mean};

/// The seven kinds of module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModuleType {
    /// Drives rounds of interaction among other modules.
    Orchestrator,
    /// Answers, usually with a language model.
    Agent,
    /// Does one thing for an agent.
    Tool,
    /// A knowledge base.
    Kb,
    /// What an agent remembers.
    Memory,
    /// What agents act in.
    Environment,
    /// A character, as data.
    Persona,
}

impl ModuleType {
    /// All of them, in the order in which help texts list them.
    pub const ALL: [ModuleType; 7] = [
        ModuleType::Orchestrator,
        ModuleType::Agent,
        ModuleType::Tool,
        ModuleType::Kb,
        ModuleType::Memory,
        ModuleType::Environment,
        ModuleType::Persona,
    ];

    /// As it stands in ids, URLs and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            ModuleType::Orchestrator => "orchestrator",
            ModuleType::Agent => "agent",
            ModuleType::Tool => "tool",
            ModuleType::Kb => "kb",
            ModuleType::Memory => "memory",
            ModuleType::Environment => "environment",
            ModuleType::Persona => "persona",
        }
    }

    /// The types that can be run.
    pub fn is_runnable(self) -> bool {
        self != ModuleType::Persona
    }
}

impl fmt::Display for ModuleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ModuleType {
    type Err = IdError;

    fn from_str(given: &str) -> Result<Self, IdError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == given).ok_or_else(|| IdError::UnknownType(given.to_owned()))
    }
}

/// Why a text is not a module id or spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not one of the seven types.
    #[error("unknown module type `{0}`")]
    UnknownType(String),
    /// The name part is wrong.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The version requirement is wrong.
    #[error("invalid version requirement `{given}` in `{spec}`: {reason}")]
    Requirement {
        /// The whole text.
        spec: String,
        /// The part after `@`.
        given: String,
        /// What the version parser said.
        reason: String,
    },
}

impl Fault for IdError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            IdError::UnknownType(given) => {
                let names = ModuleType::ALL.map(ModuleType::as_str);
                Some(match did_you_mean(given, names) {
                    Some(near) => format!("did you mean `{near}`? The types are {}", names.join(", ")),
                    None => format!("the types are {}", names.join(", ")),
                })
            }
            IdError::Name(error) => error.hint(),
            IdError::Requirement { .. } => Some("write for example `agent:chat@1.2` or `agent:chat@=1.2.3`".to_owned()),
        }
    }
}

/// Which of some `type:name`s was probably meant by one that is none: one of the same name, else a similar one.
pub fn near_id(wanted: &ModuleId, known: &[String]) -> Option<String> {
    let is_namesake = |id: &&String| id.split_once(':').is_some_and(|(_, name)| name == wanted.name.as_str());
    let near = || did_you_mean(&wanted.to_string(), known.iter().map(String::as_str)).map(str::to_owned);
    known.iter().find(is_namesake).cloned().or_else(near)
}

/// `type:name`. A bare name means an agent, as in Naptha.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId {
    /// What kind of module it is.
    pub module_type: ModuleType,
    /// Its name, unique within the type.
    pub name: ModuleName,
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.module_type, self.name)
    }
}

impl FromStr for ModuleId {
    type Err = IdError;

    fn from_str(given: &str) -> Result<Self, IdError> {
        let (module_type, name) = match given.split_once(':') {
            Some((module_type, name)) => (module_type.parse()?, name),
            None => (ModuleType::Agent, given),
        };
        Ok(ModuleId { module_type, name: name.parse()? })
    }
}

impl Serialize for ModuleId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModuleId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `type:name@requirement`, as it is typed on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSpec {
    /// Which module.
    pub id: ModuleId,
    /// Which versions of it; any when nothing was given.
    pub req: VersionReq,
}

impl FromStr for ModuleSpec {
    type Err = IdError;

    fn from_str(given: &str) -> Result<Self, IdError> {
        let (id, req) = match given.split_once('@') {
            Some((id, req)) => (
                id,
                VersionReq::parse(req).map_err(|error| IdError::Requirement {
                    spec: given.to_owned(),
                    given: req.to_owned(),
                    reason: error.to_string(),
                })?,
            ),
            None => (given, VersionReq::STAR),
        };
        Ok(ModuleSpec { id: id.parse()?, req })
    }
}

impl fmt::Display for ModuleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.req == VersionReq::STAR { write!(f, "{}", self.id) } else { write!(f, "{}@{}", self.id, self.req) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_specs_are_read_and_shown() {
        assert_eq!("chat".parse::<ModuleId>().map(|id| id.to_string()), Ok("agent:chat".to_owned()));
        let spec: ModuleSpec = "orchestrator:multi-chat@^1.2".parse().expect("a good spec");
        assert_eq!(spec.to_string(), "orchestrator:multi_chat@^1.2");
    }

    #[test]
    fn a_wrong_type_is_suggested() {
        let error = "orchestartor:x".parse::<ModuleId>().expect_err("a typo");
        assert!(error.hint().is_some_and(|hint| hint.contains("did you mean `orchestrator`")));
    }
}

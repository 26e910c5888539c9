//! Which type of module it is: what speaks for each is weighed, and the best reason is told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AdoptError, find::Found};
use crate::{
    config::{DEPLOYMENT_FILE, SUB_DEPLOYMENTS},
    module::{ModuleType, Runtime},
};

/// Something that speaks for a type.
#[derive(Debug)]
struct Clue {
    module_type: ModuleType,
    weight: u32,
    reason: String,
}

/// The SDK's name of a type, in `AgentRunInput`.
fn sdk_name(module_type: ModuleType) -> Option<&'static str> {
    Some(match module_type {
        ModuleType::Orchestrator => "Orchestrator",
        ModuleType::Agent => "Agent",
        ModuleType::Tool => "Tool",
        ModuleType::Kb => "KB",
        ModuleType::Memory => "Memory",
        ModuleType::Environment => "Environment",
        ModuleType::Persona => return None,
    })
}

/// The type, and why.
pub(super) fn module_type(found: &Found) -> Result<(ModuleType, String), AdoptError> {
    if found.runtime == Runtime::Data {
        return Ok((ModuleType::Persona, "there is a persona file and no code".to_owned()));
    }
    let mut clues = Vec::new();
    of_code(found, &mut clues);
    of_configs(found, &mut clues);
    of_name(found, &mut clues);
    let mut weights: BTreeMap<ModuleType, u32> = BTreeMap::new();
    for clue in &clues {
        *weights.entry(clue.module_type).or_default() += clue.weight;
    }
    let mut ranked: Vec<(u32, ModuleType)> =
        weights.into_iter().map(|(module_type, weight)| (weight, module_type)).collect();
    ranked.sort_by(|a, b| b.cmp(a));
    match ranked.as_slice() {
        [(_, best)] => Ok((*best, best_reason(&clues, *best))),
        [(first, best), (second, _), ..] if first > second => Ok((*best, best_reason(&clues, *best))),
        _ => {
            let told: Vec<String> =
                clues.iter().map(|clue| format!("{} since {}", clue.module_type, clue.reason)).collect();
            Err(AdoptError::Unsure { name: found.name.to_string(), clues: (!told.is_empty()).then(|| told.join(", ")) })
        }
    }
}

fn best_reason(clues: &[Clue], module_type: ModuleType) -> String {
    let of_type = clues.iter().filter(|clue| clue.module_type == module_type);
    of_type.max_by_key(|clue| clue.weight).map(|clue| clue.reason.clone()).unwrap_or_default()
}

/// The schema that it reads its run with; others it may well make, for the modules that it calls.
fn of_code(found: &Found, clues: &mut Vec<Clue>) {
    let file = format!("{}{}", found.shown, found.entrypoint);
    // A missing file is `check`'s to tell.
    let text = fs_err::read_to_string(found.package.join(&found.entrypoint)).unwrap_or_default();
    let text: String = text.split_whitespace().collect();
    let mut named = Vec::new();
    for module_type in ModuleType::ALL {
        let Some(name) = sdk_name(module_type) else { continue };
        let schema = format!("{name}RunInput");
        if text.contains(&format!("{schema}(**")) {
            let reason = format!("`{file}` reads `{schema}`");
            clues.push(Clue { module_type, weight: 10, reason });
        } else if text.contains(&schema) || text.contains(&format!("{name}Deployment")) {
            named.push((module_type, schema));
        }
    }
    if let ([(module_type, schema)], true) = (named.as_slice(), clues.is_empty()) {
        let reason = format!("`{file}` names `{schema}`");
        clues.push(Clue { module_type: *module_type, weight: 5, reason });
    }
}

fn of_configs(found: &Found, clues: &mut Vec<Clue>) {
    let folder = found.package.join("configs");
    let file = format!("{}configs/{DEPLOYMENT_FILE}", found.shown);
    let text = fs_err::read_to_string(folder.join(DEPLOYMENT_FILE)).unwrap_or_default();
    let deployments: Value = serde_json::from_str(&text).unwrap_or_default();
    let first = &deployments[0];
    let mut clue = |module_type, weight, reason| clues.push(Clue { module_type, weight, reason });
    let own = first["module"]["module_type"].as_str().or_else(|| {
        let (module_type, _) = first["module"]["name"].as_str()?.split_once(':')?;
        Some(module_type)
    });
    if let Some(module_type) = own.and_then(|text| text.parse().ok()) {
        clue(module_type, 8, format!("`{file}` says so"));
    }
    let config = &first["config"];
    for (value, key, module_type, weight) in [
        (&first["agent_deployments"], "agent_deployments", ModuleType::Orchestrator, 6),
        (&config["max_rounds"], "max_rounds", ModuleType::Orchestrator, 5),
        (&config["environment_type"], "environment_type", ModuleType::Environment, 5),
        (&config["persona_module"], "persona_module", ModuleType::Agent, 4),
        (&config["system_prompt"], "system_prompt", ModuleType::Agent, 4),
    ] {
        if !value.is_null() {
            clue(module_type, weight, format!("`{file}` has `{key}`"));
        }
    }
    for (listed, _, name) in SUB_DEPLOYMENTS {
        if folder.join(name).is_file() {
            let (module_type, weight) =
                if listed == ModuleType::Agent { (ModuleType::Orchestrator, 6) } else { (ModuleType::Agent, 1) };
            clue(module_type, weight, format!("there is `{}configs/{name}`", found.shown));
        }
    }
}

fn of_name(found: &Found, clues: &mut Vec<Clue>) {
    for module_type in ModuleType::ALL {
        if found.name.as_str().split('_').next_back() == Some(module_type.as_str()) {
            clues.push(Clue { module_type, weight: 3, reason: "its name says so".to_owned() });
        }
    }
}

//! What SDKs call things. A storage's settings by the names of both: 1.x has them in `storage_config`, 0.2 had them in
//! `config` itself. And names that mean none: the SDK's models put them where nobody gave one.

use serde_json::{Value, json};

use super::{Deployment, DeploymentConfig, SUB_DEPLOYMENTS};

/// How the SDK's models call a configuration that nobody has named.
const UNNAMED: [&str; 4] = ["agent_config", "orchestrator_config", "environment_config", "llm_config"];

/// Forgets a name that means none, where there is another.
fn keep_name(given: &mut Option<String>, default: Option<&String>) {
    if default.is_some() && given.as_deref().is_some_and(|name| UNNAMED.contains(&name)) {
        *given = None;
    }
}

impl DeploymentConfig {
    /// Fills `storage_config` from the old names, where only these are given.
    fn read_old_storage(&mut self) {
        if self.storage_config.is_some() || !self.extra.contains_key("storage_type") {
            return;
        }
        let old = |key: &str| self.extra.get(key).filter(|value| !value.is_null()).cloned();
        let empty = || json!({});
        let storage = json!({
            "storage_type": old("storage_type"),
            "path": old("path"),
            "storage_schema": old("schema").unwrap_or_else(empty),
            "options": old("options").unwrap_or_else(empty),
        });
        // What is not complete stays as it is: `check` tells about it.
        self.storage_config = serde_json::from_value(storage).ok();
    }

    /// Adds the old names, where only the new ones are given.
    fn write_old_storage(&mut self) {
        let Some(storage) = &self.storage_config else { return };
        if self.extra.contains_key("storage_type") {
            return;
        }
        self.extra.insert("storage_type".to_owned(), json!(storage.storage_type));
        self.extra.insert("path".to_owned(), json!(storage.path));
        self.extra.insert("schema".to_owned(), Value::Object(storage.storage_schema.clone()));
        self.extra.insert("options".to_owned(), Value::Object(storage.options.clone()));
    }
}

impl Deployment {
    /// The same with `storage_config` by its new name.
    pub(super) fn with_new_storage_names(&self) -> Self {
        let mut deployment = self.clone();
        if let Some(config) = &mut deployment.config {
            config.read_old_storage();
        }
        deployment
    }

    /// Forgets names that the SDK has made up, where `default` has real ones.
    pub(super) fn keep_names_of(&mut self, default: &Deployment) {
        let (Some(config), Some(default)) = (&mut self.config, &default.config) else { return };
        keep_name(&mut config.config_name, default.config_name.as_ref());
        if let (Some(llm), Some(default)) = (&mut config.llm_config, &default.llm_config) {
            keep_name(&mut llm.config_name, default.config_name.as_ref());
        }
    }

    /// Gives its storage and those of everything below it by both names, for modules of any SDK.
    pub fn name_storage_twice(&mut self) {
        if let Some(config) = &mut self.config {
            config.read_old_storage();
            config.write_old_storage();
        }
        for (module_type, _, _) in SUB_DEPLOYMENTS {
            let subs = self.subs_mut(module_type).and_then(Option::as_mut);
            subs.into_iter().flatten().for_each(Deployment::name_storage_twice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_gives_both() {
        let schema = json!({"id": {"type": "text"}});
        let new = json!({"storage_type": "db", "path": "turns", "storage_schema": schema, "options": {}});
        let old = json!({"storage_type": "db", "path": "turns", "schema": schema});
        let wholly_old = json!({"storage_type": "db", "path": "turns", "schema": schema, "options": null});
        for config in [json!({"storage_config": new}), old, wholly_old] {
            let sub = json!({"config": config});
            let mut deployment: Deployment =
                serde_json::from_value(json!({"kb_deployments": [sub]})).expect("a deployment");
            deployment.name_storage_twice();
            let value = serde_json::to_value(&deployment).expect("JSON");
            let config = &value["kb_deployments"][0]["config"];
            assert_eq!(config["storage_config"], new, "{value}");
            assert_eq!(
                (&config["storage_type"], &config["path"], &config["schema"]),
                (&json!("db"), &json!("turns"), &schema)
            );
        }
    }

    #[test]
    fn what_is_not_a_storage_is_left_alone() {
        for config in
            [json!({"path": "x"}), json!({"storage_type": "tape", "path": "x"}), json!({"storage_type": "db"})]
        {
            let mut deployment: Deployment =
                serde_json::from_value(json!({"config": config.clone()})).expect("a deployment");
            deployment.name_storage_twice();
            assert_eq!(serde_json::to_value(&deployment).expect("JSON")["config"], config);
        }
    }
}

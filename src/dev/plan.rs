//! Which deployments hold a workspace's modules.

use std::collections::{BTreeMap, BTreeSet};

use crate::module::{ModuleId, Project};

/// A deployment that is kept up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The module that it is of.
    pub(super) root: ModuleId,
    /// What it is called.
    pub(super) name: String,
    /// The root and all of the workspace's modules that it needs.
    pub(super) modules: BTreeSet<ModuleId>,
}

/// A deployment for each module that no other needs; every module is in one of them at least.
pub(super) fn parts(projects: &BTreeMap<ModuleId, Project>) -> Vec<Part> {
    let needed = |id: &ModuleId| -> Vec<ModuleId> {
        let dependencies = projects.get(id).map(|project| project.manifest.dependencies.keys());
        dependencies.into_iter().flatten().filter(|id| projects.contains_key(id)).cloned().collect()
    };
    let is_needed: BTreeSet<ModuleId> =
        projects.keys().flat_map(|id| needed(id).into_iter().filter(move |other| other != id)).collect();
    let (inner, roots): (Vec<&ModuleId>, Vec<&ModuleId>) = projects.keys().partition(|id| is_needed.contains(*id));
    let mut parts: Vec<Part> = Vec::new();
    // Modules that need each other have no root among them: one of them stands for all.
    for root in roots.into_iter().chain(inner) {
        if parts.iter().any(|part| part.modules.contains(root)) {
            continue;
        }
        let mut modules = BTreeSet::new();
        let mut open = vec![root.clone()];
        while let Some(id) = open.pop() {
            if modules.insert(id.clone()) {
                open.extend(needed(&id));
            }
        }
        parts.push(Part { root: root.clone(), name: root.name.to_string(), modules });
    }
    let names: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    for part in &mut parts {
        if names.iter().filter(|name| **name == part.name).count() > 1 {
            part.name = format!("{}-{}", part.root.module_type, part.root.name);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn projects(modules: &[(&str, &[&str])]) -> BTreeMap<ModuleId, Project> {
        let folder = tempfile::tempdir().expect("a folder");
        let project = |(id, needs): &(&str, &[&str])| {
            let (module_type, name) = id.split_once(':').expect("type:name");
            let needs: String = needs.iter().map(|id| format!("\"{id}\" = \"*\"\n")).collect();
            let manifest = format!(
                "[module]\ntype = \"{module_type}\"\nname = \"{name}\"\nversion = \"0.1.0\"\nruntime = \"data\"\n\
                 [dependencies]\n{needs}"
            );
            fs_err::write(folder.path().join("napt.toml"), manifest).expect("a manifest");
            let project = Project::load(folder.path()).expect("a project");
            (project.id().clone(), project)
        };
        modules.iter().map(project).collect()
    }

    fn shown(modules: &[(&str, &[&str])]) -> Vec<String> {
        let show = |part: Part| {
            let modules: Vec<String> = part.modules.iter().map(ToString::to_string).collect();
            format!("{} {}: {}", part.name, part.root, modules.join(" "))
        };
        parts(&projects(modules)).into_iter().map(show).collect()
    }

    #[test]
    fn every_module_is_in_a_deployment() {
        let chat: &[(&str, &[&str])] = &[
            ("orchestrator:chat", &["agent:a", "agent:b"]),
            ("agent:a", &["tool:t"]),
            ("agent:b", &["agent:published"]),
        ];
        assert_eq!(shown(chat), ["chat orchestrator:chat: orchestrator:chat agent:a agent:b"]);
        let more: Vec<_> = chat.iter().copied().chain([("tool:t", &[][..]), ("kb:chat", &[][..])]).collect();
        assert_eq!(
            shown(&more),
            [
                "orchestrator-chat orchestrator:chat: orchestrator:chat agent:a agent:b tool:t",
                "kb-chat kb:chat: kb:chat"
            ]
        );
        assert_eq!(shown(&[("agent:a", &["agent:b"]), ("agent:b", &["agent:a"])]), ["a agent:a: agent:a agent:b"]);
    }
}

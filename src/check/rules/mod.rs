//! The rules, one file each, and how they are run.

mod cargo;
mod config_shape;
mod crate_source;
mod duplicate_module;
mod duplicate_name;
mod entry_signature;
mod invalid_entrypoint;
mod invalid_json;
mod invalid_limits;
mod invalid_name;
mod invalid_permissions;
mod invalid_persona;
mod invalid_requirement;
mod invalid_version;
mod manifest_shape;
mod manifest_syntax;
mod max_rounds;
mod missing_binary;
mod missing_cargo_lock;
mod missing_deployment;
mod missing_entry_function;
mod missing_entrypoint;
mod missing_input_schema;
mod missing_manifest;
mod missing_package;
mod missing_readme;
mod missing_runtime;
mod missing_variable;
mod module_mismatch;
mod node_address;
mod not_packaged;
mod old_storage_config;
mod packaged_env;
mod path_dependency;
mod python_syntax;
mod requires_python;
mod sdk_version;
mod secret_in_config;
mod undeclared_dependency;
mod unknown_key;
mod unknown_lint;
mod unknown_llm_config;
mod unknown_subdeployment;
mod unused_dependency;
mod unused_subdeployment;
mod workspace_members;

use super::{
    Options,
    diagnostic::{Diagnostic, Level, Place, said},
    load::{Checked, Levels, Module, in_parallel},
    source::Document,
};
use crate::module::{LintLevel, Runtime};

/// All rules, sorted by name.
pub static RULES: &[&Rule] = &[
    &config_shape::RULE,
    &crate_source::RULE,
    &duplicate_module::RULE,
    &duplicate_name::RULE,
    &entry_signature::RULE,
    &invalid_entrypoint::RULE,
    &invalid_json::RULE,
    &invalid_limits::RULE,
    &invalid_name::RULE,
    &invalid_permissions::RULE,
    &invalid_persona::RULE,
    &invalid_requirement::RULE,
    &invalid_version::RULE,
    &manifest_shape::RULE,
    &manifest_syntax::RULE,
    &max_rounds::RULE,
    &missing_binary::RULE,
    &missing_cargo_lock::RULE,
    &missing_deployment::RULE,
    &missing_entry_function::RULE,
    &missing_entrypoint::RULE,
    &missing_input_schema::RULE,
    &missing_manifest::RULE,
    &missing_package::RULE,
    &missing_readme::RULE,
    &missing_runtime::RULE,
    &missing_variable::RULE,
    &module_mismatch::RULE,
    &node_address::RULE,
    &not_packaged::RULE,
    &old_storage_config::RULE,
    &packaged_env::RULE,
    &path_dependency::RULE,
    &python_syntax::RULE,
    &requires_python::RULE,
    &sdk_version::RULE,
    &secret_in_config::RULE,
    &undeclared_dependency::RULE,
    &unknown_key::RULE,
    &unknown_lint::RULE,
    &unknown_llm_config::RULE,
    &unknown_subdeployment::RULE,
    &unused_dependency::RULE,
    &unused_subdeployment::RULE,
    &workspace_members::RULE,
];

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// As it stands in `[lints]` and in messages.
    pub name: &'static str,
    /// What it is when no manifest says otherwise.
    pub level: LintLevel,
    /// One line: what it finds.
    pub summary: &'static str,
    /// Markdown: why it matters.
    pub docs: &'static str,
    /// What `--fix` does about it, when there is something that it can do for certain.
    pub fix: Option<&'static str>,
    /// Files in which it finds something, and the same ones mended.
    pub example: Example,
    run: Run,
}

/// A part of a project, as a rule finds it and as it should be. What it does not show is in order.
#[derive(Debug)]
pub struct Example {
    /// The rule finds something.
    pub bad: &'static [Part],
    /// It does not.
    pub good: &'static [Part],
}

/// A file of an example, relative to the module's folder.
#[derive(Debug)]
pub enum Part {
    /// Path and text, without the last line break.
    File(&'static str, &'static str),
    /// A path at which there is nothing.
    Without(&'static str),
}

/// What a rule looks at.
#[derive(Debug)]
enum Run {
    /// Each TOML and JSON file.
    Document(fn(&Document, &mut Findings<'_>)),
    /// Each module.
    Module(fn(&Module, &mut Findings<'_>)),
    /// Each module in Rust, with its `Cargo.toml`.
    Cargo(fn(&Module, &Document, &mut Findings<'_>)),
    /// Everything together.
    Workspace(fn(&Checked, &mut Findings<'_>)),
}

/// Where a rule reports to.
struct Findings<'a> {
    rule: &'static str,
    level: Level,
    found: &'a mut Vec<Diagnostic>,
}

impl Findings<'_> {
    /// Reports a finding; what else there is to say about it is added to what is returned.
    fn report(&mut self, place: Place, message: impl AsRef<str>) -> &mut Diagnostic {
        let message = said(message);
        let (rule, level) = (self.rule, self.level);
        self.found.push(Diagnostic {
            rule,
            level,
            message,
            place,
            label: None,
            labels: vec![],
            notes: vec![],
            help: vec![],
            fix: vec![],
        });
        self.found.last_mut().expect("it has just been pushed")
    }
}

/// Runs all rules, at the levels of the manifests unless the options have others.
pub(super) fn run(checked: &Checked, options: &Options) -> Vec<Diagnostic> {
    let levels = |rule: &Rule, own: &Levels| {
        let given = options.levels.get(rule.name);
        let level = given.or_else(|| own.get(rule.name)).or_else(|| checked.levels.get(rule.name));
        match level.copied().unwrap_or(rule.level) {
            LintLevel::Allow => None,
            LintLevel::Warn if options.deny_warnings && given.is_none() => Some(Level::Error),
            LintLevel::Warn => Some(Level::Warning),
            LintLevel::Deny => Some(Level::Error),
        }
    };
    let of_module = |module: &Module| {
        let mut found = Vec::new();
        for rule in RULES {
            let Some(level) = levels(rule, &module.levels) else { continue };
            let mut findings = Findings { rule: rule.name, level, found: &mut found };
            match rule.run {
                Run::Document(run) => module.documents().for_each(|document| run(document, &mut findings)),
                Run::Module(run) => run(module, &mut findings),
                Run::Cargo(run) => {
                    if let Some(native) = module.native.as_ref().filter(|_| module.runtime == Runtime::Rust) {
                        run(module, native, &mut findings);
                    }
                }
                Run::Workspace(_) => {}
            }
        }
        found
    };
    let mut found: Vec<Diagnostic> = in_parallel(&checked.modules, of_module).into_iter().flatten().collect();
    for rule in RULES {
        let Some(level) = levels(rule, &Levels::new()) else { continue };
        let mut findings = Findings { rule: rule.name, level, found: &mut found };
        match rule.run {
            Run::Document(run) => checked.workspace.iter().for_each(|document| run(document, &mut findings)),
            Run::Module(_) | Run::Cargo(_) => {}
            Run::Workspace(run) => run(checked, &mut findings),
        }
    }
    found
}

use std::fmt::Write;

use clap::Args as ClapArgs;
use napt_registry_client::{IndexDep, IndexEntry, ModuleDetails, ModuleSource, ModuleVersion};
use semver::Version;
use serde_json::{Value, json};

use super::arguments::{Release, release};
use crate::{
    context::Context,
    module::ModuleId,
    package::{Limits, inspect},
    registries::Registry,
    report::{Failure, Kind},
    shell::Output,
};

/// Show what a registry knows of a module
///
/// Its versions, owners and dependencies, and with `--readme` its README.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt info agent:critic
  napt info agent:critic@0.2.0 --readme")]
pub(super) struct Args {
    /// The module, as `type:name` or `type:name@1.2.3`
    #[arg(value_name = "TYPE:NAME[@VERSION]", value_parser = release)]
    release: Release,

    /// Show the README too
    #[arg(long)]
    readme: bool,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let registries = context.registries(self.registry.as_deref())?;
        let registry = registries.default_registry();
        let Release { id, version } = &self.release;
        context.interruptible(async {
            let Some(mut details) = registry.details(id).await? else { return Err(no_module(registry, id).await) };
            if let Some(source) = details.summary.source.clone() {
                return pointer(registry, id, version.as_ref(), details, &source);
            }
            let version = version.as_ref().unwrap_or(&details.summary.version);
            let Some(shown) = details.versions.iter().find(|one| one.entry.version == *version).cloned() else {
                let versions: Vec<String> = details.versions.iter().map(|one| one.entry.version.to_string()).collect();
                return Err(Failure::new(Kind::Failed, format!("there is no version {version} of `{id}`"))
                    .hinted(format!("its versions are {}", versions.join(", "))));
            };
            if *version != details.summary.version {
                // The registry tells the newest version's manifest and README only; the archive has its own.
                let path = registry.archive(id, version, &shown.entry.sha256, &context.shell).await?;
                let contents = inspect(&path, &Limits::default())?;
                details.manifest = serde_json::to_value(&contents.manifest).map_err(std::io::Error::from)?;
                details.readme = contents.readme;
            }
            let readme = details.readme.take().filter(|_| self.readme);
            if self.readme && readme.is_none() {
                context.shell.note(&format!("{id}@{} has no README", shown.entry.version));
            }
            let human = describe(registry, &details, &shown, readme.as_deref());
            let data = json!({
                "registry": registry.address(),
                "module": id,
                "version": shown,
                "manifest": details.manifest,
                "owners": details.owners,
                "versions": details.versions,
                "readme": readme,
                "source": null,
            });
            Ok(Output::new(human, data))
        })
    }
}

/// A module that the registry has no archive of: where it is kept is all that can be said.
fn pointer(
    registry: &Registry,
    id: &ModuleId,
    version: Option<&Version>,
    details: ModuleDetails,
    source: &ModuleSource,
) -> Result<Output, Failure> {
    let ModuleSource { url, version: tag } = source;
    if let Some(version) = version {
        return Err(Failure::new(Kind::Failed, format!("there is no version {version} of `{id}`"))
            .hinted(format!("the registry has no archive of it: it is kept at {url}, as `{tag}`")));
    }
    let mut text = format!("{id} {tag}");
    let lines = [
        ("description", details.summary.description.as_str()),
        ("registry", registry.address()),
        ("owners", &details.owners.join(", ")),
        ("source", url),
        ("changed", &details.summary.published.to_string()),
    ];
    for (key, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{key:<12}{value}");
    }
    let data = json!({
        "registry": registry.address(),
        "module": id,
        "version": null,
        "manifest": null,
        "owners": details.owners,
        "versions": [],
        "readme": null,
        "source": source,
    });
    Ok(Output::new(text, data))
}

async fn no_module(registry: &Registry, id: &ModuleId) -> Failure {
    let what = format!("there is no module `{id}` in the registry at `{}`", registry.address());
    let failure = Failure::new(Kind::Failed, what);
    match registry.near(id).await {
        Some(near) => failure.hinted(format!("did you mean `{near}`?")),
        None => failure.hinted("`napt search` finds modules by their names and descriptions"),
    }
}

fn describe(registry: &Registry, details: &ModuleDetails, shown: &ModuleVersion, readme: Option<&str>) -> String {
    let IndexEntry { module_type, name, version, deps, sha256, size, runtime, published, .. } = &shown.entry;
    let said = |key: &str| details.manifest.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut text = format!("{module_type}:{name} {version}");
    let mut line = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{key:<12}{value}");
    };
    let description = said("description").filter(|text| !text.is_empty());
    description.into_iter().for_each(|text| line("description", text));
    if shown.entry.yanked {
        line("yanked", shown.entry.yank_reason.clone().unwrap_or_else(|| "no reason was given".to_owned()));
    }
    line("registry", registry.address().to_owned());
    line("owners", details.owners.join(", "));
    for key in ["license", "repository"] {
        said(key).into_iter().for_each(|value| line(key, value));
    }
    line("runtime", runtime.clone());
    line("size", size_of(*size));
    line("sha256", sha256.clone());
    line("published", format!("{published} by {}", shown.publisher));
    let hosts = details.manifest.pointer("/permissions/hosts").and_then(Value::as_array);
    if let Some(hosts) = hosts.filter(|hosts| !hosts.is_empty()) {
        line("reaches", hosts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
    }
    let dependency = |IndexDep { module_type, name, req, registry }: &IndexDep| {
        let from = registry.as_ref().map(|name| format!(" from `{name}`")).unwrap_or_default();
        format!("\n  {module_type}:{name} {req}{from}")
    };
    if !deps.is_empty() {
        text.push_str("\ndependencies");
        text.extend(deps.iter().map(dependency));
    }
    text.push_str("\nversions");
    for ModuleVersion { entry, .. } in &details.versions {
        let day = entry.published.strftime("%Y-%m-%d");
        let _ = write!(text, "\n  {:<12}{day}  {}", entry.version.to_string(), size_of(entry.size));
        if entry.yanked {
            let reason = entry.yank_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let _ = write!(text, "  yanked{reason}");
        }
    }
    readme.into_iter().for_each(|readme| {
        let _ = write!(text, "\n\n{}", readme.trim_end());
    });
    text
}

fn size_of(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

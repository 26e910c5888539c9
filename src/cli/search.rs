use clap::Args as ClapArgs;
use serde_json::json;

use super::arguments::hinted;
use crate::{context::Context, module::ModuleType, report::Failure, shell::Output};

/// How many modules are shown: as many as a registry tells at a time.
const PAGE: usize = 20;

/// Find modules in a registry
///
/// A module is found when its name, description or keywords hold all of the words. `napt agents`, `tools`, `kbs`, `memories`,
/// `personas`, `orchestrators` and `environments` are the same with a type.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt search debate
  napt search --type kb wikipedia --limit 50")]
pub(super) struct Args {
    /// Only modules of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = hinted::<ModuleType>)]
    module_type: Option<ModuleType>,

    #[command(flatten)]
    search: Search,
}

/// A search of any type of module.
#[derive(Debug, ClapArgs)]
pub(super) struct Search {
    /// Words; none finds all
    #[arg(value_name = "QUERY")]
    query: Vec<String>,

    /// How many at most
    #[arg(long, value_name = "N", default_value_t = PAGE)]
    limit: usize,

    /// The registry's URL or name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        self.search.exec(self.module_type, context)
    }
}

impl Search {
    pub(super) fn exec(&self, module_type: Option<ModuleType>, context: &Context) -> Result<Output, Failure> {
        let registries = context.registries(self.registry.as_deref())?;
        let registry = registries.default_registry();
        let query = self.query.join(" ");
        let (modules, total) = context.interruptible(async {
            let mut modules = Vec::new();
            let mut page = 1;
            loop {
                let found = registry.search(&query, module_type, page).await?;
                let is_last = found.items.is_empty();
                modules.extend(found.items);
                if is_last || modules.len() >= self.limit || modules.len() as u64 >= found.total {
                    modules.truncate(self.limit);
                    return Ok::<_, Failure>((modules, found.total));
                }
                page += 1;
            }
        })?;
        let name = |module: &napt_registry_client::ModuleSummary| format!("{}:{}", module.module_type, module.name);
        // A module that is kept elsewhere has the version that it has there.
        let version = |module: &napt_registry_client::ModuleSummary| {
            module.source.as_ref().map_or_else(|| module.version.to_string(), |source| source.version.clone())
        };
        let width = modules.iter().map(|module| name(module).len()).max().unwrap_or_default();
        let version_width = modules.iter().map(|module| version(module).len()).max().unwrap_or_default();
        let lines = modules.iter().map(|module| {
            let line = format!(
                "{:<width$}  {:<version_width$}  {}",
                name(module),
                version(module),
                module.description.lines().next().unwrap_or_default()
            );
            line.trim_end().to_owned()
        });
        let human = lines.collect::<Vec<_>>().join("\n");
        let left = total.saturating_sub(modules.len() as u64);
        if modules.is_empty() {
            context.shell.note(&format!("Nothing in the registry at {} fits", registry.address()));
        } else if left > 0 {
            context.shell.note(&format!("… and {left} more: narrow the query, or raise `--limit`"));
        }
        Ok(Output::new(human, json!({ "registry": registry.address(), "modules": modules, "total": total })))
    }
}

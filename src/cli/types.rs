//! Naptha's `agents`, `tools` and so on: `napt search` with a type.

/// A command for each type: a room as any other command's file.
macro_rules! types {
    ($($command:ident: $module_type:ident $about:literal $example:literal,)*) => {
        $(pub(super) mod $command {
            use crate::{cli::search::Search, context::Context, module::ModuleType, report::Failure, shell::Output};

            #[derive(Debug, clap::Args)]
            #[command(hide = true, about = $about, after_help = $example)]
            pub(in crate::cli) struct Args {
                #[command(flatten)]
                search: Search,
            }

            impl Args {
                pub(in crate::cli) fn exec(&self, context: &Context) -> Result<Output, Failure> {
                    self.search.exec(Some(ModuleType::$module_type), context)
                }
            }
        })*
    };
}

types! {
    agents: Agent "Find agents: `napt search --type agent`" "Examples:\n  napt agents chat",
    tools: Tool "Find tools: `napt search --type tool`" "Examples:\n  napt tools image",
    kbs: Kb "Find knowledge bases: `napt search --type kb`" "Examples:\n  napt kbs wikipedia",
    memories: Memory "Find memories: `napt search --type memory`" "Examples:\n  napt memories",
    personas: Persona "Find personas: `napt search --type persona`" "Examples:\n  napt personas twitter",
    orchestrators: Orchestrator "Find orchestrators: `napt search --type orchestrator`" "Examples:\n  napt orchestrators debate",
    environments: Environment "Find environments: `napt search --type environment`" "Examples:\n  napt environments",
}

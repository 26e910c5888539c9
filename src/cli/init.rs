//! `napt init`: an existing Naptha project becomes a napt project.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    adopt::{AdoptError, AdoptOptions, Adopted, adopt},
    check::{Schema, editor_files},
    context::Context,
    module::{ModuleType, SCHEMA_FOLDER, existing_folder},
    report::Failure,
    scaffold::Schemas,
    shell::Output,
};

/// Adopt an existing Naptha project
///
/// Writes a `napt.toml` from what the project says in `pyproject.toml`, its code and its `configs/`, with a comment
/// behind each line that says where it is from, and for editors the JSON Schemas in `.napt/schemas`. No file of the
/// project's own is changed. When the type of the module cannot be told,
/// it asks on a terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  napt init
  napt init hello_world_agent --dry-run
  napt init ./my_module --type tool")]
pub(super) struct Args {
    /// The project's folder [default: this folder]
    path: Option<PathBuf>,

    /// orchestrator, agent, tool, kb, memory, environment or persona
    #[arg(long, value_name = "TYPE", value_parser = super::arguments::hinted::<ModuleType>)]
    r#type: Option<ModuleType>,

    /// Print the manifest and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let path = self.path.as_ref().map_or_else(|| context.cwd.clone(), |path| context.cwd.join(path));
        let way = match Schemas::of(&existing_folder(&path)?) {
            Schemas::Own => Some(String::new()),
            Schemas::Above(way) => Some(way),
            Schemas::None => None,
        };
        let mut options = AdoptOptions {
            path,
            module_type: self.r#type,
            editor_files: if way.as_deref() == Some("") { editor_files() } else { Vec::new() },
            schema: way.map(|way| format!("{way}{SCHEMA_FOLDER}/{}", Schema::Manifest.file())),
            dry_run: self.dry_run,
        };
        let shell = &context.shell;
        let adopted = match adopt(&options, shell) {
            Err(error @ AdoptError::Unsure { .. }) if shell.is_interactive() => {
                shell.note(&error.to_string());
                let check = |text: &str| text.parse::<ModuleType>().map(drop).map_err(|error| error.to_string());
                let types = ModuleType::ALL.map(ModuleType::as_str).join(", ");
                let answer = shell.ask_text(&format!("Type of the module ({types})"), "agent", &check)?;
                options.module_type = Some(answer.parse()?);
                adopt(&options, shell)?
            }
            result => result?,
        };
        let Adopted { path, id, manifest, findings, files } = &adopted;
        let human = if self.dry_run {
            manifest.trim_end().to_owned()
        } else {
            for finding in findings {
                shell.note(&format!("{:13}{} = {}: {}", "", finding.key, finding.value, finding.reason));
            }
            let given = self.path.as_ref().map(|path| format!(" {}", path.display())).unwrap_or_default();
            shell.note(&format!("\nnext:\n  napt check{given}"));
            String::new()
        };
        let data = json!({
            "path": path,
            "id": id,
            "manifest": manifest,
            "findings": findings,
            "files": files,
            "dry_run": self.dry_run,
        });
        Ok(Output::new(human, data))
    }
}

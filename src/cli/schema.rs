//! `napt schema`

use std::path::PathBuf;

use clap::{ValueEnum, builder::PossibleValue};
use serde_json::json;

use crate::{
    check::Schema,
    context::Context,
    files,
    report::{Failure, Kind, Reporter},
    shell::Output,
};

/// Write the JSON Schemas of manifest and configuration files
///
/// Editors complete and check with them. They are those of this napt and need no network: projects that `napt new` makes
/// keep them in `.napt/schemas`, where their manifests and editor settings refer to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  napt schema manifest
  napt schema agent_deployments
  napt schema --out .napt/schemas          # after an update of napt")]
pub(super) struct Args {
    /// The kind of file
    #[arg(required_unless_present = "out")]
    kind: Option<Schema>,

    /// Write all schemas into a folder
    #[arg(long, value_name = "DIR", conflicts_with = "kind")]
    out: Option<PathBuf>,
}

impl ValueEnum for Schema {
    fn value_variants<'a>() -> &'a [Self] {
        &Schema::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        // A file's own name, with or without its suffix, is understood too.
        let files = self.describes().into_iter().flat_map(|file| [file, file.split('.').next().unwrap_or(file)]);
        Some(PossibleValue::new(self.name()).aliases(files.filter(|name| *name != self.name() && *name != "napt")))
    }
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        if let Some(kind) = self.kind {
            return Ok(Output::new(kind.text().trim_end(), json!({ "kind": kind.name(), "schema": kind.value() })));
        }
        let Some(out) = &self.out else {
            return Err(Failure::new(Kind::Usage, "say which schema, or `--out` for all of them"));
        };
        let folder = context.cwd.join(out);
        fs_err::create_dir_all(&folder)?;
        let mut files = Vec::new();
        for kind in Schema::ALL {
            files::write(&folder.join(kind.file()), kind.text().as_bytes())?;
            files.push(kind.file());
        }
        context.shell.step("Wrote", &format!("{} to `{}`", files.join(", "), out.display()));
        Ok(Output::new("", json!({ "dir": folder, "files": files })))
    }
}

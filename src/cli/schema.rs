//! `napt schema`

use std::path::PathBuf;

use clap::{ValueEnum, builder::PossibleValue};
use serde_json::{Value, json};

use crate::{
    check::Schema,
    context::{Context, config_schema},
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
    kind: Option<Described>,

    /// Write all schemas into a folder
    #[arg(long, value_name = "DIR", conflicts_with = "kind")]
    out: Option<PathBuf>,
}

/// A kind of file that has a schema: what `napt check` reads, and what says how commands behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Described {
    Project(Schema),
    Config,
}

impl Described {
    const ALL: [Described; Schema::ALL.len() + 1] = {
        let mut all = [Described::Config; Schema::ALL.len() + 1];
        let mut at = 0;
        while at < Schema::ALL.len() {
            all[at] = Described::Project(Schema::ALL[at]);
            at += 1;
        }
        all
    };

    fn name(self) -> &'static str {
        match self {
            Described::Project(schema) => schema.name(),
            Described::Config => "config",
        }
    }

    fn files(self) -> Vec<&'static str> {
        match self {
            Described::Project(schema) => schema.describes(),
            Described::Config => vec!["config.toml"],
        }
    }

    fn value(self) -> Value {
        match self {
            Described::Project(schema) => schema.value(),
            Described::Config => config_schema(),
        }
    }
}

impl ValueEnum for Described {
    fn value_variants<'a>() -> &'a [Self] {
        &Described::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        // A file's own name, with or without its suffix, is understood too.
        let files = self.files().into_iter().flat_map(|file| [file, file.split('.').next().unwrap_or(file)]);
        Some(PossibleValue::new(self.name()).aliases(files.filter(|name| *name != self.name() && *name != "napt")))
    }
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        if let Some(kind) = self.kind {
            let schema = kind.value();
            return Ok(Output::new(format!("{schema:#}"), json!({ "kind": kind.name(), "schema": schema })));
        }
        let Some(out) = &self.out else {
            return Err(Failure::new(Kind::Usage, "say which schema, or `--out` for all of them"));
        };
        let folder = context.cwd.join(out);
        fs_err::create_dir_all(&folder)?;
        let mut written = Vec::new();
        for kind in Described::ALL {
            let file = format!("{}.json", kind.name());
            files::write(&folder.join(&file), format!("{:#}\n", kind.value()).as_bytes())?;
            written.push(file);
        }
        context.shell.step("Wrote", &format!("{} to `{}`", written.join(", "), out.display()));
        Ok(Output::new("", json!({ "dir": folder, "files": written })))
    }
}

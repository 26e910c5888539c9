use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};
use url::Url;

use crate::{
    context::{Context, Key, Setting, Source},
    module::Workspace,
    report::{Failure, Kind, Reporter},
    shell::Output,
};

/// Show settings, and where each is from
///
/// A flag goes before the environment, that before a running `napt dev`, that before `.napt/config.toml` here and in the
/// folders above, that before your own `config.toml`, and that before the default. Secrets are shown as `(set)`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt config
  napt config get registry
  napt config set registry https://registry.example
  napt config set node http://127.0.0.1:7002 --workspace")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Get(GetArgs),
    Set(SetArgs),
}

/// Show the value of a setting
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt config get node")]
struct GetArgs {
    /// registry, node, color, provider-key or token
    key: String,
}

/// Give a setting a value, in your own `config.toml` or in a workspace's
///
/// The rest of the file stays as it is. Your own file is readable by nobody else, and secrets go nowhere else.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt config set registry https://registry.example
  napt config set color never --workspace
  napt config set provider-key < key.txt")]
struct SetArgs {
    /// registry, node, color or provider-key
    key: String,

    /// Its value; read from stdin when absent, as is best for secrets
    value: Option<String>,

    /// In your own `config.toml`, for all that you do: the default
    #[arg(long, conflicts_with = "workspace")]
    user: bool,

    /// In the `.napt/config.toml` of this workspace, for all who work in it
    #[arg(long)]
    workspace: bool,
}

/// A line of the list.
struct Row {
    name: String,
    value: Option<String>,
    source: Option<Source>,
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        match &self.command {
            None => list(context),
            Some(Command::Get(args)) => args.exec(context),
            Some(Command::Set(args)) => args.exec(context),
        }
    }
}

impl GetArgs {
    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let row = if self.key == TOKEN { token(context)? } else { setting(context, self.key.parse()?)? };
        Ok(Output::new(row.value.clone().unwrap_or_default(), json!({ "setting": row.json() })))
    }
}

impl SetArgs {
    fn exec(&self, context: &Context) -> Result<Output, Failure> {
        if self.key == TOKEN {
            return Err(Failure::new(Kind::Usage, "a token is not kept among the settings")
                .hinted("`napt login` gets one and keeps it; or set `NAPT_TOKEN`"));
        }
        let key: Key = self.key.parse()?;
        let value = match &self.value {
            Some(value) => {
                if key.is_secret() {
                    context.shell.warn("other programs, and your shell's history, can see what is on a command line");
                }
                value.clone()
            }
            None => {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line)?;
                line.trim().to_owned()
            }
        };
        let path = if self.workspace {
            Workspace::discover(&context.cwd)?.root.join(".napt").join("config.toml")
        } else {
            context.dirs.config.join("config.toml")
        };
        context.set(&path, key, &value)?;
        context.shell.note(&format!("`{key}` is set in `{}`", path.display()));
        let now = context.in_folder(&context.cwd)?.setting(key, None)?;
        if let Some(now) = now.filter(|now| !matches!(&now.source, Source::File { path: from, .. } if *from == path)) {
            context.shell.warn(&format!("it has no effect here, since {} goes before it", now.source));
        }
        Ok(Output::new("", json!({ "key": key.name(), "path": path })))
    }
}

/// What is no setting of a file, but just as good to know.
const TOKEN: &str = "token";
const SET: &str = "(set)";

fn setting(context: &Context, key: Key) -> Result<Row, Failure> {
    let found = context.setting(key, None)?;
    let (value, source) = found.map(|found| (found.value, found.source)).unzip();
    let value = value.map(|value| if key.is_secret() { SET.to_owned() } else { value });
    Ok(Row { name: key.name().to_owned(), value, source })
}

/// The token for the registry that commands would talk to.
fn token(context: &Context) -> Result<Row, Failure> {
    let credentials = context.credentials();
    let source = if context.env.token.is_some() {
        Some(Source::Variable("NAPT_TOKEN"))
    } else if credentials.registry_token(context.registry(None)?.value.as_str())?.is_some() {
        Some(Source::File { path: credentials.credentials_path(), line: None })
    } else {
        None
    };
    Ok(Row { name: TOKEN.to_owned(), value: source.is_some().then(|| SET.to_owned()), source })
}

fn of_registry((name, setting): (String, Setting<Url>)) -> Row {
    Row { name, value: Some(setting.value.to_string()), source: Some(setting.source) }
}

fn list(context: &Context) -> Result<Output, Failure> {
    let mut settings = Vec::new();
    for key in Key::ALL {
        settings.push(setting(context, key)?);
    }
    settings.push(token(context)?);
    let home = || context.env.home.as_ref().map(|_| "NAPT_HOME");
    let folder = |name: &str, path: &std::path::Path, variable: Option<&'static str>| Row {
        name: name.to_owned(),
        value: Some(path.display().to_string()),
        source: Some(variable.map_or(Source::Default, Source::Variable)),
    };
    let folders = [
        folder("config", &context.dirs.config, home()),
        folder("data", &context.dirs.data, home()),
        folder("cache", &context.dirs.cache, context.env.cache.as_ref().map(|_| "NAPT_CACHE_DIR").or_else(home)),
    ];
    let registries: Vec<Row> = context.named_registries().into_iter().map(of_registry).collect();
    let named = if registries.is_empty() { String::new() } else { format!("\nregistries:\n{}", table(&registries)) };
    let human = format!("settings:\n{}{named}\nfolders:\n{}", table(&settings), table(&folders));
    let json = |rows: &[Row]| rows.iter().map(Row::json).collect::<Value>();
    let data = json!({ "settings": json(&settings), "registries": json(&registries), "folders": json(&folders) });
    Ok(Output::new(human.trim_end(), data))
}

impl Row {
    fn json(&self) -> Value {
        json!({ "key": self.name, "value": self.value, "source": self.source })
    }
}

fn table(rows: &[Row]) -> String {
    let value = |row: &Row| row.value.clone().unwrap_or_else(|| "(not set)".to_owned());
    let width = rows.iter().map(|row| value(row).len()).max().unwrap_or_default();
    let line = |row: &Row| {
        let source = row.source.as_ref().map(|source| format!("from {source}")).unwrap_or_default();
        format!("  {:<12}  {:<width$}  {source}", row.name, value(row)).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

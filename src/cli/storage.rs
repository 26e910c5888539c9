mod values;

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::{Map, Value, json};
use values::{human, json_of, wrapped};

use crate::{
    client::{NodeClient, Saved, Storage},
    context::Context,
    report::{Failure, Kind},
    shell::Output,
};

/// Use your storage on a node: tables, files, and contents by their digests
///
/// `db` has tables, `fs` files in folders, `ipfs` contents by their CIDs. JSON is given as text, as `@FILE`, or as `-` for
/// stdin. The flags and forms of `naptha storage` work too.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  napt storage db create notes --schema '{\"id\": {\"type\": \"integer\", \"primary_key\": true}, \"text\": \"text\"}'
  napt storage db create notes --data '{\"id\": 1, \"text\": \"hello\"}'
  napt storage db read notes --where id=1
  napt storage fs create reports --file june.txt
  napt storage fs read reports/june.txt --output june.txt
  napt storage ipfs create --file june.txt")]
pub(super) struct Args {
    /// Where
    storage: Where,

    /// What to do
    operation: Operation,

    /// A table, a folder or file, a CID; nothing for everything
    #[arg(default_value = "")]
    path: String,

    /// Rows, changes to them, or what to search for: words, or a vector as a list
    #[arg(long, short, value_name = "JSON")]
    data: Option<String>,

    /// A new table's columns
    #[arg(long, short, value_name = "JSON")]
    schema: Option<String>,

    /// More about how, as in the tables of the book's page on storage
    #[arg(long, short, value_name = "JSON")]
    options: Option<String>,

    /// Which rows: a column and its value, JSON or text; repeatable, all must hold
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    conditions: Vec<String>,

    /// The file to store
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Where a file that is read goes [default: here, under its own name]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Delete the whole table, or a folder with all that is in it
    #[arg(long)]
    all: bool,

    /// Do not ask before that
    #[arg(long, short)]
    yes: bool,

    /// The node's URL
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    Db,
    Fs,
    Ipfs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    Create,
    Read,
    List,
    Update,
    Delete,
    Search,
}

impl From<Where> for Storage {
    fn from(storage: Where) -> Self {
        match storage {
            Where::Db => Storage::Db,
            Where::Fs => Storage::Fs,
            Where::Ipfs => Storage::Ipfs,
        }
    }
}

fn usage(what: impl Into<String>, hint: &str) -> Failure {
    Failure::new(Kind::Usage, what.into()).hinted(hint)
}

impl Args {
    pub(super) fn exec(&self, context: &Context) -> Result<Output, Failure> {
        let node = super::nodes::client(context, self.node.as_deref())?;
        let storage = Storage::from(self.storage);
        let options = json_of(context, "--options", self.options.as_deref())?.unwrap_or(Value::Null);
        let has_path = !self.path.is_empty();
        if !has_path
            && !matches!(
                (self.operation, self.storage),
                (Operation::List, _) | (Operation::Create | Operation::Search, Where::Ipfs)
            )
        {
            return Err(usage(
                "a path is missing",
                "name a table, a folder or a file; `list` alone shows what there is",
            ));
        }
        // A content's path says nothing, but has its place in the call.
        let path = if has_path || self.operation == Operation::List { self.path.as_str() } else { "any" };
        let done = match (self.operation, self.storage) {
            (Operation::Create, Where::Db) => context.block_on(node.create_rows(path, &self.rows(context)?))?,
            (Operation::Create, _) => {
                let file = self.file.as_ref().ok_or_else(|| usage("a file is missing", "name it with `--file`"))?;
                let options = if options.is_null() { json!({}) } else { options };
                context.block_on(node.send_file(storage, path, &context.cwd.join(file), &options))?
            }
            (Operation::Read, Where::Db) => context.block_on(node.read_rows(path, &self.with_conditions(options)?))?,
            (Operation::Read, _) => return self.fetch(context, &node, storage),
            (Operation::List, Where::Db) if has_path => {
                context.block_on(node.list_storage(storage, path, &self.with_conditions(options)?))?
            }
            (Operation::List, _) => context.block_on(node.list_storage(storage, path, &options))?,
            (Operation::Update, Where::Db) => {
                let data = wrapped("data", self.needed(context)?);
                context.block_on(node.update_rows(path, &self.condition(&options)?, &data))?
            }
            (Operation::Update, _) => {
                return Err(usage("only rows of `db` can be updated", "create the file again to replace it"));
            }
            (Operation::Delete, _) => self.delete(context, &node, options)?,
            (Operation::Search, _) => {
                let limit = options.get("limit").and_then(Value::as_u64).and_then(|limit| limit.try_into().ok());
                context.block_on(node.search_storage(storage, path, &self.query(context)?, limit))?
            }
        };
        Ok(Output::new(human(&done), json!({ "node": node.url(), "result": done })))
    }

    /// What a create of `db` sends: a schema, or rows.
    fn rows(&self, context: &Context) -> Result<Value, Failure> {
        match json_of(context, "--schema", self.schema.as_deref())? {
            Some(schema) => Ok(wrapped("schema", schema)),
            None => Ok(wrapped("data", self.needed(context)?)),
        }
    }

    fn needed(&self, context: &Context) -> Result<Value, Failure> {
        json_of(context, "--data", self.data.as_deref())?.ok_or_else(|| {
            usage("the data is missing", "give it with `--data`, or a new table's columns with `--schema`")
        })
    }

    /// What is searched for; what is no JSON is words.
    fn query(&self, context: &Context) -> Result<Value, Failure> {
        let text =
            self.data.as_deref().ok_or_else(|| usage("what to search for is missing", "give it with `--data`"))?;
        match text.starts_with(['[', '{', '"', '@', '-']) {
            true => Ok(json_of(context, "--data", Some(text))?.unwrap_or(Value::Null)),
            false => Ok(text.into()),
        }
    }

    /// The rows that `--where` means.
    fn wanted(&self) -> Result<Map<String, Value>, Failure> {
        let pair = |text: &String| {
            let (column, value) = text
                .split_once('=')
                .ok_or_else(|| usage(format!("`{text}` is not `column=value`"), "write for example `--where id=1`"))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((column.to_owned(), value))
        };
        self.conditions.iter().map(pair).collect()
    }

    /// The options of a read, with what `--where` says.
    fn with_conditions(&self, options: Value) -> Result<Value, Failure> {
        let wanted = self.wanted()?;
        if wanted.is_empty() {
            return Ok(options);
        }
        let mut options = options.as_object().cloned().unwrap_or_default();
        let conditions = options.entry("conditions").or_insert_with(|| json!([]));
        if let Some(conditions) = conditions.as_array_mut() {
            conditions.push(wanted.into());
        }
        Ok(options.into())
    }

    /// Which rows a change is for: `--where`, or where `naptha` has it.
    fn condition(&self, options: &Value) -> Result<Value, Failure> {
        let mut wanted = options.get("condition").and_then(Value::as_object).cloned().unwrap_or_default();
        wanted.extend(self.wanted()?);
        if wanted.is_empty() {
            return Err(usage("a condition is missing", "say which rows, for example `--where id=1`"));
        }
        Ok(wanted.into())
    }

    fn delete(&self, context: &Context, node: &NodeClient, options: Value) -> Result<Value, Failure> {
        let storage = Storage::from(self.storage);
        if !self.all {
            let (condition, options) = match self.storage {
                Where::Db => {
                    let hint = "say which rows with `--where`, or drop the whole table with `--all`";
                    let none = |_| usage("a condition is missing", hint);
                    (self.condition(&options).map_err(none)?, Value::Null)
                }
                Where::Fs | Where::Ipfs => (Value::Null, options),
            };
            return Ok(context.block_on(node.delete_storage(storage, &self.path, &condition, &options))?);
        }
        if !self.conditions.is_empty() {
            return Err(usage("`--where` means some rows and `--all` the whole table", "give one of them"));
        }
        self.confirm(context)?;
        let options = if self.storage == Where::Db { json!({ "drop": true }) } else { json!({ "recursive": true }) };
        Ok(context.block_on(node.delete_storage(storage, &self.path, &Value::Null, &options))?)
    }

    /// Asks for the name of what goes as a whole, unless told not to.
    fn confirm(&self, context: &Context) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let what = format!("all of `{}` would be deleted", self.path);
        if !context.shell.is_interactive() {
            return Err(usage(what, "if that is meant, add `--yes`"));
        }
        let is_it = |text: &str| if text.is_empty() || text == self.path { Ok(()) } else { Err("no".to_owned()) };
        let answer = context.shell.ask_text(&format!("{what}; type its name to go on"), "", &is_it)?;
        if answer == self.path { Ok(()) } else { Err(Failure::new(Kind::Interrupted, "nothing was deleted")) }
    }

    fn fetch(&self, context: &Context, node: &NodeClient, storage: Storage) -> Result<Output, Failure> {
        let to = self.output.as_ref().map(|path| context.cwd.join(path));
        let fetched = node.fetch_file(storage, &self.path, &context.cwd, to.as_deref());
        let Saved { path, size } = context.block_on(fetched)?;
        let shown = path.strip_prefix(&context.cwd).unwrap_or(&path).display().to_string();
        Ok(Output::new(shown, json!({ "node": node.url(), "result": { "path": path, "size": size } })))
    }
}

mod asked;
mod delete;
mod values;

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::{Value, json};
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

    fn fetch(&self, context: &Context, node: &NodeClient, storage: Storage) -> Result<Output, Failure> {
        let to = self.output.as_ref().map(|path| context.cwd.join(path));
        let fetched = node.fetch_file(storage, &self.path, &context.cwd, to.as_deref());
        let Saved { path, size } = context.block_on(fetched)?;
        let shown = path.strip_prefix(&context.cwd).unwrap_or(&path).display().to_string();
        Ok(Output::new(shown, json!({ "node": node.url(), "result": { "path": path, "size": size } })))
    }
}

//! Deleting: some rows by what they are, everything only when that is said twice.

use serde_json::{Value, json};

use super::{Args, Where, usage};
use crate::{
    client::{NodeClient, Storage},
    context::Context,
    report::{Failure, Kind},
};

impl Args {
    pub(super) fn delete(&self, context: &Context, node: &NodeClient, options: Value) -> Result<Value, Failure> {
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
}

//! The query texts that Naptha's clients send. Each is known as a whole; what varies comes as a variable, never as text.

use serde_json::{Map, Value};

use super::frames::HubError;
use crate::{module::ModuleType, registry::store::HubSecret};

/// A query that is known, with its variables.
#[derive(Debug)]
pub(super) enum Query {
    UserByName(String),
    UserByKey(String),
    Nodes,
    NodesAt(String),
    Servers,
    /// Servers have no names.
    ServerByName,
    Modules(ModuleType),
    /// With the id as text.
    ModuleById(ModuleType, String),
    ModuleByName(ModuleType, String),
    Secrets,
    ChangeSecrets(Vec<Statement>),
}

/// A statement of a transaction over secrets.
#[derive(Debug)]
pub(super) enum Statement {
    Insert(Vec<UserSecret>),
    Update(UserSecret),
}

/// A secret with the user whom the client says it is of.
#[derive(Debug)]
pub(super) struct UserSecret {
    pub(super) user: String,
    pub(super) secret: HubSecret,
}

/// How many statements a transaction may have.
const MAX_STATEMENTS: usize = 500;

/// All texts, for a message.
pub(super) const KNOWN: &str = "`SELECT * FROM user WHERE username = $username LIMIT 1`, `… WHERE public_key = \
    $public_key LIMIT 1`, `SELECT * FROM node`, `… WHERE ip=$node_ip`, `SELECT * FROM server`, `SELECT * FROM \
    api_secrets`, `SELECT * FROM TYPE`, `… WHERE id=$module_name`, `… WHERE name = $module_name LIMIT 1`, and \
    transactions of `INSERT INTO api_secrets` and `UPDATE api_secrets`";

/// Which query a text is.
pub(super) fn parse(text: &str, variables: &Map<String, Value>) -> Result<Query, HubError> {
    let text = text.trim();
    if let Some(statements) = text.strip_prefix("BEGIN TRANSACTION;") {
        return transaction(statements, variables);
    }
    let from = text.strip_suffix(';').unwrap_or(text).strip_prefix("SELECT * FROM ").ok_or(HubError::Query)?;
    Ok(match from {
        "user WHERE username = $username LIMIT 1" => Query::UserByName(variable(variables, "username")?),
        "user WHERE public_key = $public_key LIMIT 1" => Query::UserByKey(variable(variables, "public_key")?),
        "node" => Query::Nodes,
        "node WHERE ip=$node_ip" => Query::NodesAt(variable(variables, "node_ip")?),
        "server" => Query::Servers,
        "server WHERE name = $server_name LIMIT 1" => Query::ServerByName,
        "api_secrets" => Query::Secrets,
        _ => of_a_type(from, variables)?,
    })
}

fn of_a_type(from: &str, variables: &Map<String, Value>) -> Result<Query, HubError> {
    let end = from.find(' ').unwrap_or(from.len());
    let (table, condition) = from.split_at(end);
    let module_type: ModuleType = table.parse().map_err(|_| HubError::Query)?;
    let name = || variable(variables, "module_name");
    match condition {
        "" => Ok(Query::Modules(module_type)),
        " WHERE id=$module_name" => Ok(Query::ModuleById(module_type, name()?)),
        " WHERE name = $module_name LIMIT 1" => Ok(Query::ModuleByName(module_type, name()?)),
        _ => Err(HubError::Query),
    }
}

/// Lines between `BEGIN` and `COMMIT`: one insertion of a list, updates with numbered variables.
fn transaction(text: &str, variables: &Map<String, Value>) -> Result<Query, HubError> {
    let lines = text.trim_start().strip_suffix("COMMIT TRANSACTION;").ok_or(HubError::Query)?;
    let mut statements = Vec::new();
    let mut updates = 0;
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if statements.len() >= MAX_STATEMENTS {
            return Err(HubError::Params(format!("a transaction has at most {MAX_STATEMENTS} statements")));
        }
        if line == "INSERT INTO api_secrets $records;" {
            let records = variables.get("records").and_then(Value::as_array);
            let records = records.ok_or_else(|| HubError::Params("`$records` must be a list".to_owned()))?;
            statements.push(Statement::Insert(records.iter().map(record).collect::<Result<_, _>>()?));
        } else if *line == update(updates) {
            let of = |name: &str| variable(variables, &format!("{name}_{updates}"));
            let secret = HubSecret { key_name: of("key_name")?, value: of("secret_value")? };
            statements.push(Statement::Update(UserSecret { user: of("user_id")?, secret }));
            updates += 1;
        } else {
            return Err(HubError::Query);
        }
    }
    Ok(Query::ChangeSecrets(statements))
}

fn update(number: usize) -> String {
    format!(
        "UPDATE api_secrets SET secret_value = $secret_value_{number} WHERE user_id = $user_id_{number} AND \
         key_name = $key_name_{number};"
    )
}

fn record(value: &Value) -> Result<UserSecret, HubError> {
    let of = |name: &str| {
        let text = value.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| HubError::Params(format!("each of `$records` must have a text `{name}`")))
    };
    Ok(UserSecret { user: of("user_id")?, secret: HubSecret { key_name: of("key_name")?, value: of("secret_value")? } })
}

fn variable(variables: &Map<String, Value>, name: &str) -> Result<String, HubError> {
    let text = variables.get(name).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| HubError::Params(format!("the variable `${name}` must be a text")))
}

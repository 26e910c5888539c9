//! Searching a table: for words in its text, or for the nearest vectors. Naptha's SDK asks for it; its node has none.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Database, DatabaseError, quoted,
    read::{self, MAX_ROWS, ReadOptions},
    values::Bound,
};

/// Hits that a search gives unless told otherwise.
const HITS: u32 = 10;

/// Characters of what is searched for.
const MAX_QUERY: usize = 1000;

/// Words that are searched for at a time.
const MAX_WORDS: usize = 16;

/// What is searched for.
#[derive(Debug, Deserialize)]
pub(in crate::node) struct Search {
    query: Value,
    #[serde(default)]
    query_type: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// A search, understood.
pub(in crate::node) enum Wanted {
    /// All of these words, without regard to case.
    Words(Vec<String>),
    /// What is near to this vector, in this column if there are several.
    Vector(Value, Option<String>),
}

impl Search {
    /// The most hits.
    pub(in crate::node) fn limit(&self) -> u32 {
        self.limit.unwrap_or(HITS).min(MAX_ROWS)
    }

    /// What it is for. Naptha's command line always says `text`, so that a list of numbers says more.
    pub(in crate::node) fn wanted(&self) -> Result<Wanted, DatabaseError> {
        let kind = self.query_type.as_deref().unwrap_or("text");
        if !matches!(kind, "text" | "vector") {
            let kind: String = kind.chars().take(80).collect();
            return Err(DatabaseError::Invalid(format!("unknown `query_type` `{kind}`; it is text or vector")));
        }
        match &self.query {
            Value::Array(_) => Ok(Wanted::Vector(self.query.clone(), None)),
            Value::Object(query) if query.contains_key("query_vector") => {
                let column = query.get("vector_col").and_then(Value::as_str).map(str::to_owned);
                Ok(Wanted::Vector(query["query_vector"].clone(), column))
            }
            Value::String(text) if kind == "vector" => Ok(Wanted::Vector(text.as_str().into(), None)),
            Value::String(text) => {
                let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                if words.is_empty() || words.len() > MAX_WORDS || text.chars().count() > MAX_QUERY {
                    return Err(DatabaseError::Invalid(format!(
                        "a `query` has 1 to {MAX_WORDS} words and at most {MAX_QUERY} characters"
                    )));
                }
                Ok(Wanted::Words(words))
            }
            _ => Err(DatabaseError::Invalid(
                "a `query` is text, a list of numbers, or an object with `query_vector` and `vector_col`".to_owned(),
            )),
        }
    }
}

/// A pattern of `LIKE` for what holds a word.
fn pattern(word: &str) -> String {
    let mut pattern = String::from("%");
    for character in word.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

impl Database {
    /// The rows that hold all the words, those with the whole phrase first; or the nearest by vector.
    pub(in crate::node) async fn search(
        &self,
        user: &str,
        table: &str,
        search: &Search,
    ) -> Result<Vec<Map<String, Value>>, DatabaseError> {
        let words = match search.wanted()? {
            Wanted::Words(words) => words,
            Wanted::Vector(vector, column) => {
                let found = self.read(user, table, ReadOptions::nearest(vector, column, search.limit().max(1))).await?;
                return Ok(found.into_iter().filter_map(|row| row.as_object().cloned()).collect());
            }
        };
        quoted(table, "table")?;
        let connection = self.connection(user).await?;
        let mut db = connection.lock().await;
        let columns = Self::columns(&mut db, table).await?;
        let mut texts = Vec::new();
        for column in columns.all().iter().filter(|column| column.kind.is_searchable()) {
            texts.push(quoted(&column.name, "column")?);
        }
        if texts.is_empty() {
            return Err(DatabaseError::Invalid(format!("the table `{table}` has no column of text to search in")));
        }
        let shown: Vec<_> = columns.all().iter().collect();
        let mut statement = read::select(&shown, table)?;
        let mut conditions = Vec::new();
        for word in words.iter().chain([&words.join(" ")]) {
            let place = statement.bind(Bound::Text(pattern(word)));
            let any = texts.iter().map(|name| format!("{name} LIKE {place} ESCAPE '\\'")).collect::<Vec<_>>();
            conditions.push(format!("({})", any.join(" OR ")));
        }
        // The last one is the phrase; a comparison with NULL is no match.
        let phrase = conditions.pop().unwrap_or_default();
        let order = format!("ORDER BY coalesce({phrase}, 0) DESC, rowid LIMIT {}", search.limit());
        statement.sql.push_str(&format!(" WHERE {} {order}", conditions.join(" AND ")));
        Ok(read::rows(&mut db, &statement, &shown).await?.into_iter().map(|(_, row)| row).collect())
    }
}

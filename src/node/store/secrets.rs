//! Users' secrets as they are stored: names in clear, values sealed by the core.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Row, sqlite::SqliteRow};

use super::{SqliteStore, StoreError};

/// A secret of a user.
#[derive(Debug, Clone)]
pub(in crate::node) struct StoredSecret {
    /// Which runs get it: all of the user's (empty), those of a module (`type:name`), or those of one tree (`run:ID`).
    pub scope: String,
    /// The variable that it becomes.
    pub name: String,
    /// Sealed.
    pub value: Vec<u8>,
    /// Nodes whose forwarded calls get it too.
    pub nodes: Vec<String>,
    /// When it was given.
    pub updated: Timestamp,
}

/// What is kept of secrets. A user has one of a name in a scope.
#[async_trait]
pub(in crate::node) trait SecretStore {
    /// Keeps secrets; those that are there are replaced, or with `replace` unset stay. Gives how many were written.
    async fn put_secrets(&self, user: &str, secrets: Vec<StoredSecret>, replace: bool) -> Result<u64, StoreError>;
    /// A user's secrets, by name.
    async fn secrets(&self, user: &str) -> Result<Vec<StoredSecret>, StoreError>;
    /// Those of certain scopes.
    async fn secrets_of(&self, user: &str, scopes: [&str; 3]) -> Result<Vec<StoredSecret>, StoreError>;
    /// Forgets a secret; false when there is none.
    async fn remove_secret(&self, user: &str, scope: &str, name: &str) -> Result<bool, StoreError>;
    /// Forgets the secrets of a tree of runs, or of all trees whose root has ended.
    async fn remove_secrets_of_runs(&self, root: Option<&str>) -> Result<(), StoreError>;
}

fn stored(row: &SqliteRow) -> Result<StoredSecret, StoreError> {
    Ok(StoredSecret {
        scope: row.get("scope"),
        name: row.get("name"),
        value: row.get("value"),
        nodes: serde_json::from_str(&row.get::<String, _>("nodes"))?,
        updated: Timestamp::from_microsecond(row.get("updated"))?,
    })
}

#[async_trait]
impl SecretStore for SqliteStore {
    async fn put_secrets(&self, user: &str, secrets: Vec<StoredSecret>, replace: bool) -> Result<u64, StoreError> {
        let (writer, kept, user) = (self.writer.clone(), self.kept.clone(), user.to_owned());
        let put = async move {
            let owner = user.clone();
            let put = writer
                .run(move |db| {
                    Box::pin(async move {
                        let mut written = 0;
                        for secret in secrets {
                            let done = sqlx::query(
                                "INSERT INTO secrets (user, scope, name, value, nodes, updated) \
                                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO UPDATE \
                                 SET value = excluded.value, nodes = excluded.nodes, updated = excluded.updated \
                                 WHERE $7",
                            )
                            .bind(&user)
                            .bind(&secret.scope)
                            .bind(&secret.name)
                            .bind(&secret.value)
                            .bind(serde_json::to_string(&secret.nodes)?)
                            .bind(secret.updated.as_microsecond())
                            .bind(replace)
                            .execute(&mut *db)
                            .await?;
                            written += done.rows_affected();
                        }
                        Ok(written)
                    })
                })
                .await;
            kept.secrets_given(&owner);
            put
        };
        // A task of its own: a caller that goes away must not leave it unknown that there are some.
        tokio::spawn(put).await?
    }

    async fn secrets(&self, user: &str) -> Result<Vec<StoredSecret>, StoreError> {
        let rows = sqlx::query("SELECT * FROM secrets WHERE user = $1 ORDER BY name, scope")
            .bind(user)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(stored).collect()
    }

    async fn secrets_of(&self, user: &str, [first, second, third]: [&str; 3]) -> Result<Vec<StoredSecret>, StoreError> {
        let (has_none, given) = self.kept.has_no_secrets(user);
        if has_none {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT * FROM secrets WHERE user = $1 AND scope IN ($2, $3, $4)")
            .bind(user)
            .bind(first)
            .bind(second)
            .bind(third)
            .fetch_all(&self.readers)
            .await?;
        if rows.is_empty() && self.secrets(user).await?.is_empty() {
            self.kept.keep_without_secrets(user, given);
        }
        rows.iter().map(stored).collect()
    }

    async fn remove_secret(&self, user: &str, scope: &str, name: &str) -> Result<bool, StoreError> {
        let (user, scope, name) = (user.to_owned(), scope.to_owned(), name.to_owned());
        self.writer
            .run(move |db| {
                Box::pin(async move {
                    let done = sqlx::query("DELETE FROM secrets WHERE user = $1 AND scope = $2 AND name = $3")
                        .bind(user)
                        .bind(scope)
                        .bind(name)
                        .execute(db)
                        .await?;
                    Ok(done.rows_affected() > 0)
                })
            })
            .await
    }

    async fn remove_secrets_of_runs(&self, root: Option<&str>) -> Result<(), StoreError> {
        let root = root.map(str::to_owned);
        self.writer
            .run(move |db| {
                Box::pin(async move {
                    let query = match root {
                        Some(root) => sqlx::query("DELETE FROM secrets WHERE scope = 'run:' || $1").bind(root),
                        None => sqlx::query(
                            "DELETE FROM secrets WHERE scope LIKE 'run:%' \
                             AND substr(scope, 5) NOT IN (SELECT id FROM runs WHERE finished IS NULL)",
                        ),
                    };
                    query.execute(db).await?;
                    Ok(())
                })
            })
            .await
    }
}

//! The hub's records in SQLite.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    super::{
        SqliteStore, StoreError,
        sqlite::{event, from_json, module_row, owners, to_json},
    },
    AccountKey, Changed, HubAccount, HubModule, HubNode, HubSecret, HubServer, HubSignUp, HubStore, Pointer,
};
use crate::module::{ModuleId, ModuleType};

/// How many modules a list holds at most, and how much of their texts.
const MAX_LISTED: u32 = 5_000;
const MAX_LISTED_TEXT: u32 = 500;
/// How many nodes a list holds at most.
const MAX_NODES: u32 = 1_000;
/// How many pointers a user may have.
const MAX_POINTERS: i64 = 1_000;
/// And how many one whose key is not proved.
const MAX_UNPROVED_POINTERS: i64 = 20;
/// How many servers a node may have.
const MAX_SERVERS: i64 = 64;
/// How many secrets a user may have, and how many bytes they may have together: one reply must hold them all.
const MAX_SECRETS: i64 = 500;
const MAX_SECRET_BYTES: i64 = 400 << 10;

#[async_trait]
impl HubStore for SqliteStore {
    async fn add_hub_account(&self, account: &HubAccount, now: Timestamp) -> Result<HubSignUp, StoreError> {
        let HubAccount { user, username, password, .. } = account;
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "SELECT (SELECT proved FROM users WHERE id = ?1) AS proved, \
             EXISTS (SELECT 1 FROM hub_accounts WHERE user_id = ?1) AS has_account, \
             EXISTS (SELECT 1 FROM hub_accounts WHERE folded = ?2) AS is_taken",
        )
        .bind(user)
        .bind(folded(username))
        .fetch_one(&mut *transaction)
        .await?;
        if row.try_get("has_account")? {
            return Ok(HubSignUp::KeyTaken);
        }
        if row.try_get::<Option<bool>, _>("proved")?.unwrap_or_default() {
            return Ok(HubSignUp::KeyProved);
        }
        if row.try_get("is_taken")? {
            return Ok(HubSignUp::NameTaken);
        }
        sqlx::query("INSERT INTO users (id, created, proved) VALUES (?, ?, 0) ON CONFLICT DO NOTHING")
            .bind(user)
            .bind(now.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        let sql = "INSERT INTO hub_accounts (user_id, username, folded, password, confirmed) VALUES (?, ?, ?, ?, 0)";
        sqlx::query(sql)
            .bind(user)
            .bind(username)
            .bind(folded(username))
            .bind(password)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(HubSignUp::Created)
    }

    async fn set_hub_account(&self, user: &str, username: &str, password: &str) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let others = sqlx::query("SELECT 1 FROM hub_accounts WHERE folded = ? AND user_id <> ?")
            .bind(folded(username))
            .bind(user)
            .fetch_optional(&mut *transaction)
            .await?;
        if others.is_some() {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO hub_accounts (user_id, username, folded, password, confirmed) VALUES (?, ?, ?, ?, 1) \
             ON CONFLICT (user_id) DO UPDATE SET username = excluded.username, folded = excluded.folded, \
             password = excluded.password, confirmed = 1",
        )
        .bind(user)
        .bind(username)
        .bind(folded(username))
        .bind(password)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn hub_account(&self, key: AccountKey<'_>) -> Result<Option<HubAccount>, StoreError> {
        let sql = "SELECT a.*, u.proved FROM hub_accounts a JOIN users u ON u.id = a.user_id \
                   WHERE a.user_id = ?1 OR a.folded = ?2";
        let (user, name) = match key {
            AccountKey::User(user) => (Some(user), None),
            AccountKey::Username(name) => (None, Some(folded(name))),
        };
        let row = sqlx::query(sql).bind(user).bind(name).fetch_optional(&self.pool).await?;
        let account = |row: SqliteRow| -> Result<HubAccount, StoreError> {
            Ok(HubAccount {
                user: row.try_get("user_id")?,
                username: row.try_get("username")?,
                password: row.try_get("password")?,
                confirmed: row.try_get("confirmed")?,
                proved: row.try_get("proved")?,
            })
        };
        row.map(account).transpose()
    }

    async fn hub_modules(&self, module_type: ModuleType) -> Result<Vec<HubModule>, StoreError> {
        modules(self, module_type, None, MAX_LISTED_TEXT).await
    }

    async fn hub_module(&self, id: &ModuleId) -> Result<Option<HubModule>, StoreError> {
        Ok(modules(self, id.module_type, Some(id.name.as_str()), u32::MAX).await?.pop())
    }

    async fn put_pointer(
        &self,
        pointer: &Pointer,
        user: &str,
        is_new: bool,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        let mut transaction = self.begin().await?;
        if !is_trusted(&mut transaction, user).await? {
            return Ok(Changed::NotOwner);
        }
        let module = match of_user(&mut transaction, &pointer.id, user).await? {
            Ok(_) if is_new => return Ok(Changed::Exists),
            Ok(module) => module,
            Err(Changed::Missing) if is_new => {
                let sql = "SELECT (SELECT proved FROM users WHERE id = ?1) AS proved, \
                           (SELECT count(*) FROM owners JOIN pointers USING (module_id) WHERE user_id = ?1) AS n";
                let row = sqlx::query(sql).bind(user).fetch_one(&mut *transaction).await?;
                let (proved, count): (bool, i64) = (row.try_get("proved")?, row.try_get("n")?);
                if !proved && count >= MAX_UNPROVED_POINTERS {
                    return Ok(Changed::Unproved);
                }
                if count >= MAX_POINTERS {
                    return Ok(Changed::TooMany);
                }
                add_module(&mut transaction, &pointer.id, user).await?
            }
            // Whoever makes a module of a taken name is told so, not whose it is.
            Err(_) if is_new => return Ok(Changed::Exists),
            Err(changed) => return Ok(changed),
        };
        sqlx::query("UPDATE modules SET version = ?, description = ?, keywords = '', published = ? WHERE id = ?")
            .bind(semantic(&pointer.version).to_string())
            .bind(&pointer.description)
            .bind(now.as_millisecond())
            .bind(module)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT OR REPLACE INTO pointers (module_id, url, version, parameters, entrypoint, execution_type) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(module)
        .bind(&pointer.url)
        .bind(&pointer.version)
        .bind(&pointer.parameters)
        .bind(&pointer.entrypoint)
        .bind(&pointer.execution_type)
        .execute(&mut *transaction)
        .await?;
        event(&mut transaction, now, user, "point", module, &pointer.version, &pointer.url).await?;
        transaction.commit().await?;
        Ok(Changed::Done)
    }

    async fn remove_pointer(&self, id: &ModuleId, user: &str, now: Timestamp) -> Result<Changed, StoreError> {
        let mut transaction = self.begin().await?;
        let module = match of_user(&mut transaction, id, user).await? {
            Ok(module) => module,
            Err(changed) => return Ok(changed),
        };
        delete_pointer(&mut transaction, module).await?;
        event(&mut transaction, now, user, "remove", module, "", &id.to_string()).await?;
        transaction.commit().await?;
        Ok(Changed::Done)
    }

    async fn hub_nodes(&self) -> Result<Vec<HubNode>, StoreError> {
        let sql = "SELECT * FROM hub_nodes ORDER BY user_id LIMIT ?";
        let rows = sqlx::query(sql).bind(MAX_NODES).fetch_all(&self.pool).await?;
        let node = |row: &SqliteRow| -> Result<HubNode, StoreError> {
            let owner: String = row.try_get("user_id")?;
            Ok(HubNode { id: node_of(&owner), owner, record: from_json(row, "record")? })
        };
        rows.iter().map(node).collect()
    }

    async fn put_hub_node(&self, user: &str, record: &Value, is_new: bool) -> Result<Changed, StoreError> {
        let (sql, otherwise) = if is_new {
            ("INSERT INTO hub_nodes (record, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING", Changed::Exists)
        } else {
            ("UPDATE hub_nodes SET record = ? WHERE user_id = ?", Changed::Missing)
        };
        let mut transaction = self.begin().await?;
        if !is_trusted(&mut transaction, user).await? {
            return Ok(Changed::NotOwner);
        }
        let done = sqlx::query(sql).bind(to_json(record)?).bind(user).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(if done.rows_affected() == 1 { Changed::Done } else { otherwise })
    }

    async fn remove_hub_node(&self, user: &str) -> Result<Changed, StoreError> {
        let mut transaction = self.begin().await?;
        let was_there = remove_node(&mut transaction, user).await?;
        transaction.commit().await?;
        Ok(if was_there { Changed::Done } else { Changed::Missing })
    }

    async fn hub_servers(&self) -> Result<Vec<HubServer>, StoreError> {
        let sql = "SELECT * FROM hub_servers ORDER BY user_id, port, id LIMIT ?";
        let rows = sqlx::query(sql).bind(MAX_LISTED).fetch_all(&self.pool).await?;
        let server = |row: &SqliteRow| -> Result<HubServer, StoreError> {
            let user: String = row.try_get("user_id")?;
            Ok(HubServer {
                id: row.try_get("id")?,
                node: node_of(&user),
                protocol: row.try_get("protocol")?,
                port: row.try_get("port")?,
            })
        };
        rows.iter().map(server).collect()
    }

    async fn put_hub_server(&self, server: &HubServer, user: &str, is_new: bool) -> Result<Changed, StoreError> {
        let mut transaction = self.begin().await?;
        if !is_trusted(&mut transaction, user).await? {
            return Ok(Changed::NotOwner);
        }
        let row = sqlx::query(
            "SELECT (SELECT user_id FROM hub_servers WHERE id = ?1) AS owner, \
             (SELECT count(*) FROM hub_servers WHERE user_id = ?2) AS n",
        )
        .bind(&server.id)
        .bind(user)
        .fetch_one(&mut *transaction)
        .await?;
        match row.try_get::<Option<String>, _>("owner")? {
            Some(_) if is_new => return Ok(Changed::Exists),
            Some(owner) if owner != user => return Ok(Changed::NotOwner),
            None if !is_new => return Ok(Changed::Missing),
            None if row.try_get::<i64, _>("n")? >= MAX_SERVERS => return Ok(Changed::TooMany),
            _ => {}
        }
        sqlx::query("INSERT OR REPLACE INTO hub_servers (id, user_id, protocol, port) VALUES (?, ?, ?, ?)")
            .bind(&server.id)
            .bind(user)
            .bind(&server.protocol)
            .bind(server.port)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Changed::Done)
    }

    async fn remove_hub_server(&self, id: &str, user: &str) -> Result<Changed, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query("DELETE FROM hub_servers WHERE id = ? RETURNING user_id")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        match row.map(|row| row.try_get::<String, _>("user_id")).transpose()? {
            None => Ok(Changed::Missing),
            // The transaction is dropped, and with it the deletion.
            Some(owner) if owner != user => Ok(Changed::NotOwner),
            Some(_) => {
                transaction.commit().await?;
                Ok(Changed::Done)
            }
        }
    }

    async fn hub_secrets(&self, user: &str) -> Result<Vec<HubSecret>, StoreError> {
        let sql = "SELECT key_name, value FROM hub_secrets WHERE user_id = ? ORDER BY key_name";
        let rows = sqlx::query(sql).bind(user).fetch_all(&self.pool).await?;
        let secret = |row: &SqliteRow| -> Result<HubSecret, StoreError> {
            Ok(HubSecret { key_name: row.try_get("key_name")?, value: row.try_get("value")? })
        };
        rows.iter().map(secret).collect()
    }

    async fn change_hub_secrets(
        &self,
        user: &str,
        new: &[HubSecret],
        changed: &[HubSecret],
    ) -> Result<Changed, StoreError> {
        let mut transaction = self.begin().await?;
        if !is_trusted(&mut transaction, user).await? {
            return Ok(Changed::NotOwner);
        }
        let insert = "INSERT INTO hub_secrets (value, user_id, key_name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        let update = "UPDATE hub_secrets SET value = ? WHERE user_id = ? AND key_name = ?";
        for (sql, secrets, otherwise) in [(insert, new, Changed::Exists), (update, changed, Changed::Missing)] {
            for HubSecret { key_name, value } in secrets {
                let query = sqlx::query(sql).bind(value).bind(user).bind(key_name);
                if query.execute(&mut *transaction).await?.rows_affected() == 0 {
                    return Ok(otherwise);
                }
            }
        }
        let sql = "SELECT count(*) AS n, coalesce(sum(octet_length(key_name) + octet_length(value)), 0) AS bytes \
                   FROM hub_secrets WHERE user_id = ?";
        let row = sqlx::query(sql).bind(user).fetch_one(&mut *transaction).await?;
        if row.try_get::<i64, _>("n")? > MAX_SECRETS || row.try_get::<i64, _>("bytes")? > MAX_SECRET_BYTES {
            return Ok(Changed::TooMany);
        }
        transaction.commit().await?;
        Ok(Changed::Done)
    }
}

/// Removes a user's node with its servers; false when there is none.
pub(in crate::registry::store) async fn remove_node(
    connection: &mut SqliteConnection,
    user: &str,
) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM hub_servers WHERE user_id = ?").bind(user).execute(&mut *connection).await?;
    let done = sqlx::query("DELETE FROM hub_nodes WHERE user_id = ?").bind(user).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Whether the user's password account is good for anything, as [`HubAccount::is_trusted`]. Asked in each transaction that
/// registers something, so that nothing comes after what was there has been removed.
async fn is_trusted(connection: &mut SqliteConnection, user: &str) -> Result<bool, StoreError> {
    let sql = "SELECT a.confirmed OR NOT u.proved FROM hub_accounts a JOIN users u ON u.id = a.user_id WHERE u.id = ?";
    let row = sqlx::query(sql).bind(user).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get::<bool, _>(0)).transpose()?.unwrap_or_default())
}

/// Removes the pointers and secrets of a user.
pub(in crate::registry::store) async fn remove_claims(
    connection: &mut SqliteConnection,
    user: &str,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM hub_secrets WHERE user_id = ?").bind(user).execute(&mut *connection).await?;
    let sql = "SELECT module_id FROM owners JOIN pointers USING (module_id) WHERE user_id = ?";
    for row in sqlx::query(sql).bind(user).fetch_all(&mut *connection).await? {
        delete_pointer(connection, row.try_get(0)?).await?;
    }
    Ok(())
}

async fn delete_pointer(connection: &mut SqliteConnection, module: i64) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM pointers WHERE module_id = ?",
        "DELETE FROM owners WHERE module_id = ?",
        "DELETE FROM modules WHERE id = ?",
    ] {
        sqlx::query(sql).bind(module).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The node that a user may register: the one with the user's key.
fn node_of(user: &str) -> String {
    user.replacen("user:", "node:", 1)
}

/// Names are taken without regard to case; they are ASCII.
fn folded(username: &str) -> String {
    username.to_ascii_lowercase()
}

async fn modules(
    store: &SqliteStore,
    module_type: ModuleType,
    name: Option<&str>,
    text: u32,
) -> Result<Vec<HubModule>, StoreError> {
    let sql = "SELECT m.type, m.name, substr(m.description, 1, ?3) AS description, p.url, p.execution_type, \
               substr(p.parameters, 1, ?3) AS parameters, coalesce(p.version, m.version) AS version, \
               coalesce(p.entrypoint, v.manifest ->> '$.entrypoint', '') AS entrypoint, \
               (SELECT coalesce(min(user_id), '') FROM owners WHERE module_id = m.id) AS owner \
               FROM modules m LEFT JOIN pointers p ON p.module_id = m.id \
               LEFT JOIN versions v ON v.module_id = m.id AND v.version = m.version \
               WHERE m.type = ?1 AND (?2 IS NULL OR m.name = ?2) ORDER BY m.name LIMIT ?4";
    let rows = sqlx::query(sql)
        .bind(module_type.as_str())
        .bind(name)
        .bind(text)
        .bind(MAX_LISTED)
        .fetch_all(&store.pool)
        .await?;
    let module = |row: &SqliteRow| -> Result<HubModule, StoreError> {
        let name: String = row.try_get("name")?;
        let name = name.parse().map_err(|error| StoreError::Corrupt(format!("`name`: {error}")))?;
        let elsewhere = match row.try_get::<Option<String>, _>("url")? {
            Some(url) => Some((url, row.try_get("parameters")?, row.try_get("execution_type")?)),
            None => None,
        };
        Ok(HubModule {
            id: ModuleId { module_type, name },
            owner: row.try_get("owner")?,
            description: row.try_get("description")?,
            version: row.try_get("version")?,
            entrypoint: row.try_get("entrypoint")?,
            elsewhere,
        })
    };
    rows.iter().map(module).collect()
}

/// A pointer's row that the user may change, or why there is none.
async fn of_user(
    connection: &mut SqliteConnection,
    id: &ModuleId,
    user: &str,
) -> Result<Result<i64, Changed>, StoreError> {
    let Some(module) = module_row(connection, id).await? else { return Ok(Err(Changed::Missing)) };
    if !owners(connection, module).await?.iter().any(|owner| owner == user) {
        return Ok(Err(Changed::NotOwner));
    }
    let pointer =
        sqlx::query("SELECT 1 FROM pointers WHERE module_id = ?").bind(module).fetch_optional(connection).await?;
    Ok(if pointer.is_some() { Ok(module) } else { Err(Changed::Published) })
}

/// A new module's row. Whoever makes it owns the name.
pub(in crate::registry::store) async fn add_module(
    connection: &mut SqliteConnection,
    id: &ModuleId,
    user: &str,
) -> Result<i64, StoreError> {
    let sql = "INSERT INTO modules (type, name, version, description, keywords, published) \
               VALUES (?, ?, '', '', '', 0) RETURNING id";
    let row = sqlx::query(sql).bind(id.module_type.as_str()).bind(id.name.as_str()).fetch_one(&mut *connection).await?;
    let module = row.try_get("id")?;
    sqlx::query("INSERT INTO owners (module_id, user_id) VALUES (?, ?)")
        .bind(module)
        .bind(user)
        .execute(connection)
        .await?;
    Ok(module)
}

/// A tag as near as a semantic version comes (`v0.1` is 0.1.0); 0.0.0 where it is none.
fn semantic(tag: &str) -> semver::Version {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let parts = tag.split('.').count();
    let padded = format!("{tag}{}", ".0".repeat(3_usize.saturating_sub(parts)));
    padded.parse().unwrap_or(semver::Version::new(0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::semantic;

    #[test]
    fn tags_as_versions() {
        for (tag, version) in
            [("v0.1", "0.1.0"), ("1", "1.0.0"), ("v1.2.3-rc.1", "1.2.3-rc.1"), ("main", "0.0.0"), ("", "0.0.0")]
        {
            assert_eq!(semantic(tag).to_string(), version, "{tag}");
        }
    }
}

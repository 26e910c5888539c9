//! The records of a node that does not run, judged without changing them.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use sqlx::{ConnectOptions, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{StoreError, schema};
use crate::{
    report::Inspection,
    wire::{DeploymentView, ModulePin, RunStatus},
};

/// What SQLite itself finds wrong with a file. Fails when it is no database at all.
pub(in crate::node) async fn damage(path: &Path) -> Result<(SqliteConnection, Vec<String>), StoreError> {
    let mut db = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
    let rows = sqlx::query("PRAGMA integrity_check").fetch_all(&mut db).await?;
    let texts: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    Ok((db, texts?.into_iter().filter(|text| text != "ok").collect()))
}

/// Judges deployments and runs; gives the modules of the newest revisions, `kept` of each deployment, which have to be here.
/// `node` is the node's own id.
pub(in crate::node) async fn inspect(
    path: &Path,
    node: &str,
    kept: usize,
    found: &mut Inspection,
) -> Result<Vec<(String, ModulePin)>, StoreError> {
    let (mut db, damage) = damage(path).await?;
    for text in damage {
        found.problem("database", "node.sqlite", text);
    }
    let version: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut db).await?.try_get(0)?;
    let known = schema::STEPS.len();
    anyhow::ensure!(usize::try_from(version) == Ok(known), "its format is {version}, and this napt judges {known}");
    let pins = revisions(&mut db, kept, found).await?;
    runs(&mut db, found).await?;
    calls(&mut db, node, found).await?;
    Ok(pins)
}

/// Each revision can be read and is what its row says.
async fn revisions(
    db: &mut SqliteConnection,
    kept: usize,
    found: &mut Inspection,
) -> Result<Vec<(String, ModulePin)>, StoreError> {
    let rows =
        sqlx::query("SELECT name, revision, view FROM revisions ORDER BY name, revision DESC").fetch_all(db).await?;
    let (mut pins, mut seen) = (Vec::new(), HashMap::<String, usize>::new());
    for row in rows {
        found.count("revisions");
        let (name, number): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let what = format!("{name}, revision {number}");
        match serde_json::from_str::<DeploymentView>(&row.try_get::<String, _>(2)?) {
            Ok(view) if view.name == name && i64::try_from(view.revision) == Ok(number) => {
                let newer = seen.entry(name).or_default();
                *newer += usize::from(!view.removed);
                if *newer <= kept {
                    pins.extend(view.modules.into_iter().map(|pin| (what.clone(), pin)));
                }
            }
            Ok(view) => {
                let message = format!("it calls itself {}, revision {}", view.name, view.revision);
                found.problem("revision-differs", what, message);
            }
            Err(error) => found.problem("bad-row", what, error),
        }
    }
    Ok(pins)
}

/// Each run is in a state that a run can be in, belongs to a revision, and has events without gaps.
async fn runs(db: &mut SqliteConnection, found: &mut Inspection) -> Result<(), StoreError> {
    let sql = "SELECT id, status, started IS NOT NULL AS started, finished IS NOT NULL AS finished, \
               result IS NOT NULL AS has_result, error IS NOT NULL AS has_error, \
               (SELECT count(*) FROM events WHERE run = runs.id) AS events, \
               (SELECT coalesce(max(seq), 0) FROM events WHERE run = runs.id) AS last, \
               (SELECT coalesce(min(seq), 1) FROM events WHERE run = runs.id) AS first, \
               (SELECT group_concat(payload ->> 'status') FROM events WHERE run = runs.id \
                AND payload ->> 'kind' = 'status' AND payload ->> 'status' IN ('completed', 'error', 'cancelled')) AS ends, \
               (revision_of = '' AND version IS NULL OR \
               EXISTS (SELECT 1 FROM revisions WHERE name = revision_of AND revisions.revision = runs.revision)) AS known \
               FROM runs ORDER BY id";
    for row in sqlx::query(sql).fetch_all(db).await? {
        found.count("runs");
        let (id, text): (String, String) = (row.try_get("id")?, row.try_get("status")?);
        let has = |column| row.try_get::<bool, _>(column);
        let Some(status) = RunStatus::parse(&text) else {
            found.problem("run-state", id, format!("its status `{text}` is none"));
            continue;
        };
        let (started, finished, result, error) =
            (has("started")?, has("finished")?, has("has_result")?, has("has_error")?);
        let is_legal = match status {
            RunStatus::Pending => !started && !finished && !result && !error,
            RunStatus::Processing => started && !finished && !result && !error,
            RunStatus::Completed => started && finished && result && !error,
            RunStatus::Error | RunStatus::Cancelled => finished && !result && error,
        };
        if !is_legal {
            let message = format!("it is `{text}`, but its times, result or error are not those of such a run");
            found.problem("run-state", &id, message);
        } else if status == RunStatus::Processing {
            found.note("run-interrupted", &id, "the node ended while it ran; the next start ends it");
        }
        let ends: Option<String> = row.try_get("ends")?;
        if ends.as_deref() != status.is_final().then_some(status.as_str()) {
            let message =
                format!("it is `{text}`, but its events say that it is {}", ends.as_deref().unwrap_or("going on"));
            found.problem("run-end", &id, message);
        }
        let (events, first, last): (i64, i64, i64) =
            (row.try_get("events")?, row.try_get("first")?, row.try_get("last")?);
        if first != 1 || events != last {
            found.problem("event-gap", &id, format!("it has {events} events, numbered from {first} to {last}"));
        }
        if !has("known")? {
            found.problem("no-revision", &id, "the revision of a deployment that it was accepted for is not there");
        }
    }
    Ok(())
}

/// No event without its run, and no call of this node without the run that it started.
async fn calls(db: &mut SqliteConnection, node: &str, found: &mut Inspection) -> Result<(), StoreError> {
    let sql = "SELECT DISTINCT run FROM events WHERE run NOT IN (SELECT id FROM runs) ORDER BY run";
    for row in sqlx::query(sql).fetch_all(&mut *db).await? {
        found.problem("events-without-run", row.try_get::<String, _>(0)?, "it has events, but is not there itself");
    }
    let sql = "SELECT e.run AS caller, e.payload ->> 'run' AS called, r.parent FROM events e \
               LEFT JOIN runs r ON r.id = e.payload ->> 'run' \
               WHERE e.payload ->> 'kind' = 'call' AND e.payload ->> 'node' = $1 AND r.parent IS NOT e.run";
    let mut told = BTreeSet::new();
    for row in sqlx::query(sql).bind(node).fetch_all(db).await? {
        let (caller, called): (String, String) = (row.try_get("caller")?, row.try_get("called")?);
        if told.insert(called.clone()) {
            found.problem(
                "call-without-run",
                caller,
                format!("it called the run {called}, which is not its child here"),
            );
        }
    }
    Ok(())
}

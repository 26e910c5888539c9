//! Whether modules can run: each is built if it is Rust, and imported or started as for a run, and not called.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    super::runtime::{Code, Ended, Redactor, Worker, execute},
    Core, NodeError,
    installs::Installed,
};
use crate::{identity::random_hex, module::Manifest, report::Reporter};

/// Imports at a time.
const PARALLEL: usize = 4;

/// How long the import of a module may take, if its own time limit is not shorter.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a child says of its imports; all is absent when they went well.
#[derive(Debug, Deserialize)]
struct Imported {
    error: Option<String>,
    #[serde(default)]
    traceback: String,
    /// The Python module that was not found.
    missing: Option<String>,
}

impl Core {
    /// Imports modules, several at a time, and those that have been are only warmed up; all that is wrong, in their order.
    pub(super) async fn import_all(
        &self,
        modules: &[Arc<Installed>],
        owner: &str,
        reporter: &dyn Reporter,
    ) -> Vec<NodeError> {
        let imports: Vec<BoxFuture<'_, _>> = modules
            .iter()
            .filter_map(|installed| Some((installed, installed.code.as_ref()?)))
            .map(|(installed, code)| {
                let import = async move {
                    if let Code::Rust(module) = code {
                        self.installs.build(installed, module, owner, reporter).await?;
                    }
                    if installed.is_ready.load(Ordering::Relaxed) {
                        let parent = self.parents.of(self.installs.origin(code, owner), owner);
                        return parent.warm_up().await.map_err(NodeError::internal("start what its runs come from"));
                    }
                    self.import(&installed.manifest, code, owner, reporter).await?;
                    installed.is_ready.store(true, Ordering::Relaxed);
                    Ok(())
                };
                Box::pin(import) as BoxFuture<'_, _>
            })
            .collect();
        let results: Vec<Result<(), NodeError>> = stream::iter(imports).buffered(PARALLEL).collect().await;
        results.into_iter().filter_map(Result::err).collect()
    }

    async fn import(
        &self,
        manifest: &Manifest,
        code: &Code,
        owner: &str,
        reporter: &dyn Reporter,
    ) -> Result<(), NodeError> {
        let verb = if matches!(code, Code::Rust(_)) { "Starting" } else { "Importing" };
        reporter.step(verb, &format!("{} {}", manifest.id, manifest.version));
        // Its credential is of no run, so that nothing can be called before there is one.
        let secret = random_hex(16);
        let worker = Worker::Process(self.parents.of(self.installs.origin(code, owner), owner));
        let code = &worker.show(code).await.map_err(NodeError::internal("show a module to its runs"))?;
        let run = Uuid::now_v7().simple().to_string();
        let surroundings = self.surroundings(worker.place(), &run, &secret, manifest).await?;
        let mut execution = self.execution(manifest, code, &surroundings, 0, None, None);
        execution.caps.timeout = execution.caps.timeout.min(IMPORT_TIMEOUT);
        // What it prints is nobody's log.
        let (lines, mut printed) = mpsc::channel(1);
        let discard = async { while printed.recv().await.is_some() {} };
        let ((ended, leaving), ()) =
            tokio::join!(execute(&worker, execution, lines, CancellationToken::new()), discard);
        if let Some(leaving) = leaving {
            leaving.gone().await;
        }
        let redactor = Redactor::new(&secret, &[]);
        let redact = |text: &str| redactor.redact(&crate::secrets::redact(text));
        let not_ready = |error: String, traceback: String, hint: Option<String>| NodeError::NotReady {
            module: format!("{} {}", manifest.id, manifest.version),
            error: redact(&error),
            traceback: redact(&traceback),
            hint,
        };
        let imported: Imported = match ended {
            Ended::Completed(report) => {
                // What is no report was not made by the node's own side of the process.
                serde_json::from_str(&report).map_err(|_| {
                    let error = "its process answered something else than how its import went".to_owned();
                    not_ready(error, String::new(), None)
                })?
            }
            Ended::Failed(error) => return Err(not_ready(error, String::new(), None)),
            Ended::Cancelled => return Err(not_ready("it was cancelled".to_owned(), String::new(), None)),
        };
        let Some(error) = imported.error else { return Ok(()) };
        let package = manifest.id.name.as_str();
        let hint = imported.missing.map(|missing| match missing.split('.').next() {
            Some(top) if top == package => format!("the package `{package}` has no module `{missing}`"),
            Some(top) => format!("add what provides `{top}` to `dependencies` in `pyproject.toml`"),
            None => format!("`{missing}` is not installed"),
        });
        Err(not_ready(error, imported.traceback, hint))
    }
}

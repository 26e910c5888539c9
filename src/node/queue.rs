//! Which run is next. In this process on one machine; the trait is what a broker would have to do.

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};

/// First in, first out.
#[async_trait]
pub(in crate::node) trait Queue: std::fmt::Debug + Send + Sync {
    /// Puts an accepted run at the end.
    async fn push(&self, run: String);
    /// Takes the first one; waits for it.
    async fn pop(&self) -> String;
}

/// A queue in memory: what is in it is also in the store, from which a restart fills it again.
#[derive(Debug)]
pub(in crate::node) struct MemoryQueue {
    sender: mpsc::UnboundedSender<String>,
    receiver: Mutex<mpsc::UnboundedReceiver<String>>,
}

impl MemoryQueue {
    pub(in crate::node) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        MemoryQueue { sender, receiver: Mutex::new(receiver) }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn push(&self, run: String) {
        // The receiver lives as long as the queue itself.
        let _ = self.sender.send(run);
    }

    async fn pop(&self) -> String {
        match self.receiver.lock().await.recv().await {
            Some(run) => run,
            None => std::future::pending().await,
        }
    }
}

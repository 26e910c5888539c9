//! What runs modules: a process for each run, or one interpreter for many. Whoever sees a run through finds the same in
//! both: a conversation, output, and an end.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::{
    net::{
        UnixStream,
        unix::{ReadHalf, WriteHalf, pipe},
    },
    sync::mpsc,
};

use super::{
    RuntimeError,
    cgroups::{Bounds, Group},
    frames::{read_frame, write_frame},
    messages::{FromChild, RunFrame, Stream},
    parent::{Exit, Forked, Killer, Parent},
    python::PythonModule,
    rust::RustModule,
    shared::{Interpreter, Lane, LaneReader, LaneWriter},
    spent,
    walls::Place,
};

/// How long a process may take to end once it has given its result.
pub(super) const LEAVING: Duration = Duration::from_millis(50);

/// The code of an installed module.
#[derive(Debug, Clone)]
pub(in crate::node) enum Code {
    Python(PythonModule),
    Rust(RustModule),
}

/// What runs a module.
#[derive(Debug, Clone)]
pub(in crate::node) enum Worker {
    /// A process for each run.
    Process(Arc<Parent>),
    /// One interpreter for all of them.
    Shared(Arc<Interpreter>),
}

/// A run that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub channel: Channel,
    pub printed: Printed,
    pub end: End,
    /// Its control group, where it has one of its own.
    pub group: Option<Arc<Group>>,
}

/// Where a run's frames go and come from.
#[derive(Debug)]
pub(super) enum Channel {
    Socket(UnixStream),
    Lane(Lane),
}

/// What a run prints.
#[derive(Debug)]
pub(super) enum Printed {
    /// stdout and stderr.
    Pipes(pipe::Receiver, pipe::Receiver),
    Pieces(mpsc::Receiver<(Stream, String)>),
}

/// How a run is ended.
#[derive(Debug)]
pub(super) enum End {
    Process(Exit, Killer),
    /// Its result is its end.
    Shared,
}

/// A module as runs in some place see it. It stays there as long as somebody has this.
#[derive(Debug)]
pub(in crate::node) struct Shown {
    code: Code,
    _there: Arc<()>,
}

impl std::ops::Deref for Shown {
    type Target = Code;

    fn deref(&self) -> &Code {
        &self.code
    }
}

impl Code {
    fn root(&self) -> &Path {
        let (Code::Python(PythonModule { root, .. }) | Code::Rust(RustModule { root, .. })) = self;
        root
    }

    /// The same at another place.
    fn at(&self, root: PathBuf) -> io::Result<Code> {
        Ok(match self {
            Code::Python(module) => {
                let below = module.folder.strip_prefix(&module.root).map_err(io::Error::other)?;
                Code::Python(PythonModule { folder: root.join(below), root, ..module.clone() })
            }
            Code::Rust(module) => Code::Rust(RustModule { root, ..module.clone() }),
        })
    }
}

impl Worker {
    /// Where its runs have their folders.
    pub(in crate::node) fn place(&self) -> &Arc<Place> {
        match self {
            Worker::Process(parent) => parent.place(),
            Worker::Shared(interpreter) => interpreter.place(),
        }
    }

    /// A module as its runs see it.
    pub(in crate::node) async fn show(&self, code: &Code) -> io::Result<Shown> {
        let (root, there) = match self.place().shown(code.root()) {
            Some(shown) => shown,
            None => {
                let (place, root) = (self.place().clone(), code.root().to_owned());
                let is_python = matches!(code, Code::Python(_));
                tokio::task::spawn_blocking(move || place.show(&root, is_python)).await.map_err(io::Error::other)??
            }
        };
        Ok(Shown { code: code.at(root)?, _there: there })
    }

    /// Has what takes long ready, which is not the run's own time.
    pub(super) async fn warm_up(&self, frame: &RunFrame) -> Result<(), RuntimeError> {
        match self {
            Worker::Process(parent) => parent.warm_up().await,
            Worker::Shared(interpreter) => interpreter.warm_up(frame).await,
        }
    }

    /// Begins a run that is nested so deep, within its bounds.
    pub(super) async fn begin(
        &self,
        run: &str,
        frame: &RunFrame,
        depth: u32,
        bounds: Bounds,
    ) -> Result<Begun, RuntimeError> {
        match self {
            Worker::Process(parent) => {
                let child = parent.begin(run, frame, bounds).await?;
                let killer = child.killer();
                let Forked { channel, stdout, stderr, exit, group, .. } = child.into_parts();
                Ok(Begun {
                    channel: Channel::Socket(channel),
                    printed: Printed::Pipes(stdout, stderr),
                    end: End::Process(exit, killer),
                    group: group.map(Arc::new),
                })
            }
            Worker::Shared(interpreter) => {
                let (mut lane, pieces) = interpreter.begin(run, frame, depth).await?;
                lane.split().1.send(frame).await?;
                let (channel, printed) = (Channel::Lane(lane), Printed::Pieces(pieces));
                // An interpreter of many runs is in none of theirs.
                Ok(Begun { channel, printed, end: End::Shared, group: None })
            }
        }
    }
}

impl Channel {
    /// Its two directions.
    pub(super) fn split(&mut self) -> (Incoming<'_>, Outgoing<'_>) {
        match self {
            Channel::Socket(socket) => {
                let (reader, writer) = socket.split();
                (Incoming::Socket(reader), Outgoing::Socket(writer))
            }
            Channel::Lane(lane) => {
                let (reader, writer) = lane.split();
                (Incoming::Lane(reader), Outgoing::Lane(writer))
            }
        }
    }
}

/// What a run says.
pub(super) enum Incoming<'a> {
    Socket(ReadHalf<'a>),
    Lane(LaneReader<'a>),
}

impl Incoming<'_> {
    /// The next frame, of at most `limit` bytes; `None` when there are no more.
    pub(super) async fn next(&mut self, limit: usize) -> io::Result<Option<FromChild>> {
        match self {
            Incoming::Socket(socket) => read_frame(socket, limit).await,
            Incoming::Lane(lane) => Ok(lane.next().await),
        }
    }
}

/// What a run is told.
pub(super) enum Outgoing<'a> {
    Socket(WriteHalf<'a>),
    Lane(LaneWriter<'a>),
}

impl Outgoing<'_> {
    /// Sends one frame.
    pub(super) async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        match self {
            Outgoing::Socket(socket) => write_frame(socket, message).await,
            Outgoing::Lane(lane) => lane.send(message).await,
        }
    }
}

impl End {
    /// The exit status of a process that has ended by itself, negative for a signal; `None` when what ran it has died.
    pub(super) async fn wait(&mut self) -> Option<i32> {
        match self {
            End::Process(exit, _) => exit.wait().await,
            End::Shared => None,
        }
    }

    /// What to say of a run that had no end of its own since what ran it has died.
    pub(super) fn death(&self, channel: &Channel) -> String {
        let group = match (self, channel) {
            (End::Process(_, killer), _) => killer.group(),
            (End::Shared, Channel::Lane(lane)) => lane.group(),
            _ => None,
        };
        match group.and_then(spent) {
            Some(limit) => format!("the module's interpreter was ended, and the run with it: {limit} reached"),
            None => "the module's interpreter died, and the run with it".to_owned(),
        }
    }

    /// Returns once the run is over, whatever it does; one that is done may end by itself.
    pub(super) async fn reach(&mut self, channel: &mut Channel, is_done: bool) {
        match (self, channel) {
            (End::Process(exit, killer), _) => {
                if is_done {
                    let _ = tokio::time::timeout(LEAVING, exit.wait()).await;
                }
                if !exit.is_over() {
                    killer.kill(exit).await;
                }
            }
            (End::Shared, Channel::Lane(lane)) => lane.stop().await,
            (End::Shared, _) => {}
        }
    }
}

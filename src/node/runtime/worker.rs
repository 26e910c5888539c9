//! What runs modules: a process for each run, or one interpreter for many. Whoever sees a run through finds the same in
//! both: a conversation, output, and an end.

use std::{io, os::fd::BorrowedFd, sync::Arc, time::Duration};

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
    frames::{read_frame, write_frame, write_frame_with_fds},
    python::{Exit, Forked, FromChild, Killer, Parent, PythonModule, RunFrame, Stream},
    rust::RustModule,
    shared::{Interpreter, Lane, LaneReader, LaneWriter},
    walls::Place,
};

/// How long a process may take to end once it has given its result.
const LEAVING: Duration = Duration::from_millis(50);

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

/// A run that has begun. Its frame must then be written to its channel.
#[derive(Debug)]
pub(super) struct Begun {
    pub channel: Channel,
    pub printed: Printed,
    pub end: End,
}

/// Where a run's frames go and come from.
#[derive(Debug)]
pub(super) enum Channel {
    Socket(UnixStream),
    /// To a process that becomes the module's program once it is told how.
    Program(UnixStream),
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

impl Code {
    /// The same, as runs in this place see it.
    fn shown(&self, place: &Place) -> io::Result<Code> {
        Ok(match self {
            Code::Python(module) => {
                let root = place.show(&module.root)?;
                let below = module.folder.strip_prefix(&module.root).map_err(io::Error::other)?;
                Code::Python(PythonModule { folder: root.join(below), root, ..module.clone() })
            }
            Code::Rust(module) => Code::Rust(RustModule { root: place.show(&module.root)?, ..module.clone() }),
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
    pub(in crate::node) async fn show(&self, code: &Code) -> io::Result<Code> {
        let (place, code) = (self.place().clone(), code.clone());
        tokio::task::spawn_blocking(move || code.shown(&place)).await.map_err(io::Error::other)?
    }

    /// Has what takes long ready, which is not the run's own time.
    pub(super) async fn warm_up(&self, frame: &RunFrame) -> Result<(), RuntimeError> {
        match self {
            Worker::Process(parent) => parent.warm_up().await,
            Worker::Shared(interpreter) => interpreter.warm_up(frame).await,
        }
    }

    /// Begins a run that is nested so deep.
    pub(super) async fn begin(&self, run: &str, frame: &RunFrame, depth: u32) -> Result<Begun, RuntimeError> {
        match self {
            Worker::Process(parent) => {
                let child = parent.fork(run).await?;
                let killer = child.killer();
                let Forked { channel, stdout, stderr, exit, .. } = child.into_parts();
                Ok(Begun {
                    channel: if parent.is_of_rust() { Channel::Program(channel) } else { Channel::Socket(channel) },
                    printed: Printed::Pipes(stdout, stderr),
                    end: End::Process(exit, killer),
                })
            }
            Worker::Shared(interpreter) => {
                let (lane, pieces) = interpreter.begin(run, frame, depth).await?;
                Ok(Begun { channel: Channel::Lane(lane), printed: Printed::Pieces(pieces), end: End::Shared })
            }
        }
    }
}

impl Channel {
    /// Sends the run. `doors` are those of its control groups, for a process to enter by.
    pub(super) async fn open(&mut self, frame: &RunFrame, doors: &[BorrowedFd<'_>]) -> io::Result<()> {
        match self {
            Channel::Socket(socket) => write_frame_with_fds(socket, frame, doors).await,
            Channel::Program(socket) => {
                write_frame_with_fds(socket, &frame.launch(), doors).await?;
                write_frame(socket, frame).await
            }
            Channel::Lane(lane) => lane.split().1.send(frame).await,
        }
    }

    /// Its two directions.
    pub(super) fn split(&mut self) -> (Incoming<'_>, Outgoing<'_>) {
        match self {
            Channel::Socket(socket) | Channel::Program(socket) => {
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

//! The control socket: the launcher's first frame, four bytes of length (big-endian) and JSON, with listening sockets
//! beside it.

use std::{
    io::{self, IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::SandboxError;

/// Listening sockets that a program can have.
pub(crate) const LISTENERS: usize = 8;

/// Bytes that the first frame may have.
const FRAME: usize = 64 * 1024;

/// What the launcher says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Word {
    /// The program starts now, shut in.
    Sealed { landlock: i32, seccomp: bool },
    /// It does not.
    Failed { reason: String },
}

/// A program that is shut in.
#[derive(Debug)]
pub struct Sealed {
    /// The sockets of the policy's `listen`, in its order. They do not block.
    pub listeners: Vec<TcpListener>,
    /// The version of Landlock that is around it; 0 for none.
    pub landlock: i32,
    /// Whether its system calls are filtered.
    pub seccomp: bool,
}

impl Sealed {
    /// Whether it is shut in with no less than what was found.
    pub fn is_as(&self, found: &crate::Mechanisms) -> bool {
        self.landlock >= found.landlock && self.seccomp >= found.seccomp
    }
}

/// Waits for what the launcher says at the other end of the control socket. What comes after that is the program's.
pub fn sealed(control: &UnixStream, timeout: Duration) -> Result<Sealed, SandboxError> {
    let deadline = Instant::now() + timeout;
    control.set_read_timeout(Some(timeout))?;
    let mut header = [0_u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LISTENERS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(control, &mut [IoSliceMut::new(&mut header)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(io::Error::from)?
        .bytes;
    if got == 0 {
        return Err(SandboxError::NoAnswer);
    }
    let mut listeners = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            listeners.extend(fds.map(TcpListener::from));
        }
    }
    let mut stream = control;
    stream.read_exact(&mut header[got..])?;
    let length = u32::from_be_bytes(header) as usize;
    if length > FRAME || Instant::now() > deadline {
        return Err(SandboxError::NoAnswer);
    }
    let mut body = vec![0_u8; length];
    stream.read_exact(&mut body)?;
    control.set_read_timeout(None)?;
    match serde_json::from_slice(&body) {
        Ok(Word::Sealed { landlock, seccomp }) => {
            for listener in &listeners {
                listener.set_nonblocking(true)?;
            }
            Ok(Sealed { listeners, landlock, seccomp })
        }
        Ok(Word::Failed { reason }) => Err(SandboxError::Failed(reason)),
        Err(_) => Err(SandboxError::NoAnswer),
    }
}

/// Says it, with sockets that the caller gets.
#[cfg(target_os = "linux")]
pub(crate) fn say(control: BorrowedFd<'_>, word: &Word, listeners: &[OwnedFd]) -> io::Result<()> {
    use std::os::fd::AsFd;
    let body = serde_json::to_vec(word)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(body);
    let fds: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LISTENERS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("too many ports"));
    }
    let sent = sendmsg(control, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL)?;
    // An empty socket takes a small frame whole.
    if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

//! The control socket. Frames are four bytes of length (big-endian) and JSON, with descriptors beside them; the launcher's
//! first one brings the listening sockets.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::SandboxError;

/// Descriptors that come with a frame.
const DESCRIPTORS: usize = 8;

/// Bytes that a frame may have.
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
    control.set_read_timeout(Some(timeout))?;
    let (body, descriptors) = hear(control.as_fd())?.ok_or(SandboxError::NoAnswer)?;
    control.set_read_timeout(None)?;
    match serde_json::from_slice(&body) {
        Ok(Word::Sealed { landlock, seccomp }) => {
            let listeners: Vec<_> = descriptors.into_iter().map(TcpListener::from).collect();
            for listener in &listeners {
                listener.set_nonblocking(true)?;
            }
            Ok(Sealed { listeners, landlock, seccomp })
        }
        Ok(Word::Failed { reason }) => Err(SandboxError::Failed(reason)),
        Err(_) => Err(SandboxError::NoAnswer),
    }
}

/// Waits for a frame, and reads nothing past it; `None` when there are no more.
pub(crate) fn hear(control: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut header = [0_u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        match recvmsg(control, &mut [IoSliceMut::new(&mut header)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?.bytes,
        }
    };
    if got == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    fill(control, &mut header[got..])?;
    let length = u32::from_be_bytes(header) as usize;
    if length > FRAME {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("a frame of {length} bytes")));
    }
    let mut body = vec![0_u8; length];
    fill(control, &mut body)?;
    Ok(Some((body, descriptors)))
}

fn fill(control: BorrowedFd<'_>, mut rest: &mut [u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match recv(control, &mut *rest, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, got)) => rest = &mut rest[got..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Says it, with sockets that the caller gets.
#[cfg(target_os = "linux")]
pub(crate) fn say(control: BorrowedFd<'_>, word: &impl Serialize, listeners: &[OwnedFd]) -> io::Result<()> {
    let body = serde_json::to_vec(word)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(body);
    let fds: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("too many ports"));
    }
    let sent = sendmsg(control, &[IoSlice::new(&frame)], &mut ancillary, SendFlags::NOSIGNAL)?;
    // An empty socket takes a small frame whole.
    if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

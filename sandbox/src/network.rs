//! The loopback of a new network namespace, and the sockets that listen on it.

use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd, OwnedFd},
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// The loopback is the first interface of a new namespace.
const LOOPBACK: i32 = 1;

/// `RTM_NEWLINK`, `NLM_F_REQUEST | NLM_F_ACK`, `NLMSG_ERROR` and `IFF_UP` of Linux's `netlink` interface.
const NEW_LINK: u16 = 16;
const REQUEST_ACK: u16 = 1 | 4;
const ERROR: u16 = 2;
const UP: u32 = 1;

/// Takes the loopback up.
pub(crate) fn up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut request = Vec::with_capacity(32);
    // struct nlmsghdr: length, type, flags, sequence, port.
    request.extend(32_u32.to_ne_bytes());
    request.extend(NEW_LINK.to_ne_bytes());
    request.extend(REQUEST_ACK.to_ne_bytes());
    request.extend([0; 8]);
    // struct ifinfomsg: family and type (any), index, flags, what of them changes.
    request.extend([0; 4]);
    request.extend(LOOPBACK.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0_u8; 256];
    let (_, length) = recv(socket.as_fd(), &mut answer, RecvFlags::empty())?;
    // struct nlmsgerr: after the header, a negative error number, or 0.
    let (kind, code) = match answer.get(..length) {
        Some([_, _, _, _, k0, k1, _, _, _, _, _, _, _, _, _, _, c0, c1, c2, c3, ..]) => {
            (u16::from_ne_bytes([*k0, *k1]), i32::from_ne_bytes([*c0, *c1, *c2, *c3]))
        }
        _ => return Err(io::ErrorKind::UnexpectedEof.into()),
    };
    match (kind, code) {
        (ERROR, 0) => Ok(()),
        (ERROR, code) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Sockets that listen on the loopback.
pub(crate) fn listen(ports: &[u16]) -> io::Result<Vec<OwnedFd>> {
    ports.iter().map(|port| TcpListener::bind(("127.0.0.1", *port)).map(OwnedFd::from)).collect()
}

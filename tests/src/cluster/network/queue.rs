//! Packets about which the kernel asks us (NFQUEUE), over a netlink socket. Only what is needed of it:
//! packets come whole and in segments, with checksums that are right, and each of them waits for a
//! verdict, which may come late and in any order.
//!
//! Shapes and numbers are those of `linux/netlink.h` and `linux/netfilter/nfnetlink_queue.h`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
    sockopt,
};

/// The queue's number; each namespace has its own queues.
pub(super) const NUMBER: u16 = 0;
/// Packets that may wait for a verdict. Beyond them the kernel drops what comes, and says so.
const PACKETS: u32 = 1 << 16;
/// What the kernel may have told and we have not yet heard.
const UNHEARD_BYTES: usize = 16 << 20;
/// No packet in segments is larger.
const MESSAGE_BYTES: usize = 128 << 10;

const HEADER: usize = 16 + 4;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const QUEUE: u16 = 3 << 8;
const PACKET: u16 = QUEUE;
const VERDICT: u16 = QUEUE | 1;
const CONFIG: u16 = QUEUE | 2;
const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
const PAYLOAD: u16 = 10;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_PARAMETERS: u16 = 2;
const CONFIG_LENGTH: u16 = 3;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Drop,
    Accept,
}

/// A packet that waits: how the kernel calls it, and its bytes from the IP header on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) id: u32,
    pub(super) bytes: Vec<u8>,
}

/// A queue that is ours until it is dropped. What waits in it is lost then.
pub(super) struct Queue {
    socket: OwnedFd,
    room: Vec<u8>,
}

impl Queue {
    /// Takes the queue of the network namespace in which the calling thread is.
    pub(super) fn open() -> Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(NETFILTER),
        )?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        sockopt::set_socket_recv_buffer_size_force(&socket, UNHEARD_BYTES)?;
        let mut queue = Self {
            socket,
            room: vec![0; MESSAGE_BYTES],
        };
        const BIND: u8 = 1;
        const COPY_PACKETS: u8 = 2;
        let whole = (u32::from(u16::MAX)).to_be_bytes();
        queue.configure(CONFIG_COMMAND, &[BIND, 0, 0, 0])?;
        queue.configure(CONFIG_PARAMETERS, &[&whole[..], &[COPY_PACKETS]].concat())?;
        queue.configure(CONFIG_LENGTH, &PACKETS.to_be_bytes())?;
        Ok(queue)
    }

    fn configure(&mut self, attribute: u16, value: &[u8]) -> Result<()> {
        send(
            &self.socket,
            &message(CONFIG, REQUEST | ACK, &[(attribute, value)]),
            SendFlags::empty(),
        )?;
        let (size, _) = recv(&self.socket, &mut self.room[..], RecvFlags::empty())?;
        let told = &self.room[..size];
        let code = told.get(16..20).and_then(|code| code.try_into().ok());
        let code = i32::from_ne_bytes(code.context("an answer that is too short")?);
        ensure!(kind(told) == Some(ERROR), "no answer: {told:?}");
        ensure!(code == 0, "{}", std::io::Error::from_raw_os_error(-code));
        Ok(())
    }

    /// The next packet, if one is there.
    pub(super) fn next(&mut self) -> Result<Option<Packet>> {
        let size = match recv(&self.socket, &mut self.room[..], RecvFlags::DONTWAIT) {
            Ok((size, _)) => size,
            // The kernel dropped packets because we did not listen: that is a line, too.
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        packet(&self.room[..size]).map(Some)
    }

    /// Says what becomes of a packet; `changed` are its bytes, if they are others now.
    pub(super) fn decide(&self, id: u32, verdict: Verdict, changed: Option<&[u8]>) -> Result<()> {
        let header = [(verdict as u32).to_be_bytes(), id.to_be_bytes()].concat();
        let mut attributes = vec![(VERDICT_HEADER, &header[..])];
        attributes.extend(changed.map(|bytes| (PAYLOAD, bytes)));
        let message = message(VERDICT, REQUEST, &attributes);
        send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One message about the queue.
fn message(kind: u16, flags: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = vec![0; HEADER];
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    message[18..20].copy_from_slice(&NUMBER.to_be_bytes());
    for (name, value) in attributes {
        let length = 4 + value.len() as u16;
        message.extend(length.to_ne_bytes());
        message.extend(name.to_ne_bytes());
        message.extend(*value);
        message.resize(message.len().next_multiple_of(4), 0);
    }
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message
}

fn kind(message: &[u8]) -> Option<u16> {
    let bytes = message.get(4..6)?.try_into().ok()?;
    Some(u16::from_ne_bytes(bytes))
}

fn packet(message: &[u8]) -> Result<Packet> {
    ensure!(kind(message) == Some(PACKET), "no packet: {message:?}");
    let id = attribute(message, PACKET_HEADER).and_then(|header| header.get(..4)?.try_into().ok());
    let (Some(id), Some(bytes)) = (id, attribute(message, PAYLOAD)) else {
        bail!("a packet without a number or bytes: {message:?}");
    };
    Ok(Packet {
        id: u32::from_be_bytes(id),
        bytes: bytes.to_vec(),
    })
}

fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(HEADER..)?;
    loop {
        let (length, name) = (rest.get(..2)?, rest.get(2..4)?);
        let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
        let value = rest.get(4..length)?;
        if name == wanted.to_ne_bytes() {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

//! A line to a server that flips one bit of what is sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::spawn;

/// Its threads end with the connections.
pub(crate) struct Line {
    pub(crate) port: u16,
    sent: Arc<AtomicU64>,
}

impl Line {
    /// The bit flips in the byte that is sent when so many have been.
    pub(crate) fn to(server: u16, flips_at: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        spawn(move || {
            for client in listener.incoming() {
                let (mut client, counted) = (client.unwrap(), Arc::clone(&counted));
                let mut server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (mut answers, mut back) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                spawn(move || std::io::copy(&mut answers, &mut back));
                spawn(move || {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(len @ 1..) = client.read(&mut bytes) {
                        let before = counted.fetch_add(len as u64, Ordering::Relaxed);
                        if (before..before + len as u64).contains(&flips_at) {
                            bytes[usize::try_from(flips_at - before).unwrap()] ^= 1;
                        }
                        if server.write_all(&bytes[..len]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, sent }
    }

    /// Bytes so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

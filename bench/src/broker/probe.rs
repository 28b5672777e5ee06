//! One question to a broker, to see whether it answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// ApiVersions, version 0: length, key 18, version, correlation 7, no client id.
const QUESTION: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// Whether the broker at `address` answers ApiVersions.
pub(crate) fn answers(address: SocketAddr) -> bool {
    ask(address).is_ok_and(|answer| answer[4..10] == [0, 0, 0, 7, 0, 0])
}

/// The first ten bytes of the answer: length, correlation, error code.
fn ask(address: SocketAddr) -> std::io::Result<[u8; 10]> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(&QUESTION)?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// What an HTTP server at `address` has under a path.
pub(crate) fn page(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// A port on loopback that nobody holds right now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut question = [0; 14];
            stream.read_exact(&mut question).expect("the question");
            stream.write_all(answer).expect("the caller listens");
        });
        address
    }

    #[test]
    fn only_a_good_answer_is_one() {
        assert!(answers(answering(&[0, 0, 0, 10, 0, 0, 0, 7, 0, 0])));
        assert!(!answers(answering(&[0, 0, 0, 10, 0, 0, 0, 7, 0, 35])));
        assert!(!answers(answering(&[0, 0])));
    }
}

//! One plain GET. The operator's image has no shell and no other program, and `helm test` asks from
//! within it.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long a connection, and each part of an answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// More of an answer is not read.
const MOST_BYTES: u64 = 4096;

/// Asks; an answer other than 200 is an error.
pub(crate) fn ask(url: &str) -> Result<()> {
    let (address, path) = parts(url)?;
    let addresses = address.to_socket_addrs();
    let mut addresses =
        addresses.with_context(|| format!("{address} is no known host and port"))?;
    let first = addresses.next();
    let first = first.with_context(|| format!("{address} has no address"))?;
    let stream = TcpStream::connect_timeout(&first, PATIENCE);
    let mut stream = stream.with_context(|| format!("cannot connect to {first}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let sent = stream.write_all(request.as_bytes());
    sent.context("cannot ask")?;
    let mut answer = Vec::new();
    // What came before a read failed may tell all that matters.
    let read = stream.take(MOST_BYTES).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default();
    if status.is_empty() {
        read.context("no answer")?;
    }
    println!("{url}: {status}");
    ensure!(
        status.split(' ').nth(1) == Some("200"),
        "{url} answers `{status}`"
    );
    Ok(())
}

/// `host:port` and the path.
fn parts(url: &str) -> Result<(&str, &str)> {
    let rest = url.strip_prefix("http://");
    let rest = rest.with_context(|| format!("{url} is no http:// address"))?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (address, path) = rest.split_at(end);
    let port = address.rsplit_once(':').map(|(_, port)| port);
    ensure!(
        port.is_some_and(|port| port.parse::<u16>().is_ok()),
        "{url} names no port"
    );
    Ok((address, if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn an_address_has_a_host_a_port_and_a_path() {
        let known = parts("http://a.b.svc:8080/readyz").expect("an address");
        assert_eq!(known, ("a.b.svc:8080", "/readyz"));
        assert_eq!(parts("http://[::1]:1").expect("one"), ("[::1]:1", "/"));
        for bad in ["https://a:1/", "a:1", "http://a/", "http://a:x/"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_200_is_well() {
        for (status, well) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            let serve = move || {
                let (mut stream, _) = listener.accept().expect("a caller");
                let mut asked = [0; 512];
                let count = stream.read(&mut asked).expect("a request");
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).expect("an answer");
                String::from_utf8_lossy(&asked[..count]).into_owned()
            };
            let (told, asked) = thread::scope(|scope| {
                let serving = scope.spawn(serve);
                let told = ask(&format!("http://{address}/readyz"));
                (told, serving.join().expect("it ends"))
            });
            assert!(asked.starts_with("GET /readyz HTTP/1.1\r\n"), "{asked}");
            assert_eq!(told.is_ok(), well, "{told:?}");
        }
        assert!(ask("http://127.0.0.1:1/").is_err(), "nobody is there");
    }
}

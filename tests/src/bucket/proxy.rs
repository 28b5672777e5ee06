//! Stands before a bucket and breaks what it is told to.
//!
//! It changes no byte of what it passes on, so signatures hold, the `Host` header's too: the bucket
//! sees the proxy's address as its own name.

use std::collections::BTreeSet;
use std::io::{self, BufReader};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::fault::{Asked, Fault, Rule, Seen};
use super::message::Message;

/// The proxy; who it keeps waiting is let go when it is dropped.
pub(super) struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    /// The rules have changed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    /// How often they have changed.
    changes: u64,
    seen: Vec<Seen>,
}

/// How a conversation goes on.
enum Next {
    /// With the next request.
    Go,
    /// Not at all.
    Break,
}

impl Proxy {
    /// Listens at all addresses of this machine, before the server at `upstream`.
    pub(super) fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", 0)).context("a port for the proxy")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                // A conversation that breaks is what a trial wants.
                thread::spawn(move || drop(converse(&serving, &client)));
            }
        });
        Ok(Self { shared, port })
    }

    /// Its port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// From now on the first of these rules that has something for a request is followed.
    pub(super) fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        let mut state = self.shared.state();
        state.rules = rules.into_iter().collect();
        state.changes += 1;
        self.shared.changed.notify_all();
    }

    /// From now on nothing is wrong.
    pub(super) fn heal(&self) {
        self.set([]);
    }

    /// All that it was asked so far, as far as `chosen`.
    pub(super) fn seen(&self, chosen: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let state = self.shared.state();
        state
            .seen
            .iter()
            .filter(|seen| chosen(seen))
            .cloned()
            .collect()
    }

    /// The names of objects about which something was asked that went wrong.
    pub(super) fn spoiled(&self) -> BTreeSet<String> {
        let went_well = |seen: &Seen| seen.status.is_some_and(|status| status < 300);
        let spoiled = self.seen(|seen| seen.fault.is_some() || !went_well(seen));
        spoiled.into_iter().map(|seen| seen.asked.key).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.heal();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request: its number, how often the rules had changed by then, and what is done to it.
    fn note(&self, asked: Asked) -> (usize, u64, Option<Fault>) {
        let mut state = self.state();
        let fault = state.rules.iter().find_map(|rule| rule.of(&asked));
        state.seen.push(Seen {
            at: Instant::now(),
            asked,
            fault,
            status: None,
        });
        (state.seen.len() - 1, state.changes, fault)
    }

    /// Waits until the rules have changed since, for `limit` at most.
    fn await_change(&self, since: u64, limit: Duration) {
        let same = |state: &mut State| state.changes == since;
        let state = self.state();
        drop(self.changed.wait_timeout_while(state, limit, same));
    }

    /// The names of objects that were brought within the last `age`.
    fn young(&self, age: Duration) -> BTreeSet<String> {
        let state = self.state();
        let young = state.seen.iter();
        let young = young.filter(|seen| seen.asked.brings() && seen.at.elapsed() < age);
        young.map(|seen| seen.asked.key.clone()).collect()
    }
}

const FOR_EVER: Duration = Duration::from_secs(3600);

fn converse(shared: &Shared, client: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let from = client.peer_addr()?.ip();
    let mut line = Line {
        shared,
        client: client.try_clone()?,
        bucket: None,
    };
    let mut requests = BufReader::new(client.try_clone()?);
    while let Some(request) = Message::request(&mut requests)? {
        if let Next::Break = line.serve(&request, from)? {
            break;
        }
    }
    client.shutdown(Shutdown::Both)
}

/// A client's connection, and ours to the bucket for it.
struct Line<'a> {
    shared: &'a Shared,
    client: TcpStream,
    bucket: Option<BufReader<TcpStream>>,
}

impl Line<'_> {
    fn serve(&mut self, request: &Message, from: IpAddr) -> io::Result<Next> {
        let asked = Asked::of(request, from);
        let (number, changes, fault) = self.shared.note(asked);
        match fault {
            Some(Fault::Refuse(status, code)) => {
                let mut refusal = Message::refusal(status, code);
                if request.method() == "HEAD" {
                    refusal.body.clear();
                }
                refusal.write(&mut self.client)?;
                return Ok(Next::Go);
            }
            Some(Fault::Silent) => {
                self.shared.await_change(changes, FOR_EVER);
                return Ok(Next::Break);
            }
            Some(Fault::HalfAsked) => {
                let half = request.body.len() / 2;
                request.write_up_to(self.bucket()?.get_mut(), half)?;
                self.bucket = None;
                return Ok(Next::Break);
            }
            Some(Fault::Late(time)) => self.shared.await_change(changes, time),
            Some(Fault::Held) => self.shared.await_change(changes, FOR_EVER),
            _ => {}
        }
        let mut answer = self.pass_on(request)?;
        self.shared.state().seen[number].status = Some(answer.status());
        match fault {
            Some(Fault::Unsaid) => return Ok(Next::Break),
            Some(Fault::HalfAnswered) => {
                let half = answer.body.len() / 2;
                answer.write_up_to(&mut self.client, half)?;
                return Ok(Next::Break);
            }
            Some(Fault::Flipped) => flip(&mut answer.body, number),
            Some(Fault::Stale(age)) => hide(&mut answer.body, &self.shared.young(age)),
            _ => {}
        }
        answer.write(&mut self.client)?;
        Ok(Next::Go)
    }

    fn bucket(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.bucket.is_none() {
            let stream = TcpStream::connect(self.shared.upstream)?;
            stream.set_nodelay(true)?;
            self.bucket = Some(BufReader::new(stream));
        }
        let bucket = self.bucket.as_mut();
        bucket.ok_or(io::ErrorKind::NotConnected.into())
    }

    /// Asks the bucket.
    fn pass_on(&mut self, request: &Message) -> io::Result<Message> {
        let bucket = self.bucket()?;
        request.write(bucket.get_mut())?;
        let answer = Message::answer(bucket, request.method())?;
        let closes = answer.header("connection");
        if closes.is_some_and(|word| word.eq_ignore_ascii_case("close")) {
            self.bucket = None;
        }
        Ok(answer)
    }
}

/// Another bit each time, spread over all of it.
fn flip(body: &mut [u8], number: usize) {
    if !body.is_empty() {
        let bit = number.wrapping_mul(2_654_435_761) % (body.len() * 8);
        body[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Takes the names of some objects out of a listing.
fn hide(body: &mut Vec<u8>, young: &BTreeSet<String>) {
    let text = String::from_utf8_lossy(body);
    let mut pieces = text.split("<Contents>");
    let mut left = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (object, rest) = piece.split_once("</Contents>").unwrap_or((piece, ""));
        let is_young = |key: &String| object.contains(&format!("<Key>{key}</Key>"));
        if !young.iter().any(is_young) {
            left.push_str(&format!("<Contents>{object}</Contents>"));
        }
        left.push_str(rest);
    }
    *body = left.into_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_listing_leaves_out_what_is_young() {
        let mut body =
            b"<L><Contents><Key>a/1</Key></Contents><Contents><Key>a/2</Key></Contents></L>"
                .to_vec();
        hide(&mut body, &BTreeSet::from(["a/2".to_owned()]));
        assert_eq!(body, b"<L><Contents><Key>a/1</Key></Contents></L>");
    }

    #[test]
    fn one_bit_is_flipped() {
        for number in 0..100 {
            let mut body = [0; 7];
            flip(&mut body, number);
            assert_eq!(body.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        }
    }
}

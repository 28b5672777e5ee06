//! What connections want of the operating system.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;

/// After so long without a word the other side's kernel is asked whether it is there.
const IDLE: Duration = Duration::from_secs(5);
/// Between two such questions.
const INTERVAL: Duration = Duration::from_secs(1);
/// Questions without an answer after which the connection is closed.
const TRIES: u32 = 3;

/// Has a connection close soon after the machine at its other end has lost its power, or its line:
/// by themselves, connections do not notice that at all.
pub fn close_when_cut_off(stream: &impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, IDLE)?;
    sockopt::set_tcp_keepintvl(stream, INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, TRIES)?;
    // Nobody is asked while something sent before is not acknowledged; that alone takes a quarter
    // of an hour to be given up.
    let unacknowledged = (IDLE + INTERVAL * TRIES).as_millis();
    let unacknowledged = u32::try_from(unacknowledged).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, unacknowledged)?;
    Ok(sockopt::set_socket_keepalive(stream, true)?)
}

/// Whether an address could not even be tried, since nothing leads there from this machine: such as
/// an address of IPv6, where there is none.
pub fn leads_nowhere(error: &io::Error) -> bool {
    let nowhere = [Errno::NETUNREACH, Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT];
    Errno::from_io_error(error).is_some_and(|errno| nowhere.contains(&errno))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_that_is_cut_off_closes_within_seconds_whether_it_rests_or_speaks() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let _near = TcpStream::connect(listener.local_addr().expect("it has one"));
        let (stream, _) = listener.accept().expect("accepted");
        assert!(!sockopt::socket_keepalive(&stream).expect("told"));
        close_when_cut_off(&stream).expect("set");
        assert!(sockopt::socket_keepalive(&stream).expect("told"));
        let idle = sockopt::tcp_keepidle(&stream).expect("told");
        let interval = sockopt::tcp_keepintvl(&stream).expect("told");
        let tries = sockopt::tcp_keepcnt(&stream).expect("told");
        let resting = idle + interval * tries;
        assert_eq!(resting, Duration::from_secs(8));
        let speaking = sockopt::tcp_user_timeout(&stream).expect("told");
        assert_eq!(Duration::from_millis(speaking.into()), resting);
    }

    #[test]
    fn only_what_cannot_be_tried_leads_nowhere() {
        let tells = |errno: Errno| leads_nowhere(&errno.into());
        assert!(tells(Errno::NETUNREACH) && tells(Errno::ADDRNOTAVAIL));
        assert!(tells(Errno::AFNOSUPPORT));
        assert!(!tells(Errno::CONNREFUSED) && !tells(Errno::HOSTUNREACH));
        assert!(!leads_nowhere(&io::ErrorKind::TimedOut.into()));
    }
}

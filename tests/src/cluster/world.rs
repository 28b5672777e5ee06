//! A world of our own to break: the test program starts again inside of new network, mount and
//! process namespaces.
//!
//! Everything that a trial makes (bridges, addresses, packet filters, mounts, brokers) lives in
//! there, so nothing of it can touch the machine, two runs never meet, and the kernel takes all of
//! it away when the program ends, however it ends.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::client::on_path;

/// Says to the second start that it is the second.
const INSIDE: &str = "FRESHET_TRIAL_WORLD";

/// What the world is built with.
const PROGRAMS: &[&str] = &["unshare", "nsenter", "mount", "ip", "iptables", "tc", "sh"];

/// A shell is the first process inside, because the first one ignores the signals of a terminal.
const SETTLE: &str = "mkdir -p /run/netns && mount -t tmpfs none /run/netns && \
                      ip link set lo up && exec_it() { \"$@\"; } && exec_it \"$0\" \"$@\"";

/// A world that was killed while its disks were busy may leave requests behind that nobody will ever
/// answer, and loop devices that wait for them: FUSE connections that no process can see any more.
const BURY: &str = "mount -t fusectl none /sys/fs/fuse/connections && \
                    for c in /sys/fs/fuse/connections/[0-9]*; do \
                    grep -qs \" 0:${c##*/} \" /proc/[0-9]*/mountinfo || echo 1 > $c/abort; done";

/// Goes into a world of our own; `Some` says why this machine does not allow it.
pub fn enter() -> Option<String> {
    if env::var_os(INSIDE).is_some() {
        return None;
    }
    if let Some(absent) = PROGRAMS.iter().find(|program| !on_path(program)) {
        return Some(format!("no {absent} on this machine"));
    }
    let Some(way_in) = way_in() else {
        return Some("this machine does not let us make namespaces (root can)".into());
    };
    let mut bury = Command::new("unshare");
    bury.args(["-m", "sh", "-c", BURY]).stderr(Stdio::null());
    // Only root can, and only root may have left something.
    let _ = bury.status();
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(why) => return Some(format!("the test program does not know itself: {why}")),
    };
    let why = Command::new("unshare")
        .args(way_in)
        .args(["sh", "-c", SETTLE])
        .arg(program)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Some(format!("cannot start inside of namespaces: {why}"))
}

/// The arguments of `unshare` that work here: as root, or as one who is root only inside.
fn way_in() -> Option<Vec<&'static str>> {
    let namespaces = ["-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"];
    let as_ourselves: Vec<_> = namespaces.into();
    let as_root_inside: Vec<_> = std::iter::once("--map-root-user")
        .chain(namespaces)
        .collect();
    let works = |arguments: &Vec<&str>| {
        let mut probe = Command::new("unshare");
        probe.args(arguments).args(["sh", "-c", SETTLE, "true"]);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    [as_ourselves, as_root_inside].into_iter().find(works)
}

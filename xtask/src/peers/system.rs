//! Programs that come from the system's packages.

use anyhow::{Result, bail};

use crate::place;
use crate::process::{command, exists, read, run, say};

/// A program and the Debian package that brings it. One that is on no search path has its whole path.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("chrt", "util-linux"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("curl", "curl"),
    ("faketime", "faketime"),
    ("go", "golang-go"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("java", "openjdk-17-jdk-headless"),
    ("javac", "openjdk-17-jdk-headless"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mvn", "maven"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("python3", "python3-venv"),
    ("runc", "runc"),
    ("setsid", "util-linux"),
    ("strace", "strace"),
    ("tc", "iproute2"),
    ("unshare", "util-linux"),
];

/// What the trials of a cluster make their networks and disks with.
pub(crate) const TRIALS: &[&str] = &["ip", "iptables", "mkfs.ext4", "strace", "tc", "unshare"];
/// What dashboards and alerts are tried with.
pub(crate) const MONITORING: &[&str] = &["prometheus", "promtool"];
/// What comes with the library that one trial sets clocks by; the others go without it.
pub(crate) const CLOCKS: &[&str] = &["faketime"];

/// Makes sure that all `programs` can be called; installs what is missing where we may.
pub(crate) fn require(programs: &[&str]) -> Result<()> {
    let missing = missing(programs, exists);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let root = read(&mut command(place::root(), "id", &["-u"]))?.trim() == "0";
    if !root || !exists("apt-get") {
        bail!("these packages are missing and cannot be installed from here: {list}");
    }
    say(&format!("installing system packages: {list}"));
    let apt = |args: &[&str]| {
        run(command(place::root(), "apt-get", args).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-q"])?;
    let mut args = vec!["install", "-y", "-q", "--no-install-recommends"];
    args.extend(missing);
    apt(&args).map(drop)
}

/// The packages that bring those of `programs` that are not there, each once.
pub(crate) fn missing(programs: &[&str], exists: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let absent = PACKAGES
        .iter()
        .filter(|(name, _)| programs.contains(name) && !exists(name));
    let mut packages: Vec<_> = absent.map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_asked_for_once() {
        let packages = missing(&["java", "javac", "mvn"], |program| program == "mvn");
        assert_eq!(packages, ["openjdk-17-jdk-headless"]);
        assert!(missing(&["go"], |_| true).is_empty());
    }
}

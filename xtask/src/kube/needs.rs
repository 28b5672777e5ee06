//! Whether a cluster can run on this machine, found out without changing it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::binaries;
use super::layout::Layout;
use super::machine::cgroups;
use crate::peers::system;
use crate::process::{command, exists, read};

/// What a cluster takes from the system. CNI's plugins are on no search path.
const PROGRAMS: &[&str] = &[
    "/usr/lib/cni/bridge",
    "containerd",
    "ctr",
    "ip",
    "iptables",
    "nsenter",
    "openssl",
    "runc",
    "setsid",
    "unshare",
];
/// What building takes, sources and objects included, and what a cluster with some data takes.
const BUILD_BYTES: u64 = 12 << 30;
const RUN_BYTES: u64 = 3 << 30;
/// The oldest Go that Kubernetes 1.36 builds with: 1.26.
const GO: (u32, u32) = (1, 26);
/// A socket's path has 108 bytes, and ours end with some 30.
const PATH_BYTES: usize = 70;

/// Everything that keeps a cluster from running here; nothing when it can.
pub(crate) fn refusals(layout: &Layout) -> Vec<String> {
    if !cfg!(target_os = "linux") {
        return vec!["it runs on Linux only".into()];
    }
    if !rustix::process::geteuid().is_root() {
        return vec!["namespaces, mounts and cgroups need root".into()];
    }
    let mut refusals = Vec::new();
    let missing = system::missing(PROGRAMS, exists);
    if !missing.is_empty() && !exists("apt-get") {
        let list = missing.join(", ");
        refusals.push(format!(
            "missing, and there is no apt-get to install it: {list}"
        ));
    }
    refusals.extend(cgroups::refusal());
    refusals.extend(PROBES.iter().filter_map(|probe| probe.refusal()));
    let length = layout.state().as_os_str().len();
    if length > PATH_BYTES {
        let state = layout.state();
        refusals.push(format!(
            "sockets cannot be made below {}: its name has {length} bytes and may have {PATH_BYTES}; \
             set XDG_CACHE_HOME",
            state.display()
        ));
    }
    refusals.extend(build_refusals(layout));
    refusals
}

/// Everything that keeps the programs from being built here; nothing when they are there or can be.
pub(crate) fn build_refusals(layout: &Layout) -> Vec<String> {
    if binaries::built(layout).unwrap_or(false) {
        return disk_refusal(layout, RUN_BYTES).into_iter().collect();
    }
    let go = go_refusal().into_iter();
    go.chain(disk_refusal(layout, BUILD_BYTES)).collect()
}

/// Installs the packages that are missing.
pub(crate) fn install() -> Result<()> {
    system::require(PROGRAMS)
}

/// Something that the kernel must let us do; tried in namespaces that end with the try.
struct Probe {
    /// Programs that may not be installed yet; then it is not tried.
    needs: &'static str,
    script: &'static str,
    refusal: &'static str,
}

const PROBES: &[Probe] = &[
    Probe {
        needs: "unshare",
        script: "mount --make-rshared /",
        refusal: "no network and mounts of one's own may be made",
    },
    Probe {
        needs: "ip",
        script: "ip link add probe type bridge",
        refusal: "no bridge can be made",
    },
    Probe {
        needs: "iptables",
        script: "iptables -t nat -A POSTROUTING -m comment --comment probe -j MASQUERADE",
        refusal: "no packet filter can be set up",
    },
    Probe {
        needs: "mount",
        script: "mount -t tmpfs probe /mnt && cd /mnt && mkdir a b c d \
                 && mount -t overlay -o lowerdir=a,upperdir=b,workdir=c probe d",
        refusal: "no overlay can be mounted",
    },
];

impl Probe {
    fn refusal(&self) -> Option<String> {
        if !exists("unshare") || !exists(self.needs) {
            return None;
        }
        let output = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private"])
            .args(["sh", "-ec", self.script])
            .stdin(Stdio::null())
            .output();
        let complaint = match output {
            Ok(output) if output.status.success() => return None,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Some(format!("{} ({complaint})", self.refusal))
    }
}

fn go_refusal() -> Option<String> {
    let (major, minor) = GO;
    let needed = format!("Go {major}.{minor} or newer is needed to build Kubernetes");
    let version = read(&mut command(Path::new("/"), "go", &["env", "GOVERSION"]));
    let Ok(version) = version else {
        return Some(format!("{needed}, and there is none"));
    };
    let version = version.trim();
    (go_version(version) < Some(GO)).then(|| format!("{needed}, not {version}"))
}

/// `go1.26.8` as numbers.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("go")?.split(['.', 'r', 'b', ' ', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn disk_refusal(layout: &Layout, needed: u64) -> Option<String> {
    let folder = layout.root().ancestors().find(|folder| folder.exists())?;
    let found = rustix::fs::statvfs(folder).ok()?;
    let free = found.f_bavail * found.f_frsize;
    let gib = |bytes: u64| bytes >> 30;
    (free < needed).then(|| {
        let (has, needs) = (gib(free), gib(needed));
        format!(
            "{} has {has} GiB free and needs {needs} GiB",
            folder.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_compare() {
        assert_eq!(go_version("go1.26.8"), Some((1, 26)));
        assert_eq!(go_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(go_version("devel"), None);
        assert!(go_version("devel") < Some(GO) && go_version("go1.19.8") < Some(GO));
        assert!(go_version("go1.26") >= Some(GO) && go_version("go2.0") > Some(GO));
    }

    #[test]
    fn a_disk_that_is_too_small_is_told_about() {
        let layout = Layout::at("/");
        assert_eq!(disk_refusal(&layout, 0), None);
        assert!(disk_refusal(&layout, u64::MAX).is_some());
    }

    #[test]
    fn a_probe_that_fails_says_what_the_kernel_said() {
        let probe = Probe {
            needs: "sh",
            script: "echo no such thing >&2; exit 1",
            refusal: "it cannot be done",
        };
        assert!(
            probe
                .refusal()
                .expect("a refusal")
                .starts_with("it cannot be done (")
        );
    }
}

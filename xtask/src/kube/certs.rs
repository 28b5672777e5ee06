//! Who is who in a cluster: two authorities, and a certificate for each part of it.

use std::fs;

use anyhow::{Context, Result};

use super::layout::{API_SERVICE, Layout, Node, control};
use crate::process::{command, read};

/// A certificate to be made.
struct Leaf {
    name: String,
    authority: &'static str,
    /// Kubernetes takes the organisation for a group and the common name for a user.
    subject: String,
    usage: &'static str,
    /// The names and addresses of a server.
    names: Option<String>,
}

const CLIENT: &str = "clientAuth";
const AUTHORITIES: &[&str] = &["ca", "front-proxy-ca"];

/// Those who call the API server, and so need a kubeconfig: file name and user. Nodes come in addition.
pub(crate) const CALLERS: &[(&str, &str)] = &[
    ("admin", "/O=system:masters/CN=admin"),
    (
        "kube-controller-manager",
        "/CN=system:kube-controller-manager",
    ),
    ("kube-scheduler", "/CN=system:kube-scheduler"),
    ("kube-proxy", "/CN=system:kube-proxy"),
    ("coredns", "/CN=system:coredns"),
];

/// Makes what the control plane needs. What is there already, from a kept state, is kept.
pub(crate) fn for_control(layout: &Layout) -> Result<()> {
    let pki = layout.pki();
    fs::create_dir_all(&pki).with_context(|| format!("cannot make {}", pki.display()))?;
    // OpenSSL's own configuration would add extensions that contradict ours.
    let config = "[req]\ndistinguished_name = subject\n[subject]\n";
    fs::write(pki.join("openssl.cnf"), config).context("cannot write openssl.cnf")?;
    for name in AUTHORITIES {
        let usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature";
        let extensions = ["basicConstraints=critical,CA:TRUE", usage];
        certify(layout, name, &format!("/CN={name}"), &extensions, None)?;
    }
    for leaf in control_leaves() {
        issue(layout, &leaf)?;
    }
    account_keys(layout)
}

fn control_leaves() -> Vec<Leaf> {
    let services = ["", ".default", ".default.svc", ".default.svc.cluster.local"];
    let services: Vec<_> = services.map(|end| format!("DNS:kubernetes{end}")).into();
    let names = format!(
        "{},IP:{API_SERVICE},IP:{},IP:127.0.0.1",
        services.join(","),
        control()
    );
    let leaf = |name: &str, authority, subject: &str, usage| Leaf {
        name: name.into(),
        authority,
        subject: subject.into(),
        usage,
        names: None,
    };
    let mut leaves = vec![
        Leaf {
            names: Some(names),
            ..leaf("kube-apiserver", "ca", "/CN=kube-apiserver", "serverAuth")
        },
        leaf(
            "to-kubelets",
            "ca",
            "/O=system:masters/CN=kube-apiserver",
            CLIENT,
        ),
        leaf("front-proxy", "front-proxy-ca", "/CN=front-proxy", CLIENT),
    ];
    let callers = CALLERS
        .iter()
        .map(|(name, subject)| leaf(name, "ca", subject, CLIENT));
    leaves.extend(callers);
    leaves
}

/// Makes a node's certificate, which is both its client's and its server's.
pub(crate) fn for_node(layout: &Layout, node: Node) -> Result<()> {
    let name = node.name();
    issue(
        layout,
        &Leaf {
            authority: "ca",
            subject: format!("/O=system:nodes/CN=system:node:{name}"),
            usage: "clientAuth,serverAuth",
            names: Some(format!("DNS:{name},IP:{}", node.address())),
            name,
        },
    )
}

fn issue(layout: &Layout, leaf: &Leaf) -> Result<()> {
    let usage = format!("extendedKeyUsage={}", leaf.usage);
    let names = leaf
        .names
        .as_ref()
        .map(|names| format!("subjectAltName={names}"));
    let mut extensions = vec![
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature,keyEncipherment",
        &usage,
    ];
    extensions.extend(names.as_deref());
    let signer = Some(leaf.authority);
    certify(layout, &leaf.name, &leaf.subject, &extensions, signer)
}

/// Makes a key and a certificate over it, signed by an authority or by itself.
fn certify(
    layout: &Layout,
    name: &str,
    subject: &str,
    extensions: &[&str],
    signer: Option<&str>,
) -> Result<()> {
    let pki = layout.pki();
    let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
    if pki.join(&certificate).exists() {
        return Ok(());
    }
    // The certificate gets its name last: one that is there is whole, and so is its key.
    let draft = format!("{name}.draft");
    let mut openssl = command(&pki, "openssl", &["req", "-x509", "-config", "openssl.cnf"]);
    openssl
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-noenc", "-days", "3650", "-subj", subject])
        .args(["-keyout", &key, "-out", &draft]);
    if let Some(signer) = signer {
        let (certificate, key) = (format!("{signer}.crt"), format!("{signer}.key"));
        openssl.args(["-CA", &certificate, "-CAkey", &key]);
    }
    for extension in extensions {
        openssl.args(["-addext", extension]);
    }
    read(&mut openssl).with_context(|| format!("cannot certify {name}"))?;
    fs::rename(pki.join(draft), pki.join(certificate))
        .with_context(|| format!("cannot keep the certificate of {name}"))
}

/// The pair that tokens of service accounts are signed with.
fn account_keys(layout: &Layout) -> Result<()> {
    let pki = layout.pki();
    if pki.join("accounts.pub").exists() {
        return Ok(());
    }
    let curve = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "accounts.key",
    ];
    read(&mut command(&pki, "openssl", &curve))?;
    let public = [
        "ec",
        "-in",
        "accounts.key",
        "-pubout",
        "-out",
        "accounts.pub",
    ];
    read(&mut command(&pki, "openssl", &public)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_answers_to_its_service() {
        let leaves = control_leaves();
        let server = leaves.iter().find(|leaf| leaf.name == "kube-apiserver");
        let names = server
            .and_then(|leaf| leaf.names.as_deref())
            .expect("names");
        for name in [
            "DNS:kubernetes.default.svc.cluster.local",
            "IP:10.96.0.1",
            "IP:10.200.0.1",
        ] {
            assert!(
                names.split(',').any(|n| n == name),
                "{name} is not in {names}"
            );
        }
    }
}

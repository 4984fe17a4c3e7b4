//! Certificates of a made-up authority, good ones and bad ones, made by openssl.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// An authority, and what it has signed. In a folder that goes with it.
pub struct Certificates {
    dir: tempfile::TempDir,
}

/// A certificate of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// Of `localhost`, signed by the authority.
    Good,
    /// The same, and its time is over.
    Expired,
    /// Of another name.
    WrongName,
    /// Of `localhost`, signed by itself.
    SelfSigned,
    /// Of `localhost`, signed by an authority that nobody trusts.
    Foreign,
}

impl Leaf {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Good, Self::Expired, Self::WrongName, Self::SelfSigned, Self::Foreign];

    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expired => "expired",
            Self::WrongName => "wrong",
            Self::SelfSigned => "self",
            Self::Foreign => "foreign",
        }
    }
}

impl Certificates {
    /// Makes all of them.
    ///
    /// # Panics
    /// When openssl cannot.
    #[must_use]
    pub fn make() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let at = dir.path();
        for authority in ["ca", "other"] {
            root(at, authority, &format!("/CN=Test {authority}"), "basicConstraints=critical,CA:TRUE");
        }
        root(at, Leaf::SelfSigned.name(), "/CN=localhost", "subjectAltName=DNS:localhost");
        for (leaf, authority, name, days) in [
            (Leaf::Good, "ca", "localhost", "2"),
            (Leaf::Expired, "ca", "localhost", "-1"),
            (Leaf::WrongName, "ca", "other.example", "2"),
            (Leaf::Foreign, "other", "localhost", "2"),
        ] {
            signed(at, leaf.name(), authority, name, days);
        }
        Self { dir }
    }

    /// The authority's own certificate, for `ca_file`.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Its text.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn ca(&self) -> String {
        std::fs::read_to_string(self.ca_file()).expect("the authority's certificate")
    }

    /// A file of one of them: `pem` is its certificate, `key` its key.
    #[must_use]
    pub fn file(&self, leaf: Leaf, end: &str) -> PathBuf {
        self.dir.path().join(format!("{}.{end}", leaf.name()))
    }

    pub(super) fn acceptor(&self, leaf: Leaf, h2: bool) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_file(self.file(leaf, "pem")).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(self.file(leaf, "key")).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("key and certificate belong together");
        if h2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        config.alpn_protocols.push(b"http/1.1".to_vec());
        TlsAcceptor::from(Arc::new(config))
    }
}

fn root(dir: &Path, name: &str, subject: &str, extension: &str) {
    let words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut command = Command::new("openssl");
    command.args(words).args(["-days", "2", "-subj", subject, "-addext", extension]);
    run(command
        .arg("-keyout")
        .arg(dir.join(format!("{name}.key")))
        .arg("-out")
        .arg(dir.join(format!("{name}.pem"))));
}

fn signed(dir: &Path, name: &str, authority: &str, host: &str, days: &str) {
    let file = |end: &str| dir.join(format!("{name}.{end}"));
    let words = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut asked = Command::new("openssl");
    asked.args(words).args(["-subj", &format!("/CN={host}")]);
    run(asked.arg("-keyout").arg(file("key")).arg("-out").arg(file("csr")));
    std::fs::write(file("ext"), format!("subjectAltName=DNS:{host}")).expect("a file");
    let mut sign = Command::new("openssl");
    sign.args(["x509", "-req", "-days", days, "-CAcreateserial", "-in"]).arg(file("csr"));
    sign.arg("-CA").arg(dir.join(format!("{authority}.pem")));
    sign.arg("-CAkey").arg(dir.join(format!("{authority}.key")));
    run(sign.arg("-extfile").arg(file("ext")).arg("-out").arg(file("pem")));
}

fn run(command: &mut Command) {
    let made = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(made.expect("openssl can be started").success(), "no certificate was made: {command:?}");
}

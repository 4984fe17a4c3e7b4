//! A broker that wants TLS and a login.

use crate::kafka::Broker;
use crate::ports;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Who may log in, and with what.
pub const USER: &str = "pelton";
/// The password.
pub const PASSWORD: &str = "waterwheel";
const STORE_PASSWORD: &str = "changeit";

/// A broker with one more way to it.
pub struct SecureBroker {
    /// It, with its open way for the test.
    pub broker: Broker,
    /// `host:port` of the way that wants TLS and a login, by PLAIN or by SCRAM-SHA-512.
    pub address: String,
    /// The certificate to trust.
    pub certificate: PathBuf,
    _folder: TempDir,
}

impl SecureBroker {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let certificate = folder.path().join("ca.pem");
        let secure = ports::free(1);
        let broker = Broker::start_with(|dir, port| {
            make_certificate(dir, &certificate);
            std::fs::write(dir.join("more.properties"), settings(dir, port, secure))
                .expect("it is written");
            std::fs::write(dir.join("users"), format!("{USER}:{PASSWORD}\n")).expect("it is written");
        });
        Self { broker, address: format!("localhost:{secure}"), certificate, _folder: folder }
    }
}

fn settings(dir: &Path, port: u16, secure: u16) -> String {
    let controller = port + 1;
    let listeners = format!(
        "PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SECURE://localhost:{secure}"
    );
    let (plain, scram) =
        ("org.apache.kafka.common.security.plain", "org.apache.kafka.common.security.scram");
    format!(
        "listeners={listeners}\nadvertised.listeners={listeners}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
         listener.name.secure.plain.sasl.jaas.config={plain}.PlainLoginModule required \
         user_{USER}=\"{PASSWORD}\";\n\
         listener.name.secure.scram-sha-512.sasl.jaas.config={scram}.ScramLoginModule required;\n\
         ssl.keystore.type=PKCS12\nssl.keystore.location={}\nssl.keystore.password={STORE_PASSWORD}\n",
        dir.join("broker.p12").display()
    )
}

/// A key of the broker's, and the certificate of it that clients trust.
fn make_certificate(dir: &Path, certificate: &Path) {
    let store = dir.join("broker.p12");
    let keytool = |words: &[&str]| {
        let mut command = Command::new("keytool");
        command.args(words).args([
            "-alias",
            "broker",
            "-storetype",
            "PKCS12",
            "-storepass",
            STORE_PASSWORD,
        ]);
        command.arg("-keystore").arg(&store).stdout(Stdio::null()).stderr(Stdio::null());
        command.stdin(Stdio::null());
        let done = command.status().expect("keytool comes with Java");
        assert!(done.success(), "keytool {words:?}: {done}");
    };
    let named = ["-dname", "CN=localhost", "-ext", "san=dns:localhost", "-validity", "30"];
    keytool(&[&["-genkeypair", "-keyalg", "RSA", "-keysize", "2048"], &named[..]].concat());
    keytool(&["-exportcert", "-rfc", "-file", &certificate.to_string_lossy()]);
}

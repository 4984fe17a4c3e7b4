//! Where the database is, as it is written: libpq's URL, with the words for TLS that the driver does not
//! know.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// How long connecting may take where the URL does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is silent for so long, and does not answer probes either, is away.
const SILENT: Duration = Duration::from_secs(30);

/// What is asked of TLS, by libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// None.
    Disable,
    /// If the server has it; nobody looks at who answers.
    Prefer,
    /// Encrypted; nobody looks at who answers.
    Require,
    /// The certificate is one that is trusted, whoever's it is.
    VerifyCa,
    /// The certificate is one that is trusted, and the host's.
    VerifyFull,
}

/// The address of a database, without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    config: Config,
    /// What is asked of TLS.
    pub tls: TlsMode,
    /// A file of certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// In words that end with what to write; nothing of a password is in them.
    pub fn parse(url: &str) -> Result<Self, String> {
        let Some((scheme, _)) = url.split_once("://") else {
            return Err("is no URL; write it as \"postgres://USER@HOST/DATABASE\"".to_owned());
        };
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(format!(
                "begins with `{scheme}://`; write it as \"postgres://USER@HOST/DATABASE\""
            ));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut asked = Asked::default();
        let rest: Vec<&str> =
            query.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| asked.take(pair)).collect();
        if let Some(problem) = asked.problem {
            return Err(problem);
        }
        let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let config: Config = plain.parse().map_err(|error| unreadable(&error))?;
        Self::complete(config, asked.tls, asked.ca_file)
    }

    fn complete(
        mut config: Config,
        tls: Option<TlsMode>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, String> {
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("names no host; write it as \"postgres://USER@HOST/DATABASE\"".to_owned());
        }
        if config.get_user().is_none() {
            return Err("names no user; write it as \"postgres://USER@HOST/DATABASE\"".to_owned());
        }
        if config.get_dbname().is_none() {
            return Err("names no database; write it as \"postgres://USER@HOST/DATABASE\"".to_owned());
        }
        let tls = tls.unwrap_or_else(|| by_default(&config));
        config.ssl_mode(match tls {
            _ if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) => SslMode::Disable,
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.keepalives_idle(SILENT).keepalives_interval(SILENT / 3).keepalives_retries(3);
        config.tcp_user_timeout(SILENT * 2);
        // Of several hosts it is the one that can be written to.
        if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, tls, ca_file })
    }

    /// Whether the URL has a password in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// What the driver connects by.
    #[must_use]
    pub fn config(&self, application: &str) -> Config {
        let mut config = self.config.clone();
        // A longer one is cut by the server, with a notice.
        if config.get_application_name().is_none() {
            config.application_name(application.chars().take(63).collect::<String>());
        }
        config
    }

    /// The database, for people: `shop`.
    #[must_use]
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// The user it is opened as.
    #[must_use]
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The hosts, for people: `db.internal`, `db.internal:6432`.
    #[must_use]
    pub fn hosts(&self) -> String {
        let (hosts, ports) = (self.config.get_hosts(), self.config.get_ports());
        let port = |at: usize| ports.get(at).or(ports.first()).copied().filter(|port| *port != 5432);
        let named = hosts.iter().enumerate().map(|(at, host)| {
            let host = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            };
            port(at).map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
        });
        let named: Vec<String> = match hosts.is_empty() {
            true => self.config.get_hostaddrs().iter().map(ToString::to_string).collect(),
            false => named.collect(),
        };
        named.join(",")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ({:?})", self.database(), self.hosts(), self.tls)
    }
}

fn unreadable(error: &tokio_postgres::Error) -> String {
    // Its words name a key at most, never a value.
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    format!("cannot be read ({cause}); write it as \"postgres://USER@HOST/DATABASE\"")
}

/// What leaves this machine is verified; what does not is encrypted if that can be.
fn by_default(config: &Config) -> TlsMode {
    let names = config.get_hosts().iter().all(is_local);
    let addresses = config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    if names && addresses { TlsMode::Prefer } else { TlsMode::VerifyFull }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

#[derive(Default)]
struct Asked {
    tls: Option<TlsMode>,
    ca_file: Option<PathBuf>,
    problem: Option<String>,
}

impl Asked {
    /// Takes a parameter that is ours; gives back one that is the driver's.
    fn take<'p>(&mut self, pair: &'p str) -> Option<&'p str> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" => self.tls = self.mode(value),
            "sslrootcert" if value == "system" => {}
            "sslrootcert" => self.ca_file = Some(decoded(value).into()),
            "sslcert" | "sslkey" | "sslpassword" | "sslcrl" | "sslcrldir" => {
                self.problem = Some(format!(
                    "has `{name}`: client certificates and revocation lists are not supported; log in with a \
                     password, and leave it out"
                ));
            }
            "password" => {
                self.problem = Some(
                    "has the password as a parameter; give it by `password = { file = \"...\" }` or \
                     `{ env = \"...\" }`"
                        .to_owned(),
                );
            }
            _ => return Some(pair),
        }
        None
    }

    fn mode(&mut self, word: &str) -> Option<TlsMode> {
        Some(match word {
            "disable" => TlsMode::Disable,
            "prefer" | "allow" => TlsMode::Prefer,
            "require" => TlsMode::Require,
            "verify-ca" => TlsMode::VerifyCa,
            "verify-full" => TlsMode::VerifyFull,
            other => {
                self.problem = Some(format!(
                    "has sslmode `{}`; must be disable, prefer, require, verify-ca or verify-full",
                    pelton_core::shown::shown(other)
                ));
                return None;
            }
        })
    }
}

/// A value with its `%xx` put in.
fn decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = value.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mode(url: &str) -> TlsMode {
        Address::parse(url).unwrap().tls
    }

    #[test]
    fn what_leaves_the_machine_is_verified_unless_told_otherwise() {
        for local in ["localhost", "127.0.0.1", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://u@{local}/d")), TlsMode::Prefer, "{local}");
        }
        for far in ["db.internal", "10.0.0.1", "localhost,db", "localhost.example.com"] {
            assert_eq!(mode(&format!("postgresql://u@{far}/d")), TlsMode::VerifyFull, "{far}");
        }
        let words = ["disable", "prefer", "require", "verify-ca", "verify-full"];
        let modes = words.map(|word| mode(&format!("postgres://u@db/d?sslmode={word}&connect_timeout=3")));
        use TlsMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
        assert_eq!(modes, [Disable, Prefer, Require, VerifyCa, VerifyFull]);
    }

    #[test]
    fn it_is_shown_without_a_login() {
        let address =
            Address::parse("postgres://me:secret@db.internal:6432,b/shop?target_session_attrs=any");
        let address = address.unwrap();
        assert!(address.has_password());
        assert_eq!((address.database(), &*address.hosts()), ("shop", "db.internal:6432,b"));
        assert!(!format!("{address:?}").contains("secret"));
        let address = Address::parse("postgres://u@db/d?sslrootcert=%2Fetc%2Fca%20file.pem").unwrap();
        assert_eq!(address.ca_file.unwrap().to_str(), Some("/etc/ca file.pem"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        let wrong = [
            ("db/shop", "is no URL"),
            ("mysql://u@db/shop", "begins with `mysql://`"),
            ("postgres:///shop", "names no host"),
            ("postgres://db/shop", "names no user"),
            ("postgres://u@db", "names no database"),
            ("postgres://u@db/d?sslmode=verify", "verify-full"),
            ("postgres://u@db/d?sslcert=a.pem", "client certificates"),
            ("postgres://u@db/d?password=secret", "password = {"),
            ("postgres://u@db/d?colour=red", "cannot be read"),
            ("postgres://u:secret@db:port/d", "cannot be read"),
        ];
        for (url, what) in wrong {
            let said = Address::parse(url).unwrap_err();
            assert!(said.contains(what) && !said.contains("secret"), "{url}: {said}");
        }
    }
}

//! Where the worker can be asked over HTTP, and by whom.

use super::is_name;
use crate::settings::Section;
use pelton_host::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// What callers may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Steers what runs.
    Operator,
    /// Changes what runs.
    Admin,
}

impl Role {
    const WORDS: [(&'static str, Self); 3] =
        [("viewer", Self::Viewer), ("operator", Self::Operator), ("admin", Self::Admin)];

    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminListen {
    Off,
    /// `admin.sock` in `data_dir`.
    DataDir,
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// The files of a certificate with its chain, and of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A token, by the file that it is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    /// What the audit calls who has it.
    pub name: String,
    pub file: PathBuf,
    pub role: Role,
}

/// The section `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    pub listen: AdminListen,
    /// Health and metrics alone, for whoever asks.
    pub health_listen: Option<SocketAddr>,
    pub tls: Option<TlsFiles>,
    pub trusted_proxies: Vec<IpNet>,
    /// Names by which callers may reach it, beside its addresses.
    pub hosts: Vec<String>,
    pub tokens: Vec<TokenFile>,
}

/// Tokens that there may be.
const TOKENS: usize = 64;

/// Reads `[admin]`.
pub fn admin(section: Section<'_>, base: &Path) -> AdminConfig {
    let config = AdminConfig {
        listen: listen(&section, base),
        health_listen: address(&section, "health_listen"),
        tls: tls(&section, base),
        trusted_proxies: trusted_proxies(&section),
        hosts: hosts(&section),
        tokens: tokens(&section, base),
    };
    guarded(&section, &config);
    section.finish();
    config
}

fn listen(section: &Section<'_>, base: &Path) -> AdminListen {
    let Some(text) = section.text("listen") else { return AdminListen::DataDir };
    match text.as_str() {
        "off" => AdminListen::Off,
        text => match text.strip_prefix("unix:") {
            Some("") => {
                section.problem("listen", "names no socket; write \"unix:run/admin.sock\"");
                AdminListen::Off
            }
            Some(path) => AdminListen::Unix(base.join(path)),
            None => address(section, "listen").map_or(AdminListen::Off, AdminListen::Tcp),
        },
    }
}

const ADDRESS: &str = "an address and a port, such as \"127.0.0.1:9090\"";

fn address(section: &Section<'_>, key: &'static str) -> Option<SocketAddr> {
    let wanted = match key {
        "listen" => format!("{ADDRESS}, \"unix:PATH\" or \"off\""),
        _ => ADDRESS.to_owned(),
    };
    section.parsed(key, &wanted, |text| {
        let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        local.as_deref().unwrap_or(text).parse().ok()
    })
}

fn tls(section: &Section<'_>, base: &Path) -> Option<TlsFiles> {
    if !section.has("tls") {
        return None;
    }
    let table = section.section("tls");
    let file = |key: &'static str| {
        let path = table.text(key).filter(|path| !path.is_empty());
        if path.is_none() {
            table.problem(key, "is missing; write the path of a file in PEM");
        }
        base.join(path.unwrap_or_default())
    };
    let files = TlsFiles { cert: file("cert"), key: file("key") };
    table.finish();
    Some(files)
}

fn trusted_proxies(section: &Section<'_>) -> Vec<IpNet> {
    let net = |text: &String| {
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        let net = text.parse::<IpNet>().or_else(|_| alone());
        let why = |_| format!("names `{text}`, must be addresses or networks, such as \"10.0.0.0/8\"");
        net.map_err(why).map_err(|why| section.problem("trusted_proxies", why)).ok()
    };
    section.texts("trusted_proxies").iter().filter_map(net).collect()
}

/// Whether it may stand in a `Host`, without a port.
fn is_host(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=253).contains(&name.len()) && name.bytes().all(allowed)
}

fn hosts(section: &Section<'_>) -> Vec<String> {
    let names = section.texts("hosts");
    for name in names.iter().filter(|name| !is_host(name)) {
        let what = format!("names `{name}`, must be names without a port, such as \"pelton.example.com\"");
        section.problem("hosts", what);
    }
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn tokens(section: &Section<'_>, base: &Path) -> Vec<TokenFile> {
    let mut all: Vec<TokenFile> = Vec::new();
    for table in section.tables("tokens") {
        let Some(token) = token(table, base) else { continue };
        if all.iter().any(|other| other.name == token.name) {
            let what = format!("has two of the name `{}`; give each a `name` of its own", token.name);
            section.problem("tokens", what);
        }
        all.push(token);
    }
    if all.len() > TOKENS {
        section.problem("tokens", format!("has {}, and there may be {TOKENS}", all.len()));
    }
    all
}

fn token(table: Section<'_>, base: &Path) -> Option<TokenFile> {
    let file = table.text("file").filter(|path| !path.is_empty());
    if file.is_none() {
        table.problem("file", "is missing; write the path of a file with the token alone in it");
    }
    if !table.has("role") {
        table.problem("role", "is missing; write \"viewer\", \"operator\" or \"admin\"");
    }
    let role = table.word("role", &Role::WORDS, Role::Viewer);
    let given = table.text("name");
    if let Some(name) = given.as_deref().filter(|name| !is_name(name)) {
        table.problem("name", format!("is `{name}`: use 1 to 64 of a-z, A-Z, 0-9, `-` and `_`"));
    }
    table.finish();
    let file = base.join(file?);
    let stem = || file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = given.or_else(stem).unwrap_or_default();
    Some(TokenFile { name, file, role })
}

/// What must stand beside an address that others than this machine's users reach.
fn guarded(section: &Section<'_>, config: &AdminConfig) {
    let AdminListen::Tcp(address) = config.listen else {
        let without = "is for an address; `listen` has none, and its socket is closed to other users";
        let unused = [
            ("tls", config.tls.is_some()),
            ("trusted_proxies", !config.trusted_proxies.is_empty()),
            ("tokens", !config.tokens.is_empty()),
            ("hosts", !config.hosts.is_empty()),
        ];
        unused.iter().filter(|(_, is_there)| *is_there).for_each(|(key, _)| section.problem(key, without));
        return;
    };
    if config.tokens.is_empty() && (!section.has("tokens") || section.is_empty_list("tokens")) {
        let what = "is an address, which takes `tokens`: write [{ file = \"secrets/admin\", role = \
            \"admin\" }]. Without `listen` there is a socket in data_dir, for the worker's own user";
        section.problem("listen", what);
    }
    if !address.ip().is_loopback() && config.tls.is_none() && config.trusted_proxies.is_empty() {
        let what = "is reached from other machines, and tokens would go there as they are: write `tls`, or \
            the `trusted_proxies` that callers come through";
        section.problem("listen", what);
    }
}

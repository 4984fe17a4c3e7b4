//! Who is let in: by address, by the name it was reached by, by the page that it comes from, by its token.
//!
//! A browser is a stranger's program on a friend's machine. It sends requests to names that a stranger has
//! had point here (so `Host` is compared), and from pages of strangers (so `Origin` and `Sec-Fetch-Site`
//! are). No answer allows another origin anything.

use super::listener::Peer;
use super::problem::Problem;
use super::state::AdminState;
use crate::config::Role;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;

const FETCH_SITE: &str = "sec-fetch-site";
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Bytes of an `Authorization` that are looked at.
const AUTHORIZATION_BYTES: usize = 8 << 10;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name of its token, or the user at the other end of the socket.
    pub name: Arc<str>,
    pub role: Role,
    /// Where from.
    pub from: Arc<str>,
}

/// Who asks, if it may ask anything.
pub fn admit(shared: &AdminState, peer: Peer, parts: &Parts) -> Result<Caller, Problem> {
    let Peer::Address { ip, local } = peer else {
        // Others cannot open the socket. No browser can.
        let name = peer.to_string().into();
        return Ok(Caller { name, role: Role::Admin, from: "socket".into() });
    };
    let is_proxy = shared.config.trusted_proxies.iter().any(|net| net.contains(&ip));
    let is_plain = shared.config.tls.is_none() && !shared.config.trusted_proxies.is_empty();
    if is_plain && !is_proxy && !ip.is_loopback() {
        let why = "only the proxies of `admin.trusted_proxies` are answered here: there is no `admin.tls`";
        return Err(Problem::forbidden(why));
    }
    let host = host(parts)?;
    if !is_known(shared, &host, local) {
        let why = format!("the host `{}` is not known here; `admin.hosts` lists names", host.host());
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, why));
    }
    is_of_no_stranger(&parts.headers, &host, is_proxy)?;
    let (name, role) =
        bearer(&parts.headers)?.and_then(|token| shared.tokens.find(token)).ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "a token is wanted: `Authorization: Bearer TOKEN`")
        })?;
    let from = is_proxy.then(|| forwarded(shared, &parts.headers)).flatten().unwrap_or(ip);
    Ok(Caller { name, role, from: from.to_string().into() })
}

/// The only value of a header, if it is there.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut all = headers.get_all(name).iter();
    let Some(first) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::bad(format!("has two headers `{name}`")));
    }
    first.to_str().map(Some).map_err(|_| Problem::bad(format!("has a header `{name}` that is no text")))
}

/// The name by which this was reached.
fn host(parts: &Parts) -> Result<Authority, Problem> {
    let given = only(&parts.headers, &HOST)?.ok_or_else(|| Problem::bad("has no header `host`"))?;
    let is_plain = !given.contains('@');
    let host = given.parse::<Authority>().ok().filter(|host| is_plain && !host.host().is_empty());
    let host = host.ok_or_else(|| Problem::bad("has a header `host` that is none"))?;
    match parts.uri.authority() {
        Some(other) if *other != host => {
            Err(Problem::bad("names another host than its header `host` does"))
        }
        _ => Ok(host),
    }
}

fn is_known(shared: &AdminState, host: &Authority, local: Option<IpAddr>) -> bool {
    let name = host.host().to_ascii_lowercase();
    let plain = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = plain.parse::<IpAddr>() {
        // Nobody can have an address point elsewhere.
        return ip.is_loopback() || Some(ip.to_canonical()) == local || shared.config.hosts.contains(&name);
    }
    let is_here = local.is_some_and(|local| local.is_loopback());
    (name == "localhost" && is_here) || shared.config.hosts.contains(&name)
}

/// Whether a browser has been sent by a page of somebody else.
fn is_of_no_stranger(headers: &HeaderMap, host: &Authority, is_proxy: bool) -> Result<(), Problem> {
    let stranger = || Problem::forbidden("comes from a page of another site, which may ask nothing here");
    for site in headers.get_all(FETCH_SITE) {
        if !matches!(site.as_bytes(), b"same-origin" | b"none") {
            return Err(stranger());
        }
    }
    let Some(origin) = only(headers, &ORIGIN)? else { return Ok(()) };
    let forwarded = if is_proxy { only(headers, &FORWARDED_HOST)? } else { None };
    let plain = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_same = |plain: &str| {
        plain.eq_ignore_ascii_case(host.as_str())
            || forwarded.is_some_and(|host| plain.eq_ignore_ascii_case(host))
    };
    if plain.is_some_and(is_same) { Ok(()) } else { Err(stranger()) }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let Some(given) = only(headers, &AUTHORIZATION)? else { return Ok(None) };
    let scheme = given.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    let token = scheme.and_then(|_| given.get(7..)).map(str::trim);
    Ok(token.filter(|token| token.len() <= AUTHORIZATION_BYTES).map(str::as_bytes))
}

/// The last address that is no proxy of ours: what stands before it anybody can write.
fn forwarded(shared: &AdminState, headers: &HeaderMap) -> Option<IpAddr> {
    let all = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = all.flat_map(|value| value.split(',')).map(str::trim).collect();
    let is_proxy = |ip: &IpAddr| shared.config.trusted_proxies.iter().any(|net| net.contains(ip));
    for hop in hops.iter().rev() {
        let ip: IpAddr = hop.parse().ok()?;
        if !is_proxy(&ip) {
            return Some(ip);
        }
    }
    None
}

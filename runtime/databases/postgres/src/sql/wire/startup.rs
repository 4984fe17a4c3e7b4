//! The first words on a connection: who we are, and the proof of it.

use super::{Io, Message, Status, Wire};
use crate::client::{Fault, Kind};
use bytes::Bytes;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use std::io;
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;

/// Logs in.
pub(super) async fn start(stream: Box<dyn Io>, config: &Config, longest_row: usize) -> Result<Wire, Fault> {
    let mut wire = Wire::new(stream, longest_row);
    let mut parameters = vec![("client_encoding", "UTF8")];
    let given = [
        ("user", config.get_user()),
        ("database", config.get_dbname()),
        ("options", config.get_options()),
        ("application_name", config.get_application_name()),
    ];
    parameters.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
    frontend::startup_message(parameters, &mut wire.out).map_err(|error| lost(&error))?;
    loop {
        match next(&mut wire).await? {
            Message::Authentication(0, _) => break,
            Message::Authentication(kind, body) => prove(&mut wire, config, kind, body).await?,
            _ => {}
        }
    }
    loop {
        match next(&mut wire).await? {
            Message::Key(key) => wire.key = key,
            Message::Ready(_) => break,
            _ => {}
        }
    }
    can_be_written(&mut wire, config).await?;
    Ok(wire)
}

async fn next(wire: &mut Wire) -> Result<Message, Fault> {
    match wire.next().await.map_err(|error| lost(&error))? {
        Message::Error(error) => Err(Fault::answered(&error.code, &error.message)),
        other => Ok(other),
    }
}

pub(super) fn lost(error: &io::Error) -> Fault {
    Fault::new(Kind::Away, format!("error communicating with the server: {error}"))
}

fn login(words: &str) -> Fault {
    Fault::new(Kind::Login, words)
}

/// Answers what the server asks for, in the ways of the password that it may ask.
async fn prove(wire: &mut Wire, config: &Config, kind: i32, body: Bytes) -> Result<(), Fault> {
    const CLEARTEXT: i32 = 3;
    const MD5: i32 = 5;
    const SASL: i32 = 10;
    let password = config.get_password();
    let password = password.ok_or_else(|| login("the server wants a password, and there is none"))?;
    let answered = match kind {
        CLEARTEXT => frontend::password_message(password, &mut wire.out),
        MD5 => {
            let salt = body.first_chunk::<4>().ok_or_else(|| login("the server's salt is cut off"))?;
            let user = config.get_user().unwrap_or_default();
            let hash = md5_hash(user.as_bytes(), password, *salt);
            frontend::password_message(hash.as_bytes(), &mut wire.out)
        }
        SASL => return scram(wire, password, &body).await,
        _ => return Err(login("the server wants a proof that is not supported; log in with a password")),
    };
    answered.map_err(|error| lost(&error))
}

/// SCRAM-SHA-256. The login is not bound to the channel: who answers is known by the certificate.
async fn scram(wire: &mut Wire, password: &[u8], offered: &Bytes) -> Result<(), Fault> {
    const CONTINUE: i32 = 11;
    const FINAL: i32 = 12;
    if !offered.split(|byte| *byte == 0).any(|name| name == SCRAM_SHA_256.as_bytes()) {
        return Err(login("the server wants a proof that is not supported: it must offer SCRAM-SHA-256"));
    }
    let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
    let first = frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut wire.out);
    first.map_err(|error| lost(&error))?;
    let failed = |error: io::Error| login(&format!("authentication failed: {error}"));
    loop {
        match next(wire).await? {
            Message::Authentication(CONTINUE, body) => {
                scram.update(&body).map_err(failed)?;
                frontend::sasl_response(scram.message(), &mut wire.out).map_err(|error| lost(&error))?;
            }
            Message::Authentication(FINAL, body) => return scram.finish(&body).map_err(failed),
            _ => return Err(login("the server left the login in its middle")),
        }
    }
}

/// Of several hosts only the one that can be written to is wanted.
async fn can_be_written(wire: &mut Wire, config: &Config) -> Result<(), Fault> {
    if config.get_target_session_attrs() != TargetSessionAttrs::ReadWrite {
        return Ok(());
    }
    frontend::query("SHOW transaction_read_only", &mut wire.out).map_err(|error| lost(&error))?;
    let mut read_only = false;
    loop {
        match next(wire).await? {
            Message::Row(row) => read_only |= row.ends_with(b"on"),
            Message::Ready(Status::Idle) if read_only => {
                return Err(Fault::new(Kind::ReadOnly, "the server does not allow writes"));
            }
            Message::Ready(_) => return Ok(()),
            _ => {}
        }
    }
}

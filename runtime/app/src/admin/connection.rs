//! From a listener to requests: so many connections, for so long.

use super::limits::{BUFFER_BYTES, HEADER_TIMEOUT, HEADERS, Limits};
use super::listener::{Accepted, Listener, Peer};
use super::stall::Stalling;
use super::tls::Tls;
use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pelton_core::contain::contained;
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long nobody is accepted when no more files can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What clients of a listener get.
#[derive(Clone)]
pub struct Serving {
    pub router: Router,
    pub tls: Option<Arc<Tls>>,
    pub limits: Limits,
    /// True at the end. Held as long as somebody is answered.
    pub stop: watch::Receiver<bool>,
}

/// The connections of a listener.
#[derive(Default)]
struct Connections {
    all: usize,
    of: HashMap<Option<IpAddr>, usize>,
}

/// The place of one connection, given back when it is dropped.
struct Permit(Arc<Mutex<Connections>>, Option<IpAddr>);

impl Permit {
    /// None when there is none left.
    fn take(places: &Arc<Mutex<Connections>>, ip: Option<IpAddr>, limits: Limits) -> Option<Self> {
        let mut all = places.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = all.of.get(&ip).copied().unwrap_or(0);
        if all.all >= limits.connections || of_one >= limits.of_one {
            return None;
        }
        all.all += 1;
        *all.of.entry(ip).or_default() += 1;
        Some(Self(places.clone(), ip))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.all = all.all.saturating_sub(1);
        if let Some(left) = all.of.get_mut(&self.1) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                all.of.remove(&self.1);
            }
        }
    }
}

/// Waits until it is said, or until nobody is left to say it.
async fn ended(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Answers clients side by side until the end.
pub async fn accept_all(listener: Listener, serving: Serving) {
    let places = Arc::new(Mutex::new(Connections::default()));
    let (mut stop, name) = (serving.stop.clone(), serving.limits.name);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ended(&mut stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = Permit::take(&places, peer.ip(), serving.limits) else {
                    tracing::debug!(listener = name, %peer, "a client is turned away: too many connections");
                    continue;
                };
                let serving = serving.clone();
                drop(tokio::spawn(async move {
                    if let Err(panicked) = contained(serving.connection(stream, peer)).await {
                        tracing::error!(
                            "{panicked}, while a client of the API was answered; please report it"
                        );
                    }
                    drop(place);
                }));
            }
            Err(error) => {
                // No more files can be opened, or the client has gone: it is tried again.
                tracing::debug!(listener = name, %error, "a client was not heard");
                if error.kind() != std::io::ErrorKind::ConnectionAborted {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Serving {
    async fn connection(self, stream: Accepted, peer: Peer) {
        let lifetime = self.limits.lifetime;
        let answered = async move {
            match (stream, self.tls.clone()) {
                (Accepted::Unix(stream), _) => self.requests(stream, peer).await,
                (Accepted::Tcp(stream), None) => self.requests(stream, peer).await,
                (Accepted::Tcp(stream), Some(tls)) => {
                    match timeout(HEADER_TIMEOUT, tls.acceptor().accept(stream)).await {
                        Ok(Ok(stream)) => self.requests(stream, peer).await,
                        Ok(Err(error)) => {
                            tracing::debug!(%peer, %error, "a client without TLS, or with another")
                        }
                        Err(_) => tracing::debug!(%peer, "a client did not finish its part of TLS"),
                    }
                }
            }
        };
        match lifetime {
            Some(lifetime) => drop(timeout(lifetime, answered).await),
            None => answered.await,
        }
    }

    async fn requests(mut self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer) {
        let service = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            service.call(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(BUFFER_BYTES)
            .max_headers(HEADERS)
            .keep_alive(self.limits.keep_alive)
            .serve_connection(TokioIo::new(Stalling::new(stream)), service);
        let mut connection = pin!(connection);
        let done = tokio::select! {
            done = connection.as_mut() => done,
            () = ended(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            tracing::debug!(%peer, %error, "a client of the API");
        }
    }
}

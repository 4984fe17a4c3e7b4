//! TLS by the rustls that the rest of Pelton uses, with files that are read again when they change.

use super::stamp::Stamp;
use crate::config::{Problem, TlsFiles};
use pelton_host::file;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// Bytes of a file, at most.
const FILE_BYTES: usize = 1 << 20;

/// What it is now.
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    stamp: Mutex<[Stamp; 2]>,
}

impl Tls {
    /// Reads it. Blocks.
    pub fn open(files: &TlsFiles) -> Result<Self, Problem> {
        let stamp = Mutex::new(stamps(files));
        let config = RwLock::new(Self::read(files)?);
        Ok(Self { files: files.clone(), config, stamp })
    }

    /// What the files make. Blocks.
    pub fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, Problem> {
        let problem = |key: &str, file: &Path, why: &dyn std::fmt::Display| {
            Problem::new(format!("admin.tls.{key}"), format!("is {}, which {why}", file.display()))
        };
        let bytes =
            |key: &str, path: &Path| file::read(path, FILE_BYTES).map_err(|why| problem(key, path, &why));
        let (cert, key) = (bytes("cert", &files.cert)?, bytes("key", &files.key)?);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
        let chain = chain.map_err(|why| problem("cert", &files.cert, &format!("is not PEM: {why}")))?;
        if chain.is_empty() {
            return Err(problem("cert", &files.cert, &"has no certificate in PEM"));
        }
        // What is wrong with a key is not shown: it would be shown with it.
        let key = PrivateKeyDer::from_pem_slice(&key);
        let key = key.map_err(|_| problem("key", &files.key, &"has no private key in PEM"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let of_both = |why: rustls::Error| {
            problem("key", &files.key, &format!("does not go with its certificate: {why}"))
        };
        let mut config = versions
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(of_both)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Reads it again if it has changed; what cannot be used leaves it as it was, and is said once. Blocks.
    pub fn read_again(&self) {
        let now = stamps(&self.files);
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamp == now {
            return;
        }
        *stamp = now;
        match Self::read(&self.files) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!("the certificate of the API was read again");
            }
            Err(Problem { path, what, .. }) => {
                tracing::warn!("{path} {what}; the certificate that was read before stays in use");
            }
        }
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    [Stamp::of(&files.cert), Stamp::of(&files.key)]
}

//! Objects in S3: read for messages that point to them, with the credentials that the AWS SDK finds.

mod request;

use crate::envelopes::Pointer;
use crate::objects::{ObjectStore, ObjectsConfig};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use pelton_core::ports::{BoxFuture, Counted};
use request::{Answer, Endpoint, Method};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use ureq::Agent;

/// Objects that are read at once.
const AT_ONCE: usize = 16;
/// Waits while S3 does not give an object: the first, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// Credentials are asked for again so long before they end.
const BEFORE_END: Duration = Duration::from_secs(300);
/// What an emulator is signed for when nothing is said.
const SOME_REGION: &str = "us-east-1";

/// Objects in S3.
#[derive(Clone)]
pub struct S3Objects(Arc<Objects>);

struct Objects {
    config: ObjectsConfig,
    agent: Agent,
    sdk: OnceCell<SdkConfig>,
    credentials: Mutex<Option<Credentials>>,
    /// Where buckets turned out to be.
    regions: Mutex<BTreeMap<String, String>>,
    at_once: Semaphore,
    trouble: Mutex<Option<String>>,
    read: AtomicU64,
    deleted: AtomicU64,
    waits: AtomicU64,
}

/// Why there is no object.
enum NoObject {
    /// There is none, and there will be none.
    ForGood(String),
    /// S3 does not say, or this worker may not ask.
    ForNow(String),
    /// The bucket is in this region.
    Elsewhere(String),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl S3Objects {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(config: ObjectsConfig, agent: Agent) -> Self {
        Self(Arc::new(Objects {
            config,
            agent,
            sdk: OnceCell::new(),
            credentials: Mutex::default(),
            regions: Mutex::default(),
            at_once: Semaphore::new(AT_ONCE),
            trouble: Mutex::default(),
            read: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        }))
    }
}

impl Objects {
    /// The bytes of an object. Waits until S3 says what there is. `Err` says why there is none.
    async fn get(&self, pointer: &Pointer) -> Result<Vec<u8>, String> {
        if !self.config.buckets.contains(&pointer.bucket) {
            return Err(format!(
                "it points to {}, and `decode.buckets` does not list that bucket",
                pointer.describe()
            ));
        }
        let mut wait = WAITS.0;
        loop {
            // Who waits leaves the turn to others.
            let answer = {
                let _turn = self.at_once.acquire().await;
                self.ask(Method::Get, pointer).await
            };
            match answer {
                Ok(bytes) => {
                    *locked(&self.trouble) = None;
                    self.read.fetch_add(1, Ordering::Relaxed);
                    return Ok(bytes);
                }
                Err(NoObject::ForGood(why)) => return Err(why),
                Err(NoObject::Elsewhere(region)) => {
                    locked(&self.regions).insert(pointer.bucket.clone(), region);
                }
                Err(NoObject::ForNow(why)) => {
                    self.waits.fetch_add(1, Ordering::Relaxed);
                    let why = format!("{} cannot be read: {why}; messages wait for it", pointer.describe());
                    if locked(&self.trouble).replace(why.clone()).is_none() {
                        tracing::warn!("{why}");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(WAITS.1);
                }
            }
        }
    }

    /// Deletes an object. `Err` says why it stays.
    async fn delete(&self, pointer: &Pointer) -> Result<(), String> {
        if !self.config.buckets.contains(&pointer.bucket) {
            return Err("`decode.buckets` does not list its bucket".to_owned());
        }
        match self.ask(Method::Delete, pointer).await {
            Ok(_) => {
                self.deleted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(NoObject::ForGood(why) | NoObject::ForNow(why)) => Err(why),
            Err(NoObject::Elsewhere(region)) => Err(format!("its bucket is in {region}")),
        }
    }

    async fn ask(&self, method: Method, pointer: &Pointer) -> Result<Vec<u8>, NoObject> {
        let credentials = self.credentials().await.map_err(NoObject::ForNow)?;
        let place = self.place(pointer).await;
        let (agent, max) = (self.agent.clone(), self.config.max_bytes);
        let asked =
            tokio::task::spawn_blocking(move || request::send(&agent, method, &place, credentials, max));
        let answer = asked.await.map_err(|ended| NoObject::ForNow(ended.to_string()))?;
        self.judge(pointer, answer.map_err(NoObject::ForNow)?)
    }

    fn judge(&self, pointer: &Pointer, answer: Answer) -> Result<Vec<u8>, NoObject> {
        let Answer { status, region, code, body } = answer;
        let name = || pointer.describe();
        match status {
            200 | 204 => body.ok_or_else(|| {
                let max = self.config.max_bytes;
                NoObject::ForGood(format!("{} has more than {max} bytes (`max_message_bytes`)", name()))
            }),
            301 | 307 | 400 if region.as_ref().is_some_and(|region| !self.is_of(pointer, region)) => {
                Err(NoObject::Elsewhere(region.unwrap_or_default()))
            }
            404 if code != "NoSuchBucket" => Err(NoObject::ForGood(format!("{} is not there", name()))),
            403 if code == "InvalidObjectState" => Err(NoObject::ForGood(format!(
                "{} is archived: restore it, then replay the letter",
                name()
            ))),
            // Without the right to list, S3 says the same of what is not there. Others could be read.
            403 if self.read.load(Ordering::Relaxed) > 0 => Err(NoObject::ForGood(format!(
                "{} is not there, or must not be read: S3 refuses it, and gave other objects ({code}). With \
                 s3:ListBucket it would say which",
                name()
            ))),
            403 => Err(NoObject::ForNow(format!(
                "S3 refuses it ({code}): grant s3:GetObject to this worker, and s3:ListBucket, with which a \
                 missing object is told"
            ))),
            _ => Err(NoObject::ForNow(format!("S3 answers {status} {code}"))),
        }
    }

    fn is_of(&self, pointer: &Pointer, region: &str) -> bool {
        locked(&self.regions).get(&pointer.bucket).is_some_and(|known| known == region)
            || !request::is_region(region)
    }

    async fn sdk(&self) -> &SdkConfig {
        let load = || async {
            let mut loader = aws_config::defaults(BehaviorVersion::latest());
            if let Some(region) = &self.config.region {
                loader = loader.region(Region::new(region.clone()));
            } else if self.config.endpoint_url.is_some() && std::env::var_os("AWS_REGION").is_none() {
                // An emulator has none; to ask the machine that we may not be on takes seconds.
                loader = loader.region(Region::new(SOME_REGION));
            }
            loader.load().await
        };
        self.sdk.get_or_init(load).await
    }

    async fn place(&self, pointer: &Pointer) -> Endpoint {
        let sdk = self.sdk().await;
        let known = locked(&self.regions).get(&pointer.bucket).cloned();
        let region = known.or_else(|| sdk.region().map(ToString::to_string));
        let region = region.unwrap_or_else(|| SOME_REGION.to_owned());
        let of_env = || std::env::var("AWS_ENDPOINT_URL_S3").ok().filter(|url| !url.is_empty());
        let endpoint = self.config.endpoint_url.clone().or_else(of_env);
        Endpoint::of(pointer, endpoint.as_deref(), region)
    }

    /// Those that are known, or new ones before they end.
    async fn credentials(&self) -> Result<Credentials, String> {
        let soon = request::wall_clock() + BEFORE_END;
        let known = locked(&self.credentials).clone();
        if let Some(known) = known.filter(|known| known.expiry().is_none_or(|end| end > soon)) {
            return Ok(known);
        }
        let provider = self.sdk().await.credentials_provider();
        let provider = provider.ok_or("the AWS SDK finds no credentials")?;
        let new = provider.provide_credentials().await;
        let new = new.map_err(|error| format!("the AWS SDK finds no credentials: {error}"))?;
        *locked(&self.credentials) = Some(new.clone());
        Ok(new)
    }
}

impl ObjectStore for S3Objects {
    fn get(&self, pointers: Vec<Pointer>) -> BoxFuture<'_, Vec<Result<Vec<u8>, String>>> {
        let unread = || Err("the object could not be read: its reader has ended".to_owned());
        let mut all: Vec<Result<Vec<u8>, String>> = pointers.iter().map(|_| unread()).collect();
        Box::pin(async move {
            let mut asked = tokio::task::JoinSet::new();
            for (place, pointer) in pointers.into_iter().enumerate() {
                let objects = self.0.clone();
                asked.spawn(async move { (place, objects.get(&pointer).await) });
            }
            while let Some(one) = asked.join_next().await {
                if let Ok((place, result)) = one
                    && let Some(slot) = all.get_mut(place)
                {
                    *slot = result;
                }
            }
            all
        })
    }

    fn delete(&self, pointer: Pointer) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.0.delete(&pointer).await })
    }

    fn trouble(&self) -> Option<String> {
        locked(&self.0.trouble).clone()
    }

    fn counted(&self) -> Counted {
        let counted = |name, counter: &AtomicU64| (name, counter.load(Ordering::Relaxed));
        let Objects { read, deleted, waits, .. } = &*self.0;
        vec![
            counted("objects_read", read),
            counted("objects_deleted", deleted),
            counted("object_waits", waits),
        ]
    }
}

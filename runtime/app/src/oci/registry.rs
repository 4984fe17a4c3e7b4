//! One repository of a registry, spoken to by the rules of the OCI distribution.
//!
//! A registry is not trusted: everything it says is bounded in size and in time, and bytes are believed by
//! their digest. A login goes to the registry itself and to the token server that it names, and nowhere
//! else: not along redirects, and not without TLS unless the registry is spoken to so.

use super::credentials::{self, Login};
use super::http::{Answer, Ask, agent, fallback, leads_to, place};
use super::manifest::{self, Descriptor, Document, MANIFEST_BYTES};
use super::reference::{Reference, Selector, is_digest};
use super::{Repository, challenge, clean};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pelton_host::digest;
use serde_json::Value;
use std::cell::RefCell;
use std::time::{Duration, Instant};
use ureq::http::{Request, Response, StatusCode};
use ureq::{Agent, Body};

/// For the whole of a pull or a push.
const ALL: Duration = Duration::from_secs(180);
const REDIRECTS: u32 = 5;
/// Bytes of what is said beside manifests and blobs: tokens and errors.
const WORDS: usize = 256 << 10;
/// Bytes of an error that are shown.
const SHOWN: usize = 300;

/// A repository.
pub struct Registry {
    agent: Agent,
    reference: Reference,
    login: Option<Login>,
    /// The header that the registry has asked for.
    authorization: RefCell<Option<String>>,
    actions: &'static str,
    until: Instant,
}

impl Registry {
    /// To read from.
    pub fn to_pull(reference: &Reference) -> Result<Self, String> {
        Self::open(reference, "pull")
    }

    /// To write to.
    pub fn to_push(reference: &Reference) -> Result<Self, String> {
        Self::open(reference, "pull,push")
    }

    fn open(reference: &Reference, actions: &'static str) -> Result<Self, String> {
        Ok(Self {
            agent: agent(reference.plain)?,
            login: credentials::login(credentials::file().as_deref(), &reference.registry)?,
            reference: reference.clone(),
            authorization: RefCell::default(),
            actions,
            until: Instant::now() + ALL,
        })
    }

    fn base(&self) -> String {
        let scheme = if self.reference.plain { "http" } else { "https" };
        // Docker Hub is called otherwise than it is reached.
        let host = if self.reference.registry == "docker.io" {
            "registry-1.docker.io"
        } else {
            &self.reference.registry
        };
        format!("{scheme}://{host}")
    }

    fn repository(&self) -> String {
        let name = &self.reference.name;
        let official = self.reference.registry == "docker.io" && !name.contains('/');
        if official { format!("library/{name}") } else { name.clone() }
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.base(), self.repository())
    }

    /// Asks, and once more with a login when that is asked for.
    fn ask(&self, ask: &Ask<'_>) -> Result<Answer, String> {
        let answer = self.send(ask)?;
        if answer.status != StatusCode::UNAUTHORIZED || !self.is_own(&ask.url) {
            return Ok(answer);
        }
        let wanted: Vec<&str> =
            answer.headers.get_all("www-authenticate").iter().filter_map(|h| h.to_str().ok()).collect();
        match self.authorize(&wanted)? {
            Some(authorization) if self.authorization.borrow().as_ref() != Some(&authorization) => {
                self.authorization.replace(Some(authorization));
                self.send(ask)
            }
            _ => Ok(answer),
        }
    }

    /// Asks, and goes where the answer leads; no login goes along to another place.
    fn send(&self, ask: &Ask<'_>) -> Result<Answer, String> {
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS {
            let answer = self.once(ask, &url)?;
            match leads_to(ask, &url, &answer) {
                Some(to) => url = to,
                None => return Ok(answer),
            }
        }
        Err(format!("{} leads from one place to the next without an end", self.reference.registry))
    }

    fn once(&self, ask: &Ask<'_>, url: &str) -> Result<Answer, String> {
        let mut request = Request::builder().method(ask.method).uri(url);
        let strayed = place(url) != place(&ask.url);
        for (name, value) in ask.headers.iter().filter(|(name, _)| !strayed || *name != "authorization") {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = self.authorization.borrow().as_ref().filter(|_| self.is_own(url)) {
            request = request.header("authorization", authorization);
        }
        let sent = match ask.body {
            Some(body) => {
                request.body(body).map_err(ureq::Error::Http).and_then(|request| self.run(request))
            }
            None => request.body(()).map_err(ureq::Error::Http).and_then(|request| self.run(request)),
        };
        let response = sent.map_err(|error| self.unheard(&error))?;
        let (head, body) = response.into_parts();
        // Of an answer that is not the thing itself, only words are wanted.
        let max = if head.status.is_success() { ask.max } else { WORDS };
        Ok(Answer { status: head.status, headers: head.headers, bytes: self.read(body, max)? })
    }

    fn run(&self, request: Request<impl ureq::AsSendBody>) -> Result<Response<Body>, ureq::Error> {
        let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let request = self.agent.configure_request(request).timeout_global(Some(left)).build();
        self.agent.run(request)
    }

    /// A body, never more of it than is wanted.
    fn read(&self, body: Body, max: usize) -> Result<Vec<u8>, String> {
        let limit = u64::try_from(max).unwrap_or(u64::MAX);
        body.into_with_config().limit(limit).read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                format!("{} answers with more than {max} bytes", self.reference.registry)
            }
            error => self.unheard(&error),
        })
    }

    fn unheard(&self, error: &ureq::Error) -> String {
        let registry = &self.reference.registry;
        match error {
            ureq::Error::Timeout(_) => {
                format!("{registry} does not answer in time; try again, or look whether it can be reached")
            }
            ureq::Error::RequireHttpsOnly(_) => {
                format!("{registry} leads to a place without TLS, which is not followed")
            }
            error => format!("{registry} cannot be reached: {}", clean(&error.to_string(), SHOWN)),
        }
    }

    /// Whether an address is the registry's own: only that gets the login.
    fn is_own(&self, url: &str) -> bool {
        place(url).is_some_and(|asked| Some(asked) == place(&self.base()))
    }

    /// The header that answers a challenge; none when there is nothing to answer with.
    fn authorize(&self, wanted: &[&str]) -> Result<Option<String>, String> {
        let challenges: Vec<challenge::Challenge> =
            wanted.iter().filter_map(|text| challenge::parse(text)).collect();
        if let Some(bearer) = challenges.iter().find(|one| one.scheme == "bearer") {
            return self.token(bearer).map(|token| Some(format!("Bearer {token}")));
        }
        let asks_basic = challenges.iter().any(|one| one.scheme == "basic");
        Ok(self.basic().filter(|_| asks_basic))
    }

    fn basic(&self) -> Option<String> {
        match &self.login {
            Some(Login::Password { user, password }) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            _ => None,
        }
    }

    /// Asks the token server that the registry names.
    fn token(&self, challenge: &challenge::Challenge) -> Result<String, String> {
        let registry = &self.reference.registry;
        // One that was good for something else, or is over.
        self.authorization.replace(None);
        let realm = challenge.realm.as_deref().unwrap_or_default();
        let lawful = realm.starts_with("https://") || self.reference.plain && realm.starts_with("http://");
        if !lawful {
            return Err(format!(
                "{registry} names no token server that may have a login: {:?}",
                clean(realm, SHOWN)
            ));
        }
        let scope = format!("repository:{}:{}", self.repository(), self.actions);
        let scope = challenge.scope.clone().unwrap_or(scope);
        let mut fields = vec![("scope", scope.as_str())];
        fields.extend(challenge.service.as_deref().map(|service| ("service", service)));
        let answer = match &self.login {
            Some(Login::Identity(token)) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token),
                    ("client_id", "pelton"),
                ]);
                let body = challenge::form(&fields);
                let headers = vec![("content-type", "application/x-www-form-urlencoded")];
                self.send(&Ask {
                    method: "POST",
                    url: realm.to_owned(),
                    headers,
                    body: Some(body.as_bytes()),
                    max: WORDS,
                })?
            }
            _ => {
                let and = if realm.contains('?') { '&' } else { '?' };
                let url = format!("{realm}{and}{}", challenge::form(&fields));
                let basic = self.basic();
                let headers = basic.iter().map(|basic| ("authorization", basic.as_str())).collect();
                self.send(&Ask { method: "GET", url, headers, body: None, max: WORDS })?
            }
        };
        let token: Value = if answer.status.is_success() {
            serde_json::from_slice(&answer.bytes).unwrap_or_default()
        } else {
            Value::Null
        };
        let token = token["token"].as_str().or(token["access_token"].as_str()).map(str::to_owned);
        token.ok_or_else(|| self.refused("gives no token", &answer))
    }

    /// An answer that is an error, in words.
    fn refused(&self, what: &str, answer: &Answer) -> String {
        let registry = &self.reference.registry;
        let said: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
        let said = said["errors"][0]["message"].as_str().or(said["details"].as_str()).unwrap_or_default();
        let said = if said.is_empty() { String::new() } else { format!(", {:?}", clean(said, SHOWN)) };
        let hint = match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.login.is_none() => {
                "; `docker login` leaves a login where it is looked for"
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; the login that Docker's configuration has does not do"
            }
            StatusCode::NOT_FOUND => "; correct the name, the tag or the digest",
            _ => "",
        };
        format!("{registry} {what}: it answers {}{said}{hint}", answer.status.as_u16())
    }

    /// A manifest, by the digest that its bytes have.
    fn get_manifest(&self, name: &str) -> Result<Option<(String, Vec<u8>)>, String> {
        let accept = [manifest::MANIFEST, manifest::INDEX].join(", ");
        let headers = vec![("accept", accept.as_str())];
        let url = self.url(&format!("manifests/{name}"));
        let answer = self.ask(&Ask { method: "GET", url, headers, body: None, max: MANIFEST_BYTES })?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(self.refused("does not give the manifest", &answer));
        }
        let found = digest(&answer.bytes);
        let named = answer
            .headers
            .get("docker-content-digest")
            .and_then(|d| d.to_str().ok())
            .filter(|d| is_digest(d));
        let asked = Some(name).filter(|name| is_digest(name));
        match [asked, named].into_iter().flatten().find(|wanted| *wanted != found) {
            Some(wanted) => Err(format!(
                "{} gives a manifest with the digest {found} in place of {wanted}",
                self.reference.registry
            )),
            None => Ok(Some((found, answer.bytes))),
        }
    }

    /// Writes a blob, if it is not there.
    pub fn put_blob(&self, blob: &Descriptor, bytes: &[u8]) -> Result<(), String> {
        let url = self.url(&format!("blobs/{}", blob.digest));
        let there = self.ask(&Ask { method: "HEAD", url, headers: Vec::new(), body: None, max: WORDS })?;
        if there.status.is_success() {
            return Ok(());
        }
        let url = self.url("blobs/uploads/");
        let begun =
            self.ask(&Ask { method: "POST", url, headers: Vec::new(), body: Some(b""), max: WORDS })?;
        if begun.status != StatusCode::ACCEPTED {
            return Err(self.refused("takes no upload", &begun));
        }
        let to = begun.headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
        let to = if to.starts_with('/') { format!("{}{to}", self.base()) } else { to.to_owned() };
        let and = if to.contains('?') { '&' } else { '?' };
        let url = format!("{to}{and}digest={}", blob.digest);
        let headers = vec![("content-type", "application/octet-stream")];
        let done = self.ask(&Ask { method: "PUT", url, headers, body: Some(bytes), max: WORDS })?;
        if done.status == StatusCode::CREATED {
            Ok(())
        } else {
            Err(self.refused("does not take the blob", &done))
        }
    }

    /// Writes a manifest or an index under a tag or its digest; whether the registry has seen what it
    /// refers to.
    pub fn put_manifest(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<bool, String> {
        let url = self.url(&format!("manifests/{name}"));
        let headers = vec![("content-type", media_type)];
        let done = self.ask(&Ask { method: "PUT", url, headers, body: Some(bytes), max: WORDS })?;
        if done.status != StatusCode::CREATED {
            return Err(self.refused("does not take the manifest", &done));
        }
        Ok(done.headers.contains_key("oci-subject"))
    }

    /// Notes what refers to a manifest where a registry does not do so by itself: in an index under a tag
    /// that is made of the digest.
    pub fn note_referrer(&self, subject: &str, referrer: &Descriptor) -> Result<(), String> {
        let tag = fallback(subject);
        let before = self.get_manifest(&tag)?.map(|(_, bytes)| bytes);
        let index = manifest::with(before.as_deref(), referrer).map_err(|why| format!("{tag} {why}"))?;
        self.put_manifest(&tag, manifest::INDEX, &index).map(drop)
    }
}

impl Repository for Registry {
    fn manifest(&self, selector: &Selector) -> Result<(String, Vec<u8>), String> {
        let (Selector::Tag(name) | Selector::Digest(name)) = selector else {
            return Err("names neither a tag nor a digest".to_owned());
        };
        let found = self.get_manifest(name)?;
        found.ok_or_else(|| {
            format!(
                "{} has no such manifest; correct the name, the tag or the digest, or push it first",
                self.reference.registry
            )
        })
    }

    fn blob(&self, blob: &Descriptor) -> Result<Vec<u8>, String> {
        if !is_digest(&blob.digest) {
            return Err(format!("names a blob by {:?}; only sha256 is known", clean(&blob.digest, SHOWN)));
        }
        let url = self.url(&format!("blobs/{}", blob.digest));
        let max = usize::try_from(blob.size).unwrap_or(usize::MAX);
        let answer = self.ask(&Ask { method: "GET", url, headers: Vec::new(), body: None, max })?;
        if !answer.status.is_success() {
            return Err(self.refused("does not give the blob", &answer));
        }
        blob.verified(answer.bytes).map_err(|why| format!("{} {why}", self.reference.registry))
    }

    fn referrers(&self, digest: &str) -> Result<Vec<Descriptor>, String> {
        let url = self.url(&format!(
            "referrers/{digest}?{}",
            challenge::form(&[("artifactType", manifest::SIGNATURE)])
        ));
        let headers = vec![("accept", manifest::INDEX)];
        let answer = self.ask(&Ask { method: "GET", url, headers, body: None, max: MANIFEST_BYTES })?;
        let bytes = match answer.status {
            StatusCode::NOT_FOUND => match self.get_manifest(&fallback(digest))? {
                Some((_, bytes)) => bytes,
                None => return Ok(Vec::new()),
            },
            status if status.is_success() => answer.bytes,
            _ => return Err(self.refused("does not say what refers to it", &answer)),
        };
        Ok(Document::parse(&bytes)?.manifests.unwrap_or_default())
    }
}

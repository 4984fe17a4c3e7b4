//! Who may do what: tokens, each in a file.

use super::stamp::Stamp;
use crate::config::{Given, Problem, Role, TokenFile};
use pelton_host::digest;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Bytes of a token: shorter ones can be guessed.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=4096;

/// One that holds now. Itself it is not kept, and the digest of what a client sends takes as long whatever
/// it is.
#[derive(Debug, Clone)]
struct Known {
    name: Arc<str>,
    role: Role,
    digest: String,
}

/// All that hold now.
pub struct Tokens {
    files: Vec<TokenFile>,
    known: RwLock<Vec<Known>>,
    stamps: Mutex<Vec<Stamp>>,
}

impl Tokens {
    /// Reads them. Blocks.
    pub fn open(files: &[TokenFile]) -> Result<Self, Vec<Problem>> {
        let stamps = Mutex::new(stamps(files));
        let (known, problems) = Self::read_all(files);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { files: files.to_vec(), known: RwLock::new(known), stamps })
    }

    /// How many can be used, and what is wrong with the others. Blocks.
    pub fn read(files: &[TokenFile]) -> (usize, Vec<Problem>) {
        let (known, problems) = Self::read_all(files);
        (known.len(), problems)
    }

    fn read_all(files: &[TokenFile]) -> (Vec<Known>, Vec<Problem>) {
        let (mut known, mut problems): (Vec<Known>, Vec<Problem>) = (Vec::new(), Vec::new());
        for (place, file) in files.iter().enumerate() {
            let path = || format!("admin.tokens[{place}].file");
            match read(file) {
                Ok(one) if known.iter().any(|other| other.digest == one.digest) => {
                    let what = "has the same token as another file: who uses it could not be told";
                    problems.push(Problem::new(path(), what));
                }
                Ok(one) => known.push(one),
                Err(why) => problems.push(Problem::new(path(), why)),
            }
        }
        (known, problems)
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Reads all again if one has changed. What a file does not say holds no more. Blocks.
    pub fn read_again(&self) {
        let now = stamps(&self.files);
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamps == now {
            return;
        }
        *stamps = now;
        let (known, problems) = Self::read_all(&self.files);
        let holds = known.len();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        for Problem { path, what, .. } in problems {
            tracing::warn!("{path} {what}; its token holds no more");
        }
        tracing::info!(holds, "the tokens of the API were read again");
    }

    /// Whose this is. Takes as long for every token that is none.
    pub fn find(&self, token: &[u8]) -> Option<(Arc<str>, Role)> {
        let given = digest(token);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for one in known.iter() {
            if is_equal(one.digest.as_bytes(), given.as_bytes()) {
                found = Some((one.name.clone(), one.role));
            }
        }
        found
    }
}

/// In the same time wherever they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (a, b)| black_box(differs | (a ^ b)));
    one.len() == other.len() && differs == 0
}

fn read(file: &TokenFile) -> Result<Known, String> {
    let given = Given::File { prefix: String::new(), path: file.file.clone() };
    let value = given.value(&|_| None)?;
    if let Some(warning) = value.warning {
        tracing::warn!("admin.tokens: {warning}");
    }
    let token = value.text.trim();
    let shown = file.file.display();
    if !TOKEN_BYTES.contains(&token.len()) {
        return Err(format!(
            "comes from {shown}, which has {} characters; a token has from {} to {}, such as `openssl rand \
             -hex 32` writes",
            token.len(),
            TOKEN_BYTES.start(),
            TOKEN_BYTES.end()
        ));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "comes from {shown}, which has more than one line of letters, digits and signs"
        ));
    }
    Ok(Known { name: file.name.as_str().into(), role: file.role, digest: digest(token.as_bytes()) })
}

fn stamps(files: &[TokenFile]) -> Vec<Stamp> {
    files.iter().map(|file| Stamp::of(&file.file)).collect()
}

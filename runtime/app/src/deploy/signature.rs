//! Signatures of components: Ed25519 over the digest, checked offline before anything is compiled.
//!
//! A signature is one line beside the component, in `FILE.sig`; a key is one line of its own. Both are
//! base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use pelton_host::file::{self, FileError};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a file of a key or of a signature, at most.
const LINE: usize = 1024;

/// Where the signature of a component is.
pub fn beside(component: &Path) -> PathBuf {
    with(component, ".sig")
}

/// A name with one more ending.
fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The signature beside a component, if there is one. Where one is `required`, `Err` says why what is
/// there cannot be read; else that is said in the log.
pub fn of(component: &Path, required: bool) -> Result<Option<String>, String> {
    let file = beside(component);
    match line(&file) {
        Ok(line) => Ok(Some(line)),
        Err(FileError::Missing) => Ok(None),
        Err(why) if required => {
            Err(format!("has a signature that cannot be used: {} {why}", file.display()))
        }
        Err(why) => {
            tracing::warn!("{} {why}: no signature is kept with the component", file.display());
            Ok(None)
        }
    }
}

/// Whether one of the keys has signed this digest; all is well when no key is asked for. `Err` goes on
/// where the component's name stops.
pub fn check(keys: &[PathBuf], digest: &str, signature: Option<&str>) -> Result<(), String> {
    if keys.is_empty() {
        return Ok(());
    }
    let Some(signature) = signature else {
        return Err(
            "is not signed, and `require_signature` asks for it; `pelton sign` writes FILE.sig".to_owned()
        );
    };
    let bytes: Option<[u8; 64]> = STANDARD.decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
    let Some(bytes) = bytes else {
        return Err("has a signature that is none; `pelton sign` writes FILE.sig".to_owned());
    };
    let signature = Signature::from_bytes(&bytes);
    for key in keys {
        if public(key)?.verify_strict(digest.as_bytes(), &signature).is_ok() {
            return Ok(());
        }
    }
    Err("was signed by none of the keys in `require_signature`, or for another file; sign it again"
        .to_owned())
}

/// Signs a digest with the key in a file.
pub fn sign(key: &Path, digest: &str) -> Result<String, String> {
    let seed = decoded(key, "a private key; `pelton keygen` makes one")?;
    Ok(STANDARD.encode(SigningKey::from_bytes(&seed).sign(digest.as_bytes()).to_bytes()))
}

/// Makes a key: `NAME.key`, for its owner alone, and `NAME.pub`. Files that are there stay.
pub fn keygen(name: &Path) -> Result<(PathBuf, PathBuf), String> {
    let mut seed = [0; 32];
    let random = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut seed));
    random.map_err(|error| format!("the system gives no random numbers: {error}"))?;
    let files = (with(name, ".key"), with(name, ".pub"));
    write_new(&files.0, 0o600, &STANDARD.encode(seed))?;
    let public = SigningKey::from_bytes(&seed).verifying_key();
    write_new(&files.1, 0o644, &STANDARD.encode(public.to_bytes()))?;
    Ok(files)
}

fn public(file: &Path) -> Result<VerifyingKey, String> {
    let bytes = decoded(file, "a public key; `pelton keygen` makes one")?;
    let key = VerifyingKey::from_bytes(&bytes).ok();
    let key = key.ok_or_else(|| format!("cannot be checked: {} is no public key", file.display()))?;
    if key.is_weak() {
        return Err(format!(
            "cannot be checked: {} is a key of small order, for which anybody can make signatures; `pelton \
             keygen` makes a sound one",
            file.display()
        ));
    }
    Ok(key)
}

fn decoded(file: &Path, wanted: &str) -> Result<[u8; 32], String> {
    let shown = file.display();
    let line = line(file).map_err(|why| format!("cannot be checked or signed: {shown} {why}"))?;
    let bytes = STANDARD.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("cannot be checked or signed: {shown} is not {wanted}"))
}

fn line(file: &Path) -> Result<String, FileError> {
    file::text(file, LINE).map(|text| text.trim().to_owned())
}

fn write_new(file: &Path, mode: u32, line: &str) -> Result<(), String> {
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    made.and_then(|mut made| writeln!(made, "{line}"))
        .map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// With such a key a signature of nothing but a point of small order holds for every digest.
    #[test]
    fn a_key_of_small_order_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weak.pub");
        let forged = STANDARD.encode([&[1][..], &[0; 63]].concat());
        let orders =
            [[&[1][..], &[0; 31]].concat(), vec![0; 32], [&[0xec][..], &[0xff; 30], &[0x7f]].concat()];
        for key in orders {
            std::fs::write(&file, STANDARD.encode(&key)).unwrap();
            let said = check(std::slice::from_ref(&file), "sha256:aa", Some(&forged)).unwrap_err();
            assert!(said.contains("small order"), "{key:?}: {said}");
        }
    }

    #[test]
    fn a_signature_is_for_one_digest_by_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let (key, public) = keygen(&dir.path().join("ci")).unwrap();
        let (_, other) = keygen(&dir.path().join("other")).unwrap();
        assert!(keygen(&dir.path().join("ci")).is_err(), "a key is never written over");
        let signature = sign(&key, "sha256:aa").unwrap();
        let keys = [public];
        assert_eq!(check(&[other.clone(), keys[0].clone()], "sha256:aa", Some(&signature)), Ok(()));
        assert!(check(&keys, "sha256:ab", Some(&signature)).is_err());
        assert!(check(&[other], "sha256:aa", Some(&signature)).unwrap_err().contains("none of the keys"));
        assert!(check(&keys, "sha256:aa", None).unwrap_err().contains("not signed"));
        assert!(check(&keys, "sha256:aa", Some("x")).unwrap_err().contains("that is none"));
        assert!(sign(&dir.path().join("ci.pub"), "sha256:aa").is_ok(), "32 bytes are 32 bytes");
    }
}

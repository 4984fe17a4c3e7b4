//! Looks at the components' files, and deploys what has changed.
//!
//! By size and times, twice a second: that sees renames, copies and edits in place on every file system,
//! and a file is taken only when two looks in a row find it the same, and still the same after it was read.
//! What is refused is said once; what could not be looked at for lack of room or time is tried again, ever
//! later. Links, folders and pipes are not followed: a file that was put there by whoever builds is what is
//! meant.

use super::fetch;
use super::rollout::{Deployed, Deployer, Order, Target, deploy, note_configured};
use super::signature;
use crate::config::Reload;
use pelton_core::shown::file_kind;
use pelton_host::file::{FileError, Links, Regular};
use pelton_host::{Cause, digest};
use std::collections::{BTreeSet, HashMap};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// So many looks in a row that find it changed are worth a word.
const RESTLESS: u32 = 120;

/// What tells one content of a path from the next.
type Sign = (u64, u64, u64, i64, i64, i64, i64);

/// Of a component, and of its signature if there is one.
type Signs = (Sign, Option<Sign>);

/// A file that was kept from being taken is tried again after so many times as long as the try took, so that
/// what takes long is a small part of the work; and at least, and at most, after so long.
const RETRY_FACTOR: u32 = 10;
const RETRY_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// What was seen of one path.
#[derive(Debug, Default, PartialEq, Eq)]
struct Watched {
    last: Option<Signs>,
    taken: Option<Signs>,
    /// Looks in a row that found it changed.
    changed: u32,
    /// What is wrong with it, as it was said.
    trouble: Option<String>,
    /// When it is tried again, and how long that was waited for.
    again: Option<(Instant, Duration)>,
    /// The pipelines of which it was reported that it is tried again.
    reported: BTreeSet<String>,
}

/// What one look comes to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Nothing new, or not settled yet.
    Wait,
    /// It is settled, and was not taken.
    Read(Signs),
    /// It cannot be taken, and that was not reported yet.
    Report(String),
}

/// The watched paths of the pipelines, with what was seen of each.
type WatchedFiles = HashMap<PathBuf, Watched>;

/// A path, the pipelines that run it, and what a look at it came to.
type News = (PathBuf, Vec<Arc<Target>>, Look);

/// Watches until it is aborted. Files are touched on threads that may wait: on a file system that does not
/// answer, this alone stands still. `targets` are those of the pipelines that run.
pub async fn watch(deployer: Deployer, targets: impl Fn() -> Vec<Arc<Target>>) {
    let mut files = WatchedFiles::new();
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let targets = targets();
        let looked = tokio::task::spawn_blocking(move || look_at_all(targets, files)).await;
        let news;
        // An error: the runtime ends.
        (files, news) = looked.unwrap_or_default();
        for (path, targets, look) in news {
            match look {
                Look::Wait => {}
                Look::Report(what) => report(&path, &targets, &what),
                Look::Read(signs) => {
                    let watched = files.entry(path.clone()).or_default();
                    read_and_take(&deployer, watched, (path, targets), signs).await;
                }
            }
        }
    }
}

/// Looks once at every path that a pipeline wants to be watched. Blocks.
fn look_at_all(targets: Vec<Arc<Target>>, mut files: WatchedFiles) -> (WatchedFiles, Vec<News>) {
    let mut paths: HashMap<PathBuf, Vec<Arc<Target>>> = HashMap::new();
    for target in targets {
        let handler = &target.handler;
        if handler.reload != Reload::Watch {
            continue;
        }
        if let Some(path) = fetch::watched(&handler.component).map(Path::to_owned) {
            paths.entry(path).or_default().push(target);
        }
    }
    files.retain(|path, _| paths.contains_key(path));
    let look = |(path, targets): (PathBuf, Vec<Arc<Target>>)| {
        let watched = files.entry(path.clone()).or_default();
        let look = watched.look(std::fs::symlink_metadata(&path), signed(&path));
        (path, targets, look)
    };
    let news = paths.into_iter().map(look).collect();
    (files, news)
}

fn report(path: &Path, targets: &[Arc<Target>], what: &str) {
    let names: Vec<&str> = targets.iter().map(|target| &*target.pipeline).collect();
    tracing::warn!(pipelines = names.join(", "), "{} {what}: the running version goes on", path.display());
}

/// Reads a file that has settled, and deploys it. What cannot be read is said once, and tried again.
async fn read_and_take(
    deployer: &Deployer,
    watched: &mut Watched,
    (path, targets): (PathBuf, Vec<Arc<Target>>),
    signs: Signs,
) {
    let (from, max) = (path.clone(), deployer.max_component_bytes);
    let read = tokio::task::spawn_blocking(move || read(&from, signs.0, max)).await;
    match read {
        Ok(Ok(Some(bytes))) => {
            watched.taken = Some(signs);
            let begun = Instant::now();
            let kept = take(deployer, (&path, &mut watched.reported), &targets, bytes).await;
            watched.try_again(kept, begun.elapsed());
        }
        Ok(Err(error)) if watched.is_news(&error) => report(&path, &targets, &remedy(&error)),
        // It has changed since it was looked at, or all was said.
        _ => {}
    }
}

fn remedy(error: &FileError) -> String {
    match error {
        FileError::Unreadable(why) if why.kind() == ErrorKind::PermissionDenied => {
            format!("{error}; make it readable for the user that runs the worker")
        }
        FileError::TooLarge { .. } => format!("{error}; raise `max_component_bytes` if it is a component"),
        _ => error.to_string(),
    }
}

/// Deploys a file to the pipelines that have not seen it. True when one of them was kept from looking at it.
async fn take(
    deployer: &Deployer,
    (path, reported): (&Path, &mut BTreeSet<String>),
    targets: &[Arc<Target>],
    bytes: Vec<u8>,
) -> bool {
    let found = digest(&bytes);
    let mut kept = false;
    for target in targets.iter().filter(|target| target.catalog.state().configured.as_ref() != Some(&found))
    {
        let pipeline = &target.pipeline;
        let (of, from, digest) = (target.clone(), path.to_owned(), found.clone());
        let signed = tokio::task::spawn_blocking(move || {
            let keys = &of.handler.keys;
            let signature = signature::of(&from, !keys.is_empty())?;
            signature::check(keys, &digest, signature.as_deref()).map(|()| signature)
        });
        let signature = match signed.await.unwrap_or_else(|ended| Err(ended.to_string())) {
            Ok(signature) => signature,
            Err(why) => {
                // Not looked at yet, then: the signature may follow.
                let path = path.display();
                tracing::warn!(%pipeline, handler = found, "{path} {why}: the running version goes on");
                continue;
            }
        };
        let order = Order {
            bytes: bytes.clone(),
            signature,
            origin: path.display().to_string(),
            plan: target.handler.rollout,
            back: false,
            again: false,
        };
        let cause = match deploy(deployer, target, order).await {
            Ok(Deployed::Unchanged | Deployed::Swapped | Deployed::Trying(..)) => Cause::Bytes,
            Err(refused) => {
                let again = refused.cause == Cause::Moment;
                if !again || reported.insert(pipeline.clone()) {
                    let then = if again { ", and it is tried again" } else { "" };
                    tracing::warn!(%pipeline, handler = found, "{} {refused}: the running version goes \
                        on{then}", path.display());
                }
                refused.cause
            }
        };
        kept |= cause == Cause::Moment;
        if cause == Cause::Bytes {
            note_configured(target, found.clone(), None).await;
        }
    }
    kept
}

impl Watched {
    fn look(&mut self, found: std::io::Result<Metadata>, signed: Option<Sign>) -> Look {
        let signs = match &found {
            Ok(file) if file.is_file() => (sign(file), signed),
            other => return self.trouble(what_instead(other)),
        };
        if self.last != Some(signs) {
            self.trouble = None;
            self.again = None;
            self.reported.clear();
        }
        if self.taken == Some(signs) {
            let due = self.again.is_some_and(|(at, _)| at <= Instant::now());
            return if due { Look::Read(signs) } else { Look::Wait };
        }
        if self.last.replace(signs) == Some(signs) {
            self.changed = 0;
            return Look::Read(signs);
        }
        self.changed = self.changed.saturating_add(1);
        if self.changed == RESTLESS {
            let seconds = (POLL_INTERVAL * RESTLESS).as_secs();
            return Look::Report(format!(
                "has been changing for {seconds} s, and is taken when it is left alone"
            ));
        }
        Look::Wait
    }

    /// After a try that took so long: whether there is another, and when. Each is waited for longer.
    fn try_again(&mut self, kept: bool, took: Duration) {
        let waited = self.again.map_or(Duration::ZERO, |(_, waited)| waited);
        let wait =
            (took * RETRY_FACTOR).max(waited * 2).clamp(*RETRY_INTERVAL.start(), *RETRY_INTERVAL.end());
        self.again = kept.then(|| (Instant::now() + wait, wait));
    }

    /// Whether this error was not met before, at the same file.
    fn is_news(&mut self, error: &FileError) -> bool {
        let error = error.to_string();
        self.trouble.replace(error.clone()) != Some(error)
    }

    /// Said when two looks find it: between a removal and a rename there is nothing, for a moment.
    fn trouble(&mut self, what: String) -> Look {
        let first = self.last.take().is_some();
        if first || self.trouble.as_ref() == Some(&what) {
            return Look::Wait;
        }
        self.trouble = Some(what.clone());
        Look::Report(what)
    }
}

/// The signature beside a component, as it is now.
fn signed(path: &Path) -> Option<Sign> {
    std::fs::symlink_metadata(signature::beside(path)).ok().map(|file| sign(&file))
}

fn sign(file: &Metadata) -> Sign {
    (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec())
}

fn what_instead(found: &std::io::Result<Metadata>) -> String {
    match found {
        Ok(file) if file.is_symlink() => {
            "is a link, which is not followed while the worker runs: when it leads to a new component \
             (as a mounted ConfigMap does), `pelton reload` takes that; or put the file itself there"
                .to_owned()
        }
        Ok(file) => format!("is {}; put the component there", file_kind(file.file_type())),
        Err(error) => format!("cannot be looked at: {error}"),
    }
}

/// The bytes, if it is still the file that was looked at, before and after.
fn read(path: &Path, wanted: Sign, max: usize) -> Result<Option<Vec<u8>>, FileError> {
    let mut file = Regular::open(path, Links::Refused)?;
    if sign(file.found()) != wanted {
        return Ok(None);
    }
    let bytes = file.read(max)?;
    Ok((sign(&file.now()?) == wanted).then_some(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_read_when_it_has_settled_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        let look = |watched: &mut Watched| watched.look(std::fs::symlink_metadata(&path), None);
        let mut watched = Watched::default();
        std::fs::write(&path, "a").unwrap();
        assert_eq!(look(&mut watched), Look::Wait);
        std::fs::write(&path, "ab").unwrap();
        assert_eq!(look(&mut watched), Look::Wait, "it is being written");
        let Look::Read(settled) = look(&mut watched) else { panic!("it has settled") };
        assert_eq!(read(&path, settled.0, 10).unwrap().unwrap(), b"ab");
        watched.taken = Some(settled);
        assert_eq!(look(&mut watched), Look::Wait);
        std::fs::write(&path, "cd").unwrap();
        assert_eq!(read(&path, settled.0, 10).unwrap(), None, "it has changed since");
        assert_eq!(look(&mut watched), Look::Wait);
        assert!(matches!(look(&mut watched), Look::Read(_)));
    }

    #[test]
    fn what_never_settles_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut watched = Watched::default();
        let mut reports = Vec::new();
        for _ in 0..2 * RESTLESS {
            std::io::Write::write_all(&mut file, b"more").unwrap();
            match watched.look(std::fs::symlink_metadata(&path), None) {
                Look::Wait => {}
                Look::Report(what) => reports.push(what),
                Look::Read(_) => panic!("it has not settled"),
            }
        }
        assert!(reports.len() == 1 && reports[0].contains("changing for 60 s"), "{reports:?}");
        assert_eq!(watched.look(std::fs::symlink_metadata(&path), None), Look::Read(watched.last.unwrap()));
    }

    #[test]
    fn what_cannot_be_read_is_said_once_for_each_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        let look = |watched: &mut Watched| watched.look(std::fs::symlink_metadata(&path), None);
        let denied = FileError::Unreadable(ErrorKind::PermissionDenied.into());
        let mut watched = Watched::default();
        std::fs::write(&path, "a").unwrap();
        look(&mut watched);
        assert!(matches!(look(&mut watched), Look::Read(_)));
        assert!(watched.is_news(&denied));
        assert!(matches!(look(&mut watched), Look::Read(_)), "it is tried again");
        assert!(!watched.is_news(&denied));
        std::fs::write(&path, "ab").unwrap();
        assert_eq!(look(&mut watched), Look::Wait);
        assert!(watched.is_news(&denied));
    }

    #[test]
    fn what_was_kept_from_being_taken_is_tried_again_ever_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        let look = |watched: &mut Watched| watched.look(std::fs::symlink_metadata(&path), None);
        let mut watched = Watched::default();
        std::fs::write(&path, "a").unwrap();
        look(&mut watched);
        let Look::Read(signs) = look(&mut watched) else { panic!("it has settled") };
        watched.taken = Some(signs);
        let waits = [100, 100, 100_000, 1].map(|ms| {
            watched.try_again(true, Duration::from_millis(ms));
            assert_eq!(look(&mut watched), Look::Wait, "it is not time yet");
            watched.again.unwrap().1
        });
        assert_eq!(waits.map(|wait| wait.as_secs()), [1, 2, 600, 600]);
        watched.again = Some((Instant::now(), Duration::ZERO));
        assert_eq!(look(&mut watched), Look::Read(signs));
        watched.try_again(false, Duration::ZERO);
        assert_eq!(look(&mut watched), Look::Wait, "it was taken, or refused for good");
    }

    #[test]
    fn what_is_no_file_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        let look = |watched: &mut Watched| watched.look(std::fs::symlink_metadata(&path), None);
        let mut watched = Watched::default();
        std::fs::write(&path, "a").unwrap();
        look(&mut watched);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path(), &path).unwrap();
        assert_eq!(look(&mut watched), Look::Wait);
        let Look::Report(what) = look(&mut watched) else { panic!("it is a link") };
        assert!(what.contains("link"), "{what}");
        assert_eq!(look(&mut watched), Look::Wait);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let Look::Report(what) = look(&mut watched) else { panic!("it is a folder") };
        assert!(what.contains("folder"), "{what}");
    }
}

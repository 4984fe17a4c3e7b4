//! Panics that end one pipeline, and not the process.
//!
//! What belongs to one pipeline (its task, the calls of its ports, the threads and tasks of its source)
//! runs contained: a panic in it is caught, keeps the place where it stood, and is handed to the pipeline,
//! which ends. Whatever panics outside of this concerns all, and ends the process; but for tasks that a
//! library has begun. The binary's panic hook asks [`note`] which of the two it is.

use crate::shown::{self, Keep};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;

thread_local! {
    /// How many containments this thread is in.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    /// Where in the source the panic is that is on its way to one of them.
    static LINE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    what: String,
    line: Option<String>,
    places: Vec<String>,
}

impl Panicked {
    /// What `catch_unwind` gives.
    #[must_use]
    pub fn of(payload: Box<dyn Any + Send>) -> Self {
        let line = LINE.take();
        let what = match payload.downcast::<Self>() {
            // It comes from an inner containment, or from another thread.
            Ok(inner) => return *inner,
            Err(other) => words(&*other),
        };
        Self { what, line, places: Vec::new() }
    }

    /// The same, with what was being done, or on what: from the inside out.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.places.push(place.into());
        self
    }

    /// Goes on with the panic, here: in another thread than the one that it happened in, maybe.
    pub fn resume(self) -> ! {
        resume_unwind(Box::new(self))
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an internal fault of Pelton")?;
        // Both may have words from outside in them.
        for place in &self.places {
            f.write_str(", at ")?;
            shown::write(f, place.as_bytes(), Keep::Nothing)?;
        }
        f.write_str(": ")?;
        shown::write(f, self.what.as_bytes(), Keep::Nothing)?;
        self.line.iter().try_for_each(|line| write!(f, " ({line})"))
    }
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Whether this thread is inside of a containment, which may be ending by a panic already.
#[must_use]
pub fn is_inside() -> bool {
    INSIDE.get() > 0
}

/// For the panic hook: whether this thread is inside of a containment, which will catch the panic at
/// `line`. False too for a panic within a panic, which nothing can catch.
#[must_use]
pub fn note(line: Option<String>) -> bool {
    if INSIDE.get() == 0 || LINE.with_borrow(Option::is_some) {
        return false;
    }
    LINE.set(Some(line.unwrap_or_else(|| "somewhere".to_owned())));
    true
}

/// Counts this thread as inside, until it is dropped.
struct Inside;

impl Inside {
    fn enter() -> Self {
        if INSIDE.get() == 0 {
            LINE.set(None);
        }
        INSIDE.set(INSIDE.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

/// Does `work`; its panic is an error.
///
/// # Errors
/// It panicked.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let inside = Inside::enter();
    let done = catch_unwind(AssertUnwindSafe(work));
    drop(inside);
    done.map_err(Panicked::of)
}

/// As [`contain`], for a future.
///
/// # Errors
/// It panicked.
pub async fn contained<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| match contain(|| future.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// Does `work`; a panic in it goes on with the place where it stood. `place` is asked for only then, so this
/// costs next to nothing for each message.
pub fn standing_at<T>(place: impl FnOnce() -> String, work: impl FnOnce() -> T) -> T {
    contain(work).unwrap_or_else(|panicked| panicked.at(place()).resume())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_keeps_its_places_from_the_inside_out() {
        let caught = contain(|| standing_at(|| "orders/3:17".to_owned(), || -> u8 { panic!("oh {}", 1) }));
        let text = caught.map_err(|panicked| panicked.at("the poll").to_string());
        let text = text.expect_err("it panics");
        assert!(
            text.starts_with("an internal fault of Pelton, at orders/3:17, at the poll: oh 1"),
            "{text}"
        );
        assert_eq!(contain(|| 1), Ok(1));
    }

    #[test]
    fn only_what_is_contained_is_noted_and_only_once() {
        assert!(!note(None));
        let inside = Inside::enter();
        assert!(note(Some("a.rs:1".to_owned())));
        assert!(!note(None), "a panic within a panic");
        drop(inside);
        assert!(!note(None));
        assert_eq!(contain(|| note(None)), Ok(true), "what was before is over");
    }

    #[test]
    fn it_goes_on_in_another_thread() {
        let there = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new();
            let asked = thread.spawn_scoped(scope, || contain(|| -> () { panic!("there") }));
            asked.expect("a thread").join().expect("it is contained")
        });
        let here = contain(|| there.clone().unwrap_or_else(|panicked| panicked.resume()));
        assert_eq!(here, there);
    }
}

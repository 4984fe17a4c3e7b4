//! What a program that gave up said was wrong, of all that it printed: the words of its panic, not the frames
//! or the advice around them.

/// What stands between what became of a handler and what it said, in the reason of a failure.
pub const LEAD: &str = "; its last words: ";

/// Where a language's runtime begins to say why it gives up, as Go does.
const BEGINS: [&str; 2] = ["panic: ", "fatal error: "];
/// In the first line of a panic of Rust. What was said follows the place, on this line or the next ones.
const PANICKED: &str = "panicked at ";

/// The words, on one line. Without any that are known, the last line that is not empty.
#[must_use]
pub fn last_words(printed: &str) -> String {
    let is_told = |line: &&str| !line.is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE");
    let lines: Vec<&str> = printed.lines().map(str::trim).filter(is_told).collect();
    if let Some(at) = lines.iter().rposition(|line| line.contains(PANICKED)) {
        let said = lines[at..].iter().take_while(|line| **line != "stack backtrace:");
        return said.copied().collect::<Vec<_>>().join(" ");
    }
    let begins = lines.iter().find(|line| BEGINS.iter().any(|begin| line.starts_with(begin)));
    begins.or(lines.last()).copied().unwrap_or_default().to_owned()
}

/// What tells most of the reason of a failure, where there is room for so many characters of it.
#[must_use]
pub fn gist(reason: &str, max: usize) -> String {
    let (first, rest) = reason.split_once('\n').unwrap_or((reason, ""));
    let fits = |text: &str| text.chars().nth(max).is_none();
    let words = match first.split_once(LEAD) {
        // What it printed stands below.
        _ if first.ends_with(':') && !rest.trim().is_empty() => last_words(rest),
        Some((_, said)) if !fits(first) => said.to_owned(),
        _ => first.to_owned(),
    };
    if fits(&words) {
        return words;
    }
    // The place of a panic is the same for all of its kind, and may be long.
    let said = words.split_once(PANICKED).and_then(|(_, said)| said.split_once(": "));
    let words = said.map_or(words.clone(), |(_, said)| format!("panicked: {said}"));
    let cut: String = words.chars().take(max).collect();
    if fits(&words) { words } else { cut + "..." }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_panic_are_found_among_frames_and_advice() {
        let rust = "\nthread 'main' (1) panicked at src/main.rs:2:5:\nasked to\n trap\nnote: run with \
            `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(last_words(rust), "thread 'main' (1) panicked at src/main.rs:2:5: asked to trap");
        let compared =
            "before\npanicked at lib.rs:1:1: assertion `left == right` failed\n  left: 1\n right: 2";
        let wanted = "panicked at lib.rs:1:1: assertion `left == right` failed left: 1 right: 2";
        assert_eq!(last_words(compared), wanted);
        let go = "taken\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/tmp/main.go:7 +0x2\n";
        assert_eq!(last_words(go), "panic: boom");
        let python = "Traceback (most recent call last):\n  File \"a.py\", line 1\nValueError: no\n\n";
        assert_eq!((last_words(python).as_str(), last_words("").as_str()), ("ValueError: no", ""));
    }

    #[test]
    fn a_gist_is_what_was_said_when_there_is_not_room_for_all() {
        let trap = "wasm trap: wasm `unreachable` instruction executed";
        let of = |said: &str| gist(&format!("{trap}{LEAD}{said}\n  0: abort"), 80);
        assert_eq!(
            of("panicked at src/lib.rs:26:19: no rate for EUR"),
            "panicked at src/lib.rs:26:19: no rate for EUR"
        );
        let place = "/registry/src/index-0a1b2c3d4e5f6a7b/money-1.2.3/src/rates/table.rs:26:19";
        assert_eq!(of(&format!("panicked at {place}: no rate for EUR")), "panicked: no rate for EUR");
        assert_eq!(gist(trap, 80), trap);
        assert_eq!(gist(&format!("{trap}{LEAD}x"), 100), format!("{trap}{LEAD}x"));
        let ended =
            "the worker ended with exit code 2 before it answered:\npanic: boom\n\ngoroutine 1:\nmain()";
        assert_eq!(gist(ended, 80), "panic: boom");
        assert_eq!((gist("abcdef", 3), gist("abc\n", 3)), ("abc...".to_owned(), "abc".to_owned()));
    }
}

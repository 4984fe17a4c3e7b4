//! Answers the requests of a handler as a case says, and notes what nobody expected.

use super::body;
use super::http::Expected;
use pelton_core::shown::shown;
use pelton_host::{HttpAnswer, HttpError, HttpRequest, HttpScript};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the host asks while a case runs. One case at a time.
#[derive(Debug, Default)]
pub struct Script(Mutex<Progress>);

/// Message, method and address: the requests of a message with these are counted, and have the same key each
/// time it is handled.
type Same = (String, String, String);

#[derive(Debug, Default)]
struct Progress {
    /// With how often each is expected still.
    expected: Vec<(Expected, u32)>,
    /// Headers that carry an idempotency key.
    key_headers: Vec<String>,
    /// How many have been made since the delivery began.
    made: BTreeMap<Same, usize>,
    /// The keys that they had, in all deliveries.
    keys: BTreeMap<(Same, usize), Vec<u8>>,
    problems: Vec<String>,
}

impl Script {
    /// Begins a case. `key_headers` are what carries idempotency keys, in lower case.
    pub fn begin(&self, expected: &[Expected], key_headers: Vec<String>) {
        let expected = expected.iter().map(|one| (one.clone(), one.times)).collect();
        *self.progress() = Progress { expected, key_headers, ..Progress::default() };
    }

    /// Begins the next delivery of the case.
    pub fn next_delivery(&self) {
        self.progress().made.clear();
    }

    /// What is wrong: what nobody expected, and then what did not come.
    pub fn problems(&self) -> Vec<String> {
        let progress = std::mem::take(&mut *self.progress());
        let absent = progress.expected.iter().filter_map(absent);
        progress.problems.into_iter().chain(absent).collect()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpScript for Script {
    /// That of the first that expects it and has not had it.
    fn answer(&self, request: &HttpRequest) -> HttpAnswer {
        let mut progress = self.progress();
        progress.note_key(request);
        let fits = |(one, left): &&mut (Expected, u32)| {
            *left > 0 && one.is_to(request) && one.missing_in(request).is_none()
        };
        if let Some((one, left)) = progress.expected.iter_mut().find(fits) {
            *left -= 1;
            return one.answer.clone();
        }
        let problem = progress.unexpected(request);
        progress.problems.push(problem);
        let words = "no [[case.http]] expects it".to_owned();
        let end = Err(HttpError { code: "HTTP-request-denied".to_owned(), words });
        HttpAnswer { delay: Duration::ZERO, end }
    }

    fn denied(&self, place: &str, why: &str) {
        let problem =
            format!("wanted  requests that may be sent\ngot     one to {}: {}", shown(place), shown(why));
        self.progress().problems.push(problem);
    }
}

impl Progress {
    /// A message that is handled again sends the same key: otherwise a server would do it twice.
    fn note_key(&mut self, request: &HttpRequest) {
        let Some(message) = &request.message else { return };
        let same = (message.clone(), request.method.clone(), request.url.clone());
        let count = self.made.entry(same.clone()).or_default();
        let place = (same, *count);
        *count += 1;
        let is_key = |(name, _): &&(String, Vec<u8>)| self.key_headers.iter().any(|key| key == name);
        let Some((name, key)) = request.headers.iter().find(is_key) else { return };
        let before = self.keys.entry(place).or_insert_with(|| key.clone());
        if before != key {
            let HttpRequest { method, url, .. } = request;
            self.problems.push(format!(
                "wanted  the same {} each time the message is handled: {}\ngot     {}: {} {}",
                shown(name),
                shown(before),
                shown(key),
                shown(method),
                shown(url)
            ));
        }
    }

    fn unexpected(&self, asked: &HttpRequest) -> String {
        let HttpRequest { method, url, body, .. } = asked;
        let mut lines = vec![self.nearest(asked), format!("got     {} {}", shown(method), shown(url))];
        lines.extend(body::lines(body).into_iter().map(|line| format!("        {line}")));
        lines.push("to expect it, write:".to_owned());
        lines.extend(toml_lines(asked).into_iter().map(|line| format!("        {line}")));
        lines.join("\n")
    }

    /// What was wanted instead.
    fn nearest(&self, asked: &HttpRequest) -> String {
        let mut to_there = self.expected.iter().filter(|(one, _)| one.is_to(asked));
        match to_there.clone().find_map(|(one, left)| one.missing_in(asked).filter(|_| *left > 0)) {
            Some(missing) => format!("wanted  this request with {missing}"),
            None if to_there.next().is_some() => "wanted  this request fewer times".to_owned(),
            None => "wanted  no such request".to_owned(),
        }
    }
}

fn absent((one, left): &(Expected, u32)) -> Option<String> {
    match (one.times, *left) {
        (_, 0) => None,
        (1, _) => Some(format!("wanted  the request {}\ngot     none that fits", one.words())),
        (times, left) => {
            let got = times - left;
            Some(format!("wanted  the request {}, {times} times\ngot     {got} that fit", one.words()))
        }
    }
}

/// What expects a request.
fn toml_lines(asked: &HttpRequest) -> Vec<String> {
    let mut lines = vec![
        "[[case.http]]".to_owned(),
        format!("method = {}", body::quoted(&asked.method)),
        format!("url = {}", body::quoted(&asked.url)),
    ];
    lines.extend(body::toml_line(&asked.body));
    lines.push("answer = { status = 200 }".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn script(texts: &[&str]) -> Script {
        let expected = |text: &&str| {
            Expected::read(toml::from_str(text).expect(text), Path::new("/p/tests")).expect(text)
        };
        let script = Script::default();
        let expected: Vec<Expected> = texts.iter().map(expected).collect();
        script.begin(&expected, vec!["idempotency-key".to_owned()]);
        script
    }

    fn post(url: &str, body: &str) -> HttpRequest {
        HttpRequest {
            message: Some("orders:1".to_owned()),
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
            body: body.into(),
        }
    }

    fn with_key(key: &str) -> HttpRequest {
        let mut request = post("https://pay.example/charge", "");
        request.headers.push(("idempotency-key".to_owned(), key.into()));
        request
    }

    fn status_of(answer: HttpAnswer) -> Option<u16> {
        answer.end.ok().map(|response| response.status)
    }

    #[test]
    fn requests_are_answered_by_the_first_that_expects_them() {
        let script = script(&[
            "url = \"https://Pay.Example:443/charge\"\njson = { id = 2 }\nanswer = { status = 201 }",
            "method = \"post\"\nurl = \"https://pay.example/*\"\nanswer = { status = 503 }",
            "url = \"https://pay.example/charge\"\nheaders = { Content-Type = \"application/json\" }",
        ]);
        let asked = post("https://pay.example/charge", "{\"id\":2,\"more\":1}");
        let statuses: Vec<Option<u16>> = (0..4).map(|_| status_of(script.answer(&asked))).collect();
        assert_eq!(statuses, [Some(201), Some(503), Some(200), None]);
        let problems = script.problems();
        assert_eq!(problems.len(), 1);
        let begins = "wanted  this request fewer times\ngot     POST https";
        assert!(problems[0].starts_with(begins), "{problems:?}");
    }

    #[test]
    fn what_nobody_expects_is_shown_with_what_would_expect_it() {
        let script = script(&["url = \"https://pay.example/charge\"\njson = { id = 2 }"]);
        assert_eq!(status_of(script.answer(&post("https://pay.example/charge", "{\"id\":3}"))), None);
        assert_eq!(status_of(script.answer(&post("https://other.example/", "\u{1b}[2J"))), None);
        let problems = script.problems();
        assert_eq!(
            problems[0],
            "wanted  this request with a body of JSON with {\"id\":2}\n\
             got     POST https://pay.example/charge\n        {\"id\":3}\nto expect it, write:\n        \
             [[case.http]]\n        method = \"POST\"\n        url = \"https://pay.example/charge\"\n        \
             json = { id = 3 }\n        answer = { status = 200 }"
        );
        let (wanted, shown) = ("wanted  no such request", "\\x1b[2J");
        assert!(problems[1].contains(wanted) && problems[1].contains(shown), "{problems:?}");
        let absent = "wanted  the request any method https://pay.example/charge\ngot     none that fits";
        assert_eq!(problems[2], absent);
    }

    #[test]
    fn a_message_that_comes_again_has_to_send_the_keys_of_before() {
        let script = script(&["url = \"https://pay.example/charge\"\ntimes = 4"]);
        for keys in [["a", "b"], ["a", "c"]] {
            script.next_delivery();
            keys.into_iter().for_each(|key| drop(script.answer(&with_key(key))));
        }
        let problems = script.problems();
        let wanted =
            "wanted  the same idempotency-key each time the message is handled: b\ngot     c: POST";
        assert!(problems.len() == 1 && problems[0].starts_with(wanted), "{problems:?}");
    }
}

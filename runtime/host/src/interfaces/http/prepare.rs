//! A request before it goes out: whether it may, and what the host puts in.

use super::failure::{Code, Failed};
use super::key::Ordinals;
use crate::grants::Grants;
use crate::grants::http::HttpGrant;
use crate::grants::origin::Origin;
use crate::guest::text;
use crate::interfaces::call::CallInWork;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use pelton_core::ports::Work;
use pelton_core::trace;

/// By this header a request says which message it belongs to, where several are in work. It is taken out.
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("pelton-message");
/// Bytes of an address.
const URL_BYTES: usize = 64 << 10;

/// By which grant a request goes out.
pub(super) struct Way<'g> {
    pub(super) grant: &'g HttpGrant,
    /// The message that it belongs to, where that is known.
    pub(super) message: Option<String>,
}

/// Looks at a request, and makes it what goes out. `ordinals` are those of the running call.
pub(super) fn prepare<'g, B>(
    grants: &'g Grants,
    request: &mut Request<B>,
    call: Option<&CallInWork>,
    ordinals: impl FnOnce(&mut dyn FnMut(&mut Ordinals)),
) -> Result<Way<'g>, Failed> {
    let origin = origin(request.uri())?;
    let grant = granted(grants, &origin, request.method())?;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let max = grants.http_limits.max_request;
    if length.is_some_and(|length: u64| length > max) {
        return Err(super::body::too_large(max));
    }
    let call = call.ok_or_else(|| Code::Denied.says("no message is in work: the handler only starts"))?;
    let work = message(call, request.headers_mut())?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = plain(&origin, &path)?;
    request.headers_mut().remove(HOST);
    put_in(request.headers_mut(), grant)?;
    if let (Some(name), true) = (&grant.idempotency, takes_a_key(request.method())) {
        let name = header_name(name)?;
        let method = request.method().clone();
        let mut key = None;
        if let Some(work) = work
            && !request.headers().contains_key(&name)
        {
            let authority = origin.authority();
            ordinals(&mut |all| key = Some(all.next(work, method.as_str(), &authority, &path)));
        }
        identify(request.headers_mut(), name, key)?;
    }
    if let Some(work) = work {
        hand_on_trace(request.headers_mut(), work);
    }
    let message = work.map(|work| work.idempotency_key().to_string());
    Ok(Way { grant, message })
}

/// The place that an address names.
pub(super) fn origin(uri: &Uri) -> Result<Origin, Failed> {
    let wrong = |why: String| Code::UriInvalid.says(format!("the address of the request {why}"));
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong("is neither https nor http".to_owned())),
    };
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if authority.len() + path > URL_BYTES {
        return Err(wrong(format!("has more than {URL_BYTES} bytes")));
    }
    Origin::new(tls, authority).map_err(|error| wrong(error.to_string()))
}

/// The grant that lets a request through.
fn granted<'g>(grants: &'g Grants, origin: &Origin, method: &Method) -> Result<&'g HttpGrant, Failed> {
    // A tunnel would be anything, and an echo would show what the host puts in.
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(Code::MethodInvalid.says(format!("the method {method} is not sent for handlers")));
    }
    let takes = |grant: &HttpGrant| {
        grant.methods.is_empty() || grant.methods.iter().any(|one| one.as_str() == method.as_str())
    };
    if let Some(grant) = grants.http_grant(origin, takes) {
        return Ok(grant);
    }
    let method = text::clean(method.as_str(), 32);
    Err(Code::Denied.says(match grants.http_grant(origin, |_| true) {
        Some(grant) => format!(
            "its grant for {} has {}, and no {method}: add it to `methods`",
            grant.to,
            grant.methods.join(", ")
        ),
        None => format!(
            "no grant of the pipeline has {origin}: if it is meant, add `[[pipelines.NAME.grants.http]]` \
             with `to = \"{origin}\"`"
        ),
    }))
}

/// The message that a request belongs to: the one that it names, or the only one.
fn message<'c>(call: &'c CallInWork, headers: &mut HeaderMap) -> Result<Option<&'c Work>, Failed> {
    let Some(named) = headers.remove(MESSAGE) else { return Ok(call.only()) };
    let found = named.to_str().ok().and_then(|key| call.named(key));
    let none = || {
        Code::Denied.says(
            "it names a message in `pelton-message` that is not in work: give the `idempotency-key` of one \
             that the handler was called with",
        )
    };
    found.map(Some).ok_or_else(none)
}

/// The address in its plain form, so that whoever answers sees the place that was looked at.
fn plain(origin: &Origin, path: &str) -> Result<Uri, Failed> {
    let built = Uri::builder()
        .scheme(origin.scheme())
        .authority(origin.authority())
        .path_and_query(if path.is_empty() { "/" } else { path })
        .build();
    built.map_err(|error| Code::UriInvalid.says(format!("the address of the request is none: {error}")))
}

/// The grant's headers, in place of the handler's own of these names.
fn put_in(headers: &mut HeaderMap, grant: &HttpGrant) -> Result<(), Failed> {
    for (name, value) in &grant.headers {
        let name = header_name(name)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Code::Configuration.says(format!("the header `{name}` of the grant has a value that is none"))
        })?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

fn header_name(name: &str) -> Result<HeaderName, Failed> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Code::Configuration.says(format!("`{}` is no name of a header", text::clean(name, 64)))
    })
}

/// What the request causes is a part of the message's trace, unless the handler says another. Its baggage is
/// for those that the handler gives it to.
fn hand_on_trace(headers: &mut HeaderMap, work: &Work) {
    if headers.contains_key(trace::TRACEPARENT) {
        return;
    }
    let all = trace::continued(work.message.headers());
    for (name, value) in all.filter(|(name, _)| *name != trace::BAGGAGE) {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// What is not the same when it is done twice.
fn takes_a_key(method: &Method) -> bool {
    *method == Method::POST || *method == Method::PATCH
}

/// Puts the key in; what the handler has set wins, and an empty value says that it wants none.
fn identify(headers: &mut HeaderMap, name: HeaderName, key: Option<String>) -> Result<(), Failed> {
    if headers.get(&name).is_some_and(HeaderValue::is_empty) {
        headers.remove(&name);
        return Ok(());
    }
    if let Some(key) = key {
        let key = HeaderValue::try_from(key).map_err(|error| Code::Internal.says(error.to_string()))?;
        headers.insert(name, key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::grants::http::{HttpTarget, PrivateAddresses};
    use crate::testing::work;

    fn grants() -> Grants {
        let grant = |to: &str, methods: &[&str]| HttpGrant {
            to: HttpTarget::parse(to).unwrap(),
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            headers: vec![("authorization".to_owned(), "Bearer secret".to_owned())],
            idempotency: Some("Idempotency-Key".to_owned()),
            private: PrivateAddresses::Refused,
            shadow: false,
        };
        let http =
            vec![grant("https://api.example.com", &["POST", "GET"]), grant("http://*.b.example:81", &[])];
        Grants { http, ..Grants::default() }
    }

    fn asked(
        method: &str,
        url: &str,
        headers: &[(&'static str, &'static str)],
        ids: &[&str],
    ) -> Result<Request<()>, Failed> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        let chunk: Vec<Work> = ids.iter().map(|id| work(id)).collect();
        let call = CallInWork::new(chunk.into(), 0..ids.len());
        let mut all = Ordinals::default();
        prepare(&grants(), &mut request, Some(&call), |next| next(&mut all))?;
        Ok(request)
    }

    #[test]
    fn what_no_grant_has_is_denied() {
        for (method, url, code) in [
            ("POST", "https://api.example.com/v1", None),
            ("POST", "https://API.example.com.:443/v1", None),
            ("DELETE", "http://x.b.example:81/", None),
            ("DELETE", "https://api.example.com/v1", Some(Code::Denied)),
            ("POST", "http://api.example.com/v1", Some(Code::Denied)),
            ("POST", "https://api.example.com:8443/v1", Some(Code::Denied)),
            ("POST", "https://api.example.com.evil.example/v1", Some(Code::Denied)),
            ("POST", "https://api.example.com@evil.example/", Some(Code::UriInvalid)),
            ("POST", "https://user:pass@api.example.com/", Some(Code::UriInvalid)),
            ("GET", "http://b.example:81/", Some(Code::Denied)),
            ("GET", "http://2130706433/", Some(Code::UriInvalid)),
            ("CONNECT", "https://api.example.com/", Some(Code::MethodInvalid)),
            ("TRACE", "https://api.example.com/", Some(Code::MethodInvalid)),
        ] {
            assert_eq!(
                asked(method, url, &[], &["m"]).err().map(|failed| failed.code),
                code,
                "{method} {url}"
            );
        }
    }

    #[test]
    fn the_hosts_headers_replace_the_handlers_and_the_address_is_plain() {
        let own = [("authorization", "Bearer own"), ("host", "evil.example"), ("x", "y")];
        let request = asked("GET", "https://API.example.com.:443?q=1", &own, &["m"]).unwrap();
        assert_eq!(request.uri(), "https://api.example.com/?q=1");
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        assert!(!format!("{request:?}").contains("secret"), "{request:?}");
        assert!(!request.headers().contains_key("host") && request.headers().contains_key("x"));
        assert!(!request.headers().contains_key("idempotency-key"), "GET may be repeated");
    }

    #[test]
    fn a_post_has_a_key_unless_the_handler_says_otherwise() {
        const URL: &str = "https://api.example.com/v1";
        let key = |headers: &[(&'static str, &'static str)], ids: &[&str]| {
            let request = asked("POST", URL, headers, ids)?;
            assert!(!request.headers().contains_key("pelton-message"));
            let found =
                request.headers().get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
            Ok::<_, Failed>(found)
        };
        let alone = key(&[], &["m"]).unwrap().unwrap();
        assert_eq!(alone.len(), 32);
        assert_eq!(key(&[("idempotency-key", "mine")], &["m"]).unwrap().as_deref(), Some("mine"));
        assert_eq!(key(&[("idempotency-key", "")], &["m"]).unwrap(), None);
        assert_eq!(key(&[], &["l", "m"]).unwrap(), None, "whose would it be");
        assert_eq!(key(&[("pelton-message", "p:m")], &["l", "m"]).unwrap(), Some(alone));
        assert_eq!(key(&[("pelton-message", "p:x")], &["l", "m"]).unwrap_err().code, Code::Denied);
    }

    #[test]
    fn the_trace_of_the_message_goes_along_and_its_baggage_does_not() {
        use pelton_core::{Header, HeaderList, Message, Parts};
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let traced = [("Traceparent", PARENT), ("tracestate", "a=b"), ("baggage", "user=7"), ("x", "y")];
        let asked = |of_message: &[(&str, &str)], own: &[(&'static str, &'static str)]| {
            let headers: Vec<Header> = of_message.iter().map(|(n, v)| Header::new(*n, *v)).collect();
            let list: HeaderList = headers.iter().collect();
            let message = Message::new(Parts { headers: list.view(), ..work("m").message.parts() });
            let mut map = HeaderMap::new();
            own.iter().for_each(|(name, value)| drop(map.insert(*name, HeaderValue::from_static(value))));
            hand_on_trace(&mut map, &Work { message, ..work("m") });
            let mut all: Vec<String> =
                map.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
            all.sort();
            all
        };
        assert_eq!(asked(&traced, &[]), [format!("traceparent={PARENT}"), "tracestate=a=b".to_owned()]);
        assert_eq!(asked(&traced, &[("traceparent", "mine")]), ["traceparent=mine"]);
        assert_eq!(asked(&[("traceparent", "nonsense\r\nx: y")], &[]), [""; 0]);
    }
}

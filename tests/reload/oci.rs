//! Components from registries and layouts.

use crate::{in_use, refused, said, site_of, taken_by, version};
use pelton_tests::components::orders_version;
use pelton_tests::registry::{LOGIN, Registry, Reply, Stub, digest};
use pelton_tests::site::Site;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

/// A command with a folder for Docker's configuration.
fn with_login(site: &Site, docker: &Path, words: &[&str]) -> Output {
    site.command(words).env("DOCKER_CONFIG", docker).output().expect("it can be started")
}

/// A site whose component is a place; version 0 is pushed there.
fn pushed(place: &str, handler: &str) -> Site {
    let site = site_of(place, &[("handler", handler)]);
    let file = version(&site, 0);
    site.done(&["push", &file, place]);
    site
}

#[test]
fn a_tag_stays_what_it_was_until_it_is_deployed_and_needs_no_network_then() {
    let registry = Registry::start(false);
    let place = registry.place("stable");
    let site = pushed(&place, "");
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    // Another version under the same tag.
    let file = version(&site, 1);
    let said = site.done(&["push", &file, &place]);
    assert!(said.contains("@sha256:") && said.contains("is not signed"), "{said}");
    assert_eq!(said, site.done(&["push", &file, &place]), "the same file is the same artefact");
    assert!(site.done(&["reload"]).contains("nothing has changed"));
    assert_eq!(worker.kill().signal, Some(9));
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 2), 0, "it was resolved once");
    assert!(site.done(&["deploy", "orders", &place]).contains("runs this version now"));
    assert_eq!(taken_by(&site, &worker.log, 3), 1);
    // Another place than the configured one is no more than a version.
    let other = registry.place("other");
    let file = version(&site, 2);
    let exact = site.done(&["push", &file, &other]);
    let exact = exact.split_once(": ").expect("the place is named").0;
    site.done(&["deploy", "orders", exact]);
    assert_eq!(taken_by(&site, &worker.log, 4), 2);
    registry.kill();
    assert_eq!(worker.kill().signal, Some(9));
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 5), 2);
    site.done(&["rollback", "orders"]);
    assert_eq!(taken_by(&site, &worker.log, 6), 1);
    let away = refused(&site, &["deploy", "orders", &place]);
    assert!(away.contains("cannot be reached"), "{away}");
    assert_eq!(taken_by(&site, &worker.log, 7), 1);
    worker.stop();
}

#[test]
fn a_closed_registry_is_opened_by_the_login_that_docker_has() {
    let registry = Registry::start(true);
    let place = registry.place("1");
    let site = site_of(&place, &[]);
    let file = version(&site, 0);
    let nobody = site.path().join("nobody");
    let output = with_login(&site, &nobody, &["push", &file, &place]);
    assert!(said(&output).contains("docker login"), "{}", said(&output));
    let wrong = registry.login("dGVzdHM6d3Jvbmc=");
    let output = with_login(&site, &wrong, &["push", &file, &place]);
    assert!(
        said(&output).contains("the login that Docker's configuration has does not do"),
        "{}",
        said(&output)
    );
    assert_eq!(LOGIN, ("tests", "secret"));
    let docker = registry.login("dGVzdHM6c2VjcmV0");
    let output = with_login(&site, &docker, &["push", &file, &place]);
    assert!(output.status.success(), "{}", said(&output));
    let refused = with_login(&site, &nobody, &["run", "--until-empty"]);
    assert_eq!(refused.status.code(), Some(78), "{}", said(&refused));
    assert!(with_login(&site, &docker, &["run", "--until-empty"]).status.success());
    // It is here now.
    assert!(with_login(&site, &nobody, &["run", "--until-empty"]).status.success());
}

#[test]
fn tls_with_a_certificate_that_is_checked_before_a_login_is_told() {
    let registry = Registry::start_secure();
    let place = registry.place("1").replace("oci://", "oci+https://");
    let site = site_of(&place, &[]);
    let file = version(&site, 0);
    let docker = registry.login("dGVzdHM6c2VjcmV0");
    let output = with_login(&site, &docker, &["push", &file, &place]);
    assert!(!output.status.success());
    assert!(said(&output).contains("certificate"), "{}", said(&output));
    let knowing = |words: &[&str]| {
        let mut command = site.command(words);
        command.env("DOCKER_CONFIG", &docker).env("SSL_CERT_FILE", registry.certificate());
        command.output().expect("it can be started")
    };
    let pushed = knowing(&["push", &file, &place]);
    assert!(pushed.status.success(), "{}", said(&pushed));
    assert!(said(&pushed).contains("oci+https://localhost"), "{}", said(&pushed));
    let ran = knowing(&["run", "--until-empty"]);
    assert!(ran.status.success(), "{}", said(&ran));
    // Without TLS nobody answers there.
    let plain = with_login(&site, &docker, &["inspect", &registry.place("1")]);
    assert!(!plain.status.success(), "{}", said(&plain));
}

#[test]
fn a_helper_is_asked_for_the_login() {
    use std::os::unix::fs::PermissionsExt;
    let registry = Registry::start(true);
    let place = registry.place("1");
    let site = site_of(&place, &[]);
    let file = version(&site, 0);
    let bin = site.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder can be made");
    let helper = bin.join("docker-credential-tests");
    let text = format!(
        "#!/bin/sh\nread -r server\n[ \"$1 $server\" = \"get {}\" ] || {{ echo 'credentials not found in \
         native keychain'; exit 1; }}\necho '{{\"Username\":\"tests\",\"Secret\":\"secret\"}}'\n",
        registry.address
    );
    std::fs::write(&helper, text).expect("it is written");
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    std::fs::write(bin.join("config.json"), "{\"credsStore\": \"tests\"}").expect("it is written");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = site.command(&["push", &file, &place]);
    let output = command.env("DOCKER_CONFIG", &bin).env("PATH", path).output().expect("it can be started");
    assert!(output.status.success(), "{}", said(&output));
}

/// Signed and unsigned versions, in a registry that lists what refers to what, or does not.
fn signatures(place: &dyn Fn(&str) -> String) {
    let site = site_of(&place("1"), &[("handler", "require_signature = [\"ci.pub\"]")]);
    site.done(&["keygen", "ci"]);
    site.done(&["keygen", "other"]);
    let file = version(&site, 0);
    site.done(&["sign", &file, "--key", "ci.key"]);
    assert!(site.done(&["push", &file, &place("1")]).contains("its signature is beside it"));
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    let file = version(&site, 1);
    site.done(&["push", &file, &place("2")]);
    assert!(refused(&site, &["deploy", "orders", &place("2")]).contains("is not signed"));
    site.done(&["sign", &place("2"), "--key", "other.key"]);
    assert!(refused(&site, &["deploy", "orders", &place("2")]).contains("none of the keys"));
    site.done(&["sign", &place("2"), "--key", "ci.key"]);
    site.done(&["deploy", "orders", &place("2")]);
    assert_eq!(taken_by(&site, &worker.log, 2), 1);
    assert_eq!(worker.kill().signal, Some(9));
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 3), 1);
    worker.stop();
}

#[test]
fn a_signature_in_a_registry_refers_to_its_component() {
    let registry = Registry::start(false);
    signatures(&|tag| registry.place(tag));
}

#[test]
fn a_registry_that_lists_what_refers_to_a_component_is_asked() {
    let stub = Stub::start();
    signatures(&|tag| stub.place(tag));
    let asked = stub.seen();
    assert!(asked.iter().any(|request| request.path.contains("/referrers/")));
    assert!(
        !asked.iter().any(|request| request.path.contains("/manifests/sha256-")),
        "it needs no list under a tag"
    );
}

#[test]
fn a_token_is_fetched_and_no_login_goes_along_a_redirect() {
    let (stub, other) = (Stub::start(), Stub::start());
    let place = stub.place("1");
    let site = pushed(&place, "");
    let docker = site.path().join("docker");
    std::fs::create_dir(&docker).expect("a folder can be made");
    let config =
        json!({ "auths": { stub.address.clone(): { "username": "tests", "password": "secret" } } });
    std::fs::write(docker.join("config.json"), config.to_string()).expect("it is written");
    let blob = orders_version(0);
    other.fault(move |_| Some(Reply { status: 200, body: blob.clone(), ..Reply::default() }));
    let (here, there) = (stub.address.clone(), other.address.clone());
    stub.fault(move |request| {
        if request.path.starts_with("/token?") {
            let known = request.authorization.as_deref() == Some("Basic dGVzdHM6c2VjcmV0");
            let body = if known { br#"{"access_token":"t0ken"}"#.to_vec() } else { b"{}".to_vec() };
            return Some(Reply { status: 200, body, ..Reply::default() });
        }
        if request.authorization.as_deref() != Some("Bearer t0ken") {
            let asked = format!(
                "Bearer realm=\"http://{here}/token\",service=\"r\",scope=\"repository:team/orders:pull\""
            );
            return Some(Reply {
                status: 401,
                headers: vec![("www-authenticate", asked)],
                ..Reply::default()
            });
        }
        let location = format!("http://{there}/elsewhere");
        request.path.contains("/blobs/").then(|| Reply {
            status: 307,
            headers: vec![("location", location)],
            ..Reply::default()
        })
    });
    drop(stub.seen());
    let output = with_login(&site, &docker, &["inspect", &place]);
    assert!(output.status.success(), "{}", said(&output));
    let asked = stub.seen();
    let token =
        asked.iter().find(|request| request.path.starts_with("/token?")).expect("a token is fetched");
    assert!(
        token.path.contains("service=r") && token.path.contains("scope=repository%3Ateam%2Forders%3Apull"),
        "{token:?}"
    );
    let followed = other.seen();
    assert_eq!(followed.len(), 1);
    assert_eq!(followed[0].authorization, None, "another server gets no login");
}

#[test]
fn a_registry_that_lies_floods_or_is_silent_changes_nothing() {
    let stub = Stub::start();
    let place = stub.place("1");
    let site = pushed(&place, "");
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    let (before, file) = (in_use(&site), version(&site, 1));
    site.done(&["push", &file, &place]);
    let is = |part: &'static str, reply: Reply| {
        stub.fault(move |request| {
            (request.method == "GET" && request.path.contains(part)).then(|| reply.clone())
        });
        let said = refused(&site, &["deploy", "orders", &place]);
        assert_eq!(in_use(&site), before, "{said}");
        said
    };
    let body = |body: &[u8]| Reply { status: 200, body: body.to_vec(), ..Reply::default() };
    let endless = Reply { status: 200, endless: true, ..Reply::default() };
    let said = is("/manifests/", Reply::status(500));
    assert!(said.contains("it answers 500"), "{said}");
    let said = is("/manifests/", Reply::status(404));
    assert!(said.contains("has no such manifest"), "{said}");
    let said = is("/manifests/", body(b"<html>"));
    assert!(said.contains("manifest that cannot be read"), "{said}");
    let said = is("/manifests/", body(b"{}"));
    assert!(said.contains("has no layer of the type application/wasm"), "{said}");
    let said = is("/manifests/", endless.clone());
    assert!(said.contains("more than"), "{said}");
    let said = is("/blobs/", body(&orders_version(7)));
    assert!(said.contains("in place of sha256:"), "{said}");
    let said = is("/blobs/", endless);
    assert!(said.contains("more than"), "{said}");
    let layer = json!({ "mediaType": "application/wasm", "digest": digest(b""), "size": 1u64 << 40 });
    let said = is("/manifests/", body(json!({ "layers": [layer] }).to_string().as_bytes()));
    assert!(said.contains("max_component_bytes"), "{said}");
    let said = is("/blobs/", Reply { silent: true, ..Reply::default() });
    assert!(said.contains("does not answer in time"), "{said}");
    let wrong = stub.place("1").replace(":1", &format!("@sha256:{}", "0".repeat(64)));
    let manifest = json!({ "layers": [] }).to_string().into_bytes();
    stub.fault(move |request| request.path.contains("/manifests/").then(|| body(&manifest)));
    assert!(refused(&site, &["deploy", "orders", &wrong]).contains("in place of sha256:000"));
    stub.mend();
    site.done(&["deploy", "orders", &place]);
    assert_eq!(taken_by(&site, &worker.log, 2), 1);
    worker.stop();
}

/// Writes a layout whose manifests name these versions, each with its tag.
fn layout(dir: &Path, kind: &str, versions: &[(&str, u32)]) {
    layout_with(dir, kind, versions, |_| {});
}

/// Writes a blob of a layout; its descriptor.
fn put(dir: &Path, kind: &str, bytes: &[u8]) -> Value {
    let digest = digest(bytes);
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a folder can be made");
    std::fs::write(blobs.join(&digest[7..]), bytes).expect("it is written");
    json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
}

/// Adds a manifest that is about the first one of a layout.
fn refer(dir: &Path) {
    let file = dir.join("index.json");
    let mut index: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("it is there")).expect("JSON");
    let about = json!({ "schemaVersion": 2, "layers": [], "subject": index["manifests"][0] }).to_string();
    let mut entry = put(dir, "application/vnd.oci.image.manifest.v1+json", about.as_bytes());
    entry["artifactType"] = "application/spdx+json".into();
    index["manifests"].as_array_mut().expect("a list").push(entry);
    std::fs::write(file, index.to_string()).expect("it is written");
}

/// The same, with more in each entry.
fn layout_with(dir: &Path, kind: &str, versions: &[(&str, u32)], more: impl Fn(&mut Value)) {
    let put = |kind: &str, bytes: &[u8]| put(dir, kind, bytes);
    let one = |(tag, number): &(&str, u32)| {
        let config = put("application/vnd.wasm.config.v1+json", b"{}");
        let layer = put(kind, &orders_version(*number));
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
        let mut entry = put("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        more(&mut entry);
        entry
    };
    let index = json!({ "schemaVersion": 2, "manifests": versions.iter().map(one).collect::<Vec<_>>() });
    std::fs::write(dir.join("index.json"), index.to_string()).expect("it is written");
    std::fs::write(dir.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("it is written");
}

#[test]
fn a_layout_folder_needs_no_registry() {
    const OLDER: &str = "application/vnd.wasm.content.layer.v1+wasm";
    let site = site_of("layout", &[]);
    let dir = site.path().join("layout");
    layout(&dir, OLDER, &[("a", 0)]);
    let worker = site.worker().ready();
    assert_eq!(taken_by(&site, &worker.log, 1), 0);
    layout(&dir, "application/wasm", &[("a", 1)]);
    assert!(site.done(&["reload"]).contains("orders has its new handler"));
    assert_eq!(taken_by(&site, &worker.log, 2), 1);
    layout(&dir, "application/wasm", &[("a", 1), ("b", 2)]);
    assert!(refused(&site, &["deploy", "orders", "layout"]).contains("is a layout with 2 manifests"));
    assert!(
        refused(&site, &["deploy", "orders", "layout:c"]).contains("has 0 manifests with the name `c`")
    );
    site.done(&["deploy", "orders", "layout:b"]);
    assert_eq!(taken_by(&site, &worker.log, 3), 2);
    // An entry may say its type, whatever that is; what refers to another is passed over.
    let typed = |entry: &mut Value| entry["artifactType"] = "application/vnd.wasm.config.v1+json".into();
    layout_with(&dir, "application/wasm", &[("a", 1)], typed);
    site.done(&["deploy", "orders", "layout"]);
    assert_eq!(taken_by(&site, &worker.log, 4), 1);
    refer(&dir);
    site.done(&["deploy", "orders", "layout"]);
    // A blob that is not what its name says.
    layout(&dir, "application/wasm", &[("a", 3)]);
    let blob = dir.join("blobs/sha256").join(&digest(&orders_version(3))[7..]);
    std::fs::write(&blob, orders_version(4)).expect("it is written");
    assert!(refused(&site, &["deploy", "orders", "layout"]).contains("in place of sha256:"));
    assert_eq!(taken_by(&site, &worker.log, 5), 1);
    worker.stop();
}

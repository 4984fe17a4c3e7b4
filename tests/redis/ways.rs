//! Ways to a server: a user, a database, a Unix socket, TLS, sentinels, a cluster.

use crate::{add, body, list, order, site, status, stream, taken};
use pelton_tests::redis::{Redis, Sentinel, cluster, free_port, make_certificate};
use pelton_tests::site::Pipeline;
use pelton_tests::wait::until;

#[test]
fn a_user_with_its_rights_alone_and_a_database_of_its_own() {
    let redis = Redis::start();
    let rights = "+@stream +@list +@scripting +@read +@write +@connection +xinfo +info";
    let words: Vec<&str> = "worker on >secret resetkeys ~orders* ~{orders}* ~letters +time"
        .split(' ')
        .chain(rights.split(' '))
        .collect();
    let _: () = redis.run("ACL", &[&["SETUSER"][..], &words].concat());
    let url = format!("redis://worker:secret@{}/3", redis.address);
    let one = site(stream(&url, "").with("dead_letter", "stream = \"letters\""));
    let words = ["send", "orders", "--body", &String::from_utf8(body(5, "c", 0)).expect("it is text")];
    one.done(&words);
    one.done(&["send", "orders", "--body", "no order"]);
    let (worker, _) = one.until_empty();
    assert_eq!(taken(&worker.log), [5]);
    assert_eq!(one.letters("orders").len(), 1);
    assert_eq!(redis.run::<u64>("EXISTS", &["orders"]), 0, "it is in another database");
    let two = site(list(&url.replace("/3", "/4"), ""));
    two.done(&["send", "orders", "--body", &String::from_utf8(body(6, "c", 0)).expect("it is text")]);
    let (worker, _) = two.until_empty();
    assert_eq!(taken(&worker.log), [6]);
    // A wrong password is told as such, and is not told to others.
    let wrong = site(stream(&url.replace("secret", "guess"), ""));
    let checked = wrong.run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(78));
    assert!(said.contains("redis://USER:PASSWORD@HOST:PORT") && !said.contains("guess"), "{said}");
}

#[test]
fn a_unix_socket() {
    let redis = Redis::start();
    redis.add("orders", &[order(1, "c", 0)]);
    let site = site(stream(&format!("unix://{}", redis.data().join("redis.sock").display()), ""));
    let (worker, _) = site.until_empty();
    assert_eq!(taken(&worker.log), [1]);
}

#[test]
fn tls_with_a_certificate_that_is_checked() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    make_certificate(dir.path());
    let (port, folder) = (free_port(), dir.path().display());
    let redis = Redis::start_with(&format!(
        "--tls-port {port} --tls-cert-file {folder}/cert.pem --tls-key-file {folder}/key.pem \
         --tls-ca-cert-file {folder}/cert.pem --tls-auth-clients no"
    ));
    redis.add("orders", &[order(1, "c", 0)]);
    let site = site(stream(&format!("rediss://localhost:{port}"), ""));
    let checked = site.run(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(78), "nobody knows the certificate");
    assert!(said.contains("SSL_CERT_FILE"), "{said}");
    let certificate = format!("{folder}/cert.pem");
    let worker = site.worker_with(&["--until-empty"], &[("SSL_CERT_FILE", &certificate)]);
    assert_eq!(worker.wait().code, Some(0), "{}", worker.log.tail());
    assert_eq!(taken(&worker.log), [1]);
}

/// Whichever node is named, the one that has the key is gone to.
#[test]
fn a_cluster_by_any_of_its_nodes() {
    let nodes = cluster(3);
    for (number, node) in nodes.iter().enumerate() {
        let number = number as u64 + 1;
        for kind in [stream as fn(&str, &str) -> _, list] {
            let one = site(kind(&node.url(), "").with("dedup", "key = \"json:/id\""));
            one.done(&[
                "send",
                "orders",
                "--body",
                &String::from_utf8(body(number, "c", 0)).expect("it is text"),
            ]);
            let (worker, _) = one.until_empty();
            assert!(taken(&worker.log).contains(&number));
            nodes.iter().for_each(|node| node.try_delete("orders"));
        }
    }
}

#[test]
fn a_failover_is_followed_by_way_of_the_sentinels() {
    let primary = Redis::start();
    let (_, port) = primary.address.split_once(':').expect("host:port");
    let replica = Redis::start_with(&format!("--replicaof 127.0.0.1 {port}"));
    let sentinel = Sentinel::start(&primary);
    until("the sentinel knows the replica", || (sentinel.replicas() == 1).then_some(()));
    let site = site(stream(&format!("redis+sentinel://{}/main", sentinel.address), ""));
    let worker = site.worker().ready();
    add(&primary, 1..=100);
    until("they are handled", || (status(&site)["handled"] == 100).then_some(()));
    primary.kill();
    until("the replica is the primary", || {
        // The sentinel has it close all its connections.
        let role: Vec<redis::Value> = replica.try_run("ROLE")?;
        (role.first() == Some(&redis::Value::BulkString(b"master".to_vec()))).then_some(())
    });
    add(&replica, 101..=200);
    until("they are handled", || (status(&site)["handled"] == 200).then_some(()));
    worker.stop();
}

#[test]
fn what_a_user_may_not_do_is_found_before_a_start_or_a_letter_meets_it() {
    let redis = Redis::start();
    let rights = "+@stream +@list +@scripting +@read +@write +@connection +@transaction +time";
    let allow = |words: &str| {
        let _: () =
            redis.run("ACL", &[&["SETUSER", "worker"][..], &words.split(' ').collect::<Vec<_>>()].concat());
    };
    allow(&format!("on >secret resetkeys ~orders* ~{{orders}}* ~letters {rights}"));
    let url = format!("redis://worker:secret@{}", redis.address);
    let check = |kind: fn(&str, &str) -> Pipeline, letters: &str| {
        let one = site(kind(&url, "").with("dead_letter", letters));
        let done = one.run(&["check", "--connect"]);
        (String::from_utf8_lossy(&done.stderr).into_owned(), done.status.code())
    };
    for (kind, letters, denied) in [
        (stream as fn(&str, &str) -> Pipeline, "stream = \"letters\"", ["xack", "xadd"]),
        (list, "list = \"letters\"", ["lrem", "lpush"]),
    ] {
        let (said, code) = check(kind, letters);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(redis.run::<u64>("DBSIZE", &[]), 0, "nothing was done there");
        allow(&format!("-{}", denied[0]));
        let (said, code) = check(kind, letters);
        assert_eq!(code, Some(78), "{said}");
        let wanted = format!("the server refuses {} on `orders`", denied[0].to_uppercase());
        assert!(said.contains(&wanted) && said.contains("ACL SETUSER"), "{said}");
        allow(&format!("+{}", denied[0]));
        let letters_elsewhere = letters.replace("letters", "others");
        let (said, code) = check(kind, &letters_elsewhere);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("dead_letter: ") && said.contains("`others`"), "{said}");
        allow("-multi");
        let (said, code) = check(kind, letters);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("+multi +discard"), "{said}");
        allow("+multi");
    }
}

#[test]
fn a_port_that_speaks_another_protocol_and_a_password_with_a_mark_of_addresses_are_told() {
    let dir = tempfile::tempdir().expect("a folder can be made");
    make_certificate(dir.path());
    let (port, folder) = (free_port(), dir.path().display());
    let redis = Redis::start_with(&format!(
        "--tls-port {port} --tls-cert-file {folder}/cert.pem --tls-key-file {folder}/key.pem \
         --tls-ca-cert-file {folder}/cert.pem --tls-auth-clients no"
    ));
    let (_, plain) = redis.address.split_once(':').expect("host:port");
    for (url, wanted) in [
        (format!("redis://localhost:{port}"), "write rediss:// into `url`"),
        (format!("rediss://localhost:{plain}"), "write redis:// into `url`"),
        (format!("redis://worker:a#b@{}", redis.address), "write it as %23"),
    ] {
        let checked = site(stream(&url, "")).run(&["check", "--connect"]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(78), "{said}");
        assert!(said.contains(wanted) && !said.contains("a#b"), "{url}: {said}");
    }
}

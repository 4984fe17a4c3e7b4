//! What Prometheus itself says of the text: promtool checks it, and a server scrapes it and answers queries.

#![allow(clippy::unwrap_used)]

use super::histogram::Histogram;
use super::table::{Kind, Label, Name};
use super::values::{Labels, Value, Values};
use super::{CONTENT_TYPE, text};
use serde_json::Value as Json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a server that has just been started may take for a scrape.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(60);

/// A text with every metric, of two pipelines; one has a label that needs escaping.
fn everything() -> String {
    let mut values = Values::new(2_000);
    let histogram = Histogram::default();
    (0..1_000).for_each(|n| histogram.add(n, 1, n));
    for (pipeline, odd) in [("orders", "plain"), ("payments", "a\"b\\c\nd")] {
        for name in Name::ALL {
            let metric = name.metric();
            let (own, other): (Vec<Label>, Vec<Label>) =
                metric.labels.iter().partition(|label| **label == Label::PIPELINE);
            let base: Labels = own.into_iter().map(|label| (label, pipeline.into())).collect();
            if base.is_empty() && pipeline != "orders" {
                continue;
            }
            let more: Vec<_> = other.into_iter().map(|label| (label, odd)).collect();
            let value = match metric.kind {
                Kind::Histogram => Value::Histogram(histogram.totals()),
                Kind::Counter if metric.unit == "s" => Value::Real(1.25),
                Kind::Counter | Kind::Gauge => Value::Whole(7),
            };
            values.add(name, &base, &more, value);
        }
    }
    text(values)
}

/// Where the programs are. Without them there is no test, and it says so.
fn programs() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../script/prometheus");
    let got = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(got.status.success(), "script/prometheus could not get Prometheus; its words are above");
    PathBuf::from(String::from_utf8(got.stdout).unwrap().trim())
}

#[test]
fn promtool_has_nothing_to_say() {
    let mut promtool = Command::new(programs().join("promtool"));
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(everything().as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && words.is_empty(), "{}", String::from_utf8_lossy(&words));
}

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Gives the text to whoever scrapes it, and tells of each scrape.
fn serve() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (scraped, scrapes) = channel();
    drop(std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let body = everything();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
            scraped.send(()).unwrap_or_default();
        }
    }));
    (address, scrapes)
}

fn start(folder: &Path, scraped: &str) -> (Server, String) {
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
         scrape_configs: [{{ job_name: pelton, static_configs: [{{ targets: [\"{scraped}\"] }}] }}]\n"
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Command::new(programs().join("prometheus"))
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Server(server), free)
}

/// The series that a query comes to.
fn query(server: &str, query: &str) -> Vec<Json> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "GET /api/v1/query?query={encoded} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let answer: Json = serde_json::from_str(body).unwrap();
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

#[test]
fn a_real_prometheus_scrapes_all_of_it_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (address, scrapes) = serve();
    let (_server, prometheus) = start(folder.path(), &address);
    // The third begins when the first is there to be asked for.
    (0..3).for_each(|_| scrapes.recv_timeout(SCRAPE_TIMEOUT).unwrap());
    for name in Name::ALL {
        let metric = name.metric();
        let written = match metric.kind {
            Kind::Counter => format!("{}_total", metric.stem()),
            Kind::Gauge => metric.stem(),
            Kind::Histogram => format!("{}_count", metric.stem()),
        };
        let expected = if metric.labels.contains(&Label::PIPELINE) { 2 } else { 1 };
        assert_eq!(query(&prometheus, &written).len(), expected, "{written}");
    }
    let quantile =
        "histogram_quantile(0.99, sum by (le, pipeline) (messaging_process_duration_seconds_bucket))";
    let all = query(&prometheus, quantile);
    assert_eq!(all.len(), 2, "{all:?}");
    let value: f64 = all[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!((0.0005..=0.001).contains(&value), "{value}");
    let odd = query(&prometheus, "pelton_dead_letters_total{pipeline=\"payments\"}");
    assert_eq!(odd[0]["metric"]["cause"], "a\"b\\c\nd");
    assert_eq!(query(&prometheus, "up")[0]["value"][1], "1");
}

//! A way to an SQS service on which some calls are refused, as they are to an identity that is not allowed
//! to make them. Emulators allow everything.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Listens until the process ends.
pub struct Denying {
    /// `host:port`.
    pub address: String,
}

/// One request, as it came.
struct Request {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Denying {
    /// A way to the service at this `host:port`, on which calls of these names are refused.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn before(service: &str, denied: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (service, denied): (Arc<str>, Arc<[&'static str]>) = (service.into(), denied.into());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (service, denied) = (service.clone(), denied.clone());
                // A client that goes is none of the test's business.
                std::thread::spawn(move || drop(serve(client, &service, &denied)));
            }
        });
        Self { address }
    }
}

fn serve(mut client: TcpStream, service: &str, denied: &[&str]) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        if denied.contains(&request.call()) {
            client.write_all(refusal(request.call()).as_bytes())?;
            continue;
        }
        // The answer ends with its connection, and so does ours.
        let mut there = TcpStream::connect(service)?;
        request.write(&mut there)?;
        std::io::copy(&mut there, &mut client)?;
        return client.shutdown(std::net::Shutdown::Both);
    }
    Ok(())
}

fn refusal(call: &str) -> String {
    let action = call.strip_suffix("Batch").unwrap_or(call).to_lowercase();
    let body = format!(
        "{{\"__type\":\"com.amazon.coral.service#AccessDeniedException\",\"message\":\"User: \
         arn:aws:iam::000000000000:user/tests is not authorized to perform: sqs:{action}\"}}"
    );
    let length = body.len();
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: \
         {length}\r\n\r\n{body}"
    )
}

impl Request {
    /// None when the client has ended.
    fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let mut request = Self { head, body: Vec::new() };
        request.body = vec![0; request.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.iter().filter_map(|line| line.split_once(':'));
        pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The name of the call.
    fn call(&self) -> &str {
        self.header("x-amz-target").and_then(|target| target.rsplit('.').next()).unwrap_or_default()
    }

    fn write(&self, to: &mut TcpStream) -> std::io::Result<()> {
        let own = |line: &&String| !line.to_ascii_lowercase().starts_with("connection:");
        let mut text: String = self.head.iter().filter(own).map(|line| format!("{line}\r\n")).collect();
        text.push_str("Connection: close\r\n\r\n");
        to.write_all(text.as_bytes())?;
        to.write_all(&self.body)
    }
}

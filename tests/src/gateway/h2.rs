//! HTTP/2, whose frames a library makes.

use super::behave::{Deed, deed};
use super::{Books, Seen};
use h2::RecvStream;
use h2::server::SendResponse;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

type Bytes = std::io::Cursor<Vec<u8>>;

/// Answers requests until the connection ends, side by side.
pub(super) async fn serve(line: TlsStream<TcpStream>, books: Arc<Books>, number: usize) {
    let builder = h2::server::Builder::new();
    let Ok(mut connection) = builder.handshake::<_, Bytes>(line).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(one(request, respond, books.clone(), number));
    }
}

async fn one(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    books: Arc<Books>,
    connection: usize,
) {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len()).unwrap_or_default();
    }
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
        connection,
        version: "2",
    };
    let at_work = books.begin(seen.clone());
    let deed = deed(&books, &seen).await;
    drop(at_work);
    let Deed::Answer { status, headers, body } = deed else {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
        return;
    };
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let response = response.body(()).expect("an answer");
    if let Ok(mut stream) = respond.send_response(response, false) {
        // The client may have gone.
        stream.send_data(Bytes::new(body), true).unwrap_or_default();
    }
}

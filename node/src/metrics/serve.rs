//! Just enough HTTP/1.1 for one page.

use crate::limits::{METRICS_CALLERS_MAX, METRICS_REQUEST_BYTES_MAX, METRICS_TIMEOUT};
use std::future::Future;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers until `stop` turns true. Callers beyond a few at one time are closed; each has seconds.
pub(crate) async fn serve<G, F>(listener: TcpListener, gather: G, mut stop: watch::Receiver<bool>)
where
    G: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = String> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(METRICS_CALLERS_MAX));
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, mostly: let some be closed.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
        let gather = gather.clone();
        tokio::spawn(async move {
            // Whoever goes away or takes too long has lost nothing but the page.
            let _ = tokio::time::timeout(METRICS_TIMEOUT, answer(stream, gather)).await;
            drop(seat);
        });
    }
}

/// Reads one request and answers it.
async fn answer<S, G, F>(mut stream: S, gather: G) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    G: Fn() -> F,
    F: Future<Output = String>,
{
    let mut request = Vec::new();
    let complete = |bytes: &[u8]| bytes.windows(4).any(|end| end == b"\r\n\r\n");
    while !complete(&request) {
        if request.len() >= METRICS_REQUEST_BYTES_MAX {
            return reply(&mut stream, "431 Request Header Fields Too Large", "too long\n").await;
        }
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..read]);
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    match words.as_slice() {
        [b"GET", b"/metrics", version] if version.starts_with(b"HTTP/1.") => {
            let page = gather().await;
            reply(&mut stream, "200 OK", &page).await
        }
        [b"GET", _, version] if version.starts_with(b"HTTP/1.") => {
            reply(&mut stream, "404 Not Found", "there is only /metrics\n").await
        }
        [_, _, version] if version.starts_with(b"HTTP/1.") => {
            reply(&mut stream, "405 Method Not Allowed", "there is only GET\n").await
        }
        _ => reply(&mut stream, "400 Bad Request", "this is no HTTP/1.1\n").await,
    }
}

async fn reply(
    stream: &mut (impl AsyncWrite + Unpin),
    status: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    async fn ask(request: &[u8]) -> String {
        let (mut own, theirs) = tokio::io::duplex(1 << 16);
        let gather = || async { "trine_x 7\n".to_owned() };
        let answering = tokio::spawn(answer(theirs, gather));
        own.write_all(request).await.unwrap();
        own.shutdown().await.unwrap();
        let mut text = String::new();
        own.read_to_string(&mut text).await.unwrap();
        let _ = answering.await.unwrap();
        text
    }

    #[tokio::test]
    async fn one_page_and_nothing_else() {
        let page = ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"));
        assert!(page.contains("Content-Length: 10\r\n") && page.ends_with("\r\n\r\ntrine_x 7\n"));
        for (request, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "404 Not Found"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            (b"GET /metrics HTTP/2\r\n\r\n", "400 Bad Request"),
            (b"\xff\xfe\x00\r\n\r\n", "400 Bad Request"),
            (b"\r\n\r\n", "400 Bad Request"),
        ] {
            let text = ask(request).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request:?}: {text}");
        }
        // Cut off in the middle of a request: nothing to say.
        assert_eq!(ask(b"GET /metr").await, "");
        let long = vec![b'x'; METRICS_REQUEST_BYTES_MAX + 1];
        assert!(ask(&long).await.starts_with("HTTP/1.1 431 "));
    }

    #[tokio::test]
    async fn silent_callers_take_no_seat_from_the_process() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, on_stop) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, || async { "x 1\n".to_owned() }, on_stop));
        let mut silent = Vec::new();
        for _ in 0..METRICS_CALLERS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        // One more is closed without an answer, at once.
        let mut refused = TcpStream::connect(address).await.unwrap();
        let mut text = Vec::new();
        let _ = refused.read_to_end(&mut text).await;
        assert!(text.is_empty());
        // As soon as they go there is room.
        drop(silent);
        loop {
            let mut caller = TcpStream::connect(address).await.unwrap();
            let sent = caller.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await;
            let mut text = String::new();
            if sent.is_ok() && caller.read_to_string(&mut text).await.is_ok() && !text.is_empty() {
                assert!(text.ends_with("x 1\n"));
                break;
            }
        }
        stop.send_replace(true);
        serving.await.unwrap();
    }
}

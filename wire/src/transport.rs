//! The byte stream under a connection. TLS and SASL take their place here: everything above sees only [`Stream`].

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

/// What a connection reads from and writes to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens a stream to `host:port`, trying each address the name resolves to.
///
/// # Errors
/// The operating system's words for the last address tried, or that `within` has passed.
pub(crate) async fn dial(host: &str, port: u16, within: Duration) -> io::Result<Box<dyn Stream>> {
    let stream = timeout(within, TcpStream::connect((host, port))).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} ms", within.as_millis()))
    })??;
    // A request is written at once; waiting for more to fill a segment would only add latency.
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Splits `host:port`, also `[v6]:port` and Java's `PROTOCOL://host:port`.
///
/// # Errors
/// A sentence that says what is allowed.
pub(crate) fn host_and_port(address: &str) -> Result<(String, u16), String> {
    let text = address.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let wrong = || format!("bootstrap.servers: `{address}` is not of the form host:port");
    let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = port.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(wrong)?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == ',') {
        Err(wrong())
    } else {
        Ok((host.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("broker:9092", "broker", 9092),
            (" b-1.example:9098 ", "b-1.example", 9098),
            ("[::1]:9092", "::1", 9092),
            ("PLAINTEXT://10.0.0.1:1", "10.0.0.1", 1),
        ] {
            assert_eq!(host_and_port(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["", "broker", "broker:", ":9092", "broker:0", "broker:65536", "bro ker:1", "a:1,b:2", "{BROKERS}"]
        {
            let error = host_and_port(text).expect_err(text);
            assert!(error.contains(text) && error.contains("host:port"), "{error}");
        }
    }
}

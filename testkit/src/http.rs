//! The smallest client that speaks to a Connect REST API.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connect itself gives up on a request after 90 s.
const DEADLINE: Duration = Duration::from_secs(100);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// The body as JSON, null if it is empty.
    pub fn json(&self) -> Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {self:?}"))
    }

    /// The body as JSON; an error with all of the answer unless the status is 2xx.
    pub fn ok(&self) -> Result<Value> {
        ensure!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self.json()
    }
}

/// Sends one request to `http://host:port/path` and reads the answer. `body` is sent as JSON.
pub async fn request(method: &str, url: &str, body: Option<&Value>) -> Result<Response> {
    let exchange = tokio::time::timeout(DEADLINE, exchange(method, url, body)).await;
    exchange
        .with_context(|| format!("no answer within {DEADLINE:?}"))
        .flatten()
        .with_context(|| format!("{method} {url}"))
}

async fn exchange(method: &str, url: &str, body: Option<&Value>) -> Result<Response> {
    let rest = url.strip_prefix("http://").context("want http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let body = body.map(Value::to_string).unwrap_or_default();
    // HTTP/1.0: the answer is neither chunked nor followed by another.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    parse(&String::from_utf8(answer)?)
}

fn parse(answer: &str) -> Result<Response> {
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("cut off: {answer:?}"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, v)| v.parse::<usize>().ok());
    ensure!(length.is_none_or(|n| n == body.len()), "{} bytes of {length:?}", body.len());
    Ok(Response { status: status.with_context(|| format!("no status: {head:?}"))?, headers, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed_and_cut_off_ones_refused() {
        let response = parse("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX-A: b\r\n\r\n{}").unwrap();
        assert_eq!((response.status, response.body.as_str()), (404, "{}"));
        assert!(response.headers.contains(&("x-a".to_owned(), "b".to_owned())));
        assert!(response.ok().unwrap_err().to_string().contains("404"));
        assert!(parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}").is_err());
        assert!(parse("HTTP/1.1 200 OK\r\n").is_err());
    }
}

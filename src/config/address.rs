//! Addresses of brokers and of the REST API.

use super::ConfigError;

/// Where the REST API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Host or address; absent for all interfaces.
    pub host: Option<String>,
    /// Port; 0 lets the system choose.
    pub port: u16,
}

/// Reads the items of a `bootstrap.servers` into `host:port`. As in Kafka, a protocol before the host is dropped.
///
/// # Errors
/// The first item that is no address, or there is none at all.
pub(super) fn bootstrap(key: &str, items: &[String]) -> Result<Vec<String>, ConfigError> {
    if items.is_empty() {
        return Err(ConfigError::invalid(key, "", "at least one address, host:port, is needed"));
    }
    items
        .iter()
        .map(|item| {
            let address = item.split_once("://").map_or(item.as_str(), |(_, address)| address);
            match host_and_port(address) {
                Some((host, port)) if !host.is_empty() && port > 0 => Ok(join(host, port)),
                _ => Err(ConfigError::invalid(
                    key,
                    &items.join(","),
                    format_args!("{item} is not of the form host:port"),
                )),
            }
        })
        .collect()
}

/// Reads the items of `listeners`.
///
/// # Errors
/// The first item that is no listener kmirror can open.
pub(super) fn listeners(key: &str, items: &[String]) -> Result<Vec<Listener>, ConfigError> {
    let refuse = |item: &str, reason: &str| ConfigError::invalid(key, item, reason);
    if items.is_empty() {
        return Err(refuse("", "at least one listener, such as http://:8083, is needed"));
    }
    items
        .iter()
        .map(|item| {
            let Some((protocol, address)) = item.split_once("://") else {
                return Err(refuse(
                    item,
                    "a listener has the form http://host:port, without a host for all interfaces",
                ));
            };
            if protocol.eq_ignore_ascii_case("https") {
                return Err(refuse(
                    item,
                    "https is not built yet: put a proxy that ends TLS in front of an http listener",
                ));
            }
            if !protocol.eq_ignore_ascii_case("http") {
                return Err(refuse(item, "the protocol of a listener is http"));
            }
            let Some((host, port)) = host_and_port(address) else {
                return Err(refuse(
                    item,
                    "a listener has the form http://host:port, without a host for all interfaces",
                ));
            };
            Ok(Listener { host: (!host.is_empty()).then(|| host.to_owned()), port })
        })
        .collect()
}

/// Host, without the brackets of an IPv6 address, and port. The characters are those Kafka's `Utils.getHost` takes.
fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|open| open.strip_suffix(']')).unwrap_or(host);
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
    let legal = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '%' | '.' | '_' | ':'));
    legal.then_some((host, port))
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers() {
        let table = [
            ("a:9092", Ok("a:9092")),
            ("b-1.x_y.example.com:9092", Ok("b-1.x_y.example.com:9092")),
            ("PLAINTEXT://a:9092", Ok("a:9092")),
            ("[::1]:9092", Ok("[::1]:9092")),
            ("::1:9092", Ok("[::1]:9092")),
            ("a", Err(())),
            ("a:", Err(())),
            (":9092", Err(())),
            ("a:0", Err(())),
            ("a:65536", Err(())),
            ("a:+1", Err(())),
            ("a b:1", Err(())),
            ("{TARGET CLUSTER BROKERS ADDRESS}", Err(())),
            ("", Err(())),
        ];
        for (item, expected) in table {
            let read = bootstrap("k", &[item.to_owned()]);
            assert_eq!(read.clone().map_err(|_| ()), expected.map(|a| vec![a.to_owned()]), "{item:?}: {read:?}");
        }
        assert_eq!(
            bootstrap("k", &["a:1".to_owned(), "b".to_owned()]).unwrap_err().message,
            "Invalid value a:1,b for configuration k: b is not of the form host:port"
        );
        assert!(bootstrap("k", &[]).is_err());
    }

    #[test]
    fn rest_listeners() {
        let listener = |host: Option<&str>, port| Ok(Listener { host: host.map(str::to_owned), port });
        let table = [
            ("http://:8083", listener(None, 8083)),
            ("HTTP://0.0.0.0:80", listener(Some("0.0.0.0"), 80)),
            ("http://[::1]:0", listener(Some("::1"), 0)),
            ("https://:8443", Err("https is not built yet")),
            ("ftp://:21", Err("the protocol of a listener is http")),
            (":8083", Err("has the form http://host:port")),
            ("http://localhost", Err("has the form http://host:port")),
            ("http://:70000", Err("has the form http://host:port")),
        ];
        for (item, expected) in table {
            match (listeners("listeners", &[item.to_owned()]), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, [expected]),
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{item}: {error}"),
                (read, expected) => panic!("{item}: {read:?}, not {expected:?}"),
            }
        }
    }
}

//! The proxy that the node itself is behind, if it is.

use std::{
    io::{Error, ErrorKind},
    sync::Arc,
};

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The longest answer to a `CONNECT`.
const MAX_HEAD: usize = 8 << 10;

/// The proxies that the operator's environment names.
#[derive(Debug, Clone)]
pub struct Proxies(Arc<Matcher>);

impl Default for Proxies {
    fn default() -> Self {
        Self::new(None, "")
    }
}

impl Proxies {
    /// The proxy that `HTTPS_PROXY` or `ALL_PROXY` has, and what `NO_PROXY` leaves out.
    pub fn new(proxy: Option<&str>, direct: &str) -> Self {
        Proxies(Arc::new(Matcher::builder().all(proxy.unwrap_or_default()).no(direct).build()))
    }

    /// The one on the way to a host.
    pub(super) fn of(&self, host: &str, port: u16) -> Option<Upstream> {
        self.0.intercept(&format!("https://{host}:{port}").parse().ok()?).map(Upstream)
    }
}

/// A proxy on the way.
pub(super) struct Upstream(Intercept);

impl Upstream {
    /// A connection to a host by its name, which the proxy looks up.
    pub(super) async fn connect(&self, host: &str, port: u16) -> std::io::Result<TcpStream> {
        let uri = self.0.uri();
        let (Some("http"), Some(proxy)) = (uri.scheme_str(), uri.host()) else {
            return Err(Error::new(ErrorKind::Unsupported, "the node's own proxy must be an `http://` one"));
        };
        let mut stream = TcpStream::connect((proxy.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80))).await?;
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n").into_bytes();
        if let Some(credential) = self.0.basic_auth() {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(credential.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await?;
        // Byte by byte: what follows is the host's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == MAX_HEAD {
                return Err(Error::new(ErrorKind::InvalidData, "the node's own proxy answered too much"));
            }
            head.push(stream.read_u8().await?);
        }
        let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
        match line.split(' ').nth(1) {
            Some(status) if status.len() == 3 && status.starts_with('2') => Ok(stream),
            _ => Err(Error::other(format!("the node's own proxy answered `{line}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_hosts_own_bytes_come_after_the_answer() {
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = proxy.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = proxy.accept().await.expect("a connection");
            let mut asked = vec![0; 1024];
            let read = stream.read(&mut asked).await.expect("a request");
            stream.write_all(b"HTTP/1.1 200 fine\r\nx: y\r\n\r\nhello").await.expect("answered");
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        let proxies = Proxies::new(Some(&format!("http://user:word@{address}")), "direct.example");
        assert!(proxies.of("direct.example", 443).is_none());
        let upstream = proxies.of("a.example", 8443).expect("a proxy");
        let mut stream = upstream.connect("a.example", 8443).await.expect("connected");
        let mut word = String::new();
        stream.read_to_string(&mut word).await.expect("bytes");
        assert_eq!(word, "hello");
        let asked = serving.await.expect("a request");
        assert_eq!(
            asked,
            "CONNECT a.example:8443 HTTP/1.1\r\nhost: a.example:8443\r\nproxy-authorization: Basic dXNlcjp3b3Jk\r\n\r\n"
        );
    }

    #[test]
    fn without_one_the_way_is_direct() {
        assert!(Proxies::default().of("a.example", 443).is_none());
    }
}

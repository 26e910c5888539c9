//! The proxy that the node itself is behind, if it is.

use std::{
    io::{Error, ErrorKind},
    net::SocketAddr,
    sync::Arc,
};

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Place;

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
    /// A connection to a host by one of the addresses that were judged: what its name stands for may have changed by the time
    /// that the proxy looks it up. Only where there is none, the proxy is told the name.
    pub(super) async fn connect(&self, place: &Place, judged: &[SocketAddr]) -> std::io::Result<TcpStream> {
        let (last, others) = match judged.split_last() {
            Some((last, others)) => (last.to_string(), others),
            None => (place.to_string(), judged),
        };
        for address in others {
            if let Ok(stream) = self.tunnel(&address.to_string()).await {
                return Ok(stream);
            }
        }
        self.tunnel(&last).await
    }

    async fn tunnel(&self, to: &str) -> std::io::Result<TcpStream> {
        let uri = self.0.uri();
        let (Some("http"), Some(proxy)) = (uri.scheme_str(), uri.host()) else {
            return Err(Error::new(ErrorKind::Unsupported, "the node's own proxy must be an `http://` one"));
        };
        let mut stream = TcpStream::connect((proxy.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80))).await?;
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n").into_bytes();
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
        let place = Place { host: "a.example".to_owned(), port: 8443 };
        let mut stream = upstream.connect(&place, &[]).await.expect("connected");
        let mut word = String::new();
        stream.read_to_string(&mut word).await.expect("bytes");
        assert_eq!(word, "hello");
        let asked = serving.await.expect("a request");
        assert_eq!(
            asked,
            "CONNECT a.example:8443 HTTP/1.1\r\nhost: a.example:8443\r\nproxy-authorization: Basic dXNlcjp3b3Jk\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn of_addresses_that_were_judged_the_first_that_is_reached_is_taken() {
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = proxy.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in ["403 no", "200 fine"] {
                let (mut stream, _) = proxy.accept().await.expect("a connection");
                let mut head = vec![0; 1024];
                let read = stream.read(&mut head).await.expect("a request");
                asked.push(String::from_utf8_lossy(&head[..read]).lines().next().unwrap_or_default().to_owned());
                stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.expect("answered");
            }
            asked
        });
        let upstream = Proxies::new(Some(&format!("http://{address}")), "").of("a.example", 443).expect("a proxy");
        let place = Place { host: "a.example".to_owned(), port: 443 };
        let judged = ["[2001:db8::1]:443", "192.0.2.1:443"].map(|text| text.parse().expect("an address"));
        upstream.connect(&place, &judged).await.expect("connected");
        let asked = serving.await.expect("requests");
        assert_eq!(asked, ["CONNECT [2001:db8::1]:443 HTTP/1.1", "CONNECT 192.0.2.1:443 HTTP/1.1"]);
    }

    #[test]
    fn without_one_the_way_is_direct() {
        assert!(Proxies::default().of("a.example", 443).is_none());
    }
}

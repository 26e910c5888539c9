//! What installs reach: package indexes and where these have their files. Which hosts those are, only the index says, so
//! it is any public one; and private ones where the operator's own variables name them.

use std::net::SocketAddr;

use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;
use url::Host;

use super::{ADDRESSES, CONNECT_TIMEOUT, Core, Egress, EgressError, LOOKUP_TIMEOUT, Place, Reached, is_own, is_public};

/// Ports of the web, where nothing else is named.
const PORTS: [u16; 2] = [443, 80];

impl Egress {
    /// Judges a host for an install, and connects to an address that has been judged. `named` are the operator's.
    async fn connect_index(&self, named: &[(String, u16)], host: &str, port: u16) -> Result<TcpStream, EgressError> {
        let host = Host::parse(host.strip_suffix('.').unwrap_or(host)).map_err(|_| EgressError::NoHost)?;
        let place = Place { host: host.to_string(), port };
        let is_named = named.iter().any(|(name, at)| *name == place.host && *at == port);
        if !is_named && !PORTS.contains(&port) {
            return Err(EgressError::Address(place));
        }
        let proxy = self.proxies.of(&place.host, port);
        let found = match timeout(LOOKUP_TIMEOUT, self.resolver.resolve(&place)).await {
            Ok(Ok(found)) => found,
            // Behind a proxy, only that may know the names of others.
            _ if proxy.is_some() => Vec::new(),
            Ok(Err(_)) => return Err(EgressError::NotFound(place)),
            Err(_) => return Err(EgressError::Late(place)),
        };
        let is_good = |address: &SocketAddr| is_named || (is_public(address.ip()) && !is_own(*address));
        let good: Vec<SocketAddr> = found.iter().copied().filter(is_good).take(ADDRESSES).collect();
        if good.is_empty() && !found.is_empty() {
            return Err(EgressError::Private(place));
        }
        let connecting = async {
            match proxy {
                Some(proxy) => proxy.connect(&place.host, port).await,
                None => TcpStream::connect(&good[..]).await,
            }
        };
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| EgressError::Unreachable(place, error)),
            Err(_) => Err(EgressError::Late(place)),
        }
    }
}

impl Core {
    /// Connects a program of an install to a host.
    pub(in crate::node) async fn reach_index(
        &self,
        host: &str,
        port: u16,
        permit: OwnedSemaphorePermit,
        ended: CancellationToken,
    ) -> Result<Reached, EgressError> {
        let stream = self.egress.connect_index(&self.installs.indexes(), host, port).await?;
        Ok(Reached { stream, permit, ended })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::{super::Proxies, *};

    #[tokio::test]
    async fn only_what_is_public_or_the_operators_is_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address");
        let egress = Egress::new(&[], Proxies::default());
        let named = [("127.0.0.1".to_owned(), own.port())];
        assert!(egress.connect_index(&named, "127.0.0.1", own.port()).await.is_ok());
        // Not by another name, nor another port of that host.
        for (host, port) in [
            ("localhost", own.port()),
            ("127.0.0.1", 80),
            ("169.254.169.254", 80),
            ("10.0.0.1", 443),
            ("localhost", 443),
        ] {
            let refused = egress.connect_index(&named, host, port).await.expect_err(host);
            assert!(refused.is_denial(), "{host}: {refused}");
        }
    }
}

//! What installs reach: package indexes and where these have their files. Which hosts those are, only the index says, so
//! it is any public one; and others where the operator's own variables or an index name them.

use std::net::{IpAddr, SocketAddr};

use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;
use url::Host;

use super::{
    super::super::runtime::Reach, ADDRESSES, CONNECT_TIMEOUT, Core, Egress, EgressError, LOOKUP_TIMEOUT, Place,
    Reached, is_own, is_public,
};

/// Ports of the web, where nothing else is named.
const PORTS: [u16; 2] = [443, 80];

/// How far a host is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The operator's variables name it.
    Named,
    /// An index has sent there.
    Sent,
    /// Anybody may have.
    None,
}

impl Trust {
    fn is_good(self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_near = match ip {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
        };
        match self {
            Trust::Named => true,
            // Of other machines, whatever network they are in.
            Trust::Sent => !is_near && !is_own(address),
            Trust::None => is_public(ip) && !is_own(address),
        }
    }
}

impl Egress {
    /// Judges a host for an install, and connects to an address that has been judged.
    async fn connect_index(&self, trust: Trust, place: Place) -> Result<TcpStream, EgressError> {
        if trust != Trust::Named && !PORTS.contains(&place.port) {
            return Err(EgressError::Address(place));
        }
        let proxy = self.proxies.of(&place.host, place.port);
        let found = match timeout(LOOKUP_TIMEOUT, self.resolver.resolve(&place)).await {
            Ok(Ok(found)) => found,
            // Behind a proxy, only that may know the names of others.
            _ if proxy.is_some() => Vec::new(),
            Ok(Err(_)) => return Err(EgressError::NotFound(place)),
            Err(_) => return Err(EgressError::Late(place)),
        };
        let good = found.iter().copied().filter(|address| trust.is_good(*address) || self.names(*address));
        let good: Vec<SocketAddr> = good.take(ADDRESSES).collect();
        if good.is_empty() && !found.is_empty() {
            return Err(EgressError::Private(place));
        }
        let connecting = async {
            match proxy {
                // The operator's own are the operator's to name.
                Some(proxy) if trust == Trust::Named => proxy.connect(&place, &[]).await,
                Some(proxy) => proxy.connect(&place, &good).await,
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
        reach: Reach,
        (host, port): (&str, u16),
        permit: OwnedSemaphorePermit,
        ended: CancellationToken,
    ) -> Result<Reached, EgressError> {
        let host = Host::parse(host.strip_suffix('.').unwrap_or(host)).map_err(|_| EgressError::NoHost)?;
        let (host, environments) = (host.to_string(), self.installs.environments());
        let trust = match reach {
            _ if environments.names_index(&host, port) => Trust::Named,
            Reach::Indexes => Trust::Sent,
            _ if environments.knows_index(&host, port) => Trust::Sent,
            Reach::Nothing | Reach::Public => Trust::None,
        };
        let stream = self.egress.connect_index(trust, Place { host: host.clone(), port }).await?;
        if reach == Reach::Indexes {
            environments.learn_index(&host, port);
        }
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
        let connect = async |trust, host: &str, port| {
            let connected = egress.connect_index(trust, Place { host: host.to_owned(), port }).await;
            connected.map(drop).map_err(|error| error.is_denial())
        };
        assert_eq!(connect(Trust::Named, "127.0.0.1", own.port()).await, Ok(()));
        for trust in [Trust::Sent, Trust::None] {
            for (host, port) in [
                ("127.0.0.1", own.port()),
                ("127.0.0.1", 80),
                ("localhost", 443),
                ("169.254.169.254", 80),
                ("[::1]", 80),
            ] {
                assert_eq!(connect(trust, host, port).await, Err(true), "{trust:?} {host}");
            }
        }
        assert_eq!(connect(Trust::None, "10.0.0.1", 443).await, Err(true));
        assert!(Trust::Sent.is_good(SocketAddr::from(([10, 0, 0, 1], 443))), "an index of a private network");
    }
}

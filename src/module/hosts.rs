//! Hosts as manifests and operators name them: `api.example.com`, `*.example.org`, either with a port.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::report::{Fault, Kind};

/// The longest host name there is.
const MAX_NAME: usize = 253;

/// The longest part of one.
const MAX_LABEL: usize = 63;

/// The ports of one that names none: HTTPS and HTTP.
const PORTS: [u16; 2] = [443, 80];

/// A host, or all below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// Lower case, without a final dot.
    name: String,
    /// `*.NAME`: all below it, and not itself.
    is_below: bool,
    port: Option<u16>,
}

/// Why a text names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// A bare `*`.
    #[error("`*` would be every host")]
    Every,
    /// `*.com`, or a star elsewhere.
    #[error("`{0}` names too many hosts")]
    TooMany(String),
    /// An address.
    #[error("`{0}` is an address, not the name of a host")]
    Address(String),
    /// A URL.
    #[error("`{0}` is a URL, not the name of a host")]
    Url(String),
    /// Neither.
    #[error("`{0}` is not the name of a host")]
    Name(String),
    /// What follows the colon.
    #[error("`{0}` is not a port")]
    Port(String),
}

impl Fault for HostPatternError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            HostPatternError::Every => "name the hosts that it needs".to_owned(),
            HostPatternError::TooMany(_) => "`*.` stands first, before at least two parts: `*.example.com`".to_owned(),
            HostPatternError::Address(_) => {
                "give the machine a name; its operator can say what it stands for".to_owned()
            }
            HostPatternError::Url(url) => {
                let host = url::Url::parse(url).ok().and_then(|url| {
                    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                    Some(format!("write `{}{port}`", url.host_str()?))
                });
                host.unwrap_or_else(|| "write its host alone".to_owned())
            }
            HostPatternError::Name(name) => match url::Host::parse(name) {
                // A name in another script, as the network knows it.
                Ok(url::Host::Domain(ascii)) if ascii.parse::<HostPattern>().is_ok() => format!("write `{ascii}`"),
                _ => "write for example `api.example.com`, `*.example.org` or `api.example.com:8443`".to_owned(),
            },
            HostPatternError::Port(_) => "a port is a number from 1 to 65535".to_owned(),
        })
    }

    fn kind(&self) -> Kind {
        Kind::Check
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let whole = || text.to_owned();
        if text == "*" {
            return Err(HostPatternError::Every);
        }
        if text.contains('/') {
            return Err(HostPatternError::Url(whole()));
        }
        if text.parse::<IpAddr>().is_ok() || text.starts_with('[') {
            return Err(HostPatternError::Address(whole()));
        }
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => {
                let number = port.parse().ok().filter(|number| *number > 0 && !port.starts_with(['0', '+']));
                (name, Some(number.ok_or_else(|| HostPatternError::Port(port.to_owned()))?))
            }
        };
        let (name, is_below) = match name.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let name = name.to_ascii_lowercase();
        if name.contains('*') || (is_below && !name.contains('.')) {
            return Err(HostPatternError::TooMany(whole()));
        }
        if !is_name(&name) {
            return Err(HostPatternError::Name(whole()));
        }
        // `127.1` and `0x7f.1` are addresses to those who connect.
        match url::Host::parse(&name) {
            Ok(url::Host::Domain(_)) => Ok(HostPattern { name, is_below, port }),
            Ok(_) => Err(HostPatternError::Address(whole())),
            Err(_) => Err(HostPatternError::Name(whole())),
        }
    }
}

/// Whether all parts are as host names have them.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        (1..=MAX_LABEL).contains(&part.len())
            && part.bytes().all(is_known)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= MAX_NAME && name.split('.').all(is_part)
}

impl HostPattern {
    /// Whether it means this port of this host: a name in lower case, without a final dot.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let is_host = match self.is_below {
            true => host.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            false => host == self.name,
        };
        is_host && self.port.map_or(PORTS.contains(&port), |own| own == port)
    }

    /// Whether both mean some port of some host.
    pub fn overlaps(&self, other: &HostPattern) -> bool {
        let ports = |pattern: &HostPattern| pattern.port.map_or(PORTS.to_vec(), |port| vec![port]);
        let covers = |wide: &HostPattern, narrow: &HostPattern| match (wide.is_below, narrow.is_below) {
            (false, false) => wide.name == narrow.name,
            (false, true) => false,
            // All below one host, and one or all below another.
            (true, _) => {
                narrow.name.strip_suffix(&wide.name).is_some_and(|rest| rest.ends_with('.'))
                    || (narrow.is_below && wide.name == narrow.name)
            }
        };
        (covers(self, other) || covers(other, self)) && ports(self).iter().any(|port| ports(other).contains(port))
    }

    /// The one that means this port of this host.
    pub fn naming(host: &str, port: u16) -> String {
        if PORTS.contains(&port) { host.to_owned() } else { format!("{host}:{port}") }
    }

    /// Whether it may mean the machine itself: `localhost`, or a name below that.
    pub fn is_localhost(&self) -> bool {
        is_localhost(&self.name)
    }
}

/// Names that always mean the machine itself (RFC 6761).
pub fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}{}{port}", if self.is_below { "*." } else { "" }, self.name)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_host_is_itself_and_a_star_is_all_below() {
        let one = host("API.Example.com");
        assert_eq!(one.to_string(), "api.example.com");
        assert!(one.matches("api.example.com", 443) && one.matches("api.example.com", 80));
        for (other, port) in [("api.example.com", 8443), ("x.api.example.com", 443), ("apixexample.com", 443)] {
            assert!(!one.matches(other, port), "{other}:{port}");
        }
        let below = host("*.example.org:8443");
        assert!(below.matches("a.example.org", 8443) && below.matches("a.b.example.org", 8443));
        for (other, port) in [("example.org", 8443), (".example.org", 8443), ("badexample.org", 8443)] {
            assert!(!below.matches(other, port), "{other}:{port}");
        }
        assert!(!below.matches("a.example.org", 443));
        for (one, other, both) in [
            ("a.example.org", "a.example.org:443", true),
            ("a.example.org", "a.example.org:8443", false),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "*.a.example.org", true),
            ("*.example.org", "*.example.org:80", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "bad-example.org", false),
        ] {
            assert_eq!(
                (host(one).overlaps(&host(other)), host(other).overlaps(&host(one))),
                (both, both),
                "{one} {other}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_told_apart() {
        for (text, error) in [
            ("*", "`*` would be every host"),
            ("*.com", "`*.com` names too many hosts"),
            ("a.*.com", "`a.*.com` names too many hosts"),
            ("10.0.0.1", "`10.0.0.1` is an address, not the name of a host"),
            ("127.1", "`127.1` is an address, not the name of a host"),
            ("0x7f000001", "`0x7f000001` is an address, not the name of a host"),
            ("2130706433:80", "`2130706433:80` is an address, not the name of a host"),
            ("::1", "`::1` is an address, not the name of a host"),
            ("[::1]:80", "`[::1]:80` is an address, not the name of a host"),
            ("https://a.b/c", "`https://a.b/c` is a URL, not the name of a host"),
            ("", "`` is not the name of a host"),
            ("a..b", "`a..b` is not the name of a host"),
            ("a b", "`a b` is not the name of a host"),
            ("bücher.example", "`bücher.example` is not the name of a host"),
            ("user@a.b", "`user@a.b` is not the name of a host"),
            ("a.b:0", "`0` is not a port"),
            ("a.b:", "`` is not a port"),
            ("a.b:70000", "`70000` is not a port"),
        ] {
            let found = text.parse::<HostPattern>().expect_err(text);
            assert_eq!(found.to_string(), error);
            assert!(found.hint().is_some());
        }
        let hint = |text: &str| text.parse::<HostPattern>().expect_err(text).hint().expect("a hint");
        assert_eq!(hint("bücher.example"), "write `xn--bcher-kva.example`");
        assert_eq!(hint("https://a.b:8443/c"), "write `a.b:8443`");
    }
}

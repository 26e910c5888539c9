//! Token buckets by address: a burst, then a steady rate.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::Mutex,
    time::Duration,
};

use jiff::Timestamp;

/// Past this many keys, full buckets are forgotten: they are as good as new ones.
const MANY: usize = 10_000;

/// How often something may be done.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// How often at once.
    pub burst: u32,
    /// How long one more takes to come back.
    pub refill: Duration,
}

/// What counts as one client: an address, or the network of an IPv6 address, since a client has all of that.
pub(super) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// One bucket a key.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    /// When each bucket will be full again.
    full_at: Mutex<HashMap<K, Timestamp>>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Buckets { rate, full_at: Mutex::new(HashMap::new()) }
    }

    /// Whether one more is allowed, without taking it; else how long until it is.
    pub(super) fn check(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        let full_at = self.full_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.wait(full_at.get(key).copied(), now)
    }

    /// Takes one, or says how long until there is one.
    pub(super) fn take(&self, key: K, now: Timestamp) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.wait(full_at.get(&key).copied(), now)?;
        if full_at.len() >= MANY {
            full_at.retain(|_, full| *full > now);
        }
        let full = full_at.entry(key).or_insert(now);
        *full = (*full).max(now).saturating_add(self.rate.refill).unwrap_or(Timestamp::MAX);
        Ok(())
    }

    fn wait(&self, full_at: Option<Timestamp>, now: Timestamp) -> Result<(), Duration> {
        let missing = full_at.map_or(Duration::ZERO, |full| full.duration_since(now).try_into().unwrap_or_default());
        let allowed = self.rate.refill * self.rate.burst.saturating_sub(1);
        if missing <= allowed { Ok(()) } else { Err(missing - allowed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client() {
        let of = |text: &str| client(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }

    #[test]
    fn a_burst_then_a_steady_rate() {
        let buckets = Buckets::new(Rate { burst: 3, refill: Duration::from_secs(60) });
        let start = Timestamp::UNIX_EPOCH;
        let at = |seconds: i64| start + jiff::SignedDuration::from_secs(seconds);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", start), Ok(()));
        }
        assert_eq!(buckets.take("a", start), Err(Duration::from_secs(60)));
        assert_eq!(buckets.take("b", start), Ok(()), "another key is not touched");
        assert_eq!(buckets.take("a", at(59)), Err(Duration::from_secs(1)));
        assert_eq!(buckets.take("a", at(60)), Ok(()));
        assert_eq!(buckets.take("a", at(60)), Err(Duration::from_secs(60)));
        for _ in 0..3 {
            assert_eq!(buckets.take("a", at(600)), Ok(()), "a long pause fills it, and no more");
        }
        assert!(buckets.take("a", at(600)).is_err());
    }
}

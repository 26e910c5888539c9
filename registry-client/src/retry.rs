//! When a call is tried again, and how patient the client is.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How patient the client is. The defaults are for people; tests take less.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How often a call is made at most.
    pub tries: u32,
    /// The longest first wait; each further one may be twice as long.
    pub base_wait: Duration,
    /// The longest wait of ours.
    pub max_wait: Duration,
    /// The longest `Retry-After` that is obeyed; past it the call fails at once.
    pub max_retry_after: Duration,
    /// How long a call with a small answer may take.
    pub call_timeout: Duration,
    /// The largest small answer, in bytes.
    pub max_answer: u64,
    /// The largest archive, in bytes.
    pub max_archive: u64,
    /// A transfer that moves less than `min_rate` bytes a second over this long is given up.
    pub rate_window: Duration,
    /// See `rate_window`.
    pub min_rate: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            tries: 5,
            base_wait: Duration::from_millis(500),
            max_wait: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
            call_timeout: Duration::from_secs(20),
            max_answer: 16 << 20,
            max_archive: 50 << 20,
            rate_window: Duration::from_secs(30),
            min_rate: 1024,
        }
    }
}

impl Policy {
    /// How long to wait after try number `done` (from 1) failed; `None` to give up. What the server says about when to
    /// come back goes before what we would do.
    pub fn wait(&self, done: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if done >= self.tries {
            return None;
        }
        if let Some(told) = retry_after {
            return (told <= self.max_retry_after).then_some(told);
        }
        let ceiling = self.base_wait.saturating_mul(1 << (done - 1).min(16)).min(self.max_wait);
        Some(ceiling.mul_f64(random_fraction()))
    }
}

/// From 0 to 1: full jitter, so that clients that failed together do not come back together.
fn random_fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without randomness the longest wait is as good as any.
    if getrandom::fill(&mut bytes).is_err() {
        return 1.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// `Retry-After` in either form: seconds, or a date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;
    use crate::{ClientError, types::Problem};

    fn status(status: u16) -> ClientError {
        let problem = Problem {
            problem_type: String::new(),
            title: String::new(),
            status,
            detail: String::new(),
            hint: None,
            extra: Default::default(),
        };
        ClientError::Status { url: String::new(), status, problem: Box::new(problem), retry_after: None }
    }

    #[test]
    fn waits_grow_are_capped_and_end() {
        let policy = Policy { tries: 12, ..Policy::default() };
        for done in 1..12 {
            let wait = policy.wait(done, None).expect("a wait");
            let ceiling = Duration::from_millis(500 << (done - 1)).min(Duration::from_secs(30));
            assert!(wait <= ceiling, "{done}: {wait:?}");
        }
        assert_eq!(policy.wait(12, None), None);
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_maximum() {
        let policy = Policy::default();
        let told = Duration::from_secs(42);
        assert_eq!(policy.wait(1, Some(told)), Some(told));
        assert_eq!(policy.wait(1, Some(Duration::from_secs(61))), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let header = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).expect("a value"))]);
        assert_eq!(retry_after(&header("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&header("Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        let later = retry_after(&header("Tue, 01 Jan 2999 00:00:00 GMT")).expect("a date");
        assert!(later > Duration::from_secs(1_000_000));
        assert_eq!(retry_after(&header("soon")), None);
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for code in [408, 425, 429, 500, 502, 503, 504] {
            assert!(status(code).is_passing(), "{code}");
        }
        for code in [400, 401, 403, 404, 409, 413, 422, 501] {
            assert!(!status(code).is_passing(), "{code}");
        }
    }
}

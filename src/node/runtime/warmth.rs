//! What stays warm without a run, and for how long: parents and shared interpreters by the same rules.

use std::{sync::Arc, time::Duration};

use super::{
    parent::Parent,
    parents::Parents,
    shared::{Interpreter, Interpreters},
};

/// How long something stays warm when memory is short.
const IDLE_WHEN_SHORT: Duration = Duration::from_secs(10);

/// Percent of the time that processes may wait for memory before it is short, as Linux averages it over ten seconds.
const MAX_STALLED: f64 = 10.0;

/// What has a process that may rest.
enum Warm {
    Parent(Arc<Parent>),
    Interpreter(Arc<Interpreter>),
}

/// Has those rest that have been idle for so long, the longest first when there are more than `most`, and nearly all when
/// memory is short. Where there is time for it, and memory, what the next ones begin with is started ahead.
pub(in crate::node) async fn look_after(
    parents: &Parents,
    interpreters: &Interpreters,
    after: Duration,
    most: usize,
    has_time: bool,
) {
    let is_short = memory_is_short();
    let after = if is_short { after.min(IDLE_WHEN_SHORT) } else { after };
    have_idle_rest(parents, interpreters, after, most);
    if is_short {
        parents.ahead().clear();
    } else if has_time {
        parents.ahead().fill(most).await;
    }
}

fn have_idle_rest(parents: &Parents, interpreters: &Interpreters, after: Duration, most: usize) {
    let of_processes = parents.all().into_iter().filter_map(|parent| Some((parent.idle()?, Warm::Parent(parent))));
    let shared = interpreters.all().into_iter();
    let shared = shared.filter_map(|interpreter| Some((interpreter.idle()?, Warm::Interpreter(interpreter))));
    let mut idle: Vec<_> = of_processes.chain(shared).collect();
    idle.sort_by_key(|(since, _)| *since);
    for (number, (since, warm)) in idle.iter().enumerate() {
        if *since >= after || number >= most {
            match warm {
                Warm::Parent(parent) => parents.rest(parent),
                Warm::Interpreter(interpreter) => interpreter.rest(),
            }
        }
    }
}

/// Whether the machine is short of memory; no, where the system does not tell.
fn memory_is_short() -> bool {
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    is_short(&read("/proc/meminfo"), &read("/proc/pressure/memory"))
}

/// Less than a tenth is available, or processes wait for it.
fn is_short(memory: &str, pressure: &str) -> bool {
    let size = |name: &str| -> Option<u64> {
        memory.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    let stalled = pressure.lines().find_map(|line| line.strip_prefix("some avg10="));
    let stalled = stalled.and_then(|rest| rest.split(' ').next()?.parse().ok());
    let (available, total) = (size("MemAvailable:"), size("MemTotal:"));
    available.zip(total).is_some_and(|(available, total)| available < total / 10)
        || stalled.is_some_and(|stalled: f64| stalled >= MAX_STALLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_when_little_is_left_or_processes_wait_for_it() {
        let memory = |available| format!("MemTotal:  1000 kB\nMemFree:  5 kB\nMemAvailable:  {available} kB\n");
        let pressure = |avg| format!("some avg10={avg} avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00\n");
        assert!(!is_short(&memory(100), &pressure("9.99")));
        assert!(is_short(&memory(99), &pressure("0.00")));
        assert!(is_short(&memory(900), &pressure("10.00")));
        assert!(!is_short("", ""));
    }
}

//! Other processes: none is traced, read, signalled or slowed down, and none of a run's own is left.

use super::{
    Attack,
    End::{Error, Refused},
    Stage, all_fail, attacks,
};

pub const ATTACKS: &[Attack] = attacks! {
    trace_others => [Refused];
    read_memory_of_others => [Refused];
    read_secrets_of_others => [Refused];
    take_descriptors => [Refused];
    signal_others => [Refused];
    kill_its_parent => [Refused];
    slow_others_down => [Refused];
    survive_its_end => [Refused];
    come_back_at_exit => [Refused];
    ignore_its_deadline => [Error("time limit of 2 s reached")], limits: "timeout = \"2s\"\n";
    stop_itself => [Error("time limit of 2 s reached")], limits: "timeout = \"2s\"\n";
    die_of_a_fault => [Error("the module's process was ended by signal 11 before it had a result")];
};

#[test]
fn no_other_process_is_touched_and_none_is_left() {
    all_fail(ATTACKS, Stage::with(ATTACKS));
}

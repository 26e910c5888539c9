//! The node's doors and the run's channel: nobody is believed to be another, and what is no frame ends its own run.

use super::{
    Attack,
    End::{Error, Refused, Result},
    Stage, all_fail, attacks,
};

pub const ATTACKS: &[Attack] = attacks! {
    forge_results_of_others => [Refused];
    two_results => [Result("first")];
    huge_frame => [Error("result limit of 16 MiB reached"), Error("gave up its connection"), Error("BrokenPipe")];
    broken_frames => [Error("gave up its connection")], inputs: "{\"which\": \"no json\"}";
    broken_frames => [Error("gave up its connection")], inputs: "{\"which\": \"deep\"}";
    broken_frames => [Error("gave up its connection")], inputs: "{\"which\": \"deep call\"}";
    broken_frames => [Error("gave up its connection")], inputs: "{\"which\": \"unknown\"}";
    broken_frames => [Error("gave up its connection")], inputs: "{\"which\": \"wrong types\"}";
    broken_frames => [Error("gave up its connection")], inputs: "{\"which\": \"negative id\"}";
    broken_frames => [Error("gave up its connection")], inputs: "{\"which\": \"empty\"}";
    wrong_calls => [Refused];
    many_calls => [Refused];
    use_anothers_credential => [Refused];
    look_at_others_runs => [Refused];
    call_outside_of_its_deployment => [Refused];
    use_anothers_storage => [Refused];
};

#[test]
fn nobody_is_taken_for_another() {
    all_fail(ATTACKS, Stage::with(ATTACKS));
}

//! Other machines and servers: none is reached but the node, and what its proxy lets through.

use super::{Attack, End::Refused, Stage, all_fail, attacks};

pub const ATTACKS: &[Attack] = attacks! {
    reach_the_database => [Refused];
    reach_the_metadata => [Refused];
    datagrams_and_names => [Refused];
    odd_sockets => [Refused];
    sockets_of_the_machine => [Refused];
    pose_as_the_node => [Refused];
    misuse_the_proxy => [Refused];
};

#[test]
fn nothing_is_reached_but_the_node() {
    all_fail(ATTACKS, Stage::with(ATTACKS));
}

#[test]
fn nor_from_an_interpreter_that_is_shared() {
    all_fail(ATTACKS, Stage::shared(ATTACKS));
}

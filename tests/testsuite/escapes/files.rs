//! What lies on the machine's disks: nobody else's is read, changed or removed.

use super::{Attack, End::Refused, Stage, all_fail, attacks};

pub const ATTACKS: &[Attack] = attacks! {
    read_the_nodes_keys => [Refused];
    read_the_nodes_database => [Refused];
    read_the_operators_home => [Refused];
    read_the_systems_secrets => [Refused];
    search_everything => [Refused];
    read_other_modules => [Refused];
    read_other_environments => [Refused];
    read_a_siblings_scratch => [Refused];
    read_anothers_scratch => [Refused];
    links_out_of_scratch => [Refused];
    replace_the_scratch => [Refused];
    a_scratch_that_cannot_be_removed => [Refused];
    device_nodes => [Refused];
    change_its_own_code => [Refused];
    remove_the_environment => [Refused];
};

#[test]
fn nobody_elses_files_are_reached() {
    all_fail(ATTACKS, Stage::with(ATTACKS));
}

#[test]
fn nor_from_an_interpreter_that_is_shared() {
    all_fail(ATTACKS, Stage::shared(ATTACKS));
}

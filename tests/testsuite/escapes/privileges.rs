//! What only the machine's administrator may: nothing of it is gained, and the kernel is asked for little.

use super::{Attack, End::Refused, Stage, all_fail, attacks};

pub const ATTACKS: &[Attack] = attacks! {
    mounts => [Refused];
    chroot_out => [Refused];
    new_namespaces => [Refused];
    become_root => [Refused];
    undo_the_seal => [Refused];
    kernel_interfaces => [Refused];
    other_architectures => [Refused];
    change_the_machine => [Refused];
    cgroup_files => [Refused];
    terminal_injection => [Refused];
};

#[test]
fn no_privilege_is_gained() {
    all_fail(ATTACKS, Stage::with(ATTACKS));
}

//! More than one's share: of processes, memory, disk, output, descriptors, processor time. The run ends, others go on.

use super::{
    Attack,
    End::{Error, Refused},
    Stage, all_fail, attacks,
};

pub const ATTACKS: &[Attack] = attacks! {
    fork_bomb => [Refused, Error("process limit of 64 reached")], limits: "processes = 64\n";
    doubling_bomb => [Refused, Error("process limit of 64 reached")], limits: "processes = 64\n";
    thread_bomb => [Refused, Error("process limit of 64 reached")], limits: "processes = 64\n";
    memory_bomb => [Error("memory limit of 256 MiB reached")];
    memory_of_many => [Refused, Error("memory limit of 256 MiB reached")];
    memory_that_is_shared => [Refused, Error("memory limit of 256 MiB reached")], inputs: "{\"which\": \"shared\"}";
    memory_that_is_shared => [Refused, Error("memory limit of 256 MiB reached")], inputs: "{\"which\": \"memory file\"}";
    memory_that_is_shared => [Refused, Error("memory limit of 256 MiB reached")], inputs: "{\"which\": \"shm\"}";
    disk_bomb => [Error("file size limit of 64 MiB reached")], limits: "file-size = \"64MiB\"\n";
    disk_of_many_files => [Error("disk limit of 64 MiB reached")], limits: "disk = \"64MiB\"\n";
    files_without_content => [Error("disk limit of 64 MiB reached")], limits: "disk = \"64MiB\"\n";
    sparse_file => [Refused, Error("file size limit of 64 MiB reached")], limits: "file-size = \"64MiB\"\n";
    output_bomb => [Error("output limit of 1 MiB reached")], limits: "output = \"1MiB\"\n";
    endless_line => [Error("output limit of 1 MiB reached")], limits: "output = \"1MiB\"\n";
    descriptor_bomb => [Refused, Error("open file limit of 256 reached")], limits: "files = 256\n";
    cpu_spin => [Error("CPU limit of 2 s reached")], limits: "cpu = \"2s\"\n";
    cpu_of_many => [Error("CPU limit of 2 s reached")], limits: "cpu = \"2s\"\n";
    result_bomb => [Error("result limit of 16 MiB reached")];
};

#[test]
fn nobody_takes_more_than_their_share() {
    all_fail(ATTACKS, Stage::with(ATTACKS));
}

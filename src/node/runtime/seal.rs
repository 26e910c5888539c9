//! What a parent is told of how its children are to be shut in; `seal.py` does it.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

/// The same for all runs of a parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::node) struct Seal {
    /// Paths that may be read and executed, besides the run's module and environment.
    pub read: Vec<PathBuf>,
    /// Ports of TCP on this machine that may be reached.
    pub ports: Vec<u16>,
    /// A BPF program in base64.
    filter: String,
}

impl Seal {
    /// `None` on a processor for which there is no filter.
    pub(in crate::node) fn new(read: Vec<PathBuf>, ports: Vec<u16>) -> Option<Self> {
        Some(Seal { read, ports, filter: STANDARD.encode(filter()?) })
    }
}

/// What one processor calls things.
struct Calls {
    /// `AUDIT_ARCH_…`.
    architecture: u32,
    clone: u32,
    clone3: u32,
    unshare: u32,
    setns: u32,
}

const CALLS: Option<Calls> = if cfg!(target_arch = "x86_64") {
    Some(Calls { architecture: 0xc000_003e, clone: 56, clone3: 435, unshare: 272, setns: 308 })
} else if cfg!(target_arch = "aarch64") {
    Some(Calls { architecture: 0xc000_00b7, clone: 220, clone3: 435, unshare: 97, setns: 268 })
} else {
    None
};

/// `CLONE_NEW…`: those of namespaces.
const NEW_NAMESPACES: u32 =
    0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000 | 0x0000_0080;

/// A run stays in its namespaces: it is recognised by them. `clone3` has its flags in memory, where no filter sees
/// them; libraries go on with `clone` when there is none.
fn filter() -> Option<Vec<u8>> {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const IF_NOT_LESS: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const IF_ANY_OF: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const NUMBER: u32 = 0; // offsets in `struct seccomp_data`
    const ARCHITECTURE: u32 = 4;
    const FIRST_ARGUMENT: u32 = 16;
    const KILL: u32 = 0x8000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    const REFUSE: u32 = 0x0005_0000; // with a number of an error
    const EPERM: u32 = 1;
    const ENOSYS: u32 = 38;
    /// Numbers of another call convention (x32).
    const OTHER_CONVENTION: u32 = 0x4000_0000;

    let calls = CALLS?;
    // Operation, how many to skip when it holds, and when it does not, operand.
    let program: [(u16, u8, u8, u32); 14] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (IF_EQUAL, 0, 8, calls.architecture),
        (LOAD, 0, 0, NUMBER),
        (IF_NOT_LESS, 6, 0, OTHER_CONVENTION),
        (IF_EQUAL, 6, 0, calls.unshare),
        (IF_EQUAL, 5, 0, calls.setns),
        (IF_EQUAL, 5, 0, calls.clone3),
        (IF_EQUAL, 0, 5, calls.clone),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_ANY_OF, 1, 3, NEW_NAMESPACES),
        (RETURN, 0, 0, KILL),
        (RETURN, 0, 0, REFUSE | EPERM),
        (RETURN, 0, 0, REFUSE | ENOSYS),
        (RETURN, 0, 0, ALLOW),
    ];
    let bytes = program.iter().flat_map(|(operation, holds, not, operand)| {
        let [low, high] = operation.to_ne_bytes();
        let [a, b, c, d] = operand.to_ne_bytes();
        [low, high, *holds, *not, a, b, c, d]
    });
    Some(bytes.collect())
}

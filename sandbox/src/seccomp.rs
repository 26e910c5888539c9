//! System calls that no module has use for, refused: a list of what is denied, since what Python and its libraries need
//! cannot be listed. What is newer than the list does not exist.

use nix::libc;
use seccompiler::sock_filter;

use crate::Policy;

/// The newest system call that the list below has considered.
const NEWEST: u32 = 470;

/// Numbers of the x32 ABI, which are other names for the same calls.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
const ARCH: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCH: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCH: Option<u32> = None;

/// Never allowed.
const DENIED: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Memory and queues that outlive who made them, and that others find by a number or a name.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    STATMOUNT,
    LISTMOUNT,
    OPEN_TREE_ATTR,
    LISTNS,
    // Namespaces.
    libc::SYS_setns,
    // What the kernel runs or hands out for others.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_memfd_secret,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_lookup_dcookie,
    libc::SYS_vmsplice,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Of Linux 6.8 to 6.18; the same numbers for all processors.
const STATMOUNT: libc::c_long = 457;
const LISTMOUNT: libc::c_long = 458;
const OPEN_TREE_ATTR: libc::c_long = 467;
const LISTNS: libc::c_long = 470;

/// Flags of `clone` and `unshare` that make a namespace.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

const PROCESSES: u32 = libc::CLONE_NEWPID as u32;

/// Where `struct seccomp_data` has the call's number, its processor, and the low half of an argument.
const NUMBER: u32 = 0;
const PROCESSOR: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// Classic BPF: load a word, jump when equal, when greater, when not less, when any bit is set; and, return.
const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const GREATER: u16 = 0x25;
#[cfg(target_arch = "x86_64")]
const NOT_LESS: u16 = 0x35;
const ANY_BIT: u16 = 0x45;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const fn refuse(error: libc::c_int) -> u32 {
    0x0005_0000 | error as u32
}

fn one(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// A system call's number as the filter sees it.
fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).expect("numbers of system calls are small and positive")
}

/// `body` for one system call; it ends in a return. The number is loaded before and after.
fn on(filter: &mut Vec<sock_filter>, call: libc::c_long, body: &[sock_filter]) {
    let length = u8::try_from(body.len()).expect("a body has a few instructions");
    filter.push(jump(EQUAL, number(call), 0, length));
    filter.extend_from_slice(body);
}

/// Other processors' calls end the program; unknown calls do not exist. Afterwards the number is loaded.
fn guards(arch: u32) -> Vec<sock_filter> {
    vec![
        one(LOAD, PROCESSOR),
        jump(EQUAL, arch, 1, 0),
        one(RETURN, KILL),
        one(LOAD, NUMBER),
        #[cfg(target_arch = "x86_64")]
        jump(NOT_LESS, X32, 1, 0),
        jump(GREATER, NEWEST, 0, 1),
        one(RETURN, refuse(libc::ENOSYS)),
    ]
}

/// The filter of a whole program; `None` for a processor whose numbers are not known.
fn filter(policy: &Policy) -> Option<Vec<sock_filter>> {
    let mut filter = guards(ARCH?);
    for call in DENIED {
        on(&mut filter, *call, &[one(RETURN, refuse(libc::EPERM))]);
    }
    // Its flags are in memory, where a filter cannot look. Without it, libraries use `clone`.
    on(&mut filter, libc::SYS_clone3, &[one(RETURN, refuse(libc::ENOSYS))]);
    on(
        &mut filter,
        libc::SYS_clone,
        &[
            one(LOAD, argument(0)),
            // Whoever starts runs gives each its own processes.
            jump(ANY_BIT, if policy.serves { NAMESPACES & !PROCESSES } else { NAMESPACES }, 0, 1),
            one(RETURN, refuse(libc::EPERM)),
            one(RETURN, ALLOW),
        ],
    );
    if policy.nested || policy.serves {
        let user = libc::CLONE_NEWUSER as u32;
        on(
            &mut filter,
            libc::SYS_unshare,
            &[one(LOAD, argument(0)), jump(EQUAL, user, 0, 1), one(RETURN, ALLOW), one(RETURN, refuse(libc::EPERM))],
        );
    } else {
        on(&mut filter, libc::SYS_unshare, &[one(RETURN, refuse(libc::EPERM))]);
    }
    on(
        &mut filter,
        libc::SYS_personality,
        &[
            one(LOAD, argument(0)),
            jump(EQUAL, 0, 2, 0),
            // What asks only which it is.
            jump(EQUAL, u32::MAX, 1, 0),
            one(RETURN, refuse(libc::EPERM)),
            one(RETURN, ALLOW),
        ],
    );
    // Limits and priorities: one's own, since others may be of the same user.
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
    ] {
        on(&mut filter, call, &only(&[(0, 0)]));
    }
    on(&mut filter, libc::SYS_setpriority, &only(&[(0, PRIO_PROCESS), (1, 0)]));
    on(&mut filter, libc::SYS_ioprio_set, &only(&[(0, IOPRIO_WHO_PROCESS), (1, 0)]));
    // Typing into somebody's terminal.
    on(
        &mut filter,
        libc::SYS_ioctl,
        &[
            one(LOAD, argument(1)),
            jump(EQUAL, TIOCSTI, 1, 0),
            jump(EQUAL, TIOCLINUX, 0, 1),
            one(RETURN, refuse(libc::EPERM)),
            one(RETURN, ALLOW),
        ],
    );
    filter.extend(sockets());
    filter.push(one(RETURN, ALLOW));
    Some(filter)
}

/// Allows a call whose arguments have these values.
fn only(arguments: &[(u32, u32)]) -> Vec<sock_filter> {
    let mut body = Vec::new();
    for (index, value) in arguments {
        body.extend([one(LOAD, argument(*index)), jump(EQUAL, *value, 1, 0), one(RETURN, refuse(libc::EPERM))]);
    }
    body.push(one(RETURN, ALLOW));
    body
}

const PRIO_PROCESS: u32 = 0;
const IOPRIO_WHO_PROCESS: u32 = 1;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

/// Unix sockets of any kind, and TCP.
fn sockets() -> Vec<sock_filter> {
    const fn small(value: libc::c_int) -> u32 {
        value as u32
    }
    let mut filter = Vec::new();
    on(
        &mut filter,
        libc::SYS_socket,
        &[
            one(LOAD, argument(0)),
            jump(EQUAL, small(libc::AF_UNIX), 8, 0),
            jump(EQUAL, small(libc::AF_INET), 1, 0),
            jump(EQUAL, small(libc::AF_INET6), 0, 7),
            one(LOAD, argument(1)),
            // Without `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
            one(AND, 0xf),
            jump(EQUAL, small(libc::SOCK_STREAM), 0, 4),
            one(LOAD, argument(2)),
            jump(EQUAL, 0, 1, 0),
            jump(EQUAL, small(libc::IPPROTO_TCP), 0, 1),
            one(RETURN, ALLOW),
            one(RETURN, refuse(libc::EACCES)),
        ],
    );
    filter
}

/// Installs the filter of a whole program; false where there is none.
pub(crate) fn restrict(policy: &Policy) -> bool {
    filter(policy).is_some_and(|filter| seccompiler::apply_filter(&filter).is_ok())
}

/// Installs the filter of [`crate::child_filter`], where there is one.
pub(crate) fn restrict_child() -> Result<(), seccompiler::Error> {
    ARCH.map_or(Ok(()), |arch| seccompiler::apply_filter(&no_namespaces(arch)))
}

fn no_namespaces(arch: u32) -> Vec<sock_filter> {
    let mut filter = guards(arch);
    on(&mut filter, libc::SYS_unshare, &[one(RETURN, refuse(libc::EPERM))]);
    on(
        &mut filter,
        libc::SYS_clone,
        &[
            one(LOAD, argument(0)),
            jump(ANY_BIT, NAMESPACES, 0, 1),
            one(RETURN, refuse(libc::EPERM)),
            one(RETURN, ALLOW),
        ],
    );
    filter.push(one(RETURN, ALLOW));
    filter
}

/// See [`crate::child_filter`].
pub(crate) fn child_filter() -> Vec<u8> {
    let Some(arch) = ARCH else { return Vec::new() };
    let filter = no_namespaces(arch);
    let mut bytes = Vec::with_capacity(8 * filter.len());
    for instruction in filter {
        bytes.extend(instruction.code.to_ne_bytes());
        bytes.extend([instruction.jt, instruction.jf]);
        bytes.extend(instruction.k.to_ne_bytes());
    }
    bytes
}

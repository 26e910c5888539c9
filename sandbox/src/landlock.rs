//! Landlock: what of the file system and the network a program and all that it starts may use, whatever is mounted.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

use crate::{Policy, mounts};

/// The newest version that is made use of; older kernels do what they can.
const NEWEST: ABI = ABI::V6;

/// Shuts this process in, and says which version did; 0 where there is none.
pub(crate) fn restrict(policy: &Policy) -> Result<i32, RulesetError> {
    let read = AccessFs::from_read(NEWEST);
    let all = AccessFs::from_all(NEWEST);
    let mut rules = allow(ruleset()?, Path::new("/dev"), read | AccessFs::WriteFile)?;
    // The entries of processes: which of them can be written is for the kernel to say.
    rules = allow(rules, Path::new("/proc"), read | AccessFs::WriteFile)?;
    rules = allow(rules, Path::new("/etc"), read)?;
    for path in mounts::system_paths().iter().chain(&policy.read) {
        rules = allow(rules, path, read)?;
    }
    for path in &policy.write {
        rules = allow(rules, path, all)?;
    }
    let rules = connect(rules, &policy.listen)?;
    Ok(match rules.restrict_self()?.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    })
}

/// What of the machine programs look at. The processes of others are not there.
const ABOUT_THE_MACHINE: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
];

/// The walls of one run of a program, as far as they are the same for all. They stand with [`enclose`].
pub(crate) fn common(program: &Path, ports: &[u16]) -> Result<RulesetCreated, RulesetError> {
    let read = AccessFs::from_read(NEWEST);
    let mut rules = ruleset()?;
    let common = ["/etc", "/proc/self"].map(Path::new).into_iter().chain([program]);
    for path in mounts::system_paths().iter().map(PathBuf::as_path).chain(common) {
        rules = allow(rules, path, read)?;
    }
    for path in ABOUT_THE_MACHINE {
        rules = allow(rules, Path::new(path), read & !AccessFs::Execute)?;
    }
    for path in mounts::DEVICES {
        let access = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
        rules = allow(rules, Path::new(path), access)?;
    }
    connect(rules, ports)
}

/// Shuts this process in, with its own folders beside what is common.
pub(crate) fn enclose(rules: RulesetCreated, root: &Path, scratch: &Path) -> Result<(), RulesetError> {
    let rules = allow(rules, root, AccessFs::from_read(NEWEST))?;
    let rules = allow(rules, scratch, AccessFs::from_all(NEWEST) & !AccessFs::IoctlDev)?;
    rules.restrict_self().map(drop)
}

fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()
}

fn connect(mut rules: RulesetCreated, ports: &[u16]) -> Result<RulesetCreated, RulesetError> {
    for port in ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules)
}

/// What is not there needs no rule: the mounts are what says whether it has to be.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(fd) => {
            // A file has fewer rights than a folder.
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
            rules.add_rule(PathBeneath::new(fd, access))
        }
        Err(_) => Ok(rules),
    }
}

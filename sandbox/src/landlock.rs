//! Landlock: what of the file system and the network a program and all that it starts may use, whatever is mounted.

use std::path::Path;

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
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let mut rules = allow(rules, Path::new("/dev"), read | AccessFs::WriteFile)?;
    // The entries of processes: which of them can be written is for the kernel to say.
    rules = allow(rules, Path::new("/proc"), read | AccessFs::WriteFile)?;
    rules = allow(rules, Path::new("/etc"), read)?;
    for path in mounts::system_paths().iter().chain(&policy.read) {
        rules = allow(rules, path, read)?;
    }
    for path in &policy.write {
        rules = allow(rules, path, all)?;
    }
    for port in &policy.listen {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(match rules.restrict_self()?.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    })
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

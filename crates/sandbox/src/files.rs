// SPDX-License-Identifier: BSD-3-Clause
//! Files, ports, and the signals of others, by Landlock.
//!
//! | profile | can be read and run | can be changed |
//! |---|---|---|
//! | `default` | everything | `writable` |
//! | `strict` | [`LIBRARIES`], `readable`, `writable` | `writable` |

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus,
    Scope, path_beneath_rules,
};

use crate::{Allow, Error, Measure, MeasureKind, Profile, Sandbox};

/// The newest version whose rules are known here. An older kernel gives what it has.
const VERSION: ABI = ABI::V6;

/// What a program reads before and while it loads libraries.
const LIBRARIES: [&str; 16] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    // The configuration of a library that Node does not start without, if it is there.
    "/etc/ssl/openssl.cnf",
    "/dev/null",
    "/dev/urandom",
    // What language runtimes ask of the machine and of themselves.
    "/proc/self",
    "/proc/meminfo",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",
];

/// What can be written although it is not the plugin's: it keeps nothing.
const SINKS: [&str; 1] = ["/dev/null"];

pub(crate) fn restrict(sandbox: &Sandbox) -> Result<Measure, Error> {
    let reads = AccessFs::from_read(VERSION);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?;
    if !sandbox.allows(Allow::Network) {
        rules = rules.handle_access(AccessNet::from_all(VERSION))?;
    }
    let readable: &[&str] = if sandbox.profile == Profile::Strict { &LIBRARIES } else { &["/"] };
    let writes: BitFlags<AccessFs> = AccessFs::from_all(VERSION);
    let mut rules = rules
        .create()?
        .add_rules(path_beneath_rules(readable, reads))?
        .add_rules(path_beneath_rules(SINKS, AccessFs::from_file(VERSION)))?;
    rules = add(rules, &sandbox.readable, reads)?;
    rules = add(rules, &sandbox.writable, writes)?;
    let status = rules.restrict_self()?;
    let lacks = match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => None,
        (_, LandlockStatus::Available { .. }) => {
            Some("this kernel's Landlock is older and keeps a part of the rules".to_owned())
        }
        (_, LandlockStatus::NotEnabled) => {
            Some("Landlock is switched off in this kernel".to_owned())
        }
        (_, _) => Some("this kernel has no Landlock".to_owned()),
    };
    Ok(Measure { kind: MeasureKind::Files, lacks })
}

/// Lets files and folders be used so. One that is not there is an error: it was asked for.
fn add(
    mut rules: RulesetCreated,
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Error> {
    for path in paths {
        let opened =
            PathFd::new(path).map_err(|source| Error::Path { path: path.clone(), source })?;
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(VERSION) };
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    Ok(rules)
}

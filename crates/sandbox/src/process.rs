// SPDX-License-Identifier: BSD-3-Clause
//! What the process is: whose child, which user, with which privileges.

use rustix::process::{
    DumpableBehavior, Gid, Signal, Uid, getppid, set_dumpable_behavior,
    set_parent_process_death_signal,
};
use rustix::thread::{set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid};

use crate::{Error, User};

/// The process is killed when the thread that started it ends.
pub(crate) fn end_with_parent() -> Result<(), Error> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| Error::Kernel {
        action: "asking to end with the parent",
        source: errno.into(),
    })?;
    // It may have ended before the signal was asked for.
    if parent.is_none() || getppid() != parent { Err(Error::Orphan) } else { Ok(()) }
}

/// Becomes another user, with one group. The process has one thread.
pub(crate) fn become_user(user: User) -> Result<(), Error> {
    let User { uid, gid } = user;
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // The user last: it may be what allows the rest.
    set_thread_groups(&[])
        .and_then(|()| set_thread_gid(group))
        .and_then(|()| set_thread_uid(user))
        .map_err(|errno| Error::User { uid, gid, source: errno.into() })?;
    // So that it can read about itself in `/proc` as before.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(|errno| Error::User {
        uid,
        gid,
        source: errno.into(),
    })?;
    // A change of user takes it back.
    end_with_parent()
}

/// No program that the process runs gives it a privilege.
pub(crate) fn give_up_privileges() -> Result<(), Error> {
    set_no_new_privs(true)
        .map_err(|errno| Error::Kernel { action: "giving up new privileges", source: errno.into() })
}

// SPDX-License-Identifier: BSD-3-Clause
//! System calls, by seccomp.
//!
//! A list of what is allowed, so that a call which the kernel learns tomorrow is not: what computes, what
//! uses descriptors that are open, what names files (which ones is for Landlock to bound). Everything else is
//! `EPERM`: among it `ptrace` and memory of other processes, mounts and namespaces, keys, modules, `bpf`,
//! `io_uring`, `userfaultfd`, `perf_event_open`, changes of user, and clocks that are set.
//!
//! Allowed by their arguments:
//!
//! | call | argument |
//! |---|---|
//! | `clone` | makes a thread, or [`Allow::Processes`] |
//! | `kill`, `tgkill`, `rt_sigqueueinfo`, `rt_tgsigqueueinfo` | this process |
//! | `prlimit64`, `sched_setaffinity` | this process, as 0 |
//! | `prctl` | the names of threads and of memory |
//! | `ioctl` | of descriptors: close on exec, non-blocking, how much there is to read, a terminal's state |
//!
//! `clone3`, whose arguments a filter cannot see, is `ENOSYS`: libraries then use `clone`.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use crate::{Allow, Error, Measure, MeasureKind, Sandbox};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

const COMMON: &[i64] = &[
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_msync,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_munlock,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_get_mempolicy,
    // Threads and what they wait for.
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // Time.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    // Signals to the process itself; see `OWN`.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    // Descriptors.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_copy_file_range,
    libc::SYS_sync_file_range,
    libc::SYS_flock,
    // The session with the host, over a socket that is open.
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_socketpair,
    // Files, whose paths are bounded by Landlock.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_statfs,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    // What the process is.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getrandom,
    libc::SYS_getpriority,
    libc::SYS_capget,
];

/// What this architecture has beside its newer form.
#[cfg(target_arch = "x86_64")]
const COMMON_OLD: &[i64] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_alarm,
    libc::SYS_chmod,
    libc::SYS_creat,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getdents,
    libc::SYS_inotify_init,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_signalfd,
    libc::SYS_getpgrp,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const COMMON_OLD: &[i64] = &[];

const NETWORK: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_accept,
];

const PROCESSES: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// One program in place of another, in the same process.
const EXECUTES: &[i64] = &[libc::SYS_execve, libc::SYS_execveat];

/// Calls whose first argument is a process: this one.
const OWN: [i64; 4] =
    [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo];

/// Calls whose first argument is a process or a thread: the one that calls, as 0.
const SELF: [i64; 2] = [libc::SYS_prlimit64, libc::SYS_sched_setaffinity];

/// What `prctl` may do: names of threads, names of memory.
const PRCTL: [i32; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

const IOCTL: [u64; 5] =
    [libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX, libc::FIONCLEX, libc::TCGETS];

pub(crate) fn restrict(sandbox: &Sandbox) -> Result<Measure, Error> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        let lacks = format!("there is no filter for {}", std::env::consts::ARCH);
        return Ok(Measure::lacking(MeasureKind::SystemCalls, lacks));
    };
    // Of two filters the one that refuses decides: the second allows this, and no third can be added.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let unknown = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    apply(clone3, SeccompAction::Allow, unknown, arch)?;
    let allowed = allowed(sandbox).map_err(seccompiler::Error::from)?;
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    apply(allowed, refuse, SeccompAction::Allow, arch)?;
    Ok(Measure::given(MeasureKind::SystemCalls))
}

fn apply(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
    arch: TargetArch,
) -> Result<(), seccompiler::Error> {
    let filter = SeccompFilter::new(rules, otherwise, matched, arch)?;
    apply_filter(&BpfProgram::try_from(filter)?)
}

fn allowed(sandbox: &Sandbox) -> Result<Rules, BackendError> {
    let mut groups = vec![COMMON, COMMON_OLD, &[libc::SYS_clone3]];
    let processes = sandbox.allows(Allow::Processes);
    groups.extend(sandbox.allows(Allow::Network).then_some(NETWORK));
    groups.extend(processes.then_some(PROCESSES));
    groups.extend(sandbox.executes.then_some(EXECUTES));
    let mut rules: Rules = groups.concat().into_iter().map(|call| (call, Vec::new())).collect();
    // A list without a rule allows any arguments: what is there already stays as it is.
    let own = std::process::id();
    for call in OWN {
        let only = is(0, SeccompCmpOp::Eq, u64::from(own))?;
        rules.entry(call).or_insert_with(|| vec![only]);
    }
    for call in SELF {
        rules.insert(call, vec![is(0, SeccompCmpOp::Eq, 0)?]);
    }
    let thread = libc::CLONE_THREAD.cast_unsigned().into();
    let thread = is(0, SeccompCmpOp::MaskedEq(thread), thread)?;
    rules.insert(libc::SYS_clone, if processes { Vec::new() } else { vec![thread] });
    let prctl = PRCTL.map(|option| is(0, SeccompCmpOp::Eq, option.cast_unsigned().into()));
    rules.insert(libc::SYS_prctl, prctl.into_iter().collect::<Result<_, _>>()?);
    let ioctl = IOCTL.map(|request| is(1, SeccompCmpOp::Eq, request));
    rules.insert(libc::SYS_ioctl, ioctl.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

/// The call's argument is this.
fn is(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    SeccompRule::new(vec![condition])
}

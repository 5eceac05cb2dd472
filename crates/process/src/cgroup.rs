// SPDX-License-Identifier: BSD-3-Clause
//! A control group of a worker's own (version 2), in a folder that the configuration names.
//!
//! The worker is put into it before it does anything, so what it starts is in it too, whatever group of
//! processes or session that joins: the limits are those of all together, and the kernel ends all at once.
//!
//! The folder has to be one that the host may write to, whose groups have the controllers `memory` and
//! `pids`. What it does not have is lacking, as with any other measure.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use becket_sandbox::limits::ResourceLimits;
use becket_sandbox::{Measure, MeasureKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What the names of groups begin with; the host's number and one of the worker follow.
const PREFIX: &str = "becket-";
/// How long the kernel may take to end what is in a group.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A group, until it is dropped.
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes a group in a folder and puts a process into it. The measure says what is missing.
    pub(crate) fn new(
        parent: &Path,
        limits: &ResourceLimits,
        process: u32,
    ) -> (Option<Self>, Measure) {
        sweep(parent);
        let lacking = |what: String| Measure::lacking(MeasureKind::ControlGroup, what);
        let group = match make(parent) {
            Ok(group) => group,
            Err(error) => {
                return (None, lacking(format!("no group in {}: {error}", parent.display())));
            }
        };
        if let Err(error) = group.write("cgroup.procs", process) {
            return (None, lacking(format!("the worker cannot join its group: {error}")));
        }
        let bounds = [("memory.max", limits.memory_bytes_max), ("pids.max", limits.processes_max)];
        let missing: Vec<_> = bounds
            .into_iter()
            .filter_map(|(file, bound)| Some((file, group.write(file, bound?).err()?)))
            .map(|(file, error)| format!("`{file}` cannot be set: {error}"))
            .collect();
        // The whole group ends when its memory does: a part of it would be of no use.
        let _ = group.write("memory.oom.group", 1);
        let measure = match &*missing {
            [] => Measure::given(MeasureKind::ControlGroup),
            _ => lacking(missing.join("; ")),
        };
        (Some(group), measure)
    }

    /// Whether the kernel has ended a process of the group because memory ran out: that of the group, or
    /// of the machine.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        let killed = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        killed.and_then(|killed| killed.trim().parse::<u64>().ok()).is_some_and(|killed| killed > 0)
    }

    fn write(&self, file: &str, value: impl ToString) -> io::Result<()> {
        // The files are there, or the controller is not: none is made.
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).open(self.0.join(file))?;
        io::Write::write_all(&mut file, value.to_string().as_bytes())
    }

    /// Waits until no process is left, and removes the group.
    fn remove(&self) -> io::Result<()> {
        self.write("cgroup.kill", 1)?;
        let until = Instant::now() + END_TIMEOUT;
        let events = File::open(self.0.join("cgroup.events"))?;
        loop {
            // Reading arms the notification.
            io::read_to_string(&events)?;
            match fs::remove_dir(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                other => return other,
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = Timespec::try_from(left).ok();
            poll(&mut [PollFd::new(&events, PollFlags::PRI)], left.as_ref())?;
            io::Seek::rewind(&mut &events)?;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            let group = self.0.display();
            tracing::warn!(target: "becket::process", %group, %error, "a worker's control group stays");
        }
    }
}

fn make(parent: &Path) -> io::Result<Group> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // A folder of another file system would be made as well, and bound nothing.
    if !parent.join("cgroup.procs").is_file() {
        return Err(io::Error::other("it is no control group of version 2"));
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let group = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
    fs::create_dir(&group)?;
    Ok(Group(group))
}

/// Removes the groups of hosts that were killed. One that has a process stays.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let host = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if host.is_some_and(|host| !Path::new("/proc").join(host).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_for_lack_of_memory_is_an_event_of_the_group() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group(folder.path().to_owned());
        assert!(!group.ran_out_of_memory(), "without the controller there is no file");
        for (kills, ran_out) in [("0", false), ("1", true), ("12", true), ("x", false)] {
            let events =
                format!("low 0\nhigh 7\nmax 130\noom 9\noom_kill {kills}\noom_group_kill 3\n");
            fs::write(folder.path().join("memory.events"), events).unwrap();
            assert_eq!(group.ran_out_of_memory(), ran_out, "{kills}");
        }
    }

    #[test]
    fn what_is_no_control_group_is_lacking() {
        let folder = tempfile::tempdir().unwrap();
        let (group, measure) = Group::new(folder.path(), &ResourceLimits::default(), 1);
        assert!(group.is_none());
        assert!(measure.lacks.unwrap().contains("no control group"));
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}

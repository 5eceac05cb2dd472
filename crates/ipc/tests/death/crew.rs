// SPDX-License-Identifier: BSD-3-Clause
//! The processes of a test, their reports, and the resources that they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::part::{Part, Role, Transport};
use crate::report::{Report, What};

/// Longer than any step takes, on however busy a machine: otherwise a process hangs.
const HANGS: Duration = Duration::from_secs(300);

/// The live processes, and the reports of each, in order.
pub(crate) struct Crew {
    directory: PathBuf,
    transport: Transport,
    next: u16,
    members: BTreeMap<u16, Member>,
    said: Receiver<(u16, Option<Report>)>,
    tell: Sender<(u16, Option<Report>)>,
}

pub(crate) struct Member {
    pub(crate) part: Part,
    child: Child,
    socket: UnixStream,
}

/// Resources of a process that are visible to other processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    descriptors: usize,
    /// Each counted once, however many descriptors it has.
    sockets: usize,
    shared_mappings: usize,
}

/// An unconnected client has the socket on which it reports.
const CLIENT_SOCKETS: usize = 1;
/// A server without connections also listens at two sockets.
const SERVER_SOCKETS: usize = 1 + 2;

impl Crew {
    pub(crate) fn new(directory: &Path, transport: Transport) -> Self {
        let (tell, said) = mpsc::channel();
        let (directory, members) = (directory.to_owned(), BTreeMap::new());
        Self { directory, transport, next: 1, members, said, tell }
    }

    /// Starts a process; it has not reported that it is ready.
    pub(crate) fn start(&mut self, role: Role, window: u32) -> u16 {
        let id = self.next;
        self.next = self.next.checked_add(1).unwrap();
        let (socket, others) = UnixStream::pair().unwrap();
        let (directory, transport) = (self.directory.clone(), self.transport);
        let part = Part { role, transport, id, window, directory };
        let child = part.start(others);
        let (mut from, tell) = (socket.try_clone().unwrap(), self.tell.clone());
        thread::spawn(move || {
            while let Some(report) = Report::read(&mut from) {
                if tell.send((id, Some(report))).is_err() {
                    return;
                }
            }
            let _nobody_asks = tell.send((id, None));
        });
        self.members.insert(id, Member { part, child, socket });
        id
    }

    pub(crate) fn ids(&self, is: impl Fn(Role) -> bool) -> Vec<u16> {
        let members = self.members.iter().filter(|(_, member)| is(member.part.role));
        members.map(|(id, _)| *id).collect()
    }

    pub(crate) fn part(&self, id: u16) -> &Part {
        &self.members[&id].part
    }

    pub(crate) fn tell(&self, id: u16, command: u8) {
        use std::io::Write as _;
        (&self.members[&id].socket).write_all(&[command]).unwrap();
    }

    /// SIGKILL. Earlier reports can still be read.
    pub(crate) fn kill(&mut self, id: u16) {
        let child = &mut self.members.get_mut(&id).unwrap().child;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The next report of any process; `None`: the process has ended.
    pub(crate) fn hear(&mut self) -> (u16, Option<Report>) {
        let Ok(heard) = self.said.recv_timeout(HANGS) else { self.hangs("a report") };
        heard
    }

    /// The process has ended, successfully if `well`, and all its reports were read.
    pub(crate) fn bury(&mut self, id: u16, well: bool) {
        let mut member = self.members.remove(&id).unwrap();
        let status = member.child.wait().unwrap();
        assert!(!well || status.success(), "{:?} ended with {status}", member.part);
    }

    fn held(&self, id: u16) -> Held {
        let process = PathBuf::from(format!("/proc/{}", self.members[&id].child.id()));
        let open = self.open(id);
        let sockets: BTreeSet<_> = open.iter().filter(|link| link.contains("socket:")).collect();
        let maps = fs::read_to_string(process.join("maps")).unwrap();
        let shared_mappings = maps.lines().filter(|line| line.contains("memfd:becket-ipc")).count();
        Held { descriptors: open.len(), sockets: sockets.len(), shared_mappings }
    }

    fn open(&self, id: u16) -> Vec<String> {
        let descriptors = format!("/proc/{}/fd", self.members[&id].child.id());
        let open = fs::read_dir(descriptors).unwrap();
        let links = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).collect()
    }

    /// Its resources without any connection; the I/O thread may hold those of the last one for a
    /// moment.
    pub(crate) fn held_alone(&self, id: u16) -> Held {
        let sockets = match self.part(id).role {
            Role::Server => SERVER_SOCKETS,
            Role::Sender | Role::Receiver => CLIENT_SOCKETS,
        };
        self.until_held(id, |held| held.sockets == sockets && held.shared_mappings == 0)
    }

    /// Waits until it holds the same resources as before.
    pub(crate) fn holds_again(&self, id: u16, before: Held) {
        self.until_held(id, |held| held == before);
    }

    fn until_held(&self, id: u16, is_so: impl Fn(Held) -> bool) -> Held {
        let begin = Instant::now();
        loop {
            let held = self.held(id);
            if is_so(held) {
                return held;
            }
            let is_late = begin.elapsed() > HANGS;
            assert!(!is_late, "{:?} holds {held:?}: {:?}", self.part(id), self.open(id));
            thread::yield_now();
        }
    }

    pub(crate) fn hangs(&self, waiting_for: &str) -> ! {
        if std::env::var_os("BECKET_DEATH_KEEP").is_some() {
            // For a debugger.
            let living: Vec<_> = self.members.values().map(|member| member.child.id()).collect();
            println!("hangs: {living:?}");
            loop {
                thread::park();
            }
        }
        let living: Vec<_> = self.members.values().map(|member| &member.part).collect();
        panic!("{waiting_for} does not come; of {living:?} one hangs")
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for member in self.members.values_mut() {
            // Fails if the process has ended.
            let _gone = member.child.kill();
            let _buried = member.child.wait();
        }
    }
}

/// The names of this project in `/dev/shm`.
pub(crate) fn shared_names() -> Vec<String> {
    let Ok(names) = fs::read_dir("/dev/shm") else { return Vec::new() };
    names
        .map(|name| name.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("becket-ipc"))
        .collect()
}

impl Report {
    /// Whether it is the outcome of an operation on an element.
    pub(crate) fn is_progress(self) -> bool {
        matches!(self.what, What::Accepted | What::Refused | What::Unknown | What::Received)
    }
}

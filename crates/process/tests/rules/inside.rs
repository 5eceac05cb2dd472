// SPDX-License-Identifier: BSD-3-Clause
//! Plugins that are closures of the test, at placement `process`.
//!
//! ```text
//!   host ── bridge ── session ──────────── worker ── host ── script.so ── closures
//!     └─ supervisor ── process (relay.py)    └─ a thread of the test, by `becket_process::worker::run`
//! ```
//!
//! The session, the supervision and the worker's code are those of any plugin; only the process, which passes
//! its socket back, is not where the closures run: so a test sees what they did.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::thread;

use becket_abi::LinkedPlugin;
use becket_host::PluginSpec;
use becket_process::{Process, worker};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::support::native::Workshop;

/// A library whose entry function answers with the address of the closures' record.
const SOURCE: &str = "
#include \"nylon_ring.h\"
NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) {
    return (const NrPluginInfo *)ADDRESSull;
}
";

/// Where workers pass their sessions on to.
static SESSIONS: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = Workshop::lasting().file("sessions");
    let listener = UnixListener::bind(&place).unwrap();
    thread::spawn(move || {
        for relay in listener.incoming() {
            let relay = relay.unwrap();
            thread::spawn(move || {
                let session = receive(&relay);
                // Without a session when the host has ended it before it began.
                let _ = worker::run(session, true);
                drop(relay);
            });
        }
    });
    place
});

/// What a script is loaded as.
pub(crate) fn scripted(name: &str, plugin: LinkedPlugin) -> PluginSpec {
    let address = format!("{:#x}", plugin.info().expose_provenance());
    // Loaded again when its worker is: the folder stays.
    let path = Workshop::lasting().build(name, &SOURCE.replace("ADDRESS", &address));
    let relay = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/relay.py");
    let worker = vec!["python3".into(), relay.into(), SESSIONS.as_path().into()];
    PluginSpec::remote(name, Arc::new(Process::native(worker, path)))
}

fn receive(relay: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(relay, &mut [IoSliceMut::new(&mut byte)], &mut control, flags).unwrap();
    let passed = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    passed.unwrap()
}

// SPDX-License-Identifier: BSD-3-Clause
//! Backends by name and number.
//!
//! # Invariants
//!
//! 1. A number is an index into a list that only grows; a backend lives as long as the process.
//! 2. A name is registered once: registering it again returns the first one's number.
//! 3. Number 0 is `zref`.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use parking_lot::RwLock;

use crate::backend::Backend;
use crate::zref::Zref;

/// The maximum number of backends in a process. More are refused.
pub const BACKENDS_MAX: usize = 1024;
/// The length of a name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The number of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(u32);

/// A backend was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// [`BACKENDS_MAX`] are registered.
    #[error("{BACKENDS_MAX} backends are registered, which is the maximum")]
    Full,
    /// A name of no bytes, or of more than [`NAME_BYTES_MAX`].
    #[error("the name has {bytes} bytes, expected 1 to {NAME_BYTES_MAX}")]
    Name {
        /// The length of the name.
        bytes: usize,
    },
}

/// A registered backend.
pub struct Registered {
    id: BackendId,
    name: Box<[u8]>,
    backend: Box<dyn Backend>,
    caps: u32,
}

#[derive(Default)]
struct Registry {
    list: Vec<&'static Registered>,
    by_name: HashMap<&'static [u8], BackendId>,
}

static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(|| {
    let mut registry = Registry::default();
    registry.add(b"zref", Box::new(Zref), Zref::CAPS);
    RwLock::new(registry)
});

/// Registers a backend for as long as the process runs. `caps` are its capabilities: bits whose
/// meaning the backend and its users agree on. Registering the same name again drops `backend` and
/// returns the first one's number.
///
/// # Errors
///
/// [`RegisterError`].
pub fn register(
    name: impl AsRef<[u8]>,
    backend: impl Backend,
    caps: u32,
) -> Result<BackendId, RegisterError> {
    let name = name.as_ref();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(RegisterError::Name { bytes: name.len() });
    }
    let mut registry = REGISTRY.write();
    if let Some(id) = registry.by_name.get(name) {
        return Ok(*id);
    }
    if registry.list.len() >= BACKENDS_MAX {
        return Err(RegisterError::Full);
    }
    Ok(registry.add(name, Box::new(backend), caps))
}

/// The number of a backend. `zref` is always registered.
pub fn resolve(name: impl AsRef<[u8]>) -> Option<BackendId> {
    REGISTRY.read().by_name.get(name.as_ref()).copied()
}

/// The number of registered backends.
#[must_use]
pub fn backends() -> usize {
    REGISTRY.read().list.len()
}

impl BackendId {
    /// `zref`.
    pub const ZREF: Self = Self(0);

    /// From a number that [`get`](Self::get) returned.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The backend; `None` if no backend has that number.
    #[must_use]
    pub fn registered(self) -> Option<&'static Registered> {
        REGISTRY.read().list.get(self.0 as usize).copied()
    }
}

impl Registered {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> BackendId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Its capabilities, as registered.
    #[must_use]
    pub fn caps(&self) -> u32 {
        self.caps
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }
}

impl Registry {
    fn add(&mut self, name: &[u8], backend: Box<dyn Backend>, caps: u32) -> BackendId {
        let id = BackendId(self.list.len() as u32);
        let registered = Box::leak(Box::new(Registered { id, name: name.into(), backend, caps }));
        self.list.push(registered);
        self.by_name.insert(&registered.name, id);
        id
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = String::from_utf8_lossy(&self.name);
        f.debug_struct("Registered").field("id", &self.id).field("name", &name).finish()
    }
}

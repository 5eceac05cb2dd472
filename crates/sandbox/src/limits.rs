// SPDX-License-Identifier: BSD-3-Clause
//! Resource limits of a process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Resource limits; `None`: as the parent has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceLimits {
    /// Bytes of private memory that can be written. At the limit an allocation fails.
    pub memory_bytes_max: Option<u64>,
    /// Open descriptors.
    pub descriptors_max: Option<u64>,
    /// Bytes of a core file.
    pub core_bytes_max: Option<u64>,
    /// Processes and threads of its user, on the whole machine; the kernel does not count those of root.
    pub processes_max: Option<u64>,
    /// Bytes of a file that is written.
    pub file_bytes_max: Option<u64>,
}

impl Default for ResourceLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: Some(4 << 30),
            descriptors_max: Some(1024),
            core_bytes_max: Some(0),
            processes_max: None,
            file_bytes_max: None,
        }
    }
}

impl ResourceLimits {
    /// Sets them, so that the process cannot raise them again.
    pub(crate) fn set(&self) -> Result<(), Error> {
        let limits = [
            ("memory_bytes_max", Resource::Data, self.memory_bytes_max),
            ("descriptors_max", Resource::Nofile, self.descriptors_max),
            ("core_bytes_max", Resource::Core, self.core_bytes_max),
            ("processes_max", Resource::Nproc, self.processes_max),
            ("file_bytes_max", Resource::Fsize, self.file_bytes_max),
        ];
        for (limit, resource, value) in limits {
            let Some(value) = value else { continue };
            // No process raises a bound that it has already.
            let value = getrlimit(resource).maximum.map_or(value, |bound| value.min(bound));
            let both = Rlimit { current: Some(value), maximum: Some(value) };
            setrlimit(resource, both).map_err(|errno| Error::Limit {
                limit,
                value,
                source: errno.into(),
            })?;
        }
        Ok(())
    }
}

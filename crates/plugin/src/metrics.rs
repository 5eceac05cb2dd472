// SPDX-License-Identifier: BSD-3-Clause
//! Handles to metrics, which the host shows under the plugin's name.
//!
//! A handle is an id: copying it is free, and recording takes no lock and no name. If the host
//! refused the metric (bad name, other kind under that name, too many), recording does nothing and
//! [`Counter::is_registered`] is false.

use becket_abi::BK_METRIC_UNKNOWN;

use crate::host::Host;

macro_rules! metric {
    ($(#[$doc:meta])* $name:ident, $record:ident, $value:ty, $slot:ident, $(#[$record_doc:meta])*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name {
            host: Host,
            id: u32,
        }

        impl $name {
            pub(crate) const fn new(host: Host, id: u32) -> Self {
                Self { host, id }
            }

            $(#[$record_doc])*
            #[inline]
            pub fn $record(self, value: $value) {
                if self.is_registered() {
                    // SAFETY: the table and its context live as long as the process (`Host`).
                    let _ = unsafe { (self.host.api().$slot)(self.host.ctx(), self.id, value) };
                }
            }

            /// False if the host refused the metric.
            #[must_use]
            pub const fn is_registered(self) -> bool {
                self.id != BK_METRIC_UNKNOWN
            }
        }
    };
}

metric! {
    /// A number that only grows.
    Counter, add, u64, counter_add,
    /// Adds to the counter.
}
metric! {
    /// A number that is set.
    Gauge, set, f64, gauge_set,
    /// Sets the gauge.
}
metric! {
    /// A distribution of recorded values.
    Histogram, record, f64, histogram_record,
    /// Records a value.
}

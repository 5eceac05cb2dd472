// SPDX-License-Identifier: BSD-3-Clause
//! What the tests of the configuration's parts share.

use super::Config;

/// A plugin for routes.
pub(super) const PLUGIN: &str = "[plugins.a]\nlinked = \"a\"\n";

/// The error of a configuration in a file named `t`, as it is shown.
pub(super) fn refused(text: &str) -> String {
    Config::parse(text, "t").unwrap_err().render()
}

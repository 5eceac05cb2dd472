// SPDX-License-Identifier: BSD-3-Clause
//! Descriptors instead of bytes: regions, pools and the backends that move them.

// SPDX-License-Identifier: BSD-3-Clause
mod phase;
mod queue;

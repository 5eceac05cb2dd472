// SPDX-License-Identifier: BSD-3-Clause
//! Protocol 2, frame by frame.

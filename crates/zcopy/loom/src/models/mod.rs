// SPDX-License-Identifier: BSD-3-Clause
mod flights;

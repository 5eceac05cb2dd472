// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file kcoro_abi.h
 * @brief The version of the interface, for programs that check it when they are compiled.
 *
 * It is that of the interface which implementations of kcoro share: another major version breaks
 * programs, a higher minor version adds to it. What this library alone adds has no version here.
 */
#ifndef KCORO_ABI_H
#define KCORO_ABI_H

#define KCORO_ABI_MAJOR 0
#define KCORO_ABI_MINOR 2

#endif

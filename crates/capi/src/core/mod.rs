// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_core.h`: coroutines by hand and scheduled, behind one handle.
//!
//! A `kcoro_t` is a counted object (`object`). What runs behind it is one of three:
//!
//! | role | what runs | who resumes it |
//! |---|---|---|
//! | main | a thread | nobody |
//! | by hand | a `becket_coro` fiber that the object owns (`hand`) | `kcoro_resume` |
//! | scheduled | a `becket_coro` coroutine, whose locals hold the object (`flow`) | its worker |
//!
//! | module | what lives there |
//! |---|---|
//! | `object` | the struct of the header, its private rest, references |
//! | `flow` | what the flow of control that calls carries: its object, scheduler, context |
//! | `hand` | resume, suspend, waits that give control back to the resumer |
//! | `park` | `kcoro_park` and `kcoro_unpark`, for every role |
//! | `main` | the object that stands for a thread |
//! | `wake` | who may be woken by number; timers |
//! | `group` | waiting until a number of flows has ended |
//! | `api` | the functions of the header |

pub mod api;
pub(crate) mod flow;
pub(crate) mod group;
pub(crate) mod hand;
pub(crate) mod main;
pub mod object;
pub(crate) mod park;
pub(crate) mod wake;

// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_core.h`: manually driven and scheduled coroutines, behind one handle.
//!
//! A `kcoro_t` is a counted object (`object`). Behind it is one of three:
//!
//! | role | what runs | resumed by |
//! |---|---|---|
//! | main | a thread | – |
//! | manual | a `becket_coro` fiber that the object owns (`manual`) | `kcoro_resume` |
//! | scheduled | a `becket_coro` coroutine, whose locals hold the object (`flow`) | its worker |
//!
//! | module | contents |
//! |---|---|
//! | `object` | the struct of the header, its private part, references |
//! | `flow` | state of the calling coroutine: its object, scheduler, context |
//! | `manual` | resume, suspend, waits that return control to the resumer |
//! | `park` | `kcoro_park` and `kcoro_unpark`, for every role |
//! | `main` | the object of a thread |
//! | `wake` | wakes by number; timers |
//! | `group` | waiting until a number of members has ended |
//! | `api` | the functions of the header |

pub mod api;
pub(crate) mod flow;
pub(crate) mod group;
pub(crate) mod main;
pub(crate) mod manual;
pub mod object;
pub(crate) mod park;
pub(crate) mod wake;

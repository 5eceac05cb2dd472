// SPDX-License-Identifier: BSD-3-Clause
//! The lower bound for every host: the plugin's function called through its vtable, answering into
//! a function that counts.
//!
//! # Safety
//!
//! The plugin is this package's own (see [`super::control`]). It is initialised before anything
//! else is called, its callbacks' context is the [`Floor`]'s own counter, which lives in a box as
//! long as the image, and all calls come from the one thread that owns the `Floor`.

use std::cell::Cell;
use std::ffi::c_void;

use becket_abi::{
    GetPluginFn, NR_ENTRY_SYMBOL, NrBytes, NrHostVTable, NrPluginInfo, NrPluginVTable, NrRequest,
    NrStatus, NrStr,
};

use super::control::Control;
use crate::error::{BenchError, check};

const NAME: &str = "floor";

type HandleById =
    unsafe extern "C" fn(*mut c_void, u32, u64, *const NrRequest, NrBytes) -> NrStatus;

static HOST: NrHostVTable = NrHostVTable { send_result: count_answer };

/// The bare vtable.
pub(crate) struct Floor {
    handle_by_id: HandleById,
    notify: u32,
    echo: u32,
    answers: Box<Cell<u64>>,
    _control: Control,
}

impl Floor {
    /// Loads a copy of the plugin and resolves its entries.
    pub(crate) fn load() -> Result<Self, BenchError> {
        let control = Control::copy(NAME)?;
        // SAFETY: the symbol has this type; the image outlives the call.
        let get: GetPluginFn =
            unsafe { control.library().get(NR_ENTRY_SYMBOL.to_bytes_with_nul()) }
                .map(|symbol| *symbol)
                .map_err(|error| BenchError::host(NAME, error))?;
        // SAFETY: the function takes nothing and returns its static.
        let info: &NrPluginInfo = unsafe { &*get() };
        // SAFETY: the plugin's static vtable, of the size of this project's own.
        let vtable: &NrPluginVTable = unsafe { &*info.vtable };
        let (Some(init), Some(resolve), Some(handle_by_id)) =
            (vtable.init, vtable.resolve_entry, vtable.handle_by_id)
        else {
            return Err(BenchError::host(NAME, "the plugin lacks a function"));
        };

        let answers = Box::new(Cell::new(0_u64));
        let context = std::ptr::from_ref::<Cell<u64>>(&answers).cast_mut().cast();
        // SAFETY: called once, with a context and a table that outlive the plugin's use of them.
        let status = unsafe { init(info.plugin_ctx, context, &HOST) };
        check(NAME, "init", NrStatus::Ok, status)?;
        // SAFETY: initialised; the names are borrowed for the call.
        let [notify, echo] = ["notify", "echo"]
            .map(|name| unsafe { resolve(info.plugin_ctx, NrStr::from_str(name)) });
        Ok(Self { handle_by_id, notify, echo, answers, _control: control })
    }

    /// A call that answers nothing.
    pub(crate) fn notify(&self, n: u64) -> Result<(), BenchError> {
        for sid in 0..n {
            check(NAME, "notify", NrStatus::Ok, self.call(self.notify, sid))?;
        }
        Ok(())
    }

    /// A call that is answered by a callback.
    pub(crate) fn answered(&self, n: u64) -> Result<(), BenchError> {
        let before = self.answers.get();
        for sid in 0..n {
            check(NAME, "answered", NrStatus::Ok, self.call(self.echo, sid))?;
        }
        check(NAME, "answers", n, self.answers.get() - before)
    }

    fn call(&self, id: u32, sid: u64) -> NrStatus {
        // SAFETY: initialised, the id is the plugin's own, the views are empty, and its context is
        // not used by this plugin.
        unsafe {
            (self.handle_by_id)(std::ptr::null_mut(), id, sid, std::ptr::null(), NrBytes::EMPTY)
        }
    }
}

unsafe extern "C" fn count_answer(
    context: *mut c_void,
    _sid: u64,
    _status: NrStatus,
    _payload: NrBytes,
) {
    // SAFETY: `load` passed its boxed counter, which lives as long as the plugin can call, and the
    // call comes from inside `Floor::call`, on the counter's thread.
    let answers = unsafe { &*context.cast::<Cell<u64>>() };
    answers.set(answers.get() + 1);
}

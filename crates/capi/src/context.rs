// SPDX-License-Identifier: BSD-3-Clause
//! `kc_context.h`: immutable layers of keys and values.
//!
//! ```text
//!   ctx ──► (key C, value) ──► (key A, value) ──► empty      searched from the left
//! ```
//!
//! A layer holds its value and the layers below, both counted. A value is dropped with the last
//! layer that has it; `replace` copies the layers above the one it leaves out, and shares their
//! values.
//!
//! A key is an address. The library's own keys may have two: a program that is not position
//! independent has copies of them. A copy is recognised by its name, which is not copied.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::ptr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use crate::boundary::{answer, call};
use crate::clock;
use crate::core::flow::FLOW;
use crate::core::object::Function;
use crate::errno;
use crate::handle::{lend, place, retain, share, take_back};

/// `kc_ctx_key_t`.
#[repr(C)]
pub struct Key {
    name: *const c_char,
}

// SAFETY: never changes, and points to a text that does not.
unsafe impl Sync for Key {}

impl Key {
    const fn named(name: &'static CStr) -> Self {
        Self { name: name.as_ptr() }
    }
}

/// See `kc_context.h`.
#[unsafe(no_mangle)]
pub static KC_CTX_KEY_DISPATCHER: Key = Key::named(c"dispatcher");
/// See `kc_context.h`.
#[unsafe(no_mangle)]
pub static KC_CTX_KEY_JOB: Key = Key::named(c"job");
/// See `kc_context.h`.
#[unsafe(no_mangle)]
pub static KC_CTX_KEY_CANCEL: Key = Key::named(c"cancel");
/// See `kc_context.h`.
#[unsafe(no_mangle)]
pub static KC_CTX_KEY_DEADLINE: Key = Key::named(c"deadline");
/// See `kc_context.h`.
#[unsafe(no_mangle)]
pub static KC_CTX_KEY_TRACE_ID: Key = Key::named(c"trace_id");

static OWN: [&Key; 5] = [
    &KC_CTX_KEY_DISPATCHER,
    &KC_CTX_KEY_JOB,
    &KC_CTX_KEY_CANCEL,
    &KC_CTX_KEY_DEADLINE,
    &KC_CTX_KEY_TRACE_ID,
];

/// `kc_ctx_drop_fn`.
pub type DropFunction = Option<unsafe extern "C" fn(*mut c_void)>;

/// `kc_context_t`: one layer.
pub struct Context {
    key: *const Key,
    value: Option<Arc<Value>>,
    below: Option<Arc<Self>>,
}

struct Value {
    value: *mut c_void,
    give_back: DropFunction,
}

// SAFETY: the value is C's, which may share contexts with other threads if the value may be; the
// key is an address that is compared.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}
// SAFETY: as above; it is given back by any thread, as the header says.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Drop for Value {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back {
            // SAFETY: C allows it to be called, once, with this.
            unsafe { give_back(self.value) };
        }
    }
}

impl Context {
    /// Its deadline, if it has one.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline_ns().map(clock::instant)
    }

    fn deadline_ns(&self) -> Option<c_longlong> {
        let at = self.get(&raw const KC_CTX_KEY_DEADLINE).cast::<c_longlong>();
        // SAFETY: by the header, the value under this key is such a number, and the context holds
        // it.
        unsafe { at.as_ref() }.copied()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // A long chain is dropped layer by layer, not by recursion.
        let mut below = self.below.take();
        while let Some(mut last) = below.and_then(Arc::into_inner) {
            below = last.below.take();
        }
    }
}

static EMPTY: LazyLock<Arc<Context>> =
    LazyLock::new(|| Arc::new(Context { key: ptr::null(), value: None, below: None }));

/// The canonical address of a key.
///
/// # Safety
///
/// The key is valid.
unsafe fn canonical(key: *const Key) -> *const Key {
    // SAFETY: the caller's promise.
    let name = unsafe { (*key).name };
    OWN.iter().find(|own| ptr::eq(own.name, name)).map_or(key, |own| ptr::from_ref(*own))
}

impl Context {
    pub(crate) fn empty() -> Arc<Self> {
        Arc::clone(&EMPTY)
    }

    /// A new layer on top.
    pub(crate) fn with(
        self: Arc<Self>,
        key: *const Key,
        value: *mut c_void,
        give_back: DropFunction,
    ) -> Arc<Self> {
        self.layer(key, Some(Arc::new(Value { value, give_back })))
    }

    fn layer(self: Arc<Self>, key: *const Key, value: Option<Arc<Value>>) -> Arc<Self> {
        Arc::new(Self { key, value, below: Some(self) })
    }

    /// The same context without the layers of a key.
    fn without(self: &Arc<Self>, key: *const Key) -> Arc<Self> {
        let mut above = Vec::new();
        // The shared part starts below the last layer that is left out.
        let mut shared = Arc::clone(self);
        let mut pending = Vec::new();
        let mut at = Some(self);
        while let Some(layer) = at {
            if ptr::eq(layer.key, key) {
                above.append(&mut pending);
                if let Some(below) = &layer.below {
                    shared = Arc::clone(below);
                }
            } else {
                pending.push(layer);
            }
            at = layer.below.as_ref();
        }
        above
            .into_iter()
            .rev()
            .fold(shared, |below, layer: &Arc<Self>| below.layer(layer.key, layer.value.clone()))
    }

    pub(crate) fn get(&self, key: *const Key) -> *mut c_void {
        let mut at = Some(self);
        while let Some(layer) = at {
            if ptr::eq(layer.key, key) {
                return layer.value.as_ref().map_or(ptr::null_mut(), |value| value.value);
            }
            at = layer.below.as_deref();
        }
        ptr::null_mut()
    }
}

/// The value of a key in the caller's context; null: none.
pub(crate) fn current_value(key: &'static Key) -> *mut c_void {
    FLOW.with(|flow| flow.contexts.borrow().last().map_or(ptr::null_mut(), |it| it.get(key)))
}

/// The deadline of the caller's context, if it has one.
pub(crate) fn deadline() -> Option<Instant> {
    FLOW.with(|flow| flow.contexts.borrow().last().and_then(|context| context.deadline()))
}

/// See `kc_context.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_context_empty() -> *mut Context {
    call(ptr::null_mut(), || lend(Context::empty()))
}

/// See `kc_context.h`.
///
/// # Safety
///
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_context_retain(context: *mut Context) -> *mut Context {
    // SAFETY: the caller's promise.
    call(ptr::null_mut(), || unsafe { retain(context) })
}

/// See `kc_context.h`.
///
/// # Safety
///
/// The handle is null or valid; the caller gives up a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_context_release(context: *mut Context) {
    // SAFETY: the caller's promise.
    call((), || drop(unsafe { take_back(context) }));
}

/// See `kc_context.h`.
///
/// # Safety
///
/// `base` is null or valid; `key` is null or lives for ever; `give_back` may be called with
/// `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_context_add(
    base: *mut Context,
    key: *const Key,
    value: *mut c_void,
    give_back: DropFunction,
) -> *mut Context {
    call(ptr::null_mut(), || {
        if key.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        let (base, key) = unsafe { (share(base), canonical(key)) };
        lend(base.unwrap_or_else(Context::empty).with(key, value, give_back))
    })
}

/// See `kc_context.h`.
///
/// # Safety
///
/// As [`kc_context_add`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_context_replace(
    base: *mut Context,
    key: *const Key,
    value: *mut c_void,
    give_back: DropFunction,
) -> *mut Context {
    call(ptr::null_mut(), || {
        if key.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        let (base, key) = unsafe { (share(base), canonical(key)) };
        lend(base.unwrap_or_else(Context::empty).without(key).with(key, value, give_back))
    })
}

/// See `kc_context.h`.
///
/// # Safety
///
/// Both are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_context_get(context: *const Context, key: *const Key) -> *mut c_void {
    call(ptr::null_mut(), || {
        if key.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        let (context, key) = unsafe { (context.as_ref(), canonical(key)) };
        context.map_or(ptr::null_mut(), |context| context.get(key))
    })
}

/// See `kc_context.h`.
///
/// # Safety
///
/// `context` is null or valid, `out` null or valid for a write; the value is what the key says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_context_get_deadline_ns(
    context: *const Context,
    out: *mut c_longlong,
) -> c_int {
    answer(|| {
        let out = place(out)?;
        // SAFETY: the caller's promise.
        let deadline = unsafe { context.as_ref() }.and_then(Context::deadline_ns);
        // SAFETY: the caller's promise.
        unsafe { out.write(deadline.ok_or(errno::ENOENT)?) };
        Ok(())
    })
}

/// See `kc_context.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_context_current() -> *mut Context {
    call(ptr::null_mut(), || {
        FLOW.with(|flow| {
            let contexts = flow.contexts.borrow();
            Arc::as_ptr(contexts.last().unwrap_or(&EMPTY)).cast_mut()
        })
    })
}

/// See `kc_context.h`.
///
/// # Safety
///
/// `context` is null or valid; `function` may be called with `argument`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_context_with(
    context: *mut Context,
    function: Function,
    argument: *mut c_void,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (context, function) = unsafe { share(context) }.zip(function).ok_or(errno::EINVAL)?;
        FLOW.with(|flow| flow.contexts.borrow_mut().push(context));
        // SAFETY: the caller's promise.
        unsafe { function(argument) };
        let context = FLOW.with(|flow| flow.contexts.borrow_mut().pop());
        drop(context);
        Ok(())
    })
}

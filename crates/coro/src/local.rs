// SPDX-License-Identifier: BSD-3-Clause
//! Coroutine-local values.
//!
//! A coroutine's values are attached to its slot, in a short list searched by the address of the
//! key, and are dropped when the coroutine ends, before its joiner is woken, in the reverse of the
//! order of their creation. On a plain thread a key gives the thread's own value.

use std::{
    any::Any,
    cell::RefCell,
    ptr::{self, NonNull},
};

use crate::{context, slot::Slot, unwinding::contain};

/// A value per coroutine. Created by [`coroutine_local!`](crate::coroutine_local).
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    /// So that no two keys share an address.
    _place: u8,
}

impl<T: 'static> std::fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Declares coroutine-local values.
///
/// ```
/// use std::cell::Cell;
///
/// becket_coro::coroutine_local! {
///     static DEPTH: Cell<u32> = Cell::new(0);
/// }
///
/// let depth = becket_coro::spawn(|| {
///     DEPTH.with(|depth| depth.set(7));
///     becket_coro::yield_now();
///     DEPTH.with(Cell::get)
/// });
/// assert_eq!(depth.join().unwrap(), 7);
/// assert_eq!(DEPTH.with(Cell::get), 0);
/// ```
#[macro_export]
macro_rules! coroutine_local {
    ($($(#[$meta:meta])* $vis:vis static $name:ident : $type:ty = $init:expr;)+) => {
        $($(#[$meta])* $vis static $name: $crate::LocalKey<$type> =
            $crate::LocalKey::new(|| $init);)+
    };
}

type Value = (*const (), Box<dyn Any>);

/// The values of one coroutine, or of one thread.
///
/// A value stays where it is until `clear` takes it out, or the thread's end: both come when no
/// [`LocalKey::with`] of that value is under way, since that ends in the coroutine or thread that
/// began it, or unwinds with its stack, or is abandoned with it and never goes on.
#[derive(Default)]
pub(crate) struct Locals {
    values: RefCell<Vec<Value>>,
}

thread_local! {
    static THREAD: Locals = Locals::default();
}

impl<T: 'static> LocalKey<T> {
    /// A key whose values are initialised by `init`.
    pub const fn new(init: fn() -> T) -> Self {
        Self { init, _place: 0 }
    }

    /// Passes the calling coroutine's value, or the calling thread's, to `f`; it is created on
    /// first use.
    #[inline]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.value() {
            // SAFETY: the value stays where it is while `f` runs: see `Locals`.
            Some(value) => f(unsafe { value.as_ref() }),
            // While the thread is torn down: a temporary value.
            None => f(&(self.init)()),
        }
    }

    #[inline]
    fn value(&'static self) -> Option<NonNull<T>> {
        let Some(slot) = context::slot() else {
            return THREAD.try_with(|locals| self.value_in(locals)).ok().flatten();
        };
        if slot.locals.get().is_null() {
            slot.locals.set(Box::into_raw(Box::default()));
        }
        // SAFETY: the running coroutine's own, made above and freed at its end.
        self.value_in(unsafe { &*slot.locals.get() })
    }

    #[inline]
    fn value_in(&'static self, locals: &Locals) -> Option<NonNull<T>> {
        self.find(locals).or_else(|| self.create(locals))
    }

    #[inline]
    fn find(&'static self, locals: &Locals) -> Option<NonNull<T>> {
        let key = ptr::from_ref(self).cast::<()>();
        let values = locals.values.borrow();
        // Two constants of different types may be one in memory: then both have a value here.
        let mut held = values.iter().filter(|(held, _)| ptr::eq(*held, key));
        held.find_map(|(_, value)| value.downcast_ref()).map(NonNull::from)
    }

    #[cold]
    fn create(&'static self, locals: &Locals) -> Option<NonNull<T>> {
        // May itself use keys.
        let value = Box::new((self.init)());
        if self.find(locals).is_none() {
            locals.values.borrow_mut().push((ptr::from_ref(self).cast(), value));
        }
        self.find(locals)
    }
}

/// Drops the values of a running coroutine that is about to end. Values that their drops create are
/// dropped too, a bounded number of times.
#[inline]
pub(crate) fn clear(slot: Option<&Slot>) {
    if let Some(slot) = slot
        && !slot.locals.get().is_null()
    {
        clear_all(slot);
    }
}

#[cold]
fn clear_all(slot: &Slot) {
    // SAFETY: the running coroutine's own, made by `value`.
    let locals = unsafe { &*slot.locals.get() };
    // A drop that uses a key creates its value again. After the bound, the rest is leaked.
    for _ in 0..1000 {
        let last = locals.values.borrow_mut().pop();
        let Some(last) = last else { break };
        contain(|| drop(last));
    }
    let locals = slot.locals.replace(ptr::null_mut());
    // SAFETY: as above; no reference to it exists now.
    let locals = unsafe { Box::from_raw(locals) };
    if !locals.values.borrow().is_empty() {
        let _kept = std::mem::ManuallyDrop::new(locals);
    }
}

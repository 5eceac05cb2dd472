// SPDX-License-Identifier: BSD-3-Clause
//! Properties of either implementation.

#[cfg(not(miri))]
use super::Entry;
use super::{Link, Switch};
use crate::stack::{self, Stack};

fn stack() -> Stack {
    stack::acquire(64 * 1024).unwrap()
}

/// A coroutine that runs a closure. The closure's link is the coroutine's.
struct Coroutine<F> {
    body: Option<F>,
}

impl<F: FnOnce(Link)> Coroutine<F> {
    fn new(body: F) -> Self {
        Self { body: Some(body) }
    }

    fn switch(&mut self) -> Switch {
        Switch::new(stack(), entry::<F>, (&raw mut *self).cast())
    }
}

unsafe fn entry<F: FnOnce(Link)>(data: *mut (), link: Link) {
    // SAFETY: each test keeps the `Coroutine` until the switch is finished or abandoned.
    let coroutine = unsafe { &mut *data.cast::<Coroutine<F>>() };
    (coroutine.body.take().unwrap())(link);
}

#[cfg(not(miri))]
fn entry_of<F: FnOnce(Link)>(_coroutine: &Coroutine<F>) -> Entry {
    entry::<F>
}

fn resume(switch: &mut Switch) -> bool {
    // SAFETY: every test resumes unfinished coroutines only, on the thread that created them.
    unsafe { switch.resume() }
}

fn suspend(link: Link) {
    // SAFETY: called in coroutines with their own link.
    unsafe { Switch::suspend(link) };
}

#[test]
fn sizes_are_as_promised() {
    assert!(size_of::<Switch>() <= 64);
    assert!(size_of::<Stack>() <= 24);
    assert_eq!(size_of::<Link>(), 8);
    assert_eq!(size_of::<Option<Link>>(), 8);
}

#[test]
fn a_flow_runs_by_turns_with_its_resumer() {
    let log = std::cell::RefCell::new(Vec::new());
    let mut coroutine = Coroutine::new(|link| {
        for turn in 0..3 {
            log.borrow_mut().push(format!("coroutine {turn}"));
            suspend(link);
        }
    });
    let mut switch = coroutine.switch();
    for turn in 0..3 {
        assert!(!resume(&mut switch));
        log.borrow_mut().push(format!("resumer {turn}"));
    }
    assert!(resume(&mut switch));
    assert!(switch.into_stack().is_some());
    let expected =
        ["coroutine 0", "resumer 0", "coroutine 1", "resumer 1", "coroutine 2", "resumer 2"];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn flows_nest() {
    let mut inner = Coroutine::new(suspend);
    let mut inner = inner.switch();
    let mut ended = false;
    let mut outer = Coroutine::new(|link| {
        assert!(!resume(&mut inner));
        suspend(link);
        ended = resume(&mut inner);
    });
    let mut outer = outer.switch();
    assert!(!resume(&mut outer));
    assert!(resume(&mut outer));
    drop(outer);
    assert!(ended);
}

#[test]
fn a_panic_caught_in_the_flow_stays_in_it() {
    let mut caught = None;
    let mut coroutine = Coroutine::new(|link| {
        caught = std::panic::catch_unwind(|| {
            suspend(link);
            panic!("in the coroutine");
        })
        .err();
    });
    let mut switch = coroutine.switch();
    assert!(!resume(&mut switch));
    assert!(resume(&mut switch));
    drop(switch);
    assert_eq!(caught.unwrap().downcast_ref(), Some(&"in the coroutine"));
}

/// The frames of the resumer may have moved on by the time that a debugger or a profiler looks.
#[test]
#[cfg(not(any(miri, feature = "sanitizer")))]
fn a_backtrace_ends_at_the_bottom_of_the_stack() {
    let mut traces = Vec::new();
    let mut coroutine = Coroutine::new(|link| {
        traces.push(std::backtrace::Backtrace::force_capture());
        suspend(link);
        traces.push(std::backtrace::Backtrace::force_capture());
    });
    let mut switch = coroutine.switch();
    assert!(!resume(&mut switch));
    assert!(resume(&mut switch));
    drop(switch);
    assert_eq!(traces.len(), 2);
    for trace in traces.iter().map(ToString::to_string) {
        assert!(trace.contains("switch::tests"), "{trace}");
    }
}

#[test]
fn a_flow_that_is_never_resumed_never_runs() {
    let mut ran = false;
    let mut coroutine = Coroutine::new(|_| ran = true);
    let switch = coroutine.switch();
    assert!(switch.into_stack().is_some());
    drop(coroutine.switch());
    assert!(!ran);
}

/// With the stand-in it leaves a thread behind, which miri reports.
#[test]
#[cfg(not(miri))]
fn an_abandoned_flow_is_not_unwound() {
    struct Dropped<'a>(&'a std::cell::Cell<bool>);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = std::cell::Cell::new(false);
    for by_drop in [true, false] {
        let mut coroutine = Coroutine::new(|link| {
            let _value = Dropped(&dropped);
            suspend(link);
        });
        let mut switch = coroutine.switch();
        assert!(!resume(&mut switch));
        if by_drop {
            drop(switch);
        } else {
            assert!(switch.into_stack().is_some());
        }
        assert!(!dropped.get());
    }
}

#[test]
#[cfg(not(any(miri, feature = "threads")))]
fn a_flow_may_go_to_another_thread_between_turns() {
    let mut coroutine = Coroutine::new(|link| {
        for _ in 0..100 {
            suspend(link);
        }
    });
    let mut switch = coroutine.switch();
    for _ in 0..100 {
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!resume(&mut switch)));
        });
    }
    assert!(resume(&mut switch));
}

/// A known defect of other coroutine runtimes.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod floating_point_control_state_lost_across_a_switch {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct State {
        sse: u32,
        x87: u16,
    }

    const STATUS: u32 = 0x3f;
    const NEAREST: State = State { sse: 0x1f80, x87: 0x037f };
    const UP: State = State { sse: 0x5f80, x87: 0x0b7f };
    const DOWN: State = State { sse: 0x3f80, x87: 0x077f };

    fn state() -> State {
        let (mut sse, mut x87) = (0_u32, 0_u16);
        // SAFETY: two stores into variables of the right size.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut sse,
                in(reg) &raw mut x87);
        }
        State { sse: sse & !STATUS, x87 }
    }

    fn set(state: State) {
        // SAFETY: valid control words; each test puts the default back before it ends.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &raw const state.sse,
                in(reg) &raw const state.x87);
        }
    }

    #[test]
    fn each_keeps_its_own() {
        assert_eq!(state(), NEAREST);
        let mut coroutine = Coroutine::new(|link| {
            assert_eq!(state(), NEAREST);
            set(UP);
            suspend(link);
            assert_eq!(state(), UP);
            set(NEAREST);
            suspend(link);
            assert_eq!(state(), NEAREST);
            set(UP);
        });
        let mut switch = coroutine.switch();
        assert!(!resume(&mut switch));
        assert_eq!(state(), NEAREST);
        set(DOWN);
        assert!(!resume(&mut switch));
        assert_eq!(state(), DOWN);
        assert!(resume(&mut switch));
        assert_eq!(state(), DOWN);
        set(NEAREST);
    }

    #[test]
    fn a_flow_begins_with_its_first_resumers() {
        let mut seen = None;
        let mut coroutine = Coroutine::new(|_| seen = Some(state()));
        set(DOWN);
        let mut switch = coroutine.switch();
        set(UP);
        assert!(resume(&mut switch));
        assert_eq!(state(), UP);
        set(NEAREST);
        drop(switch);
        assert_eq!(seen, Some(UP));
    }

    #[test]
    fn a_state_that_is_passed_is_as_good_as_one_that_is_read() {
        let own = crate::switch::Control::read();
        let mut coroutine = Coroutine::new(|link| {
            set(DOWN);
            suspend(link);
            assert_eq!(state(), DOWN);
            set(UP);
        });
        let mut switch = coroutine.switch();
        // SAFETY: a coroutine of this thread, not finished, and `own` is this thread's state.
        assert!(!unsafe { switch.resume_from(&own) });
        assert_eq!(state(), NEAREST);
        // SAFETY: as above.
        assert!(unsafe { switch.resume_from(&own) });
        assert_eq!(state(), NEAREST);
    }

    #[test]
    fn either_word_alone_is_enough() {
        for own in [State { x87: UP.x87, ..NEAREST }, State { sse: UP.sse, ..NEAREST }] {
            let mut coroutine = Coroutine::new(|link| {
                set(own);
                suspend(link);
                assert_eq!(state(), own);
            });
            let mut switch = coroutine.switch();
            assert!(!resume(&mut switch));
            assert_eq!(state(), NEAREST);
            assert!(resume(&mut switch));
            assert_eq!(state(), NEAREST);
        }
    }
}

/// AddressSanitizer puts frames elsewhere.
#[test]
#[cfg(not(any(miri, feature = "threads", feature = "sanitizer")))]
fn a_flow_may_use_nearly_all_of_its_stack() {
    use corosensei::stack::Stack as _;

    /// Recurses until it is `bytes` below `base`. Returns the number of frames.
    fn descend(base: usize, bytes: usize) -> usize {
        let frame = std::hint::black_box([0_u8; 256]);
        if base - frame.as_ptr() as usize >= bytes {
            return 1;
        }
        descend(base, bytes) + 1 + usize::from(std::hint::black_box(frame)[7])
    }

    for size in [16 * 1024, 64 * 1024, 1 << 20] {
        let stack = stack::acquire(size).unwrap();
        let base = stack.base().get();
        let mut frames = 0;
        let mut coroutine = Coroutine::new(|_| frames = descend(base, size - 4096));
        let data = (&raw mut coroutine).cast();
        let mut switch = Switch::new(stack, entry_of(&coroutine), data);
        assert!(resume(&mut switch));
        drop(switch);
        assert!(frames > 4);
    }
}

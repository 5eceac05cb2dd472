// SPDX-License-Identifier: BSD-3-Clause
//! A transport whose functions are C's: the suite of becket-ipc over its table of functions, and sessions in C.

use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::os::fd::AsRawFd as _;
use std::ptr;

use becket_ipc::transport::conformance::{LinkFactory, Pair};
use becket_ipc::transport::{Link, LinkError, LinkLimits, Socket, SocketKind, UnixStreamLink};
use becket_wire::Head;
use kcoro::errno;
use kcoro::session::link::{LinkOfC, LinkOps};

use crate::common::{C, CPP, check, folder, include, run};

/// A link of this project, behind functions of C.
struct Behind {
    link: Box<dyn Link>,
    frame: Vec<u8>,
}

/// The value behind a pointer that a function gets.
unsafe fn behind<'a>(link: *mut c_void) -> &'a mut Behind {
    // SAFETY: made by `of_c`; one call at a time, until `destroy`.
    unsafe { &mut *link.cast::<Behind>() }
}

fn code(error: LinkError) -> c_int {
    -error.errno()
}

unsafe extern "C" fn put(
    link: *mut c_void,
    head: *const c_void,
    body: *const c_void,
    len: usize,
) -> c_int {
    // SAFETY: as `kcoro_link.h` says.
    let (behind, head, body) = unsafe {
        let body = std::slice::from_raw_parts(body.cast::<u8>(), len);
        (behind(link), &*head.cast::<[u8; 24]>(), body)
    };
    let before = behind.link.counters().bytes_discarded;
    match behind.link.put(&Head::decode(head).unwrap(), body) {
        Ok(()) if behind.link.counters().bytes_discarded > before => errno::EPIPE,
        Ok(()) => 0,
        Err(_) => errno::EAGAIN,
    }
}

unsafe extern "C" fn flush(link: *mut c_void) -> c_int {
    // SAFETY: as above.
    match unsafe { behind(link) }.link.flush() {
        Ok(true) => 0,
        Ok(false) => errno::EAGAIN,
        Err(error) => code(error),
    }
}

unsafe extern "C" fn take(link: *mut c_void, frame: *mut *const c_void, len: *mut usize) -> c_int {
    // SAFETY: as above.
    let Behind { link, frame: bytes } = unsafe { behind(link) };
    let taken = link.take(1, &mut |came, _| {
        bytes.clear();
        bytes.extend_from_slice(&came.head.encode());
        bytes.extend_from_slice(came.body);
    });
    match taken {
        Ok(0) => errno::EAGAIN,
        Ok(_) => {
            // SAFETY: as above.
            unsafe {
                frame.write(bytes.as_ptr().cast());
                len.write(bytes.len());
            }
            0
        }
        Err(error) => code(error),
    }
}

unsafe extern "C" fn watch(link: *mut c_void, readable: *mut c_int, writable: *mut c_int) {
    // SAFETY: as above.
    unsafe {
        let watch = behind(link).link.watch();
        readable.write(watch.readable_one().map_or(-1, |fd| fd.as_raw_fd()));
        writable.write(watch.writable_one().map_or(-1, |fd| fd.as_raw_fd()));
    }
}

unsafe extern "C" fn prepare_wait(link: *mut c_void) -> c_int {
    // SAFETY: as above.
    c_int::from(unsafe { behind(link) }.link.prepare_wait())
}

unsafe extern "C" fn close(link: *mut c_void) {
    // SAFETY: as above.
    unsafe { behind(link) }.link.close();
}

unsafe extern "C" fn destroy(link: *mut c_void) {
    // SAFETY: made by `of_c`; called once.
    drop(unsafe { Box::from_raw(link.cast::<Behind>()) });
}

fn of_c(link: impl Link + 'static) -> Box<dyn Link> {
    let ops = LinkOps {
        size: size_of::<LinkOps>(),
        body_bytes_max: link.body_bytes_max(),
        put: Some(put),
        flush: Some(flush),
        take: Some(take),
        watch: Some(watch),
        prepare_wait: Some(prepare_wait),
        close: Some(close),
        destroy: Some(destroy),
    };
    let behind = Box::into_raw(Box::new(Behind { link: Box::new(link), frame: Vec::new() }));
    // SAFETY: the functions above, with what they expect.
    Box::new(unsafe { LinkOfC::new(ops, behind.cast()) }.unwrap())
}

struct OfC;

impl LinkFactory for OfC {
    fn pair() -> Pair {
        let limits = LinkLimits { body_bytes_max: 20_000, ..LinkLimits::default() };
        let (one, other) = Socket::pair(SocketKind::Stream).unwrap();
        let link = |socket| of_c(UnixStreamLink::new(socket, &[], limits).unwrap());
        (link(one), link(other))
    }
}

becket_ipc::link_conforms!(of_c_conforms, OfC, no descriptors);

#[test]
fn a_table_without_a_function_is_none() {
    let ops = LinkOps {
        size: size_of::<LinkOps>(),
        body_bytes_max: 1024,
        put: Some(put),
        flush: Some(flush),
        take: Some(take),
        watch: Some(watch),
        prepare_wait: None,
        close: Some(close),
        destroy: None,
    };
    // SAFETY: of these none is a link, so none of its functions is called.
    unsafe {
        for less in [
            LinkOps { put: None, ..ops },
            LinkOps { flush: None, ..ops },
            LinkOps { take: None, ..ops },
            LinkOps { watch: None, ..ops },
            LinkOps { close: None, ..ops },
            LinkOps { body_bytes_max: 1023, ..ops },
        ] {
            assert!(LinkOfC::new(less, ptr::null_mut()).is_none());
        }
    }
}

#[test]
fn the_header_of_links_is_strict_and_agrees_with_the_type() {
    let mut source =
        "#include \"kcoro_link.h\"\n#include \"kcoro_link.h\"\nint probe(void);\n".to_owned();
    for (what, number) in [
        ("sizeof(kc_link_ops_t)", size_of::<LinkOps>()),
        ("offsetof(kc_link_ops_t, put)", offset_of!(LinkOps, put)),
        ("offsetof(kc_link_ops_t, take)", offset_of!(LinkOps, take)),
        ("offsetof(kc_link_ops_t, destroy)", offset_of!(LinkOps, destroy)),
        ("KC_LINK_HEAD_BYTES", becket_wire::HEAD_BYTES),
    ] {
        source.push_str(&format!(
            "#ifndef __cplusplus\n_Static_assert({what} == {number}, \"\");\n#endif\n"
        ));
    }
    for language in [C, CPP] {
        let file = folder().join("link_header").with_extension(language.extension);
        std::fs::write(&file, &source).unwrap();
        run(language.compiler().args(["-fsyntax-only", "-I"]).arg(include()).arg(&file));
    }
}

#[test]
fn sessions_over_a_link_of_c() {
    check("link");
}

// SPDX-License-Identifier: BSD-3-Clause
//! The adapter types around a buffer: adapters that differ only in how they keep bytes share their
//! interface.
//!
//! `faces!` defines adapters around a buffer type, a struct that has the fields `manifest` and
//! `buffered_bytes` and implements the contract with methods of the same names; `carries!` defines
//! the direction of each.

macro_rules! faces {
    ($keeper:ident: $($(#[$doc:meta])* $name:ident($said:literal, $($way:ident),+);)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($keeper);

        impl $name {
            /// An adapter with these limits.
            #[must_use]
            pub fn new(limits: Limits) -> Self {
                let ways = Capabilities::NONE$(.with(Capability::$way))+;
                Self($keeper::new($said, ways, limits))
            }
        }

        impl Adapter for $name {
            fn manifest(&self) -> Manifest {
                self.0.manifest.clone()
            }

            fn open(
                &mut self,
                _: &mut Context<'_>,
                flow: FlowId,
                descriptor: &Descriptor,
            ) -> Done {
                self.0.open(flow, descriptor)
            }

            fn half_close(
                &mut self,
                cx: &mut Context<'_>,
                flow: FlowId,
            ) -> Done {
                self.0.half_close(cx, flow)
            }

            fn reset(
                &mut self,
                cx: &mut Context<'_>,
                flow: FlowId,
                cause: Cause,
            ) -> Done {
                self.0.reset(cx, flow, cause);
                Ok(())
            }

            fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
                self.0.close(cx, flow);
                Ok(())
            }

            fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
                self.0.poll(cx, outlet);
            }

            fn buffered_bytes(&self) -> u64 {
                self.0.buffered_bytes
            }

            fn summary(&self) -> String {
                self.0.summary()
            }
        }
    )*};
}

macro_rules! carries {
    ($($name:ident as $side:ident::$offer:ident;)*) => {$(
        impl $side for $name {
            fn $offer(
                &mut self,
                cx: &mut Context<'_>,
                chunk: &Chunk,
                bytes: &[u8],
            ) -> Took {
                self.0.offer(cx, chunk, bytes)
            }
        }
    )*};
}

pub(super) use {carries, faces};

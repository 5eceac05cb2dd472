// SPDX-License-Identifier: BSD-3-Clause
//! crossfire: handles of different types for each number of sides and each way to wait.

use crossfire::{
    AsyncRx, AsyncTx, MAsyncRx, MAsyncTx, MRx, MTx, Rx, Tx, detect_backoff_cfg, flavor::Flavor,
    mpmc, mpsc, spsc,
};

use super::super::channel::{
    Message, Refused, TaskRx, TaskTx, TryRx, TryTx, WaitRx, WaitTx, channel,
};
use super::super::peer::Peer;

/// A bounded channel for threads.
pub(crate) struct Bounded<const CAPACITY: usize>;
/// The same with one receiver.
pub(crate) struct BoundedMpsc<const CAPACITY: usize>;
/// The same for two threads.
pub(crate) struct BoundedSpsc<const CAPACITY: usize>;
/// A bounded channel for tasks.
pub(crate) struct BoundedTasks<const CAPACITY: usize>;
/// The same with one receiver.
pub(crate) struct BoundedTasksMpsc<const CAPACITY: usize>;
/// The same for two tasks.
pub(crate) struct BoundedTasksSpsc<const CAPACITY: usize>;
/// An unlimited channel for threads.
pub(crate) struct Unlimited;

/// Lets crossfire look at the machine, as its documentation advises.
pub(crate) fn prepare() {
    detect_backoff_cfg();
}

channel!(Crossfire, Bounded<N>, N:
    mpmc::bounded_blocking(N), MTx<mpmc::Array<T>>, MRx<mpmc::Array<T>>
);
channel!(Crossfire, BoundedMpsc<N>, N:
    mpsc::bounded_blocking(N), MTx<mpsc::Array<T>>, Rx<mpsc::Array<T>>
);
channel!(Crossfire, BoundedSpsc<N>, N:
    spsc::bounded_blocking(N), Tx<spsc::Array<T>>, Rx<spsc::Array<T>>
);
channel!(Crossfire, BoundedTasks<N>, N:
    mpmc::bounded_async(N), MAsyncTx<mpmc::Array<T>>, MAsyncRx<mpmc::Array<T>>
);
channel!(Crossfire, BoundedTasksMpsc<N>, N:
    mpsc::bounded_async(N), MAsyncTx<mpsc::Array<T>>, AsyncRx<mpsc::Array<T>>
);
channel!(Crossfire, BoundedTasksSpsc<N>, N:
    spsc::bounded_async(N), AsyncTx<spsc::Array<T>>, AsyncRx<spsc::Array<T>>
);
channel!(Crossfire, Unlimited: mpmc::unbounded_blocking(), MTx<mpmc::List<T>>, MRx<mpmc::List<T>>);

macro_rules! threads {
    ($tx:ident, $rx:ident) => {
        impl<F: Flavor<Item: Message>> WaitTx<F::Item> for $tx<F> {
            fn send_wait(&mut self, value: F::Item) -> Result<(), Refused> {
                self.send(value).map_err(|_| Refused)
            }
        }

        impl<F: Flavor<Item: Message>> WaitRx<F::Item> for $rx<F> {
            fn recv_wait(&mut self) -> Result<F::Item, Refused> {
                self.recv().map_err(|_| Refused)
            }
        }
    };
}

threads!(Tx, Rx);
threads!(MTx, MRx);

macro_rules! tries {
    ($tx:ident, $rx:ident) => {
        impl<F: Flavor<Item: Message>> TryTx<F::Item> for $tx<F> {
            fn send_now(&mut self, value: F::Item) -> Result<(), Refused> {
                self.try_send(value).map_err(|_| Refused)
            }
        }

        impl<F: Flavor<Item: Message>> TryRx<F::Item> for $rx<F> {
            fn recv_now(&mut self) -> Result<F::Item, Refused> {
                self.try_recv().map_err(|_| Refused)
            }
        }
    };
}

tries!(MTx, MRx);
tries!(MAsyncTx, MAsyncRx);

macro_rules! tasks {
    ($tx:ident, $rx:ident) => {
        impl<F: Flavor<Item: Message>> TaskTx<F::Item> for $tx<F> {
            fn send_task(
                &mut self,
                value: F::Item,
            ) -> impl Future<Output = Result<(), Refused>> + Send {
                async move { self.send(value).await.map_err(|_| Refused) }
            }
        }

        impl<F: Flavor<Item: Message>> TaskRx<F::Item> for $rx<F> {
            fn recv_task(&mut self) -> impl Future<Output = Result<F::Item, Refused>> + Send {
                async move { self.recv().await.map_err(|_| Refused) }
            }
        }
    };
}

tasks!(AsyncTx, AsyncRx);
tasks!(MAsyncTx, MAsyncRx);

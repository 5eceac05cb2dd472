// SPDX-License-Identifier: BSD-3-Clause
//! Futures in straight-line code: any library's, and tokio's.

use std::io;

use becket_coro::{block_on, spawn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::Shown;

pub(crate) fn show() -> Shown {
    futures()?;
    with_tokio()
}

// ANCHOR: futures
fn futures() -> Shown {
    // A future that needs no runtime of its own is simply awaited: here a channel of tokio's.
    let (tx, rx) = oneshot::channel();
    let waiting = spawn(move || block_on(rx));
    assert!(tx.send("hello").is_ok());
    assert_eq!(waiting.join()??, "hello");
    Ok(())
}
// ANCHOR_END: futures

// ANCHOR: tokio
fn with_tokio() -> Shown {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build()?;
    let handle = tokio.handle().clone();

    let talk = spawn(move || {
        // A future that needs tokio's reactor runs there as a task. Its handle needs no reactor
        // and parks this coroutine alone.
        let on_tokio = |text: &'static str| block_on(handle.spawn(echoed(text)));
        let first = on_tokio("to be")??;
        let second = on_tokio("or not")??;
        Ok::<_, io::Error>(format!("{first}, {second}"))
    });
    assert_eq!(talk.join()??, "to be, or not");
    Ok(())
}

/// Sends the text to an echo server and returns the answer.
async fn echoed(text: &str) -> io::Result<String> {
    let server = TcpListener::bind("127.0.0.1:0").await?;
    let mut near = TcpStream::connect(server.local_addr()?).await?;
    let (mut far, _) = server.accept().await?;
    near.write_all(text.as_bytes()).await?;
    let mut heard = vec![0; text.len()];
    far.read_exact(&mut heard).await?;
    far.write_all(&heard).await?;
    near.read_exact(&mut heard).await?;
    String::from_utf8(heard).map_err(io::Error::other)
}
// ANCHOR_END: tokio

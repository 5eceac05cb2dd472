// SPDX-License-Identifier: BSD-3-Clause
//! turmoil: a server and a client on hosts of their own, a TCP connection for each flow.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::Builder;
use turmoil::net::{TcpListener, TcpStream};

use super::rows::TURMOIL;
use super::work::{are_right, bytes, check_bytes, length};
use crate::error::BenchError;

const PORT: u16 = 1000;

/// So many runs, from this seed on.
pub(super) fn run(first: u64, runs: u64, flows: u32) -> Result<(), BenchError> {
    let right = Rc::new(Cell::new(0));
    for seed in first..first + runs {
        let mut sim = Builder::new().rng_seed(seed).build();
        let at_server = Rc::clone(&right);
        sim.host("server", move || serve(seed, Rc::clone(&at_server)));
        let at_client = Rc::clone(&right);
        sim.client("client", async move {
            let all: Vec<_> = (0..flows)
                .map(|flow| tokio::task::spawn_local(ask(seed, flow, Rc::clone(&at_client))))
                .collect();
            for one in all {
                one.await??;
            }
            Ok(())
        });
        sim.run().map_err(|error| BenchError::host(TURMOIL, error.to_string()))?;
    }
    check_bytes(TURMOIL, first..first + runs, flows, right.get())
}

/// Gives back what comes. The first byte says whose it is.
async fn serve(seed: u64, right: Rc<Cell<u64>>) -> turmoil::Result {
    let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let right = Rc::clone(&right);
        tokio::task::spawn_local(async move {
            let flow = u32::from(stream.read_u8().await?);
            let (mut buffer, mut came) = ([0; 128], 0);
            while came < length(seed, flow) {
                let count = stream.read(&mut buffer).await?;
                let part = buffer.get(..count).unwrap_or_default();
                if count == 0 || !are_right(seed, flow, came, part) {
                    break;
                }
                right.set(right.get() + count as u64);
                came += count;
                stream.write_all(part).await?;
            }
            Ok::<_, std::io::Error>(())
        });
    }
}

async fn ask(seed: u64, flow: u32, right: Rc<Cell<u64>>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("server", PORT)).await?;
    stream.write_u8(flow as u8).await?;
    stream.write_all(&bytes(seed, flow)).await?;
    let mut back = vec![0; length(seed, flow)];
    stream.read_exact(&mut back).await?;
    if are_right(seed, flow, 0, &back) {
        right.set(right.get() + back.len() as u64);
    }
    Ok(())
}

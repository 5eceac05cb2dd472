// SPDX-License-Identifier: BSD-3-Clause
//! `--bench`: a load in this process to watch, and its result.
//!
//! Coroutines send buffers through channels to other coroutines. Every message is a separate buffer
//! that contains its number. The receivers add the numbers up: equal sums show that the messages
//! received are those sent, and not only as many.
//!
//! | module | what lives there |
//! |---|---|
//! | `load` | channels, producers, consumers, their counts |
//! | `summary` | the result at the end |

mod load;
mod summary;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::text;

pub(super) use self::load::Load;

/// Bytes that a load may have in flight.
const BYTES_MAX: u64 = 1 << 30;

/// Bytes of a channel's slot, without its message.
const SLOT_BYTES: u64 = 32;

/// The parameters of the load.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Load of --bench")]
pub(crate) struct Shape {
    /// Producers for each channel
    #[arg(short = 'P', long, value_name = "N", default_value_t = 2, requires = "bench")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    producers: u32,
    /// Consumers for each channel
    #[arg(short = 'C', long, value_name = "N", default_value_t = 2, requires = "bench")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    consumers: u32,
    /// Messages of each producer; without it, the load runs until it is ended
    #[arg(short = 'N', long, value_name = "N", requires = "bench")]
    messages: Option<u64>,
    /// Messages that a channel holds; 0 is a rendezvous channel
    #[arg(short = 'c', long, value_name = "N", default_value_t = 16_384, requires = "bench")]
    capacity: u32,
    /// Bytes of a message
    #[arg(short = 'k', long, value_name = "BYTES", default_value_t = 1500, requires = "bench")]
    size: u32,
    /// Channels
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bench")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=65_536))]
    channels: u32,
    /// Threads that run the coroutines [default: one a CPU]
    #[arg(long, value_name = "N", requires = "bench")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
}

impl Shape {
    /// Fails if the load does not fit into memory, or into the table of coroutines.
    fn check(&self) -> Result<(), Failure> {
        let on_their_way = u64::from(self.capacity) + u64::from(self.producers);
        let bytes = u64::from(self.channels)
            .saturating_mul(on_their_way)
            .saturating_mul(u64::from(self.size) + SLOT_BYTES);
        if bytes > BYTES_MAX {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} bytes would be on their way at a time", text::count(bytes)),
            )
            .cause(format!("at most {} may be", text::count(BYTES_MAX)))
            .hint("take fewer --channels, a smaller --capacity or a smaller --size"));
        }
        let each = u64::from(self.producers) + u64::from(self.consumers);
        let coroutines = each.saturating_mul(u64::from(self.channels));
        if coroutines > 1_000_000 {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} coroutines would be needed", text::count(coroutines)),
            )
            .cause(format!("at most {} may be", text::count(1_000_000)))
            .hint("take fewer --channels, --producers or --consumers"));
        }
        Ok(())
    }
}

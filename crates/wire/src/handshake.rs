// SPDX-License-Identifier: BSD-3-Clause
//! The body of a hello and of a welcome: attributes.
//!
//! ```text
//!   ┌────────┬────────┬──────────────┐
//!   │  type  │ length │ value        │   u16, u16, `length` bytes; little-endian, no padding;
//!   └────────┴────────┴──────────────┘   again and again to the body's end
//!
//!   1 frame_body_bytes_max u32   2 element_bytes_max u32   3 session_credit_bytes u64
//!   4 streams_max u32            5 requests_max u32        6 regions_max u32
//! ```
//!
//! Unknown types are skipped, so that later versions can add some. A missing type has its least
//! value: nothing of the kind is accepted.

use bytes::BufMut;

use crate::{PeerLimits, limits::FRAME_BODY_BYTES_LEAST};

/// Five attributes of 4 bytes and one of 8, each behind a head of 4.
const BYTES: usize = 5 * (4 + 4) + 4 + 8;

pub(crate) fn encode(limits: &PeerLimits) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let mut body = &mut bytes[..];
    let attributes = [
        (1, 4, limits.frame_body_bytes_max.into()),
        (2, 4, limits.element_bytes_max.into()),
        (3, 8, limits.session_credit_bytes),
        (4, 4, limits.streams_max.into()),
        (5, 4, limits.requests_max.into()),
        (6, 4, limits.regions_max.into()),
    ];
    for (number, length, value) in attributes {
        body.put_u16_le(number);
        body.put_u16_le(length);
        body.put_uint_le(value, length.into());
    }
    bytes
}

pub(crate) fn decode(mut body: &[u8]) -> Result<PeerLimits, &'static str> {
    let mut limits = PeerLimits::NONE;
    while !body.is_empty() {
        let ([number0, number1, length0, length1], rest) =
            body.split_first_chunk().ok_or("an attribute is cut off")?;
        let length = usize::from(u16::from_le_bytes([*length0, *length1]));
        let (value, rest) = rest.split_at_checked(length).ok_or("an attribute is cut off")?;
        body = rest;
        let place = match u16::from_le_bytes([*number0, *number1]) {
            1 => &mut limits.frame_body_bytes_max,
            2 => &mut limits.element_bytes_max,
            3 => {
                let value = value.try_into().map_err(|_| "an attribute of the wrong length")?;
                limits.session_credit_bytes = u64::from_le_bytes(value);
                continue;
            }
            4 => &mut limits.streams_max,
            5 => &mut limits.requests_max,
            6 => &mut limits.regions_max,
            _ => continue,
        };
        let value = value.try_into().map_err(|_| "an attribute of the wrong length")?;
        *place = u32::from_le_bytes(value);
    }
    if limits.frame_body_bytes_max < FRAME_BODY_BYTES_LEAST {
        return Err("a side that accepts no frames of 256 bytes");
    }
    if u64::from(limits.element_bytes_max) > limits.session_credit_bytes {
        return Err("elements that are longer than the session's credit");
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            frame_body_bytes_max in FRAME_BODY_BYTES_LEAST..,
            element_bytes_max in any::<u32>(),
            spare in 0..u64::from(u32::MAX),
            others in any::<(u32, u32, u32)>(),
            unknown in vec((7..u16::MAX, vec(any::<u8>(), 0..20)), 0..4),
        ) {
            let (streams_max, requests_max, regions_max) = others;
            let limits = PeerLimits {
                frame_body_bytes_max,
                element_bytes_max,
                session_credit_bytes: u64::from(element_bytes_max) + spare,
                streams_max,
                requests_max,
                regions_max,
            };
            let mut body = encode(&limits).to_vec();
            prop_assert!(body.len() <= FRAME_BODY_BYTES_LEAST as usize);
            for (number, value) in unknown {
                body.put_u16_le(number);
                body.put_u16_le(value.len() as u16);
                body.extend_from_slice(&value);
            }
            prop_assert_eq!(decode(&body), Ok(limits));
            prop_assert!(decode(body.get(..body.len() - 1).unwrap()).is_err());
        }

        #[test]
        fn any_bytes_are_limits_or_an_error(body in vec(any::<u8>(), 0..100)) {
            if let Ok(limits) = decode(&body) {
                prop_assert!(limits.frame_body_bytes_max >= FRAME_BODY_BYTES_LEAST);
            }
        }
    }
}

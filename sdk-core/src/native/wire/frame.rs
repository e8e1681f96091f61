//! Client frames: header, mask, payload.
//!
//! Encoded here and not by tungstenite, which copies each frame once more, draws each mask from a slower source, and
//! logs what it writes (some of our messages carry a token).

use std::cell::RefCell;
use std::io;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Ping = 0x9,
}

/// The most that a header takes.
pub(super) const LONGEST_HEADER: usize = 14;

/// Appends an unfragmented, masked frame.
pub(super) fn encode(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mask = draw_mask()?;
    out.reserve(LONGEST_HEADER + payload.len());
    out.push(0x80 | opcode as u8);
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            out.push(0x80 | 0x7E);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 0x7F);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    // In pieces that stay in the cache between the copy and the mask; a multiple of 4, so that the mask stays in step.
    for piece in payload.chunks(4096) {
        let start = out.len();
        out.extend_from_slice(piece);
        apply_mask(&mut out[start..], mask);
    }
    Ok(())
}

fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// A mask that nobody can foresee (RFC 6455, section 10.3). The operating system's random numbers, fetched for many
/// frames at a time: one call each would cost more than all the rest of a small frame.
fn draw_mask() -> io::Result<[u8; 4]> {
    const AT_A_TIME: usize = 256;
    thread_local! {
        static MASKS: RefCell<(usize, [[u8; 4]; AT_A_TIME])> = const { RefCell::new((AT_A_TIME, [[0; 4]; AT_A_TIME])) };
    }
    MASKS.with_borrow_mut(|(used, masks)| {
        if *used == AT_A_TIME {
            getrandom::fill(masks.as_flattened_mut()).map_err(|error| io::Error::other(error.to_string()))?;
            *used = 0;
        }
        // Taken out, so that memory does not say how past messages were masked.
        let mask = std::mem::take(&mut masks[*used]);
        *used += 1;
        Ok(mask)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_every_length_decodes_to_what_was_encoded() {
        for length in [0, 1, 7, 125, 126, 127, 4096, 4097, 65_535, 65_536, 70_001] {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut out = Vec::new();
            encode(Opcode::Binary, &payload, &mut out).unwrap();
            let mut server = tungstenite::WebSocket::from_raw_socket(
                Pipe(io::Cursor::new(out)),
                tungstenite::protocol::Role::Server,
                None,
            );
            assert_eq!(
                server.read().unwrap(),
                tungstenite::Message::Binary(payload.into()),
                "{length}"
            );
        }
    }

    #[test]
    fn masks_differ() {
        let masks: std::collections::HashSet<_> = (0..1000).map(|_| draw_mask().unwrap()).collect();
        assert!(masks.len() > 990);
    }

    struct Pipe(io::Cursor<Vec<u8>>);
    impl io::Read for Pipe {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.read(into)
        }
    }
    impl io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

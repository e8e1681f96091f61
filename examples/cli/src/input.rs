//! Lines from standard input, read by a thread of their own: it may block for ever, and the process ends all the same.

use std::io::{self, BufRead};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use freshsocket::{Error, ErrorKind, Message};
use tokio::sync::mpsc;

/// Lines that wait to be sent; reading stops at this many.
const WAITING: usize = 64;

/// How a line becomes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Base64,
}

/// A line that is longer than allowed; its rest was skipped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Format {
    /// The message that a line stands for.
    pub(crate) fn message(self, line: Vec<u8>) -> Result<Message, Error> {
        if self == Self::Base64 {
            let bytes = BASE64_STANDARD.decode(line.trim_ascii());
            return bytes
                .map(Message::binary)
                .map_err(|error| refuse("is not base64", error.to_string()));
        }
        let text = String::from_utf8(line)
            .map_err(|error| refuse("is not UTF-8", error.utf8_error().to_string()))?;
        if self == Self::Json {
            let checked = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            checked.map_err(|error| refuse("is not JSON", error.to_string()))?;
        }
        Ok(Message::text(text))
    }
}

fn refuse(what: &str, cause: String) -> Error {
    Error::new(ErrorKind::Unsupported, format!("what was to be sent {what}")).with_cause(cause)
}

/// Starts reading. The channel ends with the input.
pub(crate) fn read_lines(
    format: Format,
    longest: usize,
    skip_empty: bool,
) -> mpsc::Receiver<Result<Message, Error>> {
    let (lines, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let message = match read_line(&mut stdin, longest) {
                Ok(Some(Ok(line))) if line.is_empty() && skip_empty => continue,
                Ok(Some(Ok(line))) => format.message(line),
                Ok(Some(Err(TooLong))) => {
                    let what = "the line is longer than limits.maxMessageBytes";
                    Err(Error::new(ErrorKind::MessageTooLarge, what))
                }
                Ok(None) => return,
                Err(error) => {
                    let _ = lines.blocking_send(Err(refuse("cannot be read", error.to_string())));
                    return;
                }
            };
            if lines.blocking_send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next line without its end, in bounded memory; `None` at the end of the input.
pub(crate) fn read_line(
    input: &mut impl BufRead,
    longest: usize,
) -> io::Result<Option<Result<Vec<u8>, TooLong>>> {
    let (mut line, mut seen_any, mut too_long) = (Vec::new(), false, false);
    loop {
        let available = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            break;
        }
        seen_any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        // One more, for a carriage return.
        too_long |= line.len() + part.len() > longest.saturating_add(1);
        if !too_long {
            line.extend_from_slice(part);
        }
        let taken = end.map_or(available.len(), |at| at + 1);
        input.consume(taken);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    too_long |= line.len() > longest;
    Ok(seen_any.then_some(if too_long { Err(TooLong) } else { Ok(line) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_in_bounded_memory() {
        let mut input = io::BufReader::with_capacity(3, &b"ab\r\n\nabcde\nlast"[..]);
        let mut next = || read_line(&mut input, 4).unwrap();
        assert_eq!(next(), Some(Ok(b"ab".to_vec())));
        assert_eq!(next(), Some(Ok(Vec::new())));
        assert_eq!(next(), Some(Err(TooLong)));
        assert_eq!(next(), Some(Ok(b"last".to_vec())));
        assert_eq!(next(), None);
    }

    #[test]
    fn formats_refuse_what_is_none() {
        assert_eq!(
            Format::Base64.message(b"AAE= ".to_vec()).unwrap().as_bytes(),
            [0, 1]
        );
        assert!(Format::Base64.message(b"!".to_vec()).is_err());
        assert!(Format::Json.message(b"{".to_vec()).is_err());
        assert_eq!(
            Format::Json.message(b"{}".to_vec()).unwrap().as_text(),
            Some("{}")
        );
        assert!(Format::Text.message(vec![0xff]).is_err());
    }
}

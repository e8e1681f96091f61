//! Servers that cost almost nothing, so that what is measured is the client: a thread each, plain `std::net`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use tokio_tungstenite::tungstenite;

/// Sends `count` binary messages of `size` bytes to every client as fast as it takes them, then waits for its end.
pub(crate) fn flood(count: usize, size: usize) -> SocketAddr {
    serve(move |mut stream| {
        let one = frame(size);
        let per_write = (128 * 1024 / one.len()).max(1);
        let many: Vec<u8> = one.iter().copied().cycle().take(one.len() * per_write).collect();
        let mut left = count;
        while left > 0 {
            let now = left.min(per_write);
            if stream.write_all(&many[..now * one.len()]).is_err() {
                return;
            }
            left -= now;
        }
        let _ = stream.read(&mut [0; 256]);
    })
}

/// Answers every message of `size` bytes with one of the same size, as many at once as have come.
pub(crate) fn echo(size: usize) -> SocketAddr {
    serve(move |mut stream| {
        let answer = frame(size);
        let incoming = answer.len() + 4;
        let mut buffer = vec![0; 256 * 1024];
        let mut have = 0;
        let mut answers = Vec::new();
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(read) => have += read,
            }
            let whole = have / incoming;
            have %= incoming;
            answers.clear();
            (0..whole).for_each(|_| answers.extend_from_slice(&answer));
            if stream.write_all(&answers).is_err() {
                return;
            }
        }
    })
}

/// A server's binary frame of this size.
fn frame(size: usize) -> Vec<u8> {
    let mut frame = vec![0x82];
    match u8::try_from(size) {
        Ok(short) if short < 126 => frame.push(short),
        _ => {
            frame.push(127);
            frame.extend((size as u64).to_be_bytes());
        }
    }
    frame.resize(frame.len() + size, 7);
    frame
}

fn serve(act: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let act = act.clone();
            thread::spawn(move || {
                stream.set_nodelay(true).expect("no delay");
                if let Ok(socket) = tungstenite::accept(stream) {
                    act(socket.get_ref().try_clone().expect("the stream"));
                }
            });
        }
    });
    address
}

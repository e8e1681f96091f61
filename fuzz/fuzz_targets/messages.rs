//! The look at received messages: any text, any matchers. First line: matchers (JSON); then messages, one a line.
#![no_main]

use freshsocket::Message;
use freshsocket::inspect::Inspector;
use freshsocket::io::Notice;
use freshsocket::json::Json;
use freshsocket::options::{Matcher, SocketOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let matchers: Vec<Matcher> = serde_json::from_slice(lines.next().unwrap_or_default()).unwrap_or_default();
    let mut options = SocketOptions::default();
    let mut matchers = matchers.into_iter();
    options.ready = matchers.next();
    options.heartbeat.reply = matchers.next();
    let rest: Vec<_> = matchers.collect();
    options.auth_error = (!rest.is_empty()).then_some(rest);

    let mut inspector = Inspector::new(&options);
    let (mut first, mut ready) = (0, 0);
    for line in lines {
        let message = match std::str::from_utf8(line) {
            Ok(text) => Message::text(text),
            Err(_) => Message::binary(line.to_vec()),
        };
        let verdict = inspector.look(&message);
        match verdict.notice {
            Some(Notice::FirstMessage) => first += 1,
            Some(Notice::Ready) => ready += 1,
            Some(Notice::AuthError) => {
                assert!(options.auth_error.is_some(), "a refusal that nobody configured")
            }
            Some(Notice::Renewed) => panic!("an acknowledgement that nobody configured"),
            None => {}
        }
        if !verdict.deliver {
            let json = message
                .as_text()
                .and_then(Json::parse)
                .expect("only JSON is swallowed");
            assert!(
                options
                    .heartbeat
                    .reply
                    .as_ref()
                    .is_some_and(|reply| reply.matches(&json)),
                "swallowed a message"
            );
        }
        inspector.was_refusal(Some(&message));
    }
    assert!(first <= 1 && ready <= 1, "a notice came twice: {first} {ready}");
});

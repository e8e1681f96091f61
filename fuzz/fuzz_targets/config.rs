//! Options from any text: an error that names what is wrong, or options that a machine accepts and can run.
#![no_main]

use freshsocket::io::{Input, SocketId};
use freshsocket::machine::Machine;
use freshsocket::{ErrorKind, Options};
use freshsocket_fuzz::Clock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let options = match Options::from_json(text) {
        Ok(options) => options,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidOptions);
            assert!(error.cause().is_some(), "an error that does not say where");
            return;
        }
    };
    let written = serde_json::to_string(&options).expect("options can be written");
    Options::from_json(&written).expect("what was written can be read");

    if let Err(error) = options.session.validate() {
        assert!(error.field().is_some(), "{error}");
        return;
    }
    let mut clock = Clock::default();
    let mut machine =
        Machine::new(options.session.clone(), false, 1, clock.now()).expect("valid options make a machine");
    if let Err(error) = options.socket.validate() {
        assert!(error.field().is_some(), "{error}");
        return;
    }
    machine.handle(
        clock.now(),
        Input::OpenSocket {
            socket: SocketId(1),
            options: options.socket.into(),
        },
    );
    for _ in 0..20 {
        while machine.poll().is_some() {}
        let Some(deadline) = machine.next_deadline() else {
            break;
        };
        clock.to(deadline);
        machine.handle(clock.now(), Input::Tick);
    }
});

//! Answers of the auth server made of anything: status, headers, body. Every call is answered, no token is printed.
#![no_main]

use freshsocket_fuzz::Run;
use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut data = Unstructured::new(data);
    let mut run = Run::new(&mut data);
    run.open_socket(&mut data);
    run.login();
    for _ in 0..24 {
        if data.is_empty() {
            break;
        }
        run.answer_oldest(&mut data);
        // On to the refresh, or to another sign-in where the last one was refused.
        run.to_deadline();
        if run.is_idle() {
            run.login();
        }
    }
    run.finish();
});

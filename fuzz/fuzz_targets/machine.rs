//! Any sequence of inputs at any times. `Run` holds what must be true after each.
#![no_main]

use freshsocket_fuzz::Run;
use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut data = Unstructured::new(data);
    let mut run = Run::new(&mut data);
    for _ in 0..200 {
        if data.is_empty() {
            break;
        }
        run.step(&mut data);
    }
    run.finish();
});

//! Every seed that showed a bug once.

#![allow(clippy::expect_used)] // It is a test.

use freshsocket_sim::fleet::{Sabotage, run};

#[test]
fn seeds_that_showed_a_bug_show_none() {
    let mut count = 0;
    for line in include_str!("../seeds.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let (seed, what) = line.split_once(' ').expect("a seed, and what it showed");
        let seed = seed.parse().expect("a number");
        let again = run(seed, Sabotage::None, true)
            .violation
            .map(|again| again.to_string());
        assert_eq!(again, None, "once it showed: {}", what.trim());
        count += 1;
    }
    assert!(count > 0);
}

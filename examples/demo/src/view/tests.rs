//! The picture in characters.

use std::time::Duration;

use freshsocket::{Ended, SocketEvent, SocketState};

use super::*;
use crate::ledger::Ledger;
use crate::script::Pace;
use crate::stage::Cue;
use crate::story::Token;

/// Two seconds into the restart: the server is gone, 30 messages wait.
fn in_the_middle() -> Story {
    let mut story = Story::new(&Pace::FULL, 1_000_000);
    story.at(Duration::from_secs(10));
    story.token = Some(Token {
        number: 3,
        received_ms: 9_000,
        expires_ms: 15_000,
    });
    story.session_state(SessionState::Active {
        expires_at: Some(1_015_000),
    });
    story.socket_event(
        &SocketEvent::Opened {
            subprotocol: None,
            handover: false,
        },
        0,
    );
    story.cue(Cue::Begin(2));
    let ended = Ended::Closed {
        code: 1012,
        reason: String::new(),
    };
    story.socket_event(
        &SocketEvent::Ended {
            ended,
            will_retry: true,
        },
        2,
    );
    story.at(Duration::from_secs(12));
    let cause = Ended::Unreachable {
        detail: "connection refused".into(),
    };
    story.socket_state(SocketState::Backoff {
        attempt: 2,
        cause,
        next_attempt: 1_012_800,
    });
    let mut ledger = Ledger::default();
    (1..=1_230).for_each(|number| ledger.sent(number));
    (1..=1_200).for_each(|number| ledger.echoed(number));
    story.count(&ledger);
    story
}

#[test]
fn the_picture_at_80_by_24() {
    let text = picture(&in_the_middle(), 80, 24).text();
    assert_eq!(text.len(), 24);
    assert!(text.iter().all(|line| line.chars().count() <= 80), "{text:#?}");
    assert!(text[0].starts_with(" freshsocket") && text[0].ends_with("12.0 s"));
    assert_eq!(text[3], " 2 Server restart");
    assert_eq!(
        text[7],
        " token     #3   ███████████████▌···············  3.0 s left · renewal in 0.6 s"
    );
    assert_eq!(text[8], " session   ● active         signed in as ada");
    assert_eq!(
        text[9],
        " socket    ● backoff        server gone; next attempt in 0.8 s"
    );
    assert_eq!(
        text[11],
        " messages  1,230 sent    1,200 received 30 waiting    0 cut off     0 lost"
    );
    assert!(text[14].contains('2'));
    assert!(text[18].ends_with("connected"), "{text:#?}");
    assert_eq!(
        text[20],
        "  10.00  · socket  ended: 1012, the server restarts · 2 on the wire"
    );
}

#[test]
fn the_log_takes_what_a_taller_terminal_gives() {
    let mut story = in_the_middle();
    (0..40).for_each(|number| story.say(Tag::Run, format!("line {number}")));
    let text = picture(&story, 100, 30).text();
    assert!(text[29].ends_with("line 39") && text[18].ends_with("line 28"));
}

#[test]
fn the_margin_is_marked_where_the_bar_has_drained_past_nothing_yet() {
    let mut story = in_the_middle();
    let mark = |story: &Story| picture(story, 80, 24).text()[7].contains('╎');
    // Full, the bar covers the mark; nearly empty, it shows.
    assert!(!mark(&story));
    story.at(Duration::from_secs(14));
    assert!(mark(&story));
}

#[test]
fn the_end_says_how_it_went() {
    let mut story = in_the_middle();
    story.over = true;
    assert_eq!(picture(&story, 80, 24).text()[3], " ✓ 8 faults survived");
    story.fail("message 7 is lost");
    let text = picture(&story, 80, 24).text();
    assert_eq!(
        (text[3].trim(), text[4].trim()),
        ("✗ a promise was broken", "message 7 is lost")
    );
    // What still waits at the end is lost.
    assert!(text[11].ends_with("30 lost"));
}

#[test]
fn nothing_is_drawn_outside_of_a_picture_that_is_too_small() {
    assert_eq!(picture(&in_the_middle(), 10, 3).text().len(), 3);
}

use super::*;

/// Fills the way to a server that does not read.
async fn fill(rig: &Rig) {
    let mut message = Some(numbered(u64::MAX - 1, 3_000_000));
    for number in 1_000_000.. {
        let full =
            poll_fn(|cx| Poll::Ready(rig.pipe.poll_send(cx, SendId(number), &mut message).is_pending()))
                .await;
        if full {
            assert!(message.is_none(), "partly written");
            assert!(rig.pipe.disown(SendId(number)).is_none());
            break;
        }
        message = Some(numbered(u64::MAX - 1, 3_000_000));
    }
}

#[tokio::test]
async fn w11_a_send_waits_for_room_and_goes_on_when_there_is() {
    let (rig, server) = connected(&SocketOptions::default()).await;
    fill(&rig).await;
    let rig = Arc::new(rig);
    let sender = Arc::clone(&rig);
    let sending = tokio::spawn(async move { sender.send(1, "at last").await });
    rig.until("a waiting sender", |state| state.signals.has_sender(SendId(1)))
        .await;
    assert!(!sending.is_finished());
    let reading = tokio::spawn(drain(server));
    within(sending).await.unwrap().unwrap();
    within(poll_fn(|cx| rig.pipe.poll_flush(cx))).await.unwrap();
    rig.until("the disowned one", |_| rig.sent.ids().len() == 1).await;
    rig.pipe.close(1000, String::new());
    let got = reading.await.unwrap();
    assert_eq!(got.iter().filter(|message| message.is_text()).count(), 1);
}

#[tokio::test]
async fn w10_a_message_that_did_not_go_out_comes_back_to_its_sender() {
    let (mut rig, _server) = connected(&SocketOptions::default()).await;
    let mut partly = Some(numbered(0, 3_000_000));
    let mut number = 0;
    while poll_fn(|cx| Poll::Ready(rig.pipe.poll_send(cx, SendId(number), &mut partly).is_ready())).await {
        number += 1;
        partly = Some(numbered(number, 3_000_000));
    }
    assert!(partly.is_none());
    let mut waiting = Some(Message::text("waits"));
    assert!(poll_fn(|cx| Poll::Ready(rig.pipe.poll_send(cx, SendId(77), &mut waiting).is_pending())).await);
    rig.pipe.abort();
    for (id, message) in [(SendId(77), &mut waiting), (SendId(number), &mut partly)] {
        assert_eq!(
            within(poll_fn(|cx| rig.pipe.poll_send(cx, id, message))).await,
            Err(Over)
        );
        assert!(message.is_some());
    }
    assert!(partly.unwrap() == numbered(number, 3_000_000));
    let (end, unsent) = rig.ended().await;
    assert_eq!(
        (end, unsent),
        (
            ConnEnd::Lost {
                detail: "aborted".into(),
                refused: false
            },
            vec![]
        )
    );
    // After the end, nothing is taken, and nothing is lost.
    assert!(rig.send(78, "late").await.is_err());
    rig.transmit(vec![(SendId(79), "late".into())]);
    assert_eq!(rig.pipe.take_late().len(), 1);
    assert!(rig.sent.ids().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_transmitted_messages_go_before_direct_ones() {
    let (rig, server) = connected(&SocketOptions::default()).await;
    let reading = tokio::spawn(drain(server));
    rig.transmit((0..1_000).map(|n| (SendId(n), numbered(n, 1_000))).collect());
    rig.send(1_000, numbered(1_000, 64)).await.unwrap();
    // Others may not be overtaken either.
    rig.transmit((1_001..1_500).map(|n| (SendId(n), numbered(n, 1_000))).collect());
    let mut fed = Some(numbered(1_500, 64));
    within(poll_fn(|cx| rig.pipe.poll_feed(cx, SendId(1_500), &mut fed)))
        .await
        .unwrap();
    within(poll_fn(|cx| rig.pipe.poll_flush(cx))).await.unwrap();
    rig.pipe.close(1000, "done".into());
    let got = reading.await.unwrap();
    let numbers: Vec<u64> = got.iter().filter(|m| m.is_binary()).map(number_of).collect();
    assert_eq!(numbers, (0..=1_500).collect::<Vec<_>>());
    rig.until("every fate", |_| rig.sent.ids().len() >= 1_500).await;
    let mut sent = rig.sent.ids();
    sent.sort_unstable();
    assert!(
        sent.into_iter()
            .eq((0..=1_500).filter(|n| *n != 1_000).map(SendId))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_after_a_cut_every_message_was_either_sent_or_comes_back() {
    const COUNT: u64 = 5_000;
    for direct in [false, true] {
        let (mut rig, mut server) = connected(&SocketOptions::default()).await;
        if direct {
            for number in 0..COUNT {
                let mut message = Some(numbered(number, 4_096));
                let fed =
                    poll_fn(|cx| Poll::Ready(rig.pipe.poll_feed(cx, SendId(number), &mut message))).await;
                if fed.is_pending() {
                    rig.transmit(
                        (number..COUNT)
                            .map(|number| (SendId(number), numbered(number, 4_096)))
                            .collect(),
                    );
                    break;
                }
            }
        } else {
            rig.transmit(
                (0..COUNT)
                    .map(|number| (SendId(number), numbered(number, 4_096)))
                    .collect(),
            );
        }
        let mut received = Vec::new();
        while received.len() < 100 {
            received.push(number_of(&within(server.next()).await.unwrap().unwrap()));
        }
        // With unread bytes in its buffers this is a reset.
        drop(server);
        let (end, unsent) = rig.ended().await;
        assert!(matches!(end, ConnEnd::Lost { .. }), "{end:?}");
        assert!(!unsent.is_empty());
        // The observer is called with the lock open, by two threads: the last calls may come after the end, and in any
        // order among themselves.
        let all = usize::try_from(COUNT).unwrap();
        rig.until("every fate", |_| rig.sent.ids().len() + unsent.len() >= all)
            .await;
        let mut sent = rig.sent.ids();
        sent.sort_unstable();
        assert!(received.iter().all(|number| sent.contains(&SendId(*number))));
        // Each once: what was sent, then, in order, what comes back.
        sent.extend(unsent);
        assert!(sent.into_iter().eq((0..COUNT).map(SendId)));
    }
}

#[tokio::test]
async fn w11_a_sink_holds_little_and_flushes_all() {
    let (rig, server) = connected(&SocketOptions::default()).await;
    let reading = tokio::spawn(drain(server));
    for number in 0..20_000 {
        let mut message = Some(numbered(number, 100));
        within(poll_fn(|cx| rig.pipe.poll_feed(cx, SendId(number), &mut message)))
            .await
            .unwrap();
        assert!(message.is_none());
    }
    within(poll_fn(|cx| rig.pipe.poll_flush(cx))).await.unwrap();
    rig.until("every fate", |_| rig.sent.ids().len() == 20_000).await;
    rig.pipe.close(1000, String::new());
    assert_eq!(
        reading.await.unwrap().iter().filter(|m| m.is_binary()).count(),
        20_000
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w11_many_senders_at_once() {
    let (rig, mut server) = connected(&SocketOptions::default()).await;
    fill(&rig).await;
    let rig = Arc::new(rig);
    let senders: Vec<_> = (0..64)
        .map(|task| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move {
                for number in 0..50 {
                    rig.send(task * 1_000 + number, numbered(task * 1_000 + number, 40_000))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    rig.until("all waiting", |state| state.signals.senders() >= 64)
        .await;
    let reading = tokio::spawn(async move {
        let mut last = std::collections::HashMap::new();
        let mut count = 0;
        while count < 64 * 50 {
            let message = within(server.next()).await.unwrap().unwrap();
            let number = number_of(&message);
            if number < 1_000_000 {
                let expected = last
                    .insert(number / 1_000, number % 1_000)
                    .map_or(0, |last: u64| last + 1);
                assert_eq!(number % 1_000, expected);
                count += 1;
            }
        }
    });
    for sender in senders {
        within(sender).await.unwrap();
    }
    within(reading).await.unwrap();
}

#[tokio::test]
async fn w11_the_rest_of_a_cancelled_send_still_goes_out() {
    let (rig, mut server) = connected(&SocketOptions::default()).await;
    fill(&rig).await;
    rig.transmit(vec![(SendId(5), numbered(5, 8))]);
    while number_of(&within(server.next()).await.unwrap().unwrap()) != 5 {}
}

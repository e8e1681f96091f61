//! What a run may be made of: one of each way in which options can differ.

/// Kinds of session, as `Options` JSON.
pub(crate) const SESSIONS: [&str; 7] = [
    r#"{"baseUrl":"https://h"}"#,
    r#"{"baseUrl":"https://h","preset":"nodeJwt"}"#,
    r#"{"baseUrl":"https://h","preset":"tokenOnly"}"#,
    r#"{"baseUrl":"https://h","preset":"cookie"}"#,
    r#"{"preset":"callback"}"#,
    r#"{"baseUrl":"https://h","refresh":{"idempotencyHeader":"Idempotency-Key","proactive":false}}"#,
    r#"{"baseUrl":"https://h","preset":"custom","endpoints":{"login":{"path":"/l","access":"","body":{"a":"{u}"}}}}"#,
];

/// Kinds of socket, as `Options` JSON.
pub(crate) const SOCKETS: [&str; 9] = [
    r#"{"url":"wss://h/ws"}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"query"},"renewal":{"mode":"reconnect"}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"header"},"renewal":{"mode":"inBand"}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"cookie","name":"t"},"renewal":{"mode":"keep"}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"firstMessage"},"ready":{"/type":"connected"}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"ticket","url":"/t"},"reconnect":{"maxAttempts":2}}"#,
    r#"{"url":"wss://h/ws","credential":{"placement":"none"},"outbox":{"mode":"reject"}}"#,
    r#"{"url":"wss://h/ws","outbox":{"maxMessages":2,"whenFull":"dropOldest","maxAgeMs":50}}"#,
    r#"{"url":"wss://h/ws","autoConnect":false,"heartbeat":{"intervalMs":10,"timeoutMs":10,"message":{"type":"ping"}}}"#,
];

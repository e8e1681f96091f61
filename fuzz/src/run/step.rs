//! Any input, at any time.

use freshsocket::Message;
use freshsocket::io::{
    ConnEnd, ConnId, ConnectFailure, EffectId, Input, Notice, SendId, SocketId, TokenGrant,
};
use freshsocket::time::Mono;

use super::Run;
use crate::PLANTED;
use crate::data::{Data, byte, http_answer, number, text, token};

impl Run {
    /// One input of any kind, at any time.
    pub fn step(&mut self, data: Data<'_, '_>) {
        match byte(data) % 21 {
            0 => self.login(),
            1 => {
                let call = self.call();
                let tokens = TokenGrant {
                    access: token(data).into(),
                    refresh: Some(PLANTED.into()),
                    expires_in_ms: Some(number(data)),
                    user: None,
                };
                self.handle(Input::Adopt { call, tokens });
            }
            2 => {
                let call = self.call();
                self.handle(Input::Logout { call });
            }
            3 => {
                let call = self.call();
                self.handle(Input::Verify { call });
            }
            4 => self.handle(Input::TokenNeeded),
            5 => self.handle(Input::TokenRejected {
                token: number(data) % 8,
            }),
            6 => self.handle(Input::Network {
                online: byte(data) & 1 == 0,
            }),
            7 => self.open_socket(data),
            8 => {
                let socket = self.socket(data);
                self.handle(Input::Connect { socket });
            }
            9 => {
                let socket = self.socket(data);
                self.handle(Input::Disconnect {
                    socket,
                    code: number(data) as u16,
                    reason: text(data),
                });
            }
            10 => {
                let socket = self.socket(data);
                self.handle(Input::DropSocket { socket });
            }
            11 | 12 => {
                let socket = self.socket(data);
                self.sends += 1;
                let send = SendId(self.sends);
                self.queued.insert((socket, send), 0);
                self.handle(Input::Send {
                    identity: None,
                    socket,
                    send,
                    message: Message::text(text(data)),
                });
            }
            13 | 14 => self.connection(data),
            15 | 16 => self.answer_oldest(data),
            17 => self.clock_does(data),
            18 => self.to_deadline(),
            19 => self.handle(match byte(data) % 4 {
                0 => Input::Woke,
                1 => Input::StoreChanged,
                more => Input::Foreground {
                    foreground: more & 1 == 0,
                },
            }),
            // An answer that comes early, late, twice, or to nothing. Answers of the wrong kind (HTTP to a question to
            // the store) are the one thing that no driver does, and that is left out here.
            _ => {
                let effect = EffectId(number(data) % 64);
                if effect.0 <= self.last_effect && !self.http_effects.contains(&effect) {
                    return;
                }
                self.handle(Input::HttpAnswered {
                    effect,
                    answer: http_answer(data),
                });
            }
        }
    }

    /// A connection does something.
    fn connection(&mut self, data: Data<'_, '_>) {
        // Mostly one that exists; sometimes one that does not, or no longer.
        let index = usize::from(byte(data));
        let conn = match self.conns.get(index % (self.conns.len() + 1)) {
            Some(conn) => *conn,
            None => ConnId(number(data) % 64),
        };
        let detail = || "made up".to_owned();
        let refused = index & 0x80 != 0;
        let input = match byte(data) % 10 {
            0 | 1 => Input::Opened {
                conn,
                subprotocol: None,
            },
            2 => {
                let failure = match byte(data) & 1 {
                    0 => ConnectFailure::Http {
                        status: number(data) as u16,
                        retry_after: Some(text(data)),
                    },
                    _ => ConnectFailure::Unreachable { detail: detail() },
                };
                Input::ConnectFailed { conn, failure }
            }
            3 => Input::Noticed {
                conn,
                notice: Notice::FirstMessage,
            },
            4 => Input::Noticed {
                conn,
                notice: Notice::Ready,
            },
            5 => Input::Noticed {
                conn,
                notice: if refused {
                    Notice::Renewed
                } else {
                    Notice::AuthError
                },
            },
            9 => Input::Flushed { conn },
            6 => Input::Activity {
                conn,
                last_received: Mono(number(data)),
            },
            _ => {
                let end = match byte(data) % 3 {
                    0 => ConnEnd::Closed {
                        code: number(data) as u16,
                        reason: text(data),
                        refused,
                    },
                    1 => ConnEnd::Lost {
                        detail: detail(),
                        refused,
                    },
                    _ => ConnEnd::Violation {
                        code: 1007,
                        detail: detail(),
                    },
                };
                self.conns.retain(|known| *known != conn);
                Input::Ended {
                    conn,
                    end,
                    unsent: Vec::new(),
                }
            }
        };
        self.handle(input);
    }

    /// The clocks do something that clocks do.
    fn clock_does(&mut self, data: Data<'_, '_>) {
        let ms = number(data);
        match byte(data) & 3 {
            0 => self.clock.pass(ms % 100_000),
            // A sleep, or a wall clock set forward.
            1 => self.clock.unix_ms = self.clock.unix_ms.saturating_add(ms),
            2 => self.clock.unix_ms = ms,
            _ => self.clock.mono = self.clock.mono.saturating_sub(ms % 100_000),
        }
        self.handle(Input::Tick);
    }

    fn socket(&self, data: Data<'_, '_>) -> SocketId {
        SocketId(u64::from(byte(data)) % (self.sockets + 1) + 1)
    }
}

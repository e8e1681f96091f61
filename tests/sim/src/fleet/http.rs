//! HTTP between holders and the token server: requests and answers that take their time, or are lost.

use freshsocket::io::{EffectId, HttpAnswer, HttpRequest, Input};
use freshsocket::{Error, ErrorKind};

use super::Fleet;
use super::auth::AuthFault;
use super::event::{Event, Process};
use super::holder::Effect;
use super::sabotage::Sabotage;

fn unreachable(detail: &str) -> Error {
    Error::new(ErrorKind::Unreachable, detail.to_owned())
}

impl Fleet {
    /// One way between a holder and a server.
    pub(super) fn delay(&mut self, h: usize) -> u64 {
        let latency = self.plan.latency_ms;
        1 + latency / 2 + self.rng.up_to(latency) + self.holders[h].link.slow_ms
    }

    pub(super) fn http(&mut self, h: usize, effect: EffectId, request: HttpRequest) {
        let from = self.process(h);
        let exchange = request.url.contains("refresh").then(|| self.exchange_begins(h));
        let kind = exchange.map_or(Effect::Http, Effect::Refresh);
        self.holders[h].effects.insert(effect, kind);
        let limit = request.timeout_ms + self.rng.up_to(50);
        self.after(limit, Event::HttpLimit { of: from, effect });
        let link = self.holders[h].link;
        if link.down {
            // Some networks say that they are none, some say nothing.
            if self.chance(500) {
                let answer = Err(unreachable("no route to host"));
                let delay = self.rng.up_to(50);
                self.after(
                    delay,
                    Event::Answer {
                        to: from,
                        effect,
                        answer,
                        exchange: None,
                    },
                );
            }
            return;
        }
        if self.chance(link.loss_per_mille) {
            return;
        }
        let delay = self.delay(h);
        self.after(
            delay,
            Event::AtServer {
                from,
                effect,
                request,
                exchange,
            },
        );
    }

    pub(super) fn at_server(
        &mut self,
        from: Process,
        effect: EffectId,
        request: &HttpRequest,
        exchange: Option<usize>,
    ) {
        let h = from.holder;
        if self.holders[h].link.down {
            return;
        }
        let fault = self.auth.fault;
        let answer = match fault {
            Some(AuthFault::Hangs) => return,
            Some(AuthFault::Answers(status, body, retry_after)) => {
                let mut answer = super::auth::plain(&self.plan, self.now, status, body);
                answer.retry_after = retry_after.map(str::to_owned);
                answer
            }
            _ => {
                let (answer, did) = self.auth.act(&self.plan, self.now, request, exchange);
                self.server_did(from, exchange, request, did);
                answer
            }
        };
        let answer = match fault {
            Some(AuthFault::LosesAnswers) => return self.answer_is_lost(exchange),
            Some(AuthFault::ActsAndFails) => {
                self.answer_is_lost(exchange);
                super::auth::plain(&self.plan, self.now, 500, "oops")
            }
            _ => answer,
        };
        let link = self.holders[h].link;
        if self.chance(link.loss_per_mille) {
            return self.answer_is_lost(exchange);
        }
        self.rules.answers_sent.insert((h, from.life, effect), self.now);
        let delay = self.delay(h);
        self.after(
            delay,
            Event::Answer {
                to: from,
                effect,
                answer: Ok(answer),
                exchange,
            },
        );
    }

    pub(super) fn http_answer(
        &mut self,
        to: Process,
        effect: EffectId,
        answer: Result<HttpAnswer, Error>,
        exchange: Option<usize>,
    ) {
        let h = to.holder;
        if self.holders[h].link.down && answer.is_ok() {
            return self.answer_is_lost(exchange);
        }
        if !self.is_alive(to) || self.holders[h].effects.remove(&effect).is_none() {
            return self.answer_is_lost(exchange);
        }
        let mut answer = answer;
        if self.sabotage == Sabotage::ReplaysAnswers && exchange.is_some() {
            // A cache between client and server gives the last answer again.
            if let Some(old) = self.rules.last_answer.take().filter(|_| self.rng.up_to(1) == 0) {
                answer = Ok(old);
            } else if let Ok(answer) = &answer {
                self.rules.last_answer = Some(answer.clone());
            }
        }
        if let (Some(exchange), Ok(answer)) = (exchange, &answer) {
            self.answer_arrives(h, exchange, answer.status);
        }
        self.feed(h, Input::HttpAnswered { effect, answer });
    }

    pub(super) fn http_limit(&mut self, of: Process, effect: EffectId) {
        if !self.is_alive(of) {
            return;
        }
        if let Some(kind) = self.holders[of.holder].effects.remove(&effect) {
            if let Effect::Refresh(exchange) = kind {
                self.answer_is_lost(Some(exchange));
            }
            let answer = Err(unreachable("no answer within the time limit"));
            self.feed(of.holder, Input::HttpAnswered { effect, answer });
        }
    }
}

//! Where a handshake carries its credential, and which subprotocol to select.

use http::HeaderMap;
use http::header;

use crate::http::{bearer, cookie};
use crate::settings::{Placement, Settings};

/// A credential found in an upgrade request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) placement: Placement,
    pub(crate) token: String,
}

/// The parts of an upgrade request that matter for authentication.
#[derive(Debug)]
pub(crate) struct Offer<'r> {
    headers: &'r HeaderMap,
    query: Vec<(String, String)>,
    protocols: Vec<&'r str>,
}

impl<'r> Offer<'r> {
    pub(crate) fn new(headers: &'r HeaderMap, query: &str) -> Self {
        let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
        let protocols = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .filter(|protocol| !protocol.is_empty())
            .collect();
        Self {
            headers,
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            protocols,
        }
    }

    /// The first credential among the accepted placements. `known` says whether a string is a token of ours,
    /// which finds opaque tokens among the subprotocols.
    pub(crate) fn credential(&self, settings: &Settings, known: impl Fn(&str) -> bool) -> Option<Credential> {
        let accepted = Placement::ALL
            .iter()
            .filter(|placement| settings.accept.contains(placement));
        accepted.copied().find_map(|placement| {
            let token = match placement {
                Placement::Ticket => self.parameter("ticket"),
                Placement::Subprotocol => self.token_position(&known).map(|at| self.protocols[at]),
                Placement::Query => self.parameter("token").or_else(|| self.parameter("access_token")),
                Placement::Header => Some(bearer(self.headers)),
                Placement::Cookie => Some(cookie(self.headers, "access")),
                Placement::FirstMessage => None,
            };
            let token = token.filter(|token| !token.is_empty() || placement == Placement::Query)?;
            Some(Credential {
                placement,
                token: token.to_owned(),
            })
        })
    }

    /// The subprotocol to select: one of the application's, else the token's marker, else the first offered
    /// that is no token.
    pub(crate) fn selected(&self, settings: &Settings, known: impl Fn(&str) -> bool) -> Option<String> {
        let of_application = self
            .protocols
            .iter()
            .find(|offered| settings.subprotocols.iter().any(|p| p == *offered));
        let token_at = self.token_position(&known);
        let selected = match (of_application, token_at) {
            (Some(protocol), _) => Some(*protocol),
            (None, Some(at)) if at > 0 => Some(self.protocols[at - 1]),
            (None, Some(_)) => self.protocols.get(1).copied(),
            (None, None) => self.protocols.first().copied(),
        };
        selected.map(str::to_owned)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    /// The place of the token: something that is one, or looks like a JWT, or follows the usual marker.
    fn token_position(&self, known: &impl Fn(&str) -> bool) -> Option<usize> {
        let is_token = |protocol: &&str| known(protocol) || protocol.split('.').count() == 3;
        let usual = || {
            self.protocols
                .iter()
                .position(|p| *p == "access_token")
                .map(|at| at + 1)
        };
        let found = self.protocols.iter().position(is_token).or_else(usual);
        found.filter(|at| *at < self.protocols.len())
    }
}

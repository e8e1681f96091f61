//! From a credential's placement to a connection attempt (W2).

use crate::io::ConnectRequest;
use crate::json::Json;
use crate::options::{Credential, SocketOptions, with_parameter};
use crate::secret::{AccessToken, Secret};

/// What an attempt carries.
#[derive(Clone, Copy)]
pub(crate) struct Carried<'a> {
    pub(crate) access: Option<&'a AccessToken>,
    pub(crate) cookies: Option<&'a Secret>,
    pub(crate) ticket: Option<&'a Secret>,
}

/// The attempt's request, with the credential in its place.
pub(crate) fn connect_request(options: &SocketOptions, carried: Carried<'_>) -> ConnectRequest {
    let token = carried.access.map_or("", AccessToken::expose);
    let mut url = options.url.clone();
    let mut subprotocols: Vec<Secret> = options
        .subprotocols
        .iter()
        .map(|name| Secret::from(name.as_str()))
        .collect();
    let mut headers = Vec::new();
    let mut first_message = None;
    match &options.credential {
        Credential::Subprotocol { name } => {
            subprotocols.push(Secret::from(name.as_str()));
            subprotocols.push(Secret::from(token));
        }
        Credential::Query { parameter } => url = with_parameter(&url, parameter, token),
        Credential::Header { name, prefix } => {
            headers.push((name.clone(), Secret::new(format!("{prefix}{token}"))));
        }
        Credential::Cookie { name: Some(name) } => {
            headers.push(("Cookie".to_owned(), Secret::new(format!("{name}={token}"))));
        }
        Credential::Cookie { name: None } => {
            headers.extend(
                carried
                    .cookies
                    .map(|cookies| ("Cookie".to_owned(), cookies.clone())),
            );
        }
        Credential::FirstMessage { template } => first_message = Some(message_with_token(template, token)),
        Credential::Ticket(ticket) => {
            url = with_parameter(&url, &ticket.parameter, carried.ticket.map_or("", Secret::expose));
        }
        Credential::None => {}
    }
    ConnectRequest {
        url: Secret::new(url),
        subprotocols,
        headers,
        first_message,
        timeout_ms: options.connect_timeout_ms,
    }
}

/// A message made from a template with `{token}`: a string as it is, anything else as JSON.
pub(crate) fn message_with_token(template: &Json, token: &str) -> Secret {
    match template.filled(&|name| (name == "token").then(|| Json::from(token))) {
        Json::Str(text) => Secret::new(text),
        other => Secret::new(other.to_string()),
    }
}

/// The placement's name, for events and logs.
pub(crate) fn name(credential: &Credential) -> &'static str {
    match credential {
        Credential::Subprotocol { .. } => "subprotocol",
        Credential::Query { .. } => "query",
        Credential::Header { .. } => "header",
        Credential::Cookie { .. } => "cookie",
        Credential::FirstMessage { .. } => "firstMessage",
        Credential::Ticket(_) => "ticket",
        Credential::None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(credential: Credential) -> ConnectRequest {
        let options = SocketOptions {
            url: "wss://h/ws?a=1".into(),
            credential,
            subprotocols: vec!["chat".into()],
            ..SocketOptions::default()
        };
        let access = AccessToken::new("a.b/c");
        let (cookies, ticket) = (Secret::from("access=x"), Secret::from("t1"));
        connect_request(
            &options,
            Carried {
                access: Some(&access),
                cookies: Some(&cookies),
                ticket: Some(&ticket),
            },
        )
    }

    #[test]
    fn w2_every_placement() {
        let exposed = |secrets: &[Secret]| secrets.iter().map(|s| s.expose().to_owned()).collect::<Vec<_>>();
        let request = carried(Credential::default());
        assert_eq!(exposed(&request.subprotocols), ["chat", "access_token", "a.b/c"]);
        assert_eq!(request.url.expose(), "wss://h/ws?a=1");

        let request = carried(Credential::Query {
            parameter: "token".into(),
        });
        assert_eq!(request.url.expose(), "wss://h/ws?a=1&token=a.b%2Fc");

        let request = carried(Credential::Header {
            name: "Authorization".into(),
            prefix: "Bearer ".into(),
        });
        assert_eq!(request.headers[0].1.expose(), "Bearer a.b/c");

        let request = carried(Credential::Cookie {
            name: Some("jwt".into()),
        });
        assert_eq!(request.headers[0].1.expose(), "jwt=a.b/c");
        let request = carried(Credential::Cookie { name: None });
        assert_eq!(request.headers[0].1.expose(), "access=x");

        let template = Json::parse(r#"{"type":"auth","token":"{token}"}"#).unwrap();
        let request = carried(Credential::FirstMessage { template });
        assert_eq!(
            request.first_message.unwrap().expose(),
            r#"{"token":"a.b/c","type":"auth"}"#
        );

        let request = carried(Credential::Ticket(crate::options::TicketOptions::default()));
        assert_eq!(request.url.expose(), "wss://h/ws?a=1&ticket=t1");

        let request = carried(Credential::None);
        assert_eq!(
            (exposed(&request.subprotocols), request.headers.len()),
            (vec!["chat".to_owned()], 0)
        );
    }
}

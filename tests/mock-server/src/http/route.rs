//! Which endpoint a request is for.

use crate::fault::Target;
use crate::record::Kind;
use crate::settings::{Dialect, Settings, SlashPolicy};

/// The endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    SimpleLogin,
    SimpleRefresh,
    SimpleVerify,
    SimpleLogout,
    NodeLogin,
    NodeRefresh,
    NodeLogout,
    TokenOnlyLogin,
    CookieLogin,
    CookieRefresh,
    CookieMe,
    CookieLogout,
    Ticket,
    Me,
    Echo,
    Redirect(String),
    WrongMethod,
    NotFound,
}

impl Route {
    /// Finds the endpoint. `body_is_node` says that the body speaks the node dialect.
    pub(crate) fn find(method: &http::Method, path: &str, body_is_node: bool, settings: &Settings) -> Self {
        let node = match settings.dialect {
            Dialect::Auto => body_is_node,
            Dialect::SimpleJwt => false,
            Dialect::Node => true,
        };
        let route = match path {
            "/api/auth/login" if node => Self::NodeLogin,
            "/api/auth/refresh" => Self::NodeRefresh,
            "/api/auth/logout" if node => Self::NodeLogout,
            "/auth/token-only/login" => Self::TokenOnlyLogin,
            "/cookie/login" => Self::CookieLogin,
            "/cookie/refresh" => Self::CookieRefresh,
            "/cookie/me" => Self::CookieMe,
            "/cookie/logout" => Self::CookieLogout,
            "/api/ws-ticket" | "/api/ws-ticket/" => Self::Ticket,
            "/api/me" => Self::Me,
            "/api/echo" => Self::Echo,
            _ => Self::find_simple(path, settings),
        };
        let reads = matches!(route, Self::CookieMe | Self::Me | Self::Ticket);
        let either = matches!(route, Self::Ticket | Self::Redirect(_) | Self::NotFound);
        let is_get = method == http::Method::GET;
        if either || is_get == reads {
            route
        } else {
            Self::WrongMethod
        }
    }

    fn find_simple(path: &str, settings: &Settings) -> Self {
        let (stem, slashed) = path.strip_suffix('/').map_or((path, false), |stem| (stem, true));
        let route = match stem {
            "/api/auth/login" => Self::SimpleLogin,
            "/api/auth/token/refresh" => Self::SimpleRefresh,
            "/api/auth/token/verify" => Self::SimpleVerify,
            "/api/auth/logout" => Self::SimpleLogout,
            _ => return Self::NotFound,
        };
        let origin = settings.redirect_origin.as_deref().unwrap_or_default();
        match settings.slash {
            SlashPolicy::RedirectToSlash if !slashed => Self::Redirect(format!("{origin}{stem}/")),
            SlashPolicy::RedirectFromSlash if slashed => Self::Redirect(format!("{origin}{stem}")),
            _ => route,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::SimpleLogin | Self::NodeLogin | Self::TokenOnlyLogin | Self::CookieLogin => Kind::Login,
            Self::SimpleRefresh | Self::NodeRefresh | Self::CookieRefresh => Kind::Refresh,
            Self::SimpleVerify | Self::CookieMe => Kind::Verify,
            Self::SimpleLogout | Self::NodeLogout | Self::CookieLogout => Kind::Logout,
            Self::Ticket => Kind::Ticket,
            Self::Me | Self::Echo => Kind::Api,
            Self::Redirect(_) => Kind::Redirect,
            Self::WrongMethod | Self::NotFound => Kind::NotFound,
        }
    }

    /// The target whose faults apply.
    pub(crate) fn target(&self) -> Option<Target> {
        match self.kind() {
            Kind::Login => Some(Target::Login),
            Kind::Refresh => Some(Target::Refresh),
            Kind::Verify => Some(Target::Verify),
            Kind::Logout => Some(Target::Logout),
            Kind::Ticket => Some(Target::Ticket),
            Kind::Api => Some(Target::Api),
            _ => None,
        }
    }
}

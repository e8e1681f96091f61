//! TLS: one rustls configuration for HTTP and for WebSocket connections (section 6).

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;

use crate::error::{Error, ErrorKind};

/// The configuration that every connection of a client uses.
///
/// Trusted are the platform's roots and `extra_roots` (a private CA). Where the platform has none, as in a container
/// without `ca-certificates`, and on Android, Mozilla's roots as compiled into this crate take their place.
pub(crate) fn client_config(extra_roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, Error> {
    // Given explicitly: installing a process-wide provider is the application's right, not a library's.
    let provider = Arc::new(ring::default_provider());
    let verifier = match platform_verifier(extra_roots, &provider) {
        Some(verifier) => verifier?,
        None => bundled_verifier(extra_roots, &provider)?,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .dangerous() // rustls' word for "a verifier by name"; both of ours verify in full
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // All that this crate speaks, over HTTP and before a WebSocket. Offering it keeps servers from choosing HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

type Verifier = Arc<dyn ServerCertVerifier>;

/// `None` where the platform has no trust store that can be used.
#[cfg(not(target_os = "android"))]
fn platform_verifier(
    extra_roots: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Option<Result<Verifier, Error>> {
    use rustls_platform_verifier::Verifier;

    // Asked without the extra roots first: with them it would not say that the platform has none of its own.
    let plain = Verifier::new(Arc::clone(provider)).ok()?;
    if extra_roots.is_empty() {
        return Some(Ok(Arc::new(plain)));
    }
    Some(
        match Verifier::new_with_extra_roots(extra_roots.iter().cloned(), Arc::clone(provider)) {
            Ok(verifier) => Ok(Arc::new(verifier)),
            Err(error) => Err(bad_root(error)),
        },
    )
}

#[cfg(target_os = "android")]
fn platform_verifier(
    _: &[CertificateDer<'static>],
    _: &Arc<CryptoProvider>,
) -> Option<Result<Verifier, Error>> {
    None
}

fn bundled_verifier(
    extra_roots: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, Error> {
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in extra_roots {
        roots.add(root.clone()).map_err(bad_root)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map(|verifier| verifier as Verifier).map_err(broken)
}

fn bad_root(error: rustls::Error) -> Error {
    Error::new(
        ErrorKind::InvalidOptions,
        "an extra root certificate cannot be used",
    )
    .with_cause(error.to_string())
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unsupported, "TLS could not be set up").with_cause(error.to_string())
}

#[cfg(test)]
mod tests;

//! Who may do what with subscriptions. They tell of the streams that they watch and call out into
//! the world, so they belong to those who manage all of these streams. Workers that report prove
//! what they may with the token of their wake.

use super::{Refused, path::Action};
use crate::{
    auth::{Access, AuthError, Principal},
    http::App,
    model::StreamName,
    subscription::{Config, SubscriptionError, SubscriptionId},
};
use axum::http::{HeaderMap, Method};
use std::collections::BTreeSet;

/// Whether the sender of `headers` may do this to a subscription that is there, or is deleted.
pub(super) async fn check(
    app: &App,
    headers: &HeaderMap,
    (method, id, action): (&Method, &SubscriptionId, &Action),
) -> Result<(), Refused> {
    let access = match action {
        Action::Callback | Action::Ack | Action::Release => return Ok(()),
        // What is asked for is in the body, which is read for those only who have a token.
        Action::Itself if method == Method::PUT => {
            let principal = app.auth.bearer(headers).await?;
            return Ok(app.auth.creation(&principal)?);
        }
        // Whoever claims also says what is done.
        Action::Claim | Action::Itself | Action::Streams | Action::Stream(_) => Access::Manage,
    };
    let principal = app.auth.bearer(headers).await?;
    if app.auth.is_open() {
        return Ok(());
    }
    let config = app.subscriptions.get()?.config(id.clone()).await?;
    // Whoever may not have it is not told that it is there.
    check_config(&principal, access, &config).map_err(|_| SubscriptionError::NotFound.into())
}

/// Whether the sender of `headers` is somebody who may ask at all. What they may do is seen where that
/// is answered.
pub(super) async fn check_caller(
    app: &App,
    headers: &HeaderMap,
    action: &Action,
) -> Result<(), Refused> {
    if !matches!(action, Action::Callback | Action::Ack | Action::Release) {
        app.auth.bearer(headers).await?;
    }
    Ok(())
}

/// Whether the sender of `headers` may have a subscription like this.
pub(super) async fn check_new(
    app: &App,
    headers: &HeaderMap,
    config: &Config,
) -> Result<(), Refused> {
    let principal = app.auth.bearer(headers).await?;
    check_config(&principal, Access::Manage, config)?;
    if let Some(wake_stream) = config.wake_stream() {
        // Nobody is woken by a wake stream, so it must not be somebody else's.
        principal.check(Access::Manage, wake_stream)?;
        principal.check(Access::Write, wake_stream)?;
    }
    Ok(())
}

/// Whether the sender of `headers` may link `streams`.
pub(super) async fn check_streams(
    app: &App,
    headers: &HeaderMap,
    streams: &BTreeSet<StreamName>,
) -> Result<(), Refused> {
    let principal = app.auth.bearer(headers).await?;
    streams.iter().try_for_each(|stream| principal.check(Access::Manage, stream))?;
    Ok(())
}

fn check_config(principal: &Principal, access: Access, config: &Config) -> Result<(), AuthError> {
    if let Some(pattern) = &config.pattern {
        principal.check_all(access, pattern)?;
    }
    config.streams.iter().try_for_each(|stream| principal.check(access, stream))
}

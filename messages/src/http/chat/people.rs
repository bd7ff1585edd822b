//! Who takes part, who may not, and who types.

use super::{
    super::{App, query::parameters},
    forms::{AddForm, TypingForm, UntilForm, standing},
    request::{Answer, Caller, Form, InConversation, Named, answer},
};
use crate::{
    chat::{Action, ConversationName, PersonView, user},
    model::Standing,
};
use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::IntoResponse,
};
use std::sync::Arc;

type NameAndUser = Named<(String, String)>;

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    uri: Uri,
) -> Answer {
    let [state] = parameters(&uri, ["state"])?;
    let known = [Standing::Member, Standing::Invited, Standing::Banned];
    let standing = standing(state, &known)?;
    Ok(answer(&app.chat.participants(&caller.user, &name, standing).await?))
}

/// Does `action` to somebody and shows what they are to the conversation then.
async fn change(
    app: &App,
    caller: &Caller,
    name: &str,
    other: &Arc<str>,
    action: Action,
) -> Answer {
    let name: ConversationName = name.parse()?;
    app.chat.act(&caller.user, &name, action).await?;
    let view: Option<PersonView> = app.chat.person(&name, other).await?;
    Ok(view.map_or_else(|| StatusCode::NO_CONTENT.into_response(), |view| answer(&view)))
}

/// Does `action` in a conversation of which there is nothing to show then.
async fn act(app: &App, caller: &Caller, name: &str, action: Action) -> Answer {
    app.chat.act(&caller.user, &name.parse()?, action).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn other(text: &str) -> Result<Arc<str>, super::super::problem::Problem> {
    Ok(user(text)?.into())
}

pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Named((name, user)): NameAndUser,
    Form(AddForm { role, invite }): Form<AddForm>,
) -> Answer {
    let user = other(&user)?;
    let action = Action::Add { user: user.clone(), role, invite };
    change(&app, &caller, &name, &user, action).await
}

pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Named((name, user)): NameAndUser,
) -> Answer {
    act(&app, &caller, &name, Action::Remove { user: other(&user)? }).await
}

pub(super) async fn join(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
) -> Answer {
    app.chat.act(&caller.user, &name, Action::Join).await?;
    Ok(answer(&app.chat.view(&caller.user, &name).await?))
}

pub(super) async fn leave(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
) -> Answer {
    act(&app, &caller, name.as_str(), Action::Remove { user: caller.user.clone() }).await
}

pub(super) async fn ban(
    State(app): State<App>,
    caller: Caller,
    Named((name, user)): NameAndUser,
    Form(UntilForm { until, reason }): Form<UntilForm>,
) -> Answer {
    let user = other(&user)?;
    let action = Action::Ban { user: user.clone(), until, reason };
    change(&app, &caller, &name, &user, action).await
}

pub(super) async fn unban(
    State(app): State<App>,
    caller: Caller,
    Named((name, user)): NameAndUser,
) -> Answer {
    act(&app, &caller, &name, Action::Unban { user: other(&user)? }).await
}

pub(super) async fn mute(
    State(app): State<App>,
    caller: Caller,
    Named((name, user)): NameAndUser,
    Form(UntilForm { until, reason }): Form<UntilForm>,
) -> Answer {
    let user = other(&user)?;
    let action = Action::Mute { user: user.clone(), until, reason };
    change(&app, &caller, &name, &user, action).await
}

pub(super) async fn unmute(
    State(app): State<App>,
    caller: Caller,
    Named((name, user)): NameAndUser,
) -> Answer {
    act(&app, &caller, &name, Action::Unmute { user: other(&user)? }).await
}

pub(super) async fn typing(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    Form(TypingForm { on }): Form<TypingForm>,
) -> Answer {
    app.chat.typing(&caller.user, &name, on).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

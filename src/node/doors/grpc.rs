//! Naptha's gRPC door, for what the SDK's client can do: users, and runs without sub-deployments of their own. The
//! credential is the same as elsewhere, in the metadata `authorization`.

mod convert;

use std::{pin::Pin, time::Duration};

use async_stream::stream;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response as HttpResponse,
};
use futures_util::Stream;
use tonic::{Code, Request as GrpcRequest, Response, Status, service::Routes};

use self::{
    convert::{input_of, run_of},
    protocol::{
        CheckUserRequest, CheckUserResponse, GeneralResponse, ModuleRun, ModuleRunCheck, ModuleRunRequest,
        RegisterUserRequest, RegisterUserResponse,
        grpc_server_server::{GrpcServer, GrpcServerServer},
    },
};
use super::{
    MAX_BODY,
    naptha::{UserRequest, runnable, seen, user_check, user_register},
    request::{authenticate, authorization},
};
use crate::node::{
    NodeError, Shared,
    core::{Caller, Proof},
};

/// How often a caller is told that its run goes on.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What is made from `proto/naptha.proto`.
#[allow(clippy::all, missing_docs, unreachable_pub, reason = "the code is made, not written")]
mod protocol {
    tonic::include_proto!("agent");
}

/// The door's routes.
pub(super) fn router(core: Shared) -> Router<Shared> {
    let server = GrpcServerServer::new(Door { core: core.clone() })
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_BODY);
    let routes = Routes::new(server).prepare().into_axum_router().reset_fallback();
    routes.layer(middleware::from_fn_with_state(core, judge)).with_state(())
}

/// The largest message. Decoded, it is many times as large.
const MAX_MESSAGE: usize = 8 << 20;

/// What needs no caller.
const PUBLIC: [&str; 2] = ["/agent.GrpcServer/is_alive", "/agent.GrpcServer/stop"];

/// Judges the sender before a message is read: a stranger's is not worth decoding.
async fn judge(State(core): State<Shared>, request: Request, next: Next) -> HttpResponse {
    let (mut parts, body) = request.into_parts();
    if PUBLIC.contains(&parts.uri.path()) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let judged = match Proof::parse(authorization(&parts)) {
        // It covers a request's body, and this one has not been read.
        Ok(Proof::Signature(_)) => {
            Err(NodeError::Unauthorised("over gRPC a signature proves nothing: send a token".to_owned()))
        }
        Ok(_) => authenticate(&core, &parts, b"").await,
        Err(error) => Err(error),
    };
    match judged {
        Ok(caller) => parts.extensions.insert(caller),
        Err(error) => return refused(&error).into_http(),
    };
    next.run(Request::from_parts(parts, body)).await
}

/// The caller of a request.
fn caller<T>(request: &GrpcRequest<T>) -> Result<Caller, Status> {
    request.extensions().get().cloned().ok_or_else(|| Status::internal("the caller was not judged"))
}

/// An error as gRPC says it.
fn refused(error: &NodeError) -> Status {
    let problem = error.problem();
    let code = match problem.status {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::FailedPrecondition,
        413 | 507 => Code::ResourceExhausted,
        422 => Code::InvalidArgument,
        502 | 503 => Code::Unavailable,
        _ => Code::Internal,
    };
    Status::new(code, problem.detail)
}

#[derive(Debug)]
struct Door {
    core: Shared,
}

#[tonic::async_trait]
impl GrpcServer for Door {
    async fn is_alive(&self, _: GrpcRequest<()>) -> Result<Response<GeneralResponse>, Status> {
        Ok(Response::new(GeneralResponse { ok: true, message: "alive".to_owned() }))
    }

    /// Naptha's node lets anybody stop it.
    async fn stop(&self, _: GrpcRequest<()>) -> Result<Response<GeneralResponse>, Status> {
        Err(Status::permission_denied("only its operator stops a node"))
    }

    async fn check_user(&self, request: GrpcRequest<CheckUserRequest>) -> Result<Response<CheckUserResponse>, Status> {
        caller(&request)?;
        let asked = UserRequest { public_key: request.into_inner().public_key };
        let user = user_check(&self.core, &asked).await.map_err(|error| refused(&error))?;
        Ok(Response::new(CheckUserResponse {
            is_registered: user.is_registered.unwrap_or_default(),
            id: user.id.unwrap_or_default(),
            public_key: user.public_key,
        }))
    }

    async fn register_user(
        &self,
        request: GrpcRequest<RegisterUserRequest>,
    ) -> Result<Response<RegisterUserResponse>, Status> {
        let caller = caller(&request)?;
        let asked = UserRequest { public_key: request.into_inner().public_key };
        let user = user_register(&self.core, &caller, &asked).await.map_err(|error| refused(&error))?;
        Ok(Response::new(RegisterUserResponse { id: user.id.unwrap_or_default(), public_key: user.public_key }))
    }

    type RunModuleStream = Pin<Box<dyn Stream<Item = Result<ModuleRun, Status>> + Send>>;

    /// A `running` message every few seconds, and at the end the record; a caller that leaves cancels the run.
    async fn run_module(
        &self,
        request: GrpcRequest<ModuleRunRequest>,
    ) -> Result<Response<Self::RunModuleStream>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let module_type = runnable(&request.module_type).map_err(|error| refused(&error))?;
        let input = input_of(request).map_err(|error| refused(&error))?;
        let going_on = ModuleRun {
            module_type: module_type.to_string(),
            consumer_id: input.consumer_id.clone(),
            status: "running".to_owned(),
            signature: input.signature.clone(),
            ..ModuleRun::default()
        };
        let core = self.core.clone();
        let messages = stream! {
            let call = core.call(&caller, module_type, input);
            tokio::pin!(call);
            let ended = loop {
                match tokio::time::timeout(HEARTBEAT, &mut call).await {
                    Ok(ended) => break ended,
                    Err(_) => yield Ok(going_on.clone()),
                }
            };
            yield ended.map(|record| run_of(module_type, record)).map_err(|error| refused(&error));
        };
        Ok(Response::new(Box::pin(messages)))
    }

    async fn check_module_run(&self, request: GrpcRequest<ModuleRunCheck>) -> Result<Response<ModuleRun>, Status> {
        let caller = caller(&request)?;
        let ModuleRunCheck { module_type, run_id } = request.into_inner();
        let checked = async {
            let module_type = runnable(&module_type)?;
            let record = seen(&self.core, &caller, module_type, &run_id).await?;
            Ok::<_, NodeError>(run_of(module_type, record))
        };
        checked.await.map(Response::new).map_err(|error| refused(&error))
    }
}

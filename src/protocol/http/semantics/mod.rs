//! The semantics of HTTP (RFC 9110) as values, without I/O and without a wire format. Handlers turn requests
//! into responses; each version of HTTP reads requests from its wire and writes responses to it.

pub(super) mod digest;
pub(super) mod error;
pub(super) mod grammar;
pub(super) mod headers;
pub(super) mod method;
pub(super) mod negotiation;
pub(super) mod preconditions;
pub(super) mod ranges;
pub(super) mod request;
pub(super) mod response;
pub(super) mod status;
pub(super) mod target;
pub(super) mod uri;

pub(super) use error::HttpError;
pub(super) use headers::{HeaderName, HeaderSet, Headers};
pub(super) use method::Method;
pub(super) use request::{OwnedRequest, Request};
pub(super) use response::{Body, BodySource, Field, FieldSink, NextSlice, Outcome, Response, field};
pub(super) use status::Status;
pub(super) use target::Target;

//! What HTTP means (RFC 9110): values without I/O and without a wire format. Handlers take and make them;
//! each version's folder reads them from its wire and writes them to it.

pub mod error;
pub mod grammar;
pub mod headers;
pub mod method;
pub mod negotiation;
pub mod preconditions;
pub mod ranges;
pub mod request;
pub mod response;
pub mod status;
pub mod target;
pub mod uri;

pub use error::HttpError;
pub use headers::{HeaderName, HeaderSet, Headers};
pub use method::Method;
pub use request::{OwnedRequest, Request};
pub use response::{Body, BodySource, Field, FieldSink, Outcome, Response, field};
pub use status::Status;
pub use target::Target;

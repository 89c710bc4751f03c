//! A request (RFC 9110 section 3.4): method, target and header fields, independent of the version of HTTP.

use std::ops::Range;

use super::headers::Headers;
use super::method::Method;
use super::target::Target;

/// A request, borrowed from the bytes it was parsed from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub method: Method,
    pub target: Target<'a>,
    pub headers: Headers<'a>,
    /// The length of the body, if it is known in advance; a request without a body has 0.
    pub body_length: Option<u64>,
}

/// A request that outlives the bytes it was parsed from. The bytes are copied once and never parsed again.
#[derive(Debug)]
pub(crate) struct OwnedRequest {
    /// The block of the header fields, which also contains the target.
    block: Box<[u8]>,
    headers: Headers<'static>,
    method: Method,
    target: OwnedTarget,
    body_length: Option<u64>,
}

/// A target as positions in the block.
#[derive(Debug)]
enum OwnedTarget {
    Path { path: Range<usize>, is_plain: bool, query: Option<Range<usize>> },
    Server,
    Authority,
}

impl From<&Request<'_>> for OwnedRequest {
    fn from(request: &Request<'_>) -> OwnedRequest {
        let block = request.headers.block;
        let target = match request.target {
            Target::Path { path, is_plain, query } => OwnedTarget::Path {
                path: place_in(block, path),
                is_plain,
                query: query.map(|query| place_in(block, query)),
            },
            Target::Server => OwnedTarget::Server,
            Target::Authority => OwnedTarget::Authority,
        };
        OwnedRequest {
            block: block.into(),
            headers: request.headers.without_block(),
            method: request.method,
            target,
            body_length: request.body_length,
        }
    }
}

impl OwnedRequest {
    pub(crate) fn borrow(&self) -> Request<'_> {
        let target = match &self.target {
            OwnedTarget::Path { path, is_plain, query } => Target::Path {
                path: &self.block[path.clone()],
                is_plain: *is_plain,
                query: query.clone().map(|query| &self.block[query]),
            },
            OwnedTarget::Server => Target::Server,
            OwnedTarget::Authority => Target::Authority,
        };
        Request {
            method: self.method,
            target,
            headers: self.headers.with_block(&self.block),
            body_length: self.body_length,
        }
    }
}

/// Returns the position of `part`, a subslice of `whole`.
fn place_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    assert!(start <= whole.len() && part.len() <= whole.len() - start, "the target is a part of its block");
    start..start + part.len()
}

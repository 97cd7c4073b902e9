//! Bodies that arrive in pieces, break off, or stall.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http_body::Frame;

use super::input::Input;

pub(crate) struct Frames(VecDeque<Piece>);

enum Piece {
    Data(Bytes),
    Trailers,
    /// Not ready at this poll, ready at the next.
    Pause,
    Error,
    /// Never ready again.
    Stall,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Clean,
    Breaks,
    Stalls,
}

/// A body of these bytes, cut by the input, and whether it is complete.
pub(crate) fn body(bytes: &[u8], input: &mut Input<'_>) -> (Body, bool) {
    match input.number(4) {
        0 => (Body::from(bytes.to_vec()), true),
        _ => {
            let end = input.pick(&[End::Clean, End::Clean, End::Clean, End::Breaks, End::Stalls]);
            (
                Body::new(Frames::new(bytes, input.number(64), end)),
                end == End::Clean,
            )
        }
    }
}

impl Frames {
    /// Pieces of `size` bytes. With zero all bytes come at once.
    pub(crate) fn new(bytes: &[u8], size: usize, end: End) -> Self {
        let size = if size == 0 { bytes.len().max(1) } else { size };
        let mut pieces = VecDeque::new();
        for piece in bytes.chunks(size) {
            pieces.push_back(Piece::Data(Bytes::copy_from_slice(piece)));
            if size % 5 == 1 {
                pieces.push_back(Piece::Pause);
            }
        }
        pieces.extend(match end {
            End::Breaks => Some(Piece::Error),
            End::Stalls => Some(Piece::Stall),
            End::Clean => (size % 7 == 3).then_some(Piece::Trailers),
        });
        Self(pieces)
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(piece) = self.0.pop_front() else {
            return Poll::Ready(None);
        };
        match piece {
            Piece::Data(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Piece::Trailers => {
                let trailers = HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Piece::Pause => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Piece::Error => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            Piece::Stall => {
                self.0.push_front(Piece::Stall);
                Poll::Pending
            }
        }
    }
}

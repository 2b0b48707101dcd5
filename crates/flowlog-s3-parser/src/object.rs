//! Reading one object through the decoder, resuming where the body broke.

use flowlog_core::decode::{DecodeError, Decoded, Fallback, Limits, ObjectDecoder};
use flowlog_core::object::{ObjectBody, ObjectError, ObjectRef, Objects};
use flowlog_core::rollup::{Accumulator, Chunk};

/// How often a broken body is resumed before the attempt is given up.
const RESUMES: u32 = 5;

/// Why an object yielded nothing.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It could not be read.
    Object(ObjectError),
    /// It was read and is unusable.
    Decode(DecodeError),
}

/// Streams an object through the decoder into the accumulator. Full chunks go to `on_chunk` as they
/// come, so that memory stays bounded.
pub(crate) async fn read<O: Objects, E>(
    objects: &O,
    at: &ObjectRef,
    etag: &str,
    limits: Limits,
    accumulator: Accumulator,
    mut on_chunk: impl AsyncFnMut(Chunk) -> Result<(), E>,
) -> Result<Result<Decoded<Accumulator>, ReadError>, E> {
    let (head, mut body) = match objects.get(at, None, Some(etag)).await {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(ReadError::Object(error))),
    };
    let mut decoder = ObjectDecoder::new(limits, Fallback::Default, Some(head.size), accumulator);
    let mut offset = 0;
    let mut resumes = 0;
    loop {
        let piece = match body.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) if offset >= head.size => break,
            // Cut short, or broken: go on from here, if it is still the same object.
            Ok(None) | Err(ObjectError::Retryable(_)) if resumes < RESUMES => {
                resumes += 1;
                match objects.get(at, Some(offset..head.size), Some(etag)).await {
                    Ok((_, rest)) => body = rest,
                    Err(error) => return Ok(Err(ReadError::Object(error))),
                }
                continue;
            }
            Ok(None) => {
                let cut = format!("the body ended after {offset} of {} bytes", head.size);
                return Ok(Err(ReadError::Object(ObjectError::Retryable(cut.into()))));
            }
            Err(error) => return Ok(Err(ReadError::Object(error))),
        };
        offset += piece.len() as u64;
        if let Err(error) = decoder.push(&piece) {
            return Ok(Err(ReadError::Decode(error)));
        }
        for chunk in decoder.sink_mut().map(Accumulator::take_ready).unwrap_or_default() {
            on_chunk(chunk).await?;
        }
    }
    Ok(decoder.finish().map_err(ReadError::Decode))
}

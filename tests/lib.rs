//! Nothing lives here: the crate exists for its integration tests.

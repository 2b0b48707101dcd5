//! The protocol of one delivery.

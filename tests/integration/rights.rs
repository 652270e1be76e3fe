//! What becomes of a copy where rights are missing.

mod clusters;

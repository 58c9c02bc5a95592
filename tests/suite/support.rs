//! Generated images and comparisons that several test files share.

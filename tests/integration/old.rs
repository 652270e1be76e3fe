//! Old brokers at either end.

mod clusters;

//! Series on clusters of their own: three brokers at each end, three replicas of which two have to be in sync.

mod full;

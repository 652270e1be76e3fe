//! Runs a command with a pair of Kafka clusters: see [`testkit::supervisor`].

use std::process::ExitCode;

use testkit::supervisor::{Order, supervise};

#[tokio::main]
async fn main() -> ExitCode {
    let order = match Order::parse(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(error) => {
            eprintln!("testkit-supervisor: {error:#}\n{}", Order::USAGE);
            return ExitCode::from(64);
        }
    };
    match supervise(&order).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testkit-supervisor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

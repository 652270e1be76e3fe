//! Requests that are wrong, answered as Connect does.

use ::testkit::{
    anyhow::{Context, Result, ensure},
    create_topic, unique,
};
use serde_json::{Value, json};

use super::connector;
use crate::{
    kmirror::{self, Kmirror, list},
    shared::pair,
};

/// The message of an answer in Connect's error shape, with this status code.
fn message(answer: &::testkit::http::Response, code: u16) -> Result<String> {
    let body = answer.json().with_context(|| format!("{answer:?}"))?;
    let keys: Vec<_> = body.as_object().context("no object")?.keys().collect();
    ensure!(answer.status == code && keys == ["error_code", "message"] && body["error_code"] == code, "{answer:?}");
    Ok(body["message"].as_str().with_context(|| format!("{answer:?}"))?.to_owned())
}

async fn refused(worker: &Kmirror, method: &str, path: &str, body: Option<&Value>, code: u16) -> Result<String> {
    message(&worker.request(method, path, body).await?, code)
}

#[tokio::test]
async fn configurations_are_judged_without_making_a_connector() -> Result<()> {
    let pair = pair().await?;
    let worker = Kmirror::on(&pair.target).start().await?;
    let mut config = connector(&pair.source, &pair.target, "t", &[("name", "c"), ("tasks.max", "many")]);
    let path = "/connector-plugins/MirrorSourceConnector/config/validate";
    let answer = worker.request("PUT", path, Some(&config)).await?;
    let infos = answer.json().with_context(|| format!("{answer:?}"))?;
    ensure!(answer.status == 200 && infos["error_count"] == 1, "{answer:?}");
    let wrong = |info: &&Value| !list(&info["value"]["errors"]).is_empty();
    let errors: Vec<&Value> = list(&infos["configs"]).iter().filter(wrong).map(|info| &info["value"]["name"]).collect();
    ensure!(errors == ["tasks.max"], "{errors:?}");
    let connectors = worker.request("GET", "/connectors", None).await?.json()?;
    ensure!(connectors == json!([]), "{connectors}");

    config["connector.class"] = json!("MirrorCheckpoint");
    let other = refused(&worker, "PUT", path, Some(&config), 400).await?;
    ensure!(
        other == "Included connector type MirrorCheckpoint does not match request type MirrorSourceConnector",
        "{other}"
    );
    Ok(())
}

#[tokio::test]
async fn wrong_configurations_are_refused_by_key() -> Result<()> {
    let pair = pair().await?;
    let worker = Kmirror::on(&pair.target).start().await?;
    let good = connector(&pair.source, &pair.target, "t", &[]);
    let without = |key: &str| {
        let mut config = good.clone();
        config.as_object_mut().map(|members| members.remove(key));
        config
    };
    let with = |key: &str, value: Value| {
        let mut config = good.clone();
        config[key] = value;
        config
    };
    let foo = with("connector.class", json!("Foo"));
    let unknown = refused(&worker, "PUT", "/connectors/c/config", Some(&foo), 400).await?;
    let expected =
        "Failed to find any class that implements Connector and which name matches Foo, available connectors are: ";
    ensure!(unknown.starts_with(expected) && unknown.contains("MirrorSourceConnector"), "{unknown}");

    let cases = [
        (without("source.cluster.alias"), "source.cluster.alias"),
        (without("source.cluster.bootstrap.servers"), "source.cluster.bootstrap.servers"),
        (with("topics", json!("a,(")), "Invalid value ( for configuration topics: "),
        (with("topics.exclude", json!("[")), "Invalid value [ for configuration topics.exclude: "),
        (with("tasks.max", json!("many")), "Invalid value many for configuration tasks.max: Not a number of type INT"),
        (with("tasks.max", json!(0)), "Invalid value 0 for configuration tasks.max: Value must be at least 1"),
        (
            with("replication.factor", json!("x")),
            "Invalid value x for configuration replication.factor: Not a number of type INT",
        ),
        (with("source.cluster.bootstrap.servers", json!("nohost")), "source.cluster.bootstrap.servers"),
        (with("replication.policy.class", json!("com.example.Mine")), "replication.policy.class"),
        (with("topics", Value::Null), "topics: Null value can not be supplied as the configuration value."),
    ];
    for (config, expected) in &cases {
        let posted = json!({"name": "c", "config": config});
        for (method, path, body) in [("PUT", "/connectors/c/config", config), ("POST", "/connectors", &posted)] {
            let text = refused(&worker, method, path, Some(body), 400).await?;
            let lines: Vec<_> = text.lines().collect();
            ensure!(lines.len() == 3 && lines[1].contains(expected), "{expected}: {text}");
            let first = "Connector configuration is invalid and contains the following 1 error(s):";
            let last = "You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`";
            ensure!((lines[0], lines[2]) == (first, last), "{text}");
        }
    }
    // All errors at once, and nothing was made of any of it.
    let mut bad = with("tasks.max", json!("many"));
    bad["topics"] = json!("(");
    bad.as_object_mut().map(|members| members.remove("source.cluster.alias"));
    let text = refused(&worker, "PUT", "/connectors/c/config", Some(&bad), 400).await?;
    ensure!(text.contains("following 3 error(s)"), "{text}");
    ensure!(worker.get("/connectors").await?.ok()? == json!([]));
    Ok(())
}

#[tokio::test]
async fn wrong_requests_have_connects_answers() -> Result<()> {
    let pair = pair().await?;
    let topic = unique("asked");
    create_topic(&pair.source, &topic, 1, 1, &[]).await?;
    let worker = Kmirror::on(&pair.target).start().await?;
    let config = connector(&pair.source, &pair.target, &topic, &[]);

    // Names may have blanks, slashes and more; in paths they are encoded.
    let (name, path) = ("a b/ü", "/connectors/a%20b%2F%C3%BC");
    let posted = json!({"name": name, "config": config});
    let created = worker.request("POST", "/connectors", Some(&posted)).await?;
    let location = created.headers.iter().find(|(key, _)| key == "location").map(|(_, value)| value.clone());
    ensure!(created.status == 201 && location == Some(format!("http://{}{path}", worker.address())), "{created:?}");
    let taken = refused(&worker, "POST", "/connectors", Some(&posted), 409).await?;
    ensure!(taken == "Connector a b/ü already exists", "{taken}");
    let status = worker.wait_running("a%20b%2F%C3%BC", 1).await?;
    ensure!(status["name"] == name, "{status}");
    // A healthy part has no trace at all, not even an empty one.
    for part in list(&status["tasks"]).iter().chain([&status["connector"]]) {
        let part = part.as_object().context("no object")?;
        ensure!(part["state"] == "RUNNING" && !part.contains_key("trace"), "{status}");
    }
    let mismatch = json!({"name": "other", "topics": "t"});
    let text = refused(&worker, "PUT", &format!("{path}/config"), Some(&mismatch), 400).await?;
    ensure!(text == "Connector name configuration (other) doesn't match connector name in the URL (a b/ü)", "{text}");

    for (method, path, text) in [
        ("GET", "/nothing", "HTTP 404 Not Found"),
        ("GET", "/connectors/c", "Connector c not found"),
        ("GET", "/connectors/c/config", "Connector c not found"),
        ("GET", "/connectors/c/tasks", "Connector c not found"),
        ("GET", "/connectors/c/status", "No status found for connector c"),
        ("GET", "/connectors/c/tasks/0/status", "No status found for task c-0"),
        ("GET", "/connectors/c/tasks/x/status", "HTTP 404 Not Found"),
        ("DELETE", "/connectors/c", "Connector c not found"),
        ("POST", "/connectors/c/restart", "Unknown connector: c"),
        ("POST", "/connectors/c/tasks/0/restart", "Unknown connector: c"),
        ("POST", "/connectors/a%20b%2F%C3%BC/tasks/7/restart", "Unknown task: a b/ü-7"),
    ] {
        let seen = refused(&worker, method, path, None, 404).await?;
        ensure!(seen == text, "{method} {path}: {seen}");
    }
    for (method, path) in [("DELETE", "/connectors"), ("PATCH", "/"), ("GET", "/connectors/c/restart")] {
        let seen = refused(&worker, method, path, None, 405).await?;
        ensure!(seen == "HTTP 405 Method Not Allowed", "{method} {path}: {seen}");
    }

    // What the kit's own client can't say wrongly, curl does.
    let json = ["-X", "PUT", "-H", "Content-Type: application/json", "--data"];
    let cases: [(&[&str], u16, &str); 5] = [
        (&["-X", "PUT", "-H", "Content-Type: text/plain", "--data", "{}"], 415, "HTTP 415 Unsupported Media Type"),
        (&["-X", "PUT", "--data", "{}"], 415, "HTTP 415 Unsupported Media Type"),
        (&[&json[..], &["{\"a\": "]].concat(), 400, "not valid JSON"),
        (&[&json[..], &["[1]"]].concat(), 400, "a JSON object is expected"),
        (&[&json[..], &["{\"topics\": {}}"]].concat(), 400, "\"topics\""),
    ];
    for (arguments, code, text) in cases {
        let (status, body) = kmirror::curl(&worker, "/connectors/c/config", arguments).await?;
        let parsed: Value = serde_json::from_str(&body).with_context(|| body.clone())?;
        let said = parsed["message"].as_str().unwrap_or_default();
        ensure!(
            status == code && parsed["error_code"] == code && said.contains(text),
            "{arguments:?}: {status} {body}"
        );
    }
    // After all that it works as before.
    ensure!(worker.request("DELETE", path, None).await?.status == 204);
    ensure!(worker.get("/connectors").await?.ok()? == json!([]));
    Ok(())
}

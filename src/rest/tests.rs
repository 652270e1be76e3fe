//! The API over real sockets and a worker without clusters.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use super::*;
use crate::flow::{Action, EventKind, Happened, OffsetsOf};
use crate::worker::testing::{Clusters, reached_worker, tp, unstarted_worker, until};

struct Server {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

struct Reply {
    code: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Code and message of Connect's error shape.
    fn error(&self) -> (u16, String) {
        let json = self.json();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["error_code", "message"]);
        assert_eq!(json["error_code"], self.code);
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        (self.code, json["message"].as_str().unwrap().to_owned())
    }
}

impl Server {
    async fn start(worker: Worker) -> Self {
        Self::start_with(worker, BODY_TIMEOUT).await
    }

    async fn start_with(worker: Worker, body_timeout: Duration) -> Self {
        let listeners = bind(&[Listener { host: Some("127.0.0.1".into()), port: 0 }]).await.unwrap();
        let address = listeners[0].local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let app = router(Arc::new(worker), body_timeout);
        tokio::spawn(serve_router(listeners, app, async move { drop(stopped.await) }));
        Self { address, _stop: stop }
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: kmirror:8083\r\nConnection: close\r\n{headers}{length}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may answer, and close, before it has read a body that is too large.
        let _ = stream.write_all(body).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Reply {
        let headers = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        self.send(method, path, headers, body.as_bytes()).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, "").await
    }

    async fn until_status(&self, expected: &Value) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let reply = self.get("/connectors/c/status").await;
            if reply.code == 200 && reply.json() == *expected {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "last seen {}", reply.body);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

const CONFIG: &str = r#"{"connector.class":"MirrorSourceConnector","source.cluster.alias":" A","tasks.max":1}"#;

async fn started() -> (Arc<Clusters>, Server) {
    let clusters = Clusters::new(&[tp("t", 0), tp("t", 1)]);
    let server = Server::start(clusters.worker().await).await;
    (clusters, server)
}

fn running() -> Value {
    json!({
        "name": "c",
        "connector": {"state": "RUNNING", "worker_id": "me:8083"},
        "tasks": [{"id": 0, "state": "RUNNING", "worker_id": "me:8083"}],
        "type": "source",
    })
}

#[tokio::test]
async fn a_connector_from_put_to_delete() {
    let (_clusters, server) = started().await;
    let put = server.call("PUT", "/connectors/c/config", CONFIG).await;
    assert_eq!(put.code, 201);
    assert!(put.head.contains("location: http://kmirror:8083/connectors/c\r\n"), "{}", put.head);
    let info = r#"{"name":"c","config":{"connector.class":"MirrorSourceConnector","name":"c","source.cluster.alias":" A","tasks.max":"1"},"tasks":[],"type":"source"}"#;
    assert_eq!(put.body, info);
    server.until_status(&running()).await;
    let status = server.get("/connectors/c/status").await;
    let text = r#"{"name":"c","connector":{"state":"RUNNING","worker_id":"me:8083"},"tasks":[{"id":0,"state":"RUNNING","worker_id":"me:8083"}],"type":"source"}"#;
    assert_eq!(status.body, text);
    assert_eq!(server.get("/connectors").await.body, r#"["c"]"#);
    let with_task = info.replace(r#""tasks":[]"#, r#""tasks":[{"connector":"c","task":0}]"#);
    assert_eq!(server.get("/connectors/c").await.body, with_task);
    assert_eq!(server.get("/connectors/c/config").await.json()["source.cluster.alias"], " A");
    let tasks = server.get("/connectors/c/tasks/").await.json();
    assert_eq!(tasks[0]["id"], json!({"connector": "c", "task": 0}));
    assert_eq!(tasks[0]["config"]["task.assigned.partitions"], "t-0,t-1");
    assert_eq!(
        server.get("/connectors/c/tasks/0/status").await.body,
        r#"{"id":0,"state":"RUNNING","worker_id":"me:8083"}"#
    );
    let again = server.call("PUT", "/connectors/c/config", CONFIG).await;
    assert_eq!((again.code, again.body.as_str()), (200, with_task.as_str()));
    assert!(!again.head.contains("location:"));

    let deleted = server.call("DELETE", "/connectors/c", "").await;
    assert_eq!((deleted.code, deleted.body.as_str()), (204, ""));
    assert_eq!(server.get("/connectors").await.body, "[]");
    assert_eq!(server.call("DELETE", "/connectors/c", "").await.error(), (404, "Connector c not found".into()));
}

#[tokio::test]
async fn post_creates_once_in_the_state_asked_for() {
    let (clusters, server) = started().await;
    let body = format!(r#"{{"name":" a b/c ","config":{CONFIG},"initial_state":"stopped"}}"#);
    let post = server.call("POST", "/connectors", &body).await;
    assert_eq!(post.code, 201, "{}", post.body);
    assert!(post.head.contains("location: http://kmirror:8083/connectors/a%20b%2fc\r\n"), "{}", post.head);
    let reply = server.call("POST", "/connectors", &body).await;
    assert_eq!(reply.error(), (409, "Connector a b/c already exists".into()));
    assert_eq!(server.get("/connectors/a%20b%2Fc").await.json()["name"], "a b/c");
    until("it is stopped", || match clusters.records("statuses").last() {
        Some((key, Some(value))) if key == "status-connector-a b/c" && value.contains("STOPPED") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(clusters.running().len(), 0);
}

#[tokio::test]
async fn expanded_lists() {
    let (_clusters, server) = started().await;
    server.call("PUT", "/connectors/c/config", CONFIG).await;
    server.until_status(&running()).await;
    let status = server.get("/connectors?expand=status").await.json();
    assert_eq!(status, json!({"c": {"status": running()}}));
    let both = server.get("/connectors?expand=status&expand=info&x=y").await.json();
    assert_eq!(both["c"].as_object().unwrap().keys().collect::<Vec<_>>(), ["status", "info"]);
    assert_eq!(both["c"]["info"]["name"], "c");
    for odd in ["/connectors?expand=", "/connectors?expand=everything"] {
        assert_eq!(server.get(odd).await.json(), json!({"c": {}}), "{odd}");
    }
}

#[tokio::test]
async fn restarts_answer_as_connect_does() {
    let (_clusters, server) = started().await;
    server.call("PUT", "/connectors/c/config", CONFIG).await;
    server.until_status(&running()).await;
    assert_eq!(server.call("POST", "/connectors/c/restart", "").await.code, 204);
    let reply = server.call("POST", "/connectors/c/restart?includeTasks=TRUE", "").await;
    assert_eq!(reply.code, 202);
    assert_eq!(reply.json()["connector"]["state"], "RESTARTING");
    assert_eq!(reply.json()["tasks"][0]["state"], "RESTARTING");
    server.until_status(&running()).await;
    assert_eq!(server.call("POST", "/connectors/c/restart?onlyFailed=true", "").await.code, 202);
    assert_eq!(server.call("POST", "/connectors/c/tasks/0/restart", "").await.code, 204);
    for (path, message) in [
        ("/connectors/x/restart", "Unknown connector: x"),
        ("/connectors/x/tasks/0/restart", "Unknown connector: x"),
        ("/connectors/c/tasks/7/restart", "Unknown task: c-7"),
        ("/connectors/c/tasks/first/restart", "HTTP 404 Not Found"),
    ] {
        assert_eq!(server.call("POST", path, "").await.error(), (404, message.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn pause_resume_and_stop_answer_as_connect_does() {
    let (_clusters, server) = started().await;
    server.call("PUT", "/connectors/c/config", CONFIG).await;
    server.until_status(&running()).await;
    let with_states = |connector: &str, task: Option<&str>| {
        let mut status = running();
        status["connector"]["state"] = json!(connector);
        match task {
            Some(task) => status["tasks"][0]["state"] = json!(task),
            None => status["tasks"] = json!([]),
        }
        status
    };
    for (action, code, expected) in [
        ("pause", 202, with_states("PAUSED", Some("PAUSED"))),
        ("pause", 202, with_states("PAUSED", Some("PAUSED"))),
        ("resume", 202, running()),
        ("stop", 204, with_states("STOPPED", None)),
        ("stop", 204, with_states("STOPPED", None)),
        ("pause", 202, with_states("PAUSED", None)),
        ("resume", 202, running()),
        ("resume", 202, running()),
    ] {
        let reply = server.call("PUT", &format!("/connectors/c/{action}"), "").await;
        assert_eq!((reply.code, reply.body.as_str()), (code, ""), "{action}");
        server.until_status(&expected).await;
    }
    for action in ["pause", "resume", "stop"] {
        let reply = server.call("PUT", &format!("/connectors/x/{action}"), "").await;
        assert_eq!(reply.error(), (404, "Unknown connector x".into()));
        assert_eq!(server.call("POST", &format!("/connectors/c/{action}"), "").await.code, 405);
    }
}

#[tokio::test]
async fn offsets_are_told_altered_and_reset_as_connect_does() {
    let (clusters, server) = started().await;
    server.call("PUT", "/connectors/c/config", CONFIG).await;
    server.until_status(&running()).await;
    let path = "/connectors/c/offsets";
    assert_eq!(server.get(path).await.body, r#"{"offsets":[]}"#);
    let body =
        r#"{"offsets":[{"partition":{"topic":"t","partition":1,"cluster":" A"},"offset":{"offset":2147483648}}]}"#;
    let not_stopped = "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the \
        specified connector by issuing a 'PUT' request to the '/connectors/c/stop' endpoint";
    assert_eq!(server.call("PATCH", path, body).await.error(), (400, not_stopped.to_owned()));
    assert_eq!(server.call("DELETE", path, "").await.error(), (400, not_stopped.to_owned()));
    clusters.acknowledge(&tp("t", 0), 7);
    server.call("PUT", "/connectors/c/stop", "").await;
    // At once: it waits for what drains.
    let altered = server.call("PATCH", path, body).await;
    let text = r#"{"message":"The offsets for this connector have been altered successfully"}"#;
    assert_eq!((altered.code, altered.body.as_str()), (200, text));
    let told = r#"{"offsets":[{"partition":{"cluster":" A","partition":0,"topic":"t"},"offset":{"offset":7}},{"partition":{"cluster":" A","partition":1,"topic":"t"},"offset":{"offset":2147483648}}]}"#;
    assert_eq!(server.get(path).await.body, told);
    // What was told can be given back.
    assert_eq!(server.call("PATCH", path, told).await.code, 200);

    let none = "Partitions / offsets need to be provided for an alter offsets request";
    for (path, body, expected) in [
        (path, "{}", (400, none)),
        (path, r#"{"offsets":[]}"#, (400, none)),
        ("/connectors/x/offsets", r#"{"offsets":[]}"#, (400, none)),
        ("/connectors/x/offsets", body, (404, "Connector x not found")),
        (
            path,
            r#"{"offsets":[{"partition":{"topic":"t","partition":"0","cluster":" A"},"offset":{"offset":1}}]}"#,
            (
                500,
                "Source partition {cluster= A, partition=0, topic=t} has an invalid value 0 for the 'partition' key, which must be an integer",
            ),
        ),
        (
            path,
            r#"{"offsets":[{"partition":{"topic":["t"]},"offset":null}]}"#,
            (500, "Offsets may only contain primitive types as values, but field topic contains ARRAY"),
        ),
    ] {
        let reply = server.call("PATCH", path, body).await;
        assert_eq!(reply.error(), (expected.0, expected.1.to_owned()), "{body}");
    }
    assert_eq!(server.get(path).await.body, told, "nothing of that was done");
    for method in ["GET", "DELETE"] {
        let reply = server.call(method, "/connectors/x/offsets", "").await;
        assert_eq!(reply.error(), (404, "Connector x not found".into()));
    }
    assert_eq!(server.call("PUT", path, body).await.error().0, 405);
    for _ in 0..2 {
        let reset = server.call("DELETE", path, "").await;
        let text = r#"{"message":"The offsets for this connector have been reset successfully"}"#;
        assert_eq!((reset.code, reset.body.as_str()), (200, text));
        assert_eq!(server.get(path).await.body, r#"{"offsets":[]}"#);
    }
}

#[tokio::test]
async fn events_are_told_with_all_they_know() {
    let (clusters, server) = started().await;
    let path = "/connectors/c/kmirror/events";
    assert_eq!(server.get(path).await.error(), (404, "Connector c not found".into()));
    server.call("PUT", "/connectors/c/config", CONFIG).await;
    server.until_status(&running()).await;
    let none = json!({"events": 0, "records": 0});
    let mut counts = json!({});
    for kind in EventKind::ALL {
        counts[kind.name()] = none.clone();
    }
    assert_eq!(server.get(path).await.json(), json!({"events": [], "counts": counts}));

    let events = &clusters.task(&[tp("t", 0), tp("t", 1)]).unwrap().events;
    let lost = Happened {
        kind: EventKind::DataLoss,
        source: tp("t", 1),
        target: tp("A.t", 1),
        offsets_of: OffsetsOf::Source,
        from: 7,
        to: 12,
        records: Some(5),
        action: Action::WentOn(Some(12)),
        message: "gone".into(),
    };
    let (kind, offsets_of) = (EventKind::AnchorLost, OffsetsOf::Target);
    let unknown =
        Happened { kind, offsets_of, from: -1, to: -1, records: None, action: Action::Stopped, ..lost.clone() };
    let foreign = Happened { kind: EventKind::ForeignWrites, action: Action::Reported, ..lost.clone() };
    for what in [lost, unknown, foreign] {
        events.tell(what);
    }
    let reply = server.get(path).await;
    let kinds: Vec<_> = EventKind::ALL.map(EventKind::name).into();
    let told = reply.json();
    assert_eq!(told["counts"].as_object().unwrap().keys().collect::<Vec<_>>(), kinds);
    let count = json!({"events": 1, "records": 5});
    assert_eq!((&told["counts"]["DATA_LOSS"], &told["counts"]["TOPIC_RECREATED"]), (&count, &none));
    assert_eq!(told["counts"]["ANCHOR_LOST"], json!({"events": 1, "records": 0}));
    let time = told["events"][0]["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    let first = format!(
        r#"{{"events":[{{"id":1,"time":"{time}","last_time":"{time}","kind":"DATA_LOSS","source":{{"cluster":"A","topic":"t","partition":1}},"target":{{"cluster":"target","topic":"A.t","partition":1}},"offsets":{{"of":"source","from":7,"to":12}},"records":5,"action":"continued","continued_at":12,"message":"gone"}},{{"id":2,"#
    );
    assert!(reply.body.starts_with(&first), "{}", reply.body);
    let second = &told["events"][1];
    assert_eq!(second["offsets"], json!({"of": "target", "from": null, "to": null}));
    assert_eq!((&second["action"], &second["records"]), (&json!("stopped"), &Value::Null));
    assert_eq!((&second["continued_at"], &told["events"][2]["action"]), (&Value::Null, &json!("reported")));

    let ids = async |query: &str| {
        let told = server.get(&format!("{path}{query}")).await.json();
        assert_eq!(told["counts"]["DATA_LOSS"], count, "counts are of all");
        told["events"].as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("", vec![1, 2, 3]),
        ("?after=0", vec![1, 2, 3]),
        ("?after=2", vec![3]),
        ("?after=3", vec![]),
        ("?kind=ANCHOR_LOST", vec![2]),
        ("?kind=DATA_LOSS&kind=FOREIGN_WRITES", vec![1, 3]),
        ("?kind=DATA_LOSS&after=1", vec![]),
        ("/?x=y", vec![1, 2, 3]),
    ] {
        assert_eq!(ids(query).await, expected, "{query}");
    }
    let (code, message) = server.get(&format!("{path}?kind=LOSS")).await.error();
    assert!(code == 400 && message.starts_with(r#"Value of "kind" is "LOSS"; allowed are DATA_LOSS, "#), "{message}");
    assert_eq!(server.get(&format!("{path}?after=-1")).await.error().0, 400);
    assert_eq!(server.get("/connectors/x/kmirror/events?kind=LOSS").await.error().0, 404);
    assert_eq!(server.call("POST", path, "{}").await.error().0, 405);
}

#[tokio::test]
async fn what_is_not_there() {
    let (_clusters, server) = started().await;
    for (path, message) in [
        ("/connectors/x", "Connector x not found"),
        ("/connectors/x/config", "Connector x not found"),
        ("/connectors/x/tasks", "Connector x not found"),
        ("/connectors/x/status", "No status found for connector x"),
        ("/connectors/x/tasks/3/status", "No status found for task x-3"),
        ("/connectors/x/tasks/-1/status", "HTTP 404 Not Found"),
        ("/connectors/x/tasks/nine/status", "HTTP 404 Not Found"),
        ("/connectors/%2e%2e%2fetc", "Connector ../etc not found"),
        ("/connectors/%ff", "HTTP 404 Not Found"),
        ("/openapi", "HTTP 404 Not Found"),
    ] {
        assert_eq!(server.get(path).await.error(), (404, message.to_owned()), "{path}");
    }
    let reply = server.call("DELETE", "/connectors", "").await;
    assert_eq!(reply.error(), (405, "HTTP 405 Method Not Allowed".into()));
    assert!(reply.head.contains("allow: get,head,post"), "{}", reply.head);
}

#[tokio::test]
async fn bad_bodies_are_refused_in_connects_shape() {
    let (_clusters, server) = started().await;
    let path = "/connectors/c/config";
    let refused = async |body: &str| server.call("PUT", path, body).await.error();
    assert_eq!(refused("").await, (400, "The request has no body; a JSON object is expected".into()));
    let (code, message) = refused("{\"a\":").await;
    assert!(code == 400 && message.starts_with("The request body is not valid JSON: EOF while parsing"), "{message}");
    let (code, message) = refused(&"[".repeat(100_000)).await;
    assert!(code == 400 && message.contains("recursion limit exceeded"), "{message}");
    let (code, message) = refused(r#"{"connector.class":"MirrorSourceConnector","tasks.max":"x"}"#).await;
    assert!(code == 400 && message.contains("contains the following 2 error(s)"), "{message}");
    assert_eq!(refused(r#"{"name":"d"}"#).await.0, 400);
    let reply = server.call("POST", "/connectors", r#"{"name":"c","conf":{}}"#).await.error();
    assert_eq!(reply, (400, r#"Unrecognized field "conf"; allowed are name, config, initial_state"#.into()));

    let json = "Content-Type: application/json\r\n";
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_LIMIT));
    let reply = server.send("PUT", path, json, large.as_bytes()).await;
    assert_eq!(reply.error(), (413, "The request body is larger than 1048576 bytes".into()));
    let reply = server.send("PUT", path, json, b"{\"a\":\"\xff\"}").await;
    assert_eq!(reply.error().0, 400);
    for kind in ["Content-Type: text/plain\r\n", ""] {
        let reply = server.send("PUT", path, kind, CONFIG.as_bytes()).await;
        assert_eq!(reply.error(), (415, "HTTP 415 Unsupported Media Type".into()), "{kind:?}");
    }
    let reply = server.send("PUT", path, "Content-Type: Application/JSON; charset=utf-8\r\n", CONFIG.as_bytes()).await;
    assert_eq!(reply.code, 201);
}

#[tokio::test]
async fn configurations_are_judged_key_by_key() {
    // A worker need not have started for that.
    let server = Server::start(unstarted_worker()).await;
    let judged = async |plugin: &str, body: &str| {
        let reply = server.call("PUT", &format!("/connector-plugins/{plugin}/config/validate"), body).await;
        assert_eq!(reply.code, 200, "{plugin}: {}", reply.body);
        reply
    };
    let config =
        r#"{"connector.class":"MirrorSource","name":"c","tasks.max":0,"source.cluster.alias":"A","topics":null}"#;
    let reply = judged("MirrorSourceConnector", config).await;
    let start = r#"{"name":"MirrorSource","error_count":3,"groups":["Common","Transforms","Predicates","Error Handling","Topic Creation","Exactly Once Support","offsets.topic"],"configs":[{"definition":null,"value":{"name":"source.cluster.bootstrap.servers","value":null,"recommended_values":[],"errors":["Missing required configuration \"source.cluster.bootstrap.servers\" which has no default value."],"visible":true}},{"definition":{"name":"name","type":"STRING","required":true,"default_value":null,"importance":"HIGH","documentation":"Name of the connector, unique within the group.","group":"Common","width":"MEDIUM","display_name":"Connector name","dependents":[],"order":1},"value":{"name":"name","value":"c","recommended_values":[],"errors":[],"visible":true}},"#;
    assert!(reply.body.starts_with(start), "{}", &reply.body[..start.len().min(reply.body.len())]);
    let tasks = r#"{"definition":{"name":"tasks.max","type":"INT","required":false,"default_value":"1","importance":"HIGH","documentation":"The most tasks to make.","group":"Common","width":"SHORT","display_name":"Tasks max","dependents":[],"order":4},"value":{"name":"tasks.max","value":"0","recommended_values":[],"errors":["Invalid value 0 for configuration tasks.max: Value must be at least 1"],"visible":true}}"#;
    assert!(reply.body.contains(tasks), "{}", reply.body);
    let alias = r#"{"definition":{"name":"source.cluster.alias","type":"STRING","required":true,"default_value":null,"importance":"HIGH","documentation":"Name of the source cluster, in remote topic names and stored positions.","group":null,"width":"NONE","display_name":"source.cluster.alias","dependents":[],"order":-1},"#;
    assert!(reply.body.contains(alias), "{}", reply.body);

    // Also of connectors that can't be made.
    for class in ["MirrorCheckpoint", "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector"] {
        let json = judged(class, &format!(r#"{{"connector.class":"{class}"}}"#)).await.json();
        let of =
            |key: &str| json["configs"].as_array().unwrap().iter().filter(|info| info["value"]["name"] == key).count();
        let own = if class.contains("Heartbeat") { "emit.heartbeats.enabled" } else { "groups.exclude" };
        assert_eq!((json["name"].as_str(), of("name"), of(own)), (Some(class), 1, 1));
    }

    let path = "/connector-plugins/MirrorCheckpoint/config/validate";
    for (body, message) in [
        (r#"{"name":"c"}"#, "Connector config {name=c} contains no connector type"),
        (config, "Included connector type MirrorSource does not match request type MirrorCheckpoint"),
        ("[]", "The configuration is an array; a JSON object is expected"),
    ] {
        assert_eq!(server.call("PUT", path, body).await.error(), (400, message.to_owned()), "{body}");
    }
    let unknown =
        server.call("PUT", "/connector-plugins/X/config/validate", r#"{"connector.class":"X"}"#).await.error();
    assert!(
        unknown.0 == 400 && unknown.1.starts_with("Failed to find any class that implements Connector"),
        "{unknown:?}"
    );
    assert_eq!(server.get(path).await.error().0, 405);
}

#[tokio::test]
async fn null_is_no_value_of_a_setting() {
    let (_clusters, server) = started().await;
    let text = "Connector configuration is invalid and contains the following 1 error(s):\n\
        Invalid value null for configuration topics: Null value can not be supplied as the configuration value.\n\
        You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`";
    let with_null = CONFIG.replace('}', r#","topics":null}"#);
    let put = server.call("PUT", "/connectors/c/config", &with_null).await;
    assert_eq!(put.error(), (400, text.to_owned()));
    let post = server.call("POST", "/connectors", &format!(r#"{{"name":"c","config":{with_null}}}"#)).await;
    assert_eq!(post.error(), (400, text.to_owned()));
    assert_eq!(server.get("/connectors").await.body, "[]");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let server = Server::start_with(unstarted_worker(), Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "PUT /connectors/c/config HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{\"a\":";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The connection ends too: what might follow in it could not be told from the rest of the body.
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await;
    read.expect("the connection stays open").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{head}");
    assert_eq!(body, r#"{"error_code":408,"message":"The request body did not arrive within 50 ms"}"#);
}

#[tokio::test]
async fn only_loopback_is_out_of_reach_from_outside() {
    let bound = async |hosts: &[&str]| {
        let listener = |host: &&str| Listener { host: Some((*host).to_owned()), port: 0 };
        bind(&hosts.iter().map(listener).collect::<Vec<_>>()).await.unwrap()
    };
    assert!(!is_reachable_from_outside(&bound(&["127.0.0.1", "localhost"]).await));
    assert!(is_reachable_from_outside(&bound(&["127.0.0.1", ""]).await));
}

#[tokio::test]
async fn about_the_worker() {
    let (_clusters, server) = started().await;
    let root = server.get("/").await;
    let commit = option_env!("KMIRROR_COMMIT").unwrap_or("unknown");
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(r#"{{"version":"{version}","commit":"{commit}","kafka_cluster_id":"kmirror-test-cluster"}}"#);
    assert_eq!((root.code, root.body), (200, text));
    let plugins = server.get("/connector-plugins?connectorsOnly=false").await.json();
    let plugin = |name| {
        let class = format!("org.apache.kafka.connect.mirror.Mirror{name}Connector");
        json!({"class": class, "type": "source", "version": version})
    };
    assert_eq!(plugins, json!(["Checkpoint", "Heartbeat", "Source"].map(plugin)));
    let health = server.get("/health").await;
    let text = r#"{"status":"healthy","message":"Worker has completed startup and is ready to handle requests."}"#;
    assert_eq!((health.code, health.body.as_str()), (200, text));
}

#[tokio::test]
async fn the_workers_limits_are_told_and_its_cap_changed() {
    // A worker need not have started for that.
    let config = WorkerConfig {
        max_bytes_per_second: Some(7_000),
        memory_bytes: 4 * 1024 * 1024,
        ..unstarted_worker().config().clone()
    };
    let server = Server::start(Worker::new(config, "me:8083".into())).await;
    let text =
        |cap: &str| format!(r#"{{"max.bytes.per.second":{cap},"memory.bytes":4194304,"memory.bytes.in.use":0}}"#);
    assert_eq!(server.get("/kmirror/limits").await.body, text("7000"));
    for (given, shown) in [("500000", "500000"), ("null", "null"), ("9", "9"), ("0", "null"), ("8", "8")] {
        let body = format!(r#"{{"max.bytes.per.second":{given}}}"#);
        let put = server.call("PUT", "/kmirror/limits", &body).await;
        assert_eq!((put.code, put.body), (200, text(shown)));
        assert_eq!(server.get("/kmirror/limits/").await.body, text(shown));
    }
    let bad = server.call("PUT", "/kmirror/limits", r#"{"max.bytes.per.second":"1 MB"}"#).await;
    let message = "Value of \"max.bytes.per.second\" is \"1 MB\"; expected is a whole number of bytes up to \
                   9223372036854775807, or null or 0 for no cap";
    assert_eq!(bad.error(), (400, message.to_owned()));
    let unknown = server.call("PUT", "/kmirror/limits", r#"{"memory.bytes":1}"#).await.error();
    assert_eq!(unknown, (400, r#"Unrecognized field "memory.bytes"; allowed is max.bytes.per.second"#.to_owned()));
    for body in ["", "[]", "{}", "{"] {
        assert_eq!(server.call("PUT", "/kmirror/limits", body).await.error().0, 400, "{body:?}");
    }
    assert_eq!(server.get("/kmirror/limits").await.body, text("8"), "nothing of that holds");
    assert_eq!(server.call("POST", "/kmirror/limits", "{}").await.error().0, 405);
}

#[tokio::test]
async fn a_worker_that_starts_says_what_it_waits_for() {
    let server = Server::start(unstarted_worker()).await;
    let health = server.get("/health").await;
    let text = r#"{"status":"starting","message":"Worker is still starting up: nothing has been tried yet"}"#;
    assert_eq!((health.code, health.body.as_str()), (503, text));
    for path in ["/", "/connectors", "/connectors/c/status"] {
        let (code, message) = server.get(path).await.error();
        assert_eq!((code, message.as_str()), (503, "The worker is still starting up: nothing has been tried yet"));
    }
    assert_eq!(server.get("/connector-plugins").await.code, 200);
}

#[tokio::test]
async fn the_cluster_is_told_before_its_topics_are_read() {
    let server = Server::start(reached_worker()).await;
    let root = server.get("/").await;
    assert_eq!((root.code, root.json()["kafka_cluster_id"].as_str()), (200, Some("kmirror-test-cluster")));
    let waits = "The worker is still starting up: nothing has been tried yet";
    assert_eq!(server.get("/connectors").await.error(), (503, waits.to_owned()));
    assert_eq!(server.get("/health").await.code, 503);
}

#[test]
fn worker_ids_name_an_address_others_can_use() {
    let listener = |host: Option<&str>| Listener { host: host.map(str::to_owned), port: 8083 };
    let config = |host: Option<&str>, advertised: Option<&str>, port| WorkerConfig {
        listeners: vec![listener(host)],
        advertised_host: advertised.map(str::to_owned),
        advertised_port: port,
        ..unstarted_worker().config().clone()
    };
    let bound = Some(SocketAddr::from(([0, 0, 0, 0], 8083)));
    assert_eq!(worker_id(&config(None, None, None), bound, "machine"), "machine:8083");
    assert_eq!(worker_id(&config(Some("0.0.0.0"), None, None), bound, "machine"), "machine:8083");
    assert_eq!(worker_id(&config(Some("10.0.0.7"), None, None), bound, "machine"), "10.0.0.7:8083");
    assert_eq!(worker_id(&config(Some("10.0.0.7"), Some("w1"), Some(80)), bound, "machine"), "w1:80");
}

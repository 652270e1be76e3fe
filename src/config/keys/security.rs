//! TLS and SASL settings of a client (`ConfigDef.withClientSslSupport`, `withClientSaslSupport`), of Kafka 4.1.

use crate::config::key::{
    Default::{Null, Value},
    Importance::{High, Medium},
    Key,
    Kind::{Boolean, Class, Double, Int, List, Long, Password, Short, String},
    Valid,
};

/// Settings that each of MirrorMaker's connectors accepts without a prefix, checks by their type, and gives to no client.
/// Under the prefixes of clients they are those clients'.
pub const SECURITY_KEYS: &[Key] = &[
    Key::new("ssl.protocol", String, Value("TLSv1.3"), "TLS protocol of a connection.").importance(Medium),
    Key::new("ssl.provider", String, Null, "Java security provider.").importance(Medium),
    Key::new("ssl.cipher.suites", List, Null, "Cipher suites that may be agreed on; all unless set."),
    Key::new("ssl.enabled.protocols", List, Value("TLSv1.2,TLSv1.3"), "TLS versions that may be agreed on.")
        .importance(Medium),
    Key::new("ssl.keystore.type", String, Value("JKS"), "Format of the key store: JKS, PKCS12 or PEM.")
        .importance(Medium),
    Key::new("ssl.keystore.location", String, Null, "File of the key store, for clients that show a certificate.")
        .importance(High),
    Key::new("ssl.keystore.password", Password, Null, "Password of that file.").importance(High),
    Key::new("ssl.key.password", Password, Null, "Password of the private key.").importance(High),
    Key::new("ssl.keystore.key", Password, Null, "Private key, PEM.").importance(High),
    Key::new("ssl.keystore.certificate.chain", Password, Null, "Certificates that belong to that key, PEM.")
        .importance(High),
    Key::new("ssl.truststore.certificates", Password, Null, "Certificates that are trusted, PEM.").importance(High),
    Key::new("ssl.truststore.type", String, Value("JKS"), "Format of the trust store: JKS, PKCS12 or PEM.")
        .importance(Medium),
    Key::new("ssl.truststore.location", String, Null, "File of the trust store.").importance(High),
    Key::new("ssl.truststore.password", Password, Null, "Password of that file.").importance(High),
    Key::new("ssl.keymanager.algorithm", String, Value("SunX509"), "Algorithm of Java's key manager."),
    Key::new("ssl.trustmanager.algorithm", String, Value("PKIX"), "Algorithm of Java's trust manager."),
    Key::new(
        "ssl.endpoint.identification.algorithm",
        String,
        Value("https"),
        "How a broker's name is checked against its certificate; empty for not at all.",
    ),
    Key::new("ssl.secure.random.implementation", String, Null, "Java's source of random numbers."),
    Key::new("ssl.engine.factory.class", Class, Null, "Java class that makes TLS engines."),
    Key::new("sasl.kerberos.service.name", String, Null, "Name of the brokers in Kerberos.").importance(Medium),
    Key::new("sasl.kerberos.kinit.cmd", String, Value("/usr/bin/kinit"), "Program that fetches tickets."),
    Key::new(
        "sasl.kerberos.ticket.renew.window.factor",
        Double,
        Value("0.8"),
        "Share of a ticket's life after which it is renewed.",
    ),
    Key::new("sasl.kerberos.ticket.renew.jitter", Double, Value("0.05"), "Share of random time added to that."),
    Key::new("sasl.kerberos.min.time.before.relogin", Long, Value("60000"), "Least time between two logins, ms."),
    Key::new(
        "sasl.login.refresh.window.factor",
        Double,
        Value("0.8"),
        "Share of a credential's life after which it is renewed.",
    ),
    Key::new("sasl.login.refresh.window.jitter", Double, Value("0.05"), "Share of random time added to that."),
    Key::new(
        "sasl.login.refresh.min.period.seconds",
        Short,
        Value("60"),
        "Least time between two renewals of a credential, seconds.",
    )
    .valid(Valid::Between(0, 900)),
    Key::new(
        "sasl.login.refresh.buffer.seconds",
        Short,
        Value("300"),
        "Time before its end in which a credential is not renewed, seconds.",
    )
    .valid(Valid::Between(0, 3600)),
    Key::new("sasl.mechanism", String, Value("GSSAPI"), "SASL mechanism.").importance(Medium),
    Key::new("sasl.jaas.config", Password, Null, "SASL login module and credentials.").importance(Medium),
    Key::new("sasl.client.callback.handler.class", Class, Null, "Java class that answers what the mechanism asks.")
        .importance(Medium),
    Key::new("sasl.login.callback.handler.class", Class, Null, "Java class that answers what the login asks.")
        .importance(Medium),
    Key::new("sasl.login.class", Class, Null, "Java class that logs in.").importance(Medium),
    Key::new("sasl.login.connect.timeout.ms", Int, Null, "Time to open a connection to the one who issues tokens, ms."),
    Key::new("sasl.login.read.timeout.ms", Int, Null, "Time that one has to answer, ms."),
    Key::new("sasl.login.retry.backoff.max.ms", Long, Value("10000"), "The longest time between two tries there, ms."),
    Key::new("sasl.login.retry.backoff.ms", Long, Value("100"), "Time before the second try there, ms."),
    Key::new(
        "sasl.oauthbearer.jwt.retriever.class",
        Class,
        Value("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        "Java class that fetches tokens.",
    )
    .importance(Medium),
    Key::new(
        "sasl.oauthbearer.jwt.validator.class",
        Class,
        Value("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        "Java class that checks tokens.",
    )
    .importance(Medium),
    Key::new("sasl.oauthbearer.scope", String, Null, "Scope that tokens are asked for.").importance(Medium),
    Key::new(
        "sasl.oauthbearer.client.credentials.client.id",
        String,
        Null,
        "Client id that tokens are asked for with.",
    )
    .importance(Medium),
    Key::new("sasl.oauthbearer.client.credentials.client.secret", Password, Null, "Secret of that client.")
        .importance(Medium),
    Key::new("sasl.oauthbearer.assertion.algorithm", String, Value("RS256"), "Algorithm that signs assertions.")
        .importance(Medium)
        .valid(Valid::OneOfIgnoringCase(&["RS256", "ES256"])),
    Key::new("sasl.oauthbearer.assertion.claim.aud", String, Null, "Claim aud of assertions.").importance(Medium),
    Key::new("sasl.oauthbearer.assertion.claim.exp.seconds", Int, Value("300"), "Life of an assertion, seconds.")
        .valid(Valid::Between(0, 86400)),
    Key::new("sasl.oauthbearer.assertion.claim.iss", String, Null, "Claim iss of assertions.").importance(Medium),
    Key::new(
        "sasl.oauthbearer.assertion.claim.jti.include",
        Boolean,
        Value("false"),
        "Whether assertions have a claim jti.",
    )
    .importance(Medium),
    Key::new(
        "sasl.oauthbearer.assertion.claim.nbf.seconds",
        Int,
        Value("60"),
        "Time before its making from which an assertion is valid, seconds.",
    )
    .valid(Valid::Between(0, 3600)),
    Key::new("sasl.oauthbearer.assertion.claim.sub", String, Null, "Claim sub of assertions.").importance(Medium),
    Key::new("sasl.oauthbearer.assertion.file", String, Null, "File that holds an assertion.").importance(Medium),
    Key::new(
        "sasl.oauthbearer.assertion.private.key.file",
        String,
        Null,
        "File of the private key that signs assertions.",
    )
    .importance(Medium),
    Key::new("sasl.oauthbearer.assertion.private.key.passphrase", Password, Null, "Password of that key.")
        .importance(Medium),
    Key::new(
        "sasl.oauthbearer.assertion.template.file",
        String,
        Null,
        "File of header and claims that assertions begin with.",
    )
    .importance(Medium),
    Key::new("sasl.oauthbearer.scope.claim.name", String, Value("scope"), "Claim of a token that holds its scope."),
    Key::new("sasl.oauthbearer.sub.claim.name", String, Value("sub"), "Claim of a token that holds its subject."),
    Key::new("sasl.oauthbearer.token.endpoint.url", String, Null, "Address that tokens are fetched from.")
        .importance(Medium),
    Key::new("sasl.oauthbearer.jwks.endpoint.url", String, Null, "Address that the issuer's keys are fetched from.")
        .importance(Medium),
    Key::new(
        "sasl.oauthbearer.jwks.endpoint.refresh.ms",
        Long,
        Value("3600000"),
        "Time between two fetches of those keys, ms.",
    ),
    Key::new(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        Long,
        Value("10000"),
        "The longest time between two tries of that, ms.",
    ),
    Key::new(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
        Long,
        Value("100"),
        "Time before the second try of that, ms.",
    ),
    Key::new(
        "sasl.oauthbearer.clock.skew.seconds",
        Int,
        Value("30"),
        "Difference of clocks that is tolerated, seconds.",
    ),
    Key::new("sasl.oauthbearer.expected.audience", List, Null, "Audiences that a token may be for."),
    Key::new("sasl.oauthbearer.expected.issuer", String, Null, "Issuer that a token has to be of."),
    Key::new(
        "sasl.oauthbearer.header.urlencode",
        Boolean,
        Value("false"),
        "Whether id and secret are URL-encoded in the header they are sent in.",
    ),
];

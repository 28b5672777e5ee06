//! TLS, SASL and authorization: Kafka's settings, accepted ahead of the rooms that will use them.

use crate::setting::declare::{boolean, double, int, list, long, short, string, unset};
use crate::setting::{Kind, Setting};

const SECURITY: &str =
    "security is not built yet; every listener is PLAINTEXT and everybody may do everything";
const JAVA: &str = "it configures Java classes, and there is no Java here";
const KERBEROS: &str = "Kerberos is not planned; use SCRAM, OAuth or TLS certificates";

pub(crate) static SETTINGS: &[Setting] = &[
    long("connections.max.reauth.ms", "0")
        .millis()
        .at_least(0)
        .not_yet(SECURITY)
        .doc("A SASL connection must prove itself again after this long; 0 never asks again."),
    int("sasl.server.max.receive.size", "524288")
        .bytes()
        .at_least(1)
        .not_yet(SECURITY)
        .doc("Largest message of a SASL dialogue."),
    unset("security.providers", Kind::String)
        .no_meaning(JAVA)
        .doc("Java security providers."),
    unset("principal.builder.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that names a connection's user."),
    string("ssl.client.auth", "none")
        .one_of(&["required", "requested", "none"])
        .not_yet(SECURITY)
        .doc("Whether TLS clients must show a certificate."),
    string("ssl.principal.mapping.rules", "DEFAULT")
        .not_yet(SECURITY)
        .doc("How a certificate's name becomes a user name."),
    boolean("ssl.allow.dn.changes", "false")
        .not_yet(SECURITY)
        .doc("Whether a new certificate may have another name."),
    boolean("ssl.allow.san.changes", "false")
        .not_yet(SECURITY)
        .doc("Whether a new certificate may have other host names."),
    string("ssl.protocol", "TLSv1.3")
        .not_yet(SECURITY)
        .doc("TLS version that is preferred."),
    unset("ssl.provider", Kind::String)
        .no_meaning(JAVA)
        .doc("Java security provider for TLS."),
    list("ssl.enabled.protocols", "TLSv1.2,TLSv1.3")
        .not_yet(SECURITY)
        .doc("TLS versions that are accepted."),
    string("ssl.keystore.type", "JKS")
        .not_yet(SECURITY)
        .doc("Format of the key store; PEM is what will be read."),
    unset("ssl.keystore.location", Kind::String)
        .not_yet(SECURITY)
        .doc("File with the broker's certificate and key."),
    unset("ssl.keystore.password", Kind::Password)
        .not_yet(SECURITY)
        .doc("Password of the key store."),
    unset("ssl.key.password", Kind::Password)
        .not_yet(SECURITY)
        .doc("Password of the private key."),
    unset("ssl.keystore.key", Kind::Password)
        .not_yet(SECURITY)
        .doc("The private key itself, in PEM."),
    unset("ssl.keystore.certificate.chain", Kind::Password)
        .not_yet(SECURITY)
        .doc("The certificate chain itself, in PEM."),
    string("ssl.truststore.type", "JKS")
        .not_yet(SECURITY)
        .doc("Format of the trust store; PEM is what will be read."),
    unset("ssl.truststore.location", Kind::String)
        .not_yet(SECURITY)
        .doc("File with the certificates that are trusted."),
    unset("ssl.truststore.password", Kind::Password)
        .not_yet(SECURITY)
        .doc("Password of the trust store."),
    unset("ssl.truststore.certificates", Kind::Password)
        .not_yet(SECURITY)
        .doc("The trusted certificates themselves, in PEM."),
    string("ssl.keymanager.algorithm", "SunX509")
        .no_meaning(JAVA)
        .doc("Java algorithm for key managers."),
    string("ssl.trustmanager.algorithm", "PKIX")
        .no_meaning(JAVA)
        .doc("Java algorithm for trust managers."),
    string("ssl.endpoint.identification.algorithm", "https")
        .not_yet(SECURITY)
        .doc("How host names of certificates are checked; empty switches the check off."),
    unset("ssl.secure.random.implementation", Kind::String)
        .no_meaning(JAVA)
        .doc("Java source of randomness."),
    list("ssl.cipher.suites", "")
        .not_yet(SECURITY)
        .doc("Cipher suites that are accepted; empty accepts the library's choice."),
    unset("ssl.engine.factory.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that makes TLS engines."),
    string("sasl.mechanism.inter.broker.protocol", "GSSAPI")
        .not_yet(SECURITY)
        .doc("SASL mechanism between brokers."),
    string("sasl.mechanism.controller.protocol", "GSSAPI")
        .not_yet(SECURITY)
        .doc("SASL mechanism towards controllers."),
    list("sasl.enabled.mechanisms", "GSSAPI")
        .not_yet(SECURITY)
        .doc("SASL mechanisms that clients may use."),
    unset("sasl.server.callback.handler.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that checks credentials."),
    list("sasl.kerberos.principal.to.local.rules", "DEFAULT")
        .no_meaning(KERBEROS)
        .doc("How Kerberos names become user names."),
    unset("sasl.jaas.config", Kind::Password)
        .not_yet(SECURITY)
        .doc("Credentials in JAAS form."),
    unset("sasl.client.callback.handler.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class for SASL clients."),
    unset("sasl.login.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that logs in."),
    unset("sasl.login.callback.handler.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class for logins."),
    unset("sasl.kerberos.service.name", Kind::String)
        .no_meaning(KERBEROS)
        .doc("Kerberos service name of brokers."),
    string("sasl.kerberos.kinit.cmd", "/usr/bin/kinit")
        .no_meaning(KERBEROS)
        .doc("Path of kinit."),
    double("sasl.kerberos.ticket.renew.window.factor", "0.8")
        .no_meaning(KERBEROS)
        .doc("Share of a ticket's life after which it is renewed."),
    double("sasl.kerberos.ticket.renew.jitter", "0.05")
        .no_meaning(KERBEROS)
        .doc("Jitter of renewals."),
    long("sasl.kerberos.min.time.before.relogin", "60000")
        .millis()
        .no_meaning(KERBEROS)
        .doc("Pause between logins."),
    double("sasl.login.refresh.window.factor", "0.8")
        .not_yet(SECURITY)
        .doc("Share of a token's life after which it is renewed."),
    double("sasl.login.refresh.window.jitter", "0.05")
        .not_yet(SECURITY)
        .doc("Jitter of renewals."),
    short("sasl.login.refresh.min.period.seconds", "60")
        .not_yet(SECURITY)
        .doc("Shortest time between renewals."),
    short("sasl.login.refresh.buffer.seconds", "300")
        .not_yet(SECURITY)
        .doc("Time before expiry that is left for a renewal."),
    unset("sasl.login.connect.timeout.ms", Kind::Int)
        .millis()
        .not_yet(SECURITY)
        .doc("How long connecting to the token issuer may take."),
    unset("sasl.login.read.timeout.ms", Kind::Int)
        .millis()
        .not_yet(SECURITY)
        .doc("How long reading from the token issuer may take."),
    long("sasl.login.retry.backoff.max.ms", "10000")
        .millis()
        .not_yet(SECURITY)
        .doc("Longest pause between tries to log in."),
    long("sasl.login.retry.backoff.ms", "100")
        .millis()
        .not_yet(SECURITY)
        .doc("First pause between tries to log in."),
    unset("sasl.oauthbearer.jwt.retriever.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that fetches tokens."),
    unset("sasl.oauthbearer.jwt.validator.class", Kind::Class)
        .no_meaning(JAVA)
        .doc("Java class that checks tokens."),
    unset("sasl.oauthbearer.scope", Kind::String)
        .not_yet(SECURITY)
        .doc("Scope that is asked of the token issuer."),
    unset(
        "sasl.oauthbearer.client.credentials.client.id",
        Kind::String,
    )
    .not_yet(SECURITY)
    .doc("The broker's client id at the token issuer."),
    unset(
        "sasl.oauthbearer.client.credentials.client.secret",
        Kind::Password,
    )
    .not_yet(SECURITY)
    .doc("The broker's secret at the token issuer."),
    string("sasl.oauthbearer.assertion.algorithm", "RS256")
        .not_yet(SECURITY)
        .doc("Algorithm that signs assertions."),
    unset("sasl.oauthbearer.assertion.claim.aud", Kind::String)
        .not_yet(SECURITY)
        .doc("Audience of assertions."),
    int("sasl.oauthbearer.assertion.claim.exp.seconds", "300")
        .between(0, 86400)
        .not_yet(SECURITY)
        .doc("Life of an assertion."),
    unset("sasl.oauthbearer.assertion.claim.iss", Kind::String)
        .not_yet(SECURITY)
        .doc("Issuer of assertions."),
    boolean("sasl.oauthbearer.assertion.claim.jti.include", "false")
        .not_yet(SECURITY)
        .doc("Whether assertions carry an id."),
    int("sasl.oauthbearer.assertion.claim.nbf.seconds", "60")
        .between(0, 3600)
        .not_yet(SECURITY)
        .doc("How far before now an assertion is valid."),
    unset("sasl.oauthbearer.assertion.claim.sub", Kind::String)
        .not_yet(SECURITY)
        .doc("Subject of assertions."),
    unset("sasl.oauthbearer.assertion.file", Kind::String)
        .not_yet(SECURITY)
        .doc("File with a ready assertion."),
    unset("sasl.oauthbearer.assertion.private.key.file", Kind::String)
        .not_yet(SECURITY)
        .doc("Key that signs assertions."),
    unset(
        "sasl.oauthbearer.assertion.private.key.passphrase",
        Kind::Password,
    )
    .not_yet(SECURITY)
    .doc("Passphrase of that key."),
    unset("sasl.oauthbearer.assertion.template.file", Kind::String)
        .not_yet(SECURITY)
        .doc("Template of assertions."),
    string("sasl.oauthbearer.scope.claim.name", "scope")
        .not_yet(SECURITY)
        .doc("Claim that holds the scope."),
    string("sasl.oauthbearer.sub.claim.name", "sub")
        .not_yet(SECURITY)
        .doc("Claim that holds the user."),
    unset("sasl.oauthbearer.token.endpoint.url", Kind::String)
        .not_yet(SECURITY)
        .doc("Where tokens are issued."),
    unset("sasl.oauthbearer.jwks.endpoint.url", Kind::String)
        .not_yet(SECURITY)
        .doc("Where the issuer's keys are."),
    long("sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000")
        .millis()
        .not_yet(SECURITY)
        .doc("How often the issuer's keys are read."),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100")
        .millis()
        .not_yet(SECURITY)
        .doc("First pause between tries to read keys."),
    long(
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        "10000",
    )
    .millis()
    .not_yet(SECURITY)
    .doc("Longest pause between tries to read keys."),
    int("sasl.oauthbearer.clock.skew.seconds", "30")
        .not_yet(SECURITY)
        .doc("How far clocks may differ."),
    boolean("sasl.oauthbearer.allow.unverified.audience", "false")
        .not_yet(SECURITY)
        .doc("Whether tokens for anybody are accepted."),
    list("sasl.oauthbearer.expected.audience", "")
        .not_yet(SECURITY)
        .doc("Audiences whose tokens are accepted."),
    boolean("sasl.oauthbearer.allow.unverified.issuer", "false")
        .not_yet(SECURITY)
        .doc("Whether tokens of anybody are accepted."),
    unset("sasl.oauthbearer.expected.issuer", Kind::String)
        .not_yet(SECURITY)
        .doc("Issuer whose tokens are accepted."),
    string("authorizer.class.name", "")
        .no_meaning(JAVA)
        .doc("Java class that decides who may do what."),
    unset("early.start.listeners", Kind::List)
        .not_yet(SECURITY)
        .doc("Listeners that open before authorization is ready."),
    int("connection.failed.authentication.delay.ms", "100")
        .millis()
        .at_least(0)
        .not_yet(SECURITY)
        .doc("How long a failed authentication keeps its connection."),
    unset("delegation.token.secret.key", Kind::Password)
        .not_yet(SECURITY)
        .doc("Secret that signs delegation tokens."),
    long("delegation.token.max.lifetime.ms", "604800000")
        .millis()
        .at_least(1)
        .not_yet(SECURITY)
        .doc("Longest life of a delegation token."),
    long("delegation.token.expiry.time.ms", "86400000")
        .millis()
        .at_least(1)
        .not_yet(SECURITY)
        .doc("Time after which a delegation token must be renewed."),
    long("delegation.token.expiry.check.interval.ms", "3600000")
        .millis()
        .at_least(1)
        .not_yet(SECURITY)
        .doc("How often expired tokens are looked for."),
];

//! What this side says of a failure itself, where no server says it: a kind with its values, so that whoever speaks other
//! languages than English can say the same.

/// Something that this side found out. Its text is English.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// An address with another scheme.
    #[error("`{address}` must start with http:// or https://")]
    OtherScheme {
        /// The address, without credentials.
        address: String,
    },
    /// An address without a scheme.
    #[error("`{address}` has no scheme; write http:// or https:// in front of it")]
    NoScheme {
        /// The address, without credentials.
        address: String,
    },
    /// An address with credentials.
    #[error("`{address}` contains credentials; give them as a token instead")]
    CredentialsInAddress {
        /// The address, without credentials.
        address: String,
    },
    /// An address of another form.
    #[error("`{address}` is not of the form http[s]://host:port")]
    NotAnAddress {
        /// The address, without credentials.
        address: String,
    },
    /// An address without a host.
    #[error("`{address}` names no host")]
    NoHost {
        /// The address, without credentials.
        address: String,
    },
    /// An address with port 0.
    #[error("`{address}` names port 0")]
    PortZero {
        /// The address, without credentials.
        address: String,
    },
    /// An address whose port is none.
    #[error("`{address}` names a port that is not a number up to 65535")]
    NotAPort {
        /// The address, without credentials.
        address: String,
    },
    /// Certificates for a plain address.
    #[error("certificates are given, but `{endpoint}` is not https")]
    CertificatesWithoutTls {
        /// The endpoint.
        endpoint: String,
    },
    /// One of a certificate and its key.
    #[error("a client certificate and its key belong together; one of them is missing")]
    HalfACertificate,
    /// A certificate that can't be read.
    #[error("a certificate or key is not valid PEM")]
    NotPem,
    /// A token that no header can carry.
    #[error("the token contains invalid characters")]
    TokenCharacters,
    /// This program can't be named to the server.
    #[error("the client's name can't be sent")]
    ClientName,

    /// A host name that does not resolve.
    #[error("the host `{host}` does not resolve")]
    UnknownHost {
        /// The host.
        host: String,
    },
    /// Nothing listens on a port.
    #[error("nothing listens on {endpoint}")]
    NothingListens {
        /// The endpoint.
        endpoint: String,
    },
    /// The system can't reach a host.
    #[error("{endpoint} can't be reached: {error}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// The system's words.
        error: String,
    },
    /// Nobody answers in time.
    #[error("{endpoint} does not answer")]
    NoAnswer {
        /// The endpoint.
        endpoint: String,
    },
    /// A plain address of a port with TLS.
    #[error("{endpoint} uses TLS, but the address starts with http://")]
    SpeaksTls {
        /// The endpoint.
        endpoint: String,
    },
    /// An address with TLS of a plain port.
    #[error("{endpoint} does not use TLS, but the address starts with https://")]
    SpeaksPlain {
        /// The endpoint.
        endpoint: String,
    },
    /// A web server.
    #[error("{endpoint} is a web server (HTTP/1), not gRPC")]
    WebServer {
        /// The endpoint.
        endpoint: String,
    },
    /// Something else than gRPC.
    #[error("{endpoint} does not speak gRPC")]
    NotGrpc {
        /// The endpoint.
        endpoint: String,
    },
    /// An answer that is no gRPC.
    #[error("the port responds with HTTP status {status}, as a web server does")]
    HttpStatus {
        /// The status.
        status: String,
    },
    /// A connection that broke.
    #[error("the connection to {endpoint} broke: {error}")]
    Broke {
        /// The endpoint.
        endpoint: String,
        /// The innermost error's words.
        error: String,
    },
    /// A certificate that is not trusted.
    #[error("the certificate of {endpoint} is not trusted: {reason}")]
    UntrustedCertificate {
        /// The endpoint.
        endpoint: String,
        /// The words of the TLS library.
        reason: String,
    },
    /// An alert of the server during the handshake.
    #[error("{endpoint} closed the TLS handshake: {alert}")]
    HandshakeClosed {
        /// The endpoint.
        endpoint: String,
        /// The name of the alert.
        alert: String,
    },
    /// No client certificate where one is asked for.
    #[error("{endpoint} requires a client certificate")]
    ClientCertificateRequired {
        /// The endpoint.
        endpoint: String,
    },
    /// A client certificate that the server does not take.
    #[error("{endpoint} rejects the client certificate: {alert}")]
    ClientCertificateRejected {
        /// The endpoint.
        endpoint: String,
        /// The name of the alert.
        alert: String,
    },

    /// No response in time.
    #[error("no response within {seconds} s")]
    NoResponse {
        /// How long was waited.
        seconds: u64,
    },
    /// A gRPC status without a text.
    #[error("gRPC status {status}")]
    Status {
        /// Its name.
        status: String,
    },
    /// A status of the server without a reason.
    #[error("the server gives no reason")]
    NoReason,
    /// A database name that no header can carry.
    #[error("`{db}` can't be sent as a database name")]
    DatabaseName {
        /// The name.
        db: String,
    },
    /// A response that was cut off.
    #[error("the connection ended after {received} of {announced} bytes")]
    CutOff {
        /// Bytes that came.
        received: usize,
        /// Bytes that were announced.
        announced: usize,
    },
    /// No response at all.
    #[error("the connection ended before the response")]
    EndedBefore,
    /// A response that is too long.
    #[error("the response is {bytes} bytes long, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is read.
        max: usize,
    },
    /// A compressed response.
    #[error("the response is compressed, which was not requested")]
    Compressed,
    /// A response with more bytes than it announced.
    #[error("the response is longer than announced")]
    LongerThanAnnounced,
    /// A response that does not decode.
    #[error("the response can't be decoded")]
    NotDecoded,
    /// A response without something that belongs to it.
    #[error("the response has no {}", .0.text())]
    Lacks(Part),
    /// The same for a collection.
    #[error("the response has no {} of `{collection}`", part.text())]
    LacksOf {
        /// What is missing.
        part: Part,
        /// The collection.
        collection: String,
    },
    /// A grant without something that belongs to it.
    #[error("a grant names no {}", .0.text())]
    GrantLacks(Part),
    /// Fewer rows acknowledged than sent.
    #[error("{acknowledged} of {sent} rows were acknowledged")]
    NotAcknowledged {
        /// Rows acknowledged.
        acknowledged: u64,
        /// Rows sent.
        sent: u64,
    },
    /// Rows that can't be selected, and are too many to be read at once.
    #[error("`{field}` can't be used in an expression, and {rows} rows are too many to read at once")]
    NotSelectable {
        /// The primary key.
        field: String,
        /// Rows.
        rows: u64,
    },
    /// Fewer rows returned than counted.
    #[error(
        "{returned} of {counted} rows were returned: there may be duplicate primary keys, or not all rows are loaded"
    )]
    FewerRows {
        /// Rows returned.
        returned: u64,
        /// Rows counted.
        counted: u64,
    },
}

/// What a response lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The status.
    Status,
    /// The schema.
    Schema,
    /// The count of rows.
    RowCount,
    /// The names of the partitions.
    Partitions,
    /// The number of a count.
    Count,
    /// The names of the roles.
    Roles,
    /// The names of the users.
    Users,
    /// The role of a grant.
    Role,
    /// The object of a grant.
    Object,
    /// The privilege of a grant.
    Privilege,
}

impl Part {
    fn text(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Schema => "schema",
            Self::RowCount => "row count",
            Self::Partitions => "partition",
            Self::Count => "number for count(*)",
            Self::Roles | Self::Role => "role",
            Self::Users => "user",
            Self::Object => "object",
            Self::Privilege => "privilege",
        }
    }
}

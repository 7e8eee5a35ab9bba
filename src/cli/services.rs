//! The names of ports: `localhost:http`.

/// Common TCP services. Not from /etc/services, so that a command line means the same on every
/// host.
///
/// Source: <https://www.iana.org/assignments/service-names-port-numbers>
const SERVICES: &[(&str, u16)] = &[
    ("amqp", 5672),
    ("amqps", 5671),
    ("domain", 53),
    ("epmd", 4369),
    ("ftp", 21),
    ("http", 80),
    ("http-alt", 8080),
    ("https", 443),
    ("imap", 143),
    ("imaps", 993),
    ("iscsi-target", 3260),
    ("kerberos", 88),
    ("ldap", 389),
    ("ldaps", 636),
    ("microsoft-ds", 445),
    ("mqtt", 1883),
    ("ms-sql-s", 1433),
    ("mysql", 3306),
    ("nfs", 2049),
    ("pop3", 110),
    ("pop3s", 995),
    ("postgresql", 5432),
    ("redis", 6379),
    ("rsync", 873),
    ("rtsp", 554),
    ("sip", 5060),
    ("smtp", 25),
    ("ssh", 22),
    ("submission", 587),
    ("sunrpc", 111),
    ("telnet", 23),
    ("whois", 43),
    ("xmpp-client", 5222),
];

/// The port of a service, by a name in any case.
pub fn port(name: &str) -> Option<u16> {
    SERVICES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, port)| *port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_its_name() {
        assert!(SERVICES.is_sorted());
        assert_eq!(port("http"), Some(80));
        assert_eq!(port("HTTPS"), Some(443));
        assert_eq!(port("http-alt"), Some(8080));
        for name in ["", "ort", "htt", "80"] {
            assert_eq!(port(name), None, "{name}");
        }
        // A range of ports is no name.
        assert!(SERVICES.iter().all(|(name, _)| name.contains(|c: char| c.is_ascii_alphabetic())));
    }
}

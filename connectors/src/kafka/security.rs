//! Security options of Java's client in librdkafka's words: JAAS logins, PEM texts and PEM files.
//!
//! | Java | librdkafka |
//! |---|---|
//! | `sasl.jaas.config` with PlainLoginModule or ScramLoginModule | `sasl.username`, `sasl.password` |
//! | `ssl.truststore.certificates`; `ssl.truststore.location` of type PEM | `ssl.ca.pem`; `ssl.ca.location` |
//! | `ssl.keystore.certificate.chain`, `ssl.keystore.key` | `ssl.certificate.pem`, `ssl.key.pem` |
//! | `ssl.keystore.location` of type PEM; of type PKCS12 | `ssl.certificate.location` and `ssl.key.location`; the same |
//! | `ssl.endpoint.identification.algorithm` `''` | `none` |
//!
//! Key stores of type JKS cannot be read without Java and are refused.

use std::collections::BTreeMap;

use millstream_engine::{Error, Result};

/// The names that are translated here.
pub(super) const JAVA_NAMES: [&str; 9] = [
    "sasl.jaas.config",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.type",
    "ssl.endpoint.identification.algorithm",
];

/// The same options with Java's security options replaced.
///
/// # Errors
/// `Invalid` for a JAAS text that cannot be read, `Unsupported` for a key store of type JKS or another login module.
pub(super) fn translate(mut given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    if let Some(jaas) = given.remove("sasl.jaas.config") {
        let (user, password) = jaas_login(&jaas)?;
        given.insert("sasl.username".to_string(), user);
        given.insert("sasl.password".to_string(), password);
    }
    rename(&mut given, "ssl.truststore.certificates", "ssl.ca.pem");
    rename(&mut given, "ssl.keystore.certificate.chain", "ssl.certificate.pem");
    rename(&mut given, "ssl.keystore.key", "ssl.key.pem");
    let trust_type = given.remove("ssl.truststore.type").unwrap_or_else(|| "JKS".to_string());
    given.remove("ssl.truststore.password");
    if let Some(location) = given.remove("ssl.truststore.location") {
        if !trust_type.eq_ignore_ascii_case("PEM") {
            return Err(no_java_store("ssl.truststore", &trust_type, &location));
        }
        given.insert("ssl.ca.location".to_string(), location);
    }
    let key_type = given.remove("ssl.keystore.type");
    if let Some(location) = given.get("ssl.keystore.location").cloned() {
        match key_type.as_deref().map(str::to_ascii_uppercase).as_deref() {
            Some("PEM") => {
                given.remove("ssl.keystore.location");
                given.insert("ssl.certificate.location".to_string(), location.clone());
                given.insert("ssl.key.location".to_string(), location);
            }
            Some("PKCS12") => {}
            other => return Err(no_java_store("ssl.keystore", other.unwrap_or("JKS"), &location)),
        }
    }
    if let Some(algorithm) = given.get_mut("ssl.endpoint.identification.algorithm")
        && algorithm.trim().is_empty()
    {
        *algorithm = "none".to_string();
    }
    Ok(given)
}

fn rename(given: &mut BTreeMap<String, String>, from: &str, to: &str) {
    if let Some(value) = given.remove(from) {
        given.insert(to.to_string(), value);
    }
}

fn no_java_store(option: &str, kind: &str, location: &str) -> Error {
    Error::unsupported(format!(
        "option 'kafka.{option}.location' is '{location}', of type {kind}: only Java reads that; export it as PEM and set 'kafka.{option}.type' to 'PEM'"
    ))
}

/// User and password of `…PlainLoginModule required username="u" password="p";`. Errors never show the text.
fn jaas_login(text: &str) -> Result<(String, String)> {
    let module = text.split_whitespace().next().unwrap_or_default();
    let name = module.rsplit('.').next().unwrap_or_default();
    if !matches!(name, "PlainLoginModule" | "ScramLoginModule") {
        return Err(Error::unsupported(format!(
            "option 'kafka.sasl.jaas.config' names the login module '{module}': PlainLoginModule and ScramLoginModule are supported; for others set librdkafka's own options, such as 'kafka.sasl.oauthbearer.config'"
        )));
    }
    let find = |key: &str| {
        jaas_value(text, key).ok_or_else(|| {
            Error::invalid(format!("option 'kafka.sasl.jaas.config' has no {key}=\"…\" that can be read"))
        })
    };
    Ok((find("username")?, find("password")?))
}

/// The quoted value of `key` in a JAAS entry; a backslash takes the next character as it is.
fn jaas_value(text: &str, key: &str) -> Option<String> {
    let mut rest = text;
    let after = loop {
        let at = rest.find(key)?;
        let before = rest[..at].chars().next_back();
        let after = rest[at + key.len()..].trim_start();
        rest = &rest[at + key.len()..];
        if before.is_none_or(|c| c.is_whitespace()) && after.starts_with('=') {
            break after[1..].trim_start();
        }
    };
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut value = String::new();
    let mut chars = after[1..].chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.extend(chars.next()),
            c if c == quote => return Some(value),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>> {
        let given = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Ok(translate(given)?.into_iter().collect())
    }

    #[test]
    fn logins_and_pem_are_translated() -> Result<()> {
        let jaas = r#"org.apache.kafka.common.security.scram.ScramLoginModule required
            username="al\"ice" password='se cret=1';"#;
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Pairs, Pairs); 4] = [
            (&[("sasl.jaas.config", jaas)], &[("sasl.password", "se cret=1"), ("sasl.username", "al\"ice")]),
            (
                &[("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "/ca.pem")],
                &[("ssl.ca.location", "/ca.pem")],
            ),
            (
                &[("ssl.keystore.type", "PEM"), ("ssl.keystore.certificate.chain", "C"), ("ssl.keystore.key", "K")],
                &[("ssl.certificate.pem", "C"), ("ssl.key.pem", "K")],
            ),
            (&[("ssl.endpoint.identification.algorithm", "")], &[("ssl.endpoint.identification.algorithm", "none")]),
        ];
        for (given, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            assert_eq!(translated(given)?, expected);
        }
        Ok(())
    }

    #[test]
    fn what_only_java_reads_is_refused_without_showing_secrets() {
        for (given, expected) in [
            (("ssl.truststore.location", "/x.jks"), "of type JKS"),
            (("ssl.keystore.location", "/x.jks"), "of type JKS"),
            (("sasl.jaas.config", "a.b.Krb5LoginModule required password=\"pw123\";"), "Krb5LoginModule"),
            (("sasl.jaas.config", "PlainLoginModule required password=\"pw123\";"), "no username"),
        ] {
            let error = translated(&[given]).expect_err("accepted");
            assert!(error.message().contains(expected) && !error.message().contains("pw123"), "{error}");
        }
    }
}

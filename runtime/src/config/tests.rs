//! What configurations are read and refused.

use super::*;

fn fails(text: &str) -> String {
    parse(text, Path::new("etc/edictd.ron")).unwrap_err().to_string()
}

#[test]
fn nothing_written_is_a_whole_configuration() {
    let config = parse("()", Path::new("edictd.ron")).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse("(table: \"a.table\", data: \"/srv/mail\")", Path::new("etc/edictd.ron")).unwrap();
    assert_eq!(config.table, Some(PathBuf::from("etc/a.table")));
    assert_eq!(config.data, PathBuf::from("/srv/mail"));
}

#[test]
fn the_documented_example_is_valid() {
    let text = include_str!("../../../docs/edictd.ron");
    let config = parse(text, Path::new("edictd.ron")).unwrap();
    assert_eq!(config.listeners.len(), 2);
}

#[test]
fn mistakes_are_told_with_their_place() {
    assert!(
        fails("(\n  tabel: \"x\",\n)").starts_with("etc/edictd.ron:2:"),
        "{}",
        fails("(\n  tabel: \"x\",\n)")
    );
    assert!(fails("(listeners: [])").contains("listeners"));
    assert!(fails("(outside: relay(\"nowhere\"))").contains("host:port"));
    assert!(fails("(queue: (first_retry_seconds: 0))").contains("first_retry_seconds"));
    let twice = "(listeners: [(address: \"127.0.0.1:25\"), (address: \"127.0.0.1:25\")])";
    assert!(fails(twice).contains("twice"));
}

#[test]
fn hosts_and_ports() {
    for (text, host, port) in [
        ("mx.example.com:25", "mx.example.com", 25),
        ("[::1]:2525", "::1", 2525),
        ("127.0.0.1:1", "127.0.0.1", 1),
    ] {
        let read: HostPort = text.parse().unwrap();
        assert_eq!((read.host.as_str(), read.port, read.to_string().as_str()), (host, port, text));
    }
    for text in ["", "x", "x:", ":25", "x:0", "x:70000", "[x]:25", "a b:25"] {
        assert!(text.parse::<HostPort>().is_err(), "{text:?}");
    }
}

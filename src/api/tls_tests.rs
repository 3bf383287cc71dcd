//! The pair of files by itself: what is understood, what is not, and what happens when it changes.

use std::{fs, process::Command};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A folder with `cert.pem` and `key.pem`, and their paths.
fn pair() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    renew(&chain, &key);
    (folder, chain, key)
}

fn renew(chain: &Path, key: &Path) {
    let pair = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
    fs::write(chain, certificate.pem()).unwrap();
    fs::write(key, pair.serialize_pem()).unwrap();
}

fn config_of(certificate: &Certificate) -> Arc<ServerConfig> {
    Arc::clone(&certificate.known().config)
}

#[test]
fn every_way_to_write_a_key_is_understood() {
    let (folder, chain, key) = pair();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(folder.path().join(arguments.last().unwrap())).unwrap()
    };
    assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY"), "PKCS#8");
    Certificate::load(&chain, &key).unwrap();

    let sec1 = openssl(&["ec", "-in", "key.pem", "-out", "sec1.pem"]);
    assert!(sec1.starts_with("-----BEGIN EC PRIVATE KEY"), "{sec1}");
    Certificate::load(&chain, &folder.path().join("sec1.pem")).unwrap();

    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "rsa.pem"];
    openssl(&[&new[..], &["-out", "rsa-cert.pem"]].concat());
    let pkcs1 = openssl(&["rsa", "-in", "rsa.pem", "-traditional", "-out", "pkcs1.pem"]);
    assert!(pkcs1.starts_with("-----BEGIN RSA PRIVATE KEY"), "{pkcs1}");
    Certificate::load(&folder.path().join("rsa-cert.pem"), &folder.path().join("pkcs1.pem")).unwrap();
}

#[test]
fn what_cannot_be_used_is_an_error_that_names_the_file_and_the_reason() {
    let (folder, chain, key) = pair();
    let (_other_folder, other_chain, other_key) = pair();
    let write = |name: &str, text: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let broken = "-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (chain, key, named, why) in [
        (folder.path().join("absent.pem"), key.clone(), "absent.pem", "cannot be read"),
        (chain.clone(), folder.path().join("absent.pem"), "absent.pem", "cannot be read"),
        (chain.clone(), "/dev/zero".into(), "/dev/zero", "is not a file"),
        (write("empty.pem", b""), key.clone(), "empty.pem", "has no certificate in it"),
        (key.clone(), key.clone(), "key.pem", "has no certificate in it"),
        (chain.clone(), chain.clone(), "cert.pem", "has no private key in it"),
        (write("broken.pem", broken.as_bytes()), key.clone(), "broken.pem", "cannot be understood"),
        (write("none.pem", no_certificate.as_bytes()), key.clone(), "none.pem", "no use together"),
        (chain.clone(), other_key, "key.pem", "is not the key of the first certificate"),
        (other_chain, key.clone(), "key.pem", "is not the key of the first certificate"),
    ] {
        let error = Certificate::load(&chain, &key).unwrap_err();
        assert!(error.message().contains(named) && error.message().contains(why), "{error}, not {named} {why}");
    }
}

#[test]
fn a_new_pair_is_taken_and_a_broken_one_is_warned_of_once() {
    let (folder, chain, key) = pair();
    let certificate = Certificate::load(&chain, &key).unwrap();
    let first = config_of(&certificate);
    certificate.refresh();
    assert!(Arc::ptr_eq(&first, &config_of(&certificate)), "nothing has changed");

    fs::write(&key, "nonsense").unwrap();
    let log = folder.path().join("log");
    let subscriber = tracing_subscriber::fmt().with_writer(Arc::new(File::create(&log).unwrap())).finish();
    tracing::subscriber::with_default(subscriber, || (0..3).for_each(|_| certificate.refresh()));
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("stays as it was").count(), 1, "{log}");
    assert!(log.contains("key.pem"), "{log}");
    assert!(Arc::ptr_eq(&first, &config_of(&certificate)));

    renew(&chain, &key);
    certificate.refresh();
    assert!(!Arc::ptr_eq(&first, &config_of(&certificate)));
    fs::remove_file(&chain).unwrap();
    certificate.refresh();
    assert!(!Arc::ptr_eq(&first, &config_of(&certificate)), "the last good one stays");
}

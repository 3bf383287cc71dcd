//! `key add`, `key list`, `key revoke`: the API keys, also while the service runs.

use std::{path::Path, time::Duration};

use camera_service::{
    command::keys::{self, Record, Wish},
    error::Result,
};
use clap::Subcommand;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::RoleArgument;

/// What can be done with API keys.
#[derive(Subcommand)]
pub enum Action {
    /// Make a key and print it: the only time that it is shown
    Add {
        /// What its owner may do
        #[arg(long, value_enum)]
        role: RoleArgument,
        /// Who its owner is; shows in logs [default: the key's id]
        #[arg(long)]
        name: Option<String>,
        /// Days until it ends [default: it does not]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
    /// Print the keys there are, without their secrets
    List {
        /// As JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Take a key back
    Revoke {
        /// The key's id, as `key list` shows it
        id: String,
    },
}

/// Does it with the keys in `file`.
pub fn run(action: &Action, file: &Path) -> Result<()> {
    match action {
        Action::Add { role, name, days } => {
            let life = days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
            let (record, key) = keys::add(file, &Wish { role: (*role).into(), name: name.clone(), life })?;
            // The key alone goes to standard output, so that a script can take it from there.
            println!("{key}");
            eprintln!(
                "This key is not shown again. A running service knows it within a second. Its id is {}.",
                record.id
            );
        }
        Action::List { json: true } => {
            println!("{:#}", Value::Array(keys::read(file)?.iter().map(entry).collect()));
        }
        Action::List { json: false } => print!("{}", table(&keys::read(file)?)),
        Action::Revoke { id } => {
            let record = keys::revoke(file, id)?;
            println!(
                "{} ({}, {}) is revoked; a running service knows within a second",
                record.id, record.name, record.role
            );
        }
    }
    Ok(())
}

fn entry(key: &Record) -> Value {
    json!({
        "id": key.id, "name": key.name, "role": key.role,
        "created": written(key.created), "expires": key.expires.map(written), "expired": key.expired(),
    })
}

fn table(keys: &[Record]) -> String {
    if keys.is_empty() {
        return "there are no API keys; camera-service key add makes one\n".into();
    }
    let mut table = format!("{:10}{:10}{:22}{:31}NAME\n", "ID", "ROLE", "CREATED", "ENDS");
    for key in keys {
        let end = match key.expires.map(written) {
            None => "never".into(),
            Some(end) if key.expired() => format!("{end} (over)"),
            Some(end) => end,
        };
        table += &format!("{:10}{:10}{:22}{end:31}{}\n", key.id, key.role.name(), written(key.created), key.name);
    }
    table
}

fn written(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

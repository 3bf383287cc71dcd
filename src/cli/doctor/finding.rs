//! What a check found, and how all of it is printed: a line each for people, one JSON object for programs.

use serde_json::{Value, json};

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not looked at, and the message says why.
    Skipped,
    /// It works, and somebody should look.
    Warn,
    /// It does not work.
    Fail,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check: its group, and what was looked at.
    pub check: String,
    /// How it is.
    pub status: Status,
    /// What was seen.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self { check: check.into(), status: Status::Ok, message: message.into(), fix: None }
    }

    /// It works, and somebody should look.
    pub fn warn(check: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Warn, fix: Some(fix.into()), ..Self::ok(check, message) }
    }

    /// It does not work.
    pub fn fail(check: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::warn(check, message, fix) }
    }

    /// It was not looked at, for this reason.
    pub fn skipped(check: impl Into<String>, why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::ok(check, why) }
    }

    /// One that another doctor printed as JSON.
    pub fn read(printed: &Value) -> Option<Self> {
        let text = |field: &str| printed[field].as_str().map(str::to_owned);
        let all = [Status::Ok, Status::Skipped, Status::Warn, Status::Fail];
        let status = all.into_iter().find(|status| printed["status"] == status.word().to_lowercase())?;
        Some(Self { check: text("check")?, status, message: text("message")?, fix: text("fix") })
    }

    /// The same, taken less seriously.
    pub fn softened(self) -> Self {
        Self { status: self.status.min(Status::Warn), ..self }
    }
}

/// Everything that was found.
pub struct Report {
    /// The configuration file; `None`: the defaults.
    pub file: Option<String>,
    /// The unit file, where there is one.
    pub unit: Option<String>,
    /// The user as whom folders, devices and encoders were tried.
    pub user: Option<String>,
    /// In the order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.count(Status::Fail) == 0
    }

    fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }

    /// Prints it to standard output.
    pub fn print(&self, as_json: bool) {
        match as_json {
            true => println!("{:#}", self.json()),
            false => print!("{}", self.text()),
        }
    }

    fn json(&self) -> Value {
        let entry = |finding: &Finding| {
            let status = finding.status.word().to_lowercase();
            json!({ "check": finding.check, "status": status, "message": finding.message, "fix": finding.fix })
        };
        json!({
            "status": if self.is_good() { "ok" } else { "fail" },
            "version": env!("CARGO_PKG_VERSION"),
            "configuration": self.file,
            "unit": self.unit,
            "user": self.user,
            "counts": {
                "ok": self.count(Status::Ok), "warn": self.count(Status::Warn), "fail": self.count(Status::Fail),
                "skipped": self.count(Status::Skipped),
            },
            "checks": self.findings.iter().map(entry).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for Finding { check, status, message, fix } in &self.findings {
            // A line is a line, whatever stands in the message of a library.
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            let fix = fix.as_ref().map(|fix| format!(" -> {fix}")).unwrap_or_default();
            text.push_str(&format!("{:8}{check:width$}  {message}{fix}\n", status.word()));
        }
        text + &format!(
            "{} ok, {} warnings, {} failed, {} skipped\n",
            self.count(Status::Ok),
            self.count(Status::Warn),
            self.count(Status::Fail),
            self.count(Status::Skipped)
        )
    }
}
